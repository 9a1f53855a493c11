"""Captions to train on: every image must have one; what they tell the networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gansmith.core.errors import DataError
from gansmith.core.spec import Spec
from gansmith.core.words import words_of
from gansmith.data.entries import Entry, SplitName
from gansmith.data.split import evenly

_WORDS = 5000
"""Most words that a spec, and so the record of every run, holds."""
_CAPTIONS, _FEWEST = 64, 16
"""Most captions to sample from, and with how many held-out ones none of training are needed."""


def check_captions(name: str, entries: Sequence[Entry]) -> None:
    """Raise DataError unless every image has a caption that is not blank; `name` says of what."""
    without = [entry.name for entry in entries if not (entry.caption or "").strip()]
    if without:
        raise DataError(
            f"{name}: no caption for {len(without)} of {len(entries)} images, such as {without[0]!r}; a metadata.csv "
            "or metadata.jsonl beside the images, with the columns file_name,text, gives them"
        )


def captioned(spec: Spec, entries: Sequence[Entry], splits: Sequence[SplitName]) -> Spec:
    """The spec with the words of the training captions, and captions to sample from, held-out ones if there are enough.

    Args:
        entries: every one with a caption.
    """
    captions: dict[SplitName, list[str]] = {"train": [], "heldout": []}
    for entry, split in zip(entries, splits, strict=True):
        captions[split].append(entry.caption or "")
    counts = Counter(word for caption in captions["train"] for word in words_of(caption))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:_WORDS]
    train, heldout = (list(dict.fromkeys(captions[split])) for split in ("train", "heldout"))
    shown = heldout if len(heldout) >= _FEWEST else train
    return replace(spec, words=tuple(words), captions=tuple(shown[i] for i in evenly(len(shown), _CAPTIONS)))

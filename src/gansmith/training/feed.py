"""Batches as a pure function of (seed, position), gathered from packed images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gansmith.core.game import Batch
from gansmith.data import Split
from gansmith.training.runtime import SHUFFLE, TARGETS, Runtime, mixed_seed


class Shuffled:
    """The numbers below `size` without end: one shuffle of them after another, by the seed and a stream's name."""

    def __init__(self, size: int, seed: int, stream: int):
        self.size, self.seed, self.stream = size, seed, stream
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """The shuffle of an epoch."""
        if epoch != self._epoch:
            generator = np.random.default_rng(mixed_seed(self.seed, self.stream, epoch))
            self._epoch, self._order = epoch, generator.permutation(self.size)
        return self._order

    def at(self, position: int, count: int) -> np.ndarray:
        """What stands at `position` and the following places."""
        places = np.arange(position, position + count)
        epochs = np.unique(places // self.size)
        return np.concatenate([self.order(int(e))[places[places // self.size == e] % self.size] for e in epochs])


class Feed:
    """An endless stream of images, with what belongs to each; targets that belong to none in particular are a stream
    of their own.

    Args:
        texts: (N, ...) the images' captions as a game reads them.
    """

    def __init__(self, split: Split, batch: int, seed: int, runtime: Runtime, texts: Tensor | None = None):
        self.split, self.batch, self.seed, self.runtime, self.texts = split, batch, seed, runtime, texts
        self.order = Shuffled(len(split.images), seed, SHUFFLE)
        self.others = None if split.targets is None else Shuffled(len(split.targets), seed, TARGETS)

    def at(self, position: int) -> Batch:
        """The batch that begins at `position` of the stream."""
        chosen, split, device = self.order.at(position, self.batch), self.split, self.runtime.device
        labels = None if split.labels is None else torch.from_numpy(np.asarray(split.labels)[chosen]).to(device)
        texts = None if self.texts is None else self.texts[torch.from_numpy(chosen)].to(device)
        return Batch(self._images(split.images, chosen), labels, self._targets(position, chosen), texts)

    def _targets(self, position: int, chosen: np.ndarray) -> Tensor | None:
        if self.split.targets is None or self.others is None:
            return None
        partners = self.split.partners
        rows = self.others.at(position, self.batch) if partners is None else partners[chosen]
        return self._images(self.split.targets, rows)

    def _images(self, packed: np.ndarray, rows: np.ndarray) -> Tensor:
        return self.runtime.images(torch.from_numpy(np.take(packed, rows, axis=0)))

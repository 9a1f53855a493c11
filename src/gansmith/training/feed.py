"""Batches as a pure function of (seed, position), gathered from packed images."""

from __future__ import annotations

import numpy as np
import torch

from gansmith.core.game import Batch
from gansmith.data import Split
from gansmith.training.runtime import SHUFFLE, Runtime, mixed_seed


class Feed:
    """An endless stream of images: one shuffle of the data after another."""

    def __init__(self, split: Split, batch: int, seed: int, runtime: Runtime):
        self.split, self.batch, self.seed, self.runtime = split, batch, seed, runtime
        self.pixels = torch.from_numpy(np.asarray(split.images)).flatten(1)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """The shuffle of an epoch."""
        if epoch != self._epoch:
            generator = np.random.default_rng(mixed_seed(self.seed, SHUFFLE, epoch))
            self._epoch, self._order = epoch, generator.permutation(len(self.pixels))
        return self._order

    def indices(self, position: int) -> np.ndarray:
        """Which images stand at `position` and the following places of the stream."""
        size = len(self.pixels)
        places = np.arange(position, position + self.batch)
        epochs = np.unique(places // size)
        return np.concatenate([self.order(int(e))[places[places // size == e] % size] for e in epochs])

    def at(self, position: int) -> Batch:
        """The batch that begins at `position` of the stream."""
        chosen = self.indices(position)
        packed = self.pixels.index_select(0, torch.from_numpy(chosen)).unflatten(1, self.split.images.shape[1:])
        labels = self.split.labels
        return Batch(
            self.runtime.images(packed),
            None if labels is None else torch.from_numpy(np.asarray(labels)[chosen]).to(self.runtime.device),
        )

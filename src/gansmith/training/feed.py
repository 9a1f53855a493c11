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
        self.size = len(split.images)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def order(self, epoch: int) -> np.ndarray:
        """The shuffle of an epoch."""
        if epoch != self._epoch:
            generator = np.random.default_rng(mixed_seed(self.seed, SHUFFLE, epoch))
            self._epoch, self._order = epoch, generator.permutation(self.size)
        return self._order

    def indices(self, position: int) -> np.ndarray:
        """Which images stand at `position` and the following places of the stream."""
        places = np.arange(position, position + self.batch)
        epochs = np.unique(places // self.size)
        return np.concatenate([self.order(int(e))[places[places // self.size == e] % self.size] for e in epochs])

    def at(self, position: int) -> Batch:
        """The batch that begins at `position` of the stream."""
        chosen = self.indices(position)
        packed = torch.from_numpy(np.take(self.split.images, chosen, axis=0))
        labels = self.split.labels
        return Batch(
            self.runtime.images(packed),
            None if labels is None else torch.from_numpy(np.asarray(labels)[chosen]).to(self.runtime.device),
        )

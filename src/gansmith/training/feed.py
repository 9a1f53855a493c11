"""Batches as a pure function of (seed, position), gathered from packed images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gansmith.core.config import Config, DataConfig
from gansmith.core.game import Batch
from gansmith.data import Split
from gansmith.training.runtime import JITTER, SHUFFLE, TARGETS, Runtime, mixed_seed


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


class Jitter:
    """Where the pixels of images are taken from, by chance: mirrored, and moved, with their edges reflected.

    Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks", app. 6.2, without its zoom.

    Args:
        size: images that are jittered together.
        side: of them.
        data: how they are.
        generator: what chance is drawn from.
    """

    def __init__(self, size: int, side: int, data: DataConfig, generator: np.random.Generator):
        most = round(data.shift * side)
        moves = generator.integers(-most, most, (2, size, 1), endpoint=True)
        mirrored = generator.random((size, 1)) < 0.5 * data.mirror
        rows, columns = (reflected(np.arange(side) + move, side) for move in moves)
        self.rows = rows[:, :, None]
        self.columns = np.where(mirrored, columns[:, ::-1], columns)[:, None]

    def taken(self, packed: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The images (N, R, R, C) in the rows `chosen` of packed ones."""
        images: np.ndarray = packed[chosen[:, None, None], self.rows, self.columns]
        return images


def reflected(places: np.ndarray, side: int) -> np.ndarray:
    """Places at most `side` - 1 beyond either edge, as far within it."""
    return side - 1 - np.abs(side - 1 - np.abs(places))


class Feed:
    """An endless stream of images, with what belongs to each; targets that belong to none in particular are a stream
    of their own.

    Args:
        texts: (N, ...) the images' captions as a game reads them.
    """

    def __init__(self, split: Split, config: Config, runtime: Runtime, texts: Tensor | None = None):
        self.split, self.data, self.runtime, self.texts = split, config.data, runtime, texts
        self.batch, self.seed = config.train.batch, config.train.seed
        self.order = Shuffled(len(split.images), self.seed, SHUFFLE)
        self.others = None if split.targets is None else Shuffled(len(split.targets), self.seed, TARGETS)

    def at(self, position: int) -> Batch:
        """The batch that begins at `position` of the stream."""
        chosen, split, device = self.order.at(position, self.batch), self.split, self.runtime.device
        labels = None if split.labels is None else torch.from_numpy(np.asarray(split.labels)[chosen]).to(device)
        texts = None if self.texts is None else self.texts[torch.from_numpy(chosen)].to(device)
        jitter, other = self._jitters(position)
        images, targets = self._images(split.images, chosen, jitter), None
        if split.targets is not None and self.others is not None:
            rows = chosen if split.paired else self.others.at(position, self.batch)
            targets = self._images(split.targets, rows, other)
        return Batch(images, labels, targets, texts)

    def _jitters(self, position: int) -> tuple[Jitter | None, Jitter | None]:
        """Of the images and of their targets: the same of pairs."""
        if not (self.data.mirror or self.data.shift):
            return None, None
        generator = np.random.default_rng(mixed_seed(self.seed, JITTER, position))
        first, other = (Jitter(self.batch, self.split.images.shape[1], self.data, generator) for _ in range(2))
        return first, first if self.split.paired else other

    def _images(self, packed: np.ndarray, rows: np.ndarray, jitter: Jitter | None) -> Tensor:
        taken = np.take(packed, rows, axis=0) if jitter is None else jitter.taken(packed, rows)
        return self.runtime.images(torch.from_numpy(taken))

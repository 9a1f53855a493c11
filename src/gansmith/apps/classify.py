"""A classifier trained on a few images in one of several ways: what augmentation is measured by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gansmith.core.config import DataConfig
from gansmith.nets.classifier import Classifier
from gansmith.training.feed import Jitter, Shuffled
from gansmith.training.runtime import BUILD, JITTER, SHUFFLE, STEP, Runtime, mixed_seed, own_randomness

CPU = Runtime(torch.device("cpu"), autocasts=False)
FLIPS_AND_CROPS = DataConfig(mirror=True, shift=0.0625)
"""Half of the images mirrored, all moved by up to a sixteenth of their side, which is a crop; edges are reflected."""
MIXED = 0.2
"""Of mixup's Beta(a, a): Zhang et al. 2018, "mixup", sec. 3.1."""


@dataclass(frozen=True)
class Labelled:
    """Images uint8 (N, R, R, C) and their classes, int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, others: Labelled) -> Labelled:
        return Labelled(
            np.concatenate([self.images, others.images]), np.concatenate([self.labels, others.labels]).astype(np.int64)
        )

    def counts(self, classes: int) -> np.ndarray:
        """Images of each class, (classes,)."""
        return np.bincount(self.labels, minlength=classes)


@dataclass(frozen=True)
class Way:
    """How a classifier is trained on its images.

    Attributes:
        moves: images are mirrored and moved, by chance.
        mixes: images and classes are mixed in twos (mixup).
        weighs: images of a class with fewer count more in the loss.
        evens: images are drawn of all classes alike.
    """

    moves: bool = False
    mixes: bool = False
    weighs: bool = False
    evens: bool = False


@dataclass(frozen=True)
class Schedule:
    """How long all classifiers are trained, and how fast.

    Attributes:
        steps: of the optimiser, AdamW; the rate rises over the first fifth and falls to nothing (Smith 2018).
        batch: images a step.
        rate: the highest.
        decay: of weights.
        width: channels of the classifier's finest maps.
    """

    steps: int = 1500
    batch: int = 32
    rate: float = 6e-3
    decay: float = 0.02
    width: int = 16


USUAL = Schedule()


def fit(
    data: Labelled,
    classes: int,
    way: Way,
    schedule: Schedule,
    seed: int,
    advance: Callable[[float], None] | None = None,
) -> Classifier:
    """A classifier of `data`; the same arguments give the same weights.

    Args:
        classes: how many there are, whether or not `data` has images of all.
        advance: told of each step that is done.
    """
    side, channels = data.images.shape[1], data.images.shape[3]
    with own_randomness(mixed_seed(seed, BUILD)):
        net = Classifier(channels, side, classes, schedule.width).to(memory_format=torch.channels_last)
        optim = torch.optim.AdamW(net.parameters(), schedule.rate, weight_decay=schedule.decay)
        course = torch.optim.lr_scheduler.OneCycleLR(optim, schedule.rate, total_steps=schedule.steps, pct_start=0.2)
        weights = torch.from_numpy(class_weights(data.counts(classes))) if way.weighs else None
        net.train()
        for images, labels in batches(data, way, schedule, seed):
            optim.zero_grad(set_to_none=True)
            loss_of(net, images, labels, weights, way).backward()
            optim.step()
            course.step()
            if advance:
                advance(1)
    return net.eval()


def loss_of(net: nn.Module, images: Tensor, labels: Tensor, weights: Tensor | None, way: Way) -> Tensor:
    """Cross-entropy; of mixed images that of both classes, in proportion (Zhang et al. 2018, eq. 1 and 2)."""
    if not way.mixes:
        return cross_entropy(net(images), labels, weights)
    share = float(torch.distributions.Beta(MIXED, MIXED).sample())
    logits = net(torch.lerp(images.flip(0), images, share))
    return share * cross_entropy(logits, labels, weights) + (1 - share) * cross_entropy(logits, labels.flip(0), weights)


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Weights (K,) float32 inversely as the counts, on average 1 an image; 0 where there are no images."""
    weights = np.where(counts > 0, counts.sum() / np.maximum(counts, 1) / max(1, (counts > 0).sum()), 0)
    return weights.astype(np.float32)


def batches(data: Labelled, way: Way, schedule: Schedule, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, C, R, R) in [-1, 1] and labels (B,), step by step: shuffled, or drawn of all classes alike."""
    order, rng = Shuffled(len(data), seed, SHUFFLE), np.random.default_rng(mixed_seed(seed, STEP))
    jittered = np.random.default_rng(mixed_seed(seed, JITTER))
    rows = [np.flatnonzero(data.labels == label) for label in np.unique(data.labels)]
    for step in range(schedule.steps):
        if way.evens:
            chosen = np.array([rng.choice(rows[i]) for i in rng.integers(len(rows), size=schedule.batch)])
        else:
            chosen = order.at(step * schedule.batch, schedule.batch)
        if way.moves:
            taken = Jitter(len(chosen), data.images.shape[1], FLIPS_AND_CROPS, jittered).taken(data.images, chosen)
        else:
            taken = data.images[chosen]
        yield CPU.images(torch.from_numpy(taken)), torch.from_numpy(data.labels[chosen])


AT_ONCE = 500
"""Images a pass where nothing is trained."""


@torch.inference_mode()
def mapped(function: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    """What a function of images in [-1, 1] makes of uint8 (N, R, R, C), float32 (N, ...)."""
    parts = (CPU.images(torch.from_numpy(images[i : i + AT_ONCE].copy())) for i in range(0, len(images), AT_ONCE))
    return torch.cat([function(part) for part in parts]).numpy()


def classes_of(net: Classifier, images: np.ndarray) -> np.ndarray:
    """The class that a classifier names for each of uint8 (N, R, R, C), int64 (N,)."""
    return mapped(net, images).argmax(1)

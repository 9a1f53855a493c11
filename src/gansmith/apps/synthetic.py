"""Synthetic images of each class, drawn from a conditional run until a judge has kept enough of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from gansmith.apps.classify import Labelled, mapped
from gansmith.apps.edits import titled
from gansmith.apps.filtering import REASONS, Known, densities, reasons
from gansmith.apps.run import Run
from gansmith.nets.classifier import Classifier
from gansmith.training.pictures import grid, in_colour
from gansmith.training.runtime import mixed_seed
from gansmith.training.session import padded

AT_ONCE = 256
"""Images drawn of a class at a time, at most."""
PATIENCE = 20
"""Images drawn for each that is asked for, before a class is given up."""
SHOWN = 10
"""Images in a row of the sheet."""


# ---- what a judge thinks of images


@dataclass(frozen=True)
class Judge:
    """What tells good synthetic images from bad ones: a classifier of the training images, and these images.

    Attributes:
        net: the classifier.
        real: the training images.
    """

    net: Classifier
    real: Labelled

    @cached_property
    def features(self) -> np.ndarray:
        """Of the training images, float64 (N, F)."""
        return mapped(self.net.features, self.real.images).astype(np.float64)

    def of(self, label: int) -> ClassJudge:
        """That of one class."""
        rows = np.flatnonzero(self.real.labels == label)
        return ClassJudge(self.net, label, rows, self.features[rows], Known.of(self.real.images[rows]))


@dataclass(frozen=True)
class Judged:
    """What is thought of images.

    Attributes:
        reasons: why each is dropped; "" of those that are kept (M,).
        distance: to the nearest training image of the class, see `Known` (M,).
        nearest: the row of that (M,).
    """

    reasons: np.ndarray
    distance: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class ClassJudge:
    """A judge of one class.

    Attributes:
        rows: of its training images.
        features: of these.
        known: these, to tell copies by.
    """

    net: Classifier
    label: int
    rows: np.ndarray
    features: np.ndarray
    known: Known

    def __call__(self, images: np.ndarray) -> Judged:
        """What is thought of uint8 (M, R, R, C)."""
        features = mapped(self.net.features, images)
        with torch.inference_mode():
            agrees = self.net.head(torch.from_numpy(features)).argmax(1).numpy() == self.label
        distance, number = self.known.nearest(images)
        density = densities(self.features, features.astype(np.float64))
        return Judged(reasons(agrees, density, distance, self.known.limit), distance, self.rows[number])


# ---- drawing


Pair = tuple[np.ndarray, int]
"""An image, uint8 (R, R, C), and the row of the training image that is nearest to it."""


@dataclass
class Drawn:
    """The synthetic images of a class.

    Attributes:
        asked: how many were wanted.
        kept: uint8 (R, R, C), each with the row of the nearest training image.
        dropped: some for each reason, as `kept`.
        lines: what the manifest says of each that was kept: seed, number, distance, nearest.
        counts: images by why they were dropped, "" of those kept.
    """

    asked: int
    kept: list[Pair] = field(default_factory=list)
    dropped: dict[str, list[Pair]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def short(self) -> int:
        """Images that are missing."""
        return self.asked - len(self.kept)

    def take(self, images: np.ndarray, judged: Judged, seed: int, names: Sequence[str]) -> None:
        """Keeps those of a draw that are worth it, until there are enough."""
        for number, reason in enumerate(judged.reasons):
            if not self.short:
                break
            self.counts[str(reason)] += 1
            nearest = int(judged.nearest[number])
            if reason:
                some = self.dropped.setdefault(str(reason), [])
                some += [(images[number], nearest)][: SHOWN - len(some)]
                continue
            self.kept.append((images[number], nearest))
            distance = round(float(judged.distance[number]), 5)
            self.lines.append({"seed": seed, "number": number, "distance": distance, "nearest": names[nearest]})


def drawn(
    run: Run, judge: ClassJudge, asked: int, seed: int, names: Sequence[str], advance: Callable[[float], None]
) -> Drawn:
    """So many images of a class that the judge keeps, or fewer where too many were drawn for them.

    Args:
        seed: of all draws; image `number` of a draw is ``run.sample(number + 1, its seed, label=class)[number]``.
        names: of the training images.
        advance: told of each image kept.
    """
    found, tried = Drawn(asked), 0
    while found.short and tried < PATIENCE * asked:
        count = min(AT_ONCE, max(32, 2 * found.short))
        own = mixed_seed(seed, judge.label, tried)
        images = padded(run.sample(count, own, label=judge.label), run.spec)
        before = found.short
        found.take(images, judge(images), own, names)
        advance(before - found.short)
        tried += count
    return found


def together(made: Sequence[Drawn], real: Labelled) -> Labelled:
    """All synthetic images with their classes."""
    images = [image for one in made for image, _ in one.kept]
    labels = np.repeat(np.arange(len(made)), [len(one.kept) for one in made])
    return Labelled(np.stack(images) if images else real.images[:0], labels)


def sheet(made: Sequence[Drawn], real: Labelled) -> Image.Image:
    """Images that were kept, and that were dropped for each reason, a row of each; right of each the training image
    that is nearest to it."""
    rows = {"kept": in_turn([one.kept for one in made])}
    rows |= {f"dropped: {reason}": in_turn([one.dropped.get(reason, []) for one in made]) for reason in REASONS}
    rows = {name: found for name, found in rows.items() if found} or {"none": []}
    blank = np.full_like(real.images[0], 255)
    tiles: list[np.ndarray] = []
    for found in rows.values():
        tiles += [image for one, nearest in found for image in (one, real.images[nearest])]
        tiles += [blank] * (2 * (SHOWN - len(found)))
    return titled(grid(in_colour(np.stack(tiles)), 2 * SHOWN), list(rows), margin=120)


def in_turn(lists: Sequence[Sequence[Pair]]) -> list[Pair]:
    """The first of each, then the second of each …, as many as a row of the sheet has."""
    longest = max(map(len, lists), default=0)
    return [one[i] for i in range(longest) for one in lists if i < len(one)][:SHOWN]

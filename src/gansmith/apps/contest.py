"""Whether synthetic images help a classifier: contenders that all train for as many steps, held-out real images that
judge them, and a verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gansmith.apps.classify import Labelled, Schedule, Way, classes_of, fit
from gansmith.metrics.checks import Floats
from gansmith.metrics.intervals import LEVEL, t_margin, t_quantile

WITHOUT: Mapping[str, Way] = {
    "nothing": Way(),
    "flips and crops": Way(moves=True),
    "mixup": Way(mixes=True),
    "class weights": Way(weighs=True),
    "oversampling": Way(evens=True),
    "oversampling, flips and crops": Way(evens=True, moves=True),
}
"""What costs nothing."""
WITH: Mapping[str, Way] = {
    "ours": Way(),
    "ours, flips and crops": Way(moves=True),
    "ours, oversampling, flips and crops": Way(evens=True, moves=True),
}
"""On real and synthetic images together. The last evens out what classes could not be filled by."""


@dataclass(frozen=True)
class Trial:
    """One training of a classifier.

    Attributes:
        way: how.
        synthetic: whether it has the synthetic images, too.
        seed: of the training.
    """

    way: Way
    synthetic: bool
    seed: int


def trials(real: Labelled, both: Labelled, classes: int, seed: int) -> dict[str, Trial]:
    """Each contender's; where all classes have as many images, weights and oversampling come to nothing, so that
    contenders share a trial.

    Args:
        both: real and synthetic images.
    """
    found = {}
    for ways, data in ((WITHOUT, real), (WITH, both)):
        counts = data.counts(classes)
        is_level = bool((counts == counts[0]).all())
        for name, way in ways.items():
            found[name] = Trial(replace(way, weighs=False, evens=False) if is_level else way, data is both, seed)
    return found


def contend(
    real: Labelled,
    synthetic: Labelled,
    heldout: Labelled,
    classes: int,
    schedule: Schedule,
    seed: int,
    advance: Callable[[float], None] | None = None,
) -> dict[str, np.ndarray]:
    """Which held-out images each contender is right about, bool (N,), with a seed.

    Args:
        advance: told of each step that is done.
    """
    both, hits = real + synthetic, dict[Trial, np.ndarray]()
    asked = trials(real, both, classes, seed)
    for trial in asked.values():
        if trial not in hits:
            net = fit(both if trial.synthetic else real, classes, trial.way, schedule, seed, advance)
            hits[trial] = classes_of(net, heldout.images) == heldout.labels
    return {name: hits[trial] for name, trial in asked.items()}


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval that it lies in, all in points: hundredths."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})"

    @property
    def signed(self) -> str:
        return f"{self.mean:+.1f} points ({self.low:+.1f} to {self.high:+.1f})"


def of_classes(values: Floats, labels: np.ndarray) -> Floats:
    """Means over images (..., N) of the means of each class: (...,). Of hits that is balanced accuracy."""
    return np.mean([values[..., labels == label].mean(-1) for label in np.unique(labels)], axis=0)


def estimated(values: Floats, labels: np.ndarray, level: float = LEVEL) -> Estimate:
    """The mean over classes of values (S, N), for other seeds and other images.

    Two sources of chance are added in squares: the seeds, by Student's t of their S means; and the images, by the
    variance within classes of their means over seeds. One image more that is as wrong as can be keeps that from 0 where
    there are few.
    """
    by_seed, by_image = of_classes(values, labels), values.mean(0)
    kinds, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    centred = by_image - np.array([by_image[labels == kind].mean() for kind in kinds])[numbers]
    variance = (np.square(centred).sum() + 1) / (len(labels) - len(kinds) + 1)
    spread = np.sqrt(variance * (1 / counts).sum()) / len(kinds)
    margin = float(np.hypot(t_margin(by_seed, level), t_quantile(MANY, level) * spread))
    mean = float(by_seed.mean())
    return Estimate(*(round(100 * x, 3) for x in (mean, mean - margin, mean + margin)))


MANY = 10_000
"""Degrees of freedom with which Student's t is as good as normal."""


@dataclass(frozen=True)
class Verdict:
    """Whether synthetic images helped.

    Attributes:
        helps: whether the whole interval is above 0.
        ours, rival: what was compared: the best of those with synthetic images, and of those without.
        difference: of balanced accuracy, points.
        words: all that, to print.
    """

    helps: bool
    ours: str
    rival: str
    difference: Estimate
    words: str


def verdict(hits: Mapping[str, np.ndarray], labels: np.ndarray) -> Verdict:
    """Judges contenders' hits (S, N) on images of these labels (N,).

    The best of three ways is taken for ours, so that its interval is one of 98.3 % (Bonferroni); the best of all others
    is taken for the rival, which favours that one.
    """
    scores = {name: float(of_classes(found, labels).mean()) for name, found in hits.items()}
    ours = max((name for name in hits if name in WITH), key=scores.__getitem__)
    rival = max((name for name in hits if name not in WITH), key=scores.__getitem__)
    paired = hits[ours].astype(np.float64) - hits[rival]
    found = estimated(paired, labels, 1 - (1 - LEVEL) / len(WITH))
    return Verdict(found.low > 0, ours, rival, found, in_words(found, ours, rival))


def in_words(found: Estimate, ours: str, rival: str) -> str:
    """What a difference says."""
    told = f"{found.signed} of balanced accuracy, {ours} against {rival}"
    if found.low > 0:
        return f"yes: {told}"
    return f"no, they harm: {told}" if found.high < 0 else f"no, not that it could be told from chance: {told}"


@dataclass(frozen=True)
class Measured:
    """How the contenders did on held-out images.

    Attributes:
        balanced: balanced accuracy, points, by contender.
        accuracy: share of all images, points.
        by_seed: balanced accuracy of each training, points.
        verdict: what follows.
        heldout: images that judged.
        absent: classes of which no image is held out: nothing is known of these.
        seeds: of the trainings.
    """

    balanced: Mapping[str, Estimate]
    accuracy: Mapping[str, Estimate]
    by_seed: Mapping[str, list[float]]
    verdict: Verdict
    heldout: int
    absent: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(
        cls, hits: Mapping[str, np.ndarray], labels: np.ndarray, names: tuple[str, ...], seeds: tuple[int, ...]
    ) -> Measured:
        """Of hits (S, N) by contender, and the labels (N,) of the images, classes of these names."""
        alike = np.zeros_like(labels)
        return cls(
            {name: estimated(found.astype(np.float64), labels) for name, found in hits.items()},
            {name: estimated(found.astype(np.float64), alike) for name, found in hits.items()},
            {name: [round(100 * float(x), 3) for x in of_classes(found, labels)] for name, found in hits.items()},
            verdict(hits, labels),
            len(labels),
            tuple(name for number, name in enumerate(names) if number not in labels),
            seeds,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

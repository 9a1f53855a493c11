"""One moment of a game, measured: what a doctor keeps of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from gansmith.watch.signals import Reals, Signals, energy, of_fakes, of_outputs, squared
from gansmith.watch.space import Space

FAKES = 256
"""Fakes that are compared with real samples."""
KNOWN, FIXED = 1024, 64
"""Real samples that they are compared with, and latents whose samples are followed, at most."""
LAG = 4
"""Looks over which a drift is measured."""
ENOUGH, ENOUGH_SAID = 32, 8
"""Fakes, and outputs, below which nothing is measured of them."""


class Outputs(NamedTuple):
    """A discriminator's (N,) for real samples that it was trained on, for others where there are any, and for fakes."""

    known: Tensor
    held: Tensor | None
    fake: Tensor


@dataclass(frozen=True)
class Seen:
    """What is at hand at a moment; everything but the moment may be missing.

    Attributes:
        step: of the loop.
        images: real samples seen so far.
        fakes: (M, ...) of the last steps; features of them where `features` is set.
        fixed: (K, ...) samples of the same latents as ever; the same.
        judges: what every discriminator said.
        figures: whatever else is known, by name: norms of gradients, weights and updates, mean losses.
        features: whether `fakes` and `fixed` are features already.
    """

    step: int
    images: int
    fakes: Tensor | None = None
    fixed: Tensor | None = None
    judges: tuple[Outputs, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    features: bool = False


class Gauge:
    """Measures moments against the same real samples, and against the moments before.

    Args:
        real: (N, C, H, W) images in any range, or (N, D) points, that D is trained on.
        held: others, that it is not; None where there are none.
    """

    def __init__(self, real: Tensor, held: Tensor | None = None):
        self.space = Space.of(evenly(real, 4 * KNOWN))
        known = self.space(evenly(real, KNOWN))
        self.reals = Reals.of(known, None if held is None else self.space(evenly(held, KNOWN)), FAKES)
        self.has_held = held is not None
        self.paths: list[Tensor] = []

    def reduced(self, seen: Seen) -> Seen:
        """The moment with features in the place of samples, and `reach` among its figures: how far fakes lie beyond the
        range of real samples, by its width."""
        if seen.features:
            return seen
        few = None if seen.fakes is None or len(seen.fakes) < ENOUGH else evenly(seen.fakes, FAKES)
        return replace(
            seen,
            fakes=None if few is None else self.space(few),
            fixed=None if seen.fixed is None else self.space(seen.fixed),
            figures=seen.figures if few is None else {**seen.figures, "reach": reach(few, self.space)},
            features=True,
        )

    def look(self, seen: Seen) -> Signals:
        """All that can be measured of the moment, by name (see `signals`; of judges the mean), its figures, and:

        shift: energy distance of the fixed latents' samples from those of the look before, by the real samples' mean
            distance.
        drift: the same, from those of four looks before.
        motion: mean distance that they moved since then, by the real samples' spread.
        back: how far they are from those of two looks before, by the way between; 0 is to and fro, 1 straight on.
        """
        seen = self.reduced(seen)
        found: Signals = {"step": seen.step, "images": seen.images, **seen.figures}
        if seen.fakes is not None:
            of_them = of_fakes(seen.fakes, self.reals)
            found |= of_them if self.has_held else {k: v for k, v in of_them.items() if k != "remembered"}
        if seen.fixed is not None:
            found |= self.moved(seen.fixed)
        said = [of_outputs(*o) for o in seen.judges if min(len(o.known), len(o.fake)) >= ENOUGH_SAID]
        return found | {name: fmean(one[name] for one in said) for name in (said[0] if said else ())}

    def distance(self, samples: Tensor) -> float:
        """How far samples, as `real` were, are from the reals: see `signals.of_fakes`."""
        return of_fakes(self.space(evenly(samples, FAKES)), self.reals)["distance"]

    def moved(self, fixed: Tensor) -> Signals:
        """How samples of fixed latents (K, F) stand to those of the looks before."""
        self.paths = [*self.paths[-LAG:], fixed]
        if len(self.paths) < 2 or len(fixed) < ENOUGH:
            return {}
        unit = math.sqrt(max(self.reals.spread, 1e-12))
        last = self.paths[-3:]
        ways = [(b - a).norm(dim=1).mean().item() for a, b in pairwise(last)]
        found = {"motion": ways[-1] / unit, "shift": self.between(fixed, self.paths[-2])}
        if len(ways) == 2:
            found["back"] = (fixed - last[0]).norm(dim=1).mean().item() / max(sum(ways), 1e-12)
        if len(self.paths) > LAG:
            found["drift"] = self.between(fixed, self.paths[0])
        return found

    def between(self, one: Tensor, other: Tensor) -> float:
        """The energy distance of two sets of features, by the real samples' mean distance."""
        return energy(squared(one, other), squared(one, one), squared(other, other)) / self.reals.typical


def evenly(rows: Tensor, most: int) -> Tensor:
    """At most so many, evenly chosen; detached."""
    rows = rows.detach()
    return rows if len(rows) <= most else rows[torch.arange(most) * len(rows) // most]


def reach(samples: Tensor, space: Space) -> float:
    """How far samples reach beyond the range of real ones, by its width; 0 is within."""
    finite = samples.nan_to_num(space.low, 1e30, -1e30)
    low, high = finite.min().item(), finite.max().item()
    width = max(space.high - space.low, 1e-12)
    return max(0.0, space.low - low, high - space.high) / width

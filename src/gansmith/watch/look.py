"""One moment of a game, measured: what a doctor keeps of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gansmith.watch.signals import Reals, Signals, energy, of_fakes, of_outputs, squared
from gansmith.watch.space import Space

FAKES = 256
"""Fakes that are compared with real samples."""
KNOWN, FIXED = 1024, 64
"""Real samples that they are compared with, and latents whose samples are followed, at most."""
ENOUGH = 32
"""Fakes, and outputs, below which nothing is measured of them."""


@dataclass(frozen=True)
class Seen:
    """What is at hand at a moment; everything but the moment may be missing.

    Attributes:
        step: of the loop.
        images: real samples seen so far.
        fakes: (M, ...) of the last steps.
        fixed: (K, ...) samples of the same latents as ever.
        known, held, fake: D's outputs (N,) for real samples that it was trained on, for others, and for fakes.
        gradient: norm of G's gradient.
        update: norm of what a step changed of G's weights, by their own.
        losses: means since the last look, by name.
    """

    step: int
    images: int
    fakes: Tensor | None = None
    fixed: Tensor | None = None
    known: Tensor | None = None
    held: Tensor | None = None
    fake: Tensor | None = None
    gradient: float | None = None
    update: float | None = None
    losses: Mapping[str, float] | None = None


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

    def look(self, seen: Seen) -> Signals:
        """All that can be measured of the moment, by name (see `signals`), and:

        shift: energy distance of the fixed latents' samples from those of the look before, in the real samples' own.
        motion: mean distance that they moved since then, by the real samples' spread.
        back: how far they are from those of two looks before, by the way between; 0 is to and fro, 1 straight on.
        """
        found: Signals = {"step": seen.step, "images": seen.images}
        if seen.fakes is not None and len(seen.fakes) >= ENOUGH:
            of_them = of_fakes(self.space(evenly(seen.fakes, FAKES)), self.reals)
            found |= of_them if self.has_held else {k: v for k, v in of_them.items() if k != "remembered"}
            found["reach"] = reach(seen.fakes, self.space)
        if seen.fixed is not None:
            found |= self.moved(self.space(seen.fixed))
        real = seen.known if seen.known is not None else seen.held
        if real is not None and seen.fake is not None and min(len(real), len(seen.fake)) >= ENOUGH:
            found |= of_outputs(real, seen.held, seen.fake)
        for name in ("gradient", "update"):
            value = getattr(seen, name)
            if value is not None:
                found[name] = value
        return found | dict(seen.losses or {})

    def moved(self, fixed: Tensor) -> Signals:
        """How samples of fixed latents (K, F) stand to those of the looks before."""
        self.paths = [*self.paths[-2:], fixed]
        if len(self.paths) < 2 or len(fixed) < ENOUGH:
            return {}
        unit = math.sqrt(max(self.reals.spread, 1e-12))
        steps = [(b - a).norm(dim=1).mean().item() for a, b in zip(self.paths, self.paths[1:], strict=False)]
        was = self.paths[-2]
        found = {
            "motion": steps[-1] / unit,
            "shift": energy(squared(fixed, was), squared(fixed, fixed), squared(was, was)),
        }
        if len(steps) == 2:
            found["back"] = (fixed - self.paths[0]).norm(dim=1).mean().item() / max(sum(steps), 1e-12)
        return found


def evenly(rows: Tensor, most: int) -> Tensor:
    """At most so many, evenly chosen; detached."""
    rows = rows.detach()
    return rows if len(rows) <= most else rows[torch.arange(most) * len(rows) // most]


def reach(samples: Tensor, space: Space) -> float:
    """How far samples reach beyond the range of real ones, by its width; 0 is within."""
    low, high = samples.min().item(), samples.max().item()
    width = max(space.high - space.low, 1e-12)
    return max(0.0, space.low - low, high - space.high) / width

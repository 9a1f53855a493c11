"""Where a run stands. Every schedule, stage and fade is a pure function of the clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Schedule = Callable[[float], float]
"""Maps the run's progress in [0, 1] to a factor."""


@dataclass(frozen=True)
class Clock:
    """A moment of a run.

    Attributes:
        step: training steps taken.
        images: real images drawn so far; also the position in the stream of data.
        total: images in the whole run.
        stage: index of the stage being played.
        stage_images, stage_total: images drawn since this stage began, and that it will draw in all.
        starts: images at which each stage begins.
    """

    step: int
    images: int
    total: int
    stage: int = 0
    stage_images: int = 0
    stage_total: int = 1
    starts: tuple[int, ...] = (0,)

    def images_since(self, stage: int) -> int:
        """Images drawn since a stage began; 0 before it."""
        return max(0, self.images - self.starts[stage])

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        return min(1.0, self.images / self.total)

    @property
    def stage_progress(self) -> float:
        """Share of the stage that is done, in [0, 1]."""
        return min(1.0, self.stage_images / self.stage_total)

    @property
    def finished(self) -> bool:
        return self.images >= self.total


@dataclass(frozen=True)
class Plan:
    """How many images a run draws, and where its stages begin. Made before the first step and kept with the run."""

    total: int
    starts: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, total: int, shares: Sequence[float]) -> Plan:
        """Stages of the given shares (any scale) of `total` images."""
        ends = accumulate(shares)
        whole = sum(shares)
        return cls(total, (0, *(round(total * end / whole) for end in ends))[: len(shares)])

    def to_json(self) -> dict[str, Any]:
        """As meta.json has it."""
        return {"total": self.total, "starts": list(self.starts)}

    def scaled(self, total: int) -> Plan:
        """The same stages over another number of images."""
        return Plan(total, tuple(round(start * total / self.total) for start in self.starts))

    def at(self, step: int, images: int) -> Clock:
        """The clock after `step` steps and `images` images."""
        stage = bisect_right(self.starts, images) - 1
        begin, end = self.starts[stage], (*self.starts[1:], self.total)[stage]
        return Clock(step, images, self.total, stage, images - begin, max(1, end - begin), self.starts)


@dataclass(frozen=True)
class Pace:
    """What keeps a run to its minutes: the speed of its first seconds need not last.

    Attributes:
        until: when training is to be over, on `time.monotonic`'s clock.
        weight: how long an image of the whole run takes, by how long one of its first stage does.
    """

    until: float
    weight: float

    def plan(self, clock: Clock, now: float, speed: float, shares: Sequence[float]) -> Plan:
        """That of the whole run, if images of its first stage go on at `speed` a second.

        Args:
            clock: a moment of the first stage, and of the new plan's.
            shares: of the stages, as in `Plan.of`.
        """
        fit = (clock.images + max(0.0, self.until - now) * speed) / self.weight
        least = (clock.images + 1) * sum(shares) / shares[0]
        return Plan.of(int(max(fit, least)) + 1, shares)


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def linear(progress: float) -> float:
    """1 for the first half, then straight down to 0 (Zhu 2017, sec. 7.1)."""
    return min(1.0, 2.0 - 2.0 * progress)


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5)."""
    from math import cos, pi

    return 0.5 * (1.0 + cos(pi * min(1.0, progress)))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "linear": linear, "cosine": cosine}

"""How a game has gone so far: its looks, and what they say together. What is said here has no unit, and is larger where
the game is worse, so that one weight means the same for every game."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from gansmith.watch.signals import Signals

RECENT = 0.25
"""Part of the steps so far that counts as now."""
LEAST_LOOKS = 5
"""Looks that count as now, at least."""
NEAR = 0.01
"""Energy distance, by the reals' own mean distance, below which samples are as good as real."""
FIRST_WORD = 16
"""Looks before anything is said: at first every game looks ill."""


@dataclass(frozen=True)
class Course:
    """The looks at a game up to a moment, the oldest first."""

    looks: Sequence[Signals]

    @cached_property
    def now(self) -> Sequence[Signals]:
        """Those of the last quarter of the steps, at least five."""
        return self._from(1 - RECENT)

    @cached_property
    def before(self) -> Sequence[Signals]:
        """Those of the quarter before."""
        since = len(self.looks) - len(self._from(1 - 2 * RECENT))
        return self.looks[since : len(self.looks) - len(self.now)]

    def _from(self, part: float) -> Sequence[Signals]:
        last = self.looks[-1]["step"] if self.looks else 0
        first = sum(look["step"] <= part * last for look in self.looks)
        return self.looks[min(first, max(0, len(self.looks) - LEAST_LOOKS)) :]

    def value(self, name: str) -> float | None:
        """Now: the median of the last looks that have it."""
        return middle(self.now, name)

    def past(self, name: str) -> float | None:
        """The same of a while ago."""
        return middle(self.before, name)

    def peak(self, name: str) -> float | None:
        """The largest median of five looks in a row so far."""
        medians = self._medians(name)
        return max(medians) if medians else None

    def _medians(self, name: str) -> list[float]:
        values = values_of(self.looks, name)
        starts = range(max(1, len(values) - LEAST_LOOKS + 1)) if values else ()
        return [median(values[i : i + LEAST_LOOKS]) for i in starts]

    def least(self, name: str) -> float | None:
        """The smallest median of five looks in a row so far."""
        medians = self._medians(name)
        return min(medians) if medians else None

    def names(self, ending: str) -> list[str]:
        """Of the figures that end so."""
        return [name for name in (self.looks[-1] if self.looks else ()) if name.endswith(ending)]

    # ---- what is wrong, in numbers

    def narrow(self) -> float | None:
        """By how much fakes differ less than reals: -ln of `diversity`, 0 to 3."""
        return logged(self.value("diversity"), 3)

    def crowded(self) -> float | None:
        """By how much nearer a fake's nearest other is than a real sample's: -ln of `crowding`, 0 to 4."""
        return logged(self.value("crowding"), 4)

    def missing(self) -> float | None:
        """Share of the reals in bins that fakes miss."""
        return self.value("missed")

    def bare(self) -> float | None:
        """Share of real samples that no fake is near to, of what could be."""
        coverage = self.value("coverage")
        return None if coverage is None else min(1.0, max(0.0, 1 - coverage))

    def unreal(self) -> float | None:
        """Share of fakes that are near no real sample."""
        realism = self.value("realism")
        return None if realism is None else 1 - realism

    def far(self) -> float | None:
        """How far the fakes are from the reals: decades of `distance` above `NEAR`, 0 to 2."""
        distance = self.value("distance")
        return None if distance is None else min(2.0, max(0.0, math.log10(max(distance, 1e-9) / NEAR)))

    def stuck(self) -> float | None:
        """How little nearer the fakes have come: `distance` by what it was, 1 where there is no progress, 0 to 2."""
        now, before = self.value("distance"), self.past("distance")
        return None if now is None or before is None else min(2.0, max(0.0, now + 0.005) / max(before + 0.005, 1e-3))

    def sure(self) -> float | None:
        """How well D tells reals from fakes: 0 is chance, 1 always."""
        ranks = self.value("ranks")
        return None if ranks is None else max(0.0, 2 * ranks - 1)

    def blind(self) -> float | None:
        """How little D tells reals from fakes: 1 is chance or worse, 0 always."""
        sure = self.sure()
        return None if sure is None else 1 - sure

    def apart(self) -> float | None:
        """D's gap between reals and fakes in their deviations, ln(1 + gap), 0 to 4."""
        gap = self.value("gap")
        return None if gap is None else min(4.0, math.log1p(max(0.0, gap)))

    def faint(self) -> float | None:
        """Decades by which G's gradient has shrunk since its largest, 0 to 6."""
        now, peak = self.value("g_gradient"), self.peak("g_gradient")
        return None if now is None or peak is None else min(6.0, max(0.0, math.log10((peak + 1e-30) / (now + 1e-30))))

    def restless(self) -> float | None:
        """How far samples of the same latents shift from look to look: ln(1 + 100 x `shift`), 0 to 5."""
        shift = self.value("shift")
        return None if shift is None else min(5.0, math.log1p(100 * max(0.0, shift)))

    def drifting(self) -> float | None:
        """How far they shift within four looks: ln(1 + 100 x `drift`), 0 to 5."""
        drift = self.value("drift")
        return None if drift is None else min(5.0, math.log1p(100 * max(0.0, drift)))

    def moving(self) -> float | None:
        """Mean distance that samples of the same latents move from look to look, 0 to 2."""
        motion = self.value("motion")
        return None if motion is None else min(2.0, motion)

    def beyond(self) -> float | None:
        """How far fakes lie beyond the reals' range: doublings of `reach` beyond 2, 0 to 5."""
        reach = self.value("reach")
        return None if reach is None else min(5.0, max(0.0, math.log2(max(reach, 1e-9) / 2)))

    def growing(self) -> float | None:
        """Decades by which a network's weights are larger than at first, 0 to 4."""
        known = [value for name in self.names("_growth") if (value := self.value(name)) is not None]
        return min(4.0, math.log10(max(1.0, *known))) if known else None

    def raging(self) -> float | None:
        """Decades by which a loss is larger than 10, 0 to 6."""
        largest = self.largest_loss()
        return None if largest is None else min(6.0, max(0.0, math.log10(max(largest, 1e-9) / 10)))

    def largest_loss(self) -> float | None:
        """Of the mean losses now, whatever their sign."""
        values = [self.value(name) for name in self.names("_loss")]
        return max((abs(value) for value in values if value is not None), default=None)

    def learnt_by_heart(self) -> float | None:
        """How well D tells reals that it was trained on from others: 0 is chance, 1 always."""
        overfit = self.value("overfit")
        return None if overfit is None else max(0.0, 2 * overfit - 1)

    def remembering(self) -> float | None:
        """How much more often fakes are nearer to a sample trained on than to one held out: 0 is as often, 1 always."""
        remembered = self.value("remembered")
        return None if remembered is None else max(0.0, 2 * remembered - 1)

    def copied(self) -> float | None:
        """By how much nearer a fake is to its nearest real sample than reals are to each other: -ln, 0 to 4."""
        return logged(self.value("copying"), 4)


def values_of(looks: Sequence[Signals], name: str) -> list[float]:
    return [value for look in looks if (value := look.get(name)) is not None and math.isfinite(value)]


def middle(looks: Sequence[Signals], name: str) -> float | None:
    values = values_of(looks, name)
    return median(values) if values else None


def logged(value: float | None, most: float) -> float | None:
    """-ln of a ratio of which 1 is right, 0 to `most`."""
    return None if value is None else min(most, max(0.0, -math.log(max(value, 1e-9))))

"""What to do about what ails a game: where to go back to, when to act, and which cure comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gansmith.watch.course import FIRST_WORD, Course
from gansmith.watch.illnesses import ILLNESSES, Cure
from gansmith.watch.signals import Signals
from gansmith.watch.verdicts import LIKELY, Verdict, lasting, probability

MOST_ACTS = 10
"""Cures that are tried before the treatment gives up."""
EARLIEST, SURE, NEARER = 0.5, 0.7, 0.7
"""Part of a run before which nobody acts on a verdict; how likely it has to be; and by which the distance of fakes from
reals has to fall within a quarter of the steps for a game to be left alone: what ends well is restless at first."""
OF_GOOD_SAMPLES = ("divergence", "discriminator_overfitting", "memorisation")
"""What a game may have while its samples come nearer to the reals."""
WORSE, A_LITTLE = 2.0, 0.01
"""By how much farther from the reals than the nearest so far the samples of a sound moment may be: times, and more."""
TURN = 2
"""Cures of one illness before those of the next."""
CAUSES_FIRST = (
    "sick_data",
    "divergence",
    "vanishing_gradients",
    "weak_discriminator",
    "overpowering_discriminator",
    "discriminator_overfitting",
    "oscillation",
    "mode_collapse",
    "memorisation",
    "stalled",
)
"""What of several illnesses is treated first: what the others may come of."""


@dataclass(frozen=True)
class Choice:
    """The next cure."""

    verdict: Verdict
    cure: Cure
    settings: dict[str, Any]


@dataclass(frozen=True)
class Act:
    """A cure that was tried.

    Attributes:
        illness, evidence: why.
        cure, settings: what, in words and by dotted name; `before`: what these were.
        images: when.
        back: images that the state had seen from which the game went on.
        helped: whether the game was sound afterwards; what did not help is taken back. None until it is known.
    """

    illness: str
    evidence: str
    cure: str
    settings: dict[str, Any]
    before: dict[str, Any]
    images: int
    back: int
    helped: bool | None = None

    @classmethod
    def of(cls, choice: Choice, setting: Callable[[str], Any], images: int, back: int) -> Act:
        verdict, asked = choice.verdict, choice.settings
        before = {name: setting(name) for name in asked}
        return cls(verdict.name, verdict.evidence, choice.cure.words, asked, before, images, back)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        asked = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        end = {None: "", True: "; it helped", False: "; it did not help, and was taken back"}[self.helped]
        return f"{self.illness} at {self.images} images: {self.cure} ({asked}); again from {self.back} images{end}"


def is_sound(looks: Sequence[Signals]) -> bool:
    """Whether the moment of the last look is one to come back to: no illness is even half as likely as a verdict, and
    the samples are about as near to the reals as they ever were; that they are not, no verdict says at once."""
    course = Course(looks)
    likely = [probability(illness, course) or 0.0 for illness in ILLNESSES.values()]
    return len(looks) >= FIRST_WORD and max(likely) < LIKELY / 2 and not is_worse(course)


def is_worse(course: Course) -> bool:
    """Whether the last look's samples are much farther from the reals than the nearest so far."""
    last, least = course.looks[-1].get("distance"), course.least("distance")
    return last is not None and least is not None and last > WORSE * least + A_LITTLE


def must_act(
    looks: Sequence[Signals], found: Sequence[Verdict], since: int, progress: float, on_trial: bool = False
) -> bool:
    """Whether something is to be done now about what ails the game.

    Args:
        found: what that is.
        since: see `is_due`.
        progress: part of the run that is over.
        on_trial: whether the game has not been sound since the last cure: with that it does not end while ill.
    """
    if on_trial and progress >= 1:
        return bool(found)
    likely = [verdict for verdict in lasting(found, int(looks[-1]["images"])) if verdict.probability >= SURE]
    if is_getting_better(looks):
        likely = [verdict for verdict in likely if verdict.name in OF_GOOD_SAMPLES]
    return progress >= EARLIEST and bool(likely) and is_due(looks, since)


def is_due(looks: Sequence[Signals], since: int) -> bool:
    """Whether the last cure has been watched long enough to act again: what counts as now has all come after it.

    Args:
        since: images that the game had seen when it went on with that cure; 0 where there was none.
    """
    return bool(looks) and Course(looks).now[0]["images"] > since


def is_getting_better(looks: Sequence[Signals]) -> bool:
    """Whether the samples have come so much nearer of late that the game is best left alone."""
    stuck = Course(looks).stuck()
    return stuck is not None and stuck < NEARER


def judged(acts: Sequence[Act], back: int) -> list[Act]:
    """The acts, of all of which it is now known whether they helped.

    Args:
        back: images that the last sound state has seen.
    """
    return [replace(act, helped=back > act.back) if act.helped is None else act for act in acts]


def next_cure(
    found: Sequence[Verdict], acts: Sequence[Act], settings: Callable[[Cure], dict[str, Any]]
) -> Choice | None:
    """The mildest cure that is left of the first cause; after every second the next illness has its turn. None where
    nothing is left.

    Args:
        found: what ails the game.
        acts: all cures tried so far.
        settings: what a cure would set; nothing where it would change nothing, or cannot be played.
    """
    if len(acts) >= MOST_ACTS:
        return None
    tries = Counter(act.cure for act in acts)
    failed = Counter(act.cure for act in acts if act.helped is False)
    treated = Counter(act.illness for act in acts)
    for verdict in sorted(found, key=lambda one: (treated[one.name] // TURN, CAUSES_FIRST.index(one.name))):
        for cure in verdict.cures:
            words = cure.words
            if tries[words] < cure.times and (asked := settings(cure.repeated(failed[words] + 1))):
                return Choice(verdict, cure, asked)
    return None

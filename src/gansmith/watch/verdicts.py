"""What the doctor says."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from gansmith.watch.course import FIRST_WORD, Course
from gansmith.watch.illnesses import ILLNESSES, Cure, Illness
from gansmith.watch.sick_data import Fault
from gansmith.watch.signals import Signals

LIKELY = 0.5
"""Probability from which a verdict is given."""
SEVERITIES = ((0.75, "severe"), (0.4, "marked"), (0.0, "slight"))


@dataclass(frozen=True)
class Verdict:
    """Something that ails a game.

    Attributes:
        name: of the illness (see `gansmith.watch.illnesses.ILLNESSES`).
        probability: calibrated on benchmarks/illness.py.
        severity: slight, marked or severe.
        evidence: in a sentence, with its numbers.
        cures: what to try, the mildest first.
        since_images: real samples seen when it was first so, and has been since.
    """

    name: str
    probability: float
    severity: str
    evidence: str
    cures: tuple[Cure, ...]
    since_images: int


@cache
def weights() -> dict[str, dict[str, float]]:
    """Of each illness's signs, and its `bias`; as benchmarks/illness.py fitted them."""
    record: dict[str, dict[str, float]] = json.loads(files("gansmith.watch").joinpath("weights.json").read_text())
    return record


def signs_of(illness: Illness, course: Course) -> dict[str, float] | None:
    """By name; None where nothing can be said. What was not seen counts as nothing wrong."""
    values = {name: sign(course) for name, sign in illness.signs.items()}
    if next(iter(values.values())) is None:
        return None
    return {name: value or 0.0 for name, value in values.items()}


def probability(illness: Illness, course: Course) -> float | None:
    """That the game has it, by the signs; None where it cannot be judged."""
    signs = signs_of(illness, course)
    if signs is None or len(course.looks) < FIRST_WORD:
        return None
    weight = weights()[illness.name]
    score = weight["bias"] + sum(weight[name] * value for name, value in signs.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def verdicts(looks: Sequence[Signals], broken: str = "") -> list[Verdict]:
    """What ails a game, the likeliest first.

    Args:
        looks: at it, the oldest first (see `gansmith.watch.look.Gauge.look`).
        broken: where something was not finite; empty where everything is.
    """
    course = Course(looks)
    found = [verdict_on(illness, course, looks) for illness in ILLNESSES.values()]
    if broken:
        found = [one for one in found if one is not None and one.name != "divergence"]
        found.append(no_number(looks, broken))
    return sorted((one for one in found if one is not None), key=lambda one: -one.probability)


def lasting(found: Sequence[Verdict], images: int) -> list[Verdict]:
    """Those that were given at the look before, too: what is said once may be noise.

    Args:
        images: real samples seen at the last look.
    """
    return [verdict for verdict in found if verdict.since_images < images]


def verdict_on(illness: Illness, course: Course, looks: Sequence[Signals]) -> Verdict | None:
    """None where the game does not have it, or it cannot be told."""
    likely = probability(illness, course)
    if likely is None or likely < LIKELY:
        return None
    first = len(looks)
    while first > FIRST_WORD and (probability(illness, Course(looks[: first - 1])) or 0.0) >= LIKELY:
        first -= 1
    return Verdict(
        illness.name,
        likely,
        severity(illness.grade(course) or 0.0),
        illness.tell(course),
        illness.cures,
        int(looks[first - 1]["images"]),
    )


def no_number(looks: Sequence[Signals], broken: str) -> Verdict:
    """Divergence that needs no judgement."""
    since = next((int(look["images"]) for look in looks if not look.get("finite", 1.0)), 0)
    return Verdict("divergence", 1.0, "severe", f"not finite: {broken}", ILLNESSES["divergence"].cures, since)


def sick(found: Sequence[Fault]) -> list[Verdict]:
    """The verdict on the data, by what is wrong with them; none where nothing is."""
    told, cures = "; ".join(fault.what for fault in found), {fault.cure.words: fault.cure for fault in found}
    return [Verdict("sick_data", 1.0, "severe", told, tuple(cures.values()), 0)] if found else []


def unjudged(looks: Sequence[Signals]) -> list[str]:
    """Names of the illnesses that these looks do not tell, for want of what tells them."""
    course = Course(looks)
    return [illness.name for illness in ILLNESSES.values() if signs_of(illness, course) is None]


def severity(grade: float) -> str:
    return next(name for least, name in SEVERITIES if grade >= least)


def in_words(found: Sequence[Verdict]) -> str:
    """A line."""
    if not found:
        return "nothing ails it"
    return "; ".join(f"{one.severity} {one.name.replace('_', ' ')} ({one.probability:.0%})" for one in found)


def in_sentences(found: Sequence[Verdict], unknown: Sequence[str], looks: int) -> str:
    """All that there is to say, for people."""
    if looks < FIRST_WORD and not found:
        return f"too early: {looks} looks of the {FIRST_WORD} that a verdict takes"
    lines = [] if found else ["nothing ails it"]
    for one in found:
        lines.append(f"{one.name}: {one.probability:.0%}, {one.severity}, since {one.since_images} images")
        lines += [f"  {one.evidence}", *(f"  try {cure.paste()}" for cure in one.cures)]
    return "\n".join(lines + ([f"not judged: {', '.join(unknown)}"] if unknown else []))

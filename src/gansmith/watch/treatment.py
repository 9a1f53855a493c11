"""What to do about what ails a game: which cure comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gansmith.watch.illnesses import Cure
from gansmith.watch.verdicts import Verdict

MOST_ACTS = 8
"""Cures that are tried before the treatment gives up."""
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
class Act:
    """A cure that was tried.

    Attributes:
        illness, evidence: why.
        cure, settings: what, in words and by dotted name.
        images: when.
        back: images that the state had seen from which the game went on.
    """

    illness: str
    evidence: str
    cure: str
    settings: dict[str, Any]
    images: int
    back: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        asked = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.illness} at {self.images} images: {self.cure} ({asked}); again from {self.back} images"


@dataclass(frozen=True)
class Choice:
    """The next cure."""

    verdict: Verdict
    cure: Cure
    settings: dict[str, Any]


def next_cure(
    found: Sequence[Verdict], acts: Sequence[Act], settings: Callable[[Cure], dict[str, Any]]
) -> Choice | None:
    """The mildest cure of the first cause that has not been tried as often as it may; None where there is none left.

    Args:
        found: what ails the game.
        acts: all cures tried so far.
        settings: what a cure would set; nothing where it would change nothing, or cannot be played.
    """
    if len(acts) >= MOST_ACTS:
        return None
    for verdict in sorted(found, key=lambda verdict: CAUSES_FIRST.index(verdict.name)):
        for cure in verdict.cures:
            tried = sum(act.cure == cure.words for act in acts)
            if tried < cure.times and (asked := settings(cure)):
                return Choice(verdict, cure, asked)
    return None

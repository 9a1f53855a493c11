"""The record of an evaluation: scores, and the protocol without which they mean nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gansmith.core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        value: of the fakes.
        low, high: 95 % bootstrap interval of `value` (see `bootstrap_interval`).
        floor: the same score for held-out real images: what a perfect generator would get. None without them.
        trivial: the same score for the real images' mean with noise: what no generator should be worse than.
    """

    value: float
    low: float
    high: float
    floor: float | None
    trivial: float


@dataclass(frozen=True)
class Protocol:
    """How the scores were computed.

    Attributes:
        extractor, weights, resize, precision: of the features; `weights` is a hash (see `Extractor`).
        n_real, n_fake, n_heldout, n_trivial: images that entered: references, fakes, those of the floor (at most as
            many as fakes, since the scores' bias depends on the count) and those of the trivial generator.
        split: which real images are the reference.
        seed: of the subsampling, the trivial generator and the bootstrap.
        data: fingerprint of the reference images.
        versions: of gansmith, torch and numpy.
        warnings: what makes the scores less reliable here.
    """

    extractor: str
    weights: str
    resize: str
    precision: str
    n_real: int
    n_fake: int
    n_heldout: int
    n_trivial: int
    split: str
    seed: int
    data: str
    versions: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


# What two evaluations must share for their scores to be comparable.
COMPARED = ("extractor", "weights", "resize", "precision", "n_real", "n_fake", "split", "seed", "data")


@dataclass(frozen=True)
class Scores:
    """Scores by name (see `METRICS`) and their protocol."""

    scores: dict[str, Score]
    protocol: Protocol

    def __getitem__(self, name: str) -> Score:
        return self.scores[name]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Scores:
        """The scores that `to_json` wrote.

        Raises:
            DataError: a field is missing or unknown.
        """
        try:
            scores = {name: Score(**score) for name, score in record["scores"].items()}
            return cls(scores, Protocol(**record["protocol"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a record of scores ({error}); evaluate again") from None


@dataclass(frozen=True)
class Difference:
    """One score of two evaluations: `first`, `second`, `second - first`, and whether their intervals overlap.

    Intervals apart are evidence of a difference in quality; overlapping ones are no evidence of equality.
    """

    first: float
    second: float
    change: float
    overlap: bool


def compare(first: Scores, second: Scores) -> dict[str, Difference]:
    """Differences in the scores that both evaluations have, by name.

    Raises:
        ConfigError: the protocols differ (other than in versions of packages), or no score is in both.
    """
    for name in COMPARED:
        one, two = getattr(first.protocol, name), getattr(second.protocol, name)
        if one != two:
            raise ConfigError(
                f"scores of unlike protocol: {name} is {one!r} and {two!r}; evaluate both in the same way"
            )
    shared = [name for name in first.scores if name in second.scores]
    if not shared:
        raise ConfigError(f"no score in both: {', '.join(first.scores)} and {', '.join(second.scores)}")
    return {name: _difference(first[name], second[name]) for name in shared}


def _difference(one: Score, two: Score) -> Difference:
    overlap = one.low <= two.high and two.low <= one.high
    return Difference(one.value, two.value, two.value - one.value, overlap)

"""When to slow a run down, and when to end it: by how long its scores have got no better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Standstill(NamedTuple):
    """How many evaluations in a row were no better than the best before, and how often the rates have been halved."""

    evaluations: int
    halvings: int


def standstill(scores: Sequence[float], patience: int) -> Standstill:
    """Of a run's scores, the first first; lower is better. Rates are halved where half of the patience has gone by."""
    best, waited, halvings = math.inf, 0, 0
    for score in scores:
        waited = 0 if score < best else waited + 1
        best = min(best, score)
        halvings += waited == math.ceil(patience / 2)
    return Standstill(waited, halvings)

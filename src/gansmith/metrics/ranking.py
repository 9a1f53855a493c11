"""How well scores put one kind above another."""

from __future__ import annotations

from typing import Any

import numpy as np


def auroc(scores: Any, positive: Any) -> float:
    """Area under the receiver operating characteristic: the probability that a positive has a higher score than a
    negative, ties counted half (Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve").

    Args:
        scores: (N,), finite.
        positive: (N,) bool; some are, and some are not.

    Raises:
        ValueError: all are of one kind, or a score is not finite.
    """
    values, is_positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if not np.isfinite(values).all():
        raise ValueError("auroc: a score is not finite")
    count = int(is_positive.sum())
    others = len(values) - count
    if not count or not others:
        raise ValueError("auroc: expected both kinds")
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[place]
    return float((ranks[is_positive].sum() - count * (count + 1) / 2) / (count * others))

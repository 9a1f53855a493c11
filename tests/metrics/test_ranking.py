"""The area under the ROC curve against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from gansmith.metrics import auroc


def test_it_is_the_share_of_pairs_in_the_right_order() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 6, 60), rng.random(60) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_ends_and_middle() -> None:
    assert auroc([1, 2, 3, 4], [False, False, True, True]) == 1
    assert auroc([4, 3, 2, 1], [False, False, True, True]) == 0
    assert auroc([5, 5, 5], [True, False, True]) == 0.5


@pytest.mark.parametrize(
    ("scores", "positive", "message"),
    [([1.0, 2.0], [True, True], "both kinds"), ([1.0, float("nan")], [True, False], "not finite")],
)
def test_what_it_cannot_be_of(scores: list[float], positive: list[bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(scores, positive)

"""Precision, recall, density and coverage against loops over all pairs, and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_prc import prc_features_to_metric

from gansmith.core.errors import DataError
from gansmith.metrics import coverage, density, precision, recall


def sets(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 5)), rng.normal(size=(m, 5)) * 0.8 + 0.5


def radius(x: np.ndarray, i: int, k: int) -> float:
    return sorted(float(np.linalg.norm(x[i] - other)) for j, other in enumerate(x) if j != i)[k - 1]


def by_loops(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """The four scores word by word from the papers."""
    real_radius = [radius(real, i, k) for i in range(len(real))]
    fake_radius = [radius(fake, i, k) for i in range(len(fake))]
    near = np.array([[np.linalg.norm(x - y) for x in real] for y in fake])
    inside = np.array([[near[j][i] <= real_radius[i] for i in range(len(real))] for j in range(len(fake))])
    recalled = np.array([[near[j][i] <= fake_radius[j] for i in range(len(real))] for j in range(len(fake))])
    return inside.any(1).mean(), recalled.any(0).mean(), inside.sum() / (k * len(fake)), inside.any(0).mean()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(8, 30), m=st.integers(8, 30), k=st.integers(1, 7))
def test_equal_to_loops(seed: int, n: int, m: int, k: int) -> None:
    real, fake = sets(n, m, seed)
    found = tuple(score(real, fake, k) for score in (precision, recall, density, coverage))
    assert found == pytest.approx(by_loops(real, fake, k))


def test_equal_to_torch_fidelity_on_the_same_features() -> None:
    real, fake = sets(300, 250)
    found = prc_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=3, prc_batch_size=100, verbose=False
    )
    assert precision(real, fake) == pytest.approx(found["precision"], abs=1e-6)
    assert recall(real, fake) == pytest.approx(found["recall"], abs=1e-6)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = sets(60, 45)
    scores = (precision, recall, density, coverage)
    whole = [score(real, fake) for score in scores]
    monkeypatch.setattr("gansmith.metrics.prdc.CHUNK", 7)
    assert [score(real, fake) for score in scores] == whole


def test_copies_of_the_real_images_are_perfect() -> None:
    real = sets(50, 1)[0] + 1000  # far from the origin, where squared distances lose digits
    assert precision(real, real) == recall(real, real) == coverage(real, real) == 1
    assert density(real, real) >= 1


def test_identical_images_are_within_balls_of_radius_zero() -> None:
    real = np.tile(sets(1, 1)[0], (10, 1))
    assert precision(real, real[:6]) == recall(real, real[:6]) == 1


def test_collapse_keeps_precision_and_loses_recall_and_coverage() -> None:
    real = sets(500, 1)[0]
    collapsed = real[0] + np.random.default_rng(1).normal(size=(500, 5)) * 1e-3
    assert precision(real, collapsed) > 0.9
    assert recall(real, collapsed) < 0.05
    assert coverage(real, collapsed) < 0.05


def test_more_neighbours_than_images() -> None:
    with pytest.raises(DataError, match="fake: this score needs at least 6 images, got 5") as error:
        density(*sets(20, 5))
    assert error.value.exit_code == 4

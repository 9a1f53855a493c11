"""Intervals cover the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from gansmith.metrics import Moments, bootstrap_interval, frechet_from_moments
from gansmith.metrics.frechet import frechet_influence
from gansmith.metrics.intervals import t_margin, t_quantile
from gansmith.metrics.kernel import kernel_spread, kernel_terms, polynomial_kernel


def test_an_interval_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    low, high = bootstrap_interval(values, seed=1, resamples=4000)
    error = values.std() / np.sqrt(2000)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.05)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * error)
    assert (low, high) == bootstrap_interval(values, seed=1, resamples=4000)


def test_student_by_his_tables() -> None:
    assert [t_quantile(n) for n in (1, 2, 4, 30)] == pytest.approx([12.706, 4.303, 2.776, 2.042], abs=1e-3)
    assert t_quantile(4, 0.98) == pytest.approx(3.747, abs=1e-3)
    assert t_margin(np.array([1.0, 2, 3])) == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)


def covered(hits: list[bool]) -> bool:
    """Whether a share of hits may be 95 %, by four binomial standard errors, and a little less for finite samples."""
    return 0.90 <= np.mean(hits) <= 0.95 + 4 * np.sqrt(0.95 * 0.05 / len(hits))


def test_shares_are_covered() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for i in range(400):
        low, high = bootstrap_interval((rng.random(300) < 0.7).astype(float), seed=i, resamples=400)
        hits.append(low <= 0.7 <= high)
    assert covered(hits)


def test_frechet_distances_are_covered() -> None:
    rng, hits = np.random.default_rng(0), []
    real = Moments(np.zeros(4), np.eye(4))
    truth = 4 * (0.5**2 + 0.3**2)
    for i in range(300):
        fake = rng.normal(size=(1500, 4)) * 1.3 + 0.5
        value = frechet_from_moments(real, Moments.of(fake))
        low, high = bootstrap_interval(frechet_influence(real, fake), seed=i, resamples=400)
        hits.append(value + low <= truth <= value + high)
    assert covered(hits)


def test_the_linear_bootstrap_is_as_wide_as_the_full_one() -> None:
    rng = np.random.default_rng(0)
    real = Moments.of(rng.normal(size=(3000, 12)))
    fake = rng.normal(size=(1000, 12)) * 1.2 + 0.3
    low, high = bootstrap_interval(frechet_influence(real, fake))
    full = [frechet_from_moments(real, Moments.of(fake[rng.integers(1000, size=1000)])) for _ in range(400)]
    assert high - low == pytest.approx(np.subtract(*np.quantile(full, [0.975, 0.025])), rel=0.15)


def test_kernel_distances_are_covered() -> None:
    rng, hits = np.random.default_rng(0), []
    real, population = rng.normal(size=(400, 3)), rng.normal(size=(1000, 3)) + 0.5
    spread = kernel_spread(real)
    # Draws from a finite population, with replacement, have this expectation exactly.
    truth = spread + polynomial_kernel(population, population).mean() - 2 * polynomial_kernel(real, population).mean()
    for i in range(300):
        value, terms = kernel_terms(real, population[rng.integers(1000, size=300)], spread)
        low, high = bootstrap_interval(terms, seed=i, resamples=400)
        hits.append(value + low <= truth <= value + high)
    assert covered(hits)

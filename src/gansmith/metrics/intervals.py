"""Bootstrap percentile intervals, for scores that are (to first order) means over images."""

from __future__ import annotations

from functools import cache

import numpy as np

from gansmith.metrics.checks import Floats

# Percentiles at 2.5 % of 1,000 resamples rest on 25 of them: Efron and Tibshirani 1993, section 13.3.
RESAMPLES = 1000
LEVEL = 0.95
# 50 resamples of 10,000 images: 4 MB of indices, which stay in the cache.
CHUNK = 50


def bootstrap_means(values: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Means of `resamples` draws, with replacement, of as many of the values (N,) as there are: (resamples,)."""
    rng = np.random.default_rng(seed)
    counts = [min(CHUNK, resamples - i) for i in range(0, resamples, CHUNK)]
    return np.concatenate([values[rng.integers(len(values), size=(n, len(values)))].mean(axis=1) for n in counts])


def bootstrap_interval(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % percentile interval (low, high) of the mean of the values (N,). Efron and Tibshirani 1993, chapter 13.

    Every score's interval is this one. What is resampled, and what is held fixed:

    - precision, density: a value for each fake; the real manifold is fixed, so the fakes are independent draws.
    - recall, coverage: an indicator for each real image; the fakes are fixed. It tells how well this set of fakes
      fills the distribution of real images. Fakes drawn with replacement would have copies at distance 0, which
      shrinks every ball, so they are not resampled here.
    - frechet, kernel: what each fake contributes to first order (`frechet_influence`, `kernel_terms`), around the
      score's value; the real reference is fixed. A resampled covariance repeats the bias of the first sampling, so its
      percentiles may miss the value itself, and costs O(N D^2 + D^3) for each of the resamples; this costs it once.
    """
    low, high = np.quantile(bootstrap_means(values, seed, resamples), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@cache
def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """What |t| of so many degrees of freedom stays below with this probability (Student 1908).

    With t = sqrt(f) tan(a), the density of the angle a is cos(a)^(f - 1), up to a factor: that is summed up.
    """
    angles = np.linspace(0, np.pi / 2, 200_001)
    below = np.cumsum(np.cos(angles) ** (freedom - 1))
    return float(np.sqrt(freedom) * np.tan(np.interp(level, below / below[-1], angles)))


def t_margin(values: Floats, level: float = LEVEL) -> float:
    """How far the mean of all such values may lie from that of these (N,), two at least, at this level."""
    return t_quantile(len(values) - 1, level) * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))

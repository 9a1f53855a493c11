"""The kernel distance (KID): squared maximum mean discrepancy under a polynomial kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gansmith.core.errors import DataError
from gansmith.metrics.checks import Floats, checked_pair

# 1,000 x 10,000 float64 kernel values are 80 MB.
CHUNK = 1000


def polynomial_kernel(x: Floats, y: Floats) -> Floats:
    """``k(x, y) = (x'y / D + 1)^3`` for all pairs: (N, M). Binkowski et al. 2018, section 4."""
    base: Floats = x @ y.T
    base /= x.shape[1]
    base += 1
    cubed: Floats = base * base * base
    return cubed


def _row_sums(x: Floats, y: Floats) -> Floats:
    """Sum over y of ``k(x, y)`` for each x: (N,)."""
    return np.concatenate([polynomial_kernel(x[i : i + CHUNK], y).sum(axis=1) for i in range(0, len(x), CHUNK)])


def _means_of_others(x: Floats) -> Floats:
    """Mean over the others x' of ``k(x, x')`` for each x: (N,)."""
    itself = ((x * x).sum(axis=1) / x.shape[1] + 1) ** 3
    means: Floats = (_row_sums(x, x) - itself) / (len(x) - 1)
    return means


def kernel_spread(real: Floats) -> float:
    """Mean of ``k(x, x')`` over pairs of unlike x: the term of the distance that only the real features enter."""
    return float(_means_of_others(real).mean())


def kernel_terms(real: Floats, fake: Floats, spread: float) -> tuple[float, Floats]:
    """The unbiased squared MMD over all pairs, and what each fake contributes to it, to first order: (M,), mean 0.

    Args:
        real: (N, D), float64.
        fake: (M, D), float64.
        spread: `kernel_spread` of the real features, which a reference computes once.
    """
    among, across = _means_of_others(fake), _row_sums(fake, real) / len(real)
    value = spread + float(among.mean()) - 2 * float(across.mean())
    # A fake is in 2 / M of the pairs among fakes and in 1 / M of the pairs across (Hoeffding's projection).
    contributions = 2 * (among - across)
    return value, contributions - contributions.mean()


def _subsets(real: Floats, fake: Floats, subsets: int, size: int, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    for _ in range(subsets):
        chosen = [x[rng.choice(len(x), size, replace=False)] for x in (real, fake)]
        yield kernel_terms(chosen[0], chosen[1], kernel_spread(chosen[0]))[0]


def kernel_distance(real: Any, fake: Any, subsets: int | None = None, subset_size: int = 1000, seed: int = 0) -> float:
    """Unbiased squared MMD with ``k(x, y) = (x'y / D + 1)^3`` between features (N, D) and (M, D); 0 is best.

    ``MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)``: Binkowski et al.
    2018, equation 4. It may be slightly negative. The published score averages `subsets` draws of `subset_size`
    rows; its expectation is the value over all pairs, which costs as much as 100 draws of 1,000 for 10,000 rows and
    varies less, so all pairs are the default.

    Raises:
        DataError: fewer than 2 rows, or than `subset_size` if there are subsets; not finite; unlike widths.
    """
    one, two = checked_pair(real, fake, least=2)
    if subsets is None:
        return kernel_terms(one, two, kernel_spread(one))[0]
    if subset_size > min(len(one), len(two)):
        raise DataError(f"subsets of {subset_size} need that many images, got {len(one)} real and {len(two)} fake")
    return float(np.mean(list(_subsets(one, two, subsets, subset_size, seed))))

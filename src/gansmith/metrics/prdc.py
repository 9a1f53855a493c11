"""Precision, recall, density and coverage: how two sets of features fill each other's neighbourhoods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gansmith.core.errors import DataError
from gansmith.metrics.checks import Floats, checked_pair

# 500 x 10,000 float64 distances are 40 MB, and there are a few such arrays at a time.
CHUNK = 500
# Neighbours: Kynkaanniemi et al. 2019, section 3.1 (precision, recall); Naeem et al. 2020, section 4.2 (the others).
K_MANIFOLD = 3
K_DENSITY = 5


def squared_distances(x: Floats, y: Floats) -> Floats:
    """``|x - y|^2`` for all pairs, (N, M), by one matrix product; equal rows are at exactly 0."""
    sizes = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    distances: Floats = x @ y.T
    distances *= -2
    distances += sizes
    # The difference of two sums of size s is only good to about s * 1e-15: below that, call the rows equal.
    distances[distances < 1e-12 * sizes] = 0
    return distances


def radii(x: Floats, neighbours: tuple[int, ...]) -> Floats:
    """Squared distance of each row to its k-th nearest other row, for each k: (len(neighbours), N).

    Raises:
        DataError: there are not more rows than neighbours.
    """
    if len(x) <= max(neighbours):
        raise DataError(
            f"{max(neighbours)} nearest neighbours need at least {max(neighbours) + 1} images, got {len(x)}"
        )
    found = np.empty((len(neighbours), len(x)))
    for i in range(0, len(x), CHUNK):
        distances = squared_distances(x[i : i + CHUNK], x)
        # A row is its own nearest (at 0), so position k of the sorted row is its k-th other neighbour.
        distances.partition(neighbours, axis=1)
        found[:, i : i + CHUNK] = distances[:, list(neighbours)].T
    return found


@dataclass(frozen=True)
class Neighbourhoods:
    """Per-image values whose means are the four scores.

    Attributes:
        precision: (M,) 1.0 where a fake lies within some real image's ball (k = 3).
        recall: (N,) 1.0 where a real image lies within some fake's ball (k = 3).
        density: (M,) in how many real images' balls (k = 5) a fake lies, divided by 5.
        coverage: (N,) 1.0 where a real image's ball (k = 5) holds a fake.
    """

    precision: Floats
    recall: Floats
    density: Floats
    coverage: Floats


def neighbourhoods(
    real: Floats,
    fake: Floats,
    real_radii: Floats,
    fake_radius: Floats,
    density_neighbours: int = K_DENSITY,
) -> Neighbourhoods:
    """All four scores' values in one pass over the pairs.

    Args:
        real: (N, D), float64.
        fake: (M, D), float64.
        real_radii: (2, N), squared: of the balls for precision, and of those for density and coverage (see `radii`).
        fake_radius: (M,), squared: of the balls for recall.
        density_neighbours: the k of the second row of `real_radii`, which density divides by.
    """
    inside, within = np.empty(len(fake)), np.empty(len(fake))
    recalled, nearest = np.zeros(len(real), dtype=bool), np.full(len(real), np.inf)
    for i in range(0, len(fake), CHUNK):
        part = slice(i, i + CHUNK)
        distances = squared_distances(fake[part], real)
        inside[part] = (distances <= real_radii[0]).any(axis=1)
        within[part] = (distances <= real_radii[1]).sum(axis=1) / density_neighbours
        recalled |= (distances <= fake_radius[part, None]).any(axis=0)
        np.minimum(nearest, distances.min(axis=0), out=nearest)
    covered = (nearest <= real_radii[1]).astype(np.float64)
    return Neighbourhoods(inside, recalled.astype(np.float64), within, covered)


def _pairwise(real: Any, fake: Any, k: int) -> Neighbourhoods:
    one, two = checked_pair(real, fake, least=k + 1)
    return neighbourhoods(one, two, radii(one, (k, k)), radii(two, (k,))[0], k)


def precision(real: Any, fake: Any, k: int = K_MANIFOLD) -> float:
    """Share of the fakes (M, D) within the k-NN manifold of the real features (N, D): 0 to 1.

    Kynkäänniemi et al. 2019, equations 1 and 2.

    Raises:
        DataError: not more than k rows, values not finite, unlike widths.
    """
    return float(_pairwise(real, fake, k).precision.mean())


def recall(real: Any, fake: Any, k: int = K_MANIFOLD) -> float:
    """Share of the real features (N, D) within the k-NN manifold of the fakes (M, D): 0 to 1.

    Kynkäänniemi et al. 2019, equations 1 and 2.

    Raises:
        DataError: not more than k rows, values not finite, unlike widths.
    """
    return float(_pairwise(real, fake, k).recall.mean())


def density(real: Any, fake: Any, k: int = K_DENSITY) -> float:
    """In how many real balls a fake lies on average, divided by k: from 0, about 1 for real images, may exceed 1.

    Naeem et al. 2020, equation 4.

    Raises:
        DataError: not more than k rows, values not finite, unlike widths.
    """
    return float(_pairwise(real, fake, k).density.mean())


def coverage(real: Any, fake: Any, k: int = K_DENSITY) -> float:
    """Share of the real features (N, D) whose k-NN ball holds a fake (M, D): 0 to 1.

    Naeem et al. 2020, equation 5.

    Raises:
        DataError: not more than k rows, values not finite, unlike widths.
    """
    return float(_pairwise(real, fake, k).coverage.mean())

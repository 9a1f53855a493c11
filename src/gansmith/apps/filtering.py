"""Which synthetic images of a class are worth keeping: those that lie among its real ones, that a classifier takes for
it, and that are no copies of training images. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from gansmith.metrics.checks import Floats
from gansmith.metrics.prdc import CHUNK, K_DENSITY, radii, squared_distances

COPIES = 0.01
"""Share of training images that lie as near to another as what is called a copy."""
SKETCHED = 16
"""Side that images are compared at, at most, pixels; 8 and 32 find as many copies (LOG.md)."""


def densities(real: Floats, fake: Floats, k: int = K_DENSITY) -> Floats:
    """In how many of the real images' balls each fake lies, divided by k (Naeem et al. 2020, eq. 4): (M,).

    Args:
        real: features (N, F) of a class, two at least; of fewer than k + 1 the balls reach to the farthest.
        fake: features (M, F).
    """
    k = min(k, len(real) - 1)
    reach = radii(real, (k,))[0]
    within: Floats = (squared_distances(fake, real) <= reach).sum(1) / k
    return within


def sketches(images: np.ndarray) -> Floats:
    """uint8 (N, H, W, C) as rows (N, F), at most 16 pixels a side, whose distance is the root of the mean squared
    difference of pixels as a share of all that there is, 0 to 1."""
    pixels = torch.from_numpy(np.asarray(images, np.float32) / 255).permute(0, 3, 1, 2)
    height, width = (min(side, SKETCHED) for side in pixels.shape[2:])
    small = adaptive_avg_pool2d(pixels, (height, width)).flatten(1).numpy()
    return small.astype(np.float64) / np.sqrt(small.shape[1])


@dataclass(frozen=True)
class Known:
    """The training images of a class, to tell copies of them from others.

    Attributes:
        rows: sketches (N, F), and (N, F) of the mirrored images.
        limit: what lies no farther from one of them is called a copy: all but 1 % of them lie farther from each other.
    """

    rows: tuple[Floats, Floats]
    limit: float

    @classmethod
    def of(cls, images: np.ndarray) -> Known:
        """Of uint8 (N, H, W, C), two at least."""
        rows = sketches(images), sketches(images[:, :, ::-1])
        return cls(rows, float(np.quantile(apart(rows), COPIES)))

    def nearest(self, images: np.ndarray) -> tuple[Floats, np.ndarray]:
        """Of each of uint8 (M, H, W, C): the distance to the nearest of these, mirrored or not, and its number."""
        asked = sketches(images)
        distances = np.minimum(*(squared_distances(asked, rows) for rows in self.rows))
        numbers = distances.argmin(1)
        return np.sqrt(distances[np.arange(len(asked)), numbers]), numbers


def apart(rows: tuple[Floats, Floats]) -> Floats:
    """How far each image lies from the nearest other, mirrored or not: (N,)."""
    found = np.empty(len(rows[0]))
    for i in range(0, len(found), CHUNK):
        distances = np.minimum(*(squared_distances(rows[0][i : i + CHUNK], other) for other in rows))
        distances[np.arange(len(distances)), np.arange(i, i + len(distances))] = np.inf
        found[i : i + CHUNK] = distances.min(1)
    return np.sqrt(found)


REASONS = ("class", "density", "copy")
"""Why an image is dropped, in the order in which they are counted."""


def reasons(agrees: np.ndarray, density: Floats, distance: Floats, limit: float) -> np.ndarray:
    """Why each image is dropped, one of `REASONS`, or "" of those that are kept: (M,).

    Args:
        agrees: (M,) bool, whether a classifier takes it for what it was asked to be.
        density: (M,), see `densities`; 0 lies outside.
        distance: (M,), to the nearest training image.
        limit: what lies no farther is a copy.
    """
    found = np.where(distance <= limit, "copy", "")
    found = np.where(density > 0, found, "density")
    return np.where(agrees, found, "class")

"""Where the doctor compares samples: a space that no network which learned anything has a part in.

What it says so neither depends on weights that must be installed, nor on what the benchmark's judges were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

PIXELS, SIDE = 16, 32
"""Sides at which pixels are compared, and at which convolutions see an image."""
PARTS = 48
"""Principal components of a view that are kept at most."""
WIDTHS = (24, 48, 96)
"""Channels of the random layers, each at half the side of the one before."""


@dataclass(frozen=True)
class View:
    """Rows (N, D) by the principal components of real ones, all together of a variance of 1: (N, k)."""

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> View:
        """Fitted to real rows (N, D)."""
        mean = rows.mean(0)
        centred = rows - mean
        kept = min(PARTS, *centred.shape)
        _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
        total = (sizes[:kept].square().sum() / len(rows)).sqrt().clamp(min=1e-12)
        return cls(mean, directions[:kept].T / total)

    def __call__(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self.axes


@dataclass(frozen=True)
class Space:
    """Samples to features (N, F), float32 on the CPU: images (N, C, H, W) in any range, or points (N, D).

    Images are seen twice, each view reduced to its principal components among real ones: their pixels, made small, as
    Richardson & Weiss 2018 (sec. 2) compare them; and the means and deviations of three layers of random convolutions,
    which compare sets nearly as well as learned ones do (Naeem 2020, sec. 5.2). Points are centred and scaled.

    Attributes:
        low, high: of the real values; images are seen as if these were black and white.
        views: as many as there are views.
    """

    low: float
    high: float
    views: tuple[View, ...]

    @classmethod
    def of(cls, real: Tensor) -> Space:
        """Fitted to real samples (N, ...)."""
        known = real.detach().float().cpu()
        low, high = known.min().item(), known.max().item()
        return cls(low, high, tuple(View.of(rows) for rows in seen(known, low, high)))

    def __call__(self, samples: Tensor) -> Tensor:
        found = seen(samples.detach().float().cpu(), self.low, self.high)
        return torch.cat([view(rows) for view, rows in zip(self.views, found, strict=True)], 1)


def seen(samples: Tensor, low: float, high: float) -> list[Tensor]:
    """Every view's rows (N, D), before they are reduced. What is not finite counts as the middle."""
    scaled = (samples - low) / max(high - low, 1e-12) * 2 - 1
    scaled = scaled.nan_to_num(0, 0, 0).clamp(-4, 4)
    if samples.ndim != 4:
        return [scaled.flatten(1)]
    return [sized(scaled, PIXELS).flatten(1), statistics(sized(scaled, SIDE))]


def sized(images: Tensor, size: int | list[int]) -> Tensor:
    """(N, C, H, W) at another size; every pixel counts."""
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def statistics(images: Tensor) -> Tensor:
    """Means and deviations over places of every channel of random layers: (N, 2 x 168)."""
    rows, x = [], images
    for weight in random_layers(images.shape[1]):
        x = F.relu(F.conv2d(x, weight, stride=2, padding=1))
        rows += [x.mean((2, 3)), x.std((2, 3))]
    return torch.cat(rows, 1)


@cache
def random_layers(channels: int) -> tuple[Tensor, ...]:
    """Weights (O, I, 4, 4), the same on every machine."""
    generator, layers, inputs = torch.Generator().manual_seed(0), [], channels
    for outputs in WIDTHS:
        layers.append(torch.randn(outputs, inputs, 4, 4, generator=generator) * (2 / (16 * inputs)) ** 0.5)
        inputs = outputs
    return tuple(layers)

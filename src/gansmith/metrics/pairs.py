"""How near images come to what they should be, pair by pair: pure functions of two arrays uint8 (N, H, W, C).

C is 1, 3 or 4; what is transparent shows white. All is computed in float64. Every function raises `DataError` where
the images are of another type, or the two arrays' shapes differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from gansmith.core.errors import DataError
from gansmith.metrics.checks import Floats, Images, checked_images
from gansmith.metrics.features import on_white

Distance = Callable[[Images, Images], Floats]
"""(output, target), both uint8 (N, H, W, C) -> (N,), 0 where they are equal."""

CAP = 100.0
"""PSNR, in dB, of images that are equal, which by its formula would be infinite; none is larger."""

# Sums of products over 2^18 colour pixels in float64, 6 MB each, of which SSIM has about fifteen at a time.
PASS = 2**18
# Wang et al. 2004, sec. III-C.
WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
# ITU-R BT.601 in studio range, of R, G and B in [0, 255]: black is 16, white 235.
LUMA, BLACK = (65.481, 128.553, 24.966), 16


def psnr(output: Images, target: Images, border: int = 0) -> Floats:
    """Peak signal-to-noise ratio ``10 log10(255² / E(output - target)²)`` over all channels: (N,), dB, at most `CAP`.

    Args:
        border: pixels at each edge that are left out.

    Raises:
        DataError: the border leaves nothing; see also the module.
    """
    return per_pair(_psnr, output, target, border)


def psnr_y(output: Images, target: Images, border: int = 0) -> Floats:
    """The same of luma Y alone, as super-resolution is measured: (N,), dB, at most `CAP`.

    ``Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255`` (ITU-R BT.601, studio range), not rounded, with peak 255
    all the same. A grey image is its own luma.

    Args:
        border: pixels at each edge that are left out; as many as the scale, by custom.

    Raises:
        DataError: the border leaves nothing; see also the module.
    """
    return per_pair(lambda x, y: _psnr(_luma(x), _luma(y)), output, target, border)


def ssim(output: Images, target: Images) -> Floats:
    """Structural similarity: (N,), at most 1, where they are equal. Each channel by itself, then their mean.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", eq. 13, with the
    Gaussian window of 11 pixels and sigma 1.5 wherever all of it lies within the image. In images smaller than that
    the window is of the largest odd number of pixels that fits.
    """
    return per_pair(_ssim, output, target)


def colour_histogram_distance(output: Images, target: Images, bins: int = 8) -> Floats:
    """By how much the two have other colours, wherever these are: (N,) from 0 to 1.

    Total variation, half the L1 distance, of the joint histograms of R, G and B, with `bins`³ cells of equal size:
    the share of pixels that would have to change their cell. In a grey image R, G and B are equal.
    """

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (_histogram(x, bins) - _histogram(y, bins)).abs().sum(1) / 2

    return per_pair(distance, output, target)


@dataclass(frozen=True)
class PairScores:
    """How near `n` images come to their targets.

    Attributes:
        n: pairs.
        psnr, ssim, perceptual: means over them; perceptual is None where no distance was given.
        psnr_sd, ssim_sd, perceptual_sd: standard deviations over them.
        source_psnr, source_psnr_sd, ...: the same of the sources as they are: what an output has to better. None where
            there are none of the targets' shape.
    """

    n: int
    psnr: float
    psnr_sd: float
    ssim: float
    ssim_sd: float
    perceptual: float | None = None
    perceptual_sd: float | None = None
    source_psnr: float | None = None
    source_psnr_sd: float | None = None
    source_ssim: float | None = None
    source_ssim_sd: float | None = None
    source_perceptual: float | None = None
    source_perceptual_sd: float | None = None

    def means(self) -> dict[str, float]:
        """The outputs' means, by name: those that were taken."""
        found = {"psnr": self.psnr, "ssim": self.ssim, "perceptual": self.perceptual}
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def score_pairs(
    outputs: Images, targets: Images, sources: Images | None = None, distance: Distance | None = None
) -> PairScores:
    """The scores of outputs against targets, and of the sources that they were made of.

    Args:
        sources: left out of the scores where their shape is not the targets'.
        distance: a perceptual one (see `distance_of`).
    """
    scores = _summary(outputs, targets, distance)
    if sources is not None and sources.shape == targets.shape:
        scores |= {f"source_{name}": value for name, value in _summary(sources, targets, distance).items()}
    return PairScores(len(outputs), **scores)


def _summary(outputs: Images, targets: Images, distance: Distance | None) -> dict[str, float]:
    measures: dict[str, Distance] = {"psnr": psnr, "ssim": ssim} | ({"perceptual": distance} if distance else {})
    values = {name: measure(outputs, targets) for name, measure in measures.items()}
    means = {name: float(value.mean()) for name, value in values.items()}
    return means | {f"{name}_sd": float(value.std()) for name, value in values.items()}


def per_pair(measure: Callable[[Tensor, Tensor], Tensor], output: Images, target: Images, border: int = 0) -> Floats:
    """A measure of two tensors, float64 (N, 1 or 3, H, W) in [0, 255], of a few pairs at a time: (N,).

    Args:
        border: pixels at each edge that are left out.

    Raises:
        DataError: images of another type, shapes that differ, or a border that leaves nothing.
    """
    height, width = checked_images(output, "output").shape[1:3]
    if checked_images(target, "target").shape != output.shape:
        raise DataError(f"outputs and targets differ in shape: {output.shape}, {target.shape}")
    if 2 * border >= min(height, width):
        raise DataError(f"nothing is left of {height}x{width} pixels without a border of {border} at each edge")
    inner = np.s_[:, border : height - border, border : width - border]
    count = max(1, PASS // (height * width))
    with torch.inference_mode():
        parts = [
            measure(_pixels(output[i : i + count][inner]), _pixels(target[i : i + count][inner]))
            for i in range(0, len(output), count)
        ]
        values: Floats = torch.cat(parts).cpu().double().numpy()
    return values


def _pixels(images: Images) -> Tensor:
    return on_white(torch.from_numpy(images.astype(np.float64)).permute(0, 3, 1, 2))


def _psnr(x: Tensor, y: Tensor) -> Tensor:
    peak = 255**2
    return 10 * (peak / (x - y).square().mean((1, 2, 3)).clamp(min=peak / 10 ** (CAP / 10))).log10()


def _luma(pixels: Tensor) -> Tensor:
    if pixels.shape[1] == 1:
        return pixels
    weights = pixels.new_tensor(LUMA)[:, None, None] / 255
    return BLACK + (pixels * weights).sum(1, keepdim=True)


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    window = _window(min(WINDOW, *x.shape[2:]))
    moments = torch.stack([x, y, x * x, y * y, x * y])
    means = conv2d(conv2d(moments.flatten(0, 2)[:, None], window[..., None, :]), window[..., None])
    x_mean, y_mean, xx, yy, xy = means.reshape(*moments.shape[:3], *means.shape[2:]).unbind()
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    luminance = (2 * x_mean * y_mean + c1) / (x_mean.square() + y_mean.square() + c1)
    variances = (xx - x_mean.square()) + (yy - y_mean.square())
    structure = (2 * (xy - x_mean * y_mean) + c2) / (variances + c2)
    return (luminance * structure).mean((1, 2, 3))


def _window(most: int) -> Tensor:
    """Gaussian weights of an odd number of places, `most` or one less: (1, 1, size), in sum 1."""
    half = (most - 1) // 2
    weights = (torch.arange(-half, half + 1, dtype=torch.float64).square() / (-2 * SIGMA**2)).exp()
    window: Tensor = weights / weights.sum()
    return window[None, None]


def _histogram(pixels: Tensor, bins: int) -> Tensor:
    """Shares (N, bins³) of the pixels (N, 1 or 3, H, W)."""
    red, green, blue = (pixels * bins / 256).long().expand(-1, 3, -1, -1).flatten(2).unbind(1)
    cells = (red * bins + green) * bins + blue
    counts = pixels.new_zeros(len(pixels), bins**3)
    return counts.scatter_add_(1, cells, torch.ones_like(cells, dtype=pixels.dtype)) / cells.shape[1]

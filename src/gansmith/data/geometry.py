"""From an image of any size to the square that the networks see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.data.entries import Half, Raw
from gansmith.data.picture import load_image

SMALLEST, LARGEST = 16, 64
"""Bounds of a resolution that nobody asked for: what a laptop's CPU trains in minutes."""
Box = tuple[float, float, float, float]
Fit = Literal["keep", "crop", "pad", "stretch", "tiles"]
_GAP = 3.0
"""Pillow's own choice for `reducing_gap` where quality matters ("almost indistinguishable from fair resampling")."""


@dataclass(frozen=True)
class Geometry:
    """How an image becomes a square.

    Attributes:
        resolution: side of the square, pixels.
        fit: `keep` pads without resampling; `crop`, `pad` and `stretch` resample; `tiles` are many squares, cut out.
        channels: 1, 3 or 4.
    """

    resolution: int
    fit: Fit
    channels: int


@dataclass(frozen=True)
class Square:
    """One image, ready: `pixels` uint8 (R, R, C), and the (height, width) of the picture centred in them."""

    pixels: np.ndarray
    content: tuple[int, int]


def choose_geometry(sizes: Sequence[tuple[int, int]], all_grey: bool, config: DataConfig) -> Geometry:
    """Fit the geometry to the data.

    Args:
        sizes: (width, height) of every image.
        all_grey: whether every image has a grey mode.
        config: what the user asked for.

    Raises:
        ConfigError: `config.resolution` is no power of two.
    """
    resolution = config.resolution
    if resolution is not None:
        check_resolution(resolution)
    channels = config.channels or (1 if all_grey else 3)
    if config.fit == "tiles":
        return Geometry(resolution or LARGEST, "tiles", channels)
    if config.fit in ("auto", "pad", "stretch") and len(set(sizes)) == 1:
        side = max(sizes[0])
        square = resolution or _power_above(side)
        if 3 * square <= 4 * side <= 4 * square and (resolution or SMALLEST) <= square <= (resolution or LARGEST):
            return Geometry(square, "stretch" if config.fit == "stretch" else "keep", channels)
    resolution = resolution or _default_resolution(sizes)
    return Geometry(resolution, "crop" if config.fit == "auto" else config.fit, channels)


def check_resolution(resolution: int) -> None:
    """Raise ConfigError unless `resolution` is a power of two."""
    above = _power_above(resolution)
    if above != resolution:
        raise ConfigError(f"data.resolution: expected a power of two, got {resolution}; try {above // 2} or {above}")


def _power_above(side: int) -> int:
    return 1 << (side - 1).bit_length()


def _default_resolution(sizes: Sequence[tuple[int, int]]) -> int:
    median = int(np.median([min(size) for size in sizes]))
    return min(max(1 << (median.bit_length() - 1), SMALLEST), LARGEST)


def load_square(raw: Raw, geometry: Geometry, half: Half | None = None) -> Square:
    """Decode an image, or `half` of it, and make it a square. Raises one of `picture.BROKEN` if that cannot be done."""
    # A JPEG is decoded at a part of its size where that is still enough to resample from.
    return to_square(load_image(raw, geometry.channels, half, round(geometry.resolution * _GAP)), geometry)


def load_like(raw: Raw, spec: Spec, fit: str) -> np.ndarray:
    """Decode an image and make it such a square as those that `spec` is of, which `fit` was asked for: uint8 (R, R, C).

    Raises one of `picture.BROKEN` if that cannot be done.
    """
    side = spec.resolution
    if (spec.height, spec.width) == (side, side):
        ways: dict[str, Fit] = {"pad": "pad", "stretch": "stretch"}
        return load_square(raw, Geometry(side, ways.get(fit, "crop"), spec.channels)).pixels
    image = load_image(raw, spec.channels)
    size = (spec.width, spec.height)
    whole = image if image.size == size else _resize(image, size, _central(image.size, size))
    return pad_edges(np.asarray(whole).reshape(spec.height, spec.width, spec.channels), side)


def to_square(image: Image.Image, geometry: Geometry) -> Square:
    """Crop, pad or stretch an L, RGB or RGBA image."""
    side = geometry.resolution
    if geometry.fit == "crop":
        image = _resize(image, (side, side), _central(image.size))
    elif geometry.fit == "stretch":
        image = _resize(image, (side, side))
    elif geometry.fit == "pad" or max(image.size) > side:
        image = _resize(image, _inside(image.size, side))
    pixels = np.asarray(image).reshape(image.height, image.width, geometry.channels)
    return Square(pad_edges(pixels, side), (image.height, image.width))


def pad_edges(pixels: np.ndarray, side: int) -> np.ndarray:
    """Centre (H, W, C) in a (side, side, C) square, as `Spec.window` has it, by repeating the outermost pixels."""
    height, width = pixels.shape[:2]
    if height == width == side:
        return pixels
    padded: np.ndarray = pixels[_clamped(height, side)[:, None], _clamped(width, side)]
    return padded


@lru_cache(maxsize=256)
def _clamped(length: int, side: int) -> np.ndarray:
    return np.clip(np.arange(side) - (side - length) // 2, 0, length - 1)


def _resize(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS, box, reducing_gap=_GAP)


def _central(size: tuple[int, int], shape: tuple[int, int] = (1, 1)) -> Box:
    """The largest box of a shape, width and height, in the middle of one of a size."""
    share = min(size[0] / shape[0], size[1] / shape[1])
    width, height = (share * length for length in shape)
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height


def _inside(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The largest size of the same aspect inside the square; a sliver keeps one pixel."""
    width, height = (max(1, round(length * side / max(size))) for length in size)
    return width, height

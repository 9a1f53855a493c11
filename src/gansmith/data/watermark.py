"""An invisible watermark: pixels that say, whatever becomes of a file's metadata, that a trained model made them.

Spread spectrum (Cox 1997, "Secure spread spectrum watermarking for multimedia"): faint noise, the same in all images,
is added as strong as its surroundings hide it, in tiles, so that a part of an image has it, too; and found by
correlation, at every shift and many sizes. Anybody can add it, and whoever knows it can take it away: it is a notice,
not a proof. What it outlasts has been measured: `docs/watermark.md`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

Grey = NDArray[np.float32]

VARIABLE = "GANSMITH_WATERMARK"
TILE = 64
LEAST = 128
"""Pixels of the shorter side of an image that has room for it."""
BAND = (0.06, 0.25)
"""Cycles a pixel: fine enough not to be seen, coarse enough to outlast JPEG and half the size."""
SHARE, FAINTEST, STRONGEST = 0.15, 0.75, 4.0
"""Standard deviation of the noise: so much of that of the pixels around, in grey levels between these."""
AROUND = 7
STRIP = 8 * TILE
"""Rows that are marked at a time."""
WINDOW = 4 * TILE
"""Side of the square in which it is looked for; in a larger one, sizes would have to lie nearer together."""
SCALES = sorted((1.015**step for step in range(-54, 33)), key=lambda scale: abs(scale - 1))
"""Sizes at which it is looked for, those nearest to its own first: 0.45 to 1.6, 1.5 % apart."""
CLEAR = 7.0
"""Standard deviations by which it stands out where it is; of 616 images without it none had more than 6."""


def is_asked() -> bool:
    """Whether `GANSMITH_WATERMARK` asks for it: set, and not to 0."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def watermarked(picture: Image.Image) -> Image.Image:
    """The picture with the watermark; as it is, where it is smaller than `LEAST` or no colours of 8 bits."""
    if min(picture.size) < LEAST or picture.mode not in ("L", "LA", "RGB", "RGBA"):
        return picture
    colours = picture.mode.removesuffix("A")
    solid = picture.convert(colours)
    marked = solid.copy()
    for top in range(0, solid.height, STRIP):
        box = (0, top, solid.width, min(top + STRIP, solid.height))
        strip = solid.crop(box)
        added = hidden(grey(strip)) * tiled(strip.height, strip.width)
        pixels = np.asarray(strip, np.float32) + (added[..., None] if colours == "RGB" else added)
        marked.paste(Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8), colours), box)
    if colours != picture.mode:
        marked.putalpha(picture.getchannel("A"))
    return marked


def is_watermarked(picture: Image.Image) -> bool:
    """Whether the watermark is there, at any size."""
    return any(found >= CLEAR for found in strengths(picture))


def strengths(picture: Image.Image) -> Iterator[float]:
    """By how many standard deviations the watermark stands out at each of `SCALES`, at the shift where it does most."""
    whole = picture.convert("RGB").convert("L")
    return (stands_out(middle(whole, scale)) for scale in SCALES)


# ---- the noise


@cache
def noise() -> Grey:
    """Noise (`TILE`, `TILE`) of `BAND`, of mean 0 and standard deviation 1; the same for ever."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(b"gansmith watermark 1").digest(TILE * TILE // 8), np.uint8))
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(TILE), np.fft.fftfreq(TILE)))
    low, high = BAND
    spectrum = np.fft.fft2(bits.reshape(TILE, TILE) * 2.0 - 1) * ((low < frequencies) & (frequencies < high))
    found = np.fft.ifft2(spectrum).real
    return (found / found.std()).astype(np.float32)


def tiled(height: int, width: int) -> Grey:
    """The noise over and over."""
    return np.tile(noise(), (-(-height // TILE), -(-width // TILE)))[:height, :width]


def hidden(lightness: Grey) -> Grey:
    """Standard deviation of noise that is not seen in what is so light: (H, W), both in grey levels."""
    return (SHARE * deviation(lightness)).clip(FAINTEST, STRONGEST)


def deviation(values: Grey) -> Grey:
    """Standard deviation around each place (H, W)."""
    return np.sqrt(np.maximum(mean(values**2) - mean(values) ** 2, 0))


def mean(values: Grey) -> Grey:
    """Mean around each place (H, W)."""
    pooled = F.avg_pool2d(torch.from_numpy(values)[None, None], AROUND, 1, AROUND // 2, count_include_pad=False)
    return pooled[0, 0].numpy()


def grey(picture: Image.Image) -> Grey:
    return np.asarray(picture.convert("L"), np.float32)


# ---- finding it


def middle(whole: Image.Image, scale: float) -> Grey:
    """The middle of an image of which a pixel is `scale` of one of the watermark's, as it was before."""
    side = WINDOW * scale
    x, y = max(0.0, (whole.width - side) / 2), max(0.0, (whole.height - side) / 2)
    box = (x, y, whole.width - x, whole.height - y)
    size = (max(1, round((box[2] - box[0]) / scale)), max(1, round((box[3] - box[1]) / scale)))
    return grey(whole.resize(size, Image.Resampling.BICUBIC, box))


def stands_out(lightness: Grey) -> float:
    """The highest correlation with the noise over all shifts, in standard deviations of them all."""
    fine = (lightness - mean(lightness)) / np.maximum(deviation(lightness), FAINTEST / SHARE)
    height, width = (-(-side // TILE) * TILE for side in fine.shape)
    padded = np.zeros((height, width), np.float32)
    padded[: fine.shape[0], : fine.shape[1]] = fine
    folded = np.fft.fft2(padded.reshape(height // TILE, TILE, width // TILE, TILE).sum((0, 2)))
    # An image's own patterns are strong at few frequencies: all count much the same.
    even = folded / np.maximum(np.abs(folded), 1e-9) ** 0.7
    found = np.fft.ifft2(even * np.fft.fft2(noise()).conj()).real
    return float((found.max() - found.mean()) / max(float(found.std()), 1e-9))

"""From any image that Pillow opens to 8-bit grey, RGB or RGBA."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageOps

from gansmith.data.entries import Half, Raw

# All that Pillow's decoders, and the archives around them, were seen to raise on a broken file. `Warning` is for
# programs that run with warnings as errors.
BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError, RuntimeError,
    MemoryError, AssertionError, struct.error, zlib.error, BadZipFile, Image.DecompressionBombError, Warning,
)  # fmt: skip
GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Header:
    """What an image says of itself before it is decoded: size in pixels as seen (after EXIF rotation) and mode."""

    width: int
    height: int
    mode: str

    @property
    def grey(self) -> bool:
        return self.mode in GREY_MODES or self.mode.startswith("I;16")


def open_image(raw: Raw) -> Image.Image:
    """Open without decoding. Use as a context, so that a file is closed."""
    if isinstance(raw, np.ndarray):
        return Image.fromarray(raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw)
    return Image.open(io.BytesIO(raw) if isinstance(raw, bytes) else raw)


def probe(raw: Raw) -> Header:
    """Read the header of an image."""
    if isinstance(raw, np.ndarray):
        return Header(raw.shape[1], raw.shape[0], "L" if raw.ndim == 2 else _MODES[raw.shape[2]])
    with open_image(raw) as image:
        width, height = image.size
        # Pillow decodes a whole PNG to look for EXIF behind the pixels; nothing puts a rotation there.
        if image.format != "PNG" and image.getexif().get(_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
        return Header(width, height, image.mode)


def upright(image: Image.Image) -> Image.Image:
    """Rotate as its EXIF data say."""
    ImageOps.exif_transpose(image, in_place=True)
    return image


def load_image(raw: Raw, channels: int, half: Half | None = None, least: int | None = None) -> Image.Image:
    """Decode an image as it is seen: upright, 8-bit, one half of it where two lie side by side.

    Args:
        channels: 1, 3 or 4.
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size where no side is then shorter than this.

    Raises:
        One of `BROKEN`: it cannot be decoded.
    """
    with open_image(raw) as image:
        if not isinstance(raw, np.ndarray):
            # Reduced, the middle of two images side by side may lie within a pixel.
            if least and half is None:
                image.draft(None, (least, least))
            image = upright(image)
        if half:
            middle = image.width // 2
            image = image.crop((0, 0, middle, image.height) if half == "left" else (middle, 0, *image.size))
        image.load()
        return to_eight_bit(image, channels)


def to_eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """Convert to mode L (1 channel), RGB (3) or RGBA (4); transparent pixels are put on white unless RGBA is wanted."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _scaled_down(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if channels != 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def _scaled_down(image: Image.Image) -> Image.Image:
    """Bring 16-bit, 32-bit integer and float grey to 8 bits by a fixed scale, never by the image's own extremes.

    Integers are 16-bit values (Pillow opens a 16-bit PGM as 32-bit), 65535 is white; floats are in [0, 1] or [0, 255].

    Raises:
        ValueError: the values are on no scale that we know.
    """
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        scale, limit = (255.0, 1.0) if high <= 1 else (1.0, 255.0)
    else:
        scale, limit = 1 / 257, 65535.0
    if not (low >= 0 and high <= limit):
        raise ValueError(f"mode {image.mode} with values {low:g} to {high:g}: save it as 8-bit or 16-bit")
    return Image.fromarray(np.rint(values.astype(np.float64) * scale).astype(np.uint8))

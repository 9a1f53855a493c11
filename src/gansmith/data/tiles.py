"""`fit=tiles`: squares cut out of an image as large as it is.

An image is cut on a grid without overlap; its squares are numbered row by row.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from gansmith.data.geometry import Square
from gansmith.data.split import place_of

_FLAT = 3.0
"""Standard deviation of luma, of 255, below which a square is flat: sky, walls and blur."""
FLAT_SHARE = 0.1
"""How many of the squares may be flat: all else is more to learn, but what has never seen a sky spoils it (LOG.md)."""


def count_tiles(size: tuple[int, int], side: int) -> int:
    """How many squares an image of (width, height) has."""
    return (size[0] // side) * (size[1] // side)


def choose_tiles(image: Image.Image, side: int, most: int, name: str) -> list[int]:
    """Numbers of the squares to keep, rising: `most`, a tenth of them flat ones; or flat ones where all are.

    Which are dropped depends on whether they are flat and on a shuffle by the image's name.
    """
    luma = np.asarray(image.convert("L"))
    flat = [luma[y : y + side, x : x + side].std() < _FLAT for x, y in _corners(image.size, side)]
    shuffled = sorted(range(len(flat)), key=lambda number: place_of(tile_name(name, number)))
    if all(flat):
        return sorted(shuffled[:most])
    calm = [number for number in shuffled if flat[number]][: int(FLAT_SHARE * most)]
    return sorted([number for number in shuffled if not flat[number]][: most - len(calm)] + calm)


def cut_tiles(image: Image.Image, side: int, numbers: list[int]) -> list[Square]:
    """Squares of an L, RGB or RGBA image by their numbers."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    corners = _corners(image.size, side)
    # Copies, or every square would keep the whole image in memory.
    return [
        Square(pixels[y : y + side, x : x + side].copy(), (side, side)) for x, y in map(corners.__getitem__, numbers)
    ]


def tile_name(name: str, number: int) -> str:
    """The name of a square of the image `name`: ``photo.jpg#012``."""
    return f"{name}#{number:03}"


def image_of(name: str) -> str:
    """The image that a square of this name was cut out of."""
    return name.rpartition("#")[0]


def _corners(size: tuple[int, int], side: int) -> list[tuple[int, int]]:
    """Left and top of every square; the grid is centred."""
    (across, left), (down, top) = ((length // side, length % side // 2) for length in size)
    return [(left + i * side, top + j * side) for j in range(down) for i in range(across)]

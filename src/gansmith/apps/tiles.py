"""Images of any size through nets that a machine's memory could not hold at once: by tiles that overlap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any
from weakref import finalize

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gansmith.core.errors import ConfigError, GansmithError
from gansmith.nets.translate import InstanceNorm2d, normed_alike
from gansmith.training.runtime import Runtime
from gansmith.training.session import to_uint8

GIB = 2**30
LEAST = 16
"""Least side that a net is given: nets that halve four times still have a pixel then."""
BLEND = 16
"""Width of the band in which one tile passes into the next, pixels of what goes in."""
PROBES = 64, 128
"""Sides of the images that a net's need of memory is measured with."""
MARGIN = 1.5
"""What is allowed for above the tensors counted: copies inside torch's operations, and memory not given back at once.
At 1024x1024, fp32, on an x86 the process grew by 0.9 (`ResNetGenerator`) to 1.3 (`UNet`) times the count, and by 1.46
times for torch's own instance norm."""

_packed_to_images = Runtime(torch.device("cpu"), autocasts=False).images


@dataclass(frozen=True)
class Cost:
    """Bytes that tensors take at most while an image passes through a net: `fixed`, and so many for each pixel."""

    fixed: float
    per_pixel: float

    def area(self, memory: float) -> float:
        """Pixels that can pass through at once in `memory` bytes."""
        return (memory / MARGIN - self.fixed) / self.per_pixel

    def memory(self, area: float) -> float:
        """Bytes that so many pixels need."""
        return MARGIN * (self.fixed + self.per_pixel * area)


@dataclass(frozen=True)
class Way:
    """How images become others; `gansmith.core.game.Translator` says what the numbers are.

    Attributes:
        function: (1, C, h, w) in [-1, 1], on the CPU -> (1, C', scale h, scale w) in [-1, 1].
        channels: C and C'.
        norms: those over all pixels of an image.
    """

    function: Callable[[Tensor], Tensor]
    channels: tuple[int, int]
    scale: int = 1
    multiple: int = 1
    reach: int = 0
    norms: Sequence[InstanceNorm2d] = ()

    @property
    def overlap(self) -> int:
        """How far tiles overlap: where either is not yet as it would be in the whole, and the band between."""
        return up(2 * self.reach + BLEND, self.multiple)

    @cached_property
    def cost(self) -> Cost:
        """Measured once; by two small images, for what weights take does not grow with them."""
        small, large = (up(side, self.multiple) for side in PROBES)
        large = max(large, 2 * small)
        most = {side: counted(self, side) for side in (small, large)}
        per_pixel = (most[large] - most[small]) / (large**2 - small**2)
        return Cost(max(0.0, most[small] - per_pixel * small**2), per_pixel)

    def __call__(self, tile: np.ndarray) -> np.ndarray:
        """uint8 (h, w, C), of sides that are multiples, to uint8 (scale h, scale w, C').

        Raises:
            GansmithError: the net makes no numbers of it.
        """
        made = self.function(_packed_to_images(torch.from_numpy(tile)[None]))
        if made.isnan().any():
            raise GansmithError("the network makes NaN of it: the training went wrong; try --best, or train again")
        return to_uint8(made)[0].numpy()


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels of what goes in.

    Attributes:
        start, stop: what the net sees.
        first, last: what is written of it, the rest being too near the tile's end.
        blends: whether its first `BLEND` pixels pass into those of the tile before.
    """

    start: int
    stop: int
    first: int
    last: int
    blends: bool


def ignored(share: float) -> None:
    """What is told of progress where nobody asks."""


@torch.inference_mode()
def mapped(
    way: Way,
    image: np.ndarray,
    memory: float | None = None,
    held: float = 0.0,
    advance: Callable[[float], None] = ignored,
) -> np.ndarray:
    """What a way makes of an image: uint8 (H, W, C) to uint8 (scale H, scale W, C').

    The image is mirrored at its lower and right borders up to the size that the net takes. Where all of it needs more
    than `memory`, it goes by tiles; they come out as the whole would. Norms over all pixels take the moments of the
    image made as small as a tile, so that all tiles are normalised alike.

    Args:
        memory: most bytes that the process may take; None takes what it needs.
        held: how many of them are taken already.
        advance: is told the share of the work that each tile was.

    Raises:
        ConfigError: not even the smallest tile fits into the memory.
        GansmithError: the net makes NaN of it.
    """
    height, width = image.shape[:2]
    rows, columns = (mirrored(length, way.multiple) for length in (height, width))
    size = len(rows), len(columns)
    out = np.empty((height * way.scale, width * way.scale, way.channels[1]), np.uint8)
    room = math.prod(size) if memory is None else room_for_tile(way, size, memory, held + out.nbytes)
    sides = tile_sides(size, way.multiple, room)
    down, across = (spans(len(axis), side, way) for axis, side in zip((rows, columns), sides, strict=True))
    tiles = list(product(down, across))
    norms = way.norms if len(tiles) > 1 else ()
    with normed_alike(norms):
        if norms:
            mapped(way, reduced(image, math.prod(sides)))
        for y, x in tiles:
            tile = way(image[rows[y.start : y.stop, None], columns[x.start : x.stop]])
            compose(out, tile, y, x, way.scale)
            advance(1 / len(tiles))
    return out


def reduced(image: np.ndarray, room: int) -> np.ndarray:
    """The image with about so many pixels, each the mean of as many of its own."""
    solid = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    small = np.asarray(solid.reduce(math.ceil(math.sqrt(math.prod(solid.size) / room))))
    return small.reshape(*small.shape[:2], -1)


def up(length: float, multiple: int) -> int:
    """The next multiple from `length` on."""
    return math.ceil(length / multiple) * multiple


def mirrored(length: int, multiple: int) -> np.ndarray:
    """Which rows of an image to take, so that there are at least `LEAST` and a multiple; a single one is repeated."""
    return np.pad(
        np.arange(length), (0, up(max(length, LEAST), multiple) - length), "reflect" if length > 1 else "edge"
    )


def room_for_tile(way: Way, size: tuple[int, int], memory: float, held: float) -> int:
    """How many pixels of an image of this height and width can go at once.

    Raises:
        ConfigError: they are too few for any tile.
    """
    whole = math.prod(size)
    if whole <= PROBES[-1] ** 2:  # no more than it would take to measure what it takes
        return whole
    least = math.prod(min(length, way.overlap + way.multiple) for length in size)
    room = int(min(whole, way.cost.area(memory - held)))
    if room < least:
        needed = math.ceil((held + way.cost.memory(least)) / GIB * 100) / 100
        raise ConfigError(f"--max-memory: this image needs {needed:g} GiB, got {memory / GIB:g}")
    return room


def tile_sides(size: tuple[int, int], multiple: int, room: int) -> tuple[int, int]:
    """Height and width of tiles of at most `room` pixels: multiples, square where the image allows it."""
    height = min(size[0], math.isqrt(room) // multiple * multiple)
    width = min(size[1], room // height // multiple * multiple)
    return min(size[0], room // width // multiple * multiple), width


def spans(length: int, side: int, way: Way) -> list[Span]:
    """The tiles along an axis: no longer than `side`, no more than needed, and as equal as multiples allow."""
    count = 1 if side >= length else math.ceil((length - way.overlap) / (side - way.overlap))
    side = up((length + (count - 1) * way.overlap) / count, way.multiple)
    starts = [min(i * (side - way.overlap), length - side) for i in range(count)]
    return [
        Span(
            start,
            start + side,
            start + way.reach if i else 0,
            start + side - way.reach if i < count - 1 else length,
            bool(i),
        )
        for i, start in enumerate(starts)
    ]


def compose(out: np.ndarray, tile: np.ndarray, y: Span, x: Span, scale: int) -> None:
    """Writes a tile over those above it and to its left, passing into them linearly."""
    place = out[y.first * scale : y.last * scale, x.first * scale : x.last * scale]
    top, left = (y.first - y.start) * scale, (x.first - x.start) * scale
    tile = tile[top : top + place.shape[0], left : left + place.shape[1]]
    ramp = (np.arange(BLEND * scale, dtype=np.float32)[:, None] + 0.5) / (BLEND * scale)
    if x.blends:
        tile[:, : len(ramp)] = blended(place[:, : len(ramp)], tile[:, : len(ramp)], ramp)
    if y.blends:
        tile[: len(ramp)] = blended(place[: len(ramp)], tile[: len(ramp)], ramp[:, None])
    place[:] = tile


def blended(old: np.ndarray, new: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The old where the new one's share is 0, the new where it is 1."""
    return np.rint(old + share * (new - old.astype(np.float32)))


class Tensors(TorchFunctionMode):
    """Counts, in the calls made inside it, how many bytes the tensors made there take together at most."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.most = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else (result,):
            if isinstance(tensor, Tensor):
                self.count(tensor.untyped_storage())
        self.most = max(self.most, sum(self.alive.values()))
        return result

    def count(self, memory: torch.UntypedStorage) -> None:
        """Counts memory for as long as a tensor has it."""
        if memory.data_ptr() not in self.alive:
            self.alive[memory.data_ptr()] = memory.nbytes()
            finalize(memory, self.alive.pop, memory.data_ptr())


@torch.inference_mode()
def counted(way: Way, side: int) -> int:
    """Bytes that tensors take at most while a grey image of this side passes through."""
    with Tensors() as tensors:
        way(np.full((side, side, way.channels[0]), 128, np.uint8))
    return tensors.most

"""Images of any size: whole or by tiles they come out the same, and within the memory that is allowed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gansmith.apps import tiles
from gansmith.apps.tiles import BLEND, GIB, LEAST, Tensors, Way, mapped, mirrored, spans, tile_sides
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.nets.translate import InstanceNorm2d
from gansmith.training.session import to_uint8


class Recorder:
    """A function that notes the sizes of what goes in."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        self.function = function
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append((images.shape[2], images.shape[3]))
        return self.function(images)


class Strided(nn.Module):
    """Halves twice and doubles three times: scale 2, multiples of 4. Reaches 1 + 2 + 4 pixels down, 4 + 2 + 1 up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, 1, 1),
            nn.Conv2d(6, 6, 3, 2, 1),
            nn.LeakyReLU(),
            nn.Conv2d(6, 6, 3, 2, 1),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(6, 6, 4, 2, 1),
            nn.LeakyReLU(),
            nn.ConvTranspose2d(6, 6, 4, 2, 1),
            nn.ConvTranspose2d(6, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images) * 4


def convolutions(scale: int = 1) -> nn.Module:
    """Reaches 4 pixels, and makes strong contrasts."""
    torch.manual_seed(0)
    widths = (3, 8, 8, 3 * scale**2)
    layers = [
        nn.Conv2d(inputs, outputs, k, 1, k // 2)
        for (inputs, outputs), k in zip(pairwise(widths), (5, 3, 3), strict=True)
    ]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2], nn.PixelShuffle(scale), nn.Tanh())


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def smooth(height: int, width: int) -> np.ndarray:
    """A picture of slow waves."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (19 + 7 * c)) + np.cos(y / (23 + 5 * c)) for c in range(3)]
    return np.uint8(127.5 + 60 * np.stack(waves, 2))


def enough_for(way: Way, side: int, image: np.ndarray) -> float:
    """Memory that tiles of this side fit into, and larger ones do not."""
    out = image.shape[0] * image.shape[1] * way.scale**2 * way.channels[1]
    return out + way.cost.memory(side**2 + 0.5)


# ---- the same as the whole


@torch.inference_mode()
def directly(net: Callable[[Tensor], Tensor], image: np.ndarray) -> np.ndarray:
    """Without any of what is tested."""
    images = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    return to_uint8(net(images))[0].numpy()


def test_an_image_that_needs_no_padding_goes_through_as_it_is() -> None:
    net, image = Strided(), noise(40, 64)
    assert np.abs(mapped(Way(net, (3, 1), 2, 4, 14), image).astype(int) - directly(net, image)).max() <= 1


def test_padding_mirrors_and_is_taken_away_again() -> None:
    seen = Recorder(lambda images: images)
    image = noise(21, 30)
    assert np.array_equal(mapped(Way(seen, (3, 3), multiple=8), image), image)
    assert seen.sizes == [(24, 32)]
    assert mirrored(21, 8).tolist() == [*range(21), 19, 18, 17]


@pytest.mark.parametrize(
    ("net", "way"),
    [
        (convolutions(), {"channels": (3, 3), "reach": 4}),
        (convolutions(2), {"channels": (3, 3), "scale": 2, "reach": 4}),
        (Strided(), {"channels": (3, 1), "scale": 2, "multiple": 4, "reach": 16}),
    ],
    ids=["plain", "twice as large", "strided"],
)
@pytest.mark.parametrize("size", [(150, 131), (300, 70), (131, 400)])
def test_tiles_make_the_same_as_the_whole(net: nn.Module, way: dict[str, int], size: tuple[int, int]) -> None:
    image = noise(*size)
    seen = Recorder(net)
    by_tiles = Way(seen, **way)
    whole = mapped(by_tiles, image)
    del seen.sizes[:]
    memory = enough_for(by_tiles, 72, image)
    del seen.sizes[:]
    made = mapped(by_tiles, image, memory)
    assert len(seen.sizes) > 3
    assert all(height * width <= 72**2 for height, width in seen.sizes)
    assert made.shape == whole.shape
    assert np.abs(made.astype(int) - whole).max() <= 1


def test_a_reach_that_is_too_short_shows() -> None:
    """What the test above would say if tiles were used up to their ends."""
    net, image = convolutions(), noise(150, 131)
    way = Way(net, (3, 3), reach=0)
    made = mapped(way, image, enough_for(way, 72, image))
    assert np.abs(made.astype(int) - mapped(way, image)).max() > 5


def test_one_tile_passes_into_the_next_linearly() -> None:
    """The first tile is black and the second white: between them, where both are right, is a ramp."""
    levels = iter([-1.0, 1.0])
    way = Way(lambda images: torch.full_like(images, next(levels)), (1, 1), multiple=2, reach=3)
    way.__dict__["cost"] = tiles.Cost(0, 1)
    row = mapped(way, noise(16, 2000, 1), 2000 * 16 + tiles.MARGIN * 16 * 1100)[0, :, 0].astype(int)
    band = np.flatnonzero((row > 0) & (row < 255))
    assert len(band) == BLEND
    assert row[band].tolist() == [round(255 * (i + 0.5) / BLEND) for i in range(BLEND)]
    assert (row[: band[0]] == 0).all()
    assert (row[band[-1] + 1 :] == 255).all()


def test_norms_over_the_whole_leave_no_seams() -> None:
    """All tiles are normalised alike, by a smaller image: where two of them overlap they agree."""
    torch.manual_seed(0)
    norm = InstanceNorm2d()
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), norm, nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1), nn.Tanh())
    image = smooth(400, 400)
    image[:150] //= 3  # a dark sky: by itself, its tile would come out as light as the others
    seen = Recorder(net)
    alike, apart = Way(seen, (3, 3), reach=2, norms=[norm]), Way(seen, (3, 3), reach=2)
    whole = mapped(alike, image).astype(int)
    memory = enough_for(alike, 250, image)
    del seen.sizes[:]
    made = mapped(alike, image, memory).astype(int)
    assert seen.sizes[0] == (200, 200)
    assert len(seen.sizes) == 5
    assert np.abs(made - whole).max() <= 4
    assert np.abs(mapped(apart, image, memory).astype(int) - whole).max() > 40
    assert norm.moments is None
    assert np.array_equal(mapped(alike, image), whole)


# ---- any shape


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2000), (2000, 3), (17, 16)])
@pytest.mark.parametrize("memory", [None, 0.004])
def test_thin_and_tiny_images(size: tuple[int, int], memory: float | None) -> None:
    seen = Recorder(lambda images: F.interpolate(images, scale_factor=2.0))
    image = noise(*size)
    made = mapped(Way(seen, (3, 3), 2, 4, 5), image, memory and memory * GIB)
    assert np.array_equal(made, image.repeat(2, 0).repeat(2, 1))
    assert all(min(sides) >= LEAST and sides[0] % 4 == sides[1] % 4 == 0 for sides in seen.sizes)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 4, 32]),
    st.integers(0, 70),
)
def test_tiles_cover_an_axis(longer: int, side: int, multiple: int, reach: int) -> None:
    way = Way(lambda images: images, (1, 1), 1, multiple, reach)
    most = way.overlap + side * multiple
    length = multiple * (1 + longer * longer)
    found = spans(length, most, way)
    assert (found[0].first, found[-1].last, found[-1].stop) == (0, length, length)
    assert all(
        span.start % multiple == 0 and span.stop - span.start <= max(min(most, length), multiple) for span in found
    )
    assert [span.blends for span in found] == [False] + [True] * (len(found) - 1)
    for before, after in pairwise(found):
        assert after.first >= after.start + reach
        assert before.last <= before.stop - reach
        assert after.first + BLEND <= before.last, "where they blend, both are written"
    if length <= most:
        assert len(found) == 1


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 4, 64]), st.integers(0, 100))
def test_tiles_are_as_large_as_there_is_room(height: int, width: int, multiple: int, more: int) -> None:
    size = height * multiple, width * multiple
    least = min(size[0], 3 * multiple) * min(size[1], 3 * multiple)
    room = min(least + more * multiple, size[0] * size[1])
    sides = tile_sides(size, multiple, room)
    assert sides[0] * sides[1] <= room
    for side, length in zip(sides, size, strict=True):
        assert min(length, 3 * multiple) <= side <= length
        assert side % multiple == 0


# ---- memory


def test_tensors_are_counted_while_they_live() -> None:
    with Tensors() as tensors:
        first = torch.zeros(100)  # 400 bytes
        view = first[:50]
        second = torch.cat([view, view])  # 800 together
        del first, view
        third = second.double()  # 400 + 800
        del second, third
        torch.zeros(10)
    assert tensors.most == 1200


def test_the_cost_is_what_grows() -> None:
    """7 floats a pixel at most: 3 go in and 4 come out; a table of 1,000 doubles is there whatever the size."""

    def function(images: Tensor) -> Tensor:
        table = torch.zeros(1000, dtype=torch.float64)
        made = torch.cat([images, images[:, :1]], 1)
        del table
        return made

    cost = Way(function, (3, 4)).cost
    # uint8 and floats of what goes in, floats of what comes out and two copies on the way to uint8
    assert 3 + 12 + 16 <= cost.per_pixel <= 3 + 12 + 3 * 16 + 4
    assert cost.fixed <= 8000
    assert cost.area(cost.memory(1234)) == pytest.approx(1234)


def test_too_little_memory_says_how_much_would_do() -> None:
    way, image = Way(convolutions(), (3, 3), reach=100), noise(600, 600)
    with pytest.raises(ConfigError, match=r"--max-memory: this image needs 0\.\d+ GiB, got 0\.001") as found:
        mapped(way, image, 0.001 * GIB)
    needed = float(str(found.value).split("needs ")[1].split()[0])
    assert mapped(way, image, needed * GIB).shape == (600, 600, 3)
    with pytest.raises(ConfigError, match="--max-memory"):
        mapped(way, image, needed * GIB, held=0.02 * GIB)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says how much a process took")
def test_the_process_takes_no_more_than_it_may() -> None:
    """By what the system says of the process: 430 MiB would be the whole, tiles keep below 150."""
    code = """
import numpy as np, torch
from torch import nn
from gansmith.apps.tiles import Way, mapped
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(3, 64, 1), nn.InstanceNorm2d(64), nn.Conv2d(64, 3, 1))
way = Way(net, (3, 3), reach=1)
def taken(what):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(what)) / 1024
image = np.zeros((768, 768, 3), np.uint8)
way.cost
for memory in (150 * 2**20, None):
    before = taken("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    mapped(way, image, memory)
    print(taken("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tiled, whole = map(float, done.stdout.split())
    assert tiled < 150
    assert whole > 400


# ---- what goes wrong, and what is told


def test_nan_is_said_and_not_painted() -> None:
    way = Way(lambda images: images * float("nan"), (3, 3))
    with pytest.raises(GansmithError, match="makes NaN"):
        mapped(way, noise(20, 20))


def test_infinity_is_white() -> None:
    assert (mapped(Way(lambda images: images + float("inf"), (1, 1)), noise(20, 20, 1)) == 255).all()


def test_progress_adds_up() -> None:
    way, image, shares = Way(convolutions(), (3, 3), reach=4), noise(200, 150), []
    mapped(way, image, enough_for(way, 72, image), advance=shares.append)
    assert len(shares) > 3
    assert sum(shares) == pytest.approx(1)

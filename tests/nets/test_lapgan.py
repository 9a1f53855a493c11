"""The pyramid gives every image back, and the nets of a level fit at every size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets.lapgan import Generator, beside, composed, down, fitted, pyramid, up

every_channels = pytest.mark.parametrize("channels", [1, 3, 4])


@every_channels
@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("coarsest", [4, 8])
def test_the_pyramid_gives_the_image_back(resolution: int, channels: int, coarsest: int) -> None:
    torch.manual_seed(resolution)
    image = torch.rand(2, channels, resolution, resolution) * 2 - 1
    levels = pyramid(image, coarsest)
    sides = [level.shape[-1] for level in levels]
    assert sides == [coarsest * 2**i for i in range(len(sides))]
    assert sides[-1] == resolution
    torch.testing.assert_close(composed(levels), image, atol=1e-6, rtol=0)
    assert all(detail.abs().max() <= 2 for detail in levels[1:])


@given(st.integers(0, 2**32 - 1), st.sampled_from([16, 32]), st.sampled_from([1, 3, 4]))
def test_not_one_level_of_grey_is_lost(seed: int, resolution: int, channels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (1, channels, resolution, resolution), generator=generator, dtype=torch.uint8)
    back = composed(pyramid(pixels.float() / 127.5 - 1, 8))
    assert torch.equal(back.add(1).mul(127.5).round().to(torch.uint8), pixels)


def test_down_is_the_mean_of_blocks_and_up_keeps_a_plane() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    assert down(image, 4)[0, 0, 0, 0].item() == pytest.approx((0 + 1 + 8 + 9) / 4)
    assert torch.equal(down(image, 8), image)
    torch.testing.assert_close(down(down(image, 4), 2), down(image, 2))
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(up(down(image, 4))[inside], image[inside])


def test_a_constant_image_has_no_detail() -> None:
    levels = pyramid(torch.full((1, 3, 32, 32), 0.25), 8)
    assert all(detail.abs().max() < 1e-6 for detail in levels[1:])


@every_channels
@pytest.mark.parametrize("side", [8, 16, 32, 256])
@pytest.mark.parametrize("told", [0, 3])
@torch.no_grad()
def test_the_generator_of_a_level(side: int, channels: int, told: int) -> None:
    g = Generator(Spec(side, channels, side, side), 4, told=told)
    coarse = torch.randn(2, channels, side // 2, side // 2)
    z = torch.randn(2, (side // 2) ** 2 + told)
    detail = g(z, coarse)
    assert detail.shape == (2, channels, side, side)
    assert not torch.equal(g(torch.randn_like(z), coarse), detail), "noise matters"
    assert not torch.equal(g(z, torch.randn_like(coarse)), detail), "so does the image below"
    torch.testing.assert_close(down(up(coarse) + detail, side // 2), coarse, atol=1e-5, rtol=0)
    assert beside(detail, detail).shape == (2, 2 * channels, side, side)


def test_true_details_fit_already() -> None:
    coarse, detail = pyramid(torch.rand(2, 3, 16, 16), 8)
    torch.testing.assert_close(fitted(detail, coarse), detail, atol=1e-6, rtol=0)


def test_the_layers_of_a_levels_generator() -> None:
    # Denton 2015, app. A: three hidden layers of convolutions with batch norm and rectifiers, then the detail. Here at
    # half the side: four pixels as channels, one plane of noise, two of what is told.
    layers = list(Generator(Spec(16, 3, 16, 16), 5, told=2).layers)
    assert [type(layer) for layer in layers] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 3 + [nn.Conv2d, nn.PixelShuffle]
    shapes = [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Conv2d)]
    assert shapes == [(5, 4 * 3 + 1 + 2, 3, 3), (5, 5, 3, 3), (5, 5, 3, 3), (4 * 3, 5, 3, 3)]
    assert [layer.bias is None for layer in layers if isinstance(layer, nn.Conv2d)] == [True, True, True, False]


def test_weights_begin_as_dcgans_do() -> None:
    torch.manual_seed(0)
    for layer in Generator(Spec(16, 1, 16, 16), 64).layers:
        if isinstance(layer, nn.Conv2d):
            n = layer.weight.numel()
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)

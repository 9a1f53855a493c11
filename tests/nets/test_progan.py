"""Growing never jumps: where a level begins to fade in, and where it has, both nets say what they said before."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from gansmith.core.clock import Plan
from gansmith.core.spec import Spec
from gansmith.nets.blocks import EqualConv2d, MinibatchStddev, PixelNorm, pixel_norm, widths_by_level
from gansmith.nets.progan import Discriminator, Generator, enlarge, real_at, shrink
from gansmith.recipes.progan import grown, shares_of

SPEC = Spec(32, 3, 32, 32)
TINY = 1e-6
every_boundary = pytest.mark.parametrize("level", [0, 1, 2])
assert_close = partial(torch.testing.assert_close, atol=2e-5, rtol=1e-4)


@pytest.fixture
def g() -> Generator:
    torch.manual_seed(0)
    return Generator(SPEC, 6, 4)


@pytest.fixture
def d() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(SPEC, 4)


def test_the_first_layers_scale() -> None:
    """Of a unit-variance latent it makes maps of standard deviation √2 / 4, as a dense layer of Karras's gain does."""
    torch.manual_seed(0)
    g = Generator(SPEC, 256, 64)
    with torch.no_grad():
        maps = g.seed(pixel_norm(torch.randn(64, 256))[:, :, None, None])
    assert maps.shape == (64, 512, 4, 4)
    assert maps.std().item() == pytest.approx(2**0.5 / 4, rel=0.02)


@pytest.mark.parametrize("stddev", [True, False])
def test_what_d_is_told_of_the_batch(stddev: bool) -> None:
    d, x = Discriminator(SPEC, 4, stddev), torch.randn(8, 3, 32, 32)
    alone = torch.cat([d(image[None], 3) for image in x])
    assert torch.allclose(d(x, 3), alone, atol=1e-5) != stddev


@every_boundary
@torch.no_grad()
def test_g_is_continuous(g: Generator, level: int) -> None:
    z = torch.randn(4, 6)
    assert_close(g(z, level + TINY), enlarge(g(z, level)))
    assert_close(g(z, level + 1 - TINY), g(z, level + 1))
    halfway = (enlarge(g(z, level)) + g(z, level + 1)) / 2
    assert_close(g(z, level + 0.5), halfway)


@every_boundary
@torch.no_grad()
def test_d_is_continuous(d: Discriminator, level: int) -> None:
    coarse = torch.randn(4, 3, 4 * 2**level, 4 * 2**level)
    fine = torch.randn(4, 3, 8 * 2**level, 8 * 2**level)
    assert_close(d(enlarge(coarse), level + TINY), d(coarse, level))
    assert_close(d(fine, level + TINY), d(shrink(fine), level))
    assert_close(d(fine, level + 1 - TINY), d(fine, level + 1))


@every_boundary
def test_real_images_fade_as_fakes_do(level: int) -> None:
    image = torch.randn(2, 3, 32, 32)
    assert_close(real_at(image, level + TINY), enlarge(real_at(image, level)))
    assert_close(real_at(image, level + 1 - TINY), real_at(image, level + 1))
    assert_close(real_at(image, level + 0.25), 0.75 * enlarge(real_at(image, level)) + 0.25 * real_at(image, level + 1))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_real_images_are_means_of_blocks(level: int) -> None:
    image = torch.randn(2, 3, 32, 32)
    side = 4 * 2**level
    blocks = image.numpy().reshape(2, 3, side, 32 // side, side, 32 // side)
    np.testing.assert_allclose(real_at(image, level).numpy(), blocks.mean((3, 5)), atol=1e-6)


def test_a_level_that_has_not_begun_gets_no_gradient(g: Generator) -> None:
    g(torch.randn(2, 6), 1.5).sum().backward()
    reached = {name for name, p in g.named_parameters() if p.grad is not None}
    assert {"blocks.0.0.weight", "blocks.1.0.weight", "to_image.1.weight", "to_image.2.weight"} <= reached
    assert not any(name.startswith(("blocks.2", "to_image.0", "to_image.3")) for name in reached)


def test_growth_by_hand() -> None:
    # Stages of 100, 200 and 1500 images from 8x8 (level 1): each but the first fades in over 100 images.
    shares = shares_of(3)
    plan = Plan.of(1800, shares)
    moments = (0, 99, 100, 125, 150, 200, 299, 300, 325, 400, 1800)
    at = {images: grown(plan.at(0, images), first=1, shares=shares) for images in moments}
    by_hand = (1, 1, 1.001, 1.25, 1.5, 2, 2, 2.001, 2.25, 3, 3)
    assert at == pytest.approx(dict(zip(moments, by_hand, strict=True)))


def test_stages_are_as_long_as_the_papers() -> None:
    # 600, 1200, 1200, 9000 thousand images at 4, 8, 16, 32 pixels; one stage is the whole run.
    assert [600 * share for share in shares_of(4)] == [600, 1200, 1200, 9000]
    assert [len(shares_of(n)) for n in (1, 2, 3)] == [1, 2, 3]


def test_channels_by_hand() -> None:
    assert widths_by_level(128, 16) == [128, 128, 128, 64, 32, 16]


# ---- the paper's table 2


def convolutions(net: nn.Module) -> list[tuple[int, int, int]]:
    """(inputs, outputs, kernel) of every convolution, in order."""
    found = [m.weight.shape for m in net.modules() if isinstance(m, EqualConv2d)]
    return [(inputs, outputs, kernel) for outputs, inputs, kernel, _ in found]


def test_gs_layers(g: Generator) -> None:
    # 4x4 from the latent, then two 3x3 convolutions a size; 32, 16, 8, 4 channels; 1x1 to the image at every size.
    assert convolutions(g) == [
        *((6, 32, 4), (32, 32, 3)),
        *((32, 16, 3), (16, 16, 3), (16, 8, 3), (8, 8, 3), (8, 4, 3), (4, 4, 3)),
        *((32, 3, 1), (16, 3, 1), (8, 3, 1), (4, 3, 1)),
    ]
    for block in (g.first, *g.blocks):
        kinds = [type(layer) for layer in block]
        assert kinds == [EqualConv2d, nn.LeakyReLU, PixelNorm] * (len(kinds) // 3)
    assert all(layer.negative_slope == 0.2 for layer in g.modules() if isinstance(layer, nn.LeakyReLU))


def test_ds_layers(d: Discriminator) -> None:
    # The mirror of G, without norms; at 4x4 the channel of the minibatch's standard deviation, 3x3, 4x4, the logit.
    assert convolutions(d) == [
        *((3, 32, 1), (3, 16, 1), (3, 8, 1), (3, 4, 1)),
        *((16, 16, 3), (16, 32, 3), (8, 8, 3), (8, 16, 3), (4, 4, 3), (4, 8, 3)),
        *((33, 32, 3), (32, 32, 4), (32, 1, 1)),
    ]
    assert not any(isinstance(m, PixelNorm) or "Norm" in type(m).__name__ for m in d.modules())
    assert [type(layer) for layer in d.last][:2] == [MinibatchStddev, EqualConv2d]


def test_parameters_are_weights_and_a_bias_a_channel(g: Generator, d: Discriminator) -> None:
    for net in (g, d):
        by_hand = sum(inputs * outputs * kernel**2 + outputs for inputs, outputs, kernel in convolutions(net))
        assert sum(p.numel() for p in net.parameters()) == by_hand


def test_weights_begin_as_unit_gaussians_and_biases_at_nought() -> None:
    torch.manual_seed(0)
    for module in Generator(SPEC, 64, 8).modules():
        if isinstance(module, EqualConv2d):
            n = module.weight.numel()
            assert module.weight.std().item() == pytest.approx(1, rel=5 / (2 * n) ** 0.5)
            assert not module.bias.any()


@torch.no_grad()
def test_gs_output_is_linear(g: Generator) -> None:
    for layer in g.to_image:
        layer.weight *= 100
    assert g(torch.randn(8, 6), 3.0).abs().max() > 1, "not squashed (sec. A.1)"

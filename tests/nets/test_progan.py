"""Growing never jumps: where a level begins to fade in, and where it has, both nets say what they said before."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gansmith.core.clock import Plan
from gansmith.core.spec import Spec
from gansmith.nets.progan import Discriminator, Generator, channels_at, enlarge, real_at, shrink
from gansmith.recipes.progan import grown

SPEC = Spec(32, 3, 32, 32)
TINY = 1e-6
every_boundary = pytest.mark.parametrize("level", [0, 1, 2])


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.fixture
def g() -> Generator:
    torch.manual_seed(0)
    return Generator(SPEC, 6, 4)


@pytest.fixture
def d() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(SPEC, 4)


@every_boundary
@torch.no_grad()
def test_g_is_continuous(g: Generator, level: int) -> None:
    z = torch.randn(4, 6)
    close(g(z, level + TINY), enlarge(g(z, level)))
    close(g(z, level + 1 - TINY), g(z, level + 1))
    halfway = (enlarge(g(z, level)) + g(z, level + 1)) / 2
    close(g(z, level + 0.5), halfway)


@every_boundary
@torch.no_grad()
def test_d_is_continuous(d: Discriminator, level: int) -> None:
    coarse = torch.randn(4, 3, 4 * 2**level, 4 * 2**level)
    fine = torch.randn(4, 3, 8 * 2**level, 8 * 2**level)
    close(d(enlarge(coarse), level + TINY), d(coarse, level))
    close(d(fine, level + TINY), d(shrink(fine), level))
    close(d(fine, level + 1 - TINY), d(fine, level + 1))


@every_boundary
def test_real_images_fade_as_fakes_do(level: int) -> None:
    image = torch.randn(2, 3, 32, 32)
    close(real_at(image, level + TINY), enlarge(real_at(image, level)))
    close(real_at(image, level + 1 - TINY), real_at(image, level + 1))
    close(real_at(image, level + 0.25), 0.75 * enlarge(real_at(image, level)) + 0.25 * real_at(image, level + 1))


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
    # Three stages of 100 images from 8x8 (level 1): the first is whole, the others fade in over their first half.
    plan = Plan.of(300, [1, 1, 1])
    at = {images: grown(plan.at(0, images), first=1) for images in (0, 99, 100, 125, 150, 199, 225, 250, 300)}
    assert at == pytest.approx({0: 1, 99: 1, 100: 1.001, 125: 1.5, 150: 2, 199: 2, 225: 2.5, 250: 3, 300: 3})


def test_channels_by_hand() -> None:
    assert [channels_at(level, 16, 5) for level in range(6)] == [128, 128, 128, 64, 32, 16]

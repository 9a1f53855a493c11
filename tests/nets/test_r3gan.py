"""The architecture's rules (Huang 2024, sec. 3 and app. D), read off the nets that are built."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import widths_by_level
from gansmith.nets.r3gan import Block, Discriminator, Down, Generator, Up, conv

LATENT = 5


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def spec_of(side: int, channels: int = 3) -> Spec:
    return Spec(side, channels, side, side)


def nets(side: int = 32, width: int = 8, blocks: int = 2, channels: int = 3) -> dict[str, nn.Module]:
    spec = spec_of(side, channels)
    return {"G": Generator(spec, LATENT, width, blocks), "D": Discriminator(spec, width, blocks)}


both = pytest.mark.parametrize("which", ["G", "D"])


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shapes(side: int, channels: int) -> None:
    made = nets(side, 2, 1, channels)
    images = made["G"](torch.randn(3, LATENT))
    assert images.shape == (3, channels, side, side)
    assert made["D"](images).shape == (3,)
    assert made["D"].features(images).shape == (3, made["D"].width)
    torch.testing.assert_close(made["D"].head(made["D"].features(images)), made["D"](images))


def parameters_by_hand(which: str, side: int, width: int, blocks: int, channels: int) -> int:
    """Of every resolution its blocks (c·2c + 2c·9·g + 2c·c, two biases of 2c), and what stands between them."""
    levels = int(math.log2(side)) - 2
    widths = [width * min(2 ** (levels - level), 8) for level in range(levels + 1)]
    total = 0
    for c in widths:
        group = min(16, 2 * c)
        total += blocks * (2 * c * c + 2 * c * 9 * group + 2 * c * c + 4 * c)
    total += sum(a * b for a, b in pairwise(widths) if a != b)
    total += channels * width
    total += widths[0] * 16  # the basis
    return total + widths[0] * (LATENT if which == "G" else 1)


@both
@pytest.mark.parametrize(("side", "width", "blocks"), [(16, 8, 1), (32, 8, 2), (64, 16, 1)])
def test_parameters(which: str, side: int, width: int, blocks: int) -> None:
    net = nets(side, width, blocks)[which]
    assert sum(p.numel() for p in net.parameters()) == parameters_by_hand(which, side, width, blocks, 3)


def test_layers_in_order() -> None:
    g, d = nets(32, 8, 2).values()
    assert [type(layer) for layer in g.layers] == [Block, Block, *[Up, Block, Block] * 3, nn.Conv2d]
    assert [type(layer) for layer in d.layers] == [nn.Conv2d, Block, Block, *[Down, Block, Block] * 3]
    inside = [nn.Conv2d, nn.LeakyReLU, nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    assert [type(layer) for layer in g.layers[0].layers] == inside
    assert [layer.kernel_size for layer in g.layers[0].layers[::2]] == [(1, 1), (3, 3), (1, 1)]
    assert widths_by_level(32, 8) == [64, 32, 16, 8]
    assert widths_by_level(128, 8) == [64, 64, 64, 32, 16, 8]


@both
def test_no_normalisation_and_a_bias_before_every_activation_alone(which: str) -> None:
    kinds = {type(m).__name__ for m in nets()[which].modules()}
    assert kinds <= {which, "Generator", "Discriminator", "Sequential", "Conv2d", "Linear", "Identity"} | {
        "Block",
        "LeakyReLU",
        "Up",
        "Down",
    }
    modules = list(nets()[which].modules())
    biased = {m for m in modules if getattr(m, "bias", None) is not None}
    assert biased == {m.layers[i] for m in modules if isinstance(m, Block) for i in (0, 2)}
    assert not any(m.bias.any() for m in biased), "0 at first"


@both
def test_every_block_is_the_identity_at_first_and_learns(which: str) -> None:
    for block in nets()[which].modules():
        if isinstance(block, Block):
            x = torch.randn(2, block.layers[0].in_channels, 4, 4)
            assert torch.equal(block(x), x)
            block(x).square().sum().backward()
            assert block.layers[-1].weight.grad.any()


def test_groups_of_sixteen_channels() -> None:
    for channels in (8, 16, 64):
        middle = Block(channels, 4).layers[2]
        assert middle.in_channels // middle.groups == 16
        assert middle.in_channels == 2 * channels
    assert Block(2, 4).layers[2].groups == 1


@pytest.mark.parametrize("channels", range(1, 50))
def test_any_width_can_be_built(channels: int) -> None:
    middle = Block(channels, 1).layers[2]
    assert middle.in_channels / middle.groups >= min(16, 2 * channels)


def test_initial_variances() -> None:
    # He's gain of a leaky ReLU; L^(-1/4) for L blocks of three layers (fix-up).
    depth = 6
    gain = math.sqrt(2 / (1 + 0.2**2)) * depth ** (-1 / (2 * 3 - 2))
    first, _, middle, _, last = Block(128, depth).layers
    assert first.weight.std().item() == pytest.approx(gain / math.sqrt(128), rel=0.03)
    assert middle.weight.std().item() == pytest.approx(gain / math.sqrt(16 * 9), rel=0.03)
    assert not last.weight.any()
    assert conv(64, 512, 1, 1.0).weight.std().item() == pytest.approx(1 / 8, rel=0.03)
    d = Discriminator(spec_of(16), 64, 1)
    assert d.basis.weight.std().item() == pytest.approx(1 / 4, rel=0.05)
    assert d.last.weight.std().item() == pytest.approx(1 / 16, rel=0.15)
    blocks = [m for m in nets(32, 8, 2)["G"].modules() if isinstance(m, Block)]
    assert len(blocks) == 8
    expected = math.sqrt(2 / (1 + 0.2**2)) * 8 ** (-1 / 4) / math.sqrt(64)
    assert blocks[0].layers[0].weight.std().item() == pytest.approx(expected, rel=0.05)


def test_a_fresh_pair_neither_shouts_nor_whispers() -> None:
    g, d = nets(32, 16, 1).values()
    images = g(torch.randn(256, LATENT))
    assert 0.1 < images.std() < 3
    assert 0.1 < d(torch.randn(256, 3, 32, 32)).std() < 3

"""Nets that enlarge: what they start as, what they are made of, and how far they see."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.superres import RRDB, Dense, Discriminator, Enlarger, Residual, RRDBNet, SRResNet, init_he, upsampled

BODIES: dict[str, Callable[[int, int, int, int], Enlarger]] = {"srresnet": SRResNet, "rrdb": RRDBNet}
every_body = pytest.mark.parametrize("body", BODIES)
every_scale = pytest.mark.parametrize("scale", [1, 2, 3, 4])
every_channels = pytest.mark.parametrize("channels", [1, 3, 4])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def cubic(values: list[float], at: float) -> float:
    """Keys' interpolation (1981) with a = -0.75, borders repeated."""
    a, total = -0.75, 0.0
    for i in range(math.floor(at) - 1, math.floor(at) + 3):
        t = abs(at - i)
        near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
        total += (near if t <= 1 else far) * values[min(max(i, 0), len(values) - 1)]
    return max(-1.0, min(1.0, total))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_upsampled_is_bicubic_between_pixels_centres(scale: int) -> None:
    values = [0.1, 0.9, -0.3, 0.2, -1.0, 1.0, 0.5, 0.5]
    rows = torch.tensor(values).expand(1, 1, 8, 8)
    expected = [cubic(values, (i + 0.5) / scale - 0.5) for i in range(8 * scale)]
    made = upsampled(rows, scale)
    torch.testing.assert_close(made, torch.tensor(expected).expand(1, 1, 8 * scale, -1), atol=1e-5, rtol=0)
    assert made.abs().max() <= 1
    assert upsampled(rows.bfloat16(), scale).dtype == torch.float32


@every_body
@every_scale
@every_channels
@torch.no_grad()
def test_a_new_net_interpolates(body: str, scale: int, channels: int) -> None:
    image = torch.rand(2, channels, 16, 12) * 2 - 1
    made = BODIES[body](channels, 8, 1, scale)(image)
    assert made.shape == (2, channels, 16 * scale, 12 * scale)
    assert torch.equal(made, image if scale == 1 else upsampled(image, scale))


@every_body
@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@torch.no_grad()
def test_every_size(body: str, resolution: int) -> None:
    for scale in (1, 2, 3, 4):
        side = resolution // scale
        assert BODIES[body](3, 2, 1, scale)(torch.rand(1, 3, side, side)).shape[-1] == side * scale


@every_body
@every_scale
def test_bf16_channels_last_and_meta(body: str, scale: int) -> None:
    net = BODIES[body](3, 8, 1, scale).to(memory_format=torch.channels_last)
    nn.init.normal_(net.last.weight, 0.0, 0.02)
    image = torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        made = net(image)
    assert made.dtype == torch.float32, "what is added is small: the image keeps its digits"
    made.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters()), "every weight learns"
    with torch.device("meta"):
        assert BODIES[body](3, 8, 1, scale)(torch.empty(2, 3, 16, 16)).shape == made.shape


@every_body
def test_every_weight_learns_after_the_first_step(body: str) -> None:
    net = BODIES[body](1, 4, 1, 2)
    small, large = torch.rand(2, 1, 8, 8), torch.rand(2, 1, 16, 16)
    descent = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        descent.zero_grad()
        F.mse_loss(net(small), large).backward()
        descent.step()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_one_shuffle_places_the_pixels() -> None:
    net, image = SRResNet(2, 4, 1, 3), torch.rand(1, 2, 5, 5)
    with torch.no_grad():
        net.last.bias.copy_(torch.arange(18.0))
        added = net(image) - upsampled(image, 3)
    # The c-th channel's pixel at row a, column b of each block of 3x3 is the map 9 c + 3 a + b (Shi 2016, eq. 4).
    for c, row, column in ((0, 0, 0), (0, 4, 8), (1, 2, 3), (1, 14, 14)):
        expected = 9 * c + 3 * (row % 3) + column % 3
        assert added[0, c, row, column].item() == pytest.approx(expected, abs=1e-5)


def test_where_nothing_is_enlarged_the_body_works_at_half_the_size() -> None:
    sides = {}
    for scale in (1, 2):
        net = SRResNet(3, 4, 1, scale)
        net.body.register_forward_hook(lambda _m, _i, output, scale=scale: sides.update({scale: output.shape[-1]}))
        net(torch.rand(1, 3, 16, 16))
        assert net.multiple == {1: 2, 2: 1}[scale]
    assert sides == {1: 8, 2: 16}


def conv_parameters(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs


@pytest.mark.parametrize(("width", "blocks", "scale"), [(64, 16, 4), (8, 2, 1)])
def test_parameters_of_the_srresnet(width: int, blocks: int, scale: int) -> None:
    pixels = 4 if scale == 1 else 1
    total = conv_parameters(3 * pixels, width) + 1  # and the slope of a PReLU
    total += blocks * (2 * conv_parameters(width, width) + 1)
    total += conv_parameters(width, width) + conv_parameters(width, 3 * pixels * scale**2)
    assert sum(p.numel() for p in SRResNet(3, width, blocks, scale).parameters()) == total


@pytest.mark.parametrize(("width", "blocks", "scale"), [(64, 2, 4), (8, 1, 1)])
def test_parameters_of_the_rrdbnet(width: int, blocks: int, scale: int) -> None:
    pixels, growth = 4 if scale == 1 else 1, width // 2
    dense = sum(conv_parameters(width + i * growth, growth) for i in range(4)) + conv_parameters(3 * width, width)
    total = conv_parameters(3 * pixels, width) + 1 + blocks * 3 * dense
    total += conv_parameters(width, width) + conv_parameters(width, 3 * pixels * scale**2)
    assert sum(p.numel() for p in RRDBNet(3, width, blocks, scale).parameters()) == total


def test_a_dense_block_by_hand() -> None:
    block, x = Dense(4), torch.randn(2, 4, 6, 6)
    maps = [x]
    for layer in block.grow:
        maps.append(F.leaky_relu(F.conv2d(torch.cat(maps, 1), layer.weight, layer.bias, padding=1), 0.2))
    out = F.conv2d(torch.cat(maps, 1), block.last.weight, block.last.bias, padding=1)
    torch.testing.assert_close(block(x), x + 0.2 * out)
    whole = RRDB(4)
    torch.testing.assert_close(whole(x), x + 0.2 * whole.layers[2](whole.layers[1](whole.layers[0](x))))
    assert Dense(1)(torch.randn(1, 1, 4, 4)).shape == (1, 1, 4, 4)


@every_body
def test_no_norms(body: str) -> None:
    kinds = {type(m).__name__ for m in BODIES[body](3, 4, 2, 2).modules()}
    assert not any("Norm" in kind for kind in kinds)


@every_body
def test_initial_weights(body: str) -> None:
    net = BODIES[body](3, 32, 1, 2)
    he = math.sqrt(2 / 1.04)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in, n = layer.in_channels * 9, layer.weight.numel()
            std = {net.head[1]: he, net.last: 0.0}.get(layer, 0.1 * he) / math.sqrt(fan_in)
            assert layer.weight.std().item() == pytest.approx(std, rel=5 / (2 * n) ** 0.5)
            assert layer.bias is not None
            assert not layer.bias.any()
    linear = init_he(nn.Linear(400, 50), 2.0)
    assert linear.weight.std().item() == pytest.approx(2 * he / 20, rel=0.03)


def seen_by(net: nn.Module, side: int, row: int) -> Tensor:
    """Rows and columns of the input that the output at `row`, `row` depends on."""
    net.double()
    for p in net.parameters():
        nn.init.constant_(p, 1e-2)
    image = torch.rand(1, 1, side, side, dtype=torch.double, requires_grad=True)
    net(image)[0, :, row, row].sum().backward()
    assert image.grad is not None
    return image.grad[0, 0].nonzero()


@every_body
@every_scale
def test_reach(body: str, scale: int) -> None:
    blocks = {"srresnet": 2, "rrdb": 1}[body]
    radius = 3 + {"srresnet": 2, "rrdb": 15}[body] * blocks
    net = BODIES[body](1, 2, blocks, scale)
    assert net.reach == (2 * radius + 1 if scale == 1 else radius)
    pixel = radius * 2 + 2  # far from the border, at both places of a pair
    distances = [
        (seen_by(net, 4 * radius + 8, row) - row // scale).abs().max().item()
        for row in range(pixel * scale, (pixel + 2) * scale)
    ]
    assert max(distances) == net.reach


def test_the_layers_of_the_discriminator() -> None:
    # Ledig 2017, fig. 4: n64s1, n64s2, n128s1, n128s2, n256s1, n256s2, n512s1, n512s2, dense 1024, dense 1.
    layers = list(Discriminator(3, 64).layers)
    convs = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [m.stride[0] for m in convs] == [1, 2] * 4
    assert {m.kernel_size for m in convs} == {(3, 3)}
    assert [m.out_features for m in layers if isinstance(m, nn.Linear)] == [1024, 1]
    assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert [type(m) for m in layers[:5]] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in layers) == 7
    assert [m.bias is None for m in convs] == [False] + [True] * 7
    bare = Discriminator(3, 4, "none")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in bare.modules())
    assert all(m.bias is not None for m in bare.modules() if isinstance(m, nn.Conv2d))


@every_channels
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_discriminator_at_every_size(norm: str, channels: int) -> None:
    d = Discriminator(channels, 2, norm).to(memory_format=torch.channels_last)
    assert d.width == 32
    for side in (16, 32, 63, 64, 128, 256):
        image = torch.randn(2, channels, side, side).contiguous(memory_format=torch.channels_last)
        assert d(image).shape == (2,)
    with torch.autocast("cpu", torch.bfloat16):
        d(image).float().square().sum().backward()
    d.eval()
    assert d.features(image).shape == (2, 32)
    torch.testing.assert_close(d.head(d.features(image)), d(image))
    with torch.device("meta"):
        assert Discriminator(channels, 2, norm)(torch.empty(2, channels, 16, 16)).shape == (2,)


def test_a_new_discriminator_neither_shouts_nor_whispers() -> None:
    for norm in ("batch", "none"):
        assert 0.01 < Discriminator(3, 16, norm)(torch.randn(64, 3, 32, 32)).std() < 3


def test_residual_blocks_add() -> None:
    block, x = Residual(4), torch.randn(2, 4, 5, 5)
    first, act, second = block.layers
    assert act.weight.tolist() == [0.25]
    inner = F.conv2d(x, first.weight, first.bias, padding=1)
    inner = torch.where(inner > 0, inner, 0.25 * inner)
    torch.testing.assert_close(block(x), x + F.conv2d(inner, second.weight, second.bias, padding=1))


def test_the_long_skip_leads_past_all_blocks() -> None:
    net, image = SRResNet(3, 4, 2, 2), torch.rand(1, 3, 8, 8)
    nn.init.zeros_(net.body[-1].weight)
    nn.init.normal_(net.last.weight)
    expected = F.pixel_shuffle(net.last(net.head(image)), 2)
    torch.testing.assert_close(net(image), upsampled(image, 2) + expected)

"""Each part against arithmetic done another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp, progan, r3gan
from gansmith.nets.blocks import (
    EqualConv2d,
    Maxout,
    MinibatchDiscrimination,
    MinibatchStddev,
    PixelNorm,
    Reshaped,
    Upfront,
    images_at_once,
    levels,
    pack,
    spectrally_normed,
    unpack,
    within_range,
)
from gansmith.nets.conditional import ClassBatchNorm2d, ProjectionDiscriminator


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_levels() -> None:
    assert [levels(side) for side in (4, 8, 16, 256, 1024)] == [0, 1, 2, 6, 8]


@pytest.mark.parametrize(
    ("pixel", "gradient", "left"),
    [
        (0.5, 2.0, 2.0),
        (0.5, -2.0, -2.0),
        (1.0, -2.0, -2.0),
        (1.5, 2.0, 2.0),  # descent leads back
        (1.5, -2.0, 0.0),  # and further out
        (-1.5, -2.0, -2.0),
        (-1.5, 2.0, 0.0),
    ],
)
def test_within_range_stops_only_what_leads_out(pixel: float, gradient: float, left: float) -> None:
    x = torch.tensor([pixel], requires_grad=True)
    y = within_range(x)
    assert y.item() == max(-1.0, min(1.0, pixel))
    (gradient * y).backward()
    assert x.grad is not None
    assert x.grad.item() == left


def test_within_range_brings_back_what_is_far_out() -> None:
    x = torch.tensor([30.0, -30.0], requires_grad=True)
    target = torch.tensor([0.25, 1.0])
    descent = torch.optim.SGD([x], 0.5)
    for _ in range(200):
        descent.zero_grad()
        (within_range(x) - target).square().sum().backward()
        descent.step()
    assert torch.allclose(within_range(x), target, atol=1e-3)


def test_black_is_exactly_black() -> None:
    g = r3gan.Generator(Spec(16, 3, 16, 16), 8, 8, 1)
    with torch.no_grad():
        g.layers[-1].weight *= 100
        images = g(torch.randn(16, 8))
    assert images.abs().max() == 1
    assert (images == -1).any()
    assert (images == 1).any()


@torch.no_grad()
def test_maxout_against_a_loop() -> None:
    layer, x = Maxout(7, 3, 5), torch.randn(4, 7)
    weight, bias = layer.linear.weight, layer.linear.bias
    expected = torch.empty(4, 3)
    for n in range(4):
        for unit in range(3):
            pieces = [weight[5 * unit + k] @ x[n] + bias[5 * unit + k] for k in range(5)]
            expected[n, unit] = max(pieces)
    torch.testing.assert_close(layer(x), expected)


def test_pixel_norm() -> None:
    x = torch.randn(2, 5, 3, 4) * 10
    y = PixelNorm()(x)
    torch.testing.assert_close(y.square().mean(1), torch.ones(2, 3, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(y * x.square().mean(1, keepdim=True).sqrt(), x, atol=1e-4, rtol=1e-4)
    assert torch.isfinite(PixelNorm()(torch.zeros(1, 3))).all()


@pytest.mark.parametrize(("n", "group"), [(8, 4), (4, 4), (2, 2), (6, 3), (7, 1), (9, 3)])
def test_minibatch_stddev_against_numpy(n: int, group: int) -> None:
    x = torch.randn(n, 3, 2, 5)
    y = MinibatchStddev(group=4)(x)
    assert torch.equal(y[:, :3], x)
    groups = x.numpy().reshape(n // group, group, 3, 2, 5)
    spread = np.sqrt(groups.astype(np.float64).var(1) + 1e-8).mean((1, 2, 3))
    for i in range(n):
        np.testing.assert_allclose(y[i, 3].numpy(), spread[i // group], rtol=1e-5)


def test_minibatch_stddev_tells_a_collapsed_batch() -> None:
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert MinibatchStddev()(same)[:, 3].max() < 1e-3
    assert MinibatchStddev()(torch.randn(8, 3, 4, 4))[:, 3].min() > 0.3


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(1, 2, 1), nn.LeakyReLU()], 1),
        ([nn.GroupNorm(1, 2), nn.InstanceNorm2d(2)], 1),
        ([nn.Conv2d(1, 2, 1), MinibatchStddev(4)], 4),
        ([MinibatchStddev(4), MinibatchStddev(6)], 12),
        ([nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)], None),
        ([ClassBatchNorm2d(2, 3)], None),
        ([MinibatchStddev(4), MinibatchDiscrimination(4)], None),
    ],
)
def test_how_many_images_a_net_looks_at_together(layers: list[nn.Module], expected: int | None) -> None:
    assert images_at_once(nn.Sequential(*layers)) == expected


@pytest.mark.parametrize("inputs", [4, 64, 256])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
@torch.no_grad()
def test_equalised_learning_rate(inputs: int, kernel: int, gain: float) -> None:
    layer = EqualConv2d(inputs, 512, kernel, gain=gain)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.1), "stored weights are N(0, 1), whatever the fan-in"
    y = layer(torch.randn(512, inputs, kernel, kernel))
    # An output's variance is gain² times the mean square of its weights, over 512 outputs and 512 inputs.
    assert y.var().item() == pytest.approx(gain**2, rel=0.15)


def test_a_step_moves_equalised_weights_alike_whatever_the_fan_in() -> None:
    # Adam's first step is ±lr on the stored weight, so lr * scale on the one in use: relative to its size always lr.
    for inputs in (4, 256):
        layer = EqualConv2d(inputs, 8, 3, padding=1)
        before = layer.weight.detach().clone()
        optim = torch.optim.Adam(layer.parameters(), 0.01)
        layer(torch.randn(2, inputs, 8, 8)).square().sum().backward()
        optim.step()
        torch.testing.assert_close((layer.weight - before).abs(), torch.full_like(before, 0.01), rtol=0.02, atol=0)


def test_the_perceptrons_discriminator() -> None:
    d = mlp.Discriminator(Spec(16, 1, 16, 16), 4, dropout=0.5)
    assert [type(layer) for layer in d.layers] == [nn.Flatten, Maxout, nn.Dropout, Maxout, nn.Dropout, nn.Linear]
    images = torch.randn(8, 1, 16, 16)
    assert not torch.equal(d(images), d(images)), "dropout acts in training"
    d.eval()
    assert torch.equal(d(images), d(images))


# ---- of the whole batch


@pytest.mark.parametrize("n", [1, 2, 5])
@torch.no_grad()
def test_minibatch_discrimination_against_a_loop(n: int) -> None:
    layer, x = MinibatchDiscrimination(6, kernels=3, size=2), torch.randn(n, 6)
    assert layer.kernels == 3
    expected = torch.zeros(n, 3)
    for b in range(3):
        rows = [layer.map.weight[2 * b : 2 * b + 2] @ x[i] for i in range(n)]
        for i in range(n):
            expected[i, b] = sum(math.exp(-(rows[i] - rows[j]).abs().sum()) for j in range(n) if j != i)
    y = layer(x)
    assert torch.equal(y[:, :6], x)
    torch.testing.assert_close(y[:, 6:], expected, atol=1e-5, rtol=1e-4)


def test_minibatch_discrimination_tells_a_collapsed_batch() -> None:
    layer = MinibatchDiscrimination(64)
    same = layer(torch.randn(1, 64).expand(8, -1))[:, 64:]
    torch.testing.assert_close(same, torch.full_like(same, 7.0))
    assert layer(torch.randn(8, 64))[:, 64:].mean() < 2


def discriminators() -> dict[str, tuple[nn.Module, tuple[float, ...]]]:
    spec = Spec(16, 3, 16, 16)
    return {
        "dcgan": (dcgan.Discriminator(spec, 4, "none"), ()),
        "mlp": (mlp.Discriminator(spec, 8), ()),
        "progan": (progan.Discriminator(spec, 4), (1.5,)),
        "r3gan": (r3gan.Discriminator(spec, 4, 1), ()),
    }


@pytest.mark.parametrize("name", ["dcgan", "mlp", "progan", "r3gan"])
@pytest.mark.parametrize("kind", ["stddev", "discrimination"])
def test_any_discriminator_can_be_told_of_the_batch(name: str, kind: str) -> None:
    net, rest = discriminators()[name]
    layer, added = {
        "stddev": (Reshaped(MinibatchStddev()), 1),
        "discrimination": (MinibatchDiscrimination(net.width), 16),
    }[kind]
    told = Upfront(net, layer, added)
    images = torch.randn(4, 3, 16, 16)
    assert told(images, *rest).shape == (4,)
    assert told.features(images, *rest).shape == (4, told.width)
    assert told.width == net.width + added
    torch.testing.assert_close(told.head(told.features(images, *rest)), told(images, *rest))
    torch.testing.assert_close(told.features(images, *rest)[:, : net.width], net.features(images, *rest))
    told(images, *rest).sum().backward()
    assert all(p.grad is not None for p in told.last.parameters())
    assert told.last.weight.grad[0, net.width :].any(), "what it is told counts"


# ---- packs


def test_a_pack_holds_neighbouring_images_channel_behind_channel() -> None:
    images = torch.randn(6, 3, 4, 4)
    packed = pack(images, 2)
    assert packed.shape == (3, 6, 4, 4)
    for i in range(3):
        assert torch.equal(packed[i], torch.cat([images[2 * i], images[2 * i + 1]]))
    assert torch.equal(unpack(packed, 2), images)
    assert pack(images, 1) is images
    assert unpack(images, 1) is images
    assert packed.is_contiguous(memory_format=torch.channels_last)


# ---- spectral norm


def largest(module: nn.Module) -> float:
    """The largest singular value of a layer's weight in use."""
    weight = module.weight * getattr(module, "scale", 1.0)
    return torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item()


@pytest.mark.parametrize("name", ["dcgan", "mlp", "progan", "r3gan"])
def test_spectral_norm_makes_the_largest_singular_value_one(name: str) -> None:
    net, rest = discriminators()[name]
    d = spectrally_normed(ProjectionDiscriminator(Upfront(net, Reshaped(MinibatchStddev()), 1), 3, net.width + 1))
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    for _ in range(30):
        assert torch.isfinite(d(images, labels, *rest)).all()
    layers = [m for m in d.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding | EqualConv2d)]
    assert len(layers) >= 3
    d.eval()
    for layer in layers:
        assert largest(layer) == pytest.approx(1, abs=0.05), layer


def test_spectral_norm_leaves_a_gradient_and_works_without_memory() -> None:
    net, _ = discriminators()["dcgan"]
    spectrally_normed(net)(torch.randn(2, 3, 16, 16)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    with torch.device("meta"):
        for net, _ in discriminators().values():
            spectrally_normed(net)

"""Each part against arithmetic done another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets import mlp
from gansmith.nets.blocks import EqualConv2d, Maxout, MinibatchStddev, PixelNorm, levels


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_levels() -> None:
    assert [levels(side) for side in (4, 8, 16, 256, 1024)] == [0, 1, 2, 6, 8]


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
    columns = x.numpy().reshape(group, n // group, 3, 2, 5)  # image i is in group i mod (n / group)
    spread = np.sqrt(columns.astype(np.float64).var(0) + 1e-8).mean((1, 2, 3))
    for i in range(n):
        np.testing.assert_allclose(y[i, 3].numpy(), spread[i % (n // group)], rtol=1e-5)


def test_minibatch_stddev_tells_a_collapsed_batch() -> None:
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert MinibatchStddev()(same)[:, 3].max() < 1e-3
    assert MinibatchStddev()(torch.randn(8, 3, 4, 4))[:, 3].min() > 0.3


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

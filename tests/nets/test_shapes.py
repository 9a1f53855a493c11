"""Every pair of nets, at every size and number of channels that it is offered for."""

from __future__ import annotations

import pytest
import torch

from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp, progan
from gansmith.nets.blocks import levels

every_size = pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
every_channels = pytest.mark.parametrize("channels", [1, 3, 4])


@every_size
@every_channels
@pytest.mark.parametrize("pair", ["dcgan", "mlp"])
def test_pairs(pair: str, resolution: int, channels: int) -> None:
    spec = Spec(resolution, channels, resolution, resolution)
    g, d = {
        "dcgan": lambda: (dcgan.Generator(spec, 5, 2), dcgan.Discriminator(spec, 2)),
        "mlp": lambda: (mlp.Generator(spec, 5, 2), mlp.Discriminator(spec, 2)),
    }[pair]()
    with torch.no_grad():
        images = g(torch.randn(3, 5))
        assert images.shape == (3, channels, resolution, resolution)
        assert images.abs().max() <= 1
        assert d(images).shape == (3,)


@every_size
@every_channels
def test_progan_at_every_point_of_its_growth(resolution: int, channels: int) -> None:
    spec = Spec(resolution, channels, resolution, resolution)
    g, d = progan.Generator(spec, 5, 2), progan.Discriminator(spec, 2)
    finest = levels(resolution)
    with torch.no_grad():
        for grown in sorted({0.0, 0.5, 1.0, finest - 0.5, float(finest)}):
            side = 4 * 2 ** -int(-grown // 1)
            images = g(torch.randn(3, 5), grown)
            assert images.shape == (3, channels, side, side)
            assert d(images, grown).shape == (3,)
            assert progan.real_at(torch.randn(3, channels, resolution, resolution), grown).shape == images.shape

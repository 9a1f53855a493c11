"""The perceptrons' rules (Goodfellow 2014, sec. 5; its released code), read off the nets that are built."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import Maxout
from gansmith.nets.mlp import Discriminator, Generator, perceptron

SPEC = Spec(16, 3, 16, 16)
PIXELS = 3 * 16 * 16


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_gs_layers() -> None:
    g = Generator(SPEC, 7, 5)
    assert [type(layer) for layer in g.layers] == [nn.Linear, nn.LeakyReLU, nn.Linear, nn.LeakyReLU, nn.Linear]
    assert [layer.negative_slope for layer in g.layers[1::2]] == [0, 0], "rectifiers"
    assert parameters(g) == (7 + 1) * 5 + (5 + 1) * 5 + (5 + 1) * PIXELS


def test_gs_output_is_a_squashed_image() -> None:
    torch.manual_seed(0)
    images = Generator(SPEC, 7, 5)(100 * torch.randn(64, 7))
    assert images.shape == (64, 3, 16, 16)
    assert images.abs().max() <= 1
    assert images.abs().max() > 0.99


def test_ds_layers() -> None:
    d = Discriminator(SPEC, 4, dropout=0.3)
    assert [type(layer) for layer in d.layers] == [nn.Flatten, Maxout, nn.Dropout, Maxout, nn.Dropout, nn.Linear]
    assert [layer.pieces for layer in d.layers[1::2][:2]] == [5, 5]
    assert [layer.p for layer in d.layers if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert parameters(d) == (PIXELS + 1) * 4 * 5 + (4 + 1) * 4 * 5 + (4 + 1)


def test_ds_output_is_a_logit() -> None:
    torch.manual_seed(0)
    logits = Discriminator(SPEC, 64)(10 * torch.randn(256, 3, 16, 16))
    assert logits.shape == (256,)
    assert logits.max() > 1
    assert logits.min() < 0


@pytest.mark.parametrize("net", [Generator(SPEC, 7, 5), Discriminator(SPEC, 4)])
def test_nothing_is_normalised(net: nn.Module) -> None:
    assert not any("Norm" in type(module).__name__ for module in net.modules())


def test_a_perceptron_ends_without_activation() -> None:
    assert isinstance(perceptron(3, 4, 2)[-1], nn.Linear)
    assert perceptron(3, 4, 2, slope=0.2)[1].negative_slope == 0.2

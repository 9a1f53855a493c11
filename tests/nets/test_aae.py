"""The autoencoder's rules (Makhzani 2016, app. A), read off the nets that are built."""

from __future__ import annotations

import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets import dcgan
from gansmith.nets.aae import CodeDiscriminator, ConvEncoder, DenseEncoder

SPEC = Spec(16, 3, 16, 16)
PIXELS = 3 * 16 * 16
TWO_HIDDEN = [nn.Linear, nn.LeakyReLU, nn.Linear, nn.LeakyReLU, nn.Linear]


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_encoder_has_two_hidden_layers_of_rectifiers_and_a_linear_code() -> None:
    encoder = DenseEncoder(SPEC, 2, 6)
    assert [type(layer) for layer in encoder.layers] == TWO_HIDDEN
    assert [layer.negative_slope for layer in encoder.layers[1::2]] == [0, 0]
    assert parameters(encoder) == (PIXELS + 1) * 6 + (6 + 1) * 6 + (6 + 1) * 2


def test_so_has_the_discriminator_of_codes() -> None:
    d = CodeDiscriminator(2 + 3, 6)
    assert [type(layer) for layer in d.layers] == TWO_HIDDEN
    assert parameters(d) == (5 + 1) * 6 + (6 + 1) * 6 + (6 + 1)
    assert d(torch.randn(4, 2), torch.randn(4, 3)).shape == (4,)


def test_codes_are_not_squashed() -> None:
    torch.manual_seed(0)
    assert DenseEncoder(SPEC, 2, 64)(30 * torch.randn(64, 3, 16, 16)).abs().max() > 1


def test_the_convolutional_encoder_is_dcgans_discriminator_with_a_code_for_a_logit() -> None:
    encoder, d = ConvEncoder(SPEC, 5, 4), dcgan.Discriminator(SPEC, 4)
    assert [type(layer) for layer in encoder.features] == [type(layer) for layer in d.layers[:-2]]
    assert parameters(encoder) == parameters(d) - (d.width + 1) + (d.width + 1) * 5
    assert encoder(torch.randn(4, 3, 16, 16)).shape == (4, 5)

"""The architecture's rules (Radford 2016, sec. 3 and 4), read off the nets that are built."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from gansmith.core.spec import Spec
from gansmith.nets import dcgan
from gansmith.nets.blocks import LayerNorm2d

SPEC = Spec(64, 3, 64, 64)
CONV = nn.Conv2d | nn.ConvTranspose2d
PRODUCT = CONV | nn.Linear
both = pytest.mark.parametrize("which", ["G", "D"])


def net(which: str, norm: str = "batch", width: int = 8) -> list[nn.Module]:
    """The net's layers in order."""
    torch.manual_seed(0)
    built = dcgan.Generator(SPEC, 20, width, norm) if which == "G" else dcgan.Discriminator(SPEC, width, norm)
    assert list(built.children()) == [built.layers], "nothing beside the sequence of layers"
    return list(built.layers)


@both
def test_no_pooling_no_upsampling_and_no_hidden_dense_layers(which: str) -> None:
    # A matrix takes G's latent to its first map, and D's last map to the logit; between them all is convolution.
    layers = net(which)
    edge, inner = (layers[:2], layers[2:]) if which == "G" else (layers[-3:], layers[:-3])
    allowed = {
        "G": ([nn.Linear, nn.Unflatten], {nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU, nn.Tanh}),
        "D": ([nn.Flatten, nn.Linear, nn.Flatten], {nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU}),
    }
    assert ([type(layer) for layer in edge], {type(layer) for layer in inner}) == allowed[which]


def test_strides_do_the_scaling() -> None:
    assert [m.stride for m in net("G") if isinstance(m, CONV)] == [(2, 2)] * 4
    assert [m.stride for m in net("D") if isinstance(m, CONV)] == [(2, 2)] * 4


def test_batch_norm_everywhere_except_gs_output_and_ds_input() -> None:
    g, d = ([layer for layer in net(which) if not isinstance(layer, nn.Unflatten)] for which in "GD")
    normed_g = [isinstance(after, nn.BatchNorm2d) for layer, after in pairwise(g) if isinstance(layer, PRODUCT)]
    normed_d = [isinstance(after, nn.BatchNorm2d) for layer, after in pairwise(d) if isinstance(layer, PRODUCT)]
    assert normed_g == [True] * 4 + [False]
    # D's last product gives the logit: a norm there would fix its mean.
    assert normed_d == [False] + [True] * 3 + [False]
    for layer, after in pairwise(g + d):
        if isinstance(layer, PRODUCT):
            assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d), "a norm's own bias replaces the layer's"


def test_activations() -> None:
    g, d = net("G"), net("D")
    assert isinstance(g[-1], nn.Tanh)
    assert sum(isinstance(layer, nn.ReLU) for layer in g) == 4
    assert [layer.negative_slope for layer in d if isinstance(layer, nn.LeakyReLU)] == [0.2] * 4
    assert not isinstance(d[-1], nn.Sigmoid)
    assert isinstance(d[-2], nn.Linear), "a logit, not a probability: the sigmoid is in the loss"


@both
def test_channels_double_towards_the_coarse(which: str) -> None:
    channels = [layer.num_features for layer in net(which) if isinstance(layer, nn.BatchNorm2d)]
    assert sorted(channels) == ([8, 16, 32, 64] if which == "G" else [16, 32, 64])
    assert channels == sorted(channels, reverse=which == "G")


@both
def test_initial_weights(which: str) -> None:
    layers = net(which, width=32)
    for layer in layers:
        if isinstance(layer, PRODUCT):
            n = layer.weight.numel()
            assert layer.weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / n**0.5)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)
            assert layer.bias is None or not layer.bias.any()
        if isinstance(layer, nn.BatchNorm2d):
            n = layer.weight.numel()
            assert layer.weight.mean().item() == pytest.approx(1, abs=5 * 0.02 / n**0.5)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)
            assert not layer.bias.any()


@both
@pytest.mark.parametrize(("norm", "kind"), [("layer", LayerNorm2d), ("none", nn.Identity)])
def test_other_norms_stand_in_the_same_places(which: str, norm: str, kind: type[nn.Module]) -> None:
    batch, other = net(which), net(which, norm)
    places = [i for i, layer in enumerate(batch) if isinstance(layer, nn.BatchNorm2d)]
    assert [i for i, layer in enumerate(other) if isinstance(layer, kind)] == places
    if norm == "none":
        assert all(layer.bias is not None for layer in other if isinstance(layer, PRODUCT))


def test_layer_norm_does_not_mix_the_images_of_a_batch() -> None:
    d = dcgan.Discriminator(SPEC, 2, "layer")
    images = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(d(images)[:1], d(images[:1]))
    norm = LayerNorm2d(6)
    x = torch.randn(4, 6, 5, 5) * 3 + 2
    flat = norm(x).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.var(1, correction=0), torch.ones(4), atol=1e-4, rtol=0)

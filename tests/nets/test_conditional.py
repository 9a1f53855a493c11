"""Nets that are told the class: against what the papers' formulas give by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp, progan
from gansmith.nets.conditional import (
    ClassBatchNorm2d,
    ConcatDiscriminator,
    ConcatGenerator,
    ProjectionDiscriminator,
)
from gansmith.recipes import FAMILIES, build, family_named

SPEC = Spec(16, 3, 16, 16, ("cat", "dog", "eel"))
LABELS = torch.tensor([2, 0, 1, 2])


class Same(nn.Module):
    """Gives back what it is called with."""

    def forward(self, x: Tensor, *rest: object) -> tuple[Tensor, tuple[object, ...]]:
        return x, rest


def test_the_generator_gets_latents_with_one_hot_labels_behind_them() -> None:
    z = torch.randn(4, 5)
    told, rest = ConcatGenerator(Same(), 3)(z, LABELS, "growth")
    assert torch.equal(told[:, :5], z)
    assert told[:, 5:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert rest == ("growth",)


def test_the_discriminator_gets_a_map_for_every_class() -> None:
    x = torch.randn(4, 2, 8, 8)
    told, rest = ConcatDiscriminator(Same(), 3)(x, LABELS, "growth")
    assert told.shape == (4, 5, 8, 8)
    assert torch.equal(told[:, :2], x)
    for i, label in enumerate(LABELS):
        for c in range(3):
            assert (told[i, 2 + c] == float(c == label)).all()
    assert rest == ("growth",)


NETS = {
    "dcgan": (dcgan.Discriminator(SPEC, 4), ()),
    "mlp": (mlp.Discriminator(SPEC, 8), ()),
    "progan": (progan.Discriminator(SPEC, 4), (1.5,)),
}


@pytest.mark.parametrize("name", NETS)
def test_every_discriminator_is_its_head_of_its_features(name: str) -> None:
    net, rest = NETS[name]
    x = torch.randn(4, 3, 16, 16)
    net.eval()
    features = net.features(x, *rest)
    assert features.shape == (4, net.width)
    assert torch.allclose(net.head(features), net(x, *rest))


@pytest.mark.parametrize("name", NETS)
def test_projection_adds_the_product_of_features_and_the_classs_vector(name: str) -> None:
    net, rest = NETS[name]
    x = torch.randn(4, 3, 16, 16)
    net.eval()
    projected = ProjectionDiscriminator(net, 3, net.width)
    assert torch.allclose(projected(x, LABELS, *rest), net(x, *rest)), "unconditional at first"
    nn.init.normal_(projected.embedding.weight)
    h = net.features(x, *rest)
    by_hand = torch.stack(
        [sum(h[i, k] * projected.embedding.weight[LABELS[i], k] for k in range(net.width)) for i in range(4)]
    )
    assert torch.allclose(projected(x, LABELS, *rest), net(x, *rest) + by_hand, atol=1e-4)


def test_batch_norm_of_a_class() -> None:
    norm = ClassBatchNorm2d(2, 3)
    nn.init.normal_(norm.gain.weight)
    nn.init.normal_(norm.bias_of.weight)
    x = 3 + 2 * torch.randn(4, 2, 5, 5)
    normed = F.batch_norm(x, None, None, training=True)
    expected = torch.stack(
        [
            normed[i] * norm.gain.weight[y][:, None, None] + norm.bias_of.weight[y][:, None, None]
            for i, y in enumerate(LABELS)
        ]
    )
    assert torch.allclose(norm(x, LABELS), expected, atol=1e-5)


def test_a_new_norm_of_a_class_is_plain_batch_norm() -> None:
    x = torch.randn(4, 2, 5, 5)
    assert torch.allclose(ClassBatchNorm2d(2, 3)(x, LABELS), nn.BatchNorm2d(2)(x), atol=1e-6)


two_players = [name for name, family in FAMILIES.items() if "conditioning" in family.config.model_fields]


def told(family: str, conditioning: str) -> Config:
    return family_named(family).config(family=family, conditioning=conditioning)


@pytest.mark.parametrize("conditioning", ["concat", "projection", "acgan"])
@pytest.mark.parametrize("family", two_players)
def test_without_classes_conditioning_is_refused(family: str, conditioning: str) -> None:
    with pytest.raises(ConfigError, match=rf"conditioning={conditioning}: the data has 0 classes; class sub-folders"):
        build(told(family, conditioning), replace(SPEC, classes=()))


def test_every_family_of_two_players_can_be_conditional() -> None:
    others = {"aae", "cyclegan", "f-anogan", "ganomaly", "pix2pix", "srgan", "stackgan"}
    assert set(two_players) == set(FAMILIES) - others

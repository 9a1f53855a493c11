"""The generator and discriminator pairs that a two-player family can choose by ``--set network=NAME``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from gansmith.core.game import Game
from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp
from gansmith.recipes.two_player import Rules, TwoPlayerConfig, two_player


class PairConfig(TwoPlayerConfig):
    """A two-player family whose nets have one fixed size."""

    network: Literal["dcgan", "mlp"] = "dcgan"
    """dcgan: convolutions (Radford 2016); mlp: perceptrons (Goodfellow 2014)"""
    g_width: int = Field(24, ge=1)
    """dcgan: G's channels at half resolution, doubling towards 4x4; mlp: units of a hidden layer"""
    d_width: int = Field(24, ge=1)
    """the same for D"""
    d_norm: Literal["batch", "layer", "none"] = "batch"
    """normalisation in a convolutional D; with a penalty on gradients use layer or none"""


def pair(config: PairConfig, spec: Spec) -> tuple[nn.Module, nn.Module]:
    """G and D of a configuration, for data of this shape."""
    if config.network == "mlp":
        return mlp.Generator(spec, config.latent, config.g_width), mlp.Discriminator(spec, config.d_width)
    g = dcgan.Generator(spec, config.latent, config.g_width)
    return g, dcgan.Discriminator(spec, config.d_width, config.d_norm)


def build(config: PairConfig, spec: Spec) -> Game:
    """The game of a pair: one stage."""
    rules = Rules(config.latent, instance_noise=config.instance_noise)
    return two_player(config, *pair(config, spec), rules, {"train": 1.0})

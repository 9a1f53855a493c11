"""The generator and discriminator pairs that a two-player family can choose by ``--set network=NAME``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import Field
from torch import nn

from gansmith.core.game import Detector, Game
from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp
from gansmith.recipes.conditioning import paired
from gansmith.recipes.detecting import Unlike, seen_by_d
from gansmith.recipes.two_player import TwoPlayerConfig, two_player


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
    dropout: float = Field(0.0, ge=0, lt=1)
    """share of D's hidden outputs set to 0 in training (Goodfellow 2014; Salimans 2016)"""


def makers(config: PairConfig, spec: Spec) -> dict[str, Callable[..., nn.Module]]:
    """What `paired` builds G and D with."""
    if config.network == "mlp":
        return {
            "make_g": lambda latent: mlp.Generator(spec, latent, config.g_width),
            "make_d": lambda seen: mlp.Discriminator(seen, config.d_width, dropout=config.dropout),
        }
    return {
        "make_g": lambda latent: dcgan.Generator(spec, latent, config.g_width),
        "make_d": lambda seen: dcgan.Discriminator(seen, config.d_width, config.d_norm, config.dropout),
        "make_class_g": lambda classes: dcgan.Generator(spec, config.latent, config.g_width, classes=classes),
    }


def build(config: PairConfig, spec: Spec) -> Game:
    """The game of a pair: one stage."""
    pair = paired(config, spec, **makers(config, spec))
    game = two_player(config, pair.g, pair.d, pair.rules, {"train": 1.0})
    # One that looks at a single image, and nothing beside it, sees the same in it whatever comes with it.
    is_plain = isinstance(pair.d, dcgan.Discriminator) and config.pack == 1
    return replace(game, detector=Detector(seen_by_d, Unlike(0.9, 0.1, 1))) if is_plain else game

"""Akcay et al. 2018, "GANomaly: Semi-supervised anomaly detection via adversarial training".

The generator takes images apart and puts them together again, and a second encoder takes apart what was put together:
of what is not normal, the two codes differ (sec. 3.2). The discriminator tells images from what was put together.

Codes are standardised by a norm without weights, so that draws of N(0, 1) make samples, which the paper has none of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, Settings
from gansmith.core.game import (
    Autoencoder,
    Detector,
    Game,
    Move,
    Nets,
    Outcome,
    Player,
    Request,
    Sampler,
    Stage,
    Turn,
)
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import loss_named
from gansmith.losses.reconstruction import l1, mse
from gansmith.nets import dcgan
from gansmith.nets.aae import ConvEncoder
from gansmith.recipes.detecting import seen_by_d
from gansmith.recipes.two_player import normal_latents


class OptimsConfig(Settings):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig(lr=1e-3, decay="cosine")
    """the generator's, which both encoders and the decoder are"""
    d: OptimConfig = OptimConfig()
    """the discriminator's"""


class Config(settings.Config):
    """The settings of `ganomaly`."""

    family: Literal["ganomaly"] = "ganomaly"
    latent: int = Field(32, ge=1)
    """length of the code"""
    g_width: int = Field(24, ge=1)
    """channels of encoders and decoder at half resolution, doubling towards 4x4"""
    d_width: int = Field(24, ge=1)
    """the same for D"""
    adversarial: float = Field(1.0, ge=0)
    """what G pays where D sees something else in what it made (eq. 1)"""
    context: float = Field(50.0, ge=0)
    """what G pays for pixels (eq. 2)"""
    code: float = Field(1.0, ge=0)
    """what G pays where the code of what it made differs (eq. 3)"""
    optim: OptimsConfig = OptimsConfig()


def encode(nets: Nets, images: Tensor) -> Tensor:
    return nets["encoder"](images)


def reconstruct(nets: Nets, images: Tensor) -> Tensor:
    return nets["decoder"](encode(nets, images))


def strange(nets: Nets, images: Tensor, made: Tensor) -> Tensor:
    """Mean difference of the codes (N,) (eq. 6)."""
    return (encode(nets, images) - nets["again"](made)).abs().mean(1)


@dataclass(frozen=True)
class Generate:
    """G's move (eq. 5): what it made of the batch is left for D."""

    config: Config

    def __call__(self, turn: Turn) -> Outcome:
        nets, images = turn.nets, turn.batch.images
        codes = encode(nets, images)
        made = nets["decoder"](codes)
        turn.made["fake"] = made.detach()
        terms = {
            "loss": self.config.adversarial * mse(seen_by_d(nets, made), seen_by_d(nets, images).detach()),
            "pixels": self.config.context * l1(made, images),
            "code": self.config.code * mse(nets["again"](made), codes),
        }
        return Outcome(terms)


def discriminate(turn: Turn) -> Outcome:
    """D's move: images are real, what was put together is fake."""
    real, fake = (turn.nets["D"](images) for images in (turn.batch.images, turn.made["fake"]))
    notes = {"real": real.detach().float(), "fake": fake.detach().float()}
    return Outcome({"loss": loss_named("nonsaturating").d(real, fake)}, notes)


def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
    return nets["decoder"](latents * request.truncation)


def coder(spec: Spec, config: Config) -> nn.Module:
    """Image (N, C, R, R) -> standardised code (N, latent)."""
    return nn.Sequential(ConvEncoder(spec, config.latent, config.g_width), nn.BatchNorm1d(config.latent, affine=False))


def build(config: Config, spec: Spec) -> Game:
    """The game of two encoders and a decoder against a discriminator."""
    made_of = ("encoder", "decoder", "again")
    nets = {
        "encoder": coder(spec, config),
        "decoder": dcgan.Generator(spec, config.latent, config.g_width),
        "again": coder(spec, config),
        "D": dcgan.Discriminator(spec, config.d_width),
    }
    return Game(
        nets=nn.ModuleDict(nets),
        players={"G": Player(made_of, config.optim.g), "D": Player(("D",), config.optim.d)},
        stages=(Stage("train", (Move("G", Generate(config)), Move("D", discriminate))),),
        sampler=Sampler(normal_latents(config.latent), images),
        averaged=made_of,
        autoencoder=Autoencoder(encode, reconstruct),
        detector=Detector(seen_by_d, strange, by="paper"),
    )

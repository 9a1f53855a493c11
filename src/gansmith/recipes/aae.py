"""Makhzani et al. 2016, "Adversarial Autoencoders": three players, the encoder in two of them (sec. 2).

The autoencoder gives images back; the discriminator tells codes from draws of the prior N(0, 1); the encoder fools
it. Decoding draws of the prior then makes images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, Settings
from gansmith.core.game import Game, Move, Nets, Outcome, Player, Request, Sampler, Stage, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import loss_named
from gansmith.losses.reconstruction import reconstruction_named
from gansmith.nets import mlp
from gansmith.recipes.two_player import LossName, normal_latents


class OptimsConfig(Settings):
    """One optimiser a player."""

    autoencoder: OptimConfig = OptimConfig(lr=1e-3, beta1=0.9, decay="cosine")
    """encoder and decoder, on reconstruction"""
    discriminator: OptimConfig = OptimConfig(lr=2e-4, decay="cosine")
    """the discriminator of codes"""
    encoder: OptimConfig = OptimConfig(lr=2e-4, decay="cosine")
    """the encoder, on fooling it"""


class Config(settings.Config):
    """The settings of `aae`."""

    family: Literal["aae"] = "aae"
    latent: int = Field(8, ge=1)
    """length of the code"""
    width: int = Field(512, ge=1)
    """units of a hidden layer, two in each net"""
    loss: LossName = "nonsaturating"
    """the discriminator's and the encoder's"""
    reconstruction: Literal["mse", "l1"] = "mse"
    """what the autoencoder pays"""
    optim: OptimsConfig = OptimsConfig()


@dataclass(frozen=True)
class Phases:
    """The three updates of Makhzani 2016, sec. 2."""

    config: Config

    def reconstruct(self, turn: Turn) -> Outcome:
        """The autoencoder's. Leaves the codes for the discriminator."""
        codes = turn.nets["encoder"](turn.batch.images)
        turn.made["codes"] = codes.detach()
        output = turn.nets["decoder"](codes)
        return Outcome({"loss": reconstruction_named(self.config.reconstruction)(output, turn.batch.images)})

    def discriminate(self, turn: Turn) -> Outcome:
        """The discriminator's: draws of the prior are real, codes are fake."""
        prior = torch.randn_like(turn.made["codes"], dtype=torch.float32)
        real, fake = turn.nets["D"](prior), turn.nets["D"](turn.made["codes"])
        return Outcome(
            {"loss": loss_named(self.config.loss).d(real, fake)},
            {"real": real.detach().mean(), "fake": fake.detach().mean()},
        )

    def regularise(self, turn: Turn) -> Outcome:
        """The encoder's: its codes should pass for the prior."""
        codes = turn.nets["encoder"](turn.batch.images)
        prior = turn.nets["D"](torch.randn_like(codes, dtype=torch.float32))
        return Outcome({"loss": loss_named(self.config.loss).g(turn.nets["D"](codes), prior)})


class Encoder(nn.Module):
    """Image (N, C, R, R) -> code (N, latent)."""

    def __init__(self, spec: Spec, latent: int, width: int):
        super().__init__()
        self.layers = mlp.perceptron(spec.channels * spec.resolution**2, width, width, latent)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image.flatten(1))


def build(config: Config, spec: Spec) -> Game:
    """The game of three players."""
    phases = Phases(config)
    judge = nn.Sequential(*mlp.perceptron(config.latent, config.width, config.width, 1), nn.Flatten(0))

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        return nets["decoder"](latents * request.truncation)

    return Game(
        nets=nn.ModuleDict(
            {
                "encoder": Encoder(spec, config.latent, config.width),
                "decoder": mlp.Generator(spec, config.latent, config.width),
                "D": judge,
            }
        ),
        players={
            "autoencoder": Player(("encoder", "decoder"), config.optim.autoencoder),
            "D": Player(("D",), config.optim.discriminator),
            "encoder": Player(("encoder",), config.optim.encoder),
        },
        stages=(
            Stage(
                "train",
                (
                    Move("autoencoder", phases.reconstruct),
                    Move("D", phases.discriminate),
                    Move("encoder", phases.regularise),
                ),
            ),
        ),
        sampler=Sampler(normal_latents(config.latent), images),
        averaged=("decoder",),
    )

"""Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks".

A U-Net, whose dropout is all the noise there is (sec. 3.1), against a discriminator of patches that sees what the image
is made of beside it (eq. 1), and the distance to the one right image (eq. 3). Images are made without dropout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.config import DataConfig, OptimConfig, Settings, TrainConfig
from gansmith.core.game import Game, Move, Nets, Outcome, Player, Stage, Translator, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss, loss_named
from gansmith.losses.reconstruction import reconstruction_named
from gansmith.nets.translate import PatchDiscriminator, UNet
from gansmith.recipes.translation import PerceptualNet, check_loss, check_targets, notes_on, of_images, perceived
from gansmith.recipes.two_player import LossName


class OptimsConfig(Settings):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig(lr=1e-3, beta2=0.99, decay="linear")
    """the generator's"""
    d: OptimConfig = OptimConfig(lr=5e-4, beta2=0.99, decay="linear")
    """the discriminator's"""


class Config(settings.Config):
    """The settings of `pix2pix`."""

    family: Literal["pix2pix"] = "pix2pix"
    data: DataConfig = DataConfig(targets="paired", mirror=True, shift=0.06)
    train: TrainConfig = TrainConfig(batch=8)
    width: int = Field(24, ge=1)
    """G's channels at half resolution, doubling towards its middle, at most 8 times; 64 in the paper"""
    dropout: float = Field(0.5, ge=0, lt=1)
    """share of outputs dropped in the three innermost layers of G's way up: its noise (sec. 3.1)"""
    d_width: int = Field(24, ge=1)
    """D's channels after its first convolution, doubling; 64 in the paper"""
    loss: LossName = "nonsaturating"
    """what D and G pay"""
    pixels: float = Field(100.0, ge=0)
    """weight of the distance to the target (eq. 4, λ)"""
    reconstruction: Literal["mse", "l1"] = "l1"
    """that distance"""
    perceptual: float = Field(0.0, ge=0)
    """weight of the perceptual distance to the target beside it (Wang 2018, pix2pixHD, as VGG's in its sec. 4)"""
    perceptual_net: PerceptualNet = "efflite0"
    """the network of that distance (see `gansmith.metrics.perceptual`)"""
    optim: OptimsConfig = OptimsConfig()


def beside(turn: Turn, images: Tensor) -> Tensor:
    """What D sees: what images are made of, and them."""
    return torch.cat([turn.batch.images, images], 1)


def target(turn: Turn) -> Tensor:
    assert turn.batch.targets is not None
    return turn.batch.targets


@dataclass(frozen=True)
class Translate:
    """G's move (eq. 4)."""

    loss: AdversarialLoss
    weights: Config

    def __call__(self, turn: Turn) -> Outcome:
        net, fake, weights = turn.nets["D"], turn.nets["G"](turn.batch.images), self.weights
        turn.made["fake"] = fake.detach()
        real = net(beside(turn, target(turn))) if self.loss.paired else None
        distance = reconstruction_named(weights.reconstruction)(fake, target(turn))
        terms = {"loss": self.loss.g(net(beside(turn, fake)), real), "pixels": weights.pixels * distance}
        if weights.perceptual:
            terms["perceptual_loss"] = weights.perceptual * perceived(weights.perceptual_net, fake, target(turn))
        return Outcome(terms, {"distance": distance.detach()})


@dataclass(frozen=True)
class Judge:
    """D's move (eq. 1); halved, as in sec. 3.3, to slow it beside G."""

    loss: AdversarialLoss

    def __call__(self, turn: Turn) -> Outcome:
        net = turn.nets["D"]
        real, fake = net(beside(turn, target(turn))), net(beside(turn, turn.made["fake"]))
        return Outcome({"loss": self.loss.d(real, fake) / 2}, notes_on(real, fake))


def make(nets: Nets, images: Tensor) -> Tensor:
    return nets["G"](images)


def columns(nets: Nets, images: Tensor, targets: Tensor | None) -> tuple[Tensor, ...]:
    """Images, what they become, and what they should have become."""
    return (images, make(nets, images)) if targets is None else (images, make(nets, images), targets)


def build(config: Config, spec: Spec) -> Game:
    """The game of a generator and a discriminator that sees both images.

    Raises:
        ConfigError: the data is not in pairs, or the loss is a critic's.
    """
    check_targets("pix2pix", spec, paired=True)
    loss = loss_named(config.loss)
    check_loss(config.loss, loss)
    a, b = spec.channels, spec.target_channels
    g = UNet(a, b, config.width, spec.resolution, config.dropout)
    d = PatchDiscriminator(a + b, config.d_width, spec.resolution, "batch")
    moves = (
        Move("G", Translate(loss, config)),
        Move("D", Judge(loss)),
    )
    net: Any = g
    return Game(
        nets=nn.ModuleDict({"G": g, "D": d}),
        players={"G": Player(("G",), config.optim.g), "D": Player(("D",), config.optim.d)},
        stages=(Stage("train", moves),),
        sampler=of_images(make),
        averaged=("G",),
        translator=Translator({"B": make}, {"B": (a, b)}, columns, multiple=net.multiple, reach=net.reach),
    )

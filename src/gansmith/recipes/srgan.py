"""Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network".

Two stages: the generator first learns the pixels (SRResNet, sec. 2.2.1), then it plays against a discriminator, and
pays for what a network that recognises things sees otherwise (eq. 3 to 5). It trains from images of full size alone:
what goes in is made of them, batch by batch: smaller, and blurred, noisy or compressed if asked (Wang 2021,
Real-ESRGAN, sec. 3.1). At ``scale=1`` it takes such damage back.

``variant=esrgan``: residual dense blocks, and D judges pairs (Wang et al. 2018, sec. 3.1 and 3.2, in the form of
Jolicoeur-Martineau 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.config import DataConfig, OptimConfig, Settings, TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Game, Move, Nets, Outcome, Player, Stage, Translator, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss, loss_named
from gansmith.losses.reconstruction import reconstruction_named
from gansmith.nets.degrade import Degradation, cropped
from gansmith.nets.superres import Discriminator, RRDBNet, SRResNet, upsampled
from gansmith.recipes.translation import PerceptualNet, check_loss, notes_on, of_images, perceived
from gansmith.recipes.two_player import LossName

Range = tuple[float, float]


class OptimsConfig(Settings):
    """One optimiser a player."""

    pixels: OptimConfig = OptimConfig(lr=1e-3, beta1=0.9, beta2=0.99, decay="cosine")
    """the generator's, in the first stage"""
    g: OptimConfig = OptimConfig(lr=1e-4, beta1=0.9, beta2=0.99, decay="cosine")
    """the generator's, in the second stage"""
    d: OptimConfig = OptimConfig(lr=2e-4, beta1=0.9, beta2=0.99, decay="cosine")
    """the discriminator's"""


class Config(settings.Config):
    """The settings of `srgan`."""

    family: Literal["srgan"] = "srgan"
    data: DataConfig = DataConfig(fit="tiles")
    train: TrainConfig = TrainConfig(batch=16)
    scale: Literal[1, 2, 3, 4] = 4
    """how many times larger images become; 1 takes damage back"""
    blur: Range = (0.0, 0.0)
    """Gaussian blur of what images are made of: lowest and highest deviation, pixels of full size"""
    noise: Range = (0.0, 0.0)
    """noise on it: lowest and highest deviation, of 255 levels"""
    jpeg: tuple[int, int] | None = None
    """its JPEG compression: lowest and highest quality, 1 to 100; by default none, but 10 to 50 with scale=1 where
    nothing else is asked for"""
    variant: Literal["srgan", "esrgan"] = "srgan"
    """srgan: residual blocks (Ledig 2017); esrgan: dense ones, and a relativistic loss (Wang 2018)"""
    width: int = Field(32, ge=1)
    """G's channels; 64 in the papers"""
    blocks: int = Field(8, ge=1)
    """G's blocks; 16 in Ledig 2017, 23 dense ones in Wang 2018"""
    d_width: int = Field(16, ge=1)
    """D's channels at full size, doubling to 8 times; 64 in the papers"""
    d_norm: Literal["batch", "none"] = "none"
    """normalisation in D; batch in Ledig 2017"""
    adversarial_share: float = Field(0.1, gt=0, lt=1)
    """share of the run's images in the second stage, each of which takes four times as long"""
    loss: LossName = "nonsaturating"
    """what D and G pay in the second stage; relativistic with variant=esrgan"""
    reconstruction: Literal["mse", "l1"] = "l1"
    """the distance of pixels; mse in Ledig 2017 (eq. 4), l1 in Wang 2018"""
    pixels: float = Field(100.0, ge=0)
    """weight of that distance in the second stage; the less, the sooner smooth parts get a grain that they never had"""
    perceptual: float = Field(1.0, ge=0)
    """weight of the perceptual distance (eq. 5, in the form of Zhang 2018)"""
    perceptual_net: PerceptualNet = "efflite0"
    """the network of that distance (see `gansmith.metrics.perceptual`); a vgg16 takes sixteen times as long on a CPU"""
    adversarial: float = Field(5e-3, ge=0)
    """weight of what D says; 1e-3 in Ledig 2017 (eq. 3), 5e-3 in Wang 2018"""
    optim: OptimsConfig = OptimsConfig()

    @model_validator(mode="after")
    def _in_order(self) -> Config:
        for name in ("blur", "noise", "jpeg"):
            ends = getattr(self, name)
            if ends is not None and not 0 <= ends[0] <= ends[1]:
                raise ValueError(f"{name}: expected [lowest, highest], got {list(ends)}")
        if self.jpeg is not None and not (self.jpeg[0] >= 1 and self.jpeg[1] <= 100):
            raise ValueError(f"jpeg: expected qualities of 1 to 100, got {list(self.jpeg)}")
        return self

    def degradation(self) -> Degradation:
        """What is done to an image of full size."""
        nothing_asked = self.scale == 1 and self.jpeg is None and not (self.blur[1] or self.noise[1])
        return Degradation(self.scale, self.blur, self.noise, (10, 50) if nothing_asked else self.jpeg)

    def adversarial_loss(self) -> AdversarialLoss:
        return loss_named("relativistic" if self.variant == "esrgan" else self.loss)


@dataclass(frozen=True)
class Task:
    """What G is asked, of a batch: the images of full size, turned and mirrored by chance, and what is left of them."""

    degradation: Degradation

    def drawn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(what goes in, what should come out)."""
        images = cropped(turned(batch.images), self.degradation.scale)
        return self.degradation(images), images


def turned(images: Tensor) -> Tensor:
    """All images of a batch by one of the square's eight symmetries."""
    dims = [dim for dim in (2, 3) if torch.rand(()) < 0.5]
    images = images.flip(dims) if dims else images
    images = images.transpose(2, 3) if torch.rand(()) < 0.5 else images
    return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Pixels:
    """G's move in the first stage (eq. 4)."""

    task: Task
    reconstruction: str

    def __call__(self, turn: Turn) -> Outcome:
        small, full = self.task.drawn(turn.batch)
        return Outcome({"pixels": reconstruction_named(self.reconstruction)(turn.nets["G"](small), full)})


@dataclass(frozen=True)
class Deceive:
    """G's move in the second stage (eq. 3)."""

    task: Task
    loss: AdversarialLoss
    config: Config

    def __call__(self, turn: Turn) -> Outcome:
        small, full = self.task.drawn(turn.batch)
        net, fake = turn.nets["D"], turn.nets["G"](small)
        turn.made["fake"], turn.made["full"] = fake.detach(), full
        weights = self.config
        terms = {
            "loss": weights.adversarial * self.loss.g(net(fake), net(full) if self.loss.paired else None),
            "pixels": weights.pixels * reconstruction_named(weights.reconstruction)(fake, full),
        }
        if weights.perceptual:
            terms["perceptual_loss"] = weights.perceptual * perceived(weights.perceptual_net, fake, full)
        return Outcome(terms)


@dataclass(frozen=True)
class Judge:
    """D's move in the second stage (eq. 2)."""

    loss: AdversarialLoss

    def __call__(self, turn: Turn) -> Outcome:
        real, fake = turn.nets["D"](turn.made["full"]), turn.nets["D"](turn.made["fake"])
        return Outcome({"loss": self.loss.d(real, fake)}, notes_on(real, fake))


def make(nets: Nets, images: Tensor) -> Tensor:
    return nets["G"](images).clamp(-1, 1)


def build(config: Config, spec: Spec) -> Game:
    """The game of two stages.

    Raises:
        ConfigError: the loss is a critic's, or the data is of two kinds.
    """
    loss = config.adversarial_loss()
    check_loss(config.loss, loss)
    if config.data.targets != "none":
        raise ConfigError("srgan: makes what images are made of itself; leave --to out")
    task = Task(config.degradation())
    body = {"srgan": SRResNet, "esrgan": RRDBNet}[config.variant]
    g: Any = body(spec.channels, config.width, config.blocks, config.scale)

    def columns(nets: Nets, images: Tensor, targets: Tensor | None) -> tuple[Tensor, ...]:
        """What goes in, enlarged; what comes out; what it was made of."""
        small = task.degradation.fixed(images)
        return upsampled(small, config.scale), make(nets, small), cropped(images, config.scale)

    second = (Move("G", Deceive(task, loss, config)), Move("D", Judge(loss)))
    return Game(
        nets=nn.ModuleDict({"G": g, "D": Discriminator(spec.channels, config.d_width, config.d_norm)}),
        players={
            "pixels": Player(("G",), config.optim.pixels),
            "G": Player(("G",), config.optim.g),
            "D": Player(("D",), config.optim.d),
        },
        stages=(
            Stage("pixels", (Move("pixels", Pixels(task, config.reconstruction)),), 1 - config.adversarial_share),
            Stage("adversarial", second, config.adversarial_share),
        ),
        sampler=of_images(make),
        averaged=("G",),
        translator=Translator(
            {"image": make},
            {"image": (spec.channels, spec.channels)},
            columns,
            config.scale,
            g.multiple,
            g.reach,
            task.degradation.fixed,
        ),
    )

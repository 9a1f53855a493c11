"""Zhang et al. 2017, "StackGAN: Text to Photo-realistic Image Synthesis with Stacked Generative Adversarial Networks".

Two stages: the first draws a small image of a caption and noise, the second makes a large one of it and the caption
(sec. 3.3 and 3.4). Both are told the caption by a draw from a Gaussian about its embedding, near N(0, 1) (sec. 3.2).
Both discriminators are shown, beside fakes, real images with the captions of others, which are false too (sec. 3.4).

Captions are read by a language model where one is installed, else by words. Their encoder learns with both players of
the first stage: from the generator what to draw by, from the discriminator what belongs to what; never to deceive it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.clock import Clock
from gansmith.core.config import DataConfig, OptimConfig, Settings, TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Game, Move, Nets, Outcome, Player, Request, Sampler, Stage, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss, loss_named
from gansmith.losses.reconstruction import kl_to_normal
from gansmith.nets.augment import cutout, translation
from gansmith.nets.blocks import at_rest
from gansmith.nets.lapgan import down
from gansmith.nets.stackgan import Augment, StageOne, StageTwo, TextDiscriminator, drawn
from gansmith.recipes.texts import Captions, encoder_of, has_minilm, reader_of
from gansmith.recipes.translation import check_loss, notes_on
from gansmith.recipes.two_player import LossName, normal_latents

_OPTIM = OptimConfig(lr=1e-3, beta2=0.99, decay="cosine")


class OptimsConfig(Settings):
    """One optimiser a player."""

    g1: OptimConfig = _OPTIM
    """the first stage's generator, with the encoder of captions"""
    d1: OptimConfig = _OPTIM.model_copy(update={"lr": 2e-3})
    """the first stage's discriminator, with the encoder of captions"""
    g2: OptimConfig = _OPTIM
    """the second stage's generator"""
    d2: OptimConfig = _OPTIM.model_copy(update={"lr": 2e-3})
    """the second stage's discriminator"""


class Config(settings.Config):
    """The settings of `stackgan`."""

    family: Literal["stackgan"] = "stackgan"
    data: DataConfig = DataConfig(captions=True)
    train: TrainConfig = TrainConfig(batch=16)
    captions: Captions = "auto"
    """how captions are read: minilm, a language model (extra `text`), or words; auto: minilm where it is installed"""
    latent: int = Field(64, ge=1)
    """length of the latent vector"""
    text: int = Field(128, ge=1)
    """length of a caption's embedding"""
    told: int = Field(64, ge=1)
    """length of what the generators are told of it (sec. 3.2; 128 in the paper)"""
    width: int = Field(16, ge=1)
    """channels of all nets at full size, doubling towards 4x4, at most 8 times"""
    blocks: int = Field(2, ge=1)
    """residual blocks of the second stage's generator (sec. 3.4)"""
    first: int | None = Field(None, ge=4)
    """side of the first stage's images; by default a quarter of the data's, as in the paper, but at least 16"""
    first_share: float = Field(0.4, gt=0, lt=1)
    """share of the run's images in the first stage"""
    loss: LossName = "nonsaturating"
    """what D and G pay"""
    kl: float = Field(0.1, ge=0)
    """weight of the distance of what is told from N(0, 1) (eq. 2 and 4, λ), a mean over its numbers"""
    optim: OptimsConfig = OptimsConfig()

    def settled(self) -> Self:
        """With the way to read captions that this machine has."""
        if self.captions != "auto":
            return self
        return self.model_copy(update={"captions": "minilm" if has_minilm() else "words"})

    def side(self, resolution: int) -> int:
        """Of the first stage's images. Raises ConfigError where it is none."""
        side = self.first or max(min(16, resolution // 2), resolution // 4)
        if side & (side - 1) or not 4 <= side < resolution:
            raise ConfigError(f"first: expected a power of two from 4 to {resolution // 2}, got {side}")
        return side


def seen(images: Tensor) -> Tensor:
    """What D sees: images shifted, and with a hole, lest a few thousand of them be learnt by heart (Zhao 2020)."""
    return cutout(translation(images))


@dataclass(frozen=True)
class Scale:
    """One of the two stages, as its losses see it.

    Attributes:
        number: 1 or 2, in the names of its nets.
        side: of its images.
        latent: length of the noise; of a first stage that is made anew within the second, its own.
    """

    number: int
    side: int
    latent: int

    def net(self, turn: Turn, name: str) -> nn.Module:
        return turn.nets[f"{name}{self.number}"]

    def told(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """The draw that the generator is told (N, told), and its distance from N(0, 1)."""
        mean, logvar = self.net(turn, "told")(embedded(turn))
        return drawn(mean, logvar, torch.randn_like(mean)), kl_to_normal(mean, logvar)

    def noise(self, turn: Turn) -> Tensor:
        return torch.randn(len(turn.batch), self.latent, device=turn.batch.images.device)

    def d(self, turn: Turn) -> TextDiscriminator:
        net = self.net(turn, "D")
        assert isinstance(net, TextDiscriminator)
        return net


def embedded(turn: Turn) -> Tensor:
    """The captions' embeddings (N, text)."""
    assert turn.batch.texts is not None
    return turn.nets["reader"](turn.batch.texts)


@dataclass(frozen=True)
class Draw:
    """A generator's move (eq. 4 and 6).

    Attributes:
        below: the first stage, whose images the second makes its own of.
    """

    scale: Scale
    loss: AdversarialLoss
    kl: float
    below: Scale | None = None

    def __call__(self, turn: Turn) -> Outcome:
        told, distance = self.scale.told(turn)
        g = self.scale.net(turn, "G")
        fake = g(self.scale.noise(turn), told) if self.below is None else g(self.small(turn, self.below), told)
        turn.made["fake"] = fake.detach()
        embeddings, net = embedded(turn).detach(), self.scale.d(turn)
        real = net(seen(down(turn.batch.images, self.scale.side)), embeddings) if self.loss.paired else None
        fooling = self.loss.g(net(seen(fake), embeddings), real)
        return Outcome({"loss": fooling, "kl": self.kl * distance})

    @staticmethod
    def small(turn: Turn, below: Scale) -> Tensor:
        """Images of the first stage, which learns no more."""
        g, told = below.net(turn, "G"), below.net(turn, "told")
        with torch.no_grad(), at_rest(g, told, turn.nets["reader"]):
            return g(below.noise(turn), below.told(turn)[0])


@dataclass(frozen=True)
class Judge:
    """A discriminator's move (eq. 3 and 5): fakes are false, and real images with wrong captions (sec. 3.4)."""

    scale: Scale
    loss: AdversarialLoss

    def __call__(self, turn: Turn) -> Outcome:
        embeddings, net = embedded(turn), self.scale.d(turn)
        features = net.features(seen(down(turn.batch.images, self.scale.side)))
        right, wrong = (net.head(features, said) for said in (embeddings, embeddings.roll(1, 0)))
        fake = net(seen(turn.made["fake"]), embeddings)
        reads = (right > wrong).float().mean()
        loss = (self.loss.d(right, fake) + self.loss.d(right, wrong)) / 2
        return Outcome({"loss": loss}, notes_on(right, fake) | {"reads": reads})


def sampler(config: Config) -> Sampler:
    """Images of captions; a latent is the noise, and what is drawn about each stage's embedding. Truncation shrinks
    all. In the first stage, and until the second has begun, its images are what there is."""

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        assert request.texts is not None
        noise, first, second = (latents * request.truncation).split([config.latent, config.told, config.told], 1)
        embeddings = nets["reader"](request.texts)

        def told(stage: int, noise: Tensor) -> Tensor:
            mean, logvar = nets[f"told{stage}"](embeddings)
            return drawn(mean, logvar, noise)

        small = nets["G1"](noise, told(1, first))
        return small if clock.stage == 0 else nets["G2"](small, told(2, second))

    return Sampler(normal_latents(config.latent + 2 * config.told), images)


def build(config: Config, spec: Spec) -> Game:
    """The game of two stages.

    Raises:
        ConfigError: there are no captions, or `first` is no size below the data's.
        MissingExtra: captions are to be read by a language model that is not installed.
    """
    if not spec.words:
        raise ConfigError("stackgan: the data has no captions: metadata.csv with columns file_name,text gives them")
    loss = loss_named(config.loss)
    check_loss(config.loss, loss)
    settled, side = config.settled(), config.side(spec.resolution)
    one, two = Scale(1, side, config.latent), Scale(2, spec.resolution, config.latent)
    colours, width = spec.channels, config.width
    nets = {
        "reader": encoder_of(settled.captions, spec, config.text),
        "told1": Augment(config.text, config.told),
        "G1": StageOne(config.latent, config.told, colours, width, side),
        "D1": TextDiscriminator(colours, width, side, config.text),
        "told2": Augment(config.text, config.told),
        "G2": StageTwo(config.told, colours, width, side, spec.resolution, config.blocks),
        "D2": TextDiscriminator(colours, width, spec.resolution, config.text),
    }
    return Game(
        nets=nn.ModuleDict(nets),
        players={
            "G1": Player(("reader", "told1", "G1"), config.optim.g1),
            "D1": Player(("reader", "D1"), config.optim.d1),
            "G2": Player(("told2", "G2"), config.optim.g2),
            "D2": Player(("D2",), config.optim.d2),
        },
        stages=(
            Stage(
                f"{side}x{side}",
                (Move("G1", Draw(one, loss, config.kl)), Move("D1", Judge(one, loss))),
                config.first_share,
            ),
            Stage(
                f"{spec.resolution}x{spec.resolution}",
                (Move("G2", Draw(two, loss, config.kl, one)), Move("D2", Judge(two, loss))),
                1 - config.first_share,
            ),
        ),
        sampler=sampler(config),
        averaged=("reader", "told1", "G1", "told2", "G2"),
        reader=reader_of(settled.captions, spec),
    )

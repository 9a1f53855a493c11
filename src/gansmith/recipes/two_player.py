"""The game of one generator and one discriminator, which most families are, with every loss, penalty and network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from gansmith.core.clock import Clock
from gansmith.core.config import Config, OptimConfig, Settings
from gansmith.core.game import Batch, Game, Move, Nets, Outcome, Player, Request, Sampler, Stage, Turn
from gansmith.losses.adversarial import AdversarialLoss, loss_named, smoothed
from gansmith.losses.penalties import clip_weights, penalty_named

LossName = Literal["minimax", "nonsaturating", "least-squares", "wasserstein", "hinge", "relativistic"]


class PenaltyConfig(Settings):
    """The weight of one penalty, and its cadence."""

    weight: float = Field(0.0, ge=0)
    """0 switches it off"""
    every: int = Field(1, ge=1)
    """paid every so many steps, times as much: 16 is StyleGAN2's lazy regularisation (Karras 2020, sec. 3.1)"""


class PenaltiesConfig(Settings):
    """What D pays for the size of its gradients. ``penalty.r1=1`` is short for ``penalty.r1.weight=1``."""

    gp: PenaltyConfig = PenaltyConfig()
    """gradient penalty, two-sided (Gulrajani 2017); 10 in the paper"""
    dragan: PenaltyConfig = PenaltyConfig()
    """gradient penalty around the real images (Kodali 2017); 10 in the paper"""
    r1: PenaltyConfig = PenaltyConfig()
    """squared gradient at real images (Mescheder 2018)"""
    r2: PenaltyConfig = PenaltyConfig()
    """squared gradient at fakes (Mescheder 2018)"""
    clip: float = Field(0.0, ge=0)
    """clips D's weights to ± this after every update (Arjovsky 2017, 0.01 in the paper); 0 does not"""

    @field_validator("gp", "dragan", "r1", "r2", mode="before")
    @classmethod
    def _a_number_is_a_weight(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, int | float | str) else value


class OptimsConfig(Settings):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig()
    """the generator's"""
    d: OptimConfig = OptimConfig()
    """the discriminator's"""


class TwoPlayerConfig(Config):
    """What every family of one generator and one discriminator can set."""

    conditioning: Literal["none", "concat", "projection"] = "none"
    """how both players are told the class: concat beside their input (Mirza 2014), projection (Miyato 2018)"""
    latent: int = Field(64, ge=1)
    """length of the latent vector"""
    loss: LossName = "nonsaturating"
    """what D and G pay"""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """one-sided: real images count as fake by this much (Salimans 2016); 0.1 in the paper"""
    instance_noise: float = Field(0.0, ge=0)
    """standard deviation of the noise on D's inputs at the start; falls to 0 at the end of the run (Sønderby 2017)"""
    penalty: PenaltiesConfig = PenaltiesConfig()
    n_critic: int = Field(1, ge=1)
    """D's updates for each of G's"""
    optim: OptimsConfig = OptimsConfig()

    def adversarial(self) -> AdversarialLoss:
        """What `loss` names."""
        return loss_named(self.loss)


Conditions = tuple[Tensor, ...]
"""What both players are told beside latents or images: nothing, or the labels (N,)."""


def unconditional(labels: Tensor | None) -> Conditions:
    """Neither player is told anything."""
    return ()


def _generate(nets: Nets, z: Tensor, conditions: Conditions, clock: Clock) -> Tensor:
    return nets["G"](z, *conditions)


def _judge(nets: Nets, images: Tensor, conditions: Conditions, clock: Clock) -> Tensor:
    return nets["D"](images, *conditions)


def _reals(batch: Batch, clock: Clock) -> Tensor:
    return batch.images


@dataclass(frozen=True)
class Rules:
    """How two players see each other. A growing family replaces these; the losses below stay as they are.

    Attributes:
        latent: length of the latent vector.
        generate: (nets, latents, conditions, clock) -> images.
        judge: (nets, images, conditions, clock) -> logits (N,).
        reals: (batch, clock) -> the real images that D sees.
        conditions: (labels, or None where there are none) -> what both nets are told. Fakes are made for the labels
            of the batch, so that D sees as many of each class among fakes as among reals.
    """

    latent: int
    generate: Callable[[Nets, Tensor, Conditions, Clock], Tensor] = _generate
    judge: Callable[[Nets, Tensor, Conditions, Clock], Tensor] = _judge
    reals: Callable[[Batch, Clock], Tensor] = _reals
    conditions: Callable[[Tensor | None], Conditions] = unconditional
    instance_noise: float = 0.0

    def fakes(self, turn: Turn) -> Tensor:
        """As many fakes as the batch has images."""
        z = torch.randn(len(turn.batch), self.latent, device=turn.batch.images.device)
        return self.generate(turn.nets, z, self.conditions(turn.batch.labels), turn.clock)

    def logits(self, turn: Turn, images: Tensor) -> Tensor:
        """D's outputs for what it sees of `images`."""
        sigma = self.instance_noise * (1 - turn.clock.progress)
        seen = images + sigma * torch.randn_like(images) if sigma else images
        return self.judge(turn.nets, seen, self.conditions(turn.batch.labels), turn.clock)


@dataclass(frozen=True)
class GeneratorLoss:
    """G's side: makes the step's fakes, leaves them for D, and pays for what D says of them."""

    rules: Rules
    loss: AdversarialLoss

    def __call__(self, turn: Turn) -> Outcome:
        fake = self.rules.fakes(turn)
        turn.made["fake"] = fake.detach()
        real = self.rules.logits(turn, self.rules.reals(turn.batch, turn.clock)) if self.loss.paired else None
        return Outcome({"loss": self.loss.g(self.rules.logits(turn, fake), real)})


@dataclass(frozen=True)
class DiscriminatorLoss:
    """D's side: pays for what it says of reals and fakes, and for its gradients.

    Attributes:
        penalties: by name, in order: each is paid every `every` steps, `every` times as much.
    """

    rules: Rules
    loss: AdversarialLoss
    penalties: dict[str, PenaltyConfig]

    def __call__(self, turn: Turn) -> Outcome:
        real = self.rules.reals(turn.batch, turn.clock)
        fake = self._take_fakes(turn)
        real_logits, fake_logits = self.rules.logits(turn, real), self.rules.logits(turn, fake)
        terms = {"loss": self.loss.d(real_logits, fake_logits)}
        critic = partial(self.rules.logits, turn)
        for name, penalty in self.penalties.items():
            if turn.clock.step % penalty.every == 0:
                scale = penalty.weight * penalty.every
                terms[name] = scale * penalty_named(name).function(critic, real, fake)
        return Outcome(terms, {"real": real_logits.detach().mean(), "fake": fake_logits.detach().mean()})

    def _take_fakes(self, turn: Turn) -> Tensor:
        """Those that G left in this step, once; a critic that moves again makes its own."""
        if "fake" in turn.made:
            return turn.made.pop("fake")
        with torch.no_grad():
            return self.rules.fakes(turn)


def normal_latents(latent: int) -> Callable[[int, torch.Generator], Tensor]:
    """(n, generator) -> (n, latent) of N(0, 1)."""
    return lambda n, generator: torch.randn(n, latent, generator=generator)


def two_player(config: TwoPlayerConfig, g: nn.Module, d: nn.Module, rules: Rules, shares: dict[str, float]) -> Game:
    """The game of a generator and a discriminator.

    Args:
        config: loss, penalties, optimisers, cadence.
        g, d: the nets.
        rules: how they see each other.
        shares: name and share of each stage; all stages play the same moves, by the clock.
    """
    loss = config.adversarial()
    weights = {name: getattr(config.penalty, name) for name in ("gp", "dragan", "r1", "r2")}
    penalties = {name: penalty for name, penalty in weights.items() if penalty.weight}
    moves = (
        Move("G", GeneratorLoss(rules, loss)),
        Move("D", DiscriminatorLoss(rules, smoothed(loss, config.label_smoothing), penalties), repeats=config.n_critic),
    )
    project = clip_weights(config.penalty.clip) if config.penalty.clip else None

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        return rules.generate(nets, latents * request.truncation, rules.conditions(request.labels), clock)

    return Game(
        nets=nn.ModuleDict({"G": g, "D": d}),
        players={"G": Player(("G",), config.optim.g), "D": Player(("D",), config.optim.d, project)},
        stages=tuple(Stage(name, moves, share) for name, share in shares.items()),
        sampler=Sampler(normal_latents(rules.latent), images),
        averaged=("G",),
    )

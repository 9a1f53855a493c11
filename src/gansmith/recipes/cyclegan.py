"""Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks".

Two generators, A to B and B to A, which undo each other (eq. 2), two discriminators of patches, least squares, a pool
of 50 fakes (sec. 4), and a linear fall of the rates (sec. 7.1). Where both kinds have as many channels, an image of the
kind that a generator makes should be left as it is (sec. 5.2).

The paper trains for days, at 2e-4 and beta2 = 0.999, with λ = 10 and batches of 1. Here it is minutes (LOG.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.config import DataConfig, OptimConfig, Settings, TrainConfig
from gansmith.core.game import Game, Move, Nets, Outcome, Player, Stage, Translator, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss, loss_named
from gansmith.losses.reconstruction import l1
from gansmith.nets.translate import PatchDiscriminator, ResNetGenerator
from gansmith.recipes.translation import Pool, check_loss, check_targets, notes_on, of_images
from gansmith.recipes.two_player import LossName


class OptimsConfig(Settings):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig(lr=1e-3, beta2=0.99, decay="linear")
    """both generators'"""
    d: OptimConfig = OptimConfig(lr=5e-4, beta2=0.99, decay="linear")
    """both discriminators'"""


class Config(settings.Config):
    """The settings of `cyclegan`."""

    family: Literal["cyclegan"] = "cyclegan"
    data: DataConfig = DataConfig(targets="unpaired", mirror=True)
    train: TrainConfig = TrainConfig(batch=4)
    width: int = Field(24, ge=1)
    """G's channels at full resolution, 64 in the paper; four times as many where its blocks are"""
    blocks: int = Field(4, ge=1)
    """G's residual blocks; 6 and 9 in the paper"""
    d_width: int = Field(24, ge=1)
    """D's channels after its first convolution, doubling; 64 in the paper"""
    loss: LossName = "least-squares"
    """what D and G pay"""
    cycle: float = Field(5.0, ge=0)
    """weight of what does not come back (eq. 2, λ; 10 in the paper)"""
    identity: float = Field(0.5, ge=0)
    """weight, times `cycle`, of what G changes of an image that is of the other kind already (sec. 5.2)"""
    pool: int = Field(50, ge=0)
    """earlier fakes that D is shown some of in place of new ones (sec. 4)"""
    optim: OptimsConfig = OptimsConfig()


@dataclass(frozen=True)
class Translate:
    """The generators' move (eq. 3): to fool both discriminators, to come back, and to leave alone what is right."""

    loss: AdversarialLoss
    cycle: float
    identity: float

    def __call__(self, turn: Turn) -> Outcome:
        a, b = both(turn)
        to_b, to_a = turn.nets["A_to_B"], turn.nets["B_to_A"]
        fake_b, fake_a = to_b(a), to_a(b)
        turn.made["A"], turn.made["B"] = fake_a.detach(), fake_b.detach()
        terms = {
            "loss": self.fooling(turn.nets["D_B"], fake_b, b) + self.fooling(turn.nets["D_A"], fake_a, a),
            "cycle": self.cycle * (l1(to_a(fake_b), a) + l1(to_b(fake_a), b)),
        }
        if self.identity:
            terms["identity"] = self.cycle * self.identity * (l1(to_b(b), b) + l1(to_a(a), a))
        return Outcome(terms)

    def fooling(self, net: nn.Module, fake: Tensor, real: Tensor) -> Tensor:
        return self.loss.g(net(fake), net(real) if self.loss.paired else None)


@dataclass
class Judge:
    """The discriminators' move, on fakes of this step and of earlier ones."""

    loss: AdversarialLoss
    pools: dict[str, Pool] = field(default_factory=dict)

    def __call__(self, turn: Turn) -> Outcome:
        losses, logits = [], []
        for kind, images in zip("AB", both(turn), strict=True):
            net = turn.nets[f"D_{kind}"]
            real, fake = net(images), net(self.pools[kind].exchanged(turn.made[kind]))
            losses.append(self.loss.d(real, fake))
            logits.append((real, fake))
        real, fake = (torch.cat([part.flatten() for part in parts]) for parts in zip(*logits, strict=True))
        return Outcome({"loss": torch.stack(losses).sum()}, notes_on(real, fake))

    def state_dict(self) -> dict[str, Any]:
        return {kind: pool.state_dict() for kind, pool in self.pools.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for kind, pool in self.pools.items():
            pool.load_state_dict(state[kind])


def both(turn: Turn) -> tuple[Tensor, Tensor]:
    """The batch's images of either kind."""
    assert turn.batch.targets is not None
    return turn.batch.images, turn.batch.targets


def to_b(nets: Nets, images: Tensor) -> Tensor:
    return nets["A_to_B"](images)


def to_a(nets: Nets, images: Tensor) -> Tensor:
    return nets["B_to_A"](images)


def columns(nets: Nets, images: Tensor, targets: Tensor | None) -> tuple[Tensor, ...]:
    """Images, what they become, and what they should have become, or, where that is not known, what comes back."""
    made = to_b(nets, images)
    return images, made, to_a(nets, made) if targets is None else targets


def build(config: Config, spec: Spec) -> Game:
    """The game of two generators and two discriminators.

    Raises:
        ConfigError: there is no second kind of images, or the loss is a critic's.
    """
    check_targets("cyclegan", spec, paired=False)
    loss = loss_named(config.loss)
    check_loss(config.loss, loss)
    a, b = spec.channels, spec.target_channels
    nets = nn.ModuleDict(
        {
            "A_to_B": ResNetGenerator(a, b, config.width, config.blocks),
            "B_to_A": ResNetGenerator(b, a, config.width, config.blocks),
            "D_A": PatchDiscriminator(a, config.d_width, spec.resolution, "instance"),
            "D_B": PatchDiscriminator(b, config.d_width, spec.resolution, "instance"),
        }
    )
    moves = (
        Move("G", Translate(loss, config.cycle, config.identity if a == b else 0.0)),
        Move("D", Judge(loss, {kind: Pool(config.pool) for kind in "AB"})),
    )
    g: Any = nets["A_to_B"]
    return Game(
        nets=nets,
        players={"G": Player(("A_to_B", "B_to_A"), config.optim.g), "D": Player(("D_A", "D_B"), config.optim.d)},
        stages=(Stage("train", moves),),
        sampler=of_images(to_b),
        averaged=("A_to_B", "B_to_A"),
        translator=Translator(
            {"B": to_b, "A": to_a}, {"B": (a, b), "A": (b, a)}, columns, multiple=g.multiple, reach=g.reach
        ),
    )

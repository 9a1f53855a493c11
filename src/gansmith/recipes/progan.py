"""Karras et al. 2018, "Progressive Growing of GANs": a stage per size, each faded in, the last the longest.

The loss is the non-saturating one with R1, as Karras et al. 2019 chose for these nets, tuned (table 1, B): in minutes
it is far ahead of the paper's WGAN-GP (LOG.md). That is ``--set loss=wasserstein --set penalty.gp.weight=10 --set
penalty.drift=0.001 --set penalty.r1.weight=0``. At the paper's rates of 1e-3 equalised weights hardly move in minutes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Game, Nets
from gansmith.core.spec import Spec
from gansmith.nets import progan
from gansmith.nets.blocks import levels
from gansmith.recipes.conditioning import paired
from gansmith.recipes.two_player import (
    Conditions,
    Minibatch,
    OptimsConfig,
    PenaltiesConfig,
    PenaltyConfig,
    TwoPlayerConfig,
    two_player,
)

_G = OptimConfig(lr=1e-2, beta1=0.0, beta2=0.99, decay="cosine")
_D = OptimConfig(lr=4e-3, beta1=0.0, beta2=0.99, decay="cosine")


class Config(TwoPlayerConfig):
    """The settings of `progan`."""

    family: Literal["progan"] = "progan"
    start: int = Field(4, ge=4)
    """side of the images of the first stage, a power of two"""
    train: TrainConfig = TrainConfig(batch=16)
    width: int = Field(8, ge=1)
    """channels at full resolution, doubling towards 4x4, at most 8 times"""
    minibatch: Minibatch = "stddev"
    penalty: PenaltiesConfig = PenaltiesConfig(r1=PenaltyConfig(weight=0.02, every=16))
    optim: OptimsConfig = OptimsConfig(g=_G, d=_D)


def shares_of(stages: int) -> list[float]:
    """How long each stage is, a fade-in being 1: the first has none, the last goes on until it is good.

    The paper's run of CIFAR-10 at 32x32: 600, 1200, 1200 and then 9000 of its 12,000 thousand images.
    """
    return [1.0, *[2.0] * (stages - 2), 15.0][:stages]


def grown(clock: Clock, first: int, shares: list[float]) -> float:
    """Finished levels and, behind the point, how far the next has faded in."""
    level = first + clock.stage
    if clock.stage == 0:
        return float(level)
    return level - 1 + min(1.0, max(1e-3, shares[clock.stage] * clock.stage_progress))


def build(config: Config, spec: Spec) -> Game:
    """The game: one stage from `start` up to the data's size for every doubling; nets that begin as another run's have
    grown already."""
    first = config.start if config.train.start is None else spec.resolution
    sides = [2**i for i in range(2, 12) if first <= 2**i <= spec.resolution]
    if not sides or sides[0] != first:
        raise ConfigError(f"start: expected a power of two from 4 to {spec.resolution}, got {config.start}")
    shares = shares_of(len(sides))
    growth = partial(grown, first=levels(first), shares=shares)

    def generate(nets: Nets, z: Tensor, conditions: Conditions, clock: Clock) -> Tensor:
        return nets["G"](z, *conditions, growth(clock))

    def judge(nets: Nets, images: Tensor, conditions: Conditions, clock: Clock) -> Any:
        return nets["D"](images, *conditions, growth(clock))

    def reals(batch: Batch, clock: Clock) -> Tensor:
        return progan.real_at(batch.images, growth(clock))

    pair = paired(
        config,
        spec,
        make_g=lambda latent: progan.Generator(spec, latent, config.width),
        make_d=lambda seen: progan.Discriminator(seen, config.width, config.minibatch == "stddev"),
    )
    rules = replace(pair.rules, generate=generate, judge=judge, reals=reals)
    stages = {f"{side}x{side}": share for side, share in zip(sides, shares, strict=True)}
    game = two_player(config, pair.g, pair.d, rules, stages)
    return replace(game, sampler=replace(game.sampler, truncates=False))  # G normalises its latents

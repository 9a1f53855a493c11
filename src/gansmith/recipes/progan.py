"""Karras et al. 2018, "Progressive Growing of GANs": a stage per size, each faded in over its first half.

The paper's rates are 1e-3, and its critic moves once for each move of G: equalised weights then hardly move in minutes,
and the critic lags behind. Here they are 1e-2, and it moves twice: better, not yet good (LOG.md).
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
    LossName,
    OptimsConfig,
    PenaltiesConfig,
    PenaltyConfig,
    TwoPlayerConfig,
    two_player,
)

_OPTIM = OptimConfig(lr=1e-2, beta1=0.0, beta2=0.99, decay="cosine")


class Config(TwoPlayerConfig):
    """The settings of `progan`."""

    family: Literal["progan"] = "progan"
    start: int = Field(4, ge=4)
    """side of the images of the first stage, a power of two"""
    train: TrainConfig = TrainConfig(batch=16)
    width: int = Field(8, ge=1)
    """channels at full resolution, doubling towards 4x4, at most 8 times"""
    loss: LossName = "wasserstein"
    n_critic: int = Field(2, ge=1)
    penalty: PenaltiesConfig = PenaltiesConfig(gp=PenaltyConfig(weight=10.0), drift=1e-3)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)


def grown(clock: Clock, first: int) -> float:
    """Finished levels and, behind the point, how far the next has faded in: all of it by half the stage."""
    level = first + clock.stage
    if clock.stage == 0:
        return float(level)
    return level - 1 + min(1.0, max(1e-3, 2 * clock.stage_progress))


def build(config: Config, spec: Spec) -> Game:
    """The game: one stage from `start` up to the data's size for every doubling."""
    sides = [2**i for i in range(2, 12) if config.start <= 2**i <= spec.resolution]
    if not sides or sides[0] != config.start:
        raise ConfigError(f"start: expected a power of two from 4 to {spec.resolution}, got {config.start}")
    growth = partial(grown, first=levels(config.start))

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
        make_d=lambda seen: progan.Discriminator(seen, config.width),
    )
    rules = replace(pair.rules, generate=generate, judge=judge, reals=reals)
    return two_player(config, pair.g, pair.d, rules, {f"{side}x{side}": 1.0 for side in sides})

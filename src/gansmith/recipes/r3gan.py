"""Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline" (R3GAN).

Relativistic pairing loss with R1 and R2, residual nets without normalisation, Adam without momentum, and a cosine over
the run for the learning rate and for the penalties' gamma, which falls tenfold (its table of hyper-parameters). Rates,
widths and the penalties' cadence are what learns on a CPU in minutes (LOG.md). Otherwise than there, the penalties are
paid every eight steps, so Adam's memory is long from the start, where the paper's beta2 rises from 0.9 to 0.99
(``beta2_end``). The rate falls to 0, not to a quarter; the average's half-life is that of every family here; nothing is
augmented (its schedule of augmentation is ADA's pipeline by the clock; ``augment=diffaugment`` is what there is).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.core.game import Game
from gansmith.core.spec import Spec
from gansmith.nets import r3gan
from gansmith.recipes.conditioning import paired
from gansmith.recipes.two_player import (
    LossName,
    OptimsConfig,
    PenaltiesConfig,
    PenaltyConfig,
    TwoPlayerConfig,
    two_player,
)

_OPTIM = OptimConfig(lr=1.5e-3, beta1=0.0, beta2=0.99, decay="cosine")
_GAMMA = PenaltyConfig(weight=0.5, end=0.05, every=8)


class Config(TwoPlayerConfig):
    """The settings of `r3gan`."""

    family: Literal["r3gan"] = "r3gan"
    train: TrainConfig = TrainConfig(batch=16)
    width: int = Field(8, ge=1)
    """channels at full resolution, doubling towards 4x4, at most 8 times"""
    blocks: int = Field(1, ge=1)
    """residual blocks at each resolution; 2 in the paper"""
    loss: LossName = "relativistic"
    penalty: PenaltiesConfig = PenaltiesConfig(r1=_GAMMA, r2=_GAMMA)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)


def build(config: Config, spec: Spec) -> Game:
    """The game of a pair: one stage."""
    pair = paired(
        config,
        spec,
        make_g=lambda latent: r3gan.Generator(spec, latent, config.width, config.blocks),
        make_d=lambda seen: r3gan.Discriminator(seen, config.width, config.blocks),
    )
    return two_player(config, pair.g, pair.d, pair.rules, {"train": 1.0})

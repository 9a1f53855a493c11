"""Arjovsky et al. 2017, "Wasserstein GAN", alg. 1: weights clipped to ± 0.01, n_critic = 5, RMSprop.

The critic's loss, negated, estimates the distance between reals and fakes, up to a factor. The paper's rate of 5e-5 is
for days of training; ours is ten times that. Batch norm is in both nets, as in the paper's DCGAN.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import LossName, OptimsConfig, PenaltiesConfig

__all__ = ["Config", "build"]

_OPTIM = OptimConfig(kind="rmsprop", lr=5e-4, beta1=0.0, beta2=0.99, decay="cosine")


class Config(PairConfig):
    """The settings of `wgan`."""

    family: Literal["wgan"] = "wgan"
    loss: LossName = "wasserstein"
    penalty: PenaltiesConfig = PenaltiesConfig(clip=0.01)
    n_critic: int = Field(5, ge=1)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)

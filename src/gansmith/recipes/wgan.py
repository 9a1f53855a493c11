"""Arjovsky et al. 2017, "Wasserstein GAN", alg. 1: weights clipped, n_critic = 5, RMSprop.

The critic's loss, negated, estimates the distance between reals and fakes, up to a factor. Batch norm is in both nets,
as in the paper's DCGAN; its gains are clipped like all weights, so at the paper's ± 0.01 the critic hardly learns in
minutes. Here it is ± 0.05, and the rate 2e-3, not 5e-5 (LOG.md). The paper's: ``--set penalty.clip=0.01``, and for both
``optim.g`` and ``optim.d`` ``lr=5e-5``, ``decay=constant``; its code lets the critic run ahead: ``critic_burst=95``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import LossName, OptimsConfig, PenaltiesConfig

__all__ = ["Config", "build"]

_OPTIM = OptimConfig(kind="rmsprop", lr=2e-3, beta1=0.0, beta2=0.99, decay="cosine")


class Config(PairConfig):
    """The settings of `wgan`."""

    family: Literal["wgan"] = "wgan"
    loss: LossName = "wasserstein"
    penalty: PenaltiesConfig = PenaltiesConfig(clip=0.05)
    n_critic: int = Field(5, ge=1)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)

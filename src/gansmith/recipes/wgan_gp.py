"""Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", alg. 1: λ = 10, n_critic = 5, Adam (0, 0.9).

The critic has layer norm in place of batch norm (sec. 4). The critic's loss, negated, estimates the distance.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import LossName, OptimsConfig, PenaltiesConfig, PenaltyConfig

__all__ = ["Config", "build"]

_OPTIM = OptimConfig(lr=5e-4, beta1=0.0, beta2=0.9, decay="cosine")


class Config(PairConfig):
    """The settings of `wgan-gp`."""

    family: Literal["wgan-gp"] = "wgan-gp"
    loss: LossName = "wasserstein"
    d_norm: Literal["batch", "layer", "none"] = "layer"
    penalty: PenaltiesConfig = PenaltiesConfig(gp=PenaltyConfig(weight=10.0))
    n_critic: int = Field(5, ge=1)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)

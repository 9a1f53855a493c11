"""Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs".

The networks are the paper's; the rest is what learns fastest on a CPU (LOG.md): small steps, a narrower D at a much
lower rate than G, and the least-squares loss, under which D overpowers G later. The paper's own: ``--set
loss=nonsaturating --set train.batch=128 --set latent=100 --set g_width=64 --set d_width=64``, and for both ``optim.g``
and ``optim.d`` ``lr=2e-4``, ``beta2=0.999``, ``decay=constant``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import LossName, OptimsConfig

__all__ = ["Config", "build"]


class Config(PairConfig):
    """The settings of `dcgan`."""

    family: Literal["dcgan"] = "dcgan"
    loss: LossName = "least-squares"
    d_width: int = Field(16, ge=1)
    optim: OptimsConfig = OptimsConfig(
        g=OptimConfig(lr=4e-3, beta2=0.99, decay="cosine"), d=OptimConfig(lr=1e-3, beta2=0.99, decay="cosine")
    )

"""Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs".

The networks are the paper's; width, batch, learning rate and its decay are what learns fastest on a CPU
(benchmarks/README.md). The paper's own: ``--set train.batch=128 --set g_width=64 --set d_width=64 --set latent=100``
with ``optim.g.lr`` and ``optim.d.lr`` at 2e-4 and ``decay`` constant.
"""

from __future__ import annotations

from typing import Literal

from gansmith.core.config import OptimConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import OptimsConfig

__all__ = ["Config", "build"]

_OPTIM = OptimConfig(lr=8e-4, decay="cosine")


class Config(PairConfig):
    """The settings of `dcgan`."""

    family: Literal["dcgan"] = "dcgan"
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)

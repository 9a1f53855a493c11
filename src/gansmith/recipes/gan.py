"""Goodfellow et al. 2014, "Generative Adversarial Nets": perceptrons, maxout and dropout in D.

G minimises the non-saturating cost of sec. 3; ``--set loss=minimax`` is eq. 1.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.recipes.pairs import PairConfig, build
from gansmith.recipes.two_player import OptimsConfig

__all__ = ["Config", "build"]

_OPTIM = OptimConfig(lr=1e-3, decay="cosine")


class Config(PairConfig):
    """The settings of `gan`."""

    family: Literal["gan"] = "gan"
    train: TrainConfig = TrainConfig(batch=16)
    network: Literal["dcgan", "mlp"] = "mlp"
    g_width: int = Field(256, ge=1)
    d_width: int = Field(128, ge=1)
    dropout: float = Field(0.3, ge=0, lt=1)
    optim: OptimsConfig = OptimsConfig(g=_OPTIM, d=_OPTIM)

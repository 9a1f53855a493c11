"""Mirza & Osindero 2014, "Conditional Generative Adversarial Nets": both players are told the class.

The nets are those of `dcgan`. ``--set conditioning=concat`` puts the label beside the input, as the paper does; the
default is projection (Miyato & Koyama 2018) with batch norms of each class in G.
"""

from __future__ import annotations

from typing import Literal

from gansmith.recipes import dcgan
from gansmith.recipes.pairs import build

__all__ = ["Config", "build"]


class Config(dcgan.Config):
    """The settings of `cgan`."""

    family: Literal["cgan"] = "cgan"  # type: ignore[assignment]
    conditioning: Literal["none", "concat", "projection", "acgan"] = "projection"

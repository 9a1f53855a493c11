"""Mao et al. 2017, "Least Squares Generative Adversarial Networks", on the nets of `dcgan`
(whose default loss is this one too, with the codes of eq. 9).

The codes a, b, c of its eq. 2: D wants a of fakes and b of reals, G wants c of fakes. The defaults are eq. 9; a=-1,
b=1, c=0 is eq. 8, where G minimises a Pearson divergence.
"""

from __future__ import annotations

from typing import Literal

from gansmith.losses.adversarial import AdversarialLoss, least_squares
from gansmith.recipes import dcgan
from gansmith.recipes.pairs import build

__all__ = ["Config", "build"]


class Config(dcgan.Config):
    """The settings of `lsgan`."""

    family: Literal["lsgan"] = "lsgan"  # type: ignore[assignment]
    loss: Literal["least-squares"] = "least-squares"
    a: float = 0.0
    """what D wants to say of fakes"""
    b: float = 1.0
    """what D wants to say of reals"""
    c: float = 1.0
    """what G wants D to say of fakes"""

    def adversarial(self) -> AdversarialLoss:
        return least_squares(self.a, self.b, self.c)

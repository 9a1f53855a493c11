"""The configuration that every family shares. One source of defaults: a field's description is its ``--help``.

A family's own settings are a subclass of `Config` in its recipe. The whole resolves to one flat tree, so that
``--set loss=hinge``, ``--set optim.g.lr=1e-3`` and ``--set data.fit=pad`` all name a place in it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base of all settings: unknown names are errors, and a record never changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class DataConfig(Settings):
    """Which images, and how they become squares."""

    source: str = "builtin:fashion"
    """builtin:fashion, builtin:emoji, a folder, zip, tar, IDX, .npy/.npz file, fashion-mnist, or hf:NAME"""
    resolution: int | None = Field(None, ge=8, le=1024)
    """side of the square the networks see, a power of two; by default fitted to the data (28 becomes 32), at most 64"""
    fit: Literal["auto", "crop", "pad", "stretch"] = "auto"
    """how an image becomes a square: auto pads what is slightly smaller than the square and crops the rest"""
    channels: Literal[1, 3, 4] | None = None
    """1 grey, 3 RGB, 4 RGBA; by default 1 if every image is grey, else 3 (transparency is put on white)"""
    holdout: float = Field(0.1, ge=0.0, le=0.5)
    """share of the images kept out of training to measure against, where the data has no test split of its own"""

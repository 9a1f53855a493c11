"""Shapes that the codes of an adversarial autoencoder can be given (Makhzani et al. 2016, figs. 2 and 4).

A prior turns normal numbers and a place in [0, 1) into codes. The place says where in the shape a code lies: which
Gaussian of a mixture, how far along a roll. With K classes, class c owns the places [c / K, (c + 1) / K).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gansmith.core.errors import ConfigError
from gansmith.core.names import named

RADIUS, ALONG, ACROSS = 2.0, 0.5, 0.2
"""Of the star: its Gaussians' distance from 0, and their standard deviations along and across their ray."""
TURNS, REACH, THICKNESS = 1.5, 3.0, 0.1
"""Of the roll: its turns, its outer radius, the standard deviation about it."""


@dataclass(frozen=True)
class Prior:
    """A shape of codes.

    Attributes:
        name: as the user writes it.
        codes: (normals (N, 2m), places (N,), components) -> codes (N, 2m); every pair of numbers lies in the same place
            of the shape, with noise of its own.
        extent: the square of side 2 `extent` about 0 holds nearly all of a pair.
        has_places: whether places matter: without them there is nothing for a class to own.
    """

    name: str
    codes: Callable[[Tensor, Tensor, int], Tensor]
    extent: float
    has_places: bool = True

    def check(self, latent: int) -> None:
        """ConfigError where codes of this length cannot have the shape."""
        if self.has_places and latent % 2:
            raise ConfigError(f"prior={self.name}: lies in planes; latent={latent} is odd, try {latent + 1}")


def gaussian(normals: Tensor, places: Tensor, components: int) -> Tensor:
    """N(0, 1), whatever the place."""
    return normals


def mixture(normals: Tensor, places: Tensor, components: int) -> Tensor:
    """A star of Gaussians, each longest along its ray from 0 (Makhzani 2016, fig. 4a)."""
    angle = (places * components).floor() * (2 * math.pi / components)
    along, across = RADIUS + ALONG * normals[:, ::2], ACROSS * normals[:, 1::2]
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    return torch.stack([along * cos - across * sin, along * sin + across * cos], 2).flatten(1)


def swiss_roll(normals: Tensor, places: Tensor, components: int) -> Tensor:
    """A spiral from 0 outwards, evenly dense along its length (Makhzani 2016, fig. 4b)."""
    out = places.sqrt()[:, None]
    angle, radius = 2 * math.pi * TURNS * out, REACH * out
    roll = torch.stack([radius * angle.cos(), radius * angle.sin()], 2)
    return (roll + THICKNESS * normals.unflatten(1, (-1, 2))).flatten(1)


PRIORS = {
    prior.name: prior
    for prior in (
        Prior("gaussian", gaussian, 2.5, has_places=False),
        Prior("mixture", mixture, RADIUS + 2 * ALONG),
        Prior("swiss-roll", swiss_roll, REACH + 2 * THICKNESS),
    )
}


def prior_named(name: str) -> Prior:
    """The prior of `PRIORS` called `name`; ConfigError where there is none."""
    return named("prior", PRIORS, name)


def places_of(labels: Tensor, within: Tensor, classes: int) -> Tensor:
    """Places (N,) that the classes `labels` own, by `within` in [0, 1)."""
    # Off the borders, where rounding would put a place into the next class.
    return (labels + within.clamp(1e-4, 1 - 1e-4)) / classes

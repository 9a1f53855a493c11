"""One file per family: its settings, and `build(config, spec) -> Game`. `FAMILIES` finds them by name.

``two_player`` is what the families with one generator and one discriminator share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.game import Game
from gansmith.core.names import named
from gansmith.core.spec import Spec


@dataclass(frozen=True)
class Family:
    """What `gansmith families` shows, and where the recipe is.

    Attributes:
        name: as the user writes it.
        paper: where it comes from.
        kind: what it turns into what.
        summary: one line on when to choose it.
        module: its file in this folder.
    """

    name: str
    paper: str
    kind: str
    summary: str
    module: str

    @property
    def config(self) -> type[Config]:
        """The family's settings, with its defaults."""
        return import_module(f"gansmith.recipes.{self.module}").Config

    @property
    def build(self) -> Callable[[Any, Spec], Game]:
        """(config, spec) -> the game."""
        return import_module(f"gansmith.recipes.{self.module}").build


_NOISE = "noise to images"
_IMAGES = "images to images"
FAMILIES = {
    family.name: family
    for family in (
        Family("dcgan", "Radford 2016", _NOISE, "convolutional; the best samples in minutes on a CPU", "dcgan"),
        Family("cgan", "Mirza 2014", "class to images", "asks for a class: dcgan that is told the labels", "cgan"),
        Family("lsgan", "Mao 2017", _NOISE, "dcgan whose D pays squares: gradients that do not vanish", "lsgan"),
        Family("gan", "Goodfellow 2014", _NOISE, "the first: multilayer perceptrons, maxout and dropout", "gan"),
        Family("wgan", "Arjovsky 2017", _NOISE, "a critic that estimates a distance; weights clipped", "wgan"),
        Family("wgan-gp", "Gulrajani 2017", _NOISE, "steady: a critic with a gradient penalty", "wgan_gp"),
        Family("r3gan", "Huang 2024", _NOISE, "the modern baseline: relativistic loss, R1 and R2, no norms", "r3gan"),
        Family("lapgan", "Denton 2015", _NOISE, "a small image first, then the detail of each doubling", "lapgan"),
        Family("progan", "Karras 2018", _NOISE, "grows from coarse to fine, fading each size in", "progan"),
        Family(
            "stylegan", "Karras 2019, 2020", _NOISE, "a style for each layer: images that can be edited", "stylegan"
        ),
        Family(
            "cyclegan",
            "Zhu 2017",
            _IMAGES,
            "between two folders of images without pairs: styles, seasons, modalities",
            "cyclegan",
        ),
        Family(
            "pix2pix", "Isola 2017", _IMAGES, "pairs of images: lines to colour, maps, medical modalities", "pix2pix"
        ),
        Family("srgan", "Ledig 2017, Wang 2018", _IMAGES, "larger images, or the same without their damage", "srgan"),
        Family(
            "stackgan",
            "Zhang 2017",
            "texts to images",
            "draws captions: a small image first, then its detail",
            "stackgan",
        ),
        Family("aae", "Makhzani 2016", _NOISE, "an autoencoder whose code is shaped by a discriminator", "aae"),
        Family("f-anogan", "Schlegl 2019", _NOISE, "finds images unlike the rest: a pair, then an encoder", "fanogan"),
        Family("ganomaly", "Akcay 2018", _NOISE, "finds images unlike the rest: taken apart, put together", "ganomaly"),
    )
}


BASELINE = "r3gan"
"""The family of whoever names none."""


def family_named(name: str) -> Family:
    """The family called `name`; ConfigError with the nearest name where there is none."""
    return named("family", FAMILIES, name)


def build(config: Config, spec: Spec) -> Game:
    """The game of a resolved configuration, for data of this shape; weights from torch's global generator."""
    if spec.resolution < 16 or spec.resolution > 256:
        raise ConfigError(f"data.resolution: {config.family} plays at 16 to 256 pixels, got {spec.resolution}")
    return family_named(config.family).build(config, spec)

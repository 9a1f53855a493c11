"""Denton et al. 2015, "Deep Generative Image Models using a Laplacian Pyramid of Adversarial Networks".

A small image is made from noise; at every doubling another pair adds the detail that the doubled image lacks, seeing it
(sec. 3.2 and fig. 2). The pairs do not meet in training: each learns from the pyramid of the real images. Samples are
made from coarse to fine (fig. 1).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Game, Nets, Request, Sampler, Stage
from gansmith.core.spec import Spec
from gansmith.nets import dcgan, lapgan, mlp
from gansmith.recipes.conditioning import Pair, paired
from gansmith.recipes.two_player import Conditions, LossName, OptimsConfig, Rules, TwoPlayerConfig, duel, normal_latents


class Config(TwoPlayerConfig):
    """The settings of `lapgan`: those of two players hold for the pair of every level."""

    family: Literal["lapgan"] = "lapgan"
    train: TrainConfig = TrainConfig(batch=16)
    start: int = Field(8, ge=4)
    """side of the coarsest images, a power of two; perceptrons make those of 4 pixels, convolutions larger ones"""
    start_g_width: int = Field(96, ge=1)
    """the coarsest G's channels at half its side, doubling towards 4x4; at 4 pixels units of a hidden layer"""
    start_d_width: int = Field(48, ge=1)
    """the same for D"""
    g_width: int = Field(48, ge=1)
    """channels of a hidden layer of a finer G, three in each"""
    d_width: int = Field(16, ge=1)
    """channels of a finer D at half its side, doubling towards 4x4"""
    d_norm: Literal["batch", "layer", "none"] = "batch"
    """normalisation in every convolutional D; with a penalty on gradients use layer or none"""
    dropout: float = Field(0.0, ge=0, lt=1)
    """share of every D's hidden outputs set to 0 in training (Salimans 2016)"""
    loss: LossName = "least-squares"
    optim: OptimsConfig = OptimsConfig(
        g=OptimConfig(lr=2e-3, beta2=0.99, decay="cosine"), d=OptimConfig(lr=1e-3, beta2=0.99, decay="cosine")
    )


def coarsest(config: Config, spec: Spec) -> Pair:
    """The pair of the first level, which is a game of two players like any other."""
    side, first = config.start, replace(spec, resolution=config.start)
    g_width, d_width = config.start_g_width, config.start_d_width
    made: dict[str, Any] = {
        "make_g": lambda latent: dcgan.Generator(first, latent, g_width),
        "make_d": lambda seen: dcgan.Discriminator(seen, d_width, config.d_norm, config.dropout),
    }
    if side == 4:
        made = {
            "make_g": lambda latent: mlp.Generator(first, latent, g_width),
            "make_d": lambda seen: mlp.Discriminator(seen, d_width, dropout=config.dropout),
        }
    pair = paired(config, first, **made)

    def reals(batch: Batch, clock: Clock) -> Tensor:
        return lapgan.down(batch.images, side)

    return replace(pair, rules=replace(pair.rules, reals=reals, mark=str(side)))


def finer(config: Config, spec: Spec, side: int) -> Pair:
    """The pair that adds the detail of `side` pixels to the doubled image of the level below.

    Both see the image below: G as the last of the conditions, D as the low-pass beside the image that it judges.
    """
    noise = (side // 2) ** 2
    level = replace(spec, resolution=side)
    pair = paired(
        config.model_copy(update={"latent": noise}),
        replace(level, channels=2 * spec.channels),
        make_g=lambda latent: lapgan.Generator(level, config.g_width, told=latent - noise),
        make_d=lambda seen: dcgan.Discriminator(seen, config.d_width, config.d_norm, config.dropout),
    )
    told = pair.rules.conditions

    def conditions(asked: Batch | Request) -> Conditions:
        assert isinstance(asked, Batch), "samples are composed of all levels"
        return (*told(asked), lapgan.down(asked.images, side // 2))

    def generate(nets: Nets, z: Tensor, conditions: Conditions, clock: Clock) -> Tensor:
        low = lapgan.up(conditions[-1])
        return lapgan.beside(low + nets["G"](z, *conditions), low)

    def judge(nets: Nets, images: Tensor, conditions: Conditions, clock: Clock) -> Any:
        return nets["D"](images, *conditions[:-1])

    def reals(batch: Batch, clock: Clock) -> Tensor:
        image = lapgan.down(batch.images, side)
        return lapgan.beside(image, lapgan.up(lapgan.down(image, side // 2)))

    made: dict[str, Any] = {
        "generate": generate,
        "judge": judge,
        "reals": reals,
        "conditions": conditions,
        "mark": str(side),
    }
    return replace(pair, rules=replace(pair.rules, **made))


def composing(sides: list[int], sizes: list[int], first: Rules) -> Sampler:
    """Images from coarse to fine; a latent holds the noise of each level, `sizes` numbers of it, in this order."""

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        told = first.conditions(request)
        z, *noises = (latents * request.truncation).split(sizes, 1)
        image = nets[f"G{sides[0]}"](z, *told)
        for side, noise in zip(sides[1:], noises, strict=True):
            image = (lapgan.up(image) + nets[f"G{side}"](noise, *told, image)).clamp(-1, 1)
        return image

    return Sampler(normal_latents(sum(sizes)), images)


def build(config: Config, spec: Spec) -> Game:
    """The game of a pair for every level, all of which play in every step.

    Raises:
        ConfigError: `start` is no power of two below the data's side, or settings do not go together.
    """
    if config.start & (config.start - 1) or config.start >= spec.resolution:
        raise ConfigError(f"start: expected a power of two from 4 to {spec.resolution // 2}, got {config.start}")
    sides = [config.start]
    while sides[-1] < spec.resolution:
        sides.append(2 * sides[-1])
    pairs = {side: finer(config, spec, side) if side > config.start else coarsest(config, spec) for side in sides}
    duels = [duel(config, pair.rules, pair.d) for pair in pairs.values()]
    return Game(
        nets=nn.ModuleDict(
            {f"{name}{side}": net for side, p in pairs.items() for name, net in (("G", p.g), ("D", p.d))}
        ),
        players={name: player for one in duels for name, player in one.players.items()},
        stages=(Stage("train", tuple(chain.from_iterable(one.moves for one in duels))),),
        sampler=composing(sides, [pair.rules.latent[0] for pair in pairs.values()], pairs[config.start].rules),
        averaged=tuple(f"G{side}" for side in sides),
        controls={name: control for one in duels for name, control in one.controls.items()},
        conditional=config.conditioning != "none",
    )

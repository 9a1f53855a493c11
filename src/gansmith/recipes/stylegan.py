"""Karras et al. 2019, "A Style-Based Generator Architecture for GANs", in the form of Karras et al. 2020, "Analyzing
and Improving the Image Quality of StyleGAN": non-saturating loss, lazy R1, path-length regularisation, style mixing.

Widths, rates and cadences are what learns on a CPU in minutes (LOG.md); the paper's, at 1024x1024, are 32 channels and
more, a latent of 512, 8 mapping layers, Adam 2e-3, path length every 8 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.core.game import Game, Move, Nets, Outcome, Request, Sampler, Styles, Turn
from gansmith.core.spec import Spec
from gansmith.nets import stylegan
from gansmith.recipes.conditioning import paired
from gansmith.recipes.two_player import (
    Minibatch,
    OptimsConfig,
    PenaltiesConfig,
    PenaltyConfig,
    Rules,
    TwoPlayerConfig,
    two_player,
)

_G = OptimConfig(lr=1e-2, beta1=0.0, beta2=0.99, decay="cosine")
_D = OptimConfig(lr=4e-3, beta1=0.0, beta2=0.99, decay="cosine")


class Suggested(PenaltyConfig):
    """R1, as heavy as the data's size suggests."""

    weight: float | None = Field(None, ge=0)  # type: ignore[assignment]
    """by default 0.0002 resolution² / batch (Karras 2020, limited data); 0 switches it off"""
    every: int = Field(16, ge=1)


class Penalties(PenaltiesConfig):
    """Those of two players."""

    r1: Suggested = Suggested()


class Config(TwoPlayerConfig):
    """The settings of `stylegan`."""

    family: Literal["stylegan"] = "stylegan"
    train: TrainConfig = TrainConfig(batch=16)
    width: int = Field(8, ge=1)
    """channels at full resolution, doubling towards 4x4, at most 8 times"""
    mapping_layers: int = Field(2, ge=1)
    """layers of the mapping network from z to w"""
    style_mixing: float = Field(0.9, ge=0, le=1)
    """share of the training images whose styles are of two latents (Karras 2019, sec. 3.1)"""
    path_length: float = Field(0.0, ge=0)
    """path-length regularisation, 1 is the paper's weight (Karras 2020, app. B); off: it hurts short runs"""
    path_every: int = Field(8, ge=1)
    """path length is paid every so many steps, times as much"""
    minibatch: Minibatch = "stddev"
    penalty: Penalties = Penalties()
    optim: OptimsConfig = OptimsConfig(g=_G, d=_D)


def suggested_gamma(resolution: int, batch: int) -> float:
    """0.0002 R² / N: the weight of R1 that StyleGAN2-ADA's automatic configuration begins from (Karras 2020,
    "Training … with Limited Data", released code)."""
    return 0.0002 * resolution**2 / batch


def with_gamma(config: Config, spec: Spec) -> Config:
    """The configuration with the weight of R1 that is asked for, or suggested for this size and batch."""
    if config.penalty.r1.weight is not None:
        return config
    r1 = config.penalty.r1.model_copy(update={"weight": suggested_gamma(spec.resolution, config.train.batch)})
    return config.model_copy(update={"penalty": config.penalty.model_copy(update={"r1": r1})})


def path_weight(resolution: int) -> float:
    """ln 2 / (R² (ln R - ln 2)) (Karras 2020, app. B)."""
    return math.log(2) / (resolution**2 * (math.log(resolution) - math.log(2)))


def path_lengths(images: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """‖Jᵀ_w y‖₂, J_w = ∂g(w) / ∂w, which can be differentiated again (Karras 2020, eq. 4).

    Args:
        images: g(w), (N, C, R, R).
        w: (N, D), in the images' graph.
        y: N(0, 1), of the images' shape.

    Returns:
        (N,).
    """
    (gradients,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    return torch.linalg.vector_norm(gradients, dim=1)


@dataclass
class PathLength:
    """G's side of E(‖Jᵀ_w y‖₂ - a)², a the running mean of the lengths (Karras 2020, eq. 4 and app. B).

    Half of a batch is enough for it (Karras 2020, app. B). In fp32, and without style mixing. Released code begins a
    at 0, which in a short run is a pull towards constant images; here it is at first the first mean length.

    Attributes:
        weight: of the penalty, its cadence included.
        decay: how far a moves towards each mean length.
        mean: a, a scalar; 0 before the first length.
    """

    rules: Rules
    weight: float
    decay: float = 0.01
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))

    def __call__(self, turn: Turn) -> Outcome:
        n = max(1, len(turn.batch) // 2)
        labels = turn.batch.labels
        half = replace(turn.batch, images=turn.batch.images[:n], labels=None if labels is None else labels[:n])
        z = torch.randn(n, *self.rules.latent, device=half.images.device)
        with torch.autocast(z.device.type, enabled=False):
            images, w = turn.nets["G"](z, *self.rules.conditions(half), 1.0, True)
            lengths = path_lengths(images, w, torch.randn_like(images))
        now, mean = lengths.detach().mean(), self.mean.to(lengths.device)
        self.mean = torch.where(mean == 0, now, torch.lerp(mean, now, self.decay))
        penalty = self.weight * (lengths - self.mean).square().mean()
        return Outcome({"path": penalty}, {"path_length": now})

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]


def synthesis(g: nn.Module) -> stylegan.Generator:
    """The generator of styles inside G, which may be wrapped to be told the class."""
    return g if isinstance(g, stylegan.Generator) else synthesis(g.net)  # type: ignore[arg-type]


def editing(rules: Rules, g: nn.Module) -> Styles:
    """How styles are had and made images of."""

    def of(nets: Nets, latents: Tensor, request: Request) -> Tensor:
        inner, told = synthesis(nets["G"]), rules.conditions(request)
        z = torch.cat([latents, *(one_hot(label, inner.mapping.told).to(latents.dtype) for label in told)], 1)
        return inner.truncated(inner.styles(z), request.truncation)

    def images(nets: Nets, styles: Tensor) -> Tensor:
        return synthesis(nets["G"]).synthesise(styles)

    return Styles(synthesis(g).layers, synthesis(g).latent, of, images)


def build(config: Config, spec: Spec) -> Game:
    """The game of a pair: one stage, in which G moves for its path lengths too."""
    config = with_gamma(config, spec)
    pair = paired(
        config,
        spec,
        make_g=lambda latent: stylegan.Generator(
            spec, config.latent, config.width, config.mapping_layers, config.style_mixing, told=latent - config.latent
        ),
        make_d=lambda seen: stylegan.Discriminator(seen, config.width, config.minibatch == "stddev"),
    )

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        return nets["G"](latents, *pair.rules.conditions(request), request.truncation)

    game = two_player(config, pair.g, pair.d, pair.rules, {"train": 1.0})
    game = replace(game, sampler=Sampler(game.sampler.latents, images), styles=editing(pair.rules, pair.g))
    if not config.path_length:
        return game
    loss = PathLength(pair.rules, config.path_length * path_weight(spec.resolution) * config.path_every)
    (stage,) = game.stages
    return replace(game, stages=(replace(stage, moves=(*stage.moves, Move("G", loss, every=config.path_every))),))

"""Schlegl et al. 2019, "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks".

First a GAN learns normal images; then, while it rests, an encoder learns which latent makes each of them (sec. 3.2.3,
izi_f). What the pair cannot give back is not normal. The paper's GAN is one of Wasserstein: ``--set loss=wasserstein
--set penalty.gp=10 --set penalty.r1=0 --set d_norm=layer``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from gansmith.core import config as settings
from gansmith.core.config import OptimConfig
from gansmith.core.game import Autoencoder, Detector, Game, Move, Nets, Outcome, Player, Stage, Turn
from gansmith.core.spec import Spec
from gansmith.nets.aae import ConvEncoder
from gansmith.nets.blocks import at_rest
from gansmith.recipes import pairs, two_player
from gansmith.recipes.detecting import Unlike, seen_by_d
from gansmith.recipes.two_player import LossName, PenaltiesConfig, PenaltyConfig


class OptimsConfig(two_player.OptimsConfig):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig(lr=5e-4, beta2=0.99)
    d: OptimConfig = OptimConfig(lr=2e-4, beta2=0.99)
    encoder: OptimConfig = OptimConfig(lr=2e-3, decay="cosine")
    """the encoder's, on giving images back; decay counts over the whole run, of which it has the end"""


class Config(settings.Config):
    """The settings of `f-anogan`."""

    family: Literal["f-anogan"] = "f-anogan"
    latent: int = Field(32, ge=1)
    """length of the latent vector"""
    g_width: int = Field(24, ge=1)
    """G's channels at half resolution, doubling towards 4x4"""
    d_width: int = Field(24, ge=1)
    """the same for D and the encoder"""
    d_norm: Literal["batch", "layer", "none"] = "none"
    """normalisation in D"""
    loss: LossName = "nonsaturating"
    """what D and G pay"""
    penalty: PenaltiesConfig = PenaltiesConfig(r1=PenaltyConfig(weight=1.0, every=4))
    """what D pays for the size of its gradients"""
    kappa: float = Field(1000.0, ge=0)
    """weight of D's features beside pixels, in what the encoder pays and in the score (eq. 4). The paper has 1, for a
    D with larger features: ours are small, R1 sees to it, and with 1000 both parts count alike"""
    encoding: float = Field(0.3, gt=0, lt=1)
    """share of the run in which the encoder learns"""
    optim: OptimsConfig = OptimsConfig()

    def pair(self) -> pairs.PairConfig:
        """The settings of the GAN, as those of any pair."""
        known = {name: value for name, value in self if name in pairs.PairConfig.model_fields}
        return pairs.PairConfig.model_validate(known)


def encode(nets: Nets, images: Tensor) -> Tensor:
    return nets["encoder"](images)


def reconstruct(nets: Nets, images: Tensor) -> Tensor:
    return nets["G"](encode(nets, images))


@dataclass(frozen=True)
class Encode:
    """The encoder's move: images should come back, for the eye and for D (izi_f, eq. 4)."""

    unlike: Unlike

    def __call__(self, turn: Turn) -> Outcome:
        nets, images = turn.nets, turn.batch.images
        with at_rest(nets["G"], nets["D"]):
            return Outcome({"loss": self.unlike(nets, images, reconstruct(nets, images)).mean()})


def build(config: Config, spec: Spec) -> Game:
    """The game: a pair of players, then a third."""
    game, unlike = pairs.build(config.pair(), spec), Unlike(1.0, config.kappa, 2)
    first = replace(game.stages[0], name="pair", share=1 - config.encoding)
    encoder = ConvEncoder(spec, config.latent, config.d_width)
    return replace(
        game,
        nets=nn.ModuleDict({**game.nets, "encoder": encoder}),
        players={**game.players, "encoder": Player(("encoder",), config.optim.encoder)},
        stages=(first, Stage("encoder", (Move("encoder", Encode(unlike)),), config.encoding)),
        averaged=("G", "encoder"),
        autoencoder=Autoencoder(encode, reconstruct),
        detector=Detector(seen_by_d, unlike),
    )

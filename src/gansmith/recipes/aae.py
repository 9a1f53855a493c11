"""Makhzani et al. 2016, "Adversarial Autoencoders": three players, the encoder in two of them (sec. 2).

The autoencoder gives images back; the discriminator tells codes from draws of the prior; the encoder fools it.
Decoding draws of the prior then makes images.

``labels=informed`` tells the discriminator the class, and each class has its own part of the prior (sec. 2.3).
``labels=semi`` splits the code into a class and a style, each with its discriminator, and a few labelled images teach
the encoder the class (sec. 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gansmith.core import config as settings
from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig, Settings
from gansmith.core.errors import ConfigError
from gansmith.core.game import (
    Autoencoder,
    Batch,
    Detector,
    Game,
    Move,
    Nets,
    Outcome,
    Player,
    Request,
    Sampler,
    Stage,
    Turn,
)
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import loss_named
from gansmith.losses.reconstruction import reconstruction_named
from gansmith.nets import aae, dcgan, mlp
from gansmith.recipes.conditioning import by_label
from gansmith.recipes.detecting import Unlike
from gansmith.recipes.priors import Prior, places_of, prior_named
from gansmith.recipes.two_player import LossName, normal_latents


class OptimsConfig(Settings):
    """One optimiser a player.

    Codes circle about their prior, and the average of the encoder's weights stands still in the middle: so the rates
    fall to three tenths, not to 0, where the circling would be caught on its way (LOG.md).
    """

    autoencoder: OptimConfig = OptimConfig(lr=5e-4, lr_end=1.5e-4, beta1=0.9, decay="cosine")
    """encoder and decoder, on reconstruction"""
    discriminator: OptimConfig = OptimConfig(lr=2e-3, lr_end=6e-4, decay="cosine")
    """the discriminators of codes"""
    encoder: OptimConfig = OptimConfig(lr=2.5e-4, lr_end=7.5e-5, decay="cosine")
    """the encoder, on fooling them"""
    classifier: OptimConfig = OptimConfig(lr=1e-3, beta1=0.9, decay="cosine")
    """the encoder, on the class of labelled images (labels=semi)"""


class Config(settings.Config):
    """The settings of `aae`."""

    family: Literal["aae"] = "aae"
    latent: int = Field(16, ge=1)
    """length of the code; with 2, the run leaves a picture of its plane"""
    prior: Literal["gaussian", "mixture", "swiss-roll"] = "gaussian"
    """the shape that codes are given: N(0, 1), a star of Gaussians (fig. 4a), a spiral (fig. 4b)"""
    components: int = Field(10, ge=2)
    """Gaussians in the mixture; with labels=informed, one for each class"""
    labels: Literal["none", "informed", "semi"] = "none"
    """none; informed: each class has its part of the prior (sec. 2.3); semi: the encoder names the class (sec. 5)"""
    labelled: int = Field(1000, ge=2)
    """images whose labels are used with labels=semi: the run's first ones, as many of each class"""
    network: Literal["mlp", "conv"] = "conv"
    """of encoder and decoder: the convolutions of DCGAN, or perceptrons (Makhzani 2016)"""
    width: int = Field(512, ge=1)
    """units of a hidden layer, two in each net of perceptrons, which discriminators of codes always are"""
    channels: int = Field(24, ge=1)
    """network=conv: channels at half resolution, doubling towards 4x4"""
    loss: LossName = "nonsaturating"
    """the discriminators' and the encoder's"""
    reconstruction: Literal["mse", "l1"] = "l1"
    """what the autoencoder pays"""
    optim: OptimsConfig = OptimsConfig()


@dataclass(frozen=True)
class Judged:
    """A part of the code that a discriminator looks at.

    Attributes:
        net: the discriminator.
        part: the encoder's output (N, outputs) -> what is judged.
        draw: batch -> as many draws of its prior.
        told: batch -> what the discriminator is told beside either.
    """

    net: str
    part: Callable[[Tensor], Tensor]
    draw: Callable[[Batch], Tensor]
    told: Callable[[Batch], tuple[Tensor, ...]] = lambda batch: ()


@dataclass(frozen=True)
class Codes:
    """What codes are made of, and how draws of their prior are.

    Attributes:
        style: length of the style, which is the whole code but for ``labels=semi``.
        classes: how many the data has, where labels are used.
    """

    prior: Prior
    style: int
    components: int
    labels: Literal["none", "informed", "semi"]
    classes: int

    @property
    def outputs(self) -> int:
        """Numbers that the encoder gives: the style, then class logits (labels=semi)."""
        return self.style + (self.classes if self.labels == "semi" else 0)

    def style_of(self, output: Tensor) -> Tensor:
        return output[:, : self.style]

    def classes_of(self, output: Tensor) -> Tensor:
        """Probabilities of the classes (N, K); K is 0 where the code has none."""
        return output[:, self.style :].float().softmax(1)

    def decoded(self, output: Tensor) -> Tensor:
        """What the decoder sees of the encoder's output: the style, then class probabilities where there are any."""
        return torch.cat([self.style_of(output), self.classes_of(output)], 1) if self.labels == "semi" else output

    def drawn(self, normals: Tensor, within: Tensor, labels: Tensor | None) -> Tensor:
        """Styles (N, style) from normals of that shape and numbers (N,) in [0, 1); of a label-informed prior, of the
        labels' own parts of it."""
        is_own = self.labels == "informed" and labels is not None
        places = places_of(labels, within, self.classes) if is_own else within  # type: ignore[arg-type]
        return self.prior.codes(normals, places, self.components)

    def random(self, batch: Batch) -> Tensor:
        """A draw for every image of a batch, from torch's global generator."""
        n, device = len(batch), batch.images.device
        return self.drawn(torch.randn(n, self.style, device=device), torch.rand(n, device=device), batch.labels)

    def random_classes(self, batch: Batch) -> Tensor:
        """One-hot classes (N, K), all equally likely."""
        chosen = torch.randint(self.classes, (len(batch),), device=batch.images.device)
        return one_hot(chosen, self.classes).float()

    def one_hot(self, batch: Batch) -> tuple[Tensor]:
        """The batch's labels as the discriminator is told them."""
        return (one_hot(by_label(batch)[0], self.classes).float(),)

    def judged(self) -> tuple[Judged, ...]:
        """The parts that are given a prior."""
        if self.labels == "informed":
            return (Judged("D", self.style_of, self.random, self.one_hot),)
        style = Judged("D", self.style_of, self.random)
        return (style, Judged("D_class", self.classes_of, self.random_classes)) if self.labels == "semi" else (style,)


@dataclass(frozen=True)
class Reconstruct:
    """The autoencoder's move (sec. 2, reconstruction phase). Leaves the encoder's output for the discriminators."""

    codes: Codes
    name: str

    def __call__(self, turn: Turn) -> Outcome:
        output = turn.nets["encoder"](turn.batch.images)
        turn.made["codes"] = output.detach()
        images = turn.nets["decoder"](self.codes.decoded(output))
        return Outcome({"loss": reconstruction_named(self.name)(images, turn.batch.images)})


@dataclass(frozen=True)
class Discriminate:
    """A discriminator's move: draws of the prior are real, parts of codes are fake."""

    judged: Judged
    loss: str

    def __call__(self, turn: Turn) -> Outcome:
        net, told = turn.nets[self.judged.net], self.judged.told(turn.batch)
        real = net(self.judged.draw(turn.batch), *told)
        fake = net(self.judged.part(turn.made["codes"]), *told)
        notes = {"real": real.detach().float(), "fake": fake.detach().float()}
        return Outcome({"loss": loss_named(self.loss).d(real, fake)}, notes)


@dataclass(frozen=True)
class Regularise:
    """The encoder's move (sec. 2, regularisation phase): every part of its codes should pass for its prior."""

    judged: tuple[Judged, ...]
    loss: str

    def __call__(self, turn: Turn) -> Outcome:
        output = turn.nets["encoder"](turn.batch.images)
        return Outcome({"loss": torch.stack([self.fooling(turn, part, output) for part in self.judged]).sum()})

    def fooling(self, turn: Turn, judged: Judged, output: Tensor) -> Tensor:
        """What the encoder pays for one part."""
        loss, net, told = loss_named(self.loss), turn.nets[judged.net], judged.told(turn.batch)
        real = net(judged.draw(turn.batch), *told) if loss.paired else None
        return loss.g(net(judged.part(output), *told), real)


@dataclass
class Classify:
    """The encoder's move on labelled images (sec. 5, semi-supervised classification phase): cross-entropy.

    The labelled images are the run's first ones, as many of each class as of any other, and kept here, so that a
    resumed run goes on with the same.

    Attributes:
        size: how many there will be.
        images: uint8 (n, C, R, R), n at most `size`; on the CPU.
        labels: (n,) int64.
    """

    codes: Codes
    size: int
    images: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __call__(self, turn: Turn) -> Outcome:
        self.keep(turn.batch)
        device = turn.batch.images.device
        chosen = torch.randint(len(self.labels), (len(turn.batch),))
        pixels, labels = self.images[chosen].to(device), self.labels[chosen].to(device)
        images = pixels.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)
        logits = turn.nets["encoder"](images)[:, self.codes.style :].float()
        right = (logits.argmax(1) == labels).float().mean()
        return Outcome({"loss": cross_entropy(logits, labels)}, {"accuracy": right})

    def keep(self, batch: Batch) -> None:
        """Takes of the batch what is still missing of each class."""
        if len(self.labels) >= self.size:
            return
        labels, images = by_label(batch)[0].cpu(), batch.images.cpu()
        have = self.labels.bincount(minlength=self.codes.classes)
        nth = one_hot(labels, self.codes.classes).cumsum(0).gather(1, labels[:, None])[:, 0]
        wanted = have[labels] + nth <= self.share[labels]
        pixels = images[wanted].add(1).mul(127.5).round().to(torch.uint8).contiguous()
        self.images = torch.cat([self.images, pixels]) if len(self.labels) else pixels
        self.labels = torch.cat([self.labels, labels[wanted]])

    @property
    def share(self) -> Tensor:
        """How many of each class (K,): `size` in all."""
        ends = torch.arange(self.codes.classes + 1) * self.size // self.codes.classes
        return ends.diff()

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images, "labels": self.labels}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images, self.labels = state["images"], state["labels"]


def check(config: Config, spec: Spec) -> Prior:
    """The prior; ConfigError where settings do not go together, or not with these data."""
    prior = prior_named(config.prior)
    prior.check(config.latent)
    if loss_named(config.loss).is_critic:
        raise ConfigError(f"loss={config.loss}: nothing limits a critic of codes here; nonsaturating or least-squares")
    if config.labels != "none":
        check_labels(config.labels, len(spec.classes))
    if config.labels == "informed" and not prior.has_places:
        raise ConfigError("labels=informed: one Gaussian has no parts for the classes; prior=mixture or swiss-roll")
    if config.labels == "semi" and config.labelled < len(spec.classes):
        raise ConfigError(
            f"labelled={config.labelled}: expected at least one image of each of {len(spec.classes)} classes"
        )
    return prior


def check_labels(how: str, classes: int) -> None:
    """ConfigError where there are no classes to learn from."""
    if classes < 2:
        raise ConfigError(
            f"labels={how}: the data has {classes} classes; class sub-folders or a label in metadata.csv give them, or "
            "--set labels=none"
        )


def coder(config: Config, spec: Spec, codes: Codes) -> dict[str, nn.Module]:
    """Encoder and decoder."""
    told = codes.classes if codes.labels == "semi" else 0
    if config.network == "conv":
        return {
            "encoder": aae.ConvEncoder(spec, codes.outputs, config.channels),
            "decoder": dcgan.Generator(spec, config.latent + told, config.channels),
        }
    return {
        "encoder": aae.DenseEncoder(spec, codes.outputs, config.width),
        "decoder": mlp.Generator(spec, config.latent + told, config.width),
    }


def sampler(codes: Codes) -> Sampler:
    """Decodes draws of the prior, of the classes that are asked for where codes have any.

    A latent is the draw's normals and, where the prior has places, one more that says where.
    """

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        normals = latents[:, : codes.style] * request.truncation
        within = torch.special.ndtr(latents[:, -1])
        styles = codes.drawn(normals, within, request.labels)
        return decode(codes, nets, styles, request)

    return Sampler(normal_latents(codes.style + int(codes.prior.has_places)), images)


def decode(codes: Codes, nets: Nets, styles: Tensor, request: Request) -> Tensor:
    """Images of styles (N, style), of the request's classes where the decoder is told them."""
    if codes.labels == "semi":
        styles = torch.cat([styles, one_hot(by_label(request)[0], codes.classes).to(styles.dtype)], 1)
    return nets["decoder"](styles)


def autoencoder(codes: Codes) -> Autoencoder:
    """Encoding and reconstruction by the trained nets."""

    def encode(nets: Nets, images: Tensor) -> Tensor:
        return codes.style_of(nets["encoder"](images))

    def classify(nets: Nets, images: Tensor) -> Tensor:
        return codes.classes_of(nets["encoder"](images)).argmax(1)

    def reconstruct(nets: Nets, images: Tensor) -> Tensor:
        return nets["decoder"](codes.decoded(nets["encoder"](images)))

    def grid(nets: Nets, side: int) -> Tensor:
        styles, labels = plane(codes, side)
        return decode(codes, nets, styles, Request(labels=labels))

    return Autoencoder(
        encode, reconstruct, classify if codes.labels == "semi" else None, grid if codes.style == 2 else None
    )


def features(nets: Nets, images: Tensor) -> Tensor:
    """What the encoder sees before it names the code."""
    return nets["encoder"].features(images)  # type: ignore[operator]


def plane(codes: Codes, side: int) -> tuple[Tensor, Tensor | None]:
    """side² codes of two numbers across the prior, row by row from the top, as in Makhzani 2016, fig. 2.

    N(0, 1) is cut at its quantiles, other priors evenly. Where the decoder is told the class, every row is of one, and
    its styles lie on the first axis.
    """
    marks = [(i + 0.5) / side for i in range(side)]
    is_normal = not codes.prior.has_places
    axis = torch.tensor([NormalDist().inv_cdf(m) if is_normal else codes.prior.extent * (2 * m - 1) for m in marks])
    if codes.labels == "semi":
        classes = torch.arange(side) * codes.classes // side
        return torch.stack([axis.repeat(side), torch.zeros(side * side)], 1), classes.repeat_interleave(side)
    return torch.stack([axis.repeat(side), axis.flip(0).repeat_interleave(side)], 1), None


def build(config: Config, spec: Spec) -> Game:
    """The game of encoder, decoder and discriminators of codes."""
    prior, is_told = check(config, spec), config.labels != "none"
    classes = len(spec.classes) if is_told else 0
    components = classes if config.labels == "informed" else config.components
    codes = Codes(prior, config.latent, components, config.labels, classes)
    judged = codes.judged()
    sizes = {"D": config.latent + (classes if config.labels == "informed" else 0), "D_class": classes}
    judges = {part.net: aae.CodeDiscriminator(sizes[part.net], config.width) for part in judged}
    players = {
        "autoencoder": Player(("encoder", "decoder"), config.optim.autoencoder),
        **{net: Player((net,), config.optim.discriminator) for net in judges},
        "encoder": Player(("encoder",), config.optim.encoder),
    }
    moves = [
        Move("autoencoder", Reconstruct(codes, config.reconstruction)),
        *(Move(part.net, Discriminate(part, config.loss)) for part in judged),
        Move("encoder", Regularise(judged, config.loss)),
    ]
    if config.labels == "semi":
        players["classifier"] = Player(("encoder",), config.optim.classifier)
        moves.append(Move("classifier", Classify(codes, config.labelled)))
    return Game(
        nets=nn.ModuleDict(coder(config, spec, codes) | judges),
        players=players,
        stages=(Stage("train", tuple(moves)),),
        sampler=sampler(codes),
        averaged=("encoder", "decoder"),
        conditional=is_told,
        autoencoder=autoencoder(codes),
        detector=Detector(features, Unlike(1.0, 0.0, 2)),
    )

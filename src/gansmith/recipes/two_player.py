"""The game of one generator and one discriminator, which most families are, with every loss, penalty and network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gansmith.core.clock import Clock, cosine
from gansmith.core.config import Config, OptimConfig, Settings
from gansmith.core.errors import ConfigError
from gansmith.core.game import (
    Batch,
    Control,
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
from gansmith.losses.adversarial import AdversarialLoss, loss_named, smoothed
from gansmith.losses.penalties import clip_weights, penalty_named
from gansmith.losses.regularisers import drift
from gansmith.nets.augment import ada_augment, diff_augment
from gansmith.nets.blocks import lower_levels, pack, unpack
from gansmith.recipes.tricks import Ada, AdaConfig, Balance, LeCam, burst

LossName = Literal["minimax", "nonsaturating", "least-squares", "wasserstein", "hinge", "relativistic"]
Minibatch = Literal["none", "stddev", "discrimination"]


class PenaltyConfig(Settings):
    """The weight of one penalty, and its cadence."""

    weight: float = Field(0.0, ge=0)
    """0 switches it off"""
    end: float | None = Field(None, ge=0)
    """the weight at the end of the run, reached by a cosine (Huang 2024, app. D); by default constant"""
    every: int = Field(1, ge=1)
    """paid every so many steps, times as much: 16 is StyleGAN2's lazy regularisation (Karras 2020, sec. 3.1)"""

    def at(self, progress: float) -> float:
        """The weight at this share of the run."""
        return self.weight if self.end is None else self.end + (self.weight - self.end) * cosine(progress)


class PenaltiesConfig(Settings):
    """What D pays for the size of its gradients. ``penalty.r1=1``: that weight, at the family's cadence."""

    gp: PenaltyConfig = PenaltyConfig()
    """gradient penalty, two-sided (Gulrajani 2017); 10 in the paper"""
    dragan: PenaltyConfig = PenaltyConfig()
    """gradient penalty around the real images (Kodali 2017); 10 in the paper"""
    r1: PenaltyConfig = PenaltyConfig()
    """squared gradient at real images (Mescheder 2018)"""
    r2: PenaltyConfig = PenaltyConfig()
    """squared gradient at fakes (Mescheder 2018)"""
    drift: float = Field(0.0, ge=0)
    """squared output for reals (Karras 2018, sec. A.1; 0.001 there), which keeps a critic near zero"""
    lecam: float = Field(0.0, ge=0)
    """distance of outputs from their averages for the other kind (Tseng 2021; 0.3 there), for little data"""
    clip: float = Field(0.0, ge=0)
    """clips D's weights to ± this after every update (Arjovsky 2017, 0.01 in the paper); 0 does not"""

    @property
    def on_gradients(self) -> dict[str, PenaltyConfig]:
        """Those on the size of D's gradients that are paid."""
        penalties = {name: getattr(self, name) for name in ("gp", "dragan", "r1", "r2")}
        return {name: penalty for name, penalty in penalties.items() if penalty.weight}


class OptimsConfig(Settings):
    """One optimiser a player."""

    g: OptimConfig = OptimConfig()
    """the generator's"""
    d: OptimConfig = OptimConfig()
    """the discriminator's"""


class TwoPlayerConfig(Config):
    """What every family of one generator and one discriminator can set."""

    conditioning: Literal["none", "concat", "projection", "acgan"] = "none"
    """how the class gets in: concat beside both inputs (Mirza 2014), projection in D (Miyato 2018), acgan: D names it
    (Odena 2017)"""
    latent: int = Field(64, ge=1)
    """length of the latent vector"""
    loss: LossName = "nonsaturating"
    """what D and G pay"""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """one-sided: real images count as fake by this much (Salimans 2016); 0.1 in the paper"""
    instance_noise: float = Field(0.0, ge=0)
    """standard deviation of the noise on D's inputs at the start; falls to 0 at the end of the run (Sønderby 2017)"""
    augment: Literal["none", "diffaugment", "ada"] = "none"
    """of D's inputs, for little data: diffaugment always (Zhao 2020), ada as often as D needs it (Karras 2020)"""
    ada: AdaConfig = AdaConfig()
    freeze_d: int = Field(0, ge=0)
    """levels of a trained D, from the image on, that stay as they were where train.start says (Mo 2020, FreezeD)"""
    pack: int = Field(1, ge=1, le=8)
    """images that D judges at once, against mode collapse (Lin 2018, PacGAN; 2 there)"""
    minibatch: Minibatch = "none"
    """what D is told of the whole batch: its spread (Karras 2018) or nearness of pairs (Salimans 2016)"""
    spectral_norm: bool = False
    """every layer of D divided by its largest singular value (Miyato 2018); norms in D undo it, so d_norm=none"""
    penalty: PenaltiesConfig = PenaltiesConfig()
    n_critic: int = Field(1, ge=1)
    """D's updates for each of G's"""
    critic_burst: int = Field(0, ge=0)
    """further updates of D in each of the first 25 steps and in every 500th: 95 beside n_critic=5 (Arjovsky 2017)"""
    n_generator: int = Field(1, ge=1)
    """G's updates for each of D's"""
    balance: float = Field(0.0, ge=0, le=1)
    """share of pairs that D should rank rightly, such as 0.8: the weaker player trains up to 3 times more; 0 is off"""
    optim: OptimsConfig = OptimsConfig()

    def adversarial(self) -> AdversarialLoss:
        """What `loss` names."""
        return loss_named(self.loss)


Conditions = tuple[Tensor, ...]
"""What both players are told beside latents or images: nothing, or the labels (N,)."""


class Opinion(NamedTuple):
    """What D says: logits (N,), and class logits (N, K) where it names classes."""

    logits: Tensor
    classes: Tensor | None = None

    def rows(self, which: slice) -> Opinion:
        """What it says of some images."""
        return Opinion(self.logits[which], None if self.classes is None else self.classes[which])


def unconditional(asked: Batch | Request) -> Conditions:
    """Neither player is told anything."""
    return ()


def _generate(nets: Nets, z: Tensor, conditions: Conditions, clock: Clock) -> Tensor:
    return nets["G"](z, *conditions)


def _judge(nets: Nets, images: Tensor, conditions: Conditions, clock: Clock) -> Tensor | tuple[Tensor, Tensor]:
    return nets["D"](images, *conditions)


def _reals(batch: Batch, clock: Clock) -> Tensor:
    return batch.images


def _view(images: Tensor, clock: Clock) -> Tensor:
    return images


def _aside(opinion: Opinion, conditions: Conditions) -> dict[str, Tensor]:
    return {}


@dataclass(frozen=True)
class Rules:
    """How two players see each other. A growing family replaces these; the losses below stay as they are.

    Attributes:
        latent: shape of one latent.
        generate: (nets, latents, conditions, clock) -> images.
        judge: (nets, images, conditions, clock) -> logits (N,), or those and class logits (N, K).
        reals: (batch, clock) -> the real images that D sees.
        conditions: (batch, or a request for samples) -> what both nets are told. Fakes are made for the labels of the
            batch, so that D sees as many of each class among fakes as among reals.
        view: (images, clock) -> what D sees of them: noise, augmentation.
        pack: how many of these D judges at once; N is the number of packs in what D says.
        at_once: how many packs D looks at together (see `images_at_once`); where it is not None, D judges reals and
            fakes in one pass, which costs less than two.
        aside: (opinion, conditions) -> what both players pay beside the game, such as for the class.
        mark: ends the names of the nets, players and controls of one pair among several; `generate` and `judge` see
            theirs as ``G`` and ``D``.
    """

    latent: tuple[int, ...]
    generate: Callable[[Nets, Tensor, Conditions, Clock], Tensor] = _generate
    judge: Callable[[Nets, Tensor, Conditions, Clock], Tensor | tuple[Tensor, Tensor]] = _judge
    reals: Callable[[Batch, Clock], Tensor] = _reals
    conditions: Callable[[Batch | Request], Conditions] = unconditional
    view: Callable[[Tensor, Clock], Tensor] = _view
    pack: int = 1
    at_once: int | None = None
    aside: Callable[[Opinion, Conditions], dict[str, Tensor]] = _aside
    mark: str = ""

    def pair(self, nets: Nets) -> Nets:
        """The nets of this pair, as ``G`` and ``D``."""
        return {name: nets[name + self.mark] for name in ("G", "D")}

    def fakes(self, turn: Turn) -> Tensor:
        """As many fakes as the batch has images."""
        z = torch.randn(len(turn.batch), *self.latent, device=turn.batch.images.device)
        return self.generate(self.pair(turn.nets), z, self.conditions(turn.batch), turn.clock)

    def opinion(self, turn: Turn, images: Tensor) -> Opinion:
        """What D says to its view of `images`."""
        return self._asked(turn, images, self.conditions(turn.batch))

    def opinions(self, turn: Turn, real: Tensor, fake: Tensor) -> tuple[Opinion, Opinion]:
        """What D says to its view of both."""
        if self.at_once is None or len(real) // self.pack % self.at_once:
            return self.opinion(turn, real), self.opinion(turn, fake)
        twice = tuple(torch.cat([condition, condition]) for condition in self.conditions(turn.batch))
        both, n = self._asked(turn, torch.cat([real, fake]), twice), len(real) // self.pack
        return both.rows(slice(n)), both.rows(slice(n, None))

    def _asked(self, turn: Turn, images: Tensor, conditions: Conditions) -> Opinion:
        seen = pack(self.view(images, turn.clock), self.pack)
        said = self.judge(self.pair(turn.nets), seen, conditions, turn.clock)
        return Opinion(*said) if isinstance(said, tuple) else Opinion(said)

    def logits(self, turn: Turn, images: Tensor) -> Tensor:
        """D's outputs for its view of `images`."""
        return self.opinion(turn, images).logits

    def aside_of(self, turn: Turn, opinion: Opinion) -> dict[str, Tensor]:
        """`aside`, of this turn's batch."""
        return self.aside(opinion, self.conditions(turn.batch))


@dataclass(frozen=True)
class GeneratorLoss:
    """G's side: makes the step's fakes, leaves them for D, and pays for what D says of them."""

    rules: Rules
    loss: AdversarialLoss

    def __call__(self, turn: Turn) -> Outcome:
        fake = self.rules.fakes(turn)
        turn.made.setdefault("fake", fake.detach())  # of the step's first batch, as D's first move is
        real = self.rules.logits(turn, self.rules.reals(turn.batch, turn.clock)) if self.loss.paired else None
        opinion = self.rules.opinion(turn, fake)
        return Outcome({"loss": self.loss.g(opinion.logits, real), **self.rules.aside_of(turn, opinion)})


@dataclass(frozen=True)
class DiscriminatorLoss:
    """D's side: pays for what it says of reals and fakes, and for its gradients.

    Attributes:
        penalties: by name, in order: each is paid every `every` steps, `every` times as much.
        regularisers: (logits of reals, logits of fakes) -> what D pays for its outputs, by name.
        watched: further figures to log, by name.
    """

    rules: Rules
    loss: AdversarialLoss
    penalties: Mapping[str, PenaltyConfig] = field(default_factory=dict)
    regularisers: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)
    watched: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict)

    def __call__(self, turn: Turn) -> Outcome:
        images = self.rules.reals(turn.batch, turn.clock)
        fakes = self._take_fakes(turn)
        real, fake = self.rules.opinions(turn, images, fakes)
        terms = {"loss": self.loss.d(real.logits, fake.logits)}
        for_fakes = self.rules.aside_of(turn, fake)
        terms |= {name: term + for_fakes[name] for name, term in self.rules.aside_of(turn, real).items()}
        for name, regulariser in self.regularisers.items():
            terms[name] = regulariser(real.logits, fake.logits)
        size = self.rules.pack

        def critic(packed: Tensor) -> Tensor:
            return self.rules.logits(turn, unpack(packed, size))

        for name, penalty in self.penalties.items():
            if turn.clock.step % penalty.every == 0:
                scale = penalty.at(turn.clock.progress) * penalty.every
                terms[name] = scale * penalty_named(name).function(critic, pack(images, size), pack(fakes, size))
        return Outcome(terms, self._notes(real.logits.detach().float(), fake.logits.detach().float()))

    def _notes(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        notes = {"real": real, "fake": fake, "accuracy": (real > fake).float()}
        if self.loss.is_critic:
            notes["distance"] = real - fake
        elif not self.loss.paired:
            notes["sign"] = (real - self.loss.middle).sign()
        return notes | {name: read().to(real.device) for name, read in self.watched.items()}

    def _take_fakes(self, turn: Turn) -> Tensor:
        """Those that G left in this step, once; a critic that moves again makes its own."""
        if "fake" in turn.made:
            return turn.made.pop("fake")
        with torch.no_grad():
            return self.rules.fakes(turn)


def normal_latents(*shape: int) -> Callable[[int, torch.Generator], Tensor]:
    """(n, generator) -> (n, *shape) of N(0, 1)."""
    return lambda n, generator: torch.randn(n, *shape, generator=generator)


@dataclass(frozen=True)
class Duel:
    """A generator against a discriminator: a whole game, or one level of a pyramid.

    Attributes:
        players, controls: by name.
        moves: G's, then D's.
    """

    players: Mapping[str, Player]
    moves: tuple[Move, Move]
    controls: Mapping[str, Control]


def duel(config: TwoPlayerConfig, rules: Rules, judge: nn.Module) -> Duel:
    """The players of the nets ``G`` and ``D``, or, with a mark, of ``G8`` and ``D8``, as configured.

    Args:
        config: loss, penalties, tricks, optimisers, cadence.
        rules: how they see each other; the view is added here, by the configuration.
        judge: the net ``D``, of which some levels may stay as they are.

    Raises:
        ConfigError: settings that do not go together.
    """
    g, d = f"G{rules.mark}", f"D{rules.mark}"
    loss = config.adversarial()
    check_tricks(config, loss)
    ada, balance, means = Ada(config.ada, player=d), Balance(config.balance, player=d), LeCam(player=d)
    seen = replace(rules, view=view(config, ada), pack=config.pack)
    controls: dict[str, tuple[bool, Control]] = {
        "ada": (config.augment == "ada", ada),
        "balance": (config.balance > 0, balance),
        "lecam": (config.penalty.lecam > 0, means),
    }
    weighted: dict[str, tuple[float, Callable[[Tensor, Tensor], Tensor]]] = {
        "drift": (config.penalty.drift, lambda real, fake: drift(real)),
        "lecam": (config.penalty.lecam, means),
    }
    d_loss = DiscriminatorLoss(
        seen,
        smoothed(loss, config.label_smoothing),
        config.penalty.on_gradients,
        {name: scaled(weight, function) for name, (weight, function) in weighted.items() if weight},
        {"ada_p": lambda: ada.p} if config.augment == "ada" else {},
    )
    by_g, by_d = ((balance.for_g,), (balance.for_d,)) if config.balance else ((), ())
    moves = (
        Move(g, GeneratorLoss(seen, loss), repeats=config.n_generator, extra=by_g),
        Move(d, d_loss, repeats=config.n_critic, extra=(burst(config.critic_burst), *by_d)),
    )
    project = clip_weights(config.penalty.clip) if config.penalty.clip else None
    return Duel(
        players={
            g: Player((g,), config.optim.g),
            d: Player((d,), config.optim.d, project, kept(judge, config.freeze_d, d)),
        },
        moves=moves,
        controls={f"{name}{rules.mark}": control for name, (is_used, control) in controls.items() if is_used},
    )


def two_player(config: TwoPlayerConfig, g: nn.Module, d: nn.Module, rules: Rules, shares: dict[str, float]) -> Game:
    """The game of a generator and a discriminator.

    Args:
        config: see `duel`.
        g, d: the nets.
        rules: how they see each other.
        shares: name and share of each stage; all stages play the same moves, by the clock.

    Raises:
        ConfigError: settings that do not go together.
    """
    pair = duel(config, rules, d)

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        return rules.generate(nets, latents * request.truncation, rules.conditions(request), clock)

    return Game(
        nets=nn.ModuleDict({"G": g, "D": d}),
        players=pair.players,
        stages=tuple(Stage(name, pair.moves, share) for name, share in shares.items()),
        sampler=Sampler(normal_latents(*rules.latent), images),
        averaged=("G",),
        controls=pair.controls,
        conditional=config.conditioning != "none",
    )


def kept(judge: nn.Module, levels: int, name: str) -> tuple[str, ...]:
    """Parameters of D's first levels, that of the image's own size being one, as a game calls those of a net `name`.

    Norms of these levels go on normalising by the batch, as they did when their weights were learnt.

    Raises:
        ConfigError: D has fewer levels.
    """
    lower = lower_levels(judge)
    if levels > len(lower):
        raise ConfigError(f"freeze_d: {name} has {len(lower)} levels; expected at most that, got {levels}")
    held = {id(p) for level in lower[:levels] for p in level.parameters()}
    return tuple(f"{name}.{key}" for key, p in judge.named_parameters() if id(p) in held)


def scaled(weight: float, function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """`function` times `weight`."""
    return lambda real, fake: weight * function(real, fake)


def view(config: TwoPlayerConfig, ada: Ada) -> Callable[[Tensor, Clock], Tensor]:
    """What D sees of images: augmented, then noisy."""
    augmented: dict[str, Callable[[Tensor], Tensor]] = {
        "none": lambda images: images,
        "diffaugment": diff_augment,
        "ada": lambda images: ada_augment(images, ada.p.to(images.device)),
    }

    def seen(images: Tensor, clock: Clock) -> Tensor:
        images = augmented[config.augment](images)
        sigma = config.instance_noise * (1 - clock.progress)
        return images + sigma * torch.randn_like(images) if sigma else images

    return seen


def check_tricks(config: TwoPlayerConfig, loss: AdversarialLoss) -> None:
    """ConfigError where settings do not go together, with the way out."""
    if config.train.batch % config.pack:
        raise ConfigError(f"pack={config.pack}: does not divide train.batch={config.train.batch}")
    if config.freeze_d and config.train.start is None:
        raise ConfigError(
            "freeze_d: only what was trained before is worth keeping; --set train.start=RUN, or freeze_d=0"
        )
    if config.pack > 1 and config.conditioning != "none":
        raise ConfigError("pack: D cannot judge several images at once that are of several classes; conditioning=none")
    if loss.is_critic and not is_constrained(config):
        raise ConfigError(
            f"loss={loss.name}: a critic's outputs grow without end where nothing limits its slope (Arjovsky 2017); "
            "--set penalty.gp=10 --set d_norm=layer, --set penalty.clip=0.01, or --set spectral_norm=true"
        )
    if loss.is_critic and config.label_smoothing:
        raise ConfigError(f"label_smoothing: {loss.name} has no labels to smooth; --set label_smoothing=0")
    if config.augment == "ada" and (loss.paired or loss.is_critic):
        raise ConfigError(f"augment=ada: needs the sign of D's outputs, which {loss.name} leaves open; diffaugment")


def is_constrained(config: TwoPlayerConfig) -> bool:
    """Whether something limits how steep D can be."""
    return bool(config.spectral_norm or config.penalty.clip or config.penalty.on_gradients)


def check_norms(config: TwoPlayerConfig, d: nn.Module) -> None:
    """ConfigError where D mixes the images of a batch, and pays for the gradient at each."""
    paid = config.penalty.on_gradients
    if paid and any(isinstance(module, _BatchNorm) for module in d.modules()):
        raise ConfigError(
            f"penalty.{next(iter(paid))}: a penalty on each image's gradient has no meaning where batch norm mixes the "
            "images of a batch (Gulrajani 2017, sec. 4); --set d_norm=layer or none"
        )

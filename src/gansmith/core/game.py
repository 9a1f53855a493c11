"""A GAN is a game: which networks exist, who may change which, by which loss, how often and for how long.

A family of GANs is a `Game` made of these records. `gansmith.training.step.play_step` plays any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gansmith.core.clock import Clock
from gansmith.core.config import OptimConfig

Nets = nn.ModuleDict | Mapping[str, nn.Module]
"""Networks by name."""


@dataclass(frozen=True)
class Batch:
    """What one draw of the data gives.

    Attributes:
        images: (N, C, R, R) in [-1, 1], channels last in memory.
        labels: (N,) int64, or None where the data has no classes.
        targets: (N, C', R, R) in [-1, 1], what the images are to become: of each its own where data are paired, else
            any; or None.
        texts: (N, ...) the images' captions, as the game's `Reader` reads them; or None.
    """

    images: Tensor
    labels: Tensor | None = None
    targets: Tensor | None = None
    texts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Turn:
    """All that a loss may see. `made` holds the detached fakes that earlier moves of this step left for later ones."""

    nets: Nets
    batch: Batch
    clock: Clock
    made: dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """What a loss returns, still on the device: terms are summed and back-propagated; of notes, of any shape, the means
    are logged. A discriminator notes its outputs as `real` and `fake`, each (N, ...)."""

    terms: dict[str, Tensor]
    notes: dict[str, Tensor] = field(default_factory=dict)


Loss = Callable[[Turn], Outcome]


@runtime_checkable
class Stateful(Protocol):
    """Something whose state belongs in a checkpoint: a replay pool, a control, running averages.

    The state is a tree of dicts whose leaves are tensors or JSON values.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Control(Stateful, Protocol):
    """Feedback that acts between steps: averaging, ADA's probability, a learning-rate guard."""

    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None: ...


@dataclass(frozen=True)
class Player:
    """The nets it may change, how it changes them, and what they must satisfy after every update (weight clipping).

    Attributes:
        fixed: names of parameters of its nets, such as ``D.layers.0.weight``, that it leaves as they are.
    """

    nets: tuple[str, ...]
    optim: OptimConfig
    project: Callable[[nn.Module], None] | None = None
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Move:
    """One player's update: played every `every` steps, `repeats` times, each repeat on fresh data.

    Attributes:
        extra: each is asked at every such step for further repeats: a schedule, or a control that lets the weaker
            player train more.
    """

    player: str
    loss: Loss
    every: int = 1
    repeats: int = 1
    extra: tuple[Callable[[Clock], int], ...] = ()

    def times(self, clock: Clock) -> int:
        """How often it is played in this step."""
        return 0 if clock.step % self.every else self.repeats + sum(more(clock) for more in self.extra)


@dataclass(frozen=True)
class Stage:
    """A sequence of moves, played for its share of the run's images (shares are relative to each other)."""

    name: str
    moves: tuple[Move, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Request:
    """What a user asks of a sampler, beside the number of images.

    Attributes:
        truncation: 1 samples as trained; towards 0, latents shrink to the mean: fewer kinds, better ones
            (the truncation trick, Brock 2019, in the form of Karras 2019, app. B).
        labels: (N,) int64 classes, for a conditional game.
        sources: (N, C, R, R) in [-1, 1], for a game that makes images of images; until it comes to the sampler, as
            data are packed: uint8 (N, R, R, C).
        texts: (N, ...) captions as the game's `Reader` reads them, for a game that draws what is said.
    """

    truncation: float = 1.0
    labels: Tensor | None = None
    sources: Tensor | None = None
    texts: Tensor | None = None


@dataclass(frozen=True)
class Sampler:
    """How the game makes images: latents from a generator of random numbers, images from latents.

    Attributes:
        latents: (n, generator) -> (n, ...) on the CPU, so that a seed means the same on every device.
        images: (nets, latents, clock, request) -> (n, C, R, R) in [-1, 1]; nets in eval mode.
        truncates: whether truncation means anything; not where latents are normalised, or there are none.
    """

    latents: Callable[[int, torch.Generator], Tensor]
    images: Callable[[Nets, Tensor, Clock, Request], Tensor]
    truncates: bool = True


Mapped = Callable[[Nets, Tensor], Tensor]
"""(nets in eval mode, images (N, C, h, w) in [-1, 1]) -> images (N, C', s h, s w) in [-1, 1]."""


@dataclass(frozen=True)
class Translator:
    """How a game makes images of images of any size.

    Attributes:
        ways: by the name of what comes out, the first being what samples are; `A` and `B` between two domains.
        channels: of what goes in and what comes out, by the same names.
        scale: how many times larger what comes out is.
        multiple: height and width of what goes in must be multiples of this.
        reach: from how far away pixels that go in act on one that comes out, but for what norms make of the whole.
        columns: (nets, images, targets of their own or None) -> what to show of them side by side, each (N, C', R, R).
        given: (images of the data) -> what goes in, where that is made of them: a degradation, as it is measured by.
    """

    ways: Mapping[str, Mapped]
    channels: Mapping[str, tuple[int, int]]
    columns: Callable[[Nets, Tensor, Tensor | None], tuple[Tensor, ...]]
    scale: int = 1
    multiple: int = 1
    reach: int = 0
    given: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Reader:
    """How a game takes texts in.

    Attributes:
        name: of the way.
        read: N texts -> (N, ...) on the CPU; the same for the same text on every machine.
    """

    name: str
    read: Callable[[Sequence[str]], Tensor]


@dataclass(frozen=True)
class Autoencoder:
    """How a game that has an encoder takes images apart; nets in eval mode, images (N, C, R, R) in [-1, 1].

    Attributes:
        encode: (nets, images) -> codes (N, latent).
        reconstruct: (nets, images) -> images, from their codes alone.
        classify: (nets, images) -> classes (N,) int64; None where the encoder names none.
        grid: (nets, side) -> side² images that show the prior of codes of two numbers, row by row from the top; None
            where codes are longer.
    """

    encode: Callable[[Nets, Tensor], Tensor]
    reconstruct: Callable[[Nets, Tensor], Tensor]
    classify: Callable[[Nets, Tensor], Tensor] | None = None
    grid: Callable[[Nets, int], Tensor] | None = None


By = Literal["nearest", "paper"]


@dataclass(frozen=True)
class Detector:
    """How a game tells images that are unlike all that it learnt; nets in eval mode, images (N, C, R, R) in [-1, 1].

    Attributes:
        features: (nets, images) -> what its networks see in them (N, F).
        strange: (nets, images, the most alike that it can make) -> how unlike these are (N,), by the family's paper;
            gradients go through.
        by: which of the two tells more: how far `features` are from the nearest normal ones, or the paper's.
    """

    features: Callable[[Nets, Tensor], Tensor]
    strange: Callable[[Nets, Tensor, Tensor], Tensor]
    by: By = "nearest"


@dataclass(frozen=True)
class Styles:
    """How a game whose images are functions of styles lets these be edited (Karras 2019, sec. 3); nets in eval mode.

    Attributes:
        layers: how many styles make an image, from coarse to fine.
        width: length W of one.
        of: (nets, latents, request) -> styles (N, W), truncated as asked.
        images: (nets, styles) -> (N, C, R, R) in [-1, 1]; styles are (N, W), or (N, layers, W) for each layer its own.
    """

    layers: int
    width: int
    of: Callable[[Nets, Tensor, Request], Tensor]
    images: Callable[[Nets, Tensor], Tensor]


@dataclass(frozen=True)
class Game:
    """A family of GANs, at one size. All names are checked when it is built.

    Attributes:
        nets: the networks by name; a net that no player owns never trains.
        players: by name; a net may belong to two players.
        stages: played in order.
        sampler: how to make images from the averaged nets.
        averaged: names of the nets whose exponential moving average is kept, and sampled from.
        controls: act between steps, by name.
        conditional: whether the sampler heeds the labels of a request.
        autoencoder: how it encodes images, where it does.
        detector: how it tells images that are unlike those it learnt, where it can.
        styles: how its images can be edited, where they are made of styles.
        translator: how it makes images of images, where it does; samples then are of the data's.
        reader: how it reads captions, where it draws what they say.
    """

    nets: nn.ModuleDict
    players: Mapping[str, Player]
    stages: tuple[Stage, ...]
    sampler: Sampler
    averaged: tuple[str, ...] = ()
    controls: Mapping[str, Control] = field(default_factory=dict)
    conditional: bool = False
    autoencoder: Autoencoder | None = None
    detector: Detector | None = None
    styles: Styles | None = None
    translator: Translator | None = None
    reader: Reader | None = None

    def __post_init__(self) -> None:
        if not self.stages or not all(stage.moves for stage in self.stages):
            raise ValueError("a game needs a stage, and a stage needs a move")
        owned = {net for player in self.players.values() for net in player.nets}
        movers = {move.player for stage in self.stages for move in stage.moves}
        for kind, used, known in (
            ("net", owned | set(self.averaged), set(self.nets)),
            ("player", movers, set(self.players)),
            ("parameter", self._fixed(), {name for name, _ in self.nets.named_parameters()}),
        ):
            if used - known:
                raise ValueError(
                    f"no such {kind}: {', '.join(sorted(used - known))}; there are {', '.join(sorted(known))}"
                )
        for stage in self.stages:
            for move in stage.moves:
                if move.every < 1 or move.repeats < 1:
                    raise ValueError(f"stage {stage.name}, player {move.player}: every and repeats are at least 1")

    def _fixed(self) -> set[str]:
        return {name for player in self.players.values() for name in player.fixed}

    def first_stage(self, net: str) -> int:
        """Index of the stage in which a net is first changed; 0 where it never is."""
        changed = ({net for move in stage.moves for net in self.players[move.player].nets} for stage in self.stages)
        return next((index for index, nets in enumerate(changed) if net in nets), 0)

    def stateful(self) -> dict[str, Stateful]:
        """Controls and losses that have state, by a name that is stable between runs."""
        found: dict[str, Stateful] = {f"control.{name}": control for name, control in self.controls.items()}
        for stage in self.stages:
            for i, move in enumerate(stage.moves):
                if isinstance(move.loss, Stateful):
                    found[f"loss.{stage.name}.{i}.{move.player}"] = move.loss
        return found

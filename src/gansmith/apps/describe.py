"""A family's game in words and numbers: what `gansmith families NAME` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gansmith import recipes
from gansmith.apps.configure import described, from_flag, resolve
from gansmith.core.clock import Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Game, Move, Turn
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss
from gansmith.recipes import build, family_named
from gansmith.recipes.pairs import PairConfig
from gansmith.recipes.two_player import TwoPlayerConfig
from gansmith.training.runtime import own_randomness
from gansmith.training.step import only_trains

CLASSES = 10
WORDS = ("a", "red", "blue", "circle")
EXPECTED = Path(recipes.__file__).with_name("expected.json")
"""Scores that `benchmarks/families.py` has measured, by family."""
DATA_NAMES = {"fashion-mnist": "Fashion-MNIST"}


@dataclass(frozen=True)
class Trick:
    """A setting that helps many families.

    Attributes:
        setting: its place in the configuration.
        off: the value that switches it off.
        example: a value to try, as it is written after ``--set``.
        short: the place that a flag can name instead, where that is shorter.
    """

    setting: str
    off: Any
    example: str
    short: str = ""

    def flags(self, config: Config) -> tuple[str, ...]:
        """The settings that switch it on in a family of these, as they are written after ``--set``."""
        on = f"{self.short or self.setting}={self.example}"
        return (on, "d_norm=none") if hasattr(config, "d_norm") else (on,)


TRICKS = (
    Trick("conditioning", "none", "projection"),
    Trick("label_smoothing", 0.0, "0.1"),
    Trick("instance_noise", 0.0, "0.1"),
    Trick("dropout", 0.0, "0.3"),
    Trick("spectral_norm", False, "true"),
    Trick("minibatch", "none", "stddev"),
    Trick("pack", 1, "2"),
    Trick("augment", "none", "diffaugment"),
    Trick("penalty.gp.weight", 0.0, "10", "penalty.gp"),
    Trick("penalty.dragan.weight", 0.0, "10", "penalty.dragan"),
    Trick("penalty.r1.weight", 0.0, "1", "penalty.r1"),
    Trick("penalty.r2.weight", 0.0, "1", "penalty.r2"),
    Trick("penalty.drift", 0.0, "0.001"),
    Trick("penalty.lecam", 0.0, "0.3"),
    Trick("penalty.clip", 0.0, "0.01"),
    Trick("n_critic", 1, "5"),
    Trick("critic_burst", 0, "95"),
    Trick("n_generator", 1, "2"),
    Trick("balance", 0.0, "0.8"),
)
OF_AN_OPTIMISER = (
    Trick("warm_up", 0.0, "0.05"),
    Trick("decay", "constant", "cosine"),
    Trick("beta2_end", None, "0.99"),
    Trick("clip", 0.0, "1"),
)
TWO_RATES = "players learn at rates of their own (TTUR, Heusel 2017)"


@dataclass(frozen=True)
class NetRow:
    """One network: its name, and how many numbers it learns."""

    name: str
    parameters: int


@dataclass(frozen=True)
class PlayerRow:
    """Who changes which nets, and how: the optimiser's settings as `OptimConfig` has them."""

    name: str
    nets: list[str]
    optimiser: dict[str, Any]


@dataclass(frozen=True)
class MoveRow:
    """One update of a stage: every so many steps, so many times, by this loss, of which these terms are paid."""

    player: str
    loss: str
    terms: list[str]
    every: int
    repeats: int


@dataclass(frozen=True)
class StageRow:
    """A stage, its share of the run's images in [0, 1], and its moves."""

    name: str
    share: float
    moves: list[MoveRow]


@dataclass(frozen=True)
class SettingRow:
    """A setting with its value, what it means (with its paper), and the flag that changes it."""

    setting: str
    value: Any
    meaning: str
    flag: str = ""


@dataclass(frozen=True)
class Description:
    """A family's game, built for images of one shape.

    Attributes:
        size: of the images that it is built for.
        nets, players, stages: of the game.
        parameters: of all nets together.
        averaged: nets whose average samples are made with.
        own: settings that no other family shares.
        tricks: those in force.
        offered: those that can be switched on.
        expected: what training has led to, where it has been measured.
    """

    name: str
    paper: str
    kind: str
    summary: str
    size: str
    nets: list[NetRow]
    parameters: int
    players: list[PlayerRow]
    stages: list[StageRow]
    averaged: list[str]
    own: list[SettingRow]
    tricks: list[SettingRow]
    offered: list[SettingRow]
    expected: list[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def describe(name: str, resolution: int = 32, channels: int = 1) -> Description:
    """The game of the family called `name`, built for images of this shape with ten classes.

    Raises:
        ConfigError: there is no such family, or it cannot be built for such images.
    """
    family = family_named(name)
    check_shape(resolution, channels)
    config = family.config(family=name).settled()
    spec = imagined(config, resolution, channels)
    with own_randomness(0):
        game = build(config, spec)
        stages = list(stage_rows(game, noise(config, spec, game)))
    nets = [NetRow(net, sum(p.numel() for p in module.parameters())) for net, module in game.nets.items()]
    values = {setting: (as_json(value), " ".join(text.split())) for setting, value, text in described(config)}
    return Description(
        name,
        family.paper,
        family.kind,
        family.summary,
        f"{resolution}x{resolution}, {channels} channel{'s' * (channels > 1)}, {CLASSES} classes",
        nets,
        sum(net.parameters for net in nets),
        [PlayerRow(n, list(p.nets), p.optim.model_dump(mode="json")) for n, p in game.players.items()],
        stages,
        list(game.averaged),
        own_settings(config, values),
        [*in_force(config, values), *two_rates(game)],
        offered(config, values, spec),
        [text for record in expected(name) if (text := in_words(record))],
    )


def as_json(value: Any) -> Any:
    """A setting's value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def imagined(config: Config, resolution: int, channels: int) -> Spec:
    """Data of this shape, with all that the family asks for: ten classes, targets of as many channels, captions."""
    targets, told = config.data.targets != "none", config.data.captions
    return Spec(
        resolution,
        channels,
        resolution,
        resolution,
        tuple(str(i) for i in range(CLASSES)),
        target_channels=channels if targets else 0,
        paired=config.data.targets == "paired",
        words=WORDS if told else (),
        captions=WORDS if told else (),
    )


def check_shape(resolution: int, channels: int) -> None:
    """ConfigError where there are no such images."""
    if resolution < 1 or resolution & (resolution - 1):
        raise ConfigError(f"--resolution: expected a power of two, got {resolution}")
    if channels not in (1, 3, 4):
        raise ConfigError(f"--channels: expected 1, 3 or 4, got {channels}")


def noise(config: Config, spec: Spec, game: Game) -> Batch:
    """A batch with nothing in it, for losses to be asked what they consist of."""
    n, side = config.train.batch, spec.resolution

    def images(channels: int) -> torch.Tensor:
        return torch.rand(n, channels, side, side).mul(2).sub(1).contiguous(memory_format=torch.channels_last)

    return Batch(
        images(spec.channels),
        torch.arange(n) % CLASSES,
        images(spec.target_channels) if spec.target_channels else None,
        game.reader.read([WORDS[i % len(WORDS)] for i in range(n)]) if game.reader else None,
    )


def stage_rows(game: Game, batch: Batch) -> Iterator[StageRow]:
    """The stages with their moves. What a move pays is found by having it played once; nothing learns from it."""
    plan = Plan.of(1000 * len(batch), [stage.share for stage in game.stages])
    whole = sum(stage.share for stage in game.stages)
    for stage, start in zip(game.stages, plan.starts, strict=True):
        made: dict[str, torch.Tensor] = {}
        moves = []
        for move in stage.moves:
            only_trains(game.nets, game.players[move.player])
            outcome = move.loss(Turn(game.nets, batch, plan.at(0, start), made))
            moves.append(MoveRow(move.player, loss_name(move), list(outcome.terms), move.every, move.repeats))
        yield StageRow(stage.name, round(stage.share / whole, 4), moves)


def loss_name(move: Move) -> str:
    """The adversarial loss of a move; of another kind of loss what the code calls it."""
    loss = getattr(move.loss, "loss", None)
    if isinstance(loss, AdversarialLoss):
        return loss.name
    return str(getattr(move.loss, "__name__", type(move.loss).__name__)).strip("_").replace("_", " ")


def own_settings(config: Config, values: Mapping[str, tuple[Any, str]]) -> list[SettingRow]:
    """What only this family can set."""
    shared: set[str] = set()
    for kind in (Config, TwoPlayerConfig, PairConfig):
        if isinstance(config, kind):
            shared |= set(kind.model_fields)
    return [
        SettingRow(setting, value, text, f"--set {setting}=…")
        for setting, (value, text) in values.items()
        if setting.split(".")[0] not in shared and not setting.startswith("optim.")
    ]


def tricks_of(config: Config) -> Iterator[Trick]:
    """All that this family can switch on."""
    yield from TRICKS
    for player in config.optimisers:
        for trick in OF_AN_OPTIMISER:
            yield Trick(f"optim.{player}.{trick.setting}", trick.off, trick.example)


def in_force(config: Config, values: Mapping[str, tuple[Any, str]]) -> list[SettingRow]:
    """The tricks that this family has switched on, with its average of the weights, which every family has."""
    found = [
        SettingRow(trick.setting, "auto" if value is None else value, meaning(trick, values))
        for trick in tricks_of(config)
        if trick.setting in values and (value := values[trick.setting][0]) != trick.off
    ]
    ema = ("ema.half_life_kimg", "ema.ramp_up")
    return found + [SettingRow(setting, *values[setting]) for setting in ema]


def meaning(trick: Trick, values: Mapping[str, tuple[Any, str]]) -> str:
    """What a trick's setting means; a penalty's weight means what the penalty is."""
    group = trick.setting.removesuffix(".weight")
    if group == trick.setting:
        return values[trick.setting][1]
    every, end = values.get(f"{group}.every", (1, ""))[0], values.get(f"{group}.end", (None, ""))[0]
    cadence = "" if every == 1 else f", every {every} steps"
    fall = "" if end is None else f", to {end:g} at the end"
    size = ", its weight by the data's size" if values[trick.setting][0] is None else ""
    return penalty_meaning(group) + size + cadence + fall


def penalty_meaning(group: str) -> str:
    """The description of ``penalty.NAME``, a group of settings."""
    kind: Any = TwoPlayerConfig
    text = ""
    for part in group.split("."):
        field = kind.model_fields[part]
        kind, text = field.annotation, field.description or ""
    return text


def two_rates(game: Game) -> list[SettingRow]:
    """That players learn at unlike rates, where they do."""
    rates = {name: player.optim.lr for name, player in game.players.items()}
    if len(set(rates.values())) < 2:
        return []
    return [SettingRow("optim.*.lr", " / ".join(f"{rate:g}" for rate in rates.values()), TWO_RATES)]


def offered(config: Config, values: Mapping[str, tuple[Any, str]], spec: Spec) -> list[SettingRow]:
    """The tricks that are off, each with flags that play; an optimiser's for the first player that has it off."""
    found: dict[str, SettingRow] = {}
    for trick in tricks_of(config):
        if trick.setting in values and values[trick.setting][0] == trick.off:
            kind = trick.setting.split(".")[-1] if trick.setting.startswith("optim.") else trick.setting
            if kind not in found and (flags := playable(config, trick, spec)):
                found[kind] = SettingRow(trick.setting, trick.off, meaning(trick, values), flags)
    return list(found.values())


def playable(config: Config, trick: Trick, spec: Spec) -> str:
    """The fewest flags with which the family plays the trick; empty where it does not."""
    settings = trick.flags(config)
    for count in range(1, len(settings) + 1):
        with suppress(ConfigError), torch.device("meta"):
            build(resolve(config.family, [("flags", from_flag(text)) for text in settings[:count]]), spec)
            return " ".join(f"--set {text}" for text in settings[:count])
    return ""


def expected(name: str, path: Path = EXPECTED) -> list[dict[str, Any]]:
    """What `benchmarks/families.py` has measured of a family; nothing where it has not."""
    try:
        records: list[dict[str, Any]] = json.loads(path.read_text())["families"].get(name, [])
    except FileNotFoundError:
        return []
    return records


def in_words(record: Mapping[str, Any]) -> str:
    """A measured score as a sentence."""
    spread = f" ± {record['sd']:.2g}" if record.get("sd") is not None else ""
    seeds = f", {record['seeds']} seeds" if record["seeds"] > 1 else ", one seed"
    data = DATA_NAMES.get(record["data"], record["data"])
    return (
        f"Fréchet {record['frechet']:.3g}{spread} after {record['minutes']:g} minutes on {data} "
        f"({record['cores']} cores{seeds}, by {record['extractor']})"
    )

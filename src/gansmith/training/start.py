"""Beginning with the networks of another run: `train.start`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gansmith.core.clock import Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.recipes import build
from gansmith.training.checkpoint import load_checkpoint
from gansmith.training.rundir import RunDir
from gansmith.training.session import Player


@dataclass(frozen=True)
class Start:
    """A run, and which of its checkpoints: the newest where none is named."""

    run: RunDir
    checkpoint: Path | None = None

    @classmethod
    def of(cls, text: str) -> Start:
        """What `train.start` says: a run's directory, or a checkpoint in one."""
        path = Path(text)
        is_checkpoint = path.parent.name == "checkpoints"
        return cls(RunDir(path.parents[1]), path) if is_checkpoint else cls(RunDir(path))

    def state(self) -> dict[str, Any]:
        """Its nets and their averages.

        Raises:
            CheckpointError, GansmithError: it has no whole checkpoint.
        """
        parts = ("nets", "ema")
        return load_checkpoint(self.checkpoint, parts) if self.checkpoint else self.run.good(parts)

    def check(self, config: Config, spec: Spec) -> None:
        """Whether the networks of these settings, for data of this shape, can begin as it has them.

        Raises:
            ConfigError: they cannot; or there is no such run.
        """
        was, known = self.run.spec(), self.run.config()
        here, there = shapes(config, spec), shapes(known, was)
        if here == there:
            return
        name = next(name for name in {**here, **there} if here.get(name) != there.get(name))
        facts = (
            ("family", config.family, known.family, f"train {known.family}"),
            ("resolution", spec.resolution, was.resolution, f"--set data.resolution={was.resolution}"),
            ("channels", spec.channels, was.channels, f"--set data.channels={was.channels}"),
            ("number of classes", len(spec.classes), len(was.classes), "each class is a folder of the data"),
            (f"shape of {name}", here.get(name), there.get(name), "give the settings of that run"),
        )
        what, ours, theirs, way_out = next(fact for fact in facts if fact[1] != fact[2])
        raise ConfigError(
            f"train.start={self.run.path}: has other networks: its {what} is {theirs}, not {ours}; {way_out}"
        )


def shapes(config: Config, spec: Spec) -> dict[str, tuple[int, ...]]:
    """Of all weights, by name."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build(config, spec).nets.state_dict().items()}


def begin(player: Player, plan: Plan) -> None:
    """Nets that have not been trained become those of the run that they are to begin with, where there is one.

    Raises:
        ConfigError: that run has other networks.
        CheckpointError, GansmithError: it has no whole checkpoint.
    """
    start = player.config.train.start
    if start is not None:
        player.adopt(Start.of(start).state(), plan)

"""The doctor at a run's side: looks, says what it finds, and has the run stopped where it is told to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.data import Dataset
from gansmith.data.split import evenly
from gansmith.training.loop import Finding
from gansmith.training.observers import Row
from gansmith.training.session import Session
from gansmith.watch.equilibrium import is_quiet, settled
from gansmith.watch.illnesses import possible
from gansmith.watch.live import Observatory, tensor
from gansmith.watch.sick_data import CHECKED, faults
from gansmith.watch.signals import Signals
from gansmith.watch.treatment import EARLIEST, is_sound, must_act
from gansmith.watch.verdicts import Verdict, in_words, sick, verdicts

OnIllness = Literal["warn", "stop", "treat"]
Until = Literal["end", "equilibrium"]
DIGITS = 6


@dataclass(frozen=True)
class Orders:
    """What a doctor is to do beside looking.

    Attributes:
        on_illness: ``warn`` only says what ails the game; ``stop`` and ``treat`` have the run stopped at a verdict on
            the game, and ``treat`` keeps the moments at which it was sound; the data's own faults are only said.
        until: ``equilibrium`` has the run end where the game has settled.
    """

    on_illness: str = "warn"
    until: str = "end"

    def check(self, looks: int) -> None:
        """ConfigError where there is no such order, or nobody to carry it out."""
        for name, order, known in (
            ("on_illness", self.on_illness, get_args(OnIllness)),
            ("until", self.until, get_args(Until)),
        ):
            if order not in known:
                raise ConfigError(f"{name}: expected {' or '.join(known)}, got '{order}'")
            if order != known[0] and not looks:
                raise ConfigError(f"{name}={order}: needs the doctor's looks; --set train.looks=40")


ORDERS = Orders()


class Attendant:
    """What `gansmith.training.loop.Health` asks for.

    Args:
        dataset: of the run.
        orders: what it is to do.
        since: images that the game had seen when it went on with the last cure, which is to be watched for a while.
        on_trial: whether it has not been sound since.
    """

    def __init__(self, dataset: Dataset, orders: Orders = ORDERS, since: int = 0, on_trial: bool = False):
        self.eyes, self.orders, self.since, self.on_trial = Observatory(dataset), orders, since, on_trial
        self.signals: list[Signals] = []
        self.data = sick_data(dataset)

    def look(self, session: Session) -> Finding:
        found = self.eyes.look(session)
        self.signals.append({name: rounded(value) for name, value in found.items() if math.isfinite(value)})
        if self.orders.until == "equilibrium":
            self.measure_rest(session)
        ails = verdicts(self.signals)
        row = {
            "step": session.clock.step,
            "images": session.clock.images,
            "signals": self.signals[-1],
            "illnesses": [to_json(verdict, session.config, session.spec) for verdict in (*ails, *self.data)],
        }
        so_far = "so far: " if ails and session.clock.progress < EARLIEST else ""
        words = so_far + in_words([*ails, *self.data])
        keep = self.orders.on_illness == "treat" and not ails and is_sound(self.signals)
        self.on_trial = self.on_trial and not keep
        is_time = must_act(self.signals, ails, self.since, session.clock.progress, self.on_trial)
        alarm = self.orders.on_illness != "warn" and is_time
        return Finding(row, words, words if alarm else "", keep, settled(self.signals))

    def measure_rest(self, session: Session) -> None:
        """Adds to the look what tells whether the last stage's game has settled: `quality`, and, where it may have,
        `duality_gap`."""
        if session.clock.stage < len(session.game.stages) - 1:
            return
        now = self.signals[-1]
        now["quality"] = rounded(self.eyes.quality(session))
        gap = self.eyes.duality_gap(session) if is_quiet(self.signals) else None
        if gap is not None:
            now["duality_gap"] = rounded(gap)

    def remember(self, rows: Sequence[Row], state: dict[str, Any]) -> None:
        self.signals = [row["signals"] for row in rows]
        if state:
            self.eyes.load_state_dict(state)

    def state(self) -> dict[str, Any]:
        return self.eyes.state_dict()


def sick_data(dataset: Dataset) -> list[Verdict]:
    """The verdict on what is wrong with the data themselves; none where nothing is."""
    images, labels = dataset.pictures[0], dataset.train.labels
    some = tensor(images[evenly(len(images), CHECKED)])
    return sick(faults(some, len(images), None if labels is None else torch.tensor(labels)))


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def to_json(verdict: Verdict, config: Config, spec: Spec) -> dict[str, Any]:
    """As `gansmith diagnose --json` and health.jsonl have it."""
    return {
        "name": verdict.name,
        "probability": round(verdict.probability, 4),
        "severity": verdict.severity,
        "since_images": verdict.since_images,
        "evidence": verdict.evidence,
        "cures": [cure.paste(config) for cure in verdict.cures if possible(cure, config, spec)],
    }

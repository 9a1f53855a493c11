"""The doctor at a run's side: looks, says what it finds, and has the run stopped where it is told to."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from gansmith.watch.course import FIRST_WORD
from gansmith.watch.illnesses import possible
from gansmith.watch.live import Observatory, tensor
from gansmith.watch.sick_data import CHECKED, faults
from gansmith.watch.signals import Signals
from gansmith.watch.verdicts import Verdict, in_words, sick, verdicts

OnIllness = Literal["warn", "stop", "treat"]
DIGITS = 6


class Attendant:
    """What `gansmith.training.loop.Health` asks for.

    Args:
        dataset: of the run.
        on_illness: ``warn`` only says so; ``stop`` and ``treat`` have the run stopped at a verdict on the
            game, and ``treat`` keeps the moments at which nothing ailed it; the data's own faults are only said.
    """

    def __init__(self, dataset: Dataset, on_illness: str = "warn"):
        self.eyes, self.on_illness = Observatory(dataset), on_illness
        self.signals: list[Signals] = []
        images, labels = dataset.pictures[0], dataset.train.labels
        some = tensor(images[evenly(len(images), CHECKED)])
        told = faults(some, len(images), None if labels is None else torch.tensor(labels))
        self.data = [sick(told)] if told else []

    def look(self, session: Session) -> Finding:
        found = self.eyes.look(session)
        self.signals.append({name: rounded(value) for name, value in found.items() if math.isfinite(value)})
        ails = verdicts(self.signals)
        row = {
            "step": session.clock.step,
            "images": session.clock.images,
            "signals": self.signals[-1],
            "illnesses": [to_json(verdict, session.config, session.spec) for verdict in (*ails, *self.data)],
        }
        words = in_words([*ails, *self.data])
        alarm = "" if self.on_illness == "warn" or not ails else words
        return Finding(row, words, alarm, keep=self.on_illness == "treat" and not ails and self.is_past_first_word)

    @property
    def is_past_first_word(self) -> bool:
        return len(self.signals) >= FIRST_WORD

    def remember(self, rows: Sequence[Row], state: dict[str, Any]) -> None:
        self.signals = [row["signals"] for row in rows]
        if state:
            self.eyes.load_state_dict(state)

    def state(self) -> dict[str, Any]:
        return self.eyes.state_dict()


def check_policy(on_illness: str, looks: int) -> None:
    """ConfigError where there is no such policy, or nobody to carry it out."""
    if on_illness not in get_args(OnIllness):
        raise ConfigError(f"on_illness: expected {' or '.join(get_args(OnIllness))}, got '{on_illness}'")
    if on_illness != "warn" and not looks:
        raise ConfigError(f"on_illness={on_illness}: needs the doctor's looks; --set train.looks=40")


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

"""Treating a run: back to where it was last well, with the next cure."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from gansmith.core.config import Config
from gansmith.core.errors import Diverged, GansmithError, Ill
from gansmith.core.spec import Spec
from gansmith.data import Dataset
from gansmith.training.checkpoint import name_of, newest
from gansmith.training.observers import Row
from gansmith.training.rundir import HEALTHY, RunDir
from gansmith.training.start import shapes
from gansmith.watch.attend import sick_data
from gansmith.watch.illnesses import Cure, changed, possible, setting
from gansmith.watch.treatment import Act, Choice, judged, next_cure
from gansmith.watch.verdicts import Verdict, lasting, verdicts

log = logging.getLogger("gansmith")

RECORD = "treatment.json"


def acts_of(run: RunDir) -> list[Act]:
    """What was tried, the first first."""
    try:
        return [Act(**act) for act in run.read(RECORD).get("acts", [])]
    except TypeError as error:
        raise GansmithError(f"{run.path / RECORD}: damaged: {error}") from error


def treated(config: Config, acts: Sequence[Act]) -> Config:
    """The settings with all cures that were not taken back."""
    for act in acts:
        config = config if act.helped is False else changed(config, act.settings)
    return config


def mend(config: Config, dataset: Dataset) -> list[Act]:
    """What is to be done about the data themselves, before anything is trained."""
    ways = [(verdict, cure) for verdict in sick_data(dataset) for cure in verdict.cures]
    choices = [Choice(verdict, cure, playable(config, dataset.spec, cure)) for verdict, cure in ways]
    acts = [Act.of(choice, partial(setting, config), 0, 0) for choice in choices if choice.settings]
    return [replace(act, helped=True) for act in acts]


def record(run: RunDir, acts: Sequence[Act]) -> None:
    run.write(RECORD, {"acts": [act.to_json() for act in acts]})


def treat(run: RunDir, config: Config, spec: Spec, error: Ill | Diverged) -> Config:
    """Puts the run back to where it was last well, and says with which settings it is to go on; to its start, where
    these make other networks.

    Raises:
        Ill: nothing is left to try. The run stays where it was last well; as it is, where it never was.
    """
    rows, acts = run.looks(), acts_of(run)
    signals = [row["signals"] for row in rows]
    found = verdicts(signals, str(error).splitlines()[0] if isinstance(error, Diverged) else "")
    images = int(rows[-1]["images"]) if rows else 0
    found = found if isinstance(error, Diverged) else lasting(found, images) or found
    healthy, back = last_well(run, rows)
    tried, firm = judged(acts, back), config
    if tried and not tried[-1].helped:
        firm = changed(config, tried[-1].before)
    choice = next_cure(found, tried, partial(playable, firm, spec))
    if choice is None and healthy is None:
        raise Ill(f"{gave_up(run, found, acts, images)}\nThe run was never well; it is as it ended.")
    if choice is not None:
        goes_on = shapes(changed(firm, choice.settings), spec) == shapes(config, spec)
        healthy, back = (healthy, back) if goes_on else (None, 0)
        tried.append(Act.of(choice, partial(setting, firm), images, back))
        log.warning("treatment: %s", tried[-1])
        firm = changed(firm, choice.settings)
    go_back(run, healthy)
    record(run, tried)
    run.write_config(firm)
    if choice is None:
        where = f"The run is as it was after {back} images, when it was last well."
        raise Ill(f"{gave_up(run, found, tried, images)}\n{where}")
    return firm


def last_well(run: RunDir, rows: Sequence[Row]) -> tuple[str | None, int]:
    """The checkpoint of the last moment at which nothing ailed the game, and the images that it had seen; None and 0
    where there was none."""
    healthy = run.read(HEALTHY).get("checkpoint")
    return healthy, next((int(row["images"]) for row in rows if name_of(row["step"]) == healthy), 0)


def on_trial(run: RunDir, acts: Sequence[Act]) -> bool:
    """Whether the game has not been sound since the last cure."""
    return any(act.helped is False for act in judged(acts, last_well(run, run.looks())[1])[-1:])


def gave_up(run: RunDir, found: Sequence[Verdict], acts: Sequence[Act], images: int) -> str:
    tried = "\n".join(f"  {act}" for act in acts) or "  nothing that this family can do"
    ills = ", ".join(verdict.name for verdict in found)
    return f"{run.path}: {ills}: the treatment gives up at {images} images. It tried\n{tried}"


def go_back(run: RunDir, healthy: str | None) -> None:
    """Drops all checkpoints since that one; all, where there is none."""
    if healthy is None:
        (run.path / HEALTHY).unlink(missing_ok=True)
    for folder in newest(run.checkpoints):
        if healthy is None or folder.name > healthy:
            shutil.rmtree(folder, ignore_errors=True)


def playable(config: Config, spec: Spec, cure: Cure) -> dict[str, Any]:
    """What a cure would set, where the game could be played with it."""
    return cure.settings(partial(setting, config)) if possible(cure, config, spec) else {}

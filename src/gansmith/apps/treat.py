"""Treating a run: back to where it was last well, with the next cure."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from gansmith.core.config import Config
from gansmith.core.errors import Diverged, GansmithError, Ill
from gansmith.core.spec import Spec
from gansmith.recipes import build
from gansmith.training.checkpoint import name_of, newest
from gansmith.training.rundir import RunDir
from gansmith.watch.illnesses import Cure, changed, possible, setting
from gansmith.watch.treatment import Act, judged, next_cure
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


def treat(run: RunDir, config: Config, spec: Spec, error: Ill | Diverged) -> Config:
    """Puts the run back to where it was last well, and says with which settings it is to go on.

    Raises:
        Ill: nothing is left to try. The run stays where it was last well; as it is, where it never was.
    """
    rows = run.looks()
    signals = [row["signals"] for row in rows]
    found = verdicts(signals, str(error).splitlines()[0] if isinstance(error, Diverged) else "")
    images = int(rows[-1]["images"]) if rows else 0
    found = found if isinstance(error, Diverged) else lasting(found, images)
    healthy = run.read("checkpoints/healthy.json").get("checkpoint")
    back = next((int(row["images"]) for row in rows if name_of(row["step"]) == healthy), 0)
    acts = judged(acts_of(run), back)
    for act in acts[-1:]:
        config = config if act.helped else changed(config, act.before)
    choice = next_cure(found, acts, partial(playable, config, spec))
    if choice is not None:
        acts.append(Act.of(choice, partial(setting, config), images, back))
        log.warning("treatment: %s", acts[-1])
        config = changed(config, choice.settings)
    stays = choice is None and healthy is None
    if not stays:
        go_back(run, healthy)
    run.write(RECORD, {"acts": [act.to_json() for act in acts]})
    run.write_config(config)
    if choice is not None:
        return config
    where = "was never well; it is as it ended" if stays else f"is as it was after {back} images, when it was last well"
    raise Ill(f"{gave_up(run, found, acts, images)}\nThe run {where}.")


def gave_up(run: RunDir, found: Sequence[Verdict], acts: Sequence[Act], images: int) -> str:
    tried = "\n".join(f"  {act}" for act in acts) or "  nothing that this family can do"
    ills = ", ".join(verdict.name for verdict in found)
    return f"{run.path}: {ills}: the treatment gives up at {images} images. It tried\n{tried}"


def go_back(run: RunDir, healthy: str | None) -> None:
    """Drops all checkpoints since that one."""
    for folder in newest(run.checkpoints):
        if healthy is None or folder.name > healthy:
            shutil.rmtree(folder, ignore_errors=True)


def playable(config: Config, spec: Spec, cure: Cure) -> dict[str, Any]:
    """What a cure would set, where the game could go on with it from a checkpoint."""
    asked = cure.settings(partial(setting, config))
    fits = possible(cure, config, spec) and shapes(changed(config, asked), spec) == shapes(config, spec)
    return asked if fits else {}


def shapes(config: Config, spec: Spec) -> dict[str, tuple[int, ...]]:
    """Of all weights, by name."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build(config, spec).nets.state_dict().items()}

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
from gansmith.training.checkpoint import newest
from gansmith.training.rundir import RunDir
from gansmith.watch.illnesses import Cure, changed, possible, setting
from gansmith.watch.treatment import Act, next_cure
from gansmith.watch.verdicts import Verdict, verdicts

log = logging.getLogger("gansmith")

RECORD = "treatment.json"


def acts_of(run: RunDir) -> list[Act]:
    """What was tried, the first first."""
    try:
        return [Act(**act) for act in run.read(RECORD).get("acts", [])]
    except TypeError as error:
        raise GansmithError(f"{run.path / RECORD}: damaged: {error}") from error


def treated(config: Config, acts: Sequence[Act]) -> Config:
    """The settings with all cures that were tried."""
    for act in acts:
        config = changed(config, act.settings)
    return config


def treat(run: RunDir, config: Config, spec: Spec, error: Ill | Diverged) -> Config:
    """Puts the run back to where it was last well, and says with which settings it is to go on.

    Raises:
        Ill: nothing is left to try. The run stays where it was last well; as it is, where it never was.
    """
    rows, acts = run.looks(), acts_of(run)
    signals = [row["signals"] for row in rows]
    found = verdicts(signals, str(error).splitlines()[0] if isinstance(error, Diverged) else "")
    images = rows[-1]["images"] if rows else 0
    choice = next_cure(found, acts, partial(playable, config, spec))
    healthy = run.read("checkpoints/healthy.json").get("checkpoint")
    if choice is None and healthy is None:
        raise Ill(f"{gave_up(run, found, acts, images)}\nIt was never well; the run is as it ended.")
    back = go_back(run, healthy)
    if choice is None:
        raise Ill(
            f"{gave_up(run, found, acts, images)}\nThe run is as it was after {back} images, when it was last well."
        )
    act = Act(choice.verdict.name, choice.verdict.evidence, choice.cure.words, choice.settings, images, back)
    log.warning("treatment: %s", act)
    config = changed(config, choice.settings)
    run.write(RECORD, {"acts": [one.to_json() for one in (*acts, act)]})
    run.write_config(config)
    return config


def gave_up(run: RunDir, found: Sequence[Verdict], acts: Sequence[Act], images: int) -> str:
    tried = "\n".join(f"  {act}" for act in acts) or "  nothing that this family can do"
    ills = ", ".join(verdict.name for verdict in found)
    return f"{run.path}: {ills}: the treatment gives up at {images} images. It tried\n{tried}"


def go_back(run: RunDir, healthy: str | None) -> int:
    """Drops all checkpoints since that one; the images that it had seen then."""
    for folder in newest(run.checkpoints):
        if healthy is None or folder.name > healthy:
            shutil.rmtree(folder, ignore_errors=True)
    state, _ = run.last_good(("nets",))
    return 0 if state is None else int(state["clock"]["images"])


def playable(config: Config, spec: Spec, cure: Cure) -> dict[str, Any]:
    """What a cure would set, where the game could go on with it from a checkpoint."""
    asked = cure.settings(partial(setting, config))
    fits = possible(cure, config, spec) and shapes(changed(config, asked), spec) == shapes(config, spec)
    return asked if fits else {}


def shapes(config: Config, spec: Spec) -> dict[str, tuple[int, ...]]:
    """Of all weights, by name."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build(config, spec).nets.state_dict().items()}

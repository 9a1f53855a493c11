"""What a training would do, without doing it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from gansmith.apps.configure import Layer
from gansmith.apps.run import configured, rehearse
from gansmith.data import Dataset, open_data
from gansmith.training.runtime import Runtime
from gansmith.training.session import Player


def told(dataset: Dataset) -> dict[str, Any]:
    """What there is beside images: those that they are to become, and words of captions."""
    spec, rows = dataset.spec, {}
    if dataset.train.targets is not None:
        kind = "each its own" if spec.paired else "of another kind"
        rows["to become"] = f"{len(dataset.train.targets):,} images, {kind}, {spec.target_channels} channels"
    if spec.words:
        rows["words of captions"] = f"{len(spec.words):,}"
    return rows


def preview(family: str | None, data: str | None, *, layers: Sequence[Layer], **asked: Any) -> dict[str, Any]:
    """Reads the data and builds the game; what `gansmith train --dry-run` prints.

    Args:
        asked: as those of `gansmith.train`.
    """
    config = configured(family, data, layers=layers, **asked)
    dataset = open_data(config.data, partial(rehearse, config))
    runtime = Runtime.of(config.train)
    player = Player(config, dataset.spec, runtime)
    spec = dataset.spec
    length = f"{config.train.minutes:g} minutes" if config.train.minutes else f"{config.train.images:,} images"
    return {
        "family": config.family,
        "data": dataset.name,
        "images": len(dataset.train.images),
        "held out": len(dataset.heldout.images),
        "skipped": len(dataset.skipped),
        "size": f"{spec.width}x{spec.height}, {spec.channels} channels, as {spec.resolution}x{spec.resolution}",
        "classes": len(spec.classes),
        **told(dataset),
        **{f"parameters of {name}": sum(p.numel() for p in net.parameters()) for name, net in player.game.nets.items()},
        "stages": ", ".join(stage.name for stage in player.game.stages),
        "batch": config.train.batch,
        "length": length,
        "device": str(runtime.device),
        "precision": "bf16" if runtime.autocasts else "fp32",
        "cores": os.cpu_count(),
    }

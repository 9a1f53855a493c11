"""Small runs: 64 images of noise, nets of four channels, a dozen steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gansmith
from gansmith.apps import run as runs

SMALL = {
    "g_width": 4,
    "d_width": 4,
    "latent": 8,
    "train.batch": 8,
    "train.evaluations": 0,
    "train.frames": 2,
    "train.checkpoint_seconds": 1e-3,
}


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 64 grey images of 16x16."""
    path = tmp_path_factory.mktemp("noise") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    return path


@pytest.fixture
def train(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., gansmith.Run]:
    """`gansmith.train` of a small run in `tmp_path`/run, without its final evaluation; settings by dotted name."""

    def conclude(run: gansmith.Run, dataset: Any) -> None:
        run.dir.write("result.json", {"run": str(run.path), "images": run.dir.rows()[-1]["images"]})

    monkeypatch.setattr(runs, "conclude", conclude)

    def train(settings: dict[str, Any] | None = None, **asked: Any) -> gansmith.Run:
        given = {"data": str(noise), "kimg": 0.096, "run_dir": tmp_path / "run", "quiet": True} | asked
        return gansmith.train("dcgan", settings=SMALL | (settings or {}), **given)

    return train

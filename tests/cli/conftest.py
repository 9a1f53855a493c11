"""The command in this process, and a run to use it on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gansmith.cli.main import main

TINY = [
    text
    for setting in ("g_width=4", "d_width=4", "latent=8", "train.batch=8", "train.evaluations=0", "train.frames=1")
    for text in ("--set", setting)
]


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """`gansmith` with arguments, in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("GANSMITH_RUNS", "runs")
    monkeypatch.setenv("COLUMNS", "200")

    def command(*args: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gansmith", *map(str, args)])
        code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        return Answer(code, *capsys.readouterr())

    return command


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 64 grey images of 16x16."""
    path = tmp_path_factory.mktemp("noise") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    return path


@pytest.fixture(scope="session")
def trained(noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run. Tests that change it copy it."""
    import gansmith

    path = tmp_path_factory.mktemp("trained") / "run"
    settings = dict(setting.split("=") for setting in TINY[1::2])
    gansmith.train("dcgan", str(noise), kimg=0.064, settings=settings, run_dir=path, quiet=True)
    return path

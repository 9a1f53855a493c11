"""Going on with a run: with the same settings, by one process at a time, and never by mistake."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansmith
from gansmith.apps import run as runs
from gansmith.core.errors import ConfigError, Diverged
from gansmith.training import loop
from gansmith.training.checkpoint import flatten, load_checkpoint, newest
from gansmith.training.session import Session

Train = Callable[..., gansmith.Run]


@pytest.fixture
def other_process() -> Iterator[int]:
    """The pid of a process that lives as long as the test."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


def test_settings_that_changed_are_named(train: Train) -> None:
    run = train({"optim.g.lr": 0.25}, kimg=0.008)
    (run.path / "result.json").unlink()
    before = (run.path / "config.yaml").read_text()
    with pytest.raises(ConfigError) as caught:
        train({"optim.g.lr": 0.123, "loss": "hinge"}, kimg=1)
    for line in ("optim.g.lr: 0.25 → 0.123", "loss: least-squares → hinge", "train.kimg: 0.008 → 1", "--allow-drift"):
        assert line in str(caught.value)
    assert "d_width" not in str(caught.value)
    assert (run.path / "config.yaml").read_text() == before


def test_allow_drift_goes_on(train: Train) -> None:
    run = train()
    (run.path / "result.json").unlink()
    train({"optim.g.lr": 0.123}, allow_drift=True)
    assert gansmith.load(run.path).config.model_dump()["optim"]["g"]["lr"] == 0.123
    assert run.result


def test_drift_that_does_not_fit_the_checkpoint_spoils_nothing(train: Train) -> None:
    run = train()
    (run.path / "result.json").unlink()
    before = (run.path / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=r"does not fit the networks of these settings: .*size mismatch"):
        train({"g_width": 8}, allow_drift=True)
    assert (run.path / "config.yaml").read_text() == before
    train()


def test_data_that_changed_are_named(train: Train, tmp_path: Path) -> None:
    data = tmp_path / "own.npy"
    rng = np.random.default_rng(0)
    np.save(data, rng.integers(0, 256, (40, 16, 16), np.uint8))
    run = train(data=str(data))
    (run.path / "result.json").unlink()
    np.save(data, rng.integers(0, 256, (44, 16, 16), np.uint8))
    with pytest.raises(ConfigError, match=r"data: .*own.* has changed since the run began"):
        train(data=str(data))
    train(data=str(data), allow_drift=True)


def test_resume_never(train: Train) -> None:
    run = train()
    with pytest.raises(ConfigError, match=f"{run.path}: holds a run already"):
        train(resume="never")


def test_resume_path(train: Train, tmp_path: Path) -> None:
    run = train()
    assert train(run_dir=None, resume=str(run.path)).path == run.path
    with pytest.raises(ConfigError, match="leave --run-dir out"):
        train(run_dir=tmp_path / "other", resume=str(run.path))
    with pytest.raises(ConfigError, match="not a run"):
        train(run_dir=None, resume=str(tmp_path))


def test_resume_path_alone_keeps_family_and_settings(train: Train) -> None:
    run = train({"loss": "hinge"})
    (run.path / "result.json").unlink()
    again = gansmith.train("aae", resume=str(run.path), quiet=True)
    assert again.path == run.path
    assert again.config == run.config
    assert again.result


def test_a_run_can_be_lengthened(train: Train) -> None:
    run = train(kimg=0.096)
    with pytest.raises(ConfigError, match=r"train.kimg: 0.096 → 0.16"):
        train(kimg=0.16)
    longer = train(kimg=0.16, allow_drift=True)
    assert longer.path == run.path
    assert [row["images"] for row in longer.dir.rows()] == list(range(8, 161, 8))


def test_finished_run_returns_at_once(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    result = train().result
    monkeypatch.setattr(runs, "play_run", lambda *args: pytest.fail("plays again"))
    assert train().result == result


def test_killed_after_training_only_concludes(train: Train) -> None:
    run = train()
    weights = (newest(run.dir.checkpoints)[0] / "COMPLETE").read_text()
    (run.path / "result.json").unlink()
    train()
    assert (newest(run.dir.checkpoints)[0] / "COMPLETE").read_text() == weights
    assert run.result["images"] == 96


def status(run: Path, **fields: Any) -> None:
    record = {"state": "running", "step": 1, "images": 8, "total": 96, "pid": os.getpid(), "heartbeat": time.time()}
    run.mkdir(exist_ok=True)
    (run / "status.json").write_text(json.dumps(record | fields))


def test_run_of_another_process_is_refused(train: Train, tmp_path: Path, other_process: int) -> None:
    train()
    status(tmp_path / "run", pid=other_process)
    with pytest.raises(ConfigError, match=f"another process is training here \\(pid {other_process}\\)"):
        train()


@pytest.mark.parametrize(
    "fields",
    [{"heartbeat": 0.0}, {"state": "finished"}, {"pid": 2**22 + 1}, {"pid": 2**80}, {"pid": "x"}, {"heartbeat": None}],
)
def test_run_of_a_process_that_is_gone_is_taken_over(
    train: Train, tmp_path: Path, other_process: int, fields: dict[str, Any]
) -> None:
    train()
    status(tmp_path / "run", **({"pid": other_process} | fields))
    assert train().result["images"] == 96


def test_status_and_heartbeat(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat does not wait for a checkpoint, which may be an hour away."""
    seen = []
    step = Session.step

    def spied(session: Session, plan: Any) -> Any:
        seen.append(json.loads((tmp_path / "run/status.json").read_text()))
        return step(session, plan)

    monkeypatch.setattr(Session, "step", spied)
    monkeypatch.setattr(loop, "HEARTBEAT_SECONDS", 0.0)
    run = train({"train.checkpoint_seconds": 3600})
    assert [s["step"] for s in seen] == list(range(12))
    assert {s["state"] for s in seen} == {"running"}
    assert {s["pid"] for s in seen} == {os.getpid()}
    assert seen[0]["heartbeat"] < seen[-1]["heartbeat"]
    assert run.dir.read("status.json")["state"] == "finished"
    assert len(newest(run.dir.checkpoints)) == 1


def test_checkpoints_kept(train: Train) -> None:
    assert len(newest(train({"train.keep": 3}).dir.checkpoints)) == 3


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """After step `at`, a weight of G is not a number."""
    step = Session.step

    def spied(session: Session, plan: Any) -> Any:
        stats = step(session, plan)
        if session.clock.step == at:
            with torch.no_grad():
                next(iter(session.game.nets["G"].parameters())).flatten()[0] = math.nan
        return stats

    monkeypatch.setattr(Session, "step", spied)


@pytest.mark.parametrize(("settings", "what"), [({}, "weights"), ({"train.checkpoint_seconds": 60}, "G/loss")])
def test_divergence_is_named_and_not_kept(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], what: str
) -> None:
    poisoned(monkeypatch, at=6)
    with pytest.raises(Diverged, match=f"{what}.* became NaN or infinite.*lower learning rate") as caught:
        train(settings)
    assert caught.value.exit_code == 5
    run = gansmith.Run(tmp_path / "run")
    assert run.dir.read("status.json")["state"] == "diverged"
    for folder in newest(run.dir.checkpoints):
        for name, tensor in flatten(load_checkpoint(folder))[0].items():
            assert torch.isfinite(tensor).all(), (folder, name)


def test_huge_learning_rate(train: Train, tmp_path: Path) -> None:
    """It is said that the run diverged, and no checkpoint holds what came of it."""
    with pytest.raises(Diverged, match="became NaN or infinite"):
        train({"optim.g.lr": 1e30, "optim.d.lr": 1e30, "d_norm": "none"})
    for folder in newest(tmp_path / "run/checkpoints"):
        assert all(torch.isfinite(t).all() for t in flatten(load_checkpoint(folder))[0].values())


def test_minutes_are_kept_and_the_plan_is_fixed(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "seconds_to_measure", lambda *args: 0.0)  # as `train` leaves the evaluation out
    began = time.monotonic()
    run = train({"train.frames": 0, "train.checkpoint_seconds": 60}, kimg=None, minutes=0.12)
    took = time.monotonic() - began
    # A run of 7 s, beside the other worker's tests: only the order of magnitude can be asked for.
    assert 7.2 / 2 < took < 7.2 * 2, took
    total = run.dir.meta()["total"]
    (run.path / "result.json").unlink()
    train({"train.frames": 0, "train.checkpoint_seconds": 60}, kimg=None, minutes=0.12)
    assert run.dir.meta()["total"] == total == run.dir.read("status.json")["total"]


def test_interrupted_planning_leaves_nothing(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs, "plan_run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train()
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.config.yaml.left").touch()
    train()

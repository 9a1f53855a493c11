"""Going on with a run: with the same settings, by one process at a time, and never by mistake."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansmith
from gansmith.apps import run as runs
from gansmith.apps.configure import resolve
from gansmith.core.clock import Pace, Plan
from gansmith.core.config import OptimConfig, TrainConfig
from gansmith.core.errors import ConfigError, Diverged
from gansmith.core.game import Player
from gansmith.training import loop, planning, runtime
from gansmith.training.checkpoint import flatten, load_checkpoint, newest
from gansmith.training.optim import Optim
from gansmith.training.rundir import RunDir
from gansmith.training.runtime import Runtime
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
    (run.path / "result.json").unlink()
    train(data=str(data))  # what was allowed once is what the run has now


@pytest.mark.parametrize(
    ("was", "now"), [("adam", "rmsprop"), ("rmsprop", "sgd"), ("sgd", "adam"), ("adam", "adam"), ("rmsprop", "rmsprop")]
)
def test_another_kind_of_optimiser_begins_anew(train: Train, was: str, now: str) -> None:
    run = train({"optim.d.kind": was})
    (run.path / "result.json").unlink()
    longer = train({"optim.d.kind": now}, kimg=0.16, allow_drift=True)
    assert longer.result["images"] == 160
    parts = load_checkpoint(newest(run.dir.checkpoints)[0])["optims"]["D"]
    steps = {int(state["step"]) for state in parts.values() if "step" in state}
    assert steps == ({20} if was == now else {8} if now != "sgd" else set())


def test_a_loss_with_state_can_join(noise: Path, tmp_path: Path) -> None:
    """Path length begins anew in a run that had none."""
    settings = {"width": 2, "latent": 8, "train.batch": 8, "train.evaluations": 0, "train.frames": 0}
    asked: dict[str, Any] = {"data": str(noise), "run_dir": tmp_path / "run", "quiet": True}
    gansmith.train("stylegan", settings=settings, kimg=0.064, **asked)
    settings |= {"path_length": 1.0}
    run = gansmith.train("stylegan", settings=settings, kimg=0.16, allow_drift=True, **asked)
    assert any("G/path_length" in row for row in run.dir.rows())


def test_moments_and_counts_are_where_the_optimiser_looks() -> None:
    """Of a fused Adam the count of steps is on the parameter's device too; torch refuses to step otherwise."""
    for kind, device in (("adam", "meta"), ("rmsprop", "cpu")):
        here, there = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, device="meta")
        player = Player(("D",), OptimConfig(kind=kind))  # type: ignore[arg-type]
        trained = Optim(player, {"D": here})
        here(torch.ones(1, 2)).sum().backward()
        trained.step(Plan.of(10, [1.0]).at(0, 0))
        restored = Optim(player, {"D": there})
        restored.load_state_dict(trained.state_dict())
        places = {name: value.device.type for name, value in restored.torch.state[there.weight].items()}
        assert places.pop("step") == device
        assert set(places.values()) == {"meta"}


def test_minutes_cannot_be_changed_but_kimg_can(train: Train) -> None:
    run = train({"train.checkpoint_seconds": 60}, kimg=None, minutes=0.01)
    with pytest.raises(ConfigError, match=r"minutes become a number of images while it trains; --kimg"):
        train(kimg=None, minutes=0.02, allow_drift=True)
    kimg = (run.dir.meta()["total"] + 80) / 1000
    longer = train(kimg=kimg, allow_drift=True)
    assert longer.result["images"] == 1000 * kimg
    assert longer.config.train.minutes is None


def test_one_process_at_a_time(train: Train, tmp_path: Path) -> None:
    """Whatever status.json says."""
    with RunDir(tmp_path / "run").held(), pytest.raises(ConfigError, match="another process is training here"):
        train()
    assert train().result["images"] == 96


def test_a_run_that_another_process_began_meanwhile_is_left_alone(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, begun = runs.prepare, []

    def prepare(*args: Any) -> Any:
        meta = real(*args)
        if not begun:  # another one plans, trains and finishes between this one's plan and its start
            begun.append(True)
            train({"optim.g.lr": 0.25})
        return meta

    monkeypatch.setattr(runs, "prepare", prepare)
    with pytest.raises(ConfigError, match="another process has begun a run here"):
        train()
    assert train({"optim.g.lr": 0.25}).result["images"] == 96


def test_directories_are_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GANSMITH_RUNS", str(tmp_path / "many"))
    first = runs.claimed(resolve("dcgan", []))
    free = runs.new_run_dir("dcgan", "fashion")
    answers = iter([first, free])  # as another process, which looked before the first was made
    monkeypatch.setattr(runs, "new_run_dir", lambda *args: next(answers))
    assert runs.claimed(resolve("dcgan", [])) == free
    assert first.path.name == "dcgan-fashion-1"
    assert free.path.name == "dcgan-fashion-2"


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

    monkeypatch.setattr(planning, "play_stages", lambda session: None)
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


@dataclass
class Machine:
    """A machine whose clock moves by its work alone: a step takes 20 ms, a sample 0.1 ms."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, form: str) -> str:
        return time.strftime(form)

    def takes(self, seconds: Callable[..., float], work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, after which so many seconds have gone by."""

        def done(*args: Any, **kwargs: Any) -> Any:
            self.now += seconds(*args)
            return work(*args, **kwargs)

        return done


@pytest.mark.parametrize(("minutes", "busy"), [(1, 0), (5, 0), (5, 60)])
@pytest.mark.parametrize("evaluations", [0, 4])
def test_minutes_are_kept(
    train: Train, monkeypatch: pytest.MonkeyPatch, minutes: int, busy: int, evaluations: int
) -> None:
    """On a machine that is a quarter as fast for its first `busy` seconds, too."""
    machine = Machine()
    for module in (loop, planning, runs):
        monkeypatch.setattr(module, "time", machine)
    monkeypatch.setattr(runs, "seconds_to_measure", lambda *args: 0.0)  # as `train` leaves the evaluation out
    # One of many steps does its work: it is the plan that is looked at.
    real = Session.step

    def step(session: Session, plan: Plan) -> Any:
        if session.clock.step % 200 == 0:
            return real(session, plan)
        session.clock = plan.at(session.clock.step + 1, session.clock.images + session.config.train.batch)
        return {}

    def takes(*args: Any) -> float:
        return 0.32 if machine.now < busy else 0.08

    monkeypatch.setattr(Session, "step", machine.takes(takes, step))
    monkeypatch.setattr(Session, "sample", machine.takes(lambda session, n, *args: 1e-4 * n, Session.sample))
    settings = {"train.frames": 5, "train.evaluations": evaluations, "train.checkpoint_seconds": 60, "train.looks": 0}
    run = train(settings, kimg=None, minutes=minutes)
    assert machine.now == pytest.approx(60 * minutes, rel=0.01)
    steps = (60 * minutes - busy) / 0.08 + busy / 0.32
    assert run.dir.meta()["total"] > 0.85 * steps * run.config.train.batch


def test_a_run_that_is_killed_after_its_length_was_corrected_goes_on_to_that_length(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the weights of one that was not killed."""
    monkeypatch.setattr(runs, "seconds_to_measure", lambda *args: 0.0)
    monkeypatch.setattr(loop, "LEAST_PACED", 0.0)
    monkeypatch.setattr(Pace, "plan", lambda self, clock, now, speed, shares: Plan.of(clock.images + 160, shares))
    settings = {"train.frames": 0, "train.checkpoint_seconds": 60}
    whole = train(settings, kimg=None, minutes=0.02)
    total, weights = whole.dir.meta()["total"], whole.player.game.nets.state_dict()
    assert len(newest(whole.dir.checkpoints)) > 1, "one of the correction, one of the end"
    shutil.rmtree(newest(whole.dir.checkpoints)[0])
    (whole.path / "result.json").unlink()
    again = train(settings, kimg=None, minutes=0.02)
    assert again.dir.meta()["total"] == total == again.result["images"]
    for name, tensor in again.player.game.nets.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)


def test_minutes_that_hardly_leave_time_to_train_are_told(
    train: Train, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "seconds_to_measure", lambda *args: 60.0)
    run = train({"train.frames": 0, "train.checkpoint_seconds": 60}, kimg=None, minutes=1)
    assert run.dir.meta()["total"] == run.config.train.batch
    assert "train.minutes=1: 0 seconds of them are left to train in" in caplog.text


def test_the_plan_is_fixed(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "seconds_to_measure", lambda *args: 0.0)
    settings = {"train.frames": 0, "train.checkpoint_seconds": 60}
    run = train(settings, kimg=None, minutes=0.03)
    total = run.dir.meta()["total"]
    (run.path / "result.json").unlink()
    train(settings, kimg=None, minutes=0.03)
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


def test_precision_stays_what_it_was_when_the_run_began(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run begun on a machine without bf16 goes on in fp32 on one with it."""
    monkeypatch.setattr(runtime, "has_bf16", lambda device: False)
    assert not Runtime.of(TrainConfig()).autocasts
    assert Runtime.of(TrainConfig(precision="bf16"), False).autocasts
    run = train()
    monkeypatch.setattr(runtime, "has_bf16", lambda device: True)
    assert Runtime.of(TrainConfig()).autocasts
    assert not Runtime.of(TrainConfig(), False).autocasts
    assert not Runtime.of(TrainConfig(precision="fp32")).autocasts
    assert run.dir.began_in_bf16() is False
    meta = run.dir.read("meta.json")
    run.dir.write("meta.json", meta | {"runtime": meta["runtime"] | {"bf16": True}})
    (run.path / "result.json").unlink()
    seen: list[bool] = []
    monkeypatch.setattr(loop, "Session", lambda *args: seen.append(args[-1].autocasts) or Session(*args))
    train()
    assert seen == [True]
    monkeypatch.setattr(runtime, "has_bf16", lambda device: False)
    assert not Runtime.of(TrainConfig(), True).autocasts, "not where the hardware lacks it"

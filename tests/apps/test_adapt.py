"""From one run to the next: what begins as it was, what stays, when it ends; a stop on the way changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansmith
from gansmith.apps.adapt import Comparison, adapt, compare
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.recipes import FAMILIES
from gansmith.training import planning
from gansmith.training.checkpoint import load_checkpoint, newest
from gansmith.training.judge import Judge
from gansmith.training.optim import Optim
from gansmith.training.patience import Standstill, standstill
from gansmith.training.session import Session

SMALL = {
    "g_width": 4,
    "d_width": 4,
    "latent": 8,
    "train.batch": 8,
    "train.evaluations": 2,
    "train.frames": 0,
    "train.looks": 0,
    "train.samples": 0,
}
State = dict[str, torch.Tensor]
Adapt = Callable[..., gansmith.Run]


def noise(path: Path, n: int, *shape: int) -> Path:
    np.save(path, np.random.default_rng(n).integers(0, 256, (n, *shape), np.uint8))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> gansmith.Run:
    """A finished run on 64 grey images of 16x16."""
    folder = tmp_path_factory.mktemp("source")
    data = str(noise(folder / "much.npy", 64, 16, 16))
    return gansmith.train("dcgan", data, kimg=0.064, settings=SMALL, run_dir=folder / "run", quiet=True)


@pytest.fixture
def few(tmp_path: Path) -> str:
    """40 colour images of another size."""
    return str(noise(tmp_path / "few.npy", 40, 20, 20, 3))


@pytest.fixture
def adapted(source: gansmith.Run, few: str, tmp_path: Path) -> Adapt:
    """`adapt` of the source to them, 12 steps long, into `tmp_path`/new; settings by dotted name."""

    def adapted(settings: dict[str, Any] | None = None, **asked: Any) -> gansmith.Run:
        given = {"kimg": 0.096, "run_dir": tmp_path / "new", "quiet": True} | asked
        return adapt(source, few, settings={"train.evaluations": 1} | (settings or {}), **given)

    return adapted


def nets(run: gansmith.Run) -> State:
    return load_checkpoint(newest(run.dir.checkpoints)[0])["nets"]


def test_networks_begin_as_those_of_the_run(
    adapted: Adapt, source: gansmith.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[State, np.ndarray]] = []
    step = Session.step

    def spied(session: Session, plan: Any) -> Any:
        if session.clock.step == 0:
            seen.append(({k: v.clone() for k, v in session.game.nets.state_dict().items()}, session.sample(4, 0)))
        return step(session, plan)

    monkeypatch.setattr(planning, "play_stages", lambda session: None)
    monkeypatch.setattr(Session, "step", spied)
    run = adapted()
    ((first, samples),) = seen
    torch.testing.assert_close(first, dict(nets(source)), rtol=0, atol=0)
    assert samples.shape == (4, 16, 16, 1)
    assert (np.asarray(samples) == source.sample(4)).all()
    assert run.config.train.start == str(source.path)
    assert run.config.data.source.endswith("few.npy")
    assert (run.spec.resolution, run.spec.channels) == (16, 1)


def test_the_best_checkpoint_can_be_begun_with(source: gansmith.Run, few: str, tmp_path: Path) -> None:
    best = gansmith.load(source.path, best=True)
    run = best.adapt(few, kimg=0.008, run_dir=tmp_path / "new", quiet=True)
    assert run.config.train.start == str(source.dir.best_checkpoint())


LEVELS = (["D.layers.0.weight", "D.layers.0.bias"], ["D.layers.2.weight", "D.layers.3.weight", "D.layers.3.bias"])
"""Parameters of D's two levels at 16 pixels: a convolution, and one with its norm."""


@pytest.mark.parametrize("freeze", [0, 1, 2])
def test_frozen_levels_stay_bit_equal(adapted: Adapt, source: gansmith.Run, freeze: int) -> None:
    before, after = nets(source), nets(adapted({"train.patience": 0}, freeze=freeze))
    parameters = [name for name, _ in source.player.game.nets.named_parameters()]
    same = [name for name in parameters if torch.equal(before[name], after[name])]
    assert same == [name for level in LEVELS[:freeze] for name in level]


# ---- patience


def test_standstill_by_hand() -> None:
    assert standstill([], 4) == Standstill(0, 0)
    assert standstill([3, 2, 1], 4) == Standstill(0, 0)
    assert standstill([3, 2, 2, 4], 4) == Standstill(2, 1)
    assert standstill([3, 4, 5, 2, 3, 3, 3], 4) == Standstill(3, 2)
    assert standstill([1, 1], 1) == Standstill(1, 1)


def scores(monkeypatch: pytest.MonkeyPatch, values: Sequence[float]) -> None:
    """Whatever the samples are, the score after each eight images is that."""

    def quick(judge: Judge, session: Any, seed: int) -> dict[str, float]:
        return {"quick/frechet": 1.0 / max(1, session.clock.images), "quick/kernel": values[session.clock.step - 1]}

    monkeypatch.setattr(planning, "play_stages", lambda session: None)
    monkeypatch.setattr(Judge, "quick", quick)


WORSENING = [3.0, 2.0, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0]
KEPT = {"train.patience": 4, "train.checkpoint_seconds": 1e-3, "train.evaluations": 12}


def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Those that G is trained by, step by step."""
    seen: list[float] = []
    step = Optim.step

    def spied(optim: Optim, clock: Any) -> None:
        step(optim, clock)
        if optim.player.nets == ("G",):
            seen.append(optim.torch.param_groups[0]["lr"])

    monkeypatch.setattr(Optim, "step", spied)
    return seen


def test_rates_are_halved_then_the_run_ends_with_its_best_networks(
    adapted: Adapt, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(monkeypatch, WORSENING)
    seen = rates(monkeypatch)
    kept: dict[int, State] = {}
    step = Session.step

    def spied(session: Session, plan: Any) -> Any:
        stats = step(session, plan)
        kept[session.clock.step] = {k: v.clone() for k, v in session.game.nets.state_dict().items()}
        return stats

    monkeypatch.setattr(Session, "step", spied)
    run = adapted(KEPT | {"optim.g.decay": "constant", "optim.g.lr": 0.25})
    assert run.result["settled"] == "no better in 4 evaluations than after 24 images: kernel distance 1"
    assert run.result["images"] == run.dir.meta()["total"] == 56
    assert run.dir.read("status.json")["state"] == "finished"
    assert seen == [0.25] * 5 + [0.125] * 2
    torch.testing.assert_close(dict(nets(run)), kept[3], rtol=0, atol=0)
    assert (run.sample(4) == gansmith.load(run.path, best=True).sample(4)).all()


def test_a_run_of_full_length_ends_with_its_best_networks_too(adapted: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, [2.0, 1.0, *[3.0] * 10])
    run = adapted(KEPT | {"train.patience": 11})
    assert "settled" not in run.result
    assert run.result["images"] == 96
    best = run.dir.read("checkpoints/best.json")
    assert best == {"kernel": 1.0, "checkpoint": "step-00000012"}


def test_without_patience_nothing_waits(adapted: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, WORSENING)
    run = adapted(KEPT | {"train.patience": 0})
    assert run.result["images"] == 96
    assert "frechet" in run.dir.read("checkpoints/best.json")


class Killed(BaseException):
    """As SIGKILL, for what runs in this process."""


@pytest.mark.parametrize("at", [1, 4, 5, 6, 7])
def test_stopped_anywhere_it_ends_the_same(
    adapted: Adapt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
) -> None:
    scores(monkeypatch, WORSENING)
    whole = adapted(KEPT, run_dir=tmp_path / "whole")
    step, dead = Session.step, False

    def spied(session: Session, plan: Any) -> Any:
        nonlocal dead
        if session.clock.step == at and not dead:
            dead = True
            raise Killed
        return step(session, plan)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", spied)
        try:
            adapted(KEPT)
        except Killed:
            adapted(KEPT)
    assert dead == (at < 7)
    run = gansmith.load(tmp_path / "new")
    one, two = (load_checkpoint(newest(r.dir.checkpoints)[0]) for r in (whole, run))
    assert one["clock"] == two["clock"]
    for part in ("nets", "optims"):
        torch.testing.assert_close(one[part], two[part], rtol=0, atol=0)
    assert {name: run.result[name] for name in ("images", "settled")} == {
        name: whole.result[name] for name in ("images", "settled")
    }


def test_killed_as_it_ended(adapted: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last checkpoint, before the run's new length was written."""
    scores(monkeypatch, WORSENING)
    run = adapted(KEPT)
    before, meta = nets(run), run.dir.meta()
    (run.path / "result.json").unlink()
    run.dir.write("meta.json", {k: v for k, v in meta.items() if k != "settled"} | {"total": 96})
    again = adapted(KEPT)
    assert again.result["images"] == 56
    assert again.dir.meta()["settled"] == meta["settled"]
    torch.testing.assert_close(dict(nets(again)), dict(before), rtol=0, atol=0)


def test_the_run_it_began_with_is_not_needed_afterwards(
    adapted: Adapt, source: gansmith.Run, few: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(source.path, copy)
    own = gansmith.load(copy)
    asked: dict[str, Any] = {"kimg": 0.096, "run_dir": tmp_path / "of-copy", "quiet": True}
    run = adapt(own, few, settings={"train.looks": 2}, **asked)
    shutil.rmtree(copy)
    (run.path / "result.json").unlink()
    assert gansmith.train(resume=str(run.path), quiet=True).result["images"] == 96


# ---- what does not fit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.resolution": 32}, r"its resolution is 16, not 32; --set data.resolution=16"),
        ({"data.channels": 3}, r"its channels is 1, not 3; --set data.channels=1"),
        ({"g_width": 8}, r"its shape of G.layers.0.weight is \(128, 8\), not \(256, 8\)"),
    ],
)
def test_other_networks_are_refused(adapted: Adapt, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"train.start=.*has other networks: {message}"):
        adapted(settings)
    assert not (tmp_path / "new/meta.json").exists()


def test_another_family_is_refused(source: gansmith.Run, tmp_path: Path, few: str) -> None:
    with pytest.raises(ConfigError, match="its family is dcgan, not r3gan; train dcgan"):
        gansmith.train("r3gan", few, settings={"train.start": str(source.path)}, run_dir=tmp_path / "new", quiet=True)


def labelled(path: Path, classes: int) -> Path:
    """48 grey images of 16x16, with labels."""
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 1), np.uint8)
    np.savez(path, images=images, labels=np.arange(48) % classes)
    return path


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    two, three = (str(labelled(tmp_path / f"{n}.npz", n)) for n in (2, 3))
    asked: dict[str, Any] = {"kimg": 0.016, "quiet": True}
    run = gansmith.train("dcgan", two, conditional=True, settings=SMALL, run_dir=tmp_path / "run", **asked)
    with pytest.raises(ConfigError, match="its number of classes is 2, not 3; each class is a folder of the data"):
        adapt(run, three, run_dir=tmp_path / "new", **asked)
    assert adapt(run, two, run_dir=tmp_path / "same", **asked).is_conditional


def test_a_run_that_has_nothing_yet_is_named(source: gansmith.Run, few: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="elsewhere: not a run"):
        gansmith.train("dcgan", few, settings=SMALL | {"train.start": str(tmp_path / "elsewhere")}, quiet=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("config.yaml", "meta.json"):
        (empty / name).write_bytes((source.path / name).read_bytes())
    with pytest.raises(GansmithError, match="empty: no checkpoint"):
        adapt(gansmith.load(empty), few, run_dir=tmp_path / "new", quiet=True)


@pytest.mark.parametrize("family", [name for name, f in FAMILIES.items() if "freeze_d" in f.config.model_fields])
def test_every_family_with_such_a_d_adapts(tmp_path: Path, family: str) -> None:
    few = str(labelled(tmp_path / "few.npz", 2))
    small = {"width": 4, "g_width": 4, "d_width": 4, "start_g_width": 4, "start_d_width": 4, "latent": 8}
    settings = {name: value for name, value in small.items() if name in FAMILIES[family].config.model_fields}
    settings |= {"train.batch": 4, "train.evaluations": 0, "train.frames": 0, "train.looks": 0, "train.samples": 0}
    asked: dict[str, Any] = {"kimg": 0.008, "quiet": True}
    run = gansmith.train(family, few, settings=settings | {"data.resolution": 16}, run_dir=tmp_path / "run", **asked)
    new = adapt(run, few, settings=settings, run_dir=tmp_path / "new", **asked)
    assert new.result["images"] >= 8
    before, after = nets(run), nets(new)
    fixed = {name for player in new.player.game.players.values() for name in player.fixed}
    assert fixed
    assert all(torch.equal(before[name], after[name]) for name in fixed)


def test_a_family_without_such_a_d(few: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"kimg": 0.016, "quiet": True}
    small = {"train.batch": 8, "train.frames": 0, "train.looks": 0, "train.samples": 0, "train.evaluations": 1}
    run = gansmith.train("aae", few, settings=small | {"data.resolution": 16}, run_dir=tmp_path / "run", **asked)
    with pytest.raises(ConfigError, match="--freeze 1: aae has no setting 'freeze_d'; --freeze 0"):
        adapt(run, few, freeze=1, run_dir=tmp_path / "new", **asked)
    assert adapt(run, few, run_dir=tmp_path / "new", **asked).result["images"] == 16


# ---- beside the same from scratch


def test_the_comparison_with_training_from_scratch(adapted: Adapt) -> None:
    run = adapted({"train.evaluations": 3})
    found = compare(run, quiet=True)
    scratch = gansmith.load(run.path / "scratch")
    assert (scratch.config.train.start, scratch.config.freeze_d, scratch.config.train.patience) == (None, 0, 0)
    assert scratch.result["images"] == run.result["images"]
    assert found.by == "kernel"
    assert [images for images, _ in found.adapted] == [images for images, _ in found.scratch] == [32, 64, 96]
    assert json.loads((run.path / "adapt.json").read_text()) == found.to_json()
    assert (run.path / "adapt.png").exists()


def test_what_a_comparison_says() -> None:
    better = Comparison("kernel", [(10, 0.5), (20, 0.25), (30, 0.125)], [(10, 1.0), (20, 0.5), (30, 0.75)])
    assert better.images == 10
    assert better.words() == (
        "kernel distance to held-out images: adapted 0.125 after 30 images, from scratch 0.5 after 20, which the "
        "adapted run had after 10: 50% of them"
    )
    worse = Comparison("kernel", [(10, 0.5)], [(10, 0.25)])
    assert worse.images is None
    assert worse.words().endswith("from scratch is nearer")


def test_nothing_to_compare_by(adapted: Adapt) -> None:
    with pytest.raises(ConfigError, match=r"no quick scores to compare by; --set train\.evaluations=20"):
        compare(adapted({"train.evaluations": 0}))

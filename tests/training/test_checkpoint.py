"""Checkpoints: whole or not there, nothing executable inside, and one that is damaged costs only its own steps."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gansmith
from gansmith.core.errors import GansmithError
from gansmith.training import checkpoint, judge, loop
from gansmith.training.checkpoint import (
    CheckpointError,
    flatten,
    load_checkpoint,
    newest,
    prune,
    save_checkpoint,
    unflatten,
)

Train = Callable[..., gansmith.Run]

names = st.text(st.characters(blacklist_characters="/", blacklist_categories=("Cs",)), min_size=1, max_size=6)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
tensors = st.lists(st.integers(-9, 9), max_size=4).map(torch.tensor)
trees = st.recursive(
    st.dictionaries(names, numbers | st.text(max_size=5) | tensors, max_size=4),
    lambda below: st.dictionaries(names, below, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Whether two trees have equal leaves in equal places."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    return one == other


def state_at(step: int) -> dict[str, Any]:
    return {
        "nets": {"G": {"weight": torch.full((3, 2), float(step))}},
        "stateful": {"pool": {"count": 3, "images": torch.arange(step)}},
        "clock": {"step": step, "images": 8 * step},
    }


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replace_version(folder: Path) -> None:
    """A checkpoint that is whole, but of a later format."""
    path = folder / "state.json"
    content = json.dumps(json.loads(path.read_text()) | {"format": 99}).encode()
    path.write_bytes(content)
    digests = json.loads((folder / "COMPLETE").read_text())
    (folder / "COMPLETE").write_text(json.dumps(digests | {"state.json": checkpoint._write(path, content)}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: os.truncate(folder / "nets.safetensors", 40),
    "empty": lambda folder: os.truncate(folder / "nets.safetensors", 0),
    "a byte flipped": lambda folder: flip_last_byte(folder / "nets.safetensors"),
    "a byte of the state flipped": lambda folder: flip_last_byte(folder / "state.json"),
    "a file missing": lambda folder: (folder / "nets.safetensors").unlink(),
    "COMPLETE empty": lambda folder: (folder / "COMPLETE").write_text(""),
    "COMPLETE a list": lambda folder: (folder / "COMPLETE").write_text("[]"),
    "COMPLETE a number": lambda folder: (folder / "COMPLETE").write_text("3"),
    "COMPLETE without digests": lambda folder: (folder / "COMPLETE").write_text("{}"),
    "a folder for a file": lambda folder: (
        (folder / "state.json").rename(folder / "x") and (folder / "state.json").mkdir()
    ),
    "another version": replace_version,
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


@given(trees)
def test_flatten_round_trip(tree: dict[str, Any]) -> None:
    assert same(unflatten(*flatten(tree)), tree)


def test_save_and_load(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, state_at(7))
    assert folder.name == "step-00000007"
    assert same(load_checkpoint(folder), state_at(7))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json", ""}


def test_load_some_parts(tmp_path: Path) -> None:
    state = load_checkpoint(save_checkpoint(tmp_path, state_at(7)), ("nets",))
    assert same(state["nets"], state_at(7)["nets"])
    assert "images" not in state["stateful"]["pool"]


@damages
def test_damaged_checkpoint_is_known_for_it(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = save_checkpoint(tmp_path, state_at(7))
    damage(folder)
    with pytest.raises(CheckpointError, match=re.escape(str(folder))):
        load_checkpoint(folder)


@damages
def test_damaged_checkpoint_is_written_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(save_checkpoint(tmp_path, state_at(7)))
    assert same(load_checkpoint(save_checkpoint(tmp_path, state_at(7))), state_at(7))


def test_without_complete_is_not_there(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path, state_at(7))
    (folder / "COMPLETE").unlink()
    assert newest(tmp_path) == []


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in range(1, 7):
        save_checkpoint(tmp_path, state_at(step))
    (tmp_path / ".step-00000009.123").mkdir()
    prune(tmp_path, 2, {"step-00000003"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000005", "step-00000006"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    """The message names the place; nothing half-written stays, and what was there before can still be read."""
    before = save_checkpoint(tmp_path, state_at(1))

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(CheckpointError, match="step-00000002: cannot write the checkpoint: No space left on device"):
        save_checkpoint(tmp_path, state_at(2))
    assert [p.name for p in tmp_path.iterdir()] == [before.name]
    assert same(load_checkpoint(before), state_at(1))


def test_place_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").touch()
    with pytest.raises(CheckpointError, match="checkpoints/step-00000001: cannot write"):
        save_checkpoint(tmp_path / "checkpoints", state_at(1))


def finished(run: gansmith.Run) -> dict[str, Any]:
    return load_checkpoint(newest(run.dir.checkpoints)[0])


def cut(run: gansmith.Run) -> None:
    """Makes a finished run one that was killed at its end."""
    (run.path / "result.json").unlink()


@damages
def test_resume_goes_back_to_the_one_before(
    train: Train, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    run = train()
    whole = finished(run)
    cut(run)
    damaged = newest(run.dir.checkpoints)[0]
    damage(damaged)
    assert same(finished(train()), whole)
    assert f"{damaged}" in caplog.text
    assert "using the one before it" in caplog.text
    assert [row["step"] for row in run.dir.rows()] == list(range(1, 13))


def test_damaged_ones_do_not_crowd_out_new_ones(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two damaged checkpoints are newer than all that a resumed run writes at first, and only two are kept."""
    run = train({"train.keep": 3})
    cut(run)
    for folder in newest(run.dir.checkpoints)[:2]:
        flip_last_byte(folder / "nets.safetensors")
    steps = iter(range(100))

    def save(*args: Any) -> Path:
        if next(steps) == 1:
            raise KeyboardInterrupt
        return save_checkpoint(*args)

    monkeypatch.setattr(loop, "save_checkpoint", save)
    with pytest.raises(KeyboardInterrupt):
        train({"train.keep": 3})
    state, damaged = run.dir.last_good()
    assert state
    assert state["clock"]["step"] == 11
    assert not damaged


def test_all_damaged_starts_again(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    run = train()
    whole = finished(run)
    cut(run)
    for folder in newest(run.dir.checkpoints):
        flip_last_byte(folder / "nets.safetensors")
    with pytest.raises(GansmithError, match=r"no checkpoint to sample from: .*damaged"):
        gansmith.load(run.path).sample(4)
    assert same(finished(train()), whole)
    assert "no checkpoint can be read: starting again" in caplog.text


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 6, 12])
def test_killed_around_a_checkpoint(train: Train, monkeypatch: pytest.MonkeyPatch, when: str, number: int) -> None:
    """No row, frame or best score is lost, whether the run dies right before a checkpoint or right after."""
    monkeypatch.setattr(judge, "QUICK_SAMPLES", 100)
    settings = {"train.evaluations": 4, "train.frames": 6}
    untouched = train(settings, run_dir=Path(os.environ["GANSMITH_RUNS"]) / f"untouched-{when}-{number}")
    calls = iter(range(1, 100))

    def save(*args: Any) -> Path:
        dies = next(calls) == number
        if dies and when == "before":
            raise KeyboardInterrupt
        path = save_checkpoint(*args)
        if dies:
            raise KeyboardInterrupt
        return path

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    run = train(settings)
    assert same(finished(run), finished(untouched))
    for name in ("step", "quick/frechet", "G/loss"):
        assert [row.get(name) for row in run.dir.rows()] == [row.get(name) for row in untouched.dir.rows()]
    assert [p.name for p in sorted(run.dir.samples.iterdir())] == [
        p.name for p in sorted(untouched.dir.samples.iterdir())
    ]
    assert run.dir.read("checkpoints/best.json") == untouched.dir.read("checkpoints/best.json")
    assert (run.dir.checkpoints / run.dir.read("checkpoints/best.json")["checkpoint"]).is_dir()


@pytest.mark.parametrize("number", range(4))
def test_killed_as_it_begins(train: Train, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Before its first, second, … file is there: the same command begins it."""
    replace, calls = os.replace, iter(range(100))

    def dying(*args: Any) -> None:
        if next(calls) == number:
            raise KeyboardInterrupt
        replace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            train(kimg=0.032)
    assert train(kimg=0.032).result["images"] == 32


def test_full_disk_ends_the_run_with_a_message(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finished(train(run_dir=Path(os.environ["GANSMITH_RUNS"]) / "roomy"))
    fsync, calls = os.fsync, iter(range(1000))

    def full(handle: int) -> None:
        if next(calls) > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(GansmithError, match="No space left on device"):
            train()
    assert same(finished(train()), whole)


def test_no_pickle_in_the_sources() -> None:
    """Nothing is unpickled; one published file of weights is read by torch's restricted reader."""
    root = Path(gansmith.__file__).parent
    loads = re.compile(
        r"torch\.(load|save)\(|\bpickle\.|import pickle|allow_pickle=True|\b(joblib|dill|shelve|marshal)\b"
    )
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in sorted(root.rglob("*.py"))
        for line in path.read_text().splitlines()
        if loads.search(line) and not line.strip().startswith("#")
    ]
    assert len(found) == 1, found
    assert found[0].startswith("metrics/features.py: ")
    assert "weights_only=True" in found[0]

"""`gansmith augment`: what it passes on, prints and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansmith.apps.augment import Report
from gansmith.apps.classify import USUAL
from gansmith.apps.contest import Measured

from .conftest import Answer
from .test_bad_input import assert_told, tree

Command = Callable[..., Answer]


def report(measured: bool = True) -> Report:
    hits = {name: np.ones((2, 8), bool) for name in ("nothing", "mixup", "ours", "ours, flips and crops")}
    dropped = {"class": 7, "density": 2, "copy": 1}
    row = {"class": "cats", "folder": "cats", "real": 1200, "asked": 5, "kept": 5, "drawn": 15, "dropped": dropped}
    found = Measured.of(hits, np.arange(8) % 2, ("cats", "dogs", "owls"), (0, 1)) if measured else None
    passed = 0.8 if measured else None
    return Report(Path("runs/r"), Path("more"), [row], passed, found, USUAL, Path("runs/r/augmented.png"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Nothing is trained: what was passed on, by its name."""
    from gansmith.apps import augment

    noted: dict[str, Any] = {}

    def noting(data: str, out: Path, **wishes: Any) -> Report:
        noted.update(data=data, out=out, **wishes)
        return report(wishes["measure"])

    monkeypatch.setattr(augment, "augment", noting)
    return noted


def test_help(command: Command) -> None:
    answer = command("augment", "--help")
    assert answer.code == 0
    words = ["FOLDER", "--out", "--per-class", "--balance", "--run", "--family", "--minutes", "--seeds", "Examples"]
    words += ["--no-measure", "--with-real", "--overwrite", "--no-mark", "manifest.jsonl", "--json", "--set"]
    assert [word for word in words if word not in answer.out] == []
    assert "augment" in command("--help").out


def test_what_is_passed_on(command: Command, asked: dict[str, Any]) -> None:
    args = ["augment", "photos", "--out", "more", "--per-class", 9, "--minutes", 3, "--seed", 4, "--seeds", 6]
    args += ["--family", "r3gan", "--run-dir", "r", "--with-real", "--overwrite", "--no-mark", "--set", "width=4"]
    assert command(*args, "--steps", 70).code == 0
    expected = {"data": "photos", "out": Path("more"), "per_class": 9, "minutes": 3, "seed": 4, "seeds": 6}
    expected |= {"family": "r3gan", "run_dir": Path("r"), "with_real": True, "overwrite": True, "marked": False}
    expected |= {"run": None, "balance": False, "measure": True, "kimg": None}
    assert {name: asked[name] for name in expected} == expected
    assert asked["layers"] == [("--set width=4", {"width": 4})]
    assert asked["schedule"].steps == 70


def test_it_prints_what_came_of_it(command: Command, asked: dict[str, Any]) -> None:
    answer = command("augment", "photos", "--out", "more", "--run", "runs/r")
    assert asked["run"] == Path("runs/r")
    for words in ("cats", "1,200", "dropped: copy", "keep 80%", "flips and crops", "8 held-out images, 2 seeds"):
        assert words in answer.out
    assert "no image is held out: owls" in answer.out
    assert "do they help? no" in answer.out
    assert "runs/r/augmented.png" in answer.out


def test_json_is_one_object(command: Command, asked: dict[str, Any]) -> None:
    found = json.loads(command("augment", "photos", "--out", "more", "--json").out)
    assert found["measured"]["verdict"]["helps"] is False
    quick = command("augment", "photos", "--out", "more", "--no-measure")
    assert quick.code == 0
    assert "do they help" not in quick.out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--per-class", 3, "--balance"], 2, ["--per-class and --balance"]),
        (["--per-class", 0], 2, ["--per-class: expected at least 1"]),
        (["--seeds", 1], 2, ["--seeds: expected at least 2"]),
        (["--steps", 0], 2, ["--steps: expected at least 1"]),
        (["--seed", -1], 2, ["--seed: expected at least 0"]),
        (["--family", "aae"], 2, ["--family aae", "cgan"]),
        (["--family", "cgann"], 2, ["did you mean 'cgan'"]),
        (["--run", "nowhere"], 2, ["nowhere"]),
        (["--set", "conditioning=none"], 2, ["no", "classes"]),
        (["--kimg", 1, "--minutes", 1], 2, ["kimg or minutes"]),
        ([], 2, ["no classes", "sub-folder"]),
    ],
)
def test_what_is_refused_leaves_nothing(
    command: Command, noise: Path, args: list[Any], code: int, words: list[str]
) -> None:
    answer = command("augment", noise, "--out", "more", *args)
    assert_told(answer, code, *words)
    assert tree(Path()) == set()


def test_a_run_without_classes(command: Command, noise: Path, trained: Path) -> None:
    assert_told(command("augment", noise, "--out", "more", "--run", trained), 2, "knows no classes")


def test_a_folder_that_is_not_empty(command: Command, noise: Path) -> None:
    Path("more").mkdir()
    Path("more/mine.txt").write_text("mine")
    assert_told(command("augment", noise, "--out", "more"), 2, "more: not empty", "--overwrite")
    assert_told(command("augment", noise, "--out", "more", "--overwrite"), 2, "holds files of others")
    assert_told(command("augment", noise, "--out", "more/mine.txt"), 2, "is a file")
    assert_told(command("augment", noise, "--out", "more/mine.txt/sub"), 2, "is a file")
    assert Path("more/mine.txt").read_text() == "mine"

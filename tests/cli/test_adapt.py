"""`gansmith adapt`: what it prints, where the run goes, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from .conftest import Answer

Command = Callable[..., Answer]
SHORT = ("--kimg", 0.032, "--set", "train.samples=0", "--set", "train.evaluations=2")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """40 images of another kind than those of the run."""
    path = tmp_path / "few.npy"
    np.save(path, np.random.default_rng(1).integers(0, 128, (40, 16, 16), np.uint8))
    return path


def test_both_curves_are_printed(command: Command, trained: Path, few: Path) -> None:
    answer = command("adapt", trained, few, *SHORT, "--run-dir", "new", "--quiet")
    assert answer.code == 0, answer.err
    assert answer.err.startswith(f"at most 0.032 thousand images, 0.0 minutes at the speed of {trained}; then as many")
    for text in ("kernel distance", "from scratch", "│ 16 ", "│ 32 ", "adapted  new/adapt.png"):
        assert text in answer.out
    assert Path("new/scratch/result.json").exists()


def test_flags_reach_the_settings(command: Command, trained: Path, few: Path) -> None:
    asked = (*SHORT, "--freeze", 2, "--seed", 7, "--no-compare", "--json", "--quiet", "--run-dir", "new")
    answer = command("adapt", trained, few, *asked)
    assert (answer.code, answer.err) == (0, "")
    result = json.loads(answer.out)
    assert result["images"] == 32
    assert "comparison" not in result
    config = yaml.safe_load(Path("new/config.yaml").read_text())
    assert (config["freeze_d"], config["augment"], config["g_width"]) == (2, "diffaugment", 4)
    assert config["train"]["start"] == str(trained)
    assert (config["train"]["seed"], config["train"]["evaluations"]) == (7, 2)


def test_json_holds_the_comparison(command: Command, trained: Path, few: Path) -> None:
    answer = command("adapt", trained, few, *SHORT, "--json", "--quiet")
    assert answer.code == 0
    found = json.loads(answer.out)["comparison"]
    assert found["by"] == "kernel"
    assert len(found["adapted"]) == len(found["scratch"]) == 2


def test_the_same_command_goes_on(command: Command, trained: Path, few: Path) -> None:
    asked = ("adapt", trained, few, *SHORT, "--run-dir", "new", "--quiet", "--json")
    assert command(*asked).out == command(*asked).out


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (("--freeze", 9), 2, "freeze_d: D has 2 levels; expected at most that, got 9"),
        (("--set", "g_width=8"), 2, "has other networks: its shape of G.layers.0.weight is"),
        (("--set", "data.resolution=32"), 2, "its resolution is 16, not 32; --set data.resolution=16"),
        (("--kimg", 1, "--minutes", 1), 2, "give kimg or minutes, not both"),
        (("--set", "g_wdth=8"), 2, "did you mean 'g_width'?"),
    ],
)
def test_what_does_not_fit(
    command: Command, trained: Path, few: Path, asked: tuple[object, ...], code: int, message: str
) -> None:
    answer = command("adapt", trained, few, "--no-compare", *asked)
    assert answer.code == code
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not Path("runs").exists()


def test_no_run_and_no_data(command: Command, trained: Path, few: Path, tmp_path: Path) -> None:
    assert command("adapt", tmp_path / "none", few).code == 2
    answer = command("adapt", trained, tmp_path / "none", "--no-compare")
    assert answer.code == 4
    assert "none" in answer.err

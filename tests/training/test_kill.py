"""A run that is killed at any moment, and resumed, ends with the same weights, bit for bit, as one that never was."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gansmith.training.checkpoint import flatten, load_checkpoint, newest
from gansmith.training.rundir import RunDir

KILLS, SEED = 20, 0
pytestmark = pytest.mark.xdist_group("kill")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of both runs, and how the lives of the killed one ended."""
    folder = tmp_path_factory.mktemp("kill")
    command = [sys.executable, str(Path(__file__).with_name("lives.py")), str(folder), str(KILLS), str(SEED)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, json.loads(done.stdout)


def test_lives(played: tuple[Path, dict[str, Any]]) -> None:
    """All the lives were killed but the last; some while a checkpoint was being written."""
    lives = played[1]["lives"]
    assert [life["code"] for life in lives] == [-9] * KILLS, played[1]
    assert played[1]["last"] == 0
    assert any(life["torn"] for life in lives)
    assert len({life["newest"] for life in lives}) > KILLS // 4


def test_every_tensor_is_equal(played: tuple[Path, dict[str, Any]]) -> None:
    states = []
    for name in ("untouched", "killed"):
        state = load_checkpoint(newest(played[0] / name / "checkpoints")[0])
        states.append(flatten(state))
    (tensors, rest), (other_tensors, other_rest) = states
    assert rest == other_rest
    assert tensors.keys() == other_tensors.keys()
    assert {name.split("/")[0] for name in tensors} == {"nets", "ema", "optims", "health"}
    for name, tensor in tensors.items():
        assert tensor.dtype == other_tensors[name].dtype, name
        assert torch.equal(tensor, other_tensors[name]), name


def test_every_step_has_its_row_once(played: tuple[Path, dict[str, Any]]) -> None:
    clocked = ("seconds", "images_per_second")
    rows, other = (
        [{k: v for k, v in row.items() if k not in clocked} for row in RunDir(played[0] / name).rows()]
        for name in ("untouched", "killed")
    )
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows == other


def test_same_files_and_nothing_torn(played: tuple[Path, dict[str, Any]]) -> None:
    frames, other = (
        sorted(p.name for p in (played[0] / name / "samples").iterdir()) for name in ("untouched", "killed")
    )
    assert frames == other
    for frame in frames:
        one, two = (played[0] / name / "samples" / frame for name in ("untouched", "killed"))
        assert filecmp.cmp(one, two, shallow=False), frame
    assert {path.name for path in (played[0] / "killed").rglob(".*")} == {".lock"}

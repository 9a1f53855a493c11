"""`gansmith detect`: fit, score, errors and exit codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Answer

Command = Callable[..., Answer]
SMALL = [
    part
    for setting in ("channels=4", "width=16", "latent=4", "train.batch=8", "train.looks=0", "train.frames=0")
    for part in ("--set", setting)
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey stripes that stand in `good`, and some that lie in `today`."""
    path = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    stripes = np.tile([30, 220], 8)[None].repeat(16, 0)
    for name, count, image in (("good", 120, stripes), ("today", 4, stripes), ("today", 4, stripes.T)):
        (path / name).mkdir(exist_ok=True)
        for i in range(count):
            noisy = np.clip(image + rng.normal(0, 12, (16, 16)), 0, 255).astype(np.uint8)
            kind = "lying" if image is not stripes else "standing"
            Image.fromarray(noisy).save(path / name / f"{kind}-{i:03}.png")
    return path


@pytest.fixture(scope="module")
def run(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gansmith.apps.detect import fit

    settings = dict(setting.split("=") for setting in SMALL[1::2])
    path = tmp_path_factory.mktemp("detector") / "run"
    fit(str(folders / "good"), path, kimg=1.0, settings=settings, quiet=True)
    return path


def test_fit_says_what_the_threshold_promises(command: Command, folders: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    answer = command("detect", "fit", folders / "good", "--run-dir", run, "--kimg", 0.5, *SMALL)
    assert answer.code == 0
    assert "of normal images are expected to be" in answer.out
    assert f"next: gansmith detect score {run} FOLDER" in answer.out
    assert (run / "detector.png").exists()
    again = command("detect", "fit", folders / "good", "--run-dir", run, "--kimg", 0.5, *SMALL, "--json")
    assert again.code == 0, "what has been trained is taken as it is"
    assert json.loads(again.out)["expected"] == pytest.approx(json.loads(again.out)["expected"])
    assert json.loads(again.out)["by"] == "nearest"


def test_score(command: Command, run: Path, folders: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "scores.csv", tmp_path / "marked"
    asked = ("detect", "score", run, folders / "today", "--out", out, "--pictures", pictures)
    answer = command(*asked)
    assert answer.code == 0
    assert "4 of 8 images are anomalous" in answer.out or "5 of 8" in answer.out
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "score", "anomalous"]
    assert all(row["anomalous"] == "true" for row in rows if row["file"].startswith("lying"))
    assert len(list(pictures.glob("*.png"))) == 8
    refused = command(*asked)
    assert refused.code == 2
    assert "is there already" in refused.err
    told = command(*asked, "--overwrite", "--json")
    assert json.loads(told.out)["images"] == 8


def test_score_of_what_is_not_there(command: Command, run: Path, tmp_path: Path, trained: Path) -> None:
    (tmp_path / "empty").mkdir()
    empty = command("detect", "score", run, tmp_path / "empty", "--out", tmp_path / "a.csv")
    assert (empty.code, "no images in this folder" in empty.err) == (4, True)
    other = command("detect", "score", trained, tmp_path, "--out", tmp_path / "a.csv")
    assert (other.code, "has no detector yet: gansmith detect fit" in other.err) == (2, True)
    table = command("detect", "score", run, tmp_path, "--out", tmp_path / "a.txt")
    assert (table.code, "expected a .csv" in table.err) == (2, True)


def test_a_broken_file_does_not_cost_the_others(command: Command, run: Path, folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "today"
    folder.mkdir()
    for file in (folders / "today").glob("lying*"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "broken.png").write_bytes(b"\x89PNG")
    answer = command("detect", "score", run, folder, "--out", tmp_path / "scores.csv")
    assert answer.code == 4
    assert "broken.png" in answer.err
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 5


def test_help_teaches(command: Command) -> None:
    answer = command("detect", "fit", "--help")
    assert "f-anogan" in answer.out
    assert "detect score runs/parts" in answer.out

"""Every command at its best: what it prints, what it writes, and how soon it answers."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import gansmith

from .conftest import TINY, Answer

Command = Callable[..., Answer]
SCORES = {"frechet", "kernel", "precision", "recall", "density", "coverage"}
FIGURES = {"value", "low", "high", "floor", "trivial"}


def test_help_is_quick_and_does_not_import_torch() -> None:
    code = (
        "import atexit, sys; sys.argv = ['gansmith', '--help']; from gansmith.cli.main import main\n"
        "atexit.register(lambda: print('HEAVY', *({'torch', 'numpy', 'pydantic'} & set(sys.modules)))); main()"
    )
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
        assert done.stdout.rstrip().endswith("HEAVY")
    assert statistics.median(seconds) < 0.5, seconds


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["train", "sample", "evaluate", "demo", "families", "data", "config", "--version", "--minutes 5"]),
        (
            ["train"],
            ["--data", "--minutes", "--kimg", "--run-dir", "--set", "--json", "--dry-run", "Examples", "Ctrl-C"],
        ),
        (["sample"], ["RUN", "--out", "--seed", "--truncation", "--overwrite", ".npz"]),
        (["evaluate"], ["RUN", "--extractor", "--json", "held-out"]),
        (["demo"], ["--minutes", "--run-dir", "--fresh"]),
        (["families"], ["--json"]),
        (["data"], ["check", "prepare"]),
        (["data", "check"], ["PATH", "--json"]),
        (["data", "prepare"], ["PATH", "--resolution", "--fit", "--channels"]),
        (["config"], ["show", "validate", "schema"]),
        (["config", "show"], ["FAMILY", "--set", "--yaml"]),
        (["config", "validate"], ["FILE"]),
        (["config", "schema"], ["FAMILY", "JSON schema"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_help(command: Command, args: list[str], words: list[str]) -> None:
    answer = command(*args, "--help")
    assert answer.code == 0
    assert [word for word in words if word not in answer.out] == []


def test_version(command: Command) -> None:
    assert command("--version") == Answer(0, f"gansmith {gansmith.__version__}\n", "")


def assert_scores(scores: dict[str, Any]) -> None:
    assert set(scores) == SCORES
    assert all(set(score) >= FIGURES for score in scores.values())


def test_train_json(command: Command, noise: Path) -> None:
    answer = command("train", "dcgan", "--data", noise, "--kimg", 0.064, *TINY, "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert {"run", "family", "images", "seconds", "images_per_second", "scores"} <= set(record)
    assert record["images"] == 64
    assert_scores(record["scores"])
    assert Path(record["run"], "film.webp").exists()
    assert "kimg" in answer.err


def test_train_tells_where_the_pictures_are(command: Command, noise: Path) -> None:
    answer = command("train", "dcgan", "--data", noise, "--kimg", 0.064, *TINY, "--run-dir", "mine")
    assert answer.code == 0, answer.err
    for word in ("frechet", "real images", "trivial", "mine/samples/", "mine/film.webp"):
        assert word in answer.out
    again = command("train", "dcgan", "--data", noise, "--kimg", 0.064, *TINY, "--run-dir", "mine")
    assert (again.code, again.out) == (0, answer.out)


def test_dry_run_writes_nothing(command: Command, noise: Path) -> None:
    answer = command("train", "wgan-gp", "--data", noise, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert record["family"] == "wgan-gp"
    assert record["images"] + record["held out"] == 64
    assert record["parameters of G"] > 0
    assert list(Path().iterdir()) == []


def test_evaluate_json(command: Command, trained: Path) -> None:
    answer = command("evaluate", trained, "-n", 100, "--json")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert set(record) == {"scores", "protocol"}
    assert_scores(record["scores"])
    assert json.loads((trained / "reports/evaluation.json").read_text()) == record


def test_who_names_no_family_gets_the_baseline(command: Command, noise: Path) -> None:
    asked = command("train", "--data", noise, "--kimg", 0.1, "--dry-run", "--json")
    assert asked.code == 0, asked.err
    assert json.loads(asked.out)["family"] == "r3gan"
    named = command("train", "dcgan", "--data", noise, "--kimg", 0.1, "--dry-run", "--json")
    assert json.loads(named.out)["family"] == "dcgan"


def test_families_json(command: Command) -> None:
    answer = command("families", "--json")
    rows = json.loads(answer.out)
    assert {"dcgan", "wgan-gp", "progan"} <= {row["name"] for row in rows}
    assert all(set(row) == {"name", "paper", "kind", "summary"} and all(row.values()) for row in rows)


def test_sample(command: Command, trained: Path) -> None:
    for out in ("new/some.npz", "grid.png", "folder"):
        answer = command("sample", trained, "-n", 5, "--seed", 3, "--out", out)
        assert (answer.code, answer.out) == (0, f"{out}\n"), answer.err
    with np.load("new/some.npz", allow_pickle=False) as arrays:
        images = arrays["images"]
    assert images.dtype == np.uint8
    assert images.shape == (5, 16, 16, 1)
    pictures = sorted(Path("folder").iterdir())
    assert [p.name for p in pictures] == [f"{i}.png" for i in range(5)]
    for picture, image in zip(pictures, images, strict=True):
        with Image.open(picture) as opened:
            assert np.array_equal(np.asarray(opened), image[:, :, 0])
    with Image.open("grid.png") as grid:
        assert min(grid.size) > 32
    assert command("sample", trained, "-n", 5, "--seed", 3, "--out", "folder", "--overwrite").code == 0
    assert np.array_equal(gansmith.load(trained).sample(3, seed=3), images[:3])


def test_sample_goes_into_the_run_by_default(command: Command, trained: Path) -> None:
    assert command("sample", trained).out == f"{trained / 'samples.png'}\n"
    assert command("sample", trained).code == 0


def test_config_show(command: Command) -> None:
    shown = command("config", "show", "dcgan", "--set", "optim.g.lr=0.5").out
    assert all(word in shown for word in ("optim.g.lr", "0.5", "learning rate", "train.kimg", "penalty.r1.weight"))
    record = yaml.safe_load(command("config", "show", "dcgan", "--set", "optim.g.lr=0.5", "--yaml").out)
    assert record["optim"]["g"]["lr"] == 0.5
    Path("own.yaml").write_text(yaml.safe_dump(record))
    assert command("config", "validate", "own.yaml") == Answer(0, "", "")


def test_config_schema(command: Command) -> None:
    schema = json.loads(command("config", "schema", "wgan-gp").out)
    assert {"family", "data", "train", "optim"} <= set(schema["properties"])


def test_data_check(command: Command, noise: Path) -> None:
    assert "clean" in command("data", "check", noise).out
    assert json.loads(command("data", "check", noise, "--json").out)["images"] == 64


def test_data_prepare(command: Command, noise: Path) -> None:
    record = json.loads(command("data", "prepare", noise, "--resolution", 32, "--json").out)
    assert record["spec"]["resolution"] == 32
    assert record["images"] + record["heldout"] == 64


def test_process_prints_one_json_object_and_nothing_else(trained: Path, tmp_path: Path) -> None:
    """As a process of its own: libraries' chatter would come past the tests above."""
    done = subprocess.run(
        [sys.executable, "-m", "gansmith.cli.main", "evaluate", trained, "-n", "100", "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert_scores(json.loads(done.stdout)["scores"])
    assert "Traceback" not in done.stderr


def test_demo(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo` is `train` on the built-in garments; what it passes on is all there is to it."""
    from gansmith.apps import run as runs

    asked: dict[str, Any] = {}

    def train(*args: Any, **kwargs: Any) -> gansmith.Run:
        asked.update(kwargs, args=args)
        (path := Path("runs/demo")).mkdir(parents=True)
        (path / "result.json").write_text('{"scores": {}}')
        return gansmith.Run(path)

    monkeypatch.setattr(runs, "train", train)
    assert command("demo", "--minutes", 0.2).code == 0
    assert asked == {"args": ("dcgan", "builtin:fashion"), "minutes": 0.2, "run_dir": Path("runs/demo")}


def test_a_class_by_name_or_number(command: Command, noise: Path) -> None:
    pixels = np.load(noise)
    np.savez("classes.npz", images=pixels, labels=np.arange(64) % 3)
    done = command("train", "wgan-gp", "--conditional", "--data", "classes.npz", "--kimg", 0.1, "--run-dir", "r", *TINY)
    assert done.code == 0, done.err
    classes = gansmith.load("r").spec.classes
    assert len(classes) == 3
    for number, name in enumerate(classes):
        for asked in (name, number):
            assert command("sample", "r", "-n", 4, "--class", asked, "--out", "x.npz", "--overwrite").code == 0
            with np.load("x.npz", allow_pickle=False) as arrays:
                assert arrays["labels"].tolist() == [number] * 4
                assert (arrays["images"] == gansmith.load("r").sample(4, label=number)).all()
    assert command("sample", "r", "-n", 4, "--out", "all.npz").code == 0
    with np.load("all.npz", allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["sample", "RUN", "--class", "2"], "knows no classes; train cgan, or with --conditional"),
        (["train", "cgan", "--data", "NOISE"], "conditioning=projection: the data has 0 classes; class sub-folders"),
        (["train", "aae", "--conditional", "--data", "NOISE"], "--set labels=informed or labels=semi"),
    ],
)
def test_no_classes(command: Command, trained: Path, noise: Path, order: list[str], message: str) -> None:
    answer = command(*({"RUN": trained, "NOISE": noise}.get(part, part) for part in order))
    assert answer.code == 2
    assert message in answer.err
    assert not any(Path().rglob("config.yaml"))

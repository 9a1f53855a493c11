"""What users get wrong: each is answered by its exit code and a message that names it, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import TINY, Answer

Command = Callable[..., Answer]


def assert_told(answer: Answer, code: int, *words: str) -> None:
    """The exit code, and the words on stderr; no traceback, and nothing on stdout."""
    assert answer.code == code, answer
    assert [word for word in words if word not in answer.err] == [], answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


SET = [
    ("optim.g.lr=-1", "optim.g.lr: expected", "got -1"),
    ("optim.g.lr=fast", "optim.g.lr: expected", "got 'fast'"),
    ("optim.g.lr=", "optim.g.lr: expected", "got None"),
    ("optim.g.lr=.nan", "optim.g.lr: expected", "got nan"),
    ("optim.g.lr", "--set optim.g.lr: expected NAME=VALUE"),
    ("=3", "--set =3: expected NAME=VALUE"),
    ("optim..lr=3", "expected NAME=VALUE"),
    ("loss=[1", "not YAML"),
    ("los=hinge", "los: no such setting: did you mean 'loss'?"),
    ("optim.g.beta=1", "optim.g.beta: no such setting", "did you mean 'beta"),
    ("optim.x.lr=1", "optim.x: no such setting", "there are g, d"),
    ("loss=hings", "loss: expected", "'hinge'", "got 'hings'"),
    ("optim.g.kind=lion", "optim.g.kind: expected", "'adam'"),
    ("optim=3", "optim: expected", "got 3"),
    ("optim.g.lr.x=3", "optim.g.lr: expected", "{'x': 3}"),
    ("penalty.r1=-1", "penalty.r1.weight: expected", "got -1"),
    ("train.batch=1", "train.batch: expected", "got 1"),
    ("train.batch=2.5", "train.batch: expected", "got 2.5"),
    ("train.kimg=0", "train.kimg: expected", "got 0"),
    ("train.kimg=.inf", "train.kimg: expected"),
    ("train.device=cuda", "train.device: no device 'cuda' here"),
    ("train.device=toaster", "no device 'toaster' here"),
    ("train.precision=fp8", "train.precision: expected", "'bf16'"),
    ("train.keep=0", "train.keep: expected"),
    ("data.holdout=0.9", "data.holdout: expected", "got 0.9"),
    ("ema.half_life_kimg=0", "ema.half_life_kimg: expected"),
    ("family=gan", "family: expected 'dcgan', got 'gan'"),
    ("label_smoothing=0.5", "label_smoothing: expected"),
    ("g_width=0", "g_width: expected"),
]


@pytest.mark.parametrize(("setting", "words"), [(s, w) for s, *w in SET], ids=[s for s, *_ in SET])
def test_setting(command: Command, noise: Path, setting: str, words: list[str]) -> None:
    assert_told(command("train", "dcgan", "--data", noise, "--set", setting), 2, *words)
    assert tree(Path()) == set()


FLAGS = [
    (["dcgna"], ["no family is called 'dcgna'", "did you mean 'dcgan'?"]),
    (["--kimg", "1", "--minutes", "1"], ["give kimg or minutes, not both"]),
    (["--kimg", "many"], ["--kimg", "valid number"]),
    (["--kimg", "-1"], ["train.kimg: expected", "got -1"]),
    (["--minutes", "0"], ["train.minutes: expected", "got 0"]),
    (["--minutes", "nan"], ["train.minutes: expected"]),
    (["--resolution", "33"], ["resolution", "33"]),
    (["--resolution", "4"], ["data.resolution: expected", "got 4"]),
    (["--resolution", "8"], ["data.resolution", "16 to 256", "got 8"]),
    (["--resolution", "512"], ["data.resolution", "16 to 256", "got 512"]),
    (["--channels", "2"], ["data.channels: expected", "got 2"]),
    (["--fit", "squeeze"], ["data.fit: expected", "got 'squeeze'"]),
    (["--seed", "-1"], ["train.seed: expected", "got -1"]),
    (["--seed", str(2**63)], ["train.seed: expected"]),
    (["--sed", "1"], ["No such option", "--sed"]),
    (["--config", "absent.yaml"], ["absent.yaml", "No such file"]),
    (["--resume", "absent"], ["absent: not a run"]),
    (["dcgan", "photos"], ["unexpected extra argument", "photos"]),
]


@pytest.mark.parametrize(("flags", "words"), FLAGS, ids=[" ".join(flags) for flags, _ in FLAGS])
def test_flag(command: Command, noise: Path, flags: list[str], words: list[str]) -> None:
    assert_told(command("train", *flags, "--data", noise), 2, *words)
    assert tree(Path()) == set()


FILES = [
    (b"loss: [hinge", ["not YAML"]),
    (b"- loss\n- hinge", ["expected settings as 'name: value', got list"]),
    (b"", ["expected settings as 'name: value', got NoneType"]),
    (b"hinge", ["got str"]),
    (bytes(range(256)), ["own.yaml: "]),
    (b"optim: {g: {lr: -1}}", ["own.yaml: optim.g.lr: expected", "got -1"]),
    (b"{1: 2}", ["own.yaml: 1"]),
    (b"family: wgan-gp", ["family: expected 'dcgan', got 'wgan-gp'"]),
    (b"train: {kimg: 1, minutes: 1}", ["give kimg or minutes, not both"]),
    (b"train: 3", ["own.yaml: train: expected"]),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=range(len(FILES)))
def test_config_file(command: Command, noise: Path, content: bytes, words: list[str]) -> None:
    Path("own.yaml").write_bytes(content)
    assert_told(command("train", "dcgan", "--data", noise, "--config", "own.yaml"), 2, *words)
    if b"family" not in content:
        assert_told(command("config", "validate", "own.yaml"), 2, *words)
    assert tree(Path()) == {"own.yaml"}


def pictures(folder: Path, good: int, broken: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(good):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(folder / f"{i}.png")
    for i in range(broken):
        (folder / f"broken-{i}.png").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize(
    ("good", "broken", "words"),
    [(0, 0, ["photos"]), (1, 0, ["photos"]), (20, 5, ["photos", "5"]), (0, 3, ["photos"])],
)
def test_data(command: Command, tmp_path: Path, good: int, broken: int, words: list[str]) -> None:
    photos = pictures(tmp_path / "photos", good, broken)
    assert_told(command("train", "dcgan", "--data", photos, "--kimg", 1), 4, *words)
    assert_told(command("train", "dcgan", "--data", photos, "--kimg", 1, "--set", "data.holdout=0"), 4, *words)
    assert tree(Path()) == set()


@pytest.mark.parametrize("source", ["absent", "absent.zip", "builtin:shoes", ""])
def test_no_such_data(command: Command, source: str) -> None:
    for args in (
        ["train", "dcgan", "--data"],
        ["train", "dcgan", "--dry-run", "--data"],
        ["data", "check"],
        ["data", "prepare"],
    ):
        answer = command(*args, source)
        assert answer.code in (2, 4), answer
        assert_told(answer, answer.code, source)
    assert tree(Path()) == set()


def test_run_dir_is_a_file(command: Command, noise: Path) -> None:
    Path("taken").touch()
    assert_told(command("train", "dcgan", "--data", noise, "--run-dir", "taken"), 2, "taken: is a file")


def test_run_dir_below_a_file(command: Command, noise: Path) -> None:
    Path("taken").touch()
    assert_told(command("train", "dcgan", "--data", noise, "--run-dir", "taken/run"), 2, "taken: is a file")


def test_run_dir_is_something_else(command: Command, noise: Path) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").touch()
    assert_told(command("train", "dcgan", "--data", noise, "--run-dir", "thesis"), 2, "thesis: not empty and not a run")
    assert tree(Path()) == {"thesis", "thesis/chapter.txt"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-n", 0], ["expected at least 1, got 0"]),
        (["-n", -5], ["expected at least 1, got -5"]),
        (["-n", "few"], ["-n", "valid integer"]),
        (["--seed", -1], ["seed", "got -1"]),
        (["--truncation", 2], ["truncation", "got 2"]),
        (["--truncation", 0], ["truncation", "got 0"]),
        (["--truncation", "nan"], ["truncation"]),
        (["--out", "some.jpg"], ["some.jpg: expected a folder, a .png or an .npz"]),
        (["--out", "taken.png"], ["taken.png: is there already", "--overwrite"]),
        (["--out", "full"], ["full: is there already"]),
        (["--out", "folder.png", "--overwrite"], ["folder.png: is a folder"]),
        (["--out", "file", "--overwrite"], ["file: is a file"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_sample(command: Command, trained: Path, args: list[Any], words: list[str]) -> None:
    Path("taken.png").touch()
    Path("file").touch()
    Path("folder.png").mkdir()
    Path("full").mkdir()
    Path("full/0.png").touch()
    before = tree(Path())
    assert_told(command("sample", trained, *args), 2, *words)
    assert tree(Path()) == before


def test_sample_below_a_file(command: Command, trained: Path) -> None:
    Path("file").touch()
    assert_told(command("sample", trained, "--out", "file/grid.png"), 1, "file/grid.png", "cannot be written")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-n", 0], ["expected at least 1, got 0"]),
        (["--seed", -1], ["seed"]),
        (["--extractor", "fashion-cnm"], ["no feature extractor is called 'fashion-cnm'", "fashion-cnn"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_evaluate(command: Command, trained: Path, args: list[Any], words: list[str]) -> None:
    assert_told(command("evaluate", trained, *args), 2, *words)


def test_evaluate_without_data(command: Command, trained: Path) -> None:
    assert_told(command("evaluate", trained, "--data", "absent"), 4, "absent")


@pytest.mark.parametrize("verb", ["sample", "evaluate"])
def test_not_a_run(command: Command, verb: str) -> None:
    Path("empty").mkdir()
    Path("file").touch()
    assert_told(command(verb, "absent"), 2, "absent: not a run")
    assert_told(command(verb, "empty"), 2, "empty: not a run")
    assert_told(command(verb, "file"), 2, "file")
    assert_told(command(verb), 2, "RUN")
    assert tree(Path()) == {"empty", "file"}


def meta_with(**fields: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        record = json.loads((run / "meta.json").read_text())
        (run / "meta.json").write_text(json.dumps(record | fields))

    return change


RUNS: list[tuple[Callable[[Path], Any], list[str]]] = [
    (lambda run: (run / "config.yaml").write_text("family: [dcgan"), ["config.yaml"]),
    (lambda run: (run / "config.yaml").write_text("family: dcgna"), ["dcgna"]),
    (lambda run: (run / "config.yaml").write_text("- dcgan"), ["config.yaml"]),
    (lambda run: (run / "config.yaml").write_text("family: dcgan\nlatent: -3"), ["config.yaml", "latent"]),
    (lambda run: (run / "config.yaml").write_bytes(b"\xff\x00"), ["config.yaml"]),
    (lambda run: (run / "config.yaml").write_text("family: dcgan"), ["does not fit"]),
    (lambda run: (run / "config.yaml").unlink(), ["not a run"]),
    (lambda run: (run / "meta.json").write_text("{"), ["meta.json"]),
    (lambda run: (run / "meta.json").write_text("[]"), ["meta.json"]),
    (lambda run: (run / "meta.json").write_text('{"total": 3}'), ["meta.json", "lacks"]),
    (lambda run: (run / "meta.json").unlink(), ["meta.json"]),
    (meta_with(spec={"resolution": 16}), ["meta.json", "spec"]),
    (meta_with(spec=3), ["meta.json", "spec"]),
    (meta_with(total="long"), ["meta.json", "total"]),
    (meta_with(starts=3), ["meta.json", "starts"]),
    (meta_with(data=3), ["meta.json", "data"]),
    (lambda run: shutil.rmtree(run / "checkpoints"), ["no checkpoint to sample from"]),
    (lambda run: [p.unlink() for p in run.glob("checkpoints/*/ema.safetensors")], ["no checkpoint", "ema.safetensors"]),
]


@pytest.mark.parametrize(("change", "words"), RUNS, ids=range(len(RUNS)))
def test_broken_run(command: Command, trained: Path, change: Callable[[Path], Any], words: list[str]) -> None:
    shutil.copytree(trained, "run")
    change(Path("run"))
    before = tree(Path())
    answer = command("sample", "run", "--out", "grid.png")
    assert answer.code in (1, 2), answer
    assert_told(answer, answer.code, "run", *words)
    assert tree(Path()) == before


@pytest.mark.parametrize("name", ["config.yaml", "meta.json", "status.json", "result.json"])
def test_resuming_a_broken_run(command: Command, trained: Path, noise: Path, name: str) -> None:
    shutil.copytree(trained, "run")
    Path("run", name).write_text("{")
    answer = command("train", "dcgan", "--data", noise, "--kimg", 0.064, *TINY, "--run-dir", "run")
    assert answer.code in (1, 2), answer
    assert_told(answer, answer.code, f"run/{name}")


@pytest.mark.parametrize(
    "args", [["fly"], ["config", "fly"], ["data"], ["config", "show"], ["config", "schema", "dcgna"]]
)
def test_usage(command: Command, args: list[str]) -> None:
    answer = command(*args)
    assert answer.code == 2
    assert "Traceback" not in answer.err

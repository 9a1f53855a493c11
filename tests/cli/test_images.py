"""Commands that make images of images, or of what is said: what they pass on, print and write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from PIL import Image

from gansmith.data.marks import Mark
from gansmith.training.rundir import RunDir

from .conftest import Answer

Command = Callable[..., Answer]


class Asked(dict[str, Any]):
    """What was passed on, by its name."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """No run is loaded, and nothing is made of images."""
    from gansmith.apps import files, run

    noted = Asked(answer=[Path("out/a.png")])

    def apply(loaded: Any, verb: str, pattern: str, out: Path, **others: Any) -> list[Path]:
        noted.update(loaded=loaded, verb=verb, pattern=pattern, out=out, **others)
        answer: list[Path] = noted["answer"]
        return answer

    monkeypatch.setattr(files, "apply", apply)
    monkeypatch.setattr(run, "load", lambda path, best=False: (path, best))
    return noted


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["translate"], ["RUN", "IN", "OUT", "--to", "--max-memory", "--overwrite", "--best", "cyclegan", "Examples"]),
        (["upscale"], ["RUN", "IN", "OUT", "--max-memory", "--overwrite", "--best", "srgan", "Examples"]),
        (["restore"], ["RUN", "IN", "OUT", "--max-memory", "--overwrite", "--best", "--scale 1", "Examples"]),
        (["draw"], ["RUN", "TEXT", "-n", "--seed", "--out", "--best", "stackgan", "Examples", "RUN/drawn-TEXT.png"]),
        ([], ["translate", "upscale", "restore", "draw"]),
    ],
)
def test_help(command: Command, args: list[str], words: list[str]) -> None:
    answer = command(*args, "--help")
    assert answer.code == 0
    assert [word for word in words if word not in answer.out] == []


def test_what_is_passed_on(command: Command, asked: Asked) -> None:
    assert command("translate", "r", "in", "out", "--to", "A", "--best", "--max-memory", 2, "--overwrite").code == 0
    assert asked["loaded"] == (Path("r"), True)
    assert (asked["verb"], asked["pattern"], asked["out"]) == ("translate", "in", Path("out"))
    assert (asked["to"], asked["max_memory"], asked["overwrite"]) == ("A", 2.0, True)
    for verb in ("upscale", "restore", "translate"):
        assert command(verb, "r", "*.png", "out").code == 0
        assert asked["loaded"] == (Path("r"), False)
        assert (asked["verb"], asked["pattern"]) == (verb, "*.png")
        assert (asked["to"], asked["max_memory"], asked["overwrite"]) == (None, 4.0, False)


def test_what_is_printed(command: Command, asked: Asked) -> None:
    assert command("upscale", "r", "a.png", "out") == Answer(0, "out/a.png\n", "")
    asked["answer"] = [Path("out/a.png"), Path("out/b.png")]
    assert command("upscale", "r", "in", "out") == Answer(0, "2 images in out\n", "")


# ---- a run that does nothing of it


def test_a_run_that_makes_images_of_noise(command: Command, trained: Path) -> None:
    Image.new("L", (8, 8)).save("a.png")
    for verb in ("translate", "upscale", "restore"):
        answer = command(verb, trained, "a.png", "out.png")
        assert (answer.code, answer.out) == (2, "")
        assert "dcgan makes no images of images; train cyclegan or pix2pix to translate" in answer.err
    answer = command("draw", trained, "a red circle")
    assert answer.code == 2
    assert "dcgan does not draw what is said; train stackgan" in answer.err
    assert command("translate", "absent", "a.png", "out.png").code == 2
    assert sorted(path.name for path in Path().iterdir()) == ["a.png"]
    assert not list(trained.glob("drawn-*"))


# ---- drawing


class Loaded(NamedTuple):
    """What stands for a run."""

    path: Path
    best: bool

    @property
    def dir(self) -> RunDir:
        return cast(RunDir, SimpleNamespace(path=self.path, mark=Mark("0123456789abcdef", "gansmith")))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Drawings are white, and only the colour red is known."""
    from gansmith.apps import files, run

    noted = Asked()

    def draw_images(loaded: Any, text: str, n: int, seed: int) -> np.ndarray:
        noted.update(loaded=loaded, text=text, n=n, seed=seed)
        return np.full((n, 4, 4, 3), 255, np.uint8)

    monkeypatch.setattr(files, "draw_images", draw_images)
    monkeypatch.setattr(files, "unknown_words", lambda loaded, text: [w for w in text.split() if w != "red"])
    monkeypatch.setattr(run, "load", lambda path, best=False: Loaded(path, best))
    Path("r").mkdir()
    return noted


def test_draw(command: Command, drawn: Asked) -> None:
    answer = command("draw", "r", "red")
    assert answer == Answer(0, "r/drawn-red.png\n", "")
    assert drawn == {"loaded": (Path("r"), False), "text": "red", "n": 16, "seed": 0}
    assert command("draw", "r", "red").code == 0, "what is in the run is written anew"
    with Image.open("r/drawn-red.png") as sheet:
        assert sheet.size == (4 * (3 * 4 + 2) + 2,) * 2


def test_words_never_seen_are_told(command: Command, drawn: Asked) -> None:
    answer = command("draw", "r", "red bird flies", "-n", 3, "--seed", 7, "--out", "here", "--best")
    assert answer == Answer(0, "here\n", "gansmith: training has not seen: bird, flies\n")
    assert drawn == {"loaded": (Path("r"), True), "text": "red bird flies", "n": 3, "seed": 7}
    assert sorted(path.name for path in Path("here").iterdir()) == ["0.png", "1.png", "2.png"]


def test_drawings_as_arrays_and_what_is_there_already(command: Command, drawn: Asked) -> None:
    assert command("draw", "r", "red", "--out", "x.npz").code == 0
    with np.load("x.npz", allow_pickle=False) as arrays:
        assert arrays["images"].shape == (16, 4, 4, 3)
    drawn.clear()
    answer = command("draw", "r", "red", "--out", "x.npz")
    assert answer.code == 2
    assert "x.npz: is there already" in answer.err
    assert drawn == {}, "known before anything is drawn"
    assert command("draw", "r", "red", "--out", "x.npz", "--overwrite").code == 0

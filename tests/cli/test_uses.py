"""The commands of `docs/uses.md` run as they stand, one after another, in a folder that has what they speak of;
trainings for a moment, and with small networks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from tests.cli.conftest import Answer

USES = Path(__file__).parents[2] / "docs/uses.md"
LENGTH = re.compile(r"--(minutes|kimg) \S+")
SMALL = {
    "train": "g_width=4 d_width=4",
    "adapt": "train.evaluations=2",
    "detect fit": "",
    "augment": "g_width=4 d_width=4",
}
"""What differs from the commands in the page, where they train."""


def commands() -> list[str]:
    """Those of the page, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", USES.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def shortened(line: str) -> list[str]:
    """A command's arguments; of one that trains, with little to do."""
    for name, settings in SMALL.items():
        if line.startswith(f"gansmith {name} "):
            always = "train.batch=8 train.looks=0 train.samples=0 train.frames=1"
            flags = " ".join(f"--set {setting}" for setting in f"{always} {settings}".split())
            quick = " --seeds 2 --steps 20" if name == "augment" else ""
            few = re.sub(r"--per-class \S+", "--per-class 4", line)
            line = f"{LENGTH.sub('', few)} --kimg 0.2 {flags}{quick}"
    return shlex.split(line)[1:]


def test_uses(command: Callable[..., Answer]) -> None:
    here = Path.cwd()
    for folder in ("leaves/round", "leaves/long", "few-leaves", "good-parts", "todays-parts"):
        write_noise(here / folder, 90 if folder == "good-parts" else 30, side=16, channels=1)
    answers: dict[str, Answer] = {}
    for line in commands():
        answer = answers[line] = command(*shortened(line))
        assert answer.code == 0, f"{line}: {answer.err}"
    assert "ours" in answers["gansmith verify samples/0.png --run runs/leaves"].out
    assert (here / "scores.csv").read_text().startswith("file,score,anomalous\n")
    assert len(list((here / "marked").glob("*.png"))) == 30
    assert (here / "more" / "manifest.jsonl").exists()
    assert (here / "inverted.png").exists()


def write_noise(folder: Path, count: int, side: int = 32, channels: int = 3) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    for i in range(count):
        pixels = rng.integers(0, 256, (side, side, channels), np.uint8)
        Image.fromarray(pixels.squeeze()).save(folder / f"{i:02}.png")

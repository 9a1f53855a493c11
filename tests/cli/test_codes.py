"""Commands that walk among a run's images: files, and what they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.data.marks import read


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "run")


def test_a_film_and_a_strip(run: Path, command: Callable[..., Any]) -> None:
    answer = command("interpolate", run, "--seeds", "3,1,4", "--steps", 4, "--out", "there/walk.webp")
    assert (answer.code, answer.out.split()) == (0, ["there/walk.webp", "there/walk.png"])
    with Image.open("there/walk.webp") as film, Image.open("there/walk.png") as strip:
        assert film.format == "WEBP"
        assert strip.width > 2 * strip.height
    assert all(read(Path("there", name)).mark for name in ("walk.webp", "walk.png"))
    assert command("interpolate", run, "--out", "there/walk.webp").code == 2, "what is there is not written over"
    assert command("interpolate", run, "--out", "walk.gif").code == 2
    assert command("interpolate", run, "--seeds", "1,b").code == 2


def test_directions_then_edits(run: Path, command: Callable[..., Any]) -> None:
    assert command("edit", run, "--direction", "sefa-1=2").code == 2, "there are none yet"
    answer = command("directions", run, "--count", 2)
    assert answer.code == 0
    assert "sefa-1, sefa-2, pca-1, pca-2" in answer.out
    assert (run / "directions.png").exists()
    assert command("edit", run, "--direction", "sefa-1=2", "--direction", "pca-2=-1", "-n", 4).code == 0
    assert read(run / "edited.png").mark
    answer = command("edit", run, "--direction", "smile=2")
    assert answer.code == 2
    assert "sefa-1, sefa-2" in answer.err


def test_images_of_ones_own(run: Path, command: Callable[..., Any]) -> None:
    for name, image in zip("ab", gansmith.load(run).sample(2, 5), strict=True):
        Path("mine").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(f"mine/{name}.png")
    answer = command("invert", run, "mine", "--steps", 20, "--out", "found.png")
    assert answer.code == 0
    assert "2 images, PSNR" in answer.out
    with np.load("found.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].shape == (2, 8)
        assert arrays["images"].shape == (2, 16, 16, 1)
    command("directions", run, "--count", 1)
    assert command("edit", run, "--direction", "sefa-1=1", "--image", "mine/a.png", "--out", "edited.png").code == 0
    assert command("invert", run, "nowhere").code == 4


def test_a_direction_from_labelled_images(run: Path, command: Callable[..., Any]) -> None:
    images = gansmith.load(run).sample(40, 5)
    for i, image in enumerate(images):
        folder = Path("bright" if image.mean() > np.median(images.mean((1, 2, 3))) else "dark")
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    answer = command("directions", run, "--learn", "light", "--having", "bright", "--lacking", "dark")
    assert answer.code == 0
    assert "light" in answer.out
    assert command("edit", run, "--direction", "light=+2").code == 0
    alone = command("directions", run, "--learn", "light", "--having", "bright")
    assert alone.code == 2
    assert "give all three" in alone.err


def test_neighbours_are_named(run: Path, command: Callable[..., Any]) -> None:
    answer = command("nearest", run, "-n", 2, "-k", 3)
    assert answer.code == 0
    assert len(answer.out.splitlines()[0].split(": ")[1].split(", ")) == 3
    assert (run / "nearest.png").exists()


def test_a_sweep_and_no_mixture(run: Path, command: Callable[..., Any]) -> None:
    assert command("sweep", run, "-n", 3, "--out", "new/folder/sweep.png").code == 0
    assert Path("new/folder/sweep.png").exists()
    assert command("sweep", run, "-n", 3).code == 0
    assert (run / "sweep.png").exists()
    answer = command("mix", run)
    assert answer.code == 2
    assert "stylegan" in answer.err


def test_mixtures_of_styles(noise: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    settings = {"width": 8, "latent": 8, "train.batch": 4, "train.evaluations": 0, "train.frames": 1, "train.looks": 0}
    run = gansmith.train("stylegan", str(noise), kimg=0.008, settings=settings, run_dir=tmp_path / "styles", quiet=True)
    assert command("mix", run.path, "--coarse", "0,1", "--fine", "2,3,4").code == 0
    with Image.open(run.path / "mixed.png") as sheet:
        assert sheet.width > sheet.height
    assert command("mix", run.path, "--layers", 0, "--overwrite").code == 2
    found = run.directions(count=2)
    assert found.space == "w"
    codes = run.codes(2)
    assert np.abs(run.edit(codes, {}).astype(int) - run.sample(2)).max() <= 1

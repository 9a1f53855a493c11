"""From folders to a run to files: the families that make images of images or of captions, whole and small."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.core.errors import ConfigError
from gansmith.training.rundir import RunDir

pytestmark = pytest.mark.xdist_group("image to image")
"""One process, so that each family is trained once."""

TINY: dict[str, Any] = {"train.batch": 4, "train.frames": 2, "train.evaluations": 2, "width": 4, "train.kimg": 0.05}
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 50, 210)}


def disc(colour: tuple[int, int, int], i: int, side: int = 32) -> np.ndarray:
    """A disc of a colour on white, at a place that differs by i: (side, side, 3)."""
    y, x = np.mgrid[:side, :side]
    inside = (x - side // 2 - i % 5 + 2) ** 2 + (y - side // 2 - i % 7 + 3) ** 2 < (side // 4) ** 2
    return np.where(inside[..., None], np.uint8(colour), np.uint8(255))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """grey/ and coloured/ of the same names; captioned/ with a table; photos/ of larger images."""
    root = tmp_path_factory.mktemp("folders")
    for folder in ("grey", "coloured", "captioned", "photos"):
        (root / folder).mkdir()
    rows, rng = [], np.random.default_rng(0)
    for i in range(30):
        name, colour = list(COLOURS.items())[i % 3]
        image = Image.fromarray(disc(colour, i))
        image.save(root / "coloured" / f"{i:02}.png")
        image.convert("L").save(root / "grey" / f"{i:02}.png")
        image.save(root / "captioned" / f"{i:02}.png")
        rows.append((f"{i:02}.png", f"a {name} disc"))
    for i in range(12):
        large = rng.integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(large).resize((96, 96), Image.Resampling.BICUBIC).save(root / "photos" / f"{i}.png")
    with (root / "captioned" / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "text"), *rows])
    return root


@pytest.fixture(scope="module")
def trained(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], gansmith.Run]:
    """A run of each family, trained when first asked for."""
    runs: dict[str, gansmith.Run] = {}
    unmeasured = {"train.evaluations": 0, "train.samples": 0}  # by colours that takes minutes
    asked: dict[str, dict[str, Any]] = {
        "cyclegan": {"data": folders / "grey", "to": folders / "coloured", "blocks": 1, "d_width": 4},
        "pix2pix": {"data": folders / "grey", "to": folders / "coloured", "d_width": 4},
        "srgan": {"data": folders / "photos", "scale": 2, "blocks": 1, "d_width": 4, "data.resolution": 32},
        "restorer": {"data": folders / "photos", "scale": 1, "blocks": 1, "d_width": 4, "data.resolution": 32},
        "stackgan": {"data": folders / "captioned", "captions": "words", "blocks": 1, "text": 8, "told": 8}
        | unmeasured,
    }

    def trained(name: str) -> gansmith.Run:
        if name not in runs:
            mine = dict(asked[name])
            data, to, scale = str(mine.pop("data")), mine.pop("to", None), mine.pop("scale", None)
            runs[name] = gansmith.train(
                "srgan" if name == "restorer" else name,
                data,
                to=None if to is None else str(to),
                scale=scale,
                settings=TINY | mine,
                run_dir=tmp_path_factory.mktemp("runs") / name,
                quiet=True,
            )
        return runs[name]

    return trained


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix", "srgan", "restorer"])
def test_held_out_pairs_are_measured(trained: Callable[[str], gansmith.Run], name: str) -> None:
    run = trained(name)
    pairs = run.result["pairs"]
    assert pairs["n"] >= 1
    assert all(pairs[key] is not None for key in ("psnr", "ssim", "perceptual"))
    assert (pairs["source_psnr"] is None) == (name in ("cyclegan", "pix2pix")), "grey is of another shape than coloured"
    quick = [row for row in RunDir(run.path).rows() if "quick/psnr" in row]
    assert len(quick) == 2
    best = RunDir(run.path).read("checkpoints/best.json")
    assert best["perceptual"] == pytest.approx(min(row["quick/perceptual"] for row in quick))


@pytest.mark.parametrize(("name", "side"), [("cyclegan", 32), ("pix2pix", 32), ("srgan", 32), ("stackgan", 32)])
def test_a_frame_shows_what_becomes_of_what(trained: Callable[[str], gansmith.Run], name: str, side: int) -> None:
    frames = sorted((trained(name).path / "samples").glob("[0-9]*.png"))
    assert len(frames) >= 2
    with Image.open(frames[-1]) as sheet:
        columns = (sheet.width - 2) // (3 * side + 2)
        assert columns == (8 if name == "stackgan" else 6), "source, result, target; twice in a row"
        first = np.asarray(sheet.convert("RGB"))[2 : 2 + 3 * side : 3, 2 : 2 + 3 * side : 3]
    if name in ("cyclegan", "pix2pix"):
        assert (first == first[..., :1]).all(), "the source is grey"
        assert len(np.unique(first)) > 1


def test_files_are_translated_both_ways(trained: Callable[[str], gansmith.Run], folders: Path, tmp_path: Path) -> None:
    run = trained("cyclegan")
    there = run.translate(folders / "grey", tmp_path / "there")
    assert [path.name for path in there] == [f"{i:02}.png" for i in range(30)]
    with Image.open(there[0]) as image:
        assert (image.mode, image.size) == ("RGB", (32, 32))
    (back,) = run.translate(there[0], tmp_path / "back.png", to="A")
    with Image.open(back) as image:
        assert image.mode == "L"
    with pytest.raises(ConfigError, match="no way is called 'C'"):
        run.translate(there[0], tmp_path / "c.png", to="C")


def test_an_array_becomes_what_the_file_does(
    trained: Callable[[str], gansmith.Run], folders: Path, tmp_path: Path
) -> None:
    run = trained("pix2pix")
    (path,) = run.translate(folders / "grey" / "03.png", tmp_path / "out.png")
    grey = np.asarray(Image.open(folders / "grey" / "03.png"))[..., None]
    with Image.open(path) as image:
        assert (np.asarray(image) == run.image_of(grey)).all()


def test_images_are_enlarged_and_restored(
    trained: Callable[[str], gansmith.Run], folders: Path, tmp_path: Path
) -> None:
    photo = folders / "photos" / "0.png"
    for name, side in (("srgan", 192), ("restorer", 96)):
        run = trained(name)
        (path,) = (run.upscale if name == "srgan" else run.restore)(photo, tmp_path / f"{name}.png")
        with Image.open(path) as image:
            assert image.size == (side, side)
        with pytest.raises(ConfigError, match=r"srgan cannot translate: give 'gansmith (upscale|restore) "):
            run.translate(photo, tmp_path / "no.png")


def test_what_is_said_is_drawn(trained: Callable[[str], gansmith.Run]) -> None:
    run = trained("stackgan")
    assert run.spec.words[:2] == ("a", "disc")
    assert set(run.spec.words[2:]) == set(COLOURS)
    red = run.draw("a red disc", 3)
    assert red.shape == (3, 32, 32, 3)
    assert (run.draw("a red disc", 2) == red[:2]).all()
    assert run.sample(4).shape == (4, 32, 32, 3), "of the data's captions"
    with pytest.raises(ConfigError, match="pix2pix does not draw what is said; train stackgan"):
        trained("pix2pix").draw("a red disc")


def test_a_translator_has_nothing_to_sample_from(trained: Callable[[str], gansmith.Run]) -> None:
    with pytest.raises(ConfigError, match="cyclegan makes images of images: gansmith translate"):
        trained("cyclegan").sample(4)
    assert trained("cyclegan").evaluate(n=30)["frechet"].value > 0


def test_a_second_folder_needs_a_family_that_translates(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--to"):
        gansmith.train("dcgan", str(folders / "grey"), to=str(folders / "coloured"), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_scale_needs_a_family_that_enlarges(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="scale: no such setting"):
        gansmith.train("dcgan", str(folders / "grey"), scale=2, run_dir=tmp_path / "run")

"""Pictures of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data.marks import Mark
from gansmith.training.pictures import grid, on_white, save_film, save_picture

MARK = Mark("0123456789abcdef", "gansmith")


def test_transparency_is_white_in_the_film(tmp_path: Path) -> None:
    """The colours that transparent pixels hide do not show."""
    hidden = np.zeros((4, 8, 8, 4), np.uint8)
    hidden[..., 0] = 255
    frames = [tmp_path / f"{i}.png" for i in range(2)]
    for frame in frames:
        save_picture(grid(hidden), frame, MARK)
    save_film(frames, tmp_path / "film.webp", MARK)
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames >= 1
        assert MARK.run.encode() in film.info["xmp"]
        assert np.asarray(film.convert("RGB")).min() >= 250


@pytest.mark.parametrize(("mode", "colour", "shown"), [("L", 7, 7), ("RGB", (7, 7, 7), 7), ("RGBA", (0, 0, 0, 0), 255)])
def test_on_white(mode: str, colour: int | tuple[int, ...], shown: int) -> None:
    picture = on_white(Image.new(mode, (2, 2), colour))
    assert picture.mode == "RGB"
    assert np.unique(np.asarray(picture)).tolist() == [shown]

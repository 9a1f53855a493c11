"""A watermark that is not seen, is found, and is not found where it is not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gansmith.data import watermark
from gansmith.data.watermark import CLEAR, LEAST, is_watermarked, noise, strengths, watermarked


def scene(side: int = 256, seed: int = 0) -> Image.Image:
    """Smooth shades, edges, and something of a texture."""
    rng = np.random.default_rng(seed)
    shades = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    shapes = Image.fromarray(rng.integers(0, 2, (5, 5), np.uint8) * 255).resize((side, side), Image.Resampling.NEAREST)
    grain = Image.fromarray(rng.integers(0, 256, (side, side), np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return Image.blend(
        Image.composite(shades, Image.new("RGB", shades.size, "white"), shapes), grain.convert("RGB"), 0.1
    )


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_the_noise_is_the_same_for_ever() -> None:
    assert noise().shape == (64, 64)
    assert (float(noise().mean()), float(noise().std())) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    assert noise()[0, :4] == pytest.approx(FIRST, abs=1e-4), "images that were marked before would not be found"


FIRST = [0.40796, -0.67026, -0.26080, 1.09165]


@pytest.mark.parametrize(
    "change",
    [
        lambda marked: marked,
        lambda marked: as_jpeg(marked, 75),
        lambda marked: marked.resize((128, 128), Image.Resampling.BICUBIC),
        lambda marked: marked.resize((190, 190), Image.Resampling.LANCZOS),
        lambda marked: marked.resize((333, 333), Image.Resampling.BILINEAR),
        lambda marked: marked.crop((37, 11, 241, 203)),
        lambda marked: marked.convert("L"),
        lambda marked: as_jpeg(marked.crop((9, 9, 209, 209)).resize((160, 160)), 80),
    ],
    ids=["as it is", "JPEG", "half", "smaller", "larger", "a part", "grey", "all of it"],
)
def test_it_outlasts(change: Callable[[Image.Image], Image.Image]) -> None:
    assert is_watermarked(change(watermarked(scene())))


@pytest.mark.parametrize(
    "plain",
    [
        scene(),
        scene(seed=1),
        Image.new("RGB", (200, 200), "orange"),
        Image.fromarray(np.random.default_rng(2).integers(0, 256, (256, 256), np.uint8)),
        Image.fromarray((np.indices((256, 256)).sum(0) // 8 % 2 * 255).astype(np.uint8)),
        Image.fromarray(np.tile(np.random.default_rng(3).integers(0, 256, (64, 64), np.uint8), (4, 4))),
        Image.new("RGBA", (3, 1)),
    ],
    ids=["a scene", "another", "one colour", "noise", "squares", "a tile", "next to nothing"],
)
def test_where_it_is_not_it_is_not_found(plain: Image.Image) -> None:
    assert max(strengths(plain)) < CLEAR - 1


def test_it_is_faint() -> None:
    plain, marked = (np.asarray(picture, np.float64) for picture in (scene(), watermarked(scene())))
    assert 0 < np.abs(plain - marked).mean() < 1.5
    assert 10 * np.log10(255**2 / np.square(plain - marked).mean()) > 42


def test_large_ones_are_marked_by_strips_that_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = np.asarray(watermarked(scene()), np.int16)
    monkeypatch.setattr(watermark, "STRIP", 64)
    by_strips = np.asarray(watermarked(scene()), np.int16)
    assert np.abs(at_once - by_strips).max() <= 3, "surroundings end at a strip's border"
    assert (at_once == by_strips)[10:54].all()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_transparency_stays(mode: str) -> None:
    plain = scene().convert(mode)
    if mode.endswith("A"):
        plain.putalpha(Image.linear_gradient("L"))
    marked = watermarked(plain)
    assert (marked.mode, marked.size) == (mode, plain.size)
    assert is_watermarked(marked)
    if mode.endswith("A"):
        assert (np.asarray(marked)[..., -1] == np.asarray(plain)[..., -1]).all()


def test_what_has_no_room_for_it_stays_as_it_is() -> None:
    for plain in (scene(LEAST - 1), scene().convert("I;16"), scene().convert("P")):
        assert watermarked(plain) is plain

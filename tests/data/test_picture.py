"""Any mode, size and aspect becomes the right square."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError
from gansmith.data import Dataset
from gansmith.data.geometry import Geometry, choose_geometry, load_square, to_square
from gansmith.data.picture import open_image, probe, to_eight_bit, upright

Open = Callable[..., Dataset]
Paint = Callable[..., Path]


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(raw: bytes, channels: int) -> np.ndarray:
    with open_image(raw) as image:
        return np.asarray(to_eight_bit(upright(image), channels))


# ------------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "PA"]
)
@pytest.mark.parametrize(("channels", "expected"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_every_mode_gives_every_number_of_channels(mode: str, channels: int, expected: str) -> None:
    result = to_eight_bit(Image.new(mode, (5, 4)), channels)
    assert (result.mode, result.size) == (expected, (5, 4))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    for raw in (stored(Image.fromarray(values), "PNG"), stored(Image.fromarray(values), "TIFF"), pgm(values)):
        assert decoded(raw, 1).tolist() == [[0, 1, 128, 255]]


def pgm(values: np.ndarray) -> bytes:
    """16-bit PGM, which Pillow opens as 32-bit."""
    return b"P5 %d %d 65535\n" % values.shape[::-1] + values.astype(">u2").tobytes()


def test_floats() -> None:
    for values in ([[0.0, 0.5, 1.0]], [[0.0, 127.5, 255.0]]):
        assert decoded(stored(Image.fromarray(np.array(values, np.float32)), "TIFF"), 1).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("values", [[[0.0, np.nan]], [[0.0, 300.0]], [[-0.5, 1.0]]])
def test_floats_on_no_known_scale(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"mode F with values .* save it as 8-bit"):
        decoded(stored(Image.fromarray(np.array(values, np.float32)), "TIFF"), 1)


def test_transparent_pixels_are_put_on_white() -> None:
    clear_and_red = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear_and_red.putpixel((1, 0), (255, 0, 0, 255))
    white_and_red = [[[255, 255, 255], [255, 0, 0]]]
    assert decoded(stored(clear_and_red, "PNG"), 3).tolist() == white_and_red
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 255, 0, 0])
    palette.putpixel((1, 0), 1)
    for kind, transparency in (("PNG", 0), ("PNG", b"\x00\xff"), ("GIF", 0)):
        assert decoded(stored(palette, kind, transparency=transparency), 3).tolist() == white_and_red
    assert decoded(stored(Image.new("L", (1, 1), 7), "PNG", transparency=7), 1).tolist() == [[255]]
    assert decoded(stored(clear_and_red, "PNG"), 4)[0, 0, 3] == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste("black", (0, 0, 20, 10))
    raw = stored(picture, "JPEG", exif=exif, quality=95)
    pixels = decoded(raw, 1)
    black_row, black_column = divmod([0, 1, 3, 2, 0, 1, 3, 2][orientation - 1], 2)
    height, width = pixels.shape
    assert (width, height) == ((40, 20) if orientation < 5 else (20, 40)) == (probe(raw).width, probe(raw).height)
    assert pixels[height // 4 + black_row * height // 2, width // 4 + black_column * width // 2] < 50


# ---------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ((28, 28), {}, (32, "keep")),
        ((32, 32), {}, (32, "keep")),
        ((24, 10), {}, (32, "keep")),
        ((23, 23), {}, (16, "crop")),
        ((8, 8), {}, (16, "crop")),
        ((64, 64), {}, (64, "keep")),
        ((128, 128), {}, (64, "crop")),
        ((128, 128), {"resolution": 128}, (128, "keep")),
        ((1000, 700), {}, (64, "crop")),
        ((9, 40), {}, (16, "crop")),
        ((28, 28), {"fit": "crop"}, (16, "crop")),
        ((28, 28), {"fit": "pad"}, (32, "keep")),
        ((28, 28), {"fit": "pad", "resolution": 64}, (64, "pad")),
        ((28, 28), {"fit": "stretch", "resolution": 32}, (32, "stretch")),
    ],
)
def test_geometry_is_fitted_to_the_data(size: tuple[int, int], settings: dict, expected: tuple[int, str]) -> None:
    geometry = choose_geometry([size] * 3, False, DataConfig(**settings))
    assert (geometry.resolution, geometry.fit) == expected


def test_geometry_of_mixed_sizes() -> None:
    geometry = choose_geometry([(28, 28), (32, 32), (40, 90)], True, DataConfig())
    assert geometry == Geometry(32, "crop", 1)


@pytest.mark.parametrize(("resolution", "neighbours"), [(48, "32 or 64"), (1000, "512 or 1024"), (9, "8 or 16")])
def test_resolution_must_be_a_power_of_two(opened: Open, resolution: int, neighbours: str) -> None:
    with pytest.raises(ConfigError, match=f"data.resolution: .* got {resolution}; try {neighbours}"):
        opened("builtin:fashion", resolution=resolution)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    fit=st.sampled_from(["keep", "crop", "pad", "stretch"]),
    channels=st.sampled_from([1, 3, 4]),
    resolution=st.sampled_from([8, 16, 64]),
)
@settings(max_examples=150, deadline=None)
def test_any_image_becomes_a_square(
    width: int, height: int, mode: str, fit: str, channels: int, resolution: int
) -> None:
    raw = stored(Image.new(mode, (width, height)), "TIFF" if mode == "CMYK" else "PNG")
    square = load_square(raw, Geometry(resolution, fit, channels))  # type: ignore[arg-type]
    assert square.pixels.shape == (resolution, resolution, channels)
    assert square.pixels.dtype == np.uint8
    assert max(square.content) <= resolution
    if fit == "pad":
        assert max(square.content) == resolution
    if fit in ("crop", "stretch"):
        assert square.content == (resolution, resolution)
    # One colour in, the same colour out: no border is invented.
    assert len(np.unique(square.pixels.reshape(-1, channels), axis=0)) == 1


def test_padding_repeats_the_edge_and_leaves_the_picture_alone() -> None:
    values = np.random.default_rng(0).integers(0, 256, (27, 25, 3), np.uint8)
    square = to_square(Image.fromarray(values), Geometry(32, "keep", 3))
    np.testing.assert_array_equal(square.pixels[2:29, 3:28], values)
    expected = np.pad(values, ((2, 3), (3, 4), (0, 0)), mode="edge")
    np.testing.assert_array_equal(square.pixels, expected)


def test_crop_is_central() -> None:
    picture = Image.new("L", (96, 32), 0)
    picture.paste(200, (32, 0, 64, 32))
    # Lanczos looks three pixels beyond the edge of the crop.
    assert np.abs(to_square(picture, Geometry(16, "crop", 1)).pixels.astype(int) - 200).max() < 15


def test_a_large_jpeg_reduced_while_decoding_looks_the_same() -> None:
    x = np.linspace(0, 255, 1600)
    picture = Image.fromarray(
        np.stack([np.tile(x, (1200, 1)), np.tile(x[:1200, None], (1, 1600))] * 2, -1)[..., :3].astype(np.uint8)
    )
    square = load_square(stored(picture, "JPEG", quality=95), Geometry(32, "crop", 3)).pixels
    expected = np.asarray(picture.crop((200, 0, 1400, 1200)).resize((32, 32), Image.Resampling.LANCZOS))
    assert np.abs(square.astype(int) - expected).max() <= 6


def test_spec_of_padded_images(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(4):
        paint(tmp_path / "same" / f"{i}.png", size=(40, 20), seed=i)
        paint(tmp_path / "mixed" / f"{i}.png", size=(40, 20 + i), seed=i)
    same = opened(tmp_path / "same", fit="pad", resolution=64).spec
    assert (same.resolution, same.height, same.width) == (64, 32, 64)
    assert same.window == (slice(16, 48), slice(0, 64))
    mixed = opened(tmp_path / "mixed", fit="pad", resolution=64).spec
    assert (mixed.height, mixed.width) == (64, 64)


@pytest.mark.parametrize(("mode", "expected"), [("L", 1), ("RGB", 3), ("RGBA", 3)])
def test_channels_follow_the_data(tmp_path: Path, paint: Paint, opened: Open, mode: str, expected: int) -> None:
    for i in range(3):
        paint(tmp_path / "d" / f"{i}.png", mode=mode, seed=i)
    assert opened(tmp_path / "d").spec.channels == expected
    assert opened(tmp_path / "d", channels=4).train.images.shape == (3, 32, 32, 4)


def test_grey_stored_as_colour_is_grey(tmp_path: Path, opened: Open) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), np.uint8).repeat(3, axis=3)
    np.save(tmp_path / "grey.npy", grey)
    data = opened(tmp_path / "grey.npy", holdout=0)
    np.testing.assert_array_equal(data.train.images, grey[..., :1])
    assert opened(tmp_path / "grey.npy", holdout=0, channels=3).spec.channels == 3

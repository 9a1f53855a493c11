"""Tiles are pieces of their image as it is, all on the same side of the split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError
from gansmith.core.spec import Spec
from gansmith.data import Dataset, open_data, pack
from gansmith.data.entries import Entry
from gansmith.data.geometry import Geometry, choose_geometry
from gansmith.data.parallel import in_parallel
from gansmith.data.split import assign_splits, place_of
from gansmith.data.tiles import choose_tiles, count_tiles, cut_tiles

Open = Callable[..., Dataset]
Paint = Callable[..., Path]


def rows(data: Dataset) -> dict[str, np.ndarray]:
    splits = (data.train, data.heldout)
    return {name: pixels for split in splits for name, pixels in zip(split.names, split.images, strict=True)}


@pytest.fixture
def wide(tmp_path: Path, paint: Paint) -> Path:
    """Six pictures of 50x35: of tiles of 16, a grid of 3x2, its corner at (1, 1)."""
    for i in range(6):
        paint(tmp_path / "wide" / f"{i}.png", size=(50, 35), seed=i)
    return tmp_path / "wide"


def test_tiles_are_crops_of_the_original(wide: Path, opened: Open) -> None:
    data = opened(wide, fit="tiles", resolution=16)
    tiles = rows(data)
    assert len(tiles) == 36
    for i in range(6):
        original = np.asarray(Image.open(wide / f"{i}.png").copy())
        for number in range(6):
            top, left = 1 + 16 * (number // 3), 1 + 16 * (number % 3)
            np.testing.assert_array_equal(tiles[f"{i}.png#00{number}"], original[top : top + 16, left : left + 16])
    assert data.spec == Spec(16, 3, 16, 16)


def test_the_split_is_by_image(wide: Path, opened: Open) -> None:
    data = opened(wide, fit="tiles", resolution=16, holdout=0.4)
    train, heldout = ({name.split("#")[0] for name in split.names} for split in (data.train, data.heldout))
    assert not train & heldout
    assert len(train | heldout) == 6
    assert len(heldout) >= 1
    assert not opened(wide, fit="tiles", resolution=16, holdout=0).heldout.names


@pytest.mark.parametrize(("count", "heldout"), [(1, 0), (2, 1)])
def test_one_image_stays_to_train_on(tmp_path: Path, paint: Paint, opened: Open, count: int, heldout: int) -> None:
    for i in range(count):
        paint(tmp_path / "d" / f"{i}.png", size=(64, 64), seed=i)
    data = opened(tmp_path / "d", fit="tiles", resolution=32, holdout=0.5)
    assert (len(data.train), len(data.heldout)) == (4 * (count - heldout), 4 * heldout)


def test_one_stays_though_all_are_below_the_share() -> None:
    names = [name for name in map(str, range(99)) if place_of(name) < 0.4][:5]
    splits = assign_splits([Entry(name, bytes) for name in names], 0.5, 2)
    assert splits.count("train") == 1
    assert splits.index("train") == int(np.argmax([place_of(name) for name in names]))


def test_at_most_so_many_chosen_by_the_name(wide: Path, opened: Open) -> None:
    some = opened(wide, fit="tiles", resolution=16, tiles=2)
    every = rows(opened(wide, fit="tiles", resolution=16))
    chosen = rows(some)
    assert len(chosen) == 12
    for name, pixels in chosen.items():
        np.testing.assert_array_equal(pixels, every[name])
    # Not the same places of all images.
    assert len({name.split("#")[1] for name in chosen}) > 2
    assert some.fingerprint != opened(wide, fit="tiles", resolution=16).fingerprint
    assert opened(wide, fit="tiles", resolution=16, tiles=2).train.names == some.train.names


def test_choice_is_even() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80), np.uint8))
    counts = np.zeros(25, int)
    for i in range(400):
        chosen = choose_tiles(image, 16, 5, f"{i}.jpg")
        assert chosen == sorted(set(chosen))
        counts[chosen] += 1
    # Each is chosen 80 times of 400 on the average, with a standard deviation of 8.
    assert counts.sum() == 2000
    assert counts.min() > 80 - 5 * 8
    assert counts.max() < 80 + 5 * 8


def test_a_tenth_of_the_squares_is_flat() -> None:
    lively = np.random.default_rng(0).integers(0, 256, (16, 16 * 40), np.uint8)
    picture = Image.fromarray(np.concatenate([lively, np.full_like(lively, 90)]))
    for most, count, flat in ((20, 20, 2), (40, 40, 4), (50, 45, 5), (500, 80, 40)):
        chosen = choose_tiles(picture, 16, most, "x")
        assert (len(chosen), sum(number >= 40 for number in chosen)) == (count, flat)


def test_flat_squares_are_left_out_of_few_unless_all_are() -> None:
    picture = np.full((16, 48, 3), 100, np.uint8)
    picture[:, 16:32:2] = 107  # half the pixels 7 higher: a standard deviation of 3.5
    picture[:, 32::2] = 105  # 2.5
    assert choose_tiles(Image.fromarray(picture), 16, 9, "x") == [1]
    assert choose_tiles(Image.fromarray(picture[:, :16].repeat(2, 1)), 16, 9, "x") == [0, 1]
    # Red and green of the same luma, 0.299 * 200 = 0.587 * 102, are flat.
    red_green = np.zeros((16, 16, 3), np.uint8)
    red_green[::2, :, 0], red_green[1::2, :, 1] = 200, 102
    beside = np.concatenate([red_green, np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)], 1)
    assert choose_tiles(Image.fromarray(beside), 16, 9, "x") == [1]


def test_small_images_are_left_out_and_counted(
    wide: Path, paint: Paint, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    paint(wide / "low.png", size=(100, 15), seed=8)
    paint(wide / "narrow.png", size=(15, 100), seed=9)
    data = opened(wide, fit="tiles", resolution=16)
    assert caplog.text.count("left out 2 images smaller than a tile of 16x16") == 1
    assert len(rows(data)) == 36
    assert data.skipped == ()


def test_all_images_are_small(wide: Path, opened: Open) -> None:
    with pytest.raises(DataError, match=r"wide: all images are smaller than a tile of 64x64; lower data\.resolution"):
        opened(wide, fit="tiles")


def test_resolution(wide: Path, opened: Open) -> None:
    assert choose_geometry([(28, 28)], False, DataConfig(fit="tiles")) == Geometry(64, "tiles", 3)
    with pytest.raises(ConfigError, match="power of two"):
        opened(wide, fit="tiles", resolution=24)


def test_broken_images_count_as_images(wide: Path, paint: Paint, opened: Open) -> None:
    """One of 7 is too much, though 6 others give 36 tiles; one of 21 is not."""
    content = (wide / "0.png").read_bytes()
    for broken in (b"nothing", content[: len(content) // 2]):
        (wide / "x.png").write_bytes(broken)
        with pytest.raises(DataError, match="1 of 7 images cannot be read"):
            opened(wide, fit="tiles", resolution=16)
    for i in range(6, 20):
        # The small ones count as well.
        paint(wide / f"{i}.png", size=(50, 35 if i < 13 else 9), seed=i)
    assert opened(wide, fit="tiles", resolution=16).skipped == ("x.png",)


def test_labels_and_captions_are_those_of_the_image(tmp_path: Path, paint: Paint, opened: Open) -> None:
    lines = ["file_name,text,label"]
    for i in range(3):
        paint(tmp_path / "d" / f"{i}.png", size=(32, 16), seed=i)
        lines.append(f"{i}.png,picture {i},{'ab'[i % 2]}")
    (tmp_path / "d" / "metadata.csv").write_text("\n".join(lines))
    data = opened(tmp_path / "d", fit="tiles", resolution=16, holdout=0, captions=True)
    assert data.train.names == ("0.png#000", "0.png#001", "1.png#000", "1.png#001", "2.png#000", "2.png#001")
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 0, 1, 1, 0, 0]
    assert data.train.captions == tuple(f"picture {i // 2}" for i in range(6))
    # Counted by image.
    assert data.spec.words == ("picture", "0", "1", "2")


def test_rotated_by_exif(tmp_path: Path, opened: Open) -> None:
    """Stored as 16 wide and 48 high, to be turned by 90 degrees."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "d").mkdir()
    Image.fromarray(noise).save(tmp_path / "d" / "0.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "d" / "0.jpg") as image:
        turned = np.rot90(np.asarray(image), -1)
    data = opened(tmp_path / "d", fit="tiles", resolution=16)
    np.testing.assert_array_equal(np.concatenate(list(data.train.images), 1), turned)


def test_large_jpegs_are_not_reduced(tmp_path: Path, opened: Open) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    (tmp_path / "d").mkdir()
    Image.fromarray(noise).save(tmp_path / "d" / "0.jpg")
    assert len(opened(tmp_path / "d", fit="tiles", resolution=16).train) == 100
    assert len(opened(tmp_path / "d", fit="tiles", resolution=16, tiles=1000).train) == 256


def test_grey_and_arrays(tmp_path: Path, opened: Open) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 1), np.uint8)
    np.save(tmp_path / "x.npy", noise.repeat(3, 3))
    data = opened(tmp_path / "x.npy", fit="tiles", resolution=16, holdout=0)
    assert data.train.images.shape == (12, 16, 16, 1)
    np.testing.assert_array_equal(data.train.images[10], noise[1, 16:32, 16:32])


def test_second_open_decodes_nothing(wide: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(wide, fit="tiles", resolution=16)
    monkeypatch.setattr(pack, "load_image", None)
    monkeypatch.setattr(pack, "probe", None)
    second = opened(wide, fit="tiles", resolution=16)
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.train.images, first.train.images)


def test_each_image_is_decoded_once(wide: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    load = pack.load_image
    monkeypatch.setattr(pack, "load_image", lambda *args: decoded.append(args) or load(*args))
    opened(wide, fit="tiles", resolution=16)
    assert len(decoded) == 6


def test_few_large_images_are_under_way_at_once() -> None:
    geometry = Geometry(256, "tiles", 3)
    plan = pack.Plan([], (), (geometry,), [], most=100)
    assert plan.window == 2**28 // (100 * 256 * 256 * 3) == 13
    assert pack.Plan([], (), (Geometry(32, "crop", 3),), []).window == 512
    begun: list[int] = []
    for seen, item in enumerate(in_parallel(lambda i: begun.append(i) or i, range(100), "Trying", window=4)):
        assert item == seen
        assert len(begun) <= seen // 4 * 4 + 4


def test_tiles_do_not_keep_their_image_in_memory() -> None:
    image = Image.new("RGB", (64, 32))
    assert all(square.pixels.base is None for square in cut_tiles(image, 32, [0, 1]))


def test_count() -> None:
    assert count_tiles((50, 35), 16) == 6
    assert count_tiles((50, 15), 16) == 0


def test_expected_before_anything_is_decoded(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "load_image", None)

    def object_to(spec: Spec) -> None:
        raise ConfigError(f"not at {spec.resolution}")

    with pytest.raises(ConfigError, match="not at 16"):
        open_data(DataConfig(source=str(wide), fit="tiles", resolution=16), object_to)

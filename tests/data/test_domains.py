"""Two kinds of images: found in every layout, paired as their names say, and never across the split."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError
from gansmith.core.spec import Spec
from gansmith.data import Dataset, Split, open_data, pack
from gansmith.data.domains import pair_keys

Open = Callable[..., Dataset]
Paint = Callable[..., Path]


def shade(path: Path, value: int, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Path:
    """A picture that says which one it is by its red, and whether it is colour by its blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 255 - value)).convert(mode).save(path)
    return path


def beside(path: Path, left: int, right: int, side: int = 16, **options: object) -> Path:
    """Two pictures side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", (2 * side, side), (left, 0, 0))
    picture.paste((right, 9, 9), (side, 0, 2 * side, side))
    picture.save(path, **options)
    return path


def reds(images: np.ndarray | None) -> list[int]:
    """The red of every picture, each of which is of one colour."""
    assert images is not None
    assert (images == images[:, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def matched(split: Split) -> dict[str, tuple[int, int]]:
    """Of every image by name, its red, and that of its target."""
    assert split.targets is not None
    assert split.paired
    both = zip(reds(split.images), reds(split.targets), strict=True)
    return dict(zip(split.names, both, strict=True))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """trainA with 0 to 11, trainB with 100 to 111, and as many in testA (20 to 22) and testB."""
    for i in range(12):
        shade(tmp_path / "ab" / "trainA" / f"{i}.png", i)
        shade(tmp_path / "ab" / "trainB" / f"{i}.png", 100 + i)
    for i in range(3):
        shade(tmp_path / "ab" / "testA" / f"{i}.png", 20 + i)
        shade(tmp_path / "ab" / "testB" / f"{i}.png", 120 + i)
    return tmp_path / "ab"


@pytest.fixture
def separate(tmp_path: Path) -> tuple[Path, Path]:
    """Folders a, 0 to 23, and b, 100 to 123, of the same names but for the suffix."""
    for i in range(24):
        shade(tmp_path / "a" / f"{i:02}.png", i)
        shade(tmp_path / "b" / f"{i:02}.bmp", 100 + i)
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """24 images side by side, i and 100 + i."""
    for i in range(24):
        beside(tmp_path / "halves" / f"{i:02}.png", i, 100 + i)
    return tmp_path / "halves"


# ----------------------------------------------------------------------------------------------------- layouts


def test_paired_folders(folders: Path, opened: Open) -> None:
    data = opened(folders, targets="paired")
    assert matched(data.train) == {f"trainA/{i}.png": (i, 100 + i) for i in range(12)}
    assert matched(data.heldout) == {f"testA/{i}.png": (20 + i, 120 + i) for i in range(3)}
    assert data.spec == Spec(16, 3, 16, 16, target_channels=3, paired=True)
    assert data.train.labels is None
    assert data.name == "ab"
    assert data.pairs is not None
    assert reds(data.pairs.sources) == [20, 21, 22]
    assert reds(data.pairs.targets) == [120, 121, 122]
    assert data.pairs.names == data.heldout.names


def test_unpaired_folders(folders: Path, opened: Open) -> None:
    for i in range(12, 15):
        shade(folders / "trainB" / f"{i}.png", 100 + i)
    data = opened(folders, targets="unpaired")
    assert sorted(reds(data.train.images)) == list(range(12))
    assert sorted(reds(data.train.targets)) == list(range(100, 115))
    assert (reds(data.heldout.images), reds(data.heldout.targets)) == ([20, 21, 22], [120, 121, 122])
    assert not data.train.paired
    assert not data.heldout.paired
    assert data.spec == Spec(16, 3, 16, 16, target_channels=3)
    assert data.pairs is not None
    assert (reds(data.pairs.sources), reds(data.pairs.targets)) == ([20, 21, 22], [120, 121, 122])


def test_folders_in_an_archive_below_others_and_in_any_case(folders: Path, tmp_path: Path, opened: Open) -> None:
    with zipfile.ZipFile(tmp_path / "ab.zip", "w") as archive:
        for file in folders.rglob("*.png"):
            name = str(file.relative_to(folders)).replace("train", "Train")
            archive.write(file, f"download/ab/{name}")
    data = opened(tmp_path / "ab.zip", targets="paired")
    assert sorted(matched(data.train).values()) == [(i, 100 + i) for i in range(12)]
    assert sorted(matched(data.heldout).values()) == [(20 + i, 120 + i) for i in range(3)]


@pytest.mark.parametrize("targets", ["paired", "unpaired"])
def test_side_by_side(halves: Path, opened: Open, targets: str) -> None:
    # The resolution given, the two kinds differ in nothing but where they lie.
    data = opened(halves, targets=targets, resolution=16)
    for split in (data.train, data.heldout):
        assert reds(split.targets) == [100 + red for red in reds(split.images)]
        assert split.images.shape[1:] == (16, 16, 3)
    assert len(data.heldout) >= 1
    assert data.pairs is not None
    assert reds(data.pairs.targets) == [100 + red for red in reds(data.pairs.sources)]


def test_halves_are_cut_at_the_middle(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(3):
        paint(tmp_path / "d" / f"{i}.png", size=(64, 32), seed=i)
    split = opened(tmp_path / "d", targets="paired").train
    assert split.targets is not None
    for name, left, right in zip(split.names, split.images, split.targets, strict=True):
        np.testing.assert_array_equal(np.concatenate([left, right], 1), np.asarray(Image.open(tmp_path / "d" / name)))


def test_large_jpegs_do_not_bleed_over_the_middle(tmp_path: Path, opened: Open) -> None:
    """Decoded at 1/8, these would have their middle at 24 1/8 pixels."""
    for i in range(3):
        beside(tmp_path / "d" / f"{i}.jpg", 250, 10, side=193, quality=95, subsampling=0)
    split = opened(tmp_path / "d", targets="paired", resolution=8).train
    assert split.targets is not None
    assert split.images[..., 0].min() > 245
    assert split.targets[..., 0].max() < 15


def test_halves_of_an_image_as_it_is_seen(tmp_path: Path, opened: Open) -> None:
    """Stored upside down, and on their side."""
    for i, orientation in enumerate((1, 3, 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright = Image.open(beside(tmp_path / "x.png", 200, 50, side=32))
        stored = upright.rotate({1: 0, 3: 180, 6: 90}[orientation], expand=True)
        (tmp_path / "d").mkdir(exist_ok=True)
        stored.save(tmp_path / "d" / f"{i}.jpg", quality=95, subsampling=0, exif=exif)
    split = opened(tmp_path / "d", targets="paired").train
    assert split.targets is not None
    assert np.abs(split.images[..., 0].astype(int) - 200).max() < 8
    assert np.abs(split.targets[..., 0].astype(int) - 50).max() < 8


def test_halves_by_splits_and_of_arrays(tmp_path: Path, opened: Open) -> None:
    """The layout of the pix2pix data sets, where each split numbers anew."""
    for i, split in enumerate(("train", "train", "val", "test")):
        beside(tmp_path / "d" / split / f"{i // 2}{i % 2 if split == 'train' else ''}.jpg", 10 * i, 100 + 10 * i)
    data = opened(tmp_path / "d", targets="paired")
    assert data.train.names == ("train/00.jpg", "train/01.jpg")
    assert data.heldout.names == ("test/1.jpg", "val/1.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 32), np.uint8)
    np.save(tmp_path / "x.npy", noise)
    data = opened(tmp_path / "x.npy", targets="paired")
    np.testing.assert_array_equal(data.train.images[..., 0], noise[:, :, :16])
    np.testing.assert_array_equal(np.asarray(data.train.targets)[..., 0], noise[:, :, 16:])


def test_files_side_by_side_that_differ_by_suffix_alone(tmp_path: Path, opened: Open) -> None:
    for i, name in enumerate(("0.png", "0.bmp", "1.png")):
        beside(tmp_path / "d" / name, i, 100 + i)
    assert set(matched(opened(tmp_path / "d", targets="paired").train).values()) == {(0, 100), (1, 101), (2, 102)}


def test_separate_folders_paired(separate: tuple[Path, Path], opened: Open) -> None:
    data = opened(separate[0], to=str(separate[1]), targets="paired")
    alone = opened(separate[0])
    assert (data.train.names, data.heldout.names) == (alone.train.names, alone.heldout.names)
    for split in (data.train, data.heldout):
        assert matched(split) == {f"{i:02}.png": (i, 100 + i) for i in map(int, (n[:2] for n in split.names))}
    assert data.name == "a"


def test_separate_folders_unpaired(separate: tuple[Path, Path], opened: Open) -> None:
    a, b = separate
    data = opened(a, to=str(b), targets="unpaired", holdout=0.4)
    alone = opened(b, holdout=0.4)
    assert reds(data.train.targets) == reds(alone.train.images)
    assert reds(data.heldout.targets) == reds(alone.heldout.images)
    held = {name[:2] for name in data.heldout.names} & {name[:2] for name in alone.heldout.names}
    assert data.pairs is not None
    assert {name[:2] for name in data.pairs.names} == held
    assert reds(data.pairs.targets) == [100 + red for red in reds(data.pairs.sources)]


def test_emoji_of_two_styles(opened: Open) -> None:
    """Held out by what they show, in both styles the same."""
    data = opened("builtin:emoji-google", to="builtin:emoji-twitter", targets="unpaired")
    assert data.train.targets is not None
    assert len(data.train.targets) == len(data.train)
    assert data.pairs is not None
    assert len(data.pairs) == min(256, len(data.heldout))
    paired = opened("builtin:emoji-google", to="builtin:emoji-twitter", targets="paired")
    assert paired.pairs is not None
    assert paired.pairs.names == data.pairs.names
    np.testing.assert_array_equal(paired.pairs.targets, data.pairs.targets)


def test_at_most_256_pairs_evenly_spread(tmp_path: Path, opened: Open) -> None:
    values = np.arange(520, dtype=np.uint16)
    images = np.stack([values // 256, values % 256], 1).astype(np.uint8)[:, None, :].repeat(8, 1).repeat(8, 2)
    split = np.array(["train"] * 8 + ["heldout"] * 512)
    for part in ("train", "test"):
        (tmp_path / "d" / part).mkdir(parents=True)
    for i, (image, part) in enumerate(zip(images, split, strict=True)):
        Image.fromarray(image).save(tmp_path / "d" / ("train" if part == "train" else "test") / f"{i:03}.png")
    data = opened(tmp_path / "d", targets="paired", resolution=8)
    assert data.pairs is not None
    assert data.pairs.names == data.heldout.names[::2]
    assert len(data.pairs) == 256


def test_no_pairs(separate: tuple[Path, Path], tmp_path: Path, opened: Open) -> None:
    a, b = separate
    assert opened(a).pairs is None
    assert opened(a, to=str(b), targets="paired", holdout=0).pairs is None
    for file in b.iterdir():
        file.rename(file.with_name(f"other {file.name}"))
    assert opened(a, to=str(b), targets="unpaired").pairs is None


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["a.png", "x/b.jpg"], [("", "a"), ("", "x/b")]),
        (["root/x/a.png", "root/y/b.jpg"], [("", "x/a"), ("", "y/b")]),
        (["trainA/x/1.png", "testA/x/1.png"], [("train", "x/1"), ("test", "x/1")]),
        (["r/TrainB/1.png", "r/TrainB/2.png"], [("train", "1"), ("train", "2")]),
        (["train/1.png", "val/1.png", "test/1.png"], [("train", "1"), ("val", "1"), ("test", "1")]),
        (["google/1f600", "google/v1.5"], [("", "1f600"), ("", "v1.5")]),
        (["train.png", "1.tar.png"], [("", "train"), ("", "1.tar")]),
        ([], []),
    ],
)
def test_keys(names: list[str], keys: list[tuple[str, str]]) -> None:
    assert pair_keys(names) == keys


# ---------------------------------------------------------------------------------------- what they become


def test_resolution_and_channels(tmp_path: Path, paint: Paint, opened: Open) -> None:
    """A decides the resolution, each its channels; B is padded or resampled as it must be."""
    for i in range(4):
        paint(tmp_path / "a" / f"{i}.png", size=(28, 28), seed=i)
        paint(tmp_path / "b" / f"{i}.png", size=(80, 60), mode="L", seed=10 + i)
        paint(tmp_path / "c" / f"{i}.png", size=(28, 28), mode="L", seed=20 + i)
    far = opened(tmp_path / "a", to=str(tmp_path / "b"), targets="unpaired")
    assert far.spec == Spec(32, 3, 32, 32, target_channels=1)
    assert far.train.targets is not None
    assert far.train.targets.shape == (4, 32, 32, 1)
    for targets in ("paired", "unpaired"):
        near = opened(tmp_path / "a", to=str(tmp_path / "c"), targets=targets)
        assert near.spec == Spec(32, 3, 28, 28, target_channels=1, paired=targets == "paired")
        both = opened(tmp_path / "a", to=str(tmp_path / "c"), targets=targets, channels=4)
        assert (both.spec.channels, both.spec.target_channels) == (4, 4)
    backwards = opened(tmp_path / "b", to=str(tmp_path / "a"), targets="unpaired")
    assert backwards.spec == Spec(32, 1, 32, 32, target_channels=3)


def test_grey_stored_as_colour(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(4):
        paint(tmp_path / "a" / f"{i}.png", mode="L", seed=i)
        Image.open(tmp_path / "a" / f"{i}.png").convert("RGB").save(tmp_path / "a" / f"{i}.png")
        paint(tmp_path / "b" / f"{i}.png", seed=i)
    data = opened(tmp_path / "a", to=str(tmp_path / "b"), targets="paired")
    assert (data.spec.channels, data.spec.target_channels) == (1, 3)
    assert data.train.targets is not None
    assert (data.train.images.shape[-1], data.train.targets.shape[-1]) == (1, 3)
    np.testing.assert_array_equal(
        data.train.images[2, ..., 0], np.asarray(Image.open(tmp_path / "a" / "2.png"))[..., 0]
    )
    np.testing.assert_array_equal(data.train.targets[2], np.asarray(Image.open(tmp_path / "b" / "2.png")))
    backwards = opened(tmp_path / "b", to=str(tmp_path / "a"), targets="unpaired")
    assert (backwards.spec.channels, backwards.spec.target_channels) == (3, 1)


@pytest.mark.parametrize("targets", ["paired", "unpaired"])
def test_expected_before_anything_is_decoded(
    separate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, targets: str
) -> None:
    a, b = separate
    for file in b.iterdir():
        shade(file, 1, mode="L")
    config = DataConfig(source=str(a), to=str(b), targets=targets)

    def object_to(spec: Spec) -> None:
        raise ConfigError(f"{spec.channels} to {spec.target_channels}, {spec.paired}")

    with monkeypatch.context() as patch:
        patch.setattr(pack, "load_square", None)
        with pytest.raises(ConfigError, match=f"3 to 1, {targets == 'paired'}"):
            open_data(config, object_to)
    seen: list[Spec] = []
    dataset = open_data(config, seen.append)
    assert seen[-1] == dataset.spec
    assert all(spec.target_channels for spec in seen)


@pytest.mark.parametrize("targets", ["paired", "unpaired"])
def test_second_open_decodes_nothing(
    folders: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, targets: str
) -> None:
    first = opened(folders, targets=targets)
    monkeypatch.setattr(pack, "load_square", None)
    monkeypatch.setattr(pack, "probe", None)
    second = opened(folders, targets=targets)
    assert (second.fingerprint, second.spec) == (first.fingerprint, first.spec)
    assert reds(second.train.targets) == reds(first.train.targets)
    assert reds(second.train.images) == reds(first.train.images)


def test_a_changed_target_is_packed_again(separate: tuple[Path, Path], opened: Open) -> None:
    a, b = separate
    seen = []
    for value in (7, 8):
        os.utime(shade(b / "00.bmp", value), ns=(0, value))
        for targets in ("paired", "unpaired"):
            data = opened(a, to=str(b), targets=targets, holdout=0)
            assert value in reds(data.train.targets)
            seen.append(data.fingerprint)
    assert len(set(seen)) == 4


@pytest.mark.parametrize("damage", ["zeros", "missing"])
def test_damaged_targets_are_packed_again(folders: Path, opened: Open, cache: Path, damage: str) -> None:
    before = reds(opened(folders, targets="paired").train.targets)
    [file] = (cache / "data").glob("*/targets.u8")
    if damage == "zeros":
        file.write_bytes(bytes(file.stat().st_size))
    else:
        file.unlink()
    assert reds(opened(folders, targets="paired").train.targets) == before


def test_maps_can_be_gathered_from_without_a_copy(folders: Path, opened: Open) -> None:
    split = opened(folders, targets="paired").heldout
    assert split.targets is not None
    for images in (split.images, split.targets):
        assert images.flags.c_contiguous
        assert not images.flags.writeable


# --------------------------------------------------------------------------------------------------- no leaks


def test_nothing_held_out_is_in_training(separate: tuple[Path, Path], halves: Path, opened: Open) -> None:
    a, b = separate
    for data in (opened(a, to=str(b), targets="paired", holdout=0.3), opened(halves, targets="paired", holdout=0.3)):
        assert not set(reds(data.train.targets)) & set(reds(data.heldout.targets))
        assert sorted(reds(data.train.images) + reds(data.heldout.images)) == list(range(24))
        assert sorted(reds(data.train.targets) + reds(data.heldout.targets)) == list(range(100, 124))


# ----------------------------------------------------------------------------------------------------- broken


@pytest.mark.parametrize(("side", "name"), [(0, "05.png"), (1, "05.bmp")])
@pytest.mark.parametrize("content", [b"nothing", None])
def test_a_broken_image_takes_its_partner_out(
    separate: tuple[Path, Path],
    opened: Open,
    caplog: pytest.LogCaptureFixture,
    side: int,
    name: str,
    content: bytes | None,
) -> None:
    broken = separate[side] / name
    # A bitmap cut in its pixels, or a PNG in its data: the header is whole.
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).save(broken)
    broken.write_bytes(broken.read_bytes()[:300] if content is None else content)
    with caplog.at_level(logging.WARNING, "gansmith"):
        data = opened(separate[0], to=str(separate[1]), targets="paired")
    assert data.skipped == (name,)
    assert f"skipped 1 broken: {name}: " in caplog.text
    assert {**matched(data.train), **matched(data.heldout)} == {
        f"{i:02}.png": (i, 100 + i) for i in range(24) if i != 5
    }
    assert data.train.targets is not None
    assert 105 not in reds(data.train.targets)


def test_broken_images_of_either_kind_unpaired(separate: tuple[Path, Path], opened: Open) -> None:
    (separate[0] / "05.png").write_bytes(b"nothing")
    (separate[1] / "07.bmp").write_bytes(b"nothing")
    data = opened(separate[0], to=str(separate[1]), targets="unpaired", holdout=0)
    assert data.skipped == ("05.png", "07.bmp")
    assert 105 in reds(data.train.targets)


# ------------------------------------------------------------------------------------------------------ tiles


def test_tiles_of_pairs_are_cut_alike(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(3):
        paint(tmp_path / "a" / f"{i}.png", size=(50, 35), seed=i)
        with Image.open(tmp_path / "a" / f"{i}.png") as image:
            pixels = np.asarray(image).copy()
        other = 255 - pixels
        other[16:, 30:] = 5  # square 005 is flat in B alone, 000 in A alone
        pixels[:17, :17] = 77
        Image.fromarray(pixels).save(tmp_path / "a" / f"{i}.png")
        (tmp_path / "b").mkdir(exist_ok=True)
        Image.fromarray(other).save(tmp_path / "b" / f"{i}.bmp")
    data = opened(tmp_path / "a", to=str(tmp_path / "b"), targets="paired", fit="tiles", resolution=16, holdout=0)
    assert data.train.targets is not None
    assert data.train.names == tuple(f"{i}.png#00{number}" for i in range(3) for number in range(1, 6))
    for name, image, target in zip(data.train.names, data.train.images, data.train.targets, strict=True):
        number = int(name.split("#")[1])
        top, left = 1 + 16 * (number // 3), 1 + 16 * (number % 3)
        for kind, suffix, square in (("a", "png", image), ("b", "bmp", target)):
            original = np.asarray(Image.open(tmp_path / kind / f"{name[0]}.{suffix}").copy())
            np.testing.assert_array_equal(square, original[top : top + 16, left : left + 16])


def test_tiles_of_unpaired_images_are_cut_each_by_itself(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(3):
        paint(tmp_path / "a" / f"{i}.png", size=(130, 64), seed=i)
        paint(tmp_path / "b" / f"{i}.png", size=(64, 200), seed=i)
    data = opened(tmp_path / "a", to=str(tmp_path / "b"), targets="unpaired", fit="tiles", holdout=0.5)
    assert data.train.targets is not None
    assert data.spec.resolution == 64
    assert len(data.train) + len(data.heldout) == 6
    assert len(data.train.targets) % 3 == 0
    assert data.pairs is None


# -------------------------------------------------------------------------------------------------- bad input


def test_another_kind_for_a_family_that_has_none(separate: tuple[Path, Path], opened: Open) -> None:
    with pytest.raises(ConfigError, match=r"--to\): this family has no second kind of images; .* cyclegan, pix2pix"):
        opened(separate[0], to=str(separate[1]))


def test_images_without_partners(separate: tuple[Path, Path], opened: Open) -> None:
    a, b = separate
    for name in ("03.png", "04.png"):
        (a / name).unlink()
    (b / "09.bmp").unlink()
    message = (
        r"a: images have no partner of the same name: 1 of a, such as '09.png' and 2 of b, such as '03.bmp'; .*cyclegan"
    )
    with pytest.raises(DataError, match=message):
        opened(a, to=str(b), targets="paired")
    assert len(opened(a, to=str(b), targets="unpaired", holdout=0).train) == 22


def test_partners_are_not_across_splits(folders: Path, opened: Open) -> None:
    (folders / "testB" / "2.png").rename(folders / "testB" / "7.png")
    with pytest.raises(DataError, match=r"1 of ab, such as 'testA/2.png' and 1 of ab, such as 'testB/7.png'"):
        opened(folders, targets="paired")


@pytest.mark.parametrize("side", [0, 1])
def test_two_images_of_one_name(separate: tuple[Path, Path], opened: Open, side: int) -> None:
    shade(separate[side] / "07.jpg", 1)
    own = ("07.png", "07.bmp")[side]
    names = " and ".join(map(repr, sorted(["07.jpg", own])))
    with pytest.raises(DataError, match=f"{'ab'[side]}: {names} would have the same partner; rename or remove one"):
        opened(separate[0], to=str(separate[1]), targets="paired")


def test_pairs_of_two_sizes(separate: tuple[Path, Path], opened: Open) -> None:
    shade(separate[1] / "07.bmp", 1, size=(16, 17))
    with pytest.raises(DataError, match=r"a: '07.png' is 16x16 and '07.bmp' is 16x17, but they are a pair"):
        opened(separate[0], to=str(separate[1]), targets="paired")


def test_sizes_of_pairs_are_compared_as_seen(tmp_path: Path, opened: Open) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        shade(tmp_path / "a" / f"{i}.png", 200, size=(32, 20))
        (tmp_path / "b").mkdir(exist_ok=True)
        Image.new("RGB", (20, 32)).save(tmp_path / "b" / f"{i}.jpg", exif=exif)
    assert len(opened(tmp_path / "a", to=str(tmp_path / "b"), targets="paired").train) == 3


@pytest.mark.parametrize("targets", ["paired", "unpaired"])
def test_no_second_kind(photos: Path, opened: Open, cache: Path, targets: str) -> None:
    with pytest.raises(
        DataError,
        match=r"photos: no second kind of images: .*--to.* trainA and trainB, or side by side .*'00.png' is 32x32",
    ):
        opened(photos, targets=targets)
    assert not list((cache / "data").iterdir())


def test_one_image_is_not_side_by_side(halves: Path, opened: Open) -> None:
    shade(halves / "30.png", 1, size=(33, 16))
    shade(halves / "31.png", 1, size=(16, 16))
    with pytest.raises(DataError, match=r"halves: 2 of 26 images are not two side by side.* such as '30.png', 33x16"):
        opened(halves, targets="paired")


@pytest.mark.parametrize(("gone", "left"), [("A", "B"), ("B", "A")])
def test_one_folder_of_two(folders: Path, opened: Open, gone: str, left: str) -> None:
    for part in ("train", "test"):
        for file in (folders / f"{part}{gone}").iterdir():
            file.unlink()
    with pytest.raises(DataError, match=rf"ab: no images in train{gone}, but in 'test{left}/0.png'"):
        opened(folders, targets="unpaired")
    for file in (folders / f"test{left}").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=rf"ab: no images in train{gone}, but in 'train{left}/0.png'"):
        opened(folders, targets="paired")


@pytest.mark.parametrize("stray", ["x.png", "valA/x.png"])
def test_a_stray_image(folders: Path, opened: Open, stray: str) -> None:
    shade(folders / stray, 1)
    with pytest.raises(DataError, match=f"ab: '{stray}' is in none of the folders trainA, trainB, testA and testB"):
        opened(folders, targets="unpaired")


def test_without_test_folders_the_split_is_by_name(folders: Path, opened: Open) -> None:
    for part in ("testA", "testB"):
        for file in (folders / part).iterdir():
            file.unlink()
    for targets in ("paired", "unpaired"):
        data = opened(folders, targets=targets)
        assert len(data.heldout) >= 1
        assert len(data.train) + len(data.heldout) == 12


def test_an_empty_folder_is_named(separate: tuple[Path, Path], tmp_path: Path, opened: Open) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no images in this folder or below it; it is empty"):
        opened(separate[0], to=str(tmp_path / "empty"), targets="paired")
    with pytest.raises(DataError, match=r"empty: no images in this folder or below it; it is empty"):
        opened(tmp_path / "empty", to=str(separate[1]), targets="unpaired")
    with pytest.raises(DataError, match=r"data.to: no such file or folder: .*emptyy'; did you mean .*empty\?"):
        opened(separate[0], to=str(tmp_path / "emptyy"), targets="unpaired")


def test_a_bad_second_kind_is_found_before_the_first_is_decoded(
    separate: tuple[Path, Path], opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in sorted(separate[1].iterdir())[1:]:
        file.unlink()
    monkeypatch.setattr(pack, "load_square", None)
    with pytest.raises(DataError, match="b: 1 usable image to train on; at least 2 are needed"):
        opened(separate[0], to=str(separate[1]), targets="unpaired")

"""Decoded once, opened ever after; never half written, never trusted when damaged."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.core.spec import Spec
from gansmith.data import Dataset, open_data, pack, store

Open = Callable[..., Dataset]
Paint = Callable[..., Path]


def forbid(*_: object) -> None:
    raise AssertionError("decoded again")


def test_second_open_decodes_nothing(photos: Path, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(photos)
    monkeypatch.setattr(pack, "load_square", forbid)
    monkeypatch.setattr(pack, "probe", forbid)
    second = opened(photos)
    assert second.fingerprint == first.fingerprint
    assert second.spec == first.spec
    assert second.train.names == first.train.names
    np.testing.assert_array_equal(second.train.images, first.train.images)


def test_an_objection_comes_before_anything_is_decoded(
    photos: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the headers alone, and again where the images are packed already."""

    def object_to(spec: Spec) -> None:
        raise ConfigError(f"not at {spec.resolution}")

    config = DataConfig(source=str(photos))
    with monkeypatch.context() as patch:
        patch.setattr(pack, "load_square", forbid)
        with pytest.raises(ConfigError, match="not at 32"):
            open_data(config, object_to)
    seen: list[Spec] = []
    dataset = open_data(config, seen.append)
    assert seen[-1] == dataset.spec
    with pytest.raises(ConfigError, match="not at 32"):
        open_data(config, object_to)


def test_fingerprint_follows_files_and_settings(photos: Path, paint: Paint, opened: Open) -> None:
    seen = [
        opened(photos).fingerprint,
        opened(photos, resolution=16).fingerprint,
        opened(photos, holdout=0).fingerprint,
    ]
    paint(photos / "00.png", seed=99)
    os.utime(photos / "00.png", ns=(0, 12345))
    seen.append(opened(photos).fingerprint)
    paint(photos / "new.png", seed=100)
    seen.append(opened(photos).fingerprint)
    assert len(set(seen)) == len(seen)


def truncate(entry: Path) -> None:
    os.truncate(entry / "images.u8", 1000)


def overwrite(entry: Path) -> None:
    size = (entry / "images.u8").stat().st_size
    (entry / "images.u8").write_bytes(bytes(size))


def cut_index(entry: Path) -> None:
    os.truncate(entry / "index.json", 50)


def edit_index(entry: Path) -> None:
    record = json.loads((entry / "index.json").read_text())
    record["index"]["train"] += 1
    (entry / "index.json").write_text(json.dumps(record))


def empty_index(entry: Path) -> None:
    (entry / "index.json").write_text("[]")


@pytest.mark.parametrize("damage", [truncate, overwrite, cut_index, edit_index, empty_index])
def test_damaged_entries_are_packed_again(
    photos: Path, opened: Open, cache: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    before = np.array(opened(photos).train.images)
    entry = next((cache / "data").iterdir())
    damage(entry)
    np.testing.assert_array_equal(opened(photos).train.images, before)
    assert "packed data are damaged" in caplog.text
    assert [path.name for path in (cache / "data").iterdir()] == [entry.name]


@pytest.mark.parametrize("missing", ["images.u8", "index.json"])
def test_half_an_entry_is_packed_again(photos: Path, opened: Open, cache: Path, missing: str) -> None:
    opened(photos)
    (next((cache / "data").iterdir()) / missing).unlink()
    assert len(opened(photos).train) > 0


def test_full_disk(photos: Path, opened: Open, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_json", full)
    with pytest.raises(
        GansmithError, match=r"cache.data.*No space left on device; make room, or set GANSMITH_CACHE"
    ) as caught:
        opened(photos)
    assert caught.value.exit_code == 1
    assert not list((cache / "data").iterdir())


def test_cache_that_cannot_be_made(photos: Path, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "file"))
    with pytest.raises(GansmithError, match=r"file/data.*set GANSMITH_CACHE"):
        opened(photos)


def test_interrupted_packing_leaves_nothing(
    photos: Path, opened: Open, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pack, "_index", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(photos)
    assert not list((cache / "data").iterdir())


def test_leftovers_of_killed_writers_are_swept(photos: Path, opened: Open, cache: Path) -> None:
    old, new = cache / "data" / ".writing-old", cache / "data" / ".writing-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, time.time() - 2 * 24 * 3600))
    opened(photos)
    assert (old.exists(), new.exists()) == (False, True)


def test_writers_at_the_same_time(photos: Path, cache: Path) -> None:
    program = (
        "import sys; from gansmith.core.config import DataConfig; from gansmith.data import open_data;"
        "print(int(open_data(DataConfig(source=sys.argv[1])).train.images.sum()))"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(photos)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate(timeout=60)[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)
    assert len(list((cache / "data").iterdir())) == 1


def test_broken_files_are_skipped_and_named(photos: Path, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "03.png").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "gansmith"):
        data = opened(photos)
    assert data.skipped == ("03.png",)
    assert len(data.train) + len(data.heldout) == 23
    assert "skipped 1 broken: 03.png: not an image that Pillow can identify" in caplog.text
    assert opened(photos).skipped == data.skipped


def test_truncated_files_are_skipped(photos: Path, opened: Open) -> None:
    content = (photos / "03.png").read_bytes()
    (photos / "03.png").write_bytes(content[: len(content) // 2])
    data = opened(photos)
    assert data.skipped == ("03.png",)
    assert len({pixels.tobytes() for pixels in np.concatenate([data.train.images, data.heldout.images])}) == 23


def test_more_files_leave_the_split_in_place(photos: Path, paint: Paint, opened: Open) -> None:
    before = opened(photos, holdout=0.3)
    for i in range(20):
        paint(photos / f"more-{i}.png", seed=1000 + i)
    after = opened(photos, holdout=0.3)
    assert set(before.train.names) <= set(after.train.names)
    assert set(before.heldout.names) <= set(after.heldout.names)


def test_the_only_held_out_image_is_broken(photos: Path, opened: Open) -> None:
    [only] = opened(photos, holdout=1e-6).heldout.names
    content = (photos / only).read_bytes()
    (photos / only).write_bytes(content[: len(content) // 2])
    data = opened(photos, holdout=1e-6)
    assert len(data.heldout) == 1
    assert data.skipped == (only,)


def test_few_images_are_all_trained_on(tmp_path: Path, paint: Paint, opened: Open) -> None:
    for i in range(9):
        paint(tmp_path / "d" / f"{i}.png", seed=i)
    data = opened(tmp_path / "d", holdout=0.5)
    assert (len(data.train), data.heldout.images.shape) == (9, (0, 32, 32, 3))


def test_leaks_are_noted(tmp_path: Path, paint: Paint, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a", "train/b", "test/a"):
        paint(tmp_path / "d" / f"{name}.png", seed=ord(name[-1]))
    opened(tmp_path / "d")
    assert "1 of 1 held-out images also occur in the training images" in caplog.text


def test_duplicates_are_dropped_where_that_is_asked(tmp_path: Path, paint: Paint, opened: Open) -> None:
    """Of every content one, in training before held out; the same content in another class is another image."""
    for name in ("train/cat/a", "train/cat/b", "train/dog/a", "test/cat/a", "test/dog/b"):
        paint(tmp_path / "d" / f"{name}.png", seed=ord(name[-1]))
    paint(tmp_path / "d" / "train/cat/copy.png", seed=ord("b"))
    assert (len(opened(tmp_path / "d").train), len(opened(tmp_path / "d").heldout)) == (4, 2)
    data = opened(tmp_path / "d", duplicates="drop")
    assert [Path(name).stem for name in data.train.names] == ["a", "b", "a"]
    assert data.train.labels is not None
    assert data.train.labels.tolist() == [0, 0, 1]
    assert [Path(name).stem for name in data.heldout.names] == ["b"]
    assert len(np.unique(data.train.images[:2], axis=0)) == 2


def test_importing_the_room_needs_no_torch() -> None:
    program = "import sys, gansmith.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_public_way_in(photos: Path) -> None:
    assert isinstance(open_data(DataConfig(source=str(photos))), Dataset)

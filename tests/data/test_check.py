"""`check_data` finds what is wrong, and says what kind of wrong."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from gansmith.core.errors import DataError
from gansmith.data import check_data

Paint = Callable[..., Path]


def test_clean(photos: Path) -> None:
    report = check_data(str(photos))
    assert report.clean
    assert report.images == sum(report.splits.values()) == 24
    assert report.sizes == {"32x32": 24}
    assert report.modes == {"RGB": 24}


def test_every_fault(photos: Path, paint: Paint, cache: Path) -> None:
    (photos / "00.png").write_bytes(b"nothing")
    content = (photos / "01.png").read_bytes()
    (photos / "01.png").write_bytes(content[: len(content) // 2])
    header = struct.pack(">II", 50000, 50000) + content[24:29]
    bomb = content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:]
    (photos / "02.png").write_bytes(bomb)
    shutil.copy(photos / "03.png", photos / "copy of 03.png")
    paint(photos / "small.png", size=(20, 10), mode="L")
    report = check_data(str(photos))
    assert [fault.name for fault in report.unreadable] == ["00.png"]
    assert [fault.name for fault in report.truncated] == ["01.png"]
    assert [fault.name for fault in report.bombs] == ["02.png"]
    assert report.duplicates == [["03.png", "copy of 03.png"]]
    assert (report.broken, report.clean, report.images) == (3, False, 26)
    assert report.sizes == {"32x32": 22, "20x10": 1}
    assert report.modes == {"RGB": 22, "L": 1}
    assert json.loads(json.dumps(report.to_json()))["truncated"][0]["name"] == "01.png"
    assert not cache.exists()


def test_leaks_across_the_split(tmp_path: Path, paint: Paint) -> None:
    for name in ("train/a/1", "train/b/2", "test/a/1"):
        paint(tmp_path / "d" / f"{name}.png", seed=ord(name[-1]))
    report = check_data(str(tmp_path / "d"))
    assert report.leaks == [["test/a/1.png", "train/a/1.png"]]
    assert report.splits == {"train": 2, "heldout": 1}
    assert report.classes == {"a": 2, "b": 1}


def test_builtin_data_are_clean() -> None:
    report = check_data("builtin:emoji-google")
    assert (report.broken, report.leaks, report.captions) == (0, [], 1906)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        check_data(str(tmp_path / "none"))

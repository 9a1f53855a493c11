"""Images decoded once into a packed file, and opened from there.

A cache entry is a folder ``<cache>/data/<fingerprint>/`` of files:

- ``images.u8``: uint8, row after row, the training images first; no header, so it is mapped as it is
- ``targets.u8``: where data are paired, what these are to become, in the same order
- ``index.json``: their shape, labels and captions, and a check of all files

It is written aside and renamed into place, so that it is whole or absent, and whoever comes first wins.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.errors import GansmithError
from gansmith.core.paths import cache_dir, write_json
from gansmith.core.spec import Spec

FORMAT = 1
"""Part of every fingerprint: raise it when packed data would come out otherwise."""
FILES = "images.u8", "targets.u8"
"""Of the images, and of their partners."""
_SAMPLED, _BLOCK = 64, 4096
_STALE = 24 * 3600.0
log = logging.getLogger("gansmith")


@dataclass(frozen=True)
class Index:
    """What the packed images are. `train` and `heldout` count them; the rest has a value for each, or is None."""

    spec: Spec
    train: int
    heldout: int
    names: list[str]
    labels: list[int] | None
    captions: list[str] | None
    skipped: list[str]

    @property
    def shapes(self) -> dict[str, tuple[int, int, int, int]]:
        """Of the array in every file."""
        channels = [self.spec.channels, self.spec.target_channels] if self.spec.paired else [self.spec.channels]
        count, side = self.train + self.heldout, self.spec.resolution
        return {file: (count, side, side, number) for file, number in zip(FILES, channels, strict=False)}


@dataclass(frozen=True)
class Packed:
    """Packed data, read-only: `images`, uint8 (N, R, R, C), what they are, and of paired data `targets`, as many."""

    images: np.ndarray
    targets: np.ndarray | None
    index: Index


def fingerprint(*what: Any) -> str:
    """A name for data: the same for the same JSON, and for nothing else."""
    content = json.dumps([FORMAT, *what], ensure_ascii=True, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def open_packed(key: str, pack: Callable[[Path], Index]) -> Packed:
    """Open the entry `key`, made first by `pack` if there is none or it is damaged.

    Args:
        key: its fingerprint.
        pack: writes the images' files into the folder that it is given, and returns the index.

    Raises:
        GansmithError: the cache folder cannot be written.
    """
    folder = cache_dir() / "data" / key
    packed = _read(folder)
    if packed is None:
        _make(folder, pack)
        packed = _read(folder)
    if packed is None:
        raise GansmithError(
            f"{folder}: packed data cannot be read back; check the disk, or set GANSMITH_CACHE elsewhere"
        )
    return packed


def _make(folder: Path, pack: Callable[[Path], Index]) -> None:
    aside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".writing-"))
        _write_index(aside, pack(aside))
        _install(aside, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise GansmithError(
            f"{folder}: cannot write packed data: {reason}; make room, or set GANSMITH_CACHE to another folder"
        ) from error
    finally:
        if aside:
            shutil.rmtree(aside, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what writers that were killed left behind, once no living one can be as old."""
    for aside in parent.glob(".writing-*"):
        with suppress(OSError):
            if time.time() - aside.stat().st_mtime > _STALE:
                shutil.rmtree(aside, ignore_errors=True)


def _write_index(aside: Path, index: Index) -> None:
    for name in index.shapes:
        with (aside / name).open("rb+") as file:
            os.fsync(file.fileno())
    record = asdict(index) | {"spec": index.spec.to_json()}
    write_json(aside / "index.json", {"check": _check(record, aside, index.shapes), "index": record})


def _install(aside: Path, folder: Path) -> None:
    try:
        aside.rename(folder)
    except OSError:
        # Something is there: another process was first, or what is there is damaged.
        if _read(folder) is None:
            folder.rename(aside.with_name(aside.name + "-old"))
            aside.rename(folder)
            shutil.rmtree(aside.with_name(aside.name + "-old"), ignore_errors=True)


def _read(folder: Path) -> Packed | None:
    """The entry, or None if it is not there or not whole."""
    try:
        content = json.loads((folder / "index.json").read_bytes())
        record = content["index"]
        index = Index(**(record | {"spec": Spec.from_json(record["spec"])}))
        if content["check"] != _check(record, folder, index.shapes):
            raise ValueError("its check differs")
        maps = [np.memmap(folder / name, np.uint8, "r", shape=shape) for name, shape in index.shapes.items()]
        return Packed(maps[0], maps[1] if index.spec.paired else None, index)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s: packed data are damaged (%s); packing again", folder, error)
        return None


def _check(record: dict[str, Any], folder: Path, names: Iterable[str]) -> str:
    """A digest of the index, and of each file's size and 64 blocks spread over it.

    Reading all would make the second start slow; a cut, or blocks never written before a crash, shows in the sample.
    """
    digest = hashlib.blake2b(json.dumps(record).encode(), digest_size=16)
    for name in names:
        size = (folder / name).stat().st_size
        digest.update(str(size).encode())
        with (folder / name).open("rb") as file:
            for i in range(_SAMPLED):
                file.seek(max(size - _BLOCK, 0) * i // (_SAMPLED - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()

"""IDX files, the format of MNIST (http://yann.lecun.com/exdb/mnist/), plain or gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.entries import Entry, Listing, Source, SplitName, file_stamp
from gansmith.data.sources.arrays import array_listing

FASHION_MNIST = "fashion-mnist"
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FASHION = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
FASHION_CLASSES = tuple(_FASHION.split(", "))
_PARTS: dict[str, SplitName] = {"train": "train", "t10k": "heldout"}
_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class Part:
    """The images file of a split, and its labels file."""

    images: Path
    labels: Path | None


def fashion_mnist_source() -> Source:
    """Fashion-MNIST as Debian packages it. Raises DataError with the command that installs it."""
    source = idx_folder_source(FASHION_FOLDER, FASHION_CLASSES) if FASHION_FOLDER.is_dir() else None
    if source is None:
        raise DataError(
            f"data.source: {FASHION_MNIST}: nothing in {FASHION_FOLDER}; run: apt install dataset-fashion-mnist "
            "(or use builtin:fashion, 12,000 of its images)"
        )
    return source


def idx_folder_source(folder: Path, classes: tuple[str, ...] = ()) -> Source | None:
    """A folder with files named as MNIST's are, or None if it is no such folder; t10k is the held-out split."""
    parts: dict[SplitName | None, Part] = {
        split: Part(images, _find(folder, f"{name}-labels", "idx1-ubyte"))
        for name, split in _PARTS.items()
        if (images := _find(folder, f"{name}-images", "idx3-ubyte"))
    }
    return _source(folder.resolve().name, parts, classes) if "train" in parts else None


def idx_file_source(path: Path) -> Source:
    """A single images file; its labels are not looked for."""
    return _source(path.name, {None: Part(path, None)}, ())


def is_idx(path: Path) -> bool:
    """Whether a file is IDX by its name, or by its first bytes."""
    if "ubyte" in path.name or path.suffix == ".idx" or path.name.endswith(".idx.gz"):
        return True
    try:
        with _opener(path)(path, "rb") as file:
            start = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return start[:3] == bytes((0, 0, _UNSIGNED_BYTE)) and start[3:4] in (b"\x03", b"\x04")


def read_idx(path: Path) -> np.ndarray:
    """Read a file of unsigned bytes. Raises DataError if it is damaged, or holds something else."""
    try:
        with _opener(path)(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes: it begins with {content[:4].hex(' ') or 'nothing'}"
        )
    start = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist()) if len(content) >= start else (0,)
    values = np.frombuffer(content, np.uint8, offset=min(start, len(content)))
    # Python integers, so that a damaged header cannot overflow the product.
    expected = 1
    for length in shape:
        expected *= length
    if len(content) < start or len(values) != expected:
        raise DataError(f"{path}: truncated: the header says {shape}, and {len(values)} bytes follow; copy it again")
    return values.reshape(shape)


def _opener(path: Path) -> Any:
    return gzip.open if path.suffix == ".gz" else open


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    names = (f"{stem}{dash}{kind}{gz}" for dash in "-." for gz in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _source(name: str, parts: Mapping[SplitName | None, Part], classes: tuple[str, ...]) -> Source:
    files = [file for part in parts.values() for file in (part.images, part.labels) if file]
    stamp = ["idx", list(classes), *(file_stamp(file) for file in files)]
    return Source(name, stamp, partial(_open, parts, classes))


@contextmanager
def _open(parts: Mapping[SplitName | None, Part], classes: tuple[str, ...]) -> Iterator[Listing]:
    entries: list[Entry] = []
    for split, part in parts.items():
        labels = read_idx(part.labels) if part.labels else None
        if labels is not None and classes:
            labels = np.array(classes)[labels]
        found = array_listing(str(part.images), read_idx(part.images), labels).entries
        prefix = f"{split}/" if split else ""
        entries += [replace(entry, name=prefix + entry.name, split=split) for entry in found]
    if len(parts) == 1:
        entries = [replace(entry, split=None) for entry in entries]
    yield Listing(entries, classes)

"""A folder of images, read recursively."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError
from gansmith.data.entries import Listing, Source
from gansmith.data.layout import is_image, place_images, wanted


@dataclass(frozen=True)
class Found:
    """A file below the folder: its name relative to it, size in bytes and time of change in nanoseconds."""

    name: str
    size: int
    changed: int


def folder_source(folder: Path) -> Source:
    """The images below `folder`. Raises DataError if there are none, saying what is there instead."""
    files = list(scan(folder))
    found = sorted((file for file in files if wanted(file.name)), key=lambda file: file.name)
    if not any(is_image(file.name) for file in found):
        raise DataError(f"{folder}: no images in this folder or below it; {_instead(files)}")
    stamp: list[Any] = [str(folder.resolve()), [[file.name, file.size, file.changed] for file in found]]
    return Source(folder.resolve().name or str(folder), stamp, partial(_open, folder, [file.name for file in found]))


def scan(folder: Path) -> Iterator[Found]:
    """All files below `folder`; follows links to folders, each folder once.

    Raises:
        DataError: a folder cannot be read.
    """
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        here = os.path.realpath(root)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        below = Path(root).relative_to(folder).as_posix()
        prefix = "" if below == "." else below + "/"
        for file in files:
            try:
                state = os.stat(os.path.join(root, file))
            except OSError:
                # A dangling link: listed with no size, so that it is counted among the broken and named.
                yield Found(prefix + file, -1, 0)
            else:
                yield Found(prefix + file, state.st_size, state.st_mtime_ns)


@contextmanager
def _open(folder: Path, names: Sequence[str]) -> Iterator[Listing]:
    images = [name for name in names if is_image(name)]
    tables = {name: _content(folder / name) for name in names if not is_image(name)}
    yield place_images(str(folder), {name: partial(Path, folder, name) for name in images}, tables)


def _content(table: Path) -> bytes:
    try:
        return table.read_bytes()
    except OSError as error:
        raise DataError(f"{table}: {error.strerror or error}") from None


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot read this folder: {error.strerror}") from None


def _instead(files: Sequence[Found]) -> str:
    kinds = Counter(Path(file.name).suffix or "no suffix" for file in files).most_common(3)
    return "files there: " + ", ".join(f"{count} of {kind}" for kind, count in kinds) if kinds else "it is empty"

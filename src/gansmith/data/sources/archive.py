"""A zip or tar file of a folder. Members are read in memory; nothing is ever extracted, so no name can lead outside."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, Any

from gansmith.core.errors import DataError
from gansmith.data.entries import Listing, Source, file_stamp
from gansmith.data.layout import is_image, place_images, wanted

_LARGEST_MEMBER = 1 << 29
"""Bytes. Above any image that Pillow's own limit on pixels lets through (179 million, 3 bytes each)."""
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_OPENERS: dict[str, Any] = {
    **dict.fromkeys((".gz", ".tgz"), gzip.open),
    **dict.fromkeys((".bz2", ".tbz2"), bz2.open),
    **dict.fromkeys((".xz", ".txz"), lzma.open),
}
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, lzma.LZMAError, EOFError, OSError)


def is_tar(name: str) -> bool:
    return name.lower().endswith(_TARS)


def zip_source(path: Path) -> Source:
    return Source(path.name, ["zip", *file_stamp(path)], partial(_open_zip, path))


def tar_source(path: Path) -> Source:
    return Source(path.name, ["tar", *file_stamp(path)], partial(_open_tar, path))


@contextmanager
def _open_zip(path: Path) -> Iterator[Listing]:
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise DataError(f"{path}: not a readable zip file: {error}") from None
    with archive:
        infos = {info.filename: info for info in archive.infolist() if wanted(info.filename)}
        yield _listing(path, {name: partial(_zip_member, archive, info) for name, info in infos.items()})


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _check_size(info.file_size)
    return archive.read(info)


@contextmanager
def _open_tar(path: Path) -> Iterator[Listing]:
    """Compressed tar files cannot be read out of order, so they are first expanded to an unnamed temporary file."""
    with tempfile.TemporaryFile() as expanded:
        try:
            _expand(path, expanded)
            with tarfile.open(fileobj=expanded, mode="r:") as archive:
                infos = {info.name.removeprefix("./"): info for info in archive if info.isreg() and not info.issparse()}
        except _DAMAGED as error:
            raise DataError(f"{path}: not a readable tar file: {error}") from None
        lock = Lock()
        yield _listing(
            path, {name: partial(_tar_member, expanded, lock, info) for name, info in infos.items() if wanted(name)}
        )


def _expand(path: Path, expanded: IO[bytes]) -> None:
    opener = _OPENERS.get(path.suffix.lower(), open)
    with opener(path, "rb") as file:
        shutil.copyfileobj(file, expanded, 1 << 20)
    expanded.seek(0)


def _tar_member(expanded: IO[bytes], lock: Lock, info: tarfile.TarInfo) -> bytes:
    _check_size(info.size)
    with lock:
        expanded.seek(info.offset_data)
        return expanded.read(info.size)


def _check_size(size: int) -> None:
    if size > _LARGEST_MEMBER:
        raise ValueError(f"decompression bomb: {size} bytes in the archive, more than any image needs")


def _listing(path: Path, members: Mapping[str, Callable[[], bytes]]) -> Listing:
    images = sorted(filter(is_image, members))
    if not images:
        raise DataError(f"{path}: no images in this archive")
    try:
        tables = {name: members[name]() for name in members if not is_image(name)}
    except (*_DAMAGED, ValueError, RuntimeError) as error:
        raise DataError(f"{path}: metadata table: {error}") from None
    return place_images(str(path), {name: members[name] for name in images}, tables)

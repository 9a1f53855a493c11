"""Where images come from, one file a kind. `find_source` turns what the user wrote into a `Source`."""

from __future__ import annotations

import difflib
from contextlib import suppress
from itertools import islice
from pathlib import Path

from gansmith.core.errors import DataError
from gansmith.data.entries import Source
from gansmith.data.layout import is_image
from gansmith.data.sources.archive import is_tar, tar_source, zip_source
from gansmith.data.sources.arrays import array_source
from gansmith.data.sources.builtin import BUILTIN, builtin_source
from gansmith.data.sources.folder import folder_source
from gansmith.data.sources.hub import hub_source
from gansmith.data.sources.idx import FASHION_MNIST, fashion_mnist_source, idx_file_source, idx_folder_source, is_idx

KINDS = "a folder of images, or a .zip, .tar, .tar.gz, .npy, .npz or IDX file"

_SIBLINGS = 1000
"""Names beside a path that is not there, to guess from; comparing many more takes seconds."""


def find_source(source: str) -> Source:
    """Find the data that `source` names (see `DataConfig.source`).

    Raises:
        DataError: there is nothing, or nothing that we read.
        MissingExtra: it needs a package that is not installed.
    """
    if source.startswith("builtin:"):
        return builtin_source(source)
    if source.startswith("hf:"):
        return hub_source(source)
    path = Path(source).expanduser()
    if source == FASHION_MNIST and not path.exists():
        return fashion_mnist_source()
    try:
        exists = bool(source) and path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"data.source: {source[:80]!r}: {error}") from None
    if not exists:
        raise DataError(_not_found(source, path))
    return _folder(path) if path.is_dir() else _file(path)


def _folder(path: Path) -> Source:
    return idx_folder_source(path) or folder_source(path)


def _file(path: Path) -> Source:
    name = path.name.lower()
    if name.endswith(".zip"):
        return zip_source(path)
    if is_tar(name):
        return tar_source(path)
    if name.endswith((".npy", ".npz")):
        return array_source(path)
    if is_image(name):
        raise DataError(f"{path}: a single image; give the folder that it is in, with at least two")
    if is_idx(path):
        return idx_file_source(path)
    raise DataError(f"{path}: not a kind of file that holds images here; expected {KINDS}")


def _not_found(source: str, path: Path) -> str:
    names = [*BUILTIN, FASHION_MNIST]
    with suppress(OSError, ValueError):
        names += [str(path.with_name(entry.name)) for entry in islice(path.parent.iterdir(), _SIBLINGS)]
    close = difflib.get_close_matches(source, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected {KINDS}, or one of {', '.join(BUILTIN)}, hf:NAME"
    return f"data.source: no such file or folder: {source!r}; {hint}"

"""The data sets inside the package."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.entries import Entry, Listing, Source

FOLDER = Path(__file__).parent.parent / "builtin"
_STYLES = {"builtin:emoji": None, "builtin:emoji-google": "google", "builtin:emoji-twitter": "twitter"}
BUILTIN = ("builtin:fashion", *_STYLES)


def builtin_source(source: str) -> Source:
    """`builtin:fashion`, or `builtin:emoji` in both styles or one. Raises DataError if it is another name."""
    if source not in BUILTIN:
        names = [name.removeprefix("builtin:") for name in BUILTIN]
        close = difflib.get_close_matches(source.removeprefix("builtin:"), names, n=1)
        hint = f"did you mean builtin:{close[0]}?" if close else f"there are {', '.join(BUILTIN)}"
        raise DataError(f"data.source: no {source!r}; {hint}")
    path = FOLDER / ("emoji.npz" if source in _STYLES else "fashion.npz")
    # No path and no time: the same data on any machine has the same fingerprint.
    return Source(source, [source, path.stat().st_size], partial(_open, path, _STYLES.get(source)))


@contextmanager
def _open(path: Path, style: str | None) -> Iterator[Listing]:
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files}
    chosen = np.flatnonzero(columns["styles"] == style) if style else np.arange(len(columns["images"]))
    classes = tuple(columns["classes"].tolist())
    yield Listing([_entry(columns, int(i), classes) for i in chosen], classes)


def _entry(columns: dict[str, np.ndarray], i: int, classes: tuple[str, ...]) -> Entry:
    drawn = "codes" in columns
    return Entry(
        name=f"{columns['styles'][i]}/{columns['codes'][i]}" if drawn else f"{i:05}",
        read=partial(columns["images"].__getitem__, i),
        label=classes[columns["labels"][i]],
        caption=str(columns["captions"][i]) if drawn else None,
        split="heldout" if columns["heldout"][i] else "train",
    )

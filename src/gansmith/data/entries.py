"""What every source gives: a name, a stamp that changes with the data, and a listing of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

SplitName = Literal["train", "heldout"]
Half = Literal["left", "right"]
Raw = Path | bytes | np.ndarray
"""An image not decoded yet: a file, a file's content, or pixels, uint8 (H, W) or (H, W, C)."""


@dataclass(frozen=True)
class Entry:
    """One image.

    Attributes:
        name: relative to the source, with forward slashes; decides the held-out split and names the image in messages.
        read: gives the image, undecoded; called from several threads.
        label: name of its class.
        caption: what its metadata say of it.
        split: given by the source, or None to have it chosen.
        half: which half of what is read this image is, where two lie side by side; of the image as seen, upright.
        partner: the image that this one is to become, where data are paired; all images of a listing have one, or none.
    """

    name: str
    read: Callable[[], Raw]
    label: str | None = None
    caption: str | None = None
    split: SplitName | None = None
    half: Half | None = None
    partner: Entry | None = None

    @property
    def parts(self) -> tuple[Entry, ...]:
        """The image, and its partner where it has one."""
        return (self,) if self.partner is None else (self, self.partner)


@dataclass(frozen=True)
class Listing:
    """All images of a source; `classes` in order of their number, which are not always the sorted names."""

    entries: list[Entry]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Attributes:
        name: what to call it in reports.
        stamp: JSON; differs when the data differ. Cheap: names, sizes and times of files, never their content.
        open: the listing; may take long, and may hold files open until its context ends.
    """

    name: str
    stamp: Any
    open: Callable[[], AbstractContextManager[Listing]]


def sorted_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Distinct labels in order: of their value if all are whole numbers (2 before 10), else of their letters."""
    names = set(labels)
    try:
        return tuple(sorted(names, key=int))
    except ValueError:
        return tuple(sorted(names))


def file_stamp(path: Path) -> list[Any]:
    """What identifies the content of a file without reading it."""
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]

"""From a source's listing to a packed file: probe every header, choose the geometry, decode in parallel, write."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.config import DataConfig
from gansmith.core.errors import DataError
from gansmith.core.spec import Spec
from gansmith.data.entries import Entry, Listing, SplitName, sorted_classes
from gansmith.data.geometry import Geometry, Square, check_resolution, choose_geometry, load_square
from gansmith.data.parallel import in_parallel
from gansmith.data.picture import BROKEN, Header, probe
from gansmith.data.split import assign_splits
from gansmith.data.store import Index

_MOST_BROKEN = 0.05
"""Share of broken images above which it is likelier that the source is wrong than that a few files are."""
_ROWS = 4096
log = logging.getLogger("gansmith")


@dataclass(frozen=True)
class Broken:
    """An image that cannot be used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass
class Written:
    """What went into the file, in its order: entries, their splits, and what their pixels turned out to be."""

    entries: list[Entry] = field(default_factory=list)
    splits: list[SplitName] = field(default_factory=list)
    contents: set[tuple[int, int]] = field(default_factory=set)
    grey: bool = True
    leaked: int = 0

    def count(self, split: SplitName) -> int:
        return self.splits.count(split)


def pack(listing: Listing, name: str, config: DataConfig, folder: Path, expect: Callable[[Spec], None]) -> Index:
    """Write the images of `listing` to ``images.u8`` in `folder`.

    Args:
        expect: is given the shape to come, as far as the headers tell it (colour files may all turn out to be grey),
            before anything is decoded.

    Raises:
        ConfigError: the resolution is no power of two.
        DataError: too few images, or too many broken ones; `name` says of what.
    """
    if config.resolution:
        check_resolution(config.resolution)
    entries, headers, broken = _probe_all(listing.entries)
    _check_enough(name, len(entries), broken)
    all_grey = all(header.grey for header in headers)
    geometry = choose_geometry([(header.width, header.height) for header in headers], all_grey, config)
    side = geometry.resolution
    expect(Spec(side, geometry.channels, side, side, _classes(listing, entries)))
    path = folder / "images.u8"
    written = _write(entries, assign_splits(entries, config.holdout), geometry, path, broken)
    if assign_splits(written.entries, config.holdout) != written.splits:
        # The only image held out was broken.
        written = _write(written.entries, assign_splits(written.entries, config.holdout), geometry, path, broken)
    _check_enough(name, written.count("train"), broken)
    if config.channels is None and geometry.channels == 3 and written.grey:
        geometry = _make_grey(path, geometry)
    _report(name, written, broken)
    return _index(listing, written, geometry, broken)


def _probe_all(entries: Sequence[Entry]) -> tuple[list[Entry], list[Header], list[Broken]]:
    """Entries whose header can be read, their headers, and the others."""
    usable, headers, broken = [], [], []
    for entry, header in zip(entries, in_parallel(_probe, entries, "Reading headers"), strict=True):
        if isinstance(header, Broken):
            broken.append(header)
        else:
            usable.append(entry)
            headers.append(header)
    return usable, headers, broken


def _write(
    entries: Sequence[Entry], splits: Sequence[SplitName], geometry: Geometry, path: Path, broken: list[Broken]
) -> Written:
    """Decode and write, training images first; what cannot be decoded is added to `broken`."""
    order = sorted(range(len(entries)), key=lambda i: splits[i] == "heldout")
    squares = in_parallel(partial(_load, geometry=geometry), [entries[i] for i in order], "Decoding images")
    written, trained = Written(), set()
    # Written, not mapped: writing to a map on a full disk kills the process, writing to a file raises OSError.
    with path.open("wb") as file:
        for i, square in zip(order, squares, strict=True):
            if isinstance(square, Broken):
                broken.append(square)
                continue
            content = square.pixels.tobytes()
            file.write(content)
            written.entries.append(entries[i])
            written.splits.append(splits[i])
            written.contents.add(square.content)
            written.grey = written.grey and _is_grey(square.pixels)
            digest = hashlib.blake2b(content, digest_size=8).digest()
            if splits[i] == "train":
                trained.add(digest)
            else:
                written.leaked += digest in trained
    return written


def _probe(entry: Entry) -> Header | Broken:
    try:
        return probe(entry.read())
    except BROKEN as error:
        return Broken(entry.name, describe(error))


def _load(entry: Entry, geometry: Geometry) -> Square | Broken:
    try:
        return load_square(entry.read(), geometry)
    except BROKEN as error:
        return Broken(entry.name, describe(error))


def describe(error: BaseException) -> str:
    """One line on why an image cannot be used; without the path, which is named beside it."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "not an image that Pillow can identify" if "cannot identify" in reason else reason.splitlines()[0][:200]


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., :3] == pixels[..., :1]).all())


def _make_grey(path: Path, geometry: Geometry) -> Geometry:
    """Keep one of three equal channels."""
    side = geometry.resolution
    rows = np.memmap(path, np.uint8, "r").reshape(-1, side, side, 3)
    aside = path.with_suffix(".grey")
    with aside.open("wb") as file:
        for start in range(0, len(rows), _ROWS):
            file.write(rows[start : start + _ROWS, ..., 0].tobytes())
    del rows
    aside.replace(path)
    return Geometry(side, geometry.fit, 1)


def _check_enough(name: str, usable: int, broken: Sequence[Broken]) -> None:
    total = usable + len(broken)
    first = "; ".join(map(str, broken[:3]))
    if len(broken) > _MOST_BROKEN * total:
        raise DataError(
            f"{name}: {len(broken)} of {total} images cannot be read: {first}; "
            "`gansmith data check` lists them all; repair or remove them"
        )
    if usable < 2:
        raise DataError(f"{name}: {usable} usable image{'s' * (usable != 1)} to train on; at least 2 are needed")


def _report(name: str, written: Written, broken: Sequence[Broken]) -> None:
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        log.warning("%s: skipped %d broken: %s%s", name, len(broken), "; ".join(map(str, broken[:3])), more)
    if written.leaked:
        count = written.count("heldout")
        log.warning("%s: %d of %d held-out images also occur in the training images", name, written.leaked, count)


def _classes(listing: Listing, entries: Sequence[Entry]) -> tuple[str, ...]:
    """Names of the classes in order of their number; none unless every image has a label."""
    labels = [entry.label for entry in entries if entry.label is not None]
    return (listing.classes or sorted_classes(labels)) if len(labels) == len(entries) else ()


def _index(listing: Listing, written: Written, geometry: Geometry, broken: Sequence[Broken]) -> Index:
    classes = _classes(listing, written.entries)
    number = {name: i for i, name in enumerate(classes)}
    captions = [entry.caption for entry in written.entries if entry.caption is not None]
    side = geometry.resolution
    height, width = written.contents.pop() if len(written.contents) == 1 else (side, side)
    return Index(
        spec=Spec(side, geometry.channels, height, width, classes),
        train=written.count("train"),
        heldout=written.count("heldout"),
        names=[entry.name for entry in written.entries],
        labels=[number[str(entry.label)] for entry in written.entries] if classes else None,
        captions=captions if len(captions) == len(written.entries) else None,
        skipped=[item.name for item in broken],
    )

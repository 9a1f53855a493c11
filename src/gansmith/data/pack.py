"""From a source's listing to packed files: probe every header, choose the geometry, decode in parallel, write."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.config import DataConfig
from gansmith.core.errors import DataError
from gansmith.core.spec import Spec
from gansmith.data.captions import captioned, check_captions
from gansmith.data.entries import Entry, Listing, SplitName, sorted_classes
from gansmith.data.geometry import Geometry, Square, check_resolution, choose_geometry, load_square
from gansmith.data.parallel import WINDOW, in_parallel
from gansmith.data.picture import BROKEN, Header, load_image, probe
from gansmith.data.split import FEWEST, assign_splits
from gansmith.data.store import FILES, Index
from gansmith.data.tiles import choose_tiles, count_tiles, cut_tiles, tile_name

_MOST_BROKEN = 0.05
"""Share of broken images above which it is likelier that the source is wrong than that a few files are."""
_ROWS = 4096
_UNDER_WAY = 1 << 28
"""Bytes of squares that may wait to be written."""
log = logging.getLogger("gansmith")


@dataclass(frozen=True)
class Broken:
    """An image that cannot be used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class Unusable(Exception):
    """An image is broken: caught where it is left out, with the partner that it may have."""

    def __init__(self, broken: Broken):
        super().__init__(str(broken))
        self.broken = broken


@dataclass(frozen=True)
class Probed:
    """An image, its header, and its partner's header where it has one."""

    entry: Entry
    headers: tuple[Header, ...]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of both, of halves where they are halves."""
        parts = zip(self.entry.parts, self.headers, strict=True)
        return [(header.width // 2 if part.half else header.width, header.height) for part, header in parts]


@dataclass(frozen=True)
class Row:
    """What goes into a row of every file: a square of an image, and the same of its partner where it has one."""

    name: str
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class Plan:
    """What the headers tell of a listing.

    Attributes:
        entries: the usable ones.
        classes: of the listing, in order of their number.
        geometries: of the images, and of their partners where they have some.
        broken: what cannot be used.
        most: squares that an image becomes, at most.
        small: how many images are smaller than a tile.
    """

    entries: list[Entry]
    classes: tuple[str, ...]
    geometries: tuple[Geometry, ...]
    broken: list[Broken]
    most: int = 1
    small: int = 0

    @property
    def window(self) -> int:
        """How many images can be under way at once."""
        bytes_each = self.most * sum(geometry.resolution**2 * geometry.channels for geometry in self.geometries)
        return min(WINDOW, max(1, _UNDER_WAY // bytes_each))


@dataclass
class Written:
    """What went into the files.

    Attributes:
        grey: of every file, whether all its pictures are.
        entries, splits: of the images, in the order of the files.
        names: of the rows.
        owners: of every row, the number of its image.
        contents: sizes (height, width) of the pictures in their squares.
        leaked: held-out rows that are in training, too.
        repeated: rows that were left out, because they were there before.
    """

    grey: list[bool]
    entries: list[Entry] = field(default_factory=list)
    splits: list[SplitName] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    contents: set[tuple[int, int]] = field(default_factory=set)
    leaked: int = 0
    repeated: int = 0

    def count(self, split: SplitName) -> int:
        """Rows of a split."""
        return sum(self.splits[owner] == split for owner in self.owners)


def pack(listing: Listing, name: str, config: DataConfig, folder: Path, expect: Callable[[Spec], None]) -> Index:
    """Write the images of `listing` to ``images.u8`` in `folder`, and their partners to ``targets.u8``.

    Args:
        expect: is given the shape to come, as far as the headers tell it (colour files may all turn out to be grey),
            before anything is decoded.

    Raises:
        ConfigError: the resolution is no power of two.
        DataError: too few images, too many broken ones, or none such as `config` asks for; `name` says of what.
    """
    plan = survey(listing, name, config)
    splits = _splits(plan.entries, config)
    side, broken, once = plan.geometries[0].resolution, list(plan.broken), config.duplicates == "drop"
    expect(_spec(plan.geometries, (side, side), plan.classes, plan.entries, splits, config))
    written = _write(plan, plan.entries, splits, folder, broken, once)
    again = _splits(written.entries, config)
    if again != written.splits:
        # The only image held out was broken.
        written = _write(plan, written.entries, again, folder, broken, once)
    _check_broken(name, len(written.entries) + plan.small, broken)
    _check_enough(name, written.count("train"), 2)
    geometries = plan.geometries
    if config.channels is None:
        of_files = zip(FILES, geometries, written.grey, strict=False)
        geometries = tuple(_without_colour(folder / file, geometry, grey) for file, geometry, grey in of_files)
    _report(name, plan, written, broken)
    return _index(plan, geometries, written, broken, config)


def survey(listing: Listing, name: str, config: DataConfig) -> Plan:
    """Read every header, and check and decide all that needs no decoding.

    Raises:
        As `pack`.
    """
    if config.resolution:
        check_resolution(config.resolution)
    probed, broken = _probe_all(listing.entries)
    _check_halves(name, probed)
    _check_broken(name, len(probed), broken)
    _check_enough(name, len(probed), 1 if config.fit == "tiles" else 2)
    _check_sizes(name, probed)
    geometries = _geometries(probed, config)
    usable, most = probed, 1
    if config.fit == "tiles":
        side = geometries[0].resolution
        usable = _tileable(name, probed, side)
        most = min(config.tiles, max(count_tiles(item.sizes[0], side) for item in usable))
    entries = [item.entry for item in usable]
    if config.captions:
        check_captions(name, entries)
    return Plan(entries, listing.classes, geometries, broken, most, len(probed) - len(usable))


def _probe_all(entries: Sequence[Entry]) -> tuple[list[Probed], list[Broken]]:
    """Entries whose headers can be read, and the others."""
    found = list(in_parallel(_probe, entries, "Reading headers"))
    return [item for item in found if isinstance(item, Probed)], [item for item in found if isinstance(item, Broken)]


def _geometries(probed: Sequence[Probed], config: DataConfig) -> tuple[Geometry, ...]:
    """Of the images, and of their partners, whose sizes are the same."""
    sizes = [item.sizes[0] for item in probed]
    kinds = zip(*(item.headers for item in probed), strict=True)
    return tuple(choose_geometry(sizes, all(header.grey for header in headers), config) for headers in kinds)


def _tileable(name: str, probed: Sequence[Probed], side: int) -> list[Probed]:
    """Those that a tile fits in."""
    usable = [item for item in probed if min(item.sizes[0]) >= side]
    if not usable:
        raise DataError(
            f"{name}: all images are smaller than a tile of {side}x{side}; lower data.resolution, or choose another "
            "data.fit than tiles"
        )
    return usable


def _splits(entries: Sequence[Entry], config: DataConfig) -> list[SplitName]:
    """Of every image; two of which tiles are cut are enough to hold one out."""
    return assign_splits(entries, config.holdout, 2 if config.fit == "tiles" else FEWEST)


def _write(
    plan: Plan, entries: Sequence[Entry], splits: Sequence[SplitName], folder: Path, broken: list[Broken], once: bool
) -> Written:
    """Decode and write, training images first; what cannot be decoded is added to `broken`.

    Args:
        once: leave out rows that are there already, with the same label and caption.
    """
    order = sorted(range(len(entries)), key=lambda i: splits[i] == "heldout")
    load = partial(_load, geometries=plan.geometries, most=plan.most)
    loaded = in_parallel(load, [entries[i] for i in order], "Decoding images", plan.window)
    written, trained, there = Written([True] * len(plan.geometries)), set(), set()
    with ExitStack() as stack:
        # Written, not mapped: writing to a map on a full disk kills the process, writing to a file raises OSError.
        files = [stack.enter_context((folder / file).open("wb")) for file in FILES[: len(plan.geometries)]]
        for i, rows in zip(order, loaded, strict=True):
            if isinstance(rows, Broken):
                broken.append(rows)
                continue
            for row in rows:
                digests = tuple(_digest(square) for square in row.squares)
                said = (*digests, entries[i].label, entries[i].caption)
                if once and said in there:
                    written.repeated += 1
                    continue
                there.add(said)
                for k, (file, square) in enumerate(zip(files, row.squares, strict=True)):
                    file.write(square.pixels.tobytes())
                    written.contents.add(square.content)
                    written.grey[k] = written.grey[k] and _is_grey(square.pixels)
                written.names.append(row.name)
                written.owners.append(len(written.entries))
                if splits[i] == "train":
                    trained.add(digests[0])
                else:
                    written.leaked += digests[0] in trained
            written.entries.append(entries[i])
            written.splits.append(splits[i])
    return written


def _digest(square: Square) -> bytes:
    return hashlib.blake2b(square.pixels.tobytes(), digest_size=8).digest()


def _probe(entry: Entry) -> Probed | Broken:
    try:
        headers = []
        for part in entry.parts:
            with _blaming(part):
                headers.append(probe(part.read()))
        return Probed(entry, tuple(headers))
    except Unusable as error:
        return error.broken


def _load(entry: Entry, geometries: Sequence[Geometry], most: int) -> list[Row] | Broken:
    """What an image becomes; or why it, or its partner, cannot be used."""
    try:
        return _tiles(entry, geometries, most) if geometries[0].fit == "tiles" else [_whole(entry, geometries)]
    except Unusable as error:
        return error.broken


def _whole(entry: Entry, geometries: Sequence[Geometry]) -> Row:
    squares = []
    for part, geometry in zip(entry.parts, geometries, strict=True):
        with _blaming(part):
            squares.append(load_square(part.read(), geometry, part.half))
    return Row(entry.name, tuple(squares))


def _tiles(entry: Entry, geometries: Sequence[Geometry], most: int) -> list[Row]:
    """An image's tiles, and those in the same places of its partner."""
    side, images = geometries[0].resolution, []
    for part, geometry in zip(entry.parts, geometries, strict=True):
        with _blaming(part):
            images.append(load_image(part.read(), geometry.channels, part.half))
            if images[-1].size != images[0].size:
                raise ValueError("not of the size that its header says, its partner's")
    numbers = choose_tiles(images[0], side, most, entry.name)
    squares = zip(*(cut_tiles(image, side, numbers) for image in images), strict=True)
    return [Row(tile_name(entry.name, number), row) for number, row in zip(numbers, squares, strict=True)]


@contextmanager
def _blaming(entry: Entry) -> Iterator[None]:
    """Whatever is wrong with a file is said of `entry`."""
    try:
        yield
    except BROKEN as error:
        raise Unusable(Broken(entry.name, describe(error))) from error


def describe(error: BaseException) -> str:
    """One line on why an image cannot be used; without the path, which is named beside it."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "not an image that Pillow can identify" if "cannot identify" in reason else reason.splitlines()[0][:200]


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels[..., :3] == pixels[..., :1]).all())


def _without_colour(path: Path, geometry: Geometry, grey: bool) -> Geometry:
    """Keep one of three channels that are equal everywhere."""
    if not grey or geometry.channels != 3:
        return geometry
    side = geometry.resolution
    rows = np.memmap(path, np.uint8, "r").reshape(-1, side, side, 3)
    aside = path.with_suffix(".grey")
    with aside.open("wb") as file:
        for start in range(0, len(rows), _ROWS):
            file.write(rows[start : start + _ROWS, ..., 0].tobytes())
    del rows
    aside.replace(path)
    return replace(geometry, channels=1)


def _check_broken(name: str, usable: int, broken: Sequence[Broken]) -> None:
    total = usable + len(broken)
    if len(broken) > _MOST_BROKEN * total:
        raise DataError(
            f"{name}: {len(broken)} of {total} images cannot be read: {'; '.join(map(str, broken[:3]))}; "
            "`gansmith data check` lists them all; repair or remove them"
        )


def _check_enough(name: str, usable: int, least: int) -> None:
    if usable < least:
        needed = "2 are" if least == 2 else "1 is"
        raise DataError(f"{name}: {usable} usable image{'s' * (usable != 1)} to train on; at least {needed} needed")


def _check_halves(name: str, probed: Sequence[Probed]) -> None:
    """Images that hold two side by side are twice as wide as high."""
    halves = [item for item in probed if item.entry.half]
    stray = [item for item in halves if item.headers[0].width != 2 * item.headers[0].height]
    if not stray:
        return
    first, header = stray[0].entry.name, stray[0].headers[0]
    if len(stray) == len(halves):
        raise DataError(
            f"{name}: no second kind of images: give a folder of them by --to, or put both into folders trainA and "
            f"trainB, or side by side into images twice as wide as high ({first!r} is {header.width}x{header.height})"
        )
    raise DataError(
        f"{name}: {len(stray)} of {len(halves)} images are not two side by side, twice as wide as high, such as "
        f"{first!r}, {header.width}x{header.height}; remove or crop them"
    )


def _check_sizes(name: str, probed: Sequence[Probed]) -> None:
    """The images of a pair are of one size."""
    for item in probed:
        if len(set(item.sizes)) > 1:
            pair = " and ".join(
                f"{part.name!r} is {width}x{height}"
                for part, (width, height) in zip(item.entry.parts, item.sizes, strict=True)
            )
            raise DataError(f"{name}: {pair}, but they are a pair; bring both to one size, or remove them")


def _report(name: str, plan: Plan, written: Written, broken: Sequence[Broken]) -> None:
    if plan.small:
        side = plan.geometries[0].resolution
        log.warning("%s: left out %d images smaller than a tile of %dx%d", name, plan.small, side, side)
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        log.warning("%s: skipped %d broken: %s%s", name, len(broken), "; ".join(map(str, broken[:3])), more)
    if written.repeated:
        log.info("%s: left out %d images that are there already", name, written.repeated)
    if written.leaked:
        count = written.count("heldout")
        log.warning("%s: %d of %d held-out images also occur in the training images", name, written.leaked, count)


def _classes(known: tuple[str, ...], entries: Sequence[Entry]) -> tuple[str, ...]:
    """Names of the classes in order of their number; none unless every image has a label."""
    labels = [entry.label for entry in entries if entry.label is not None]
    return (known or sorted_classes(labels)) if len(labels) == len(entries) else ()


def _spec(
    geometries: Sequence[Geometry],
    content: tuple[int, int],
    classes: tuple[str, ...],
    entries: Sequence[Entry],
    splits: Sequence[SplitName],
    config: DataConfig,
) -> Spec:
    first, *others = geometries
    spec = Spec(
        first.resolution,
        first.channels,
        *content,
        classes=_classes(classes, entries),
        target_channels=sum(geometry.channels for geometry in others),
        paired=bool(others),
    )
    return captioned(spec, entries, splits) if config.captions else spec


def _index(
    plan: Plan, geometries: Sequence[Geometry], written: Written, broken: Sequence[Broken], config: DataConfig
) -> Index:
    side = geometries[0].resolution
    content = written.contents.pop() if len(written.contents) == 1 else (side, side)
    spec = _spec(geometries, content, plan.classes, written.entries, written.splits, config)
    number = {name: i for i, name in enumerate(spec.classes)}
    owners = [written.entries[owner] for owner in written.owners]
    captions = [entry.caption for entry in owners if entry.caption is not None]
    return Index(
        spec=spec,
        train=written.count("train"),
        heldout=written.count("heldout"),
        names=written.names,
        labels=[number[str(entry.label)] for entry in owners] if spec.classes else None,
        captions=captions if len(captions) == len(owners) else None,
        skipped=[item.name for item in broken],
    )

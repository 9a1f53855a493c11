"""What the names of files, and metadata tables beside them, say of each image: split, label, caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from gansmith.core.errors import DataError
from gansmith.data.entries import Entry, Listing, Raw, SplitName
from gansmith.data.metadata import Row, is_table, read_table

# What Pillow reads everywhere; PDF, EPS and other documents that it could open are not training images.
_SUFFIXES = """.apng .avif .bmp .dib .gif .icns .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pcx .pgm .png .pnm .ppm .sgi
    .tga .tif .tiff .webp"""
IMAGES = frozenset(_SUFFIXES.split())
SPLITS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "heldout"), "heldout"),
}


@dataclass(frozen=True)
class Place:
    """What is known of an image from where it lies."""

    split: SplitName | None = None
    label: str | None = None
    caption: str | None = None


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGES


def wanted(name: str) -> bool:
    """Whether a file is an image or a metadata table, and no hidden file, system's litter or path out of the source."""
    parts = PurePosixPath(name).parts
    if any(part.startswith(".") or part in ("__MACOSX", "/") for part in parts):
        return False
    return is_image(name) or is_table(name)


def place_images(source: str, images: Mapping[str, Callable[[], Raw]], tables: Mapping[str, bytes]) -> Listing:
    """The listing of a folder or archive: `images` by name, with what reads each. `source` names it in messages."""
    try:
        places = lay_out(list(images), tables)
    except DataError as error:
        raise DataError(f"{source}/{error}") from None
    return Listing(
        [
            Entry(name, read, place.label, place.caption, place.split)
            for (name, read), place in zip(images.items(), places, strict=True)
        ]
    )


def lay_out(names: Sequence[str], tables: Mapping[str, bytes]) -> list[Place]:
    """Place every image.

    Folders that all images share are ignored. If what is then on top is `train` and `test` (or `val`, `validation`,
    `heldout`), these are the splits. The next folder is the label, if every image is in one and there are two or
    more. A metadata table describes the images of its own folder and below; its labels and captions go first.

    Args:
        names: of the images, relative, with forward slashes.
        tables: content of the metadata tables by name.

    Raises:
        DataError: a table is unreadable, describes no image that is here, or leaves one out.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    shared = shared_folders(folders)
    folders = [folder[shared:] for folder in folders]
    splits = _splits(folders)
    if splits:
        folders = [folder[1:] for folder in folders]
    labels = [folder[0] if folder else None for folder in folders]
    if None in labels or len(set(labels)) < 2:
        labels = [None] * len(names)
    rows = _described(names, tables)
    has_labels = _column_is_whole(rows, "label")
    return [
        Place(
            splits[i] if splits else None,
            rows[name].label if has_labels else labels[i],
            rows[name].caption if name in rows else None,
        )
        for i, name in enumerate(names)
    ]


def shared_folders(folders: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all images have in common."""
    first, last = min(folders), max(folders)
    pairs = zip(first, last, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))


def _splits(folders: Sequence[tuple[str, ...]]) -> list[SplitName] | None:
    """The split of every image, if the top folders are names of splits, both kinds and nothing else."""
    tops = {folder[0].lower() if folder else "" for folder in folders}
    if {SPLITS.get(top) for top in tops} != {"train", "heldout"}:
        return None
    return [SPLITS[folder[0].lower()] for folder in folders]


def _described(names: Sequence[str], tables: Mapping[str, bytes]) -> dict[str, Row]:
    """Rows of all tables by the image that they describe; empty, or one for every image."""
    known = set(names)
    rows: dict[str, Row] = {}
    for table, content in sorted(tables.items()):
        for row in read_table(table, content):
            name = str(PurePosixPath(table).parent / row.file)
            if name not in known:
                raise DataError(
                    f"{row.place}: no image {row.file!r} beside the table; correct file_name or remove the row"
                )
            if name in rows:
                raise DataError(f"{row.place}: {row.file!r} has a row already ({rows[name].place})")
            rows[name] = row
    missing = sorted(known - rows.keys())
    if rows and missing:
        raise DataError(
            f"{', '.join(sorted(tables))}: no row for {len(missing)} of {len(names)} images, such as {missing[0]!r}; "
            "add rows, or move those images elsewhere"
        )
    return rows


def _column_is_whole(rows: Mapping[str, Row], column: str) -> bool:
    """Whether the rows have the column; raises DataError if only some have."""
    empty = [row for row in rows.values() if getattr(row, column) is None]
    if empty and len(empty) < len(rows):
        raise DataError(f"{empty[0].place}: no {column}, but other rows have one; fill it in everywhere or nowhere")
    return bool(rows) and not empty

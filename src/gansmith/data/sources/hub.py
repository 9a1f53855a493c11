"""Data sets that Hugging Face `datasets` can load, from the hub or from a local path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, MissingExtra
from gansmith.data.entries import Entry, Listing, Source, SplitName

_HELD_OUT = ("test", "validation", "val", "valid", "heldout")
_CAPTIONS = ("text", "caption", "captions", "prompt", "description")


def hub_source(source: str) -> Source:
    """`hf:NAME`. The images, labels and captions are the first columns of type Image, ClassLabel, and text so named.

    Raises:
        MissingExtra: `datasets` is not installed.
        DataError: it cannot be loaded, or has no images.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra.needs(source, "data") from None
    name = source.removeprefix("hf:")
    parts = _load(datasets, source, name)
    columns = _columns(datasets, source, next(iter(parts.values())).features)
    stamp = ["hf", name, [part._fingerprint for part in parts.values()]]
    return Source(source, stamp, partial(_open, datasets, parts, columns))


def _load(datasets: Any, source: str, name: str) -> dict[SplitName | None, Any]:
    """The parts to train on and to hold out."""
    saved = any((Path(name) / file).is_file() for file in ("dataset_dict.json", "state.json"))
    try:
        loaded = datasets.load_from_disk(name) if saved else datasets.load_dataset(name)
    except Exception as error:
        raise DataError(f"data.source: {source}: {type(error).__name__}: {str(error)[:300]}") from error
    if not isinstance(loaded, Mapping):
        return {None: loaded}
    train = loaded["train"] if "train" in loaded else next(iter(loaded.values()))
    heldout = next((loaded[part] for part in _HELD_OUT if part in loaded and loaded[part] is not train), None)
    return {None: train} if heldout is None else {"train": train, "heldout": heldout}


def _columns(datasets: Any, source: str, features: Mapping[str, Any]) -> dict[str, str]:
    """Names of the columns for `image`, and where there are some for `label` and `caption`."""
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    texts = [name for name in _CAPTIONS if getattr(features.get(name), "dtype", None) in ("string", "large_string")]
    if not images:
        raise DataError(f"data.source: {source}: no column of images; the columns are {', '.join(features)}")
    found = {"image": images, "label": labels, "caption": texts}
    return {role: names[0] for role, names in found.items() if names}


@contextmanager
def _open(datasets: Any, parts: Mapping[SplitName | None, Any], columns: Mapping[str, str]) -> Iterator[Listing]:
    entries: list[Entry] = []
    classes: tuple[str, ...] = ()
    for split, part in parts.items():
        # Undecoded, so that broken images are counted and truncated ones found as everywhere else.
        images = part.select_columns(columns["image"]).cast_column(columns["image"], datasets.Image(decode=False))
        labels, captions = _column(part, columns.get("label")), _column(part, columns.get("caption"))
        if labels is not None:
            classes = tuple(part.features[columns["label"]].names)
        for i in range(len(part)):
            label = classes[labels[i]] if labels is not None and labels[i] is not None and labels[i] >= 0 else None
            caption = captions[i] if captions is not None else None
            entries.append(
                Entry(f"{split or 'row'}/{i}", partial(_read, images, i, columns["image"]), label, caption, split)
            )
    yield Listing(entries, classes)


def _column(part: Any, name: str | None) -> list[Any] | None:
    return list(part[name]) if name else None


def _read(images: Any, i: int, column: str) -> bytes | Path:
    cell = images[i][column]
    if cell is None:
        raise ValueError("no image in this row")
    content: bytes | None = cell["bytes"]
    return content if content is not None else Path(cell["path"])

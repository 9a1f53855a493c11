"""Two kinds of images, A to become B: where each lies, and which belong together.

Every kind of source can hold either; what is found here are again sources, so that they are packed as all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Literal

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError
from gansmith.data.entries import Entry, Half, Listing, Source, SplitName
from gansmith.data.layout import SPLITS, is_image, shared_folders
from gansmith.data.sources import find_source

Domain = Literal["A", "B"]
Key = tuple[str, str]
"""What the names of partners have in common: the folder of their split, or nothing, and the path below, no suffix."""
_FOLDERS: dict[str, tuple[Domain, SplitName]] = {
    "traina": ("A", "train"),
    "trainb": ("B", "train"),
    "testa": ("A", "heldout"),
    "testb": ("B", "heldout"),
}
_SPLIT_OF: dict[str, str] = {name: name for name in SPLITS} | {name: name[:-1] for name in _FOLDERS}
"""Of every folder that is a split, or that of a domain, what it is called in a key."""
_HALVES: dict[Domain, Half] = {"A": "left", "B": "right"}


def refuse_targets(config: DataConfig) -> None:
    """Raise ConfigError if images are to become others, in a family that makes none of them."""
    if config.to is not None:
        raise ConfigError(
            "data.to (--to): this family has no second kind of images; leave it out, or take a family that translates: "
            "cyclegan, pix2pix"
        )


def find_domains(config: DataConfig) -> tuple[Source, Source]:
    """The images of `config.source`, A, and those that they are to become, B.

    B is `config.to` if that is given. Otherwise `config.source` holds both: in its folders trainA and trainB (testA and
    testB held out), or else side by side, A the left half of every image and B the right one.

    Raises:
        DataError: one of the two is not there; opening them raises it where they are in no such layout.
        MissingExtra: one needs a package that is not installed.
    """
    source = find_source(config.source)
    if config.to is None:
        return _view(source, "A"), _view(source, "B")
    try:
        return source, find_source(config.to)
    except DataError as error:
        raise DataError(str(error).replace("data.source:", "data.to:", 1)) from None


def paired(a: Source, b: Source) -> Source:
    """The images of A, each with its own of B as partner, by the same name but for suffixes and folders of splits.

    Opening it raises DataError where names are double or have no partner.
    """
    return Source(a.name, ["paired", a.stamp, b.stamp], partial(_open_pairs, a, b))


def pair_keys(names: Sequence[str]) -> list[Key]:
    """What each of all names of a domain has in common with its partner's. Folders that all share count for nothing."""
    paths = _below_shared([_stem(name) for name in names])
    return [
        (_SPLIT_OF[path[0].lower()], "/".join(path[1:])) if _is_split(path) else ("", "/".join(path)) for path in paths
    ]


def _view(source: Source, domain: Domain) -> Source:
    return Source(source.name, [domain, source.stamp], partial(_open_view, source, domain))


@contextmanager
def _open_view(source: Source, domain: Domain) -> Iterator[Listing]:
    with source.open() as listing:
        tops = [path[0].lower() if len(path) > 1 else "" for path in _below_shared([e.name for e in listing.entries])]
        if "traina" in tops or "trainb" in tops:
            yield Listing(_in_folders(source.name, listing.entries, tops, domain))
        else:
            yield replace(listing, entries=[replace(entry, half=_HALVES[domain]) for entry in listing.entries])


def _in_folders(name: str, entries: Sequence[Entry], tops: Sequence[str], domain: Domain) -> list[Entry]:
    """Those of a domain, from folders trainA, trainB, testA and testB; `tops` are the folders, in lower case."""
    stray = next((entry.name for entry, top in zip(entries, tops, strict=True) if top not in _FOLDERS), None)
    if stray is not None:
        raise DataError(
            f"{name}: {stray!r} is in none of the folders trainA, trainB, testA and testB, which the others are in; "
            "move it to one of them, or elsewhere"
        )
    for folder in ("trainA", "trainB"):
        if folder.lower() not in tops:
            raise DataError(
                f"{name}: no images in {folder}, but in {entries[0].name!r}; both trainA and trainB need some"
            )
    chosen = [(entry, _FOLDERS[top][1]) for entry, top in zip(entries, tops, strict=True) if _FOLDERS[top][0] == domain]
    divided = len({split for _, split in chosen}) > 1
    # The folders were taken for classes.
    return [replace(entry, label=None, split=split if divided else None) for entry, split in chosen]


@contextmanager
def _open_pairs(a: Source, b: Source) -> Iterator[Listing]:
    with a.open() as sources, b.open() as targets:
        partners = _partners(a.name, sources.entries, b.name, targets.entries)
        pairs = [replace(entry, partner=other) for entry, other in zip(sources.entries, partners, strict=True)]
        yield replace(sources, entries=pairs)


def _partners(a: str, sources: Sequence[Entry], b: str, targets: Sequence[Entry]) -> list[Entry]:
    """The target of every source; `a` and `b` name both in messages."""
    if all(entry.half for entry in chain(sources, targets)):
        return list(targets)
    ours, theirs = _by_key(a, sources), _by_key(b, targets)
    alone = [
        f"{len(names)} of {place}, such as {names[0]!r}"
        for place, names in ((a, _without(ours, theirs)), (b, _without(theirs, ours)))
        if names
    ]
    if alone:
        raise DataError(
            f"{a}: images have no partner of the same name: {' and '.join(alone)}; add the missing ones or move these "
            "elsewhere, or take a family that needs no pairs: cyclegan"
        )
    return [theirs[key] for key in ours]


def _without(these: Mapping[Key, Entry], others: Mapping[Key, Entry]) -> list[str]:
    return [entry.name for key, entry in these.items() if key not in others]


def _by_key(name: str, entries: Sequence[Entry]) -> dict[Key, Entry]:
    found: dict[Key, Entry] = {}
    for key, entry in zip(pair_keys([entry.name for entry in entries]), entries, strict=True):
        if key in found:
            raise DataError(
                f"{name}: {found[key].name!r} and {entry.name!r} would have the same partner; rename or remove one"
            )
        found[key] = entry
    return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if is_image(name) else name


def _below_shared(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Parts of the names below the folders that all share; a folder of a split stays, though all be in it."""
    paths = [PurePosixPath(name).parts for name in names]
    if not paths:
        return []
    shared = shared_folders([path[:-1] for path in paths])
    start = next((i for i, folder in enumerate(paths[0][:shared]) if folder.lower() in _SPLIT_OF), shared)
    return [path[start:] for path in paths]


def _is_split(path: tuple[str, ...]) -> bool:
    """Whether the top folder is of a split."""
    return len(path) > 1 and path[0].lower() in _SPLIT_OF

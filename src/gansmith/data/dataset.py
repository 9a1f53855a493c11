"""`open_data`: images as the networks see them, decoded once and mapped from the cache ever after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.config import DataConfig
from gansmith.core.spec import Spec
from gansmith.data.domains import Key, find_domains, pair_keys, paired, refuse_targets
from gansmith.data.entries import Source
from gansmith.data.geometry import check_resolution
from gansmith.data.pack import pack, survey
from gansmith.data.sources import find_source
from gansmith.data.split import evenly
from gansmith.data.store import Index, Packed, fingerprint, open_packed
from gansmith.data.tiles import FLAT_SHARE

_PAIRS = 256
"""Most held-out pairs that are kept in memory to measure by."""


@dataclass(frozen=True)
class Split:
    """Images to train on, or to measure against.

    Attributes:
        images: uint8 (N, R, R, C), a read-only memory map at the networks' resolution R. Gather rows by indexing it.
        labels: int64 (N,), numbers of `Spec.classes`, or None.
        captions: N texts, or None.
        names: N names relative to the source, such as ``cat/001.png``; of tiles ``cat/001.png#012``.
        targets: uint8 (M, R, R, C'), a map as `images` is, of images of the other kind, or None.
        paired: whether image and target of the same row belong together; M is then N.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    captions: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()
    targets: np.ndarray | None = None
    paired: bool = False

    def __len__(self) -> int:
        return len(self.images)

    def labels_in_proportion(self, n: int, seed: int) -> np.ndarray | None:
        """n labels, int64, in an order of the seed: of every class its share of this split, to within one. Or None."""
        if self.labels is None:
            return None
        evenly = (np.arange(n) * len(self.labels) + len(self.labels) // 2) // n
        return np.random.default_rng(seed).permutation(np.sort(self.labels)[evenly])


@dataclass(frozen=True)
class Pairs:
    """Held-out images and what they are to become, to measure by.

    Attributes:
        sources: uint8 (P, R, R, C).
        targets: uint8 (P, R, R, C').
        names: P names of the sources.
    """

    sources: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class Dataset:
    """Images ready to train on.

    Attributes:
        name: of the source, for reports.
        fingerprint: the same for the same source and settings; a run records it.
        spec: what the networks are built from.
        train, heldout: the splits; `heldout` is empty if nothing was to be kept out.
        skipped: names of broken images that were left out.
        pairs: at most 256 held-out pairs: of paired data, or of others by equal names; None where there are none.
    """

    name: str
    fingerprint: str
    spec: Spec
    train: Split
    heldout: Split
    skipped: tuple[str, ...] = ()
    pairs: Pairs | None = None

    @property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Train and held-out images, of what is to be made, without the padding that only the networks see: each uint8
        (N, H, W, C)."""
        rows, columns = self.spec.window
        train, heldout = (
            split.images if split.targets is None else split.targets for split in (self.train, self.heldout)
        )
        return train[:, rows, columns], heldout[:, rows, columns]


def anything(spec: Spec) -> None:
    """No objection to data of any shape."""


def open_data(config: DataConfig, expect: Callable[[Spec], None] = anything) -> Dataset:
    """Open the images that `config` names; the first time decodes them into the cache folder.

    Args:
        expect: is given the shape that the data will have before any image is decoded, and again what it came to; may
            raise.

    Raises:
        ConfigError: the resolution is no power of two; or there are images to become others, of which the family has
            none.
        DataError: there are no such data, or they cannot be used.
        MissingExtra: the source needs a package that is not installed.
        GansmithError: the cache folder cannot be written.
    """
    if config.resolution:
        check_resolution(config.resolution)
    if config.targets == "unpaired":
        return _open_unpaired(*find_domains(config), config, expect)
    if config.targets == "paired":
        return _open_single(paired(*find_domains(config)), config, expect)
    refuse_targets(config)
    return _open_single(find_source(config.source), config, expect)


def _open_single(source: Source, config: DataConfig, expect: Callable[[Spec], None]) -> Dataset:
    """One packed source: of images, or of pairs."""
    key = _key(source, config)
    packed = open_packed(key, partial(_pack, source, config, expect))
    index = packed.index
    expect(index.spec)
    train, heldout = _splits(packed)
    pairs = _pairs(heldout, [(row, row) for row in range(index.heldout)]) if index.spec.paired else None
    return Dataset(source.name, key, index.spec, train, heldout, tuple(index.skipped), pairs)


def _open_unpaired(a: Source, b: Source, config: DataConfig, expect: Callable[[Spec], None]) -> Dataset:
    """Two packed sources, each with splits of its own; the resolution is that of A."""
    others = config.model_copy(update={"captions": False})

    def expect_first(spec: Spec) -> None:
        with b.open() as listing:
            channels = survey(listing, b.name, others).geometries[0].channels
        expect(replace(spec, target_channels=channels))

    key = _key(a, config)
    first = open_packed(key, partial(_pack, a, config, expect_first))
    others = others.model_copy(update={"resolution": first.index.spec.resolution})
    other_key = _key(b, others)
    second = open_packed(other_key, partial(_pack, b, others, lambda spec: expect(_to_become(first.index.spec, spec))))
    spec = _to_become(first.index.spec, second.index.spec)
    expect(spec)
    both = zip(_splits(first), _splits(second), strict=True)
    train, heldout = (replace(split, targets=targets.images) for split, targets in both)
    # Tiles of the same number are of the same place only where their images are of the same size.
    pairs = None if config.fit == "tiles" else _pairs(heldout, _same_names(first.index, second.index))
    skipped = (*first.index.skipped, *second.index.skipped)
    return Dataset(a.name, fingerprint("unpaired", key, other_key), spec, train, heldout, skipped, pairs)


def _key(source: Source, config: DataConfig) -> str:
    """The fingerprint of a packed source: only settings that change what comes out count."""
    settings = config.model_dump(include={"resolution", "fit", "channels", "holdout"})
    if config.fit == "tiles":
        settings["tiles"] = config.tiles, FLAT_SHARE
    if config.captions:
        settings["captions"] = True
    if config.duplicates != "keep":
        settings["duplicates"] = config.duplicates
    return fingerprint(source.stamp, settings)


def _pack(source: Source, config: DataConfig, expect: Callable[[Spec], None], folder: Path) -> Index:
    with source.open() as listing:
        return pack(listing, source.name, config, folder, expect)


def _to_become(spec: Spec, target: Spec) -> Spec:
    """The shape of images that are to become others; cropped only where both can be."""
    same = (spec.height, spec.width) == (target.height, target.width)
    height, width = (spec.height, spec.width) if same else (spec.resolution, spec.resolution)
    return replace(spec, height=height, width=width, target_channels=target.channels)


def _splits(packed: Packed) -> tuple[Split, Split]:
    """To train on, and held out."""
    train = packed.index.train
    return _split(packed, slice(0, train)), _split(packed, slice(train, train + packed.index.heldout))


def _split(packed: Packed, rows: slice) -> Split:
    index, targets = packed.index, packed.targets
    return Split(
        packed.images[rows],
        None if index.labels is None else np.array(index.labels[rows], np.int64),
        None if index.captions is None else tuple(index.captions[rows]),
        tuple(index.names[rows]),
        None if targets is None else targets[rows],
        index.spec.paired,
    )


def _pairs(heldout: Split, rows: Sequence[tuple[int, int]]) -> Pairs | None:
    """Pairs of (row of the images, row of the targets), evenly chosen; None if there are none."""
    if heldout.targets is None or not rows:
        return None
    ours, theirs = (list(column) for column in zip(*(rows[i] for i in evenly(len(rows), _PAIRS)), strict=True))
    sources, targets = np.asarray(heldout.images[ours]), np.asarray(heldout.targets[theirs])
    return Pairs(sources, targets, tuple(heldout.names[row] for row in ours))


def _same_names(first: Index, second: Index) -> list[tuple[int, int]]:
    """Held-out rows of two domains that would be partners if these were paired."""
    ours, theirs = _held_out(first), _held_out(second)
    return [(row, theirs[key]) for key, row in ours.items() if key in theirs]


def _held_out(index: Index) -> dict[Key, int]:
    """Held-out rows by what their names have in common with their partners'; without those whose names are double."""
    keys = pair_keys(index.names)
    counts = Counter(keys)
    return {key: row for row, key in enumerate(keys[index.train :]) if counts[key] == 1}

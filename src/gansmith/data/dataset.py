"""`open_data`: images as the networks see them, decoded once and mapped from the cache ever after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.config import DataConfig
from gansmith.core.spec import Spec
from gansmith.data.entries import Source
from gansmith.data.geometry import check_resolution
from gansmith.data.pack import pack
from gansmith.data.sources import find_source
from gansmith.data.store import Index, Packed, fingerprint, open_packed


@dataclass(frozen=True)
class Split:
    """Images to train on, or to measure against.

    Attributes:
        images: uint8 (N, R, R, C), a read-only memory map at the networks' resolution R. Gather rows by indexing it.
        labels: int64 (N,), numbers of `Spec.classes`, or None.
        captions: N texts, or None.
        names: N names relative to the source, such as ``cat/001.png``.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    captions: tuple[str, ...] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def labels_in_proportion(self, n: int, seed: int) -> np.ndarray | None:
        """n labels, int64, in an order of the seed: of every class its share of this split, to within one. Or None."""
        if self.labels is None:
            return None
        evenly = (np.arange(n) * len(self.labels) + len(self.labels) // 2) // n
        return np.random.default_rng(seed).permutation(np.sort(self.labels)[evenly])


@dataclass(frozen=True)
class Dataset:
    """Images ready to train on.

    Attributes:
        name: of the source, for reports.
        fingerprint: the same for the same source and settings; a run records it.
        spec: what the networks are built from.
        train, heldout: the splits; `heldout` is empty if nothing was to be kept out.
        skipped: names of broken images that were left out.
    """

    name: str
    fingerprint: str
    spec: Spec
    train: Split
    heldout: Split
    skipped: tuple[str, ...] = ()


def anything(spec: Spec) -> None:
    """No objection to data of any shape."""


def open_data(config: DataConfig, expect: Callable[[Spec], None] = anything) -> Dataset:
    """Open the images that `config` names; the first time decodes them into the cache folder.

    Args:
        expect: is given the shape that the data will have before any image is decoded, and again what it came to; may
            raise.

    Raises:
        ConfigError: the resolution is no power of two.
        DataError: there are no such data, or they cannot be used.
        MissingExtra: the source needs a package that is not installed.
        GansmithError: the cache folder cannot be written.
    """
    if config.resolution:
        check_resolution(config.resolution)
    source = find_source(config.source)
    settings = config.model_dump(include={"resolution", "fit", "channels", "holdout"})
    key = fingerprint(source.stamp, settings)
    packed = open_packed(key, partial(_pack, source, config, expect))
    index = packed.index
    expect(index.spec)
    train = _split(packed, slice(0, index.train))
    heldout = _split(packed, slice(index.train, index.train + index.heldout))
    return Dataset(source.name, key, index.spec, train, heldout, tuple(index.skipped))


def _pack(source: Source, config: DataConfig, expect: Callable[[Spec], None], folder: Path) -> Index:
    with source.open() as listing:
        return pack(listing, source.name, config, folder, expect)


def _split(packed: Packed, rows: slice) -> Split:
    index = packed.index
    labels = None if index.labels is None else np.array(index.labels[rows], np.int64)
    captions = None if index.captions is None else tuple(index.captions[rows])
    return Split(packed.images[rows], labels, captions, tuple(index.names[rows]))

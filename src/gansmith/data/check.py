"""`check_data`: what a source holds and what is wrong with it, by decoding everything once."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.data.entries import Entry, Raw
from gansmith.data.pack import describe
from gansmith.data.parallel import in_parallel
from gansmith.data.picture import BROKEN, open_image, probe, to_eight_bit
from gansmith.data.sources import find_source
from gansmith.data.split import assign_splits

FaultKind = Literal["unreadable", "truncated", "bomb"]


@dataclass(frozen=True)
class Fault:
    """An image that cannot be used, and why."""

    name: str
    reason: str


@dataclass
class Report:
    """What is in a source.

    Attributes:
        source: as the user named it.
        images: how many there are, broken ones included.
        splits: images by split (`train`, `heldout`), by the source's own division or the default share.
        sizes: images by size, as ``WxH`` in pixels, the most frequent first.
        modes: images by Pillow mode.
        classes: images by label; empty where there are none.
        captions: how many have one.
        unreadable, truncated, bombs: images that cannot be used; `bombs` have more pixels than Pillow's limit.
        duplicates: names of images of the same content, group by group.
        leaks: those groups that are on both sides of the split.
    """

    source: str
    images: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    captions: int = 0
    unreadable: list[Fault] = field(default_factory=list)
    truncated: list[Fault] = field(default_factory=list)
    bombs: list[Fault] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    leaks: list[list[str]] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """How many images cannot be used."""
        return len(self.unreadable) + len(self.truncated) + len(self.bombs)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to repair: no broken images, no duplicates."""
        return not self.broken and not self.duplicates

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"broken": self.broken, "clean": self.clean}


@dataclass(frozen=True)
class Finding:
    """What decoding one image told; `fault` is set, or size and mode are; the digest is of its undecoded content."""

    digest: bytes | None = None
    size: str = ""
    mode: str = ""
    fault: Fault | None = None
    kind: FaultKind = "unreadable"


def check_data(source: str) -> Report:
    """Decode every image of `source` (see `DataConfig.source`) and count what is there.

    Raises:
        DataError: there are no such data.
        MissingExtra: it needs a package that is not installed.
    """
    with find_source(source).open() as listing:
        entries = listing.entries
        findings = list(in_parallel(_examine, entries, "Checking images"))
    splits = assign_splits(entries, DataConfig().holdout)
    report = Report(source, len(entries), splits=_counts(splits))
    report.sizes = _counts(finding.size for finding in findings if not finding.fault)
    report.modes = _counts(finding.mode for finding in findings if not finding.fault)
    report.classes = _counts(entry.label for entry in entries if entry.label is not None)
    report.captions = sum(entry.caption is not None for entry in entries)
    places: dict[FaultKind, list[Fault]]
    places = {"unreadable": report.unreadable, "truncated": report.truncated, "bomb": report.bombs}
    for finding in findings:
        if finding.fault:
            places[finding.kind].append(finding.fault)
    groups = _same_content(findings)
    report.duplicates = [[entries[i].name for i in group] for group in groups]
    report.leaks = [[entries[i].name for i in group] for group in groups if len({splits[i] for i in group}) > 1]
    return report


def _examine(entry: Entry) -> Finding:
    digest = None
    try:
        raw = entry.read()
        digest = _digest(raw)
        header = probe(raw)
        with open_image(raw) as image:
            to_eight_bit(image, 4)
        return Finding(digest, f"{header.width}x{header.height}", header.mode)
    except BROKEN as error:
        return Finding(digest, fault=Fault(entry.name, describe(error)), kind=_kind(error))


def _digest(raw: Raw) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(raw, Path):
        with raw.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    else:
        digest.update(np.ascontiguousarray(raw).data if isinstance(raw, np.ndarray) else raw)
    return digest.digest()


def _kind(error: BaseException) -> FaultKind:
    text = str(error).lower()
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)) or "bomb" in text:
        return "bomb"
    cut = any(
        word in text for word in ("truncated", "unexpected end", "not enough image data", "unrecognized data stream")
    )
    return "truncated" if cut or isinstance(error, EOFError) else "unreadable"


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _same_content(findings: list[Finding]) -> list[list[int]]:
    groups: dict[bytes, list[int]] = defaultdict(list)
    for i, finding in enumerate(findings):
        if finding.digest is not None:
            groups[finding.digest].append(i)
    return [group for group in groups.values() if len(group) > 1]

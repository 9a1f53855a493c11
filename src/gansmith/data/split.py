"""Which images are kept out of training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gansmith.data.entries import Entry, SplitName

FEWEST = 10
"""With fewer images than this, all are needed to train on."""


def assign_splits(entries: Sequence[Entry], holdout: float, fewest: int = FEWEST) -> list[SplitName]:
    """The split of every entry: its source's own, else by hash of its name, so more files leave the rest in place.

    Args:
        entries: all of a source.
        holdout: share to keep out; at least one image is, if it is positive and there are `fewest` or more; and at
            least one is not.
    """
    own = [entry.split for entry in entries]
    if any(own):
        return [split or "train" for split in own]
    if holdout == 0 or len(entries) < fewest:
        return ["train"] * len(entries)
    places = [place_of(entry.name) for entry in entries]
    lowest, highest = min(places), max(places)
    bar = max(holdout, lowest)
    return ["heldout" if place <= bar and place < highest else "train" for place in places]


def place_of(name: str) -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def evenly(count: int, most: int) -> list[int]:
    """Numbers below `count`, in order and evenly spread: all, or `most` of them."""
    chosen = min(count, most)
    return [i * count // chosen for i in range(chosen)]

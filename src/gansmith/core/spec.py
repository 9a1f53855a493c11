"""What the data tells the networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_LISTS = ("classes", "words", "captions")


@dataclass(frozen=True)
class Spec:
    """The shape of the data. Networks are built from it alone, so a run can be loaded where the data is not.

    Attributes:
        resolution: side of the square images that the networks see, pixels; a power of two.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA).
        height, width: size of the picture inside that square, centred; samples are cropped to it. A 28x28 image
            padded to 32x32 has `resolution` 32 and `height`, `width` 28.
        classes: names of the labels, in order of their number; empty where there are none.
        target_channels: of the images that these are to become; 0 where there are none such.
        paired: whether every image has a target of its own; else targets are any images of another kind.
        words: of the captions to train on, the most frequent first; empty where there are none.
        captions: some of these captions, to sample from where no others are at hand.
    """

    resolution: int
    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    target_channels: int = 0
    paired: bool = False
    words: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {name: list(getattr(self, name)) for name in _LISTS}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Spec:
        return cls(**(record | {name: tuple(record[name]) for name in _LISTS if name in record}))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture inside the square."""
        top, left = (self.resolution - self.height) // 2, (self.resolution - self.width) // 2
        return slice(top, top + self.height), slice(left, left + self.width)

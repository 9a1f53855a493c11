"""Images in `.npy` and `.npz` files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.core.errors import DataError
from gansmith.data.entries import Entry, Listing, Source, file_stamp, sorted_classes

_CHANNELS = (1, 3, 4)
_CHUNK = 1024


def array_source(path: Path) -> Source:
    return Source(path.name, ["array", *file_stamp(path)], partial(_open, path))


@contextmanager
def _open(path: Path) -> Iterator[Listing]:
    images, labels = _read_npz(path) if path.suffix.lower() == ".npz" else (_read_npy(path), None)
    yield array_listing(str(path), images, labels)


def array_listing(place: str, images: np.ndarray, labels: np.ndarray | None) -> Listing:
    """Entries of an array of images.

    Args:
        place: names the file in messages.
        images: (N, H, W), (N, H, W, C) or (N, C, H, W); uint8, or float in [0, 1] or [-1, 1].
        labels: (N,), whole numbers or names, or None.

    Raises:
        DataError: not of that form.
    """
    images = _channels_last(place, images)
    low, scale = _scale(place, images)
    names = None if labels is None else _label_names(place, labels, len(images))
    width = len(str(max(len(images) - 1, 0)))
    entries = [
        Entry(f"{i:0{width}}", partial(_pixels, images, i, low, scale), names[i] if names else None)
        for i in range(len(images))
    ]
    return Listing(entries, sorted_classes(names) if names else ())


def _read_npy(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy file of numbers: {error}") from None
    return array


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            key = "images" if "images" in file.files else file.files[0] if len(file.files) == 1 else None
            if key is None:
                raise DataError(f"{path}: expected an array named images, found {', '.join(file.files) or 'nothing'}")
            return file[key], file["labels"] if "labels" in file.files else None
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz file of numbers: {error}") from None


def _channels_last(place: str, images: np.ndarray) -> np.ndarray:
    if images.ndim in (3, 4) and 0 not in images.shape[1:]:
        if images.ndim == 3 or images.shape[3] in _CHANNELS:
            return images
        if images.shape[1] in _CHANNELS:
            return images.transpose(0, 2, 3, 1)
    raise DataError(
        f"{place}: expected images of shape (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, "
        f"got {images.shape}"
    )


def _scale(place: str, images: np.ndarray) -> tuple[float, float]:
    """The value that is black, and what a step of one is worth in 8 bits."""
    if images.dtype == np.uint8:
        return 0.0, 1.0
    if images.dtype.kind != "f":
        raise DataError(f"{place}: expected uint8, or float in [0, 1] or [-1, 1], got {images.dtype}")
    extremes = [(float(chunk.min()), float(chunk.max())) for chunk in _chunks(images)]
    # Every comparison with NaN is false, so it is caught here as well.
    bad = next((pair for pair in extremes if not (pair[0] >= -1 and pair[1] <= 1)), None)
    if bad:
        raise DataError(f"{place}: expected floats in [0, 1] or [-1, 1], got {bad[0]:g} to {bad[1]:g}")
    low = min((pair[0] for pair in extremes), default=0.0)
    return (0.0, 255.0) if low >= 0 else (-1.0, 127.5)


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Parts that fit in memory, of what may be a map of a file that does not."""
    return (images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))


def _pixels(images: np.ndarray, index: int, low: float, scale: float) -> np.ndarray:
    """One image, uint8 (H, W) or (H, W, C), contiguous."""
    image = images[index]
    if image.dtype != np.uint8:
        image = np.rint((image.astype(np.float32) - low) * scale).astype(np.uint8)
    return np.ascontiguousarray(image)


def _label_names(place: str, labels: np.ndarray, count: int) -> list[str]:
    labels = labels.squeeze(1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != (count,):
        raise DataError(f"{place}: labels: expected shape ({count},), one for each image, got {labels.shape}")
    if labels.dtype.kind not in "iubUS":
        raise DataError(f"{place}: labels: expected whole numbers or names, got {labels.dtype}")
    return [str(label) for label in (labels.astype(str) if labels.dtype.kind == "S" else labels).tolist()]

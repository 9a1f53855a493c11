"""What a score may be computed from. Every complaint is a `DataError`: exit code 4."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansmith.core.errors import DataError

Images = NDArray[np.uint8]
Features = NDArray[np.float32]
Floats = NDArray[np.float64]


def checked_images(images: Any, what: str) -> Images:
    """`images` if they are uint8 (N, H, W, C) with N > 0 and 1, 3 or 4 channels.

    Raises:
        DataError: they are anything else; the message calls them `what`.
    """
    if not isinstance(images, np.ndarray):
        raise DataError(f"{what}: expected a numpy array of images, got {type(images).__name__}")
    if images.dtype != np.uint8:
        raise DataError(f"{what}: expected uint8 images from 0 to 255, got {images.dtype}")
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape[1:3]:
        raise DataError(f"{what}: expected images (N, H, W, C) with 1, 3 or 4 channels, got shape {images.shape}")
    if not len(images):
        raise DataError(f"{what}: no images")
    return images


def checked_features(features: Any, what: str, least: int = 1) -> Floats:
    """`features` as float64 (N, D) with at least `least` rows and all values finite.

    Raises:
        DataError: they are anything else; the message calls them `what`.
    """
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2 or not array.shape[1]:
        raise DataError(f"{what}: expected features (N, D), got shape {array.shape}")
    if len(array) < least:
        raise DataError(f"{what}: this score needs at least {least} images, got {len(array)}")
    if not np.isfinite(array).all():
        raise DataError(f"{what}: {int((~np.isfinite(array)).any(1).sum())} of {len(array)} features are not finite")
    return array


def checked_pair(real: Any, fake: Any, least: int = 1) -> tuple[Floats, Floats]:
    """Both sets of features (see `checked_features`), of equal width.

    Raises:
        DataError: one of them cannot be used, or the widths differ.
    """
    one, two = checked_features(real, "real", least), checked_features(fake, "fake", least)
    if one.shape[1] != two.shape[1]:
        raise DataError(f"features of unlike width: real {one.shape[1]}, fake {two.shape[1]}; use one extractor")
    return one, two

"""The real images that fakes are measured against: their features, kept on disk, and what scores need of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from gansmith.core.paths import cache_dir, write_atomic
from gansmith.metrics.checks import Features, Floats, Images, checked_features, checked_images
from gansmith.metrics.features import Extractor
from gansmith.metrics.frechet import Moments, frechet_from_moments
from gansmith.metrics.kernel import kernel_spread, kernel_terms
from gansmith.metrics.prdc import K_DENSITY, K_MANIFOLD, radii

# The evaluation protocol of Kynkaanniemi et al. 2019 and Naeem et al. 2020 has 10,000 of each.
MAX_REAL = 10_000


def subsample(images: Images, most: int, seed: int) -> Images:
    """At most `most` of the images, drawn without replacement, in their order; all of them if there are no more."""
    if len(images) <= most:
        return images
    chosen: Images = images[np.sort(np.random.default_rng(seed).choice(len(images), most, replace=False))]
    return chosen


def fingerprint(images: Images) -> str:
    """First 12 hexadecimal digits of the SHA-256 of the images' shape and pixels."""
    digest = hashlib.sha256(str(images.shape).encode())
    for i in range(0, len(images), 1000):
        digest.update(np.ascontiguousarray(images[i : i + 1000]).data)
    return digest.hexdigest()[:12]


def cached_features(images: Images, extractor: Extractor, key: str | None) -> Features:
    """Features of real images, from disk if `key` is not None and they are there.

    The file's name says the key, the images, the extractor, its weights and its precision, so that it is never stale;
    a damaged one is made again.
    """
    if key is None:
        return extractor(images)
    parts = (key, fingerprint(images), *extractor.describe().values())
    path = cache_dir() / "features" / f"{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:32]}.npy"
    found = _read(path, (len(images), extractor.dim))
    if found is not None:
        return found
    features = extractor(images)
    _write(path, features)
    return features


def _write(path: Path, features: Features) -> None:
    """A .npy file followed by its SHA-256, which numpy does not read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, features, allow_pickle=False)
    content = buffer.getvalue()
    write_atomic(path, content + hashlib.sha256(content).digest())


def _read(path: Path, shape: tuple[int, int]) -> Features | None:
    """The features of a file written by `_write`; None if it is missing, damaged or of another shape."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    content, digest = raw[:-32], raw[-32:]
    if hashlib.sha256(content).digest() != digest:
        return None
    features: Features = np.load(io.BytesIO(content), allow_pickle=False)
    return features if features.shape == shape and features.dtype == np.float32 else None


@dataclass(frozen=True)
class Reference:
    """Real images as the scores see them. What costs time is computed once, when it is first needed.

    Attributes:
        extractor: what made the features.
        features: (N, D), float64.
        data: fingerprint of the images.
    """

    extractor: Extractor
    features: Floats
    data: str

    @classmethod
    def of(cls, real: Images, extractor: Extractor, key: str | None = None, *, seed: int = 0) -> Reference:
        """The reference for real images uint8 (N, H, W, C), of which at most 10,000 are drawn by `seed`.

        Args:
            key: a name for the data (its fingerprint, say): their features are then kept in `cache_dir()`.

        Raises:
            DataError: the images are of another type or shape, or there are none.
        """
        chosen = subsample(checked_images(real, "real"), MAX_REAL, seed)
        features = checked_features(cached_features(chosen, extractor, key), "real")
        return cls(extractor, features, fingerprint(chosen))

    def frechet(self, fake: Images) -> float:
        """The Fréchet distance of fakes uint8 (M, H, W, C), M at least 2; for a running check during training."""
        return self.frechet_of(self.extractor(fake))

    def frechet_of(self, features: Features) -> float:
        """The same of their features (M, D)."""
        return frechet_from_moments(self.moments, Moments.of(features, "fake"))

    def kernel_of(self, features: Features) -> float:
        """The kernel distance of fakes by their features (M, D); unbiased, however few images of either there are, at
        least 2."""
        return kernel_terms(self.features, checked_features(features, "fake", least=2), self.spread)[0]

    @cached_property
    def moments(self) -> Moments:
        return Moments.of(self.features, "real")

    @cached_property
    def spread(self) -> float:
        """See `kernel_spread`."""
        return kernel_spread(self.features)

    @cached_property
    def radii(self) -> Floats:
        """Squared radii of the balls for precision and for density, (2, N)."""
        return radii(self.features, (K_MANIFOLD, K_DENSITY))

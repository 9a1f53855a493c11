"""The Fréchet distance between Gaussians fitted to two sets of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gansmith.core.errors import DataError
from gansmith.metrics.checks import Floats, checked_features, checked_pair


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D; divided by N - 1) of a set of features, float64."""

    mean: Floats
    cov: Floats

    @classmethod
    def of(cls, features: Any, what: str = "features") -> Moments:
        """The moments of features (N, D), N at least 2."""
        x = checked_features(features, what, least=2)
        mean = x.mean(axis=0)
        centred = x - mean
        return cls(mean, centred.T @ centred / (len(x) - 1))

    @cached_property
    def root(self) -> Floats:
        """The symmetric square root of the covariance, (D, D)."""
        return _power(self.cov, 0.5)


def _power(matrix: Floats, exponent: float) -> Floats:
    """A power of a positive semi-definite matrix; a negative one on its range only (pseudo-inverse)."""
    values, vectors = np.linalg.eigh(matrix)
    # Rounding leaves eigenvalues of about D eps max where the exact ones are 0 (the rank rule of LAPACK and numpy).
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    vectors = vectors[:, kept]
    powered: Floats = (vectors * values[kept] ** exponent) @ vectors.T
    return powered


def frechet_from_moments(real: Moments, fake: Moments) -> float:
    """The Fréchet distance of two Gaussians: ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, at least 0.

    The trace of the root is the sum of the roots of the eigenvalues of ``S1^(1/2) S2 S1^(1/2)``, which is symmetric,
    so singular covariances do no harm. Heusel et al. 2017, equation 6; Dowson and Landau 1982.

    Raises:
        DataError: the widths differ.
    """
    if real.cov.shape != fake.cov.shape:
        raise DataError(f"features of unlike width: real {len(real.mean)}, fake {len(fake.mean)}; use one extractor")
    middle = real.root @ fake.cov @ real.root
    roots = np.sqrt(np.clip(np.linalg.eigvalsh((middle + middle.T) / 2), 0, None)).sum()
    gap = real.mean - fake.mean
    return max(0.0, float(gap @ gap + np.trace(real.cov) + np.trace(fake.cov) - 2 * roots))


def frechet_distance(real: Any, fake: Any) -> float:
    """The Fréchet distance of features (N, D) and (M, D), computed in float64; 0 is best.

    It is biased upwards by a term of order 1 / M: compare only at equal counts. Heusel et al. 2017, equation 6.

    Raises:
        DataError: fewer than 2 rows, values not finite, unlike widths.
    """
    one, two = checked_pair(real, fake, least=2)
    return frechet_from_moments(Moments.of(one), Moments.of(two))


def frechet_influence(real: Moments, fake: Any) -> Floats:
    """What each fake contributes to the distance, to first order: (M,), with mean 0.

    The gradient of the distance is ``2 (m2 - m1)`` by the fakes' mean and
    ``A = I - S1^(1/2) (S1^(1/2) S2 S1^(1/2))^(-1/2) S1^(1/2)`` by their covariance, so the fake ``x`` contributes
    ``(x - m2)' A (x - m2) - tr(A S2) + 2 (m2 - m1)'(x - m2)`` (influence function: Hampel 1974). Where the covariance
    is rank-deficient the inverse is taken on its range, in which every resample of the fakes lies.
    """
    x = checked_features(fake, "fake", least=2)
    moments = Moments.of(x)
    inverse = _power(real.root @ moments.cov @ real.root, -0.5)
    centred = x - moments.mean
    # x' A x without forming A: |x|^2 - x' B x with B the transport map from the fakes' Gaussian to the real one.
    transported = centred @ (real.root @ inverse @ real.root)
    values: Floats = (centred * (centred - transported + 2 * (moments.mean - real.mean))).sum(axis=1)
    values -= values.mean()
    return values

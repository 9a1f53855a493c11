"""Measure fakes against real images: every score with its interval, its floor and a trivial generator's."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from gansmith import __version__
from gansmith.core.errors import ConfigError, DataError
from gansmith.metrics.checks import Floats, Images, checked_features, checked_images
from gansmith.metrics.features import Extractor
from gansmith.metrics.frechet import Moments, frechet_from_moments, frechet_influence
from gansmith.metrics.intervals import bootstrap_interval
from gansmith.metrics.kernel import kernel_terms
from gansmith.metrics.prdc import K_DENSITY, K_MANIFOLD, neighbourhoods, radii
from gansmith.metrics.reference import Reference, cached_features, subsample
from gansmith.metrics.scores import Protocol, Score, Scores

METRICS = ("frechet", "kernel", "precision", "recall", "density", "coverage")
# The k-NN scores need this many images of each kind.
LEAST = K_DENSITY + 1
# The trivial generator marks a far end: it needs no more precision than this many give, and wide features are slow.
MAX_TRIVIAL = 1000


@dataclass(frozen=True)
class Measured:
    """A score's value, and per-image contributions whose resampled means spread as the score does."""

    value: float
    contributions: Callable[[], Floats]


def evaluate(
    fake: Images,
    real: Images,
    heldout: Images | None,
    extractor: Extractor,
    *,
    seed: int = 0,
    metrics: Iterable[str] | None = None,
    key: str | None = None,
    split: str = "train",
) -> Scores:
    """Scores of fakes against real images, all uint8 (N, H, W, C).

    Args:
        fake: all of them are used.
        real: the reference: at most 10,000, drawn by `seed`.
        heldout: real images that the generator was not trained on, for the floor: as many as fakes at most. None, or
            empty: no floor.
        extractor: makes the features (see `extractor`).
        seed: of the subsampling, the trivial generator and the bootstrap.
        metrics: names out of `METRICS`; all by default.
        key: a name for the data: the features of real images are then kept on disk.
        split: which real images the reference is, for the protocol.

    Raises:
        ConfigError: no such metric.
        DataError: images of another type or shape; fewer than 6.
    """
    names = _known(metrics)
    for images, what in ((fake, "fake"), (real, "real")):
        if len(checked_images(images, what)) < LEAST:
            raise DataError(f"{what}: an evaluation needs at least {LEAST} images, got {len(images)}")
    reference = Reference.of(real, extractor, key, seed=seed)
    held = _heldout(heldout, len(fake), seed)
    trivial = trivial_images(real, min(len(fake), MAX_TRIVIAL), seed)
    measured = _measure(reference, checked_features(extractor(fake), "fake"), names)
    ends = _measure(reference, checked_features(extractor(trivial), "trivial"), names)
    floors: dict[str, Measured] = {}
    if held is not None:
        floors = _measure(reference, checked_features(cached_features(held, extractor, key), "held-out"), names)
    protocol = Protocol(
        **extractor.describe(),
        n_real=len(reference.features),
        n_fake=len(fake),
        n_heldout=0 if held is None else len(held),
        n_trivial=len(trivial),
        split=split,
        seed=seed,
        data=reference.data,
        versions={"gansmith": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
        warnings=_warnings(fake, real, heldout, held, reference),
    )
    return Scores({name: _score(name, measured, floors, ends, seed) for name in names}, protocol)


def remember(
    real: Images, heldout: Images | None, count: int, extractor: Extractor, key: str, *, seed: int = 0
) -> None:
    """Makes the features that `evaluate` will need of the real images, for `count` fakes, unless they are on disk."""
    Reference.of(real, extractor, key, seed=seed)
    held = _heldout(heldout, count, seed)
    if held is not None:
        cached_features(held, extractor, key)


def _known(metrics: Iterable[str] | None) -> list[str]:
    names = list(METRICS if metrics is None else metrics)
    for name in names:
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ConfigError(f"no metric is called {name!r}; {hint}there are {', '.join(METRICS)}")
    if not names:
        raise ConfigError(f"no metrics to compute; there are {', '.join(METRICS)}")
    return names


def _heldout(images: Images | None, most: int, seed: int) -> Images | None:
    """The held-out images for the floor, or None if there are too few for the k-NN scores."""
    if images is None or len(images) < LEAST:
        return None
    # Another stream than the reference's, in case both are drawn from the same images.
    return subsample(checked_images(images, "held-out"), most, seed + 1)


def trivial_images(real: Images, count: int, seed: int) -> Images:
    """Independent pixels with the real images' mean and deviation at each place: uint8 (count, H, W, C)."""
    sample = subsample(real, MAX_TRIVIAL, seed).astype(np.float32)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    noise = np.random.default_rng(seed).standard_normal((count, *mean.shape), dtype=np.float32)
    images: Images = np.clip(np.rint(mean + deviation * noise), 0, 255).astype(np.uint8)
    return images


def _measure(reference: Reference, fake: Floats, names: list[str]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    if "frechet" in names:
        value = frechet_from_moments(reference.moments, Moments.of(fake, "fake"))
        found["frechet"] = Measured(value, lambda: frechet_influence(reference.moments, fake))
    if "kernel" in names:
        value, terms = kernel_terms(reference.features, fake, reference.spread)
        found["kernel"] = Measured(value, lambda: terms)
    if set(names) - {"frechet", "kernel"}:
        near = neighbourhoods(reference.features, fake, reference.radii, radii(fake, (K_MANIFOLD,))[0])
        for name in METRICS[2:]:
            found[name] = _mean_of(getattr(near, name))
    return found


def _mean_of(values: Floats) -> Measured:
    mean = float(values.mean())
    return Measured(mean, lambda: values - mean)


def _score(
    name: str, measured: dict[str, Measured], floors: dict[str, Measured], ends: dict[str, Measured], seed: int
) -> Score:
    value = measured[name].value
    below, above = bootstrap_interval(measured[name].contributions(), seed)
    # All but the unbiased kernel distance are at least 0.
    low = value + below if name == "kernel" else max(0.0, value + below)
    floor = floors[name].value if name in floors else None
    return Score(value, low, value + above, floor, ends[name].value)


def _warnings(
    fake: Images, real: Images, heldout: Images | None, held: Images | None, reference: Reference
) -> list[str]:
    width, found = reference.extractor.dim, []
    counts = {"real": len(reference.features), "fake": len(fake)} | ({} if held is None else {"held-out": len(held)})
    few = [f"{count} {what}" for what, count in counts.items() if count <= width]
    if few:
        found.append(
            f"{' and '.join(few)} images for features {width} wide: the covariance is rank-deficient and the "
            "Fréchet distance far too large; use more images"
        )
    if held is not None and len(held) < len(fake):
        found.append(f"the floor is of {len(held)} images and the fakes are {len(fake)}: its bias is greater")
    if heldout is not None and 0 < len(heldout) < LEAST:
        found.append(f"{len(heldout)} held-out images are too few for a floor")
    if fake.shape[1:] != real.shape[1:]:
        found.append(f"fakes are {_size(fake)} and real images {_size(real)}")
    return found


def _size(images: Images) -> str:
    return "x".join(str(n) for n in images.shape[1:])

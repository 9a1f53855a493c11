"""The Fréchet distance against closed forms, its own invariances, torchmetrics and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance

from gansmith.core.errors import DataError
from gansmith.metrics import Extractor, Moments, frechet_distance, frechet_from_moments
from gansmith.metrics.frechet import frechet_influence


def normal(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * rng.normal(size=(d, d))) * scale + shift


def test_diagonal_gaussians_have_their_closed_form() -> None:
    rng = np.random.default_rng(0)
    m1, m2 = rng.normal(size=(2, 7))
    s1, s2 = rng.uniform(0.1, 3, size=(2, 7))
    expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    found = frechet_from_moments(Moments(m1, np.diag(s1**2)), Moments(m2, np.diag(s2**2)))
    assert found == pytest.approx(expected, rel=1e-12)


def test_samples_approach_the_closed_form() -> None:
    rng = np.random.default_rng(1)
    real, fake = rng.normal(size=(100_000, 4)), rng.normal(size=(100_000, 4)) * 2 + 1
    assert frechet_distance(real, fake) == pytest.approx(4 * (1 + 1), rel=0.02)


@pytest.mark.parametrize("count", [3, 20, 60])
def test_rank_deficient_covariances_give_the_exact_distance(count: int) -> None:
    real, fake = normal(40, 32, 0)[:count], normal(60, 32, 1, shift=0.5)
    # The nuclear norm of the product of the centred sets is the trace of the root, with no root of a singular matrix.
    halves = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, fake)]
    trace = np.linalg.svd(halves[0] @ halves[1].T, compute_uv=False).sum()
    gap = real.mean(0) - fake.mean(0)
    expected = gap @ gap + sum((x * x).sum() for x in halves) - 2 * trace
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_a_constant_set_is_at_the_trace_of_the_other() -> None:
    fake = normal(50, 8, 0)
    constant = np.tile(fake.mean(0), (10, 1))
    assert frechet_distance(constant, fake) == pytest.approx(np.trace(np.cov(fake.T)), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), d=st.integers(1, 12), shift=st.floats(-3, 3))
def test_symmetry_identity_and_rotation(seed: int, n: int, d: int, shift: float) -> None:
    real, fake = normal(n, d, seed), normal(n + 5, d, seed + 1, shift=shift)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    value = frechet_distance(real, fake)
    # Square roots of eigenvalues that should be 0 leave about 1e-7.
    assert frechet_distance(fake, real) == pytest.approx(value, rel=1e-6, abs=1e-5)
    assert frechet_distance(real @ turn + 2, fake @ turn + 2) == pytest.approx(value, rel=1e-6, abs=1e-5)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-5)
    assert value >= 0


def test_equal_to_torch_fidelity_on_the_same_features() -> None:
    real, fake = normal(400, 24, 0), normal(300, 24, 1, scale=1.3, shift=0.2)
    stats = [fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    expected = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-9)


class AsModule(torch.nn.Module):
    """Our extractor as torchmetrics wants one: (N, C, H, W) uint8 in, features out."""

    def __init__(self, extractor: Extractor):
        super().__init__()
        self.extractor, self.num_features = extractor, extractor.dim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.extractor(images.permute(0, 2, 3, 1).numpy()))


def test_equal_to_torchmetrics_with_our_extractor(fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray]) -> None:
    real, fake = clothes[0][:500], 255 - clothes[1][:400]
    metric = FrechetInceptionDistance(feature=AsModule(fashion)).set_dtype(torch.float64)
    for images, is_real in ((real, True), (fake, False)):
        metric.update(torch.from_numpy(images).permute(0, 3, 1, 2), real=is_real)
    ours = frechet_distance(fashion(real), fashion(fake))
    # torchmetrics takes the covariance from raw sums, which costs digits, and eigvals of the unsymmetrised product.
    assert ours == pytest.approx(metric.compute().item(), rel=1e-4)


def test_influence_is_the_change_when_a_fake_weighs_more() -> None:
    real, fake = normal(500, 6, 0), normal(80, 6, 1, shift=0.4)
    influence, reference = frechet_influence(Moments.of(real), fake), Moments.of(real)
    step = 1e-5
    for i in (0, 7, 79):
        weights = np.full(80, (1 - step) / 80)
        weights[i] += step
        mean = weights @ fake
        scale = 80 / 79  # as the unbiased covariance of equal weights
        cov = scale * ((fake - mean).T * weights) @ (fake - mean)
        slope = (frechet_from_moments(reference, Moments(mean, cov)) - frechet_distance(real, fake)) / step
        # The gradient is for the covariance with N - 1; the influence's has N: they differ by 1 / N of themselves.
        assert influence[i] == pytest.approx(slope, rel=0.05, abs=0.2)
    assert influence.mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "real: this score needs at least 2 images, got 1"),
        (np.zeros((5, 3)), np.zeros((0, 3)), "fake: this score needs at least 2 images, got 0"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "fake: 5 of 5 features are not finite"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "features of unlike width: real 3, fake 4"),
        (np.zeros(5), np.zeros((5, 4)), r"real: expected features \(N, D\), got shape \(5,\)"),
    ],
)
def test_bad_features_are_named(real: np.ndarray, fake: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        frechet_distance(real, fake)
    assert error.value.exit_code == 4


def test_moments_of_unlike_width_are_refused() -> None:
    with pytest.raises(DataError, match="unlike width"):
        frechet_from_moments(Moments.of(normal(5, 2, 0)), Moments.of(normal(5, 3, 0)))

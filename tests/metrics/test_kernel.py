"""The kernel distance by its definition, and against torchmetrics and torch-fidelity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import KernelInceptionDistance

from gansmith.core.errors import DataError
from gansmith.metrics import kernel_distance


def sets(n: int, m: int, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 16)), rng.normal(size=(m, 16)) + shift


def test_equal_to_its_definition() -> None:
    real, fake = sets(23, 31)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 16 + 1) ** 3)

    among_real = np.mean([kernel(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j])
    among_fake = np.mean([kernel(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i != j])
    across = np.mean([kernel(x, y) for x in real for y in fake])
    assert kernel_distance(real, fake) == pytest.approx(among_real + among_fake - 2 * across, rel=1e-10)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = sets(50, 40)
    whole = kernel_distance(real, fake)
    monkeypatch.setattr("gansmith.metrics.kernel.CHUNK", 7)
    assert kernel_distance(real, fake) == pytest.approx(whole, rel=1e-12)


def test_equal_to_torch_fidelity_on_the_same_features() -> None:
    real, fake = sets(200, 200)
    # Subsets as large as the sets are the sets: both take all pairs.
    found = kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=1, kid_subset_size=200, verbose=False
    )
    assert kernel_distance(real, fake) == pytest.approx(found["kernel_inception_distance_mean"], rel=1e-9)
    assert kernel_distance(real, fake, subsets=2, subset_size=200) == pytest.approx(kernel_distance(real, fake))


class Identity(torch.nn.Module):
    num_features = 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all extracted features")
def test_equal_to_torchmetrics() -> None:
    real, fake = sets(150, 150)
    metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=150).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    assert kernel_distance(real, fake) == pytest.approx(metric.compute()[0].item(), rel=1e-9)


def test_subsets_agree_with_all_pairs_and_repeat() -> None:
    real, fake = sets(600, 500)
    subsets = kernel_distance(real, fake, subsets=50, subset_size=100, seed=3)
    assert subsets == kernel_distance(real, fake, subsets=50, subset_size=100, seed=3)
    assert subsets == pytest.approx(kernel_distance(real, fake), rel=0.1)


def test_unbiased_around_zero_for_equal_distributions() -> None:
    rng = np.random.default_rng(2)
    values = [kernel_distance(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert min(values) < 0


def test_too_few_for_the_subsets() -> None:
    with pytest.raises(DataError, match="subsets of 1000 need that many images, got 20 real and 30 fake") as error:
        kernel_distance(*sets(20, 30), subsets=2)
    assert error.value.exit_code == 4

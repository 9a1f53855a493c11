"""What is measured of a moment, against values worked out by hand and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gansmith.watch.signals import Reals, above, bins, counted, energy, of_fakes, of_outputs, squared
from gansmith.watch.space import Space


def normal(n: int, seed: int, dim: int = 4) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_ranks_by_hand() -> None:
    """Of 2 x 3 pairs, three are right and one is a tie."""
    assert above(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0, 4.0])) == pytest.approx((2 + 1.5) / 6)


def test_ranks_of_two_normals() -> None:
    """P(x > y) = Phi(d / sqrt 2)."""
    x, y = normal(4000, 0, 1).flatten() + 1, normal(4000, 1, 1).flatten()
    expected = torch.distributions.Normal(0, 1).cdf(torch.tensor(1 / 2**0.5)).item()
    assert above(x, y) == pytest.approx(expected, abs=0.02)


def test_the_gap_is_in_deviations() -> None:
    found = of_outputs(normal(4000, 0, 1).flatten() * 3 + 6, None, normal(4000, 1, 1).flatten() * 3)
    assert found["gap"] == pytest.approx(2.0, abs=0.1)
    assert "overfit" not in found


def test_energy_distance_of_two_points_each() -> None:
    """x in {0, 1}, y in {2, 4}: 2 * 2.5 - 1 - 2."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [4.0]])
    assert energy(squared(x, y), squared(x, x), squared(y, y)) == pytest.approx(5 - 1 - 2)


def test_bins_are_the_clusters() -> None:
    means = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    rows = (means[torch.arange(300) % 3] + 0.1 * normal(300, 0, 2)).contiguous()
    centres = bins(rows, 3)
    assert squared(centres, means).min(1).values.max() < 0.01
    assert counted(rows, centres).tolist() == pytest.approx([1 / 3] * 3)


@pytest.fixture(scope="module")
def reals() -> Reals:
    return Reals.of(normal(1000, 0), normal(1000, 1), 256)


def test_samples_of_the_truth_are_well(reals: Reals) -> None:
    found = of_fakes(normal(256, 2), reals)
    for name, right, off in (
        ("diversity", 1.0, 0.1),
        ("missed", 0.0, 0.05),
        ("crowding", 1.0, 0.25),
        ("coverage", 1.0, 0.15),
        ("distance", 0.0, 0.02),
        ("copying", 1.0, 0.25),
        ("remembered", 0.5, 0.1),
    ):
        assert found[name] == pytest.approx(right, abs=off), name
    assert found["realism"] > 0.9


def test_a_single_point_is_told(reals: Reals) -> None:
    found = of_fakes(torch.zeros(256, 4), reals)
    assert found["diversity"] == found["crowding"] == 0
    assert found["missed"] > 0.8
    assert found["coverage"] < 0.1


def test_half_of_the_truth_misses_the_bins_of_the_other_half(reals: Reals) -> None:
    """But for those that lie on the border."""
    fakes = normal(512, 3)
    found = of_fakes(fakes[fakes[:, 0] > 0][:200], reals)
    assert 0.2 < found["missed"] < 0.5


def test_copies_are_told(reals: Reals) -> None:
    found = of_fakes(reals.known[:256] + 0.01 * normal(256, 4), reals)
    assert found["copying"] < 0.01
    assert found["remembered"] > 0.99


def test_the_space_of_points_is_centred_and_scaled() -> None:
    points = 5 + 3 * normal(500, 0, 2)
    rows = Space.of(points)(points)
    assert rows.mean(0).abs().max() < 1e-4
    assert rows.square().sum(1).mean() == pytest.approx(1.0, rel=0.01)


def test_images_in_another_range_are_the_same() -> None:
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one, other = Space.of(images), Space.of(images * 255)
    torch.testing.assert_close(one(images), other(images * 255), rtol=1e-3, atol=1e-3)


def test_what_is_not_finite_is_measured_all_the_same() -> None:
    images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(Space.of(images)(images * float("nan"))).all()


def test_what_is_seen_of_an_image_does_not_depend_on_the_others() -> None:
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    space = Space.of(images)
    torch.testing.assert_close(space(images)[:4], space(images[:4]), rtol=1e-3, atol=1e-4)

"""The reconstruction losses against arithmetic done by hand, torch's distributions and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from gansmith.core.errors import ConfigError
from gansmith.losses.reconstruction import RECONSTRUCTIONS, Reconstruction, kl_to_normal, l1, mse, reconstruction_named

every_one = pytest.mark.parametrize("function", RECONSTRUCTIONS.values(), ids=RECONSTRUCTIONS.keys())


def test_by_hand() -> None:
    output, target = torch.tensor([[1.0, -1.0], [0.5, 0.0]]), torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    # differences 1, -2, 0, 0: (1 + 2)/4 and (1 + 4)/4
    assert (l1(output, target).item(), mse(output, target).item()) == (0.75, 1.25)


@every_one
def test_zero_where_nothing_is_lost(function: Reconstruction) -> None:
    x = torch.randn(2, 3, 4, 4)
    assert function(x, x) == 0


@every_one
def test_gradients_against_finite_differences(function: Reconstruction) -> None:
    output, target = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    assert torch.autograd.gradcheck(function, (output.requires_grad_(), target))


@every_one
def test_bf16_is_summed_in_fp32(function: Reconstruction) -> None:
    output, target = torch.randn(2, 4, 256, generator=torch.manual_seed(0)).bfloat16()
    assert function(output, target).dtype == torch.float32
    assert function(output, target).item() == pytest.approx(function(output.double(), target.double()).item(), rel=1e-5)


@every_one
def test_shapes_that_would_broadcast_are_refused(function: Reconstruction) -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\), \(4,\)"):
        function(torch.zeros(4, 1), torch.zeros(4))


def test_names() -> None:
    assert reconstruction_named("l1") is l1
    with pytest.raises(ConfigError, match="did you mean 'mse'"):
        reconstruction_named("mes")


def test_kl_is_that_of_torchs_distributions() -> None:
    mean, logvar = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.manual_seed(0))
    codes = Independent(Normal(mean, (logvar / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    expected = kl_divergence(codes, prior).mean() / 5  # of six codes of five numbers each
    torch.testing.assert_close(kl_to_normal(mean, logvar), expected)


def test_kl_is_zero_at_the_prior_and_only_there() -> None:
    zeros = torch.zeros(3, 4)
    assert kl_to_normal(zeros, zeros) == 0
    # (e - 1 - 1) / 2, and 1/2
    assert kl_to_normal(zeros, zeros + 1).item() == pytest.approx((torch.e - 2) / 2)
    assert kl_to_normal(zeros + 1, zeros).item() == 0.5


def test_gradients_of_kl_against_finite_differences() -> None:
    mean, logvar = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.manual_seed(0)).unbind()
    assert torch.autograd.gradcheck(kl_to_normal, (mean.requires_grad_(), logvar.requires_grad_()))


def test_kl_in_bf16_is_summed_in_fp32_and_refuses_unlike_shapes() -> None:
    mean, logvar = torch.randn(2, 4, 256, generator=torch.manual_seed(0)).bfloat16()
    assert kl_to_normal(mean, logvar).dtype == torch.float32
    assert kl_to_normal(mean, logvar).item() == pytest.approx(kl_to_normal(mean.double(), logvar.double()).item())
    with pytest.raises(ValueError, match=r"\(4, 1\), \(4,\)"):
        kl_to_normal(torch.zeros(4, 1), torch.zeros(4))

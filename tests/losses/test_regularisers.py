"""What D pays for the size of its outputs, against arithmetic by hand and finite differences."""

from __future__ import annotations

import pytest
import torch

from gansmith.losses.regularisers import drift, lecam

REAL, FAKE = torch.tensor([2.0, -1.0, 3.0]), torch.tensor([-1.0, 0.0, 4.0])


def test_drift_by_hand() -> None:
    # (2² + 1² + 3²) / 3
    assert drift(REAL).item() == pytest.approx(14 / 3)


def test_lecam_by_hand() -> None:
    # α_R = 1, α_F = -2: ((2+2)² + (-1+2)² + (3+2)²) / 3 + ((-1-1)² + (0-1)² + (4-1)²) / 3 = 42/3 + 14/3
    value = lecam(REAL, FAKE, torch.tensor(1.0), torch.tensor(-2.0))
    assert value.item() == pytest.approx(56 / 3)


def test_lecam_is_least_where_each_kind_is_judged_as_the_other() -> None:
    usual_real, usual_fake = torch.tensor(1.0), torch.tensor(-2.0)
    assert lecam(usual_fake.expand(3), usual_real.expand(3), usual_real, usual_fake) == 0
    real = REAL.clone().requires_grad_()
    lecam(real, FAKE, usual_real, usual_fake).backward()
    torch.testing.assert_close(real.grad, 2 * (REAL + 2) / 3)


def test_gradients_against_finite_differences() -> None:
    real, fake = torch.randn(2, 5, dtype=torch.float64)
    usual = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-0.7, dtype=torch.float64)
    assert torch.autograd.gradcheck(drift, real.requires_grad_())
    assert torch.autograd.gradcheck(lambda r, f: lecam(r, f, *usual), (real, fake.requires_grad_()))


def test_bf16_outputs_are_averaged_in_fp32() -> None:
    # A thousand ones and a four: bf16 cannot tell 1015 from 1001 + 15 squares.
    real = torch.ones(1001, dtype=torch.bfloat16)
    real[0] = 4
    assert drift(real).dtype == torch.float32
    assert drift(real).item() == pytest.approx(1016 / 1001)
    assert lecam(real, real, torch.zeros(()), torch.zeros(())).item() == pytest.approx(2 * 1016 / 1001)

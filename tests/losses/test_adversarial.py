"""The adversarial losses against arithmetic done by hand, cross-entropy, finite differences and their invariances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, sigmoid

from gansmith.core.errors import ConfigError
from gansmith.losses.adversarial import LOSSES, AdversarialLoss, least_squares, loss_named, smoothed

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
some_logits = st.lists(st.floats(-50, 50), min_size=1, max_size=8)
unhurried = settings(deadline=None)  # the machine may be busy
ln = math.log

# Two real logits with probabilities 3/4 and 1/2, two fake ones with 1/4 and 1/2.
REAL = torch.tensor([ln(3), 0.0], dtype=torch.float64)
FAKE = torch.tensor([-ln(3), 0.0], dtype=torch.float64)

BY_HAND = {
    # d: -[ln 3/4 + ln 1/2]/2 - [ln(1 - 1/4) + ln(1 - 1/2)]/2 = -ln(3/8);  g: [ln 3/4 + ln 1/2]/2 = ln(3/8)/2
    "minimax": (-ln(3 / 8), ln(3 / 8) / 2),
    # g: -[ln 1/4 + ln 1/2]/2 = ln(8)/2
    "nonsaturating": (-ln(3 / 8), ln(8) / 2),
    # d: [(ln 3 - 1)² + (0 - 1)²]/4 + [(ln 3)² + 0]/4;  g: [(-ln 3 - 1)² + (0 - 1)²]/4
    "least-squares": (((ln(3) - 1) ** 2 + 1 + ln(3) ** 2) / 4, ((ln(3) + 1) ** 2 + 1) / 4),
    # d: (-ln 3 + 0)/2 - (ln 3 + 0)/2 = -ln 3;  g: -(-ln 3 + 0)/2
    "wasserstein": (-ln(3), ln(3) / 2),
    # ln 3 = 1.0986 > 1, so d: [0 + 1]/2 + [0 + 1]/2 = 1;  g: as wasserstein
    "hinge": (1.0, ln(3) / 2),
    # real - fake = (2 ln 3, 0): softplus(-2 ln 3) = ln(1 + 1/9), softplus(0) = ln 2
    # fake - real = (-2 ln 3, 0): softplus(2 ln 3) = ln(1 + 9)
    "relativistic": ((ln(10 / 9) + ln(2)) / 2, (ln(10) + ln(2)) / 2),
}


@every_loss
def test_by_hand(loss: AdversarialLoss) -> None:
    d, g = BY_HAND[loss.name]
    assert loss.d(REAL, FAKE).item() == pytest.approx(d, rel=1e-12)
    assert loss.g(FAKE, REAL).item() == pytest.approx(g, rel=1e-12)


@every_loss
def test_record(loss: AdversarialLoss) -> None:
    assert loss_named(loss.name) is loss
    assert loss.paper
    assert loss.is_critic == (loss.name == "wasserstein")
    assert loss.paired == (loss.name == "relativistic")


def test_a_wrong_name_says_which_is_near() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'hinge'.*wasserstein"):
        loss_named("hinje")
    with pytest.raises(ConfigError, match="'zzz': there are minimax"):
        loss_named("zzz")


@every_loss
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_gradients_against_finite_differences(loss: AdversarialLoss, epsilon: float) -> None:
    # Logits away from hinge's kinks at 1 and -1.
    real = torch.tensor([[-2.0, 0.3], [0.7, 3.0]], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([[1.5, -0.4], [0.1, -3.0]], dtype=torch.float64, requires_grad=True)
    loss = smoothed(loss, epsilon)
    assert torch.autograd.gradcheck(loss.d, (real, fake))
    assert torch.autograd.gradcheck(loss.g, (fake, real))


@every_loss
@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 1, 3, 3)])
def test_any_shape_gives_a_scalar(loss: AdversarialLoss, shape: tuple[int, ...]) -> None:
    real, fake = torch.randn(2, *shape)
    assert loss.d(real, fake).shape == loss.g(fake, real).shape == ()


@every_loss
def test_shapes_that_would_broadcast_are_refused(loss: AdversarialLoss) -> None:
    with pytest.raises(ValueError, match=r"\(4, 1\), \(4,\)"):
        loss.d(torch.zeros(4, 1), torch.zeros(4))


def test_a_paired_loss_asks_for_real_logits() -> None:
    with pytest.raises(ValueError, match=r"relativistic.*paired"):
        LOSSES["relativistic"].g(FAKE)


@every_loss
@pytest.mark.parametrize("real", [-1e4, 1e4])
@pytest.mark.parametrize("fake", [-1e4, 1e4])
def test_finite_at_extreme_logits(loss: AdversarialLoss, real: float, fake: float) -> None:
    x, y = torch.full((3,), real, requires_grad=True), torch.full((3,), fake, requires_grad=True)
    for value in (loss.d(x, y), smoothed(loss, 0.1).d(x, y), loss.g(y, x)):
        gradients = torch.autograd.grad(value, (x, y), materialize_grads=True)
        assert value.isfinite()
        assert all(g.isfinite().all() for g in gradients)


@every_loss
def test_half_precision_logits_give_full_precision_losses(loss: AdversarialLoss) -> None:
    real, fake = torch.randn(2, 64, generator=torch.manual_seed(0)).bfloat16()
    for value, exact in (
        (loss.d(real, fake), loss.d(real.double(), fake.double())),
        (loss.g(fake, real), loss.g(fake.double(), real.double())),
    ):
        assert value.dtype == torch.float32
        # bf16 arithmetic would be wrong in the third digit.
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert loss.d(real, fake).dtype == loss.g(fake, real).dtype == torch.float32


@every_loss
def test_d_pays_less_where_it_is_right_and_g_where_it_fools(loss: AdversarialLoss) -> None:
    high, low = torch.full((2,), 0.9), torch.full((2,), 0.1)
    assert loss.d(high, low) < loss.d(low, high)
    assert loss.g(high, low) < loss.g(low, high)


# ---- label smoothing


def _cross_entropy(x: Tensor, target: float) -> Tensor:
    return binary_cross_entropy_with_logits(x, torch.full_like(x, target))


@every_loss
def test_no_smoothing_is_the_loss_itself(loss: AdversarialLoss) -> None:
    assert smoothed(loss, 0) is loss


@every_loss
def test_smoothing_is_one_sided(loss: AdversarialLoss) -> None:
    soft = smoothed(loss, 0.1)
    assert soft.g(FAKE, REAL) == loss.g(FAKE, REAL)
    assert soft.as_fake is loss.as_fake
    assert (soft.name, soft.paper, soft.paired) == (loss.name, loss.paper, loss.paired)


@unhurried
@given(real=some_logits, fake=some_logits, epsilon=st.floats(0, 0.49))
def test_smoothed_cross_entropy_is_a_soft_target(real: list[float], fake: list[float], epsilon: float) -> None:
    r, f = torch.tensor(real, dtype=torch.float64), torch.tensor(fake * len(real), dtype=torch.float64)[: len(real)]
    expected = _cross_entropy(r, 1 - epsilon) + _cross_entropy(f, 0)
    for name in ("minimax", "nonsaturating"):
        torch.testing.assert_close(smoothed(LOSSES[name], epsilon).d(r, f), expected)
    torch.testing.assert_close(smoothed(LOSSES["relativistic"], epsilon).d(r, f), _cross_entropy(r - f, 1 - epsilon))


@unhurried
@given(a=st.floats(-2, 2), b=st.floats(-2, 2), epsilon=st.floats(0, 0.49))
def test_smoothed_least_squares_moves_the_target(a: float, b: float, epsilon: float) -> None:
    # (1-ε)½(x-b)² + ε½(x-a)² = ½(x-t)² + ½ε(1-ε)(b-a)², t = (1-ε)b + εa
    target, constant = (1 - epsilon) * b + epsilon * a, epsilon * (1 - epsilon) * (b - a) ** 2 / 2
    expected = least_squares(a, target).d(REAL, FAKE) + constant
    torch.testing.assert_close(smoothed(least_squares(a, b), epsilon).d(REAL, FAKE), expected)


def test_smoothed_hinge_and_wasserstein_by_hand() -> None:
    real, fake = torch.tensor([2.0]), torch.tensor([0.5])
    # hinge: 0.9·max(0, 1-2) + 0.1·max(0, 1+2) + max(0, 1+0.5) = 0 + 0.3 + 1.5
    assert smoothed(LOSSES["hinge"], 0.1).d(real, fake).item() == pytest.approx(1.8)
    # wasserstein: 0.9·(-2) + 0.1·2 + 0.5
    assert smoothed(LOSSES["wasserstein"], 0.1).d(real, fake).item() == pytest.approx(-1.1)


@pytest.mark.parametrize("epsilon", [-0.1, 0.5, 1.0, math.nan])
def test_smoothing_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(ConfigError, match="label smoothing: expected a number from 0"):
        smoothed(LOSSES["hinge"], epsilon)


# ---- what is peculiar to one of them


@unhurried
@given(real=some_logits, shift=st.floats(-100, 100))
def test_wasserstein_does_not_see_a_shift_of_the_critic(real: list[float], shift: float) -> None:
    r = torch.tensor(real, dtype=torch.float64)
    f = r.flip(0) * 0.5 - 1
    loss = LOSSES["wasserstein"]
    torch.testing.assert_close(loss.d(r + shift, f + shift), loss.d(r, f), atol=1e-9, rtol=0)


@unhurried
@given(real=some_logits, shift=st.floats(-100, 100))
def test_relativistic_does_not_see_a_shift_of_both(real: list[float], shift: float) -> None:
    r = torch.tensor(real, dtype=torch.float64)
    f = r.flip(0) * 0.5 - 1
    loss = LOSSES["relativistic"]
    for soft in (loss, smoothed(loss, 0.1)):
        torch.testing.assert_close(soft.d(r + shift, f + shift), soft.d(r, f), atol=1e-9, rtol=0)
    torch.testing.assert_close(loss.g(f + shift, r + shift), loss.g(f, r), atol=1e-9, rtol=0)


def test_relativistic_is_symmetric() -> None:
    loss = LOSSES["relativistic"]
    torch.testing.assert_close(loss.g(FAKE, REAL), loss.d(FAKE, REAL))


def test_nonsaturating_keeps_the_gradient_that_minimax_loses() -> None:
    fake = torch.tensor([-20.0], requires_grad=True)
    # D(fake) = sigmoid(-20) = 2e-9. d/dx -softplus(x) = -sigmoid(x); d/dx softplus(-x) = -sigmoid(-x).
    (minimax,) = torch.autograd.grad(LOSSES["minimax"].g(fake), fake)
    (nonsaturating,) = torch.autograd.grad(LOSSES["nonsaturating"].g(fake), fake)
    torch.testing.assert_close(minimax, -sigmoid(fake.detach()))
    assert minimax.abs() < 1e-8
    assert nonsaturating.item() == pytest.approx(-1)


def test_hinge_forgets_what_d_has_right_by_a_margin() -> None:
    real, fake = torch.tensor([1.5], requires_grad=True), torch.tensor([-1.5], requires_grad=True)
    loss = LOSSES["hinge"].d(real, fake)
    gradients = torch.autograd.grad(loss, (real, fake))
    assert (loss.item(), *(g.item() for g in gradients)) == (0, 0, 0)


@unhurried
@given(ratio=st.floats(0.01, 0.99))
def test_d_of_minimax_is_best_at_the_share_of_real(ratio: float) -> None:
    # Goodfellow 2014, prop. 1: D* = p/(p + q). With p : q = n : m at one point, its gradient is 0 at logit ln(n/m).
    x = torch.tensor(ln(ratio / (1 - ratio)), dtype=torch.float64, requires_grad=True)
    loss = LOSSES["minimax"]
    (gradient,) = torch.autograd.grad(ratio * loss.as_real(x) + (1 - ratio) * loss.as_fake(x), x)
    assert gradient.item() == pytest.approx(0, abs=1e-12)


def test_least_squares_with_other_targets_by_hand() -> None:
    loss = least_squares(a=-1, b=1, c=0)
    real, fake = torch.tensor([2.0]), torch.tensor([0.5])
    # d: ½(2-1)² + ½(0.5+1)² = 0.5 + 1.125;  g: ½·0.5² = 0.125
    assert (loss.d(real, fake).item(), loss.g(fake).item()) == (1.625, 0.125)

"""The penalties against closed forms, arithmetic done by hand, and finite differences of the double backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gansmith.core.errors import ConfigError
from gansmith.losses.penalties import PENALTIES, Penalty, clip_weights, dragan, gradient_penalty, penalty_named, r1, r2

every_penalty = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())
unhurried = settings(deadline=None)  # the machine may be busy
some_weights = st.lists(st.floats(-3, 3), min_size=1, max_size=6)


def _points(n: int = 5, d: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    real, fake = torch.randn(2, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return real, fake


def _smooth_critic(d: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(d, 4), nn.Tanh(), nn.Linear(4, 1)).double()


@every_penalty
def test_record(penalty: Penalty) -> None:
    assert penalty_named(penalty.name) is penalty
    assert penalty.paper


def test_a_wrong_name_says_which_is_near() -> None:
    with pytest.raises(ConfigError, match="did you mean 'dragan'"):
        penalty_named("dragn")


# ---- closed forms


@unhurried
@given(weights=some_weights)
def test_linear_critic(weights: list[float]) -> None:
    # D(x) = w·x + 7 has the gradient w everywhere, wherever the random points fall.
    w = torch.tensor(weights, dtype=torch.float64)
    real, fake = _points(d=len(w))

    def critic(x: Tensor) -> Tensor:
        return x @ w + 7

    norm = w.norm()
    for function in (gradient_penalty, dragan):
        torch.testing.assert_close(function(critic, real, fake), (norm - 1) ** 2)
    for function in (r1, r2):
        torch.testing.assert_close(function(critic, real, fake), norm**2 / 2)


def test_linear_critic_by_hand() -> None:
    # w = (3, 4): ‖w‖ = 5, (5 - 1)² = 16, ½·25 = 12.5
    w = torch.tensor([3.0, 4.0])
    values = {
        name: p.function(lambda x: x @ w, torch.zeros(2, 2), torch.ones(2, 2)).item() for name, p in PENALTIES.items()
    }
    assert values == pytest.approx({"gp": 16, "dragan": 16, "r1": 12.5, "r2": 12.5})


def _quadratic(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1) / 2


def test_quadratic_critic_r1_and_r2_by_hand() -> None:
    # D(x) = ½‖x‖² has the gradient x. real: ½·(3² + 4² + 0² + 2²)/2 = 7.25; fake: ½·(1² + 1²)/2 = 0.5
    real, fake = torch.tensor([[3.0, 4.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert r1(_quadratic, real, fake).item() == pytest.approx(7.25)
    assert r2(_quadratic, real, fake).item() == pytest.approx(0.5)


def test_gradient_penalty_takes_one_random_point_per_sample_between_the_pair() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return _quadratic(x)

    real, fake = torch.zeros(1000, 1, 2, 2), torch.ones(1000, 1, 2, 2)
    value = gradient_penalty(critic, real, fake)
    (x,) = seen
    # Every pixel of a sample has the same share of the fake, 1 - α, whose norm is 2 (1 - α) for four pixels.
    share = x[:, 0, 0, 0]
    torch.testing.assert_close(x, share[:, None, None, None].expand_as(x))
    assert share.min() >= 0
    assert share.max() <= 1
    assert share.unique().numel() > 900
    # The mean of U[0, 1) over 1000 samples: 0.5 with a standard error of 0.29 / √1000 = 0.009.
    assert share.mean().item() == pytest.approx(0.5, abs=0.04)
    torch.testing.assert_close(value, (2 * share - 1).square().mean())


def test_dragan_looks_around_the_reals_at_half_their_spread() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return _quadratic(x)

    # Half the numbers 0, half 4: their standard deviation is 2, so that noise is in [0, 1).
    real = torch.tensor([0.0, 4.0]).repeat(500)[:, None].expand(1000, 8).contiguous()
    value = dragan(critic, real, torch.full_like(real, torch.nan))
    noise = seen[0] - real
    assert noise.min() >= -1e-6
    assert noise.max() <= 1
    # α u, the product of two independent U[0, 1): mean 1/4; the largest of a sample says that α is one per sample.
    assert noise.mean().item() == pytest.approx(0.25, abs=0.04)
    assert (noise.amax(1) < 0.1).float().mean() > 0.05
    torch.testing.assert_close(value, (seen[0].norm(dim=1) - 1).square().mean())


def test_dragans_spread_is_that_of_the_batch_itself() -> None:
    noise: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        noise.append(x.detach() - real)
        return _quadratic(x)

    # 0 and 4 deviate from their mean by 2; the estimate for a larger population, 2·√2, would let noise reach 1.41.
    real = torch.tensor([[0.0], [4.0]])
    for _ in range(200):
        dragan(critic, real, real)
    assert 0.9 < torch.cat(noise).max().item() < 1.0


@pytest.mark.parametrize("function", [gradient_penalty, dragan])
def test_randomness_is_that_of_the_global_generator(function: Callable[..., Tensor]) -> None:
    real, fake = _points()
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(function(_quadratic, real, fake).item())
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("function", [r1, r2])
def test_r1_and_r2_draw_nothing(function: Callable[..., Tensor]) -> None:
    before = torch.get_rng_state()
    function(_quadratic, *_points())
    assert torch.equal(torch.get_rng_state(), before)


# ---- derivatives


@every_penalty
def test_gradient_to_the_critics_weights_against_central_differences(penalty: Penalty) -> None:
    critic, (real, fake) = _smooth_critic(), _points()

    def value() -> Tensor:
        torch.manual_seed(5)
        return penalty.function(critic, real, fake)

    value().backward()
    h = 1e-6
    for name, weight in critic.named_parameters():
        if name == "2.bias":
            assert weight.grad is None  # a constant added to D has no part in its gradient
            continue
        numeric = torch.zeros_like(weight)
        for i in range(weight.numel()):
            at = weight.data.view(-1)
            old = at[i].item()
            at[i] = old + h
            above = value().item()
            at[i] = old - h
            below = value().item()
            at[i] = old
            numeric.view(-1)[i] = (above - below) / (2 * h)
        torch.testing.assert_close(weight.grad, numeric, atol=1e-7, rtol=1e-6)


@every_penalty
def test_only_the_critic_is_trained(penalty: Penalty) -> None:
    real, fake = _points()
    real.requires_grad_()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)  # a generator of one weight
    penalty.function(_smooth_critic(), real, fake * scale).backward()
    assert real.grad is None
    assert scale.grad is None


@every_penalty
def test_the_callers_batch_is_left_alone(penalty: Penalty) -> None:
    real, fake = _points()
    before = real.clone(), fake.clone()
    penalty.function(_smooth_critic(), real, fake)
    assert not real.requires_grad
    assert not fake.requires_grad
    assert torch.equal(real, before[0])
    assert torch.equal(fake, before[1])


def test_a_flat_critic_gives_no_nan() -> None:
    # ‖∇D‖ = 0 at w = 0, where the derivative of a square root is infinite.
    w = torch.zeros(3, requires_grad=True)
    value = gradient_penalty(lambda x: x @ w, torch.randn(4, 3), torch.randn(4, 3))
    value.backward()
    assert value.item() == 1
    assert w.grad is not None
    assert w.grad.isfinite().all()


# ---- shapes and precision


@every_penalty
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_images_and_logits_of_patches(penalty: Penalty, layout: torch.memory_format) -> None:
    # Sixteen equal logits (N, 1, 4, 4) that sum to Σ x, whose gradient is 1 at each of 3·8·8 = 192 numbers.
    def patches(x: Tensor) -> Tensor:
        return x.sum(dim=(1, 2, 3))[:, None, None, None].expand(-1, 1, 4, 4) / 16

    real, fake = (torch.randn(2, 3, 8, 8).to(memory_format=layout) for _ in range(2))
    norm = torch.tensor(192.0).sqrt()
    expected = norm**2 / 2 if penalty.name in {"r1", "r2"} else (norm - 1) ** 2
    torch.testing.assert_close(penalty.function(patches, real, fake), expected)


def test_gradient_penalty_refuses_unequal_batches() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\), \(1, 3\)"):
        gradient_penalty(_quadratic, torch.zeros(4, 3), torch.zeros(1, 3))


@every_penalty
def test_autocast_outside_does_not_reach_in(penalty: Penalty) -> None:
    critic = _smooth_critic().float()
    real, fake = (x.float() for x in _points())
    torch.manual_seed(0)
    plain = penalty.function(critic, real, fake)
    dtypes = []
    critic[0].register_forward_hook(lambda _, __, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        critic(real)  # a forward pass of the adversarial loss, whose bf16 weights autocast keeps
        torch.manual_seed(0)
        value = penalty.function(critic, real, fake)
    assert dtypes == [torch.bfloat16, torch.float32]
    assert torch.equal(value, plain)


@every_penalty
def test_half_precision_images_are_raised_to_fp32(penalty: Penalty) -> None:
    real, fake = (x.bfloat16() for x in _points())
    value = penalty.function(_smooth_critic().float(), real, fake)
    assert value.dtype == torch.float32


def test_batch_normalisation_mixes_the_samples_gradients() -> None:
    """What the module's docstring warns of: one image's gradient depends on its company."""
    critic = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)).double()
    real, fake = _points(8)

    def squared(batch: Tensor) -> float:
        return 2 * len(batch) * r1(critic, batch, fake).item()

    alone, other, together = squared(real[:4]), squared(real[4:]), squared(real)
    assert alone + other != pytest.approx(together, rel=1e-3)
    critic.eval()
    alone, other, together = squared(real[:4]), squared(real[4:]), squared(real)
    assert alone + other == pytest.approx(together)


# ---- clipping


@unhurried
@given(limit=st.floats(1e-3, 1))
def test_clipping(limit: float) -> None:
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1))
    before = [p.detach().clone() for p in net.parameters()]
    kept = list(net.parameters())
    assert clip_weights(limit)(net) is None
    for now, was, same in zip(net.parameters(), before, kept, strict=True):
        assert now is same
        assert now.requires_grad
        assert torch.equal(now, was.clamp(-limit, limit))


def test_clipping_nothing() -> None:
    clip_weights(0.01)(nn.Tanh())


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(limit: float) -> None:
    with pytest.raises(ConfigError, match="weight clipping: expected a positive number"):
        clip_weights(limit)

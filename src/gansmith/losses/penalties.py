"""What D pays for the size of its gradients, and the clipping of its weights.

Every penalty is a function ``(critic, real, fake) -> scalar``; its weight (λ, γ) is applied by the caller. `critic`
maps images (N, C, H, W), or points (N, D), to logits (N, ...), which are summed per sample. The images' own graphs
are cut: a penalty trains the critic alone. It is computed in fp32 or better with autocast off, because the gradient
of a gradient's norm loses too much in half precision, and it can be differentiated again (double backward).

Batch normalisation in the critic: D(x_i) then depends on the other images of the batch, so what is computed for x_i
is ∂/∂x_i Σ_j D(x_j), not the gradient of D at x_i, and the penalty is no longer the one of the papers (Gulrajani et
al. 2017, sec. 4, "No critic batch normalization"). The forward pass also moves the running statistics. Use layer,
instance or spectral normalisation, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansmith.core.errors import ConfigError
from gansmith.core.names import named

Critic = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) or points (N, D) to logits (N, ...)."""


@dataclass(frozen=True)
class Penalty:
    """A penalty on the critic's gradients.

    Attributes:
        name: its key in `PENALTIES`.
        paper: where it comes from.
        function: ``(critic, real, fake) -> scalar``, unweighted.
    """

    name: str
    paper: str
    function: Callable[[Critic, Tensor, Tensor], Tensor]


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E(‖∇D(x̂)‖₂ - 1)², x̂ = α real + (1 - α) fake, one α ~ U[0, 1) per sample, from torch's global generator.

    Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", eq. 3 (two-sided), where λ = 10.

    Args:
        critic: see the module.
        real, fake: images (N, C, H, W) or points (N, D), of equal shapes.

    Returns:
        A scalar >= 0.

    Raises:
        ValueError: the shapes differ.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake images differ in shape: {tuple(real.shape)}, {tuple(fake.shape)}")
    real, fake = _cut(real), _cut(fake)
    return _distance_from_one(critic, torch.lerp(fake, real, _one_per_sample(real)))


def dragan(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E(‖∇D(x̂)‖₂ - 1)², x̂ = real + α ½ σ u, one α ~ U[0, 1) per sample, one u ~ U[0, 1) per element.

    σ is the standard deviation of all the batch's numbers. Kodali et al. 2017, "On Convergence and Stability of
    GANs", alg. 1, where λ = 10. The noise is that of the released code; the paper's is δ ~ N(0, cI).

    Args:
        critic: see the module.
        real: images (N, C, H, W) or points (N, D).
        fake: ignored.

    Returns:
        A scalar >= 0.
    """
    real = _cut(real)
    noise = 0.5 * real.std(correction=0) * torch.rand_like(real)
    return _distance_from_one(critic, real + _one_per_sample(real) * noise)


def r1(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """½ E‖∇D(real)‖₂².

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", eq. 9, where γ = 10.

    Args:
        critic: see the module.
        real: images (N, C, H, W) or points (N, D).
        fake: ignored.

    Returns:
        A scalar >= 0.
    """
    return _half_square(critic, _cut(real))


def r2(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """½ E‖∇D(fake)‖₂².

    Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?", sec. 4.1: `r1` on the fakes.

    Args:
        critic: see the module.
        real: ignored.
        fake: images (N, C, H, W) or points (N, D).

    Returns:
        A scalar >= 0.
    """
    return _half_square(critic, _cut(fake))


PENALTIES = {
    penalty.name: penalty
    for penalty in (
        Penalty("gp", "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, eq. 3", gradient_penalty),
        Penalty("dragan", "Kodali et al. 2017, On Convergence and Stability of GANs, alg. 1", dragan),
        Penalty("r1", "Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, eq. 9", r1),
        Penalty("r2", "Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, sec. 4.1", r2),
    )
}


def penalty_named(name: str) -> Penalty:
    """The penalty of `PENALTIES` called `name`.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    return named("penalty", PENALTIES, name)


def clip_weights(limit: float) -> Callable[[nn.Module], None]:
    """A function that clips every parameter of a network that learns to [-limit, limit], in place; call it after D's
    step.

    Arjovsky et al. 2017, "Wasserstein GAN", alg. 1, line 7, where the limit is 0.01.

    Raises:
        ConfigError: `limit` is not positive.
    """
    if not limit > 0:
        raise ConfigError(f"weight clipping: expected a positive number, got {limit}")

    @torch.no_grad()
    def clip(net: nn.Module) -> None:
        weights: list[Tensor] = [p for p in net.parameters() if p.requires_grad]
        if weights:
            torch._foreach_clamp_min_(weights, -limit)
            torch._foreach_clamp_max_(weights, limit)

    return clip


def _cut(x: Tensor) -> Tensor:
    """`x` in fp32 or better, without its graph; a new tensor even where it shares x's memory."""
    return x.detach().to(torch.promote_types(x.dtype, torch.float32))


def _one_per_sample(x: Tensor) -> Tensor:
    """Numbers of U[0, 1), of shape (N, 1, ...), that broadcast over samples of x's shape."""
    return torch.rand(x.shape[0], *[1] * (x.dim() - 1), dtype=x.dtype, device=x.device)


def _distance_from_one(critic: Critic, x: Tensor) -> Tensor:
    # vector_norm has the gradient 0 where the norm is 0; sqrt(sum of squares) would give NaN there.
    norms: Tensor = torch.linalg.vector_norm(_gradients(critic, x), dim=1)
    return (norms - 1).square().mean()


def _half_square(critic: Critic, x: Tensor) -> Tensor:
    return _gradients(critic, x).square().sum(dim=1).mean() / 2


def _gradients(critic: Critic, x: Tensor) -> Tensor:
    """The critic's gradients at `x`, one flat row per sample (N, D), themselves differentiable."""
    x.requires_grad_()
    with torch.autocast(device_type=x.device.type, enabled=False):
        gradients: Tensor = torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]
    return gradients.flatten(start_dim=1)

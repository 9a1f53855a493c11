"""What D pays for the size of its outputs. Pure functions of logits (N,), each returning a scalar >= 0."""

from __future__ import annotations

import torch
from torch import Tensor


def drift(real: Tensor) -> Tensor:
    """E D(real)².

    Keeps a Wasserstein critic, whose loss does not change when a constant is added to it, near zero. Karras et al.
    2018, "Progressive Growing of GANs", sec. A.1, where its weight is 0.001.
    """
    return _precise(real).square().mean()


def lecam(real: Tensor, fake: Tensor, usual_real: Tensor, usual_fake: Tensor) -> Tensor:
    """E (D(real) - α_F)² + E (D(fake) - α_R)².

    Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", R_LC. (The released code
    squares only what is on the far side of the other's average: relu(D(real) - α_F), relu(α_R - D(fake)).)

    Args:
        real, fake: D's outputs.
        usual_real, usual_fake: α_R and α_F, moving averages of D's mean output for each.
    """
    real, fake = _precise(real), _precise(fake)
    return (real - usual_fake).square().mean() + (fake - usual_real).square().mean()


def _precise(x: Tensor) -> Tensor:
    """`x` in fp32 or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))

"""What is paid for an image that is not the one meant, and for a code that is not the prior's.

An adversarial autoencoder has a term of the first kind beside its adversarial ones (Makhzani et al. 2016, "Adversarial
Autoencoders", sec. 2: the reconstruction phase).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gansmith.core.names import named

Reconstruction = Callable[[Tensor, Tensor], Tensor]
"""``(output, target) -> scalar``."""


def l1(output: Tensor, target: Tensor) -> Tensor:
    """E|output - target|, over all numbers of the batch; the less blurred of the two.

    Args:
        output, target: images (N, C, H, W), or anything of equal shapes.

    Returns:
        A scalar >= 0, in fp32 or better.

    Raises:
        ValueError: the shapes differ.
    """
    return _difference(output, target).abs().mean()


def mse(output: Tensor, target: Tensor) -> Tensor:
    """E(output - target)², over all numbers of the batch: the likelihood of a Gaussian decoder, scaled.

    Args:
        output, target: images (N, C, H, W), or anything of equal shapes.

    Returns:
        A scalar >= 0, in fp32 or better.

    Raises:
        ValueError: the shapes differ.
    """
    return _difference(output, target).square().mean()


def kl_to_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """E KL( N(mean, diag exp(logvar)) || N(0, I) ) / D = E(mean² + exp(logvar) - 1 - logvar) / 2.

    Zhang et al. 2017, "StackGAN", eq. 2, averaged over the batch and, so that its weight need not follow the width of
    the codes, over their D numbers.

    Args:
        mean, logvar: (N, D), of the codes' distribution; `logvar` is the logarithm of the variance.

    Returns:
        A scalar >= 0, in fp32 or better.

    Raises:
        ValueError: the shapes differ.
    """
    mean, logvar = _precise(mean, logvar)
    # Near v = 0, where training begins, exp(v) - 1 would lose the digits of v.
    return (mean.square() + logvar.expm1() - logvar).mean() / 2


RECONSTRUCTIONS: dict[str, Reconstruction] = {"l1": l1, "mse": mse}


def reconstruction_named(name: str) -> Reconstruction:
    """The function of `RECONSTRUCTIONS` called `name`.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    return named("reconstruction loss", RECONSTRUCTIONS, name)


def _difference(output: Tensor, target: Tensor) -> Tensor:
    output, target = _precise(output, target)
    return output - target


def _precise(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors of one shape in fp32 or better."""
    if first.shape != second.shape:
        raise ValueError(f"the shapes differ: {tuple(first.shape)}, {tuple(second.shape)}")
    precise = torch.promote_types(first.dtype, torch.float32)
    return first.to(precise), second.to(precise)

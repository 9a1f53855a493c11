"""What an autoencoder pays for what it did not give back.

An adversarial autoencoder has one such term beside its adversarial ones (Makhzani et al. 2016, "Adversarial
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


RECONSTRUCTIONS: dict[str, Reconstruction] = {"l1": l1, "mse": mse}


def reconstruction_named(name: str) -> Reconstruction:
    """The function of `RECONSTRUCTIONS` called `name`.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    return named("reconstruction loss", RECONSTRUCTIONS, name)


def _difference(output: Tensor, target: Tensor) -> Tensor:
    if output.shape != target.shape:
        raise ValueError(f"output and target differ in shape: {tuple(output.shape)}, {tuple(target.shape)}")
    precise = torch.promote_types(output.dtype, torch.float32)
    return output.to(precise) - target.to(precise)

"""The residual pair of Huang 2024 (R3GAN), without any normalisation.

A block expands with a 1x1 convolution, mixes space with a grouped 3x3 one, and comes back with a 1x1 one that begins
at zero, so that both nets are shallow at first (fix-up initialisation, Zhang 2019). Sizes change by plain resampling:
bilinear upwards, means downwards (the paper filters with [1 2 1]). G's pixels are cut to the data's range, which the
paper's are not: on pictures with an exactly black ground D tells G's almost black one, and training collapses (LOG.md).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import split_before, widths_by_level, within_range

GROUP = 16
"""Channels of a group of the 3x3 convolution."""
SLOPE = 0.2


def conv(inputs: int, outputs: int, kernel: int, gain: float, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution, its weights N(0, gain² / fan-in), its bias 0."""
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=bias)
    fan_in = inputs // groups * kernel * kernel
    nn.init.normal_(made.weight, 0.0, gain / math.sqrt(fan_in)) if gain else nn.init.zeros_(made.weight)
    if bias:
        nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made


class Block(nn.Module):
    """x + W3 act(W2 act(W1 x)): twice as wide inside, W2 in groups of 16 channels or more (Huang 2024, sec. 4)."""

    def __init__(self, channels: int, depth: int):
        super().__init__()
        inner = 2 * channels
        # Fix-up: L blocks of m = 3 layers, each scaled by L^(-1 / (2m - 2)); the last one is zero.
        gain = math.sqrt(2 / (1 + SLOPE**2)) * depth**-0.25
        groups = next(n for n in range(max(1, inner // GROUP), 0, -1) if inner % n == 0)
        self.layers = nn.Sequential(
            conv(channels, inner, 1, gain, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            conv(inner, inner, 3, gain, groups, bias=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            conv(inner, channels, 1, 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Up(nn.Module):
    """To other channels, and twice the side."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.change = conv(inputs, outputs, 1, 1.0) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.change(x), scale_factor=2.0, mode="bilinear")


class Down(nn.Module):
    """To half the side, and other channels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.change = conv(inputs, outputs, 1, 1.0) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.change(F.avg_pool2d(x, 2))


class Generator(nn.Module):
    """Latent (N, latent) -> image (N, C, R, R), cut to [-1, 1]."""

    def __init__(self, spec: Spec, latent: int, width: int, blocks: int):
        super().__init__()
        channels = widths_by_level(spec.resolution, width)
        depth = blocks * len(channels)
        # A learned 4x4 map of every channel, scaled by a linear map of the latent ("generative basis").
        self.basis = nn.Parameter(torch.randn(channels[0], 4, 4))
        self.weights = nn.Linear(latent, channels[0], bias=False)
        nn.init.normal_(self.weights.weight, 0.0, 1 / math.sqrt(latent))
        layers: list[nn.Module] = [Block(channels[0], depth) for _ in range(blocks)]
        for inputs, outputs in pairwise(channels):
            layers += [Up(inputs, outputs), *(Block(outputs, depth) for _ in range(blocks))]
        self.layers = nn.Sequential(*layers, conv(channels[-1], spec.channels, 1, 1.0))

    def forward(self, z: Tensor) -> Tensor:
        x = self.basis * self.weights(z)[:, :, None, None]
        return within_range(self.layers(x.contiguous(memory_format=torch.channels_last)))


class Discriminator(nn.Module):
    """Image (N, C, R, R) -> logit (N,): G in the mirror."""

    def __init__(self, spec: Spec, width: int, blocks: int):
        super().__init__()
        channels = widths_by_level(spec.resolution, width)[::-1]
        depth = blocks * len(channels)
        layers: list[nn.Module] = [conv(spec.channels, channels[0], 1, 1.0)]
        layers += [Block(channels[0], depth) for _ in range(blocks)]
        for inputs, outputs in pairwise(channels):
            layers += [Down(inputs, outputs), *(Block(outputs, depth) for _ in range(blocks))]
        # A learned 4x4 weighting of every channel ("discriminative basis").
        self.layers = nn.Sequential(*layers)
        self.basis = nn.Conv2d(channels[-1], channels[-1], 4, groups=channels[-1], bias=False)
        nn.init.normal_(self.basis.weight, 0.0, 1 / 4)
        self.last = nn.Linear(channels[-1], 1, bias=False)
        nn.init.normal_(self.last.weight, 0.0, 1 / math.sqrt(channels[-1]))
        self.width = channels[-1]

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))

    def lower(self) -> list[nn.Module]:
        """What works at each size, from the image on."""
        return split_before(self.layers, Down)

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.basis(self.layers(image)).flatten(1)

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.last(features).squeeze(1)

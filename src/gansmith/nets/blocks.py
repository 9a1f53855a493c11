"""Parts that several architectures share."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def levels(resolution: int, coarsest: int = 4) -> int:
    """How many doublings lead from `coarsest` to `resolution` (both powers of two)."""
    return round(math.log2(resolution / coarsest))


class LayerNorm2d(nn.GroupNorm):
    """Layer normalisation over (C, H, W), per-channel gain and bias (Ba 2016; WGAN-GP's choice for the critic)."""

    def __init__(self, channels: int):
        super().__init__(1, channels)


class Maxout(nn.Module):
    """The largest of `pieces` linear maps (Goodfellow 2013). (N, in) -> (N, out)."""

    def __init__(self, inputs: int, outputs: int, pieces: int):
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


class PixelNorm(nn.Module):
    """Every pixel's feature vector scaled to unit mean square (Karras 2018, sec. 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class EqualConv2d(nn.Module):
    """Convolution whose weights are N(0, 1) and scaled by He's constant at run time (Karras 2018, sec. 4.1)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int = 0, gain: float = math.sqrt(2)):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs * kernel * kernel)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class MinibatchStddev(nn.Module):
    """Appends a channel: the standard deviation over groups of the batch, averaged (Karras 2018, sec. 3).

    (N, C, H, W) -> (N, C + 1, H, W). The group is the largest divisor of N that is at most `group`.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        group = next(g for g in range(min(self.group, n), 0, -1) if n % g == 0)
        spread = x.float().unflatten(0, (group, -1)).var(0, unbiased=False).add(1e-8).sqrt().mean((1, 2, 3))
        channel = spread.to(x.dtype).repeat(group).view(n, 1, 1, 1).expand(n, 1, h, w)
        return torch.cat([x, channel], 1)


Net = TypeVar("Net", bound=nn.Module)


def init_normal(net: Net, std: float = 0.02) -> Net:
    """Weights from N(0, std²), norms' gains from N(1, std²), biases 0 (Radford 2016, sec. 4)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.affine:
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)
    return net

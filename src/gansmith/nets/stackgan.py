"""The nets of StackGAN (Zhang et al. 2017, sec. 3): a rough image of what is said, then a fine one of the rough one.

What a text says comes as a vector, from an encoder of `gansmith.nets.texts`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.blocks import init_normal, levels, widths_by_level
from gansmith.nets.superres import SLOPE, init_he, upsampled


def drawn(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """mean + σ noise, σ² = exp(logvar): all (N, size), noise from N(0, 1) (Zhang 2017, sec. 3.2)."""
    return mean + logvar.mul(0.5).exp() * noise


class Augment(nn.Module):
    """Conditioning augmentation: a text (N, texts) -> mean and ln σ² of what is drawn for it, (N, size) each, fp32.

    Few texts so become many conditions, and those between them mean something too (Zhang 2017, sec. 3.2).
    """

    def __init__(self, texts: int, size: int):
        super().__init__()
        self.layer = nn.Linear(texts, 2 * size)

    def forward(self, text: Tensor) -> tuple[Tensor, Tensor]:
        mean, logvar = self.layer(text).float().chunk(2, 1)
        return mean, logvar


def normed(inputs: int, outputs: int) -> list[nn.Module]:
    """A 3x3 convolution that keeps the size, and batch norm."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]


def up(inputs: int, outputs: int) -> list[nn.Module]:
    """To other channels and twice the side: every pixel four times, then a convolution (sec. 3.5)."""
    return [nn.Upsample(scale_factor=2.0), *normed(inputs, outputs), nn.ReLU(inplace=True)]


def down(inputs: int, outputs: int) -> list[nn.Module]:
    """To other channels and half the side."""
    conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class StageOne(nn.Module):
    """Latent (N, latent), condition (N, told) -> image (N, C, r, r) in [-1, 1] (sec. 3.3).

    Args:
        latent, told: lengths of the vectors.
        channels: of the image.
        width: features at full size, doubling towards 4x4, at most 8 times.
        resolution: r, a power of two from 4 up.
    """

    def __init__(self, latent: int, told: int, channels: int, width: int, resolution: int):
        super().__init__()
        widths = widths_by_level(resolution, width)
        layers: list[nn.Module] = [
            nn.Linear(latent + told, widths[0] * 16, bias=False),
            nn.Unflatten(1, (-1, 4, 4)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for inputs, outputs in pairwise(widths):
            layers += up(inputs, outputs)
        layers += [nn.Conv2d(width, channels, 3, padding=1), nn.Tanh()]
        self.layers = init_normal(nn.Sequential(*layers))

    def forward(self, z: Tensor, told: Tensor) -> Tensor:
        return self.layers(torch.cat([z, told], 1))


class Block(nn.Module):
    """relu(x + f(x)), f of two convolutions with batch norm (He 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(*normed(channels, channels), nn.ReLU(inplace=True), *normed(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class StageTwo(nn.Module):
    """Rough image (N, C, first, first), condition (N, told) -> image (N, C, R, R) in [-1, 1] (sec. 3.4).

    Down to a map of a quarter of the side, the condition beside every place of it, residual blocks, and up. One
    departure: the last convolution sees the rough image too, enlarged, beside the features, so that it need not be
    learned again.

    Args:
        told: length of the condition.
        channels: of the images.
        width: features at full size, doubling towards the map in the middle, at most 8 times.
        first: side of the rough image, a power of two from 4 up; the map in the middle has at least 4.
        resolution: R, a power of two, at least `first`.
        blocks: the paper has 2 up to 128 and 4 at 256.
    """

    def __init__(self, told: int, channels: int, width: int, first: int, resolution: int, blocks: int):
        super().__init__()
        self.scale = resolution // first
        side = max(4, first // 4)
        widths = [width * min(2**i, 8) for i in reversed(range(levels(resolution, side) + 1))]
        middle, downs = widths[0], levels(first, side)
        layers: list[nn.Module] = [nn.Conv2d(channels, middle // 2**downs, 3, padding=1), nn.ReLU(inplace=True)]
        for i in reversed(range(downs)):
            layers += down(middle // 2 ** (i + 1), middle // 2**i)
        self.down = nn.Sequential(*layers)
        layers = [*normed(middle + told, middle), nn.ReLU(inplace=True), *(Block(middle) for _ in range(blocks))]
        for inputs, outputs in pairwise(widths):
            layers += up(inputs, outputs)
        self.up = nn.Sequential(*layers)
        self.last = nn.Conv2d(width + channels, channels, 3, padding=1)
        init_normal(self)

    def forward(self, rough: Tensor, told: Tensor) -> Tensor:
        x = self.down(rough)
        x = self.up(beside(x, told[:, :, None, None].expand(-1, -1, *x.shape[2:])))
        return self.last(beside(x, upsampled(rough, self.scale))).tanh()


def beside(x: Tensor, more: Tensor) -> Tensor:
    """Maps of x, then other maps of the same size."""
    return torch.cat([x, more.to(x.dtype)], 1).contiguous(memory_format=torch.channels_last)


class TextDiscriminator(nn.Module):
    """Image (N, C, R, R), text (N, texts) -> logit (N,): whether it is real, and of what is said.

    Features h, the last map, are read twice: head(h) + <A h, B text>, a projection (Miyato & Koyama
    2018, eq. 3). The paper's D, which has the text as maps beside its own (sec. 3.3), hardly reads in minutes. Without
    norms, so that it can be penalised, or spectrally normalised.

    Args:
        channels: of the images.
        width: of the first layer, doubling to 8 times; every layer halves the side, down to 4x4.
        resolution: R, a power of two from 4 up.
        texts: length of the text's vector.

    Attributes:
        width: of `features`.
    """

    def __init__(self, channels: int, width: int, resolution: int, texts: int):
        super().__init__()
        widths = [channels, *(width * min(2**i, 8) for i in range(max(levels(resolution), 1)))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)]
        side = resolution // 2 ** (len(widths) - 1)
        self.width = widths[-1] * side**2
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.last = nn.Linear(self.width, 1)
        self.seen = nn.Linear(self.width, widths[-1], bias=False)
        self.said = nn.Linear(texts, widths[-1])
        init_he(self)

    def forward(self, image: Tensor, text: Tensor) -> Tensor:
        return self.head(self.features(image), text)

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.layers(image)

    def head(self, features: Tensor, text: Tensor) -> Tensor:
        """Features (N, width), texts (N, texts) -> logits (N,): the same image can be judged by several texts."""
        seen = self.seen(features)
        match = (seen * self.said(text)).sum(1)
        return self.last(features).squeeze(1) + match / math.sqrt(seen.shape[1])

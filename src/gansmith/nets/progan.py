"""The growing pair of Karras 2018: equalised learning rate, pixel norm, minibatch standard deviation, fade-in.

Both nets take `grown`: a real number whose whole part is the finest finished level (0 is 4x4) and whose fraction is
how far the next level has faded in.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import EqualConv2d, MinibatchStddev, PixelNorm, levels, pixel_norm, widths_by_level


def shrink(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def real_at(image: Tensor, grown: float) -> Tensor:
    """Real images as D sees them at this point of growth: shrunk to the finest level that has begun, and blended
    with their own coarser version while it fades in (Karras 2018, fig. 2). (N, C, R, R) -> (N, C, r, r)."""
    for _ in range(levels(image.shape[-1]) - math.ceil(grown)):
        image = shrink(image)
    fade = grown % 1
    return image if fade == 0 else (1 - fade) * enlarge(shrink(image)) + fade * image


class Generator(nn.Module):
    """Latent (N, latent) and growth -> image (N, C, r, r), r = 4 * 2**ceil(grown); not squashed to [-1, 1]."""

    def __init__(self, spec: Spec, latent: int, width: int):
        super().__init__()
        sizes = widths_by_level(spec.resolution, width)
        # Of one pixel, so that a weight is one of `latent`, which this scales it by in all: √2 / 4 / √latent.
        self.seed = EqualConv2d(latent, sizes[0], 4, padding=3)
        self.first = nn.Sequential(EqualConv2d(sizes[0], sizes[0], 3, padding=1), nn.LeakyReLU(0.2), PixelNorm())
        self.blocks = nn.ModuleList([self._block(a, b) for a, b in pairwise(sizes)])
        self.to_image = nn.ModuleList([EqualConv2d(size, spec.channels, 1, gain=1) for size in sizes])

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for size in (inputs, outputs):
            layers += [EqualConv2d(size, outputs, 3, padding=1), nn.LeakyReLU(0.2), PixelNorm()]
        return nn.Sequential(*layers)

    def forward(self, z: Tensor, grown: float) -> Tensor:
        x = pixel_norm(F.leaky_relu(self.seed(pixel_norm(z)[:, :, None, None]), 0.2))
        x = self.first(x)
        level, fade = math.floor(grown), grown % 1
        for block in self.blocks[:level]:
            x = block(enlarge(x))
        image = self.to_image[level](x)
        if fade == 0:
            return image
        finer = self.to_image[level + 1](self.blocks[level](enlarge(x)))
        return (1 - fade) * enlarge(image) + fade * finer


class Discriminator(nn.Module):
    """Image (N, C, r, r) and growth -> logit (N,); `stddev`: with the minibatch's standard deviation at 4x4."""

    def __init__(self, spec: Spec, width: int, stddev: bool = True):
        super().__init__()
        sizes = widths_by_level(spec.resolution, width)
        self.from_image = nn.ModuleList([EqualConv2d(spec.channels, size, 1) for size in sizes])
        self.blocks = nn.ModuleList([self._block(finer, coarser) for coarser, finer in pairwise(sizes)])
        self.last = nn.Sequential(
            MinibatchStddev() if stddev else nn.Identity(),
            EqualConv2d(sizes[0] + stddev, sizes[0], 3, padding=1),
            nn.LeakyReLU(0.2),
            EqualConv2d(sizes[0], sizes[0], 4),
            nn.LeakyReLU(0.2),
            EqualConv2d(sizes[0], 1, 1, gain=1),
            nn.Flatten(0),
        )
        self.width = sizes[0]

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for size in (inputs, outputs):
            layers += [EqualConv2d(inputs, size, 3, padding=1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers)

    def _see(self, image: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.from_image[level](image), 0.2)

    def forward(self, image: Tensor, grown: float) -> Tensor:
        return self.head(self.features(image, grown))

    def lower(self) -> list[nn.Module]:
        """What works at each size, from the image on."""
        return [nn.ModuleList(pair) for pair in zip(self.from_image[:0:-1], self.blocks[::-1], strict=True)]

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.last[-2:](features[:, :, None, None])

    def features(self, image: Tensor, grown: float) -> Tensor:
        """Image and growth -> (N, width)."""
        level, fade = math.floor(grown), grown % 1
        if fade == 0:
            x = self._see(image, level)
        else:
            finer = shrink(self.blocks[level](self._see(image, level + 1)))
            x = (1 - fade) * self._see(shrink(image), level) + fade * finer
        for block in reversed(self.blocks[:level]):
            x = shrink(block(x))
        return self.last[:-2](x).flatten(1)

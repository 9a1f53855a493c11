"""Nets that enlarge images: SRResNet and SRGAN's D (Ledig et al. 2017), ESRGAN's RRDBNet (Wang et al. 2018).

Both generators are an `Enlarger`, and differ in its blocks. Neither has batch norm, which Ledig's has: images are
better without it, and free of its artefacts (Lim 2017, sec. 3.1; Wang 2018, sec. 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.blocks import Net

SLOPE = 0.2


def upsampled(x: Tensor, scale: int) -> Tensor:
    """(N, C, h, w) -> (N, C, scale h, scale w): bicubic, in fp32, its overshoots cut to [-1, 1]."""
    if scale == 1:
        return x
    return F.interpolate(x.float(), scale_factor=float(scale), mode="bicubic", align_corners=False).clamp(-1, 1)


def init_he(net: Net, scale: float = 1.0) -> Net:
    """Weights from N(0, 2 scale² / (1.04 fan-in)), for leaky ReLUs of slope 0.2 (He 2015, eq. 15), biases 0.

    In residual branches a scale of 0.1 lets deep nets train without norms (Wang 2018, sec. 3.1, smaller
    initialisation).
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, SLOPE)
            module.weight.data.mul_(scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """3x3, keeping the size, or halving it by a stride of 2."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1)


class Residual(nn.Module):
    """x + conv(prelu(conv(x))) (Ledig 2017, fig. 4, less the norms)."""

    radius = 2

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(conv(width, width), nn.PReLU(), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Dense(nn.Module):
    """x + 0.2 f(x), f of five convolutions, each of all that is before it (Wang 2018, fig. 4).

    Every one but the last adds width / 2 channels, at least one, as the paper's 32 to 64.
    """

    def __init__(self, width: int):
        super().__init__()
        growth = max(width // 2, 1)
        self.grow = nn.ModuleList(conv(width + i * growth, growth) for i in range(4))
        self.last = conv(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in self.grow:
            seen = torch.cat([seen, F.leaky_relu(layer(seen), SLOPE)], 1)
        return x + 0.2 * self.last(seen)


class RRDB(nn.Module):
    """x + 0.2 f(x), f of three dense blocks: residual in residual (Wang 2018, fig. 4)."""

    radius = 15

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(*(Dense(width) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.layers(x)


class Enlarger(nn.Module):
    """Image (N, C, h, w) in [-1, 1] -> (N, C, scale h, scale w): its interpolation, and what the net adds.

    All convolutions are at the size that goes in, or at half of it where nothing is enlarged, 2x2 pixels as channels,
    which is three times as fast; one shuffle of channels to pixels is the end (Shi 2016, eq. 3). Ledig's has 9x9
    kernels at both ends, and a shuffle for every doubling, so that its last layers, at full size, are the slowest. Here
    the last convolution begins at zero: the net starts as `upsampled`. What comes out may lie somewhat outside
    [-1, 1]; whoever shows it cuts it.

    Args:
        channels: of the images.
        width: features of every layer between; the papers have 64.
        scale: 1, which repairs images of the same size, 2, 3 or 4.
        blocks: `Residual` or `RRDB`.

    Attributes:
        multiple: height and width of what goes in are multiples of this.
    """

    def __init__(self, channels: int, width: int, scale: int, blocks: Sequence[Residual | RRDB]):
        super().__init__()
        self.scale = scale
        self.multiple = 2 if scale == 1 else 1
        self.radius = 3 + sum(block.radius for block in blocks)
        first = conv(channels * self.multiple**2, width)
        self.head = init_he(nn.Sequential(nn.PixelUnshuffle(self.multiple), first, nn.PReLU()))
        self.body = init_he(nn.Sequential(*blocks, conv(width, width)), 0.1)
        self.last = conv(width, channels * (scale * self.multiple) ** 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @property
    def reach(self) -> int:
        """From how many pixels away the input acts on an output, counted in the input's pixels.

        Every convolution adds 1: `radius` in all, those of the blocks and three more. Where 2x2 pixels are one, twice
        as far, and to that block's other end. The interpolation reaches 2, beside them.
        """
        return self.multiple * self.radius + self.multiple - 1

    def forward(self, image: Tensor) -> Tensor:
        x = self.head(image)
        added = F.pixel_shuffle(self.last(x + self.body(x)), self.scale * self.multiple)
        return upsampled(image, self.scale) + added


class SRResNet(Enlarger):
    """An `Enlarger` of so many `Residual` blocks; the paper has 16 (Ledig 2017, sec. 2.1.1)."""

    def __init__(self, channels: int, width: int, blocks: int, scale: int):
        super().__init__(channels, width, scale, [Residual(width) for _ in range(blocks)])


class RRDBNet(Enlarger):
    """An `Enlarger` of so many `RRDB` blocks, each of fifteen convolutions; the paper has 23 (Wang 2018, sec. 3.1)."""

    def __init__(self, channels: int, width: int, blocks: int, scale: int):
        super().__init__(channels, width, scale, [RRDB(width) for _ in range(blocks)])


class Discriminator(nn.Module):
    """Image (N, C, h, w) of any size -> logit (N,) (Ledig 2017, fig. 4).

    The last map is averaged, where the paper's takes it as it is, for one size.

    Args:
        channels: of the images.
        width: of the first layer, doubling to 8 times; the paper has 64.
        norm: batch, as in the paper, or none.

    Attributes:
        width: of `features`.
    """

    def __init__(self, channels: int, width: int, norm: str = "batch"):
        super().__init__()
        widths = [channels, *(width * k for k in (1, 1, 2, 2, 4, 4, 8, 8))]
        layers: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(pairwise(widths)):
            normed = i > 0 and norm == "batch"
            made = nn.Conv2d(inputs, outputs, 3, 1 + i % 2, 1, bias=not normed)
            layers += [made, *([nn.BatchNorm2d(outputs)] if normed else []), nn.LeakyReLU(SLOPE, inplace=True)]
        self.width = 16 * width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, self.width)]
        layers += [nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(self.width, 1), nn.Flatten(0)]
        self.layers = init_he(nn.Sequential(*layers))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, h, w) -> (N, width)."""
        return self.layers[:-2](image)

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.layers[-2:](features)

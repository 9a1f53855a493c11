"""The nets of CycleGAN (Zhu et al. 2017, sec. 4, app. 7.2) and of pix2pix (Isola et al. 2017, sec. 3.2, app. 6.1).

All are convolutions alone, so that they take images of other sizes than they were trained with: height and width are
multiples of the net's `multiple`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.blocks import init_normal, levels


class InstanceNorm2d(nn.Module):
    """Every channel of every image to mean 0 and variance 1, over its pixels; no gain, no bias (Ulyanov 2016).

    As batch norm, image by image: that keeps channels-last memory, and on a CPU is 2 to 20 times as fast, with the way
    back, as torch's instance norm, which does not, or as groups of one channel.

    Attributes:
        keeps: whether the moments of the next image are kept, for all that follow (see `normed_alike`).
        moments: those kept, mean and variance, each (C,).
    """

    def __init__(self) -> None:
        super().__init__()
        self.keeps = False
        self.moments: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.moments is not None:
            return F.batch_norm(x, *self.moments)
        if self.keeps:
            variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            self.moments = mean, variance
        return torch.cat([F.batch_norm(image, None, None, training=True) for image in x.split(1)])


def instance_norms(nets: Iterable[nn.Module]) -> list[InstanceNorm2d]:
    return [module for net in nets for module in net.modules() if isinstance(module, InstanceNorm2d)]


@contextmanager
def normed_alike(norms: Sequence[InstanceNorm2d]) -> Iterator[None]:
    """Inside, what passes first sets the moments by which all that follows is normalised, as parts of one image."""
    try:
        for norm in norms:
            norm.keeps = True
        yield
    finally:
        for norm in norms:
            norm.keeps, norm.moments = False, None


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": lambda channels: InstanceNorm2d(),
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}


def padded(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size, of pixels mirrored at the border, which zeros would mark (app. 7.2)."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")


def normed(conv: nn.Module) -> list[nn.Module]:
    """Convolution, instance norm, ReLU."""
    return [conv, InstanceNorm2d(), nn.ReLU(inplace=True)]


class Block(nn.Module):
    """x + norm(conv3(relu(norm(conv3(x))))): Rk, without an activation behind the sum (Johnson 2016)."""

    def __init__(self, channels: int):
        super().__init__()
        convs = [padded(channels, channels, 3) for _ in range(2)]
        self.layers = nn.Sequential(*normed(convs[0]), convs[1], InstanceNorm2d())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """Image (N, inputs, h, w) -> image (N, outputs, h, w) in [-1, 1] (Zhu 2017, app. 7.2).

    c7s1-k, d2k, d4k, R4k for every block, u2k, uk, c7s1. Two departures: the last convolution sees the input beside the
    features. What stays as it is then need not come through the coarse maps, which makes much better images in minutes.
    And the kernels of u are 4x4, not 3x3, of which every other pixel would be made otherwise (Odena 2016).

    Args:
        inputs, outputs: channels of the images.
        width: k, features at full size; the paper has 64.
        blocks: residual ones, at a quarter of the size; the paper has 6 for 128x128 and 9 from 256x256 on.
    """

    multiple = 4
    """Height and width are multiples of this."""

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int):
        super().__init__()
        self.blocks = blocks
        layers = normed(padded(inputs, width, 7))
        for k in (width, 2 * width):
            layers += normed(nn.Conv2d(k, 2 * k, 3, 2, 1))
        layers += [Block(4 * width) for _ in range(blocks)]
        for k in (2 * width, width):
            layers += normed(nn.ConvTranspose2d(2 * k, k, 4, 2, 1))
        self.layers = nn.Sequential(*layers)
        self.last = padded(width + inputs, outputs, 7)
        init_normal(self)

    @property
    def reach(self) -> int:
        """From how many pixels away the input acts on an output, but for what the norms make of the whole.

        A 7x7 convolution at each end adds 3. Going down, 3x3 ones add 1 and 2, for their pixels are 1 and 2 wide;
        going up, 4x4 ones add a neighbour each, 4 and 2 wide. A block's two add 1 each of pixels that are 4 wide.
        """
        return 3 + (1 + 2) + 2 * 4 * self.blocks + (4 + 2) + 3

    def forward(self, image: Tensor) -> Tensor:
        x = self.layers(image)
        return self.last(torch.cat([x, image.to(x.dtype)], 1).contiguous(memory_format=torch.channels_last)).tanh()


class UNet(nn.Module):
    """Image (N, inputs, h, w) -> image (N, outputs, h, w) in [-1, 1] (Isola 2017, app. 6.1.1).

    An encoder and a decoder with a skip at every size. Every Ck halves or doubles the side: a 4x4 convolution of stride
    2, batch norm, activation. In training, dropout is the noise z: there is no other (sec. 3.1). One departure: where
    the paper's last Ck makes the image, here it makes features, and a 3x3 convolution sees them and the input: what
    stays as it is need not pass through half the size, and the traces of every other pixel go.

    Args:
        inputs, outputs: channels of the images.
        width: k of the first layer and of the last, doubling between at most to 8 times; the paper has 64.
        resolution: side that it is trained at, a power of two from 4 up; so many layers lead down to one pixel, at
            most 8 as in the paper.
        dropout: probability in the decoder's first three layers; the paper has 0.5.
    """

    def __init__(self, inputs: int, outputs: int, width: int, resolution: int, dropout: float):
        super().__init__()
        self.depth = min(levels(resolution, 1), 8)
        channels = [width * min(2**i, 8) for i in range(self.depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, (came, made) in enumerate(pairwise([inputs, *channels])):
            # Not behind the image, nor at one pixel, where a batch of one would become all zeros.
            bare = i in (0, self.depth - 1)
            norm = nn.Identity() if bare else nn.BatchNorm2d(made)
            conv = nn.Conv2d(came, made, 4, 2, 1, bias=bare)
            self.down.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.2)))
        for i, (below, made) in enumerate(pairwise([*channels[::-1], width])):
            grow = nn.ConvTranspose2d(2 * below if i else below, made, 4, 2, 1, bias=False)
            dropped = [nn.Dropout(dropout)] if i < 3 else []
            self.up.append(nn.Sequential(grow, nn.BatchNorm2d(made), *dropped, nn.ReLU(inplace=True)))
        self.last = padded(width + inputs, outputs, 3)
        init_normal(self)

    @property
    def multiple(self) -> int:
        """Height and width are multiples of this."""
        return 2**self.depth

    @property
    def reach(self) -> int:
        """From how many pixels away the input acts on an output, where it is larger than that.

        Going down, a pixel is made of its own two and of one more on either side: over all levels, whose pixels are
        1, 2, 4, ... wide, this adds up to `multiple` - 1. Going up, it is made of its own and of a neighbour, of
        pixels that are 2, 4, ... wide: 2 (`multiple` - 1). The last convolution adds 1.
        """
        return 3 * (self.multiple - 1) + 1

    def forward(self, image: Tensor) -> Tensor:
        skips = [image]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.up:
            grown = up(x)
            x = torch.cat([grown, skips.pop().to(grown.dtype)], 1)
        return self.last(x.contiguous(memory_format=torch.channels_last)).tanh()


class PatchDiscriminator(nn.Module):
    """Image (N, C, h, w) -> logits (N, h', w') of patches that overlap: C64-C128-C256-C512-1 (Isola 2017, app. 6.1.2).

    Three layers of stride 2 at 64 pixels a side and above, two at 32, one at 16: patches of 70, 34 and 16 pixels, of
    which there are at least 6x6.

    Args:
        channels: of the images; of input and output together where it judges pairs.
        width: of the first layer, doubling; the paper has 64.
        resolution: side of the images it is trained with, a power of two from 16 up.
        norm: instance (CycleGAN), batch (pix2pix) or none; not in the first layer, nor in the last.
    """

    def __init__(self, channels: int, width: int, resolution: int, norm: str):
        super().__init__()
        strided = min(levels(resolution, 8), 3)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i in range(1, strided + 1):
            k = width * 2**i
            conv = nn.Conv2d(k // 2, k, 4, 2 if i < strided else 1, 1, bias=norm != "batch")
            layers += [conv, NORMS[norm](k), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.Conv2d(width * 2**strided, 1, 4, 1, 1)]
        self.layers = init_normal(nn.Sequential(*layers))

    @property
    def receptive_field(self) -> int:
        """Side of a patch in pixels: every kernel adds its own, less one, times the strides before it."""
        field, stride = 1, 1
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                field += (layer.kernel_size[0] - 1) * stride
                stride *= layer.stride[0]
        return field

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).squeeze(1)

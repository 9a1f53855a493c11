"""The Laplacian pyramid (Burt & Adelson 1983) and the nets of its levels (Denton et al. 2015, LAPGAN, sec. 3).

A level holds what is lost when an image is halved and doubled again: h = I - up(down(I)). Denton halves by blurring
and decimating; here both are in one, the mean of 2x2 blocks. Doubling is bilinear.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import init_normal


def down(image: Tensor, side: int) -> Tensor:
    """(N, C, R, R) -> (N, C, side, side), means of blocks; both sides are powers of two."""
    return F.avg_pool2d(image, image.shape[-1] // side) if image.shape[-1] > side else image


def up(image: Tensor) -> Tensor:
    """(N, C, R, R) -> (N, C, 2R, 2R), bilinear."""
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


def pyramid(image: Tensor, coarsest: int) -> list[Tensor]:
    """The image at `coarsest` pixels a side, then the detail h of each doubling up to its own (Denton 2015, eq. 3).

    Args:
        image: (N, C, R, R) in [-1, 1].

    Returns:
        (N, C, S, S) for S = coarsest, 2 coarsest, ..., R; details are in [-2, 2].
    """
    details = []
    while image.shape[-1] > coarsest:
        smaller = down(image, image.shape[-1] // 2)
        details.append(image - up(smaller))
        image = smaller
    return [image, *details[::-1]]


def composed(levels: Sequence[Tensor]) -> Tensor:
    """The image whose `pyramid` this is: I_k = up(I_k+1) + h_k from coarse to fine (Denton 2015, eq. 4)."""
    image, *details = levels
    for detail in details:
        image = up(image) + detail
    return image


def fitted(detail: Tensor, coarse: Tensor) -> Tensor:
    """The detail nearest to `detail` that a real image could have above `coarse`: down(up(coarse) + h) = coarse.

    Without it D, which sees the low-pass, could tell fakes by the means of their 2x2 blocks alone.

    Args:
        detail: (N, C, 2R, 2R).
        coarse: (N, C, R, R).
    """
    missing = coarse - F.avg_pool2d(up(coarse) + detail, 2)
    return detail + F.interpolate(missing, scale_factor=2.0)


def beside(image: Tensor, low: Tensor) -> Tensor:
    """What a D of a level judges: (N, 2C, R, R), the image and its low-pass in one."""
    return torch.cat([image, low], 1).contiguous(memory_format=torch.channels_last)


class Generator(nn.Module):
    """G of a level: noise (N, (R / 2)²) and the image below (N, C, R / 2, R / 2) -> `fitted` detail (N, C, R, R).

    The noise is one more plane beside the low-pass (Denton 2015, sec. 4.1). Convolutions run at half the side, blocks
    of 2x2 pixels as channels, which costs a quarter and sees twice as far.

    Args:
        spec: the level's side and channels.
        width: channels of each of `depth` hidden layers.
        told: numbers behind the noise, such as a one-hot class, each a constant plane.
    """

    def __init__(self, spec: Spec, width: int, depth: int = 3, told: int = 0):
        super().__init__()
        self.side = spec.resolution // 2
        inputs, layers = 4 * spec.channels + 1 + told, []
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            inputs = width
        layers += [nn.Conv2d(width, 4 * spec.channels, 3, padding=1), nn.PixelShuffle(2)]
        self.layers = init_normal(nn.Sequential(*layers))

    def forward(self, z: Tensor, coarse: Tensor) -> Tensor:
        noise, told = z[:, : self.side**2], z[:, self.side**2 :]
        planes = [
            F.pixel_unshuffle(up(coarse), 2),
            noise.unflatten(1, (1, self.side, self.side)),
            told[:, :, None, None].expand(-1, -1, self.side, self.side),
        ]
        detail = self.layers(torch.cat(planes, 1).contiguous(memory_format=torch.channels_last))
        return fitted(detail.float(), coarse)

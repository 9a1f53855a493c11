"""What makes photographs worse: blur, fewer pixels, noise and JPEG, of batches of images.

Functions of images (N, C, H, W) in [-1, 1], C in 1, 3, 4, that give images in [-1, 1], in fp32 whatever autocast says.
No gradients are meant to go through them. A level is one of the 256 steps of an 8-bit image. Random numbers come from
torch's global generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Range = tuple[float, float]
"""Lowest and highest."""

# ITU-T T.81 (JPEG), annex K: tables K.1, for luma, and K.2, for chroma.
LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# ITU-T T.871 (JFIF), sec. 7: what R, G and B add to Y, Cb and Cr, and what Cb and Cr add to R, G and B.
TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((0.0, 1.402), (-0.344136, -0.714136), (1.772, 0.0))


def rounded(images: Tensor) -> Tensor:
    """The nearest of the 256 levels."""
    return _levels(images) / 127.5 - 1


def cropped(images: Tensor, scale: int) -> Tensor:
    """The top left part whose height and width are the largest multiples of `scale`."""
    height, width = (side - side % scale for side in images.shape[2:])
    return images[:, :, :height, :width]


def bicubic_down(images: Tensor, scale: int) -> Tensor:
    """(N, C, H // scale, W // scale), by bicubic interpolation with antialiasing, as Pillow's."""
    size = [side // scale for side in images.shape[2:]]
    return F.interpolate(images.float(), size, mode="bicubic", antialias=True).clamp(-1, 1)


def gaussian_blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Each image under a Gaussian of its own deviation, edges mirrored.

    Args:
        sigma: (N,), in pixels, >= 0; the Gaussians end at three times the largest of them, or at the far edge.
    """
    shorter = min(images.shape[2:])
    reach = min(math.ceil(3 * sigma.max().item()), shorter - 1)
    places = torch.arange(-reach, reach + 1, device=images.device)
    # The floor makes the window of sigma 0 a 1 among zeros, not 0 / 0.
    weights = (places.square() / (-2 * sigma.float().clamp(min=1e-3).square()[:, None])).exp()
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)[:, None]
    padded = F.pad(images.float(), (reach,) * 4, mode="reflect").flatten(0, 1)
    with torch.autocast(images.device.type, enabled=False):
        rows = F.conv2d(padded[None], weights[:, :, None], groups=len(weights))
        blurred = F.conv2d(rows, weights[:, :, :, None], groups=len(weights))
    return blurred[0].unflatten(0, images.shape[:2])


def with_noise(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian noise on every number.

    Args:
        sigma: (N,), deviations, in levels.
    """
    return _noisy(images, sigma, torch.randn_like(images))


def _noisy(images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    return (images + noise * _each(sigma) / 127.5).clamp(-1, 1)


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Images as they come back from a JPEG file: as libjpeg writes it, with chroma halved, and reads it.

    Colours become Y, Cb and Cr, the last two at half the size; blocks of 8x8 pixels become cosines; of these, multiples
    of the tables of annex K are kept, scaled by quality. A grey image is Y alone, and alpha stays as it was.

    Args:
        quality: (N,) whole numbers from 1 to 100.
    """
    with torch.autocast(images.device.type, enabled=False):
        pixels = _levels(images)
        coded = _grey_coded(pixels, quality) if images.shape[1] == 1 else _colour_coded(pixels[:, :3], quality)
    return torch.cat([coded / 127.5 - 1, images[:, 3:].float()], 1)


@dataclass(frozen=True)
class Degradation:
    """Blur, fewer pixels, noise and JPEG, in this order, of strengths drawn uniformly for each image.

    Wang et al. 2021, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", eq. 1 and
    sec. 3.1: the classical, first-order one. Where both ends of a range are the same, so is the strength; zeros do
    nothing.

    Attributes:
        scale: how many times smaller, 1 to 4; what goes beyond a multiple of it is cropped first (see `cropped`).
        blur: deviation, in pixels of what comes in.
        noise: deviation, in levels.
        jpeg: quality, 1 to 100, to the nearest whole number; None does without.
    """

    scale: int = 1
    blur: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    jpeg: Range | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H // scale, W // scale), in fp32, of 256 levels, channels last."""
        return self._degraded(images, _drawn, torch.randn_like)

    def fixed(self, images: Tensor) -> Tensor:
        """The same at the middle of every range, with the same noise on every image: for measuring."""
        return self._degraded(images, _middle, _same_noise)

    def _degraded(
        self, images: Tensor, chosen: Callable[[Range, Tensor], Tensor], noise: Callable[[Tensor], Tensor]
    ) -> Tensor:
        images = cropped(images, self.scale)
        if any(self.blur):
            images = gaussian_blur(images, chosen(self.blur, images))
        images = bicubic_down(images, self.scale)
        if any(self.noise):
            images = _noisy(images, chosen(self.noise, images), noise(images))
        if self.jpeg is not None:
            images = jpeg(images, chosen(self.jpeg, images).round())
        return rounded(images).contiguous(memory_format=torch.channels_last)


def _drawn(ends: Range, images: Tensor) -> Tensor:
    """One number of the range for each image, (N,)."""
    return torch.empty(len(images), device=images.device).uniform_(*ends)


def _middle(ends: Range, images: Tensor) -> Tensor:
    return torch.full((len(images),), sum(ends) / 2, device=images.device)


def _same_noise(images: Tensor) -> Tensor:
    """(C, H, W) of N(0, 1): the same on every machine, and for every image, whatever batch it is in."""
    return torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0)).to(images.device)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _levels(images: Tensor) -> Tensor:
    """[-1, 1] to whole numbers in [0, 255]."""
    return _whole((images.float() + 1) * 127.5)


def _whole(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255)


# ---- JPEG, of pixels (N, C, H, W) in [0, 255]


def _grey_coded(pixels: Tensor, quality: Tensor) -> Tensor:
    return _plane_coded(pixels, _table(LUMA_TABLE, quality))


def _colour_coded(pixels: Tensor, quality: Tensor) -> Tensor:
    height, width = pixels.shape[2:]
    whole = _padded(pixels, 2)
    shift = pixels.new_tensor([0.0, 128.0, 128.0])[:, None, None]
    ycbcr = _whole(torch.einsum("ij,njhw->nihw", pixels.new_tensor(TO_YCBCR), whole) + shift)
    luma = _plane_coded(ycbcr[:, :1, :height, :width], _table(LUMA_TABLE, quality))
    chroma = _plane_coded(F.avg_pool2d(ycbcr[:, 1:], 2).round(), _table(CHROMA_TABLE, quality))
    # libjpeg's "fancy upsampling" weighs the nearest two samples by 3/4 and 1/4, which is what bilinear means here.
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False).round()
    added = torch.einsum("ij,njhw->nihw", pixels.new_tensor(TO_RGB), chroma[:, :, :height, :width] - 128)
    return _whole(luma + added)


def _plane_coded(plane: Tensor, table: Tensor) -> Tensor:
    """(N, C, H, W), every channel by the table (N, 8, 8) of its image."""
    height, width = plane.shape[2:]
    blocks = _padded(plane, 8).unflatten(3, (-1, 8)).unflatten(2, (-1, 8)) - 128
    basis = _cosines(plane)
    table = table[:, None, None, :, None]
    kept = (torch.einsum("ui,nchiwj,vj->nchuwv", basis, blocks, basis) / table).round() * table
    decoded = torch.einsum("ui,nchuwv,vj->nchiwj", basis, kept, basis)
    return _whole(decoded.flatten(4, 5).flatten(2, 3) + 128)[:, :, :height, :width]


def _padded(images: Tensor, multiple: int) -> Tensor:
    """Edges repeated at the right and the bottom, until both sides are multiples."""
    bottom, right = (-side % multiple for side in images.shape[2:])
    return F.pad(images, (0, right, 0, bottom), mode="replicate")


def _cosines(images: Tensor) -> Tensor:
    """The orthonormal cosine transform of 8 numbers, (frequency, place): ITU-T T.81, A.3.3, in one dimension."""
    places = torch.arange(8, device=images.device, dtype=images.dtype)
    basis = (math.pi / 8 * places[:, None] * (places + 0.5)).cos() / 2
    return torch.cat([basis[:1] / math.sqrt(2), basis[1:]])


def _table(table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """(N, 8, 8): the table as libjpeg scales it by quality (N,), in whole numbers (jcparam.c)."""
    quality = quality.to(torch.int64)
    percent = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    scaled = (torch.tensor(table, device=quality.device) * percent[:, None, None] + 50) // 100
    return scaled.clamp(1, 255).float()

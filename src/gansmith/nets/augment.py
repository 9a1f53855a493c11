"""Augmentation of what D sees, reals and fakes alike, through which gradients reach G.

Functions of images (N, C, H, W) in [-1, 1] that give images of the same shape. They can be differentiated twice, as a
penalty on D's gradients needs. Random numbers come from torch's global generator, one draw per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Augmentation = Callable[[Tensor], Tensor]


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """One number per image, (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) * (high - low) + low


# ---- DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", sec. 3.2)


def colour(images: Tensor) -> Tensor:
    """Brightness moved by U(-0.5, 0.5), saturation scaled by U(0, 2), contrast by U(0.5, 1.5)."""
    images = images + _uniform(images, -0.5, 0.5)
    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, _uniform(images, 0.0, 2.0)) if images.shape[1] > 1 else images
    mean = images.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _uniform(images, 0.5, 1.5))


def translation(images: Tensor, ratio: float = 1 / 8) -> Tensor:
    """Moved by up to an eighth of the side either way, whole pixels; what comes in is 0 (grey)."""
    n, _, h, w = images.shape
    rows = _shifted(n, h, round(h * ratio), images)
    columns = _shifted(n, w, round(w * ratio), images)
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    images = images.gather(2, rows.clamp(0, h - 1)[:, None, :, None].expand_as(images))
    images = images.gather(3, columns.clamp(0, w - 1)[:, None, None, :].expand_as(images))
    return images * inside


def _shifted(n: int, side: int, most: int, images: Tensor) -> Tensor:
    """Where each pixel of a side comes from, (n, side)."""
    offsets = torch.randint(-most, most + 1, (n, 1), device=images.device)
    return torch.arange(side, device=images.device) + offsets


def cutout(images: Tensor, ratio: float = 1 / 2) -> Tensor:
    """A square of half the side set to 0, its centre anywhere."""
    n, _, h, w = images.shape
    half = h * ratio / 2
    top, left = (torch.randint(0, side + 1, (n, 1), device=images.device) for side in (h, w))
    rows = (torch.arange(h, device=images.device) + 0.5 - top).abs() < half
    columns = (torch.arange(w, device=images.device) + 0.5 - left).abs() < half
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


POLICY: Sequence[Augmentation] = (colour, translation, cutout)


def diff_augment(images: Tensor) -> Tensor:
    """Colour, translation and cutout, always: DiffAugment's full policy."""
    for augmentation in POLICY:
        images = augmentation(images)
    return images


# ---- ADA (Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", app. B)


def ada_augment(images: Tensor, p: Tensor) -> Tensor:
    """Pixel blits, a geometric map and a colour map, each part of which happens with probability `p`.

    The paper's best set ("bgc"): flips, quarter turns, shifts by whole pixels; scaling, rotation, stretching,
    shifts by fractions; brightness, contrast, luma flip, hue and saturation. Geometry is sampled bilinearly with
    mirrored edges (the paper filters more finely).

    Args:
        p: scalar in [0, 1].
    """
    return _recoloured(_resampled(images, _geometry(images, p)), p)


def _happens(images: Tensor, p: Tensor) -> Tensor:
    """(N,) 1 where it happens, else 0."""
    return (torch.rand(len(images), device=images.device) < p).float()


def _normal(images: Tensor, deviation: float, p: Tensor) -> Tensor:
    """(N,) N(0, deviation²) where it happens, else 0."""
    return torch.randn(len(images), device=images.device) * deviation * _happens(images, p)


def _whole(images: Tensor, choices: int, p: Tensor) -> Tensor:
    """(N,) of 0 .. choices - 1 where it happens, else 0."""
    return torch.randint(0, choices, (len(images),), device=images.device) * _happens(images, p)


def _matrix(images: Tensor, a: Tensor | float, b: Tensor | float, c: Tensor | float, d: Tensor | float) -> Tensor:
    """(N, 3, 3) linear maps of the plane [[a, b], [c, d]]."""
    made = torch.eye(3, device=images.device).repeat(len(images), 1, 1)
    made[:, 0, 0], made[:, 0, 1], made[:, 1, 0], made[:, 1, 1] = (
        torch.as_tensor(x, device=images.device) for x in (a, b, c, d)
    )
    return made


def _turn(images: Tensor, angle: Tensor) -> Tensor:
    return _matrix(images, angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _shift(images: Tensor, x: Tensor, y: Tensor) -> Tensor:
    made = _matrix(images, 1.0, 0.0, 0.0, 1.0)
    made[:, 0, 2], made[:, 1, 2] = x, y
    return made


def _geometry(images: Tensor, p: Tensor) -> Tensor:
    """(N, 3, 3) maps from output to input, in units of half the side, centre at 0."""
    pixel = 2 / images.shape[-1]
    flip = 1 - 2 * _whole(images, 2, p)
    quarter = _whole(images, 4, p) * (math.pi / 2)
    reach = images.shape[-1] // 8
    blit = [
        torch.randint(-reach, reach + 1, (len(images),), device=images.device) * pixel * _happens(images, p)
        for _ in range(2)
    ]
    scale = _normal(images, 0.2 * math.log(2), p).exp()
    stretch = _normal(images, 0.2 * math.log(2), p).exp()
    # Rotation before and after stretching: together they happen with probability p (app. B).
    each = 1 - (1 - p).sqrt()
    before, after = (
        (torch.rand(len(images), device=images.device) * 2 - 1) * math.pi * _happens(images, each) for _ in range(2)
    )
    fraction = [_normal(images, 0.125, p) * 2 for _ in range(2)]
    maps = (
        _matrix(images, flip, 0.0, 0.0, 1.0),
        _turn(images, quarter),
        _shift(images, *blit),
        _matrix(images, scale, 0.0, 0.0, scale),
        _turn(images, before),
        _matrix(images, stretch, 0.0, 0.0, 1 / stretch),
        _turn(images, after),
        _shift(images, *fraction),
    )
    made = maps[0]
    for other in maps[1:]:
        made = made @ other
    return made


def _resampled(images: Tensor, maps: Tensor) -> Tensor:
    """Images looked up where `maps` send each pixel: bilinear, edges mirrored.

    By gathering, not `grid_sample`, whose second derivative torch does not have.
    """
    channels, h, w = images.shape[1:]
    y, x = (torch.arange(side, device=images.device).add(0.5).mul(2 / side).sub(1) for side in (h, w))
    points = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(h, w, device=images.device)]).flatten(1)
    places = maps[:, :2] @ points
    column, row = (places[:, 0] + 1) * w / 2 - 0.5, (places[:, 1] + 1) * h / 2 - 0.5
    left, top = column.floor(), row.floor()
    flat, made = images.flatten(2), torch.zeros((), device=images.device)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - (row - top - dy).abs()) * (1 - (column - left - dx).abs())
            index = _mirrored(top + dy, h) * w + _mirrored(left + dx, w)
            made = made + flat.gather(2, index[:, None].expand(-1, channels, -1)) * weight[:, None]
    return made.unflatten(2, (h, w)).contiguous(memory_format=torch.channels_last)


def _mirrored(index: Tensor, side: int) -> Tensor:
    """Indices of any size folded back into 0 .. side - 1, as if mirrors stood at both edges."""
    folded = index.long() % (2 * side)
    return torch.minimum(folded, 2 * side - 1 - folded)


def _recoloured(images: Tensor, p: Tensor) -> Tensor:
    """Brightness, contrast, luma flip; hue and saturation of the first three channels where there are three."""

    def each(values: Tensor) -> Tensor:
        return values[:, None, None, None]

    images = images + each(_normal(images, 0.2, p))
    images = images * each(_normal(images, 0.5 * math.log(2), p).exp())
    luma = images[:, :3].mean(1, keepdim=True)
    images = images - 2 * luma * each(_whole(images, 2, p))
    if images.shape[1] < 3:
        return images
    rgb, rest = images[:, :3], images[:, 3:]
    angle = (torch.rand(len(images), device=images.device) * 2 - 1) * math.pi * _happens(images, p)
    luma = rgb.mean(1, keepdim=True)
    rgb = luma + torch.einsum("nij,njhw->nihw", _about_grey(angle), rgb - luma)
    rgb = luma + (rgb - luma) * each(_normal(images, math.log(2), p).exp())
    return torch.cat([rgb, rest], 1)


def _about_grey(angle: Tensor) -> Tensor:
    """(N,) angles to rotations (N, 3, 3) about the axis of greys (Rodrigues)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    ones = torch.full((3, 3), 1 / 3, device=angle.device)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=angle.device) / math.sqrt(3)
    return cos * torch.eye(3, device=angle.device) + (1 - cos) * ones + sin * cross

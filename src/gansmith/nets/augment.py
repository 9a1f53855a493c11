"""Augmentation of what D sees, reals and fakes alike, through which gradients reach G.

Functions of images (N, C, H, W) in [-1, 1] that give images of the same shape, in fp32 or better. They can be
differentiated twice, as a penalty on D's gradients needs. Random numbers come from torch's global generator, one draw
per image. What has to do with colour leaves a fourth channel, alpha, alone, and does the same to each of several
images in a row of channels (a pack, or an image beside its low-pass).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Augmentation = Callable[[Tensor], Tensor]


def _precise(images: Tensor) -> Tensor:
    """Images in fp32 or better: bf16 holds fewer grey levels than a picture has."""
    return images.to(torch.promote_types(images.dtype, torch.float32))


def _rows(images: Tensor) -> Tensor:
    """(N, K C, H, W) -> (N, K, C, H, W): images of three, of four or of one channel."""
    total = images.shape[1]
    return images.unflatten(1, (-1, next(c for c in (3, 4, 1) if total % c == 0)))


def _with_colours(images: Tensor, colours: Tensor) -> Tensor:
    """Other colours (N, K, 1 or 3, H, W) of `images`, with the alpha that these have, channels last."""
    rows = _rows(images)
    whole = torch.cat([colours, rows[:, :, 3:]], 2) if rows.shape[2] > 3 else colours
    return whole.flatten(1, 2).contiguous(memory_format=torch.channels_last)


# ---- DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", sec. 3.2)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """One number per image, (N, 1, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, 1, device=images.device, dtype=images.dtype) * (high - low) + low


def colour(images: Tensor) -> Tensor:
    """Brightness moved by U(-0.5, 0.5), saturation scaled by U(0, 2), contrast by U(0.5, 1.5)."""
    images = _precise(images)
    rgb = _rows(images)[:, :, :3] + _uniform(images, -0.5, 0.5)
    if rgb.shape[2] == 3:
        rgb = torch.lerp(rgb.mean(2, keepdim=True), rgb, _uniform(images, 0.0, 2.0))
    rgb = torch.lerp(rgb.mean((1, 2, 3, 4), keepdim=True), rgb, _uniform(images, 0.5, 1.5))
    return _with_colours(images, rgb)


def translation(images: Tensor, ratio: float = 1 / 8) -> Tensor:
    """Moved by up to an eighth of the side either way, whole pixels; what comes in is 0 (grey)."""
    n, _, h, w = images.shape
    rows = _shifted(n, h, round(h * ratio), images)
    columns = _shifted(n, w, round(w * ratio), images)
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    images = images.gather(2, rows.clamp(0, h - 1)[:, None, :, None].expand_as(images))
    images = images.gather(3, columns.clamp(0, w - 1)[:, None, None, :].expand_as(images))
    return (images * inside).contiguous(memory_format=torch.channels_last)


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
    images = _precise(images)
    # Products of matrices would be taken in bf16, which knows places only to half a pixel.
    with torch.autocast(images.device.type, enabled=False):
        return _recoloured(_resampled(images, _geometry(images, p)), p)


def _happens(images: Tensor, p: Tensor) -> Tensor:
    """(N,) 1 where it happens, else 0."""
    return (torch.rand(len(images), device=images.device) < p).to(images.dtype)


def _draw(images: Tensor) -> Tensor:
    """(N,) of N(0, 1)."""
    return torch.randn(len(images), device=images.device, dtype=images.dtype)


def _angle(images: Tensor, p: Tensor) -> Tensor:
    """(N,) of U(-π, π) where it happens, else 0."""
    turn = torch.rand(len(images), device=images.device, dtype=images.dtype) * 2 - 1
    return turn * math.pi * _happens(images, p)


def _whole(images: Tensor, choices: int, p: Tensor) -> Tensor:
    """(N,) of 0 .. choices - 1 where it happens, else 0."""
    return torch.randint(0, choices, (len(images),), device=images.device) * _happens(images, p)


def _matrix(images: Tensor, a: Tensor | float, b: Tensor | float, c: Tensor | float, d: Tensor | float) -> Tensor:
    """(N, 3, 3) linear maps of the plane [[a, b], [c, d]]."""
    made = torch.eye(3, device=images.device, dtype=images.dtype).repeat(len(images), 1, 1)
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
    reach, is_moved = images.shape[-1] // 8, _happens(images, p)
    blit = [torch.randint(-reach, reach + 1, (len(images),), device=images.device) * pixel * is_moved for _ in range(2)]
    scale, stretch = ((0.2 * math.log(2) * _draw(images) * _happens(images, p)).exp() for _ in range(2))
    # Rotation before and after stretching: together they happen with probability p (app. B).
    before, after = (_angle(images, 1 - (1 - p).sqrt()) for _ in range(2))
    is_moved = _happens(images, p)
    fraction = [0.125 * 2 * _draw(images) * is_moved for _ in range(2)]
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
    y, x = (
        torch.arange(side, device=images.device, dtype=images.dtype).add(0.5).mul(2 / side).sub(1) for side in (h, w)
    )
    points = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones_like(x).expand(h, w)]).flatten(1)
    places = maps[:, :2] @ points
    column, row = (places[:, 0] + 1) * w / 2 - 0.5, (places[:, 1] + 1) * h / 2 - 0.5
    left, top = column.floor(), row.floor()
    flat, made = images.flatten(2), torch.zeros((), device=images.device, dtype=images.dtype)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - (row - top - dy).abs()) * (1 - (column - left - dx).abs())
            index = _mirrored(top + dy, h) * w + _mirrored(left + dx, w)
            made = made + flat.gather(2, index[:, None].expand(-1, channels, -1)) * weight[:, None]
    return made.unflatten(2, (h, w))


def _mirrored(index: Tensor, side: int) -> Tensor:
    """Indices of any size folded back into 0 .. side - 1, as if mirrors stood at both edges."""
    folded = index.long() % (2 * side)
    return torch.minimum(folded, 2 * side - 1 - folded)


def _recoloured(images: Tensor, p: Tensor) -> Tensor:
    """Brightness, contrast, luma flip; of colours, hue and saturation too."""

    def each(values: Tensor) -> Tensor:
        return values[:, None, None, None, None]

    rgb = _rows(images)[:, :, :3] + each(0.2 * _draw(images) * _happens(images, p))
    rgb = rgb * each((0.5 * math.log(2) * _draw(images) * _happens(images, p)).exp())
    luma = rgb.mean(2, keepdim=True)
    flipped = -luma * (2 * each(_whole(images, 2, p)) - 1)
    if rgb.shape[2] == 3:
        chroma = torch.einsum("nij,nkjhw->nkihw", _about_grey(_angle(images, p)), rgb - luma)
        rgb = flipped + chroma * each((math.log(2) * _draw(images) * _happens(images, p)).exp())
    else:
        rgb = flipped
    return _with_colours(images, rgb)


def _about_grey(angle: Tensor) -> Tensor:
    """(N,) angles to rotations (N, 3, 3) about the axis of greys (Rodrigues)."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    identity = torch.eye(3, device=angle.device, dtype=angle.dtype)
    cross = angle.new_tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)
    return cos * identity + (1 - cos) / 3 + sin * cross

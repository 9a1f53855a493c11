"""Parts that several architectures share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrizations import spectral_norm


def levels(resolution: int, coarsest: int = 4) -> int:
    """How many doublings lead from `coarsest` to `resolution` (both powers of two)."""
    return round(math.log2(resolution / coarsest))


def widths_by_level(resolution: int, finest: int) -> list[int]:
    """Channels from 4x4 to full resolution: `finest` there, doubling towards 4x4, at most 8 times."""
    return [finest * min(2**doublings, 8) for doublings in reversed(range(levels(resolution) + 1))]


def pixel_norm(x: Tensor) -> Tensor:
    """Every pixel's feature vector, or every row of (N, D), scaled to unit mean square (Karras 2018, sec. 4.2)."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class _WithinRange(torch.autograd.Function):
    """`within_range`; its gradient is that of the projection, which cannot be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        leads_out = ((x > 1) & (gradient < 0)) | ((x < -1) & (gradient > 0))
        return gradient.masked_fill(leads_out, 0)


def within_range(x: Tensor) -> Tensor:
    """Pixels cut to [-1, 1], so that black can be exactly black: a net that almost reaches it is told apart by that.

    What would lead a pixel further out gets no gradient; what leads it back gets all of it, where a tanh would give
    nearly none.
    """
    return _WithinRange.apply(x)


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
    """`pixel_norm` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x)


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

    (N, C, H, W) -> (N, C + 1, H, W). Neighbours in the batch are a group: as many as the largest divisor of N that is
    at most `group`.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        group = next(g for g in range(min(self.group, n), 0, -1) if n % g == 0)
        rows = x.float().permute(0, 2, 3, 1).reshape(n // group, group, -1)  # as they lie in memory
        spread = (rows - rows.mean(1, keepdim=True)).square().mean(1).add(1e-8).sqrt().mean(1)
        channel = spread.to(x.dtype).repeat_interleave(group).view(n, 1, 1, 1).expand(n, 1, h, w)
        return torch.cat([x, channel], 1)


class MinibatchDiscrimination(nn.Module):
    """Appends, for each of `kernels` learned maps, how near the other samples of the batch are.

    (N, inputs) -> (N, inputs + kernels): o_b(x_i) = sum over j != i of exp(-‖M_i,b - M_j,b‖₁), M = x T, with rows of
    `size` numbers (Salimans et al. 2016, "Improved Techniques for Training GANs", sec. 3.2).
    """

    def __init__(self, inputs: int, kernels: int = 16, size: int = 8):
        super().__init__()
        self.kernels, self.size = kernels, size
        self.map = nn.Linear(inputs, kernels * size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.map(x).unflatten(1, (self.kernels, self.size)).float()
        nearness = (rows[:, None] - rows[None]).abs().sum(3).neg().exp().sum(1) - 1
        return torch.cat([x, nearness.to(x.dtype)], 1)


def split_before(layers: nn.Sequential, kind: type[nn.Module]) -> list[nn.Module]:
    """The same layers in groups, each from one of that kind to the next; the first from the first layer on."""
    starts = [i for i, layer in enumerate(layers) if i and isinstance(layer, kind)]
    return [layers[start:end] for start, end in pairwise([0, *starts, len(layers)])]


def lower_levels(net: nn.Module) -> list[nn.Module]:
    """`lower` of the discriminator inside `net`, which may be wrapped to be told of the class or the batch."""
    while not hasattr(net, "lower"):
        net = net.net  # type: ignore[assignment]
    return net.lower()  # type: ignore[operator]


def images_at_once(net: nn.Module) -> int | None:
    """How many neighbours in a batch `net` looks at together in training: 1 where it sees each image by itself, None
    where its output for one depends on the whole batch."""
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm | MinibatchDiscrimination) for m in net.modules()):
        return None
    return math.lcm(*(m.group for m in net.modules() if isinstance(m, MinibatchStddev)))


class Reshaped(nn.Module):
    """A layer of maps, applied to vectors (N, C) as to maps (N, C, 1, 1)."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :, None, None]).flatten(1)


class Upfront(nn.Module):
    """A discriminator with a layer between its features and its head: minibatch statistics for any of them.

    `net` has ``features(image, ...) -> (N, width)``; `layer` makes (N, width + added) of it. The head is new.
    """

    def __init__(self, net: nn.Module, layer: nn.Module, added: int):
        super().__init__()
        self.net, self.layer = net, layer
        self.width: int = net.width + added  # type: ignore[operator, assignment]
        self.last = nn.Linear(self.width, 1)

    def forward(self, image: Tensor, *rest: Any) -> Tensor:
        return self.head(self.features(image, *rest))

    def features(self, image: Tensor, *rest: Any) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.layer(self.net.features(image, *rest))  # type: ignore[operator]

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.last(features).flatten(0)


def pack(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N / size, size C, H, W): D judges `size` images of a kind at once (Lin 2018, PacGAN, sec. 3)."""
    if size == 1:
        return images
    packed = images.unflatten(0, (-1, size)).flatten(1, 2)
    return packed.contiguous(memory_format=torch.channels_last)


def unpack(packed: Tensor, size: int) -> Tensor:
    """What `pack` was given."""
    return packed.unflatten(1, (size, -1)).flatten(0, 1) if size > 1 else packed


Net = TypeVar("Net", bound=nn.Module)


def spectrally_normed(net: Net) -> Net:
    """Every weight of `net` divided by its largest singular value: a power iteration a pass (Miyato 2018, alg. 1).

    An equalised layer's own scale becomes 1. Weights that are zero, which have no direction, become N(0, 0.02²).
    """
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding | EqualConv2d):
            if isinstance(module, EqualConv2d):
                module.scale = 1.0
            if not module.weight.is_meta and not module.weight.any():
                nn.init.normal_(module.weight, 0.0, 0.02)
            spectral_norm(module)
    return net


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


@contextmanager
def at_rest(*nets: nn.Module) -> Iterator[None]:
    """Nets in eval mode inside: norms that a frozen net would follow the batches with stay as they are."""
    was = [net.training for net in nets]
    for net in nets:
        net.eval()
    try:
        yield
    finally:
        for net, training in zip(nets, was, strict=True):
            net.train(training)

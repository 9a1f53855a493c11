"""The pair of Karras 2020 (StyleGAN2): a mapping network, modulated convolutions with noise, a residual D.

The latent z is mapped to w, and w scales the channels of every convolution of a generator whose input is a learned
constant (Karras 2019). Sizes change by plain resampling, bilinear upwards and means downwards (the papers filter with
[1 3 3 1]), and always at the coarser end of the pair of convolutions, where a convolution costs a quarter.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import EqualConv2d, MinibatchStddev, pixel_norm, widths_by_level

SLOPE = 0.2
GAIN = math.sqrt(2)
"""Of the activation: a leaky ReLU about halves the mean square."""
MEAN_DECAY = 0.005
"""Of the tracked mean of w, per forward pass in training (0.995 is kept in Karras 2019's code)."""


def fp32(x: Tensor) -> torch.autocast:
    """A context without autocast: styles and their norms are small, and need the digits."""
    return torch.autocast(x.device.type, enabled=False)


def enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


def shrink(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / √(Σ_ik (s_i w_oik)² + ε), which gives a unit-variance input unit variance again (Karras 2020, eq. 3).

    Args:
        weight: (out, in, k, k).
        style: (N, in).

    Returns:
        (N, out).
    """
    with fp32(style):
        return torch.rsqrt(style.square() @ weight.square().sum((2, 3)).T + 1e-8)


def modulated_conv2d(x: Tensor, weight: Tensor, style: Tensor, gain: float | None = 1.0) -> Tensor:
    """Convolution by w'_oik = s_i w_oik, demodulated (Karras 2020, eq. 1 to 3), of odd kernel, to the same size.

    The scales are taken out of the weight, s to the input and the demodulation to the output: the same function by one
    ordinary convolution, where weights of each sample's own would need as many groups as samples.

    Args:
        x: (N, in, H, W).
        weight: (out, in, k, k).
        style: (N, in).
        gain: factor of the output; None leaves it as it is, not demodulated.

    Returns:
        (N, out, H, W).
    """
    y = F.conv2d(x * style.to(x.dtype)[:, :, None, None], weight, padding=weight.shape[-1] // 2)
    if gain is None:
        return y
    return y * (gain * demodulation(weight, style)).to(y.dtype)[:, :, None, None]


class EqualLinear(nn.Module):
    """Linear layer of weights N(0, 1 / rate²), scaled at run time by `rate` / √inputs, so that it learns `rate` times
    as fast as others (Karras 2018, sec. 4.1; Karras 2019, app. C, where the mapping network's is 0.01)."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, gain: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.rate, self.scale = rate, gain * rate / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Mapping(nn.Module):
    """z (N, latent + told) -> w (N, latent): z and what is told beside it, each normalised by itself."""

    def __init__(self, latent: int, told: int, layers: int):
        super().__init__()
        self.latent, self.told = latent, told
        sizes = [latent + told] + [latent] * layers
        self.layers = nn.ModuleList([EqualLinear(a, b, rate=0.01, gain=GAIN) for a, b in pairwise(sizes)])

    def forward(self, z: Tensor) -> Tensor:
        with fp32(z):
            z, told = z[:, : self.latent], z[:, self.latent :]
            x = torch.cat([pixel_norm(z), pixel_norm(told)], 1) if told.shape[1] else pixel_norm(z)
            for layer in self.layers:
                x = F.leaky_relu(layer(x), SLOPE)
            return x


class ModulatedConv2d(nn.Module):
    """`modulated_conv2d` with a learned weight, N(0, 1) and scaled at run time, and a style that is affine in w."""

    def __init__(self, inputs: int, outputs: int, kernel: int, latent: int, gain: float | None):
        super().__init__()
        self.affine = EqualLinear(latent, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel * kernel)
        self.gain = gain

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with fp32(x):
            style = self.affine(w)
        return modulated_conv2d(x, self.weight * self.scale, style, self.gain)


class StyledLayer(nn.Module):
    """Modulated convolution, to twice the side if `up`, noise, bias, leaky ReLU (Karras 2020, fig. 2c).

    Noise is drawn anew in training, and fixed in eval mode, where sampling is a function of w alone. One number per
    layer, which begins at 0, scales it.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, side: int, latent: int, up: bool):
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, latent, GAIN)
        self.up = up
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("noise", torch.randn(1, 1, side, side))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        if self.up:
            x = enlarge(x)
        noise = x.new_empty(len(x), 1, *x.shape[2:]).normal_() if self.training else self.noise.to(x.dtype)
        x = x + self.bias.to(x.dtype)[:, None, None]
        return F.leaky_relu(torch.addcmul(x, noise, self.strength.to(x.dtype)), SLOPE)


class ToImage(nn.Module):
    """Features (N, in, H, W) and w -> what a level adds to the image (N, C, H, W); not demodulated."""

    def __init__(self, inputs: int, channels: int, latent: int):
        super().__init__()
        self.conv = ModulatedConv2d(inputs, channels, 1, latent, None)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        return x + self.bias.to(x.dtype)[:, None, None]


class Generator(nn.Module):
    """Latent (N, latent + told) -> image (N, C, R, R): tanh of the sum of what every size adds.

    The papers' G has no tanh; with it a background can be exactly black, which is how D could tell reals otherwise.

    Attributes:
        layers: how many styles an image is made with, two a size: the one that colours a size also begins the next.
        mean_style: (latent,), the tracked mean of w.
    """

    mean_style: Tensor

    def __init__(
        self, spec: Spec, latent: int, width: int, mapping_layers: int = 2, style_mixing: float = 0.9, told: int = 0
    ):
        """
        Args:
            latent: length of z, and of w.
            style_mixing: how often, in training, a sample's styles are of two latents (Karras 2019, sec. 3.1).
            told: numbers behind z that are not drawn, such as a one-hot label; they stay when styles are mixed.
        """
        super().__init__()
        sizes = widths_by_level(spec.resolution, width)
        self.latent, self.style_mixing, self.layers = latent, style_mixing, 2 * len(sizes)
        self.mapping = Mapping(latent, told, mapping_layers)
        self.constant = nn.Parameter(torch.randn(1, sizes[0], 4, 4))
        self.first = StyledLayer(sizes[0], sizes[0], 4, latent, up=False)
        self.ups = nn.ModuleList(
            [StyledLayer(a, b, 8 * 2**i, latent, up=True) for i, (a, b) in enumerate(pairwise(sizes))]
        )
        self.convs = nn.ModuleList([StyledLayer(b, b, 8 * 2**i, latent, up=False) for i, b in enumerate(sizes[1:])])
        self.to_image = nn.ModuleList([ToImage(size, spec.channels, latent) for size in sizes])
        self.register_buffer("mean_style", torch.zeros(latent))

    def forward(self, z: Tensor, truncation: float = 1.0, with_styles: bool = False) -> Any:
        """Images of latents.

        Args:
            z: (N, latent + told).
            truncation: see `truncated`.
            with_styles: also return w (N, latent), of which the images are then a function without mixing.
        """
        w = self.styles(z)
        if with_styles:
            w = self.truncated(w, truncation)
            return self.synthesise(w), w
        if not self.training:
            return self.synthesise(self.truncated(w, truncation))
        with torch.no_grad():
            self.mean_style.lerp_(w.mean(0), MEAN_DECAY)
        return self.synthesise(self.truncated(self.mixed(w, z) if self.style_mixing else w, truncation))

    def styles(self, z: Tensor) -> Tensor:
        """Latents (N, latent + told) -> w (N, latent)."""
        return self.mapping(z)

    def truncated(self, w: Tensor, truncation: float) -> Tensor:
        """w̄ + ψ (w - w̄), w̄ the tracked mean (Karras 2019, app. B); 1 leaves w (N, ..., latent) as it is."""
        return w if truncation == 1 else self.mean_style + truncation * (w - self.mean_style)

    def mixed(self, w: Tensor, z: Tensor) -> Tensor:
        """Styles (N, layers, latent) that are w's up to a layer drawn for each sample, and another latent's from there.

        Karras 2019, sec. 3.1. With probability 1 - `style_mixing` all are w's.
        """
        other = self.styles(torch.cat([torch.randn_like(z[:, : self.latent]), z[:, self.latent :]], 1))
        start = torch.randint(1, self.layers, (len(w), 1), device=w.device)
        start[torch.rand(len(w), device=w.device) >= self.style_mixing] = self.layers
        is_other = torch.arange(self.layers, device=w.device) >= start
        return torch.where(is_other[:, :, None], other[:, None], w[:, None])

    def synthesise(self, w: Tensor) -> Tensor:
        """w (N, latent) of the whole image, or (N, layers, latent) of each layer, from 4x4 on -> image (N, C, R, R)."""
        ws = (w if w.dim() == 3 else w[:, None].expand(-1, self.layers, -1)).unbind(1)
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.first(x, ws[0])
        image = self.to_image[0](x, ws[1])
        for i, (up, conv, to_image) in enumerate(zip(self.ups, self.convs, self.to_image[1:], strict=True)):
            x = conv(up(x, ws[2 * i + 1]), ws[2 * i + 2])
            image = enlarge(image) + to_image(x, ws[2 * i + 3])
        return torch.tanh(image)


class Block(nn.Module):
    """(conv(shrink(conv(x))) + 1x1(shrink(x))) / √2 (Karras 2020, fig. 7c): half the side, other channels.

    The root is in the gains of the two last convolutions.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = EqualConv2d(inputs, inputs, 3, padding=1)
        self.second = EqualConv2d(inputs, outputs, 3, padding=1, gain=1.0)
        self.skip = EqualConv2d(inputs, outputs, 1, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        y = shrink(F.leaky_relu(self.first(x), SLOPE))
        return F.leaky_relu(self.second(y), SLOPE) + self.skip(shrink(x))


class Discriminator(nn.Module):
    """Image (N, C, R, R) -> logit (N,): residual, without norms; `stddev`: with the minibatch's standard deviation at
    4x4."""

    def __init__(self, spec: Spec, width: int, stddev: bool = True):
        super().__init__()
        sizes = widths_by_level(spec.resolution, width)[::-1]
        self.from_image = EqualConv2d(spec.channels, sizes[0], 1)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(sizes)))
        self.width = sizes[-1]
        self.last = nn.Sequential(
            MinibatchStddev() if stddev else nn.Identity(),
            EqualConv2d(self.width + stddev, self.width, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            EqualConv2d(self.width, self.width, 4),
            nn.LeakyReLU(SLOPE),
        )
        self.logit = EqualConv2d(self.width, 1, 1, gain=1.0)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))

    def lower(self) -> list[nn.Module]:
        """What works at each size, from the image on."""
        return [nn.ModuleList([self.from_image, self.blocks[0]]), *self.blocks[1:]]

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        x = self.blocks(F.leaky_relu(self.from_image(image), SLOPE))
        return self.last(x).flatten(1)

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.logit(features[:, :, None, None]).flatten(0)

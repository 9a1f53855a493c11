"""The convolutional pair of Radford 2016, for any power-of-two side from 16 to 256.

Its rules: strided convolutions instead of pooling, batch norm in both nets except G's output and D's input, no
hidden dense layers, ReLU in G with tanh at the end, leaky ReLU of slope 0.2 in D.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import LayerNorm2d, init_normal, levels, split_before
from gansmith.nets.conditional import Chain, ClassBatchNorm2d

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": LayerNorm2d,
    "none": lambda channels: nn.Identity(),
}


def widths(resolution: int, width: int) -> list[int]:
    """Channels from the finest hidden level (half the resolution) to 4x4: doubling, at most 16 times `width`."""
    return [width * min(2**i, 16) for i in range(levels(resolution))]


class Generator(nn.Module):
    """Latent (N, latent) -> image (N, C, R, R) in [-1, 1]; with `classes`, batch norms take labels (N,) too."""

    def __init__(self, spec: Spec, latent: int, width: int, norm: str = "batch", classes: int = 0):
        super().__init__()
        channels = widths(spec.resolution, width)[::-1]
        normed = partial(ClassBatchNorm2d, classes=classes) if classes else NORMS[norm]
        # A product with the latent, reshaped to 4x4 (fig. 1): what a convolution of a 1x1 map would compute, faster.
        layers: list[nn.Module] = [
            nn.Linear(latent, channels[0] * 16, bias=norm == "none"),
            nn.Unflatten(1, (-1, 4, 4)),
        ]
        for inputs, outputs in pairwise(channels):
            layers += [normed(inputs), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=norm == "none")]
        layers += [normed(channels[-1]), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(channels[-1], spec.channels, 4, 2, 1), nn.Tanh()]
        self.layers = init_normal(Chain(*layers))

    def forward(self, z: Tensor, *labels: Tensor) -> Tensor:
        return self.layers(z, *labels)


class Discriminator(nn.Module):
    """Image (N, C, R, R) -> logit (N,)."""

    def __init__(self, spec: Spec, width: int, norm: str = "batch", dropout: float = 0.0):
        super().__init__()
        channels = widths(spec.resolution, width)
        dropped = [nn.Dropout2d(dropout)] if dropout else []
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, channels[0], 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        layers += dropped
        for inputs, outputs in pairwise(channels):
            conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=norm == "none")
            layers += [conv, NORMS[norm](outputs), nn.LeakyReLU(0.2, inplace=True), *dropped]
        self.width = channels[-1] * 16
        layers += [nn.Flatten(), nn.Linear(self.width, 1), nn.Flatten(0)]
        self.layers = init_normal(nn.Sequential(*layers))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)

    def lower(self) -> list[nn.Module]:
        """What works at each size, from the image on."""
        return split_before(self.layers[:-3], nn.Conv2d)

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.layers[:-2](image)

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.layers[-2:](features)

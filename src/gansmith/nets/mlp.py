"""Multilayer perceptrons on flat images, as in Goodfellow 2014 and Makhzani 2016."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import Maxout, split_before


def perceptron(*widths: int, slope: float = 0.0) -> nn.Sequential:
    """Linear layers of the given widths with (leaky) ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers[:-1])


class Generator(nn.Module):
    """Latent (N, latent) -> image (N, C, R, R) in [-1, 1]: two hidden ReLU layers (Goodfellow 2014, sec. 5)."""

    def __init__(self, spec: Spec, latent: int, width: int):
        super().__init__()
        self.shape = (spec.channels, spec.resolution, spec.resolution)
        self.layers = perceptron(latent, width, width, spec.channels * spec.resolution**2)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).tanh().unflatten(1, self.shape)


class Discriminator(nn.Module):
    """Image (N, C, R, R) -> logit (N,): two maxout layers with dropout (Goodfellow 2014, sec. 5)."""

    def __init__(self, spec: Spec, width: int, pieces: int = 5, dropout: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            Maxout(spec.channels * spec.resolution**2, width, pieces),
            nn.Dropout(dropout),
            Maxout(width, width, pieces),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )
        self.width = width

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).squeeze(1)

    def lower(self) -> list[nn.Module]:
        """The hidden layers, from the image on."""
        return split_before(self.layers[1:-1], Maxout)

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.layers[:-1](image)

    def head(self, features: Tensor) -> Tensor:
        """(N, width) -> logits (N,)."""
        return self.layers[-1](features).squeeze(1)

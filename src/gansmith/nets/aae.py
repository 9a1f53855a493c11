"""Encoders, decoders and the discriminator of codes of an adversarial autoencoder (Makhzani et al. 2016, app. A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets import dcgan, mlp


class DenseEncoder(nn.Module):
    """Image (N, C, R, R) -> code (N, outputs): two hidden ReLU layers, a linear code (app. A.1)."""

    def __init__(self, spec: Spec, outputs: int, width: int):
        super().__init__()
        self.layers = mlp.perceptron(spec.channels * spec.resolution**2, width, width, outputs)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image.flatten(1))

    def features(self, image: Tensor) -> Tensor:
        """Image (N, C, R, R) -> (N, width)."""
        return self.layers[:-1](image.flatten(1))


class ConvEncoder(nn.Module):
    """Image (N, C, R, R) -> code (N, outputs): the convolutions of DCGAN's discriminator, a linear code."""

    def __init__(self, spec: Spec, outputs: int, width: int):
        super().__init__()
        convolutions = dcgan.Discriminator(spec, width)
        self.features = convolutions.layers[:-2]
        self.code = nn.Linear(convolutions.width, outputs)

    def forward(self, image: Tensor) -> Tensor:
        return self.code(self.features(image))


class CodeDiscriminator(nn.Module):
    """Code (N, inputs), and what is told beside it (N, told) -> logit (N,): two hidden ReLU layers (app. A.1)."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.layers = mlp.perceptron(inputs, width, width, 1)

    def forward(self, code: Tensor, *told: Tensor) -> Tensor:
        return self.layers(torch.cat([code, *told], 1)).flatten(0)

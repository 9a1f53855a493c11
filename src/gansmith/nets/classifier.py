"""A small classifier of images, quick to train on a CPU; what comes before its last layer are features."""

from __future__ import annotations

from torch import Tensor, nn

COARSEST = 4
"""Side at which features are averaged, pixels, at most."""
WIDEST = 4
"""Channels of the coarsest maps are at most so many times those of the finest."""


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Classifier(nn.Module):
    """3x3 convolutions with batch norm, each of stride 2 until the maps are 4x4, and one more; global average; one
    linear layer.

    Args:
        channels: of the images.
        side: of the images, at least 8 pixels.
        classes: how many.
        width: channels of the finest maps.
    """

    def __init__(self, channels: int, side: int, classes: int, width: int = 16):
        super().__init__()
        layers, inputs, outputs = [], channels, width
        while side > COARSEST:
            layers.append(conv(inputs, outputs, stride=2))
            side, inputs, outputs = -(-side // 2), outputs, min(2 * outputs, WIDEST * width)
        self.body = nn.Sequential(*layers, conv(inputs, inputs))
        self.head = nn.Linear(inputs, classes)

    def features(self, images: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] to features (N, F), each at least 0."""
        return self.body(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] to logits (N, classes)."""
        return self.head(self.features(images))

"""The small classifier of Fashion-MNIST whose penultimate layer is the extractor ``fashion-cnn``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 28
WIDTH = 96
# Mean and standard deviation of the pixels of Fashion-MNIST's 60,000 training images, in [0, 1].
PIXEL_MEAN, PIXEL_STD = 0.2860, 0.3530


def _conv(inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU())


class FashionCnn(nn.Module):
    """Five 3x3 convolutions, two poolings, global average, one linear layer.

    Args:
        norm: with batch normalisation, as it is trained; without, as it is stored (see `folded`).
    """

    def __init__(self, norm: bool = False):
        super().__init__()
        self.body = nn.Sequential(
            _conv(1, 32, norm),
            nn.MaxPool2d(2),
            _conv(32, 64, norm),
            _conv(64, 64, norm),
            nn.MaxPool2d(2),
            _conv(64, 128, norm),
            _conv(128, WIDTH, norm),
        )
        self.head = nn.Linear(WIDTH, 10)

    def features(self, x: Tensor) -> Tensor:
        """Grey images (N, 1, 28, 28) in [0, 1] to features (N, 96), each at least 0."""
        pooled: Tensor = self.body((x - PIXEL_MEAN) / PIXEL_STD).mean(dim=(2, 3))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Grey images (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
        logits: Tensor = self.head(self.features(x))
        return logits


@torch.no_grad()
def folded(trained: FashionCnn) -> FashionCnn:
    """The same function in eval mode without batch normalisation: w' = w g / s, b' = beta - mean g / s."""
    plain = FashionCnn(norm=False)
    plain.head.load_state_dict(trained.head.state_dict())
    for source, target in zip(trained.body, plain.body, strict=True):
        if isinstance(source, nn.Sequential) and isinstance(target, nn.Sequential):
            conv, norm, into = source[0], source[1], target[0]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            assert isinstance(into, nn.Conv2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert into.bias is not None
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            into.weight.copy_(conv.weight * gain[:, None, None, None])
            into.bias.copy_(norm.bias - norm.running_mean * gain)
    return plain.eval()

"""Nets that are told the class: wrappers around any generator and discriminator, and a norm.

Every wrapper is called with the labels, int64 (N,), behind its first argument; what comes after goes on to the net
inside.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConcatGenerator(nn.Module):
    """G of [z, one-hot label] (Mirza & Osindero 2014, sec. 3.2): `net` takes latents longer by `classes`."""

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, z: Tensor, labels: Tensor, *rest: Any) -> Tensor:
        return self.net(torch.cat([z, F.one_hot(labels, self.classes).to(z.dtype)], 1), *rest)


class ConcatDiscriminator(nn.Module):
    """D of [image, one-hot label as constant maps]: `net` takes images of `classes` more channels.

    Mirza & Osindero 2014, sec. 3.2, in the convolutional form of Perarnau 2016 (input of the first layer).
    """

    def __init__(self, net: nn.Module, classes: int):
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, image: Tensor, labels: Tensor, *rest: Any) -> Tensor:
        maps = F.one_hot(labels, self.classes).to(image.dtype)[:, :, None, None].expand(-1, -1, *image.shape[2:])
        told = torch.cat([image, maps], 1).contiguous(memory_format=torch.channels_last)
        return self.net(told, *rest)


class ProjectionDiscriminator(nn.Module):
    """head(h) + <embedding(label), h>, h = features(image) (Miyato & Koyama 2018, eq. 3 and fig. 1d).

    `net` has ``features(image, ...) -> (N, F)`` and ``head((N, F)) -> (N,)``. The embedding begins at 0: D is
    unconditional at first.
    """

    def __init__(self, net: nn.Module, classes: int, features: int):
        super().__init__()
        self.net = net
        self.embedding = nn.Embedding(classes, features)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, image: Tensor, labels: Tensor, *rest: Any) -> Tensor:
        h = self.net.features(image, *rest)  # type: ignore[operator]
        return self.net.head(h) + (self.embedding(labels).to(h.dtype) * h).sum(1)  # type: ignore[operator]


class AuxiliaryDiscriminator(nn.Module):
    """D that is told nothing and says the class too (Odena et al. 2017, sec. 3): (logits (N,), class logits (N, K)).

    `net` is as in `ProjectionDiscriminator`.
    """

    def __init__(self, net: nn.Module, classes: int, features: int):
        super().__init__()
        self.net = net
        self.classifier = nn.Linear(features, classes)

    def forward(self, image: Tensor, labels: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        h = self.net.features(image, *rest)  # type: ignore[operator]
        return self.net.head(h), self.classifier(h)  # type: ignore[operator]


class ClassBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose gain and bias belong to the class (de Vries 2017; Miyato & Koyama 2018, app. A)."""

    def __init__(self, channels: int, classes: int):
        super().__init__(channels, affine=False)
        self.gain, self.bias_of = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias_of.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        normed = super().forward(x)
        return normed * self.gain(labels)[:, :, None, None] + self.bias_of(labels)[:, :, None, None]


class Chain(nn.Sequential):
    """A sequence of which the norms of a class are told the labels."""

    def forward(self, x: Tensor, *labels: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, *labels) if isinstance(layer, ClassBatchNorm2d) else layer(x)
        return x

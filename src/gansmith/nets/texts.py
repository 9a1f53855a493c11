"""Encoders of texts: what is said as a vector that other nets are told. (N, ...) -> (N, size)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.blocks import pixel_norm


class WordEncoder(nn.Module):
    """Numbers of words (N, L) int64 -> (N, size); 0 is no word, 1 an unknown one, known ones count from 2.

    Every word is read with its neighbours, by a convolution over three, so that "a red circle above a blue square" is
    not "a blue circle above a red square", as it would be in a bag of words. The sum over the words is scaled to a
    length that does not depend on their number; then comes a perceptron, residual. Zeros behind the words change
    nothing.

    Args:
        words: how many are known.
        size: of the vector.
    """

    def __init__(self, words: int, size: int):
        super().__init__()
        self.words = nn.Embedding(words + 2, size, padding_idx=0)
        self.neighbours = nn.Conv1d(size, size, 3, padding=1)
        self.layers = nn.Sequential(nn.Linear(size, size), nn.LeakyReLU(0.2), nn.Linear(size, size))

    def forward(self, numbers: Tensor) -> Tensor:
        x = self.words(numbers)
        x = x + F.leaky_relu(self.neighbours(x.mT), 0.2).mT
        x = pixel_norm((x * (numbers > 0)[:, :, None]).sum(1))
        return x + self.layers(x)


class Given(nn.Module):
    """Vectors that a language model made of texts (N, inputs) -> (N, size): scaled to one length, and one layer."""

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.layer = nn.Linear(inputs, size)

    def forward(self, vectors: Tensor) -> Tensor:
        return F.leaky_relu(self.layer(pixel_norm(vectors)), 0.2)

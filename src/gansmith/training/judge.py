"""What a run is measured and seen by while it trains: the same few samples, again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from gansmith.data import Dataset
from gansmith.data.split import evenly
from gansmith.metrics import PairScores, Reference, distance_of, perceptual_net, perceptual_net_here, score_pairs
from gansmith.training.pictures import grid, side_by_side
from gansmith.training.runtime import mixed_seed
from gansmith.training.session import Player

QUICK_SAMPLES = 1000
QUICK_PAIRS = 24
FIXED_LATENTS = 64
FIXED_IMAGES = 16
BEST_BY = ("perceptual", "frechet")
"""Quick figures that the best checkpoint is chosen by: the first that was taken; lower is better."""
PATIENT_BY = ("perceptual", "kernel", "frechet")
"""The same of a run with patience: few images are learnt by heart, and the distance from them falls all the while."""


@dataclass(frozen=True)
class Judge:
    """The data, and the features of its real images where distances from them are wanted.

    Attributes:
        held: the features of held-out images, where distances from these are wanted, too.
    """

    dataset: Dataset
    reference: Reference | None
    held: Reference | None = None

    def quick(self, player: Player, seed: int) -> dict[str, float]:
        """A row of figures: the Fréchet distance of 1,000 samples; where it is wanted, their kernel distance from
        held-out images; of a game that makes images of images, how near 24 held-out ones come to what they should
        be."""
        if self.reference is None:
            return {}
        fakes = player.sample(QUICK_SAMPLES, seed, player.asked(self.dataset, QUICK_SAMPLES, seed)).numpy()
        features = self.reference.extractor(fakes)
        row = {"quick/frechet": self.reference.frechet_of(features)}
        if self.held is not None:
            row["quick/kernel"] = self.held.kernel_of(features)
        shown = held_out(player, self.dataset, QUICK_PAIRS)
        pairs = {} if shown is None else score_pairs(shown.made, shown.targets, None, perceptual()).means()
        return row | {f"quick/{name}": value for name, value in pairs.items()}


class Shown(NamedTuple):
    """Held-out images, what a game made of them, and what it should have made: each uint8 (N, H, W, C)."""

    sources: np.ndarray
    made: np.ndarray
    targets: np.ndarray


def held_out(player: Player, dataset: Dataset, most: int) -> Shown | None:
    """At most so many, evenly chosen; None where the data has none with a target, or the game makes no images of
    images."""
    translator = player.game.translator
    if translator is None or (dataset.pairs is None and translator.given is None):
        return None
    sources, targets = shown_images(dataset, most)
    return Shown(*player.columns(sources, targets)[:3]) if len(sources) else None


def shown_images(dataset: Dataset, most: int) -> tuple[np.ndarray, np.ndarray | None]:
    """At most so many held-out images, evenly chosen, and what they are to become, where that is known."""
    if dataset.pairs is None:
        return dataset.heldout.images[evenly(len(dataset.heldout), most)], None
    chosen = evenly(len(dataset.pairs), most)
    return dataset.pairs.sources[chosen], dataset.pairs.targets[chosen]


def pair_scores(player: Player, dataset: Dataset, most: int) -> PairScores | None:
    """How near held-out images come to their targets, and how near they were."""
    shown = held_out(player, dataset, most)
    return None if shown is None else score_pairs(shown.made, shown.targets, shown.sources, perceptual())


def perceptual() -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """The perceptual distance, where a network for it is installed."""
    return distance_of(perceptual_net()) if perceptual_net_here() else None


def picture(player: Player, dataset: Dataset) -> Image.Image:
    """A grid of the fixed latents; of a translator, fixed images with what it makes of them."""
    seed = player.config.train.seed
    if player.game.translator is None:
        return grid(player.sample(FIXED_LATENTS, mixed_seed(seed, FIXED_LATENTS)).numpy())
    images, targets = shown_images(dataset, FIXED_IMAGES)
    return side_by_side(player.columns(images if len(images) else dataset.train.images[:FIXED_IMAGES], targets))

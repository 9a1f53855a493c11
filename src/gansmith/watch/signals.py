"""What can be measured of a game at one moment: pure functions of features and outputs. All are scaled by what real
samples show of themselves, so that one value means the same on a ring of points and on photographs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 32
"""Of the real samples, at most; Richardson & Weiss 2018 take 100 for 50,000 images."""
A_BIN = 12
"""Real samples in a bin, at least, on average."""
NEIGHBOURS = 5
"""Of balls that hold samples (Naeem 2020, sec. 4.2)."""
ONE_BIN = 0.05
"""Bins whose centres are nearer than this part of the root of the mean squared distance of two samples are one: what is
within a mode is no mode."""
MISSED = 0.2
"""A bin is missed where fakes have less than this part of its share."""
Signals = dict[str, float]


@dataclass(frozen=True)
class Reals:
    """What real samples show of themselves, in features.

    Attributes:
        known: (N, F), that a discriminator was trained on.
        held: (M, F), that none was; the same as `known` where there are no others.
        centres, shares: of the bins (K, F), (K,).
        radii: squared distance of each of `known` to its fifth neighbour (N,).
        among: squared distances between them (N, N).
        spread, typical: mean squared, and mean, distance between two of them.
        nearest: median squared distance of one of them to its nearest among as many others as there will be fakes.
        twin: median squared distance of one of them to its nearest among all others.
        covered: share of them in whose ball one of as many others as there will be fakes lies.
    """

    known: Tensor
    held: Tensor
    centres: Tensor
    shares: Tensor
    radii: Tensor
    among: Tensor
    spread: float
    typical: float
    nearest: float
    twin: float
    covered: float

    @classmethod
    def of(cls, known: Tensor, held: Tensor | None, fakes: int) -> Reals:
        """Of features (N, F), and of how many fakes will be compared with them."""
        among = squared(known, known)
        others = among.masked_fill(torch.eye(len(known), dtype=torch.bool), torch.inf)
        radii = others.kthvalue(min(NEIGHBOURS, len(known) - 1), 1).values
        centres = bins(known, min(BINS, max(2, len(known) // A_BIN)))
        spread = max(among.sum().item() / (len(known) * (len(known) - 1)), 1e-12)
        centres = apart(centres, ONE_BIN * spread**0.5)
        shares = counted(known, centres)
        beside, few = known if held is None else held, nearest_of_few(others, fakes)
        return cls(
            known,
            beside,
            centres,
            shares,
            radii,
            among,
            spread,
            max(mean_of_others(among).item(), 1e-12),
            few.median().item(),
            others.min(1).values.median().item(),
            (few <= radii).float().mean().item(),
        )


def squared(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|² of all pairs: (N, M)."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def nearest_of_few(distances: Tensor, count: int) -> Tensor:
    """Each row's least distance to `count` of the others, evenly chosen: (N,)."""
    chosen = torch.arange(min(count, distances.shape[1])) * distances.shape[1] // min(count, distances.shape[1])
    return distances[:, chosen].min(1).values


def bins(rows: Tensor, count: int, rounds: int = 12) -> Tensor:
    """Centres (K, F) of k-means (Lloyd 1982), begun by the farthest point of those chosen so far; no chance in it."""
    centres = rows.mean(0, keepdim=True)
    for _ in range(count):
        centres = torch.cat([centres, rows[squared(rows, centres).min(1).values.argmax()][None]])
    centres = centres[1:]
    for _ in range(rounds):
        which = squared(rows, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add_(0, which, rows)
        sizes = which.bincount(minlength=count)[:, None]
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def apart(centres: Tensor, least: float) -> Tensor:
    """Centres at least so far from each other: of those nearer, the first."""
    kept: list[int] = []
    far = squared(centres, centres) >= least**2
    for i in range(len(centres)):
        if all(far[i, j] for j in kept):
            kept.append(i)
    return centres[kept]


def counted(rows: Tensor, centres: Tensor) -> Tensor:
    """The share of rows in each bin (K,)."""
    return squared(rows, centres).argmin(1).bincount(minlength=len(centres)) / len(rows)


def covered(distances: Tensor, radii: Tensor) -> float:
    """Share of real samples (N,) in whose ball one of M others lies, by squared distances (N, M); Naeem 2020, eq. 6."""
    return (distances.min(1).values <= radii).float().mean().item()


def of_fakes(fakes: Tensor, reals: Reals) -> Signals:
    """What features of fakes (M, F) show.

    diversity: mean squared distance between fakes, of that between real samples; 1 is right (Salimans 2016's concern).
    missed: the real samples' share in bins that hold less than a fifth of their due of fakes (after NDB, Richardson &
        Weiss 2018, sec. 2); 0 is right.
    crowding: median squared distance of a fake to the nearest other, of that among as many real samples; 1 is right,
        0 are copies.
    coverage: share of real samples with a fake among their five nearest, of that of other real samples.
    realism: share of fakes that are as near to a real sample as its fifth neighbour.
    distance: the energy distance (Székely & Rizzo 2013), by the real samples' mean distance; 0 is right.
    copying: median squared distance of a fake to its nearest real sample, of that among real samples; 1 is right.
    remembered: share of fakes that are nearer to a sample trained on than to any of as many held out; a half is right.
    """
    among = squared(fakes, fakes)
    others = among.masked_fill(torch.eye(len(fakes), dtype=torch.bool), torch.inf)
    across = squared(fakes, reals.known)
    shares = counted(fakes, reals.centres)
    few = min(len(reals.known), len(reals.held))
    to_known, to_held = across[:, :few].min(1).values, squared(fakes, reals.held[:few]).min(1).values
    nearest = nearest_of_few(others, len(fakes)).median().item()
    return {
        "diversity": among.sum().item() / (len(fakes) * (len(fakes) - 1)) / reals.spread,
        "missed": reals.shares[shares < MISSED * reals.shares].sum().item(),
        "crowding": nearest / max(reals.nearest, 1e-12),
        "coverage": covered(across.T, reals.radii) / max(reals.covered, 1e-12),
        "realism": (across <= reals.radii).any(1).float().mean().item(),
        "distance": energy(across, among, reals.among) / reals.typical,
        "copying": across.min(1).values.median().item() / max(reals.twin, 1e-12),
        "remembered": (to_known < to_held).float().mean().item(),
    }


def energy(across: Tensor, one: Tensor, other: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased, of squared distances."""
    return (2 * across.sqrt().mean() - mean_of_others(one) - mean_of_others(other)).item()


def mean_of_others(distances: Tensor) -> Tensor:
    return distances.sqrt().sum() / (len(distances) * (len(distances) - 1))


def of_outputs(known: Tensor, held: Tensor | None, fake: Tensor) -> Signals:
    """What D's outputs (N,) for samples trained on, held out, and fakes show.

    ranks: how often D ranks a real sample, held out where there are such, above a fake; a half is chance.
    gap: the difference of the means, by the deviation within (Cohen's d).
    overfit: how often D ranks a sample that it was trained on above one that was held out; a half is right.
    """
    fresh = known if held is None else held
    within = ((fresh.var() + fake.var()) / 2).sqrt()
    found = {"ranks": above(fresh, fake), "gap": ((fresh.mean() - fake.mean()) / within.clamp(min=1e-12)).item()}
    return found if held is None else found | {"overfit": above(known, held)}


def above(x: Tensor, y: Tensor) -> float:
    """P(x > y), ties counting half: the area under the ROC curve."""
    both = torch.cat([x, y])
    _, inverse, counts = both.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[inverse]
    return ((ranks[: len(x)].sum() - len(x) * (len(x) + 1) / 2) / (len(x) * len(y))).item()

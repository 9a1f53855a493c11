"""What can be wrong with the data themselves, which no training makes good."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gansmith.watch.illnesses import DIFFAUGMENT, MEND, ONCE, Cure
from gansmith.watch.look import evenly

CHECKED = 2000
"""Samples that are looked at, at most."""
LARGEST_PIXEL, LARGEST_POINT, SMALLEST_SPREAD = 2.0, 10.0, 0.02
"""Images are expected in [-1, 1] or [0, 1]; points to differ by about 1."""
REPEATED = 0.3
"""Share of samples that are the same as others, from which data are sick."""
TINY = 200
"""Samples that are too few to learn from without augmentation."""
UNBALANCED = 20.0
"""How many times as many samples the largest class has as the smallest."""


class Fault(NamedTuple):
    """A sentence on what is wrong, and what helps."""

    what: str
    cure: Cure


def faults(real: Tensor, total: int | None = None, labels: Tensor | None = None) -> list[Fault]:
    """What is wrong.

    Args:
        real: some samples, (N, C, H, W) images or (N, D) points, as D sees them.
        total: how many there are in all, where `real` are not all; None where that is not known.
        labels: of all samples (N,) int64.
    """
    rows = evenly(real, CHECKED).float().cpu()
    found = [Fault(out_of_range(rows), MEND), Fault(constant(rows), MEND), Fault(repeated(rows), ONCE)]
    if total is not None and total < TINY:
        few = f"there are {total} samples to train on; from {TINY} on, learning beats remembering"
        found.append(Fault(few, DIFFAUGMENT))
    if labels is not None:
        found.append(Fault(unbalanced(labels), MEND))
    return [fault for fault in found if fault.what]


def out_of_range(rows: Tensor) -> str:
    """Values that networks made for [-1, 1] do not reach, or hardly differ by."""
    if not torch.isfinite(rows).all():
        return "some values are not finite"
    low, high = rows.min().item(), rows.max().item()
    most = LARGEST_PIXEL if rows.ndim == 4 else LARGEST_POINT
    if max(-low, high) > most:
        return f"values reach from {low:.3g} to {high:.3g}; scale them to [-1, 1]"
    spread = rows.flatten(1).std(0).square().mean().sqrt().item()
    return f"values differ by {spread:.2g} only; scale them to [-1, 1]" if spread < SMALLEST_SPREAD else ""


def constant(rows: Tensor) -> str:
    """Channels, or coordinates, that say nothing."""
    values = rows.transpose(0, 1).flatten(1)
    same = [str(i) for i, channel in enumerate(values) if channel.max() == channel.min()]
    what = "channel" if rows.ndim == 4 else "coordinate"
    return f"{what} {', '.join(same)} of {len(values)} has one value throughout" if same else ""


def repeated(rows: Tensor) -> str:
    """Samples that are there more than once."""
    share = 1 - len(torch.unique(rows.flatten(1), dim=0)) / len(rows)
    return f"{share:.0%} of {len(rows)} samples are the same as others" if share > REPEATED else ""


def unbalanced(labels: Tensor) -> str:
    counts = labels.bincount()
    least, most = int(counts.min()), int(counts.max())
    if most <= UNBALANCED * max(least, 1):
        return ""
    return f"class {int(counts.argmin())} has {least} samples, class {int(counts.argmax())} has {most}"

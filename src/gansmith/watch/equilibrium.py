"""Whether a game has settled: neither player has much to gain by moving alone, and the samples get no better.

The value of a game at (G, D) is what D knows: 1 minus the cross-entropy, in bits, of telling held-out reals from fakes
by its outputs, of which an affine map makes log-odds. It is 0 where D knows nothing and 1 where it is always right,
whatever loss it learns by. The duality gap (Grnarova et al. 2019, "A domain agnostic measure for monitoring and
evaluating GANs", eq. 3) is what it comes to for the best D against this G, less what it comes to for the best G against
this D; both are found by copies that learn for some steps, at a rate that has nothing to do with the run's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from gansmith.core.game import Batch, Turn
from gansmith.training.runtime import own_randomness
from gansmith.training.step import only_trains
from gansmith.watch.course import FIRST_WORD, Course
from gansmith.watch.rehearsal import Playing, Rehearsal, rehearse, unmoved
from gansmith.watch.signals import Signals
from gansmith.watch.verdicts import verdicts

Draw = Callable[[int], Batch]
"""A batch of the stream of data from a position on."""


@dataclass(frozen=True)
class Pace:
    """How a player looks for its best response: by Adam, at this rate, for so many steps; it is judged three times."""

    rate: float
    steps: int


OF_JUDGES, OF_MAKERS = Pace(1e-3, 90), Pace(1e-4, 30)
"""G's response is a near one: one that goes on against a D that stands still leaves the data for where D never looked,
and at the very optimum of a Gaussian gains 2.4 bits."""
PAUSES, BETAS = 3, (0.5, 0.99)
JUDGED = 512
"""Held-out images by which values are measured, and as many fakes."""
CERTAIN = 4.0
"""Largest log-odds that an output may come to."""
CHANCE, SMALL, IN_A_ROW = 0.7, 0.15, 3
"""A game has settled where D ranks fewer pairs rightly than this, and where the gap has been smaller than that in so
many looks, one after the other; where nothing ails it; and where its quality is level:"""
LEVEL, NOISE = 0.1, 0.005
"""it would change by less than this part of it in as many images again, or by less than 512 samples can tell."""


# ---- the duality gap


@dataclass(frozen=True)
class LogOdds:
    """An affine map of outputs to log-odds of being real."""

    slope: float
    offset: float

    @classmethod
    def of(cls, real: Tensor, fake: Tensor) -> LogOdds:
        """By logistic regression on outputs (N,), (M,), with a slope that is not negative: D means what it says."""
        x = torch.cat([real, fake]).double()
        middle, width = x.mean(), x.std().clamp(min=1e-12)
        rows = torch.stack([(x - middle) / width, torch.ones_like(x)], 1)
        is_real = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).double()
        found = torch.zeros(2).double()
        for _ in range(20):  # Newton's method, with a ridge where outputs part reals from fakes entirely
            p = torch.sigmoid(rows @ found)
            curvature = (rows * (p * (1 - p))[:, None]).T @ rows + 1e-2 * torch.eye(2).double()
            found = found + torch.linalg.solve(curvature, rows.T @ (is_real - p) - 1e-2 * found)
        slope = max(0.0, found[0].item()) / width.item()
        return cls(slope, (found[1].item() if slope else 0.0) - slope * middle.item())

    def value(self, real: Tensor, fake: Tensor) -> float:
        """What they tell, in bits."""
        one, other = ((self.slope * rows.double() + self.offset).clamp(-CERTAIN, CERTAIN) for rows in (real, fake))
        softplus = torch.nn.functional.softplus
        return 1 - (softplus(-one).mean() + softplus(other).mean()).item() / (2 * math.log(2))


def value(real: Tensor, fake: Tensor) -> float:
    """Of outputs (N,) for reals and fakes: in bits, each half by the map that fits the other."""
    halves = [(real[i::2], fake[i::2]) for i in (0, 1)]
    return fmean(LogOdds.of(*halves[1 - i]).value(*halves[i]) for i in (0, 1))


def duality_gap(playing: Playing, train: Draw, held: Draw, seed: int) -> float | None:
    """Of the clock's stage, in bits, 0 at an equilibrium; the mean of several discriminators. The game goes on as if
    it had not been measured.

    Args:
        train, held: batches that copies learn from, and by which they are judged.

    Returns:
        None where no player notes outputs for reals and fakes.
    """
    with unmoved(playing.game), own_randomness(seed):
        said = judged(playing, held)
        judges = set(said)
        makers = {
            name for name, player in playing.game.players.items() if set(player.nets) & set(playing.game.averaged)
        }
        if not judges or not makers:
            return None
        maps = {name: LogOdds.of(*outputs) for name, outputs in said.items()}
        best_d = [mean_value(said)]
        with restored(playing):
            best_d += [mean_value(judged(playing, held)) for _ in responding(playing, judges, train, OF_JUDGES)]
        best_g = [mean_value(said, maps)]
        with restored(playing):
            best_g += [mean_value(judged(playing, held), maps) for _ in responding(playing, makers, train, OF_MAKERS)]
    return max(0.0, max(best_d) - min(best_g))


def mean_value(said: Mapping[str, tuple[Tensor, Tensor]], maps: Mapping[str, LogOdds] | None = None) -> float:
    """Of all discriminators; by maps that fit other outputs, where they are given."""
    return fmean(value(*outputs) if maps is None else maps[name].value(*outputs) for name, outputs in said.items())


def judged(playing: Playing, held: Draw) -> dict[str, tuple[Tensor, Tensor]]:
    """Outputs for held-out reals and for fakes (N,), by player."""
    found, seen = Rehearsal(), 0
    while seen < JUDGED:
        batch = held(seen)
        rehearse(playing, batch, found)
        seen += len(batch)
    return {name: (found.outputs(name, 0), found.outputs(name, 1)) for name in found.said}


def responding(playing: Playing, movers: set[str], train: Draw, pace: Pace) -> Iterator[None]:
    """Lets these players alone learn, the others being as they are; pauses now and then."""
    game, position = playing.game, 0
    moves = game.stages[playing.clock.stage].moves
    last = max(i for i, move in enumerate(moves) if move.player in movers)
    optims = {
        name: torch.optim.Adam(
            [p for net in game.players[name].nets for p in game.nets[net].parameters()], pace.rate, BETAS
        )
        for name in movers
    }
    for step in range(pace.steps):
        made, batch = dict[str, Tensor](), train(position)
        position += len(batch)
        for move in moves[: last + 1]:
            player = game.players[move.player]
            only_trains(game.nets, player)
            with playing.runtime.autocast():
                outcome = move.loss(Turn(game.nets, batch, playing.clock, made))
            if move.player in movers:
                optims[move.player].zero_grad()
                torch.stack([term.float() for term in outcome.terms.values()]).sum().backward()
                optims[move.player].step()
                if player.project is not None:
                    for net in player.nets:
                        player.project(game.nets[net])
        if (step + 1) % (pace.steps // PAUSES) == 0:
            yield


@contextmanager
def restored(playing: Playing) -> Iterator[None]:
    """Weights are as before afterwards, and have no gradients."""
    weights = [(p, p.detach().clone()) for p in playing.game.nets.parameters()]
    try:
        yield
    finally:
        for p, before in weights:
            p.data.copy_(before)
            p.grad = None


# ---- whether it has settled


def change(looks: Sequence[Signals]) -> tuple[float, float] | None:
    """By how much the averaged nets' `quality` would change in as many images again, at least and at most: of a line
    through it by the logarithm of images, over the last half of these, twice its standard error to either side. None of
    fewer than eight looks."""
    recent = [look for look in looks if look["images"] > looks[-1]["images"] / 2 and "quality" in look]
    if len(recent) < 8:
        return None
    x, y = np.log2([look["images"] for look in recent]), np.array([look["quality"] for look in recent])
    rows = np.stack([np.ones_like(x), x], 1)
    line, *_ = np.linalg.lstsq(rows, y, rcond=None)
    error = math.sqrt(((y - rows @ line) ** 2).sum() / (len(x) - 2) * np.linalg.inv(rows.T @ rows)[1, 1])
    return float(line[1] - 2 * error), float(line[1] + 2 * error)


def is_level(looks: Sequence[Signals]) -> bool:
    """Whether the averaged nets' samples would neither come nearer to the reals nor go farther from them."""
    changes, quality = change(looks), Course(looks).value("quality")
    return changes is not None and quality is not None and max(map(abs, changes)) < max(LEVEL * quality, NOISE)


def is_quiet(looks: Sequence[Signals]) -> bool:
    """Whether a gap is worth measuring: D is near chance, the samples' distance is level, and nothing ails the game."""
    ranks = Course(looks).value("ranks")
    near_chance = ranks is not None and ranks < CHANCE
    return len(looks) >= FIRST_WORD and near_chance and is_level(looks) and not verdicts(looks)


def settled(looks: Sequence[Signals]) -> str:
    """Why the game is believed to have settled; empty where it is not."""
    gaps = [look["duality_gap"] for look in looks[-IN_A_ROW:] if "duality_gap" in look]
    if not looks or len(gaps) < IN_A_ROW or max(gaps) >= SMALL or not is_quiet(looks):
        return ""
    return f"settled: {standing(looks)}"


def standing(looks: Sequence[Signals]) -> str:
    """How far it is from an equilibrium, in a sentence with its numbers."""
    course, changes = Course(looks), change(looks)
    ranks, quality = course.value("ranks"), course.value("quality")
    gaps = [look["duality_gap"] for look in looks[-IN_A_ROW:] if "duality_gap" in look]
    parts = [] if ranks is None else [f"the discriminator ranks {ranks:.0%} of held-out pairs rightly"]
    if gaps:
        parts.append(f"the duality gap is {max(gaps):.2f} bits at most in {len(gaps)} looks")
    if quality is not None and changes is not None:
        parts.append(
            f"the averaged nets' samples are {quality:.3f} of the reals' own mean distance from the reals, and in as "
            f"many images again would be {changes[0]:+.3f} to {changes[1]:+.3f} farther"
        )
    return ", ".join(parts)

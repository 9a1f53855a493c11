"""The doctor beside a run in training: what a game shows at a moment, without a trace in the run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.clock import Plan
from gansmith.core.game import Game
from gansmith.data import Dataset, Split
from gansmith.data.split import evenly
from gansmith.training.feed import Feed
from gansmith.training.runtime import mixed_seed, own_randomness
from gansmith.training.session import Player, Session
from gansmith.training.start import begin
from gansmith.watch.equilibrium import duality_gap
from gansmith.watch.look import FAKES, FIXED, KNOWN, Gauge, Outputs, Seen
from gansmith.watch.rehearsal import Rehearsal, makers_of, rehearse, unmoved
from gansmith.watch.signals import Signals
from gansmith.watch.space import sized

LARGEST, CHUNK = 64, 256
"""Side of images that are looked at, at most, and how many are made smaller at once."""
REHEARSED = 64
"""Images of either kind that a step is rehearsed with, at least."""


class Observatory:
    """Looks at a run's game now and then.

    Args:
        dataset: of the run.
    """

    def __init__(self, dataset: Dataset):
        real, held = (tensor(part[evenly(len(part), 4 * KNOWN)]) for part in dataset.pictures)
        self.dataset = dataset
        self.gauge = Gauge(real, held if len(held) > FIXED else None)
        self.born: dict[str, float] = {}

    def look(self, session: Session) -> Signals:
        """What the game shows now. It goes on as if nobody had looked."""
        seed = mixed_seed(session.config.train.seed, FAKES)
        with unmoved(session.game), own_randomness(seed):
            fakes = samples(session, self.dataset, seed)
            known = rehearsed(session, session.feed, session.clock.images // 2)
            has_held = len(self.dataset.heldout) >= session.config.train.batch
            held = rehearsed(session, held_feed(session, self.dataset.heldout), 0) if has_held else None
        judges = tuple(
            Outputs(known.outputs(name, 0), held.outputs(name, 0) if held else None, (held or known).outputs(name, 1))
            for name in known.said
        )
        figures = {f"{name}_loss": sum(values) / len(values) for name, values in known.losses.items()}
        sizes = norms(session.game)
        self.born = self.born or born(session)
        figures |= {f"{name}_growth": size / self.born[name] for name, size in sizes.items() if self.born[name]}
        figures["finite"] = float(all(math.isfinite(value) for value in figures.values()))
        if known.gradient is not None:
            figures["g_gradient"] = known.gradient
        seen = Seen(session.clock.step, session.clock.images, fakes, fakes[:FIXED], judges, figures)
        return self.gauge.look(seen)

    def quality(self, session: Session) -> float:
        """How far the averaged nets' samples are from the reals (see `gansmith.watch.look.Gauge.distance`)."""
        seed = mixed_seed(session.config.train.seed, FAKES)
        made = session.sample(FAKES, seed, session.asked(self.dataset, FAKES, seed), session.config.train.batch)
        return self.gauge.distance(tensor(made.numpy()))

    def duality_gap(self, session: Session) -> float | None:
        """Of the game now (see `gansmith.watch.equilibrium.duality_gap`); None where too little is held out."""
        if len(self.dataset.heldout) < session.config.train.batch:
            return None
        train, held, now = session.feed, held_feed(session, self.dataset.heldout), session.clock.images
        seed = mixed_seed(session.config.train.seed, FAKES)
        return duality_gap(session, lambda position: train.at(now + position), held.at, seed)

    def state_dict(self) -> dict[str, Any]:
        return {"paths": {str(i): path for i, path in enumerate(self.gauge.paths)}, "born": self.born}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.gauge.paths = [state["paths"][key] for key in sorted(state["paths"])]
        self.born = state.get("born", {})


def tensor(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, C) as (N, C, h, w) in [-1, 1], no larger than is looked at: thousands of large ones would not fit
    into memory."""
    parts = []
    for rows in np.split(images, range(CHUNK, len(images), CHUNK)):
        part = torch.from_numpy(np.array(rows)).permute(0, 3, 1, 2).float() / 127.5 - 1
        size = [min(side, LARGEST) for side in part.shape[2:]]
        parts.append(part if size == [*part.shape[2:]] else sized(part, size))
    return torch.cat(parts)


@torch.no_grad()
def samples(session: Session, dataset: Dataset, seed: int) -> Tensor:
    """What the nets in training, not their averages, make of the same latents as ever: (N, C, H, W) in [-1, 1]."""
    make, request = session.game.sampler.images, session.asked(dataset, FAKES, seed)
    parts = session.requests(FAKES, seed, request, session.config.train.batch)
    made = [session.finished(make(session.game.nets, latents, session.clock, asked)) for latents, asked in parts]
    return tensor(torch.cat(made).numpy())


def norms(game: Game) -> dict[str, float]:
    """Of all weights of the players that make images, `g`, and of the others, `d`."""
    makers = makers_of(game)
    players = {"g": makers, "d": game.players.keys() - makers}
    nets = {side: {net for name in names for net in game.players[name].nets} for side, names in players.items()}
    weights = {
        side: [p.detach().float().norm() for net in sorted(owned) for p in game.nets[net].parameters()]
        for side, owned in nets.items()
    }
    return {side: torch.stack(sizes).norm().item() for side, sizes in weights.items() if sizes}


def born(session: Session) -> dict[str, float]:
    """The same of the game as it began: it is built once more."""
    player = Player(session.config, session.spec, session.runtime)
    begin(player, Plan(1))
    return norms(player.game)


def held_feed(session: Session, split: Split) -> Feed:
    return Feed(split, session.config, session.runtime, session.read(split.captions or (), len(split)))


def rehearsed(session: Session, feed: Feed, position: int) -> Rehearsal:
    """The stage's moves, each played once on batches from `position` on, without any effect."""
    found = Rehearsal()
    for start in range(position, position + REHEARSED, session.config.train.batch):
        rehearse(session, feed.at(start), found)
    return found

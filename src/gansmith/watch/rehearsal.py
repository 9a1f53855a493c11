"""Moves that are played without any effect, to see what they come to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.game import Batch, Game, Turn
from gansmith.training.runtime import Runtime
from gansmith.training.step import only_trains
from gansmith.watch.doctor import untouched


class Playing(Protocol):
    """A game being played: `gansmith.training.session.Session` is one."""

    @property
    def game(self) -> Game: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def runtime(self) -> Runtime: ...


@dataclass
class Rehearsal:
    """What the moves of a step came to.

    Attributes:
        said: outputs for reals and for fakes (N,), by player; one list a rehearsed batch.
        losses: sums of terms, by player.
        gradient: norm of those of the nets that make images; of the first batch.
    """

    said: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    gradient: float | None = None

    def outputs(self, player: str, which: int) -> Tensor:
        return torch.cat([pair[which] for pair in self.said[player]])


@contextmanager
def unmoved(game: Game) -> Iterator[None]:
    """Running figures of nets and the state of losses are as before afterwards."""
    things = game.stateful()
    states = {name: copy.deepcopy(thing.state_dict()) for name, thing in things.items()}
    with ExitStack() as stack:
        for net in game.nets.values():
            stack.enter_context(untouched(net))
        try:
            yield
        finally:
            for name, thing in things.items():
                thing.load_state_dict(states[name])


def rehearse(playing: Playing, batch: Batch, found: Rehearsal) -> None:
    """One batch of them."""
    game, made, makers = playing.game, dict[str, Tensor](), makers_of(playing.game)
    for move in game.stages[playing.clock.stage].moves:
        player = game.players[move.player]
        only_trains(game.nets, player)
        with playing.runtime.autocast():
            outcome = move.loss(Turn(game.nets, batch, playing.clock, made))
        loss = torch.stack([term.float() for term in outcome.terms.values()]).sum()
        found.losses.setdefault(move.player, []).append(loss.item())
        if {"real", "fake"} <= set(outcome.notes):
            said = (one_each(outcome.notes["real"]), one_each(outcome.notes["fake"]))
            found.said.setdefault(move.player, []).append(said)
        if move.player in makers and found.gradient is None:
            weights = [p for name in player.nets for p in game.nets[name].parameters() if p.requires_grad]
            slopes = [g for g in torch.autograd.grad(loss, weights, allow_unused=True) if g is not None]
            found.gradient = torch.stack([g.norm() for g in slopes]).norm().item()


def makers_of(game: Game) -> set[str]:
    """The players that own a net which images are sampled from."""
    return {name for name, player in game.players.items() if set(player.nets) & set(game.averaged)}


def one_each(outputs: Tensor) -> Tensor:
    """An output (N,) for each image, of many places or scales."""
    return outputs.float().flatten(1).mean(1).cpu() if outputs.ndim > 1 else outputs.float().cpu()

"""A game with a wrong name in it cannot be built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from gansmith.core.config import OptimConfig
from gansmith.core.game import Game, Move, Outcome, Player, Sampler, Stage, Turn


def nothing(turn: Turn) -> Outcome:
    return Outcome({"loss": torch.zeros(())})


class Pool:
    """A loss with state."""

    def __call__(self, turn: Turn) -> Outcome:
        return nothing(turn)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Control(Pool):
    def after_step(self, nets, clock, stats) -> None:
        pass


@pytest.fixture
def game() -> Game:
    return Game(
        nets=nn.ModuleDict({"G": nn.Linear(1, 1), "D": nn.Linear(1, 1)}),
        players={"G": Player(("G",), OptimConfig()), "D": Player(("D",), OptimConfig())},
        stages=(Stage("train", (Move("G", nothing), Move("D", nothing))),),
        sampler=Sampler(lambda n, generator: torch.zeros(n, 1), lambda nets, z, clock, request: z),
        averaged=("G",),
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"players": {"G": Player(("H",), OptimConfig()), "D": Player((), OptimConfig())}}, "no such net: H; .* D, G"),
        (
            {"players": {"G": Player(("G",), OptimConfig()), "D": Player(("D",), OptimConfig(), fixed=("D.w",))}},
            "no such parameter: D.w; there are D.bias, D.weight, G.bias, G.weight",
        ),
        ({"averaged": ("G", "g")}, "no such net: g; there are D, G"),
        ({"stages": (Stage("train", (Move("critic", nothing),)),)}, "no such player: critic; there are D, G"),
        ({"stages": ()}, "a game needs a stage"),
        ({"stages": (Stage("train", ()),)}, "a stage needs a move"),
        ({"stages": (Stage("s", (Move("D", nothing, every=0),)),)}, "stage s, player D: every and repeats"),
        ({"stages": (Stage("s", (Move("D", nothing, repeats=0),)),)}, "stage s, player D: every and repeats"),
    ],
)
def test_what_is_wrong_is_named(game: Game, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(game, **wrong)


def test_a_net_may_have_two_owners_or_none(game: Game) -> None:
    replace(game, players={"G": Player(("G",), OptimConfig()), "D": Player(("G",), OptimConfig())})


def test_what_has_state_is_found_by_a_stable_name(game: Game) -> None:
    pool, control = Pool(), Control()
    stages = (Stage("first", (Move("G", nothing), Move("D", pool))), Stage("second", (Move("G", pool),)))
    found = replace(game, stages=stages, controls={"ada": control}).stateful()
    assert found == {"control.ada": control, "loss.first.1.D": pool, "loss.second.0.G": pool}
    assert game.stateful() == {}

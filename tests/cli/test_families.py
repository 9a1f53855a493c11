"""`gansmith families NAME`: the game of a family, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from gansmith.apps.describe import imagined
from gansmith.recipes import FAMILIES, build, family_named

from .conftest import Answer

Command = Callable[..., Answer]


@pytest.mark.parametrize("family", FAMILIES)
def test_players_and_parameters(command: Command, family: str) -> None:
    answer = command("families", family)
    assert (answer.code, answer.err) == (0, "")
    config = family_named(family).config(family=family).settled()
    game = build(config, imagined(config, 32, 1))
    for name, player in game.players.items():
        assert f"│ {name} " in answer.out
        assert player.optim.kind in answer.out
    assert f" {sum(p.numel() for p in game.nets.parameters()):,} " in answer.out
    assert FAMILIES[family].paper in answer.out
    record = json.loads(command("families", family, "--json").out)
    assert record["name"] == family
    assert record["parameters"] == sum(net["parameters"] for net in record["nets"])


@pytest.mark.parametrize("columns", [80, 120])
def test_it_can_be_read_in_a_narrow_window(command: Command, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = command("families", "aae").out
    tables = [line for line in out.splitlines() if line[:1] in "┏┃┡│└"]
    assert tables
    assert max(map(len, tables)) <= columns
    assert "…" not in "".join(tables)


def test_another_size(command: Command) -> None:
    small, large = (
        json.loads(command("families", "dcgan", "--resolution", r, "--channels", 3, "--json").out) for r in (16, 64)
    )
    assert small["parameters"] < large["parameters"]
    assert large["size"] == "64x64, 3 channels, 10 classes"


def test_an_unknown_name(command: Command) -> None:
    answer = command("families", "stylgan")
    assert (answer.code, answer.out) == (2, "")
    assert "no family is called 'stylgan': did you mean '" in answer.err

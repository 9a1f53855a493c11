"""What a family's game is said to consist of, against the game itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gansmith.apps.configure import described, from_flag, resolve
from gansmith.apps.describe import OF_AN_OPTIMISER, TRICKS, describe, expected, imagined, in_words
from gansmith.apps.run import rehearse
from gansmith.core.config import OptimConfig
from gansmith.core.errors import ConfigError
from gansmith.recipes import FAMILIES, build, family_named
from gansmith.recipes.two_player import TwoPlayerConfig

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_it_is_the_game_that_is_played(family: str) -> None:
    told = describe(family)
    config = family_named(family).config(family=family).settled()
    game = build(config, imagined(config, 32, 1))
    assert {net.name: net.parameters for net in told.nets} == {
        name: sum(p.numel() for p in net.parameters()) for name, net in game.nets.items()
    }
    assert told.parameters == sum(p.numel() for p in game.nets.parameters())
    assert {player.name: tuple(player.nets) for player in told.players} == {
        name: player.nets for name, player in game.players.items()
    }
    assert [stage.name for stage in told.stages] == [stage.name for stage in game.stages]
    for row, stage in zip(told.stages, game.stages, strict=True):
        assert [(m.player, m.every, m.repeats) for m in row.moves] == [
            (m.player, m.every, m.repeats) for m in stage.moves
        ]
        assert all(move.terms and move.loss for move in row.moves)
    assert sum(stage.share for stage in told.stages) == pytest.approx(1, abs=1e-3)


@every_family
def test_it_fits_into_json(family: str) -> None:
    record = describe(family).to_json()
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_what_is_paid_is_told() -> None:
    critic = describe("wgan-gp").stages[-1].moves[1]
    assert (critic.terms, critic.loss) == (["loss", "gp"], "wasserstein")
    told = describe("progan")
    assert told.stages[-1].moves[1].terms == ["loss", "r1"]
    assert [stage.name for stage in told.stages] == ["4x4", "8x8", "16x16", "32x32"]
    assert [stage.name for stage in describe("progan", 16).stages] == ["4x4", "8x8", "16x16"]


def test_tricks_in_force_and_offered() -> None:
    told = describe("wgan-gp")
    on, off = {row.setting: row for row in told.tricks}, {row.setting: row for row in told.offered}
    assert on["penalty.gp.weight"].value == 10
    assert "Gulrajani 2017" in on["penalty.gp.weight"].meaning
    assert on["n_critic"].value == 5
    assert not set(on) & set(off)
    assert "label_smoothing" not in off, "a critic has no labels"
    assert off["penalty.r1.weight"].flag == "--set penalty.r1=1"
    batch_norm = {row.setting: row for row in describe("lapgan").offered}
    assert batch_norm["penalty.r1.weight"].flag == "--set penalty.r1=1 --set d_norm=none"
    assert batch_norm["label_smoothing"].flag == "--set label_smoothing=0.1"
    assert "pack" not in {row.setting for row in describe("cgan").offered}
    styles = {row.setting: row for row in describe("stylegan").tricks}
    assert styles["penalty.r1.weight"].value == "auto"
    assert "every 16 steps" in styles["penalty.r1.weight"].meaning
    assert styles["minibatch"].value == "stddev"
    rates = [row for row in describe("dcgan").tricks if row.setting == "optim.*.lr"]
    assert len(rates) == 1
    assert "Heusel 2017" in rates[0].meaning


def test_every_trick_is_a_setting_and_off_is_its_default() -> None:
    values = {name: value for name, value, _ in described(TwoPlayerConfig(family="any"))}
    for trick in TRICKS:
        assert trick.setting == "dropout" or values[trick.setting] == trick.off, trick
    for trick in OF_AN_OPTIMISER:
        assert getattr(OptimConfig(), trick.setting) == trick.off, trick


@every_family
def test_every_flag_that_is_offered_plays(family: str) -> None:
    for row in describe(family).offered:
        settings = row.flag.removeprefix("--set ").split(" --set ")
        config = resolve(family, [(text, from_flag(text)) for text in settings])
        assert {name: value for name, value, _ in described(config)}[row.setting] != row.value
        rehearse(config, replace(imagined(config, 32, 1), classes=("a", "b")))


def test_describing_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(1)
    undisturbed = torch.randn(3)
    torch.manual_seed(1)
    describe("dcgan", 16)
    assert torch.equal(torch.randn(3), undisturbed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dcgn", 32, 1), "no family is called 'dcgn': did you mean 'dcgan'"),
        (("dcgan", 48, 1), "--resolution: expected a power of two, got 48"),
        (("dcgan", 8, 1), "plays at 16 to 256 pixels, got 8"),
        (("dcgan", 32, 2), "--channels: expected 1, 3 or 4, got 2"),
    ],
)
def test_what_cannot_be_described(arguments: tuple[str, int, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        describe(*arguments)


def test_expected_scores(tmp_path: Path) -> None:
    assert expected("dcgan", tmp_path / "none.json") == []
    record = {"data": "fashion-mnist", "minutes": 5.0, "frechet": 3.21, "sd": 0.104, "seeds": 3, "cores": 2}
    record |= {"extractor": "fashion-cnn", "date": "2026-11-24"}
    file = tmp_path / "expected.json"
    file.write_text(json.dumps({"families": {"dcgan": [record]}}))
    assert expected("gan", file) == []
    assert [in_words(r) for r in expected("dcgan", file)] == [
        "Fréchet 3.21 ± 0.1 after 5 minutes on Fashion-MNIST (2 cores, 3 seeds, by fashion-cnn)"
    ]

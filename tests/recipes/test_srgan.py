"""SRGAN: its two stages, what goes in, what it pays, and how little of it is left to chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from gansmith.core.clock import Clock
from gansmith.core.errors import ConfigError
from gansmith.core.game import Turn
from gansmith.metrics import perceptual_net
from gansmith.nets.superres import RRDBNet, SRResNet, upsampled
from gansmith.recipes import build, family_named
from gansmith.recipes.srgan import Config, turned
from gansmith.training.session import Session

Make = Callable[..., Session]


def second_stage(session: Session) -> Any:
    """G's loss and D's in the adversarial stage, and a turn of it."""
    g, d = (move.loss for move in session.game.stages[1].moves)
    return g, d, Turn(session.game.nets, session.feed.at(0), Clock(0, 0, 1000, 1), {})


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_an_untrained_net_enlarges_as_bicubic_does(tiny_session: Make, scale: int) -> None:
    session = tiny_session("srgan", {"scale": scale}, resolution=32)
    image = session.feed.at(0).images
    translator = session.game.translator
    assert translator is not None
    assert translator.given is not None
    small = translator.given(image)
    assert small.shape[-1] == 32 // scale
    assert translator.scale == scale
    made = translator.ways["image"](session.game.nets, small)
    torch.testing.assert_close(made, upsampled(small, scale).clamp(-1, 1), atol=1e-5, rtol=0)
    shown = session.columns(session.feed.split.images, None)
    assert [column.shape for column in shown] == [(12, 32 - 32 % scale, 32 - 32 % scale, 1)] * 3


def test_what_g_pays_in_each_stage(tiny_session: Make) -> None:
    weights = {"pixels": 2.0, "perceptual": 3.0, "adversarial": 0.5}
    session = tiny_session("srgan", {**weights, "scale": 2}, resolution=32)
    pixels = session.game.stages[0].moves[0].loss
    torch.manual_seed(0)
    alone = pixels(Turn(session.game.nets, session.feed.at(0), Clock(0, 0, 1000), {})).terms["pixels"].detach()
    g, _, turn = second_stage(session)
    torch.manual_seed(0)
    terms = {name: term.detach() for name, term in g(turn).terms.items()}
    torch.testing.assert_close(terms["pixels"], 2 * alone)
    fake, full = turn.made["fake"], turn.made["full"]
    torch.testing.assert_close(alone, (fake - full).abs().mean())
    with torch.no_grad():
        said = torch.nn.functional.softplus(-session.game.nets["D"](fake)).mean()
        seen = perceptual_net("efflite0").distance(fake, full).mean()
    torch.testing.assert_close(terms["loss"], 0.5 * said)
    torch.testing.assert_close(terms["perceptual_loss"], 3 * seen)


def test_d_judges_the_very_images_that_g_was_to_make(tiny_session: Make) -> None:
    session = tiny_session("srgan", {"scale": 2}, resolution=32)
    g, d, turn = second_stage(session)
    g(turn)
    loss = d(turn).terms["loss"].detach()
    with torch.no_grad():
        real, fake = (session.game.nets["D"](turn.made[name]) for name in ("full", "fake"))
    softplus = torch.nn.functional.softplus
    torch.testing.assert_close(loss, softplus(-real).mean() + softplus(fake).mean())


def test_the_two_stages_and_whose_weights_they_are(tiny_session: Make) -> None:
    game = tiny_session("srgan").game
    assert [(stage.name, [move.player for move in stage.moves]) for stage in game.stages] == [
        ("pixels", ["pixels"]),
        ("adversarial", ["G", "D"]),
    ]
    assert {name: player.nets for name, player in game.players.items()} == {
        "pixels": ("G",),
        "G": ("G",),
        "D": ("D",),
    }


def test_esrgan_has_dense_blocks_and_judges_pairs(tiny_session: Make) -> None:
    plain, dense = tiny_session("srgan"), tiny_session("srgan", {"variant": "esrgan"})
    assert isinstance(plain.game.nets["G"], SRResNet)
    assert isinstance(dense.game.nets["G"], RRDBNet)
    assert (second_stage(plain)[0].loss.paired, second_stage(dense)[0].loss.paired) == (False, True)


@pytest.mark.parametrize(
    ("settings", "jpeg"),
    [
        ({"scale": 1}, (10, 50)),
        ({"scale": 1, "noise": (5, 20)}, None),
        ({"scale": 1, "jpeg": (20, 20)}, (20, 20)),
        ({"scale": 4}, None),
        ({"scale": 4, "jpeg": (30, 90), "blur": (0, 2)}, (30, 90)),
    ],
)
def test_what_is_done_to_images(settings: dict[str, Any], jpeg: tuple[int, int] | None) -> None:
    made = Config(**settings).degradation()
    assert (made.scale, made.jpeg) == (settings["scale"], jpeg)
    assert (made.blur, made.noise) == (settings.get("blur", (0, 0)), settings.get("noise", (0, 0)))


@pytest.mark.parametrize(
    "settings", [{"blur": (2, 1)}, {"noise": (-1, 3)}, {"jpeg": (0, 50)}, {"jpeg": (50, 101)}, {"scale": 5}]
)
def test_what_cannot_be_done(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**settings)


def test_a_batch_is_turned_all_eight_ways() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    torch.manual_seed(0)
    seen = {tuple(turned(image).flatten().tolist()) for _ in range(200)}
    ways = {tuple(torch.rot90(side, k, (2, 3)).flatten().tolist()) for side in (image, image.flip(3)) for k in range(4)}
    assert seen == ways


def test_a_second_folder_is_refused() -> None:
    from gansmith.core.config import DataConfig
    from gansmith.core.spec import Spec

    config = family_named("srgan").config(family="srgan", data=DataConfig(targets="paired"))
    with pytest.raises(ConfigError, match="srgan: makes what images are made of itself"):
        build(config, Spec(32, 3, 32, 32, target_channels=3, paired=True))

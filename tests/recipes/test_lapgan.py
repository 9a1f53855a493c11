"""A pair for each level: what it sees, and how samples are composed of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gansmith.core.clock import Clock, Plan
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Request, Turn
from gansmith.core.spec import Spec
from gansmith.nets.lapgan import down, pyramid, up
from gansmith.recipes import build, family_named
from gansmith.training.session import Session

Make = Callable[..., Session]
START = Clock(0, 0, 1000)

VARIANTS: dict[str, dict[str, Any]] = {
    "penalties": {"penalty.r1": 0.1, "penalty.gp": 1.0, "d_norm": "none", "penalty.lecam": 0.3, "penalty.clip": 0.05},
    "ada": {"augment": "ada"},
    "diffaugment": {"augment": "diffaugment", "instance_noise": 0.1, "label_smoothing": 0.1},
    "pack": {"pack": 2, "minibatch": "stddev", "spectral_norm": True, "d_norm": "none"},
    "cadence": {"n_critic": 2, "balance": 0.8},
    "acgan": {"conditioning": "acgan"},
    "relativistic": {"loss": "relativistic", "conditioning": "concat"},
}


def game(resolution: int = 32, channels: int = 1, **settings: Any) -> Any:
    spec = Spec(resolution, channels, resolution, resolution, ("a", "b"))
    return build(family_named("lapgan").config(family="lapgan", g_width=4, d_width=4, **settings), spec)


def batch_of(resolution: int, channels: int = 1) -> Batch:
    torch.manual_seed(0)
    return Batch(torch.rand(4, channels, resolution, resolution) * 2 - 1, torch.tensor([0, 1, 0, 1]))


@pytest.mark.parametrize(
    ("resolution", "start", "sides"), [(16, 8, [8, 16]), (64, 4, [4, 8, 16, 32, 64]), (256, 64, [64, 128, 256])]
)
def test_a_pair_of_players_for_every_level(resolution: int, start: int, sides: list[int]) -> None:
    made = game(resolution, start=start)
    assert list(made.nets) == [f"{name}{side}" for side in sides for name in "GD"]
    assert {name: player.nets for name, player in made.players.items()} == {name: (name,) for name in made.nets}
    assert [move.player for move in made.stages[0].moves] == list(made.nets), "G, then D, from coarse to fine"
    assert made.averaged == tuple(f"G{side}" for side in sides)


@pytest.mark.parametrize("start", [4, 8])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_true_details_compose_the_image(channels: int, start: int) -> None:
    """With nets that know the answer, the sampler gives the image back."""
    made, image = game(32, channels, start=start), batch_of(32, channels).images
    coarse, *details = pyramid(image, start)

    class Knows(nn.Module):
        def __init__(self, answer: Tensor):
            super().__init__()
            self.answer = answer

        def forward(self, z: Tensor, *rest: Tensor) -> Tensor:
            assert not rest or 2 * rest[-1].shape[-1] == self.answer.shape[-1], "the image below is half as large"
            return self.answer

    answers = dict(zip(made.averaged, (coarse, *details), strict=True))
    nets = {name: Knows(answer) for name, answer in answers.items()}
    z = made.sampler.latents(4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made.sampler.images(nets, z, START, Request()), image, atol=1e-6, rtol=0)


def test_every_level_has_noise_of_its_own() -> None:
    made = game(32, latent=5)
    z = made.sampler.latents(2, torch.Generator().manual_seed(0))
    assert z.shape == (2, 5 + 8 * 8 + 16 * 16)
    made.nets.eval()
    for first in (0, 5, 5 + 64):
        other = z.clone()
        other[:, first] += 3
        with torch.no_grad():
            one, two = (made.sampler.images(made.nets, latents, START, Request()) for latents in (z, other))
        assert not torch.equal(one, two)
    assert one.abs().max() <= 1


@pytest.mark.parametrize("side", [16, 32])
def test_both_players_of_a_level_see_its_low_pass(side: int) -> None:
    made, batch = game(32), batch_of(32)
    rules = next(move for move in made.stages[0].moves if move.player == f"G{side}").loss.rules
    low = up(down(batch.images, side // 2))
    (given,) = rules.conditions(batch)
    torch.testing.assert_close(given, down(batch.images, side // 2))
    seen: dict[str, list[Tensor]] = {"G": [], "D": []}
    made.nets[f"G{side}"].register_forward_pre_hook(lambda net, inputs: seen["G"].append(inputs[1]))
    made.nets[f"D{side}"].register_forward_pre_hook(lambda net, inputs: seen["D"].append(inputs[0]))
    turn = Turn(made.nets, batch, START, {})
    rules.opinion(turn, rules.fakes(turn))
    rules.opinion(turn, rules.reals(batch, START))
    torch.testing.assert_close(seen["G"][0], given)
    fake, real = seen["D"]
    torch.testing.assert_close(fake[:, 1:], low)
    torch.testing.assert_close(real, torch.cat([down(batch.images, side), low], 1))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_helps_two_players_helps_every_level(tiny_session: Make, variant: str, channels: int) -> None:
    session = tiny_session("lapgan", VARIANTS[variant], channels=channels, resolution=32)
    plan = Plan.of(10_000, session.shares)
    for _ in range(3):
        stats = session.step(plan)
        assert all(torch.isfinite(value).all() for value in stats.values())
    for side in (4, 8, 16, 32):
        assert {f"G{side}/loss", f"D{side}/loss", f"D{side}/real"} <= set(stats)
        if variant == "penalties":
            assert {f"D{side}/r1", f"D{side}/gp", f"D{side}/lecam"} <= set(stats)
            assert max(p.abs().max() for p in session.game.nets[f"D{side}"].parameters()) <= 0.05
        if variant == "ada":
            assert f"D{side}/ada_p" in stats
            assert session.game.controls[f"ada{side}"].player == f"D{side}"
        if variant == "acgan":
            assert {f"D{side}/class", f"G{side}/class"} <= set(stats)
    assert session.sample(2, 0).shape == (2, 32, 32, channels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 6}, "start: expected a power of two from 4 to 16, got 6"),
        ({"start": 32}, "start: expected a power of two from 4 to 16, got 32"),
        ({"penalty": {"gp": {"weight": 1.0}}}, "penalty.gp: .* batch norm .*d_norm=layer"),
        ({"pack": 3}, "pack=3: does not divide"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        game(32, **settings)

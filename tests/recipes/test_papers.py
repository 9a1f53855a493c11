"""What makes each family the one of its paper, read off the game that its defaults build."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Clock
from gansmith.core.game import Game
from gansmith.core.spec import Spec
from gansmith.nets.blocks import LayerNorm2d, Maxout, MinibatchStddev, PixelNorm
from gansmith.nets.conditional import ClassBatchNorm2d, ProjectionDiscriminator
from gansmith.recipes import build
from gansmith.training.optim import learning_rate

SPEC = Spec(32, 1, 28, 28, tuple("abcdefghij"))


def game(family: str, **settings: Any) -> tuple[Game, Any]:
    """The game, and the settings that it was built by."""
    torch.manual_seed(0)
    config = resolve(family, [("test", nested(settings))])
    return build(config, SPEC), config


def has(net: nn.Module, *kinds: type[nn.Module]) -> list[bool]:
    return [any(isinstance(module, kind) for module in net.modules()) for kind in kinds]


NORMS = (nn.BatchNorm2d, LayerNorm2d, PixelNorm)
# Which norms are in G and in D, and what else is.
EXPECTED: dict[str, tuple[list[bool], list[bool], Callable[[Game], bool]]] = {
    "gan": ([False] * 3, [False] * 3, lambda g: has(g.nets["D"], Maxout, nn.Dropout) == [True, True]),
    "dcgan": ([True, False, False], [True, False, False], lambda g: has(g.nets["G"], nn.Tanh) == [True]),
    "lsgan": ([True, False, False], [True, False, False], lambda g: has(g.nets["D"], nn.Sigmoid) == [False]),
    "cgan": (
        [True, False, False],
        [True, False, False],
        lambda g: has(g.nets["G"], ClassBatchNorm2d) + has(g.nets["D"], ProjectionDiscriminator) == [True, True],
    ),
    "wgan": ([True, False, False], [True, False, False], lambda g: g.players["D"].project is not None),
    "wgan-gp": ([True, False, False], [False, True, False], lambda g: g.players["D"].project is None),
    "progan": ([False, False, True], [False] * 3, lambda g: has(g.nets["D"], MinibatchStddev) == [True]),
    "stylegan": ([False] * 3, [False] * 3, lambda g: has(g.nets["D"], MinibatchStddev) == [True]),
    "r3gan": ([False] * 3, [False] * 3, lambda g: has(g.nets["D"], MinibatchStddev) == [False]),
}


@pytest.mark.parametrize("family", EXPECTED)
def test_what_is_normalised(family: str) -> None:
    made, _ = game(family)
    in_g, in_d, rest = EXPECTED[family]
    assert has(made.nets["G"], *NORMS) == in_g
    assert has(made.nets["D"], *NORMS) == in_d
    assert rest(made)


LOSSES = {
    "gan": "nonsaturating",
    "lsgan": "least-squares",
    "wgan": "wasserstein",
    "wgan-gp": "wasserstein",
    "progan": "nonsaturating",  # of Karras 2019, table 1, B
    "stylegan": "nonsaturating",
    "r3gan": "relativistic",
}


@pytest.mark.parametrize("family", LOSSES)
def test_the_papers_loss(family: str) -> None:
    assert game(family)[1].adversarial().name == LOSSES[family]


def test_the_codes_of_least_squares() -> None:
    """Mao 2017, eq. 2, by hand: D says 0.5 of a real and 0.25 of a fake."""
    made, _ = game("lsgan", a=-1.0, b=2.0, c=0.5)
    g, d = (move.loss.loss for move in made.stages[0].moves)  # type: ignore[attr-defined]
    real, fake = torch.tensor([0.5]), torch.tensor([0.25])
    assert d.d(real, fake).item() == pytest.approx(((0.5 - 2) ** 2 + (0.25 + 1) ** 2) / 2)
    assert g.g(fake, None).item() == pytest.approx((0.25 - 0.5) ** 2 / 2)


def test_r3gans_schedules() -> None:
    """Huang 2024, app. D: gamma falls tenfold, by a cosine; Adam without momentum, with the last beta2."""
    made, config = game("r3gan")
    penalties = made.stages[0].moves[1].loss.penalties  # type: ignore[attr-defined]
    assert {name: p.weight / p.end for name, p in penalties.items()} == {
        "r1": pytest.approx(10),
        "r2": pytest.approx(10),
    }
    for player in made.players.values():
        assert (player.optim.beta1, player.optim.beta2, player.optim.beta2_end) == (0.0, 0.99, None)
        assert player.optim.decay == "cosine"
    assert config.penalty.r1 == config.penalty.r2


def test_wgan_with_the_papers_settings() -> None:
    optim = {"lr": 5e-5, "decay": "constant"}
    made, _ = game("wgan", **{"penalty.clip": 0.01, "optim.g": optim, "optim.d": optim, "critic_burst": 95})
    g, d = made.stages[0].moves
    assert [d.times(Clock(step, 0, 10**6)) for step in (0, 24, 25, 499, 500, 501)] == [100, 100, 5, 5, 100, 5]
    assert g.times(Clock(0, 0, 10**6)) == 1
    assert [learning_rate(player.optim, progress) for player in made.players.values() for progress in (0, 1)] == [
        5e-5
    ] * 4
    weights = list(made.nets["D"].parameters())
    with torch.no_grad():
        for p in weights:
            p.fill_(1.0)
    made.players["D"].project(made.nets["D"])  # type: ignore[misc]
    assert [p.max().item() for p in weights] == pytest.approx([0.01] * len(weights))


@pytest.mark.parametrize(
    ("family", "penalties"),
    [("wgan-gp", {"gp"}), ("progan", {"r1"}), ("stylegan", {"r1"}), ("r3gan", {"r1", "r2"}), ("dcgan", set())],
)
def test_the_papers_penalties(family: str, penalties: set[str]) -> None:
    made, _ = game(family)
    assert {name for move in made.stages[0].moves for name in getattr(move.loss, "penalties", {})} == penalties


@pytest.mark.parametrize(("family", "kind"), [("wgan", "rmsprop"), ("wgan-gp", "adam"), ("dcgan", "adam")])
def test_the_papers_optimiser(family: str, kind: str) -> None:
    assert {player.optim.kind for player in game(family)[0].players.values()} == {kind}


@pytest.mark.parametrize(
    ("family", "repeats"), [("wgan", 5), ("wgan-gp", 5), ("dcgan", 1), ("r3gan", 1), ("stylegan", 1)]
)
def test_the_critics_schedule(family: str, repeats: int) -> None:
    made, _ = game(family)
    assert [(move.player, move.repeats) for move in made.stages[0].moves] == [("G", 1), ("D", repeats)]


def test_goodfellows_k_and_the_saturating_loss() -> None:
    made, config = game("gan", loss="minimax", n_critic=3)
    assert config.adversarial().name == "minimax"
    assert made.stages[0].moves[1].repeats == 3


def test_progan_grows_from_four_pixels_to_the_datas_size() -> None:
    assert [stage.name for stage in game("progan")[0].stages] == ["4x4", "8x8", "16x16", "32x32"]


def test_progan_with_the_papers_loss() -> None:
    paper = {"loss": "wasserstein", "penalty.gp.weight": 10, "penalty.drift": 1e-3, "penalty.r1.weight": 0}
    made, config = game("progan", **paper)
    assert config.adversarial().name == "wasserstein"
    paid: Any = made.stages[-1].moves[1].loss
    assert (set(paid.penalties), set(paid.regularisers)) == ({"gp"}, {"drift"})


def test_lapgan_has_a_pair_for_every_level() -> None:
    assert list(game("lapgan")[0].nets) == ["G8", "D8", "G16", "D16", "G32", "D32"]


def test_an_aaes_encoder_belongs_to_two_players() -> None:
    owners = [name for name, player in game("aae")[0].players.items() if "encoder" in player.nets]
    assert len(owners) == 2

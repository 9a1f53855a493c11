"""Whether a game has settled: values against their closed forms, the gap at an optimum and off it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gansmith.core.clock import Clock, Plan
from gansmith.core.config import OptimConfig
from gansmith.core.game import Batch, Game, Move, Outcome, Player, Sampler, Stage, Turn
from gansmith.losses.adversarial import NONSATURATING
from gansmith.training.runtime import Runtime
from gansmith.watch.equilibrium import LogOdds, change, duality_gap, is_level, is_quiet, settled, standing, value


def outputs(real: float, fake: float, n: int = 4000) -> tuple[Tensor, Tensor]:
    """Of a normal distribution each, with these means."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, generator=generator) + real, torch.randn(n, generator=generator) + fake


def known(apart: float) -> float:
    """Bits that an ideal observer has of two unit normals so far apart: their Jensen-Shannon divergence."""
    x = np.linspace(-12, 12 + apart, 40_001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0, apart))
    m = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.nan_to_num(r * np.log2(r / m)) for r in (p, q)]
    return float(np.trapezoid((parts[0] + parts[1]) / 2, x))


@pytest.mark.parametrize("apart", [0.0, 0.5, 1.0, 2.0])
def test_a_value_is_the_divergence_of_its_outputs(apart: float) -> None:
    assert value(*outputs(apart, 0.0)) == pytest.approx(known(apart), abs=0.015)


def test_a_value_has_no_unit() -> None:
    real, fake = outputs(1.0, 0.0)
    assert value(1e-3 * real + 70, 1e-3 * fake + 70) == pytest.approx(value(real, fake), abs=1e-3)


def test_outputs_that_part_everything_are_worth_a_bit() -> None:
    assert value(torch.rand(100) + 5, torch.rand(100)) == pytest.approx(1, abs=0.1)


def test_a_discriminator_means_what_it_says() -> None:
    """One that calls reals fake knows nothing, and is not believed the other way round."""
    assert LogOdds.of(*outputs(0.0, 2.0)) == LogOdds(0.0, 0.0)
    assert value(torch.zeros(64), torch.zeros(64)) == 0


# ---- a game of one number each


class Shift(nn.Module):
    """Latents, moved."""

    def __init__(self, by: float):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.by


@dataclass
class Played:
    game: Game
    clock: Clock
    runtime: Runtime


def normal(position: int) -> Batch:
    return Batch(torch.randn(128, 1))


def played(shift: float, slope: float) -> Played:
    """Reals are a unit normal; G moves one by `shift`, D's output rises by `slope`."""
    d = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1, bias=False))
    nn.init.zeros_(d[2].weight)
    nets = nn.ModuleDict({"G": Shift(shift), "D": nn.Sequential(nn.Linear(1, 1), d)})
    with torch.no_grad():
        nets["D"][0].weight.fill_(1.0), nets["D"][0].bias.zero_()
        d[0].weight.fill_(0.1), d[0].bias.zero_(), d[2].weight.fill_(slope)

    def of_d(turn: Turn) -> Outcome:
        fake = turn.nets["G"](torch.randn_like(turn.batch.images)).detach()
        real_said, fake_said = (turn.nets["D"](x)[:, 0] for x in (turn.batch.images, fake))
        return Outcome({"loss": NONSATURATING.d(real_said, fake_said)}, {"real": real_said, "fake": fake_said})

    def of_g(turn: Turn) -> Outcome:
        fake = turn.nets["G"](torch.randn_like(turn.batch.images))
        return Outcome({"loss": NONSATURATING.g(turn.nets["D"](fake)[:, 0])})

    stage = Stage("train", (Move("D", of_d), Move("G", of_g)))
    sampler = Sampler(lambda n, generator: torch.randn(n, 1, generator=generator), lambda *_: torch.zeros(1, 1))
    players = {name: Player((name,), OptimConfig()) for name in "GD"}
    game = Game(nets, players, (stage,), sampler, averaged=("G",))
    return Played(game, Plan(10**6).at(0, 0), Runtime(torch.device("cpu"), autocasts=False))


def gap(shift: float, slope: float) -> float:
    torch.manual_seed(0)
    found = duality_gap(played(shift, slope), normal, normal, 0)
    assert found is not None
    return found


def test_there_is_no_gap_at_the_optimum() -> None:
    assert gap(0.0, 0.0) < 0.05


def test_a_blind_discriminator_hides_nothing() -> None:
    """D says the same of everything, so that the game stands still; but the best D would see."""
    assert gap(2.0, 0.0) > 0.8 * known(2.0)


def test_a_game_without_judges_has_no_gap() -> None:
    lonely = played(0.0, 0.0)
    silent = Stage("train", (Move("G", lambda turn: Outcome({"loss": turn.nets["G"].by.square()})),))
    lonely.game = Game(lonely.game.nets, lonely.game.players, (silent,), lonely.game.sampler, averaged=("G",))
    assert duality_gap(lonely, normal, normal, 0) is None


# ---- whether it has settled


def looks(quality: Any, ranks: float = 0.52, gap: float | None = 0.02, n: int = 40) -> list[dict[str, float]]:
    found = [{"step": i, "images": 100.0 * i, "ranks": ranks, "quality": quality(i)} for i in range(1, n + 1)]
    return [look | ({} if gap is None else {"duality_gap": gap}) for look in found]


def test_a_change_is_by_doubling() -> None:
    low, high = change(looks(lambda i: 1 - 0.1 * math.log2(i))) or (0, 0)
    assert low == pytest.approx(-0.1)
    assert high == pytest.approx(-0.1)
    assert change(looks(lambda i: 1.0, n=14)) is None, "fewer than eight in the last half"


def test_noise_makes_a_change_uncertain() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 41)
    low, high = change(looks(lambda i: 0.5 + noise[i])) or (0, 0)
    assert low < -0.05 < 0.05 < high
    assert not is_level(looks(lambda i: 0.01 + 0.1 * abs(noise[i]) * 4))


def test_what_has_settled() -> None:
    assert is_quiet(looks(lambda i: 0.01))
    why = settled(looks(lambda i: 0.01))
    assert "52%" in why
    assert "0.02 bits" in why
    assert not settled([])


@pytest.mark.parametrize(
    "unsettled",
    [
        looks(lambda i: 1 - 0.1 * math.log2(i)),
        looks(lambda i: 0.01, ranks=0.8),
        looks(lambda i: 0.01, gap=0.3),
        looks(lambda i: 0.01, gap=None),
        looks(lambda i: 0.01, n=15),
    ],
    ids=["coming nearer", "D tells", "gap", "no gap known", "too early"],
)
def test_what_has_not(unsettled: list[dict[str, float]]) -> None:
    assert not settled(unsettled)
    assert standing(unsettled)

"""Where `gansmith train --until equilibrium` would have stopped, on games whose optimum is known.

    python benchmarks/equilibrium.py                     # all that has not been played yet
    python benchmarks/equilibrium.py --only ring-slow

A ring of 8 Gaussians, and one Gaussian that is no ball, with the nets of `modes.py`, the relativistic loss, R1 and R2,
all constant: played by `play_step` and looked at as a run is, 60 times. They play on after they were found settled, so
that what was reached then stands beside what there was to reach. `slow` has a thirtieth of the learning rates, and is
on its way when it ends; `unpenalised` does without R1 and R2. How far the averaged nets' samples are from the optimum
is measured on 4,096 of them by what the doctor does not use: for the ring the modes missed and the share of samples
that are not within three deviations of one, for the Gaussian the Fréchet distance by the trace of its covariance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common import RESULTS, ROOT, Results, about, markdown, say, when
from gansmith.apps.configure import merged, nested
from gansmith.core.clock import Clock, Plan
from gansmith.core.config import TrainConfig
from gansmith.core.game import Batch, Game, Request
from gansmith.metrics.frechet import frechet_distance
from gansmith.recipes.two_player import Rules, TwoPlayerConfig, two_player
from gansmith.training.ema import Ema
from gansmith.training.optim import Optim
from gansmith.training.runtime import Runtime, own_randomness, seed_step
from gansmith.training.step import play_step
from gansmith.watch import equilibrium as rest
from gansmith.watch.equilibrium import duality_gap, is_quiet, settled, standing
from gansmith.watch.look import FAKES, FIXED, Gauge, Outputs, Seen
from gansmith.watch.rehearsal import Rehearsal, rehearse
from gansmith.watch.signals import Signals
from modes import CPU, LATENT, WIDTH, PointDiscriminator, PointGenerator, packed, ring

Record = dict[str, Any]
FILE = RESULTS / "equilibrium.json"
POINTS, HELD, SAMPLES, LOOKS, BATCH = 50_000, 4_096, 4_096, 60, 100


@dataclass(frozen=True)
class Case:
    """A game whose optimum is known.

    Attributes:
        draw: (n, generator) -> points (n, 2).
        off: points (n, 2) -> how far from the optimum they are, by name; 0 is there.
        settings: of `TwoPlayerConfig`, by dotted name; penalties are for points of unit variance.
        kimg: length.
    """

    draw: Callable[[int, torch.Generator], Tensor]
    off: Callable[[Tensor], Record]
    settings: Record
    kimg: float


def normal(n: int, generator: torch.Generator) -> Tensor:
    """(n, 2) of the one Gaussian."""
    return torch.randn(n, 2, generator=generator) @ torch.tensor([[1.0, 0.6], [0.0, 0.4]]) + torch.tensor([0.5, -0.3])


def off_normal(points: Tensor) -> Record:
    real = normal(200_000, torch.Generator().manual_seed(1))
    return {"frechet": round(frechet_distance(real.numpy(), points.numpy()) / real.var(0).sum().item(), 5)}


def off_ring(points: Tensor) -> Record:
    counted = ring().count(points, ring().draw(SAMPLES, torch.Generator().manual_seed(1)))
    assert counted.quality is not None
    # Of a Gaussian in the plane, this part lies within three deviations.
    return {"missed": 8 - counted.modes, "stray": round(max(0.0, 0.9889 - counted.quality), 4)}


RATE = 3e-4
SETTINGS: Record = {"loss": "relativistic"}
SETTINGS |= {f"optim.{player}.{name}": value for player in "gd" for name, value in (("beta1", 0.0), ("beta2", 0.99))}
PENALTIES = {"gaussian": 0.05, "ring": 0.0025}
"""Weights of R1 and R2 for points of unit variance."""
KIMG = {"gaussian": 400.0, "ring": 2_500.0}


def settings(rate: float, penalty: float) -> Record:
    """Constant throughout: a game whose rates fall has not settled before they have."""
    return (
        SETTINGS
        | {f"optim.{player}.lr": rate for player in "gd"}
        | {f"penalty.{name}": {"weight": penalty, "end": 1.0, "every": 4} for name in ("r1", "r2")}
    )


def cases() -> dict[str, Case]:
    found = {}
    for kind, draw, off in (("gaussian", normal, off_normal), ("ring", ring().draw, off_ring)):
        for name, rate, penalty in (
            ("settling", RATE, PENALTIES[kind]),
            ("slow", RATE / 30, PENALTIES[kind]),
            ("unpenalised", RATE, 0.0),
        ):
            found[f"{kind}-{name}"] = Case(draw, off, settings(rate, penalty), KIMG[kind])
    return found


@dataclass
class Table:
    """A game being played (see `gansmith.watch.rehearsal.Playing`)."""

    game: Game
    clock: Clock
    runtime: Runtime = CPU


def looked(table: Table, gauge: Gauge, train: Tensor, held: Tensor) -> Signals:
    """As `gansmith.watch.live.Observatory` looks at a run."""
    said = []
    for rows in (train, held):
        found = Rehearsal()
        for batch in rows[:256].split(64):
            rehearse(table, Batch(batch), found)
        said.append(found)
    (name,) = said[0].said
    with torch.no_grad():
        latents = table.game.sampler.latents(FAKES, torch.Generator().manual_seed(0))
        fakes = table.game.sampler.images(table.game.nets, latents, table.clock, Request())
    outputs = Outputs(said[0].outputs(name, 0), said[1].outputs(name, 0), said[1].outputs(name, 1))
    losses = {f"{player}_loss": sum(values) / len(values) for player, values in said[0].losses.items()}
    gradient = {} if said[0].gradient is None else {"g_gradient": said[0].gradient}
    figures = losses | gradient | {"finite": 1.0}
    return gauge.look(Seen(table.clock.step, table.clock.images, fakes, fakes[:FIXED], (outputs,), figures))


def play(case: Case, seed: int) -> Record:
    """Plays to the end; what was found at each look, and where it would have stopped."""
    began = time.process_time()
    torch.manual_seed(seed)
    data = case.draw(POINTS + HELD, torch.Generator().manual_seed(seed))
    train, held = data[:POINTS], data[POINTS:]
    base = TwoPlayerConfig(family="points", train=TrainConfig(batch=BATCH, kimg=case.kimg, seed=seed))
    config = TwoPlayerConfig.model_validate(merged(base.model_dump(), nested(scaled(case.settings, train))))
    game = two_player(
        config,
        PointGenerator(False, WIDTH),
        PointDiscriminator(1, WIDTH, False),
        Rules((LATENT,), judge=packed(1), at_once=1),
        {"train": 1.0},
    )
    optims = {name: Optim(player, game.nets) for name, player in game.players.items()}
    plan = Plan.of(config.train.images, [1.0])
    table, gauge = Table(game, plan.at(0, 0)), Gauge(train, held)
    ema = Ema(game, config.ema)
    looks: list[Signals] = []
    stopped: Record | None = None
    course = []
    every, gap_seconds = config.train.images // LOOKS // BATCH, 0.0
    while not table.clock.finished:
        clock = table.clock
        seed_step(seed, clock.step)
        stats = play_step(game, optims, lambda: Batch(train[torch.randint(POINTS, (BATCH,))]), clock, CPU)
        table.clock = plan.at(clock.step + 1, clock.images + BATCH)
        for control in (ema, *game.controls.values()):
            control.after_step(game.nets, table.clock, stats)
        if table.clock.step % every:
            continue
        with own_randomness(seed):
            looks.append(looked(table, gauge, train, held))
        looks[-1]["quality"] = gauge.distance(sampled(table, ema, FAKES))
        row = case.off(sampled(table, ema))
        if is_quiet(looks):
            since = time.process_time()
            gap = duality_gap(
                table,
                lambda position: Batch(train[torch.randint(POINTS, (BATCH,))]),
                lambda position: Batch(held[position : position + 128]),
                seed,
            )
            gap_seconds += time.process_time() - since
            looks[-1] |= {} if gap is None else {"duality_gap": gap}
        course.append(
            {"images": table.clock.images, **row, "gap": looks[-1].get("duality_gap"), "says": standing(looks)}
        )
        why = settled(looks)
        if why and stopped is None:
            stopped = {"images": table.clock.images, "why": why, "off": row}
    return {
        "seed": seed,
        "images": table.clock.images,
        "stopped": stopped,
        "end": case.off(sampled(table, ema)),
        "seconds": round(time.process_time() - began, 1),
        "seconds_for_gaps": round(gap_seconds, 1),
        "course": course,
    }


def scaled(settings: Record, points: Tensor) -> Record:
    """With penalties for these points: D's slope is by what their unit is."""
    unit = points.var(0, correction=0).mean().item()
    return {
        name: value | {"weight": value["weight"] * unit} if name.startswith("penalty") else value
        for name, value in settings.items()
    }


@torch.inference_mode()
def sampled(table: Table, ema: Ema, n: int = SAMPLES) -> Tensor:
    latents = table.game.sampler.latents(n, torch.Generator().manual_seed(7))
    return table.game.sampler.images({**table.game.nets, **ema.nets}, latents, table.clock, Request())


DOC = ROOT / "docs" / "equilibrium.md"
PAGE = """# Until equilibrium

`gansmith train --until equilibrium` ends a run before its length where its game has settled, and says why: in the
terminal, and as `settled` in `result.json`. A run that has not settled goes on to its length, and says how far from it
it was. It has settled where, in looks at its last stage (`train.looks`, 40 in a run),

- D ranks fewer than {chance:.0%} of pairs of a held-out image and a fake rightly;
- the duality gap (Grnarova 2019) is below {small:g} bits in {in_a_row} looks, one after the other: what a copy of D
  that learns for {d_steps} steps would know of these fakes, less what D would know of those of a copy of G that learns
  for {g_steps} steps against it. What D knows is 1 minus the cross-entropy, in bits, of telling held-out images from
  fakes by its outputs;
- the averaged nets' samples would come no nearer to the real ones in as many images again: a line through their energy
  distance by the logarithm of images, over the last half of these, changes by less than {level:.0%} of it, or by less
  than {noise:g} of the real samples' mean distance, at either end of its interval;
- nothing ails the game.

The gap is measured only where the rest holds; a look with it takes as long as some 150 steps. It needs held-out images
(a batch at least), a D that comes near chance and rates that do not fall: a run whose rates go to 0 gets better until
they have. Large steps of G are not in the gap: against a D that stands still, G leaves the data for where D never
looked, and gains 2.4 bits at the very optimum of a Gaussian (LOG.md).

## Where it stops

`python benchmarks/equilibrium.py`, {date}: games whose optimum is known, played on to their end in spite of it. How far
the averaged nets' samples are from the optimum: of a Gaussian the Fréchet distance by its covariance's trace, of a ring
of 8 the modes missed and the share of samples beyond three deviations of one (of real ones nothing is). The margin: at
most 0.01 of the trace; no mode missed, and at most 0.1 of the samples.

{table}

`slow` has a thirtieth of the learning rates; `unpenalised` no R1 and no R2.
"""


def page(results: Results) -> str:
    rows = []
    for name, record in results.records.items():
        stopped = record["stopped"]
        at = "not" if stopped is None else f"{stopped['images']:,}"
        then = in_words((stopped or {}).get("off"))
        rows.append([name, f"{at} of {record['images']:,}", then, in_words(record["end"])])
    table = markdown(["game, seed", "settled, at images", "off then", "off at its end"], rows)
    numbers = {"chance": rest.CHANCE, "small": rest.SMALL, "in_a_row": rest.IN_A_ROW}
    numbers |= {"level": rest.LEVEL, "noise": rest.NOISE}
    numbers |= {"d_steps": rest.OF_JUDGES.steps, "g_steps": rest.OF_MAKERS.steps}
    return PAGE.format(table=table, date=when([record["about"] for record in results.records.values()]), **numbers)


def in_words(off: Record | None) -> str:
    return "–" if off is None else ", ".join(f"{name} {value:g}" for name, value in off.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="cases, with commas")
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(FILE, "python benchmarks/equilibrium.py")
    for name, case in cases().items():
        for seed in range(asked.seeds):
            if (asked.only and name not in asked.only.split(",")) or f"{name}-{seed}" in results.records:
                continue
            found = {"about": about()} | play(case, seed)
            results.put(f"{name}-{seed}", found)
            say(f"{name} {seed}: {found['stopped']}; at the end {found['end']}, {found['seconds']} s")
    DOC.write_text(page(results))


if __name__ == "__main__":
    main()

"""How many modes a GAN finds: a ring of 8 Gaussians, a grid of 25, and stacked Fashion-MNIST with 1,000.

    python benchmarks/modes.py                          # all that has not been measured yet
    python benchmarks/modes.py --only ring,grid
    python benchmarks/modes.py --only stacked --methods r3gan --seeds 1

Lengths are in images, so time does not matter: a run has one thread, and another may have the other core. (The first
stacked run, `r3gan` of seed 0, had two threads.)

The protocol is that of PacGAN (Lin et al. 2018, sec. 4), which has it from VEEGAN (Srivastava et al. 2017):

- ring: means on the unit circle, standard deviation 0.01; grid: means at -4, -2, 0, 2, 4 in both directions, 0.05.
  100,000 training points, batches of 100; 2,500 samples are judged. A sample is of high quality within three standard
  deviations of the nearest mean; a mode is recovered where at least one such sample is nearest to it.
- stacked: three images drawn at random as the channels of one; its mode is the three classes that a classifier names.
  60,000 stacks of 28x28, seen as often as r3gan sees them in 20 minutes on two cores; 26,000 samples are judged; a mode
  is recovered where a sample has it.
- Reverse KL: of the samples' modes (nearest mean, or classes named) from those of as many real ones, in nats.

The toys are games of the package's own records: `two_player` with points as images, played by `play_step`, averaged by
`Ema`. All methods play for as long, with the same nets (four hidden layers of 128 in G, three in D, no normalisation);
loss, penalties and rates come from the configuration. PacGAN's nets, `gan-of-paper`, are 400 wide with batch norm in G,
and 200 units of five pieces in D, and take eight times as long a step. R3GAN's penalties, rate and length are tuned on
seeds 100 and 101, which are not among those reported; `gan` is not tuned.
On stacks the methods are families of `gansmith train`, with their defaults, and `r3gan-12`, whose settings were chosen
after partial runs of seed 100 (LOG.md). The classifier is `fashion-cnn`, 92.84 % right on single test images: what it
says of real stacks stands beside.

Finished runs are in ``results/modes.json``; a stacked run that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import (
    RESULTS,
    WORK,
    FashionMnist,
    Progress,
    Results,
    about,
    chosen,
    forget,
    markdown,
    mean_sd,
    records_of,
    say,
    stop_on_signals,
    when,
)
from gansmith.apps.configure import merged, nested, resolve
from gansmith.apps.run import Run, begun
from gansmith.core.clock import Clock, Plan
from gansmith.core.config import TrainConfig
from gansmith.core.errors import GansmithError, Stopped
from gansmith.core.game import Batch, Nets, Request
from gansmith.data import open_data
from gansmith.nets.blocks import Maxout
from gansmith.recipes.two_player import Conditions, Rules, TwoPlayerConfig, two_player
from gansmith.training.ema import Ema
from gansmith.training.judge import Judge
from gansmith.training.loop import Staff, play_run
from gansmith.training.optim import Optim
from gansmith.training.planning import plan_run
from gansmith.training.rundir import RunDir
from gansmith.training.runtime import Runtime, seed_step
from gansmith.training.step import play_step

FILE = RESULTS / "modes.json"
CPU = Runtime(torch.device("cpu"), autocasts=False)
Record = dict[str, Any]


# ---- what is counted


@dataclass(frozen=True)
class Count:
    """What samples show of the modes.

    Attributes:
        modes: recovered.
        quality: share of samples within three standard deviations of a mean; of stacks None.
        kl: of the samples' modes from those of real ones.
    """

    modes: int
    quality: float | None
    kl: float

    def to_json(self) -> Record:
        quality = {} if self.quality is None else {"quality": round(self.quality, 4)}
        return {"modes": self.modes, **quality, "kl": round(self.kl, 4)}


def reverse_kl(fake: np.ndarray, real: np.ndarray, modes: int) -> float:
    """Sum of q log(q / p): q the shares of modes among fakes (N,), p among reals; a mode that only fakes have counts as
    half a real one."""
    q = np.bincount(fake, minlength=modes) / len(fake)
    p = np.maximum(np.bincount(real, minlength=modes), 0.5) / len(real)
    return float((q[q > 0] * np.log(q[q > 0] / p[q > 0])).sum())


# ---- points


@dataclass(frozen=True)
class Mixture:
    """Equal Gaussians in the plane.

    Attributes:
        means: (M, 2).
        deviation: of each, in both directions.
    """

    means: Tensor
    deviation: float

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 2) points."""
        which = torch.randint(len(self.means), (n,), generator=generator)
        return self.means[which] + self.deviation * torch.randn(n, 2, generator=generator)

    def count(self, points: Tensor, real: Tensor) -> Count:
        """What points (N, 2) show of the modes."""
        distance, nearest = torch.cdist(points, self.means).min(1)
        good = distance <= 3 * self.deviation
        mine, theirs = nearest.numpy(), torch.cdist(real, self.means).argmin(1).numpy()
        kl = reverse_kl(mine, theirs, len(self.means))
        return Count(len(nearest[good].unique()), float(good.float().mean()), kl)


def ring() -> Mixture:
    angles = torch.arange(8) * (2 * math.pi / 8)
    return Mixture(torch.stack([angles.cos(), angles.sin()], 1), 0.01)


def grid() -> Mixture:
    side = torch.arange(-4.0, 5.0, 2.0)
    return Mixture(torch.cartesian_prod(side, side), 0.05)


MIXTURES: dict[str, Callable[[], Mixture]] = {"ring": ring, "grid": grid}
POINTS, JUDGED, LATENT, WIDTH = 100_000, 2_500, 2, 128


class PointGenerator(nn.Module):
    """Latent (N, 2) -> point (N, 2): four hidden layers of ReLUs, with batch norm if `norm`."""

    def __init__(self, norm: bool, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (LATENT, width, width, width):
            layers += [nn.Linear(inputs, width), *([nn.BatchNorm1d(width)] if norm else []), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class PointDiscriminator(nn.Module):
    """Points (N, 2 pack) -> logits (N,): three hidden layers of leaky ReLUs, or of five-piece maxout units."""

    def __init__(self, pack: int, width: int, maxout: bool):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (2 * pack, width, width):
            layers += [Maxout(inputs, width, 5)] if maxout else [nn.Linear(inputs, width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points).flatten(0)


@dataclass(frozen=True)
class Method:
    """How the points' game is played.

    Attributes:
        settings: of `TwoPlayerConfig`, by dotted name.
        penalty: weight of R1 and R2 for points of unit variance; D's slope is by what the points' unit is.
        pack: points that D judges at once.
        kimg: training points, in thousands.
        of_paper: PacGAN's nets: 400 wide with batch norm, and 200 units of five pieces.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    penalty: float = 0.0
    pack: int = 1
    kimg: float = 5_000
    of_paper: bool = False


def of_both(**settings: Any) -> dict[str, Any]:
    """The settings of both players' optimisers."""
    return {f"optim.{player}.{name}": value for player in "gd" for name, value in settings.items()}


def r1_and_r2(weight: float) -> dict[str, Any]:
    """Both penalties every four steps, falling to nothing: at the end D may be as steep as the modes are narrow."""
    return {f"penalty.{name}": {"weight": weight, "end": 0.0, "every": 4} for name in ("r1", "r2")}


PLAIN = of_both(lr=1e-3, beta1=0.8)  # PacGAN's beta1; its rate of 1e-4 is for 400,000 steps
METHODS = {
    "gan": Method(PLAIN),
    "pacgan2": Method(PLAIN, pack=2),
    "pacgan4": Method(PLAIN, pack=4),
    "gan-of-paper": Method(of_both(lr=1e-4, beta1=0.8), kimg=40_000, of_paper=True),
    "r3gan": Method(
        {"loss": "relativistic", **of_both(lr=3e-3, beta1=0.0, beta2=0.9, decay="cosine", beta2_end=0.99)},
        penalty=0.0025,
    ),
}


def config_of(method: Method, seed: int, data: Tensor) -> TwoPlayerConfig:
    """The game's settings for these points."""
    settings = method.settings | r1_and_r2(method.penalty * data.var(0, correction=0).mean().item())
    base = TwoPlayerConfig(family="points", train=TrainConfig(batch=100, kimg=method.kimg, seed=seed))
    return TwoPlayerConfig.model_validate(merged(base.model_dump(), nested(settings)))


def train_points(mixture: Mixture, method: Method, seed: int) -> tuple[Callable[[int], Tensor], dict[str, Tensor]]:
    """Plays the game; gives a sampler of points, and the statistics of the last step."""
    torch.manual_seed(seed)
    data = mixture.draw(POINTS, torch.Generator().manual_seed(seed))
    config = config_of(method, seed, data)
    g = PointGenerator(method.of_paper, 400 if method.of_paper else WIDTH)
    d = PointDiscriminator(method.pack, 200 if method.of_paper else WIDTH, method.of_paper)
    rules = Rules((LATENT,), judge=packed(method.pack), at_once=1)
    game = two_player(config, g, d, rules, {"train": 1.0})
    optims = {name: Optim(player, game.nets) for name, player in game.players.items()}
    ema = Ema(game, config.ema)
    plan = Plan.of(config.train.images, [1.0])
    clock, stats = plan.at(0, 0), {}
    while not clock.finished:
        seed_step(seed, clock.step)
        position = clock.images

        def draw() -> Batch:
            nonlocal position
            position += config.train.batch
            return Batch(data[torch.randint(POINTS, (config.train.batch,))])

        stats = play_step(game, optims, draw, clock, CPU)
        clock = plan.at(clock.step + 1, position)
        for control in (ema, *game.controls.values()):
            control.after_step(game.nets, clock, stats)

    @torch.inference_mode()
    def sample(n: int) -> Tensor:
        latents = game.sampler.latents(n, torch.Generator().manual_seed(seed))
        return game.sampler.images({**game.nets, **ema.nets}, latents, clock, Request())

    return sample, stats


def packed(size: int) -> Callable[[Nets, Tensor, Conditions, Clock], Tensor]:
    """D's opinion of `size` points at once: `pack` of the configuration is made for images."""
    return lambda nets, points, conditions, clock: nets["D"](points.unflatten(0, (-1, size)).flatten(1))


def measure_points(kind: str, name: str, seed: int) -> Record:
    """One seed of one method on a mixture."""
    mixture, began = MIXTURES[kind](), time.perf_counter()
    sample, _ = train_points(mixture, METHODS[name], seed)
    seconds = time.perf_counter() - began
    real = mixture.draw(JUDGED, torch.Generator().manual_seed(10**6 + seed))
    return {**mixture.count(sample(JUDGED), real).to_json(), "seconds": round(seconds, 1)}


# ---- stacked images

STACKS, STACKS_JUDGED = 60_000, 26_000
STACKED_KIMG = 622.336
"""What r3gan sees in 20 minutes on two cores of an AMD EPYC."""
_GAMMA = {f"penalty.{name}": {"weight": 1.0, "end": 0.1} for name in ("r1", "r2")}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in ("gan", "dcgan", "r3gan")},
    "r3gan-12": ("r3gan", {"width": 12, "minibatch": "stddev", **_GAMMA}),
}
"""On stacks: a family, and its settings. `r3gan-12` is half as wide again, pays twice, and sees a batch's spread."""


def stacked(fashion: FashionMnist, n: int, seed: int, heldout: bool = False) -> np.ndarray:
    """Three images drawn at random as the channels of each: uint8 (n, 28, 28, 3)."""
    images = fashion.pictures[heldout]
    chosen = np.random.default_rng(seed).integers(0, len(images), (n, 3))
    return np.stack([images[chosen[:, i], :, :, 0] for i in range(3)], axis=-1)


def modes_of(stacks: np.ndarray, fashion: FashionMnist) -> np.ndarray:
    """The number of each stack's mode, 0 to 999: (N,)."""
    named = [fashion.classes(fashion.features(np.ascontiguousarray(stacks[..., i : i + 1]))) for i in range(3)]
    return 100 * named[0] + 10 * named[1] + named[2]


def stacks_file(work: Path, fashion: FashionMnist) -> Path:
    """The training stacks, as a user would have them."""
    path = work / "stacked.npy"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(".part.npy")
        np.save(aside, stacked(fashion, STACKS, 0))
        aside.rename(path)
    return path


def train_stacked(family: str, own: dict[str, Any], seed: int, data: Path, path: Path) -> Run:
    """A run of `gansmith.train`, without the scores of colour images, which would take as long as the training."""
    settings = {"data.source": str(data), "data.holdout": 0.0, "train.seed": seed, "train.kimg": STACKED_KIMG}
    config = resolve(family, [("modes", nested(settings | {"train.evaluations": 0} | own))])
    dataset, run = open_data(config.data), RunDir(path)
    meta, judge = run.meta(), Judge(dataset, None)
    if not meta:
        runtime = Runtime.of(config.train)
        meta = begun(plan_run(config, dataset, runtime, judge, 0, 0.0).plan, dataset, runtime)
    if run.read("status.json").get("state") != "finished":
        with run.held():
            play_run(run, config, dataset, meta, None, Staff(judge), quiet=False)
    return Run(path)


def stacked_folder(work: Path, name: str, seed: int) -> Path:
    """Where a run on stacks lives."""
    return work / f"stacked-{name}-{STACKED_KIMG:g}kimg-seed{seed}"


def measure_stacked(name: str, seed: int, work: Path, fashion: FashionMnist) -> Record:
    """One seed of one family on stacks."""
    run = train_stacked(*FAMILIES[name], seed, stacks_file(work, fashion), stacked_folder(work, name, seed))
    found = modes_of(run.sample(STACKS_JUDGED, seed=seed), fashion)
    heldout = modes_of(stacked(fashion, STACKS_JUDGED, 1, heldout=True), fashion)
    truth = modes_of(stacked(fashion, STACKS_JUDGED, 2), fashion)
    last = run.dir.rows()[-1]
    return {
        **Count(len(np.unique(found)), None, reverse_kl(found, truth, 1000)).to_json(),
        "seconds": last["seconds"],
        "images": last["images"],
        "images_per_second": last["images_per_second"],
        "real": Count(len(np.unique(heldout)), None, reverse_kl(heldout, truth, 1000)).to_json(),
    }


# ---- the document

KINDS = {"ring": 8, "grid": 25, "stacked": 1000}
MINUTES = {"ring": 2.5, "grid": 2.5, "stacked": 35.0}
"""An estimate, for the time left."""
PUBLISHED = {
    "ring": "GAN 6.3 modes, 98 %; PacGAN4 7.8, 96 %",
    "grid": "GAN 17.3 modes, 95 %; PacGAN4 24.8, 94 %",
    "stacked": "on MNIST: DCGAN 99 modes, VEEGAN 150, PacDCGAN2 1,000 (KL 0.06), R3GAN 1,000",
}


def sections(path: Path = FILE) -> Iterator[str]:
    """The table, for `docs/families.md`."""
    records = records_of(path)
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records.values():
        if "failed" not in record:
            found[record["kind"], record["method"]].append(record)
    if not found:
        return
    yield "## Modes\n"
    yield (
        f"`python benchmarks/modes.py`, {when(r for group in found.values() for r in group)}. The protocol is PacGAN's "
        "(the script's header has it): modes with a sample of high quality, the share of samples within three standard "
        "deviations of a mode, reverse KL in nats; mean ± sd over seeds. Published figures are of other nets and "
        "longer trainings.\n"
    )
    rows = []
    for kind, all_modes in KINDS.items():
        for method in (*METHODS, *(name for name in FAMILIES if name not in METHODS)):
            if group := found.get((kind, method)):
                rows.append(row(kind, all_modes, method, group))
    columns = ["data", "method", "seeds", "modes", "all found", "high quality", "reverse KL", "s a run"]
    yield markdown(columns, rows) + "\n"
    yield "\n".join(f"- {kind}, published: {text}" for kind, text in PUBLISHED.items()) + "\n"
    real = [record["real"] for record in records.values() if "real" in record]
    if real:
        modes, kl = real[0]["modes"], real[0]["kl"]
        yield f"Of as many held-out real stacks the classifier names {modes} modes, KL {kl:.3f}.\n"


def row(kind: str, all_modes: int, method: str, group: list[Record]) -> list[str]:
    """A method's row."""
    quality = [100 * record["quality"] for record in group if "quality" in record]
    return [
        f"{kind}, {all_modes:,}",
        f"`{method}`",
        str(len(group)),
        mean_sd([record["modes"] for record in group], 1),
        f"{sum(record['modes'] == all_modes for record in group)} of {len(group)}",
        mean_sd(quality, 1) + " %" if quality else "–",
        mean_sd([record["kl"] for record in group], 3),
        f"{np.mean([record['seconds'] for record in group]):.0f}",
    ]


# ---- command line


@dataclass(frozen=True)
class Task:
    """One run."""

    kind: str
    method: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind} {self.method} seed{self.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="KIND,…", help=f"of {', '.join(KINDS)}")
    parser.add_argument(
        "--methods", default="gan,r3gan,r3gan-12", help=f"of {', '.join(METHODS)}; stacked: {', '.join(FAMILIES)}"
    )
    parser.add_argument("--seeds", type=int, help="default: ten of the toys, three of the stacks")
    parser.add_argument("--redo", action="store_true", help="forget what there is of these runs")
    parser.add_argument("--work", type=Path, default=WORK / "modes", help="where the runs on stacks live")
    asked = parser.parse_args()
    stop_on_signals()
    results = Results(FILE, "python benchmarks/modes.py")
    methods = asked.methods.split(",")
    wanted = [
        Task(kind, method, seed)
        for kind in chosen(KINDS, asked.only, parser)
        for seed in range(asked.seeds or (3 if kind == "stacked" else 10))
        for method in methods
        if method in (FAMILIES if kind == "stacked" else METHODS)
    ]
    if asked.redo:
        results.drop(task.key for task in wanted)
        for task in wanted:
            forget(stacked_folder(asked.work, task.method, task.seed))
    play([t for t in wanted if t.key not in results.records], results, asked.work)
    print("\n".join(sections()))


def play(todo: list[Task], results: Results, work: Path) -> None:
    """The runs that are not in `results` yet."""
    torch.set_num_threads(1)
    fashion, progress = FashionMnist(), Progress([MINUTES[task.kind] for task in todo])
    for task in todo:
        progress.begin(task.key)
        record: Record = {"kind": task.kind, "method": task.method, "seed": task.seed, **about()}
        try:
            if task.kind == "stacked":
                record |= measure_stacked(task.method, task.seed, work, fashion)
            else:
                record |= measure_points(task.kind, task.method, task.seed)
        except Stopped as stop:
            raise SystemExit(stop.exit_code) from stop
        except GansmithError as error:
            record["failed"] = str(error)
        results.put(task.key, record)
        say(
            "  " + ", ".join(f"{k} {record[k]}" for k in ("modes", "quality", "kl", "seconds", "failed") if k in record)
        )


if __name__ == "__main__":
    main()

"""Games made ill on purpose, and healthy ones, with a doctor in each: what it sees, beside what is true.

    python benchmarks/illness.py                    # all runs, about 3 CPU hours; goes on where it was
    python benchmarks/illness.py --worker 0 2       # every other run, where another worker has the others
    python benchmarks/illness.py --again            # the same moments, measured as the doctor measures now
    python benchmarks/illness.py --treat reported   # the runs of a half that were recorded, with a treatment
    python benchmarks/illness.py --show ring mlp d-seldom 10

A run is a plain loop on a ring of 8 Gaussians, a grid of 25, Fashion-MNIST or emoji at 16x16, with perceptrons, DCGAN
or WGAN-GP. It is well as it stands (`base`), in four variants (`WELL`), four seeds each; or it is ill by one of the
ways of `FAULTS`, two seeds each. Every run has one thread. Its looks, what the doctor saw (features, outputs of D) and
what is true at every fourth look go to files; `illness_report.py` makes weights and figures of them.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common import WORK, FashionMnist, say
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import loss_named
from gansmith.losses.penalties import gradient_penalty, r1
from gansmith.metrics.frechet import frechet_distance
from gansmith.nets import dcgan
from gansmith.nets.augment import diff_augment
from gansmith.watch.course import FIRST_WORD, Course
from gansmith.watch.doctor import Doctor, weights
from gansmith.watch.illnesses import FINITE, ILLNESSES, MEND, Cure
from gansmith.watch.look import KNOWN, Gauge, Outputs, Seen, evenly
from gansmith.watch.sick_data import CHECKED, faults
from gansmith.watch.signals import bins, squared
from gansmith.watch.treatment import Act, Choice, is_sound, judged, must_act, next_cure
from gansmith.watch.verdicts import Verdict, lasting, probability, sick

Record = dict[str, Any]
SIDE = 16
FOLDER = WORK / "illness"


@dataclass(frozen=True)
class Setup:
    """A run.

    Attributes:
        data: ring, grid, fashion, emoji.
        players: mlp, dcgan, wgan-gp.
        fault: what is done to it, `none` where nothing is; `strength`: how much of it.
        loss, lr_g, lr_d, beta1, beta2, k, r1, batch, steps, width: of the loop.
        g_width: of G; 0 is as wide as D. deaf: whether G is given zeros.
        few: real samples that are trained on; 0 where all are.
        head_start: the part of the run in which D alone learns.
        broken_at, shuffled_at: the part of the run after which a batch is NaN, or labels are drawn by lot.
        scale, offset: of the data. copies: part of them that are copies of 16; `drop` of duplicates leaves them out.
    """

    data: str
    players: str
    fault: str = "none"
    strength: float = 1.0
    loss: str = "nonsaturating"
    lr_g: float = 1e-3
    lr_d: float = 1e-3
    beta1: float = 0.5
    beta2: float = 0.99
    k: int = 1
    d_every: int = 1
    r1: float = 0.0
    gp: float = 0.0
    batch: int = 128
    steps: int = 3000
    width: int = 128
    latent: int = 8
    g_width: int = 0
    deaf: bool = False
    few: int = 0
    noise: float = 0.0
    augment: str = "none"
    clip: float = 0.0
    finite_only: bool = False
    head_start: float = 0.0
    broken_at: float = 0.0
    shuffled_at: float = 0.0
    scale: float = 1.0
    offset: float = 0.0
    copies: float = 0.0
    duplicates: str = "keep"

    @property
    def name(self) -> str:
        return f"{self.data}-{self.players}-{self.fault}-{self.strength:g}-{self.loss}-{self.lr_g:g}-{self.r1:g}"


def base(data: str, players: str) -> Setup:
    """A run that is well."""
    well = {
        "ring-mlp": Setup("ring", "mlp", steps=2400, r1=0.1),
        "ring-wgan-gp": Setup("ring", "wgan-gp", steps=1800, k=2, gp=1.0, lr_d=2e-3, **OF_WGAN),
        "grid-mlp": Setup("grid", "mlp", steps=3000, r1=0.01, latent=4, lr_g=3e-3, lr_d=3e-3),
        "grid-wgan-gp": Setup("grid", "wgan-gp", steps=1600, k=3, gp=0.1, lr_d=3e-3, **OF_WGAN),
    }
    of_images = {"batch": 32, "width": 24, "latent": 32, "lr_g": 4e-3, "lr_d": 1e-3}
    of_critics = {"batch": 32, "width": 24, "latent": 32, "lr_g": 1e-3, "lr_d": 2e-3, "k": 2, "gp": 10.0}
    for kind in ("fashion", "emoji"):
        well[f"{kind}-dcgan"] = Setup(kind, "dcgan", steps=1000, loss="least-squares", **of_images)
        well[f"{kind}-wgan-gp"] = Setup(kind, "wgan-gp", steps=700, **of_critics, **OF_WGAN | {"beta1": 0.0})
    return well[f"{data}-{players}"]


OF_WGAN: Record = {"loss": "wasserstein", "beta1": 0.5, "beta2": 0.9}
FAULTS: dict[str, Callable[[Setup, float], Setup]] = {
    "saturating": lambda s, x: replace(s, loss="minimax", k=3, lr_d=3 * x * s.lr_d, r1=0.0, gp=0.0),
    "d-fast": lambda s, x: replace(s, lr_d=50 * x * s.lr_d),
    "d-slow": lambda s, x: replace(s, lr_d=s.lr_d / 50 / x),
    "d-seldom": lambda s, x: replace(s, d_every=int(x)),
    "bottleneck": lambda s, x: replace(s, g_width=int(x)),
    "deaf": lambda s, x: replace(s, deaf=True),
    "swinging": lambda s, x: replace(s, beta1=0.9, lr_g=3 * s.lr_g, lr_d=3 * s.lr_d, r1=0.0, gp=s.gp * 0.01),
    "unpenalised": lambda s, x: replace(s, r1=0.0, gp=0.0, lr_d=3 * s.lr_d),
    "few": lambda s, x: replace(s, few=int(64 * x)),
    "nan": lambda s, x: replace(s, broken_at=x),
    "head-start": lambda s, x: replace(s, loss="minimax", head_start=x, lr_d=3 * s.lr_d, r1=0.0, gp=0.0),
    "raw": lambda s, x: replace(s, scale=127.5, offset=127.5),
    "shuffled": lambda s, x: replace(s, shuffled_at=x),
    "g-slow": lambda s, x: replace(s, lr_g=s.lr_g / 100 / x),
    "exploding": lambda s, x: replace(s, lr_g=100 * x * s.lr_g, lr_d=100 * x * s.lr_d),
    "duplicates": lambda s, x: replace(s, copies=x),
}
"""Ways to make a run ill, and how much of each (see `STRENGTHS`)."""


# ---- data and nets


@dataclass(frozen=True)
class Data:
    """Samples to train on and held out, float; and what a judge that the doctor does not know makes of samples.

    Attributes:
        view: samples -> rows in which distances mean something to the judge: the points themselves, or what
            `fashion-cnn`, which was trained to tell garments apart, sees of images.
        modes: rows -> numbers of their modes, and whether they are good ones.
        count: of modes.
    """

    train: Tensor
    held: Tensor
    view: Callable[[Tensor], Tensor]
    modes: Callable[[Tensor], tuple[Tensor, Tensor]]
    count: int


def mixture(kind: str) -> tuple[Tensor, float]:
    if kind == "ring":
        angles = torch.arange(8) * (2 * math.pi / 8)
        return torch.stack([angles.cos(), angles.sin()], 1), 0.02
    side = torch.arange(-2.0, 3.0) / 2
    return torch.cartesian_prod(side, side), 0.025


@cache
def points(kind: str) -> Data:
    means, deviation = mixture(kind)
    generator = torch.Generator().manual_seed(0)
    which = torch.randint(len(means), (24_000,), generator=generator)
    drawn = means[which] + deviation * torch.randn(len(which), 2, generator=generator)

    def modes(rows: Tensor) -> tuple[Tensor, Tensor]:
        distance, nearest = torch.cdist(rows, means).min(1)
        return nearest, distance <= 4 * deviation

    return Data(drawn[:20_000], drawn[20_000:], lambda samples: samples, modes, len(means))


@cache
def fashion() -> FashionMnist:
    return FashionMnist()


def as_uint8(images: Tensor) -> np.ndarray:
    pixels = images.float().nan_to_num(0).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).numpy()


@cache
def images(kind: str) -> Data:
    from gansmith.core.config import DataConfig
    from gansmith.data import open_data

    dataset = open_data(DataConfig(source="fashion-mnist" if kind == "fashion" else "builtin:emoji", resolution=SIDE))
    train, held = (
        torch.from_numpy(
            np.array(part.images[:20_000])[np.random.default_rng(0).permutation(len(part.images[:20_000]))]
        )
        .permute(0, 3, 1, 2)
        .float()
        / 127.5
        - 1
        for part in (dataset.train, dataset.heldout)
    )
    net = fashion()

    def view(samples: Tensor) -> Tensor:
        larger = F.interpolate(samples, scale_factor=32 / SIDE, mode="bilinear", align_corners=False)
        return torch.from_numpy(net.features(as_uint8(larger[:, :, 2:-2, 2:-2] if kind == "fashion" else larger)))

    centres = None if kind == "fashion" else bins(view(train[:2000]), 10)

    def modes(rows: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.from_numpy(net.classes(rows.numpy())) if centres is None else squared(rows, centres).argmin(1)
        return found, torch.ones(len(rows), dtype=torch.bool)

    return Data(train, held, view, modes, 10 if centres is None else len(centres))


def data_named(kind: str) -> Data:
    return points(kind) if kind in ("ring", "grid") else images(kind)


@cache
def real_view(kind: str) -> Tensor:
    """What the judge sees of 2,000 real samples."""
    data = data_named(kind)
    return data.view(data.train[:2000])


def perceptron(inputs: int, outputs: int, width: int, slope: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in in (inputs, width, width):
        layers += [nn.Linear(fan_in, width), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def nets(setup: Setup, data: Data) -> tuple[nn.Module, nn.Module]:
    width = setup.g_width or setup.width
    if data.train.ndim == 2:
        g = perceptron(setup.latent, 2, width, 0.0)
        return g, nn.Sequential(perceptron(2, 1, setup.width, 0.2), nn.Flatten(0))
    channels, side = data.train.shape[1], data.train.shape[2]
    spec = Spec(side, channels, side, side)
    norm = "batch" if setup.players == "dcgan" else "layer"
    return dcgan.Generator(spec, setup.latent, width), dcgan.Discriminator(spec, setup.width, norm)


# ---- a run


AFTER = 8
"""Looks that a run goes on after something was not finite: nothing will change any more."""


class Recorder(Doctor):
    """Keeps what a doctor sees, beside what is true.

    Attributes:
        kept: moments, with features in the place of samples.
        truths: what is true at every fourth of them and at the end.
    """

    def __init__(self, *args: Any, truth: Callable[[], Record]):
        super().__init__(*args)
        self.truth = truth
        self.kept: list[Seen] = []
        self.truths: list[Record] = []

    def look(self, seen: Seen) -> None:
        self.kept.append(self.gauge.reduced(seen))
        super().look(self.kept[-1])
        if len(self.kept) % 4 == 0:
            self.tell()

    def tell(self) -> None:
        self.truths.append({"step": self.count, "images": self.images} | self.truth())

    def raw(self) -> dict[str, np.ndarray]:
        """Everything that was seen, by look and name."""
        found: dict[str, np.ndarray] = {}
        for i, seen in enumerate(self.kept):
            features = {"fakes": seen.fakes, "fixed": seen.fixed}
            outputs = seen.judges[0]._asdict() if seen.judges else {}
            found |= {f"{i}/{name}": rows.half().numpy() for name, rows in features.items() if rows is not None}
            found |= {f"{i}/{name}": rows.float().numpy() for name, rows in outputs.items() if rows is not None}
        return found


@dataclass
class Played:
    """A setup being played: what a step and a judge need."""

    setup: Setup
    data: Data
    train: Tensor
    held: Tensor
    g: nn.Module
    d: nn.Module

    @classmethod
    def of(cls, setup: Setup, seed: int) -> Played:
        torch.manual_seed(seed)
        data = data_named(setup.data)
        train = data.train[torch.randperm(len(data.train))[: setup.few]] if setup.few else data.train
        held = data.held
        if setup.copies:
            are = (torch.rand(len(train)) < setup.copies).nonzero()[:, 0]
            train = train.index_copy(0, are, train[torch.randint(16, (len(are),))])
        if setup.duplicates == "drop":
            train = torch.unique(train, dim=0)
        train, held = train * setup.scale + setup.offset, held * setup.scale + setup.offset
        return cls(setup, data, train, held, *nets(setup, data))

    def latents(self, n: int) -> Tensor:
        z = torch.randn(n, self.setup.latent)
        return z * 0 if self.setup.deaf else z

    def unscaled(self, samples: Tensor) -> Tensor:
        """As the judge knows samples."""
        return ((samples - self.setup.offset) / self.setup.scale).nan_to_num(0, 0, 0).clamp(-100, 100)

    @cached_property
    def views(self) -> tuple[Tensor, Tensor]:
        """What the judge sees of real samples, trained on and held out."""
        n = 2000 if self.train.ndim == 2 else 500
        known, held = (self.data.view(self.unscaled(part[-n:])) for part in (self.train, self.held))
        return known, held

    def truth(self) -> Record:
        """What is true, without a trace in the run."""
        modes = self.g.training, self.d.training
        with torch.random.fork_rng():
            torch.manual_seed(1)
            found = told(self)
        self.g.train(modes[0]), self.d.train(modes[1])
        return found


class Loop:
    """A plain GAN loop with a doctor in it, which may be told to go on otherwise.

    Attributes:
        setup: how it goes on; treatment changes it.
        number: steps so far.
    """

    def __init__(self, setup: Setup, seed: int):
        self.setup, self.number = setup, 0
        self.run = Played.of(setup, seed)
        self.g, self.d = self.run.g, self.run.d
        self.by_g, self.by_d = (
            torch.optim.Adam(net.parameters(), lr, (setup.beta1, setup.beta2))
            for net, lr in ((self.g, setup.lr_g), (self.d, setup.lr_d))
        )
        self.doctor = Recorder(self.run.train, self.g, self.d, self.run.held, truth=self.run.truth)

    @property
    def is_over(self) -> bool:
        looks = self.doctor.looks
        return self.number >= self.setup.steps or (len(looks) > AFTER and not looks[-AFTER]["finite"])

    def seen(self, x: Tensor) -> Tensor:
        """What D sees of samples."""
        x = x + self.setup.noise * torch.randn_like(x) if self.setup.noise else x
        return diff_augment(x) if self.setup.augment == "diffaugment" else x

    def step(self) -> None:
        setup, g, d, train, run = self.setup, self.g, self.d, self.run.train, self.run
        loss = loss_named(setup.loss)
        for optim, lr in ((self.by_g, setup.lr_g), (self.by_d, setup.lr_d)):
            optim.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * self.number / setup.steps)) / 2
            optim.param_groups[0]["betas"] = (setup.beta1, setup.beta2)
        for _ in range(setup.k if self.number % setup.d_every == 0 else 0):
            x = train[torch.randint(len(train), (setup.batch,))]
            if setup.broken_at and self.number == int(setup.broken_at * setup.steps):
                x = train[torch.randint(len(train), (setup.batch,))] if setup.finite_only else x * float("nan")
            with torch.no_grad():
                fake = g(run.latents(setup.batch))
            if setup.shuffled_at and self.number > setup.shuffled_at * setup.steps:
                swapped = (torch.rand(setup.batch) < 0.5).view(-1, *[1] * (x.ndim - 1))
                x, fake = torch.where(swapped, fake, x), torch.where(swapped, x, fake)
            self.x = x
            self.real_logits, self.fake_logits = d(self.seen(x)), d(self.seen(fake))
            d_loss = loss.d(self.real_logits, self.fake_logits)
            if setup.r1:
                d_loss = d_loss + setup.r1 * r1(d, x, fake)
            if setup.gp:
                d_loss = d_loss + setup.gp * gradient_penalty(d, x, fake)
            self.d_loss = d_loss
            self.moved(self.by_d, d_loss)
        fake = g(run.latents(setup.batch))
        g_loss = loss.g(d(self.seen(fake)), d(self.seen(self.x)).detach() if loss.paired else None)
        self.moved(self.by_g, g_loss, self.number >= setup.head_start * setup.steps)
        self.number += 1
        self.doctor.step(self.real_logits, self.fake_logits, self.d_loss, g_loss, fake)

    def moved(self, optim: torch.optim.Optimizer, loss: Tensor, moves: bool = True) -> None:
        optim.zero_grad()
        loss.backward()
        if self.setup.clip:
            nn.utils.clip_grad_norm_(optim.param_groups[0]["params"], self.setup.clip)
        if moves:
            optim.step()


def play(setup: Setup, seed: int) -> Recorder:
    """Trains, looks, and tells what is true."""
    loop = Loop(setup, seed)
    while not loop.is_over:
        loop.step()
    loop.doctor.tell()
    return loop.doctor


# ---- treatment

KNOBS = {
    "optim.g.lr": "lr_g",
    "optim.d.lr": "lr_d",
    "optim.g.beta1": "beta1",
    "optim.d.beta1": "beta1",
    "optim.g.clip": "clip",
    "optim.d.clip": "clip",
    "penalty.r1.weight": "r1",
    "loss": "loss",
    "n_generator": "d_every",
    "n_critic": "k",
    "instance_noise": "noise",
    "augment": "augment",
    "data.duplicates": "duplicates",
    "d_width": "width",
}
"""Settings of gansmith, and what they are called here."""


def knobs(setup: Setup, broken: str, cure: Cure) -> dict[str, Any]:
    """What a cure would set here, where something was not finite or nothing was."""
    if cure.words == FINITE.words and broken and not setup.finite_only:
        return {"finite_only": True}
    if cure.words == MEND.words and setup.scale > 10:
        return {"scale": 1.0, "offset": 0.0}
    known = {name: getattr(setup, knob) for name, knob in KNOBS.items()} | {"g_width": setup.g_width or setup.width}
    asked = cure.settings(known.get)
    if "augment" in asked and (setup.data in ("ring", "grid") or asked["augment"] != "diffaugment"):
        return {}
    return {KNOBS.get(name, name): value for name, value in asked.items()}


KEPT = ("looks", "count", "images", "last", "truths")
"""Of a doctor, what belongs to a moment."""


@dataclass
class Moment:
    """A state to come back to."""

    number: int
    setup: Setup
    nets: tuple[Record, Record]
    optims: tuple[Record, Record]
    random: Tensor
    doctor: Record

    @classmethod
    def of(cls, loop: Loop) -> Moment:
        doctor = {name: copy.copy(getattr(loop.doctor, name)) for name in KEPT}
        return cls(
            loop.number,
            loop.setup,
            (copy.deepcopy(loop.g.state_dict()), copy.deepcopy(loop.d.state_dict())),
            (copy.deepcopy(loop.by_g.state_dict()), copy.deepcopy(loop.by_d.state_dict())),
            torch.get_rng_state(),
            doctor | {"paths": list(loop.doctor.gauge.paths)},
        )

    def back(self, loop: Loop) -> None:
        loop.number = self.number
        for net, state in zip((loop.g, loop.d), self.nets, strict=True):
            net.load_state_dict(state)
        for optim, state in zip((loop.by_g, loop.by_d), self.optims, strict=True):
            optim.load_state_dict(copy.deepcopy(state))
        torch.set_rng_state(self.random)
        for name in KEPT:
            setattr(loop.doctor, name, copy.copy(self.doctor[name]))
        loop.doctor.gauge.paths = list(self.doctor["paths"])
        loop.doctor.broken = ""
        loop.doctor.first.clear()
        loop.doctor.before.clear()


def mended(setup: Setup, found: Sequence[Verdict]) -> tuple[Setup, list[Act]]:
    """With what makes the data well, before anything is trained."""
    acts = []
    for verdict, cure in ((one, cure) for one in found for cure in one.cures):
        if asked := knobs(setup, "", cure):
            act = Act.of(Choice(verdict, cure, asked), partial(getattr, setup), 0, 0)
            setup, acts = replace(setup, **asked), [*acts, replace(act, helped=True)]
    return setup, acts


def treated(setup: Setup, seed: int) -> Record:
    """Trains with a treatment, as `gansmith train --on-illness treat` does: what was done, and what is true."""
    train = Loop(setup, seed).run.train
    firm, acts = mended(setup, sick(faults(evenly(train, CHECKED), len(train))))
    loop = Loop(firm, seed)
    well, was_well, gave_up, done = Moment.of(loop), False, False, False
    while not (gave_up or done):
        doctor = loop.doctor
        before = len(doctor.looks)
        loop.step()
        if len(doctor.looks) == before and not loop.is_over:
            continue
        found = [one for one in doctor.verdicts() if one not in doctor.data]
        if not found and is_sound(doctor.looks):
            well, was_well = Moment.of(loop), True
        since, progress = max((act.back for act in acts), default=0), loop.number / loop.setup.steps
        tried = judged(acts, well.doctor["images"])
        on_trial = any(act.helped is False for act in tried[-1:])
        if not (doctor.broken or must_act(doctor.looks, found, since, progress, on_trial)):
            done = loop.is_over
            continue
        firm, acts = well.setup, tried
        found = found if doctor.broken else lasting(found, doctor.images) or found
        choice = next_cure(found, acts, partial(knobs, firm, doctor.broken))
        if choice is None:
            gave_up = True
            if was_well:
                well.back(loop)
            continue
        images, anew = doctor.images, "g_width" in choice.settings
        if anew:
            loop = Loop(replace(firm, **choice.settings), seed)
            well, was_well = Moment.of(loop), False
        well.back(loop)
        acts.append(Act.of(choice, partial(getattr, firm), images, loop.doctor.images))
        loop.setup = replace(firm, **choice.settings)
    loop.doctor.tell()
    return {
        "setup": asdict(loop.setup),
        "seed": seed,
        "acts": [act.to_json() for act in acts],
        "truths": loop.doctor.truths,
        "gave_up": gave_up,
    }


def told(run: Played) -> Record:
    """What is true at a moment, by measures that the doctor does not use, on other samples than it sees."""
    setup, data, g, d = run.setup, run.data, run.g, run.d
    n = 2000 if data.train.ndim == 2 else 500
    loss = loss_named(setup.loss)
    seen, unseen = run.train[-n:], run.held[-n:]
    with torch.no_grad():
        fakes = torch.cat([g(run.latents(100)) for _ in range(n // 100)])
        said = {
            name: torch.cat([d(x) for x in rows.split(100)]).nan_to_num()
            for name, rows in (("fake", fakes), ("train", seen), ("held", unseen))
        }
    rows = data.view(run.unscaled(fakes))
    which, good = data.modes(rows)
    known, held = run.views
    x = g(run.latents(100)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss.g(d(x), d(seen[:100]).detach() if loss.paired else None), x)
    few = min(len(seen), len(unseen))
    nearer = torch.cdist(rows, known[:few]).min(1).values < torch.cdist(rows, held[:few]).min(1).values
    return {
        "shares": [round(v, 4) for v in shares_of(which, data.count)],
        "good": [round(v, 4) for v in shares_of(which[good], data.count)],
        "quality": good.float().mean().item(),
        "frechet": frechet_distance(real_view(setup.data).numpy(), rows.numpy()),
        "variance": (rows.var(0).sum() / real_view(setup.data).var(0).sum()).item(),
        "slope": (slope.flatten(1).norm(dim=1).nan_to_num().mean() * 100).item(),
        "accuracy": best_accuracy(said["held"], said["fake"]),
        "train_above_held": (said["train"][:, None] > said["held"][None]).float().mean().item(),
        "nearer_to_train": nearer.float().mean().item(),
        "nearest": (torch.cdist(rows, known).min(1).values.median() / beside(known).median()).item(),
        "finite": all(bool(torch.isfinite(p).all()) for net in (g, d) for p in net.parameters()),
        "weights": sum(p.detach().square().sum().item() for net in (g, d) for p in net.parameters()) ** 0.5,
        "extent": run.unscaled(fakes).abs().max().item(),
    }


def best_accuracy(high: Tensor, low: Tensor) -> float:
    """Of telling one from the other by the best threshold."""
    values = torch.cat([high, low])
    order = values.argsort()
    is_high = torch.cat([torch.ones(len(high)), torch.zeros(len(low))])[order]
    right = torch.cat([torch.zeros(1), (1 - is_high).cumsum(0) / len(low) - is_high.cumsum(0) / len(high)])
    return ((1 + right.max()) / 2).item()


def beside(rows: Tensor) -> Tensor:
    """Each row's distance to the nearest other (N,)."""
    distances = torch.cdist(rows, rows)
    return distances.fill_diagonal_(float("inf")).min(1).values


def shares_of(which: Tensor, count: int) -> list[float]:
    return (torch.bincount(which, minlength=count).float() / max(1, len(which))).tolist()


# ---- all of them

BASES = [(data, players) for data in ("ring", "grid") for players in ("mlp", "wgan-gp")]
BASES += [(data, players) for data in ("fashion", "emoji") for players in ("dcgan", "wgan-gp")]
STRENGTHS: dict[str, tuple[float, ...]] = {
    "saturating": (1, 3),
    "d-fast": (1, 0.3),
    "d-slow": (1, 4),
    "d-seldom": (10, 50),
    "bottleneck": (1,),
    "few": (1, 0.25),
    "nan": (0.3, 0.7),
    "head-start": (0.1, 0.3),
    "shuffled": (0.5,),
    "duplicates": (0.8,),
}
WELL: dict[str, Callable[[Setup], Setup]] = {
    "none": lambda s: s,
    "slower": lambda s: replace(s, lr_g=s.lr_g * 0.7, lr_d=s.lr_d * 0.7),
    "larger": lambda s: replace(s, batch=3 * s.batch // 2, steps=s.steps * 4 // 5),
    "wider": lambda s: replace(s, width=s.width * 4 // 3),
}


def setups() -> list[Setup]:
    found = []
    for data, players in BASES:
        well = base(data, players)
        found += [replace(change(well), fault=f"well-{name}") for name, change in WELL.items()]
        for fault, change in FAULTS.items():
            if fault == "few" and data in ("ring", "grid"):
                continue  # of a few points on a line there is nothing to remember
            for strength in STRENGTHS.get(fault, (1,)):
                found.append(replace(change(well, strength), fault=fault, strength=strength))
    return found


WAYS = list(dict.fromkeys((setup.fault, setup.strength) for setup in reversed(setups())))


def is_reported(setup: Setup) -> bool:
    """Whether it is of the half that figures are reported of, not of that which weights are fitted to.

    The halves are those of a chessboard: of every fault, and of all data with the same players, half.
    """
    places = (("ring", "grid", "fashion", "emoji").index(setup.data), setup.players == "wgan-gp")
    return (sum(places) + WAYS.index((setup.fault, setup.strength))) % 2 == 1


def record(worker: int, workers: int) -> None:
    """Plays what has not been played; each run's looks and truths are a file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    runs = [(setup, seed) for seed in range(4) for setup in setups() if seed < 2 or setup.fault.startswith("well")]
    for number, (setup, seed) in enumerate(runs):
        file = FOLDER / f"{setup.data}-{setup.players}-{setup.fault}-{setup.strength:g}-{seed}.json"
        if number % workers != worker or file.exists():
            continue
        began = time.process_time()
        doctor = play(setup, seed)
        seconds = time.process_time() - began
        np.savez_compressed(file.with_suffix(".npz"), **doctor.raw())
        content = {
            "setup": asdict(setup),
            "seed": seed,
            "seconds": seconds,
            "looks": [as_json(look) for look in doctor.looks],
            "figures": [as_json(seen.figures) for seen in doctor.kept],
            "truths": doctor.truths,
            "faults": [verdict.evidence for verdict in doctor.data],
        }
        file.write_text(json.dumps(content))
        say(f"{number + 1} of {len(runs)}: {file.stem}, {seconds:.0f} s")


# ---- the same moments, measured again


def again(path: Path) -> None:
    """Measures a recorded run's moments as the doctor measures now."""
    record = json.loads(path.read_text())
    setup = Setup(**record["setup"])
    run = Played.of(setup, record["seed"])
    gauge, raw = Gauge(run.train, run.held), np.load(path.with_suffix(".npz"))
    born = {name: weights(net).norm().item() for name, net in (("g", run.g), ("d", run.d))}
    looks = []
    for i, (was, figures) in enumerate(zip(record["looks"], record["figures"], strict=True)):
        rows = {
            name: torch.from_numpy(raw[f"{i}/{name}"]).float() if f"{i}/{name}" in raw else None
            for name in ("fakes", "fixed", "known", "held", "fake")
        }
        known = {name: value for name, value in figures.items() if value is not None}
        known |= {
            f"{name}_growth": known[f"{name}_weights"] / born[name] for name in born if f"{name}_weights" in known
        }
        judges = () if rows["known"] is None else (Outputs(rows["known"], rows["held"], rows["fake"]),)
        seen = Seen(was["step"], was["images"], rows["fakes"], rows["fixed"], judges, known, features=True)
        looks.append(as_json(gauge.look(seen)))
    path.write_text(
        json.dumps(record | {"looks": looks, "faults": [one.what for one in faults(evenly(run.train, 4 * KNOWN))]})
    )


def as_json(look: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in look.items()}


NEVER_NEAR = 0.4
"""A probability below which a look, made again, will not come near `LIKELY`."""


def treat(half: str, worker: int, workers: int) -> None:
    """Plays a half's recorded runs again, each with a treatment."""
    folder = FOLDER / "treated"
    folder.mkdir(exist_ok=True)
    paths = [path for path in sorted(FOLDER.glob("*.json"), key=by_seed) if is_of(half, path)]
    for path in paths[worker::workers]:
        if (folder / path.name).exists():
            continue
        was, began = json.loads(path.read_text()), time.process_time()
        found = was | {"acts": [], "gave_up": False} if was_quiet(was) else treated(Setup(**was["setup"]), was["seed"])
        kept = {name: found[name] for name in ("setup", "seed", "acts", "truths", "gave_up")}
        (folder / path.name).write_text(json.dumps(kept | {"seconds": time.process_time() - began}))
        say(f"{path.stem}: {'; '.join(act['cure'] for act in found['acts']) or 'nothing to do'}")


def by_seed(path: Path) -> tuple[str, str]:
    return path.stem[-1], path.stem


def is_of(half: str, path: Path) -> bool:
    return is_reported(Setup(**json.loads(path.read_text())["setup"])) == (half == "reported")


def was_quiet(record: Record) -> bool:
    """Whether nothing was wrong with the data, and the doctor never came near a verdict: with a treatment the run would
    be the same."""
    if record["faults"] or record["setup"]["few"]:
        return False
    looks = [{name: value for name, value in look.items() if value is not None} for look in record["looks"]]
    courses = [Course(looks[:count]) for count in range(FIRST_WORD, len(looks) + 1)]
    return all(look.get("finite", 1.0) for look in looks) and all(
        (probability(illness, course) or 0.0) < NEVER_NEAR for course in courses for illness in ILLNESSES.values()
    )


def show(setup: Setup) -> None:
    """Plays one, and prints what is seen beside what is true, at five moments."""
    doctor = play(setup, 0)
    for truth in [doctor.truths[len(doctor.truths) * i // 5] for i in (1, 2, 3, 4)] + doctor.truths[-1:]:
        look = [one for one in doctor.looks if one["step"] <= truth["step"]][-1]
        print({name: round(value, 3) for name, value in look.items()})
        print("   ", {name: value for name, value in truth.items() if name != "shares"})
    print(doctor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="every N-th, from I on")
    parser.add_argument("--again", action="store_true", help="measure what was recorded as the doctor measures now")
    parser.add_argument("--treat", choices=("fitted", "reported"), help="play a half again, with a treatment")
    parser.add_argument("--show", nargs="+", metavar="DATA PLAYERS [FAULT [STRENGTH]]", help="play one, and print it")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.show:
        data, players, fault, strength = [*asked.show, *("none", "1")[len(asked.show) - 2 :]]
        well = base(data, players)
        show(well if fault == "none" else FAULTS[fault](well, float(strength)))
    elif asked.again:
        for path in sorted(FOLDER.glob("*.json"))[asked.worker[0] :: asked.worker[1]]:
            again(path)
    elif asked.treat:
        treat(asked.treat, *asked.worker)
    else:
        record(*asked.worker)


if __name__ == "__main__":
    main()

"""What is true of the runs of `illness.py`, the doctor's weights fitted to one half of them, and figures of the other.

python benchmarks/illness_report.py --fit       # writes src/gansmith/watch/weights.json
python benchmarks/illness_report.py             # figures, to results/illness.json
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from common import RESULTS, WORK, about, keep_by_hand, markdown, when
from gansmith.watch.course import FIRST_WORD, Course
from gansmith.watch.illnesses import ILLNESSES, Cure
from gansmith.watch.verdicts import LIKELY, probability, signs_of
from illness import Setup, data_named, is_reported, real_view

Record = dict[str, Any]
FOLDER = WORK / "illness"
WEIGHTS = Path(__file__).parent.parent / "src/gansmith/watch/weights.json"
NAMES = (*ILLNESSES, "sick_data")
EARLY = 0.4
"""Part of a run in which every game is far from any goal, and none is called ill."""
CLEAR = 1.5
"""What is true of a run, by what counts as an illness, from which it has it clearly."""
GOOD = 0.6
"""What a measure may come to in a run that has not the illness; from 1 on, a run has it; between is neither."""


@dataclass(frozen=True)
class Twin:
    """What runs that nothing was done to come to, of the same data and players: medians of the last quarter."""

    figures: dict[str, float]
    swing: float
    missing: float

    @classmethod
    def of(cls, runs: list[Past]) -> Twin:
        names = ("frechet", "variance", "quality", "weights")
        return cls(
            {name: median(run.last(name) for run in runs) for name in names},
            median(run.swing for run in runs),
            median(missing(run, truth) for run in runs for truth in run.quarter),
        )


@dataclass(frozen=True)
class Past:
    """A run that was recorded."""

    path: Path
    record: Record

    @property
    def base(self) -> str:
        return "-".join(self.record["setup"][part] for part in ("data", "players"))

    @property
    def fault(self) -> str:
        return str(self.record["setup"]["fault"])

    @property
    def is_reported(self) -> bool:
        """Whether it is of the half that figures are reported of."""
        return is_reported(Setup(**self.record["setup"]))

    @cached_property
    def truths(self) -> list[Record]:
        return list(self.record["truths"])

    @cached_property
    def quarter(self) -> list[Record]:
        last = self.truths[-1]["step"]
        return [truth for truth in self.truths if truth["step"] > 0.75 * last] or self.truths[-1:]

    def last(self, name: str) -> float:
        return median(float(np.nan_to_num(truth[name], nan=1e9, posinf=1e9)) for truth in self.quarter)

    @cached_property
    def is_of_points(self) -> bool:
        return self.record["setup"]["data"] in ("ring", "grid")

    @cached_property
    def swing(self) -> float:
        """By how much the shares of modes change from one truth to the next, in the last half: total variation."""
        half = [truth["shares"] for truth in self.truths[len(self.truths) // 2 :]]
        moved = [0.5 * np.abs(np.subtract(a, b)).sum() for a, b in pairwise(half)]
        return float(np.mean(moved)) if moved else 0.0


@cache
def dues(kind: str) -> np.ndarray:
    """The modes' shares among real samples, by the same judge."""
    which, _ = data_named(kind).modes(real_view(kind))
    return np.bincount(which.numpy(), minlength=data_named(kind).count) / len(which)


def missing(run: Past, truth: Record) -> float:
    """Share of the reals in modes that have less than a fifth of their due."""
    due = dues(run.record["setup"]["data"])
    return float(due[np.array(truth["shares"]) < 0.2 * due].sum())


def bad(run: Past, twin: Twin, truth: Record) -> float:
    """How far the samples are from the reals: 1 is much farther than the twin's."""
    if run.is_of_points:
        return truth["frechet"] / 0.06
    return math.log(max(truth["frechet"], 1e-9) / twin.figures["frechet"]) / math.log(2.5)


def blurred(run: Past, twin: Twin, truth: Record) -> float:
    """How few of points are near a mode: 1 is much fewer than the twin's."""
    return (twin.figures["quality"] - truth["quality"]) / (0.7 * twin.figures["quality"]) if run.is_of_points else 0.0


def is_broken(truth: Record) -> bool:
    return not truth["finite"] or not math.isfinite(truth["weights"])


def measures(run: Past, twin: Twin, i: int) -> dict[str, float]:
    """What is true at a moment, by illness: from 1 on it has it."""
    truth, before = run.truths[i], run.truths[: i + 1]
    worse = bad(run, twin, truth)
    peak = max(t["slope"] for t in before)
    past = [t["frechet"] for t in run.truths[: i + 1] if 0.4 * truth["step"] <= t["step"] <= 0.75 * truth["step"]]
    progress = truth["frechet"] / median(past) if past else 0.0
    shares = [t["shares"] for t in run.truths[max(0, i - 4) : i + 1]]
    swing = float(np.mean([0.5 * np.abs(np.subtract(a, b)).sum() for a, b in pairwise(shares)] or [0]))
    grown = truth["weights"] / twin.figures["weights"]
    lacking = (missing(run, truth) - twin.missing) / 0.25
    narrow = (1 - truth["variance"] / twin.figures["variance"]) / 0.75
    remembered = min((truth["nearer_to_train"] - 0.5) / 0.18, 1.3 / max(truth["nearest"], 1e-9))
    return {
        "mode_collapse": max(lacking, narrow),
        "vanishing_gradients": min(math.log10((peak + 1e-30) / (truth["slope"] + 1e-30)) / 2, worse),
        "overpowering_discriminator": min((truth["accuracy"] - 0.5) / 0.45, worse),
        "weak_discriminator": min((1 - truth["accuracy"]) / 0.4, worse),
        "oscillation": (swing - twin.swing) / 0.25,
        "divergence": 2.0
        if is_broken(truth)
        else max(math.log10(grown), truth["extent"] / (8 if run.is_of_points else 1e9)),
        "discriminator_overfitting": (truth["train_above_held"] - 0.5) / 0.2,
        # Of a few points, all may be near one that was trained on by chance.
        "memorisation": remembered if max(lacking, narrow) < 1 else 0.8,
        "stalled": min(worse, progress / 0.8),
    }


@dataclass(frozen=True)
class Truth:
    """What is true of a run.

    Attributes:
        has: by illness; None is neither.
        onset: images from which it had an illness until its end, by illness.
        healthy: whether it has none at the end, had none in the last six tenths of it, and has good samples.
        passing: illnesses of a run that was well at the end, which it had for a while.
        worse: how bad the samples are at the end.
        levels: of each illness, at every truth.
    """

    has: dict[str, bool | None]
    onset: dict[str, int]
    healthy: bool
    passing: set[str]
    worse: float
    levels: dict[str, list[float]]

    def is_clear(self, name: str) -> bool:
        """Whether an illness that it has is far from the bound from which it counts as one."""
        return name not in self.levels or self.levels[name][-1] >= CLEAR

    def at(self, run: Past, name: str, images: float) -> float:
        """The level of an illness at a moment: of the truth that is nearest to it."""
        nearest = min(range(len(run.truths)), key=lambda i: abs(run.truths[i]["images"] - images))
        return self.levels[name][nearest] if name in self.levels else 0.0


def level(run: Past, series: list[dict[str, float]], name: str, i: int) -> float:
    """Of an illness up to a truth: the median of the last quarter of the steps until then."""
    now = run.truths[i]["step"]
    values = [one[name] for one, t in zip(series, run.truths, strict=True) if 0.75 * now < t["step"] <= now]
    return median(values or [series[i][name]])


def truth_of(run: Past, twin: Twin) -> Truth:
    series = [measures(run, twin, i) for i in range(len(run.truths))]
    has: dict[str, bool | None] = {}
    onset, levels = {}, {}
    broken = next((i for i, truth in enumerate(run.truths) if is_broken(truth)), len(series))
    for name in ILLNESSES:
        levels[name] = [level(run, series, name, i) for i in range(len(series))]
        if name == "divergence":
            levels[name] = [max(2.0 * (i >= broken), value) for i, value in enumerate(levels[name])]
        else:
            levels[name] = [0.8 if i >= broken else value for i, value in enumerate(levels[name])]
        now = levels[name][-1]
        has[name] = True if now >= 1 else False if now <= GOOD else None
        if has[name]:
            since = max((i + 1 for i, value in enumerate(levels[name]) if value < 1), default=0)
            onset[name] = run.truths[since]["images"]
    setup = run.record["setup"]
    if setup["copies"] and setup["duplicates"] == "keep":
        has["memorisation"] = None  # the judge compares with as many held-out samples, of which more differ
    if setup["data"] == "emoji" and setup["few"]:
        has["memorisation"] = None  # a net that knows garments cannot tell one drawing from the next
    has["sick_data"] = setup["scale"] > 10 or (setup["copies"] > 0 and setup["duplicates"] == "keep")
    if has["sick_data"]:
        onset["sick_data"] = 0
    worse = median(max(bad(run, twin, truth), blurred(run, twin, truth)) for truth in run.quarter)
    well = not any(value is not False for value in has.values()) and worse <= GOOD
    late = [i for i, truth in enumerate(run.truths) if truth["step"] > EARLY * run.truths[-1]["step"]]
    passing = {name for name in ILLNESSES if well and any(levels[name][i] >= 1 for i in late)}
    healthy = well and not passing
    return Truth(has, onset, healthy, passing, worse, levels)


def load() -> list[Past]:
    runs = [Past(path, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
    return [run for run in runs if "faults" in run.record]


def twins_of(runs: list[Past]) -> dict[str, Twin]:
    """Of every base, what its runs that nothing was done to came to."""
    bases = {run.base for run in runs}
    return {base: Twin.of([r for r in runs if r.base == base and r.fault == "well-none"]) for base in bases}


def truths_of(runs: list[Past]) -> dict[str, Truth]:
    twins = twins_of(runs)
    return {run.path.stem: truth_of(run, twins[run.base]) for run in runs}


# ---- weights


AGES = (0.15, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0)
"""Parts of a run after which it is judged, when weights are fitted."""


def looks_of(run: Past) -> list[dict[str, float]]:
    return [{name: value for name, value in look.items() if value is not None} for look in run.record["looks"]]


def examples(run: Past, truth: Truth, name: str) -> list[tuple[dict[str, float], bool]]:
    """Signs of an illness at some ages of a run, and whether it had it then."""
    looks, found = looks_of(run), []
    if name == "memorisation" and truth.has[name] is None:
        return []
    for age in AGES:
        count = max(FIRST_WORD, round(age * len(looks)))
        signs = signs_of(ILLNESSES[name], Course(looks[:count]))
        now = truth.at(run, name, looks[min(count, len(looks)) - 1]["images"])
        # What a healthy run goes through at first is no illness; of others it is known only where they ended.
        is_clear = truth.healthy or now <= GOOD or (now >= 1 and truth.has[name])
        if signs is not None and is_clear:
            found.append((signs, now >= 1 and not truth.healthy))
    return found


def fitted(rows: list[tuple[dict[str, float], bool]]) -> dict[str, float]:
    """Logistic regression with no weight below 0, and a little decay."""
    names = list(rows[0][0])
    x = torch.tensor([[signs[name] for name in names] for signs, _ in rows])
    y = torch.tensor([float(ill) for _, ill in rows])
    free, bias = torch.full((len(names),), 0.5, requires_grad=True), torch.tensor(-2.0, requires_grad=True)
    optim = torch.optim.LBFGS([free, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optim.zero_grad()
        weights = free.square()
        scores = x @ weights + bias
        total = binary_cross_entropy_with_logits(scores, y) + 1e-4 * weights.square().sum()
        total.backward()
        return total

    optim.step(loss)
    return {"bias": round(bias.item(), 4)} | {
        name: round(weight.item() ** 2, 4) for name, weight in zip(names, free, strict=True)
    }


def fit(runs: list[Past], found: dict[str, Truth]) -> dict[str, dict[str, float]]:
    weights = {}
    for name in ILLNESSES:
        rows = [one for run in runs if not run.is_reported for one in examples(run, found[run.path.stem], name)]
        if any(ill for _, ill in rows):
            weights[name] = fitted(rows)
    return weights


# ---- figures


@cache
def every_probability() -> dict[str, np.ndarray]:
    """Of every run, by look and illness (looks, illnesses); what was not finite is divergence, for certain."""
    found = {}
    for run in load():
        looks = looks_of(run)
        rows = np.zeros((len(looks), len(ILLNESSES)))
        for count in range(FIRST_WORD, len(looks) + 1):
            course = Course(looks[:count])
            rows[count - 1] = [probability(illness, course) or 0.0 for illness in ILLNESSES.values()]
        for i, look in enumerate(looks):
            if not look.get("finite", 1.0):
                rows[i:, list(ILLNESSES).index("divergence")] = 1.0
        found[run.path.stem] = rows
    return found


@dataclass(frozen=True)
class Told:
    """What the doctor said of a run.

    Attributes:
        first: images at the first look at which a verdict held that held at the look after, too, by illness.
        last: the verdicts at the end.
        false: illnesses that it was ever said to have when it did not.
    """

    first: dict[str, int]
    last: set[str]
    false: set[str]


def told_of(run: Past, truth: Truth) -> Told:
    rows = every_probability()[run.path.stem] >= LIKELY
    images = [int(look["images"]) for look in looks_of(run)]
    twice = rows[:-1] & rows[1:]
    first: dict[str, int] = {}
    false: set[str] = set()
    for name, column in zip(ILLNESSES, twice.T, strict=True):
        alarms = [images[i + 1] for i in np.flatnonzero(column)]
        first |= {name: alarms[0]} if alarms else {}
        false |= {name} if any(truth.at(run, name, moment) < GOOD for moment in alarms) else set()
    last = {name for name, says in zip(ILLNESSES, rows[-1], strict=True) if says}
    if run.record["faults"]:
        first["sick_data"], last = 0, last | {"sick_data"}
        false |= set() if truth.has["sick_data"] else {"sick_data"}
    return Told(first, last, false)


def share(right: int, of: int) -> Record:
    """A share with its 95 % interval (Wilson 1927)."""
    if not of:
        return {"right": right, "of": of}
    z, p = 1.96, right / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return {
        "right": right,
        "of": of,
        "share": round(p, 4),
        "low": round(max(0.0, low), 4),
        "high": round(min(1.0, high), 4),
    }


def figures(runs: list[Past], found: dict[str, Truth]) -> Record:
    """Of some runs."""
    told = {run.path.stem: told_of(run, found[run.path.stem]) for run in runs}
    well = [run for run in runs if found[run.path.stem].healthy]
    ill = [run for run in runs if any(found[run.path.stem].has.values())]
    clear = [run for run in ill if any(found[run.path.stem].is_clear(n) for n in NAMES if found[run.path.stem].has[n])]
    each = {}
    for name in NAMES:
        has = [run for run in runs if found[run.path.stem].has[name]]
        hasnot = [run for run in runs if found[run.path.stem].has[name] is False]
        delays = [
            told[run.path.stem].first[name] - found[run.path.stem].onset[name]
            for run in has
            if name in told[run.path.stem].first
        ]
        lengths = [run.record["looks"][-1]["images"] for run in has if name in told[run.path.stem].first]
        each[name] = {
            "recall": share(sum(name in told[run.path.stem].first for run in has), len(has)),
            "recall_clear": share(
                sum(name in told[run.path.stem].first for run in has if found[run.path.stem].is_clear(name)),
                sum(found[run.path.stem].is_clear(name) for run in has),
            ),
            "recall_at_end": share(sum(name in told[run.path.stem].last for run in has), len(has)),
            "false_alarms": share(sum(name in told[run.path.stem].false for run in well), len(well)),
            "alarms": share(sum(name in told[run.path.stem].first for run in well), len(well)),
            "false_alarms_at_end": share(sum(name in told[run.path.stem].last for run in well), len(well)),
            "said_of_other_runs": share(sum(name in told[run.path.stem].last for run in hasnot), len(hasnot)),
            "delay_images": round(median(delays)) if delays else None,
            "delay_share": round(median(d / n for d, n in zip(delays, lengths, strict=True)), 3) if delays else None,
        }
    return {
        "runs": len(runs),
        "healthy": len(well),
        "ill": len(ill),
        "ill_for_a_while": sum(bool(found[run.path.stem].passing) for run in runs),
        "neither": sum(
            not (truth.healthy or truth.passing or any(truth.has.values()))
            for truth in (found[r.path.stem] for r in runs)
        ),
        "found_ill": share(sum(bool(told[run.path.stem].first) for run in ill), len(ill)),
        "found_clear": share(sum(bool(told[run.path.stem].first) for run in clear), len(clear)),
        "found_ill_at_end": share(sum(bool(told[run.path.stem].last) for run in ill), len(ill)),
        "false_alarms": share(sum(bool(told[run.path.stem].false) for run in well), len(well)),
        "alarms": share(sum(bool(told[run.path.stem].first) for run in well), len(well)),
        "false_alarms_at_end": share(sum(bool(told[run.path.stem].last) for run in well), len(well)),
        "illnesses": each,
        "confusion": confusion(runs, found, told),
        "missed": {
            name: [
                run.path.stem
                for run in runs
                if found[run.path.stem].has[name] and name not in told[run.path.stem].first
            ]
            for name in NAMES
        },
        "alarmed": {run.path.stem: told[run.path.stem].first for run in well if told[run.path.stem].first},
    }


def confusion(runs: list[Past], found: dict[str, Truth], told: dict[str, Told]) -> dict[str, dict[str, int]]:
    """How many runs that have an illness (or none) were said, at the end, to have each (or none)."""
    table: dict[str, dict[str, int]] = {}
    for true in (*NAMES, "healthy"):
        rows = [r for r in runs if (found[r.path.stem].healthy if true == "healthy" else found[r.path.stem].has[true])]
        table[true] = {name: sum(name in told[run.path.stem].last for run in rows) for name in NAMES}
        table[true]["nothing"] = sum(not told[run.path.stem].last for run in rows)
    return table


def calibration(runs: list[Past], found: dict[str, Truth]) -> list[Record]:
    """Of the probabilities at the end of runs, over all illnesses: how often what was said to be so likely was so."""
    pairs = [
        (float(p), bool(found[run.path.stem].has[name]))
        for run in runs
        for name, p in zip(ILLNESSES, every_probability()[run.path.stem][-1], strict=True)
        if found[run.path.stem].has[name] is not None
    ]
    edges = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.001)
    table = []
    for low, high in pairwise(edges):
        inside = [(p, ill) for p, ill in pairs if low <= p < high]
        mean = sum(p for p, _ in inside) / len(inside) if inside else 0.0
        table.append(
            {"from": low, "to": min(high, 1.0), "mean": round(mean, 3)} | share(sum(i for _, i in inside), len(inside))
        )
    return table


def trivial(fitting: list[Past], reported: list[Past], found: dict[str, Truth]) -> Record:
    """ "D's loss is near zero": the threshold that best parts ill from healthy runs in one half, tried on the other."""

    def size(run: Past) -> float:
        losses = [abs(look["d_loss"]) for look in looks_of(run)[-8:] if "d_loss" in look]
        return median(losses) if losses else 0.0

    def shares(runs: list[Past], threshold: float) -> tuple[int, int, int, int]:
        ill = [size(run) < threshold for run in runs if any(found[run.path.stem].has.values())]
        well = [size(run) < threshold for run in runs if found[run.path.stem].healthy]
        return sum(ill), len(ill), sum(well), len(well)

    def worth(threshold: float) -> float:
        hits, ill, alarms, well = shares(fitting, threshold)
        return hits / ill - alarms / well

    best = max((size(run) + 1e-9 for run in fitting), key=worth)
    hits, ill, alarms, well = shares(reported, best)
    return {"threshold": round(best, 4), "found_ill": share(hits, ill), "false_alarms": share(alarms, well)}


# ---- treatment

BEYOND_SETTINGS = ("deaf", "few", "shuffled")
"""Faults that no setting undoes: of the loop's own code, or for want of data."""


@dataclass(frozen=True)
class Treated:
    """A run, and the same with a treatment.

    Attributes:
        before, after: what is true of either.
        acts: what was done, as JSON; the last one of a run that did not give up helped, if any did.
    """

    run: Past
    before: Truth
    after: Truth
    acts: list[Record]
    gave_up: bool

    @property
    def is_ill(self) -> bool:
        return any(self.before.has.values())

    @property
    def left(self) -> list[str]:
        """The illnesses that it has at its end."""
        return [name for name, has in self.after.has.items() if has]

    @property
    def recovered(self) -> bool:
        return not self.left

    @property
    def is_good(self) -> bool:
        """Whether nothing is even near to an illness, and its samples are good."""
        return not any(value is not False for value in self.after.has.values()) and self.after.worse <= GOOD

    @property
    def can_be_set_right(self) -> bool:
        return self.run.fault not in BEYOND_SETTINGS


def treated_runs(runs: list[Past], found: dict[str, Truth]) -> list[Treated]:
    """Those of the runs that were played again with a treatment."""
    twins = twins_of(load())
    again = []
    for run in runs:
        path = FOLDER / "treated" / run.path.name
        if path.exists():
            record = json.loads(path.read_text())
            after = truth_of(Past(path, record), twins[run.base])
            again.append(Treated(run, found[run.path.stem], after, record["acts"], record["gave_up"]))
    return again


def treatment(again: list[Treated]) -> Record:
    """What came of it."""
    ill, well = [one for one in again if one.is_ill], [one for one in again if one.before.healthy]
    right = [one for one in ill if one.can_be_set_right]
    worse = [one.after.worse - one.before.worse for one in well]
    return {
        "ill": len(ill),
        "recovered": share(sum(one.recovered for one in ill), len(ill)),
        "good": share(sum(one.is_good for one in ill), len(ill)),
        "recovered_of_what_settings_undo": share(sum(one.recovered for one in right), len(right)),
        "gave_up": share(sum(one.gave_up for one in ill), len(ill)),
        "by_fault": {
            fault: share(sum(one.recovered for one in ill if one.run.fault == fault), count)
            for fault, count in sorted(Counter(one.run.fault for one in ill).items())
        },
        "not_recovered": {
            one.run.path.stem: [name for name, has in one.after.has.items() if has]
            for one in right
            if not one.recovered
        },
        "healthy": len(well),
        "healthy_treated": [one.run.path.stem for one in well if one.acts],
        "healthy_made_ill": share(sum(not one.recovered for one in well), len(well)),
        "healthy_worse_by": interval_of(worse) if worse else {},
        "cures": cures(ill),
    }


def interval_of(values: list[float]) -> Record:
    """Their mean, with a bootstrap interval of 95 %."""
    rows = np.random.default_rng(0).choice(values, (5000, len(values))).mean(1)
    low, high = np.quantile(rows, (0.025, 0.975))
    return {"mean": round(float(np.mean(values)), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def cures(ill: list[Treated]) -> dict[str, dict[str, Record]]:
    """How often each helped: the game was sound after it, or came to its end without an illness. By illness."""
    tried: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for one in ill:
        for act in one.acts:
            helped = one.recovered and not one.gave_up if act["helped"] is None else act["helped"]
            tried[act["illness"]][act["cure"]].append(helped)
    return {
        name: {cure: share(sum(helped), len(helped)) for cure, helped in of_it.items()} for name, of_it in tried.items()
    }


# ---- the page

EXAMPLES = {
    "mode_collapse": "ring-mlp-deaf-1-0 ring-wgan-gp-saturating-1-0",
    "vanishing_gradients": "fashion-dcgan-saturating-3-0",
    "overpowering_discriminator": "ring-mlp-saturating-1-0 ring-mlp-g-slow-1-0",
    "weak_discriminator": "ring-mlp-d-slow-1-0",
    "oscillation": "ring-mlp-d-seldom-10-0",
    "divergence": "ring-wgan-gp-exploding-1-0 ring-mlp-exploding-1-0",
    "discriminator_overfitting": "fashion-dcgan-few-1-0",
    "memorisation": "fashion-dcgan-few-1-0",
    "stalled": "ring-mlp-g-slow-1-0",
}
"""Runs that show an illness, the first that has it."""


def example(name: str, found: dict[str, Truth]) -> str:
    """The run that is shown."""
    wanted = [stem for stem in EXAMPLES[name].split() if found[stem].has[name]]
    return (wanted or [stem for stem, truth in sorted(found.items()) if truth.has[name]] or EXAMPLES[name].split())[0]


def picture(name: str, runs: dict[str, Past], found: dict[str, Truth]) -> str:
    """An ill run beside its twin, as a PNG; the name of the run."""
    from matplotlib.figure import Figure

    stem = example(name, found)
    run = runs[stem]
    twin = runs[f"{run.base}-well-none-1-0"]
    shown = [signal for signal in ILLNESSES[name].shown if any(signal in look for look in looks_of(run))][:3]
    scatters = 2 if run.is_of_points else 0
    figure = Figure(figsize=(3.1 * (len(shown) + scatters), 2.7), layout="constrained")
    panels = figure.subplots(1, len(shown) + scatters, squeeze=False)[0]
    for axes, signal in zip(panels, shown, strict=False):
        for one, style in (
            (twin, {"color": "tab:green", "label": "nothing done"}),
            (run, {"color": "tab:red", "label": run.fault}),
        ):
            points = [(look["images"] / 1000, look[signal]) for look in looks_of(one) if signal in look]
            axes.plot(*zip(*points, strict=True), linewidth=1.3, **style)
        axes.axvline(found[stem].onset.get(name, 0) / 1000, color="black", linewidth=0.8, linestyle=":")
        axes.set_title(signal, fontsize=9)
        axes.set_xlabel("thousand images", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25)
        if signal == "g_gradient":
            axes.set_yscale("log")
    panels[0].legend(fontsize=7)
    if scatters:
        raw, last = np.load(run.path.with_suffix(".npz")), len(run.record["looks"]) - 1
        last = round(0.6 * last) if name == "oscillation" else last  # at the end, rates are near 0
        for axes, i in zip(panels[len(shown) :], (last - 4, last), strict=True):
            mine, theirs = raw[f"{i}/fakes"].astype(np.float32), np.load(twin.path.with_suffix(".npz"))
            well = theirs[f"{len(twin.record['looks']) - 1}/fakes"].astype(np.float32)
            axes.scatter(*well[:, :2].T, s=3, color="tab:green", alpha=0.4)
            axes.scatter(*mine[:, :2].T, s=4, color="tab:red", alpha=0.6)
            axes.set_title("fakes, four looks later" if i == last else "fakes", fontsize=9)
            axes.tick_params(labelsize=7)
            axes.set_xlim(-2.6, 2.6)
            axes.set_ylim(-2.6, 2.6)
    path = PICTURES / f"illness-{name}.png"
    figure.savefig(path, dpi=80)
    return stem


def told_share(figure: Record) -> str:
    if not figure.get("of"):
        return "–"
    return f"{figure['right']} of {figure['of']} = {figure['share']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def page(record: Record, runs: dict[str, Past], found: dict[str, Truth]) -> str:
    one, other = record["reported"], record["fitted"]
    counts = {name: one[name] + other[name] for name in ("runs", "ill", "healthy", "ill_for_a_while", "neither")}
    parts = [
        INTRODUCTION.format(date=when([record["about"]]), hours=f"{record['cpu_seconds'] / 3600:.2f}", **counts),
        "## How well it is told\n",
        f"The half that was not fitted to: {one['runs']} runs, {one['ill']} ill, {one['healthy']} healthy.\n",
        how_well(one, record["trivial"]),
        REMARKS,
        "What was said to be so likely at the end of a run, and how often it was so:\n",
        how_likely(record["calibration"]),
        "\nWhat runs that have an illness (rows) were said to have at their end (a run may have several):\n",
        what_for_what(one["confusion"]),
        how_it_is_treated(record["treatment"]),
        *(section(name, runs, found, record["treatment"]["cures"].get(name, {})) for name in ILLNESSES),
        in_real_runs(),
        "\n## In other people's scripts\n\n<!-- by hand: scripts -->\n<!-- end -->\n",
    ]
    return keep_by_hand(DOC, "\n".join(parts))


def how_well(one: Record, trivial_one: Record) -> str:
    names = ("recall", "recall_clear", "recall_at_end", "false_alarms")
    rows = [
        [f"`{name}`", *(told_share(each[figure]) for figure in names), delay(each)]
        for name, each in one["illnesses"].items()
    ]
    of_all, at_end, alarms = (told_share(one[name]) for name in ("found_ill", "found_ill_at_end", "alarms"))
    rows.append(["**any**", of_all, told_share(one["found_clear"]), at_end, alarms, ""])
    told = (told_share(trivial_one[name]) for name in ("found_ill", "false_alarms"))
    rows.append([f"D's loss below {trivial_one['threshold']:g}", "", "", *told, ""])
    columns = ["illness", "found, of runs that have it", "of those that have it clearly", "still said at their end"]
    return markdown([*columns, "false alarms, of healthy runs", "delay, images"], rows)


def delay(each: Record) -> str:
    return "–" if each["delay_images"] is None else f"{each['delay_images']:,} ({each['delay_share']:.0%})"


def how_likely(table: list[Record]) -> str:
    rows = [[f"{row['from']:g} to {row['to']:g}", f"{row['mean']:.2f}", told_share(row)] for row in table]
    return markdown(["probability", "mean", "was so"], rows)


def what_for_what(table: dict[str, dict[str, int]]) -> str:
    said = (*NAMES, "nothing")
    rows = [[f"**{true.replace('_', ' ')}**", *(str(cells[name]) for name in said)] for true, cells in table.items()]
    return markdown(["", *(name.replace("_", " ") for name in said)], rows)


def how_it_is_treated(record: Record) -> str:
    """What `--on-illness treat` came to."""
    rows = [[fault, told_share(of_it)] for fault, of_it in record["by_fault"].items()]
    rows.append(["**any**", told_share(record["recovered"])])
    rows.append(["any that settings can undo", told_share(record["recovered_of_what_settings_undo"])])
    worse = record["healthy_worse_by"]
    return TREATMENT.format(
        ill=record["ill"],
        table=markdown(["what was done to the run", "well again"], rows),
        good=told_share(record["good"]),
        gave_up=told_share(record["gave_up"]),
        healthy=record["healthy"],
        touched=len(record["healthy_treated"]),
        made_ill=told_share(record["healthy_made_ill"]),
        worse="–" if not worse else f"{worse['mean']:.3f} [{worse['low']:.3f}, {worse['high']:.3f}]",
    )


def in_real_runs() -> str:
    """What `real_runs.py` found; nothing where it was not played."""
    path = RESULTS / "real_runs.json"
    if not path.exists():
        return ""
    record = json.loads(path.read_text())
    rows = [
        [
            f"`{family}`",
            f"{run['images']:,}",
            str(run["looks"]),
            ", ".join(f"{value:.3g}" for value in run["distance"].values()),
            *(said_of(run[part]) for part in ("first_half", "second_half", "end")),
        ]
        for family, run in record["runs"].items()
    ]
    columns = ["family", "images", "looks", "distance at first, half-way, at the end"]
    table = markdown([*columns, "said before half-way", "said after it", "said at the end"], rows)
    return REAL_RUNS.format(minutes=record["minutes"], date=when([record["about"]]), table=table)


def said_of(found: dict[str, float] | None) -> str:
    if found is None:
        return "too few looks"
    return ", ".join(f"{name.replace('_', ' ')} {value:.0%}" for name, value in found.items()) or "nothing"


def section(name: str, runs: dict[str, Past], found: dict[str, Truth], helped: dict[str, Record]) -> str:
    """On one illness."""
    illness, weight, stem = ILLNESSES[name], json.loads(WEIGHTS.read_text())[name], picture(name, runs, found)
    formula = " + ".join(f"{value:g} {sign}" for sign, value in weight.items() if sign != "bias" and value)
    signs = "\n".join(f"- `{sign}`: {described(one)}" for sign, one in illness.signs.items() if weight[sign])
    cures = markdown(
        ["what to try, the mildest first", "settings", "helped, of times tried"],
        [[cure.words, settings_of(cure), told_share(helped.get(cure.words, {}))] for cure in illness.cures],
    )
    parts = [
        f"\n## {name.replace('_', ' ').capitalize()}\n",
        f"What it is: {illness.what}.\n",
        f"![{name}](pictures/illness-{name}.png)\n",
        f"`{stem}` (red) beside a run that nothing was done to (green); ill from the dotted line on.\n",
        f"How it is told: probability = σ({weight['bias']:g} + {formula}), each of the last looks' medians:\n",
        f"{signs}\n",
        f"Source: {illness.source or 'none'}.\n",
        f"{cures}\n",
    ]
    return "\n".join(parts)


def settings_of(cure: Cure) -> str:
    return cure.paste().removeprefix(cure.words).removeprefix(": ") or "–"


def described(sign: Any) -> str:
    """What a sign is, by its own words."""
    words = (getattr(sign, "__doc__", None) or "").strip().split("\n\n")[0]
    return " ".join(words.split()) or "as bad as the least of its parts"


INTRODUCTION = """# Illnesses

<!-- by hand: introduction -->
<!-- end -->

Written by `python benchmarks/illness_report.py` from the runs of `python benchmarks/illness.py`, {date}: {runs}
runs in {hours} CPU hours, on a ring of 8 Gaussians, a grid of 25, Fashion-MNIST and emoji at 16x16; perceptrons,
DCGAN and WGAN-GP. {ill} came out ill, {healthy} healthy; {ill_for_a_while} were ill for a while and well at the
end, and {neither} are neither: between what is called ill and what is called healthy. What is true of a run is
said by measures that the doctor does not use: known modes, the classes and features of `fashion-cnn`, D on samples
that the doctor does not see, the slope of G's loss at its samples, the same runs with nothing done to them.
Configurations (not runs) are split in halves: the weights are fitted to one, the figures are of the other.
"""
REMARKS = """
*Found*: at two looks in a row the verdict held, at any time. *Clearly*: what is true of the run is at least one and a
half times what counts as the illness. A *false alarm* is such a verdict in a healthy run where
the illness was not there at that moment; for *any*, every alarm in a healthy run counts. *Healthy*: none of the
illnesses at the end, none in the last six tenths of the run, and good samples. The delay is from the onset to the
verdict; below 0, the verdict came first. Intervals are Wilson's, 95 %. The last line is the trivial detector, its
threshold chosen on the other half.
"""
TREATMENT = """
## What treatment does

`python benchmarks/illness.py --treat reported` played the runs of that half again as `gansmith train --on-illness
treat` does: at a verdict that lasts two looks, back to where the game was last sound (no illness half as likely as a
verdict, samples about as near as they ever were), and on with the next cure; one after which it was not sound again is
taken back; after ten it gives up, and the run ends where it was last sound. Nobody acts before half the run is over,
below 70 %, or while samples come nearer (but on overfitting, memorisation and divergence).
(Since then a run whose last cure is still on trial when it ends is treated once more; these runs have not been played
again with that.) Of {ill} ill runs, which
without a treatment are all ill at their end, these have no illness then:

{table}

`deaf` (a generator that is given zeros), `few` (64 images or 16) and `shuffled` (labels, from half of the run on) are
wrong in the loop or for want of data, and no setting undoes them. Of `duplicates` each is used once, of `raw` data the
range is mended, both before anything is trained; a `bottleneck` (of one channel) is widened, from the start.
Nothing is even near to an illness and the samples are good in {good}; the treatment gave up in {gave_up}. Of {healthy}
healthy runs it touched {touched}; ill with it are {made_ill}; their samples are worse by {worse} of what counts as bad
(paired, bootstrap). *Helped*, in what follows: the game was sound after it, or came to its end without an illness;
cures are tried after milder ones. The family's own settings mean nothing in the suite's loops, which are of no family;
– was not tried.
"""
REAL_RUNS = """
## In real runs

Every family with its own settings, {minutes:g} minutes of real data (`python benchmarks/real_runs.py`, {date}). Nothing
is wrong with these runs. What ends well is often restless at first: so the health line calls a verdict before half-way
one *so far*, and nobody acts on it.

{table}
"""
DOC = Path(__file__).parent.parent / "docs" / "illnesses.md"
PICTURES = DOC.parent / "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the doctor's weights to the other half of the runs")
    asked = parser.parse_args()
    runs = load()
    found = truths_of(runs)
    fitting, reported = ([run for run in runs if run.is_reported == which] for which in (False, True))
    if asked.fit:
        weights = fit(runs, found)
        WEIGHTS.write_text(json.dumps(weights, indent=1) + "\n")
        print(WEIGHTS.read_text())
        return
    record = {
        "about": about(),
        "cpu_seconds": round(sum(run.record["seconds"] for run in runs)),
        "reported": figures(reported, found),
        "fitted": figures(fitting, found),
        "trivial": trivial(fitting, reported, found),
        "treatment": treatment(treated_runs(reported, found)),
        "calibration": calibration(reported, found),
    }
    (RESULTS / "illness.json").write_text(json.dumps(record, indent=1) + "\n")
    DOC.write_text(page(record, {run.path.stem: run for run in runs}, found))
    brief(record)


def brief(record: Record) -> None:
    for half in ("fitted", "reported"):
        one = record[half]
        print(half, {k: one[k] for k in ("runs", "healthy", "ill", "ill_for_a_while", "neither")})
        print(
            " found ill",
            one["found_ill"],
            "false alarms",
            one["false_alarms"],
            "ever",
            one["alarms"],
            "at end",
            one["false_alarms_at_end"],
        )
        for name, figure in one["illnesses"].items():
            parts = [
                f"{k} {figure[k]['right']}/{figure[k]['of']}"
                for k in ("recall", "recall_at_end", "false_alarms", "alarms", "said_of_other_runs")
            ]
            print("  ", name.ljust(28), *parts, figure["delay_share"])
        print("   missed", {name: rows for name, rows in one["missed"].items() if rows})
        print("   alarmed", one["alarmed"])
    print(record["trivial"], record["cpu_seconds"])
    print({name: value for name, value in record["treatment"].items() if name != "cures"})


if __name__ == "__main__":
    main()

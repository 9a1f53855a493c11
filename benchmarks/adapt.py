"""Google's emoji to 200 of Twitter's: `gansmith adapt` against training from scratch; `docs/adapting.md` is made of it.

    python benchmarks/adapt.py                      # all that has not been trained yet: about 50 minutes
    python benchmarks/adapt.py --only adapted,scratch-diffaugment --seeds 1
    python benchmarks/adapt.py --kimg 2             # a trial of everything, in a tenth of the time
    python benchmarks/adapt.py --table-only         # the page of what there is

Base emoji at 32 pixels, those of `sources.py`, which fetches what is missing. Twitter's are 200, drawn by lot; held out
are the 166 that are for test there, none of which any run sees, in either style. The run to begin with is a `dcgan` on
Google's drawings of all others, so that no emoji of the 200 is known. Contenders play for 24,000 images, those from
scratch for 72,000; patience is off, so that curves are whole and nothing has been chosen by the held-out images, but in
`patient`, which is the command as it is.

Kernel distance of 1,000 samples to the held-out drawings, by `fashion-cnn` (in grey) as runs take it themselves; of 200
at the end by `efflite0`, in colour. It can be stopped at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gansmith
from common import (
    RESULTS,
    ROOT,
    WORK,
    Progress,
    Results,
    about,
    chosen,
    forget,
    keep_by_hand,
    log_of,
    markdown,
    mean_sd,
    run_process,
    save_sheet,
    say,
    settings_flags,
    stop_on_signals,
    when,
)
from gansmith.apps.adapt import curve, least, reached
from gansmith.data import open_data
from gansmith.metrics import extractor, kernel_distance
from gansmith.metrics.reference import cached_features
from gansmith.training.pictures import save_curves
from sources import SOURCES, Built, built_set

Record = dict[str, Any]
FEW, SIDE = 200, 32
KIMG, TIMES, SOURCE_KIMG = 24.0, 3, 120.0
"""Of a contender that is adapted; how much longer those from scratch are; of the run to begin with."""
SPEED, SCORED = 500.0, 1.4
"""Images a second, to reckon how long the rest will take; and how much longer it takes with its scores."""
FINAL = 200
"""Samples that the last networks are measured by in colour."""
QUIET = ("train.samples=0", "train.looks=0", "train.frames=4")


@dataclass(frozen=True)
class Contender:
    """Who is trained on the few.

    Attributes:
        flags: of `gansmith adapt`; None is from scratch.
        settings: beside those of all.
        what: as the page has it.
    """

    flags: tuple[str, ...] | None
    settings: tuple[str, ...]
    what: str

    @property
    def times(self) -> int:
        return TIMES if self.flags is None else 1


WHOLE = ("train.patience=0", "train.evaluations=12")
LONG = ("train.evaluations=36", f"data.resolution={SIDE}")
CONTENDERS = {
    "adapted": Contender(("--freeze", "1"), WHOLE, "adapted: one level of D frozen, DiffAugment"),
    "freeze-0": Contender(("--freeze", "0"), WHOLE, "nothing frozen, DiffAugment"),
    "freeze-2": Contender(("--freeze", "2"), WHOLE, "two levels of three frozen, DiffAugment"),
    "plain": Contender(("--freeze", "1"), (*WHOLE, "augment=none"), "one level frozen, no augmentation"),
    "patient": Contender((), (), "the command as it is: patience, too"),
    "scratch-diffaugment": Contender(None, (*LONG, "augment=diffaugment"), "from scratch, DiffAugment"),
    "scratch": Contender(None, LONG, "from scratch, no augmentation"),
}


# ---- the data


def few() -> Path:
    """Twitter's drawings of `FEW` emoji to train on, and those for test."""
    return subset("adapt-few", "twitter", inside=True)


def many() -> Path:
    """Google's of all other emoji to train on, and those for test."""
    return subset("adapt-many", "google", inside=False)


def subset(name: str, style: str, inside: bool) -> Path:
    """A folder of the emoji of one style that are, or are not, among the few."""
    built_set("emoji")
    folder, whole = SOURCES / name, SOURCES / style
    codes = sorted(path.name for path in (whole / "train").glob("*.png"))
    lot = set(random.Random(0).sample(codes, FEW))
    if not folder.exists():
        with Built(folder) as aside:
            for part in ("train", "test"):
                (aside / part).mkdir()
                for path in (whole / part).glob("*.png"):
                    if part == "test" or (path.name in lot) == inside:
                        shutil.copy(path, aside / part)
    return folder


# ---- training


@dataclass(frozen=True)
class Place:
    """Where runs and what is made of them are: a trial's in its own work folder.

    Attributes:
        kimg: of a contender that is adapted.
    """

    kimg: float

    @property
    def is_trial(self) -> bool:
        return self.kimg != KIMG

    @property
    def work(self) -> Path:
        return WORK / "adapt" / (f"trial-{self.kimg:g}kimg" if self.is_trial else "full")

    @property
    def records(self) -> Path:
        return (self.work if self.is_trial else RESULTS) / "adapt.json"

    @property
    def page(self) -> Path:
        return (self.work if self.is_trial else ROOT / "docs") / "adapting.md"

    @property
    def pictures(self) -> Path:
        return self.page.parent / "pictures" / "adapting"

    @property
    def source(self) -> Path:
        return self.work / "source"

    def source_kimg(self) -> float:
        return SOURCE_KIMG * self.kimg / KIMG

    def minutes(self, contender: Contender) -> float:
        return self.kimg * contender.times * 1000 / SPEED / 60 * SCORED + 0.8


def commanded(run_dir: Path, *order: str) -> Record:
    """What ``gansmith … --json`` in a process of its own says; a run that was stopped goes on."""
    whole = [sys.executable, "-m", "gansmith.cli.main", *order, "--json", "--run-dir", str(run_dir)]
    result: Record = json.loads(run_process([*whole, *settings_flags(QUIET)], log_of(run_dir)))
    return result


def source(place: Place) -> Record:
    """The run to begin with."""
    length = ("--resolution", str(SIDE), "--kimg", f"{place.source_kimg():g}")
    return commanded(place.source, "train", "dcgan", "--data", str(many()), *length)


def trained(place: Place, name: str, seed: int) -> Record:
    """A contender's course and its end."""
    contender, run_dir = CONTENDERS[name], place.work / f"{name}-{seed}"
    who = ["train", "dcgan", "--data", str(few())]
    if contender.flags is not None:
        who = ["adapt", str(place.source), str(few()), "--no-compare", *contender.flags]
    length = ["--kimg", f"{place.kimg * contender.times:g}", "--seed", str(seed)]
    began = time.monotonic()
    result = commanded(run_dir, *who, *length, *settings_flags(contender.settings))
    run = gansmith.load(run_dir)
    return {
        "images": result["images"],
        "seconds": round(time.monotonic() - began, 1),
        "settled": result.get("settled"),
        "curve": [[images, round(value, 5)] for images, value in curve(run, "kernel")],
        "colour": round(in_colour(run), 5),
    }


def in_colour(run: gansmith.Run) -> float:
    """The kernel distance of its samples to held-out drawings by `efflite0`."""
    data, net = open_data(run.config.data), extractor("efflite0")
    held = cached_features(np.array(data.pictures[1]), net, data.fingerprint)
    return kernel_distance(held, net(run.sample(FINAL, seed=1)))


# ---- the page

HEAD = """# From one run to the next, measured

<!-- by hand: introduction -->

`gansmith adapt` begins with the networks of a run that has learnt something like it. What that is worth where there are
200 images: Twitter's emoji, from a run that knows Google's, beside the same from scratch, trained three times as long.

<!-- end -->

Written by `python benchmarks/adapt.py` from `benchmarks/results/adapt.json`, {date}.

`dcgan` at 32 pixels; the run to begin with saw {source:,} images of Google's drawings, of none of the 200 emoji. Kernel
distance of 1,000 samples to 166 held-out drawings of Twitter's, by `fashion-cnn`, which sees grey; in colour, of
{final}, by `efflite0`. Mean ± standard deviation of seeds. The least of a curve has been chosen by those very images,
which flatters the longer, restless curves from scratch most; the end has not.

{curves}
{table}

*images of scratch's least*: after how many images the mean curve is first as low as the least of the mean curves from
scratch.

{claims}
{sheets}
## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->

Emoji: Noto Emoji by Google (Apache-2.0); Twemoji by Twitter (CC-BY-4.0). What was made of them is under the same
licences.
"""


def by_contender(results: Results) -> dict[str, list[Record]]:
    """Records of all seeds there are."""
    found = {
        name: [record for key, record in results.records.items() if key.rpartition("-")[0] == name]
        for name in CONTENDERS
    }
    return {name: records for name, records in found.items() if records}


def mean_curve(records: list[Record]) -> list[tuple[int, float]]:
    """Of seeds, as far as all go."""
    values = zip(*(record["curve"] for record in records), strict=False)
    return [(int(points[0][0]), float(np.mean([value for _, value in points]))) for points in values]


def claims(found: dict[str, list[Record]]) -> dict[str, bool]:
    """What is claimed of adapting, seed by seed: each against both from scratch."""
    said = {}
    for other in ("scratch", "scratch-diffaugment"):
        pairs = list(zip(found.get("adapted", []), found.get(other, []), strict=False))
        if pairs:
            said[f"adapted, at its end, is nearer than {other} at its, in a third of the images, in every seed"] = all(
                one["curve"][-1][1] < two["curve"][-1][1] for one, two in pairs
            )
            said[f"adapted comes nearer than {other} ever does, in a third of the images, in every seed"] = all(
                least(one["curve"])[1] < least(two["curve"])[1] for one, two in pairs
            )
    return said


def page(place: Place, results: Results) -> str:
    found = by_contender(results)
    curves = {name: mean_curve(records) for name, records in found.items()}
    scratch = [least(points)[1] for name, points in curves.items() if CONTENDERS[name].flags is None]
    rows = []
    for name, records in found.items():
        first = reached(curves[name], min(scratch)) if scratch else None
        ends = [[f(r["curve"]) for r in records] for f in (lambda c: c[-1][1], lambda c: least(c)[1])]
        rows.append(
            [
                CONTENDERS[name].what,
                str(len(records)),
                f"{np.mean([record['images'] for record in records]):,.0f}",
                *(mean_sd(values, 3) for values in ends),
                "–" if first is None else f"{first:,}",
                mean_sd([record["colour"] for record in records], 3),
            ]
        )
    columns = ["", "seeds", "images", "at the end ↓", "least ↓", "images of scratch's least ↓", "in colour, end ↓"]
    place.pictures.mkdir(parents=True, exist_ok=True)
    if curves:
        save_curves(curves, place.pictures / "curves.png", "kernel distance to held-out drawings")
    return HEAD.format(
        date=when([record["about"] for record in results.records.values()] or [about()]),
        source=int(1000 * place.source_kimg()),
        final=FINAL,
        curves="![](pictures/adapting/curves.png)\n" if curves else "",
        table=markdown(columns, rows),
        claims="".join(f"- {'Holds' if held else 'Does not hold'}: {text}.\n" for text, held in claims(found).items()),
        sheets="".join(sheet(place, name) for name in ("adapted", "scratch-diffaugment")),
    )


def sheet(place: Place, name: str) -> str:
    """Samples of the first seed, where its run is here; the picture that is there, where it is not."""
    run_dir, path = place.work / f"{name}-0", place.pictures / f"{name}.png"
    if (run_dir / "result.json").exists():
        save_sheet(gansmith.load(run_dir).sample(32, seed=0), path, columns=16, most=80_000)
    return (
        f"{CONTENDERS[name].what[0].upper()}{CONTENDERS[name].what[1:]}:\n\n![](pictures/adapting/{path.name})\n\n"
        if path.exists()
        else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WHO,…", help=f"these: {', '.join(CONTENDERS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kimg", type=float, default=KIMG, help="a trial, whose page and records stay in .work")
    parser.add_argument("--redo", action="store_true", help="forget what there is of these, runs too")
    parser.add_argument("--table-only", action="store_true", help="train nothing, write the page of what there is")
    asked = parser.parse_args()
    wanted, place = chosen(CONTENDERS, asked.only, parser), Place(asked.kimg)
    stop_on_signals()
    results = Results(place.records, "python benchmarks/adapt.py")
    keys = [(name, seed) for seed in range(asked.seeds) for name in wanted]
    if asked.redo:
        results.drop(f"{name}-{seed}" for name, seed in keys)
        for name, seed in keys:
            forget(place.work / f"{name}-{seed}")
    todo = [] if asked.table_only else [key for key in keys if f"{key[0]}-{key[1]}" not in results.records]
    costs = [place.source_kimg() * 1000 / SPEED / 60, *(place.minutes(CONTENDERS[name]) for name, _ in todo)]
    progress = Progress(costs if todo else [])
    if todo:
        progress.begin("the run to begin with")
        source(place)
    for name, seed in todo:
        progress.begin(f"{name}, seed {seed}")
        found = {"about": about()} | trained(place, name, seed)
        results.put(f"{name}-{seed}", found)
        distances = f"kernel {found['curve'][-1][1]}, in colour {found['colour']}"
        say(f"  {found['images']} images, {found['seconds']} s: {distances}")
        place.page.write_text(keep_by_hand(place.page, page(place, results)))
    place.page.parent.mkdir(parents=True, exist_ok=True)
    place.page.write_text(keep_by_hand(place.page, page(place, results)))
    say(f"written: {place.page}, {place.records}")


if __name__ == "__main__":
    main()

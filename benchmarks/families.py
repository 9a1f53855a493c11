"""Every family that makes images, trained on the whole of Fashion-MNIST and scored; `docs/families.md` is made of it.

    python benchmarks/families.py                     # all that has not been measured yet: about 6 hours
    python benchmarks/families.py --only dcgan,cgan --skip-long
    python benchmarks/families.py --only gan --redo   # forget what there is of gan, measure it again
    python benchmarks/families.py --table-only        # docs/families.md and expected.json from what there is

Each run is ``gansmith train FAMILY --data fashion-mnist --minutes 5 --seed S``, for three seeds; then `dcgan`,
`progan`, `stylegan` and `r3gan` train for twenty minutes on Fashion-MNIST and on `builtin:emoji`. One run at a time,
with all cores. The minutes are those of the whole command: reading, pictures and scores included.

It can be stopped at any time and goes on where it was: finished runs are in ``results/families.json``, and one that was
stopped goes on in its run directory. A run that failed is recorded with its message, and tried again by ``--redo``.

Scores are those of `gansmith train`: 10,000 samples against 10,000 training images, `fashion-cnn` features; for the
emoji the extractor that `gansmith evaluate` takes by default. Of families that are told the class it is asked besides
how often `fashion-cnn`, as the classifier that it is, agrees with the class that was asked for; each class is scored by
itself, too.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import gansmith
import head_to_head
import modes
from common import (
    COUNT,
    RESULTS,
    ROOT,
    WORK,
    Failed,
    FashionMnist,
    Progress,
    Results,
    about,
    chosen,
    forget,
    keep_by_hand,
    markdown,
    mean_sd,
    save_sheet,
    say,
    stop_on_signals,
    train,
    when,
)
from gansmith.apps.describe import DATA_NAMES
from gansmith.core.paths import write_atomic, write_json
from gansmith.metrics import frechet_distance
from gansmith.recipes import FAMILIES

KINDS = ("noise to images", "class to images")
LONG = ("dcgan", "progan", "stylegan", "r3gan")
LONG_DATA = ("fashion-mnist", "builtin:emoji")
FILE = RESULTS / "families.json"
DOC = ROOT / "docs" / "families.md"
PICTURES = DOC.parent / "pictures" / "families"
EXPECTED = ROOT / "src" / "gansmith" / "recipes" / "expected.json"
OVERHEAD = 1.08
"""Minutes of a run, with its start and its scores by class, for each minute that it is given; an estimate."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One run."""

    family: str
    data: str
    minutes: float
    seed: int

    @property
    def key(self) -> str:
        return f"{self.family} {self.data} {self.minutes:g}min seed{self.seed}"

    @property
    def folder(self) -> str:
        return self.key.replace(" ", "-").replace(":", "-")


def tasks(families: list[str], seeds: int, minutes: float, long_minutes: float | None) -> list[Task]:
    """All runs, the first seed of every family first; the long ones last."""
    short = [Task(family, "fashion-mnist", minutes, seed) for seed in range(seeds) for family in families]
    if long_minutes is None:
        return short
    return short + [Task(family, data, long_minutes, 0) for data in LONG_DATA for family in LONG if family in families]


# ---- measuring


def measure(task: Task, work: Path, fashion: FashionMnist) -> Record:
    """Trains, or goes on training, and gives the record of the run; of a failed one its message."""
    began = about()
    record: Record = {
        "family": task.family,
        "data": task.data,
        "minutes": task.minutes,
        "seed": task.seed,
        "command": f"gansmith train {task.family} --data {task.data} --minutes {task.minutes:g} --seed {task.seed}",
        **began,
    }
    path = work / task.folder
    try:
        length = ("--minutes", f"{task.minutes:g}", "--seed", str(task.seed))
        result = train(task.family, path, *length, data=task.data)
    except Failed as failure:
        return record | {"failed": str(failure)}
    run = gansmith.load(path)
    record |= {name: result[name] for name in ("images", "images_per_second", "seconds", "wall_seconds", "scores")}
    protocol = run.dir.read("reports/evaluation.json")["protocol"]
    record |= {name: protocol[name] for name in ("extractor", "n_real", "n_fake", "n_heldout")}
    if run.is_conditional and task.data == "fashion-mnist":
        record["classes"] = by_class(run, fashion)
    if task.seed == 0:
        save_sheet(run.sample(64, seed=0), PICTURES / picture(record))
    return record


def picture(record: Record) -> str:
    """The name of the file of a run's samples."""
    return f"{record['family']}-{record['data'].removeprefix('builtin:')}-{record['minutes']:g}min.png"


def by_class(run: gansmith.Run, fashion: FashionMnist) -> Record:
    """Whether the classifier agrees with the class that was asked for, and the Fréchet distance of each class."""
    asked = run.labels(COUNT)
    assert asked is not None
    fakes = fashion.features(run.sample(COUNT))
    images, heldout = fashion.pictures
    labels = fashion.dataset.heldout.labels
    held = fashion.real_features(heldout)
    named, named_held = fashion.classes(fakes), fashion.classes(held)
    rows = []
    for number, name in enumerate(run.spec.classes):
        mine, theirs = asked == number, labels == number
        real = fashion.real_features(images[fashion.dataset.train.labels == number])
        rows.append(
            {
                "class": name,
                "agreement": round(float((named[mine] == number).mean()), 4),
                "agreement_real": round(float((named_held[theirs] == number).mean()), 4),
                "frechet": round(frechet_distance(real, fakes[mine]), 3),
                "floor": round(frechet_distance(real, held[theirs]), 3),
            }
        )
    return {
        "agreement": round(float((named == asked).mean()), 4),
        "agreement_real": round(float((named_held == labels).mean()), 4),
        "classifier": "fashion-cnn",
        "n": COUNT,
        "rows": rows,
    }


def told(record: Record) -> str:
    """A record in a line."""
    if "failed" in record:
        return f"failed: {record['failed']}"
    agreement = f", {record['classes']['agreement']:.1%} of the asked class" if "classes" in record else ""
    return (
        f"Fréchet {record['scores']['frechet']['value']:.2f}, {record['images']:,} images, "
        f"{record['images_per_second']:,.0f}/s, {record['wall_seconds']:.0f} s{agreement}"
    )


# ---- the document

Group = list[Record]
"""Records of one family, data set and length, of several seeds."""


def groups(records: Iterable[Record]) -> list[Group]:
    """Finished runs that differ in their seed alone, short ones first, families as `FAMILIES` has them."""
    found: dict[tuple[Any, ...], Group] = defaultdict(list)
    order = {name: i for i, name in enumerate(FAMILIES)}
    for r in records:
        if "failed" not in r:
            found[r["minutes"], r["data"] != "fashion-mnist", order.get(r["family"], len(order)), r["family"]].append(r)
    return [found[key] for key in sorted(found)]


def values(group: Group, score: str, figure: str = "value") -> list[float]:
    """A score's figure of each run that has it."""
    return [r["scores"][score][figure] for r in group if r["scores"][score][figure] is not None]


COLUMNS = ("family", "seeds", "images seen", "images/s", "Fréchet", "kernel", "precision", "recall", "density")
COLUMNS += ("coverage", "floor", "samples")


def row(group: Group) -> list[str]:
    """A family's row: means, and the Fréchet distance's sd over seeds."""
    first = group[0]
    file = picture(first)
    image = f'<img src="pictures/families/{file}" width="140">' if (PICTURES / file).exists() else "–"
    return [
        f"`{first['family']}`",
        str(len(group)),
        f"{mean(r['images'] for r in group):,.0f}",
        f"{mean(r['images_per_second'] for r in group):,.0f}",
        mean_sd(values(group, "frechet")),
        f"{mean(values(group, 'kernel')):.3f}",
        *(f"{mean(values(group, name)):.2f}" for name in ("precision", "recall", "density", "coverage")),
        mean_sd(values(group, "frechet", "floor")[:1], 3),
        image,
    ]


def scores_sections(records: list[Record]) -> Iterator[str]:
    """A section with a table for each length and data set."""
    for (minutes, data), found in groupby(groups(records), lambda group: (group[0]["minutes"], group[0]["data"])):
        part = list(found)
        runs = [record for group in part for record in group]
        trivial = mean(values(runs, "frechet", "trivial"))
        yield f"## {minutes:g} minutes on {DATA_NAMES.get(data, data)}\n"
        yield (
            f"`gansmith train FAMILY --data {data} --minutes {minutes:g} --seed S`, {when(runs)}. "
            f"{runs[0]['n_fake']:,} samples against {runs[0]['n_real']:,} training images, features of "
            f"`{runs[0]['extractor']}`. The floor is the distance of held-out real images, the trivial generator's "
            f"is {trivial:.1f}.\n"
        )
        yield markdown(list(COLUMNS), [row(group) for group in part]) + "\n"
        yield ""


def failures(records: list[Record]) -> Iterator[str]:
    """What did not end well."""
    failed = [f"- `{r['command']}` ({r['date']}): {r['failed']}" for r in records if "failed" in r]
    if failed:
        yield "## Runs that failed\n"
        yield "\n".join(failed) + "\n"


def class_sections(records: list[Record]) -> Iterator[str]:
    """For each family that is told the class, how well it obeys."""
    for group in groups(record for record in records if "classes" in record):
        found = [record["classes"] for record in group]
        yield f"## `{group[0]['family']}`, class by class, after {group[0]['minutes']:g} minutes\n"
        yield (
            f"The classifier `{found[0]['classifier']}` names the class that was asked for of "
            f"**{mean_sd([100 * c['agreement'] for c in found], 1)} %** of {found[0]['n']:,} samples "
            f"({len(group)} seeds; of held-out real images {100 * found[0]['agreement_real']:.1f} %). "
            "Distances are of 1,000 samples to the 6,000 training images of the class; the floor of 1,000 held-out "
            "images.\n"
        )
        rows = []
        for i, first in enumerate(found[0]["rows"]):
            same = [c["rows"][i] for c in found]
            named = mean_sd([100 * r["agreement"] for r in same], 1) + " %"
            real = f"{100 * first['agreement_real']:.1f} %"
            rows.append([first["class"], named, real, mean_sd([r["frechet"] for r in same]), f"{first['floor']:.2f}"])
        yield markdown(["class", "agrees", "of real images", "Fréchet", "floor"], rows) + "\n"


INTRODUCTION = """# The families, measured

Every family of `gansmith families` that makes images from noise or from a class, trained with its default settings and
scored in the same way, one run at a time with all cores. The Fréchet distance is taken on the features of
`fashion-cnn`, the classifier of Fashion-MNIST inside the package: lower is better, and it is not the FID of papers.
± is the standard deviation over seeds; all other figures are means over them. `gansmith families NAME` prints a
family's game.

The tables are written by `python benchmarks/families.py --table-only` from `benchmarks/results/`; what is said of them
at the end is written by hand, and kept.
"""
DISCUSSION = """## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->
"""


def document(records: list[Record]) -> str:
    """`docs/families.md`."""
    parts = [INTRODUCTION, *scores_sections(records), *class_sections(records)]
    parts += [*head_to_head.sections(), *modes.sections(), *failures(records), DISCUSSION]
    return keep_by_hand(DOC, "\n".join(part for part in parts if part))


def expected(records: list[Record]) -> dict[str, Any]:
    """What `gansmith families NAME` promises."""
    found: dict[str, list[Record]] = defaultdict(list)
    for group in groups(records):
        first, distances = group[0], values(group, "frechet")
        found[first["family"]].append(
            {
                "data": first["data"],
                "minutes": first["minutes"],
                "frechet": round(mean(distances), 3),
                "sd": round(stdev(distances), 3) if len(distances) > 1 else None,
                "seeds": len(group),
                "cores": first["cores"],
                "extractor": first["extractor"],
                "date": first["date"],
            }
        )
    return {"made by": "benchmarks/families.py", "families": dict(sorted(found.items()))}


def write(records: list[Record]) -> None:
    """The document, and the scores that the package expects."""
    DOC.parent.mkdir(exist_ok=True)
    write_atomic(DOC, document(records))
    write_json(EXPECTED, expected(records))


# ---- command line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="FAMILY,…", help="these families")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--long-minutes", type=float, default=20.0)
    parser.add_argument("--skip-long", action="store_true")
    parser.add_argument("--redo", action="store_true", help="forget what there is of these runs, failed or finished")
    parser.add_argument("--table-only", action="store_true", help="train nothing")
    parser.add_argument("--work", type=Path, default=WORK / "families", help="where the runs live")
    asked = parser.parse_args()
    stop_on_signals()
    results = Results(FILE, "python benchmarks/families.py")
    if not asked.table_only:
        known = [name for name, family in FAMILIES.items() if family.kind in KINDS]
        wanted = tasks(
            chosen(known, asked.only, parser),
            asked.seeds,
            asked.minutes,
            None if asked.skip_long else asked.long_minutes,
        )
        if asked.redo:
            results.drop(task.key for task in wanted)
            for task in wanted:
                forget(asked.work / task.folder)
        play([task for task in wanted if task.key not in results.records], asked.work, results)
    write(list(results.records.values()))
    say(f"written: {DOC}, {EXPECTED}")


def play(todo: list[Task], work: Path, results: Results) -> None:
    """The runs that are not in `results` yet, one after another; the document after each."""
    progress, fashion = Progress([OVERHEAD * task.minutes for task in todo]), FashionMnist()
    for task in todo:
        progress.begin(task.key)
        record = measure(task, work, fashion)
        results.put(task.key, record)
        write(list(results.records.values()))
        say(f"  {told(record)}")


if __name__ == "__main__":
    main()

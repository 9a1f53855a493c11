"""A real run of every family, with its own settings: what the doctor says of it, and when.

    python benchmarks/real_runs.py            # about 75 minutes; goes on where it was; then illness_report.py
    python benchmarks/real_runs.py --only dcgan,stylegan --minutes 10

The suite of `illness.py` is of small loops; here each family trains as ``gansmith train FAMILY --data … --minutes 4
--seed 7`` does, on the data of `sources.py`, Fashion-MNIST and the emoji. Nothing is wrong with these runs: a verdict
in the second half of one, from which ``--on-illness`` may act, is a false alarm, or a weakness of the family's own
settings: the distance from the reals tells which. Verdicts are made again from health.jsonl by the doctor as it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import sources
from common import RESULTS, WORK, about, chosen, say, stop_on_signals, train
from gansmith.core.paths import write_json
from gansmith.training.rundir import RunDir
from gansmith.watch.course import FIRST_WORD
from gansmith.watch.treatment import EARLIEST
from gansmith.watch.verdicts import verdicts

MINUTES = 4.0
FILE = RESULTS / "real_runs.json"
EMOJI, GARMENTS = ("builtin:emoji",), ("fashion-mnist",)
Record = dict[str, Any]


def folders(*names: str) -> tuple[str, ...]:
    """The training images of what `sources.py` makes, one after ``--to``."""
    first, *others = (str(sources.SOURCES / name / "train") for name in names)
    return (first, *(part for other in others for part in ("--to", other)))


RUNS: dict[str, tuple[str, ...]] = {
    "dcgan": EMOJI,
    "lsgan": EMOJI,
    "gan": GARMENTS,
    "wgan": EMOJI,
    "wgan-gp": GARMENTS,
    "r3gan": EMOJI,
    "cgan": GARMENTS,
    "lapgan": EMOJI,
    "progan": EMOJI,
    "stylegan": EMOJI,
    "aae": GARMENTS,
    "cyclegan": folders("google", "twitter"),
    "pix2pix": folders("openmoji/line", "openmoji/colour"),
    "srgan": (*folders("photos"), "--scale", "2"),
    "stackgan": folders("captioned"),
}
"""Families, and the data that each is shown, with what else the command says."""


def said(run: Path) -> Record:
    """What the doctor says of a run at every look, as it judges now."""
    rows = RunDir(run).looks()
    signals, total = [row["signals"] for row in rows], RunDir(run).plan().total
    found: dict[bool, dict[str, float]] = {False: {}, True: {}}
    for count in range(FIRST_WORD, len(rows) + 1):
        of_half = found[rows[count - 1]["images"] >= EARLIEST * total]
        for one in verdicts(signals[:count]):
            of_half[one.name] = max(of_half.get(one.name, 0.0), round(one.probability, 2))
    return {
        "looks": len(rows),
        "images": total,
        "distance": {part: round(signals[int(at * (len(rows) - 1))]["distance"], 4) for part, at in AT.items()},
        "first_half": found[False],
        "second_half": found[True],
        "end": {one.name: round(one.probability, 2) for one in verdicts(signals)} if len(rows) >= FIRST_WORD else None,
    }


AT = {"first": 0.0, "half": 0.5, "end": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="families, by commas; by default all")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of each run (%(default)g)")
    asked = parser.parse_args()
    stop_on_signals()
    records: dict[str, Record] = json.loads(FILE.read_text())["runs"] if FILE.exists() else {}
    for family in chosen(RUNS, asked.only, parser):
        data, *more = RUNS[family]
        run = WORK / "real_runs" / family
        if not (run / "result.json").exists():
            train(family, run, *more, "--minutes", f"{asked.minutes:g}", "--seed", "7", data=data)
        records[family] = said(run)
        say(f"{family}: {records[family]}")
        write_json(FILE, {"about": about(), "minutes": asked.minutes, "runs": records})


if __name__ == "__main__":
    main()

"""Do synthetic images help a classifier that has few real ones? On Fashion-MNIST with 20 to 500 images of each class,
and with a long tail of classes; `docs/augmentation.md` is made of it.

    python benchmarks/augmentation.py                     # all that has not been measured yet: about 2 CPU hours
    python benchmarks/augmentation.py --only 100,tail     # these settings
    python benchmarks/augmentation.py --minutes 0.3 --seeds 2 --only 20    # a trial
    python benchmarks/augmentation.py --table-only        # the page of what there is

A setting is played with five seeds, of which each decides everything anew: which training images there are, the GAN's
training, what is drawn from it, and all classifiers. The long tail has 500 images of its largest class and 5 of its
smallest, the others in geometric steps; which class is which is drawn by the seed. The 10,000 test images only measure.

Each is what ``gansmith augment`` does, with a `cgan` of 60,000 images (200,000 by default), which sees the training
images alone; as many synthetic images of each class as it has real ones (of the long tail, as many as fill all classes
up to the largest) after its filters; then classifiers, all of as many steps, of which nothing is chosen by the test
images.

As many seeds are played side by side as there are cores (``--jobs``), with a thread each. It can be stopped at any time
and goes on where it was: what has been measured is in ``results/augmentation.json``, and a GAN that was being trained
goes on in its run directory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gansmith
from common import (
    Bench,
    Failed,
    Progress,
    Results,
    about,
    bench_parser,
    chosen,
    cpu_of_children,
    keep_by_hand,
    markdown,
    run_process,
    say,
    stop_on_signals,
    when,
)
from fashion_cnn import DATA, split
from gansmith.apps.augment import DEFAULTS, FAMILY, Order, judges_of, labelled
from gansmith.apps.classify import Schedule
from gansmith.apps.contest import WITH, WITHOUT, Estimate, contend, in_words
from gansmith.apps.synthetic import drawn, together
from gansmith.data import open_data
from gansmith.metrics.intervals import LEVEL, t_margin

NAME = "augmentation"
Record = dict[str, Any]
KIMG = 60.0
"""Length of a GAN's training, in thousands of images."""
MINUTES, REST = 2.75, 2.5
"""What that takes on one core, and all else of a seed; estimates."""
SEEDS = 5
CLASSES = 10
QUICK = 200
"""Steps of a classifier in a trial."""


@dataclass(frozen=True)
class Setting:
    """What real images there are.

    Attributes:
        title: in tables.
        largest, smallest: images of these classes.
    """

    title: str
    largest: int
    smallest: int

    def counts(self, rng: np.random.Generator) -> list[int]:
        """Images of each class."""
        steps = np.geomspace(self.largest, self.smallest, CLASSES).round().astype(int)
        return [int(count) for count in rng.permutation(steps)]

    @property
    def order(self) -> Order:
        return Order(balance=self.largest > self.smallest)


SETTINGS = {str(n): Setting(f"{n} a class", n, n) for n in (20, 50, 100, 200, 500)}
SETTINGS["tail"] = Setting("500 to 5 a class", 500, 5)


# ---- one seed


def write_subset(setting: Setting, seed: int, folder: Path) -> None:
    """An IDX folder of a setting's training images, and of all test images."""
    rng = np.random.default_rng(seed)
    images, labels = (part.numpy() for part in split("train"))
    of_class = [rng.choice(np.flatnonzero(labels == c), n, False) for c, n in enumerate(setting.counts(rng))]
    rows = np.sort(np.concatenate(of_class))
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images[rows]), ("labels-idx1", labels[rows].astype(np.uint8))):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (folder / f"train-{name}-ubyte").write_bytes(header + array.tobytes())
        shutil.copy(DATA / f"t10k-{name}-ubyte.gz", folder)


def play_seed(bench: Bench, name: str, seed: int) -> Record:
    """Trains a GAN, or goes on with it, draws from it, trains every classifier: what came of it."""
    setting, work = SETTINGS[name], bench.work / f"{name}-{seed}"
    if not (work / "data").exists():
        write_subset(setting, seed, work / "writing")
        (work / "writing").rename(work / "data")
    quiet = {"train.looks": 0, "train.frames": 2}
    run = gansmith.train(
        FAMILY,
        str(work / "data"),
        **({"kimg": KIMG} if bench.trial is None else {"minutes": bench.trial}),
        seed=seed,
        run_dir=work / "run",
        settings={**DEFAULTS, **quiet},
        quiet=True,
    )
    schedule = Schedule() if bench.trial is None else Schedule(steps=QUICK)
    dataset = open_data(run.config.data)
    real, heldout = labelled(dataset.train), labelled(dataset.heldout)
    judges = judges_of(real, CLASSES, schedule, seed)
    asked = setting.order.of(real.counts(CLASSES))
    made = [
        drawn(run, one, count, seed, dataset.train.names, lambda _: None)
        for one, count in zip(judges, asked, strict=True)
    ]
    hits = contend(real, together(made, real), heldout, CLASSES, schedule, seed)
    shutil.rmtree(work / "cache", ignore_errors=True)
    counts = sum((one.counts for one in made), Counter[str]())
    return {
        "setting": name,
        "seed": seed,
        "accuracy": {who: round(100 * float(found.mean()), 3) for who, found in hits.items()},
        "real": len(real),
        "asked": sum(asked),
        "drawn": counts.total(),
        "counts": {reason or "kept": count for reason, count in counts.items()},
        "images": run.result["images"],
        "train_seconds": run.result["seconds"],
        "cpu_seconds": round(time.process_time() + cpu_of_children(), 1),
    }


# ---- all of them


def play(bench: Bench, results: Results, todo: Sequence[tuple[str, int]], jobs: int) -> None:
    """The seeds that are to do, `jobs` at a time, each in a process with one thread."""
    progress = Progress([(bench.minutes(MINUTES) + REST) / jobs] * len(todo))
    with ThreadPoolExecutor(jobs) as pool:
        asked = {pool.submit(process, bench, name, seed): f"{name}/{seed}" for name, seed in todo}
        try:
            for done in as_completed(asked):
                progress.begin(asked[done])
                try:
                    results.put(asked[done], about() | done.result())
                except Failed as failure:
                    say(f"  {asked[done]} failed: {failure}")
                write(bench, results)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def process(bench: Bench, name: str, seed: int) -> Record:
    """`play_seed` in a process of its own."""
    work = bench.work / f"{name}-{seed}"
    order = [sys.executable, __file__, "--one", f"{name}/{seed}"]
    order += [] if bench.trial is None else ["--minutes", str(bench.trial)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GANSMITH_CACHE": str(work / "cache")}
    record: Record = json.loads(run_process(order, bench.work / f"{name}-{seed}.log", env))
    return record


# ---- the page


def of_setting(records: Sequence[Record], name: str) -> list[Record]:
    return [record for record in records if record["setting"] == name]


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """Mean and Student's interval of values of two seeds or more."""
    if len(values) < 2:
        return None
    mean, margin = float(np.mean(values)), t_margin(np.asarray(values, np.float64), level)
    return Estimate(mean, mean - margin, mean + margin)


def contest(records: Sequence[Record]) -> tuple[str, str, Estimate | None]:
    """The best of ours, the best of all others, and what ours has more, seed by seed; the interval is one of 98.3 %,
    as ours is the best of three."""
    mean = {who: np.mean([record["accuracy"][who] for record in records]) for who in (*WITHOUT, *WITH)}
    ours, rival = max(WITH, key=mean.__getitem__), max(WITHOUT, key=mean.__getitem__)
    more = [record["accuracy"][ours] - record["accuracy"][rival] for record in records]
    return ours, rival, estimate(more, 1 - (1 - LEVEL) / len(WITH))


def accuracy_table(records: Sequence[Record], names: Sequence[str]) -> str:
    rows = []
    for who in (*WITHOUT, *WITH):
        cells = []
        for name in names:
            values = [record["accuracy"][who] for record in of_setting(records, name)]
            found = estimate(values)
            cells.append(f"{np.mean(values):.1f}" if found is None else str(found))
        rows.append([who, *cells])
    return markdown(["trained with", *(SETTINGS[name].title for name in names)], rows)


def verdict_table(records: Sequence[Record], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        ours, rival, found = contest(of_setting(records, name))
        rows.append([SETTINGS[name].title, "one seed says nothing" if found is None else in_words(found, ours, rival)])
    return markdown(["real images", "do they help?"], rows)


def where(records: Sequence[Record], names: Sequence[str]) -> str:
    """Where they help, and where not, in a sentence."""
    found = {SETTINGS[name].title: contest(of_setting(records, name))[2] for name in names}
    helped = {title: difference is not None and difference.low > 0 for title, difference in found.items()}
    yes, no = ("; ".join(title for title in helped if helped[title] is is_so) or "none" for is_so in (True, False))
    return f"**Synthetic images help with: {yes}. They do not, or not that it could be told from chance, with: {no}.**"


def drawn_table(records: Sequence[Record], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        found = of_setting(records, name)
        total = sum(record["drawn"] for record in found)
        shares = [sum(record["counts"].get(why, 0) for record in found) / total for why in REASONS]
        images, asked = (sum(record[key] for record in found) for key in ("images", "asked"))
        kept = sum(record["counts"].get("kept", 0) for record in found)
        cpu = sum(record["cpu_seconds"] for record in found) / 60 / len(found)
        told = [str(len(found)), f"{images / len(found):,.0f}", *(f"{share:.1%}" for share in shares)]
        rows.append([SETTINGS[name].title, *told, f"{kept / asked:.1%}", f"{cpu:.1f}"])
    columns = ["real images", "seeds", "GAN's images", *(f"drawn: {why}" for why in REASONS)]
    return markdown([*columns, "of those asked for", "CPU minutes a seed"], rows)


REASONS = ("kept", "class", "density", "copy")

HEAD = """# More images for a classifier, measured

<!-- by hand: introduction -->

`gansmith augment` trains a GAN on the images that a classifier would be trained on, and adds what it makes. A GAN knows
nothing that these images do not hold, so whether that helps is a question to be measured, not assumed.

<!-- end -->

All below is written by `python benchmarks/augmentation.py` from `benchmarks/results/augmentation.json`; the script's
header says how it is measured.
"""
TAIL = """
Accuracy on the 10,000 test images of Fashion-MNIST, %, mean and 95 % interval (Student's) over seeds. Each seed has
training images, a GAN and classifiers of its own, so that the intervals hold for other such images and trainings, and
for these test images. Where all classes have as many images, class weights and oversampling change nothing, and are not
trained again. The difference is taken seed by seed, between the best of ours and the best of all others, by the test
images; the former is allowed for (98.3 %), the latter favours the others.
"""


DISCUSSION = """<!-- by hand: discussion -->

Not written yet.

<!-- end -->
"""


def page(records: Sequence[Record]) -> str:
    names = [name for name in SETTINGS if of_setting(records, name)]
    if not names:
        return HEAD
    spent = sum(record["cpu_seconds"] for record in records) / 3600
    parts = [
        HEAD,
        where(records, names),
        accuracy_table(records, names),
        TAIL,
        verdict_table(records, names),
        "What the filters did, and what it cost:",
        drawn_table(records, names),
        f"{spent:.1f} CPU hours in all. {when(records)}.",
        DISCUSSION,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write(bench: Bench, results: Results) -> None:
    records = list(results.records.values())
    bench.page.parent.mkdir(parents=True, exist_ok=True)
    bench.page.write_text(keep_by_hand(bench.page, page(records)))


def main() -> None:
    parser = bench_parser(NAME, __doc__, SETTINGS)  # type: ignore[arg-type]
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of each setting; default {SEEDS}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="side by side; default: one a core")
    parser.add_argument("--one", metavar="SETTING/SEED", help="play this alone, and print its record")
    asked = parser.parse_args()
    bench = Bench(NAME, asked.minutes)
    if asked.one:
        name, seed = asked.one.split("/")
        print(json.dumps(play_seed(bench, name, int(seed))))
        return
    stop_on_signals()
    results = Results(bench.records, f"python benchmarks/{NAME}.py")
    wanted = [(name, seed) for seed in range(asked.seeds) for name in chosen(SETTINGS, asked.only, parser)]
    if asked.redo:
        results.drop(f"{name}/{seed}" for name, seed in wanted)
        for name, seed in wanted:
            shutil.rmtree(bench.work / f"{name}-{seed}", ignore_errors=True)
    if not asked.table_only:
        play(
            bench,
            results,
            [(name, seed) for name, seed in wanted if f"{name}/{seed}" not in results.records],
            asked.jobs,
        )
    write(bench, results)
    say(f"written: {bench.page}, {bench.records}")


if __name__ == "__main__":
    main()

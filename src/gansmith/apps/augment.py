"""More images for a classifier: a conditional GAN trained on some, what it makes filtered and written as a folder of
classes, and a measurement of whether that helps."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.apps.class_folder import REPORT, check_out, folder_names, write
from gansmith.apps.classify import USUAL, Labelled, Schedule, Way, fit
from gansmith.apps.configure import Layer
from gansmith.apps.contest import Measured, contend, trials
from gansmith.apps.files import bar
from gansmith.apps.filtering import REASONS
from gansmith.apps.made import Maker
from gansmith.apps.run import Run, configured, load, train
from gansmith.apps.synthetic import ClassJudge, Drawn, Judge, drawn, sheet, together
from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError, Stopped
from gansmith.core.paths import write_json
from gansmith.data import Dataset, Split, open_data
from gansmith.recipes import family_named

log = logging.getLogger("gansmith")

FAMILY = "cgan"
DEFAULTS: Mapping[str, Any] = {"augment": "diffaugment", "train.samples": 0, "train.evaluations": 0}
"""Of a run for this: D sees little data in many ways (Zhao et al. 2020), and what counts is measured later."""
SEEDS = 5


@dataclass(frozen=True)
class Order:
    """How many synthetic images.

    Attributes:
        per_class: of each class; by default as many as the largest class has real ones.
        balance: as many as make every class as large as the largest.
    """

    per_class: int | None = None
    balance: bool = False

    def check(self) -> None:
        """Raises ConfigError where it cannot be met."""
        if self.balance and self.per_class is not None:
            raise ConfigError("--per-class and --balance: give one of them")
        if self.per_class is not None and self.per_class < 1:
            raise ConfigError(f"--per-class: expected at least 1, got {self.per_class}")

    def of(self, counts: np.ndarray) -> list[int]:
        """Images to make of each class that has so many real ones.

        Raises:
            ConfigError: all classes are as large already as they are to become.
        """
        most = int(counts.max())
        if self.balance and (counts == most).all():
            raise ConfigError(f"--balance: all classes have {most} images already; give --per-class")
        if self.balance:
            return [most - int(count) for count in counts]
        return [self.per_class or most] * len(counts)


@dataclass(frozen=True)
class Report:
    """What came of it.

    Attributes:
        run: the run's directory.
        out: the folder.
        classes: of each: its name, folder, real images, images asked for, kept, drawn, and dropped by reason.
        real_pass: share of held-out real images that the same filters would keep; None where there are none.
        measured: whether the images help; None where that was not asked.
        schedule: of the classifiers, the judge and those that measure.
        sheet: a picture of some that were kept, and some that were dropped.
    """

    run: Path
    out: Path
    classes: list[dict[str, Any]]
    real_pass: float | None
    measured: Measured | None
    schedule: Schedule
    sheet: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "out": str(self.out),
            "classes": self.classes,
            "real_pass": self.real_pass,
            "measured": None if self.measured is None else self.measured.to_json(),
            "schedule": asdict(self.schedule),
            "sheet": str(self.sheet),
        }


def augment(
    data: str,
    out: str | Path,
    *,
    family: str = FAMILY,
    run: str | Path | Run | None = None,
    run_dir: str | Path | None = None,
    kimg: float | None = None,
    minutes: float | None = None,
    seed: int = 0,
    per_class: int | None = None,
    balance: bool = False,
    seeds: int = SEEDS,
    measure: bool = True,
    with_real: bool = False,
    overwrite: bool = False,
    marked: bool = True,
    layers: Sequence[Layer] = (),
    schedule: Schedule = USUAL,
    quiet: bool = False,
) -> Report:
    """Writes a folder of synthetic images of each class, and says whether they help a classifier.

    Args:
        data: images with classes; a GAN sees the training part of them, held-out ones only measure.
        out: the folder, with a sub-folder for each class, ``manifest.jsonl`` and ``report.json``.
        family: of two players, told the class; see `gansmith families`.
        run: a conditional run that was trained on these data, in place of a new one.
        run_dir, kimg, minutes, layers: of the new run, see `train`.
        seed: of everything.
        per_class, balance: how many, see `Order`.
        seeds: of the classifiers' trainings, two at least.
        measure: whether to ask if the images help.
        with_real: whether the training images are written, too, as the networks see them.
        overwrite: replace what was written there before.
        marked: whether the synthetic files say that a trained model made them.
        schedule: of the classifiers.
        quiet: no progress of the training on stderr.

    Raises:
        ConfigError, DataError: it cannot be done; before anything is trained.
        Stopped: by a signal; the message says how to go on with the run.
    """
    order, target = Order(per_class, balance), Path(out)
    order.check()
    if seed < 0:
        raise ConfigError(f"--seed: expected at least 0, got {seed}")
    if schedule.steps < 1:
        raise ConfigError(f"--steps: expected at least 1, got {schedule.steps}")
    if measure and seeds < 2:
        raise ConfigError(f"--seeds: expected at least 2, for an interval, got {seeds}")
    check_out(Path(data), target, overwrite)
    how: dict[str, Any] = {
        "kimg": kimg,
        "minutes": minutes,
        "seed": seed,
        "settings": DEFAULTS,
        "layers": layers,
        "conditional": True,
    }
    if run is not None and any((kimg, minutes, run_dir, layers)):
        raise ConfigError("--run: is trained already; leave --kimg, --minutes, --run-dir and --set out")
    made_by = None if run is None else run if isinstance(run, Run) else load(run)
    dataset = opened(data, made_by, family, how, measure)
    asked = order.of(labelled(dataset.train).counts(len(dataset.spec.classes)))
    if made_by is None:
        made_by = train(family, data, run_dir=run_dir, quiet=quiet, **how)
    with reusable(made_by):
        return augmented(made_by, dataset, target, asked, seed, seeds if measure else 0, with_real, marked, schedule)


@contextmanager
def reusable(run: Run) -> Iterator[None]:
    """Ctrl-C within says how to go on with a run that is done."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped; the run is whole: --run {run.path} goes on with it (--overwrite where images are there already)",
            130,
        ) from None


def opened(data: str, run: Run | None, family: str, how: Mapping[str, Any], measure: bool) -> Dataset:
    """The data, as the run sees them or as a new one would.

    Raises:
        ConfigError: they have no classes, the run knows none, or was trained on something else.
        DataError: a class has too few images, or nothing is held out to measure by.
    """
    dataset = open_data(data_of_run(run, data) if run else data_of_family(family, data, how))
    if run and dataset.fingerprint != run.dir.meta()["data"]["fingerprint"]:
        raise ConfigError(
            f"{run.path}: was trained on other data than {data} is now, so that it may know images which are kept out "
            f"here; give {run.config.data.source}, or leave --run out"
        )
    check_classes(data, dataset)
    if measure and not len(dataset.heldout):
        raise DataError(
            f"{data}: no images are held out to measure by; add some (10 are enough to keep one out), a sub-folder "
            "test, or --no-measure"
        )
    return dataset


def data_of_run(run: Run, data: str) -> DataConfig:
    """How a run sees such data; ConfigError where it knows no classes."""
    if not run.is_conditional:
        raise ConfigError(f"{run.path}: knows no classes; train cgan, or with --conditional, or leave --run out")
    return run.config.data.model_copy(update={"source": data})


def data_of_family(family: str, data: str, how: Mapping[str, Any]) -> DataConfig:
    """How a new run would see such data; ConfigError where the family cannot be told the class."""
    if "conditioning" not in family_named(family).config.model_fields:
        raise ConfigError(f"--family {family}: cannot be told the class; give a two-player family such as {FAMILY}")
    return configured(family, data, **how).data


def check_classes(data: str, dataset: Dataset) -> None:
    """Raises ConfigError where there are no classes, DataError where one has too few images."""
    names, labels = dataset.spec.classes, dataset.train.labels
    if labels is None or len(names) < 2:
        raise ConfigError(
            f"{data}: {len(names) or 'no'} classes; put the images of each in a sub-folder of its own, or give labels "
            "in metadata.csv"
        )
    for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True):
        if count < 2:
            raise DataError(f"{data}: class {name}: {count} images to train on, and it takes 2; add some, or remove it")


def labelled(split: Split) -> Labelled:
    """A split that has labels, in memory."""
    assert split.labels is not None
    return Labelled(np.asarray(split.images), split.labels)


def augmented(
    run: Run,
    dataset: Dataset,
    out: Path,
    asked: Sequence[int],
    seed: int,
    seeds: int,
    with_real: bool,
    marked: bool,
    schedule: Schedule,
) -> Report:
    """What `augment` does once there is a run.

    Args:
        asked: synthetic images of each class.
        seeds: how many classifiers of each kind measure; 0 is none.
    """
    real, names = labelled(dataset.train), run.spec.classes
    judges = judges_of(real, len(names), schedule, seed)
    log.info("drawing %d images", sum(asked))
    with bar("drawing", sum(asked)) as advance:
        known = dataset.train.names
        made = [drawn(run, one, count, seed, known, advance) for one, count in zip(judges, asked, strict=True)]
    warn(names, made)
    write(run, out, made, dataset.train if with_real else None, marked)
    picture = run.path / "augmented.png"
    with run.dir.writing(), Maker(run.dir, marked) as maker:
        maker.write(sheet(made, real), picture)
    heldout = labelled(dataset.heldout) if len(dataset.heldout) else None
    found = measured(real, together(made, real), heldout, names, schedule, seed, seeds) if heldout and seeds else None
    passed = passing(judges, heldout) if heldout else None
    report = Report(run.path, out, told(names, real, made), passed, found, schedule, picture)
    with run.dir.writing():
        write_json(out / REPORT, report.to_json())
    return report


def judges_of(real: Labelled, classes: int, schedule: Schedule, seed: int) -> list[ClassJudge]:
    """A judge of each class, all from one classifier: of moved images, so that it thinks much the same of these as they
    are and of others; of all classes alike, so that it does not take what is rare for what is frequent."""
    with bar("learning to judge", schedule.steps) as advance:
        judge = Judge(fit(real, classes, Way(moves=True, evens=True), schedule, seed, advance), real)
    return [judge.of(label) for label in range(classes)]


def warn(names: Sequence[str], made: Sequence[Drawn]) -> None:
    """Says which classes could not be filled."""
    for name, one in zip(names, made, strict=True):
        if one.short:
            most = Counter({reason: count for reason, count in one.counts.items() if reason}).most_common(1)
            why = f"; most were dropped for {most[0][0]}" if most else ""
            log.warning(
                "class %s: %d of %d images: %d were drawn%s. A longer training may help",
                name,
                len(one.kept),
                one.asked,
                one.counts.total(),
                why,
            )


def told(names: Sequence[str], real: Labelled, made: Sequence[Drawn]) -> list[dict[str, Any]]:
    """What a report says of each class."""
    rows = zip(names, folder_names(names), real.counts(len(names)), made, strict=True)
    return [
        {
            "class": name,
            "folder": folder,
            "real": int(count),
            "asked": one.asked,
            "kept": len(one.kept),
            "drawn": one.counts.total(),
            "dropped": {reason: one.counts[reason] for reason in REASONS},
        }
        for name, folder, count, one in rows
    ]


def passing(judges: Sequence[ClassJudge], heldout: Labelled) -> float:
    """Share of held-out real images that the filters would keep."""
    by_class = [heldout.images[heldout.labels == judge.label][:MOST_JUDGED] for judge in judges]
    kept = [judge(images).reasons == "" for judge, images in zip(judges, by_class, strict=True) if len(images)]
    return round(float(np.concatenate(kept).mean()), 4)


MOST_JUDGED = 200
"""Of each class."""


def measured(
    real: Labelled,
    synthetic: Labelled,
    heldout: Labelled,
    names: Sequence[str],
    schedule: Schedule,
    seed: int,
    seeds: int,
) -> Measured:
    """Whether the images help: every contender with every seed."""
    each = tuple(range(seed, seed + seeds))
    log.info("measuring on %d held-out images: classifiers with %d seeds", len(heldout), seeds)
    each_trains = len(set(trials(real, real + synthetic, len(names), seed).values())) * schedule.steps
    with bar("measuring", seeds * each_trains) as advance:
        hits = [contend(real, synthetic, heldout, len(names), schedule, one, advance) for one in each]
    by_name = {name: np.stack([found[name] for found in hits]) for name in hits[0]}
    return Measured.of(by_name, heldout.labels, tuple(names), each)

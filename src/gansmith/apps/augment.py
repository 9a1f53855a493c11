"""More images for a classifier: a conditional GAN trained on some, what it makes filtered and written as a folder of
classes, and a measurement of whether that helps."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gansmith.apps.classify import Labelled, Schedule, Way, fit, mapped
from gansmith.apps.configure import Layer
from gansmith.apps.contest import Measured, contend
from gansmith.apps.credentials import credentials
from gansmith.apps.files import as_image, bar
from gansmith.apps.filtering import REASONS, Known, densities, reasons
from gansmith.apps.made import Maker
from gansmith.apps.run import Run, configured, load, train
from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError, Stopped
from gansmith.core.paths import write_atomic, write_json
from gansmith.data import Dataset, Split, open_data
from gansmith.data.marks import encoded
from gansmith.nets.classifier import Classifier
from gansmith.recipes import family_named
from gansmith.training.pictures import grid, in_colour
from gansmith.training.runtime import mixed_seed
from gansmith.training.session import padded

log = logging.getLogger("gansmith")

FAMILY = "cgan"
DEFAULTS: Mapping[str, Any] = {"augment": "diffaugment", "train.samples": 0, "train.evaluations": 0}
"""Of a run for this: D sees little data in many ways (Zhao et al. 2020), and what counts is measured later."""
MANIFEST, REPORT = "manifest.jsonl", "report.json"
SEEDS = 5
AT_ONCE = 256
"""Images drawn of a class at a time, at most."""
PATIENCE = 20
"""Images drawn for each that is asked for, before a class is given up."""
SHOWN = 8
"""Images of each reason on the sheet, and of those kept."""


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


# ---- what a judge thinks of images


@dataclass(frozen=True)
class Judge:
    """What tells good synthetic images from bad ones: a classifier of the training images, and these images.

    Attributes:
        net: the classifier.
        real: the training images.
    """

    net: Classifier
    real: Labelled

    @cached_property
    def features(self) -> np.ndarray:
        """Of the training images, float64 (N, F)."""
        return mapped(self.net.features, self.real.images).astype(np.float64)

    def of(self, label: int) -> ClassJudge:
        """That of one class."""
        rows = np.flatnonzero(self.real.labels == label)
        return ClassJudge(self.net, label, rows, self.features[rows], Known.of(self.real.images[rows]))


@dataclass(frozen=True)
class Judged:
    """What is thought of images.

    Attributes:
        reasons: why each is dropped; "" of those that are kept (M,).
        distance: to the nearest training image of the class, see `Known` (M,).
        nearest: the row of that (M,).
    """

    reasons: np.ndarray
    distance: np.ndarray
    nearest: np.ndarray


@dataclass(frozen=True)
class ClassJudge:
    """A judge of one class.

    Attributes:
        rows: of its training images.
        features: of these.
        known: these, to tell copies by.
    """

    net: Classifier
    label: int
    rows: np.ndarray
    features: np.ndarray
    known: Known

    def __call__(self, images: np.ndarray) -> Judged:
        """What is thought of uint8 (M, R, R, C)."""
        features = mapped(self.net.features, images)
        with torch.inference_mode():
            agrees = self.net.head(torch.from_numpy(features)).argmax(1).numpy() == self.label
        distance, number = self.known.nearest(images)
        density = densities(self.features, features.astype(np.float64))
        return Judged(reasons(agrees, density, distance, self.known.limit), distance, self.rows[number])


# ---- drawing


@dataclass
class Drawn:
    """The synthetic images of a class.

    Attributes:
        asked: how many were wanted.
        images: uint8 (R, R, C), those that were kept.
        lines: what the manifest says of each: seed, number, distance, nearest.
        counts: images by why they were dropped, "" of those kept.
        dropped: some of each reason, with the row of the nearest training image.
    """

    asked: int
    images: list[np.ndarray] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, list[tuple[np.ndarray, int]]] = field(default_factory=dict)

    @property
    def short(self) -> int:
        """Images that are missing."""
        return self.asked - len(self.images)

    def take(self, images: np.ndarray, judged: Judged, seed: int, names: Sequence[str]) -> None:
        """Keeps those of a draw that are worth it, until there are enough."""
        for number, reason in enumerate(judged.reasons):
            if not self.short:
                break
            self.counts[str(reason)] += 1
            nearest = int(judged.nearest[number])
            if reason:
                self.dropped.setdefault(str(reason), []).append((images[number], nearest))
                del self.dropped[str(reason)][SHOWN:]
                continue
            self.images.append(images[number])
            distance = round(float(judged.distance[number]), 5)
            self.lines.append({"seed": seed, "number": number, "distance": distance, "nearest": names[nearest]})


def drawn(
    run: Run, judge: ClassJudge, asked: int, seed: int, names: Sequence[str], advance: Callable[[float], None]
) -> Drawn:
    """So many images of a class that the judge keeps, or fewer where too many were drawn for them.

    Args:
        seed: of all draws; image `number` of a draw is ``run.sample(number + 1, its seed, label=class)[number]``.
        names: of the training images.
        advance: told of each image kept.
    """
    found, tried = Drawn(asked), 0
    while found.short and tried < PATIENCE * asked:
        count = min(AT_ONCE, max(32, 2 * found.short))
        own = mixed_seed(seed, judge.label, tried)
        images = padded(run.sample(count, own, label=judge.label), run.spec)
        before = found.short
        found.take(images, judge(images), own, names)
        advance(before - found.short)
        tried += count
    return found


# ---- the folder


def folder_names(classes: Sequence[str]) -> list[str]:
    """A name for the folder of each class, which any file system takes, no two alike."""
    names: list[str] = []
    for name in classes:
        stem = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "class"
        taken = {other.lower() for other in names}
        numbered = (stem if i == 1 else f"{stem}-{i}" for i in range(1, len(classes) + 2))
        names.append(next(one for one in numbered if one.lower() not in taken))
    return names


def check_out(out: Path, overwrite: bool) -> None:
    """Raises ConfigError where the folder must not be written to; before anything is computed."""
    credentials()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; --out takes a folder")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise ConfigError(f"{out}: not empty; choose another --out, or --overwrite what augment wrote there")
        if not (out / MANIFEST).is_file():
            raise ConfigError(f"{out}: holds files of others: it has no {MANIFEST}; choose another --out")


def clear(out: Path) -> None:
    """Removes what an earlier manifest names, and nothing else."""
    manifest = out / MANIFEST
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    for line in lines:
        path = out / json.loads(line)["file"]
        if path.resolve().is_relative_to(out.resolve()):
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
    for name in (MANIFEST, REPORT):
        (out / name).unlink(missing_ok=True)


def write(run: Run, out: Path, made: Sequence[Drawn], real: Split | None, marked: bool) -> None:
    """The folder: images by class, and a manifest that names them before they are there, so that what a crash leaves
    can be cleared."""
    folders, window = folder_names(run.spec.classes), run.spec.window
    fingerprint = run.dir.mark.run
    lines: list[dict[str, Any]] = []
    for folder, name, one in zip(folders, run.spec.classes, made, strict=True):
        for number, line in enumerate(one.lines):
            file = f"{folder}/synthetic-{number:05}.png"
            about = {"file": file, "class": name, "synthetic": True, "marked": marked, "run": fingerprint}
            lines.append(about | line)
    pictures = [image for one in made for image in one.images]
    synthetic = len(lines)
    if real is not None and real.labels is not None:
        for number, (label, name) in enumerate(zip(real.labels, real.names, strict=True)):
            file = f"{folders[label]}/real-{number:05}.png"
            lines.append({"file": file, "class": run.spec.classes[label], "synthetic": False, "source": name})
            pictures.append(real.images[number])
    with run.dir.writing(), Maker(run.dir, marked) as maker:
        out.mkdir(parents=True, exist_ok=True)
        clear(out)
        write_atomic(out / MANIFEST, "".join(json.dumps(line) + "\n" for line in lines))
        for number, (line, image) in enumerate(zip(lines, pictures, strict=True)):
            path, picture = out / line["file"], as_image(np.asarray(image[window]))
            path.parent.mkdir(exist_ok=True)
            if number < synthetic:
                maker.write(picture, path)
            else:
                write_atomic(path, encoded(picture, "PNG")[0])


def sheet(made: Sequence[Drawn], real: Labelled) -> Image.Image:
    """Rows of images kept, then of images dropped for each reason; beside each its nearest training image."""
    from gansmith.apps.edits import titled

    kept = [[(image, None) for image in one.images[:SHOWN]] for one in made]
    rows: dict[str, list[tuple[np.ndarray, int | None]]] = {"kept": in_turn(kept)}
    for reason in REASONS:
        rows[f"dropped: {reason}"] = in_turn([one.dropped.get(reason, []) for one in made])
    rows = {name: found for name, found in rows.items() if found}
    blank = np.full_like(real.images[0], 255)
    tiles: list[np.ndarray] = []
    for found in rows.values():
        pairs = [x for image, near in found for x in ([image] if near is None else [image, real.images[near]])]
        tiles += [*pairs[: 2 * SHOWN], *[blank] * (2 * SHOWN - len(pairs))]
    return titled(grid(in_colour(np.stack(tiles)), 2 * SHOWN), list(rows), margin=120)


def in_turn(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The first of each, then the second of each …, as many as a row of the sheet has."""
    longest = max(map(len, lists), default=0)
    return [one[i] for i in range(longest) for one in lists if i < len(one)][: 2 * SHOWN]


# ---- the command


@dataclass(frozen=True)
class Report:
    """What came of it.

    Attributes:
        run: the run's directory.
        out: the folder.
        classes: of each: its name, folder, real images, images asked for, kept, drawn, and dropped by reason.
        real_pass: share of held-out real images that the same filters would keep; None where there are none.
        measured: whether the images help; None where that was not asked.
        sheet: a picture of some that were kept, and some that were dropped.
    """

    run: Path
    out: Path
    classes: list[dict[str, Any]]
    real_pass: float | None
    measured: Measured | None
    sheet: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "out": str(self.out),
            "classes": self.classes,
            "real_pass": self.real_pass,
            "measured": None if self.measured is None else self.measured.to_json(),
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
    schedule: Schedule | None = None,
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
    if measure and seeds < 2:
        raise ConfigError(f"--seeds: expected at least 2, for an interval, got {seeds}")
    check_out(target, overwrite)
    made_by = None if run is None else run if isinstance(run, Run) else load(run)
    dataset = opened(data, made_by, family, layers, measure)
    asked = order.of(labelled(dataset.train).counts(len(dataset.spec.classes)))
    if made_by is None:
        made_by = train(
            family,
            data,
            kimg=kimg,
            minutes=minutes,
            seed=seed,
            run_dir=run_dir,
            settings=DEFAULTS,
            layers=layers,
            conditional=True,
            quiet=quiet,
        )
    with reusable(made_by):
        return augmented(
            made_by, dataset, target, asked, seed, seeds if measure else 0, with_real, marked, schedule or Schedule()
        )


@contextmanager
def reusable(run: Run) -> Iterator[None]:
    """Ctrl-C within says how to go on with a run that is done."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the run is whole: --run {run.path} goes on with it", 130) from None


def opened(data: str, run: Run | None, family: str, layers: Sequence[Layer], measure: bool) -> Dataset:
    """The data, as the run sees them or as a new one would.

    Raises:
        ConfigError: they have no classes, the run knows none, or was trained on something else.
        DataError: a class has too few images, or nothing is held out to measure by.
    """
    dataset = open_data(data_of_run(run, data) if run else data_of_family(family, data, layers))
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


def data_of_family(family: str, data: str, layers: Sequence[Layer]) -> DataConfig:
    """How a new run would see such data; ConfigError where the family cannot be told the class."""
    if "conditioning" not in family_named(family).config.model_fields:
        raise ConfigError(f"--family {family}: cannot be told the class; give a two-player family such as {FAMILY}")
    return configured(family, data, settings=DEFAULTS, layers=layers, conditional=True).data


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
    with bar("learning to judge", schedule.steps) as advance:
        judge = Judge(fit(real, len(names), Way(moves=True), schedule, seed, advance), real)
    judges = [judge.of(label) for label in range(len(names))]
    with bar("drawing", sum(asked)) as advance:
        made = [
            drawn(run, one, count, seed, dataset.train.names, advance) for one, count in zip(judges, asked, strict=True)
        ]
    warn(names, made)
    write(run, out, made, dataset.train if with_real else None, marked)
    picture = run.path / "augmented.png"
    with run.dir.writing(), Maker(run.dir, marked) as maker:
        maker.write(sheet(made, real), picture)
    heldout = labelled(dataset.heldout) if len(dataset.heldout) else None
    found = measured(real, together(made, real), heldout, names, schedule, seed, seeds) if heldout and seeds else None
    passed = passing(judges, heldout) if heldout else None
    report = Report(run.path, out, told(names, real, made), passed, found, picture)
    with run.dir.writing():
        write_json(out / REPORT, report.to_json())
    return report


def warn(names: Sequence[str], made: Sequence[Drawn]) -> None:
    """Says which classes could not be filled."""
    for name, one in zip(names, made, strict=True):
        if one.short:
            most = Counter({reason: count for reason, count in one.counts.items() if reason}).most_common(1)
            why = f"; most were dropped for {most[0][0]}" if most else ""
            log.warning(
                "class %s: %d of %d images: %d were drawn%s. A longer training may help",
                name,
                len(one.images),
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
            "kept": len(one.images),
            "drawn": one.counts.total(),
            "dropped": {reason: one.counts[reason] for reason in REASONS},
        }
        for name, folder, count, one in rows
    ]


def together(made: Sequence[Drawn], real: Labelled) -> Labelled:
    """All synthetic images with their classes."""
    images = [image for one in made for image in one.images]
    labels = np.repeat(np.arange(len(made)), [len(one.images) for one in made])
    return Labelled(np.stack(images) if images else real.images[:0], labels)


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
    with bar("measuring", seeds) as advance:
        hits = []
        for one in each:
            hits.append(contend(real, synthetic, heldout, len(names), schedule, one))
            advance(1)
    by_name = {name: np.stack([found[name] for found in hits]) for name in hits[0]}
    return Measured.of(by_name, heldout.labels, tuple(names), each)

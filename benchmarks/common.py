"""What several benchmarks share: the machine's name, runs as processes of their own, scores, results that grow."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

from gansmith.core.paths import write_json

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
WORK = HERE / ".work"
COUNT = 10_000
"""Samples that a score is taken of."""


# ---- where and when


@cache
def machine() -> str:
    """Processor, cores, memory and versions, in a line."""
    import torch

    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    total = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    memory = f", {total / 2**20:.0f} GiB" if total else ""
    return f"{cpu}, {os.cpu_count()} cores{memory}, torch {torch.__version__}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def revision() -> str:
    """The git revision, with a + where the package differs from it."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    return (git("rev-parse", "--short", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "src"))) or "unknown"


def about() -> dict[str, Any]:
    """What every record of a benchmark says of itself. A load above 1 says that others had a part of the machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "cores": os.cpu_count(),
        "revision": revision(),
        "load": round(os.getloadavg()[0], 2),
    }


def when(records: Iterable[dict[str, Any]]) -> str:
    """Dates, revisions and machines of some records, in words."""
    listed = list(records)
    dates, revisions, machines = (
        sorted({str(record[name]) for record in listed}) for name in ("date", "revision", "machine")
    )
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{days}, revision {', '.join(revisions)}, on {'; '.join(machines)}"


# ---- results that grow


@dataclass
class Results:
    """Records by key in one JSON file, which is written anew, atomically, after each.

    Attributes:
        path: the file.
        command: what made it, for whoever reads it.
    """

    path: Path
    command: str
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists():
            self.records = json.loads(self.path.read_text())["records"]

    def put(self, key: str, record: dict[str, Any]) -> None:
        self.records[key] = record
        self._write()

    def drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.records.pop(key, None)
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"command": self.command, "records": dict(sorted(self.records.items()))})


def records_of(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a file that `Results` wrote; none where there is no such file."""
    return Results(path, "").records


@dataclass
class Progress:
    """Says what is being done, and how long the rest will take.

    Attributes:
        minutes: of each task still to do, in their order.
    """

    minutes: list[float]
    done: int = 0

    def begin(self, what: str) -> None:
        left = sum(self.minutes[self.done :])
        self.done += 1
        say(f"[{self.done}/{len(self.minutes)}] {what}; {in_hours(left)} left")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def in_hours(minutes: float) -> str:
    return f"{int(minutes) // 60} h {int(minutes) % 60:02} min"


# ---- runs as processes


class Failed(Exception):
    """A run that did not end well; the message is its own."""


class Interrupted(SystemExit):
    """The benchmark was told to stop; what runs has been checkpointed."""


def stop_on_signals() -> None:
    """SIGTERM ends the benchmark as Ctrl-C does: the run in progress writes a checkpoint first."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(75)

    signal.signal(signal.SIGTERM, stop)


def run_process(order: list[str], log: Path, env: dict[str, str] | None = None) -> str:
    """What the process prints on stdout; its stderr goes to `log`. A stop of ours is passed on, and waited for.

    Raises:
        Failed: it ended with another code than 0.
        Interrupted: it was stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as chatter, subprocess.Popen(order, stdout=subprocess.PIPE, stderr=chatter, env=env) as child:
        try:
            printed = child.communicate()[0].decode()
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
                child.wait()
    if child.returncode in (75, 130):
        raise Interrupted(child.returncode)
    if child.returncode:
        raise Failed(last_message(log) or f"ended with code {child.returncode}")
    return printed


def last_message(log: Path) -> str:
    """The error at the end of a log: ours if there is one, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    own = [i for i, line in enumerate(lines) if line.startswith("gansmith: ")]
    return " ".join(lines[own[-1] :])[:500] if own else (lines[-1][:500] if lines else "")


def train(family: str, run_dir: Path, *args: str, data: str = "fashion-mnist") -> dict[str, Any]:
    """``gansmith train FAMILY --json`` in a process of its own: its result, and the seconds that all of it took, of the
    clock and of all cores.

    A run that was stopped goes on; the seconds are then those of its last part.
    """
    from gansmith.training.rundir import RunDir

    while RunDir(run_dir).is_running():  # one that outlived a benchmark that was killed
        say(f"waiting for another process that trains in {run_dir}")
        time.sleep(10)
    order = [sys.executable, "-m", "gansmith.cli.main", "train", family, "--data", data, "--json"]
    began, spent = time.monotonic(), cpu_of_children()
    printed = run_process([*order, "--run-dir", str(run_dir), *args], log_of(run_dir))
    took = {"wall_seconds": time.monotonic() - began, "cpu_seconds": cpu_of_children() - spent}
    return {**json.loads(printed), **{name: round(seconds, 1) for name, seconds in took.items()}}


def cpu_of_children() -> float:
    """Seconds that processes which have ended spent on all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def log_of(run_dir: Path) -> Path:
    """What a run said on stderr, beside its directory."""
    return run_dir.parent / f"{run_dir.name}.log"


def forget(run_dir: Path) -> None:
    """Removes a run and its log."""
    shutil.rmtree(run_dir, ignore_errors=True)
    log_of(run_dir).unlink(missing_ok=True)


def settings_flags(settings: Iterable[str]) -> list[str]:
    """``["a=1", "b=2"]`` as ``["--set", "a=1", "--set", "b=2"]``."""
    return [part for setting in settings for part in ("--set", setting)]


# ---- benchmarks in parts


@dataclass(frozen=True)
class Bench:
    """Where a benchmark's runs, records, page and pictures are: those of a trial all in its work folder.

    Attributes:
        name: of the script, the record, the page and the pictures.
        trial: minutes of every training in a trial, which is too short to say anything; None for the real thing.
        asked: the script's own arguments.
    """

    name: str
    trial: float | None = None
    asked: argparse.Namespace = field(default_factory=argparse.Namespace)

    @property
    def work(self) -> Path:
        return WORK / self.name / ("full" if self.trial is None else f"trial-{self.trial:g}min")

    @property
    def records(self) -> Path:
        return (RESULTS if self.trial is None else self.work) / f"{self.name}.json"

    @property
    def page(self) -> Path:
        return (ROOT / "docs" if self.trial is None else self.work) / f"{self.name}.md"

    @property
    def pictures(self) -> Path:
        return self.page.parent / "pictures" / self.name

    def minutes(self, planned: float) -> float:
        """Of a training that is to take so long."""
        return planned if self.trial is None else min(planned, self.trial)

    def link(self, picture: str) -> str:
        """A picture in the page, where it is there."""
        return f"![](pictures/{self.name}/{picture})\n" if (self.pictures / picture).exists() else ""


@dataclass(frozen=True)
class Part:
    """One part of a benchmark, measured by itself.

    Attributes:
        minutes: of each of its trainings.
        measure: trains, or goes on training, and gives what came of it, beside `about`; ``claims``, where there are
            any, says of each whether it holds.
        section: what the page says of that.
    """

    minutes: tuple[float, ...]
    measure: Callable[[Bench], dict[str, Any]]
    section: Callable[[Bench, dict[str, Any]], str]


def bench_parser(name: str, text: str | None, parts: Mapping[str, Part]) -> argparse.ArgumentParser:
    """The arguments that all benchmarks in parts have; `text` is the script's docstring."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PART,…", help=f"these: {', '.join(parts)}")
    parser.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help=f"a trial: no training is longer; its page, records and pictures stay in {WORK / name}",
    )
    parser.add_argument("--redo", action="store_true", help="forget what there is of these parts, runs too")
    parser.add_argument("--table-only", action="store_true", help="train nothing, write the page of what there is")
    return parser


def play_parts(
    name: str, parser: argparse.ArgumentParser, parts: Mapping[str, Part], page: Callable[[list[str]], str]
) -> None:
    """The command line of a benchmark in parts; each is measured once, and can be stopped and gone on with.

    Args:
        parser: of `bench_parser`, with the script's own arguments.
        page: the sections of those that have been measured -> the page.
    """
    asked = parser.parse_args()
    bench, wanted = Bench(name, asked.minutes, asked), chosen(parts, asked.only, parser)
    stop_on_signals()
    results = Results(bench.records, f"python benchmarks/{name}.py")
    if asked.redo:
        results.drop(wanted)
        for path in (path for part in wanted for path in bench.work.glob(f"{part}-*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write() -> None:
        found = [(part, results.records.get(part, {})) for part in parts]
        bench.page.parent.mkdir(parents=True, exist_ok=True)
        sections = [parts[part].section(bench, record) for part, record in found if record and "failed" not in record]
        sections += [f"## {part}: failed\n\n{record['failed']}\n" for part, record in found if "failed" in record]
        bench.page.write_text(keep_by_hand(bench.page, page(sections)))

    todo = [] if asked.table_only else [part for part in wanted if "done" not in results.records.get(part, {})]
    progress = Progress([OVERHEAD * sum(map(bench.minutes, parts[part].minutes)) + 1 for part in todo])
    for part in todo:
        progress.begin(part)
        record = about()
        try:
            record |= parts[part].measure(bench) | {"done": True}
        except Failed as failure:
            record |= {"failed": str(failure)}
            say(f"  failed: {failure}")
        results.put(part, record)
        for claim, holds in record.get("claims", {}).items():
            say(f"  {'holds' if holds else 'DOES NOT HOLD'}: {claim}")
        write()
    write()
    say(f"written: {bench.page}, {bench.records}")


OVERHEAD = 1.15
"""Minutes of a part for each minute of its trainings; an estimate."""


def of_run(result: Mapping[str, Any], command: str) -> dict[str, Any]:
    """What a record says of a run that `train` has made."""
    names = ("images", "images_per_second", "seconds", "wall_seconds", "cpu_seconds")
    return {"command": command, **{name: result[name] for name in names}}


def ran(run: Mapping[str, Any], kind: str = "images") -> str:
    """What the page says of a run's record: its command, its length, and what it cost."""
    return (
        f"`{run['command']}`: {run['images']:,} {kind} at {run['images_per_second']:,.0f}/s, "
        f"{run['seconds'] / 60:.1f} minutes of it training; {run['cpu_seconds'] / 60:.1f} CPU minutes in all"
    )


def estimate(values: np.ndarray, digits: int = 5) -> dict[str, Any]:
    """Mean of values (N,), its 95 % bootstrap interval, and their standard deviation."""
    from gansmith.metrics import bootstrap_interval

    low, high = bootstrap_interval(np.asarray(values, np.float64))
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    named = {"mean": np.mean(values), "low": low, "high": high, "sd": spread}
    return {name: round(float(value), digits) for name, value in named.items()} | {"n": len(values)}


def told(estimated: Mapping[str, float], digits: int = 3) -> str:
    """An estimate as ``0.41 [0.38, 0.44]``."""
    mean, low, high = (f"{estimated[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(images, targets), both uint8 (N, H, W, C) -> (N,)."""
HIGHER_IS_BETTER = ("PSNR", "SSIM", "Dice")
"""Of all other measures less is better."""


def compared(values: Mapping[str, Mapping[str, np.ndarray]], subject: str) -> dict[str, dict[str, Any]]:
    """By measure: an estimate for each of the compared, and of what the subject has more than it, pair by pair.

    Args:
        values: by measure, by who is measured: (N,), the same images in the same order.
        subject: one of those who are.
    """
    return {
        name: {who: estimate(x) for who, x in of.items()}
        | {f"{subject} - {who}": estimate(of[subject] - x) for who, x in of.items() if who != subject}
        for name, of in values.items()
    }


def betters(comparison: Mapping[str, Mapping[str, Any]], subject: str, other: str) -> dict[str, bool]:
    """By measure, whether the whole interval of the difference says that the subject is better."""
    found = {}
    for name, estimates in comparison.items():
        difference = estimates[f"{subject} - {other}"]
        higher = name.startswith(HIGHER_IS_BETTER)
        found[f"{subject} against {other}, {name}"] = difference["low"] > 0 if higher else difference["high"] < 0
    return found


def comparison_table(comparison: Mapping[str, Mapping[str, Any]], digits: Mapping[str, int] | None = None) -> str:
    """A row for each of the compared and for each difference, a column for each measure."""
    names = list(comparison)
    rows = list(comparison[names[0]])
    return markdown(
        ["mean [95 % interval]", *(f"{name} {'↑' if name.startswith(HIGHER_IS_BETTER) else '↓'}" for name in names)],
        [[row, *(told(comparison[name][row], (digits or {}).get(name, 3)) for name in names)] for row in rows],
    )


def perceptual_measures() -> dict[str, Measure]:
    """The perceptual distances by all networks that are here."""
    from gansmith.metrics import distance_of, perceptual_net

    return {f"perceptual, {name}": distance_of(perceptual_net(name)) for name in perceptual_names()}


def perceptual_names() -> list[str]:
    """The perceptual networks that are here."""
    from gansmith.metrics.perceptual import SOURCES

    return [name for name, source in SOURCES.items() if source.file() is not None]


def read_images(folder: Path) -> np.ndarray:
    """The PNG files of a folder, all of one size, by name: uint8 (N, H, W, C)."""
    pictures = np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))])
    return pictures[..., None] if pictures.ndim == 3 else pictures


# ---- scores


class FashionMnist:
    """The whole of Fashion-MNIST as references for scores by `fashion-cnn`, and that network as a classifier."""

    @cached_property
    def dataset(self) -> Any:
        from gansmith.core.config import DataConfig
        from gansmith.data import open_data

        return open_data(DataConfig(source="fashion-mnist"))

    @cached_property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and held-out images, uint8 (N, 28, 28, 1)."""
        pictures: tuple[np.ndarray, np.ndarray] = self.dataset.pictures
        return pictures

    @cached_property
    def features(self) -> Any:
        """Images uint8 (N, H, W, C) to features (N, 96)."""
        from gansmith.metrics import extractor

        return extractor("fashion-cnn")

    def real_features(self, images: np.ndarray) -> np.ndarray:
        """Features of images of the data set, kept on disk: (N, 96)."""
        from gansmith.metrics.reference import cached_features

        return cached_features(images, self.features, self.dataset.fingerprint)

    def frechet(self, fakes: np.ndarray) -> float:
        """The Fréchet distance of images (N, 28, 28, 1) to 10,000 training images."""
        from gansmith.metrics import evaluate

        real, heldout = self.pictures
        scores = evaluate(fakes, real, heldout, self.features, metrics=["frechet"], key=self.dataset.fingerprint)
        return round(scores["frechet"].value, 3)

    @cached_property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight (10, 96) and bias (10,) of the classifier's last layer."""
        from safetensors.numpy import load_file

        from gansmith.metrics.features import FASHION_WEIGHTS

        weights = load_file(FASHION_WEIGHTS)
        return weights["head.weight"].astype(np.float32), weights["head.bias"].astype(np.float32)

    def classes(self, features: np.ndarray) -> np.ndarray:
        """The class that `fashion-cnn` names for each row of features: (N,)."""
        weight, bias = self.head
        return (features @ weight.T + bias).argmax(1)


# ---- documents and pictures


def keep_by_hand(path: Path, text: str) -> str:
    """`text` with each section between ``<!-- by hand: NAME -->`` and ``<!-- end -->`` as it stands in `path`."""
    old = path.read_text() if path.exists() else ""
    for name in (line.split(":")[1].split("--")[0].strip() for line in text.splitlines() if "<!-- by hand:" in line):
        begin = f"<!-- by hand: {name} -->"
        if begin in old:
            kept = old.split(begin, 1)[1].split("<!-- end -->", 1)[0]
            head, rest = text.split(begin, 1)
            text = head + begin + kept + "<!-- end -->" + rest.split("<!-- end -->", 1)[1]
    return text


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean_sd(values: list[float], digits: int = 2) -> str:
    """``mean ± sd``, the sample's standard deviation; the mean alone of one value."""
    if not values:
        return "–"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def save_sheet(images: np.ndarray, path: Path, columns: int = 8, most: int = 40_000) -> None:
    """A PNG of images uint8 (N, H, W, C) side by side, of fewer colours, or smaller, where it would exceed `most`
    bytes. A name in .webp makes a WebP of them, of quality 90, as large as it comes: for photographs."""
    n, h, w, c = images.shape
    tiles = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    rows = tiles.reshape(n // columns, columns, h + 2, w + 2, c).swapaxes(1, 2)
    sheet = rows.reshape(n // columns * (h + 2), columns * (w + 2), c)
    picture = Image.fromarray(sheet[:, :, 0] if c == 1 else sheet[:, :, :3])
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    tries = [(picture, 0), (picture, 64), (picture, 16), (half, 0), (half, 64), (half, 16)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".webp":
        picture.save(path, quality=90)
        return
    for candidate, colours in tries:
        buffer = io.BytesIO()
        (candidate.quantize(colours) if colours else candidate).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= most:
            break
    path.write_bytes(buffer.getvalue())


def chosen(known: Iterable[str], asked: str | None, parser: argparse.ArgumentParser) -> list[str]:
    """The names of ``--only a,b``, all where it is not given; a usage error where one is not known."""
    names = list(known)
    if asked is None:
        return names
    wanted = [name.strip() for name in asked.split(",")]
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"--only: unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    return wanted

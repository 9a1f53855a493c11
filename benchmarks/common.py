"""What several benchmarks share: the machine's name, runs as processes of their own, scores, results that grow."""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
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
        except BaseException:
            child.send_signal(signal.SIGTERM)
            child.wait()
            raise
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
    """``gansmith train FAMILY --json`` in a process of its own: its result, and the seconds that all of it took.

    A run that was stopped goes on; the seconds are then those of its last part.
    """
    from gansmith.training.rundir import RunDir

    while RunDir(run_dir).is_running():  # one that outlived a benchmark that was killed
        say(f"waiting for another process that trains in {run_dir}")
        time.sleep(10)
    order = [sys.executable, "-m", "gansmith.cli.main", "train", family, "--data", data, "--json"]
    began = time.monotonic()
    printed = run_process([*order, "--run-dir", str(run_dir), *args], log_of(run_dir))
    return {**json.loads(printed), "wall_seconds": round(time.monotonic() - began, 1)}


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
        from gansmith.apps.run import pictures_of

        return pictures_of(self.dataset)

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
    bytes."""
    n, h, w, c = images.shape
    tiles = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    rows = tiles.reshape(n // columns, columns, h + 2, w + 2, c).swapaxes(1, 2)
    sheet = rows.reshape(n // columns * (h + 2), columns * (w + 2), c)
    picture = Image.fromarray(sheet[:, :, 0] if c == 1 else sheet[:, :, :3])
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    tries = [(picture, 0), (picture, 64), (picture, 16), (half, 0), (half, 64), (half, 16)]
    path.parent.mkdir(parents=True, exist_ok=True)
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

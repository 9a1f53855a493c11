"""Who watches a run and never acts: the metrics file, the terminal, TensorBoard."""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gansmith.core.clock import Clock
from gansmith.training.pictures import on_white
from gansmith.training.rundir import RunDir

Row = dict[str, Any]


class Observer(Protocol):
    """Sees a row of figures now and then, every grid of samples, and what the doctor finds."""

    def row(self, clock: Clock, row: Row) -> None: ...

    def frame(self, clock: Clock, path: Path) -> None: ...

    def health(self, row: Row, words: str) -> None: ...

    def close(self) -> None: ...


class Files:
    """metrics.jsonl and health.jsonl: one object a line, whole lines only."""

    def __init__(self, run: RunDir):
        self.file, self.looks = run.metrics.open("a"), run.health.open("a")

    def row(self, clock: Clock, row: Row) -> None:
        write_line(self.file, row)

    def frame(self, clock: Clock, path: Path) -> None:
        pass

    def health(self, row: Row, words: str) -> None:
        write_line(self.looks, row)

    def close(self) -> None:
        self.file.close()
        self.looks.close()


def write_line(file: TextIO, row: Row) -> None:
    file.write(json.dumps(row, allow_nan=False) + "\n")
    file.flush()


class Lines:
    """A line on stderr now and then, where there is no terminal to draw in."""

    def __init__(self, seconds: float = 15.0):
        self.seconds, self.last, self.said = seconds, -float("inf"), ""

    def row(self, clock: Clock, row: Row) -> None:
        if time.monotonic() - self.last >= self.seconds or clock.finished:
            self.last = time.monotonic()
            print(f"{clock.progress:4.0%}  {clock.images / 1000:.1f} kimg  {figures(row)}", file=sys.stderr)

    def frame(self, clock: Clock, path: Path) -> None:
        pass

    def health(self, row: Row, words: str) -> None:
        if words != self.said:
            self.said = words
            print(f"health: {words}", file=sys.stderr)

    def close(self) -> None:
        pass


class Terminal:
    """A live view: progress, speed, time left, losses, D's outputs, the last grid."""

    def __init__(self, run: RunDir, clock: Clock):
        console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("[bold]{task.fields[stage]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeRemainingColumn(),
            console=console,
        )
        self.task = self.progress.add_task("", total=clock.total, completed=clock.images, stage="training")
        self.text, self.found, self.picture = Text(""), Text("", style="bold"), Text(f"run  {run.path}", style="dim")
        shown = Group(self.progress, self.text, self.found, self.picture)
        self.live = Live(shown, console=console, refresh_per_second=4)
        self.live.start()

    def row(self, clock: Clock, row: Row) -> None:
        self.progress.update(self.task, total=clock.total, completed=clock.images, stage=row["stage"])
        self.text.plain = figures(row)

    def frame(self, clock: Clock, path: Path) -> None:
        self.picture.plain = f"last grid  {path}"

    def health(self, row: Row, words: str) -> None:
        self.found.plain = f"health  {words}"

    def close(self) -> None:
        self.live.stop()


class TensorBoard:
    """Scalars and grids for TensorBoard, where it is installed."""

    def __init__(self, run: RunDir):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def row(self, clock: Clock, row: Row) -> None:
        for key, value in row.items():
            if isinstance(value, int | float):
                self.writer.add_scalar(key, value, clock.images)

    def frame(self, clock: Clock, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self.writer.add_image("samples", np.asarray(on_white(picture)), clock.images, dataformats="HWC")

    def health(self, row: Row, words: str) -> None:
        for verdict in row["illnesses"]:
            self.writer.add_scalar(f"health/{verdict['name']}", verdict["probability"], row["images"])

    def close(self) -> None:
        self.writer.close()


def figures(row: Row) -> str:
    """A row in words: speed, then losses and outputs, then the last quick score."""
    parts = [f"{row['images_per_second']:,.0f} images/s"]
    parts += [f"{key} {value:.3g}" for key, value in row.items() if "/" in key]
    return "  ".join(parts)


class Watchers:
    """Several observers as one context; those that the machine can serve."""

    def __init__(self, run: RunDir, clock: Clock, quiet: bool):
        self.observers: list[Observer] = [Files(run)]
        if find_spec("tensorboard"):
            self.observers.append(TensorBoard(run))
        if not quiet:
            self.observers.append(Terminal(run, clock) if sys.stderr.isatty() else Lines())

    def __enter__(self) -> Watchers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for observer in self.observers:
            observer.close()

    def row(self, clock: Clock, row: Row) -> None:
        for observer in self.observers:
            observer.row(clock, row)

    def frame(self, clock: Clock, path: Path) -> None:
        for observer in self.observers:
            observer.frame(clock, path)

    def health(self, row: Row, words: str) -> None:
        for observer in self.observers:
            observer.health(row, words)

"""From a resolved configuration to a trained run directory."""

from __future__ import annotations

import contextlib
import logging
import math
import shutil
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gansmith.core.clock import Clock, Pace, Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError, Diverged, Ill, Stopped
from gansmith.core.paths import sweep
from gansmith.data import Dataset
from gansmith.training.checkpoint import is_finite, load_checkpoint, name_of, prune, save_checkpoint, set_aside
from gansmith.training.judge import BEST_BY, PATIENT_BY, Judge, picture
from gansmith.training.observers import Row, Watchers
from gansmith.training.patience import standstill
from gansmith.training.pictures import save_picture
from gansmith.training.rundir import HEALTHY, RunDir
from gansmith.training.runtime import Runtime, own_randomness
from gansmith.training.session import Session
from gansmith.training.start import begin

log = logging.getLogger("gansmith")

HEARTBEAT_SECONDS = 20.0
PACED = (0.05, 0.15, 0.3, 0.5)
"""Where in a run of minutes it is asked how long it may still be."""
LEAST_PACED = 5.0
"""Seconds that a speed must have been seen for."""
LEAST_APART = 16
"""Steps between two looks of the doctor, each of which takes as long as about five."""
ROWS = 1000


def crossed(before: Clock, after: Clock, count: int, power: float = 1.0) -> bool:
    """Whether a mark of `count` marks spread over the run lies between two clocks; `power` below 1 crowds them at
    its start."""
    return math.floor(count * after.progress**power) > math.floor(count * before.progress**power)


class Signals:
    """The first SIGINT or SIGTERM is remembered, so that the step can end and a checkpoint be written."""

    def __init__(self) -> None:
        self.seen: int | None = None

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.seen = number
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Signals]:
        """Watches inside; in another thread than the main one, Python delivers no signals and nothing is watched."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Tally:
    """Statistics of the steps since the last row, on the device until they are read."""

    values: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def add(self, stats: Mapping[str, Tensor]) -> None:
        for key, value in stats.items():
            self.values[key].append(value)

    def take(self) -> dict[str, float]:
        """Their means; the tally is empty afterwards."""
        means = {key: torch.stack(values).float().mean().item() for key, values in self.values.items()}
        self.values.clear()
        return means


class Finding(NamedTuple):
    """What was found in a look at the game's health.

    Attributes:
        row: for health.jsonl.
        words: for people.
        alarm: why the run is to be stopped; empty where it is not.
        keep: whether it is to be possible to come back to this moment.
        settled: why the run may end here; empty where it is to go on.
    """

    row: Row
    words: str
    alarm: str = ""
    keep: bool = False
    settled: str = ""


class Health(Protocol):
    """Who looks at the game now and then, without a trace in it, and may have the run stopped."""

    def look(self, session: Session) -> Finding: ...

    def remember(self, rows: Sequence[Row], state: dict[str, Any]) -> None:
        """The rows of earlier looks, and what `state` gave after them."""

    def state(self) -> dict[str, Any]:
        """What the next look depends on beside the rows: a tree as those of checkpoints."""


@dataclass(frozen=True)
class Staff:
    """Who looks at a run while it trains: the judge scores it; the doctor, where there is one, finds what ails it."""

    judge: Judge
    health: Health | None = None


class Trainer:
    """Plays a session to its end, and keeps the run directory."""

    def __init__(self, run: RunDir, session: Session, plan: Plan, pace: Pace | None, staff: Staff):
        self.run, self.session, self.plan, self.pace = run, session, plan, pace
        self.judge, self.health = staff.judge, staff.health
        self.train = session.config.train
        self.tally = Tally()
        self.began, self.began_images = time.monotonic(), session.clock.images
        self.seconds_before = float(next((row["seconds"] for row in reversed(run.rows())), 0.0))
        self.looked = next((int(row["step"]) for row in reversed(run.looks())), 0)
        self.saved = time.monotonic()
        self.reported = self.saved
        self.paced, self.paced_images = self.began, self.began_images
        self.best: dict[str, float | str] = run.read("checkpoints/best.json")
        if not (run.checkpoints / str(self.best.get("checkpoint"))).is_dir():
            self.best = {}  # the run was killed before that checkpoint was whole, and will come there again
        self.scores = [(int(row["images"]), *score) for row in run.rows() if (score := self.score(row))]

    def play(self, watchers: Watchers, signals: Signals) -> None:
        """Steps until the plan's end; Stopped or Diverged where it does not come to that."""
        self.report("running")
        if self.session.clock.images == 0:
            self.frame(watchers)
        if why := self.wait():  # it was killed while it ended
            self.end_here(why)
        while not self.session.clock.finished:
            before = self.session.clock
            self.tally.add(self.session.step(self.plan))
            self.after(before, watchers)
            if signals.seen is not None:
                self.stop(signals.seen)
        self.back_to_best()
        self.save("finished")

    def after(self, before: Clock, watchers: Watchers) -> None:
        """What is due after a step."""
        now = self.session.clock
        quick: dict[str, float] = {}
        if crossed(before, now, self.train.evaluations):
            quick = self.judge.quick(self.session, self.train.seed)
        found = self.look(watchers) if crossed(before, now, self.train.looks, 0.5) else None
        score = self.score(quick)
        self.scores += [(now.images, *score)] if score else []
        settled = self.wait() or ("" if found is None else found.settled)
        if quick or crossed(before, now, ROWS) or now.finished or settled:
            watchers.row(now, self.row() | quick)
        if crossed(before, now, self.train.frames, 0.5):
            self.frame(watchers)
        # The row and the frame of a step come before its checkpoint: a run that is killed in between plays it again.
        by, value = score or (BEST_BY[-1], math.inf)
        best = value < float(self.best.get(by, math.inf))
        if best:
            self.best = {by: value, "checkpoint": name_of(now.step)}
            self.run.write("checkpoints/best.json", self.best)
        if best or time.monotonic() - self.saved > self.train.checkpoint_seconds:
            self.save("running")
        elif time.monotonic() - self.reported > HEARTBEAT_SECONDS:
            self.report("running")
        if found is not None and found.keep:
            self.run.write(HEALTHY, {"checkpoint": self.save("running").name})
        if found is not None and found.alarm:
            self.stop_ill(found.alarm)
        if settled:
            self.end_here(settled)
        elif any(before.progress < mark <= now.progress for mark in PACED):
            self.keep_pace()

    def look(self, watchers: Watchers) -> Finding | None:
        """What the doctor finds now, where there is one who has not looked a moment ago."""
        step = self.session.clock.step
        if self.health is None or step - self.looked < LEAST_APART:
            return None
        found, self.looked = self.health.look(self.session), step
        watchers.health(found.row, found.words)
        return found

    def score(self, figures: Row) -> tuple[str, float] | None:
        """The quick figure that checkpoints are compared by, and its name; None where none was taken."""
        names = PATIENT_BY if self.train.patience else BEST_BY
        return next(((name, figures[f"quick/{name}"]) for name in names if f"quick/{name}" in figures), None)

    def wait(self) -> str:
        """Slows all players down by how long no score has been better; why the run is to end, where it has been too
        long for its patience."""
        if not self.train.patience or not self.scores:
            return ""
        waited = standstill([value for _, _, value in self.scores], self.train.patience)
        for optim in self.session.optims.values():
            optim.share = 0.5**waited.halvings
        if waited.evaluations < self.train.patience:
            return ""
        images, name, value = min(self.scores, key=lambda score: score[2])
        return f"no better in {waited.evaluations} evaluations than after {images} images: {name} distance {value:.4g}"

    def back_to_best(self) -> None:
        """The nets of a run with patience become those of its best checkpoint, and this moment's is that one."""
        best, now = str(self.best.get("checkpoint")), name_of(self.session.clock.step)
        if not self.train.patience or best == now or not (self.run.checkpoints / best).is_dir():
            return
        self.session.adopt(load_checkpoint(self.run.checkpoints / best, ("nets", "ema")), self.plan)
        shutil.rmtree(self.run.checkpoints / now, ignore_errors=True)
        self.save("running")
        self.best["checkpoint"] = now
        self.run.write("checkpoints/best.json", self.best)

    def stop_ill(self, alarm: str) -> None:
        path = self.save("ill")
        raise Ill(
            f"{self.run.path}: stopped at {self.session.clock.images} images: {alarm}\nAll is in {path}; gansmith "
            f"diagnose {self.run.path} shows it, and the same command goes on in spite of it with --on-illness warn"
        )

    def end_here(self, why: str) -> None:
        """Makes the run as long as it is now."""
        self.back_to_best()
        clock = self.session.clock
        self.plan = Plan(clock.images, self.plan.starts)
        self.run.write("meta.json", self.run.meta() | self.plan.to_json() | {"settled": why})
        self.session.clock = self.plan.at(clock.step, clock.images)

    def keep_pace(self) -> None:
        """Gives a run of minutes, in its first stage, the length that fits its speed since this was last done.

        A checkpoint comes first: a run that is killed afterwards goes on from here, by the new plan.
        """
        clock, now = self.session.clock, time.monotonic()
        if self.pace is None or clock.stage or clock.finished or now - self.paced < LEAST_PACED:
            return
        self.save("running")
        speed = (clock.images - self.paced_images) / (now - self.paced)
        self.plan = self.pace.plan(clock, now, speed, self.session.shares)
        self.run.write("meta.json", self.run.meta() | self.plan.to_json())
        self.session.clock = self.plan.at(clock.step, clock.images)
        self.paced, self.paced_images = now, clock.images

    def row(self) -> Row:
        """The figures since the last row. Raises Diverged where they are not finite."""
        clock, means = self.session.clock, self.tally.take()
        sick = [key for key, value in means.items() if not math.isfinite(value)]
        if sick:
            self.diverged(f"{', '.join(sick)} became NaN or infinite")
        seconds = time.monotonic() - self.began
        return {
            "step": clock.step,
            "images": clock.images,
            "stage": self.session.game.stages[clock.stage].name,
            "seconds": round(self.seconds_before + seconds, 3),
            "images_per_second": round((clock.images - self.began_images) / max(seconds, 1e-9), 1),
            **{key: round(value, 6) for key, value in means.items()},
        }

    def frame(self, watchers: Watchers) -> None:
        """A picture of what the nets make now."""
        path = self.run.samples / f"{self.session.clock.images:010d}.png"
        save_picture(picture(self.session, self.judge.dataset), path, self.run.mark)
        watchers.frame(self.session.clock, path)

    def save(self, state: str) -> Path:
        """Writes a checkpoint, drops old ones, and says in status.json how the run stands."""
        record = self.session.state() | ({} if self.health is None else {"health": self.health.state()})
        if not is_finite({part: record[part] for part in ("nets", "ema")}):
            self.diverged("weights became NaN or infinite")
        path = save_checkpoint(self.run.checkpoints, record)
        healthy = self.run.read(HEALTHY).get("checkpoint")
        prune(self.run.checkpoints, self.train.keep, {str(self.best.get("checkpoint")), str(healthy)})
        self.saved = time.monotonic()
        self.report(state)
        return path

    def report(self, state: str, message: str = "") -> None:
        self.reported = time.monotonic()
        self.run.report(state, self.session.clock.step, self.session.clock.images, self.plan.total, message)

    def stop(self, number: int) -> None:
        path = self.save("interrupted" if number == signal.SIGINT else "checkpointed")
        raise Stopped(
            f"stopped by {signal.Signals(number).name}; all is in {path}. The same command goes on from there "
            f"(--run-dir {self.run.path})",
            exit_code=130 if number == signal.SIGINT else 75,
        )

    def diverged(self, what: str) -> None:
        self.report("diverged", what)
        slower = " ".join(f"--set optim.{name}.lr={o.lr / 4:g}" for name, o in self.session.config.optimisers.items())
        raise Diverged(
            f"diverged at {self.session.clock.images} images: {what}. Checkpoints from before are in "
            f"{self.run.checkpoints}; try lower learning rates ({slower})"
        )


def play_run(
    run: RunDir, config: Config, dataset: Dataset, meta: dict[str, Any], pace: Pace | None, staff: Staff, quiet: bool
) -> None:
    """Trains in `run` from its newest good checkpoint, or from the start, to the end.

    Args:
        meta: what its meta.json is to say, its length among it.
        pace: what corrects that length underway.

    Raises:
        Stopped: by a signal, after a checkpoint.
        Diverged: figures or weights are not finite.
        Ill: the doctor says so, after a checkpoint.
        ConfigError: the checkpoint, or the run to begin with, belongs to other networks.
        GansmithError: the run directory cannot be written.
    """
    with own_randomness(0), Signals().watched() as signals:
        plan = Plan(meta["total"], tuple(meta["starts"]))
        session = Session(config, dataset.spec, dataset.train, Runtime.of(config.train, run.began_in_bf16()))
        with run.writing():
            resume(run, session, plan, staff.health)
            # Only now: settings or data that drifted may not fit the checkpoint.
            (run.path / "result.json").unlink(missing_ok=True)
            if not run.meta():
                # Killed before it has both files, a run has not begun; until then there is nothing else of it.
                run.write_config(config)
            run.write("meta.json", meta)
            run.write_config(config)
            for folder in (run.checkpoints, run.samples):
                folder.mkdir(exist_ok=True)
            with Watchers(run, session.clock, quiet) as watchers:
                Trainer(run, session, plan, pace, staff).play(watchers, signals)


def resume(run: RunDir, session: Session, plan: Plan, health: Health | None) -> None:
    """Brings the session to the newest good checkpoint, if there is one, and the run's files to the same moment."""
    state, damaged = run.last_good()
    for folder, message in damaged.items():
        log.warning("%s; using the one before it", message)
        set_aside(folder)
    if state is None:
        if damaged:
            log.warning("%s: no checkpoint can be read: starting again", run.path)
        state = {"clock": {"step": 0, "images": 0}}
        begin(session, plan)
    else:
        try:
            session.restore(state, plan)
        except ConfigError as error:
            raise ConfigError(f"{run.path}: {error}") from error
        print(f"resuming {run.path} at {session.clock.images} of {plan.total} images", file=sys.stderr)
    for folder in (run.path, run.samples):
        sweep(folder)
    run.drop_rows_after(state["clock"]["step"])
    if health is not None:
        health.remember(run.looks(), state.get("health", {}))
    for frame in run.samples.glob("*.png"):
        if frame.stem.isdigit() and int(frame.stem) > state["clock"]["images"]:
            frame.unlink()

"""A script: plays a run once untouched and once through many SIGKILLs, and prints how the lives ended, as JSON.

    python lives.py FOLDER KILLS SEED

Torch is imported once, here; every life is a forked process that calls `gansmith.train`, as the command does.
Kills are spread over a life: while it starts, while it trains, and while a checkpoint is being written.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import gansmith
from gansmith.apps import run as runs
from gansmith.core.config import DataConfig
from gansmith.data import open_data

SETTINGS = {
    "g_width": 4,
    "d_width": 4,
    "train.evaluations": 0,
    "train.frames": 2,
    "train.checkpoint_seconds": 0.05,
}
KIMG, BATCH = 12, 32


def live(path: Path) -> None:
    """One life of the run: to its end, if nobody ends it before."""
    torch.set_num_threads(1)
    runs.conclude = lambda run, dataset: run.dir.write("result.json", {"run": str(run.path)})
    gansmith.train("dcgan", "builtin:fashion", kimg=KIMG, settings=SETTINGS, run_dir=path, quiet=True)


def pack() -> None:
    """Decodes the data into the cache, so that every life starts alike."""
    open_data(DataConfig(source="builtin:fashion"))


def born(work: Callable[[], None]) -> int:
    """The process of a new life."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def ended(pid: int, wait: bool) -> int | None:
    """The exit code of a life, negative for a signal; None while it goes on."""
    found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def untouched(path: Path) -> tuple[float, float]:
    """Plays the run to its end. Seconds until the first row of metrics, and from then on."""
    began, first, pid = time.monotonic(), 0.0, born(partial(live, path))
    while (code := ended(pid, wait=False)) is None:
        if not first and (path / "metrics.jsonl").exists():
            first = time.monotonic() - began
        time.sleep(0.005)
    assert code == 0, code
    return first, time.monotonic() - began - first


def writing(path: Path) -> list[str]:
    """Checkpoints that are being written, or were when the run was killed."""
    folder = path / "checkpoints"
    return [name for name in os.listdir(folder) if name.startswith(".step-")] if folder.exists() else []


def played(path: Path) -> int:
    """Rows of metrics, one a step."""
    rows = path / "metrics.jsonl"
    return rows.read_bytes().count(b"\n") if rows.exists() else 0


def killed(path: Path, delay: float, steps: int, while_writing: bool) -> dict[str, Any]:
    """A life that is killed after `delay` seconds or so many steps, or then when a checkpoint is being written."""
    old, last = set(writing(path)), played(path) + steps
    pid, began = born(partial(live, path)), time.monotonic()
    while (code := ended(pid, wait=False)) is None:
        due = time.monotonic() - began >= delay or played(path) > last
        if due and (not while_writing or set(writing(path)) - old):
            os.kill(pid, signal.SIGKILL)
            code = ended(pid, wait=True)
            break
        time.sleep(0 if while_writing else 0.001)
    whole = sorted(p.parent.name for p in path.glob("checkpoints/step-*/COMPLETE"))
    return {"code": code, "delay": delay, "torn": bool(writing(path)), "newest": whole[-1] if whole else None}


def main() -> None:
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    assert ended(born(pack), wait=True) == 0
    start, length = untouched(folder / "untouched")
    lives, most = [], 1000 * KIMG // BATCH // kills // 2
    for i in range(kills):
        # A third die before they train; all the others together train for less than the run is long.
        # Steps are counted, not timed: a busy machine is slower in one life than in the next.
        delay, steps = (rng.uniform(0, start), most) if i % 3 == 0 else (600.0, rng.randint(0, most))
        lives.append(killed(folder / "killed", delay, steps, while_writing=i % 3 == 1))
    last = ended(born(partial(live, folder / "killed")), wait=True)
    print(json.dumps({"start": start, "length": length, "lives": lives, "last": last}))


if __name__ == "__main__":
    main()

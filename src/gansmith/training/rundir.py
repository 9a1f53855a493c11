"""The run directory: the only interface between training and all that looks at it later.

config.yaml  fully resolved      meta.json    versions, argv, data, length      metrics.jsonl  one object a line
status.json  state, heartbeat    result.json  final figures                     health.jsonl   what the doctor sees
made.jsonl   images written by its commands
samples/  checkpoints/  reports/
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

import gansmith
from gansmith.core.clock import Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.core.paths import runs_dir, write_atomic, write_json
from gansmith.core.spec import Spec
from gansmith.data.marks import Mark
from gansmith.recipes import family_named
from gansmith.training.checkpoint import CheckpointError, load_checkpoint, newest

log = logging.getLogger("gansmith")

MADE = "made.jsonl"
"""A line for each image that a command wrote: its name, the digest of its pixels, whether it is marked."""
HEALTHY = "checkpoints/healthy.json"
"""Names the checkpoint of the last moment at which nothing ailed the game."""
STALE_SECONDS = 120.0
"""A run whose heartbeat is older than this, or whose process is gone, is not running any more."""


@dataclass(frozen=True)
class RunDir:
    """Paths and records of one run."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def health(self) -> Path:
        return self.path / "health.jsonl"

    def read(self, name: str) -> dict[str, Any]:
        """A JSON record of the run; empty where it is not there."""
        path = self.path / name
        try:
            record = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise GansmithError(f"{path}: cannot be read: {error}") from error
        if not isinstance(record, dict):
            raise GansmithError(f"{path}: expected a JSON object")
        return record

    def write(self, name: str, record: dict[str, Any]) -> None:
        """A JSON record of the run, atomically."""
        write_json(self.path / name, record)

    def config(self) -> Config:
        """The resolved configuration of the run."""
        path = self.path / "config.yaml"
        try:
            record = yaml.safe_load(path.read_text(encoding="utf-8"))
            return family_named(record["family"]).config.model_validate(record)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        except FileNotFoundError as error:
            raise ConfigError(f"{self.path}: not a run: it has no config.yaml") from error
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as a run's configuration: {error}") from error

    def write_config(self, config: Config) -> None:
        write_atomic(self.path / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))

    def meta(self) -> dict[str, Any]:
        """What the run began with: its length, its data, versions. Empty where it has not begun."""
        meta = self.read("meta.json")
        missing = {"total", "starts", "spec", "data"} - set(meta)
        if meta and missing:
            raise ConfigError(f"{self.path / 'meta.json'}: damaged: it lacks {', '.join(sorted(missing))}")
        if meta and not (isinstance(meta["data"], dict) and {"name", "fingerprint"} <= set(meta["data"])):
            raise ConfigError(f"{self.path / 'meta.json'}: damaged: data: expected a name and a fingerprint")
        return meta

    @property
    def mark(self) -> Mark:
        """What images of the run say of where they come from."""
        meta, config = self.meta(), self.config()
        known = meta.get("fingerprint") or fingerprint_of(config, meta["data"]["fingerprint"] if meta else "")
        return Mark(str(known), f"gansmith {gansmith.__version__} {config.family}")

    def began_in_bf16(self) -> bool:
        """Whether precision ``auto`` may be bf16: it was when the run began, or it has not begun."""
        runtime = self.meta().get("runtime")
        return bool(runtime.get("bf16")) if isinstance(runtime, dict) else True

    def spec(self) -> Spec:
        """What the data told the nets."""
        meta = self.meta()
        if not meta:
            raise ConfigError(f"{self.path}: not a run: its meta.json is missing")
        try:
            return Spec.from_json(meta["spec"])
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{self.path / 'meta.json'}: damaged: spec: {error}") from error

    def plan(self) -> Plan:
        """The length that the run began with."""
        meta = self.meta()
        try:
            return Plan(int(meta["total"]), tuple(int(start) for start in meta["starts"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.path / 'meta.json'}: damaged: total, starts: {error}") from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A full disk, or a folder that cannot be written, within becomes a `GansmithError` that names the place."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise GansmithError(f"{error.filename or self.path}: cannot be written: {reason}") from error

    def last_good(self, parts: tuple[str, ...] | None = None) -> tuple[dict[str, Any] | None, dict[Path, str]]:
        """The state of the newest checkpoint that can be read, and what was wrong with newer ones."""
        damaged: dict[Path, str] = {}
        for folder in newest(self.checkpoints):
            try:
                return load_checkpoint(folder, parts), damaged
            except CheckpointError as error:
                damaged[folder] = str(error)
        return None, damaged

    def best_checkpoint(self) -> Path:
        """The checkpoint with the best quick score. Raises ConfigError where no quick score was taken."""
        name = self.read("checkpoints/best.json").get("checkpoint")
        if name is None:
            raise ConfigError(f"{self.path}: has no best checkpoint: train.evaluations quick scores choose it")
        return self.checkpoints / str(name)

    def best(self, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The state of `best_checkpoint`. Raises CheckpointError where it is not whole."""
        return load_checkpoint(self.best_checkpoint(), parts)

    def good(self, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The state of the newest checkpoint that can be read.

        Raises:
            GansmithError: there is none.
        """
        state, damaged = self.last_good(parts)
        if state is None:
            why = "".join(f": {message}" for message in damaged.values())
            raise GansmithError(f"{self.path}: no checkpoint to sample from{why}")
        return state

    def report(self, state: str, step: int, images: int, total: int, message: str = "") -> None:
        """Writes status.json: who runs this, how far it is, that it is alive now, and what went wrong."""
        self.write(
            "status.json",
            {
                "state": state,
                "step": step,
                "images": images,
                "total": total,
                "pid": os.getpid(),
                "heartbeat": time.time(),
            }
            | ({"message": message} if message else {}),
        )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps all other processes from training here; the system lets go where this one is killed.

        Raises:
            ConfigError: another process is training here.
        """
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", blocking=False)
            try:
                lock.acquire()
            except Timeout as error:
                raise ConfigError(f"{self.path}: another process is training here") from error
            except NotImplementedError:
                log.warning("%s: on a file system without locks; start no second training here", self.path)
        try:
            yield
        finally:
            lock.release()

    def is_running(self) -> bool:
        """Whether another living process is training here."""
        status = self.read("status.json")
        pid, heartbeat = status.get("pid"), status.get("heartbeat")
        if status.get("state") != "running" or not isinstance(pid, int) or not isinstance(heartbeat, int | float):
            return False
        return pid != os.getpid() and time.time() - heartbeat < STALE_SECONDS and _is_alive(pid)

    def drop_rows_after(self, step: int) -> None:
        """Forgets metrics and looks of steps that a resumed run will play again."""
        for path in (self.metrics, self.health):
            if path.exists():
                rows = [line for line in path.read_text().splitlines() if _step_of(line) <= step]
                write_atomic(path, "".join(f"{row}\n" for row in rows))

    def rows(self) -> list[dict[str, Any]]:
        """The metrics, oldest first; a last line that a crash cut short is left out."""
        return whole_rows(self.metrics)

    def made(self) -> dict[str, dict[str, Any]]:
        """What is remembered of the images that were made and written, by digest of their pixels."""
        path = self.path / MADE
        rows = [_object(line) for line in (path.read_text().splitlines() if path.exists() else [])]
        return {row["pixels"]: row for row in rows if "pixels" in row}

    def looks(self) -> list[dict[str, Any]]:
        """What the doctor saw and said, oldest first, as `rows`."""
        return whole_rows(self.health)


def fingerprint_of(config: Config, data: str) -> str:
    """Of a run with these settings and data of that fingerprint: runs that come to the same have the same."""
    known = json.dumps([config.model_dump(mode="json"), data], sort_keys=True)
    return hashlib.blake2b(known.encode(), digest_size=8).hexdigest()


def whole_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of lines that has come to be; a last line that was cut short is left out."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if _step_of(line) < 2**62]


def _is_alive(pid: int) -> bool:
    """Whether there is such a process; where the system cannot be asked without harm, the heartbeat decides."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _object(line: str) -> dict[str, Any]:
    """What a line says; nothing where a crash cut it short."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _step_of(line: str) -> int:
    """The step of a row of metrics; beyond any step where a crash cut the line short."""
    try:
        return int(_object(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62


def new_run_dir(family: str, source: str) -> RunDir:
    """An empty place in the runs folder: ``dcgan-fashion-1``, ``-2`` …"""
    data = "".join(c if c.isalnum() else "-" for c in source.rstrip("/").split("/")[-1].split(":")[-1]).strip("-")
    stem = f"{family}-{data or 'data'}"
    base = runs_dir()
    taken = {p.name for p in base.glob(f"{stem}-*")}
    number = next(n for n in range(1, 10**6) if f"{stem}-{n}" not in taken)
    return RunDir(base / f"{stem}-{number}")

"""A file is the old one or the new one, never half of either."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gansmith.core import paths


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file.json").write_text("old")
    return tmp_path / "file.json"


@pytest.mark.parametrize("content", ["néw", "néw".encode()])
def test_new_content_replaces_the_old(file: Path, content: str | bytes) -> None:
    paths.write_atomic(file, content)
    assert file.read_text("utf-8") == "néw"
    assert os.listdir(file.parent) == ["file.json"]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException
) -> None:
    def fails(*args: object) -> None:
        raise error

    monkeypatch.setattr(paths.os, call, fails)
    with pytest.raises(type(error)):
        paths.write_atomic(file, "new")
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == ["file.json"], "nothing is left beside it"


def test_what_json_cannot_hold_leaves_the_old_file(file: Path) -> None:
    with pytest.raises(ValueError):
        paths.write_json(file, {"loss": math.nan})
    assert file.read_text() == "old"
    paths.write_json(file, {"loss": 1.5})
    assert json.loads(file.read_text()) == {"loss": 1.5}


def test_what_a_killed_writer_left_is_swept(file: Path) -> None:
    script = (
        "import os, pathlib, sys; from gansmith.core import paths;"
        "os.replace = lambda *_: os.kill(os.getpid(), 9); paths.write_atomic(pathlib.Path(sys.argv[1]), 'new')"
    )
    assert subprocess.run([sys.executable, "-c", script, str(file)], check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(file.parent)) == 2
    paths.sweep(file.parent)
    assert os.listdir(file.parent) == ["file.json"]
    assert file.read_text() == "old"


def test_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GANSMITH_CACHE", "GANSMITH_RUNS", "GANSMITH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert paths.cache_dir() == Path.home() / ".cache" / "gansmith"
    assert paths.runs_dir() == Path("runs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert paths.cache_dir() == tmp_path / "xdg" / "gansmith"
    monkeypatch.setenv("GANSMITH_HOME", str(tmp_path / "home"))
    assert paths.cache_dir() == tmp_path / "home" / "cache"
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GANSMITH_RUNS", "~/my runs")
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.runs_dir() == Path.home() / "my runs"

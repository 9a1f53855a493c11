"""Where things live on the user's machine, and writing there without ever leaving half a file."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

_ASIDE = ".writing-"


def home() -> Path:
    """`GANSMITH_HOME`, or ``~/.gansmith``."""
    return Path(os.environ.get("GANSMITH_HOME") or Path.home() / ".gansmith").expanduser()


def cache_dir() -> Path:
    """`GANSMITH_CACHE`, or the cache folder of the user's system: packed data, features of real images."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gansmith"
    if os.environ.get("GANSMITH_HOME"):
        default = home() / "cache"
    return Path(os.environ.get("GANSMITH_CACHE") or default).expanduser()


def runs_dir() -> Path:
    """`GANSMITH_RUNS`, or ``runs`` in the current folder."""
    return Path(os.environ.get("GANSMITH_RUNS") or "runs").expanduser()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that a reader, or a crash, sees the old file or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f"{_ASIDE}{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_json(path: Path, record: Any) -> None:
    """Write `record` as JSON, atomically (see `write_atomic`)."""
    write_atomic(path, json.dumps(record, indent=2, allow_nan=False) + "\n")


def sweep(folder: Path) -> None:
    """Removes what writers that were killed left in a folder. Only for whoever alone writes there."""
    for aside in folder.glob(f"{_ASIDE}*"):
        aside.unlink(missing_ok=True)

"""A folder of images with a sub-folder for each class, and a manifest of where each comes from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.apps.credentials import credentials
from gansmith.apps.files import as_image
from gansmith.apps.made import Maker
from gansmith.apps.run import Run
from gansmith.apps.synthetic import Drawn
from gansmith.core.errors import ConfigError
from gansmith.core.paths import write_atomic
from gansmith.data import Split
from gansmith.data.marks import encoded

MANIFEST, REPORT = "manifest.jsonl", "report.json"


def folder_names(classes: Sequence[str]) -> list[str]:
    """A name for the folder of each class, which any file system takes, no two alike."""
    names: list[str] = []
    for name in classes:
        stem = re.sub(r"[^\w.-]+", "-", name).strip(".-") or "class"
        taken = {other.lower() for other in names}
        numbered = (stem if i == 1 else f"{stem}-{i}" for i in range(1, len(classes) + 2))
        names.append(next(one for one in numbered if one.lower() not in taken))
    return names


def check_out(data: Path, out: Path, overwrite: bool) -> None:
    """Raises ConfigError where the folder must not be written to, or the data are not real; before anything is
    computed."""
    credentials()
    ours, theirs = out.resolve(), data.expanduser().resolve()
    if theirs.exists() and (ours.is_relative_to(theirs) or theirs.is_relative_to(ours)):
        raise ConfigError(f"{out}: overlaps with {data}, whose images are to stay as they are; choose another --out")
    if (theirs / MANIFEST).is_file():
        raise ConfigError(f"{data}: holds synthetic images, by its {MANIFEST}; give the real ones alone")
    there = next(path for path in (ours, *ours.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"{there}: is a file; --out takes a folder")
    if not os.access(there, os.W_OK):
        raise ConfigError(f"{there}: cannot be written to; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise ConfigError(f"{out}: not empty; choose another --out, or --overwrite what augment wrote there")
        if not (out / MANIFEST).is_file():
            raise ConfigError(f"{out}: holds files of others: it has no {MANIFEST}; choose another --out")
        listed(out)


def listed(out: Path) -> list[Path]:
    """The files that an earlier manifest names; none where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    manifest = out / MANIFEST
    try:
        lines = manifest.read_text().splitlines() if manifest.exists() else []
        return [out / str(json.loads(line)["file"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{manifest}: damaged: {error}; choose another --out") from error


def clear(out: Path) -> None:
    """Removes what an earlier manifest names, and nothing else."""
    for path in listed(out):
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
    pictures = [image for one in made for image, _ in one.kept]
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

"""A run's state on disk: tensors as safetensors, the rest as JSON, no pickle; complete or not there at all.

    checkpoints/step-00010000/  nets.safetensors  ema.safetensors  optims.safetensors  state.json  COMPLETE

A checkpoint is written into a hidden folder beside, synced, and renamed; ``COMPLETE`` holds the digests of the other
files, so a truncated or edited one is known for what it is and the one before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gansmith.core.errors import GansmithError

FORMAT = 1


class CheckpointError(GansmithError):
    """A checkpoint cannot be read or written."""


def flatten(tree: dict[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A tree's tensors by path (parts joined by ``/``), and the tree of its other leaves."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Tensor):
            tensors[prefix + key] = value
        elif isinstance(value, dict):
            below, rest[key] = flatten(value, f"{prefix}{key}/")
            tensors |= below
        else:
            rest[key] = value
    return tensors, rest


def unflatten(tensors: dict[str, Tensor], rest: dict[str, Any]) -> dict[str, Any]:
    """The tree that `flatten` took apart."""
    tree = json.loads(json.dumps(rest))
    for path, tensor in tensors.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = tensor
    return tree


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Writes the state of `Session.state` as a new checkpoint below `folder`.

    Raises:
        CheckpointError: the disk is full or cannot be written; what was there before is untouched.
    """
    target = folder / name_of(state["clock"]["step"])
    if is_whole(target):
        return target
    aside = folder / f".{target.name}.{os.getpid()}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        digests = {name: _write(aside / name, content) for name, content in _files(state).items()}
        _write(aside / "COMPLETE", json.dumps(digests, indent=1).encode())
        shutil.rmtree(target, ignore_errors=True)
        os.replace(aside, target)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise CheckpointError(f"{target}: cannot write the checkpoint: {error.strerror or error}") from error
    return target


def load_checkpoint(folder: Path, parts: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The state in a checkpoint, or only some `parts` of it ("nets", "ema", …).

    Raises:
        CheckpointError: it is incomplete, truncated or was changed.
    """
    try:
        digests = json.loads((folder / "COMPLETE").read_text())
        rest = json.loads(_checked(folder / "state.json", digests))
        if rest.pop("format") != FORMAT:
            raise CheckpointError(f"{folder}: written by another version of gansmith")
        state = dict(rest)
        for part in set(digests) - {"state.json"}:
            name = part.removesuffix(".safetensors")
            if parts is None or name in parts:
                # From the very bytes that were checked: a map of the file would follow what happens to it later.
                state[name] = unflatten(load(_checked(folder / part, digests)), rest[name])
        return state
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a whole checkpoint ({error})") from error


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint is there with all of its files as they were written."""
    try:
        load_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def set_aside(folder: Path) -> None:
    """Renames a checkpoint that cannot be read, so that it is neither counted among those kept nor tried again."""
    aside = folder.with_name(f"damaged-{folder.name}")
    with suppress(OSError):
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)


def newest(folder: Path) -> list[Path]:
    """Complete-looking checkpoints, the newest first."""
    return sorted((p.parent for p in folder.glob("step-*/COMPLETE")), reverse=True)


def prune(folder: Path, keep: int, also: Collection[str]) -> None:
    """Removes all but the newest `keep` checkpoints and those named, and what a crash left half-written."""
    for old in newest(folder)[keep:]:
        if old.name not in also:
            shutil.rmtree(old, ignore_errors=True)
    for aside in folder.glob(".step-*"):
        shutil.rmtree(aside, ignore_errors=True)


def _files(state: dict[str, Any]) -> dict[str, bytes]:
    """The files of a checkpoint: one of tensors for every part that has any, and one for the rest."""
    files: dict[str, bytes] = {}
    rest: dict[str, Any] = {"format": FORMAT}
    for part, tree in state.items():
        tensors, rest[part] = flatten(tree)
        if tensors:
            # safetensors keeps no memory format: channels-last weights are written in their logical order.
            files[f"{part}.safetensors"] = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
    files["state.json"] = json.dumps(rest, indent=1, allow_nan=False).encode()
    return files


def _write(path: Path, content: bytes) -> str:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _checked(path: Path, digests: dict[str, str]) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digests[path.name]:
        raise CheckpointError(f"{path}: damaged: its content is not what was written")
    return content


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # where a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_finite(state: dict[str, Any]) -> bool:
    """Whether no weight is NaN or infinite: such a state is not worth keeping."""
    return all(bool(torch.isfinite(t).all()) for t in flatten(state)[0].values() if t.is_floating_point())

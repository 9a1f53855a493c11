"""SIGINT and SIGTERM end a training after its step, with a checkpoint, an exit code, and a word on how to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gansmith
from gansmith.core.errors import Stopped
from gansmith.training.checkpoint import flatten, load_checkpoint, newest
from gansmith.training.session import Session

Train = Callable[..., gansmith.Run]
CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (75, "checkpointed")}


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_signal_checkpoints_and_the_run_goes_on(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    settings = {"train.checkpoint_seconds": 3600}
    untouched = train(settings, run_dir=tmp_path / "untouched")
    step = Session.step

    def signalled(session: Session, plan: Any) -> Any:
        if session.clock.step == 4:
            os.kill(os.getpid(), number)
        return step(session, plan)

    handlers = [signal.getsignal(n) for n in CODES]
    with monkeypatch.context() as patch:
        patch.setattr(Session, "step", signalled)
        with pytest.raises(Stopped, match=f"stopped by {number.name}; all is in .*step-00000005.*--run-dir") as caught:
            train(settings)
    code, state = CODES[number]
    assert caught.value.exit_code == code
    assert [signal.getsignal(n) for n in CODES] == handlers
    run = gansmith.Run(tmp_path / "run")
    assert run.dir.read("status.json")["state"] == state
    assert load_checkpoint(newest(run.dir.checkpoints)[0])["clock"] == {"step": 5, "images": 40}
    train(settings)
    tensors, other = (flatten(load_checkpoint(newest(r.dir.checkpoints)[0]))[0] for r in (untouched, run))
    assert tensors.keys() == other.keys()
    assert all(torch.equal(tensors[name], other[name]) for name in tensors)
    assert [row["step"] for row in run.dir.rows()] == list(range(1, 13))

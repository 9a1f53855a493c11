"""How long a run will be: as many images as are asked for, or as many as fit into the minutes."""

from __future__ import annotations

import io
import logging
import time
from typing import NamedTuple

import numpy as np

from gansmith.core.clock import Pace, Plan
from gansmith.core.config import Config
from gansmith.core.errors import DataError
from gansmith.data import Dataset
from gansmith.metrics import LEAST
from gansmith.training.judge import FIXED_LATENTS, Judge, picture
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

log = logging.getLogger("gansmith")

BARE_STEPS = 0.9
"""Share of a run's time that would do for its steps at the speed of its first seconds: rows, TensorBoard and
checkpoints take 6 to 8 %, and a machine that has just been idle is faster than minutes later (LOG.md)."""
SHORT = 0.25
"""Share of the minutes asked for, below which what is left to train in is worth a warning."""


class Planned(NamedTuple):
    """The length of a new run, and what corrects it underway, where it was asked for in minutes."""

    plan: Plan
    pace: Pace | None


def plan_run(config: Config, dataset: Dataset, runtime: Runtime, judge: Judge, fakes: int, deadline: float) -> Planned:
    """The length of a new run: as asked, or as many images as fit between now and `deadline`.

    Args:
        judge: of the quick scores, which take time too.
        fakes: samples that will be made at the end.
        deadline: on `time.monotonic`'s clock; only used where the configuration gives minutes.

    Raises:
        ConfigError: the game cannot be built for these data.
        DataError: there are too few images to measure a run by.
        MissingExtra: a stage needs a package that is not installed.
    """
    if len(dataset.train) < LEAST:
        raise DataError(f"{dataset.name}: {len(dataset.train)} images to train on; at least {LEAST} are needed")
    session = Session(config, dataset.spec, dataset.train, runtime)
    if config.train.minutes is None:
        play_stages(session)
        return Planned(Plan.of(config.train.images, session.shares), None)
    costs = measure(session, budget=min(12.0, 0.08 * 60 * config.train.minutes))
    during, after = pauses(session, judge, fakes)
    left = BARE_STEPS * (deadline - time.monotonic() - during - after)
    if left < SHORT * 60 * config.train.minutes:
        log.warning(
            "train.minutes=%g: %.0f seconds of them are left to train in; loading the data, pictures and scores take "
            "the others. More --minutes, or --kimg, which counts training alone",
            config.train.minutes,
            max(left, 0),
        )
    seconds_an_image = float(np.average(costs, weights=session.shares))
    plan = Plan.of(max(config.train.batch, int(left / seconds_an_image)), session.shares)
    return Planned(plan, Pace(deadline - after, seconds_an_image / costs[0]))


def play_stages(session: Session) -> None:
    """A step of every stage: what a later one lacks is known at once. The session is spent afterwards."""
    plan = Plan.of(10**9, session.shares)
    for start in plan.starts:
        session.clock = plan.at(0, start)
        session.step(plan)


def pauses(session: Session, judge: Judge, fakes: int) -> tuple[float, float]:
    """Seconds that a run's frames and quick scores will take, and its last samples afterwards, from one of each."""
    picture(session, judge.dataset)  # the first one is slower
    began = time.monotonic()
    picture(session, judge.dataset).save(io.BytesIO(), "PNG")
    framed = time.monotonic()
    judge.quick(session, 0)
    scored = time.monotonic()
    train = session.config.train
    a_frame, a_score = framed - began, scored - framed
    return (
        train.frames * a_frame + train.evaluations * a_score,
        fakes / FIXED_LATENTS * a_frame + a_frame + a_score,
    )


def measure(session: Session, budget: float) -> np.ndarray:
    """Seconds an image of every stage takes to train on. The session is spent afterwards."""
    plan = Plan.of(10**9, session.shares)
    ends = (*plan.starts[1:], plan.total)
    # A growing net is slower while it fades in: each stage is measured in its first half and in its second.
    moments = [begin + (end - begin) * k // 4 for begin, end in zip(plan.starts, ends, strict=True) for k in (1, 3)]
    costs = []
    for moment in moments:
        session.clock = plan.at(0, moment)
        for _ in range(3):
            session.step(plan)
        start, images = time.monotonic(), session.clock.images
        while time.monotonic() - start < budget / len(moments):
            session.step(plan)
        costs.append((time.monotonic() - start) / (session.clock.images - images))
    return np.reshape(costs, (-1, 2)).mean(1)

"""The families that make images of images, or of captions, learn: on real emoji, in less than a minute each.

Each is held to what it is for, on held-out emoji: to come nearer to the true drawing than the other designer's drawing is
(pix2pix by PSNR, cyclegan, which sees no pairs, by colours), to better bicubic interpolation (srgan) and the damage that it
is to take back, to draw what is said (stackgan).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.data import Dataset, open_data
from gansmith.metrics import Reference, colour_histogram_distance, extractor, psnr, psnr_y
from gansmith.recipes import FAMILIES
from gansmith.training.judge import Shown, held_out
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

from .test_learning import RUNS

GOOGLE, TWITTER = "builtin:emoji-google", "builtin:emoji-twitter"


def learned(family: str, kimg: float, **settings: Any) -> tuple[Session, Dataset]:
    """A session at its end."""
    config = resolve(family, [("test", nested({"ema.half_life_kimg": 0.5, **settings}))]).settled()
    data = open_data(config.data)
    session = Session(config, data.spec, data.train, Runtime(torch.device("cpu"), autocasts=False))
    plan = Plan.of(round(1000 * kimg), session.shares)
    while not session.clock.finished:
        session.step(plan)
    return session, data


def shown(session: Session, data: Dataset) -> Shown:
    """What has been made of held-out images."""
    found = held_out(session, data, 256)
    assert found is not None
    return found


def test_every_family_is_seen_to_learn() -> None:
    assert set(RUNS) | {"cyclegan", "pix2pix", "srgan", "stackgan"} == set(FAMILIES)

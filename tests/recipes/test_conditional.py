"""Every two-player family can be told the class, and listens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.core.config import DataConfig
from gansmith.core.game import Request
from gansmith.data import open_data
from gansmith.metrics import extractor
from gansmith.recipes import FAMILIES, family_named
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

two_players = [name for name, family in FAMILIES.items() if "conditioning" in family.config.model_fields]
every = pytest.mark.parametrize(
    ("family", "conditioning"), [(name, how) for name in two_players for how in ("concat", "projection", "acgan")]
)


@every
@pytest.mark.parametrize("loss", ["nonsaturating", "relativistic"])
def test_plays_with_a_gradient_penalty_and_resumes(
    tiny_session: Callable[..., Session], tmp_path: Path, family: str, conditioning: str, loss: str
) -> None:
    settings = {"conditioning": conditioning, "penalty.r1": 0.1, "n_critic": 2}
    settings |= {"loss": loss} if family != "lsgan" else {}
    settings |= {"d_norm": "none"} if "d_norm" in family_named(family).config.model_fields else {}
    whole, first, second = (tiny_session(family, settings) for _ in range(3))
    plan = Plan.of(200, whole.shares)
    for _ in range(4):
        stats = whole.step(plan)
    assert all(torch.isfinite(value).all() for value in stats.values())
    for _ in range(2):
        first.step(plan)
    second.restore(load_checkpoint(save_checkpoint(tmp_path, first.state())), plan)
    for _ in range(2):
        second.step(plan)
    mine, theirs = flatten(whole.state())[0], flatten(second.state())[0]
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@every
def test_classes_are_all_sampled_in_turn_unless_one_is_asked_for(
    tiny_session: Callable[..., Session], family: str, conditioning: str
) -> None:
    session = tiny_session(family, {"conditioning": conditioning})
    plan = Plan.of(10_000, session.shares)
    for _ in range(12):
        session.step(plan)
    by_class = [session.sample(9, 0, Request(labels=torch.full((9,), c))) for c in range(3)]
    every_class = session.sample(9, 0, batch=4)
    for i in range(9):
        # Other batches may round a pixel otherwise by one level.
        assert (every_class[i].int() - by_class[i % 3][i].int()).abs().max() <= 1
    assert not torch.equal(by_class[0], by_class[1])


def test_samples_are_of_the_class_that_was_asked_for() -> None:
    """By `fashion-cnn`'s own classes: chance is 0.1; half a minute of training is enough to be far from it."""
    clothes = open_data(DataConfig(source="builtin:fashion"))
    classifier = extractor("fashion-cnn")
    config = resolve("cgan", [("test", nested({"ema.half_life_kimg": 1.0, "train.batch": 16, "d_width": 24}))])
    session = Session(config, clothes.spec, clothes.train, Runtime(torch.device("cpu"), autocasts=False))
    plan = Plan.of(20_000, session.shares)
    while not session.clock.finished:
        session.step(plan)
    rows, columns = clothes.spec.window
    # The classifier is the nearest class mean of real features: independent of the GAN and of its D.
    real = classifier(clothes.train.images[:4000, rows, columns])
    labels = np.asarray(clothes.train.labels[:4000])
    means = np.stack([real[labels == c].mean(0) for c in range(10)])
    fake = classifier(session.sample(1000, 0).numpy())
    nearest = ((fake[:, None] - means) ** 2).sum(2).argmin(1)
    held = classifier(clothes.heldout.images[:1000, rows, columns])
    ceiling = (((held[:, None] - means) ** 2).sum(2).argmin(1) == np.asarray(clothes.heldout.labels[:1000])).mean()
    agreement = (nearest == np.arange(1000) % 10).mean()
    assert agreement > 0.5, f"{agreement:.2f} of the samples, {ceiling:.2f} of real images"

"""A short training of `dcgan` against losses that were recorded once.

What it is for: a change that means to leave training as it is (a faster kernel, a tidier step) must leave this curve
as it is. A failure says that training has changed, not that it has become worse.

All that the numbers depend on is written here, so that a new default does not move them: fp32, one thread, data of
numpy's generator, every setting. Other versions of torch and other processors round differently, and a GAN amplifies
the difference from step to step; so the tolerance is 1e-3 for the first 20 steps and 5e-2 after them, where what is
compared is the mean over windows of 10 steps.

A change that means to change training records anew, and its commit says why:

    pytest tests/golden --record-golden
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gansmith.core.clock import Plan
from gansmith.core.spec import Spec
from gansmith.data import Split
from gansmith.recipes.dcgan import Config
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

FILE = Path(__file__).with_name("dcgan.json")
STEPS, EARLY, WINDOW = 60, 20, 10
OPTIM = {"kind": "adam", "lr": 5e-4, "beta1": 0.5, "beta2": 0.999, "decay": "linear", "warm_up": 0.0, "clip": 0.0}
SETTINGS = {
    "train": {"batch": 16, "seed": 7},
    "ema": {"half_life_kimg": 0.5, "ramp_up": 0.05},
    "conditioning": "none",
    "network": "dcgan",
    "latent": 16,
    "g_width": 8,
    "d_width": 8,
    "d_norm": "layer",
    "loss": "nonsaturating",
    "label_smoothing": 0.1,
    "instance_noise": 0.0,
    "augment": "none",
    "dropout": 0.0,
    "pack": 1,
    "minibatch": "none",
    "spectral_norm": False,
    "penalty": {"r1": {"weight": 0.1, "every": 4, "end": None}, "drift": 0.0, "lecam": 0.0, "clip": 0.0},
    "n_critic": 1,
    "n_generator": 1,
    "balance": 0.0,
    "optim": {"g": OPTIM, "d": OPTIM},
}


def discs(n: int = 200, side: int = 16) -> Split:
    """White discs on black, of any size and place."""
    rng = np.random.default_rng(0)
    (rows, columns), radii = rng.uniform(4, 12, (2, n, 1, 1)), rng.uniform(2, 5, (n, 1, 1))
    grid = np.arange(side)
    inside = (grid[:, None] - rows) ** 2 + (grid[None, :] - columns) ** 2 < radii**2
    return Split((255 * inside).astype(np.uint8)[..., None])


def curve() -> dict[str, list[float]]:
    """Every statistic of every step; penalties that a step did not pay are 0. And the samples' brightness."""
    session = Session(
        Config.model_validate(SETTINGS), Spec(16, 1, 16, 16), discs(), Runtime(torch.device("cpu"), False)
    )
    plan = Plan.of(16 * STEPS, session.shares)
    steps = [session.step(plan) for _ in range(STEPS)]
    rows = {key: [float(stats.get(key, 0.0)) for stats in steps] for key in steps[0]}
    return rows | {"samples": [session.sample(256, 0).float().mean().item()]}


def test_the_curve_is_as_recorded(request: pytest.FixtureRequest) -> None:
    found = curve()
    if request.config.getoption("--record-golden"):
        FILE.write_text(json.dumps({k: [round(v, 6) for v in row] for k, row in found.items()}, indent=1) + "\n")
    golden = json.loads(FILE.read_text())
    assert found.keys() == golden.keys()
    np.testing.assert_allclose(found.pop("samples"), golden.pop("samples"), rtol=0.05, err_msg="samples")
    for key, row in found.items():
        np.testing.assert_allclose(row[:EARLY], golden[key][:EARLY], rtol=1e-3, atol=1e-4, err_msg=key)
        late, recorded = (np.reshape(r[EARLY:], (-1, WINDOW)).mean(1) for r in (row, golden[key]))
        np.testing.assert_allclose(late, recorded, rtol=5e-2, atol=1e-2, err_msg=key)


def test_the_curve_repeats_bit_for_bit() -> None:
    assert curve() == curve()

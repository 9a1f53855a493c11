"""What all tests share: one thread, folders of their own, and sessions small enough to play in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

from gansmith.apps.configure import nested, resolve
from gansmith.apps.describe import WORDS, imagined
from gansmith.core.spec import Spec
from gansmith.data import Split
from gansmith.recipes import family_named
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

# Tests are run side by side (`pytest -n 2`); more threads than cores would only make them wait for each other.
torch.set_num_threads(1)
os.environ["NO_COLOR"] = "1"

hypothesis.settings.register_profile("unhurried", deadline=None)  # the machine may be busy
hypothesis.settings.load_profile("unhurried")

# With 4 units a perceptron of ReLUs can be dead from the start; 8 are enough for the seeds used here.
SMALL = {
    "latent": 8,
    "width": 8,
    "channels": 4,
    "g_width": 4,
    "d_width": 4,
    "start": 4,
    "blocks": 1,
    "text": 8,
    "told": 8,
    "pool": 6,
    "captions": "words",
    "perceptual_net": "efflite0",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-golden", action="store_true", help="write tests/golden/*.json anew")


@pytest.fixture(scope="session", autouse=True)
def _folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads the user's cache or leaves runs behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GANSMITH_HOME", raising=False)
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GANSMITH_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


@pytest.fixture(scope="session")
def tiny_data() -> Callable[..., Split]:
    """Images of noise, with labels, captions, and targets of their own: the same ones for the same arguments."""

    def tiny_data(n: int = 12, resolution: int = 16, channels: int = 1) -> Split:
        rng = np.random.default_rng(0)
        images, targets = rng.integers(0, 256, (2, n, resolution, resolution, channels), np.uint8)
        captions = tuple(f"a {WORDS[1 + i % 3]} circle" for i in range(n))
        return Split(images, np.arange(n) % 3, captions, targets=targets, paired=True)

    return tiny_data


@pytest.fixture(scope="session")
def tiny_spec() -> Callable[..., Spec]:
    """The shape of such data as a family asks for it."""

    def tiny_spec(family: str, resolution: int = 16, channels: int = 1) -> Spec:
        config = family_named(family).config(family=family)
        return replace(imagined(config, resolution, channels), classes=("a", "b", "c"))

    return tiny_spec


@pytest.fixture(scope="session")
def tiny_session(tiny_data: Callable[..., Split], tiny_spec: Callable[..., Spec]) -> Callable[..., Session]:
    """A session of a family with every width that it has made small, batches of 4; settings by dotted name."""

    def tiny_session(
        family: str,
        settings: dict[str, Any] | None = None,
        *,
        resolution: int = 16,
        channels: int = 1,
        bf16: bool = False,
    ) -> Session:
        known = family_named(family).config.model_fields
        small = {name: value for name, value in SMALL.items() if name in known} | {"train.batch": 4}
        config = resolve(family, [("tiny", nested(small)), ("test", nested(settings or {}))])
        spec = tiny_spec(family, resolution, channels)
        data = tiny_data(resolution=resolution, channels=channels)
        if config.data.targets == "none":
            data = replace(data, targets=None, paired=False)
        elif config.data.targets == "unpaired":
            data = replace(data, paired=False)
        return Session(config, spec, data, Runtime(torch.device("cpu"), bf16))

    return tiny_session

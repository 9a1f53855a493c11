"""Images and features that the tests of the metrics share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gansmith.core.config import DataConfig
from gansmith.data import open_data
from gansmith.metrics import Extractor, extractor


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="session")
def fashion() -> Extractor:
    return extractor("fashion-cnn")


@pytest.fixture(scope="session")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Real images (1500, 28, 28, 1), and held-out ones (500, 28, 28, 1)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("data")))
        data = open_data(DataConfig(source="builtin:fashion"))
        rows, cols = data.spec.window
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(data.train.images))[:1500]
        held = rng.permutation(len(data.heldout.images))[:500]
        return np.array(data.train.images[chosen][:, rows, cols]), np.array(data.heldout.images[held][:, rows, cols])


@pytest.fixture(scope="session")
def real_features(fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return fashion(clothes[0])

"""A cache folder of its own for every test, and small folders of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gansmith.core.config import DataConfig
from gansmith.data import Dataset, open_data


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def opened() -> Callable[..., Dataset]:
    """`open_data`, settings as keywords."""

    def opened(source: Any, **settings: Any) -> Dataset:
        return open_data(DataConfig(source=str(source), **settings))

    return opened


@pytest.fixture
def paint() -> Callable[..., Path]:
    """Write a picture of noise, different for every `seed`."""

    def paint(path: Path, size: tuple[int, int] = (32, 32), mode: str = "RGB", seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(noise).convert(mode).save(path)
        return path

    return paint


@pytest.fixture
def photos(tmp_path: Path, paint: Callable[..., Path]) -> Path:
    """A folder of 24 pictures of 32x32."""
    for i in range(24):
        paint(tmp_path / "photos" / f"{i:02}.png", seed=i)
    return tmp_path / "photos"

"""The data sets inside the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gansmith.data
from gansmith.data import Dataset

Open = Callable[..., Dataset]
FOLDER = Path(gansmith.data.__file__).parent / "builtin"


def test_fashion(opened: Open) -> None:
    data = opened("builtin:fashion")
    assert (data.spec.resolution, data.spec.channels, data.spec.height, data.spec.width) == (32, 1, 28, 28)
    assert np.bincount(data.train.labels).tolist() == [1000] * 10
    assert np.bincount(data.heldout.labels).tolist() == [200] * 10
    assert data.spec.classes[9] == "Ankle boot"


def test_emoji_splits_by_base_emoji(opened: Open) -> None:
    data = opened("builtin:emoji")
    assert data.spec.channels == 3
    assert len(data.spec.classes) == 9
    assert data.train.captions is not None
    assert data.train.captions[0].startswith("grinning face, ")
    codes = [{name.split("/")[1] for name in split.names} for split in (data.train, data.heldout)]
    assert not codes[0] & codes[1]
    assert 0.07 < len(codes[1]) / (len(codes[0]) + len(codes[1])) < 0.12
    pixels = [{image.tobytes() for image in split.images} for split in (data.train, data.heldout)]
    assert not pixels[0] & pixels[1]


@pytest.mark.parametrize("style", ["google", "twitter"])
def test_emoji_in_one_style(opened: Open, style: str) -> None:
    data = opened(f"builtin:emoji-{style}")
    assert {name.split("/")[0] for name in data.train.names + data.heldout.names} == {style}
    assert len(data.train) + len(data.heldout) == 1906


def test_size_and_licences() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 12e6
    assert "Copyright (c) 2017 Zalando SE" in (FOLDER / "LICENSE-fashion").read_text()
    for needle in ("Noto Emoji", "Apache License", "Twemoji", "CC BY 4.0", "Copyright (c) 2017-2019 Miles Johnson"):
        assert needle in (FOLDER / "LICENSE-emoji").read_text()

"""What the data tells the networks: the window of the picture, and the way to JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gansmith.core.spec import Spec


@pytest.mark.parametrize(
    ("size", "window"),
    [
        ((28, 28), (slice(2, 30), slice(2, 30))),
        ((32, 32), (slice(0, 32), slice(0, 32))),
        ((31, 20), (slice(0, 31), slice(6, 26))),
    ],
)
def test_window_by_hand(size: tuple[int, int], window: tuple[slice, slice]) -> None:
    assert Spec(32, 1, *size).window == window


@given(st.integers(1, 64), st.integers(1, 64))
def test_the_window_is_centred_and_has_the_pictures_size(height: int, width: int) -> None:
    square = np.zeros((64, 64))
    rows, columns = Spec(64, 3, height, width).window
    assert square[rows, columns].shape == (height, width)
    for part in (rows, columns):
        assert 0 <= (64 - part.stop) - part.start <= 1, "an odd pixel goes below or to the right"


def test_json_and_back() -> None:
    spec = Spec(32, 3, 28, 30, ("cat", "dog"))
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec

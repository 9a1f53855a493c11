"""The README's Python examples run as they stand, one after another, in an empty folder with the folder `photos/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

README = Path(__file__).parents[1] / "README.md"


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "photos" / f"{i:02}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANSMITH_RUNS", "runs")
    for example in Document.parse(str(README), PythonCodeBlockParser()).examples():
        example.evaluate()

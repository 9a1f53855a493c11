"""The README's Python examples run as they stand, one after another, in an empty folder with the folder `photos/`; what
pages link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "photos" / f"{i:02}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANSMITH_RUNS", "runs")
    for example in Document.parse(str(README), PythonCodeBlockParser()).examples():
        example.evaluate()


def test_pictures_and_pages_are_there() -> None:
    for page in (README, *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"

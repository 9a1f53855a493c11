"""Benchmarks run by hand, and seldom: at least none of them asks for what is no longer there, and what they reckon for
themselves is right."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

FOLDER = Path(__file__).parent.parent / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "parse" in path.read_text() and "__main__" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_it_explains_itself(script: Path) -> None:
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("usage:")


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return __import__(name)


def test_the_first_of_some_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    first_among = imported("text_to_image", monkeypatch).first_among
    scores = np.array([[0.3, 0.9, 0.1, 0.5, 0.5, 0.2]])

    def by_hand(own: int) -> float:
        drawn = list(combinations([i for i in range(6) if i != own], 2))
        return float(np.mean([all(scores[0, i] < scores[0, own] for i in others) for others in drawn]))

    assert first_among(scores, 3)[0] == pytest.approx([by_hand(own) for own in range(6)])


def test_the_best_band(monkeypatch: pytest.MonkeyPatch) -> None:
    translation = imported("translation", monkeypatch)
    images = np.array([[[[10], [20], [30], [40]]]], np.uint8)
    maps = np.array([[[[0], [200], [255], [90]]]], np.uint8)
    band = translation.best_band(images, maps)
    assert 10 < band[0] <= 20
    assert 30 <= band[1] < 40
    inside = 255 * translation.in_band(images, band).astype(np.uint8)
    assert translation.dice(inside, maps) == pytest.approx([1.0])
    assert translation.dice(np.full_like(maps, 255), maps) == pytest.approx([2 * 2 / (4 + 2)])
    assert translation.by_intensity(translation.intensity_means(images, maps), images).tolist() == maps.tolist()
    assert translation.band_means(images, maps, band)[[20, 40]].tolist() == [227.5, 45.0]


def test_where_synthetic_images_help(monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation = imported("augmentation", monkeypatch)
    counts = augmentation.SETTINGS["tail"].counts(np.random.default_rng(0))
    assert sorted(counts)[::9] == [5, 500]
    assert augmentation.SETTINGS["20"].counts(np.random.default_rng(0)) == [20] * 10

    def records(name: str, gain: float) -> list[dict[str, object]]:
        others = dict.fromkeys((*augmentation.WITHOUT, *augmentation.WITH), 70.0)
        return [
            {
                "setting": name,
                "accuracy": others | {"mixup": 71.0 + seed, "ours": 71.0 + gain + seed + 0.1 * (seed % 2)},
            }
            for seed in range(5)
        ]

    found = records("20", 2.0) + records("50", 0.0)
    ours, rival, more = augmentation.contest(found[:5])
    assert (ours, rival) == ("ours", "mixup")
    assert more.mean == pytest.approx(2.04)
    assert "help with: 20 a class. They do not, or not that it could be told from chance, with: 50 a class" in (
        augmentation.where(found, ["20", "50"])
    )


def test_what_lines_enclose(monkeypatch: pytest.MonkeyPatch) -> None:
    translation = imported("translation", monkeypatch)
    image = np.full((9, 9, 3), 255, np.uint8)
    image[2:7, 2:7] = 0
    image[3:6, 3:6] = 255
    colour = np.array([200.0, 100.0, 50.0])
    painted = translation.filled(image, colour)
    assert painted[4, 4].tolist() == [200, 100, 50]
    assert painted[2, 2].tolist() == [0, 0, 0]
    assert painted[0, 8].tolist() == [255, 255, 255]
    assert translation.mean_colour(image[None], painted[None]).tolist() == colour.tolist()


def test_who_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    common = imported("common", monkeypatch)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 50)
    worse = rng.normal(0, 5, 50)
    values = {name: {"ours": worse + 1 + noise, "theirs": worse} for name in ("PSNR, dB", "perceptual, vgg16")}
    comparison = common.compared(values, "ours")
    assert comparison["PSNR, dB"]["ours - theirs"]["mean"] == pytest.approx(1, abs=0.1)
    found = common.betters(comparison, "ours", "theirs")
    assert found == {"ours against theirs, PSNR, dB": True, "ours against theirs, perceptual, vgg16": False}


def test_a_share_has_wilsons_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends solve |p - share| = z sqrt(p (1 - p) / n)."""
    found = imported("illness_report", monkeypatch).share(9, 10)
    for end in ("low", "high"):
        p = found[end]
        assert abs(p - 0.9) == pytest.approx(1.96 * (p * (1 - p) / 10) ** 0.5, abs=2e-4)


def test_weights_are_fitted_and_never_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [
        ({"tells": float(x), "misleads": float(y)}, bool(x + 0.3 * rng.normal() > 1))
        for x, y in rng.random((500, 2)) * 2
    ]
    rows = [({**signs, "misleads": signs["misleads"] - 0.5 * ill}, ill) for signs, ill in rows]
    weights = imported("illness_report", monkeypatch).fitted(rows)
    assert weights["tells"] > 2
    assert weights["misleads"] == 0
    assert -weights["bias"] / weights["tells"] == pytest.approx(1, abs=0.15), "as likely as not where it should be"


def test_the_best_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    best = imported("illness", monkeypatch).best_accuracy
    assert best(torch.tensor([2.0, 3, 4, 5]), torch.tensor([0.0, 1, 2.5, 0.5])) == pytest.approx(7 / 8)
    assert best(torch.tensor([0.0, 1]), torch.tensor([2.0, 3])) == pytest.approx(0.5), "the wrong way round is chance"


def test_a_treated_loop_goes_back_to_the_same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    illness = imported("illness", monkeypatch)
    loop = illness.Loop(replace(illness.base("ring", "mlp"), width=8, steps=200), 0)

    def play(steps: int) -> torch.Tensor:
        for _ in range(steps):
            loop.step()
        return torch.cat([p.detach().flatten().clone() for net in (loop.g, loop.d) for p in net.parameters()])

    play(30)
    moment = illness.Moment.of(loop)
    once = play(25)
    moment.back(loop)
    assert loop.number == 30
    assert len(loop.doctor.looks) == 1
    assert torch.equal(play(25), once)

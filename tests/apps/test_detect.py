"""Images unlike the rest are found, the threshold keeps its promise, and nothing is lost on the way."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gansmith
from gansmith.apps import detect
from gansmith.apps.detect import Detection, Normal, calibrate, detection, fit, score, threshold_of
from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError, GansmithError
from gansmith.data import marks, open_data
from gansmith.data.geometry import load_like
from gansmith.metrics import auroc
from gansmith.training.session import Session

TINY = {
    "aae": {"channels": 6, "width": 32, "latent": 4},
    "f-anogan": {"g_width": 6, "d_width": 6, "latent": 4},
    "ganomaly": {"g_width": 6, "d_width": 6, "latent": 4},
    "anogan": {"g_width": 6, "d_width": 6, "latent": 4},
}


def discs(n: int, seed: int, hole: bool = False) -> np.ndarray:
    """Bright discs somewhere about the middle, uint8 (n, 16, 16); with a hole where they are faulty."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    images = []
    for _ in range(n):
        y, x = rng.uniform(6, 9, 2)
        far = np.hypot(rows - y, columns - x)
        image = 200.0 * (far < 5) - 160.0 * (hole and far < 2)
        images.append(np.clip(image + rng.normal(20, 8, (16, 16)), 0, 255))
    return np.stack(images).astype(np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "discs.npy"
    np.save(path, discs(300, 0))
    return path


@pytest.fixture(scope="module")
def fitted(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Detection]:
    """A detection by each method, made once."""
    made: dict[str, Detection] = {}
    folder = tmp_path_factory.mktemp("runs")

    def fitted(method: str) -> Detection:
        if method not in made:
            settings = TINY[method] | {"train.batch": 16, "train.looks": 0, "train.frames": 0}
            made[method] = fit(
                str(good), folder / method, method, kimg=4.0, by="nearest", settings=settings, quiet=True
            )
        return made[method]

    return fitted


FAULTS = np.repeat([False, True], 60)


@pytest.mark.parametrize("method", detect.METHODS)
def test_faults_are_found(fitted: Callable[[str], Detection], method: str) -> None:
    found = fitted(method)
    images = np.concatenate([discs(60, 1), discs(60, 2, hole=True)])[..., None]
    scores = found.scores(images)
    assert auroc(scores, FAULTS) > 0.95, "faults are more unlike than what is normal"
    assert (scores[~FAULTS] > found.threshold.value).mean() < 0.2
    assert np.array_equal(scores, found.scores(images)), "the same image has the same score"
    assert np.allclose(scores[55:65], found.scores(images[55:65]), rtol=1e-4), "whatever comes with it"


def test_the_heat_is_where_the_fault_is(fitted: Callable[[str], Detection]) -> None:
    """Of the method that makes discs at this size; the others' are too dark for a hole to be seen in them."""
    found = fitted("anogan")
    good, faulty = discs(32, 2)[..., None], discs(32, 2, hole=True)[..., None]
    made, heat = found.heat(faulty)
    assert made.shape == faulty.shape
    assert heat.shape == (32, 16, 16)
    rows, columns = np.mgrid[:16, :16]
    inside = np.hypot(rows - 7.5, columns - 7.5) < 2
    assert heat[:, inside].mean() > found.heat(good)[1][:, inside].mean() + 0.5


@pytest.mark.parametrize("method", ["f-anogan", "ganomaly"])
def test_a_method_scores_by_what_it_does_better_by(method: str, good: Path, tmp_path: Path) -> None:
    found = fit(str(good), tmp_path / "run", method, kimg=0.1, settings=TINY[method] | {"train.looks": 0}, quiet=True)
    assert found.by == detection(found.run).by == detect.detector_of(found.run).by


def test_the_papers_score(fitted: Callable[[str], Detection]) -> None:
    run = fitted("aae").run
    found = calibrate(run, "paper", 0.1)
    images = discs(20, 3)[..., None]
    made = detect.made_of(run, images)
    given = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert found.scores(images) == pytest.approx((given - made).square().mean((1, 2, 3)).numpy(), rel=1e-4)
    calibrate(run)


def test_a_threshold_by_hand() -> None:
    scores = np.arange(1.0, 20.0)
    assert threshold_of(scores, 0.05)[:2] == (19.0, pytest.approx(0.05))
    assert threshold_of(scores, 0.1)[:2] == (18.0, pytest.approx(0.1))
    assert threshold_of(scores, 0.01)[:2] == (19.0, pytest.approx(0.05)), "nothing higher is known"
    # Of the highest of 19, the share above is Beta(1, 19): P(share < p) = 1 - (1 - p)^19.
    found = threshold_of(scores, 0.05)
    assert (found.low, found.high) == pytest.approx((1 - 0.975 ** (1 / 19), 1 - 0.025 ** (1 / 19)), rel=0.03)


def test_a_threshold_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    above = [(rng.normal(size=200) > threshold_of(rng.normal(size=39), 0.1).value).mean() for _ in range(300)]
    assert np.mean(above) == pytest.approx(0.1, abs=0.01)
    low = threshold_of(rng.normal(size=39), 0.1).low  # it goes by how many there are alone
    inside = [0.9 * low < share for share in above]
    assert np.mean(inside) > 0.95


def test_the_nearest_by_hand() -> None:
    known = torch.tensor([[0.0, 0.0], [0.0, 4.0], [2.0, 0.0], [2.0, 4.0], [1.0, 2.0], [9.0, 9.0]])
    normal = Normal(known.half(), torch.zeros(2), torch.tensor([1.0, 2.0]), *(torch.zeros(1, 1),) * 2, torch.zeros(0))
    # In units of spread: the middle (1, 1) is sqrt(2) from four corners and 0 from itself.
    assert normal.nearest(torch.tensor([[1.0, 2.0]])).item() == pytest.approx(4 * 2**0.5 / 5)


def test_smoothing_keeps_what_is_even_and_spreads_the_rest() -> None:
    assert torch.allclose(detect.smoothed(torch.full((1, 32, 32), 3.0)), torch.tensor(3.0))
    point = torch.zeros(1, 32, 32)
    point[0, 16, 16] = 1
    assert detect.smoothed(point).sum().item() == pytest.approx(1)
    assert 0.1 < detect.smoothed(point)[0, 16, 16] < 0.3


def test_a_detection_is_kept(fitted: Callable[[str], Detection], tmp_path: Path) -> None:
    found = fitted("aae")
    again = detection(gansmith.load(found.run.path))
    images = discs(5, 4)[..., None]
    assert np.array_equal(found.scores(images), again.scores(images))
    assert again.threshold == found.threshold
    assert "of normal images are expected to be" in again.told()


def test_a_damaged_detector_says_so(fitted: Callable[[str], Detection], good: Path, tmp_path: Path) -> None:
    run = fitted("ganomaly").run
    file = run.path / detect.TENSORS
    content = file.read_bytes()
    try:
        file.write_bytes(content[:100])
        with pytest.raises(GansmithError, match=r"detector\.json: damaged: .* makes it again"):
            detection(run)
    finally:
        file.write_bytes(content)


def test_a_run_without_a_detector(tmp_path: Path, good: Path) -> None:
    settings = {"width": 8, "train.looks": 0, "train.samples": 0}
    run = gansmith.train("r3gan", str(good), kimg=0.064, settings=settings, run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match="r3gan tells no images apart: gansmith detect fit"):
        calibrate(run)
    with pytest.raises(ConfigError, match="has no detector yet"):
        detection(run)


def test_too_few_held_out(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", discs(9, 0))
    with pytest.raises(DataError, match=r"0 of 9 images are held out, and a threshold needs 2 .*data\.holdout=0\.5"):
        fit(str(tmp_path / "few.npy"), tmp_path / "run", kimg=0.1)
    assert not (tmp_path / "run").exists(), "before anything is trained"


def test_few_held_out_promise_little(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", discs(30, 0))
    settings = TINY["aae"] | {"train.looks": 0, "train.batch": 8}
    found = fit(str(tmp_path / "some.npy"), tmp_path / "run", kimg=0.1, settings=settings, quiet=True)
    count = len(found.normal.scores)
    assert 2 <= count <= 12
    assert found.threshold.expected == pytest.approx(1 / (count + 1))
    assert f"({count} were held out)" in found.told()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "ganomly"}, "did you mean 'ganomaly'"),
        ({"by": "far"}, "by: expected nearest or paper"),
        ({"false_alarms": 0.0}, "false alarms: expected a share above 0"),
    ],
)
def test_what_cannot_be_asked_for(good: Path, tmp_path: Path, given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(str(good), tmp_path / "run", **given)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_folder_is_scored(fitted: Callable[[str], Detection], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = fitted("aae")
    folder = tmp_path / "today"
    (folder / "line 2").mkdir(parents=True)
    images = np.concatenate([discs(3, 1), discs(3, 2, hole=True)])
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / ("line 2" if i % 2 else "") / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no image")
    out, pictures = tmp_path / "deep" / "scores.csv", tmp_path / "marked"
    with pytest.raises(DataError, match="1 of 7 images could not be read"):
        score(found.run, folder, out, pictures)
    assert "broken.png" in capsys.readouterr().err
    with out.open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"0.png", "2.png", "4.png", "line 2/1.png", "line 2/3.png", "line 2/5.png"}
    expected = found.scores(images[..., None])
    for name, row in rows.items():
        i = int(Path(name).stem)
        assert float(row["score"]) == pytest.approx(expected[i], rel=1e-3)
        assert row["anomalous"] == str(bool(expected[i] > found.threshold.value)).lower()
    assert {row["anomalous"] for row in rows.values()} == {"true", "false"}
    with Image.open(pictures / "line 2" / "3.png") as shown:
        assert shown.width > 3 * 16
    assert marks.read(pictures / "0.png").is_synthetic


def test_of_tiles_the_worst_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sheets of 3 x 2 discs: one disc with a hole makes a sheet anomalous."""

    def sheet(seed: int, fault: int | None = None) -> Image.Image:
        parts = discs(6, seed)
        if fault is not None:
            parts[fault] = discs(1, seed, hole=True)[0]
        return Image.fromarray(detect.Seen(parts, 3).whole(parts))

    (tmp_path / "good").mkdir()
    (tmp_path / "asked").mkdir()
    for i in range(80):
        sheet(i).save(tmp_path / "good" / f"{i:02}.png")
    for i in range(10):
        sheet(100 + i).save(tmp_path / "asked" / f"good {i}.png")
        sheet(200 + i, i % 6).save(tmp_path / "asked" / f"odd {i}.png")
    Image.new("L", (15, 60)).save(tmp_path / "asked" / "small.png")
    tiles = {"data.fit": "tiles", "data.resolution": 16, "train.batch": 16, "train.looks": 0, "train.frames": 0}
    found = fit(str(tmp_path / "good"), tmp_path / "run", kimg=4.0, settings=TINY["aae"] | tiles, quiet=True)
    assert len(found.normal.scores) == len({detect.image_of(n) for n in open_data(found.run.config.data).heldout.names})
    with pytest.raises(DataError, match="1 of 21 images"):
        score(found.run, tmp_path / "asked", tmp_path / "scores.csv", tmp_path / "marked")
    with (tmp_path / "scores.csv").open() as file:
        scores = {row["file"]: float(row["score"]) for row in csv.DictReader(file)}
    names = sorted(scores)
    assert auroc(np.array([scores[name] for name in names]), np.array([name[0] == "o" for name in names])) > 0.9
    one = np.asarray(Image.open(tmp_path / "asked" / "odd 4.png"))
    squares = detect.Seen.of(found.run, tmp_path / "asked" / "odd 4.png").squares
    assert np.array_equal(squares[4, ..., 0], one[16:, 16:32]), "row by row"
    assert scores["odd 4.png"] == pytest.approx(found.scores(squares).max(), rel=1e-4)
    with Image.open(tmp_path / "marked" / "odd 4.png") as shown:
        assert shown.width > 3 * 48
        assert shown.height >= 32
    assert "false alarms" not in caplog.text
    Image.new("L", (16 * 21, 16 * 20)).save(tmp_path / "large.png")
    score(found.run, tmp_path / "large.png", tmp_path / "scores.csv")
    assert "up to 420 tiles an image" in caplog.text


def test_the_worst_by_hand() -> None:
    names = ["b.png#000", "a.png#000", "b.png#001", "a#1.png#007"]
    found = detect.worst(torch.tensor([1.0, -4.0, 3.0, 2.0]), names)
    assert sorted(found.tolist()) == [-4.0, 2.0, 3.0]


@pytest.mark.parametrize("size", [(28, 28), (40, 40), (64, 48)])
def test_files_are_read_as_those_that_were_trained_on(tmp_path: Path, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).resize(size).save(tmp_path / f"{i:02}.png")
    data = open_data(DataConfig(source=str(tmp_path), holdout=0.0))
    for name, image in zip(data.train.names, data.train.images, strict=True):
        assert np.array_equal(load_like(tmp_path / name, data.spec, "auto"), image)


def test_scores_do_not_follow_the_batch(tiny_session: Callable[..., Session]) -> None:
    """Evaluation mode everywhere: the published GANomaly's norms followed the test images."""
    session = tiny_session("ganomaly")
    images = session.feed.split.images
    assert session.game.detector is not None
    see = session.game.detector.features
    assert torch.allclose(session.mapped(see, images)[:2], session.mapped(see, images[:2]), atol=1e-5)

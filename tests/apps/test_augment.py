"""More images for a classifier: filters by hand, classifiers of toys, verdicts, and a whole small augmentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.apps import augment as app
from gansmith.apps import synthetic
from gansmith.apps.augment import Order, augment
from gansmith.apps.class_folder import folder_names
from gansmith.apps.classify import Labelled, Schedule, Way, class_weights, classes_of, fit
from gansmith.apps.contest import Measured, estimated, of_classes, trials, verdict
from gansmith.apps.filtering import Known, densities, reasons, sketches
from gansmith.apps.synthetic import Drawn, Judged
from gansmith.core.errors import ConfigError, DataError, Stopped
from gansmith.data import open_data
from gansmith.data.marks import read

QUICK = Schedule(steps=40, width=8)
TINY = {"g_width": 4, "d_width": 4, "latent": 8, "train.batch": 8, "train.frames": 0, "train.looks": 0}


# ---- filters


def test_density_by_hand() -> None:
    """Real points at 0, 1, 2 and 10; each ball reaches to its nearest other."""
    real = np.array([[0.0], [1], [2], [10]])
    fake = np.array([[1.0], [0.5], [4], [3.5], [30]])
    assert densities(real, fake, k=1).tolist() == [3, 2, 1, 1, 0]
    assert densities(real[:2], fake[:1], k=5).tolist() == [2], "of two images each ball reaches to the other"


def test_sketches_are_apart_by_their_pixels() -> None:
    black, white = np.zeros((1, 64, 48, 3), np.uint8), np.full((1, 64, 48, 3), 255, np.uint8)
    assert np.linalg.norm(sketches(black) - sketches(white)) == pytest.approx(1)
    assert sketches(black).shape == (1, 16 * 16 * 3)


def test_copies() -> None:
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (30, 16, 16, 1), np.uint8)
    known = Known.of(real)
    near = np.clip(real[7].astype(int) + rng.integers(-3, 4, real[7].shape), 0, 255).astype(np.uint8)
    asked = np.stack([real[3], real[5][:, ::-1], near, rng.integers(0, 256, (16, 16, 1), np.uint8)])
    distance, number = known.nearest(asked)
    assert (distance <= known.limit).tolist() == [True, True, True, False]
    assert distance[:2] == pytest.approx([0, 0])
    assert number[:3].tolist() == [3, 5, 7], "mirrored ones, too"


def test_reasons_in_their_order() -> None:
    agrees = np.array([True, True, True, False, False])
    density, distance = np.array([0.2, 0, 0.2, 0, 0.2]), np.array([0.5, 0.1, 0.1, 0.1, 0.5])
    assert reasons(agrees, density, distance, 0.1).tolist() == ["", "density", "copy", "class", "class"]


# ---- classifiers


def blobs(n: int, seed: int, counts: tuple[int, ...] = (1, 1)) -> Labelled:
    """Dark images with a bright half: the upper one, or the lower one; `counts` are shares of n."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2), [n * count for count in counts])
    images = rng.integers(0, 90, (len(labels), 16, 16, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[8 * label : 8 * label + 8] += 120
    return Labelled(images, labels)


@pytest.mark.parametrize("way", [Way(), Way(moves=True), Way(mixes=True), Way(weighs=True), Way(evens=True)])
def test_a_toy_is_learnt_and_learnt_again(way: Way) -> None:
    train, test = blobs(20, 0, (1, 3)), blobs(30, 1)
    net = fit(train, 2, way, QUICK, 0)
    assert (classes_of(net, test.images) == test.labels).mean() > 0.95
    again = fit(train, 2, way, QUICK, 0)
    assert all((a == b).all() for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_class_weights_by_hand() -> None:
    weights = class_weights(np.array([30, 10, 0]))
    assert weights.tolist() == pytest.approx([40 / 60, 2, 0])
    assert (weights * [30, 10, 0]).sum() == pytest.approx(40)


# ---- whether they help


def test_classes_of_one_size_share_trials() -> None:
    level, uneven = blobs(5, 0), blobs(5, 0, (1, 3))
    assert len(set(trials(level, level + level, 2, 0).values())) == 5
    assert len(set(trials(uneven, uneven + level, 2, 0).values())) == 9
    assert len(set(trials(level, uneven, 2, 0).values())) == 6
    assert len(set(trials(level, level + level, 3, 0).values())) == 9, "a class without images is not of their size"


def test_balanced_accuracy_by_hand() -> None:
    hits, labels = np.array([[1.0, 1, 0, 0], [1, 1, 1, 1]]), np.array([0, 0, 0, 1])
    assert of_classes(hits, labels).tolist() == pytest.approx([1 / 3, 1])


def test_an_interval_covers_other_seeds_and_other_images() -> None:
    """By simulation: skill varies with seed, difficulty with image."""
    rng, covered = np.random.default_rng(0), []
    labels = np.arange(200) % 2
    for _ in range(300):
        chance = 0.7 + rng.normal(0, 0.03, (4, 1)) + rng.normal(0, 0.1, (1, 200))
        found = estimated((rng.random((4, 200)) < chance).astype(float), labels)
        covered.append(found.low <= 70 <= found.high)
    assert np.mean(covered) > 0.93


def contenders(ours: float, others: float, n: int = 2000, seeds: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    draws = rng.random((seeds, n))
    return {"nothing": draws < others, "ours": draws < ours, "ours, flips and crops": draws < ours - 0.01}


def test_verdicts() -> None:
    labels = np.arange(2000) % 10
    yes, no, level = (verdict(contenders(p, 0.8), labels) for p in (0.85, 0.7, 0.801))
    assert yes.helps
    assert (yes.ours, yes.rival) == ("ours", "nothing")
    assert yes.words.startswith("yes: +")
    assert "ours against nothing" in yes.words
    assert not no.helps
    assert no.words.startswith("no, they harm: -")
    assert not level.helps
    assert "chance" in level.words


def test_two_held_out_images_say_nothing() -> None:
    hits = {"nothing": np.zeros((5, 2), bool), "ours": np.ones((5, 2), bool)}
    hits["ours, flips and crops"] = hits["ours"]
    assert not verdict(hits, np.array([0, 1])).helps


def test_classes_without_held_out_images_are_named() -> None:
    found = Measured.of(contenders(0.8, 0.8), np.arange(2000) % 2, ("a", "b", "c"), (0, 1, 2, 3, 4))
    assert found.absent == ("c",)
    json.dumps(found.to_json(), allow_nan=False)


# ---- orders, names, draws


def test_orders() -> None:
    counts = np.array([5, 20, 12])
    assert Order().of(counts) == [20, 20, 20]
    assert Order(per_class=7).of(counts) == [7, 7, 7]
    assert Order(balance=True).of(counts) == [15, 0, 8]
    with pytest.raises(ConfigError, match="all classes have 4"):
        Order(balance=True).of(np.array([4, 4]))


def test_folder_names() -> None:
    names = folder_names(["T-shirt/top", "T-shirt top", "..", "été", "ÉTÉ", "a b"])
    assert names == ["T-shirt-top", "T-shirt-top-2", "class", "été", "ÉTÉ-2", "a-b"]


def test_a_draw_keeps_no_more_than_was_asked() -> None:
    drawn = Drawn(asked=2)
    judged = Judged(np.array(["", "copy", "", ""]), np.full(4, 0.5), np.zeros(4, np.int64))
    drawn.take(np.zeros((4, 8, 8, 1), np.uint8), judged, 3, ["a"])
    assert (drawn.short, dict(drawn.counts)) == (0, {"": 2, "copy": 1})
    assert drawn.lines[1] == {"seed": 3, "number": 2, "distance": 0.5, "nearest": "a"}


# ---- all of it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 30 and 15 training images, 20 held-out ones of each."""
    path = tmp_path_factory.mktemp("data") / "halves"
    for split, data in (("train", blobs(15, 0, (2, 1))), ("test", blobs(20, 1))):
        for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
            file = path / split / ("upper", "lower")[label] / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(file)
    return path


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> gansmith.Run:
    path = tmp_path_factory.mktemp("trained") / "run"
    settings = {**TINY, **app.DEFAULTS}
    return gansmith.train("cgan", str(folder), kimg=2.5, settings=settings, run_dir=path, quiet=True)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_for_any_trainer(folder: Path, trained: gansmith.Run, tmp_path: Path) -> None:
    out = tmp_path / "more"
    report = trained.augment(out, per_class=6, seeds=2, schedule=QUICK, with_real=True)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert files(out) == {line["file"] for line in lines} | {"manifest.jsonl", "report.json"}
    synthetic = [line for line in lines if line["synthetic"]]
    assert len(lines) - len(synthetic) == 45
    assert synthetic, "the filters let some pass"
    for line in synthetic:
        mark = read(out / line["file"]).mark
        assert mark
        assert mark.run == line["run"] == trained.dir.mark.run
        made = trained.sample(line["number"] + 1, line["seed"], label=line["class"])[line["number"]]
        assert (np.asarray(Image.open(out / line["file"])) == made[..., 0]).all(), "traced to its draw"
        assert line["nearest"].startswith(f"train/{line['class']}/")
    real = next(line for line in lines if not line["synthetic"])
    assert not read(out / real["file"]).is_synthetic
    assert (np.asarray(Image.open(out / real["file"])) == np.asarray(Image.open(folder / real["source"]))).all()

    for one in report.classes:
        assert one["kept"] + sum(one["dropped"].values()) == one["drawn"]
    written = json.loads((out / "report.json").read_text())
    assert written["measured"]["heldout"] == 40
    assert set(written["measured"]["by_seed"]) >= {"nothing", "mixup", "class weights", "ours"}
    assert written["measured"]["verdict"]["words"].startswith(("yes", "no"))
    assert read(report.sheet).is_synthetic

    again = open_data(trained.config.data.model_copy(update={"source": str(out)}))
    assert again.spec.classes == ("lower", "upper"), "our own trainer reads it by class"


def test_the_same_seed_gives_the_same_files(trained: gansmith.Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        trained.augment(tmp_path / name, per_class=3, measure=False, schedule=QUICK, marked=False)
    names = files(tmp_path / "a") - {"report.json"}
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    image = next(name for name in names if name.endswith(".png"))
    assert not read(tmp_path / "a" / image).is_synthetic


def test_overwriting_takes_what_was_written_and_no_more(trained: gansmith.Run, tmp_path: Path) -> None:
    out = tmp_path / "more"
    trained.augment(out, per_class=4, measure=False, schedule=QUICK)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        trained.augment(out, measure=False)
    trained.augment(out, balance=True, measure=False, schedule=QUICK, overwrite=True)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert files(out) == {line["file"] for line in lines} | {"manifest.jsonl", "report.json", "notes.txt"}
    assert {line["class"] for line in lines} <= {"lower"}
    (out / "manifest.jsonl").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        trained.augment(out, measure=False, overwrite=True)
    (out / "manifest.jsonl").unlink()
    with pytest.raises(ConfigError, match="files of others"):
        trained.augment(out, measure=False, overwrite=True)


def test_a_class_that_cannot_be_filled_is_named(
    trained: gansmith.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(synthetic, "reasons", lambda agrees, *_: np.full(len(agrees), "density", object))
    report = trained.augment(tmp_path / "more", per_class=2, seeds=2, schedule=QUICK)
    assert [one["kept"] for one in report.classes] == [0, 0]
    assert "class upper: 0 of 2 images" in caplog.text
    assert "dropped for density" in caplog.text
    assert report.measured
    assert not report.measured.verdict.helps


def test_a_stop_leaves_a_run_that_can_be_used(
    trained: gansmith.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "contend", interrupted)
    with pytest.raises(Stopped, match=f"--run {trained.path}") as stop:
        trained.augment(tmp_path / "more", per_class=2, schedule=QUICK)
    assert stop.value.exit_code == 130


def test_what_cannot_be_done_is_said_first(folder: Path, trained: gansmith.Run, tmp_path: Path) -> None:
    def refused(match: str, data: str | Path = folder, kind: type[Exception] = ConfigError, **wishes: object) -> None:
        with pytest.raises(kind, match=match):
            augment(str(data), tmp_path / "more", **wishes)  # type: ignore[arg-type]
        assert not (tmp_path / "more").exists()

    refused("sub-folder", folder / "train" / "upper")
    refused("--family aae: cannot be told the class", family="aae")
    refused("give one of them", per_class=3, balance=True)
    refused("expected at least 2", seeds=1)
    for place in (folder, folder / "more", folder.parent):
        with pytest.raises(ConfigError, match="overlaps"):
            augment(str(folder), place, overwrite=True)
    synthetic_too = tmp_path / "augmented"
    synthetic_too.mkdir()
    (synthetic_too / "manifest.jsonl").touch()
    refused("holds synthetic images", synthetic_too)
    refused("is trained already", run=trained, kimg=1)
    refused("other data", folder / "train", run=trained)
    lone = tmp_path / "lone"
    for name in ("a/0", "b/0", "b/1"):
        (lone / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), 90, np.uint8)).save(lone / f"{name}.png")
    refused("class a: 1 images", lone, DataError, measure=False)
    (lone / "a" / "1.png").write_bytes((lone / "a" / "0.png").read_bytes())
    refused("held out", lone, DataError)

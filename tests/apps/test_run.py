"""What a run is asked for: classes, settings from several places, scores of classes as frequent as the data's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import gansmith
from gansmith.apps.run import class_named, configured
from gansmith.core.errors import ConfigError
from gansmith.data import Dataset, Split
from gansmith.training import session

SMALL = {"g_width": 4, "d_width": 4, "latent": 8, "train.batch": 8, "train.evaluations": 0, "train.frames": 0}


def test_classes_by_name_and_number() -> None:
    assert [class_named(("cat", "dog"), label) for label in ("cat", "dog", "1", 0)] == [0, 1, 1, 0]
    digits = ("1", "2", "10")
    assert [class_named(digits, label) for label in ("1", "10", 1, 0)] == [0, 2, 1, 0]
    for classes, label in ((digits, "0"), (digits, 3), (("cat", "dog"), "2"), (("cat", "dog"), -1)):
        with pytest.raises(ConfigError, match=f"no class is called '{label}'"):
            class_named(classes, label)


# ---- settings


def file_of(tmp_path: Path, **settings: Any) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_the_family_is_the_arguments_then_the_files_then_the_baseline(tmp_path: Path) -> None:
    file = file_of(tmp_path, family="cgan", latent=12)
    assert configured(None, config=file).family == "cgan"
    assert configured(None, config=file).model_dump()["latent"] == 12
    assert configured(None).family == "r3gan"
    with pytest.raises(ConfigError, match=r"own\.yaml: family: expected 'dcgan', got 'cgan'"):
        configured("dcgan", config=file)


@pytest.mark.parametrize(
    ("file", "asked", "length"),
    [
        ({"kimg": 500}, {"minutes": 5.0}, (None, 5)),
        ({"minutes": 5}, {"kimg": 500.0}, (500, None)),
        ({"kimg": None, "minutes": 5}, {}, (None, 5)),
        ({"minutes": 5}, {"layers": [("--set", {"train": {"kimg": 7}})]}, (7, None)),
        ({"batch": 8}, {"kimg": 1.0}, (1, None)),
    ],
)
def test_a_length_takes_the_place_of_an_earlier_one(
    tmp_path: Path, file: dict[str, Any], asked: dict[str, Any], length: tuple[float | None, float | None]
) -> None:
    train = configured("dcgan", config=file_of(tmp_path, train=file), **asked).train
    assert (train.kimg, train.minutes) == length


def test_two_lengths_at_once_are_refused() -> None:
    with pytest.raises(ConfigError, match="give kimg or minutes, not both"):
        configured("dcgan", kimg=1, minutes=1)


def test_conditional_leaves_the_choice_to_the_settings(tmp_path: Path) -> None:
    def how(**asked: Any) -> Any:
        return configured("dcgan", conditional=True, **asked).model_dump()["conditioning"]

    assert how() == "projection"
    assert how(config=file_of(tmp_path, conditioning="acgan")) == "acgan"
    assert how(settings={"conditioning": "concat"}) == "concat"
    assert how(config=file_of(tmp_path, conditioning="none")) == "projection"
    with pytest.raises(ConfigError, match=r"aae has no setting 'conditioning'; --set labels=informed or labels=semi"):
        configured("aae", conditional=True)


def test_a_number_over_a_penalty_is_its_weight() -> None:
    penalty = configured("r3gan", settings={"penalty.r1": 2}).model_dump()["penalty"]
    assert penalty["r1"] == {"weight": 2.0, "end": 0.05, "every": 8}
    assert penalty["r2"]["weight"] == 0.5


# ---- scores


def test_labels_in_proportion() -> None:
    labels = np.repeat([2, 0, 1], [5, 70, 25])
    split = Split(np.zeros((100, 1, 1, 1), np.uint8), labels)
    for n in (1, 10, 40, 100, 1000):
        found = split.labels_in_proportion(n, 0)
        assert found is not None
        counts = np.bincount(found, minlength=3)
        assert counts.sum() == n
        assert np.abs(counts - n * np.array([0.7, 0.25, 0.05])).max() <= 1
    assert not np.array_equal(split.labels_in_proportion(40, 0), split.labels_in_proportion(40, 1))
    assert Split(split.images).labels_in_proportion(3, 0) is None


def test_a_conditional_run_is_scored_on_classes_as_frequent_as_the_datas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Black images are nine times as frequent as white ones: so are those that are scored."""
    labels = np.repeat([0, 1], [180, 20])
    noise = np.random.default_rng(0).integers(0, 50, (200, 16, 16), np.uint8)
    np.savez(tmp_path / "data.npz", images=noise + 200 * labels[:, None, None].astype(np.uint8), labels=labels)
    asked: list[list[int]] = []
    real = session.Player.sample

    def sample(self: Any, n: int, seed: int, request: Any = session.AS_TRAINED, batch: int = 64) -> Any:
        if request.labels is not None:
            asked.append(np.bincount(request.labels.numpy(), minlength=2).tolist())
        return real(self, n, seed, request, batch)

    monkeypatch.setattr(session.Player, "sample", sample)
    settings = SMALL | {"train.evaluations": 1}
    run = gansmith.train(
        "cgan", str(tmp_path / "data.npz"), kimg=0.1, settings=settings, run_dir=tmp_path / "run", quiet=True
    )
    assert asked, "the quick score and the last one"
    assert all(abs(black / (black + white) - 0.9) < 0.02 for black, white in asked)
    del asked[:]
    run.sample(10)
    assert asked == [[5, 5]], "samples are of all classes in turn"


def test_nothing_is_asked_for_where_there_are_no_classes(tiny_session: Callable[..., session.Session]) -> None:
    playing = tiny_session("dcgan")
    bare = Split(np.zeros((10, 16, 16, 1), np.uint8))
    assert playing.asked(Dataset("bare", "0", playing.spec, bare, bare), 5, 0) == session.AS_TRAINED


def test_what_is_asked_for_of_images_and_captions(tiny_session: Callable[..., session.Session]) -> None:
    """Held-out ones first; captions as often as needed, images once."""
    for family in ("srgan", "stackgan"):
        playing = tiny_session(family)
        split = playing.feed.split
        train, held = (Split(split.images[r], None, split.captions[r]) for r in (slice(3), slice(3, 5)))  # type: ignore[index]
        asked = playing.asked(Dataset("data", "0", playing.spec, train, held), 8, 0)
        if family == "srgan":
            assert asked.sources is not None
            assert torch.equal(asked.sources, torch.from_numpy(split.images[[3, 4, 0, 1, 2]]))
            assert len(playing.sample(8, 0, asked)) == 5
        else:
            assert asked.texts is not None
            assert torch.equal(asked.texts, playing.read(split.captions[3:5] + split.captions[:3], 8))  # type: ignore
            assert len(playing.sample(8, 0, asked)) == 8


def test_truncation_of_normalised_latents_is_refused(tmp_path: Path) -> None:
    settings = {"width": 2, "latent": 8, "train.batch": 8, "train.evaluations": 0, "train.frames": 0}
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    run = gansmith.train(
        "progan", str(tmp_path / "data.npy"), kimg=0.064, settings=settings, run_dir=tmp_path / "run", quiet=True
    )
    assert run.sample(2).shape == (2, 16, 16, 1)
    with pytest.raises(ConfigError, match=r"truncation: means nothing for progan: expected 1, got 0\.5"):
        run.sample(2, truncation=0.5)


# ---- data that are barely enough


def test_too_few_images_are_refused_before_training(tmp_path: Path) -> None:
    np.save(tmp_path / "data.npy", np.zeros((5, 16, 16), np.uint8))
    with pytest.raises(gansmith.core.errors.DataError, match=r"images to train on; at least 6 are needed"):
        gansmith.train("dcgan", str(tmp_path / "data.npy"), kimg=0.1, settings=SMALL, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_picture_that_is_taken_away_during_a_run_does_not_change_its_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is measured by the data that it was trained on."""
    from gansmith.apps import run as runs

    data = tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    opened: list[str] = []
    monkeypatch.setattr(runs, "open_data", lambda *args, real=runs.open_data: opened.append("once") or real(*args))
    gansmith.train("dcgan", str(data), kimg=0.064, settings=SMALL, run_dir=tmp_path / "run", quiet=True)
    assert opened == ["once"]


def test_the_best_checkpoint_can_be_sampled_from(tmp_path: Path) -> None:
    data = tmp_path / "data.npy"
    np.save(data, np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8))
    settings = SMALL | {"train.evaluations": 3, "train.keep": 1}
    run = gansmith.train("dcgan", str(data), kimg=0.096, settings=settings, run_dir=tmp_path / "run", quiet=True)
    scored = {row["step"]: row["quick/frechet"] for row in run.dir.rows() if "quick/frechet" in row}
    assert len(scored) == 3
    best = run.dir.read("checkpoints/best.json")
    assert best["frechet"] == pytest.approx(min(scored.values()), abs=1e-5)
    assert best["checkpoint"] == f"step-{min(scored, key=lambda step: scored[step]):08d}"
    chosen = gansmith.load(run.path, best=True)
    assert chosen.player.clock.step == min(scored, key=lambda step: scored[step])
    assert gansmith.load(run.path).player.clock.step == 12
    chosen.evaluate(n=10)
    assert (run.path / "reports/evaluation-best.json").exists()
    (run.path / "checkpoints/best.json").unlink()
    with pytest.raises(ConfigError, match=r"has no best checkpoint: train\.evaluations"):
        gansmith.load(run.path, best=True).sample(1)

"""Evaluations: what they say, what they refuse to compare, and what is kept on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gansmith.core.errors import ConfigError, DataError
from gansmith.metrics import METRICS, Extractor, Reference, Scores, compare, evaluate, frechet_distance
from gansmith.metrics.evaluation import trivial_images
from gansmith.metrics.reference import cached_features, fingerprint, subsample


def noise(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Random images uint8 (count, *shape)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def noisy(images: np.ndarray, deviation: int) -> np.ndarray:
    added = images + np.random.default_rng(0).normal(0, deviation, images.shape)
    return np.clip(added, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def good(fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray]) -> Scores:
    return evaluate(noisy(clothes[1], 10), clothes[0], clothes[1], fashion)


def test_scores_lie_between_floor_and_trivial(good: Scores) -> None:
    assert list(good.scores) == list(METRICS)
    for name, score in good.scores.items():
        assert score.low <= score.value <= score.high
        assert score.floor is not None
        if name in ("frechet", "kernel"):
            assert score.floor < score.value < score.trivial
        else:
            assert score.floor > score.value > score.trivial
    assert good["frechet"].floor is not None
    assert good["frechet"].floor < 0.03 * good["frechet"].trivial


def test_the_protocol_says_how(good: Scores, fashion: Extractor) -> None:
    record = good.to_json()["protocol"]
    assert {k: record[k] for k in fashion.describe()} == fashion.describe()
    counts = [record[k] for k in ("n_real", "n_fake", "n_heldout", "n_trivial")]
    assert counts == [1500, 500, 500, 500]
    assert set(record["versions"]) == {"gansmith", "torch", "numpy"}
    assert record["warnings"] == []


def test_scores_survive_json(good: Scores) -> None:
    text = json.dumps(good.to_json(), allow_nan=False)
    assert Scores.from_json(json.loads(text)) == good


@pytest.mark.parametrize("record", [{}, {"scores": {}}, {"scores": {}, "protocol": {"extractor": "x"}}, {"scores": 3}])
def test_another_record_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="not a record of scores") as error:
        Scores.from_json(record)
    assert error.value.exit_code == 4


def test_scores_are_those_of_the_features(
    good: Scores, fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray], real_features: np.ndarray
) -> None:
    fake = fashion(noisy(clothes[1], 10))
    assert good["frechet"].value == pytest.approx(frechet_distance(real_features, fake), rel=1e-9)


def test_evaluations_repeat(fashion: Extractor) -> None:
    fake, real = noise(120, 28, 28, 1), noise(130, 28, 28, 1, seed=1)
    assert evaluate(fake, real, real[:30], fashion, seed=4) == evaluate(fake, real, real[:30], fashion, seed=4)


def test_few_images_are_warned_of(fashion: Extractor) -> None:
    found = evaluate(noise(20, 32, 32, 3), noise(200, 28, 28, 1), noise(10, 28, 28, 1), fashion).protocol
    assert found.warnings[0].startswith("20 fake and 10 held-out images for features 96 wide: the covariance is rank-d")
    assert found.warnings[1:] == [
        "the floor is of 10 images and the fakes are 20: its bias is greater",
        "fakes are 32x32x3 and real images 28x28x1",
    ]


@pytest.mark.parametrize("heldout", [None, np.zeros((0, 28, 28, 1), np.uint8), np.zeros((3, 28, 28, 1), np.uint8)])
def test_no_floor_without_held_out_images(fashion: Extractor, heldout: np.ndarray | None) -> None:
    found = evaluate(noise(100, 28, 28, 1), noise(100, 28, 28, 1, seed=1), heldout, fashion, metrics=["kernel"])
    assert list(found.scores) == ["kernel"]
    assert found["kernel"].floor is None
    assert found.protocol.n_heldout == 0
    few = heldout is not None and len(heldout) == 3
    assert ("3 held-out images are too few for a floor" in found.protocol.warnings) == few


def test_the_floor_has_as_many_images_as_the_fakes(fashion: Extractor) -> None:
    found = evaluate(noise(110, 28, 28, 1), noise(200, 28, 28, 1), noise(300, 28, 28, 1), fashion)
    assert found.protocol.n_heldout == 110


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (noise(1, 28, 28, 1), "fake: an evaluation needs at least 6 images, got 1"),
        (noise(9, 28, 28, 1).astype(float), "fake: expected uint8 images from 0 to 255, got float64"),
        (noise(9, 28, 28, 2), r"fake: expected images \(N, H, W, C\) with 1, 3 or 4 channels"),
    ],
)
def test_bad_fakes_are_named(fashion: Extractor, fake: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        evaluate(fake, noise(10, 28, 28, 1), None, fashion)
    assert error.value.exit_code == 4


def test_features_that_are_not_finite_are_refused(fashion: Extractor) -> None:
    broken = replace(fashion, network=lambda x: fashion.network(x) * float("nan"))
    with pytest.raises(DataError, match="real: 10 of 10 features are not finite"):
        evaluate(noise(10, 28, 28, 1), noise(10, 28, 28, 1), None, broken)


def test_an_unknown_metric_gets_a_hint(fashion: Extractor) -> None:
    with pytest.raises(ConfigError, match="no metric is called 'frechett'; did you mean frechet") as error:
        evaluate(noise(10, 28, 28, 1), noise(10, 28, 28, 1), None, fashion, metrics=["frechett"])
    assert error.value.exit_code == 2
    with pytest.raises(ConfigError, match="no metrics to compute"):
        evaluate(noise(10, 28, 28, 1), noise(10, 28, 28, 1), None, fashion, metrics=[])


def test_compare_gives_differences(good: Scores, fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray]) -> None:
    worse = evaluate(noisy(clothes[1], 40), clothes[0], clothes[1], fashion, metrics=["frechet", "recall"])
    found = compare(good, worse)
    assert list(found) == ["frechet", "recall"]
    assert found["frechet"].change == worse["frechet"].value - good["frechet"].value > 0
    assert not found["frechet"].overlap
    assert all(d.overlap and d.change == 0 for d in compare(good, good).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("extractor", "efflite0"),
        ("weights", "0" * 12),
        ("resize", "none"),
        ("precision", "bfloat16"),
        ("n_real", 9),
        ("n_fake", 9),
        ("split", "all"),
        ("seed", 9),
        ("data", "0" * 12),
    ],
)
def test_unlike_protocols_are_not_compared(good: Scores, name: str, value: object) -> None:
    other = replace(good, protocol=replace(good.protocol, **{name: value}))
    with pytest.raises(ConfigError, match=rf"scores of unlike protocol: {name} is .* and {value!r}") as error:
        compare(good, other)
    assert error.value.exit_code == 2


def test_versions_of_packages_do_not_matter(good: Scores) -> None:
    assert compare(good, replace(good, protocol=replace(good.protocol, versions={"torch": "9"}, warnings=["x"])))


def test_no_score_in_both(good: Scores) -> None:
    one, two = ({k: good.scores[k]} for k in ("frechet", "recall"))
    with pytest.raises(ConfigError, match="no score in both: frechet and recall"):
        compare(replace(good, scores=one), replace(good, scores=two))


def test_trivial_images_have_the_real_mean() -> None:
    real = np.full((50, 8, 8, 3), 200, np.uint8)
    real[:25, :, :, 0] = 100
    found = trivial_images(real, 2000, seed=0)
    assert found.shape == (2000, 8, 8, 3)
    np.testing.assert_allclose(found.mean((0, 1, 2)), [150, 200, 200], atol=1)


def counting(extractor: Extractor) -> tuple[Extractor, list[int]]:
    calls: list[int] = []

    def network(x: Any) -> Any:
        calls.append(1)
        return extractor.network(x)

    return replace(extractor, network=network), calls


def test_features_are_kept_on_disk_and_repaired(fashion: Extractor, cache: Path) -> None:
    watched, calls = counting(fashion)
    images = noise(40, 28, 28, 1)
    first = cached_features(images, watched, "data")
    (path,) = cache.iterdir()
    assert np.array_equal(np.load(path, allow_pickle=False), first)
    assert np.array_equal(cached_features(images, watched, "data"), first)
    assert len(calls) == 1
    whole = path.read_bytes()
    tampered = bytearray(whole)
    tampered[-100] ^= 1
    for content in (b"", whole[:-1], whole[:100], b"x" * 500, bytes(tampered)):
        path.write_bytes(content)
        calls.clear()
        assert np.array_equal(cached_features(images, watched, "data"), first)
        assert len(calls) == 1
        assert path.read_bytes() == whole


def test_other_images_or_weights_are_not_found_in_the_cache(fashion: Extractor, cache: Path) -> None:
    images = noise(10, 28, 28, 1)
    cached_features(images, fashion, "data")
    for found in (
        (255 - images, fashion, "data"),
        (images, replace(fashion, weights_hash="0" * 12), "data"),
        (images, fashion, "other"),
    ):
        before = len(list(cache.iterdir()))
        cached_features(*found)
        assert len(list(cache.iterdir())) == before + 1
    cached_features(noise(10, 28, 28, 1, seed=9), fashion, None)
    assert len(list(cache.iterdir())) == 4


def test_a_reference_scores_fakes(fashion: Extractor, clothes: tuple[np.ndarray, np.ndarray], cache: Path) -> None:
    reference = Reference.of(clothes[0][:500], fashion, key="clothes")
    fake = noisy(clothes[1][:300], 20)
    expected = frechet_distance(fashion(clothes[0][:500]), fashion(fake))
    assert reference.frechet(fake) == pytest.approx(expected, rel=1e-9)
    assert len(list(cache.iterdir())) == 1
    with pytest.raises(DataError, match="fake: this score needs at least 2 images, got 1"):
        reference.frechet(fake[:1])


def test_subsamples_are_seeded_and_sorted() -> None:
    images = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    found = subsample(images, 10, seed=3).ravel().tolist()
    assert found == sorted(set(found))
    assert found == subsample(images, 10, seed=3).ravel().tolist()
    assert found != subsample(images, 10, seed=4).ravel().tolist()
    assert subsample(images, 100, seed=0) is images


def test_the_fingerprint_is_of_shape_and_pixels() -> None:
    images = noise(4, 6, 6, 1)
    assert fingerprint(images) == fingerprint(np.asfortranarray(images))
    assert fingerprint(images) != fingerprint(images.reshape(4, 4, 9, 1))
    assert fingerprint(images) != fingerprint(images[:3])

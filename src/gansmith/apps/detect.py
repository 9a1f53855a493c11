"""Images unlike the rest: a run learns what is normal, and how far another image is from that is measured here.

`fit` trains a run on normal images alone, and sets a threshold by those held out. A score is how far an image is from
the normal ones that are nearest to it, in what the run's networks see (`nearest`), or what the method's paper says
(`paper`). The heat says where an image differs from the most alike that the run can make.

A run that learnt tiles (``data.fit=tiles``) sees an image as many squares, any other as one: the score of an image is
that of its worst square.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gansmith.apps.files import bar, base_of, inputs, tell
from gansmith.apps.latent import inverted, space_of
from gansmith.apps.made import Maker
from gansmith.apps.run import Run, configured, train
from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError, GansmithError
from gansmith.core.game import By, Detector
from gansmith.core.names import named
from gansmith.core.paths import write_atomic
from gansmith.data import Dataset, open_data
from gansmith.data.geometry import load_like
from gansmith.data.pack import describe
from gansmith.data.picture import BROKEN, load_image
from gansmith.data.split import evenly
from gansmith.data.tiles import count_tiles, cut_tiles, image_of
from gansmith.training.pictures import in_colour, side_by_side

log = logging.getLogger("gansmith")

RECORD, TENSORS = "detector.json", "detector.safetensors"
BATCH = 256
MEMORY = 8192
"""Normal images that are remembered, at most."""
NEIGHBOURS = 5
FEWEST = 2
"""Held-out normal images without which there is no threshold."""
SEARCHED = 64
"""Held-out images that a heat is measured against where each takes a search; of others `MEMORY`."""
FLOOR = 0.1
"""A feature's spread is taken for at least this share of all features' own."""


@dataclass(frozen=True)
class Method:
    """A way to find images unlike the rest.

    Attributes:
        family: that learns what is normal.
        summary: one line on when to choose it.
        settings: that differ from the family's own.
    """

    family: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS = {
    "aae": Method(
        "aae",
        "an adversarial autoencoder (Makhzani 2016)",
        {
            "latent": 8,
            "reconstruction": "mse",
            "optim.autoencoder.lr": 1e-3,
            "optim.autoencoder.lr_end": 0.0,
        },
    ),
    "f-anogan": Method("f-anogan", "a GAN, then an encoder into its latents (Schlegl 2019)"),
    "ganomaly": Method("ganomaly", "an autoencoder whose codes are compared (Akcay 2018)"),
    "anogan": Method("dcgan", "a GAN whose latents are searched for every image: slow (Schlegl 2017)"),
}


SETTINGS: Mapping[str, Any] = {
    "data.fit": "stretch",
    "data.holdout": 0.2,
    "data.tiles": 400,
    "train.samples": 0,
    "train.evaluations": 0,
}
"""Of every method. Nothing of an image is cut away, where its fault may be, and nothing is put around it; the threshold
needs many that are held out, and as many tiles of them as an image will be cut into."""


# ---- what is normal


@dataclass(frozen=True)
class Normal:
    """What normal images look like to a run.

    Attributes:
        features: float16 (M, F) of those to train on.
        centre, spread: (F,) of these.
        usual, varied: (R, R), mean and standard deviation of how far held-out images are from what the run makes of
            them, by place.
        scores: (H,) of held-out images, in order.
    """

    features: Tensor
    centre: Tensor
    spread: Tensor
    usual: Tensor
    varied: Tensor
    scores: Tensor

    def nearest(self, features: Tensor) -> Tensor:
        """Mean distance (N,) of features (N, F) to the nearest normal ones, each in units of its spread."""
        scaled = ((part.float() - self.centre) / self.spread for part in (self.features, features))
        known, asked = scaled
        distances = [torch.cdist(part, known) for part in asked.split(BATCH)]
        count = min(NEIGHBOURS, len(known))
        return torch.cat([part.topk(count, largest=False).values.mean(1) for part in distances])

    def heat(self, apart: Tensor) -> Tensor:
        """How unusual it is that places are so far (N, R, R) from what the run makes of them: standard deviations."""
        return (apart - self.usual) / self.varied


def spread_of(features: Tensor) -> Tensor:
    """Standard deviations (F,), those of features that hardly move raised."""
    each = features.float().std(0, correction=0)
    return each.clamp(min=max(FLOOR * each.mean().item(), 1e-6))


class Threshold(NamedTuple):
    """Above which an image is anomalous.

    Attributes:
        value: the score.
        expected: share of normal images that will be above it, on average over sets of held-out ones.
        low, high: between which that share lies with 95 %.
    """

    value: float
    expected: float
    low: float
    high: float


def threshold_of(scores: np.ndarray, false_alarms: float) -> Threshold:
    """The least of the scores of held-out normal images (H,) that at most `false_alarms` of others like them will be
    above, on average (Vovk 2005, "Algorithmic Learning in a Random World", sec. 2.2); the highest, if that is not
    enough for it.

    Of n scores, the share of others above the r-th is distributed as Beta(n + 1 - r, r).
    """
    n = len(scores)
    rank = min(n, int(np.ceil((n + 1) * (1 - false_alarms) - 1e-9)))
    draws = np.random.default_rng(0).beta(n + 1 - rank, rank, 200_000)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Threshold(float(np.sort(scores)[rank - 1]), (n + 1 - rank) / (n + 1), float(low), float(high))


# ---- what a run sees


@dataclass(frozen=True)
class Seen:
    """An image as a run's networks see it.

    Attributes:
        squares: uint8 (K, R, R, C), row by row where there are several.
        across: how many lie side by side.
    """

    squares: np.ndarray
    across: int = 1

    @classmethod
    def of(cls, run: Run, file: Path) -> Seen:
        """Raises one of `picture.BROKEN` if the file cannot be read."""
        spec, fit_as = run.spec, run.config.data.fit
        if fit_as != "tiles":
            return cls(load_like(file, spec, fit_as)[None])
        image, side = load_image(file, spec.channels), spec.resolution
        if not (count := count_tiles(image.size, side)):
            raise ValueError(f"smaller than a tile of {side}x{side}")
        return cls(np.stack([tile.pixels for tile in cut_tiles(image, side, [*range(count)])]), image.width // side)

    def whole(self, parts: np.ndarray) -> np.ndarray:
        """(H, W, …) of what belongs to the squares, (K, h, w, …)."""
        rows = parts.reshape(-1, self.across, *parts.shape[1:])
        return np.concatenate([np.concatenate([*row], axis=1) for row in rows])


def squares_of(images: Sequence[Seen]) -> np.ndarray:
    """All of them: uint8 (N, R, R, C)."""
    return np.concatenate([seen.squares for seen in images])


def of_each(values: np.ndarray, images: Sequence[Seen]) -> list[np.ndarray]:
    """What belongs to all squares (N, …), image by image."""
    return np.split(values, np.cumsum([len(seen.squares) for seen in images])[:-1])


def worst(scores: Tensor, names: Sequence[str]) -> Tensor:
    """The highest of the scores (N,) of every image's squares, whose names these are."""
    _, owners = np.unique([image_of(name) for name in names], return_inverse=True)
    highest = torch.full((int(owners.max()) + 1,), -torch.inf)
    return highest.scatter_reduce(0, torch.from_numpy(owners), scores, "amax")


def detector_of(run: Run) -> Detector:
    """How the run tells what is unlike; ConfigError where it cannot."""
    detector = run.player.game.detector
    if detector is None:
        raise ConfigError(
            f"{run.path}: {run.config.family} tells no images apart: gansmith detect fit, with --method "
            f"{', '.join(METHODS)}"
        )
    return detector


def features_of(run: Run, images: np.ndarray) -> Tensor:
    """What the run's networks see (N, F) in uint8 images (N, R, R, C)."""
    return run.player.mapped(detector_of(run).features, images).float()


def made_of(run: Run, images: np.ndarray) -> Tensor:
    """The most alike that the run can make of uint8 images (N, R, R, C): (N, C, R, R) in [-1, 1]."""
    game, detector, runtime = run.player.game, detector_of(run), run.player.runtime
    if game.autoencoder is not None:
        return run.player.mapped(game.autoencoder.reconstruct, images).float()
    parts = []
    with space_of(run) as space, run.player.evaluated() as nets:
        for part in torch.from_numpy(images).split(BATCH):
            targets = runtime.images(part)
            found = inverted(space, targets, apart=lambda made, given: detector.strange(nets, given, made))
            with torch.no_grad():
                parts.append(space.images(torch.from_numpy(found.codes).to(runtime.device)).cpu())
    return torch.cat(parts)


def strange_of(run: Run, images: np.ndarray, made: Tensor) -> Tensor:
    """How unlike (N,) uint8 images (N, R, R, C) are what the run makes of them, by the method's paper."""
    player, strange = run.player, detector_of(run).strange
    pairs = zip(torch.from_numpy(images).split(BATCH), made.split(BATCH), strict=True)
    with torch.inference_mode(), player.evaluated() as nets:
        device = player.runtime.device
        return torch.cat([strange(nets, player.runtime.images(one), other.to(device)).cpu() for one, other in pairs])


def apart_of(images: np.ndarray, made: Tensor) -> Tensor:
    """How far uint8 images (N, R, R, C) are from what was made of them, by place and smoothed: (N, R, R)."""
    given = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return smoothed((given - made).abs().mean(1))


def smoothed(maps: Tensor) -> Tensor:
    """Maps (N, R, R) by a Gaussian as wide as a 32nd of their side."""
    sigma = maps.shape[-1] / 32
    reach = int(np.ceil(2 * sigma))
    place = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-place.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = nn.functional.pad(maps[:, None], (reach,) * 4, mode="replicate")
    across = nn.functional.conv2d(padded, kernel[None, None, None])
    return nn.functional.conv2d(across, kernel[None, None, :, None])[:, 0]


# ---- fit


@dataclass(frozen=True)
class Detection:
    """A run that tells images unlike the rest.

    Attributes:
        run: trained on normal images.
        normal: what these look like to it.
        by: how it scores.
        threshold: of the scores.
        false_alarms: share that was asked for.
    """

    run: Run
    normal: Normal
    by: By
    threshold: Threshold
    false_alarms: float

    def scores(self, images: np.ndarray) -> np.ndarray:
        """How unlike normal ones uint8 images (N, R, R, C) are: float32 (N,), at least 0."""
        return scored(self.run, self.normal, self.by, images).numpy()

    def heat(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the run makes of uint8 images (N, R, R, C), uint8 (N, H, W, C), and where they differ unusually from it,
        in standard deviations: float32 (N, H, W)."""
        made = made_of(self.run, images)
        rows, columns = self.run.spec.window
        heat = self.normal.heat(apart_of(images, made))[:, rows, columns]
        return self.run.player.finished(made).numpy(), heat.numpy()

    def told(self) -> str:
        """What the threshold promises."""
        limit = self.threshold
        return (
            f"anomalous above {limit.value:.4g}: {limit.expected:.1%} of normal images are expected to be, "
            f"{limit.low:.1%} to {limit.high:.1%} with 95 % certainty ({len(self.normal.scores)} were held out)"
        )


def scored(run: Run, normal: Normal, by: By, images: np.ndarray) -> Tensor:
    if by == "nearest":
        return normal.nearest(features_of(run, images))
    return strange_of(run, images, made_of(run, images))


def fit(
    folder: str,
    run_dir: str | Path | None = None,
    method: str = "aae",
    *,
    minutes: float | None = None,
    by: str | None = None,
    false_alarms: float = 0.05,
    quiet: bool = False,
    **asked: Any,
) -> Detection:
    """Trains on normal images, and sets a threshold by those that are held out.

    Args:
        folder: of normal images, or any other source of them.
        run_dir: see `gansmith.train`; a run that is there already goes on, or is taken as it is if it has finished.
        method: one of `METHODS`.
        minutes: length of the training; by default 2.
        by: nearest or paper (see this module); by default what the family does better by.
        false_alarms: share of normal images that may be called anomalous, in (0, 0.5].
        asked: further arguments of `gansmith.train`.

    Raises:
        ConfigError, DataError, GansmithError: as `gansmith.train`; there are too few images to hold any out.
    """
    chosen = named("method", METHODS, method)
    if by is not None:
        check_by(by)
    if not 0 < false_alarms <= 0.5:
        raise ConfigError(f"false alarms: expected a share above 0 and at most 0.5, got {false_alarms:g}")
    asked["settings"] = {**SETTINGS, **chosen.settings, **(asked.get("settings") or {})}
    if minutes is None and asked.get("kimg") is None:
        minutes = 2.0
    known = {name: value for name, value in asked.items() if name not in RUNNING}
    normals(configured(chosen.family, folder, minutes=minutes, **known).data)
    run = train(chosen.family, folder, minutes=minutes, run_dir=run_dir, quiet=quiet, **asked)
    return calibrate(run, by, false_alarms)


RUNNING = ("resume", "allow_drift", "on_illness", "until")
"""Arguments of `train` that are no settings."""


def normals(config: DataConfig) -> Dataset:
    """Normal images, some of them held out; DataError where too few are."""
    data = open_data(config)
    if len(data.heldout) < FEWEST:
        raise DataError(
            f"{data.name}: {len(data.heldout)} of {len(data.train)} images are held out, and a threshold needs "
            f"{FEWEST} at least, better hundreds: give more normal images, or --set data.holdout=0.5"
        )
    return data


def check_by(by: str) -> By:
    if by not in get_args(By):
        raise ConfigError(f"by: expected {' or '.join(get_args(By))}, got {by!r}")
    return by  # type: ignore[return-value]


def calibrate(run: Run, by: str | None = None, false_alarms: float = 0.05) -> Detection:
    """A detection by a run that was trained on normal images; its directory keeps it.

    Args:
        by: as `fit` has it.

    Raises:
        ConfigError: the run tells no images apart; there is no such `by`.
        DataError: too few images were held out.
    """
    how = detector_of(run).by if by is None else check_by(by)
    data = normals(run.config.data)
    known, held = data.train.images[evenly(len(data.train), MEMORY)], np.array(data.heldout.images)
    normal = normal_of(run, known, held)
    scores = scored(run, normal, how, held)
    if run.config.data.fit == "tiles":
        scores = worst(scores, data.heldout.names)
    normal = replace(normal, scores=scores.sort().values)
    threshold = threshold_of(normal.scores.numpy(), false_alarms)
    found = Detection(run, normal, how, threshold, false_alarms)
    keep(found)
    return found


def normal_of(run: Run, known: np.ndarray, held: np.ndarray) -> Normal:
    """What normal images look like to a run, still without scores.

    Args:
        known, held: uint8 (N, R, R, C), trained on and not.
    """
    features = features_of(run, known)
    shown = held[evenly(len(held), MEMORY if run.player.game.autoencoder else SEARCHED)]
    apart = apart_of(shown, made_of(run, shown))
    return Normal(
        features.half(), features.mean(0), spread_of(features), apart.mean(0), spread_of(apart), torch.empty(0)
    )


def keep(found: Detection) -> None:
    """In the run's directory."""
    record = {"by": found.by, "false_alarms": found.false_alarms, "threshold": found.threshold._asdict()}
    tensors = {name: value.contiguous() for name, value in vars(found.normal).items()}
    with found.run.dir.writing():
        write_atomic(found.run.path / TENSORS, save(tensors))
        found.run.dir.write(RECORD, record | {"normals": len(found.normal.features)})


def detection(run: Run) -> Detection:
    """That which the run's directory keeps.

    Raises:
        ConfigError: it keeps none.
        GansmithError: it is damaged.
    """
    record = run.dir.read(RECORD)
    if not record:
        raise ConfigError(f"{run.path}: has no detector yet: gansmith detect fit FOLDER --run-dir {run.path}")
    try:
        normal = Normal(**load((run.path / TENSORS).read_bytes()))
        threshold = Threshold(**record["threshold"])
        return Detection(run, normal, check_by(record["by"]), threshold, float(record["false_alarms"]))
    except (OSError, SafetensorError, TypeError, ValueError, KeyError, ConfigError) as error:
        raise GansmithError(f"{run.path / RECORD}: damaged: {error}; gansmith detect fit makes it again") from error


# ---- score


@dataclass(frozen=True)
class Scored:
    """What is said of an image file."""

    file: str
    score: float
    anomalous: bool


def score(
    run: Run,
    images: str | Path,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    marked: bool = True,
) -> list[Scored]:
    """How unlike normal ones the images of a folder are.

    Files that cannot be read are named on stderr, and the rest go on.

    Args:
        run: one that `fit` made.
        images: a file, a folder or a pattern of names.
        out: a CSV: file, score, anomalous; what has been scored is in it whatever comes between.
        pictures: a folder: of each image a picture of itself, of the most alike that the run can make, and of where
            they differ.
        marked: whether these say that a trained model made a part of them.

    Raises:
        ConfigError: the run has no detector.
        DataError: there are no images, or some cannot be read.
    """
    found, pattern = detection(run), str(images)
    files, base = inputs(pattern), base_of(pattern)
    rows: list[Scored] = []
    failed: list[Path] = []
    maker, most = Maker(run.dir, marked), 1
    try:
        with bar("detect", len(files)) as advance, maker:
            for names, part in batches(run, files, failed):
                scores = (float(of.max()) for of in of_each(found.scores(squares_of(part)), part))
                told = [
                    Scored(name.relative_to(base).as_posix(), round(value, 6), value > found.threshold.value)
                    for name, value in zip(names, scores, strict=True)
                ]
                if pictures is not None:
                    picture(found, part, told, Path(pictures), maker)
                rows += told
                most = max(most, *(len(seen.squares) for seen in part))
                advance(len(part))
    finally:
        if out is not None:
            with run.dir.writing():
                write_csv(rows, Path(out))
    if most > run.config.data.tiles:
        log.warning(
            "up to %d tiles an image, and the threshold is of images of %d at most: expect more false alarms than it "
            "promises, or fit with --set data.tiles=%d",
            *(most, run.config.data.tiles, most),
        )
    if failed:
        raise DataError(f"{len(failed)} of {len(files)} images could not be read")
    return rows


def batches(run: Run, files: Sequence[Path], failed: list[Path]) -> Iterator[tuple[list[Path], list[Seen]]]:
    """Files that can be read, and their images as the run's networks see them; so many that they are `BATCH` squares,
    or one."""
    names: list[Path] = []
    images: list[Seen] = []
    for file in files:
        try:
            images.append(Seen.of(run, file))
            names.append(file)
        except BROKEN as error:
            failed.append(file)
            tell(file, describe(error))
        if sum(len(seen.squares) for seen in images) >= BATCH:
            yield names, images
            names, images = [], []
    if images:
        yield names, images


def write_csv(rows: Sequence[Scored], path: Path) -> None:
    """Columns file, score, anomalous."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["file", "score", "anomalous"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) | {"anomalous": str(row.anomalous).lower()} for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.getvalue())


# ---- pictures

SHEET = "detector.png"
FAINT, GLARING = 2.0, 8.0
"""Standard deviations at which a place begins to be shown, and from which on it is wholly red."""


def picture(found: Detection, images: Sequence[Seen], told: Sequence[Scored], folder: Path, maker: Maker) -> None:
    """A picture of each image, in a folder as theirs."""
    rows, columns = found.run.spec.window
    made_of_each, heat_of_each = (of_each(values, images) for values in found.heat(squares_of(images)))
    for seen, one, parts, hot in zip(images, told, made_of_each, heat_of_each, strict=True):
        shown, made, heat = map(seen.whole, (seen.squares[:, rows, columns], parts, hot))
        target = (folder / one.file).with_suffix(".png")
        with maker.run.writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            maker.write(side_by_side([shown[None], made[None], reddened(shown, heat)[None]], 1), target)


def reddened(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) in pale grey, red where the heat (H, W) is: uint8 (H, W, 3)."""
    pale = in_colour(image[None])[0].astype(np.float32).mean(2, keepdims=True) / 2 + 127
    share = np.clip((heat - FAINT) / (GLARING - FAINT), 0, 1)[..., None]
    return np.rint(pale * (1 - share) + np.array([220, 0, 0], np.float32) * share).astype(np.uint8)


def sheet(found: Detection, count: int = 8) -> Image.Image:
    """Of held-out normal images, those least and most unlike the rest: each, what the run makes of it, where they
    differ."""
    images = np.array(open_data(found.run.config.data).heldout.images)
    order = np.argsort(found.scores(images), kind="stable")
    half = min(count, len(images)) // 2
    chosen = np.concatenate([order[:half], order[-half:]])
    made, heat = found.heat(images[chosen])
    rows, columns = found.run.spec.window
    shown = images[chosen][:, rows, columns]
    return side_by_side([shown, made, np.stack([reddened(*pair) for pair in zip(shown, heat, strict=True)])], 2)

"""A run as an object: train one, load one, sample from it, measure it."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

import gansmith
from gansmith.apps.configure import Layer, differences, from_file, nested, resolve
from gansmith.apps.treat import acts_of, mend, on_trial, record, treat, treated
from gansmith.core.clock import Pace, Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError, Diverged, Ill
from gansmith.core.game import Autoencoder, Request, Styles
from gansmith.core.names import named
from gansmith.core.spec import Spec
from gansmith.data import Dataset, open_data
from gansmith.data.split import evenly
from gansmith.metrics import MAX_TRIVIAL, Reference, Scores, default_extractor, evaluate, extractor, remember
from gansmith.recipes import BASELINE, build
from gansmith.training.judge import QUICK_SAMPLES, Judge, pair_scores
from gansmith.training.loop import Staff, play_run
from gansmith.training.pictures import grid, save_film, save_picture, save_plot, save_scatter
from gansmith.training.planning import plan_run
from gansmith.training.rundir import RunDir, fingerprint_of, new_run_dir
from gansmith.training.runtime import Runtime, own_randomness
from gansmith.training.session import Player
from gansmith.training.start import Start
from gansmith.watch.attend import Attendant, Orders
from gansmith.watch.equilibrium import standing

if TYPE_CHECKING:
    from gansmith.apps.augment import Report
    from gansmith.apps.detect import Detection, Scored
    from gansmith.apps.edits import Neighbours
    from gansmith.apps.files import Verb
    from gansmith.apps.latent import Directions, Inverted

log = logging.getLogger("gansmith")

MOST_PAIRS = 100
"""Held-out pairs that a finished run is measured by."""
QUICK_EXTRACTOR = "fashion-cnn"
"""Fast enough to be asked during training, whatever the images are; final scores use the data's own extractor."""


@dataclass(frozen=True)
class Run:
    """A run directory, finished or not.

    Attributes:
        path: the directory.
        best: whether samples come from the checkpoint of the best quick score, not from the newest.
    """

    path: Path
    best: bool = False

    @property
    def dir(self) -> RunDir:
        return RunDir(self.path)

    @cached_property
    def config(self) -> Config:
        """The run's settings, fully resolved."""
        return self.dir.config()

    @cached_property
    def spec(self) -> Spec:
        """What the data told the nets."""
        return self.dir.spec()

    @property
    def result(self) -> dict[str, Any]:
        """Final figures: what `gansmith train --json` prints. Empty before the run has finished."""
        return self.dir.read("result.json")

    @cached_property
    def player(self) -> Player:
        """The trained game, from the newest good checkpoint, or the best."""
        runtime = Runtime(torch.device("cpu"), autocasts=False)
        player = Player(self.config, self.spec, runtime)
        try:
            player.restore_nets(self._weights(), self.dir.plan())
        except ConfigError as error:
            raise ConfigError(f"{self.path}: {error}") from error
        player.game.nets.eval()
        return player

    def _weights(self) -> dict[str, Any]:
        parts = ("nets", "ema")
        return self.dir.best(parts) if self.best else self.dir.good(parts)

    @property
    def is_conditional(self) -> bool:
        """Whether classes can be asked for."""
        return self.player.game.conditional

    def labels(self, n: int, label: str | int | None = None) -> np.ndarray | None:
        """Classes (n,) int64 of the images that `sample` makes with the same arguments; None of an unconditional run.

        Raises:
            ConfigError: there is no such class, or the run is unconditional and a class is asked for.
        """
        if not self.is_conditional:
            if label is not None:
                raise ConfigError(f"{self.path}: knows no classes; train cgan, or with --conditional")
            return None
        if label is None:
            turns = self.player.labels(n)
            return None if turns is None else turns.numpy()
        return np.full(n, class_named(self.spec.classes, label))

    def sample(self, n: int, seed: int = 0, truncation: float = 1.0, label: str | int | None = None) -> np.ndarray:
        """Generated images, uint8 (n, H, W, C), at the data's own size. More of a seed begin with the fewer.

        Args:
            truncation: 1 samples as trained; towards 0 there are fewer kinds, and better ones (not of progan).
            label: name or number of the class, of a conditional run; by default all classes in turn. Where names are
                numbers themselves, text is a name and an int a number.

        Captions are those of the data in turn (see `draw`).

        Raises:
            ConfigError: n is below 1, the seed below 0, truncation not in (0, 1], the class is not there, or the run
                makes images of images.
        """
        return self.player.sample(n, seed, self.request(n, seed, truncation, label)).numpy()

    def request(self, n: int, seed: int, truncation: float, label: str | int | None) -> Request:
        """What is asked for, checked."""
        if seed < 0:
            raise ConfigError(f"seed: expected at least 0, got {seed}")
        if n < 1:
            raise ConfigError(f"number of samples: expected at least 1, got {n}")
        if not 0 < truncation <= 1:
            raise ConfigError(f"truncation: expected more than 0 and at most 1, got {truncation}")
        if truncation < 1 and not self.player.game.sampler.truncates:
            raise ConfigError(f"truncation: means nothing for {self.config.family}: expected 1, got {truncation}")
        labels = self.labels(n, label)
        return Request(truncation, None if labels is None else torch.from_numpy(labels))

    def styles(self, n: int, seed: int = 0, truncation: float = 1.0, label: str | int | None = None) -> np.ndarray:
        """The styles w, float32 (n, W), of the images that `sample` makes with the same arguments.

        They can be edited, mixed and interpolated, and made images of by `synthesise` (Karras 2019, sec. 3 and 4).

        Raises:
            ConfigError: as `sample`, or the family's images are not made of styles.
        """
        self.editable()
        return self.player.styles(n, seed, self.request(n, seed, truncation, label)).numpy()

    def synthesise(self, styles: np.ndarray) -> np.ndarray:
        """Images, uint8 (N, H, W, C) as those of `sample`, of styles.

        Args:
            styles: (N, W), or (N, layers, W): a style for each layer, from coarse to fine, two for each size.

        Raises:
            ConfigError: the family's images are not made of styles, or these are of another shape.
        """
        made = self.editable()
        if styles.shape[1:] not in ((made.width,), (made.layers, made.width)) or not len(styles):
            shapes = f"(N, {made.width}) or (N, {made.layers}, {made.width})"
            raise ConfigError(f"styles: expected {shapes}, got {styles.shape}")
        return self.player.synthesise(torch.from_numpy(styles).float()).numpy()

    def editable(self) -> Styles:
        if self.player.game.styles is None:
            raise ConfigError(f"{self.path}: images of {self.config.family} are not made of styles; train stylegan")
        return self.player.game.styles

    @property
    def autoencoder(self) -> Autoencoder:
        """The run's encoder; ConfigError where its family has none."""
        if self.player.game.autoencoder is None:
            raise ConfigError(f"{self.path}: {self.config.family} has no encoder; train aae")
        return self.player.game.autoencoder

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Codes of images, float32 (N, latent).

        Args:
            images: uint8 (N, H, W, C), of the size of the run's data or of its networks.

        Raises:
            ConfigError: the family has no encoder, or the images are of another shape or kind.
        """
        return self.player.mapped(self.autoencoder.encode, images).float().numpy()

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Images from their codes, uint8 (N, H, W, C) as those of `sample`; arguments and errors are `encode`'s."""
        return self.player.finished(self.player.mapped(self.autoencoder.reconstruct, images)).numpy()

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Classes that the encoder names, int64 (N,); arguments are `encode`'s.

        Raises:
            ConfigError: as `encode`, or the encoder names no classes.
        """
        if self.autoencoder.classify is None:
            raise ConfigError(f"{self.path}: its encoder names no classes; train aae with labels=semi")
        return self.player.mapped(self.autoencoder.classify, images).numpy()

    def translate(
        self,
        images: str | Path,
        out: str | Path,
        *,
        to: str | None = None,
        max_memory: float = 4.0,
        overwrite: bool = False,
        marked: bool = True,
    ) -> list[Path]:
        """Files of images of the other kind, of a cyclegan or a pix2pix; see `gansmith translate --help`.

        Args:
            images: a file, a folder or a pattern of names.
            out: a file for one image, else a folder.
            to: B, what ``to`` was in training, or A, the way back; by default B.
            max_memory: GiB that the process may take; larger images go by tiles.
            marked: whether the files say that a trained model made them (see `gansmith.data.marks`).

        Returns:
            The files written.

        Raises:
            ConfigError: the run does something else, or has no such way, or files are there already.
            DataError: there are no images, or some cannot be read; the others are written.
        """
        return self._apply("translate", images, out, to, max_memory, overwrite, marked)

    def upscale(
        self,
        images: str | Path,
        out: str | Path,
        *,
        max_memory: float = 4.0,
        overwrite: bool = False,
        marked: bool = True,
    ) -> list[Path]:
        """Files of larger images, of an srgan; arguments and errors are `translate`'s."""
        return self._apply("upscale", images, out, None, max_memory, overwrite, marked)

    def restore(
        self,
        images: str | Path,
        out: str | Path,
        *,
        max_memory: float = 4.0,
        overwrite: bool = False,
        marked: bool = True,
    ) -> list[Path]:
        """Files of images without their damage, of an srgan of scale 1; arguments and errors are `translate`'s."""
        return self._apply("restore", images, out, None, max_memory, overwrite, marked)

    def _apply(
        self,
        verb: Verb,
        images: str | Path,
        out: str | Path,
        to: str | None,
        max_memory: float,
        overwrite: bool,
        marked: bool,
    ) -> list[Path]:
        from gansmith.apps.files import apply

        return apply(
            self, verb, str(images), Path(out), to=to, max_memory=max_memory, overwrite=overwrite, marked=marked
        )

    def image_of(self, image: np.ndarray, to: str | None = None, max_memory: float | None = None) -> np.ndarray:
        """What `translate`, `upscale` or `restore` makes of one image, uint8 (H, W, C) of any size, as an array."""
        from gansmith.apps.files import translate_array

        return translate_array(self, image, to, max_memory)

    def draw(self, text: str, n: int = 16, seed: int = 0) -> np.ndarray:
        """Images of what is said, uint8 (n, H, W, C), of a stackgan. More of a seed begin with the fewer.

        Raises:
            ConfigError: the family draws no texts, the text is empty, n is below 1, or the seed below 0.
        """
        from gansmith.apps.files import draw_images

        return draw_images(self, text, n, seed)

    def adapt(self, data: str, **asked: Any) -> Run:
        """A new run on other images, of which a few hundred are enough, from this one's networks: see
        `gansmith.apps.adapt.adapt`, whose arguments these are."""
        adapted: Run = import_module("gansmith.apps.adapt").adapt(self, data, **asked)
        return adapted

    # ---- codes: see `gansmith.apps.edits`, whose functions these are

    def interpolate(
        self, seeds: Sequence[int], steps: int = 12, label: str | int | None = None, truncation: float = 1.0
    ) -> np.ndarray:
        """Images on the way from one sample to the next, uint8 ((n - 1) `steps` + 1, H, W, C)."""
        return edits().interpolate(self, seeds, steps, label, truncation)

    def invert(self, images: np.ndarray, steps: int = 300, seed: int = 0, by: str = "search") -> Inverted:
        """The codes that make what is nearest to uint8 images (N, H, W, C), and what they make; by ``search``,
        ``encoder`` or ``both``."""
        return edits().invert(self, images, steps, seed, by)

    def codes(self, n: int, seed: int = 0) -> np.ndarray:
        """Codes (n, K) of the images that `sample` makes with the same arguments."""
        return edits().codes_of(self, n, seed)

    def directions(self, how: Sequence[str] = ("sefa", "pca"), count: int = 6) -> Directions:
        """Directions along which images change, found without labels; the run's directory keeps them."""
        return edits().find_directions(self, how, count)

    def learn_direction(self, name: str, has: np.ndarray, codes: np.ndarray) -> Directions:
        """A direction along which images come to have what those of some codes have; `has` is bool (N,)."""
        return edits().learn_direction(self, name, has, codes)

    def edit(self, codes: np.ndarray, by: Mapping[str, float]) -> np.ndarray:
        """Images of codes, moved along directions by so many standard deviations: uint8 (N, H, W, C)."""
        return edits().edit(self, codes, by)

    def nearest(self, n: int = 8, k: int = 5, seed: int = 0) -> Neighbours:
        """The training images that samples are nearest to."""
        return edits().neighbours(self, n, k, seed)

    # ---- images unlike the rest: see `gansmith.apps.detect`

    def calibrate(self, by: str | None = None, false_alarms: float = 0.05) -> Detection:
        """Sets the threshold of a run that was trained on normal images, by those held out."""
        return detect().calibrate(self, by, false_alarms)

    def detect(
        self, images: str | Path, out: str | Path | None = None, pictures: str | Path | None = None
    ) -> list[Scored]:
        """How unlike normal ones the images of a folder are; `out` is a CSV, `pictures` a folder."""
        return detect().score(self, images, out, pictures)

    # ---- more images: see `gansmith.apps.augment`

    def augment(self, out: str | Path, **wishes: Any) -> Report:
        """A folder of synthetic images of each class, and whether they help a classifier.

        Args:
            wishes: those of `gansmith.apps.augment.augment` that are not about the training.
        """
        from gansmith.apps.augment import augment

        return augment(self.config.data.source, out, run=self, **wishes)

    def evaluate(
        self,
        data: str | None = None,
        n: int | None = None,
        seed: int = 0,
        extractor_name: str | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Scores:
        """Scores against real images; written to ``reports/evaluation.json``, of `best` to ``evaluation-best.json``.

        A conditional run makes as many images of each class as the real ones have.

        Args:
            data: another source than the run's own.
            n: how many fakes; by default as many as there are held-out images, at least 2,000, at most 10,000; of
                colours, whose features take longer, 2,000.
            extractor_name: by default the one for images of this kind.
            metrics: some of `gansmith.metrics.METRICS`; by default all.
        """
        own = self.config.data
        dataset = open_data(
            own if data is None else own.model_copy(update={"source": data, "resolution": self.spec.resolution})
        )
        if data is None and dataset.fingerprint != self.dir.meta()["data"]["fingerprint"]:
            log.warning("%s: has changed since the run began", dataset.name)
        return self.measured(dataset, n, seed, extractor_name, metrics)

    def measured(
        self,
        dataset: Dataset,
        n: int | None = None,
        seed: int = 0,
        extractor_name: str | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Scores:
        """`evaluate`, against data that are open."""
        real, heldout = dataset.pictures
        net = extractor(extractor_name) if extractor_name else default_extractor(real.shape[-1])
        count = n if n is not None else count_of_fakes(self.config, dataset) or usual_count(dataset)
        log.info("scoring %d samples by %s features", count, net.name)
        request = self.request(count, seed, 1.0, None)
        if request.labels is None or dataset.spec.classes == self.spec.classes:
            request = self.player.asked(dataset, count, seed)
        fakes = self.player.sample(count, seed, request).numpy()
        scores = evaluate(
            fakes,
            real,
            heldout,
            net,
            seed=seed,
            metrics=metrics,
            key=dataset.fingerprint,
            split=f"{dataset.name} train",
        )
        with self.dir.writing():
            (self.path / "reports").mkdir(exist_ok=True)
            self.dir.write(f"reports/evaluation{'-best' * self.best}.json", scores.to_json())
        return scores


def edits() -> ModuleType:
    """`gansmith.apps.edits`, which is made of runs."""
    return import_module("gansmith.apps.edits")


def detect() -> ModuleType:
    """`gansmith.apps.detect`, which is made of runs."""
    return import_module("gansmith.apps.detect")


def class_named(classes: Sequence[str], label: str | int) -> int:
    """The number of the class called `label`, or of that number. Where names are numbers, text is a name.

    Raises:
        ConfigError: there is no such class.
    """
    numbers = {str(i): i for i in range(len(classes))}
    names = {name: i for i, name in enumerate(classes)}
    if not isinstance(label, str):
        return named("class", numbers, str(label))
    return named("class", names if any(name.isdigit() for name in names) else numbers | names, label)


def count_of_fakes(config: Config, dataset: Dataset) -> int:
    """Samples that a finished run is measured by."""
    return usual_count(dataset) if config.train.samples is None else config.train.samples


def usual_count(dataset: Dataset) -> int:
    """Samples that a run is measured by where nothing else is said."""
    return min(10_000, max(2_000, len(dataset.heldout))) if dataset.pictures[0].shape[-1] == 1 else 2_000


def load(path: str | Path, best: bool = False) -> Run:
    """The run in a directory.

    Args:
        best: sample from the checkpoint of the best quick score during training, not from the newest.

    Raises:
        ConfigError: there is no run there.
    """
    run = Run(Path(path), best)
    run.config, run.spec  # noqa: B018  a wrong path is an error here, not at the first sample
    return run


def train(
    family: str | None = None,
    data: str | None = None,
    *,
    to: str | None = None,
    scale: int | None = None,
    kimg: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    run_dir: str | Path | None = None,
    resume: str = "auto",
    allow_drift: bool = False,
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    layers: Sequence[Layer] = (),
    conditional: bool = False,
    on_illness: str = "warn",
    until: str = "end",
    quiet: bool = False,
) -> Run:
    """Trains a GAN, or goes on with one, and measures it.

    Args:
        family: see `gansmith families`; by default that of the file, or r3gan.
        data: a folder of images, or another source (see `gansmith train --help`).
        to: the images that those of `data` are to become, for cyclegan and pix2pix.
        scale: how many times larger images are to become, for srgan; 1 takes damage back.
        kimg, minutes: length of the run, in thousands of images or in minutes; one of them.
        run_dir: where the run lives; by default a new directory in ``runs/``.
        resume: ``auto`` goes on where `run_dir` holds an unfinished run; ``never`` refuses to; a run's path goes on
            with that run, its family and its settings, whatever `family` says.
        allow_drift: go on although settings or data changed; with another `kimg`, a run is made longer or shorter.
        settings: any others by dotted name, such as ``{"optim.g.lr": 1e-3}``.
        config: a YAML file of settings, below the arguments.
        conditional: tell both players the class, by `projection` where the settings do not say how.
        on_illness: what to do when the doctor finds that something ails the game: ``warn`` says so and trains on;
            ``stop`` raises `Ill` after a checkpoint; ``treat`` goes back to where nothing ailed it and tries the next
            cure, which ``treatment.json`` in the run's directory records, until none is left.
        until: ``equilibrium`` ends the run before its length where the game has settled
            (`gansmith.watch.equilibrium`); ``result.json`` says why.
        quiet: no progress on stderr.

    Returns:
        The finished run.

    Raises:
        ConfigError, DataError, Diverged, Ill, Stopped, GansmithError: see `gansmith.core.errors`.
    """
    began = time.monotonic()
    older = named_run(resume, run_dir) if resume not in ("auto", "never") else None
    base = older.config() if older else None
    resolved = configured(
        base.family if base else family,
        data,
        to=to,
        scale=scale,
        kimg=kimg,
        minutes=minutes,
        seed=seed,
        settings=settings,
        config=config,
        layers=layers,
        conditional=conditional,
        base=base,
    )
    directory = older or place(resolved, run_dir, resume)
    acts = acts_of(directory)
    resolved = treated(resolved, acts)
    orders = Orders(on_illness, until)
    orders.check(resolved.train.looks)
    if directory.is_running():
        raise ConfigError(
            f"{directory.path}: another process is training here (pid {directory.read('status.json')['pid']})"
        )
    begins = not directory.meta()
    dataset = open_data(resolved.data, partial(rehearse, resolved, begins=begins))
    if on_illness == "treat" and begins and (acts := mend(resolved, dataset)):
        for act in acts:
            log.warning("treatment: %s", act)
        resolved = treated(resolved, acts)
        dataset = open_data(resolved.data, partial(rehearse, resolved, begins=begins))
    judge = Judge(dataset, *quick_references(resolved, dataset))
    known = directory.meta()
    meta, pace = prepare(directory, resolved, judge, began, allow_drift)
    # Nothing is written before the game has been built: what cannot be played leaves no directory behind.
    if run_dir is None and not older:
        directory = claimed(resolved)
    with directory.held():
        if directory.meta() != known:
            raise ConfigError(f"{directory.path}: another process has begun a run here; give the command again")
        run = Run(directory.path)
        if acts and not known:
            with directory.writing():
                record(directory, acts)
        if meta != known or not run.result:
            play(directory, resolved, judge, meta, pace, orders, quiet)
            with directory.writing():
                conclude(run, dataset)
    return run


def play(
    directory: RunDir,
    config: Config,
    judge: Judge,
    meta: dict[str, Any],
    pace: Pace | None,
    orders: Orders,
    quiet: bool,
) -> None:
    """`play_run` with a doctor, again and again while a treatment goes on."""
    dataset = judge.dataset
    while True:
        acts = acts_of(directory)
        since = max((act.back for act in acts), default=0)
        attendant = Attendant(dataset, orders, since, on_trial(directory, acts)) if config.train.looks else None
        staff = Staff(judge, attendant)
        try:
            play_run(directory, config, dataset, meta, pace, staff, quiet)
        except (Ill, Diverged) as error:
            if orders.on_illness != "treat":
                raise
            with directory.writing():
                config = treat(directory, config, dataset.spec, error)
        else:
            break
    if orders.until == "equilibrium" and "settled" not in directory.meta():
        log.warning("it has not settled: %s", standing([row["signals"] for row in directory.looks()]))


def configured(
    family: str | None,
    data: str | None = None,
    *,
    to: str | None = None,
    scale: int | None = None,
    kimg: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    layers: Sequence[Layer] = (),
    conditional: bool = False,
    base: Config | None = None,
) -> Config:
    """The resolved settings of the arguments of `train`: those of `base` or the family's defaults, then the file, then
    what is given by name."""
    given: dict[str, Any] = {"data.source": data, "data.to": to, "scale": scale}
    given |= {"train.kimg": kimg, "train.minutes": minutes, "train.seed": seed}
    file = from_file(Path(config)) if config else {}
    stack: list[Layer] = [("the run", base.model_dump())] if base else []
    stack += [(str(config), file), ("settings", nested(settings or {})), ("arguments", nested(given)), *layers]
    resolved = resolve(family or str(file.get("family", BASELINE)), stack).settled()
    return told_classes(resolved) if conditional else resolved


def told_classes(config: Config) -> Config:
    """The settings with both players told the class, as they say how, or by projection.

    Raises:
        ConfigError: the family has no such players.
    """
    how = getattr(config, "conditioning", None)
    if how is None:
        raise ConfigError(
            f"--conditional: {config.family} has no setting 'conditioning'"
            + ("; --set labels=informed or labels=semi tells it the classes" if hasattr(config, "labels") else "")
        )
    return config if how != "none" else config.model_copy(update={"conditioning": "projection"})


def rehearse(config: Config, spec: Spec, begins: bool = True) -> None:
    """Builds the game without its weights, so that what cannot be built is known before any image is decoded.

    Args:
        begins: whether the run has not begun, so that a run that it is to begin with is still needed.

    Raises:
        ConfigError: settings that do not go together, or not with data of this shape.
    """
    with torch.device("meta"):
        build(config, spec)
    if begins and config.train.start is not None:
        Start.of(config.train.start).check(config, spec)


def named_run(path: str, run_dir: str | Path | None) -> RunDir:
    """The run that ``--resume PATH`` names."""
    if run_dir is not None and Path(run_dir).resolve() != Path(path).resolve():
        raise ConfigError(f"--resume {path}: goes on inside that run; leave --run-dir out")
    return RunDir(Path(path))


def claimed(config: Config) -> RunDir:
    """A new directory that no other process gets."""
    while True:
        directory = new_run_dir(config.family, config.data.source)
        with directory.writing(), suppress(FileExistsError):
            directory.path.mkdir(parents=True)
            return directory


def place(config: Config, run_dir: str | Path | None, resume: str) -> RunDir:
    """Where the run lives. Raises ConfigError where there is one already that must not be gone on with."""
    directory = RunDir(Path(run_dir)) if run_dir is not None else new_run_dir(config.family, config.data.source)
    there = next((p for p in (directory.path, *directory.path.parents) if p.exists()), Path())
    if not there.is_dir():
        raise ConfigError(f"{there}: is a file; --run-dir takes a directory")
    if (directory.path / "config.yaml").exists():
        if resume == "never":
            raise ConfigError(f"{directory.path}: holds a run already; choose another --run-dir, or --resume auto")
    elif directory.path.exists() and any(not p.name.startswith(".") for p in directory.path.iterdir()):
        raise ConfigError(f"{directory.path}: not empty and not a run; choose another --run-dir")
    return directory


class Prepared(NamedTuple):
    """The content of a run's meta.json: its length, that it began with or a new one, its data, where it began; and
    what corrects a new length underway."""

    meta: dict[str, Any]
    pace: Pace | None


def prepare(run: RunDir, config: Config, judge: Judge, began: float, allow_drift: bool) -> Prepared:
    """What is decided before a run is played.

    Raises:
        ConfigError: settings or data changed, or the game cannot be built for these data.
        DataError: there are too few images to measure a run by.
    """
    meta, dataset = run.meta(), judge.dataset
    if meta:
        check_drift(run, config, dataset, meta, allow_drift)
        plan = planned(run, config)
        kept = meta if plan == run.plan() else {name: value for name, value in meta.items() if name != "settled"}
        return Prepared(kept | plan.to_json() | told(dataset), None)
    with own_randomness(0):
        reserve = seconds_to_measure(config, dataset)
        runtime = Runtime.of(config.train)
        fakes = count_of_fakes(config, dataset)
        deadline = began + 60 * (config.train.minutes or 0) - reserve
        plan, pace = plan_run(config, dataset, runtime, judge, fakes, deadline)
    known = {"fingerprint": fingerprint_of(config, dataset.fingerprint)}
    return Prepared(begun(plan, dataset, runtime) | known, pace)


def planned(run: RunDir, config: Config) -> Plan:
    """The plan that the run began with; or that at another length, its stages in proportion.

    Raises:
        ConfigError: the new length is in minutes.
    """
    was, now = run.config().train, config.train
    if now.minutes not in (None, was.minutes):
        raise ConfigError(
            f"{run.path}: a run's minutes become a number of images while it trains; --kimg makes it longer or shorter"
        )
    return run.plan() if now.kimg in (None, was.kimg) else run.plan().scaled(now.images)


def told(dataset: Dataset) -> dict[str, Any]:
    """Data as meta.json has them."""
    return {
        "spec": dataset.spec.to_json(),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint, "images": len(dataset.train.images)},
        "skipped": list(dataset.skipped),
    }


def begun(plan: Plan, dataset: Dataset, runtime: Runtime) -> dict[str, Any]:
    """What a run begins with."""
    return {
        **plan.to_json(),
        **told(dataset),
        "argv": sys.argv,
        "versions": {
            "gansmith": gansmith.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": {"cpu": platform.machine(), "threads": torch.get_num_threads(), "cores": os.cpu_count()},
        "runtime": {"device": str(runtime.device), "bf16": runtime.autocasts},
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def check_drift(run: RunDir, config: Config, dataset: Dataset, meta: dict[str, Any], allowed: bool) -> None:
    """Refuses to go on with other settings or data than the run began with, unless that is allowed."""
    changed = differences(run.config(), config)
    if meta["data"]["fingerprint"] != dataset.fingerprint:
        changed.append(f"data: {meta['data']['name']} has changed since the run began")
    if changed and not allowed:
        raise ConfigError(
            f"{run.path}: this run began with other settings:\n  "
            + "\n  ".join(changed)
            + "\ngive the same settings, another --run-dir, or --allow-drift to go on with the new ones"
        )


def seconds_to_measure(config: Config, dataset: Dataset) -> float:
    """About how long the final evaluation will take; what it needs of the real images is made now."""
    fakes = count_of_fakes(config, dataset)
    if config.train.minutes is None or not fakes:
        return 0.0
    real, heldout = dataset.pictures
    net = default_extractor(real.shape[-1])
    log.info("reading the features of real images, once")
    remember(real, heldout, fakes, net, dataset.fingerprint)
    began = time.monotonic()
    net(real[: net.batch])
    return (time.monotonic() - began) * (fakes + MAX_TRIVIAL) / net.batch + 2.0


def quick_references(config: Config, dataset: Dataset) -> tuple[Reference | None, Reference | None]:
    """The features of images to train on, and of held-out ones where there are two, for the quick scores during
    training."""
    if not config.train.evaluations:
        return None, None
    real, heldout = dataset.pictures
    net = extractor(QUICK_EXTRACTOR)
    held = heldout[evenly(len(heldout), QUICK_SAMPLES)]
    known = Reference.of(held, net, dataset.fingerprint) if len(held) > 1 else None
    return Reference.of(real, net, dataset.fingerprint), known


PLANE_SIDE = 20
"""Rows and columns of the picture of a plane of codes."""


def picture_plane(run: Run, dataset: Dataset) -> None:
    """Pictures of codes of two numbers: decoded across their prior and, where there are labels, those of held-out
    images by class (needs matplotlib, extra `plots`)."""
    player = run.player
    if player.game.autoencoder is None or player.game.autoencoder.grid is None:
        return
    run.dir.samples.mkdir(exist_ok=True)
    with torch.inference_mode(), player.evaluated() as nets:
        decoded = player.finished(player.game.autoencoder.grid(nets, PLANE_SIDE))
    save_picture(grid(decoded.numpy(), PLANE_SIDE), run.dir.samples / "latent.png", run.dir.mark)
    held = dataset.heldout
    if held.labels is not None and len(held) and find_spec("matplotlib"):
        save_scatter(run.encode(held.images), held.labels, run.spec.classes, run.dir.samples / "codes.png")


def conclude(run: Run, dataset: Dataset) -> None:
    """Film, plot, scores and result.json of a run that has just finished."""
    rows = run.dir.rows()
    frames = sorted(run.dir.samples.glob("[0-9]*.png"))
    if frames:
        save_film(frames, run.path / "film.webp", run.dir.mark)
    if find_spec("matplotlib"):
        save_plot(rows, run.path / "losses.png", run.path.name)
    picture_plane(run, dataset)
    scores = run.measured(dataset).to_json()["scores"] if count_of_fakes(run.config, dataset) else {}
    pairs = pair_scores(run.player, dataset, MOST_PAIRS)
    seconds = rows[-1]["seconds"]
    run.dir.write(
        "result.json",
        {
            "run": str(run.path),
            "family": run.config.family,
            "images": rows[-1]["images"],
            "seconds": seconds,
            "images_per_second": round(rows[-1]["images"] / max(seconds, 1e-9), 1),
            "scores": scores,
        }
        | ({} if pairs is None else {"pairs": pairs.to_json()})
        | {name: value for name, value in run.dir.meta().items() if name == "settled"},
    )

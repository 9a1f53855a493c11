"""From one run to the next, with little data: `adapt` begins with a run's networks, `compare` asks what that was worth.

Freezing D's lower levels: Mo et al. 2020, "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gansmith.apps.configure import Layer
from gansmith.apps.run import Run, train
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.recipes.two_player import TwoPlayerConfig
from gansmith.training.pictures import save_curves

log = logging.getLogger("gansmith")

KIMG, EVALUATIONS, PATIENCE, FREEZE = 40.0, 20, 6, 1
"""What `adapt` does where nothing else is said (docs/adapting.md)."""

DISTANCES = {
    "perceptual": "perceptual distance to held-out targets",
    "kernel": "kernel distance to held-out images",
    "frechet": "Fréchet distance to training images",
}
Curve = Sequence[tuple[int, float]]
"""Images seen, and the distance then."""


def adapt(
    run: Run,
    data: str,
    *,
    kimg: float | None = None,
    minutes: float | None = None,
    freeze: int | None = None,
    seed: int | None = None,
    run_dir: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    layers: Sequence[Layer] = (),
    quiet: bool = False,
) -> Run:
    """Trains a new run on other images, of which a few hundred are enough, from the networks of one that was trained.

    It has that run's settings, D's inputs augmented. It is scored by its kernel distance to held-out images, halves its
    rates where that gets no better, ends where it stays so, and ends with its best networks.

    Args:
        run: where the networks come from: of its newest checkpoint, or its best.
        data: as of `train`; opened at the size and in the channels of that run.
        kimg, minutes: length at most; 40 thousand images where neither is given.
        freeze: levels of D, from the image on, that stay as they are; by default 1, or 0 where a family has no such D.
        settings, layers: as of `train`, above all that.

    Raises:
        ConfigError: the networks do not fit the data, or the settings each other; and as `train`.
    """
    own: dict[str, Any] = {"data.resolution": run.spec.resolution, "data.channels": run.spec.channels}
    own |= {"train.start": str(run.dir.best_checkpoint() if run.best else run.path)}
    own |= {"train.evaluations": EVALUATIONS, "train.patience": PATIENCE} | tricks(run.config, freeze)
    return train(
        run.config.family,
        data,
        kimg=KIMG if kimg is None and minutes is None else kimg,
        minutes=minutes,
        seed=seed,
        run_dir=run_dir,
        config=run.path / "config.yaml",
        settings=own | dict(settings or {}),
        layers=layers,
        quiet=quiet,
    )


def cost(run: Run, kimg: float | None, minutes: float | None) -> str:
    """How long `adapt` will take at most, in words: of images at the speed of that run."""
    if minutes is not None:
        return f"at most {minutes:g} minutes"
    kimg, speed = KIMG if kimg is None else kimg, run.result.get("images_per_second")
    about = f", {1000 * kimg / speed / 60:.1f} minutes at the speed of {run.path}" if speed else ""
    return f"at most {kimg:g} thousand images{about}"


def tricks(config: Config, freeze: int | None) -> dict[str, Any]:
    """The settings of these players that help with few images, by dotted name.

    Raises:
        ConfigError: the family has no D of which levels could stay.
    """
    if not isinstance(config, TwoPlayerConfig):
        if freeze:
            raise ConfigError(f"--freeze {freeze}: {config.family} has no setting 'freeze_d'; --freeze 0")
        return {}
    augment = config.augment if config.augment != "none" else "diffaugment"
    return {"freeze_d": FREEZE if freeze is None else freeze, "augment": augment}


@dataclass(frozen=True)
class Comparison:
    """A run that began with another's networks beside the same from scratch.

    Attributes:
        by: the distance that curves are of: ``kernel``, to held-out images; ``frechet`` where none are held out.
        adapted, scratch: their curves.
    """

    by: str
    adapted: Curve
    scratch: Curve

    @property
    def what(self) -> str:
        """The distance, in words."""
        return DISTANCES[self.by]

    @property
    def images(self) -> int | None:
        """Images after which the adapted run was as near as the other ever came; None where it never was."""
        return reached(self.adapted, least(self.scratch)[1])

    def words(self) -> str:
        """What came of it, in a sentence or two."""
        (ours_at, ours), (theirs_at, theirs) = least(self.adapted), least(self.scratch)
        first = f"{self.what}: adapted {ours:.4g} after {ours_at} images, from scratch {theirs:.4g} after "
        if self.images is None:
            return f"{first}{theirs_at}: from scratch is nearer"
        return (
            f"{first}{theirs_at}, which the adapted run had after {self.images}: {self.images / theirs_at:.0%} of them"
        )

    def to_json(self) -> dict[str, Any]:
        """As ``adapt.json`` in the adapted run's directory."""
        return {
            "by": self.by,
            "adapted": [list(point) for point in self.adapted],
            "scratch": [list(point) for point in self.scratch],
            "images": self.images,
        }


def compare(run: Run, quiet: bool = False) -> Comparison:
    """Trains from scratch what `adapt` trained, on as many images and without an early end, in its directory's
    ``scratch``; writes ``adapt.json`` there and, where matplotlib is installed, ``adapt.png``.

    Raises:
        ConfigError: there are no scores to compare by; and as `train`.
    """
    by = next((name for name in DISTANCES if curve(run, name)), None)
    if by is None:
        raise ConfigError(f"{run.path}: has no quick scores to compare by; --set train.evaluations={EVALUATIONS}")
    ours = curve(run, by)
    afresh = {"start": None, "patience": 0, "kimg": ours[-1][0] / 1000, "evaluations": len(ours), "samples": 0}
    unfrozen = {"freeze_d": 0} if isinstance(run.config, TwoPlayerConfig) else {}
    scratch = train(
        run.config.family,
        config=run.path / "config.yaml",
        layers=[("from scratch", {"train": afresh} | unfrozen)],
        run_dir=run.path / "scratch",
        quiet=quiet,
    )
    found = Comparison(by, ours, curve(scratch, by))
    with run.dir.writing():
        run.dir.write("adapt.json", found.to_json())
        if find_spec("matplotlib"):
            save_curves({"adapted": found.adapted, "from scratch": found.scratch}, run.path / "adapt.png", found.what)
    return found


def curve(run: Run, by: str) -> Curve:
    """A quick figure over the run."""
    name = f"quick/{by}"
    return [(int(row["images"]), float(row[name])) for row in run.dir.rows() if name in row]


def least(points: Curve) -> tuple[int, float]:
    """Where a curve is lowest."""
    return min(points, key=lambda point: point[1])


def reached(points: Curve, distance: float) -> int | None:
    """Images after which a curve is first as low; None where it never is."""
    return next((images for images, value in points if value <= distance), None)

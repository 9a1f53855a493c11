"""What can ail a game, what tells it, and what helps. To add an illness is to add a record, and to fit its weights:
``python benchmarks/illness.py --fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import torch

from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.recipes import build
from gansmith.watch.course import Course

Sign = Callable[[Course], float | None]
"""Something wrong, in a number that is 0 where nothing is and never below; None where it was not seen."""


@dataclass(frozen=True)
class Cure:
    """Something to try.

    Attributes:
        words: what it is.
        scale: settings to multiply, by dotted name.
        put: settings to give a value.
        same: settings that are to be as another.
        at_least, at_most: settings that are to be no smaller, or no larger, than another.
        times: how often it may be tried.
    """

    words: str
    scale: Mapping[str, float] = field(default_factory=dict)
    put: Mapping[str, Any] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)
    at_least: Mapping[str, str] = field(default_factory=dict)
    at_most: Mapping[str, str] = field(default_factory=dict)
    times: int = 1

    @property
    def is_advice(self) -> bool:
        """Whether there is no setting for it."""
        return not (self.scale or self.put or self.same or self.at_least or self.at_most)

    def repeated(self, times: int) -> Cure:
        """As strong as so many of it, one after the other."""
        return replace(self, scale={name: factor**times for name, factor in self.scale.items()})

    def settings(self, value: Callable[[str], Any]) -> dict[str, Any]:
        """What to set, by dotted name; nothing where it would change nothing.

        Args:
            value: of a setting; None where there is none of that name. After ``default.`` it is the family's own.
        """
        found = {name: rounded(value(name) * factor) for name, factor in self.scale.items() if value(name)}
        found |= {name: new for name, new in self.put.items() if value(name) not in (None, new)}
        found |= {name: value(other) for name, other in self.same.items() if value(other) not in (None, value(name))}
        for bounds, better in ((self.at_least, max), (self.at_most, min)):
            for name, other in bounds.items():
                if value(name) and value(other) and better(value(name), value(other)) != value(name):
                    found[name] = value(other)
        return found

    def paste(self, config: Config | None = None) -> str:
        """What it is, and how: ``let the discriminator learn more slowly: --set optim.d.lr=0.00025``."""
        if config is not None:
            asked = self.settings(partial(setting, config))
            return self.words + "".join(f" --set {name}={value}" for name, value in asked.items())
        parts = [f"{name} x {factor:g}" for name, factor in self.scale.items()]
        parts += [f"{name}={value}" for name, value in self.put.items()]
        parts += [f"{name} as {other.replace(DEFAULT, 'the default of ')}" for name, other in self.same.items()]
        parts += [f"{name} at least {other}" for name, other in self.at_least.items()]
        parts += [f"{name} at most {other}" for name, other in self.at_most.items()]
        return self.words + (": " + ", ".join(parts) if parts else "")


def rounded(value: float) -> float:
    return float(f"{value:.6g}")


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with other values of dotted names.

    Raises:
        ValueError: it does not allow them.
    """
    record = config.model_dump()
    for name, value in settings.items():
        *folders, last = name.split(".")
        place = record
        for folder in folders:
            place = place[folder]
        place[last] = value
    return type(config).model_validate(record)


def possible(cure: Cure, config: Config, spec: Spec) -> bool:
    """Whether the cure is advice, or would change something that the game could be played with."""
    settings = cure.settings(partial(setting, config))
    if not settings:
        return cure.is_advice
    try:
        return playable(changed(config, settings), spec)
    except (ConfigError, ValueError):
        return False


@lru_cache(256)  # a run that stays ill has the same cures at every look
def playable(config: Config, spec: Spec) -> bool:
    """Whether a game can be built so."""
    try:
        with torch.device("meta"):
            build(config, spec)
    except (ConfigError, ValueError):
        return False
    return True


def setting(config: Config, name: str) -> Any:
    """The value of a dotted name, the family's own after ``default.``; None where the family has no such setting."""
    own = name.removeprefix(DEFAULT)
    value: Any = config if own == name else type(config)(family=config.family).settled()
    for part in own.split("."):
        value = getattr(value, part, None)
    return value


@dataclass(frozen=True)
class Illness:
    """One record of what can ail a game.

    Attributes:
        name: of the verdict.
        what: a sentence for people.
        signs: what tells it, by name; without the first nothing is said.
        shown: signals that a person should see.
        grade: how bad it is: 0 not at all, 1 as bad as can be.
        tell: the evidence in a sentence, with its numbers.
        cures: the mildest first.
        source: of what tells it.
    """

    name: str
    what: str
    signs: Mapping[str, Sign]
    shown: tuple[str, ...]
    grade: Sign
    tell: Callable[[Course], str]
    cures: tuple[Cure, ...]
    source: str


def both(*signs: Sign) -> Sign:
    """As bad as the least of them."""

    def least(course: Course) -> float | None:
        values = [sign(course) for sign in signs]
        known = [value for value in values if value is not None]
        return min(known) if len(known) == len(values) else None

    return least


def by(sign: Sign, most: float) -> Sign:
    """A sign whose worst is `most`, as a part of it."""

    def part(course: Course) -> float | None:
        value = sign(course)
        return None if value is None else min(1.0, value / most)

    return part


def worst(*signs: Sign) -> Sign:
    """As bad as the worst of those that were seen."""

    def most(course: Course) -> float | None:
        return max((value for sign in signs if (value := sign(course)) is not None), default=None)

    return most


def said(text: str, **values: float | None) -> str:
    """`text` with the numbers put in; parts, between semicolons, that lack one are left out."""
    known = {name: value for name, value in values.items() if value is not None}
    parts = [part for part in text.split(";") if all(f"{{{name}" not in part for name in values.keys() - known.keys())]
    return ";".join(parts).strip().format(**known)


DEFAULT = "default."
TUNED = Cure(
    "learning rates and momentum as the family was tuned",
    same={name: DEFAULT + name for name in (f"optim.{player}.{what}" for player in "gd" for what in ("lr", "beta1"))},
)
EVEN = Cure("as many updates of the discriminator as of the generator", put={"n_generator": 1})
MORE_D = Cure("more updates of the discriminator", put={"n_critic": 3})
NO_SLOWER_D = Cure("let the discriminator learn as fast as the generator", at_least={"optim.d.lr": "optim.g.lr"})
NO_FASTER_D = Cure("let the discriminator learn no faster than the generator", at_most={"optim.d.lr": "optim.g.lr"})
NO_SLOWER_G = Cure("let the generator learn as fast as the discriminator", at_least={"optim.g.lr": "optim.d.lr"})
SLOWER_D = Cure("let the discriminator learn more slowly", scale={"optim.d.lr": 1 / 4}, times=2)
FASTER_D = Cure("let the discriminator learn faster", scale={"optim.d.lr": 4.0}, times=2)
FASTER_G = Cure("let the generator learn faster", scale={"optim.g.lr": 4.0}, times=2)
SLOWER = Cure("lower both learning rates", scale={"optim.g.lr": 1 / 4, "optim.d.lr": 1 / 4}, times=2)
MUCH_SLOWER = Cure("lower both learning rates", scale={"optim.g.lr": 1 / 10, "optim.d.lr": 1 / 10}, times=2)
CALMER = Cure("less momentum", put={"optim.g.beta1": 0.0, "optim.d.beta1": 0.0})
R1 = Cure("a penalty on the discriminator's gradient at reals (R1, Mescheder 2018)", put={"penalty.r1.weight": 0.1})
MORE_R1 = Cure("more of it (R1)", put={"penalty.r1.weight": 1.0})
NOISE = Cure("noise on what the discriminator sees (Sønderby 2017)", put={"instance_noise": 0.1})
NONSATURATING = Cure("the non-saturating loss (Goodfellow 2014, sec. 3)", put={"loss": "nonsaturating"})
RELATIVISTIC = Cure("the relativistic loss (Jolicoeur-Martineau 2018)", put={"loss": "relativistic"})
PACKED = Cure("pairs in place of images for the discriminator (PacGAN, Lin 2018)", put={"pack": 2})
ADA = Cure("adaptive augmentation (ADA, Karras 2020)", put={"augment": "ada"})
DIFFAUGMENT = Cure("augmentation of what the discriminator sees (Zhao 2020)", put={"augment": "diffaugment"})
CLIPPED = Cure("limit the length of gradients (Pascanu 2013)", put={"optim.g.clip": 1.0, "optim.d.clip": 1.0})
NO_THINNER_G = Cure("a generator as wide as the discriminator, from the start", at_least={"g_width": "d_width"})
ONCE = Cure("every image once", put={"data.duplicates": "drop"})
MEND = Cure("mend the data: gansmith data check")
FINITE = Cure("leave out batches that are not finite")

ILLNESSES = {
    illness.name: illness
    for illness in (
        Illness(
            "mode_collapse",
            "the generator makes a few kinds of samples, or one, where the data have many",
            {
                "missing": Course.missing,
                "narrow": Course.narrow,
                "crowded": Course.crowded,
                "bare_and_far": both(Course.bare, Course.far),
            },
            ("diversity", "missed", "crowding", "coverage"),
            worst(Course.missing, by(Course.narrow, 3), by(Course.crowded, 4)),
            lambda c: said(
                "fakes miss bins that hold {missed:.0%} of the real samples; they differ from each other "
                "{diversity:.2f} times as much as reals do; a fake's nearest other is {crowding:.2f} times as far as a "
                "real sample's",
                missed=c.value("missed"),
                diversity=c.value("diversity"),
                crowding=c.value("crowding"),
            ),
            (TUNED, EVEN, NO_SLOWER_D, NO_THINNER_G, R1, RELATIVISTIC, MORE_R1, PACKED),
            "bins: NDB, Richardson & Weiss 2018, sec. 2; diversity: Salimans 2016, sec. 3.2",
        ),
        Illness(
            "vanishing_gradients",
            "the generator gets next to no gradient, and learns nothing more",
            {
                "faint": Course.faint,
                "faint_and_sure": both(by(Course.faint, 2), Course.sure),
                "faint_and_far": both(by(Course.faint, 2), Course.far),
            },
            ("g_gradient", "ranks"),
            by(Course.faint, 4),
            lambda c: said(
                "the generator's gradient is {gradient:.2g}, its largest was {peak:.2g}; the discriminator ranks "
                "{ranks:.1%} of pairs rightly; the fakes are {distance:.2f} of the reals' own mean distance off",
                gradient=c.value("g_gradient"),
                peak=c.peak("g_gradient"),
                ranks=c.value("ranks"),
                distance=c.value("distance"),
            ),
            (NONSATURATING, TUNED, NO_FASTER_D, R1, NOISE),
            "Arjovsky & Bottou 2017, theorem 2.4",
        ),
        Illness(
            "overpowering_discriminator",
            "the discriminator tells reals from fakes so well that the generator cannot follow",
            {
                "sure_and_far": both(Course.sure, Course.far),
                "sure": Course.sure,
                "apart_and_far": both(by(Course.apart, 3), Course.far),
            },
            ("ranks", "gap", "distance"),
            both(Course.sure, by(Course.far, 1.5)),
            lambda c: said(
                "the discriminator ranks {ranks:.1%} of pairs rightly; its outputs for reals and fakes are {gap:.1f} "
                "of their deviations apart; the fakes are {distance:.2f} of the reals' own mean distance off",
                ranks=c.value("ranks"),
                gap=c.value("gap"),
                distance=c.value("distance"),
            ),
            (TUNED, NO_FASTER_D, NO_SLOWER_G, NO_THINNER_G, SLOWER_D, R1, NOISE, RELATIVISTIC),
            "the share of pairs ranked rightly is the area under the ROC curve",
        ),
        Illness(
            "weak_discriminator",
            "the discriminator takes fakes for reals that are far from real, and so teaches nothing",
            {"blind_and_far": both(Course.blind, Course.far), "blind": Course.blind},
            ("ranks", "gap", "distance"),
            both(Course.blind, by(Course.far, 1.5)),
            lambda c: said(
                "the discriminator ranks {ranks:.1%} of pairs rightly, and chance would 50 %; yet the fakes are "
                "{distance:.2f} of the reals' own mean distance from the reals",
                ranks=c.value("ranks"),
                distance=c.value("distance"),
            ),
            (EVEN, TUNED, NO_SLOWER_D, FASTER_D, MORE_D),
            "the share of pairs ranked rightly is the area under the ROC curve",
        ),
        Illness(
            "oscillation",
            "the players chase each other in circles: samples change from look to look, and get no better",
            {
                "restless": Course.restless,
                "drifting": Course.drifting,
                "drifting_and_stuck": both(by(Course.drifting, 5), Course.stuck),
                "moving": Course.moving,
            },
            ("drift", "motion", "distance"),
            by(Course.drifting, 5),
            lambda c: said(
                "samples of the same latents move by {motion:.2f} of the reals' spread from look to look; as a set "
                "they shift by {shift:.2f} of the reals' own mean distance, and by {drift:.2f} in four",
                motion=c.value("motion"),
                shift=c.value("shift"),
                drift=c.value("drift"),
            ),
            (EVEN, TUNED, CALMER, R1, SLOWER),
            "Mescheder 2018, sec. 2; energy distance: Székely & Rizzo 2013",
        ),
        Illness(
            "divergence",
            "something grows without end, or is not a number any more",
            {"beyond": Course.beyond, "raging": Course.raging, "growing": Course.growing},
            ("reach", "g_growth", "d_growth", "d_loss"),
            lambda c: 1.0,
            lambda c: said(
                "samples reach {reach:.1f} times the reals' range beyond it; the largest loss is {loss:.3g}; weights "
                "have grown {grown:.1f} times",
                reach=c.value("reach"),
                loss=c.largest_loss(),
                grown=None if c.growing() is None else 10 ** (c.growing() or 0),
            ),
            (FINITE, TUNED, MUCH_SLOWER, CLIPPED, R1),
            "",
        ),
        Illness(
            "discriminator_overfitting",
            "the discriminator knows its training samples by heart",
            {"learnt_by_heart": Course.learnt_by_heart},
            ("overfit",),
            by(Course.learnt_by_heart, 1),
            lambda c: said(
                "the discriminator ranks a sample that it was trained on above one held out {overfit:.1%} of the time, "
                "and chance would 50 %",
                overfit=c.value("overfit"),
            ),
            (DIFFAUGMENT, R1, ADA, SLOWER_D),
            "Karras 2020 (ADA), sec. 3, with ranks in the place of means",
        ),
        Illness(
            "memorisation",
            "the generator gives back samples that it was trained on",
            {"copied": Course.copied, "remembering": Course.remembering},
            ("remembered", "copying"),
            worst(by(Course.copied, 2), Course.remembering),
            lambda c: said(
                "{remembered:.0%} of fakes are nearer to a sample trained on than to any of as many held out, and "
                "chance would be 50 %; a fake is {copying:.2f} times as far from its nearest real sample as reals are",
                remembered=c.value("remembered"),
                copying=c.value("copying"),
            ),
            (DIFFAUGMENT, ADA, R1),
            "after Meehan 2020, sec. 3",
        ),
        Illness(
            "stalled",
            "the samples are far from real, and come no nearer",
            {"far_and_stuck": both(Course.far, Course.stuck), "far": Course.far, "unreal": Course.unreal},
            ("distance", "realism", "coverage"),
            by(Course.far, 1.5),
            lambda c: said(
                "the fakes are {distance:.2f} of the reals' own mean distance from the reals; a while ago they were at "
                "{was:.2f}",
                distance=c.value("distance"),
                was=c.past("distance"),
            ),
            (TUNED, NO_SLOWER_G, NO_THINNER_G, FASTER_G, R1, RELATIVISTIC),
            "energy distance: Székely & Rizzo 2013",
        ),
    )
}

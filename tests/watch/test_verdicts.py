"""What looks come to: signs, probabilities, sentences."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from gansmith.apps.configure import resolve
from gansmith.core.spec import Spec
from gansmith.watch.course import FIRST_WORD, LEAST_LOOKS, Course
from gansmith.watch.illnesses import ILLNESSES, SLOWER_D, changed, possible, said, setting
from gansmith.watch.sick_data import faults
from gansmith.watch.signals import Signals
from gansmith.watch.verdicts import in_sentences, probability, severity, unjudged, verdicts, weights

WELL: Signals = {
    "diversity": 1.0,
    "missed": 0.02,
    "crowding": 1.1,
    "coverage": 0.8,
    "realism": 0.8,
    "distance": 0.003,
    "copying": 1.5,
    "remembered": 0.5,
    "reach": 0.02,
    "ranks": 0.6,
    "gap": 0.4,
    "overfit": 0.52,
    "motion": 0.03,
    "shift": -0.03,
    "drift": -0.02,
    "back": 0.7,
    "g_gradient": 0.2,
    "g_growth": 1.4,
    "d_growth": 1.5,
    "d_loss": 1.3,
    "g_loss": 0.8,
    "finite": 1.0,
}
SICK: dict[str, Signals] = {
    "mode_collapse": {"diversity": 0.05, "missed": 0.9, "crowding": 0.05, "coverage": 0.02, "distance": 0.9},
    "vanishing_gradients": {"g_gradient": 1e-6, "ranks": 1.0, "gap": 30.0, "distance": 0.4, "coverage": 0.1},
    "overpowering_discriminator": {"ranks": 1.0, "gap": 12.0, "distance": 0.5, "coverage": 0.05, "realism": 0.1},
    "weak_discriminator": {"ranks": 0.4, "gap": -0.2, "distance": 0.6, "coverage": 0.05, "realism": 0.1},
    "oscillation": {"motion": 0.5, "shift": 0.4, "drift": 0.8, "distance": 0.4, "back": 0.2},
    "divergence": {"g_growth": 60.0, "d_growth": 200.0, "d_loss": 1e7, "reach": 30.0, "distance": 5.0},
    "discriminator_overfitting": {"overfit": 0.98},
    "memorisation": {"copying": 0.2, "remembered": 0.9},
    "stalled": {"distance": 0.5, "coverage": 0.02, "realism": 0.02, "ranks": 0.8},
}


def looks(last: Signals, count: int = 60, since: int = 20) -> list[Signals]:
    """A run that was well until look `since`."""
    healthy = [WELL | {"step": 20.0 * i, "images": 640.0 * i} for i in range(1, count + 1)]
    return [look | (last if i >= since else {}) for i, look in enumerate(healthy)]


def test_a_healthy_run_has_nothing() -> None:
    assert verdicts(looks({})) == []
    assert unjudged(looks({})) == []


@pytest.mark.parametrize("name", SICK)
def test_each_illness_is_named(name: str) -> None:
    found = {verdict.name: verdict for verdict in verdicts(looks(SICK[name]))}
    assert name in found
    verdict = found[name]
    assert verdict.probability > 0.5
    assert verdict.severity in ("slight", "marked", "severe")
    assert any(char.isdigit() for char in verdict.evidence), "numbers"
    assert verdict.cures
    assert 20 * 640 < verdict.since_images < 50 * 640


def test_nothing_is_said_too_early() -> None:
    assert verdicts(looks(SICK["mode_collapse"], FIRST_WORD - 1, 0)) == []
    assert verdicts(looks(SICK["mode_collapse"], FIRST_WORD, 0))


def test_what_was_not_measured_is_not_judged() -> None:
    rows = [{k: v for k, v in look.items() if k not in ("ranks", "gap", "overfit")} for look in looks({})]
    missing = set(unjudged(rows))
    assert {"overpowering_discriminator", "weak_discriminator", "discriminator_overfitting"} <= missing
    assert "mode_collapse" not in missing


def test_what_is_not_finite_needs_no_judgement() -> None:
    rows = looks({"finite": 0.0}, count=3, since=1)
    (verdict,) = verdicts(rows, "d_loss in step 30")
    assert (verdict.name, verdict.probability, verdict.since_images) == ("divergence", 1.0, 1280)
    assert "d_loss in step 30" in verdict.evidence


def test_every_sign_has_a_weight_and_no_weight_is_negative() -> None:
    for name, illness in ILLNESSES.items():
        assert set(weights()[name]) == {"bias", *illness.signs}
        assert all(value >= 0 for sign, value in weights()[name].items() if sign != "bias"), name


def test_the_probability_is_a_logistic_of_the_signs() -> None:
    illness = ILLNESSES["discriminator_overfitting"]
    course = Course(looks({"overfit": 0.8}))
    weight = weights()[illness.name]
    score = weight["bias"] + weight["learnt_by_heart"] * 0.6
    assert probability(illness, course) == pytest.approx(1 / (1 + math.exp(-score)))


def test_now_is_the_last_quarter_of_the_steps() -> None:
    course = Course(looks({}, count=80))
    assert [look["step"] for look in course.now] == [20.0 * i for i in range(61, 81)]
    assert [look["step"] for look in course.before] == [20.0 * i for i in range(41, 61)]
    assert len(Course(looks({}, count=8)).now) == LEAST_LOOKS


@pytest.mark.parametrize(
    ("sign", "signals", "expected"),
    [
        ("narrow", {"diversity": math.exp(-2)}, 2.0),
        ("narrow", {"diversity": 1.7}, 0.0),
        ("crowded", {"crowding": 0.0}, 4.0),
        ("far", {"distance": 0.1}, 1.0),
        ("far", {"distance": 0.0}, 0.0),
        ("sure", {"ranks": 1.0}, 1.0),
        ("blind", {"ranks": 0.2}, 1.0),
        ("apart", {"gap": math.e - 1}, 1.0),
        ("faint", {"g_gradient": 0.002}, 2.0),
        ("restless", {"shift": (math.e - 1) / 100}, 1.0),
        ("raging", {"d_loss": -1000.0}, 2.0),
        ("growing", {"d_growth": 100.0}, 2.0),
        ("learnt_by_heart", {"overfit": 0.75}, 0.5),
        ("copied", {"copying": math.exp(-1)}, 1.0),
    ],
)
def test_signs_are_worked_out(sign: str, signals: Signals, expected: float) -> None:
    assert getattr(Course(looks(signals)), sign)() == pytest.approx(expected, abs=1e-6)


def test_signs_of_nothing_are_nothing() -> None:
    course = Course([{"step": 1.0, "images": 1.0}] * 20)
    assert all(sign(course) is None for illness in ILLNESSES.values() for sign in illness.signs.values())


def test_a_sentence_leaves_out_what_is_not_known() -> None:
    assert said("a {x:.1f}; b {y:.1f}", x=1.0, y=None) == "a 1.0"


def test_severity() -> None:
    assert [severity(grade) for grade in (0.1, 0.5, 0.9)] == ["slight", "marked", "severe"]


def test_people_are_told_everything() -> None:
    rows = looks(SICK["mode_collapse"])
    text = in_sentences(verdicts(rows), ["memorisation"], len(rows))
    assert all(words in text for words in ("mode_collapse", "try", "not judged: memorisation"))
    assert in_sentences([], [], 3).startswith("too early")
    assert in_sentences([], [], 30) == "nothing ails it"


# ---- cures


def test_a_cure_is_pasted_with_the_runs_own_numbers() -> None:
    config = resolve("dcgan", [])
    rate = setting(config, "optim.d.lr")
    assert SLOWER_D.paste(config).endswith(f"--set optim.d.lr={rate / 4:g}")
    assert "optim.d.lr x 0.25" in SLOWER_D.paste()
    assert setting(changed(config, SLOWER_D.settings(partial(setting, config))), "optim.d.lr") == pytest.approx(
        rate / 4
    )


def test_a_cure_that_cannot_be_played_is_not_proposed() -> None:
    """R1 has no meaning where batch norm mixes the images of a batch."""
    spec = Spec(32, 1, 28, 28)
    r1 = next(cure for cure in ILLNESSES["mode_collapse"].cures if "R1" in cure.words)
    assert not possible(r1, resolve("dcgan", []), spec)
    assert possible(r1, resolve("dcgan", [("test", {"d_norm": "none"})]), spec)
    assert not possible(r1, resolve("pix2pix", []), Spec(32, 3, 32, 32, target_channels=3, paired=True)), (
        "no such setting"
    )


@pytest.mark.parametrize("illness", ILLNESSES.values(), ids=lambda illness: illness.name)
def test_a_cure_changes_what_it_says(illness: object) -> None:
    config = resolve("gan", [])
    for cure in ILLNESSES[getattr(illness, "name")].cures:  # noqa: B009
        for name, value in cure.settings(partial(setting, config)).items():
            assert setting(config, name) is not None, name
            assert setting(changed(config, {name: value}), name) == value


# ---- data


def images(n: int = 300) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_good_data_have_no_faults() -> None:
    assert faults(images()) == []
    assert faults(images(), 5000, torch.arange(5000) % 10) == []
    assert faults(torch.randn(300, 2, generator=torch.Generator().manual_seed(0))) == []


@pytest.mark.parametrize(
    ("real", "words"),
    [
        (images() * 127.5 + 127.5, "scale"),
        (images() * 1e-3, "differ by"),
        (images() * torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1), "channel 1 of 3"),
        (images(30).repeat(10, 1, 1, 1), "same as others"),
        (images().masked_fill(torch.arange(300).view(-1, 1, 1, 1) == 7, float("nan")), "not finite"),
        (torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) * 100, "scale"),
    ],
)
def test_each_fault_of_data_is_named(real: torch.Tensor, words: str) -> None:
    assert any(words in fault.what for fault in faults(real))


def test_tiny_and_unbalanced_data() -> None:
    assert "64 samples" in faults(images(64), 64)[0].what
    labels = torch.cat([torch.zeros(1000, dtype=torch.int64), torch.ones(10, dtype=torch.int64)])
    assert "class 1 has 10 samples, class 0 has 1000" in faults(images(), 1010, labels)[0].what

"""What helps any two-player family: each trick with every family, and each against what its paper says by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gansmith.apps.configure import nested, resolve
from gansmith.apps.run import rehearse
from gansmith.core.clock import Clock, Plan
from gansmith.core.config import DataConfig, OptimConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Player, Turn
from gansmith.core.spec import Spec
from gansmith.data import Dataset, Split, open_data
from gansmith.losses.penalties import gradient_penalty
from gansmith.metrics import Reference, extractor
from gansmith.nets.blocks import pack
from gansmith.recipes import FAMILIES, build, family_named
from gansmith.recipes.tricks import Ada, AdaConfig, Balance, LeCam
from gansmith.recipes.two_player import PenaltyConfig
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint
from gansmith.training.optim import Optim, learning_rate
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

Make = Callable[..., Session]

CPU = Runtime(torch.device("cpu"), autocasts=False)
NOW = Clock(0, 0, 1000)
TWO_PLAYERS = [name for name, family in FAMILIES.items() if "conditioning" in family.config.model_fields]
every_family = pytest.mark.parametrize("family", TWO_PLAYERS)

TRICKS: dict[str, dict[str, Any]] = {
    "acgan": {"conditioning": "acgan"},
    "diffaugment": {"augment": "diffaugment"},
    "ada": {"augment": "ada", "ada.kimg": 0.01, "ada.target": -0.9},
    "pack": {"pack": 2, "conditioning": "none"},
    "stddev": {"minibatch": "stddev"},
    "discrimination": {"minibatch": "discrimination"},
    "spectral norm": {"spectral_norm": True},
    "spectral norm and projection": {"spectral_norm": True, "conditioning": "projection"},
    "lecam": {"penalty.lecam": 0.3},
    "drift": {"penalty.drift": 0.1},
    "penalty's end": {"penalty.r1": {"weight": 1.0, "end": 0.1}},
    "balance": {"balance": 0.8},
    "n_generator": {"n_generator": 2},
    "optimiser": {
        f"optim.{player}.{name}": value
        for player in "gd"
        for name, value in {"warm_up": 0.3, "decay": "cosine", "lr_end": 1e-4, "beta2_end": 0.99, "clip": 1.0}.items()
    },
    "smoothing and noise": {"label_smoothing": 0.1, "instance_noise": 0.2, "dropout": 0.3},
    "all at once": {
        "conditioning": "acgan",
        "augment": "diffaugment",
        "minibatch": "stddev",
        "spectral_norm": True,
        "penalty.lecam": 0.3,
        "penalty.r1": 0.1,
        "balance": 0.8,
        "n_generator": 2,
        "n_critic": 2,
    },
}


def fitting(family: str, trick: str) -> dict[str, Any]:
    """A trick's settings, with what a family needs beside: ADA a loss whose outputs have a sign."""
    settings = dict(TRICKS[trick])
    known = family_named(family).config.model_fields
    if trick == "ada" and not has_sign(family):
        settings |= {"loss": "nonsaturating"}
    if "penalty.r1" in settings and "d_norm" in known:
        settings |= {"d_norm": "none"}
    if "label_smoothing" in settings and family_named(family).config(family=family).adversarial().is_critic:
        settings |= {"loss": "hinge"}
    return {name: value for name, value in settings.items() if name != "dropout" or name in known}


def has_sign(family: str) -> bool:
    loss = family_named(family).config(family=family).adversarial()
    return not (loss.paired or loss.is_critic)


@every_family
@pytest.mark.parametrize("trick", TRICKS)
def test_every_trick_with_every_family(tiny_session: Make, tmp_path: Path, family: str, trick: str) -> None:
    whole, first, second = (tiny_session(family, fitting(family, trick)) for _ in range(3))
    plan = Plan.of(64, whole.shares)
    for _ in range(2):
        stats = whole.step(plan)
        first.step(plan)
        assert all(torch.isfinite(value).all() for value in stats.values())
    second.restore(load_checkpoint(save_checkpoint(tmp_path, first.state())), plan)
    for session in (whole, second):
        session.step(plan)
    mine, theirs = flatten(whole.state()), flatten(second.state())
    assert [key for key, value in mine[0].items() if not torch.equal(value, theirs[0][key])] == []
    assert mine[1] == theirs[1]
    assert all(torch.isfinite(value).all() for value in mine[0].values() if value.is_floating_point())
    assert torch.equal(whole.sample(4, 1), whole.sample(4, 1))
    assert torch.equal(whole.sample(4, 1), second.sample(4, 1))


@every_family
@pytest.mark.parametrize("trick", TRICKS)
def test_every_trick_is_rehearsed_without_weights(family: str, trick: str) -> None:
    config = resolve(family, [("test", nested(fitting(family, trick)))])
    before = torch.random.get_rng_state()
    rehearse(config, Spec(16, 3, 16, 16, ("a", "b", "c")))
    assert torch.equal(torch.random.get_rng_state(), before), "nothing was drawn"


@pytest.mark.parametrize("trick", ["ada", "diffaugment", "spectral norm", "all at once"])
def test_tricks_in_bf16(tiny_session: Make, trick: str) -> None:
    session = tiny_session("dcgan", fitting("dcgan", trick), bf16=True, channels=3)
    for _ in range(2):
        stats = session.step(Plan.of(64, session.shares))
        assert all(torch.isfinite(value).all() for value in stats.values())
    assert stats["D/real"].dtype == torch.float32


def endless(session: Session) -> Plan:
    return Plan.of(10**6, session.shares)


# ---- what does not go together

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("dcgan", {"pack": 3, "train.batch": 32}, r"pack=3: does not divide train\.batch=32"),
    ("cgan", {"pack": 2}, "pack: D cannot judge several images at once .* conditioning=none"),
    ("dcgan", {"pack": 2, "conditioning": "acgan"}, "pack: D cannot judge several images at once"),
    ("dcgan", {"augment": "ada", "loss": "relativistic"}, "augment=ada: .* relativistic leaves open; diffaugment"),
    ("wgan-gp", {"augment": "ada"}, "augment=ada: .* wasserstein leaves open; diffaugment"),
    ("r3gan", {"augment": "ada"}, "augment=ada: .* relativistic leaves open; diffaugment"),
    ("dcgan", {"penalty.gp": 10}, r"penalty\.gp: .* batch norm .* --set d_norm=layer"),
    ("lsgan", {"penalty.r1": 1}, r"penalty\.r1: .* batch norm .* --set d_norm=layer"),
    ("cgan", {"penalty.dragan": 1}, r"penalty\.dragan: .* batch norm .* --set d_norm=layer"),
    ("lapgan", {"penalty.r2": 1}, r"penalty\.r2: .* batch norm .* --set d_norm=layer"),
    ("gan", {"loss": "wasserstein"}, r"loss=wasserstein: .* nothing limits .* --set penalty\.gp=10"),
    ("lapgan", {"loss": "wasserstein"}, r"loss=wasserstein: .* nothing limits .* --set penalty\.gp=10"),
    ("wgan", {"penalty.clip": 0}, r"loss=wasserstein: .* nothing limits .* --set penalty\.gp=10"),
    ("aae", {"loss": "wasserstein"}, "loss=wasserstein: nothing limits a critic of codes"),
    ("wgan-gp", {"label_smoothing": 0.1}, "label_smoothing: wasserstein has no labels to smooth"),
    ("wgan", {"penalty.gp": 10}, r"penalty\.gp: .* batch norm .* --set d_norm=layer"),
]


@pytest.mark.parametrize(("family", "settings", "message"), REFUSED)
def test_what_does_not_go_together_is_refused(family: str, settings: dict[str, Any], message: str) -> None:
    config = resolve(family, [("test", nested(settings))])
    with pytest.raises(ConfigError, match=message) as refusal:
        build(config, Spec(16, 1, 16, 16, ("a", "b")))
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gan", {"penalty.gp": 10}),  # perceptrons have no norm
        ("dcgan", {"penalty.gp": 10, "network": "mlp"}),
        ("dcgan", {"penalty.gp": 10, "d_norm": "none"}),
        ("dcgan", {"loss": "wasserstein", "spectral_norm": True}),
        ("dcgan", {"loss": "wasserstein", "penalty.clip": 0.01}),
        ("wgan-gp", {"penalty.gp": 0, "penalty.r1": 1}),
        ("lsgan", {"augment": "ada", "pack": 4}),
        ("progan", {"augment": "ada", "loss": "hinge"}),
    ],
)
def test_what_goes_together_is_not(family: str, settings: dict[str, Any]) -> None:
    game = build(resolve(family, [("test", nested(settings))]), Spec(16, 1, 16, 16))
    assert set(game.nets) == {"G", "D"}


# ---- ADA


def after(control: Any, images: int, **stats: float) -> None:
    control.after_step({}, Clock(images // 10, images, 10**6), {f"D/{k}": torch.tensor(v) for k, v in stats.items()})


def test_p_moves_by_the_images_that_were_seen() -> None:
    ada = Ada(AdaConfig(target=0.6, kimg=1.0))
    for images, sign, p in (
        (0, 1.0, 0.0),  # the first step tells where the count begins
        (100, 0.7, 0.1),  # too sure of the reals: up by 100 of 1,000 images
        (150, 1.0, 0.15),
        (200, 0.5, 0.1),
        (500, 0.0, 0.0),  # never below 0
        (600, 0.9, 0.1),
        (5000, 0.9, 1.0),  # nor above 1
        (5100, 0.6, 1.0),  # on the target: as it is
    ):
        after(ada, images, sign=sign)
        assert ada.p.item() == pytest.approx(p, abs=1e-6)


def test_adas_state_is_kept_and_a_run_that_had_none_begins_at_nought() -> None:
    ada, other, late = (Ada(AdaConfig(kimg=1.0)) for _ in range(3))
    after(ada, 0, sign=0.9)
    after(ada, 100, sign=0.9)
    other.load_state_dict(ada.state_dict())
    for control in (ada, other, late):
        after(control, 300, sign=0.9)
    assert other.p == ada.p
    assert ada.p.item() == pytest.approx(0.3)
    assert late.p == 0, "what was seen before it began does not count"
    after(late, 400, sign=0.9)
    assert late.p.item() == pytest.approx(0.1)


def test_adas_p_is_logged_and_in_the_checkpoint(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"augment": "ada", "ada.kimg": 0.1, "loss": "hinge"})
    # Whatever it is shown, D now says that it is real.
    session.game.nets["D"].register_forward_hook(lambda net, inputs, output: output + 10)
    seen = [session.step(endless(session))["D/ada_p"].item() for _ in range(4)]
    assert seen == pytest.approx([0, 0, 0.04, 0.08])
    assert session.state()["stateful"]["control.ada"]["p"].item() == pytest.approx(0.12)
    assert session.state()["stateful"]["control.ada"]["images"] == 16


def test_what_d_sees_depends_on_p(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"augment": "ada"})
    ada = session.game.controls["ada"]
    seen = session.game.stages[0].moves[1].loss.rules.view
    images = session.feed.at(0).images
    torch.testing.assert_close(seen(images, session.clock), images, atol=1e-5, rtol=0)
    ada.p = torch.ones(())
    assert not torch.allclose(seen(images, session.clock), images, atol=0.1)


@pytest.fixture(scope="module")
def clothes() -> Dataset:
    return open_data(DataConfig(source="builtin:fashion"))


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [({"optim.d.lr": 2e-3, "d_width": 16}, 0.3, 1), ({"optim.d.lr": 5e-4, "d_width": 24, "d_norm": "none"}, 0, 0.05)],
    ids=["D wins", "G wins"],
)
def test_p_answers_ds_certainty_in_training(
    clothes: Dataset, settings: dict[str, Any], low: float, high: float
) -> None:
    """On 200 images, which D knows by heart or not, by how fast it learns."""
    both = {"augment": "ada", "ada.kimg": 4.0, "g_width": 8, "train.batch": 16, "loss": "nonsaturating"}
    both |= {"optim.g.lr": 1e-3 if low else 4e-3}
    few = Split(np.asarray(clothes.train.images[:200]), None)
    session = Session(resolve("dcgan", [("test", nested(both | settings))]), clothes.spec, few, CPU)
    plan = Plan.of(10_000, session.shares)
    while session.clock.images < 2500:
        session.step(plan)
    assert low <= session.game.controls["ada"].p.item() <= high


def test_p_rises_on_few_images_and_stays_low_on_many(clothes: Dataset) -> None:
    """Karras 2020, sec. 3.1: on little data D is surer of the reals the longer it trains, and p follows; on much not.

    The last third of the run is looked at, when D has seen each of the 200 images two hundred times.
    """
    settings = {"augment": "ada", "ada.kimg": 10.0, "loss": "nonsaturating", "g_width": 16, "d_width": 16}
    config = resolve("dcgan", [("test", nested(settings))])

    def p_after(images: int) -> tuple[float, float]:
        data = Split(np.asarray(clothes.train.images[:images]), None)
        session, plan = Session(config, clothes.spec, data, CPU), Plan.of(60_000, [1.0])
        while session.clock.progress < 2 / 3:
            session.step(plan)
        before = session.game.controls["ada"].p.item()
        while not session.clock.finished:
            session.step(plan)
        return before, session.game.controls["ada"].p.item()

    few, many = p_after(200), p_after(10_000)
    assert few[1] > few[0], "still rising"
    assert few[1] > 0.1
    assert many[1] < 0.1
    assert few[1] > 2 * many[1]


# ---- balance


def test_the_lead_goes_to_the_weaker_player() -> None:
    balance = Balance(0.8, every=2, most=2)
    leads = []
    for step, accuracy in enumerate([1.0] * 8 + [0.0] * 14, 1):
        balance.after_step({}, Clock(step, 10 * step, 1000), {"D/accuracy": torch.tensor(accuracy)})
        leads.append((balance.for_g(NOW), balance.for_d(NOW)))
    # The accuracy begins at ½ and comes halfway to what is seen in each step: 0.75, then 0.875 at the first look.
    assert leads[1::2] == [(1, 0), (2, 0), (2, 0), (2, 0), (1, 0), (0, 0), (0, 1), (0, 2), (0, 2), (0, 2), (0, 2)]
    other = Balance(0.8)
    other.load_state_dict(balance.state_dict())
    assert (other.for_d(NOW), other.accuracy) == (2, balance.accuracy)


@pytest.mark.parametrize(("lead", "g", "d"), [(0, 1, 2), (2, 3, 2), (-3, 1, 5)])
def test_the_lead_changes_the_moves_and_every_image_counts(tiny_session: Make, lead: int, g: int, d: int) -> None:
    session = tiny_session("dcgan", {"balance": 0.8, "n_critic": 2})
    session.game.controls["balance"].lead = lead
    counts = updates(session)
    assert counts == {"G": g, "D": d}
    # The first batch is shared by both players' first moves.
    assert session.clock.images == 4 * (1 + (g - 1) + (d - 1))
    assert session.state()["stateful"]["control.balance"]["lead"] == lead


def updates(session: Session) -> dict[str, int]:
    """How often each player moves in a step."""
    counts = dict.fromkeys(session.optims, 0)
    for name, optim in session.optims.items():

        def step(clock: Clock, name: str = name, step: Callable[[Clock], None] = optim.step) -> None:
            counts[name] += 1
            step(clock)

        optim.step = step  # type: ignore[method-assign]
    session.step(endless(session))
    return counts


@pytest.mark.parametrize(("n_generator", "n_critic"), [(1, 1), (3, 1), (2, 3)])
def test_updates_of_each_player(tiny_session: Make, n_generator: int, n_critic: int) -> None:
    session = tiny_session("dcgan", {"n_generator": n_generator, "n_critic": n_critic})
    assert updates(session) == {"G": n_generator, "D": n_critic}
    assert session.clock.images == 4 * (n_generator + n_critic - 1)


@pytest.mark.parametrize("n_generator", [1, 3])
def test_d_judges_fakes_by_the_labels_they_were_made_for(tiny_session: Make, n_generator: int) -> None:
    session = tiny_session("dcgan", {"conditioning": "concat", "n_generator": n_generator, "n_critic": 2})
    made: list[tuple[Tensor, Tensor]] = []
    judged: list[tuple[Tensor, Tensor]] = []
    g, d = session.game.nets["G"], session.game.nets["D"]
    g.register_forward_hook(lambda net, inputs, output: made.append((output.detach(), inputs[1])))
    d.register_forward_hook(lambda net, inputs, output: judged.append((inputs[0].detach(), inputs[1])))
    session.step(endless(session))
    fakes = judged[n_generator + 1 :: 2]
    assert len(fakes) == 2
    for images, labels in fakes:
        (asked,) = [asked for output, asked in made if torch.equal(output, images)]
        assert torch.equal(asked, labels)


# ---- LeCam


def test_lecams_averages_follow() -> None:
    means = LeCam(decay=0.75)
    history = [(1.0, -1.0), (3.0, -2.0), (5.0, 0.0), (9.0, 4.0), (1.0, 1.0), (0.0, 2.0)]
    expected = [0.0, 0.0]
    for step, (real, fake) in enumerate(history, 1):
        after(means, 10 * step, real=real, fake=fake)
        keep = min(0.75, 1 - 1 / step)  # the plain mean of the first four
        expected = [keep * old + (1 - keep) * new for old, new in zip(expected, (real, fake), strict=True)]
        assert (means.real.item(), means.fake.item()) == pytest.approx(expected)
        if step == 4:
            assert expected == pytest.approx([4.5, 0.25])
    other = LeCam(decay=0.75)
    other.load_state_dict(means.state_dict())
    for control in (means, other):
        after(control, 100, real=3.0, fake=3.0)
    assert (other.real, other.fake) == (means.real, means.fake)


def test_d_pays_for_leaving_the_averages(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"penalty.lecam": 0.5, "penalty.drift": 0.25})
    means = session.game.controls["lecam"]
    means.real, means.fake = torch.tensor(2.0), torch.tensor(-1.0)
    loss, turn = session.game.stages[0].moves[1].loss, turn_of(session)
    real, fake = judged_by(session, turn)
    terms = loss(turn).terms
    torch.testing.assert_close(terms["lecam"], 0.5 * ((real + 1).square().mean() + (fake - 2).square().mean()))
    torch.testing.assert_close(terms["drift"], 0.25 * real.square().mean())


def turn_of(session: Session, step: int = 0) -> Turn:
    """A turn with fakes that have been made."""
    batch = session.feed.at(0)
    return Turn(session.game.nets, batch, Clock(step, 0, 1000), {"fake": torch.randn_like(batch.images).clamp(-1, 1)})


def judged_by(session: Session, turn: Turn) -> list[Any]:
    """What D itself says of reals and of fakes, unconditional."""
    return [session.game.nets["D"](images) for images in (turn.batch.images, turn.made["fake"])]


# ---- the class, by an auxiliary classifier


@pytest.mark.parametrize("family", ["dcgan", "r3gan", "progan"])
def test_both_players_pay_for_the_class(tiny_session: Make, family: str) -> None:
    session = tiny_session(family, {"conditioning": "acgan"})
    g_loss, d_loss = (move.loss for move in session.game.stages[-1].moves)
    end = Clock(0, 10, 10, len(session.game.stages) - 1, 10, 10)
    turn = replace(turn_of(session), clock=end)
    rules, labels = d_loss.rules, turn.batch.labels
    reals, fakes = turn.batch.images, turn.made["fake"]

    def paid(images: Tensor) -> Tensor:
        said = rules.opinion(turn, images).classes
        return torch.stack([-said[i].log_softmax(0)[labels[i]] for i in range(4)]).mean()

    torch.testing.assert_close(d_loss(turn).terms["class"], paid(reals) + paid(fakes))
    outcome = g_loss(turn := replace(turn, made={}))
    torch.testing.assert_close(outcome.terms["class"], paid(turn.made["fake"]))
    outcome.terms["class"].backward()
    assert sum(p.grad.abs().sum() for p in session.game.nets["G"].parameters() if p.grad is not None) > 0


def test_d_is_not_told_the_class_that_it_names(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"conditioning": "acgan"})
    d, images = session.game.nets["D"].eval(), torch.randn(3, 1, 16, 16)
    one, other = (d(images, labels) for labels in (torch.tensor([0, 1, 2]), torch.tensor([2, 2, 2])))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert one[1].shape == (3, 3)
    assert cross_entropy(one[1], torch.tensor([0, 1, 2])) > 0


def test_samples_of_acgan_are_of_the_class_that_was_asked_for(clothes: Dataset) -> None:
    """By the nearest class mean of `fashion-cnn`'s features: chance is 0.1."""
    classifier = extractor("fashion-cnn")
    settings = {"conditioning": "acgan", "ema.half_life_kimg": 0.5, "train.batch": 16, "g_width": 12, "d_width": 12}
    session = Session(resolve("dcgan", [("test", nested(settings))]), clothes.spec, clothes.train, CPU)
    plan = Plan.of(12_000, session.shares)
    while not session.clock.finished:
        session.step(plan)
    rows, columns = clothes.spec.window
    real, labels = classifier(clothes.train.images[:2000, rows, columns]), np.asarray(clothes.train.labels[:2000])
    means = np.stack([real[labels == c].mean(0) for c in range(10)])
    nearest = ((classifier(session.sample(500, 0).numpy())[:, None] - means) ** 2).sum(2).argmin(1)
    agreement = (nearest == np.arange(500) % 10).mean()
    assert agreement > 0.3, agreement


# ---- packs


def test_d_judges_packs_of_a_kind(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"pack": 2, "d_norm": "none"})
    judged: list[Tensor] = []
    session.game.nets["D"].register_forward_hook(lambda net, inputs, output: judged.append(inputs[0].detach()))
    batch = session.feed.at(0)
    session.step(endless(session))
    # G's fakes; then, in one pass, the reals and those fakes.
    assert [tuple(images.shape) for images in judged] == [(2, 2, 16, 16), (4, 2, 16, 16)]
    assert torch.equal(judged[1], torch.cat([pack(batch.images, 2), judged[0]]))


def test_a_penalty_is_on_the_gradient_of_a_pack(tiny_session: Make) -> None:
    session = tiny_session("wgan-gp", {"pack": 2, "n_critic": 1})
    turn = turn_of(session)
    reals, fakes = turn.batch.images, turn.made["fake"]
    torch.manual_seed(5)
    found = session.game.stages[0].moves[1].loss(turn).terms["gp"]
    torch.manual_seed(5)
    torch.testing.assert_close(found, 10 * gradient_penalty(session.game.nets["D"], pack(reals, 2), pack(fakes, 2)))


# ---- optimisers

SGD = OptimConfig(kind="sgd", lr=0.1, beta1=0.0)


def test_the_learning_rate_warms_up_and_ends_where_asked() -> None:
    config = OptimConfig(lr=0.4, warm_up=0.25, decay="linear", lr_end=0.1)
    # Linear decay begins at half the run: 0.4 until then, at three quarters halfway down to 0.1.
    found = [learning_rate(config, progress) for progress in (0, 0.125, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx([0, 0.2, 0.4, 0.4, 0.25, 0.1])
    cosine = OptimConfig(lr=0.4, decay="cosine", lr_end=0.2)
    assert [learning_rate(cosine, progress) for progress in (0, 0.5, 1)] == pytest.approx([0.4, 0.3, 0.2])
    assert learning_rate(OptimConfig(lr=0.4, lr_end=0.9, decay="cosine"), 1) == pytest.approx(0.4), "it never rises"
    assert learning_rate(OptimConfig(lr=0.4, lr_end=0.1), 1) == pytest.approx(0.4), "a constant stays"


def test_the_rates_are_those_that_the_optimiser_uses() -> None:
    net = nn.Linear(1, 1, bias=False)
    config = OptimConfig(kind="sgd", lr=0.1, beta1=0.0, warm_up=0.5)
    optim = Optim(Player(("G",), config), {"G": net})
    for images, rate in ((0, 0.0), (250, 0.05), (500, 0.1), (1000, 0.1)):
        before = net.weight.item()
        (3 * net.weight).sum().backward()
        optim.step(Clock(0, images, 1000))
        assert before - net.weight.item() == pytest.approx(3 * rate, abs=1e-6)


def test_beta2_follows_a_cosine() -> None:
    net = nn.Linear(1, 1, bias=False)
    optim = Optim(Player(("G",), OptimConfig(beta1=0.5, beta2=0.9, beta2_end=0.99)), {"G": net})
    mean_square = 0.0
    for step, (images, beta2) in enumerate(((0, 0.9), (500, 0.945), (1000, 0.99)), 1):
        gradient = float(step)
        (gradient * net.weight).sum().backward()
        optim.step(Clock(step, images, 1000))
        assert optim.torch.param_groups[0]["betas"] == pytest.approx((0.5, beta2))
        mean_square = beta2 * mean_square + (1 - beta2) * gradient**2
        assert optim.torch.state[net.weight]["exp_avg_sq"].item() == pytest.approx(mean_square)


@pytest.mark.parametrize(("clip", "scale"), [(0.0, 1.0), (1.0, 1 / 5), (10.0, 1.0)])
def test_gradients_are_clipped_to_a_length_all_together(clip: float, scale: float) -> None:
    one, other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    optim = Optim(Player(("A", "B"), SGD.model_copy(update={"clip": clip})), {"A": one, "B": other})
    before = one.weight.item(), other.weight.item()
    (3 * one.weight + 4 * other.weight).sum().backward()  # of length 5
    optim.step(Clock(0, 0, 1000))
    moved = before[0] - one.weight.item(), before[1] - other.weight.item()
    assert moved == pytest.approx((0.3 * scale, 0.4 * scale), rel=1e-4)


def test_a_penaltys_weight_falls_by_a_cosine(tiny_session: Make) -> None:
    penalty = PenaltyConfig(weight=1.0, end=0.2, every=2)
    assert [penalty.at(progress) for progress in (0, 0.5, 1)] == pytest.approx([1, 0.6, 0.2])
    assert PenaltyConfig(weight=1.0).at(0.7) == 1
    session = tiny_session("dcgan", {"d_norm": "none", "penalty.r1": penalty.model_dump()})
    loss, paid = session.game.stages[0].moves[1].loss, []
    for images in (0, 500, 1000):
        turn = turn_of(session)
        paid.append(loss(replace(turn, clock=Clock(0, images, 1000))).terms["r1"].item())
    assert [value / paid[0] for value in paid] == pytest.approx([1, 0.6, 0.2], rel=1e-4)


# ---- the critic


def test_the_critic_runs_ahead_as_in_the_papers_code(tiny_session: Make) -> None:
    # gen_iterations < 25 or gen_iterations % 500 == 0: 100 updates, else 5.
    moves = tiny_session("wgan", {"critic_burst": 95}).game.stages[0].moves
    steps = (0, 1, 24, 25, 499, 500, 501, 1000)
    assert [moves[1].times(Clock(step, 0, 1)) for step in steps] == [100, 100, 100, 5, 5, 100, 5, 100]
    assert {moves[0].times(Clock(step, 0, 1)) for step in steps} == {1}
    assert {tiny_session("wgan").game.stages[0].moves[1].times(Clock(step, 0, 1)) for step in steps} == {5}


def test_a_burst_is_played_and_adds_to_balance(tiny_session: Make) -> None:
    session = tiny_session("wgan-gp", {"n_critic": 2, "critic_burst": 3, "balance": 0.8})
    session.game.controls["balance"].lead = -2
    session.step(endless(session))
    assert session.clock.images == 4 * (2 + 3 + 2), "each on fresh data"


def test_wgans_weights_stay_in_their_box(tiny_session: Make) -> None:
    session = tiny_session("wgan")
    for _ in range(3):
        stats = session.step(endless(session))
    assert max(p.abs().max().item() for p in session.game.nets["D"].parameters()) <= 0.05 + 1e-7
    assert max(p.abs().max().item() for p in session.game.nets["G"].parameters()) > 0.01
    torch.testing.assert_close(stats["D/distance"], -stats["D/loss"])


@every_family
def test_a_critics_distance_is_logged_and_others_sign(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    stats, loss = session.step(endless(session)), session.config.adversarial()
    d = session.game.stages[0].moves[1].player
    assert (f"{d}/distance" in stats) == loss.is_critic
    assert (f"{d}/sign" in stats) == has_sign(family)
    if loss.is_critic:
        torch.testing.assert_close(stats["D/distance"], stats["D/real"] - stats["D/fake"])


def test_the_critics_distance_follows_the_quality_of_samples(clothes: Dataset) -> None:
    """Arjovsky 2017, sec. 4.2, fig. 3: the estimate falls as samples improve (here, as the Fréchet distance falls).

    At ten moments of the first 11,000 images, after which this small pair improves by less than the estimate's noise.
    The first is at 2,000: an untrained critic estimates nothing.
    """
    rows, columns = clothes.spec.window
    reference = Reference.of(clothes.train.images[:4000, rows, columns], extractor("fashion-cnn"))
    settings = {"g_width": 12, "d_width": 12, "n_critic": 2, "train.batch": 16, "ema.half_life_kimg": 0.2}
    settings |= {"optim.d.lr": 1e-3, "optim.g.lr": 1e-3}
    session = Session(resolve("wgan-gp", [("test", nested(settings))]), clothes.spec, clothes.train, CPU)
    plan = Plan.of(14_000, session.shares)
    estimates: list[float] = []
    found: list[tuple[float, float]] = []
    while len(found) < 10:
        estimates.append(session.step(plan)["D/distance"].item())
        if session.clock.images >= 2000 + 1000 * len(found):
            found.append((float(np.mean(estimates[-30:])), reference.frechet(session.sample(600, 0).numpy())))
    assert spearman(np.asarray(found)) > 0.6, found


def spearman(pairs: np.ndarray) -> float:
    """Correlation of the ranks of two columns."""
    ranks = pairs.argsort(0).argsort(0)
    return float(np.corrcoef(ranks.T)[0, 1])


def test_the_plot_shows_a_critics_distance(tmp_path: Path) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    from gansmith.training import pictures

    labels: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        original = figures.Figure.savefig

        def savefig(figure: Any, *args: Any, **kwargs: Any) -> None:
            labels.extend(axes.get_ylabel() for axes in figure.axes)
            original(figure, *args, **kwargs)

        patch.setattr(figures.Figure, "savefig", savefig)
        rows = [{"images": i, "G/loss": 1.0, "D/loss": -2.0, "D/distance": 2.0, "D/real": 1.0} for i in range(1, 4)]
        pictures.save_plot(rows, tmp_path / "losses.png", "a run")
    assert labels == ["loss", "mean output of D", "critic's estimate of the distance"]
    assert (tmp_path / "losses.png").stat().st_size > 0


# ---- reals and fakes in one pass


@pytest.mark.parametrize("trick", ["none", "stddev", "pack", "spectral norm", "acgan", "projection", "concat"])
def test_one_pass_over_both_kinds_says_what_two_would(tiny_session: Make, trick: str) -> None:
    settings = TRICKS.get(trick, {"conditioning": trick})
    session = tiny_session("wgan-gp", {"loss": "nonsaturating", "train.batch": 8, **settings})
    d_loss = session.game.stages[0].moves[1].loss
    batch = session.feed.at(0)
    turn = Turn(session.game.nets.eval(), batch, session.clock, {})  # a power iteration would move D in between
    fake = torch.randn_like(batch.images)
    together, apart = d_loss.rules, replace(d_loss.rules, at_once=None)
    assert together.at_once is not None
    for one, other in zip(
        together.opinions(turn, batch.images, fake), apart.opinions(turn, batch.images, fake), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        assert len(one.logits) == len(batch) // d_loss.rules.pack


def test_a_group_never_holds_both_kinds(tiny_session: Make) -> None:
    # Of 6 images a group is 3, of 12 it would be 4: such batches are judged apart.
    session = tiny_session("wgan-gp", {"minibatch": "stddev", "train.batch": 6})
    rules = session.game.stages[0].moves[1].loss.rules
    assert rules.at_once == 4
    turn = Turn(session.game.nets, session.feed.at(0), session.clock, {})
    real, fake = turn.batch.images, torch.randn_like(turn.batch.images)
    torch.testing.assert_close(rules.opinions(turn, real, fake)[0].logits, rules.opinion(turn, real).logits)

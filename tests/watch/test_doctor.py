"""A doctor in a loop that knows nothing of gansmith: it changes nothing, and sees what there is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gansmith.watch.doctor import A_PART, FIRST, Doctor
from gansmith.watch.signals import Signals


def ring(n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    angle = torch.randint(8, (n,), generator=generator) * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(n, 2, generator=generator)


def nets() -> tuple[nn.Module, nn.Module]:
    """With batch norm and dropout, whose figures and random numbers a careless look would move."""
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
    return g, nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))


def loop(steps: int, doctor: Doctor | None, g: nn.Module, d: nn.Module, told: tuple[str, ...]) -> None:
    """A plain GAN; what the doctor is told of it is named."""
    real = ring(1000, 0)
    by_g, by_d = (torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.99)) for net in (g, d))
    loss = nn.BCEWithLogitsLoss()
    torch.manual_seed(1)
    for _ in range(steps):
        x, fake = real[torch.randint(len(real), (32,))], g(torch.randn(32, 4))
        g_loss = loss(d(fake), torch.ones(32, 1))
        by_g.zero_grad()
        g_loss.backward()
        by_g.step()
        real_logits, fake_logits = d(x), d(fake.detach())
        d_loss = loss(real_logits, torch.ones(32, 1)) + loss(fake_logits, torch.zeros(32, 1))
        by_d.zero_grad()
        d_loss.backward()
        by_d.step()
        if doctor is not None:
            every = {
                "real_logits": real_logits,
                "fake_logits": fake_logits,
                "d_loss": d_loss,
                "g_loss": g_loss,
                "fakes": fake,
            }
            doctor.step(**{name: every[name] for name in told})


EVERYTHING = ("real_logits", "fake_logits", "d_loss", "g_loss", "fakes")


def looked(steps: int = 130, told: tuple[str, ...] = EVERYTHING, with_nets: bool = True, **named: Any) -> list[Signals]:
    g, d = nets()
    doctor = Doctor(ring(500, 2), g, **named) if with_nets else Doctor(ring(500, 2), **named)
    loop(steps, doctor, g, d, told)
    return doctor.looks


def test_the_loop_ends_as_it_would_have_without() -> None:
    alone, watched = nets(), nets()
    loop(70, None, *alone, told=())
    loop(70, Doctor(ring(500, 2), watched[0], held_out=ring(300, 3)), *watched, told=EVERYTHING)
    for one, other in zip(alone, watched, strict=True):
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, msg=name)


def test_a_look_is_due_after_a_part_of_the_steps() -> None:
    steps = [look["step"] for look in looked(130)]
    assert steps == list(range(FIRST, 131, FIRST))
    assert FIRST * A_PART > 1000, "so that runs of a thousand steps have fifty looks"


def test_all_is_measured_where_all_is_told() -> None:
    last = looked(held_out=ring(300, 3))[-1]
    assert {"diversity", "missed", "crowding", "coverage", "realism", "distance", "copying", "remembered"} <= set(last)
    assert {
        "ranks",
        "gap",
        "g_gradient",
        "g_update",
        "g_growth",
        "finite",
        "motion",
        "shift",
        "back",
        "d_loss",
        "g_loss",
        "reach",
    } <= set(last)
    assert last["crowding"] > 0.1, "no fake was counted twice"


@pytest.mark.parametrize("told", [(), ("d_loss",), ("real_logits",), ("fakes",)])
@pytest.mark.parametrize("with_nets", [True, False])
def test_what_is_not_told_is_not_measured(told: tuple[str, ...], with_nets: bool) -> None:
    last = looked(told=told, with_nets=with_nets)[-1]
    assert ("d_loss" in last) == ("d_loss" in told)
    assert ("g_gradient" in last) == ("motion" in last) == with_nets
    assert ("diversity" in last) == (with_nets or "fakes" in told), "fakes are seen as G makes them, too"
    assert "ranks" not in last


def test_a_generator_that_makes_one_point_is_seen() -> None:
    g, _ = nets()
    doctor = Doctor(ring(500, 2), g)
    with torch.no_grad():
        for parameter in g[-1].parameters():
            parameter.zero_()
    for _ in range(FIRST):
        doctor.step(fakes=g(torch.randn(32, 4)))
    (look,) = doctor.looks
    assert look["diversity"] < 1e-6
    assert look["missed"] > 0.8


@pytest.mark.parametrize(
    "real", [torch.zeros(64, 2), torch.zeros(20, 1, 8, 8), ring(3, 0)], ids=["points", "images", "few"]
)
def test_sick_data_do_not_stop_the_loop(real: Tensor) -> None:
    doctor = Doctor(real=real)
    for _ in range(2 * FIRST):
        doctor.step(fakes=torch.randn(32, *real.shape[1:]))
    assert len(doctor.looks) == 2
    if not real.any():
        assert [verdict.name for verdict in doctor.verdicts()] == ["sick_data"]


def test_nan_is_found_with_its_place() -> None:
    g, d = nets()
    doctor = Doctor(ring(500, 2), g, d)
    loop(30, doctor, g, d, EVERYTHING)
    with torch.no_grad():
        d[2].weight[0, 0] = float("nan")
    loop(30, doctor, g, d, EVERYTHING)
    (verdict,) = (v for v in doctor.verdicts() if v.name == "divergence")
    assert verdict.probability == 1
    assert "g_loss in step 31" in verdict.evidence or "real_logits" in verdict.evidence
    assert "discriminator's 0.weight" in verdict.evidence


def test_a_collapsed_generator_is_told_and_a_good_one_is_not() -> None:
    """The fakes of the one are a point, those of the other real points; D is at chance."""
    generator = torch.Generator().manual_seed(3)
    good, bad = Doctor(ring(2000, 2)), Doctor(ring(2000, 2))
    for i in range(20 * FIRST):
        good.step(fakes=ring(64, i), real_logits=torch.randn(64, generator=generator), fake_logits=torch.zeros(64))
        bad.step(fakes=torch.tensor([[1.0, 0.0]]) + 0.01 * torch.randn(64, 2, generator=generator))
    assert good.verdicts() == []
    collapse = next(verdict for verdict in bad.verdicts() if verdict.name == "mode_collapse")
    assert 0 < collapse.since_images < bad.images == 20 * FIRST * 64
    assert "overpowering_discriminator" in bad.unjudged()
    assert "mode_collapse" in str(bad)


def test_nan_is_found_by_who_asks_at_once() -> None:
    doctor = Doctor(ring(500, 2))
    doctor.step(d_loss=float("nan"))
    (verdict,) = doctor.verdicts()
    assert verdict.evidence == "not finite: d_loss in step 1"

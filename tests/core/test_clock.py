"""Stages partition a run, progress never falls back, and schedules are what their papers say."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gansmith.core.clock import SCHEDULES, Clock, Pace, Plan, constant, cosine, linear

totals = st.integers(1, 10**7)
shares = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


@given(total=totals, shares=shares)
def test_stages_partition_the_run(total: int, shares: list[float]) -> None:
    plan = Plan.of(total, shares)
    ends = [*plan.starts[1:], total]
    assert len(plan.starts) == len(shares)
    assert plan.starts[0] == 0
    assert all(a <= b for a, b in pairwise([*plan.starts, total]))
    for begin, end, share in zip(plan.starts, ends, shares, strict=True):
        assert end - begin == pytest.approx(total * share / sum(shares), abs=1.001)


@given(total=totals, shares=shares, places=st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_clocks_of_a_run_only_go_forward(total: int, shares: list[float], places: list[float]) -> None:
    plan = Plan.of(total, shares)
    clocks = [plan.at(0, round(place * total)) for place in sorted(places)]
    for clock in clocks:
        assert 0 <= clock.progress <= 1
        assert 0 <= clock.stage_progress <= 1
        assert plan.starts[clock.stage] + clock.stage_images == clock.images
        assert clock.stage_images < clock.stage_total or clock.finished
    for before, after in pairwise(clocks):
        assert (before.progress, before.stage) <= (after.progress, after.stage)
        if before.stage == after.stage:
            assert before.stage_progress <= after.stage_progress


@given(shares=shares, images=st.integers(0, 10**6), left=st.floats(-60, 3600), speed=st.floats(0.1, 1e4))
def test_what_is_left_of_the_minutes_is_filled(shares: list[float], images: int, left: float, speed: float) -> None:
    """By a run whose later stages take twice as long; a run that is late already ends as soon as its stages let it."""
    share = shares[0] / sum(shares)
    weight = share + 2 * (1 - share)
    clock = Clock(1, images, 10**9)
    plan = Pace(until=100.0 + left, weight=weight).plan(clock, 100.0, speed, shares)
    assert plan.at(1, images).stage == 0
    assert not plan.at(1, images).finished
    first = plan.total * share
    took = (first - images + 2 * (plan.total - first)) / speed
    least = (images + 1) / share
    assert took == pytest.approx(left, abs=3 / speed) or plan.total == pytest.approx(least, abs=2)


@given(total=totals, shares=shares, beyond=st.integers(0, 10**4))
def test_past_its_end_a_run_stays_in_the_last_stage(total: int, shares: list[float], beyond: int) -> None:
    clock = Plan.of(total, shares).at(3, total + beyond)
    assert clock.finished
    assert clock.stage == len(shares) - 1
    assert clock.progress == 1


def test_a_plan_by_hand() -> None:
    plan = Plan.of(1000, [1, 3])
    assert plan == Plan(1000, (0, 250))
    assert plan.at(5, 249) == Clock(5, 249, 1000, 0, 249, 250, (0, 250))
    assert plan.at(6, 250) == Clock(6, 250, 1000, 1, 0, 750, (0, 250))
    assert plan.at(7, 625).stage_progress == 0.5
    assert not plan.at(8, 999).finished


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant, {0: 1, 0.5: 1, 1: 1}),
        (linear, {0: 1, 0.25: 1, 0.5: 1, 0.75: 0.5, 0.9: 0.2, 1: 0}),
        (cosine, {0: 1, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 2 / 3: 0.25, 1: 0}),
    ],
)
def test_schedules_by_hand(schedule, values: dict[float, float]) -> None:
    for progress, factor in values.items():
        assert schedule(progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@given(places=st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_schedules_fall_within_bounds(name: str, places: list[float]) -> None:
    factors = [SCHEDULES[name](place) for place in sorted(places)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert factors == sorted(factors, reverse=True)

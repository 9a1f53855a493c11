"""Adversarial autoencoders: shapes of priors, whose part of them a class owns, encoding, and what few labels teach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gansmith
from gansmith.apps.configure import nested, resolve
from gansmith.apps.run import picture_plane
from gansmith.core.clock import Plan
from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Request
from gansmith.core.spec import Spec
from gansmith.data import Dataset, Split, open_data
from gansmith.recipes import build, family_named
from gansmith.recipes.aae import Classify, Codes, plane
from gansmith.recipes.priors import ACROSS, ALONG, PRIORS, RADIUS, REACH, THICKNESS, places_of
from gansmith.training.checkpoint import flatten, load_checkpoint, save_checkpoint
from gansmith.training.rundir import RunDir
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

Make = Callable[..., Session]

VARIANTS: dict[str, dict[str, Any]] = {
    "mixture": {"prior": "mixture", "network": "mlp"},
    "swiss-roll": {"prior": "swiss-roll", "network": "conv"},
    "informed-mixture": {"prior": "mixture", "labels": "informed", "network": "mlp"},
    "informed-roll": {"prior": "swiss-roll", "labels": "informed", "network": "mlp", "loss": "relativistic"},
    "semi": {"labels": "semi", "labelled": 7, "network": "mlp"},
    "semi-conv": {"labels": "semi", "network": "conv", "loss": "relativistic", "prior": "mixture"},
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
every_prior = pytest.mark.parametrize("name", PRIORS)
LETTERS = Spec(16, 1, 16, 16, ("a", "b", "c"))


def draws(name: str, n: int, latent: int, components: int = 5) -> tuple[Tensor, Tensor]:
    """Places and codes of a prior."""
    torch.manual_seed(0)
    places = torch.rand(n)
    return places, PRIORS[name].codes(torch.randn(n, latent), places, components)


# ---- priors


@every_prior
@pytest.mark.parametrize("latent", [2, 6])
def test_draws_have_their_shape_and_are_centred(name: str, latent: int) -> None:
    _, codes = draws(name, 20_000, latent)
    assert codes.shape == (20_000, latent)
    assert codes.dtype == torch.float32
    if name != "swiss-roll":
        assert codes.mean(0).abs().max() < 0.05
    inside = codes.unflatten(1, (-1, 2)).abs().amax(2) <= PRIORS[name].extent
    assert inside.float().mean() > 0.95


def test_the_gaussian_is_standard() -> None:
    _, codes = draws("gaussian", 50_000, 2)
    torch.testing.assert_close(torch.cov(codes.T), torch.eye(2), atol=0.03, rtol=0)


def test_the_mixture_is_a_star_of_gaussians_along_their_rays() -> None:
    places, codes = draws("mixture", 50_000, 2)
    for component in range(5):
        own = codes[(places * 5).floor() == component]
        angle = torch.tensor(2 * torch.pi * component / 5)
        ray = torch.stack([angle.cos(), angle.sin()])
        across = torch.stack([-angle.sin(), angle.cos()])
        torch.testing.assert_close(own.mean(0), RADIUS * ray, atol=0.03, rtol=0)
        assert (own @ ray).std().item() == pytest.approx(ALONG, rel=0.05)
        assert (own @ across).std().item() == pytest.approx(ACROSS, rel=0.05)


def test_the_roll_winds_outwards_evenly() -> None:
    places, codes = draws("swiss-roll", 50_000, 2)
    radius = codes.norm(dim=1)
    assert (radius - REACH * places.sqrt()).abs().mean() < THICKNESS
    assert radius.square().mean().item() == pytest.approx(REACH**2 / 2, rel=0.05)
    outer = places > 0.2
    turned = torch.atan2(codes[:, 1], codes[:, 0]) - 3 * torch.pi * places.sqrt()
    off = torch.atan2(turned.sin(), turned.cos())[outer]
    assert off.abs().mean() < 0.1


def test_pairs_of_longer_codes_lie_in_the_same_place() -> None:
    places, codes = draws("mixture", 1000, 6)
    angles = torch.atan2(codes[:, 1::2], codes[:, ::2])
    nearest = (angles / (2 * torch.pi / 5)).round().remainder(5)
    assert ((nearest == (places * 5).floor()[:, None]).float().mean()) > 0.99
    assert torch.corrcoef(codes[places < 0.2].T)[0, 2].abs() < 0.2, "with noise of their own"


@pytest.mark.parametrize("name", ["mixture", "swiss-roll"])
@pytest.mark.parametrize("classes", [2, 3, 7, 10])
def test_a_class_owns_its_part_and_no_other(name: str, classes: int) -> None:
    labels = torch.arange(classes).repeat_interleave(3)
    places = places_of(labels, torch.tensor([0.0, 0.5, 1.0]).repeat(classes), classes)
    assert ((places * classes).floor().long() == labels).all()
    codes = Codes(PRIORS[name], 2, classes, "informed", classes)
    torch.manual_seed(0)
    many = torch.arange(classes).repeat_interleave(2000)
    drawn = codes.random(Batch(torch.zeros(len(many), 1, 1, 1), many))
    for c in range(classes):
        own = drawn[many == c]
        if name == "mixture":
            angle = torch.tensor(2 * torch.pi * c / classes)
            torch.testing.assert_close(own.mean(0), RADIUS * torch.stack([angle.cos(), angle.sin()]), atol=0.06, rtol=0)
        else:
            low, high = (REACH * (edge / classes) ** 0.5 for edge in (c, c + 1))
            assert ((own.norm(dim=1) > low - 4 * THICKNESS) & (own.norm(dim=1) < high + 4 * THICKNESS)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prior": "mixture", "latent": 3}, "prior=mixture: lies in planes; latent=3 is odd, try 4"),
        ({"labels": "informed"}, "labels=informed: one Gaussian has no parts .*; prior=mixture or swiss-roll"),
        ({"labels": "semi", "labelled": 2}, "labelled=2: expected at least one image of each of 3 classes"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(family_named("aae").config(family="aae", **settings), LETTERS)


@pytest.mark.parametrize("labels", ["informed", "semi"])
def test_labels_need_classes(labels: str) -> None:
    with pytest.raises(ConfigError, match=f"labels={labels}: the data has 0 classes; .* --set labels=none"):
        build(family_named("aae").config(family="aae", labels=labels, prior="mixture"), Spec(16, 1, 16, 16))


# ---- playing


@every_variant
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_every_variant_plays_and_resumes_exactly(tiny_session: Make, tmp_path: Path, variant: str, bf16: bool) -> None:
    whole, first, second = (tiny_session("aae", VARIANTS[variant], bf16=bf16) for _ in range(3))
    plan = Plan.of(32, whole.shares)
    for _ in range(6):
        stats = whole.step(plan)
        assert all(torch.isfinite(value).all() for value in stats.values())
    for _ in range(2):
        first.step(plan)
    second.restore(load_checkpoint(save_checkpoint(tmp_path, first.state())), plan)
    for _ in range(4):
        second.step(plan)
    mine, theirs = flatten(whole.state())[0], flatten(second.state())[0]
    assert mine.keys() == theirs.keys()
    assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []


@every_variant
def test_classes_can_be_asked_for(tiny_session: Make, variant: str) -> None:
    session = tiny_session("aae", VARIANTS[variant])
    plan = Plan.of(10_000, session.shares)
    for _ in range(40):  # running statistics have to leave 1 before a tiny net shows anything
        session.step(plan)
    is_told = "labels" in VARIANTS[variant]
    assert session.game.conditional == is_told
    by_class = [session.sample(6, 0, Request(labels=torch.full((6,), c))) for c in range(3)]
    assert torch.equal(by_class[0], by_class[1]) != is_told


def test_the_discriminators_of_a_semi_supervised_code_see_their_parts(tiny_session: Make) -> None:
    session = tiny_session("aae", VARIANTS["semi"])
    stats = session.step(Plan.of(1000, session.shares))
    assert {"D/loss", "D_class/loss", "encoder/loss", "classifier/loss", "classifier/accuracy"} <= set(stats)
    seen: dict[str, list[Tensor]] = {"D": [], "D_class": []}
    for name, inputs in seen.items():
        session.game.nets[name].register_forward_hook(
            lambda net, given, output, inputs=inputs: inputs.append(given[0].detach())
        )
    session.step(Plan.of(1000, session.shares))
    assert seen["D"][0].shape == (4, 8)
    drawn, said = seen["D_class"][:2]
    assert sorted(drawn.unique().tolist()) == [0, 1], "the prior's classes are one-hot"
    torch.testing.assert_close(said.sum(1), torch.ones(4))


# ---- the labelled images


def test_the_labelled_images_are_the_first_of_each_class() -> None:
    codes = Codes(PRIORS["gaussian"], 2, 3, "semi", 3)
    kept = Classify(codes, 7)
    assert kept.share.tolist() == [2, 2, 3]
    images = torch.linspace(-1, 1, 12).view(12, 1, 1, 1).expand(12, 1, 2, 2)
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 1, 1, 2, 2, 0, 1])
    for part in (slice(0, 5), slice(5, 9), slice(9, 12)):
        kept.keep(Batch(images[part], labels[part]))
    assert kept.labels.tolist() == [0, 0, 1, 2, 2, 1, 2]
    expected = images[[0, 1, 3, 4, 5, 6, 8]].add(1).mul(127.5).round().to(torch.uint8)
    assert torch.equal(kept.images, expected)


# ---- pictures of a plane


@every_prior
def test_a_plane_of_codes(name: str) -> None:
    codes, labels = plane(Codes(PRIORS[name], 2, 10, "none", 0), 5)
    assert labels is None
    assert codes.shape == (25, 2)
    rows = codes.view(5, 5, 2)
    assert (rows[:, 1:, 0] > rows[:, :-1, 0]).all(), "from left to right"
    assert (rows[1:, :, 1] < rows[:-1, :, 1]).all(), "from the top down"
    torch.testing.assert_close(rows[2, 2], torch.zeros(2), atol=1e-5, rtol=0)


def test_rows_of_a_semi_supervised_plane_are_classes() -> None:
    codes, labels = plane(Codes(PRIORS["gaussian"], 2, 10, "semi", 2), 4)
    assert labels is not None
    assert labels.tolist() == [0] * 8 + [1] * 8
    assert torch.equal(codes[:4], codes[8:12])


# ---- runs


@pytest.fixture(scope="module")
def halves() -> Split:
    """64 grey images of 14x14, padded to 16x16, in two classes: bright above, or bright below."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 60, (64, 14, 14, 1), np.uint8), np.arange(64) % 2
    images[labels == 0, :7] += 150
    images[labels == 1, 7:] += 150
    return Split(np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge"), labels)


def run_of(halves: Split, path: Path, **settings: Any) -> gansmith.Run:
    """A run of 4,800 images, as it is on the disk."""
    quick = {"train.batch": 8, "latent": 2, "network": "mlp", "width": 32}
    quick |= {"reconstruction": "mse", "ema.half_life_kimg": 0.1}
    quick |= {f"optim.{player}.lr": 2e-3 for player in ("autoencoder", "discriminator", "encoder", "classifier")}
    config = resolve("aae", [("test", nested(quick | settings))])
    spec = Spec(16, 1, 14, 14, ("above", "below"))
    session = Session(config, spec, halves, Runtime(torch.device("cpu"), autocasts=False))
    plan = Plan.of(4800, session.shares)
    while not session.clock.finished:
        session.step(plan)
    run = RunDir(path)
    run.write_config(config)
    record = {"spec": spec.to_json(), "total": plan.total, "starts": list(plan.starts)}
    run.write("meta.json", record | {"data": {"name": "halves", "fingerprint": "0"}})
    save_checkpoint(run.checkpoints, session.state())
    return gansmith.load(path)


def test_a_run_encodes_and_reconstructs(halves: Split, tmp_path: Path) -> None:
    run = run_of(halves, tmp_path)
    images = halves.images[:, 1:15, 1:15]
    codes = run.encode(images)
    assert codes.shape == (64, 2)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(run.encode(images[5:9]), codes[5:9], atol=1e-4)
    np.testing.assert_allclose(run.encode(halves.images), codes, atol=1e-5)
    restored = run.reconstruct(images)
    assert restored.shape == images.shape
    assert restored.dtype == np.uint8
    error = ((restored.astype(float) - images) ** 2).mean()
    assert error < 0.5 * ((images - images.mean(0)) ** 2).mean(), "far better than the mean image"
    with pytest.raises(ConfigError, match="its encoder names no classes; train aae with labels=semi"):
        run.classify(images)
    for wrong in (images[..., 0], images[:, :9], images.astype(np.float32), images.repeat(3, 3)):
        with pytest.raises(ConfigError, match=r"images: expected uint8 \(N, 14, 14, 1\), got"):
            run.encode(wrong)
    with pytest.raises(ConfigError, match="knows no classes"):
        run.sample(2, label=0)


@pytest.mark.parametrize("settings", [{"labels": "informed", "prior": "mixture"}, {"labels": "semi", "labelled": 20}])
def test_a_run_that_knows_classes_is_asked_for_them(halves: Split, tmp_path: Path, settings: dict[str, Any]) -> None:
    run = run_of(halves, tmp_path, **settings)
    above, below = (run.sample(32, label=label).mean((0, 2, 3)) for label in ("above", 1))
    assert above[:7].mean() > above[7:].mean() + 40
    assert below[7:].mean() > below[:7].mean() + 40
    turns = run.labels(4)
    assert turns is not None
    assert turns.tolist() == [0, 1, 0, 1]
    if settings["labels"] == "semi":
        named = run.classify(halves.images)
        assert named.dtype == np.int64
        assert (named == halves.labels).mean() > 0.9


def test_a_plane_of_codes_leaves_pictures(halves: Split, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = run_of(halves, tmp_path)
    picture_plane(run, Dataset("halves", "0", run.spec, halves, halves))
    assert {path.name for path in run.dir.samples.iterdir()} == {"latent.png", "codes.png"}


def test_a_family_without_an_encoder_says_so(tiny_session: Make, tmp_path: Path) -> None:
    session = tiny_session("dcgan")
    run = RunDir(tmp_path)
    run.write_config(session.config)
    record = {"spec": session.spec.to_json(), "total": 1, "starts": [0], "data": {"name": "", "fingerprint": "0"}}
    run.write("meta.json", record)
    save_checkpoint(run.checkpoints, session.state())
    with pytest.raises(ConfigError, match="dcgan has no encoder; train aae"):
        gansmith.load(tmp_path).encode(np.zeros((1, 16, 16, 1), np.uint8))


# ---- learning


@pytest.fixture(scope="module")
def clothes() -> Dataset:
    return open_data(DataConfig(source="builtin:fashion"))


def learned(clothes: Dataset, kimg: float, settings: dict[str, Any]) -> Session:
    config = resolve("aae", [("test", nested({"ema.half_life_kimg": 0.5, "network": "mlp", "width": 256} | settings))])
    session = Session(config, clothes.spec, clothes.train, Runtime(torch.device("cpu"), autocasts=False))
    plan = Plan.of(round(1000 * kimg), session.shares)
    while not session.clock.finished:
        session.step(plan)
    return session


def test_five_hundred_labels_teach_the_classes(clothes: Dataset) -> None:
    session = learned(clothes, 8.0, {"labels": "semi", "labelled": 500})
    assert session.game.autoencoder is not None
    assert session.game.autoencoder.classify is not None
    named = session.mapped(session.game.autoencoder.classify, clothes.heldout.images[:1000]).numpy()
    assert clothes.heldout.labels is not None
    accuracy = (named == clothes.heldout.labels[:1000]).mean()
    assert accuracy > 0.6, f"{accuracy:.2f}, where chance is 0.1"

"""Walks, directions and inversion, on generators of which everything is known; and on a trained one."""

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
from gansmith.apps import edits
from gansmith.apps.latent import (
    Directions,
    Space,
    ganspace,
    inverted,
    learn_encoder,
    measured,
    nearest,
    sefa,
    slerp,
    supervised,
    walk,
)
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.metrics import psnr

K = 6


def linear(weight: Tensor, name: str = "z", spread: Tensor | None = None) -> tuple[Space, dict[str, nn.Module]]:
    """Images (n, 1, 4, 4) that are a linear function of codes; and its nets."""
    layer = nn.Linear(K, 16, bias=False)
    layer.weight.data = weight
    net = nn.Sequential(layer, nn.Unflatten(1, (1, 4, 4)))

    def draw(n: int, seed: int) -> Tensor:
        codes = torch.randn(n, K, generator=torch.Generator().manual_seed(seed))
        return codes if spread is None else codes * spread

    def finished(images: Tensor) -> Tensor:
        return images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    return Space(name, draw, net, finished), {"G": net}


def stretching(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """A weight (16, K) with these singular values, and its right singular vectors, row by row."""
    generator = torch.Generator().manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(16, K, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(K, K, generator=generator))
    return left @ torch.diag(sizes) @ right.T, right.T


SIZES = torch.tensor([5.0, 3.0, 2.0, 1.0, 0.5, 0.1])


def alike(found: np.ndarray, expected: Tensor) -> float:
    """|cosine| of two directions."""
    one, other = torch.as_tensor(found), expected
    return abs(float(one @ other) / float(one.norm() * other.norm()))


# ---- walks


def test_slerp_keeps_to_the_arc() -> None:
    a, b = torch.tensor([2.0, 0, 0]), torch.tensor([0, 4.0, 0])
    found = slerp(a, b, torch.tensor([0, 1 / 3, 0.5, 1]))
    assert torch.allclose(found[0], a)
    assert torch.allclose(found[3], b, atol=1e-6)
    assert torch.allclose(found[2], torch.tensor([3 / math.sqrt(2), 3 / math.sqrt(2), 0]))
    assert torch.allclose(found[1], (8 / 3) * torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6), 0]))


def test_slerp_of_the_same_direction_is_straight() -> None:
    a = torch.tensor([1.0, 2.0])
    assert torch.allclose(slerp(a, 3 * a, torch.tensor([0.5])), 2 * a[None])


def test_a_walk_passes_by_all() -> None:
    for name in ("z", "w"):
        space, _ = linear(torch.eye(16, K), name)
        codes = space.draw(3, 0)
        found = walk(space, codes, 4)
        assert found.shape == (9, K)
        assert torch.allclose(found[::4], codes, atol=1e-5)
    assert torch.allclose(found[2], (codes[0] + codes[1]) / 2), "among styles it goes straight"


# ---- directions


def test_sefa_finds_what_the_weights_stretch_most() -> None:
    weight, ways = stretching(SIZES)
    space, nets = linear(weight)
    found = sefa(space, nets, 3)
    assert found.names == ("sefa-1", "sefa-2", "sefa-3")
    assert all(alike(found.vectors[i], ways[i]) == pytest.approx(1, abs=1e-4) for i in range(3))
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(1, abs=0.1), "a standard deviation of normal codes"


def test_principal_components_of_styles() -> None:
    spread = torch.tensor([1.0, 4.0, 0.5, 2.0, 0.1, 0.2])
    space, nets = linear(torch.eye(16, K), "w", spread)
    found = ganspace(space, nets, 2)
    assert alike(found.vectors[0], torch.eye(K)[1]) == pytest.approx(1, abs=1e-2)
    assert alike(found.vectors[1], torch.eye(K)[3]) == pytest.approx(1, abs=1e-2)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([4, 2], rel=0.1)


def test_principal_components_of_latents_are_those_of_what_is_made_of_them() -> None:
    weight, ways = stretching(SIZES)
    space, nets = linear(weight)
    found = ganspace(space, nets, 2)
    assert all(alike(found.vectors[i], ways[i]) > 0.99 for i in range(2))


def test_nets_that_mix_codes_with_others_have_no_first_weights() -> None:
    space, nets = linear(torch.eye(16, K))
    mixed = Space("z", space.draw, lambda codes: nets["G"](codes + 0.1), space.finished)
    with pytest.raises(ConfigError, match="no layer"):
        sefa(mixed, nets, 2)


def test_a_supervised_direction_is_across_the_plane() -> None:
    space, _ = linear(torch.eye(16, K))
    normal = torch.tensor([1.0, -2.0, 0.5, 0, 0, 0])
    codes = space.draw(2000, 0)
    found = supervised(space, "tall", codes @ normal > 0.3, codes)
    assert alike(found.vectors[0], normal) > 0.99
    assert float(torch.as_tensor(found.vectors[0]) @ normal) > 0, "it points to those that have it"
    with pytest.raises(ConfigError, match="tall"):
        supervised(space, "tall", codes[:, 0] > 9, codes)


def test_directions_have_a_sign_of_their_own() -> None:
    space, _ = linear(torch.eye(16, K))
    way = torch.tensor([[0.1, -0.9, 0.2, 0, 0, 0]])
    one, other = (measured(space, ["a"], sign * way).vectors for sign in (1, -1))
    assert np.allclose(one, other)


def test_directions_of_one_name_replace_each_other() -> None:
    old, new = (
        Directions(names, np.full((2, K), value), "z") for names, value in ((("a", "b"), 1.0), (("b", "c"), 2.0))
    )
    both = old + new
    assert both.names == ("a", "b", "c")
    assert [both.named(name)[0] for name in both.names] == [1, 2, 2]
    with pytest.raises(ConfigError, match="a, b, c"):
        both.named("d")


# ---- back to codes


def test_what_a_generator_made_is_found_again() -> None:
    weight, _ = stretching(torch.ones(K))
    space, _ = linear(weight)
    codes = space.draw(4, 7)
    targets = space.images(codes).detach()
    found = inverted(space, targets, steps=300)
    assert np.abs(found.codes - codes.numpy()).max() < 0.1
    assert found.images.shape == (4, 4, 4, 1)


def test_an_encoder_of_a_linear_generator_is_its_inverse() -> None:
    torch.manual_seed(0)
    weight, _ = stretching(torch.ones(K))
    space, _ = linear(weight)
    encoder = learn_encoder(space, nn.Sequential(nn.Flatten(), nn.Linear(16, K, bias=False)), steps=1500)
    assert torch.allclose(encoder[1].weight @ weight, torch.eye(K), atol=0.05)  # type: ignore[index, operator]


def test_a_search_from_where_an_encoder_says() -> None:
    space, _ = linear(stretching(torch.ones(K))[0])
    codes = space.draw(3, 1)
    found = inverted(space, space.images(codes).detach(), steps=1, begin=codes)
    assert np.array_equal(found.codes, codes.numpy())


def test_nearest_are_in_order() -> None:
    known = np.array([0, 10, 200, 90], np.uint8).reshape(4, 1, 1, 1)
    found = nearest(np.array([[[[95]]]], np.uint8), known, lambda rows: rows.reshape(-1, 1).astype(np.float32), 3)
    assert found.tolist() == [[3, 1, 0]]


# ---- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gansmith.Run:
    """A dcgan of little skill."""
    folder = tmp_path_factory.mktemp("latent")
    rng = np.random.default_rng(0)
    np.save(folder / "noise.npy", rng.integers(0, 256, (64, 16, 16), np.uint8))
    settings: dict[str, Any] = {"g_width": 4, "d_width": 4, "latent": 8, "train.batch": 8, "train.evaluations": 0}
    return gansmith.train(
        "dcgan", str(folder / "noise.npy"), kimg=1.0, settings=settings, run_dir=folder / "run", quiet=True
    )


def test_walks_begin_and_end_with_samples(run: gansmith.Run) -> None:
    images = edits.interpolate(run, [3, 5], 6)
    assert images.shape == (7, 16, 16, 1)
    for image, seed in ((images[0], 3), (images[-1], 5)):
        assert np.abs(image.astype(int) - run.sample(1, seed)[0]).max() <= 1


def test_edits_move_and_can_be_taken_back(run: gansmith.Run) -> None:
    found = edits.find_directions(run, count=2)
    assert found.names == ("sefa-1", "sefa-2", "pca-1", "pca-2")
    codes = edits.codes_of(run, 3)
    same, there = edits.edit(run, codes, {}), edits.edit(run, codes, {"sefa-1": 3.0})
    assert np.abs(same.astype(int) - run.sample(3)).max() <= 1
    assert np.abs(there.astype(int) - same).max() >= 1
    back = edits.edit(run, codes + 3 * found.named("sefa-1"), {"sefa-1": -3.0})
    assert np.abs(back.astype(int) - same).max() <= 1
    again = edits.directions(run)
    assert again is not None
    assert np.array_equal(again.vectors, found.vectors)
    assert edits.shown(run, found).width > 9 * 2 * 16


def test_learnt_directions_are_kept_beside_the_others(run: gansmith.Run) -> None:
    codes = edits.codes_of(run, 500)
    found = edits.learn_direction(run, "first", codes[:, 0] > 0, codes)
    assert "first" in found.names
    assert found.named("first")[0] > 0.5


def test_samples_come_back_from_their_codes(run: gansmith.Run) -> None:
    images = run.sample(2, 11)
    found = edits.invert(run, images, steps=100)
    assert psnr(found.images, images).min() > psnr(run.sample(2, 12), images).max()


def test_an_encoder_is_learnt_once(run: gansmith.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []

    def learn(space: Space, encoder: nn.Module, real: Any = edits.latent.learn_encoder) -> nn.Module:
        learnt.append(1)
        return real(space, encoder, steps=20)  # type: ignore[no-any-return]

    monkeypatch.setattr(edits.latent, "learn_encoder", learn)
    images = run.sample(3, 11)
    found = edits.invert(run, images, by="encoder")
    assert found.codes.shape == (3, 8)
    assert np.array_equal(edits.invert(run, images, by="encoder").codes, found.codes)
    nearer = edits.invert(run, images, steps=30, by="both")
    assert psnr(nearer.images, images).mean() > psnr(found.images, images).mean()
    assert len(learnt) == 1
    (run.path / edits.ENCODER).write_bytes(b"torn")
    assert np.array_equal(edits.invert(run, images, by="encoder").codes, found.codes), "learnt again, the same"
    assert len(learnt) == 2
    with pytest.raises(ConfigError, match="by: expected search, encoder, both, got 'magic'"):
        edits.invert(run, images, by="magic")


@pytest.mark.parametrize("family", ["f-anogan", "ganomaly", "aae"])
def test_runs_that_have_an_encoder_use_it(family: str, run: gansmith.Run, tmp_path: Path) -> None:
    settings = {"latent": 8, "train.batch": 8, "train.evaluations": 0, "train.looks": 0, "train.samples": 0}
    source = run.config.data.source
    own = gansmith.train(family, source, kimg=0.064, settings=settings, run_dir=tmp_path / "run", quiet=True)
    images = own.sample(2, 1)
    found = edits.invert(own, images, by="encoder")
    assert found.codes == pytest.approx(own.encode(images), abs=1e-4)
    assert np.abs(found.images.astype(int) - own.reconstruct(images)).max() <= 1
    assert not (own.path / edits.ENCODER).exists()


@pytest.mark.parametrize(
    ("texts", "found"), [(["a=2", "b=-1.5"], {"a": 2.0, "b": -1.5}), (["smile=+2"], {"smile": 2.0}), ([], {})]
)
def test_how_directions_are_said(texts: list[str], found: dict[str, float]) -> None:
    assert edits.read_directions(texts) == found


@pytest.mark.parametrize("text", ["a", "=2", "a=b", "a="])
def test_how_they_are_not(text: str) -> None:
    with pytest.raises(ConfigError, match="NAME=FAR"):
        edits.read_directions([text])


def test_what_cannot_be_walked_is_refused(run: gansmith.Run, tmp_path: Path) -> None:
    refused: list[Callable[[], Any]] = [
        lambda: edits.interpolate(run, [1]),
        lambda: edits.interpolate(run, [1, 2], 0),
        lambda: edits.find_directions(run, ["magic"]),
        lambda: edits.mixtures(run, [1], [2]),
        lambda: edits.whole_numbers("--seeds", "1,x"),
        lambda: edits.edit(run, edits.codes_of(run, 1), {"nowhere": 1.0}),
    ]
    for call in refused:
        with pytest.raises(ConfigError):
            call()


def test_damaged_directions_are_named(run: gansmith.Run) -> None:
    edits.find_directions(run, count=1)
    path = run.path / edits.DIRECTIONS
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(GansmithError, match=r"directions\.json: cannot be read"):
            edits.directions(run)
    finally:
        path.write_bytes(content)

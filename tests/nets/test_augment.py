"""Each augmentation against a case done by hand, another library's resampler, and its own derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.nets import augment
from gansmith.nets.augment import ada_augment, colour, cutout, diff_augment, translation

every_size = pytest.mark.parametrize("side", [4, 16, 32])
every_channels = pytest.mark.parametrize("channels", [1, 3, 4])
ALWAYS, NEVER = torch.ones(()), torch.zeros(())


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pictures(n: int, channels: int = 3, side: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, channels, side, side, dtype=dtype) * 2 - 1


@every_size
@every_channels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes(channels: int, side: int, dtype: torch.dtype) -> None:
    images = pictures(5, channels, side, dtype)
    for changed in (diff_augment(images), ada_augment(images, ALWAYS), ada_augment(images, NEVER)):
        assert changed.shape == images.shape
        assert changed.dtype == torch.float32
        assert torch.isfinite(changed).all()
        assert changed.is_contiguous(memory_format=torch.channels_last)


# ---- DiffAugment


def test_translation_moves_by_whole_pixels_and_lets_grey_in() -> None:
    images = pictures(200)
    moved, seen = translation(images), set()
    for before, after in zip(images, moved, strict=True):
        padded = F.pad(before, (2, 2, 2, 2))
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[:, y : y + 16, x : x + 16], after)]
        assert len(found) == 1, "an eighth of 16 pixels is 2, either way"
        seen.add(found[0])
    assert len(seen) == 25, "every shift comes up"


@every_size
def test_cutout_zeroes_a_square_of_half_the_side(side: int) -> None:
    images = pictures(300, 1, side) + 2  # nowhere zero
    holes = cutout(images) == 0
    for hole in holes[:, 0]:
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert torch.equal(hole, hole.any(1)[:, None] & hole.any(0)), "a rectangle"
        for places in (rows, columns):
            assert places.tolist() == list(range(places[0], places[-1] + 1))
            inside = places[0] > 0 and places[-1] < side - 1
            assert len(places) == side // 2 if inside else side // 4 <= len(places) <= side // 2
    assert holes[:, 0].flatten(1).sum(1).max() == (side // 2) ** 2


def test_what_cutout_leaves_is_as_it_was() -> None:
    images = pictures(20)
    holed = cutout(images)
    assert ((holed == images) | (holed == 0)).all()
    assert (holed == 0).any()


def drawn(monkeypatch: pytest.MonkeyPatch, *values: float) -> None:
    """The next draws of `_uniform` are `values`, given as shares of their ranges."""
    left: Iterator[float] = iter(values)

    def uniform(images: Tensor, low: float, high: float) -> Tensor:
        return torch.full((len(images), 1, 1, 1, 1), low + (high - low) * next(left))

    monkeypatch.setattr(augment, "_uniform", uniform)


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5, 0.5), (1.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0), (0.9, 0.8, 0.7)]
)
def test_colour_by_hand(monkeypatch: pytest.MonkeyPatch, shares: tuple[float, ...]) -> None:
    images = pictures(3)
    drawn(monkeypatch, *shares)
    brightness, saturation, contrast = shares[0] - 0.5, 2 * shares[1], shares[2] + 0.5
    expected = images + brightness
    grey = expected.mean(1, keepdim=True)
    expected = grey + saturation * (expected - grey)
    mean = expected.mean((1, 2, 3), keepdim=True)
    expected = mean + contrast * (expected - mean)
    torch.testing.assert_close(colour(images), expected)


def test_colour_leaves_grey_images_grey_and_alpha_alone() -> None:
    grey = pictures(5, 1).expand(-1, 3, -1, -1)
    changed = colour(grey)
    torch.testing.assert_close(changed, changed[:, :1].expand(-1, 3, -1, -1))
    assert not torch.allclose(changed, grey)
    with_alpha = torch.cat([grey, pictures(5, 1)], 1)
    assert torch.equal(colour(with_alpha)[:, 3], with_alpha[:, 3])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("function", [diff_augment, lambda images: ada_augment(images, ALWAYS)], ids=["diff", "ada"])
def test_images_in_a_row_of_channels_are_changed_alike(function: Callable[[Tensor], Tensor], channels: int) -> None:
    images = pictures(5, channels)
    changed = function(torch.cat([images, images], 1))
    assert changed.shape == (5, 2 * channels, 16, 16)
    assert torch.equal(changed[:, :channels], changed[:, channels:])


def test_diff_augment_changes_every_image() -> None:
    images = pictures(50)
    assert ((diff_augment(images) - images).abs().amax((1, 2, 3)) > 0.01).all()


# ---- ADA: the resampler


@pytest.mark.parametrize("side", [8, 16])
def test_the_resampler_is_torchs(side: int) -> None:
    images = pictures(60, 3, side)
    maps = torch.eye(3).repeat(60, 1, 1)
    maps[:, :2] += torch.randn(60, 2, 3) * 0.7
    grid = F.affine_grid(maps[:, :2], [60, 3, side, side], align_corners=False)
    expected = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(augment._resampled(images, maps), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_and_flips_are_exact(turns: int) -> None:
    images = pictures(4)
    angle = torch.full((4,), turns * math.pi / 2)
    turned = augment._resampled(images, augment._turn(images, angle))
    either = [torch.rot90(images, k, (2, 3)) for k in (turns, -turns)]
    assert min((turned - other).abs().max() for other in either) < 1e-5
    flipped = augment._resampled(images, augment._matrix(images, -1.0, 0.0, 0.0, 1.0))
    torch.testing.assert_close(flipped, images.flip(3), atol=1e-5, rtol=0)


def test_a_shift_by_whole_pixels_mirrors_at_the_edge() -> None:
    images = pictures(2, 1, 8)
    shift = augment._shift(images, torch.full((2,), 2 * 2 / 8), torch.zeros(2))
    moved = augment._resampled(images, shift)
    expected = torch.cat([images[..., 2:], images[..., [7, 6]]], 3)
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=0)


def test_both_shifts_of_an_image_happen_or_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    # At p = 0.5, and with all else off, an image that is shifted along x is shifted along y too (app. B).
    images = pictures(4000, 1, 32)
    draws = iter([0, 0, 1, 0, 0, 0, 0, 1])  # flip, quarter turn, whole, scale, stretch, two rotations, fraction
    happens = augment._happens
    monkeypatch.setattr(augment, "_happens", lambda images, p: happens(images, p * next(draws)))
    maps = augment._geometry(images, torch.tensor(0.5))
    x, y = maps[:, 0, 2] != 0, maps[:, 1, 2] != 0
    assert 0.7 < x.float().mean() < 0.8, "either shift: 1 - ½ ½, less those by no pixel"
    assert (x == y).float().mean() > 0.9


# ---- ADA: colours


def test_hue_keeps_luma_and_the_length_of_colour() -> None:
    angle = torch.linspace(-3, 3, 50)
    rotation = augment._about_grey(angle)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotation.sum(1), torch.ones(50, 3), atol=1e-5, rtol=0)  # luma of every colour
    torch.testing.assert_close(rotation.sum(2), torch.ones(50, 3), atol=1e-5, rtol=0)  # grey stays grey
    third = augment._about_grey(torch.tensor([2 * math.pi / 3]))[0]
    torch.testing.assert_close(third @ torch.eye(3), torch.eye(3).roll(1, 0), atol=1e-5, rtol=0)


def test_a_luma_flip_is_a_reflection_about_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    # x - 2 v (v·x), v = (1, 1, 1)/√3; of a grey image -x.
    draws = iter([0, 0, 1, 0, 0])
    monkeypatch.setattr(augment, "_happens", lambda images, p: torch.full((len(images),), float(next(draws))))
    monkeypatch.setattr(torch, "randint", lambda *args, **kwargs: torch.ones(4))
    images = pictures(4)
    v = torch.full((3,), 3**-0.5)
    expected = images - 2 * torch.einsum("i,j,njhw->nihw", v, v, images)
    torch.testing.assert_close(augment._recoloured(images, ALWAYS), expected, atol=1e-5, rtol=1e-5)
    draws = iter([0, 0, 1])
    torch.testing.assert_close(augment._recoloured(images[:, :1], ALWAYS), -images[:, :1])


def test_adas_colours_leave_grey_images_grey_and_alpha_alone() -> None:
    grey = pictures(20, 1).expand(-1, 3, -1, -1)
    changed = augment._recoloured(torch.cat([grey, pictures(20, 1)], 1), ALWAYS)
    torch.testing.assert_close(changed[:, :3], changed[:, :1].expand(-1, 3, -1, -1), atol=1e-5, rtol=1e-4)
    images = pictures(20, 4)
    assert torch.equal(augment._recoloured(images, ALWAYS)[:, 3], images[:, 3])


# ---- ADA: how often


@every_channels
@pytest.mark.parametrize("bf16", [False, True])
def test_never_is_the_identity_and_always_is_not(channels: int, bf16: bool) -> None:
    images = pictures(40, channels, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        assert (ada_augment(images, NEVER) - images).abs().max() < 1e-5
        assert ((ada_augment(images, ALWAYS) - images).abs().amax((1, 2, 3)) > 0.01).all()


def test_autocast_does_not_move_an_image() -> None:
    images = pictures(20, 3, 32)
    made = []
    for bf16 in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            made.append(ada_augment(images, ALWAYS))
    assert torch.equal(*made)


def test_more_images_change_as_p_rises() -> None:
    images = pictures(2000, 1, 8)
    shares = [
        ((ada_augment(images, torch.tensor(p)) - images).abs().amax((1, 2, 3)) > 1e-4).float().mean().item()
        for p in (0.0, 0.02, 0.1, 0.3, 1.0)
    ]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    # Ten parts of grey images, of which a flip and a luma flip do nothing half the times, a quarter turn a quarter.
    assert shares[1] == pytest.approx(1 - 0.98**7.75 * 0.99**2, abs=0.04)


# ---- derivatives


@pytest.mark.parametrize(
    "function",
    [colour, translation, cutout, diff_augment, lambda images: ada_augment(images, ALWAYS)],
    ids=["colour", "translation", "cutout", "diff", "ada"],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_first_and_second_derivatives(function: Callable[[Tensor], Tensor], channels: int) -> None:
    images = pictures(2, channels, 8, torch.float64).requires_grad_()

    def fixed(images: Tensor) -> Tensor:
        torch.manual_seed(3)
        return function(images)

    assert torch.autograd.gradcheck(fixed, images, fast_mode=True)
    # The maps are linear: a curved head behind them makes the second derivative more than nothing.
    assert torch.autograd.gradgradcheck(lambda x: fixed(x).tanh().sum((1, 2, 3)), images, fast_mode=True)


def test_gradients_reach_the_images_that_are_augmented() -> None:
    images = pictures(30).requires_grad_()
    ada_augment(images, torch.tensor(0.5)).square().sum().backward()
    assert (images.grad.abs().amax((1, 2, 3)) > 0).all()

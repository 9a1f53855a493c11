"""Degradations against Pillow, torchvision and arithmetic done by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur as torchvisions_blur

from gansmith.nets import degrade
from gansmith.nets.degrade import Degradation, bicubic_down, cropped, gaussian_blur, jpeg, rounded, with_noise

every_channels = pytest.mark.parametrize("channels", [1, 3, 4])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, channels) with the spectrum of a photograph, and channels that are much alike."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    amplitude = np.maximum(frequency, 1 / max(height, width)) ** -1.3

    def field() -> np.ndarray:
        found = np.fft.ifft2(amplitude * np.fft.fft2(rng.standard_normal((height, width)))).real
        return (found - found.mean()) / found.std()

    shared = field()
    planes = [120 + 45 * shared + 15 * field() for _ in range(channels)]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)


def batch(*images: np.ndarray) -> Tensor:
    """As the feed makes them: (N, C, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def photos(n: int, channels: int = 3, side: int = 24) -> Tensor:
    return batch(*(photo(side, side, channels, seed) for seed in range(n)))


def levels(images: Tensor) -> np.ndarray:
    """Back to uint8 (N, H, W, C)."""
    return ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def apart(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.abs(one.astype(int) - two.astype(int))


def peak_ratio(one: np.ndarray, two: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - two).mean()))


def test_rounding() -> None:
    images = torch.tensor([-1.5, -1.0, -0.999, 0.0039, 0.0, 1.2])[None, None, None]
    # 0.0039 is 127.997 levels; 0 lies between 127 and 128, and halves go to the even one.
    assert levels(rounded(images)).flatten().tolist() == [0, 0, 0, 128, 128, 255]
    exact = batch(np.arange(256, dtype=np.uint8).reshape(16, 16, 1))
    assert torch.equal(rounded(exact), exact)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_cropping(scale: int) -> None:
    images = torch.rand(2, 3, 23, 30)
    kept = cropped(images, scale)
    assert kept.shape[2:] == {1: (23, 30), 2: (22, 30), 3: (21, 30), 4: (20, 28)}[scale]
    assert torch.equal(kept, images[:, :, : kept.shape[2], : kept.shape[3]])


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_bicubic_down_is_pillows(scale: int, channels: int) -> None:
    picture = photo(48, 36, channels)
    picture[10:20, 10:20] = 200  # an edge; at 255 Pillow would cut what overshoots between its two passes
    found = levels(bicubic_down(batch(picture), scale))[0]
    theirs = Image.fromarray(picture.squeeze()).resize((36 // scale, 48 // scale), Image.Resampling.BICUBIC)
    assert apart(found, np.asarray(theirs).reshape(found.shape)).max() <= (0 if scale == 1 else 1)


def test_bicubic_down_stays_within_the_range() -> None:
    steps = torch.ones(1, 1, 16, 16)
    steps[..., 6:] = -1
    small = bicubic_down(steps, 2)
    assert (small.min(), small.max()) == (-1, 1)


@every_channels
def test_blur_is_torchvisions(channels: int) -> None:
    images, sigma = photos(3, channels), torch.tensor([0.4, 1.0, 2.1])
    blurred = gaussian_blur(images, sigma)
    for image, found, deviation in zip(images, blurred, sigma.tolist(), strict=True):
        # ceil(3 * 2.1) = 7 at either side
        torch.testing.assert_close(found, torchvisions_blur(image, [15, 15], [deviation]), rtol=0.0, atol=2e-6)


def test_blur_of_nothing_and_in_small_images() -> None:
    images = photos(2)
    torch.testing.assert_close(gaussian_blur(images, torch.tensor([0.0, 1.0]))[0], images[0])
    assert torch.equal(gaussian_blur(images, torch.zeros(2)), images)
    # A Gaussian wider than the image ends at its far edge.
    assert gaussian_blur(images[:, :, :4, :5], torch.full((2,), 9.0)).shape == (2, 3, 4, 5)


@every_channels
def test_noise_has_its_deviation(channels: int) -> None:
    noise = (with_noise(torch.zeros(3, channels, 64, 64), torch.tensor([0.0, 2.0, 20.0])) * 127.5).flatten(1)
    assert noise[0].abs().max() == 0
    np.testing.assert_allclose(noise.std(1).numpy(), [0, 2, 20], rtol=0.05)
    np.testing.assert_allclose(noise.mean(1).numpy(), 0, atol=1.5)
    assert with_noise(photos(1), torch.tensor([200.0])).abs().max() == 1


@pytest.mark.parametrize("quality", [10, 20, 50, 90, 100])
@pytest.mark.parametrize("size", [(96, 80), (75, 91)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int, size: tuple[int, int], quality: int) -> None:
    picture = photo(*size, channels)
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "JPEG", quality=quality, subsampling=2 if channels == 3 else -1)
    theirs = np.asarray(Image.open(file)).reshape(picture.shape)
    found = levels(jpeg(batch(picture), torch.tensor([quality])))[0]
    assert apart(found, theirs).mean() < 1.0
    if quality < 100:  # there the grey one is off by tenths of a level
        assert peak_ratio(found, picture) == pytest.approx(peak_ratio(theirs, picture), abs=0.1)


def test_jpeg_tables_are_pillows() -> None:
    for quality in (1, 25, 49, 50, 75, 90, 100):
        file = io.BytesIO()
        Image.fromarray(photo(16, 16)).save(file, "JPEG", quality=quality)
        theirs = Image.open(file).quantization  # type: ignore[attr-defined]
        for i, table in enumerate((degrade.LUMA_TABLE, degrade.CHROMA_TABLE)):
            assert degrade._table(table, torch.tensor([quality])).flatten().tolist() == theirs[i]


def test_cosines_are_orthonormal() -> None:
    basis = degrade._cosines(torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(basis @ basis.T, torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(basis[0], torch.full((8,), 8**-0.5, dtype=torch.float64))


def test_each_image_has_its_quality() -> None:
    images, quality = photos(3), torch.tensor([10, 50, 90])
    together = jpeg(images, quality)
    for i in range(3):
        assert torch.equal(together[i : i + 1], jpeg(images[i : i + 1], quality[i : i + 1]))
    assert torch.equal(together, rounded(together))


def test_jpeg_leaves_alpha_alone() -> None:
    images = photos(2, 4)
    coded = jpeg(images, torch.tensor([10, 10]))
    assert torch.equal(coded[:, 3], images[:, 3])
    assert torch.equal(coded[:, :3], jpeg(images[:, :3], torch.tensor([10, 10])))


# ---- together


def test_nothing_is_rounding() -> None:
    images = photos(2)
    assert torch.equal(Degradation()(images), images)
    noisy = images + 0.001 * torch.randn_like(images)
    assert torch.equal(Degradation()(noisy), rounded(noisy))


def test_the_order_with_constant_strengths() -> None:
    images = photos(2, side=50)
    expected = gaussian_blur(images[:, :, :48, :48], torch.full((2,), 1.5))
    expected = jpeg(bicubic_down(expected, 4), torch.full((2,), 40))
    degradation = Degradation(4, blur=(1.5, 1.5), jpeg=(40, 40))
    assert torch.equal(degradation(images), expected)
    assert torch.equal(degradation.fixed(images), expected)
    # Noise is added to the small image, before JPEG.
    torch.manual_seed(5)
    found = Degradation(4, blur=(1.5, 1.5), noise=(9, 9), jpeg=(40, 40))(images)
    small = bicubic_down(gaussian_blur(images[:, :, :48, :48], torch.full((2,), 1.5)), 4)
    torch.manual_seed(5)
    torch.rand(2, 2)  # the strengths of blur and noise, which are drawn although they are constant
    assert torch.equal(found, jpeg(with_noise(small, torch.full((2,), 9.0)), torch.full((2,), 40)))


def test_every_image_has_strengths_of_its_own() -> None:
    deviations = (Degradation(noise=(2, 10))(torch.zeros(300, 1, 64, 64)) * 127.5).flatten(1).std(1)
    assert 2 * 0.95 < deviations.min() < 2.4
    assert 9.6 < deviations.max() < 10 * 1.05
    assert deviations.mean().item() == pytest.approx(6, abs=0.4)

    many = photos(1).expand(60, -1, -1, -1)
    coded = Degradation(jpeg=(60, 62))(many)
    kinds = [jpeg(many[:1], torch.tensor([quality]))[0] for quality in (60, 61, 62)]
    seen = [next(i for i, kind in enumerate(kinds) if torch.equal(image, kind)) for image in coded]
    assert set(seen) == {0, 1, 2}

    blurred = Degradation(blur=(0.2, 3))(many)
    assert len({image.std().item() for image in blurred}) > 30


def test_the_global_generator_says_what_comes() -> None:
    images, degradation = photos(4), Degradation(2, (0.2, 3), (1, 30), (30, 95))
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(degradation(images))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_the_fixed_one_is_a_function_of_each_image() -> None:
    images, degradation = photos(4), Degradation(2, (0.2, 3), (1, 30), (30, 95))
    before = torch.random.get_rng_state()
    whole = degradation.fixed(images)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(torch.cat([degradation.fixed(image[None]) for image in images]), whole)
    # The middle of every range: Degradation with constants there makes as much noise.
    noise = Degradation(noise=(2, 10)).fixed(torch.zeros(1, 1, 64, 64)) * 127.5
    assert noise.std().item() == pytest.approx(6, rel=0.05)
    middle = Degradation(2, (1.6, 1.6), jpeg=(62, 62))  # (30 + 95) / 2 = 62.5, and halves go to the even one
    assert torch.equal(Degradation(2, (0.2, 3), jpeg=(30, 95)).fixed(images), middle.fixed(images))


@every_channels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes(channels: int, dtype: torch.dtype) -> None:
    degradation = Degradation(3, (0.5, 2), (1, 5), (50, 90))
    for made in (degradation(photos(2, channels).to(dtype)), degradation.fixed(photos(2, channels).to(dtype))):
        assert made.shape == (2, channels, 8, 8)
        assert made.dtype == torch.float32
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert made.abs().max() <= 1


def test_autocast_has_no_part_in_it() -> None:
    images, degradation = photos(4), Degradation(2, (0.2, 3), (1, 30), (30, 95))
    expected = degradation.fixed(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(degradation.fixed(images), expected)

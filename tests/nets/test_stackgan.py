"""The two stages and what judges them (Zhang 2017, sec. 3), read off the nets that are built."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gansmith.nets.blocks import images_at_once, spectrally_normed
from gansmith.nets.stackgan import Augment, Block, StageOne, StageTwo, TextDiscriminator, drawn
from gansmith.nets.superres import upsampled

every_channels = pytest.mark.parametrize("channels", [1, 3, 4])
SIZES = [(4, 8), (8, 16), (16, 16), (4, 64), (16, 32), (16, 64), (32, 128), (64, 256)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_what_is_drawn_has_the_mean_and_the_variance() -> None:
    mean, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(9.0)]])
    numbers = drawn(mean, logvar, torch.randn(40_000, 2))
    torch.testing.assert_close(numbers.mean(0), mean[0], atol=0.06, rtol=0)
    torch.testing.assert_close(numbers.var(0), torch.tensor([1.0, 9.0]), atol=0, rtol=0.05)
    assert torch.equal(drawn(mean, logvar, torch.zeros(1, 2)), mean)


def test_augment() -> None:
    net, texts = Augment(6, 4), torch.randn(3, 6)
    mean, logvar = net(texts)
    assert mean.shape == logvar.shape == (3, 4)
    by_hand = texts @ net.layer.weight.mT + net.layer.bias
    torch.testing.assert_close(torch.cat([mean, logvar], 1), by_hand)
    with torch.autocast("cpu", torch.bfloat16):
        assert {x.dtype for x in net(texts)} == {torch.float32}, "a variance is an exponential"


@every_channels
@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256])
@torch.no_grad()
def test_the_first_stage(resolution: int, channels: int) -> None:
    g = StageOne(5, 3, channels, 2, resolution)
    z, told = torch.randn(3, 5), torch.randn(3, 3)
    images = g(z, told)
    assert images.shape == (3, channels, resolution, resolution)
    assert images.abs().max() <= 1
    assert not torch.equal(g(z, torch.randn(3, 3)), images), "what it is told matters"
    assert not torch.equal(g(torch.randn(3, 5), told), images), "so does the noise"


def test_the_layers_of_the_first_stage() -> None:
    layers = list(StageOne(5, 3, 3, 64, 64).layers)
    start = [nn.Linear, nn.Unflatten, nn.BatchNorm2d, nn.ReLU]
    grow = [nn.Upsample, nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(m) for m in layers] == start + grow * 4 + [nn.Conv2d, nn.Tanh]
    assert (layers[0].in_features, layers[0].out_features) == (8, 512 * 16)
    assert [m.out_channels for m in layers if isinstance(m, nn.Conv2d)] == [512, 256, 128, 64, 3]
    assert {m.mode for m in layers if isinstance(m, nn.Upsample)} == {"nearest"}


@every_channels
@pytest.mark.parametrize(("first", "resolution"), SIZES)
@torch.no_grad()
def test_the_second_stage(first: int, resolution: int, channels: int) -> None:
    g = StageTwo(3, channels, 2, first, resolution, 1)
    rough, told = torch.rand(2, channels, first, first) * 2 - 1, torch.randn(2, 3)
    images = g(rough, told)
    assert images.shape == (2, channels, resolution, resolution)
    assert images.abs().max() <= 1
    assert not torch.equal(g(rough, torch.randn(2, 3)), images), "what it is told matters"
    assert not torch.equal(g(-rough, told), images), "so does the rough image"
    assert g.down(rough).shape[-1] == max(4, first // 4)


def test_the_layers_of_the_second_stage() -> None:
    # Zhang 2017, sec. 3.5, at 64 to 256: down to 16x16, the condition beside it, four blocks, four doublings.
    g = StageTwo(128, 3, 32, 64, 256, 4)
    convs = [m for m in g.down if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.stride[0]) for m in convs] == [(64, 1), (128, 2), (256, 2)]
    assert isinstance(g.down[1], nn.ReLU), "no norm behind the image"
    assert g.up[0].in_channels == 256 + 128
    assert [type(m) for m in g.up[3:7]] == [Block] * 4
    assert [m.out_channels for m in g.up[7:] if isinstance(m, nn.Conv2d)] == [256, 128, 64, 32]
    assert (g.last.in_channels, g.last.out_channels) == (32 + 3, 3)


def test_a_block_whose_weights_are_zero_is_a_relu() -> None:
    block, x = Block(4), torch.randn(2, 4, 5, 5)
    nn.init.zeros_(block.layers[3].weight)
    torch.testing.assert_close(block(x), x.relu())


def test_the_last_convolution_sees_the_rough_image() -> None:
    g, rough = StageTwo(3, 3, 4, 8, 32, 1), torch.rand(2, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        nn.init.zeros_(g.last.weight)
        for c in range(3):
            g.last.weight[c, 4 + c, 1, 1] = 1
        torch.testing.assert_close(g(rough, torch.randn(2, 3)), upsampled(rough, 4).tanh())


def test_the_condition_is_at_every_place() -> None:
    g, told = StageTwo(3, 1, 2, 8, 16, 1), torch.randn(2, 3)
    seen: list[Tensor] = []
    g.up[0].register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    g(torch.randn(2, 1, 8, 8), told)
    assert torch.equal(seen[0][:, -3:], told[:, :, None, None].expand(2, 3, 4, 4))


@pytest.mark.parametrize("net", [StageOne(20, 20, 3, 32, 16), StageTwo(20, 3, 32, 16, 32, 1)])
def test_initial_weights_of_the_generators(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * layer.weight.numel()) ** 0.5)


@every_channels
@pytest.mark.parametrize("resolution", [4, 8, 16, 32, 64, 128, 256])
@torch.no_grad()
def test_the_discriminator(resolution: int, channels: int) -> None:
    d = TextDiscriminator(channels, 2, resolution, 6)
    images, texts = torch.randn(3, channels, resolution, resolution), torch.randn(3, 6)
    logits = d(images, texts)
    assert logits.shape == (3,)
    assert not torch.allclose(d(images, texts.roll(1, 0)), logits), "what is said matters"
    assert not torch.allclose(d(images.roll(1, 0), texts), logits), "so does the image"
    torch.testing.assert_close(d(images[:1], texts[:1]), logits[:1])
    features = d.features(images)
    assert features.shape == (3, d.width)
    torch.testing.assert_close(d.head(features, texts.roll(1, 0)), d(images, texts.roll(1, 0)))


def test_the_projection_by_hand() -> None:
    d, images, texts = TextDiscriminator(1, 2, 16, 3), torch.randn(2, 1, 16, 16), torch.randn(2, 3)
    nn.init.normal_(d.said.bias)
    maps = d.layers[:-1](images)
    assert maps.shape == (2, 4, 4, 4)
    said = [
        [sum(d.said.weight[p, t] * texts[i, t] for t in range(3)) + d.said.bias[p] for p in range(4)] for i in (0, 1)
    ]
    for i in (0, 1):
        h = maps[i].flatten()
        match = sum(said[i][p] * (d.seen.weight[p] @ h) for p in range(4)) / 2  # √4
        expected = d.last.bias[0] + d.last.weight[0] @ h + match
        assert d(images, texts)[i].item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_discriminator_has_no_norm_and_can_be_spectrally_normed() -> None:
    d = TextDiscriminator(3, 4, 64, 6)
    assert images_at_once(d) == 1
    kinds = {type(m) for m in d.layers}
    assert kinds == {nn.Conv2d, nn.LeakyReLU, nn.Flatten}
    convs = [m for m in d.layers if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == [4, 8, 16, 32]
    assert [m.stride for m in convs] == [(2, 2)] * 4
    assert spectrally_normed(d)(torch.randn(2, 3, 64, 64), torch.randn(2, 6)).shape == (2,)


def test_a_new_discriminator_neither_shouts_nor_whispers() -> None:
    d = TextDiscriminator(3, 16, 32, 64)
    images, texts = torch.randn(64, 3, 32, 32), torch.randn(64, 64)
    assert 0.05 < d(images, texts).std() < 3
    apart = (d(images, texts) - d(images, texts.roll(1, 0))).std()
    assert apart > 0.05, "it reads from the start, if not yet sense"


def test_bf16_channels_last_and_meta() -> None:
    def nets() -> tuple[Augment, StageOne, StageTwo, TextDiscriminator]:
        return Augment(6, 3), StageOne(5, 3, 3, 4, 8), StageTwo(3, 3, 4, 8, 32, 1), TextDiscriminator(3, 4, 32, 6)

    def played(told: Augment, one: StageOne, two: StageTwo, d: TextDiscriminator, texts: Tensor, z: Tensor) -> Tensor:
        mean, logvar = told(texts)
        c = drawn(mean, logvar, torch.ones_like(mean))
        return d(two(one(z, c), c), texts)

    made = [net.to(memory_format=torch.channels_last) for net in nets()]
    with torch.autocast("cpu", torch.bfloat16):
        logits = played(*made, torch.randn(4, 6), torch.randn(4, 5))
    logits.float().sum().backward()
    for net in made:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    with torch.device("meta"):
        assert played(*nets(), torch.empty(4, 6), torch.empty(4, 5)).shape == logits.shape == (4,)

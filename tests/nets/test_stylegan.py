"""StyleGAN2's parts against what the papers say of them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.core.spec import Spec
from gansmith.nets.blocks import EqualConv2d, MinibatchStddev, pixel_norm
from gansmith.nets.stylegan import (
    Discriminator,
    EqualLinear,
    Generator,
    Mapping,
    ModulatedConv2d,
    StyledLayer,
    modulated_conv2d,
)

SPEC = Spec(32, 3, 32, 32)
LATENT = 6


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def g() -> Generator:
    """Small, with every noise heard."""
    made = Generator(SPEC, LATENT, 4)
    for module in made.modules():
        if isinstance(module, StyledLayer):
            nn.init.constant_(module.strength, 0.3)
    return made


def by_sample(x: Tensor, weight: Tensor, style: Tensor, demodulate: bool) -> Tensor:
    """Karras 2020, eq. 1 to 3, as written: a weight for each sample, in a convolution of as many groups."""
    n, c, h, w = x.shape
    scaled = weight[None] * style[:, None, :, None, None]
    if demodulate:
        scaled = scaled / (scaled.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    y = F.conv2d(x.reshape(1, n * c, h, w), scaled.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return y.reshape(n, -1, h, w)


# ---- modulation


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_convolution_is_that_of_each_samples_own_weight(kernel: int, demodulate: bool) -> None:
    x = torch.randn(3, 5, 8, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, kernel, kernel, dtype=torch.float64, requires_grad=True)
    style = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    mine = modulated_conv2d(x, weight, style, 1.0 if demodulate else None)
    naive = by_sample(x, weight, style, demodulate)
    torch.testing.assert_close(mine, naive)
    out = torch.randn_like(mine)
    gradients = [torch.autograd.grad(y, (x, weight, style), out) for y in (mine, naive)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_second_derivatives_of_modulated_convolution_are_right() -> None:
    x, weight, style = (torch.randn(*shape, requires_grad=True) for shape in ((2, 3, 4, 4), (2, 3, 3, 3), (2, 3)))
    out = torch.randn(2, 2, 4, 4)

    def second(function: object) -> tuple[Tensor, ...]:
        first = torch.autograd.grad((function() * out).sum(), style, create_graph=True)[0]  # type: ignore[operator]
        return torch.autograd.grad(first.square().sum(), (x, weight, style))

    mine = second(lambda: modulated_conv2d(x, weight, style))
    for one, other in zip(mine, second(lambda: by_sample(x, weight, style, True)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_demodulated_output_has_unit_variance_whatever_the_style() -> None:
    x, style = torch.randn(4, 32, 32, 32), torch.tensor([[0.01], [1.0], [7.0], [300.0]]) * torch.rand(4, 32)
    y = modulated_conv2d(x, torch.randn(16, 32, 3, 3), style)[:, :, 1:-1, 1:-1]
    assert y.std((1, 2, 3)).tolist() == pytest.approx([1.0] * 4, abs=0.03)
    undone = modulated_conv2d(x, torch.randn(16, 32, 3, 3), style, gain=None).std((1, 2, 3))
    assert undone[3] / undone[0] > 1e3


def test_the_gain_multiplies_the_demodulated_output() -> None:
    x, weight, style = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 3, 3), torch.randn(2, 3)
    torch.testing.assert_close(modulated_conv2d(x, weight, style, 2.5), 2.5 * modulated_conv2d(x, weight, style))


# ---- equalised learning rate


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_an_equalised_layer_begins_with_unit_variance_and_learns_at_its_rate(rate: float) -> None:
    layer = EqualLinear(256, 512, rate=rate, bias=0.5)
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.02 / rate)
    x = torch.randn(64, 256)
    y = layer(x)
    assert y.mean().item() == pytest.approx(0.5, abs=0.02)
    assert (y - 0.5).std().item() == pytest.approx(1.0, rel=0.05)
    with torch.no_grad():  # a step of Adam is as long as its learning rate for every weight
        layer.weight += 1e-3
        layer.bias += 1e-3
    torch.testing.assert_close(layer(x) - y, (rate * 1e-3 * (x.sum(1, keepdim=True) / 16 + 1)).expand(-1, 512))


def test_styles_begin_at_one() -> None:
    conv = ModulatedConv2d(8, 8, 3, LATENT, 1.0)
    assert torch.equal(conv.affine(torch.zeros(2, LATENT)), torch.ones(2, 8))


# ---- mapping


def test_mapping_sees_directions_alone() -> None:
    mapping, z = Mapping(LATENT, 0, 3), torch.randn(5, LATENT)
    torch.testing.assert_close(mapping(z), mapping(20 * z), atol=1e-4, rtol=1e-4)
    assert pixel_norm(z).square().mean(1).tolist() == pytest.approx([1.0] * 5)
    assert [layer.rate for layer in mapping.layers] == [0.01] * 3


def test_what_is_told_is_normalised_by_itself() -> None:
    mapping, z = Mapping(LATENT, 3, 2), torch.randn(3, LATENT)
    w = mapping(torch.cat([z, torch.eye(3)], 1))
    torch.testing.assert_close(mapping(torch.cat([20 * z, torch.eye(3)], 1)), w, atol=1e-4, rtol=1e-4)
    assert w.shape == (3, LATENT)
    same_z = mapping(torch.cat([z[:1].expand(3, -1), torch.eye(3)], 1))
    assert (same_z[0] - same_z[1]).abs().max() > 0.05


# ---- the generator


def test_noise_is_drawn_in_training_and_fixed_in_eval(g: Generator) -> None:
    w = torch.randn(1, LATENT)
    assert not torch.equal(g.synthesise(w), g.synthesise(w))
    g.eval()
    assert torch.equal(g.synthesise(w), g.synthesise(w))
    buffers = [name for name in g.state_dict() if name.endswith("noise")]
    assert len(buffers) == 7, "every layer's, kept with the weights"


def test_noise_begins_unheard() -> None:
    g, w = Generator(SPEC, LATENT, 4), torch.randn(1, LATENT)
    assert torch.equal(g.synthesise(w), g.synthesise(w))


@torch.no_grad()
def test_other_styles_change_only_the_layers_that_have_them(g: Generator) -> None:
    g.eval()
    outputs: list[Tensor] = []
    order = [g.first, g.to_image[0]]
    for up, conv, to_image in zip(g.ups, g.convs, g.to_image[1:], strict=True):
        order += [up, conv, to_image]
    style_of = [0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 7]
    for module in order:
        module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    one, other = torch.randn(1, g.layers, LATENT), torch.randn(1, g.layers, LATENT)
    g.synthesise(one)
    before = outputs.copy()
    for start in range(1, g.layers):
        outputs.clear()
        g.synthesise(torch.cat([one[:, :start], other[:, start:]], 1))
        same = [torch.equal(x, y) for x, y in zip(outputs, before, strict=True)]
        assert same == [style < start for style in style_of]


@torch.no_grad()
def test_mixing_takes_another_latent_from_a_layer_on() -> None:
    g = Generator(SPEC, LATENT, 4, style_mixing=0.9)
    z = torch.randn(2000, LATENT)
    w = g.styles(z)
    ws = g.mixed(w, z)
    assert ws.shape == (2000, g.layers, LATENT)
    is_own = (ws == w[:, None]).all(2)
    assert is_own[:, 0].all(), "the first layer's is always its own"
    assert (is_own[:, 1:] <= is_own[:, :-1]).all(), "no way back"
    starts = is_own.sum(1)
    assert (starts < g.layers).float().mean().item() == pytest.approx(0.9, abs=0.02)
    counts = torch.bincount(starts, minlength=g.layers + 1)[1 : g.layers]
    assert counts.min() > 0.7 * counts.max(), "every layer alike"
    other = ws[~is_own[:, -1]][:, -1]
    assert len(other.unique(dim=0)) == len(other)


@torch.no_grad()
def test_mixing_keeps_what_is_told() -> None:
    g = Generator(SPEC, LATENT, 4, style_mixing=1.0, told=2)
    seen: list[Tensor] = []
    g.mapping.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    told = torch.eye(2)[[0, 1, 1]]
    z = torch.cat([torch.randn(3, LATENT), told], 1)
    g.mixed(g.styles(z), z)
    assert torch.equal(seen[1][:, LATENT:], told)
    assert (seen[1][:, :LATENT] != z[:, :LATENT]).all()


@torch.no_grad()
def test_styles_are_mixed_in_training_only() -> None:
    g, z = Generator(SPEC, LATENT, 4, style_mixing=1.0), torch.randn(4, LATENT)
    of_one = g.synthesise(g.styles(z))  # the noise is silent
    assert (g(z) - of_one).abs().amax((1, 2, 3)).min() > 1e-3
    images, w = g(z, with_styles=True)
    assert torch.equal(images, of_one)
    assert torch.equal(w, g.styles(z))
    assert torch.equal(g.eval()(z), g.synthesise(g.styles(z)))
    torch.testing.assert_close(Generator(SPEC, LATENT, 4, style_mixing=0.0)(z).shape, images.shape)


@torch.no_grad()
def test_the_mean_style_is_that_of_many_latents() -> None:
    g = Generator(Spec(16, 1, 16, 16), LATENT, 2)
    for _ in range(2000):
        g(torch.randn(16, LATENT))
    true = g.styles(torch.randn(50_000, LATENT)).mean(0)
    torch.testing.assert_close(g.mean_style, true, atol=0.08, rtol=0)
    assert true.abs().max() > 0.2
    before = g.mean_style.clone()
    g.eval()(torch.randn(16, LATENT))
    assert torch.equal(g.mean_style, before)


@torch.no_grad()
def test_truncation_leads_to_the_mean_image(g: Generator) -> None:
    g.mean_style.copy_(torch.randn(LATENT))
    g.eval()
    z = torch.randn(3, LATENT)
    mean = g.synthesise(g.mean_style[None]).expand(3, -1, -1, -1)
    distances = [(g(z, truncation) - mean).abs().max().item() for truncation in (1.0, 0.5, 0.1, 1e-4)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.1
    assert distances[-1] < 1e-3
    torch.testing.assert_close(g(z, 0.0), mean, atol=1e-5, rtol=1e-4)
    half = g.synthesise(torch.lerp(g.mean_style.expand(3, -1), g.styles(z), 0.5))
    torch.testing.assert_close(g(z, 0.5), half, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_image_is_tanh_of_the_sum_of_what_every_size_adds(g: Generator) -> None:
    g.eval()
    added: list[Tensor] = []
    for module in g.to_image:
        module.register_forward_hook(lambda module, inputs, output: added.append(output))
    image = g.synthesise(torch.randn(2, LATENT))
    assert [part.shape[-1] for part in added] == [4, 8, 16, 32]
    whole = sum(part_enlarged(part, 32) for part in added)
    torch.testing.assert_close(image, torch.tanh(whole), atol=1e-5, rtol=1e-4)


def part_enlarged(part: Tensor, side: int) -> Tensor:
    while part.shape[-1] < side:
        part = F.interpolate(part, scale_factor=2.0, mode="bilinear")
    return part


def test_signals_keep_their_size_through_g() -> None:
    g = Generator(Spec(128, 3, 128, 128), 32, 16)
    means: list[float] = []
    for module in (g.first, *g.ups, *g.convs):
        module.register_forward_hook(lambda module, inputs, output: means.append(output.square().mean().item()))
    with torch.no_grad():
        g.synthesise(g.styles(torch.randn(4, 32)))
    assert 0.1 < min(means) <= max(means) < 2, (
        "enlarging takes some from fine patterns, of which there are most at first"
    )


# ---- the discriminator


def test_signals_keep_their_size_through_d() -> None:
    d = Discriminator(Spec(128, 3, 128, 128), 16)
    x, means = torch.randn(4, 3, 128, 128), []
    d.from_image.register_forward_hook(lambda module, inputs, output: means.append(output.square().mean().item()))
    for module in d.blocks:
        module.register_forward_hook(lambda module, inputs, output: means.append(output.square().mean().item()))
    with torch.no_grad():
        d(x)
    assert 0.05 < min(means) <= max(means) < 4


def test_d_has_features_and_a_head() -> None:
    d, x = Discriminator(SPEC, 4), torch.randn(4, 3, 32, 32)
    features = d.features(x)
    assert features.shape == (4, d.width) == (4, 32)
    assert torch.equal(d.head(features), d(x))
    assert d(x).shape == (4,)


# ---- what is there, and what is not


def kinds(net: nn.Module) -> dict[str, int]:
    names = [type(module).__name__ for module in net.modules()]
    return {name: names.count(name) for name in set(names)}


def test_parts_by_count() -> None:
    g, d = Generator(SPEC, LATENT, 4, mapping_layers=3), Discriminator(SPEC, 4)
    # 4x4, and two for each of 8, 16 and 32; an image of each size.
    assert kinds(g)["StyledLayer"] == 7
    assert kinds(g)["ToImage"] == 4
    assert kinds(g)["ModulatedConv2d"] == 11
    assert kinds(g)["EqualLinear"] == 3 + 11
    assert kinds(d)["Block"] == 3
    assert kinds(d)["MinibatchStddev"] == 1
    assert kinds(d)["EqualConv2d"] == 1 + 3 * 3 + 3
    assert isinstance(d.last[0], MinibatchStddev), "behind the blocks, at 4x4"
    assert g.constant.shape == (1, 32, 4, 4)
    assert [m.conv.gain for m in g.to_image] == [None] * 4, "images are not demodulated"
    for net in (g, d):
        assert not any("Norm" in kind or "Tanh" in kind for kind in kinds(net))
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert convs == [], "every weight is equalised"


def test_every_weight_begins_standard_normal() -> None:
    wide = Spec(64, 3, 64, 64)
    for net in (Generator(wide, 64, 16), Discriminator(wide, 16)):
        for module in net.modules():
            if isinstance(module, EqualConv2d | ModulatedConv2d):
                std = module.weight.std().item()
                assert std == pytest.approx(1.0, abs=4 / math.sqrt(2 * module.weight.numel()))


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3, 4])
@torch.no_grad()
def test_every_size(resolution: int, channels: int) -> None:
    spec = Spec(resolution, channels, resolution, resolution)
    g, d = Generator(spec, 5, 2), Discriminator(spec, 2)
    images = g(torch.randn(2, 5))
    assert images.shape == (2, channels, resolution, resolution)
    assert g.layers == 2 * round(math.log2(resolution)) - 2
    assert d(images).shape == (2,)

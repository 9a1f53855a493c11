"""The architectures' rules (Zhu 2017, app. 7.2; Isola 2017, app. 6.1), read off the nets that are built."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.blocks import images_at_once
from gansmith.nets.translate import Block, InstanceNorm2d, PatchDiscriminator, ResNetGenerator, UNet

every_size = pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256])
CONV = nn.Conv2d | nn.ConvTranspose2d

NETS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNetGenerator(3, 3, 4, 2),
    "unet": lambda: UNet(3, 3, 4, 32, 0.5),
    "instance": lambda: PatchDiscriminator(3, 4, 32, "instance"),
    "batch": lambda: PatchDiscriminator(3, 4, 32, "batch"),
    "none": lambda: PatchDiscriminator(3, 4, 32, "none"),
}
every_net = pytest.mark.parametrize("name", NETS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@every_size
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (3, 1), (4, 4)])
@torch.no_grad()
def test_shapes(resolution: int, inputs: int, outputs: int) -> None:
    image = torch.rand(2, inputs, resolution, resolution) * 2 - 1
    for g in (ResNetGenerator(inputs, outputs, 2, 1), UNet(inputs, outputs, 2, resolution, 0.5)):
        made = g(image)
        assert made.shape == (2, outputs, resolution, resolution)
        assert made.abs().max() <= 1
    patches = {16: 6, 32: 6, 64: 6, 128: 14, 256: 30}[resolution]
    for norm in ("instance", "batch", "none"):
        d = PatchDiscriminator(inputs + outputs, 2, resolution, norm)
        assert d(torch.cat([image, made], 1)).shape == (2, patches, patches)


@pytest.mark.parametrize("name", ["resnet", "unet"])
@torch.no_grad()
def test_any_multiple_of_the_multiple(name: str) -> None:
    g = NETS[name]()
    assert g.multiple == {"resnet": 4, "unet": 32}[name]
    for rows, columns in ((2, 3), (5, 2), (7, 4)):
        h, w = max(8, rows * g.multiple), max(8, columns * g.multiple)
        assert g(torch.randn(2, 3, h, w)).shape == (2, 3, h, w)


@every_net
def test_bf16_channels_last_and_meta(name: str) -> None:
    net = NETS[name]().to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        made = net(images)
    made.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    if made.dim() == 4:
        assert made.is_contiguous(memory_format=torch.channels_last)
    with torch.device("meta"):
        assert NETS[name]()(torch.empty(4, 3, 32, 32)).shape == made.shape


@every_net
def test_initial_weights(name: str) -> None:
    wide = {
        "resnet": lambda: ResNetGenerator(3, 3, 16, 1),
        "unet": lambda: UNet(3, 3, 16, 32, 0.5),
    }.get(name, lambda: PatchDiscriminator(3, 32, 64, name))()
    for layer in wide.modules():
        if isinstance(layer, CONV):
            n = layer.weight.numel()
            assert layer.weight.mean().item() == pytest.approx(0, abs=5 * 0.02 / n**0.5)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)
            assert layer.bias is None or not layer.bias.any()


def test_instance_norm() -> None:
    x = torch.randn(4, 6, 5, 7) * 3 + 2
    torch.testing.assert_close(InstanceNorm2d()(x), F.instance_norm(x), atol=1e-5, rtol=0)
    flat = InstanceNorm2d()(x).flatten(2)
    torch.testing.assert_close(flat.mean(2), torch.zeros(4, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.var(2, correction=0), torch.ones(4, 6), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "at_once"), [("resnet", 1), ("unet", None), ("instance", 1), ("batch", None)])
def test_instance_norms_do_not_mix_the_images_of_a_batch(name: str, at_once: int | None) -> None:
    net, images = NETS[name](), torch.randn(4, 3, 32, 32)
    assert images_at_once(net) == at_once
    if at_once == 1:
        torch.testing.assert_close(net(images)[:1], net(images[:1]), atol=1e-6, rtol=1e-4)


def test_instance_norm_is_the_same_in_eval_mode() -> None:
    net, images = NETS["resnet"](), torch.randn(2, 3, 32, 32)
    assert torch.equal(net(images), net.eval()(images))


def test_the_layers_of_the_resnet() -> None:
    # c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3, but for the kernels of u.
    with torch.device("meta"):
        g = ResNetGenerator(3, 1, 64, 9)
    expected = [(64, 7, 1), (128, 3, 2), (256, 3, 2), *[(256, 3, 1)] * 18, (128, 4, 2), (64, 4, 2), (1, 7, 1)]
    convs = [m for m in g.modules() if isinstance(m, CONV)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in convs] == expected
    assert [m.padding_mode for m in convs if m.stride == (1, 1)] == ["reflect"] * 20
    assert [type(m) for m in convs if m.stride == (2, 2)] == [nn.Conv2d] * 2 + [nn.ConvTranspose2d] * 2
    assert g.last.in_channels == 64 + 3
    inside = [nn.Conv2d, InstanceNorm2d, nn.ReLU]
    kinds = [type(m) for m in g.layers]
    assert kinds == inside * 3 + [Block] * 9 + [nn.ConvTranspose2d, *inside[1:]] * 2
    assert [type(m) for m in g.layers[9].layers] == inside + inside[:2]


@pytest.mark.parametrize(("width", "blocks"), [(8, 1), (16, 3)])
def test_parameters_of_the_resnet(width: int, blocks: int) -> None:
    w, halved = width, (9 * width * 2 * width + 2 * width, 9 * 2 * width * 4 * width + 4 * width)
    doubled = (16 * 4 * width * 2 * width + 2 * width, 16 * 2 * width * width + width)
    block = 2 * (9 * (4 * w) ** 2 + 4 * w)
    ends = 49 * 3 * w + w + 49 * (w + 3) * 1 + 1
    total = ends + sum(halved) + sum(doubled) + blocks * block
    assert sum(p.numel() for p in ResNetGenerator(3, 1, width, blocks).parameters()) == total


def test_the_last_convolution_sees_the_input() -> None:
    g, image = ResNetGenerator(3, 3, 4, 1), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        nn.init.zeros_(g.last.weight)
        for c in range(3):
            g.last.weight[c, 4 + c, 3, 3] = 1
        torch.testing.assert_close(g(image), image.tanh())


def test_a_block_does_not_see_the_border_of_a_plane() -> None:
    block = without_norms(Block(4))
    made = block(torch.randn(1, 4, 1, 1).expand(1, 4, 8, 8))
    torch.testing.assert_close(made, made[:, :, 4:5, 4:5].expand_as(made))


def test_a_block_whose_weights_are_zero_changes_nothing() -> None:
    block, x = Block(4), torch.randn(2, 4, 5, 5)
    nn.init.zeros_(block.layers[3].weight)
    torch.testing.assert_close(block(x), x)


def without_norms(net: nn.Module) -> nn.Module:
    """`net` with the identity in the place of every instance norm."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm2d):
                setattr(parent, name, nn.Identity())
    return net


def seen_by(net: nn.Module, side: int, place: int, channels: int = 1) -> Tensor:
    """Rows and columns of the input, (K, 2), that an output at `place`, `place` depends on."""
    net.double().eval()
    for p in net.parameters():
        nn.init.constant_(p, 1e-3)  # so that every activation is above 0
    image = torch.rand(1, channels, side, side, dtype=torch.double, requires_grad=True)
    net(image)[..., place, place].sum().backward()
    assert image.grad is not None
    return image.grad.sum((0, 1)).nonzero()


@pytest.mark.parametrize(
    ("net", "reach", "side"),
    [
        (ResNetGenerator(1, 1, 1, 0), 15, 64),
        (ResNetGenerator(1, 1, 1, 2), 31, 96),
        (UNet(1, 1, 1, 8, 0.0), 22, 80),
        (UNet(1, 1, 1, 16, 0.0), 46, 128),
    ],
)
def test_reach(net: ResNetGenerator | UNet, reach: int, side: int) -> None:
    assert net.reach == reach
    middle = side // 2
    places = range(middle, middle + net.multiple)
    distances = [(seen_by(without_norms(net), side, place) - place).abs().max().item() for place in places]
    assert max(distances) == reach


@pytest.mark.parametrize(("resolution", "field"), [(16, 16), (32, 34), (64, 70), (128, 70), (256, 70)])
def test_the_receptive_field(resolution: int, field: int) -> None:
    d = PatchDiscriminator(2, 1, resolution, "none")
    assert d.receptive_field == field
    seen = seen_by(d, 256, d(torch.zeros(1, 2, 256, 256)).shape[-1] // 2, channels=2)
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [field, field]


def test_the_layers_of_the_discriminator() -> None:
    # C64-C128-C256-C512, then one channel; no norm in the first layer (Isola 2017, app. 6.1.2).
    layers = list(PatchDiscriminator(6, 64, 256, "instance").layers)
    convs = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.stride[0]) for m in convs] == [
        (6, 64, 2),
        (64, 128, 2),
        (128, 256, 2),
        (256, 512, 1),
        (512, 1, 1),
    ]
    assert {m.kernel_size for m in convs} == {(4, 4)}
    plain, normed = [nn.Conv2d, nn.LeakyReLU], [nn.Conv2d, InstanceNorm2d, nn.LeakyReLU]
    assert [type(m) for m in layers] == plain + normed * 3 + [nn.Conv2d]
    assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {0.2}
    batch = list(PatchDiscriminator(6, 64, 256, "batch").layers)
    assert [i for i, m in enumerate(batch) if isinstance(m, nn.BatchNorm2d)] == [3, 6, 9]
    assert [m.bias is None for m in batch if isinstance(m, nn.Conv2d)] == [False, True, True, True, False]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in PatchDiscriminator(6, 4, 256, "none").modules())


def test_the_layers_of_the_unet() -> None:
    # Isola 2017, app. 6.1.1: C64-C128-C256-C512 x 5; CD512 x 3, C512, C256, C128, C64, of twice as many by the skips;
    # then, where the paper's makes the image, one more, and a convolution.
    with torch.device("meta"):
        g = UNet(3, 1, 64, 256, 0.5)
    encoder = [m for m in g.down.modules() if isinstance(m, nn.Conv2d)]
    decoder = [m for m in g.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in encoder] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [m.out_channels for m in decoder] == [512, 512, 512, 512, 256, 128, 64, 64]
    assert [m.in_channels for m in decoder] == [512, 1024, 1024, 1024, 1024, 512, 256, 128]
    assert {(m.kernel_size, m.stride) for m in encoder + decoder} == {((4, 4), (2, 2))}
    assert [isinstance(layer[1], nn.BatchNorm2d) for layer in g.down] == [False] + [True] * 6 + [False]
    assert {layer[2].negative_slope for layer in g.down} == {0.2}
    assert [type(m) for m in g.up[0]] == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.Dropout, nn.ReLU]
    assert [any(isinstance(m, nn.Dropout) for m in layer) for layer in g.up] == [True] * 3 + [False] * 5
    assert (g.last.in_channels, g.last.out_channels, g.last.kernel_size) == (67, 1, (3, 3))
    assert [UNet(1, 1, 1, side, 0.5).depth for side in (4, 16, 64, 512)] == [2, 4, 6, 8]


@pytest.mark.parametrize("layer", range(4))
def test_the_decoder_sees_every_size_of_the_encoder(layer: int) -> None:
    # The next smaller size gives nothing and passes nothing back: what is left is the skip.
    g = UNet(1, 1, 4, 32, 0.0)
    nn.init.zeros_(g.down[layer + 1][0].weight)
    maps: list[Tensor] = []
    g.down[layer].register_forward_hook(lambda _m, _i, output: (output.retain_grad(), maps.append(output))[1])
    g(torch.rand(2, 1, 32, 32)).square().sum().backward()
    assert maps[0].shape[-1] == 16 // 2**layer
    assert maps[0].grad is not None
    assert maps[0].grad.any()


def test_dropout_is_the_noise() -> None:
    g, image = UNet(3, 3, 8, 16, 0.5), torch.randn(2, 3, 16, 16)
    assert not torch.equal(g(image), g(image))
    still = UNet(3, 3, 8, 16, 0.0)
    assert torch.equal(still(image), still(image))
    g.eval()
    assert torch.equal(g(image), g(image))


def test_a_batch_of_one_is_not_lost_at_one_pixel() -> None:
    g = UNet(1, 1, 8, 16, 0.0)
    image = torch.randn(1, 1, 16, 16)
    seen = []
    g.down[-1].register_forward_hook(lambda _m, _i, output: seen.append(output))
    g(image)
    assert seen[0].shape[2:] == (1, 1)
    assert seen[0].any()

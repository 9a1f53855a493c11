"""What detectors are made of, against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gansmith.core.clock import Plan
from gansmith.core.game import Batch, Turn
from gansmith.core.spec import Spec
from gansmith.recipes import build, family_named
from gansmith.recipes.detecting import Unlike, seen_by_d


class TwiceTheMean(nn.Module):
    """A D that sees a single number in an image."""

    def features(self, images: Tensor) -> Tensor:
        return 2 * images.flatten(1).mean(1, keepdim=True)


NETS = nn.ModuleDict({"D": TwiceTheMean()})
ONE, OTHER = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 0.0], [0.0, -0.5]]]])


@pytest.mark.parametrize(
    ("unlike", "value"),
    [
        # Pixels differ by 1, 0, 0, 0.5: means 0.375 and, squared, 0.3125. D sees 0 and 2 · 0.125 = 0.25.
        (Unlike(1.0, 0.0, 2), 0.3125),
        (Unlike(1.0, 2.0, 2), 0.3125 + 2 * 0.0625),
        (Unlike(0.9, 0.1, 1), 0.9 * 0.375 + 0.1 * 0.25),
    ],
)
def test_how_unlike_two_images_are(unlike: Unlike, value: float) -> None:
    assert unlike(NETS, ONE, OTHER).tolist() == pytest.approx([value])
    assert unlike(NETS, ONE, ONE).tolist() == [0.0]


def test_what_d_sees() -> None:
    assert seen_by_d(NETS, OTHER).tolist() == [[0.25]]


def test_ganomalys_codes_are_standardised() -> None:
    """So that draws of N(0, 1) are of about their distribution."""
    torch.manual_seed(0)
    game = build(family_named("ganomaly").config(family="ganomaly"), Spec(16, 1, 16, 16))
    codes = game.nets["encoder"].train()(torch.randn(64, 1, 16, 16))
    assert torch.allclose(codes.mean(0), torch.zeros(32), atol=1e-5)
    assert torch.allclose(codes.std(0, correction=0), torch.ones(32), atol=1e-2)


def test_only_the_encoder_learns_in_f_anogans_second_stage() -> None:
    """Norms of the pair stay as they are, too: it rests."""
    config = family_named("f-anogan").config(family="f-anogan", d_norm="batch", penalty={"r1": {"weight": 0}})
    game = build(config, Spec(16, 1, 16, 16))
    game.nets.train()
    before = {k: v.clone() for k, v in game.nets.state_dict().items() if not k.startswith("encoder")}
    turn = Turn(game.nets, Batch(torch.randn(8, 1, 16, 16)), Plan(1).at(0, 0), {})
    outcome = game.stages[1].moves[0].loss(turn)
    outcome.terms["loss"].backward()
    assert all(torch.equal(v, before[k]) for k, v in game.nets.state_dict().items() if k in before)
    assert game.nets["G"].training
    assert all(p.grad is not None for p in game.nets["encoder"].parameters())

"""What an encoder of texts heeds, and what it does not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gansmith.nets.texts import Given, WordEncoder

RED, BLUE, CIRCLE, SQUARE, ABOVE = range(2, 7)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_shapes_and_every_number_of_a_word() -> None:
    net = WordEncoder(5, 8)
    assert net(torch.tensor([[RED, CIRCLE, 0], [BLUE, 1, ABOVE]])).shape == (2, 8)
    assert net.words.num_embeddings == 7, "nothing, an unknown word, and five known ones"
    codes = net(torch.arange(7)[:, None])
    assert len(codes.unique(dim=0)) == 7


def test_zeros_behind_the_words_change_nothing() -> None:
    net = WordEncoder(5, 8)
    bare = torch.tensor([[RED, CIRCLE, ABOVE, BLUE]])
    for zeros in (1, 5, 28):
        torch.testing.assert_close(net(F.pad(bare, (0, zeros))), net(bare))


def test_nor_after_training() -> None:
    net, bare = WordEncoder(5, 8), torch.tensor([[RED, CIRCLE, ABOVE, BLUE], [BLUE, SQUARE, 0, 0]])
    descent = torch.optim.Adam(net.parameters(), 0.1)
    for _ in range(5):
        descent.zero_grad()
        net(bare).square().sum().backward()
        descent.step()
    assert not net.words.weight[0].any()
    torch.testing.assert_close(net(F.pad(bare, (0, 9))), net(bare))


def test_other_texts_of_the_batch_change_nothing() -> None:
    net, texts = WordEncoder(5, 8), torch.tensor([[RED, CIRCLE, ABOVE], [BLUE, 0, 0]])
    torch.testing.assert_close(net(texts)[:1], net(texts[:1]))


def test_the_same_words_in_another_order_say_something_else() -> None:
    net = WordEncoder(5, 8)
    first = net(torch.tensor([[RED, CIRCLE, ABOVE, BLUE, SQUARE]]))
    for other in ([BLUE, CIRCLE, ABOVE, RED, SQUARE], [BLUE, SQUARE, ABOVE, RED, CIRCLE]):
        assert (net(torch.tensor([other])) - first).norm() > 0.05 * first.norm()


def test_long_texts_speak_no_louder_than_short_ones() -> None:
    net = WordEncoder(200, 64)
    short, long = (net(torch.randint(2, 202, (50, words))).square().mean().item() for words in (1, 30))
    assert short == pytest.approx(long, rel=0.2)
    assert 0.5 < short < 2


def test_no_words_at_all() -> None:
    codes = WordEncoder(5, 8)(torch.zeros(2, 4, dtype=torch.int64))
    assert codes.isfinite().all()
    assert torch.equal(codes[0], codes[1])


def test_given_vectors_by_hand_and_whatever_their_length() -> None:
    net, vectors = Given(384, 16), torch.randn(3, 384)
    unit = vectors / vectors.norm(dim=1, keepdim=True) * 384**0.5
    by_hand = unit @ net.layer.weight.mT + net.layer.bias
    torch.testing.assert_close(net(vectors), torch.where(by_hand > 0, by_hand, 0.2 * by_hand), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net(F.normalize(vectors)), net(vectors), atol=1e-4, rtol=1e-3)


def test_bf16_and_meta() -> None:
    for make, texts in (
        (lambda: WordEncoder(5, 8), torch.tensor([[RED, CIRCLE, 0], [BLUE, 1, ABOVE]])),
        (lambda: Given(384, 8), torch.randn(2, 384)),
    ):
        net = make()
        with torch.autocast("cpu", torch.bfloat16):
            codes = net(texts)
        torch.testing.assert_close(codes.float(), net(texts), atol=0.05, rtol=0.05)
        codes.float().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        with torch.device("meta"):
            assert make()(texts.to("meta")).shape == (2, 8)

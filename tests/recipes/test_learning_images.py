"""The families that make images of images, or of captions, learn: on real emoji, in less than a minute each.

Each is held to what it is for, on held-out emoji: to come nearer to the true drawing than the other designer's drawing
is (pix2pix, and cyclegan, which sees no pairs), to better bicubic interpolation and the damage that it is to take back
(srgan), to draw what is said (stackgan). The figures that were measured stand at each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gansmith.apps.configure import nested, resolve
from gansmith.core.clock import Plan
from gansmith.data import Dataset, open_data
from gansmith.metrics import (
    Reference,
    colour_histogram_distance,
    distance_of,
    extractor,
    perceptual_net,
    psnr,
    psnr_y,
)
from gansmith.nets.lapgan import down
from gansmith.recipes import FAMILIES
from gansmith.training.judge import Shown, held_out
from gansmith.training.runtime import Runtime
from gansmith.training.session import Session

from .test_learning import RUNS

GOOGLE, TWITTER = "builtin:emoji-google", "builtin:emoji-twitter"
BETWEEN = {"data.source": GOOGLE, "data.to": TWITTER}


def learned(family: str, kimg: float, **settings: Any) -> tuple[Session, Dataset]:
    """A session at its end."""
    config = resolve(family, [("test", nested({"ema.half_life_kimg": 0.5, **settings}))]).settled()
    data = open_data(config.data)
    session = Session(config, data.spec, data.train, Runtime(torch.device("cpu"), autocasts=False))
    plan = Plan.of(round(1000 * kimg), session.shares)
    while not session.clock.finished:
        session.step(plan)
    return session, data


def shown(session: Session, data: Dataset) -> Shown:
    """What has been made of held-out images."""
    found = held_out(session, data, 256)
    assert found is not None
    return found


def test_every_family_is_seen_to_learn() -> None:
    assert set(RUNS) | {"cyclegan", "pix2pix", "srgan", "stackgan"} == set(FAMILIES)


def test_pix2pix_comes_nearer_to_the_true_drawing() -> None:
    session, data = learned("pix2pix", 1.0, **BETWEEN, width=16, d_width=16)
    found = shown(session, data)
    made, source = (psnr(images, found.targets).mean() for images in (found.made, found.sources))
    assert made > source + 0.8, f"{source:.2f} dB of google's own drawings, {made:.2f} of what is made of them"


def test_cyclegan_comes_nearer_to_the_others_colours() -> None:
    session, data = learned("cyclegan", 3.0, **BETWEEN, width=12, blocks=2, d_width=12)
    found = shown(session, data)
    made, source = (colour_histogram_distance(images, found.targets).mean() for images in (found.made, found.sources))
    assert made < 0.95 * source, f"{source:.3f} of google's own drawings, {made:.3f} of what is made of them"


SMALLER = {"data.source": TWITTER, "data.fit": "auto", "width": 16, "blocks": 2, "d_width": 8}


def test_srgan_betters_interpolation() -> None:
    session, data = learned("srgan", 12.0, **SMALLER, scale=2, perceptual_net="efflite0", adversarial_share=0.2)
    found, distance = shown(session, data), distance_of(perceptual_net("efflite0"))
    made, source = (psnr_y(images, found.targets, 2).mean() for images in (found.made, found.sources))
    assert made > source + 0.5, f"{source:.2f} dB of bicubic interpolation, {made:.2f} of the net"
    made, source = (distance(images, found.targets).mean() for images in (found.made, found.sources))
    assert made < 0.9 * source, f"{source:.3f} of bicubic interpolation, {made:.3f} of the net"


def test_srgan_takes_damage_back() -> None:
    session, data = learned(
        "srgan", 8.0, **SMALLER, scale=1, jpeg=(20, 20), perceptual_net="efflite0", adversarial_share=0.2
    )
    found = shown(session, data)
    made, source = (psnr(images, found.targets).mean() for images in (found.made, found.sources))
    assert made > source + 0.3, f"{source:.2f} dB of the damaged, {made:.2f} of the restored"


def test_stackgan_draws_and_reads() -> None:
    """The first stage draws what is nearer to real images than at its start; D knows whose caption is whose."""
    settings = {"data.source": "builtin:emoji", "captions": "words", "width": 8, "first_share": 0.7}
    config = resolve("stackgan", [("test", nested({"ema.half_life_kimg": 0.5, **settings}))])
    data = open_data(config.data)
    session = Session(config, data.spec, data.train, Runtime(torch.device("cpu"), autocasts=False))
    reference = Reference.of(data.train.images, extractor("fashion-cnn"))
    plan = Plan.of(12_000, session.shares)

    def distance() -> float:
        return reference.frechet(session.sample(500, 0, session.asked(data, 500, 0)).numpy())

    while session.clock.images < 200:
        session.step(plan)
    before = distance()
    while not session.clock.finished:
        session.step(plan)
    after = distance()
    assert after < before / 2, f"{before:.1f} after two hundred images, {after:.1f} after twelve thousand"
    assert (reads := reading(session, data)) > 0.65, f"{reads:.2f} of held-out drawings with their own captions"


@torch.inference_mode()
def reading(session: Session, data: Dataset) -> float:
    """How often the first stage's D prefers a held-out drawing's own caption to another's."""
    nets = session.game.nets.eval()
    images = down(session.runtime.images(torch.from_numpy(np.array(data.heldout.images))), 16)
    rows = nets["reader"](session.read(data.heldout.captions or (), len(images)))
    own, others = (nets["D1"](images, said) for said in (rows, rows.roll(7, 0)))
    return float((own > others).float().mean())

"""All that a running game consists of, and its state as one tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.core.clock import Clock, Plan
from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Nets, Request
from gansmith.core.spec import Spec
from gansmith.data import Dataset, Split
from gansmith.data.split import evenly
from gansmith.recipes import build
from gansmith.training.ema import Ema
from gansmith.training.feed import Feed
from gansmith.training.optim import Optim
from gansmith.training.runtime import BUILD, SAMPLE, Runtime, mixed_seed, own_randomness, seed_step
from gansmith.training.step import play_step

AS_TRAINED = Request()
LATENT_BLOCK = 256
"""Latents come from a generator of their own per block, so that more samples of a seed begin with the fewer."""


class Player:
    """A game that can make images: what is left of a run when training is over."""

    def __init__(self, config: Config, spec: Spec, runtime: Runtime):
        self.config, self.spec, self.runtime = config, spec, runtime
        with own_randomness(mixed_seed(config.train.seed, BUILD)):
            self.game = build(config, spec)
        runtime.place(self.game.nets)
        self.ema = Ema(self.game, config.ema)
        self.clock: Clock = Plan(1).at(0, 0)

    def restore_nets(self, state: dict[str, Any], plan: Plan) -> None:
        """The nets, their averages and the clock of a checkpoint.

        Raises:
            ConfigError: they belong to networks of other settings.
        """
        try:
            self.game.nets.load_state_dict(state["nets"])
            self.ema.load_state_dict(state["ema"])
        except (RuntimeError, KeyError) as error:
            fault = str(error).strip().splitlines()[-1].strip()
            raise ConfigError(f"the checkpoint does not fit the networks of these settings: {fault}") from error
        self.clock = plan.at(**state["clock"])

    def adopt(self, state: dict[str, Any], plan: Plan) -> None:
        """The nets and the averages of another checkpoint; the clock stays as it is. Raises as `restore_nets`."""
        now = {"step": self.clock.step, "images": self.clock.images}
        ema = state["ema"] | {"images": self.clock.images}
        self.restore_nets({"nets": state["nets"], "ema": ema, "clock": now}, plan)

    def latents(self, n: int, seed: int) -> Tensor:
        """(n, ...) latents of a seed."""
        blocks = []
        for block in range(-(-n // LATENT_BLOCK)):
            generator = torch.Generator().manual_seed(mixed_seed(seed, SAMPLE, block))
            blocks.append(self.game.sampler.latents(LATENT_BLOCK, generator))
        return torch.cat(blocks)[:n]

    def labels(self, n: int) -> Tensor | None:
        """The classes of n samples where none are asked for: all in turn, (n,) int64; None where there are none."""
        return torch.arange(n) % len(self.spec.classes) if self.spec.classes else None

    def asked(self, data: Dataset, n: int, seed: int) -> Request:
        """What asks for n samples like the data: of classes as frequent; of held-out images and captions first, then
        of training ones, captions again and again, but each image once."""
        labels = data.train.labels_in_proportion(n, seed)
        return Request(
            labels=None if labels is None else torch.from_numpy(labels),
            sources=torch.from_numpy(first_images(data, n)) if self.game.translator else None,
            texts=self.read([*(data.heldout.captions or ()), *(data.train.captions or ())], n),
        )

    def read(self, captions: Sequence[str], n: int) -> Tensor | None:
        """Captions (n, ...) as the game reads them, all in turn; None where it reads none."""
        if self.game.reader is None or not captions:
            return None
        return self.game.reader.read([captions[i % len(captions)] for i in range(n)])

    @torch.inference_mode()
    def sample(self, n: int, seed: int, request: Request = AS_TRAINED, batch: int = 64) -> Tensor:
        """Images of the averaged nets in eval mode: uint8 (n, H, W, C) on the CPU, at the data's own size; of a game
        that makes images of images at most as many as are given."""
        make = self.game.sampler.images
        with self.evaluated() as nets:
            parts = self.requests(n, seed, request, batch)
            return torch.cat([self.finished(make(nets, latents, self.clock, asked)) for latents, asked in parts])

    def requests(self, n: int, seed: int, request: Request, batch: int) -> Iterator[tuple[Tensor, Request]]:
        """Latents and what is asked of them, on the device, batch by batch."""
        labels = request.labels if request.labels is not None else self.labels(n)
        texts = request.texts if request.texts is not None else self.read(self.spec.captions, n)
        sources = request.sources if request.sources is not None else self.sources(n)
        n = n if sources is None else min(n, len(sources))
        device = self.runtime.device
        for i, part in enumerate(self.latents(n, seed).split(batch)):
            rows = slice(i * batch, i * batch + len(part))
            yield (
                part.to(device),
                Request(
                    request.truncation,
                    None if labels is None else labels[rows].to(device),
                    None if sources is None else self.given(self.runtime.images(sources[rows])),
                    None if texts is None else texts[rows].to(device),
                ),
            )

    def sources(self, n: int) -> Tensor | None:
        """n images to make samples of where none are given, uint8 (n, R, R, C); None where none are needed.

        Raises:
            ConfigError: the game makes images of images, and has none at hand.
        """
        if self.game.translator is not None:
            raise ConfigError(f"{self.config.family} makes images of images: gansmith translate, upscale or restore")
        return None

    def given(self, images: Tensor) -> Tensor:
        """What goes into a translator, of images of the data."""
        translator = self.game.translator
        return images if translator is None or translator.given is None else translator.given(images)

    @torch.inference_mode()
    def columns(self, images: np.ndarray, targets: np.ndarray | None, batch: int = 32) -> list[np.ndarray]:
        """What a translator shows of uint8 images (N, R, R, C), side by side: each uint8 (N, H, W, C')."""
        assert self.game.translator is not None
        shown: list[list[Tensor]] = []
        with self.evaluated() as nets:
            for start in range(0, len(images), batch):
                rows = slice(start, start + batch)
                one, other = (
                    None if a is None else self.runtime.images(torch.from_numpy(a[rows].copy()))
                    for a in (images, targets)
                )
                assert one is not None
                shown.append([self.finished(part) for part in self.game.translator.columns(nets, one, other)])
        return [torch.cat(parts).numpy() for parts in zip(*shown, strict=True)]

    def finished(self, images: Tensor) -> Tensor:
        """What nets made, as uint8 (N, H, W, C) on the CPU, at the data's own size."""
        rows, columns = self.spec.window
        return to_uint8(at_size(images, self.spec.resolution))[:, rows, columns]

    @torch.inference_mode()
    def styles(self, n: int, seed: int, request: Request = AS_TRAINED, batch: int = 64) -> Tensor:
        """Styles (n, W) of the images that `sample` makes with the same arguments, of a game that has them."""
        assert self.game.styles is not None
        with self.evaluated() as nets:
            parts = self.requests(n, seed, request, batch)
            return torch.cat([self.game.styles.of(nets, latents, asked).float().cpu() for latents, asked in parts])

    @torch.inference_mode()
    def synthesise(self, styles: Tensor, batch: int = 64) -> Tensor:
        """Images as those of `sample`, of styles (N, W) or (N, layers, W)."""
        assert self.game.styles is not None
        make = self.game.styles.images
        with self.evaluated() as nets:
            return torch.cat([self.finished(make(nets, w.to(self.runtime.device))) for w in styles.split(batch)])

    @torch.inference_mode()
    def mapped(self, function: Callable[[Nets, Tensor], Tensor], images: np.ndarray, batch: int = 64) -> Tensor:
        """What `function` of the averaged nets, in eval mode, makes of uint8 (N, H, W, C); on the CPU.

        The images are of the data's own size, or of the networks'.

        Raises:
            ConfigError: they are of another shape or kind.
        """
        with self.evaluated() as nets:
            packed = torch.from_numpy(padded(images, self.spec)).split(batch)
            return torch.cat([function(nets, self.runtime.images(part)).cpu() for part in packed])

    @contextmanager
    def evaluated(self) -> Iterator[Nets]:
        """The nets in eval mode, averaged ones in their place; afterwards as they were."""
        was_training = {name: net.training for name, net in self.game.nets.items()}
        self.game.nets.eval()
        try:
            yield {**self.game.nets, **self.ema.nets}
        finally:
            for name, net in self.game.nets.items():
                net.train(was_training[name])


def first_images(data: Dataset, n: int) -> np.ndarray:
    """At most n images of the data, held-out ones first, evenly chosen of these: uint8 (N, R, R, C)."""
    held = data.heldout.images[evenly(len(data.heldout), n)]
    return np.concatenate([held, data.train.images[: n - len(held)]])


def padded(images: np.ndarray, spec: Spec) -> np.ndarray:
    """uint8 (N, H, W, C) of the data's own size, or of the networks', as the networks see them: (N, R, R, C)."""
    sizes = {(spec.height, spec.width), (spec.resolution, spec.resolution)}
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[1:3] not in sizes
        or images.shape[3] != spec.channels
    ):
        expected = f"uint8 (N, {spec.height}, {spec.width}, {spec.channels})"
        raise ConfigError(f"images: expected {expected}, got {images.dtype} {images.shape}")
    (top, left), side = (window.start for window in spec.window), spec.resolution
    if images.shape[1:3] == (side, side):
        return np.array(images)
    down, right = side - top - spec.height, side - left - spec.width
    return np.pad(images, ((0, 0), (top, down), (left, right), (0, 0)), mode="edge")


def at_size(images: Tensor, resolution: int) -> Tensor:
    """Images of a net that has not grown to its full size yet, enlarged to it by repeating pixels."""
    factor = resolution // images.shape[-1]
    return images if factor == 1 else torch.nn.functional.interpolate(images, scale_factor=float(factor))


def to_uint8(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] to uint8 (N, H, W, C) on the CPU."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()


class Session(Player):
    """A game in training."""

    def __init__(self, config: Config, spec: Spec, data: Split, runtime: Runtime):
        super().__init__(config, spec, runtime)
        self.game.nets.train()
        self.optims = {name: Optim(player, self.game.nets) for name, player in self.game.players.items()}
        texts = self.read(data.captions or (), len(data))
        self.feed = Feed(data, config, runtime, texts)
        self.controls = {"ema": self.ema, **self.game.controls}

    def sources(self, n: int) -> Tensor | None:
        """The first of the images to train on, in turn."""
        images = self.feed.split.images
        return torch.from_numpy(images[np.arange(n) % len(images)]) if self.game.translator else None

    @property
    def shares(self) -> list[float]:
        return [stage.share for stage in self.game.stages]

    def step(self, plan: Plan) -> Mapping[str, Tensor]:
        """Plays one step, moves the clock on, and lets the controls act."""
        position = self.clock.images

        def draw() -> Batch:
            nonlocal position
            batch = self.feed.at(position)
            position += len(batch)
            return batch

        seed_step(self.config.train.seed, self.clock.step)
        stats = play_step(self.game, self.optims, draw, self.clock, self.runtime)
        self.clock = plan.at(self.clock.step + 1, position)
        for control in self.controls.values():
            control.after_step(self.game.nets, self.clock, stats)
        return stats

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, by the file that it goes to."""
        return {
            "nets": dict(self.game.nets.state_dict()),
            "ema": self.ema.state_dict(),
            "optims": {name: optim.state_dict() for name, optim in self.optims.items()},
            "stateful": {name: thing.state_dict() for name, thing in self.game.stateful().items()},
            "clock": {"step": self.clock.step, "images": self.clock.images},
        }

    def restore(self, state: dict[str, Any], plan: Plan) -> None:
        """The state of a checkpoint."""
        self.restore_nets(state, plan)
        for name, optim in self.optims.items():
            optim.load_state_dict(state["optims"].get(name, {}))
        for name, thing in self.game.stateful().items():
            if name in state["stateful"]:  # one that the run did not have before begins anew
                thing.load_state_dict(state["stateful"][name])

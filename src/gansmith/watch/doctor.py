"""What a doctor gathers in anybody's own loop. It judges nothing yet: `Doctor.looks` is all it has to say.

doctor = Doctor(real=images, generator=g)
for ...:
    ...
    doctor.step(real_logits=..., fake_logits=..., d_loss=..., g_loss=..., fakes=...)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.watch.look import FAKES, FIXED, Gauge, Seen
from gansmith.watch.signals import Signals

FIRST, A_PART = 20, 60
"""Steps to the first look, and the part of all steps so far that lies between two looks later."""


class Doctor:
    """Watches a loop that knows nothing of gansmith. It changes nothing: no gradient, no weight, no random number.

    Args:
        real: samples that D is trained on, (N, C, H, W) images or (N, D) points, as D sees them.
        generator: the network; without it, what only it tells is not measured.
        held_out: samples that D is not trained on.

    Attributes:
        looks: what was measured, the oldest first (see `Gauge.look`).
    """

    def __init__(
        self,
        real: Tensor,
        generator: nn.Module | None = None,
        held_out: Tensor | None = None,
    ):
        self.gauge = Gauge(real, held_out)
        self.g = generator
        self.looks: list[Signals] = []
        self.count, self.images, self.last = 0, 0, 0
        self.is_given_fakes = False
        self.fakes: deque[Tensor] = deque()
        self.outputs: dict[str, deque[Tensor]] = {name: deque() for name in ("known", "fake")}
        self.losses: dict[str, list[Tensor]] = {}
        self.before: Tensor | None = None
        self.asked: tuple[Any, ...] | None = None
        if generator is not None:
            generator.register_forward_hook(self._generated)

    def step(
        self,
        real_logits: Tensor | None = None,
        fake_logits: Tensor | None = None,
        d_loss: Tensor | float | None = None,
        g_loss: Tensor | float | None = None,
        fakes: Tensor | None = None,
    ) -> None:
        """To be called once a step, at its end, with whatever the loop has. Nothing here waits for a device, but at a
        look, which is due after a sixtieth of the steps so far.

        Args:
            real_logits, fake_logits: what D said, (N,) or (N, ...).
            d_loss, g_loss: what both paid.
            fakes: what G made, (N, ...).
        """
        self.count += 1
        self.images += 0 if real_logits is None else len(real_logits)
        for name, outputs in (("known", real_logits), ("fake", fake_logits)):
            if outputs is not None:
                keep(self.outputs[name], outputs.detach().flatten(1).mean(1) if outputs.ndim > 1 else outputs.detach())
        if fakes is not None:
            if not self.is_given_fakes:
                self.fakes.clear()
            self.is_given_fakes = True
            keep(self.fakes, fakes.detach())
        for name, loss in (("d_loss", d_loss), ("g_loss", g_loss)):
            if loss is not None:
                self.losses.setdefault(name, []).append(torch.as_tensor(loss).detach().float().reshape(()))
        due = self.last + max(FIRST, self.last // A_PART)
        if self.count >= due - 1:
            now = weights(self.g) if self.g is not None else None
            if self.count >= due:
                self.look(now)
            self.before = now

    def look(self, now: Tensor | None) -> None:
        """Measures what has been gathered; `now` are G's weights."""
        self.last = self.count
        seen = Seen(
            self.count,
            self.images,
            fakes=joined(self.fakes),
            fixed=self._fixed(),
            known=joined(self.outputs["known"]),
            fake=joined(self.outputs["fake"]),
            gradient=gradient_norm(self.g),
            update=None if now is None or self.before is None else relative(now, self.before),
            losses={name: torch.stack(values).mean().item() for name, values in self.losses.items()},
        )
        self.looks.append(self.gauge.look(seen))
        self.losses.clear()

    def _generated(self, net: nn.Module, asked: tuple[Any, ...], made: Any) -> None:
        """Keeps the first latents, and the last samples."""
        if not isinstance(made, Tensor) or not len(made):
            return
        if self.asked is None and asked and all(isinstance(a, Tensor) and len(a) == len(made) for a in asked):
            self.asked = tuple(a.detach()[:FIXED].clone() for a in asked)
        if not self.is_given_fakes:
            keep(self.fakes, made.detach())

    def _fixed(self) -> Tensor | None:
        """Samples of the same latents as ever, made as the loop makes them."""
        if self.g is None or self.asked is None:
            return None
        with untouched(self.g), torch.no_grad():
            return self.g(*self.asked)


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Running figures, hooks' doings and random numbers are as before afterwards."""
    figures = {name: buffer.clone() for name, buffer in net.named_buffers()}
    hooks, net._forward_hooks = net._forward_hooks, type(net._forward_hooks)()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            net._forward_hooks = hooks
            for name, buffer in net.named_buffers():
                buffer.copy_(figures[name])


def keep(kept: deque[Tensor], batch: Tensor) -> None:
    """Appends a batch, and drops batches that are not needed any more for `FAKES` rows."""
    kept.append(batch)
    while sum(len(rows) for rows in kept) - len(kept[0]) >= FAKES:
        kept.popleft()


def joined(batches: deque[Tensor]) -> Tensor | None:
    return torch.cat([*batches]) if batches else None


def weights(net: nn.Module) -> Tensor:
    """All of them (P,), a copy."""
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def relative(now: Tensor, before: Tensor) -> float:
    return ((now - before).norm() / before.norm().clamp(min=1e-12)).item()


def gradient_norm(net: nn.Module | None) -> float | None:
    """Of the gradients that the loop has left, or None where it has left none."""
    found = [] if net is None else [p.grad.detach().norm() for p in net.parameters() if p.grad is not None]
    return torch.stack(found).norm().item() if found else None

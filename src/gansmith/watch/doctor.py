"""The doctor in anybody's own loop.

doctor = Doctor(real=images, generator=g, discriminator=d)
for ...:
    ...
    doctor.step(real_logits=..., fake_logits=..., d_loss=..., g_loss=..., fakes=...)
print(doctor)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.watch.look import FAKES, FIXED, Gauge, Outputs, Seen, evenly
from gansmith.watch.sick_data import faults
from gansmith.watch.signals import Signals
from gansmith.watch.verdicts import Verdict, in_sentences, sick, unjudged, verdicts

FIRST, A_PART = 20, 60
"""Steps to the first look, and the part of all steps so far that lies between two looks later."""
GIVEN = ("real_logits", "fake_logits", "d_loss", "g_loss", "fakes")
OUTPUTS = {"real_logits": "known", "fake_logits": "fake"}
WHO = {"g": "the generator", "d": "the discriminator"}


class Doctor:
    """Watches a loop that knows nothing of gansmith. It changes nothing: no gradient, no weight, no random number.

    Args:
        real: samples that D is trained on, (N, C, H, W) images or (N, D) points, as D sees them.
        generator, discriminator: the networks; without them, what only they tell is not measured. A discriminator is
            asked itself where the loop asks it about samples alone; else the loop's logits are all that there is.
        held_out: samples that D is not trained on, without which memory cannot be told from learning.

    Attributes:
        looks: what was measured, the oldest first (see `Gauge.look`).
        data: a verdict on `real`, where they are sick.
        broken: where something was not finite for the first time; empty where everything is.
    """

    def __init__(
        self,
        real: Tensor,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        held_out: Tensor | None = None,
    ):
        self.gauge = Gauge(real, held_out)
        self.nets = {name: net for name, net in (("g", generator), ("d", discriminator)) if net is not None}
        self.known = evenly(real, FAKES)
        self.held = None if held_out is None else evenly(held_out, FAKES)
        self.data = sick(faults(real))
        self.looks: list[Signals] = []
        self.broken = ""
        self.count, self.images, self.last = 0, 0, 0
        self.is_given_fakes = False
        self.fakes: deque[Tensor] = deque()
        self.outputs: dict[str, deque[Tensor]] = {name: deque() for name in ("known", "fake")}
        self.losses: dict[str, list[Tensor]] = {}
        self.first: dict[str, Tensor] = {}
        self.before: dict[str, Tensor] = {}
        self.asked: dict[str, tuple[Tensor, ...]] = {}
        self.born = {name: weights(net).norm().clamp(min=1e-12) for name, net in self.nets.items()}
        for name, net in self.nets.items():
            net.register_forward_hook(partial(self._called, name))

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
        # Without D's outputs for reals there were as many of these as fakes, as far as anybody knows.
        self.images += len(real_logits) if real_logits is not None else 0 if fakes is None else len(fakes)
        if fakes is not None and not self.is_given_fakes:
            self.fakes.clear()
            self.is_given_fakes = True
        given = (real_logits, fake_logits, d_loss, g_loss, fakes)
        for name, value in zip(GIVEN, given, strict=True):
            if value is None:
                continue
            rows = torch.as_tensor(value).detach()
            self._note(name, torch.isfinite(rows).all())
            if name == "fakes":
                keep(self.fakes, rows)
            elif name in OUTPUTS:
                keep(self.outputs[OUTPUTS[name]], rows.flatten(1).mean(1) if rows.ndim > 1 else rows)
            else:
                self.losses.setdefault(name, []).append(rows.float().mean())
        due = self.last + max(FIRST, self.last // A_PART)
        if self.count >= due - 1:
            now = {name: weights(net) for name, net in self.nets.items()}
            if self.count >= due:
                self.look(self.seen(now))
            self.before = now

    def verdicts(self) -> list[Verdict]:
        """What ails the game, the likeliest first; nothing before sixteen looks, but for sick data and what is
        not finite."""
        self.broken = self.broken or self._where()  # a loop may have ended at once
        found = verdicts(self.looks, self.broken) + self.data
        # A loop of anybody's has no family whose settings could be its own.
        return [replace(one, cures=tuple(cure for cure in one.cures if not cure.same)) for one in found]

    def unjudged(self) -> list[str]:
        """Names of the illnesses that cannot be judged, for want of what tells them."""
        return unjudged(self.looks)

    def __str__(self) -> str:
        return in_sentences(self.verdicts(), self.unjudged(), len(self.looks))

    def _note(self, name: str, finite: Tensor) -> None:
        """Keeps the step after which something was not finite for the first time, on its device."""
        was = self.first.get(name, torch.full((), -1, device=finite.device))
        self.first[name] = torch.where((was < 0) & ~finite, self.count, was)

    def look(self, seen: Seen) -> None:
        """Measures a moment."""
        self.looks.append(self.gauge.look(seen))

    def seen(self, now: dict[str, Tensor]) -> Seen:
        """What has been gathered since the last look; `now` are the networks' weights."""
        self.last = self.count
        figures = {name: torch.stack(values).mean().item() for name, values in self.losses.items()}
        self.losses.clear()
        for name, net in self.nets.items():
            norm = gradient_norm(net)
            figures |= {f"{name}_growth": (now[name].norm() / self.born[name]).item()} | (
                {} if norm is None else {f"{name}_gradient": norm}
            )
            if name in self.before:
                figures[f"{name}_update"] = relative(now[name], self.before[name])
        fakes = joined(self.fakes)
        self.broken = self.broken or self._where()
        figures["finite"] = not self.broken
        return Seen(self.count, self.images, fakes, self._fixed(), self._judges(fakes), figures)

    def _judges(self, fakes: Tensor | None) -> tuple[Outputs, ...]:
        """What D says, asked now where that can be, else as the loop told it."""
        if fakes is not None and "d" in self.nets and len(self.asked.get("d", ())) == 1:
            held = None if self.held is None else self._judged(self.held)
            return (Outputs(self._judged(self.known), held, self._judged(evenly(fakes, FAKES))),)
        known, fake = joined(self.outputs["known"]), joined(self.outputs["fake"])
        return () if known is None or fake is None else (Outputs(known, None, fake),)

    def _called(self, name: str, net: nn.Module, asked: tuple[Any, ...], made: Any) -> None:
        """Keeps what a network was asked first, and the last samples."""
        if not isinstance(made, Tensor) or not len(made):
            return
        if name not in self.asked and asked and all(isinstance(a, Tensor) and len(a) == len(made) for a in asked):
            self.asked[name] = tuple(a.detach()[:FIXED].clone() for a in asked)
        if name == "g" and not self.is_given_fakes:
            keep(self.fakes, made.detach())

    def _fixed(self) -> Tensor | None:
        """Samples of the same latents as ever, made as the loop makes them."""
        if "g" not in self.asked:
            return None
        with untouched(self.nets["g"]), torch.no_grad():
            made: Tensor = self.nets["g"](*self.asked["g"])
        return made

    def _judged(self, samples: Tensor) -> Tensor:
        """What D says of samples (N,), asked as the loop asks it."""
        like = self.asked["d"][0]
        with untouched(self.nets["d"]), torch.no_grad():
            said: Tensor = self.nets["d"](samples.to(like).view(-1, *like.shape[1:]))
        return said.float().flatten(1).mean(1) if said.ndim > 1 else said.float()

    def _where(self) -> str:
        """What was not finite first: of all that the loop told, and of the networks' layers."""
        steps = {name: step for name, value in self.first.items() if (step := int(value)) >= 0}
        layers = [f"{WHO[name]}'s {layer}" for name, net in self.nets.items() if (layer := broken_layer(net))]
        if not steps and not layers:
            return ""
        earliest = min(steps.values(), default=self.count)
        told = [name for name, step in steps.items() if step == earliest]
        parts = [f"{' and '.join(told)} in step {earliest}"] if told else []
        return "; ".join(parts + ([f"weights from {' and '.join(layers)} on"] if layers else []))


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


def broken_layer(net: nn.Module) -> str:
    """The name of the first of its parameters that is not finite, or nothing."""
    return next((name for name, p in net.named_parameters() if not torch.isfinite(p).all()), "")


def gradient_norm(net: nn.Module) -> float | None:
    """Of the gradients that the loop has left, or None where it has left none."""
    found = [p.grad.detach().norm() for p in net.parameters() if p.grad is not None]
    return torch.stack(found).norm().item() if found else None

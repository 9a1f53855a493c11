"""What helps any two-player family: settings, and the controls that feed them back from D's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.config import Settings
from gansmith.core.game import Nets
from gansmith.losses.regularisers import lecam


class AdaConfig(Settings):
    """Adaptive discriminator augmentation (Karras 2020, "Training … with Limited Data")."""

    target: float = Field(0.6, gt=-1, lt=1)
    """the mean sign of D's outputs for reals that p is steered to (sec. 3)"""
    kimg: float = Field(500.0, gt=0)
    """thousands of images in which p can go from 0 to 1"""


@dataclass
class Ada:
    """Raises the probability of augmentation while D is too sure of the reals, lowers it otherwise (sec. 3, r_t).

    Attributes:
        p: the probability.
        images: where the clock stood when p last moved; None before the first step that is seen.
        player: whose outputs are looked at; so too below.
    """

    config: AdaConfig
    p: Tensor = field(default_factory=lambda: torch.zeros(()))
    images: int | None = None
    player: str = "D"

    @torch.no_grad()
    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None:
        step = (clock.images - (clock.images if self.images is None else self.images)) / (1000 * self.config.kimg)
        self.images = clock.images
        if f"{self.player}/sign" in stats:
            sign = stats[f"{self.player}/sign"].float()
            self.p = (self.p.to(sign.device) + (sign - self.config.target).sign() * step).clamp(0, 1)

    def state_dict(self) -> dict[str, Any]:
        return {"p": self.p, "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.p, self.images = state["p"], state["images"]


@dataclass
class LeCam:
    """D's mean outputs for reals and fakes, averaged over steps, and what D pays for leaving them (Tseng 2021).

    Attributes:
        decay: of the average, per step; 0.99 in the paper's code. Of the first steps it is the plain mean.
        steps: how many are in the average.
    """

    decay: float = 0.99
    real: Tensor = field(default_factory=lambda: torch.zeros(()))
    fake: Tensor = field(default_factory=lambda: torch.zeros(()))
    steps: int = 0
    player: str = "D"

    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None:
        if f"{self.player}/real" in stats:
            self.steps += 1
            keep = min(self.decay, 1 - 1 / self.steps)
            real, fake = stats[f"{self.player}/real"].float(), stats[f"{self.player}/fake"].float()
            self.real = torch.lerp(real, self.real.to(real.device), keep)
            self.fake = torch.lerp(fake, self.fake.to(fake.device), keep)

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        return lecam(real, fake, self.real.to(real.device), self.fake.to(real.device))

    def state_dict(self) -> dict[str, Any]:
        return {"real": self.real, "fake": self.fake, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.real, self.fake, self.steps = state["real"], state["fake"], state["steps"]


@dataclass
class Balance:
    """Lets the weaker player move more often: `lead` is how often more, for G where positive, for D where negative.

    D's accuracy is the share of pairs (real, fake) that it ranks rightly, which every loss has. It is looked at every
    `every` steps, so that a step seldom waits for the device.
    """

    target: float
    every: int = 16
    most: int = 3
    lead: int = 0
    accuracy: Tensor = field(default_factory=lambda: torch.tensor(0.5))
    player: str = "D"

    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None:
        if f"{self.player}/accuracy" in stats:
            now = stats[f"{self.player}/accuracy"].float()
            self.accuracy = torch.lerp(self.accuracy.to(now.device), now, 1 / self.every)
        if clock.step % self.every == 0:
            stronger = 1 if self.accuracy.item() > self.target else -1
            self.lead = max(-self.most, min(self.most, self.lead + stronger))

    def for_g(self, clock: Clock) -> int:
        return max(0, self.lead)

    def for_d(self, clock: Clock) -> int:
        return max(0, -self.lead)

    def state_dict(self) -> dict[str, Any]:
        return {"lead": self.lead, "accuracy": self.accuracy}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.lead, self.accuracy = state["lead"], state["accuracy"]


def burst(updates: int) -> Callable[[Clock], int]:
    """So many further updates of the critic in each of the first 25 steps, and in every 500th (Arjovsky 2017, released
    code, where they make 100 in all): its estimate of the distance is then near the true one."""
    return lambda clock: updates if clock.step < 25 or clock.step % 500 == 0 else 0

"""Where a run computes, in which precision, and from which random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.core.config import TrainConfig
from gansmith.core.errors import ConfigError
from gansmith.core.hardware import has_bf16


@dataclass(frozen=True)
class Runtime:
    """Device and precision of a run.

    Attributes:
        device: where nets and batches live.
        autocasts: whether losses run under bf16 autocast (penalties switch it off for themselves).
    """

    device: torch.device
    autocasts: bool

    @classmethod
    def of(cls, config: TrainConfig, began_in_bf16: bool = True) -> Runtime:
        """The runtime that a configuration asks for; ConfigError where this machine has no such device.

        Args:
            began_in_bf16: what ``auto`` came to when the run began, so that it goes on in fp32 as it was.
        """
        device = find_device(config.device)
        auto = config.precision == "auto" and began_in_bf16 and has_bf16(device)
        return cls(device, auto or config.precision == "bf16")

    def autocast(self) -> AbstractContextManager[object]:
        """The context that losses run in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocasts)

    def place(self, nets: nn.ModuleDict) -> nn.ModuleDict:
        """Nets on the device, convolutions channels last."""
        return nets.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def images(self, packed: Tensor) -> Tensor:
        """Packed uint8 (N, R, R, C) to images (N, C, R, R) in [-1, 1], channels last."""
        images = packed.to(self.device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32)
        return images.mul_(1 / 127.5).sub_(1.0).contiguous(memory_format=torch.channels_last)


def find_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"train.device: no device '{name}' here; try auto or cpu") from error
    return device


def mixed_seed(*parts: int) -> int:
    """One seed from several numbers (the run's seed, a stream, a step), well mixed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


BUILD, STEP, SHUFFLE, SAMPLE, TARGETS, JITTER = range(6)
"""Streams of random numbers: each use has its own, so that none moves another."""


def seed_step(seed: int, step: int) -> None:
    """Makes all randomness of a step a pure function of (seed, step), so that resuming needs no generator's state."""
    torch.manual_seed(mixed_seed(seed, STEP, step))


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Torch's global generators seeded inside, and as the caller left them afterwards."""
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield

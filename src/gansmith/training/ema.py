"""The exponential moving average of the nets that samples are made with."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.core.clock import Clock
from gansmith.core.config import EmaConfig
from gansmith.core.game import Nets


class Ema:
    """A control that follows the weights, and the running statistics, of some nets."""

    def __init__(self, nets: Nets, names: tuple[str, ...], config: EmaConfig):
        self.config = config
        self.names = names
        self.nets = nn.ModuleDict({name: deepcopy(nets[name]) for name in names}).eval().requires_grad_(False)
        self.images = 0
        # Parameters are updated in place for as long as a run lives, so the lists need walking only once.
        self.live, self.slow = _leaves(nets[name] for name in names), _leaves(self.nets.values())

    @torch.no_grad()
    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None:
        """Moves the average towards the nets by as much as the images since the last step are worth."""
        half_life = min(1000 * self.config.half_life_kimg, self.config.ramp_up * clock.images)
        weight = 1 - 0.5 ** ((clock.images - self.images) / max(half_life, 1e-9))
        torch._foreach_lerp_(self.slow, self.live, weight)
        self.images = clock.images

    def state_dict(self) -> dict[str, Any]:
        return {"nets": dict(self.nets.state_dict()), "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.nets.load_state_dict(state["nets"])
        self.images = state["images"]


def _leaves(nets: Any) -> list[Tensor]:
    """Parameters and floating buffers."""
    return [t for net in nets for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()]

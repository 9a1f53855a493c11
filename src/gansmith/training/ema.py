"""The exponential moving average of the nets that samples are made with."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.core.clock import Clock
from gansmith.core.config import EmaConfig
from gansmith.core.game import Game, Nets


class Ema:
    """A control that follows the weights, and the running statistics, of some nets.

    The average of a net begins with the stage that first changes it: what it was before is nothing to remember.
    """

    def __init__(self, game: Game, config: EmaConfig):
        self.config = config
        averaged = {name: deepcopy(game.nets[name]) for name in game.averaged}
        self.nets = nn.ModuleDict(averaged).eval().requires_grad_(False)
        self.images = 0
        # Parameters are updated in place for as long as a run lives, so the lists need walking only once.
        self.groups = []
        for stage in sorted({game.first_stage(name) for name in averaged}):
            names = [name for name in averaged if game.first_stage(name) == stage]
            self.groups.append((stage, _leaves(game.nets[name] for name in names), _leaves(averaged[n] for n in names)))

    @torch.no_grad()
    def after_step(self, nets: Nets, clock: Clock, stats: Mapping[str, Tensor]) -> None:
        """Moves the average towards the nets by as much as the images since the last step are worth."""
        for stage, live, slow in self.groups:
            half_life = min(1000 * self.config.half_life_kimg, self.config.ramp_up * clock.images_since(stage))
            weight = 1 - 0.5 ** ((clock.images - self.images) / max(half_life, 1e-9))
            torch._foreach_lerp_(slow, live, weight)
        self.images = clock.images

    def state_dict(self) -> dict[str, Any]:
        return {"nets": dict(self.nets.state_dict()), "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.nets.load_state_dict(state["nets"])
        self.images = state["images"]


def _leaves(nets: Any) -> list[Tensor]:
    """Parameters and floating buffers."""
    return [t for net in nets for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()]

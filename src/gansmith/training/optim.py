"""A player's optimiser: its learning rate a function of the clock, its state named after the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gansmith.core.clock import SCHEDULES, Clock, cosine
from gansmith.core.config import OptimConfig
from gansmith.core.game import Nets, Player


def make(config: OptimConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The torch optimiser of a configuration; fused, which is one kernel for all parameters of a net."""
    if config.kind == "adam":
        return torch.optim.Adam(parameters, config.lr, (config.beta1, config.beta2), fused=True)
    if config.kind == "rmsprop":
        return torch.optim.RMSprop(parameters, config.lr, config.beta2, momentum=config.beta1)
    return torch.optim.SGD(parameters, config.lr, momentum=config.beta1)


def statistics(config: OptimConfig) -> set[str]:
    """What torch's optimiser of this kind keeps for every parameter."""
    momentum = {"momentum_buffer"} if config.beta1 else set()
    return {"adam": {"step", "exp_avg", "exp_avg_sq"}, "rmsprop": {"step", "square_avg"} | momentum, "sgd": momentum}[
        config.kind
    ]


def learning_rate(config: OptimConfig, progress: float) -> float:
    """Rises over the warm-up, and falls from `lr` to `lr_end` over the whole run."""
    risen = min(1.0, progress / config.warm_up) if config.warm_up else 1.0
    end = min(config.lr_end, config.lr)
    return risen * (end + (config.lr - end) * SCHEDULES[config.decay](progress))


def beta2(config: OptimConfig, progress: float) -> float:
    """From `beta2` to `beta2_end` by a cosine."""
    assert config.beta2_end is not None
    return config.beta2_end + (config.beta2 - config.beta2_end) * cosine(progress)


class Optim:
    """What changes a player's nets.

    Attributes:
        share: of the learning rate that the clock gives, what is used.
    """

    def __init__(self, player: Player, nets: Nets):
        self.player, self.share = player, 1.0
        self.nets = [nets[name] for name in player.nets]
        self.named = {f"{name}.{key}": p for name in player.nets for key, p in nets[name].named_parameters()}
        self.torch = make(player.optim, list(self.named.values()))

    def step(self, clock: Clock) -> None:
        """Applies and drops the gradients, by the clock's schedules, then projects the nets if they need it."""
        config = self.player.optim
        for group in self.torch.param_groups:
            group["lr"] = self.share * learning_rate(config, clock.progress)
            if config.beta2_end is not None:
                group["betas"] = (config.beta1, beta2(config, clock.progress))
        if config.clip:
            nn.utils.clip_grad_norm_(self.named.values(), config.clip)
        self.torch.step()
        self.torch.zero_grad(set_to_none=True)
        if self.player.project:
            for net in self.nets:
                self.player.project(net)

    def state_dict(self) -> dict[str, Any]:
        return {key: dict(self.torch.state[p]) for key, p in self.named.items() if self.torch.state[p]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave. A parameter whose state is another kind of optimiser's begins anew."""
        expected = statistics(self.player.optim)
        for key, saved in state.items():
            parameter = self.named[key]
            if set(saved) == expected:
                self.torch.state[parameter] = {name: self._placed(value, parameter) for name, value in saved.items()}

    def _placed(self, value: Tensor, parameter: nn.Parameter) -> Tensor:
        """A saved tensor, which is contiguous and on the CPU, as and where the optimiser looks for it: moments lie in
        memory as their parameter does, a count of steps is on the device for a fused optimiser alone."""
        if value.shape == parameter.shape:
            return torch.empty_like(parameter).copy_(value)
        return value.to(parameter.device if self.torch.defaults.get("fused") else "cpu", copy=True)

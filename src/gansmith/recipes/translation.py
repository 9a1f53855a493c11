"""What the families that make images of images share: settings, the moves' parts, and their sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.errors import ConfigError
from gansmith.core.game import Nets, Request, Sampler
from gansmith.core.spec import Spec
from gansmith.losses.adversarial import AdversarialLoss
from gansmith.metrics import perceptual_net

PerceptualNet = Literal["efflite0", "vgg16", "vgg16-imagenet"]


@dataclass
class Pool:
    """Fakes of earlier steps, some of which D is shown in place of new ones (Shrivastava 2017; Zhu 2017, sec. 4).

    Attributes:
        size: how many it holds at most; 0 holds none, and D sees the new ones.
        images: (n, C, R, R).
    """

    size: int
    images: Tensor = field(default_factory=lambda: torch.empty(0))

    def exchanged(self, fakes: Tensor) -> Tensor:
        """Each of the fakes (N, C, R, R), or, half of the time once the pool is full, an old one in its place, which
        leaves the pool to it."""
        self.images, shown = self.images.to(fakes.device), []  # a resumed pool comes from a file
        for fake in fakes.detach():
            if len(self.images) < self.size:
                self.images = torch.cat([self.images, fake[None]]) if len(self.images) else fake[None].clone()
            elif self.size and torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                fake, self.images[place] = self.images[place].clone(), fake
            shown.append(fake)
        return torch.stack(shown).contiguous(memory_format=torch.channels_last)

    def state_dict(self) -> dict[str, Any]:
        return {"images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = state["images"]


def perceived(name: PerceptualNet, made: Tensor, wanted: Tensor) -> Tensor:
    """The perceptual distance by the network of that name, a mean over images."""
    return perceptual_net(name, made.device).distance(made, wanted).mean()


def notes_on(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """What is logged of D's logits."""
    real, fake = real.detach().float(), fake.detach().float()
    return {"real": real, "fake": fake, "accuracy": (real.mean() > fake).float()}


def check_loss(name: str, loss: AdversarialLoss) -> None:
    """ConfigError where nothing would keep D's slope within bounds."""
    if loss.is_critic:
        raise ConfigError(f"loss={name}: nothing limits a critic here; least-squares, nonsaturating or hinge")


def check_targets(family: str, spec: Spec, paired: bool) -> None:
    """ConfigError where the data holds nothing that images could become."""
    if not spec.target_channels:
        raise ConfigError(
            f"{family}: has no images to make of those of --data; --to FOLDER names them, or let --data be a folder "
            "with trainA and trainB, or images side by side"
        )
    if paired and not spec.paired:
        raise ConfigError(f"{family}: needs pairs; --set data.targets=paired, or train cyclegan, which needs none")


def of_images(make: Callable[[Nets, Tensor], Tensor]) -> Sampler:
    """Samples that are made of the images that are asked for alone, without chance."""

    def images(nets: Nets, latents: Tensor, clock: Clock, request: Request) -> Tensor:
        assert request.sources is not None
        return make(nets, request.sources)

    return Sampler(lambda n, generator: torch.empty(n, 0), images, truncates=False)

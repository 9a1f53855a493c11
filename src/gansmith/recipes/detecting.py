"""How games tell images that are unlike all that they learnt: by what D sees, and by what they cannot make."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gansmith.core.game import Nets


def seen_by_d(nets: Nets, images: Tensor) -> Tensor:
    """Features (N, F) of images (N, C, R, R), which D's head sees."""
    return nets["D"].features(images)  # type: ignore[operator]


@dataclass(frozen=True)
class Unlike:
    """How unlike two images are: pixels · mean |x - y|ᵖ + seen · mean |f(x) - f(y)|ᵖ, f being what D sees of them.

    AnoGAN has p = 1 and weights 0.9 and 0.1 (Schlegl 2017, eq. 4 to 6, with sums), f-AnoGAN p = 2 and weights 1 and κ
    (Schlegl 2019, eq. 4).
    """

    pixels: float
    seen: float
    power: int

    def __call__(self, nets: Nets, images: Tensor, others: Tensor) -> Tensor:
        """(N,) of images (N, C, R, R)."""
        apart = (images - others).abs().pow(self.power).flatten(1).mean(1)
        if not self.seen:
            return self.pixels * apart
        seen = (seen_by_d(nets, images) - seen_by_d(nets, others)).abs().pow(self.power).mean(1)
        return self.pixels * apart + self.seen * seen

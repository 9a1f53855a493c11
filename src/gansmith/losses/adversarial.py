"""What D and G pay for D's logits.

Three costs of a single logit make a loss: what D pays where the label says *real*, what D pays where it says *fake*,
and what G pays for a fake. Means over a batch, pairing and label smoothing follow from them, in one place each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from gansmith.core.errors import ConfigError
from gansmith.core.names import named

Cost = Callable[[Tensor], Tensor]
"""Logits of any shape to as many costs, element by element."""


@dataclass(frozen=True)
class AdversarialLoss:
    """A pair (`d`, `g`) of functions of logits: D's raw outputs x, of any shape, before any sigmoid.

    Attributes:
        name: its key in `LOSSES`.
        paper: where it comes from.
        as_real: what D pays for a logit that is labelled real.
        as_fake: what D pays for a logit that is labelled fake.
        fooling: what G pays for the logit of a fake.
        paired: D judges the difference real - fake, so that `g` needs the logits of real images too.
        is_critic: D's outputs are unbounded values on no fixed scale, which mean nothing without a Lipschitz
            constraint (a penalty, clipping, spectral norm); otherwise they are logits, or scores near fixed targets.
        middle: the output by which D calls an image neither real nor fake; of no meaning for a critic or in pairs.
    """

    name: str
    paper: str
    as_real: Cost
    as_fake: Cost
    fooling: Cost
    paired: bool = False
    is_critic: bool = False
    middle: float = 0.0

    def d(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D pays: E as_real(real) + E as_fake(fake); if `paired`, E as_real(real - fake).

        Args:
            real, fake: logits of real and of fake images; equal shapes.

        Returns:
            A scalar, in fp32 or better.

        Raises:
            ValueError: the shapes differ.
        """
        if self.paired:
            return self.as_real(_difference(real, fake)).mean()
        _check_shapes(real, fake)
        return self.as_real(_precise(real)).mean() + self.as_fake(_precise(fake)).mean()

    def g(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """What G pays: E fooling(fake); if `paired`, E fooling(fake - real).

        Args:
            fake: logits of fake images.
            real: logits of as many real images; ignored unless `paired`.

        Returns:
            A scalar, in fp32 or better.

        Raises:
            ValueError: `real` is missing where it is needed, or the shapes differ.
        """
        if not self.paired:
            return self.fooling(_precise(fake)).mean()
        if real is None:
            raise ValueError(f"the {self.name} loss is paired: g needs D's logits of real images too")
        return self.fooling(_difference(fake, real)).mean()


def smoothed(loss: AdversarialLoss, epsilon: float) -> AdversarialLoss:
    """`loss` with one-sided label smoothing: real images are labelled fake with weight `epsilon`; G pays as before.

    as_real(x) becomes (1 - ε) as_real(x) + ε as_fake(x). For the losses of a probability this is the cross-entropy
    with the soft target 1 - ε; for least squares it moves the target from b to (1 - ε) b + ε a, up to a constant.
    Of a Wasserstein critic it leaves -(1 - 2ε) x, which no longer balances the fakes' +x: a shift of the critic then
    pays without limit, and only a penalty on the size of its outputs (ProGAN's drift term) keeps it in place.

    Salimans et al. 2016, "Improved Techniques for Training GANs", sec. 3.4, where ε = 0.1.

    Args:
        loss: any loss.
        epsilon: 0 (which gives `loss` itself) up to, but not including, 0.5, where both labels weigh the same.

    Raises:
        ConfigError: `epsilon` is out of range.
    """
    if not 0 <= epsilon < 0.5:
        raise ConfigError(f"label smoothing: expected a number from 0 up to, not including, 0.5, got {epsilon}")
    if epsilon == 0:
        return loss
    as_real, as_fake = loss.as_real, loss.as_fake
    return replace(loss, as_real=lambda x: (1 - epsilon) * as_real(x) + epsilon * as_fake(x))


def least_squares(a: float = 0.0, b: float = 1.0, c: float = 1.0) -> AdversarialLoss:
    """D: ½ E(x_real - b)² + ½ E(x_fake - a)². G: ½ E(x_fake - c)².

    Mao et al. 2017, "Least Squares Generative Adversarial Networks", eq. 2; the defaults are its eq. 9. With
    b - c = 1 and b - a = 2 (a=-1, b=1, c=0) G minimises a Pearson χ² divergence (its eq. 8).
    """
    return AdversarialLoss(
        name="least-squares",
        paper="Mao et al. 2017, Least Squares Generative Adversarial Networks, eq. 2",
        as_real=lambda x: (x - b).square() / 2,
        as_fake=lambda x: (x - a).square() / 2,
        fooling=lambda x: (x - c).square() / 2,
        middle=(a + b) / 2,
    )


# With D = sigmoid(x): -log D = softplus(-x) and -log(1 - D) = softplus(x), which do not overflow.


def _softplus_of_minus(x: Tensor) -> Tensor:
    return softplus(-x)


def _negative(x: Tensor) -> Tensor:
    return -x


MINIMAX = AdversarialLoss(
    name="minimax",
    paper="Goodfellow et al. 2014, Generative Adversarial Nets, eq. 1",
    as_real=_softplus_of_minus,
    as_fake=softplus,
    fooling=lambda x: -softplus(x),
)
"""D: -E log D(real) - E log(1 - D(fake)). G: E log(1 - D(fake)), whose gradient vanishes where D wins ("saturates").

In logits, D: E softplus(-x_real) + E softplus(x_fake). G: -E softplus(x_fake)."""

NONSATURATING = replace(
    MINIMAX,
    name="nonsaturating",
    paper="Goodfellow et al. 2014, Generative Adversarial Nets, sec. 3",
    fooling=_softplus_of_minus,
)
"""D: as `MINIMAX`. G: -E log D(fake) = E softplus(-x_fake), whose gradient is largest where D wins."""

WASSERSTEIN = AdversarialLoss(
    name="wasserstein",
    paper="Arjovsky et al. 2017, Wasserstein GAN, alg. 1, lines 5 and 10",
    as_real=_negative,
    as_fake=lambda x: x,
    fooling=_negative,
    is_critic=True,
)
"""D: E x_fake - E x_real, the negated estimate of the Wasserstein-1 distance. G: -E x_fake."""

HINGE = AdversarialLoss(
    name="hinge",
    paper="Lim & Ye 2017, Geometric GAN; Miyato et al. 2018, Spectral Normalization for GANs, eq. 16 and 17",
    as_real=lambda x: relu(1 - x),
    as_fake=lambda x: relu(1 + x),
    fooling=_negative,
)
"""D: E max(0, 1 - x_real) + E max(0, 1 + x_fake). G: -E x_fake."""

RELATIVISTIC = AdversarialLoss(
    name="relativistic",
    paper="Jolicoeur-Martineau 2018, The relativistic discriminator; Huang et al. 2024, R3GAN, eq. 2",
    as_real=_softplus_of_minus,
    as_fake=softplus,
    fooling=_softplus_of_minus,
    paired=True,
)
"""D: E softplus(-(x_real - x_fake)). G: E softplus(-(x_fake - x_real)).

D says which of a pair is real, not whether one image is. Its outputs have no fixed zero: only differences count."""

LOSSES = {loss.name: loss for loss in (MINIMAX, NONSATURATING, least_squares(), WASSERSTEIN, HINGE, RELATIVISTIC)}


def loss_named(name: str) -> AdversarialLoss:
    """The loss of `LOSSES` called `name`.

    Raises:
        ConfigError: there is none; the message proposes the nearest name.
    """
    return named("adversarial loss", LOSSES, name)


def _precise(x: Tensor) -> Tensor:
    """`x` in fp32 or better: bf16 keeps 8 bits, too few for a difference of logits or the mean of a batch."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _difference(x: Tensor, y: Tensor) -> Tensor:
    _check_shapes(x, y)
    return _precise(x) - _precise(y)


def _check_shapes(x: Tensor, y: Tensor) -> None:
    # (N, 1) against (N,) would broadcast to N x N pairs and train, wrongly, without a word.
    if x.shape != y.shape:
        raise ValueError(f"logits of real and of fake images differ in shape: {tuple(x.shape)}, {tuple(y.shape)}")

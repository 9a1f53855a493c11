"""How the two players are told the class of an image: the same for every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gansmith.core.errors import ConfigError
from gansmith.core.game import Batch, Request
from gansmith.core.spec import Spec
from gansmith.nets.blocks import (
    MinibatchDiscrimination,
    MinibatchStddev,
    Reshaped,
    Upfront,
    images_at_once,
    spectrally_normed,
)
from gansmith.nets.conditional import (
    AuxiliaryDiscriminator,
    ConcatDiscriminator,
    ConcatGenerator,
    ProjectionDiscriminator,
)
from gansmith.recipes.two_player import Conditions, Opinion, Rules, TwoPlayerConfig, check_norms

MakeG = Callable[[int], nn.Module]
MakeD = Callable[[Spec], nn.Module]


@dataclass(frozen=True)
class Pair:
    """G and D, and how they are told the class."""

    g: nn.Module
    d: nn.Module
    rules: Rules


def by_label(asked: Batch | Request) -> Conditions:
    """Both players are told the labels."""
    if asked.labels is None:
        raise ConfigError("conditioning: labels are needed; class sub-folders or metadata.csv give them")
    return (asked.labels,)


def named_rightly(opinion: Opinion, conditions: Conditions) -> dict[str, Tensor]:
    """What both players pay for the class that D names, D of reals and of fakes (Odena et al. 2017, eq. 3)."""
    assert opinion.classes is not None
    return {"class": cross_entropy(opinion.classes.float(), conditions[0])}


def paired(
    config: TwoPlayerConfig, spec: Spec, make_g: MakeG, make_d: MakeD, make_class_g: MakeG | None = None
) -> Pair:
    """G and D, and the rules of telling them the class, by ``config.conditioning``; D dressed as configured.

    Args:
        make_g: latent's length -> G.
        make_d: the data's shape, as D sees it -> D, with ``features``, ``head`` and ``width`` (see
            `ProjectionDiscriminator`), and ``lower``, its levels from the image on.
        make_class_g: number of classes -> a G that takes labels itself, for projection; where a family has none, G
            gets the label beside the latent.

    Raises:
        ConfigError: classes are asked for, and the data has fewer than two; or D's norms and penalties do not go
            together.
    """
    how, classes = config.conditioning, len(spec.classes)
    rules = Rules((config.latent,))
    if how == "none":
        g = make_g(config.latent)
    else:
        check_classes(how, classes)
        rules = replace(rules, conditions=by_label, aside=named_rightly if how == "acgan" else rules.aside)
        takes_labels = how == "projection" and make_class_g
        g = takes_labels(classes) if takes_labels else ConcatGenerator(make_g(config.latent + classes), classes)
    d = told_d(config, spec, make_d)
    check_norms(config, d)
    return Pair(g, d, replace(rules, at_once=images_at_once(d)))


def told_d(config: TwoPlayerConfig, spec: Spec, make_d: MakeD) -> nn.Module:
    """D that is told the class, or names it, and is dressed as configured."""
    how, classes = config.conditioning, len(spec.classes)
    channels = spec.channels * config.pack + (classes if how == "concat" else 0)
    d = with_minibatch(config, make_d(replace(spec, channels=channels)))
    if how == "concat":
        d = ConcatDiscriminator(d, classes)
    elif how == "projection":
        d = ProjectionDiscriminator(d, classes, d.width)  # type: ignore[arg-type]
    elif how == "acgan":
        d = AuxiliaryDiscriminator(d, classes, d.width)  # type: ignore[arg-type]
    return spectrally_normed(d) if config.spectral_norm else d


def with_minibatch(config: TwoPlayerConfig, d: nn.Module) -> nn.Module:
    """D that is told of the whole batch, as configured, unless it has been built so."""
    width: int = d.width  # type: ignore[assignment]
    if config.minibatch == "stddev" and not any(isinstance(module, MinibatchStddev) for module in d.modules()):
        return Upfront(d, Reshaped(MinibatchStddev()), 1)
    if config.minibatch == "discrimination":
        layer = MinibatchDiscrimination(width)
        return Upfront(d, layer, layer.kernels)
    return d


def check_classes(how: str, classes: int) -> None:
    """ConfigError where there are no classes to tell."""
    if classes < 2:
        raise ConfigError(
            f"conditioning={how}: the data has {classes} classes; class sub-folders or a label in "
            "metadata.csv give them, or --set conditioning=none"
        )

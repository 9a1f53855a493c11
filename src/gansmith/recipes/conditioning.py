"""How the two players are told the class of an image: the same for every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from gansmith.core.errors import ConfigError
from gansmith.core.spec import Spec
from gansmith.nets.conditional import ConcatDiscriminator, ConcatGenerator, ProjectionDiscriminator
from gansmith.recipes.two_player import Conditions, TwoPlayerConfig, unconditional


def by_label(labels: Tensor | None) -> Conditions:
    """Both players are told the labels."""
    if labels is None:
        raise ConfigError("conditioning: labels are needed; class sub-folders or metadata.csv give them")
    return (labels,)


def conditioned(
    config: TwoPlayerConfig,
    spec: Spec,
    make_g: Callable[[int], nn.Module],
    make_d: Callable[[Spec], nn.Module],
    make_class_g: Callable[[int], nn.Module] | None = None,
) -> tuple[nn.Module, nn.Module, Callable[[Tensor | None], Conditions]]:
    """G, D, and what they are told, by ``config.conditioning``.

    Args:
        make_g: latent's length -> G.
        make_d: the data's shape -> D, with ``features`` and ``head`` (see `ProjectionDiscriminator`).
        make_class_g: number of classes -> a G that takes labels itself, for projection; where a family has none, G
            gets the label beside the latent.

    Raises:
        ConfigError: the data has fewer than two classes.
    """
    if config.conditioning == "none":
        return make_g(config.latent), make_d(spec), unconditional
    classes = len(spec.classes)
    if classes < 2:
        raise ConfigError(
            f"conditioning={config.conditioning}: the data has {classes} classes; class sub-folders or a label in "
            "metadata.csv give them, or --set conditioning=none"
        )
    if config.conditioning == "projection":
        d = make_d(spec)
        g = make_class_g(classes) if make_class_g else ConcatGenerator(make_g(config.latent + classes), classes)
        return g, ProjectionDiscriminator(d, classes, d.width), by_label  # type: ignore[arg-type]
    g = ConcatGenerator(make_g(config.latent + classes), classes)
    return g, ConcatDiscriminator(make_d(replace(spec, channels=spec.channels + classes)), classes), by_label

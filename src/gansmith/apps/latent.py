"""Where a run's images lie: walks between them, directions along which they change, mixtures, the images they are near.

A *code* is what an image is a function of: the style w where images are made of styles (Karras 2019), else the latent
z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from gansmith.apps.run import Run
from gansmith.core.errors import ConfigError
from gansmith.core.game import Nets, Request

BATCH = 64


@dataclass(frozen=True)
class Space:
    """The codes of a run's images, on the run's device.

    Attributes:
        name: ``w`` of styles, ``z`` of latents.
        draw: (n, seed) -> codes (n, K) of the images that `Run.sample` makes with the same arguments.
        images: codes (n, K) -> images (n, C, R, R) in [-1, 1]; gradients go through.
        finished: such images -> uint8 (n, H, W, C).
    """

    name: str
    draw: Callable[[int, int], Tensor]
    images: Callable[[Tensor], Tensor]
    finished: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def pictures(self, codes: Tensor) -> np.ndarray:
        """uint8 (n, H, W, C)."""
        return torch.cat([self.finished(self.images(part)) for part in codes.split(BATCH)]).numpy()

    def between(self, a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        """Codes (T, K) on the way from `a` to `b` (K,) at each `share` (T,) of it: straight among styles, along the arc
        among latents, whose lengths hardly differ (White 2016, sec. 2.1)."""
        straight = torch.lerp(a, b, share[:, None])
        return straight if self.name == "w" else slerp(a, b, share)


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Points (T, K) on the great circle from `a` to `b` (K,), their lengths in proportion."""
    along, across = nn.functional.normalize(a, dim=0), nn.functional.normalize(b, dim=0)
    angle = torch.acos((along @ across).clamp(-1, 1))
    length = torch.lerp(a.norm(), b.norm(), share)[:, None]
    if torch.sin(angle) < 1e-4:
        return torch.lerp(a, b, share[:, None])
    ways = torch.sin((1 - share) * angle)[:, None] * along + torch.sin(share * angle)[:, None] * across
    return length * ways / torch.sin(angle)


@contextmanager
def space_of(run: Run, label: str | int | None = None, truncation: float = 1.0) -> Iterator[Space]:
    """The codes of a run, of its averaged nets in eval mode.

    Args:
        label: class of all images, of a conditional run; by default the first.
        truncation: see `Run.sample`.

    Raises:
        ConfigError: the run makes images of images, or of what is said; or as `Run.sample`.
    """
    player, game = run.player, run.player.game
    if game.translator is not None or game.reader is not None:
        raise ConfigError(f"{run.path}: images of {run.config.family} are not functions of codes alone")
    known = run.spec.classes
    asked = run.request(1, 0, truncation, label if label is not None or not run.is_conditional else known[0])
    with player.evaluated() as nets:
        yield space(run, nets, asked)


def space(run: Run, nets: Nets, asked: Request) -> Space:
    """The codes of nets, of which all images are asked for alike."""
    player, styles = run.player, run.player.game.styles

    def request(n: int) -> Request:
        labels = None if asked.labels is None else asked.labels.expand(n).to(player.runtime.device)
        return Request(asked.truncation, labels)

    def latents(n: int, seed: int) -> Tensor:
        return player.latents(n, seed).to(player.runtime.device)

    if styles is None:
        make = player.game.sampler.images
        return Space("z", latents, lambda codes: make(nets, codes, player.clock, request(len(codes))), player.finished)
    of, images = styles.of, styles.images

    @torch.no_grad()
    def drawn(n: int, seed: int) -> Tensor:
        return of(nets, latents(n, seed), request(n))

    return Space("w", drawn, lambda codes: images(nets, codes), player.finished)


# ---- walks


def walk(space: Space, codes: Tensor, steps: int) -> Tensor:
    """Codes ((n - 1) `steps` + 1, K) from each of `codes` (n, K) to the next."""
    share = torch.arange(steps, device=codes.device) / steps
    parts = [space.between(a, b, share) for a, b in pairwise(codes)]
    return torch.cat([*parts, codes[-1:]])


# ---- directions

DRAWN = 2048
"""Codes by which directions are measured."""


@dataclass(frozen=True)
class Directions:
    """Ways in which images change.

    Attributes:
        names: of each.
        vectors: (D, K), each as long as the standard deviation of codes along it.
        space: ``w`` or ``z``.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    space: str

    def named(self, name: str) -> np.ndarray:
        """The direction of that name; ConfigError where there is none."""
        if name not in self.names:
            raise ConfigError(f"direction: expected one of {', '.join(self.names)}, got {name!r}")
        return np.asarray(self.vectors[self.names.index(name)])

    def __add__(self, others: Directions) -> Directions:
        """These, and others, which take the place of those of the same names."""
        kept = [i for i, name in enumerate(self.names) if name not in others.names]
        names = tuple(self.names[i] for i in kept)
        return Directions(names + others.names, np.concatenate([self.vectors[kept], others.vectors]), self.space)


def measured(space: Space, names: Sequence[str], vectors: Tensor) -> Directions:
    """Directions of any lengths (D, K), as long as they should be; the sign is that of the largest part, for the same
    net always the same."""
    codes = space.draw(DRAWN, 0)
    unit = nn.functional.normalize(vectors.to(codes), dim=1)
    largest = unit.gather(1, unit.abs().argmax(1, keepdim=True))
    unit = unit * largest.sign()
    deviation = (codes @ unit.T).std(0)
    return Directions(tuple(names), (unit * deviation[:, None]).cpu().numpy(), space.name)


def sefa(space: Space, nets: Nets, count: int) -> Directions:
    """The directions that the first weights stretch most: eigenvectors of AᵀA (Shen & Zhou 2021, "Closed-form
    factorization of latent semantics in GANs", eq. 5), A being the weights of all layers that codes meet, one below the
    other.

    Raises:
        ConfigError: no layer meets codes as they are.
    """
    weights = torch.cat([weight for weight, _ in met_by(space, nets, space.draw(2, 0))]).float()
    _, _, ways = torch.linalg.svd(weights, full_matrices=False)
    return measured(space, [f"sefa-{i + 1}" for i in range(min(count, len(ways)))], ways[:count])


def ganspace(space: Space, nets: Nets, count: int) -> Directions:
    """Principal components of styles; of latents, whose own distribution has none, the directions that come nearest to
    the principal components of what the first layers make of them (Härkönen 2020, "GANSpace", secs. 2.1 and 2.2)."""
    codes = space.draw(DRAWN, 0)
    centred = codes - codes.mean(0)
    if space.name == "w":
        _, _, ways = torch.linalg.svd(centred, full_matrices=False)
    else:
        made = torch.cat([first_made(space, nets, part) for part in codes.split(BATCH)])
        parts, sizes, _ = torch.linalg.svd(made - made.mean(0), full_matrices=False)
        # Least squares: which code comes with a step along each component.
        coordinates = parts[:, :count] * sizes[:count]
        ways = torch.linalg.lstsq(coordinates, centred).solution
    return measured(space, [f"pca-{i + 1}" for i in range(min(count, len(ways)))], ways[:count])


def first_made(space: Space, nets: Nets, codes: Tensor) -> Tensor:
    """What the layers that codes meet make of them, side by side (n, F)."""
    return torch.cat([made.flatten(1).float() for _, made in met_by(space, nets, codes)], 1)


def supervised(space: Space, name: str, has: Tensor, codes: Tensor) -> Directions:
    """The normal of the plane that best divides codes whose images have an attribute from others (Shen 2020,
    "InterFaceGAN", sec. 2.2), by logistic regression with a little decay.

    Args:
        has: (N,) bool, whether the image of each has it.
        codes: (N, K).

    Raises:
        ConfigError: nearly all have it, or nearly none.
    """
    share = has.float().mean().item()
    if not RARE <= share <= 1 - RARE:
        raise ConfigError(f"direction {name}: {share:.1%} of the images have it; it takes {RARE:.0%} to {1 - RARE:.0%}")
    mean, deviation = codes.mean(0), codes.std(0).clamp(min=1e-6)
    x, y = (codes - mean) / deviation, has.to(codes)
    plane, bias = torch.zeros(codes.shape[1] + 1, 1, device=codes.device).split([codes.shape[1], 1])
    plane, bias = plane.clone().requires_grad_(), bias.clone().requires_grad_()
    optim = torch.optim.LBFGS([plane, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optim.zero_grad()
        scores = (x @ plane + bias)[:, 0]
        total = nn.functional.binary_cross_entropy_with_logits(scores, y) + 1e-2 * plane.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optim.step(loss)
    # Back from units of each coordinate; the sign is that of more of it.
    normal = nn.functional.normalize((plane.detach()[:, 0] / deviation)[None], dim=1)
    length = (codes @ normal.T).std()
    return Directions((name,), (normal * length).cpu().numpy(), space.name)


RARE = 0.02
"""Share of images that have an attribute, or have it not, below which no direction is fitted."""


def met_by(space: Space, nets: Nets, codes: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights (out, K), and what came of them (n, ...), of all layers that codes (n, K) meet as they are.

    Raises:
        ConfigError: there are none.
    """
    met: list[tuple[Tensor, Tensor]] = []

    def noted(layer: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and given and given[0].shape == codes.shape and torch.equal(given[0], codes):
            met.append((weight.detach().reshape(-1, codes.shape[1]), made))

    hooks = [layer.register_forward_hook(noted) for net in nets.values() for layer in net.modules()]
    try:
        with torch.no_grad():
            space.images(codes)
    finally:
        for hook in hooks:
            hook.remove()
    if not met:
        raise ConfigError("no layer of these networks meets codes as they are: they have no directions of this kind")
    return met


# ---- back from images to codes

TRIED, STEPS, RATE = 1024, 300, 0.05
"""Codes of which the nearest is where a search begins; its steps of Adam, and their length at first."""
SCALES = 3
"""Sizes at which images are compared, each half the one before."""


Apart = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Inverted:
    """Codes (N, K) found for images; what they make, uint8 (N, H, W, C)."""

    codes: np.ndarray
    images: np.ndarray


def inverted(
    space: Space,
    targets: Tensor,
    steps: int = STEPS,
    seed: int = 0,
    apart: Apart | None = None,
    begin: Tensor | None = None,
) -> Inverted:
    """The codes whose images come nearest to `targets`: a search by gradients (Creswell & Bharath 2018, alg. 1).

    Args:
        targets: (N, C, R, R) in [-1, 1].
        apart: how far images are from others, (N,); by default `unlike`.
        begin: codes (N, K) to search from, which an encoder has given (Zhu 2016, "iGAN", sec. 4.1); by default the best
            of a thousand.
    """
    apart = apart or unlike
    known = space.draw(TRIED, seed)
    codes = (nearest_of(space, known, targets) if begin is None else begin).clone().requires_grad_()
    mean, deviation = known.mean(0), known.std(0)
    optim = torch.optim.Adam([codes], RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, steps)
    best, least = codes.detach().clone(), torch.full((len(targets),), float("inf"), device=targets.device)
    with torch.enable_grad():
        for _ in range(steps):
            losses = apart(space.images(codes), targets)
            with torch.no_grad():
                better = losses < least
                best[better], least[better] = codes.detach()[better], losses.detach()[better]
            strange = ((codes - mean) / deviation).square().mean(1)
            optim.zero_grad()
            (losses + STRANGE * strange).sum().backward()
            optim.step()
            schedule.step()
    return Inverted(best.cpu().numpy(), space.pictures(best))


def nearest_of(space: Space, known: Tensor, targets: Tensor) -> Tensor:
    """Of known codes those whose images are, made small, nearest to each of the targets."""
    with torch.no_grad():
        sketches = torch.cat([sketch(space.images(part)) for part in known.split(BATCH)])
        return known[torch.cdist(sketch(targets), sketches).argmin(1)]


LEARNT, LEARNING_RATE = 600, 2e-3
"""Steps in which an encoder learns, and their length at first."""


def learn_encoder(space: Space, encoder: nn.Module, steps: int = LEARNT, seed: int = 0) -> nn.Module:
    """Teaches an encoder, images (N, C, R, R) -> codes (N, K), to find the codes of samples: both the codes and what is
    made of them should come back (Donahue 2017, sec. 2.3, "latent regressor"). The images of the data have no part
    in it.
    """
    scale = space.draw(DRAWN, seed).std(0)
    optim = torch.optim.Adam(encoder.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, steps)
    encoder.train()
    with torch.enable_grad():
        for step in range(steps):
            codes = space.draw(BATCH, seed + 1 + step)
            with torch.no_grad():
                images = space.images(codes)
            found = encoder(images)
            loss = ((found - codes) / scale).square().mean() + unlike(space.images(found), images).mean()
            optim.zero_grad()
            loss.backward()
            optim.step()
            schedule.step()
    return encoder.eval()


STRANGE = 1e-3
"""What a code pays for lying far from where codes are drawn."""


def sketch(images: Tensor) -> Tensor:
    """Images made small (N, F), to compare many of them at once."""
    return nn.functional.adaptive_avg_pool2d(images.float(), 8).flatten(1)


def unlike(images: Tensor, targets: Tensor) -> Tensor:
    """Mean squared differences (N,), at several sizes, whose large errors count as much as small ones."""
    difference = images - targets
    total = difference.square().flatten(1).mean(1)
    for _ in range(SCALES - 1):
        difference = nn.functional.avg_pool2d(difference, 2)
        total = total + difference.square().flatten(1).mean(1)
    return total


# ---- what was there already


def nearest(
    images: np.ndarray, known: np.ndarray, features: Callable[[np.ndarray], np.ndarray], count: int
) -> np.ndarray:
    """Numbers (N, count) of the `known` images that each of `images` is nearest to, by features; the nearest first."""
    ours, theirs = (torch.from_numpy(features(rows)) for rows in (images, known))
    return torch.cdist(ours, theirs).topk(count, largest=False).indices.numpy()

"""One training step of any game."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from gansmith.core.clock import Clock
from gansmith.core.game import Batch, Game, Nets, Player, Turn
from gansmith.training.optim import Optim
from gansmith.training.runtime import Runtime


def play_step(
    game: Game, optims: Mapping[str, Optim], draw: Callable[[], Batch], clock: Clock, runtime: Runtime
) -> dict[str, Tensor]:
    """Plays the moves of the clock's stage once.

    Args:
        draw: gives the next batch of the stream; the first is shared by the first repeat of every move.

    Returns:
        Terms and mean notes of every move, as ``player/name``, still on the device: nothing here waits for it.
    """
    made: dict[str, Tensor] = {}
    stats: dict[str, Tensor] = {}
    first = draw()
    for move in game.stages[clock.stage].moves:
        for repeat in range(move.times(clock)):
            only_trains(game.nets, game.players[move.player])
            batch = draw() if repeat else first
            with runtime.autocast():
                outcome = move.loss(Turn(game.nets, batch, clock, made))
            sum(outcome.terms.values()).backward()  # type: ignore[union-attr]
            optims[move.player].step(clock)
            told = outcome.terms | {name: note.float().mean() for name, note in outcome.notes.items()}
            stats |= {f"{move.player}/{name}": value.detach() for name, value in told.items()}
    return stats


def only_trains(nets: Nets, player: Player) -> None:
    """Lets gradients reach the player's nets alone, without what it leaves as it is: a forgotten `detach` cannot move
    another player's weights."""
    for name, net in nets.items():
        net.requires_grad_(name in player.nets)
    for fixed in player.fixed:
        owner, _, parameter = fixed.partition(".")
        nets[owner].get_parameter(parameter).requires_grad_(False)

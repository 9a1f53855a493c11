"""What can go wrong, and the exit code that says so. A message names the thing at fault and the way out."""

from __future__ import annotations


class GansmithError(Exception):
    """Something that we can explain to the user: printed without a traceback, with `exit_code`."""

    exit_code = 1


class ConfigError(GansmithError):
    """Usage or configuration is wrong."""

    exit_code = 2


class MissingExtra(GansmithError):
    """An optional package, or weights, are not here."""

    exit_code = 3

    @classmethod
    def needs(cls, what: str, extra: str) -> MissingExtra:
        """`what` needs the packages of `extra`: the message holds the line to paste."""
        return cls(f'{what} needs more packages: pip install "gansmith[{extra}]"')


class DataError(GansmithError):
    """The data cannot be used."""

    exit_code = 4


class Diverged(GansmithError):
    """Training produced NaN or infinity."""

    exit_code = 5


class Ill(GansmithError):
    """The doctor found the game ill, and was told to stop it; the run was checkpointed."""

    exit_code = 5


class Stopped(GansmithError):
    """A signal arrived; the run was checkpointed and can be resumed. 130 for SIGINT, 75 for SIGTERM."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code

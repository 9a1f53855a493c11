"""Finding a record by its name, with a way out where the name is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from gansmith.core.errors import ConfigError

Record = TypeVar("Record")


def named(kind: str, records: Mapping[str, Record], name: str) -> Record:
    """The record called `name`; `kind` is what the message calls such a record.

    Raises:
        ConfigError: there is none; the message proposes the nearest name and lists them all.
    """
    if name in records:
        return records[name]
    close = get_close_matches(name, records, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise ConfigError(f"no {kind} is called '{name}': {hint}there are {', '.join(records)}")

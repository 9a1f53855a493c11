"""A run's configuration from the family's defaults, a file, and flags, in that order; errors name the place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gansmith.core.config import Config
from gansmith.core.errors import ConfigError
from gansmith.recipes import family_named

Layer = tuple[str, Mapping[str, Any]]
"""What a part of the settings is called in an error, and the settings."""


def resolve(family: str, layers: Iterable[Layer]) -> Config:
    """The family's defaults with each layer laid over what is there; a later length takes the place of an earlier one.

    Raises:
        ConfigError: no such family; or a layer has an unknown name or a value that cannot be.
    """
    kind = family_named(family).config
    config = kind(family=family)
    for source, settings in layers:
        try:
            config = kind.model_validate(merged(config.model_dump(), with_one_length(settings)))
        except ValidationError as error:
            raise ConfigError("\n".join(f"{source}: {explained(kind, e)}" for e in error.errors())) from error
    return config


def with_one_length(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings that give one of a run's two lengths leave no room for the other."""
    train = settings.get("train")
    if not isinstance(train, Mapping):
        return settings
    given = {name: train[name] for name in ("kimg", "minutes") if train.get(name) is not None}
    return merged(settings, {"train": {"kimg": None, "minutes": None} | given}) if len(given) == 1 else settings


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; where both hold a mapping, merged in turn. A single value over a group that has
    a weight is that weight."""
    both = {}
    for name, value in over.items():
        group = base.get(name)
        if isinstance(group, Mapping):
            if isinstance(value, Mapping):
                both[name] = merged(group, value)
            elif "weight" in group:
                both[name] = {**group, "weight": value}
    return {**base, **over, **both}


def explained(kind: type[BaseModel], error: ErrorDetails) -> str:
    """A validation error as ``place: expected …, got …``, with the nearest name where a name is unknown."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = names_at(kind, error["loc"][:-1])
        close = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        return f"{place}: no such setting: {hint}there are {', '.join(known)}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if error["msg"].startswith("Value error"):
        return f"{place}: {message}".removeprefix(": ")
    return f"{place}: expected {message}, got {error['input']!r}"


def names_at(kind: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """Names of the settings inside the one at `path`."""
    for part in path:
        kind = kind.model_fields[str(part)].annotation  # type: ignore[assignment]
    return list(kind.model_fields)


def from_file(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        ConfigError: it is not there, not YAML, or not a mapping.
    """
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(record, dict):
        raise ConfigError(f"{path}: expected settings as 'name: value', got {type(record).__name__}")
    return record


def from_flag(text: str) -> dict[str, Any]:
    """``a.b=v`` as ``{"a": {"b": v}}``; the value is read as YAML.

    Raises:
        ConfigError: there is no ``=``, or the name is empty.
    """
    name, equals, value = text.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {text}: expected NAME=VALUE, such as --set optim.g.lr=0.001")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML") from error
    for part in reversed(parts):
        tree = {part: tree}
    return tree


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": v}`` as ``{"a": {"b": v}}``; values that are None are left out."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        if value is not None:
            for part in reversed(name.split(".")):
                value = {part: value}
            tree = merged(tree, value)
    return tree


def differences(was: Config, now: Config) -> list[str]:
    """What changed between two configurations, as ``place: was → now``."""
    old, new = flat(was.model_dump(mode="json")), flat(now.model_dump(mode="json"))
    return [f"{k}: {old.get(k)} → {new.get(k)}" for k in {**old, **new} if old.get(k) != new.get(k)]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings as one level of dotted names."""
    rows: dict[str, Any] = {}
    for key, value in tree.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return rows


def described(config: BaseModel, prefix: str = "") -> list[tuple[str, Any, str]]:
    """Every setting with its value and what it means, by dotted name."""
    rows: list[tuple[str, Any, str]] = []
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            rows += described(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value, field.description or ""))
    return rows

"""Printing results: JSON for programs, tables for people."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table


def as_json(record: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(record, allow_nan=False))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout."""
    made = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        made.add_row(*row)
    Console().print(made)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def scores(record: dict[str, Any]) -> None:
    """Scores with what gives them a meaning: real images (the floor) and a trivial generator."""
    rows = []
    for name, s in record["scores"].items():
        value, low, high, floor, trivial = (number(s[k]) for k in ("value", "low", "high", "floor", "trivial"))
        better = "lower" if name in ("frechet", "kernel") else "higher"
        rows.append([name, value, f"{low} to {high}", floor, trivial, better])
    table("", ["score", "value", "95 % interval", "real images", "trivial", "better"], rows)
    if "protocol" in record:
        told = {k: v for k, v in record["protocol"].items() if k not in ("versions", "warnings")}
        print("protocol: " + ", ".join(f"{k} {v}" for k, v in told.items()))
        for warning in record["protocol"].get("warnings", []):
            print(f"warning: {warning}")

"""Printing results: JSON for programs, tables for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table

if TYPE_CHECKING:
    from gansmith.apps.describe import Description, SettingRow


def as_json(record: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(record, allow_nan=False))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout."""
    made = Table(*(Column(name, overflow="fold") for name in columns), title=title or None, title_justify="left")
    for row in rows:
        made.add_row(*row)
    Console().print(made)


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def scores(record: dict[str, Any]) -> None:
    """Scores with what gives them a meaning: real images (the floor) and a trivial generator; nothing where there are
    none."""
    if not record["scores"]:
        return
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


def curves(found: dict[str, Sequence[tuple[int, float]]], what: str) -> None:
    """A figure after so many images, each curve a column; a line for every number of images that one was taken at."""
    taken = {name: dict(points) for name, points in found.items()}
    rows = sorted({images for points in taken.values() for images in points})
    table(what, ["images", *found], [[f"{n:,}", *(number(of.get(n)) for of in taken.values())] for n in rows])


def pairs(record: dict[str, Any]) -> None:
    """How near held-out images came to their targets, and how near they were; nothing where there are no pairs."""
    found = record.get("pairs")
    if not found:
        return
    rows = []
    for name, better in (("psnr", "higher"), ("ssim", "higher"), ("perceptual", "lower")):
        if found.get(name) is not None:
            rows.append(
                [name, number(found[name]), number(found[f"{name}_sd"]), number(found.get(f"source_{name}")), better]
            )
    table(f"{found['n']} held-out pairs", ["score", "mean", "sd", "source", "better"], rows)


def game(family: Description) -> None:
    """A family's game, as tables one below the other."""
    print(f"{family.name} ({family.paper}), {family.kind}: {family.summary}\nbuilt for {family.size}\n")
    nets = [[net.name, f"{net.parameters:,}"] for net in family.nets]
    table("", ["net", "parameters"], [*nets, ["all", f"{family.parameters:,}"]])
    table(
        "",
        ["player", "nets", "optimiser", "learning rate", "betas", "decay"],
        [[p.name, ", ".join(p.nets), *optimiser(p.optimiser)] for p in family.players],
    )
    rows = []
    for stage in family.stages:
        for i, move in enumerate(stage.moves):
            where = [stage.name, f"{stage.share:.0%}"] if i == 0 else ["", ""]
            rows.append([*where, move.player, move.loss, " + ".join(move.terms), str(move.every), str(move.repeats)])
    table("", ["stage", "share", "move of", "loss", "terms", "every", "times"], rows)
    settings("settings of its own", family.own)
    settings("tricks in force", family.tricks)
    rows = [[row.flag, row.meaning] for row in family.offered]
    table("tricks to switch on", ["flag", "what it does"], rows)
    print(f"samples are made with the average of {', '.join(family.averaged) or 'nothing'}")
    for text in family.expected:
        print(f"expected: {text}")


def optimiser(record: dict[str, Any]) -> list[str]:
    """An optimiser's kind, rate, betas and decay."""
    end = record["lr_end"]
    to = "" if record["decay"] == "constant" else f" to {end:g}"
    betas = f"{record['beta1']:g}, {record['beta2']:g}"
    if record["beta2_end"] is not None:
        betas += f" to {record['beta2_end']:g}"
    return [record["kind"], f"{record['lr']:g}", betas, record["decay"] + to]


def settings(title: str, rows: list[SettingRow]) -> None:
    """Settings with their values; nothing where there are none."""
    if rows:
        table(title, ["setting", "value", "what it does"], [[row.setting, str(row.value), row.meaning] for row in rows])

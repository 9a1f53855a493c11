"""Commands about families and their settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gansmith.cli import show
from gansmith.cli.runs import Json

app = typer.Typer(help="Settings: what there are, and whether a file of them is right.", no_args_is_help=True)
FamilyName = Annotated[str, typer.Argument(metavar="FAMILY", help="See gansmith families.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting.")]


def families(
    name: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="Tell all about this one. Default: list them.")
    ] = None,
    resolution: Annotated[int, typer.Option(help="Side of the images that FAMILY's nets are built for.")] = 32,
    channels: Annotated[int, typer.Option(help="1 grey, 3 RGB, 4 RGBA.")] = 1,
    json_: Json = False,
) -> None:
    """List the families of GANs, or print the game of one: its nets, players, moves, tricks and expected score."""
    if name is not None:
        from gansmith.apps.describe import describe

        description = describe(name, resolution, channels)
        show.as_json(description.to_json()) if json_ else show.game(description)
        return
    from gansmith.recipes import FAMILIES

    if json_:
        show.as_json([{k: getattr(f, k) for k in ("name", "paper", "kind", "summary")} for f in FAMILIES.values()])
        return
    show.table(
        "", ["family", "paper", "what it does", ""], [[f.name, f.paper, f.kind, f.summary] for f in FAMILIES.values()]
    )


@app.command("show")
def show_config(
    family: FamilyName,
    config: Annotated[Path | None, typer.Option(help="YAML file laid over the defaults.")] = None,
    set_: Set = None,
    yaml_: Annotated[bool, typer.Option("--yaml", help="As a file for --config, without the explanations.")] = False,
) -> None:
    """Print all settings of a family, with their values and what they mean."""
    import yaml

    from gansmith.apps.configure import described, from_file, from_flag, resolve

    layers = [(str(config), from_file(config))] if config else []
    resolved = resolve(family, [*layers, *((f"--set {text}", from_flag(text)) for text in set_ or [])])
    if yaml_:
        print(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False), end="")
        return
    show.table("", ["setting", "value", ""], [[name, str(value), text] for name, value, text in described(resolved)])


@app.command()
def validate(path: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file of settings.")]) -> None:
    """Check a file of settings; silent and exit code 0 where it is right."""
    from gansmith.apps.configure import from_file, resolve
    from gansmith.recipes import BASELINE

    record = from_file(path)
    resolve(str(record.get("family", BASELINE)), [(str(path), record)])


@app.command()
def schema(family: FamilyName) -> None:
    """Print the JSON schema of a family's settings, for editors."""
    from gansmith.recipes import family_named

    print(json.dumps(family_named(family).config.model_json_schema(), indent=2))

"""The command `gansmith`: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import logging
import os
import sys

import typer
from rich.console import Console
from rich.logging import RichHandler

import gansmith
from gansmith.cli import codes, config, data, detect, images, runs
from gansmith.cli.augment import augment
from gansmith.core.errors import GansmithError

SPINS = "100000"
"""How often a thread of torch looks whether the others are done before it sleeps. By default that takes some 4 ms, a
turn of the scheduler: beside other work two threads then run at a tenth of the speed of one. A third of it costs
nothing on a quiet machine (LOG.md). Read when torch is imported, which no module here does at its top."""

app = typer.Typer(
    name="gansmith",
    help="Train, measure and use generative adversarial networks, on a laptop or a cluster.",
    epilog="Start with: gansmith train dcgan --data photos/ --minutes 5",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(runs.train)
app.command("adapt")(runs.adapt)
app.command("sample")(runs.sample)
app.command("draw")(images.draw)
app.command("translate")(images.translate)
app.command("upscale")(images.upscale)
app.command("restore")(images.restore)
for command in (codes.interpolate, codes.invert, codes.directions, codes.edit, codes.mix, codes.sweep, codes.nearest):
    app.command(command.__name__)(command)
app.command("augment")(augment)
app.command("verify")(images.verify)
app.command("evaluate")(runs.evaluate)
app.command("diagnose")(runs.diagnose)
app.command("demo")(runs.demo)
app.command("families")(config.families)
app.add_typer(detect.app, name="detect")
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")


def _version(asked: bool) -> None:
    if asked:
        print(f"gansmith {gansmith.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False, show_level=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("gansmith").setLevel(logging.INFO)


def main() -> None:
    """Runs a command; errors that we can explain are printed without a traceback."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        app()
    except GansmithError as error:
        print(f"gansmith: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("gansmith: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()

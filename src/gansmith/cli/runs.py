"""Commands that make runs and use them."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli import show

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
NoMark = Annotated[
    bool,
    typer.Option(
        "--no-mark", help="Leave out of the files that a trained model made them. The run remembers that, too."
    ),
]
Best = Annotated[
    bool, typer.Option("--best", help="From the checkpoint of the best quick score during training, not the last one.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting, such as loss=hinge, penalty.r1=1, optim.g.lr=1e-3, g_width=32; gansmith config show "
        "FAMILY lists them all.",
        rich_help_panel="Settings",
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, such as runs/dcgan-photos-1.")]


def train(
    family: Annotated[
        str | None,
        typer.Argument(
            help="Which GAN: dcgan (quickest on a CPU), stylegan, aae … (gansmith families). Default: that of "
            "--config; r3gan, the modern baseline."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="builtin:fashion, builtin:emoji, fashion-mnist; a folder, zip or tar of images; IDX, .npy, .npz; "
            "hf:NAME. Class sub-folders, or metadata.csv, give labels.",
            rich_help_panel="Data",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            help="What those images are to become, for cyclegan (any) and pix2pix (each its own, by the same name). "
            "Default: trainA and trainB in --data, or its images' right halves.",
            rich_help_panel="Data",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(help="For srgan: 2, 3 or 4 times larger, or 1: take damage back.", rich_help_panel="Data"),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Side the networks see, a power of two. Default: fits the data.", rich_help_panel="Data"),
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(help="auto, crop, pad or stretch images to a square, or tiles of them.", rich_help_panel="Data"),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 RGB, 4 RGBA. Default: what the data has.", rich_help_panel="Data")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Length in minutes, evaluation included.", rich_help_panel="Length"),
    ] = None,
    kimg: Annotated[
        float | None, typer.Option(help="Length in thousands of images. Default: 200.", rich_help_panel="Length")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the run lives. Default: a new directory in runs/.", rich_help_panel="Run")
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            help="auto: go on where --run-dir holds a run. never: refuse to. A run's path: go on with that one.",
            rich_help_panel="Run",
        ),
    ] = "auto",
    allow_drift: Annotated[
        bool, typer.Option("--allow-drift", help="Resume although settings or data changed.", rich_help_panel="Run")
    ] = False,
    conditional: Annotated[
        bool,
        typer.Option(
            "--conditional",
            help="Tell both players the class, so that samples of a class can be asked for (sample --class); by "
            "projection, unless --config or --set says conditioning=acgan or concat.",
            rich_help_panel="Data",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Same seed and --kimg, same weights. Default: 0.", rich_help_panel="Run")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.", rich_help_panel="Settings")] = None,
    set_: Set = None,
    on_illness: Annotated[
        str,
        typer.Option(
            help="When the doctor finds that something ails the game: warn and train on; stop after a checkpoint "
            "(exit code 5); treat: go back to where it was well, and try one cure after another.",
            rich_help_panel="Run",
        ),
    ] = "warn",
    until: Annotated[
        str,
        typer.Option(
            help="end: of the length asked for; equilibrium: or before, where the game has settled: the discriminator "
            "is near chance, neither player has much to gain (duality gap), the samples get no better.",
            rich_help_panel="Run",
        ),
    ] = "end",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, build the game, say what would happen, stop.")
    ] = False,
    json_: Json = False,
) -> None:
    """Train a GAN on your images, and measure it.

    Every run lives in a directory of its own: sample grids, a film of the training, plots, scores, checkpoints. Stop
    it with Ctrl-C, or kill it: the same command with its `--run-dir` goes on from the last checkpoint, and ends with
    the very weights that an uninterrupted run would have.

    Examples:

        gansmith train dcgan --data photos/ --minutes 10

        gansmith train dcgan --data builtin:emoji --kimg 500 --run-dir runs/emoji

        gansmith train dcgan --data photos/ --set loss=hinge --set penalty.r1=1 --set d_norm=none

        gansmith train cyclegan --data summer/ --to winter/ --minutes 40

        gansmith train pix2pix --data lines/ --to coloured/ --minutes 20

        gansmith train srgan --data photos/ --scale 4 --minutes 40

        gansmith train stackgan --data captioned/ --minutes 40
    """
    from gansmith.apps.configure import nested
    from gansmith.apps.preview import preview
    from gansmith.apps.run import train as train_run

    flags = nested({"data.resolution": resolution, "data.fit": fit, "data.channels": channels})
    layers = [("flags", flags), *set_layers(set_)]
    asked: dict[str, Any] = {"to": to, "scale": scale, "kimg": kimg, "minutes": minutes, "seed": seed, "config": config}
    asked |= {"layers": layers, "conditional": conditional}
    if dry_run:
        record = preview(family, data, **asked)
        show.as_json(record) if json_ else show.table("", ["what", "value"], [[k, str(v)] for k, v in record.items()])
        return
    asked |= {"run_dir": run_dir, "resume": resume, "allow_drift": allow_drift}
    asked |= {"on_illness": on_illness, "until": until}
    run = train_run(family, data, **asked)
    if json_:
        show.as_json(run.result)
        return
    show.scores(run.result)
    show.pairs(run.result)
    if "settled" in run.result:
        typer.echo(run.result["settled"])
    tell_pictures(run.path)


def adapt(
    run: RunPath,
    data: Annotated[str, typer.Argument(metavar="DATA", help="A few hundred images, or more; as --data of train.")],
    kimg: Annotated[
        float | None,
        typer.Option(help="Length in thousands of images, at most. Default: 40.", rich_help_panel="Length"),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Length in minutes, at most.", rich_help_panel="Length")] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare/--no-compare",
            help="Whether the same is trained from scratch afterwards, on as many images, and both curves are shown, "
            "which takes as long again.",
        ),
    ] = True,
    freeze: Annotated[
        int | None,
        typer.Option(help="Levels of D, from the image on, that stay as they are. Default: 1.", rich_help_panel="Run"),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Where the new run lives. Default: a new directory in runs/.", rich_help_panel="Run"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Same seed and --kimg, same weights. Default: that of RUN.", rich_help_panel="Run"),
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Begin with RUN's checkpoint of the best quick score, not the last one.")
    ] = False,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
    json_: Json = False,
) -> None:
    """Train on little data, from the networks of a run that has learnt something like it.

    The new run has RUN's settings and is opened at its size and in its colours. D's inputs are augmented and its lowest
    level stays as it is (FreezeD, Mo 2020). Quick scores are kernel distances to held-out images: where these get no
    better, learning rates are halved, then the run ends, with its best networks. A run directory of its own, which is
    gone on with as that of `gansmith train` is.

    Examples:

        gansmith adapt runs/dcgan-emoji-1 drawings/

        gansmith adapt runs/r3gan-photos-1 faces.zip --kimg 100 --freeze 2 --no-compare
    """
    from gansmith.apps.adapt import adapt as adapt_run
    from gansmith.apps.adapt import compare as compare_runs
    from gansmith.apps.adapt import cost
    from gansmith.apps.run import load

    source = load(run, best)
    if compare:
        again = "then as many images from scratch, to compare with; --no-compare leaves that out"
        typer.echo(f"{cost(source, kimg, minutes)}; {again}", err=True)
    asked: dict[str, Any] = {"kimg": kimg, "minutes": minutes, "freeze": freeze, "seed": seed, "run_dir": run_dir}
    asked |= {"layers": set_layers(set_), "quiet": quiet}
    made = adapt_run(source, data, **asked)
    found = compare_runs(made, quiet) if compare else None
    if json_:
        show.as_json(made.result | ({"comparison": found.to_json()} if found else {}))
        return
    show.scores(made.result)
    if "settled" in made.result:
        typer.echo(made.result["settled"])
    if found:
        show.curves({"adapted": found.adapted, "from scratch": found.scratch}, found.what)
        typer.echo(found.words())
    tell_pictures(made.path)


def set_layers(given: list[str] | None) -> list[tuple[str, dict[str, Any]]]:
    """The settings of `--set`, each under its own name."""
    from gansmith.apps.configure import from_flag

    return [(f"--set {text}", from_flag(text)) for text in given or []]


def tell_pictures(path: Path) -> None:
    """Says where to look."""
    from gansmith.training.rundir import RunDir

    samples = RunDir(path).samples
    grids = sorted(samples.glob("[0-9]*.png"))
    found = {"samples": grids[-1] if grids else None, "film": path / "film.webp", "losses": path / "losses.png"}
    found |= {"adapted": path / "adapt.png"}
    found |= {"plane": samples / "latent.png", "codes": samples / "codes.png"}
    for what, picture in found.items():
        if picture and picture.exists():
            print(f"{what:8} {picture}")


def sample(
    run: RunPath,
    n: Annotated[int, typer.Option("-n", help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same samples.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder (a PNG each), a .png (one grid) or an .npz (arrays `images`, and `labels` of a conditional "
            "run). Default: RUN/samples.png."
        ),
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="1 as trained; smaller: fewer kinds, better ones (not of progan).")
    ] = 1.0,
    class_: Annotated[
        str | None,
        typer.Option("--class", help="Name or number of a class, of a conditional run. Default: all in turn."),
    ] = None,
    best: Best = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")] = False,
    no_mark: NoMark = False,
) -> None:
    """Make images with a trained GAN."""
    from gansmith.apps.export import check_target, save_images
    from gansmith.apps.made import Maker
    from gansmith.apps.run import load

    target = out or run / "samples.png"
    check_target(target, overwrite or out is None)
    loaded = load(run, best)
    images, labels = loaded.sample(n, seed, truncation, class_), loaded.labels(n, class_)
    with Maker(loaded.dir, not no_mark) as maker:
        save_images(images, target, maker, labels)
    print(target)


def evaluate(
    run: RunPath,
    data: Annotated[str | None, typer.Option(help="Measure against other data than the run's own.")] = None,
    n: Annotated[int | None, typer.Option("-n", help="How many samples. Default: as many as held-out images.")] = None,
    seed: Annotated[int, typer.Option(help="Of the samples.")] = 0,
    extractor: Annotated[
        str | None, typer.Option(help="fashion-cnn, efflite0 or inception. Default: fits the data.")
    ] = None,
    best: Best = False,
    json_: Json = False,
) -> None:
    """Score a trained GAN against real images.

    Beside each score stand the same score of held-out real images, which no generator can be expected to beat, and
    of a trivial generator, which any should.
    """
    from gansmith.apps.run import load

    record = load(run, best).evaluate(data, n, seed, extractor).to_json()
    show.as_json(record) if json_ else show.scores(record)


def diagnose(
    run: RunPath,
    report: Annotated[
        Path | None, typer.Option(help="Where the page with plots goes. Default: RUN/reports/health.html.")
    ] = None,
    json_: Json = False,
) -> None:
    """Say what ails a run, since when, by what evidence, and what to try.

    For any run: finished, running, stopped or killed. Beside the text, a page is written on which you see it: losses,
    D's outputs, gradients, diversity, and samples of the same latents over time (where matplotlib is installed).
    """
    from gansmith.apps.diagnose import diagnose as diagnose_run
    from gansmith.apps.diagnose import save_report

    found = diagnose_run(run)
    if json_:
        show.as_json(found.to_json())
    else:
        print(found.text())
    if not report and (json_ or not find_spec("matplotlib")):
        return
    path = report or run / "reports" / "health.html"
    save_report(found, path)
    if not json_:
        print(f"report   {path}")


def demo(
    minutes: Annotated[float, typer.Option(help="Length of the training.")] = 4.0,
    run_dir: Annotated[Path, typer.Option(help="Where the run lives.")] = Path("runs/demo"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again where a demo has been.")] = False,
) -> None:
    """Train a DCGAN on the built-in garments, and show what came of it."""
    from gansmith.apps.run import train as train_run

    if fresh and (run_dir / "config.yaml").exists():
        shutil.rmtree(run_dir)
    run = train_run("dcgan", "builtin:fashion", minutes=minutes, run_dir=run_dir)
    show.scores(run.result)
    tell_pictures(run.path)

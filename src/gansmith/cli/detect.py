"""Commands that find images unlike the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gansmith.cli import show
from gansmith.cli.runs import Json, NoMark, RunPath, Set, set_layers

app = typer.Typer(
    help="Find images unlike the rest: learn what is normal from normal images alone, then score others.",
    no_args_is_help=True,
)


@app.command("fit")
def fit(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="Normal images: a folder, zip, tar, .npy; as `gansmith train --data`."),
    ],
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the run lives. Default: a new directory in runs/.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="aae: an adversarial autoencoder. f-anogan: a GAN, then an encoder into its latents. ganomaly: an "
            "autoencoder whose codes are compared. anogan: a GAN whose latents are searched for every image; slow."
        ),
    ] = "aae",
    minutes: Annotated[float | None, typer.Option(help="Length of the training. Default: 2.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Or its length in thousands of images.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="What a score is. nearest: how far an image is from the normal ones nearest to it, in what networks "
            "see. paper: what the method's paper says. Default: what the method does better by."
        ),
    ] = None,
    false_alarms: Annotated[
        float, typer.Option(help="Share of normal images that may be called anomalous: sets the threshold.")
    ] = 0.05,
    seed: Annotated[int | None, typer.Option(help="Same seed and --kimg, same scores. Default: 0.")] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Learn what is normal, and set a threshold by normal images that are held out.

    RUN/detector.png shows held-out normal images, those least and most unlike the rest: if these are not normal, take
    them out and fit again.

    Example:

        gansmith detect fit good-parts/ --run-dir runs/parts --minutes 3

        gansmith detect score runs/parts todays-parts/ --out scores.csv --pictures marked/
    """
    from gansmith.apps.detect import SHEET, fit, sheet
    from gansmith.apps.export import save_sheet
    from gansmith.apps.made import Maker

    asked: dict[str, Any] = {"kimg": kimg, "seed": seed, "layers": set_layers(set_)}
    found = fit(folder, run_dir, method, minutes=minutes, by=by, false_alarms=false_alarms, **asked)
    picture = found.run.path / SHEET
    with Maker(found.run.dir) as maker:
        save_sheet(sheet(found), picture, maker)
    if json_:
        show.as_json({"run": str(found.run.path), "method": method, "by": found.by, **found.threshold._asdict()})
        return
    print(f"{found.told()}\n{picture}: held-out normal images, what the run makes of them, where they differ")
    print(f"next: gansmith detect score {found.run.path} FOLDER --out scores.csv")


@app.command("score")
def score(
    run: RunPath,
    images: Annotated[str, typer.Argument(metavar="FOLDER", help="Images, a file, or a pattern in quotes.")],
    out: Annotated[Path, typer.Option(help="A CSV: file, score, anomalous.")] = Path("scores.csv"),
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="A folder: of each image a picture of itself, of the most alike that the run can make, and in red of "
            "where they differ unusually."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")] = False,
    no_mark: NoMark = False,
    json_: Json = False,
) -> None:
    """Score images: how unlike the normal ones each is, and whether that is above the threshold.

    Example:

        gansmith detect score runs/parts todays-parts/ --out scores.csv --pictures marked/
    """
    from gansmith.apps.detect import detection, score
    from gansmith.apps.export import check_files, check_target
    from gansmith.apps.run import load

    check_files((out, ".csv"), overwrite=overwrite)
    if pictures is not None:
        check_target(pictures, overwrite)
    loaded = load(run)
    found = detection(loaded)
    rows = score(loaded, images, out, pictures, not no_mark)
    rows = sorted(rows, key=lambda row: -row.score)
    count = sum(row.anomalous for row in rows)
    if json_:
        show.as_json({"images": len(rows), "anomalous": count, "threshold": found.threshold.value, "scores": str(out)})
        return
    top = [[row.file, show.number(row.score), "anomalous" if row.anomalous else ""] for row in rows[:5]]
    show.table(f"{count} of {len(rows)} images are anomalous; the most unlike:", ["file", "score", ""], top)
    print(f"{found.told()}\n{out}")

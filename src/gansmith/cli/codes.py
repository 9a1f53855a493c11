"""Commands that walk among a run's images, and back from an image to its code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.runs import Best, NoMark, RunPath

if TYPE_CHECKING:
    from PIL.Image import Image

    from gansmith.apps.run import Run

Seed = Annotated[int, typer.Option(help="Of the samples: as those of `gansmith sample --seed`.")]
Class = Annotated[
    str | None, typer.Option("--class", help="Name or number of a class, of a conditional run. Default: the first.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")]


def interpolate(
    run: RunPath,
    seeds: Annotated[str, typer.Option(help="Of the samples on the way, by commas.")] = "0,1,2,3,0",
    steps: Annotated[int, typer.Option(help="Images from each to the next.")] = 12,
    out: Annotated[
        Path | None, typer.Option(help="A film, .webp; beside it a strip, .png. Default: RUN/walk.webp.")
    ] = None,
    class_: Class = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Make a film from sample to sample, and a strip of what is on the way.

    Images in between tell whether a generator knows a kind of images or has learnt some by heart: then a film jumps.

    Example:

        gansmith interpolate runs/dcgan-photos-1 --seeds 3,14,15,9,3 --out walk.webp
    """
    from gansmith.apps.edits import interpolate, whole_numbers
    from gansmith.apps.export import check_files, save_walk
    from gansmith.apps.made import Maker
    from gansmith.apps.run import load

    film = out or run / "walk.webp"
    strip = film.with_suffix(".png")
    check_files((film, ".webp"), (strip, ".png"), overwrite=overwrite or out is None)
    loaded = load(run, best)
    images = interpolate(loaded, whole_numbers("--seeds", seeds), steps, class_)
    with Maker(loaded.dir, not no_mark) as maker:
        save_walk(images, film, strip, steps, maker)
    print(film, strip, sep="\n")


def invert(
    run: RunPath,
    in_: Annotated[str, typer.Argument(metavar="IN", help="An image, a folder of images, or a pattern in quotes.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="A sheet, .png: each image, then what its code makes; beside it the codes, .npz. "
            "Default: RUN/inverted.png."
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="search: by gradients, seconds for each image. encoder: learnt once from the run's samples, then at "
            "once, less near. both: a search from what the encoder says."
        ),
    ] = "search",
    steps: Annotated[int, typer.Option(help="Of the search; more come nearer.")] = 300,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Find the codes that make what is nearest to your images, so that these can be edited.

    What a generator has not learnt it cannot make: the sheet shows what is lost.

    Example:

        gansmith invert runs/stylegan-faces-1 me.jpg --out me.png
    """
    from gansmith.apps.edits import images_in, invert
    from gansmith.apps.export import check_files, save_inverted
    from gansmith.apps.made import Maker
    from gansmith.apps.run import load
    from gansmith.metrics import psnr

    sheet = out or run / "inverted.png"
    check_files((sheet, ".png"), (sheet.with_suffix(".npz"), ".npz"), overwrite=overwrite or out is None)
    loaded = load(run, best)
    images = images_in(loaded, in_)
    found = invert(loaded, images, steps, by=by)
    with Maker(loaded.dir, not no_mark) as maker:
        save_inverted(images, found, sheet, maker)
    print(f"{sheet}: {len(images)} images, PSNR {psnr(found.images, images).mean():.1f} dB on average")


def directions(
    run: RunPath,
    how: Annotated[
        str, typer.Option(help="sefa: what the first weights stretch most; pca: what differs most. By commas.")
    ] = "sefa,pca",
    count: Annotated[int, typer.Option(help="Of each.")] = 6,
    learn: Annotated[
        str | None, typer.Option(help="Learn one from labelled images instead: its name; with --having and --lacking.")
    ] = None,
    having: Annotated[Path | None, typer.Option(help="A folder of images that have it, a dozen or more.")] = None,
    lacking: Annotated[Path | None, typer.Option(help="A folder of images that have it not.")] = None,
    out: Annotated[Path | None, typer.Option(help="A sheet, .png. Default: RUN/directions.png.")] = None,
    class_: Class = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Find directions along which the run's images change, and show them; `gansmith edit` moves images along them.

    Each row of the sheet is a sample, from 3 standard deviations back to 3 on.

    Examples:

        gansmith directions runs/stylegan-emoji-1 --count 10

        gansmith directions runs/stylegan-faces-1 --learn smile --having smiling/ --lacking serious/
    """
    from gansmith.apps.edits import find_directions, learn_from, shown
    from gansmith.core.errors import ConfigError

    if (learn is None) != (having is None) or (learn is None) != (lacking is None):
        raise ConfigError("--learn NAME, --having FOLDER and --lacking FOLDER: give all three, or none")

    def made(loaded: Run) -> Image:
        if learn is not None and having is not None and lacking is not None:
            found = learn_from(loaded, learn, having, lacking)
        else:
            found = find_directions(loaded, how.split(","), count, class_)
        print(", ".join(found.names))
        return shown(loaded, found)

    show(run, out, "directions.png", made, best, overwrite, no_mark)


def edit(
    run: RunPath,
    direction: Annotated[
        list[str], typer.Option(metavar="NAME=FAR", help="Such as sefa-1=+2: in standard deviations. Repeat it.")
    ],
    image: Annotated[str | None, typer.Option(help="Images to edit, instead of samples: a file or a folder.")] = None,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 8,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="A sheet, .png: before, after. Default: RUN/edited.png.")] = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Move samples, or your own images, along directions that `gansmith directions` found.

    Examples:

        gansmith edit runs/stylegan-emoji-1 --direction sefa-1=+2 --direction pca-3=-1

        gansmith edit runs/stylegan-faces-1 --direction pca-2=3 --image me.jpg --out older.png
    """
    from gansmith.apps.edits import codes_or_samples, edit, read_directions
    from gansmith.training.pictures import side_by_side

    by = read_directions(direction)

    def made(loaded: Run) -> Image:
        codes = codes_or_samples(loaded, image, n, seed)
        return side_by_side([edit(loaded, codes, {}), edit(loaded, codes, by)])

    show(run, out, "edited.png", made, best, overwrite, no_mark)


def mix(
    run: RunPath,
    coarse: Annotated[str, typer.Option(help="Seeds of the samples that give pose and shape, by commas.")] = "0,1,2,3",
    fine: Annotated[str, typer.Option(help="Seeds of those that give colours and detail.")] = "4,5,6,7,8",
    layers: Annotated[int | None, typer.Option(help="How many styles are coarse. Default: half.")] = None,
    out: Annotated[Path | None, typer.Option(help="A sheet, .png. Default: RUN/mixed.png.")] = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Mix the coarse styles of some samples with the fine ones of others, of a stylegan.

    Example:

        gansmith mix runs/stylegan-emoji-1 --coarse 1,2,3 --fine 7,8,9
    """
    from gansmith.apps.edits import mixtures, whole_numbers

    seeds = whole_numbers("--coarse", coarse), whole_numbers("--fine", fine)
    show(run, out, "mixed.png", lambda loaded: mixtures(loaded, *seeds, layers), best, overwrite, no_mark)


def sweep(
    run: RunPath,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 8,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="A sheet, .png. Default: RUN/sweep.png.")] = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Show the same samples at truncations from 0.2 to 1: the nearer to 0, the better, and the more alike.

    Example:

        gansmith sweep runs/stylegan-emoji-1
    """
    from gansmith.apps.edits import sweep

    show(run, out, "sweep.png", lambda loaded: sweep(loaded, n, seed), best, overwrite, no_mark)


def nearest(
    run: RunPath,
    n: Annotated[int, typer.Option("-n", help="How many samples.")] = 8,
    k: Annotated[int, typer.Option("-k", help="Training images of each.")] = 5,
    seed: Seed = 0,
    data: Annotated[str | None, typer.Option(help="Where the training images are now, if they moved.")] = None,
    extractor: Annotated[
        str | None, typer.Option(help="fashion-cnn, efflite0 or inception. Default: fits the data.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A sheet, .png. Default: RUN/nearest.png.")] = None,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Show samples beside the training images that they are nearest to: whether a run has learnt these by heart.

    Example:

        gansmith nearest runs/dcgan-photos-1 -n 12
    """
    from gansmith.apps.edits import neighbours

    def made(loaded: Run) -> Image:
        found = neighbours(loaded, n, k, seed, extractor, data)
        for i, names in enumerate(found.names):
            print(f"sample {i}: {', '.join(names)}")
        return found.sheet()

    show(run, out, "nearest.png", made, best, overwrite, no_mark)


def show(
    run: Path,
    out: Path | None,
    name: str,
    made: Callable[[Run], Image],
    best: bool,
    overwrite: bool,
    no_mark: bool,
) -> None:
    """Writes a sheet, of that name in the run's directory where no other place is asked for, and says where it is."""
    from gansmith.apps.export import check_files, save_sheet
    from gansmith.apps.made import Maker
    from gansmith.apps.run import load

    sheet = out or run / name
    check_files((sheet, ".png"), overwrite=overwrite or out is None)
    loaded = load(run, best)
    picture = made(loaded)
    with Maker(loaded.dir, not no_mark) as maker:
        save_sheet(picture, sheet, maker)
    print(sheet)

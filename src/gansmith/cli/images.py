"""Commands that make images of images, or of what is said."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli.runs import Best, Json, NoMark, RunPath

if TYPE_CHECKING:
    from gansmith.apps.files import Verb

In = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="An image, a folder of images (with all folders below it), or a pattern in quotes: 'photos/*.jpg'.",
    ),
]
Out = Annotated[
    Path,
    typer.Argument(
        metavar="OUT",
        help="A file for one image, such as big.png; else a folder, in which names and sub-folders stay as they were.",
    ),
]
MaxMemory = Annotated[
    float, typer.Option(help="GiB that the process may take. Larger images go by tiles, whose seams do not show.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over what is there; never over IN itself.")]


def translate(
    run: RunPath,
    in_: In,
    out: Out,
    to: Annotated[
        str | None,
        typer.Option(
            help="B: make of images like --data what --to was when training; A: the way back, of cyclegan. Default: B."
        ),
    ] = None,
    max_memory: MaxMemory = 4.0,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Turn images into those of the other kind, with a cyclegan or pix2pix that you trained.

    Images may have any size, and come out at the same. Formats, colour profiles and transparency are kept where they
    can be. An image that cannot be read is named, and the others go on; the exit code is then 4.

    Examples:

        gansmith translate runs/cyclegan-summer-1 summer/ winter/

        gansmith translate runs/cyclegan-summer-1 snow.jpg green.jpg --to A
    """
    use("translate", run, in_, out, to, max_memory, best, overwrite, no_mark)


def upscale(
    run: RunPath,
    in_: In,
    out: Out,
    max_memory: MaxMemory = 4.0,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Enlarge images, with an srgan that you trained, by the factor that it was trained for.

    Images may have any size. Grey ones stay grey, transparency is enlarged beside the colours, and a run of grey images
    enlarges the brightness of coloured ones. An image that cannot be read is named, and the others go on; the exit code
    is then 4.

    Examples:

        gansmith upscale runs/srgan-photos-1 small.jpg large.png

        gansmith upscale runs/srgan-photos-1 album/ album-large/ --max-memory 2
    """
    use("upscale", run, in_, out, None, max_memory, best, overwrite, no_mark)


def restore(
    run: RunPath,
    in_: In,
    out: Out,
    max_memory: MaxMemory = 4.0,
    best: Best = False,
    overwrite: Overwrite = False,
    no_mark: NoMark = False,
) -> None:
    """Take damage back from images, with an srgan that you trained with --scale 1.

    Images may have any size, and come out at the same. Grey ones stay grey, and transparency stays as it is. An image
    that cannot be read is named, and the others go on; the exit code is then 4.

    Examples:

        gansmith restore runs/srgan-photos-2 'scans/*.tif' restored/
    """
    use("restore", run, in_, out, None, max_memory, best, overwrite, no_mark)


def use(
    verb: Verb,
    run: Path,
    in_: str,
    out: Path,
    to: str | None,
    max_memory: float,
    best: bool,
    overwrite: bool,
    no_mark: bool,
) -> None:
    """Does it, and says where to look."""
    from gansmith.apps.files import apply
    from gansmith.apps.run import load

    written = apply(
        load(run, best), verb, in_, out, to=to, max_memory=max_memory, overwrite=overwrite, marked=not no_mark
    )
    print(written[0] if len(written) == 1 else f"{len(written)} images in {out}")


def draw(
    run: RunPath,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What to draw, in quotes: "a red circle".')],
    n: Annotated[int, typer.Option("-n", help="How many.")] = 16,
    seed: Annotated[int, typer.Option(help="Same seed, same images.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder (a PNG each), a .png (one grid) or an .npz (array `images`). Default: RUN/drawn-TEXT.png."
        ),
    ] = None,
    best: Best = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over what is there.")] = False,
    no_mark: NoMark = False,
) -> None:
    """Draw what you say, with a stackgan that you trained on images with captions.

    It knows what its captions told it: use their words. Those that it has never seen are named.

    Examples:

        gansmith draw runs/stackgan-birds-1 "a small yellow bird with black wings"

        gansmith draw runs/stackgan-birds-1 "a red bird" -n 4 --seed 7 --out red/
    """
    from gansmith.apps.export import check_target, save_images
    from gansmith.apps.files import draw_images, name_of, unknown_words
    from gansmith.apps.made import Maker
    from gansmith.apps.run import load

    target = out or run / f"drawn-{name_of(text)}.png"
    check_target(target, overwrite or out is None)
    loaded = load(run, best)
    images = draw_images(loaded, text, n, seed)
    if unknown := unknown_words(loaded, text):
        print(f"gansmith: training has not seen: {', '.join(unknown)}", file=sys.stderr)
    with Maker(loaded.dir, not no_mark) as maker:
        save_images(images, target, maker)
    print(target)


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Images.")],
    run: Annotated[
        Path | None,
        typer.Option(
            help="A run: knows what it made, whatever became of the file's metadata, if the pixels are the same."
        ),
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Certificates (PEM) of an authority whose word counts for who signed. Repeat it."
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Say whether images were made by gansmith, and by which run.

    Every image that a command writes says so in its metadata: IPTC's `trainedAlgorithmicMedia`, the run's fingerprint,
    a digest of the pixels. *ours* is a file as it was written; *altered*, one whose pixels were changed since;
    *stripped*, one without its metadata that RUN knows by its pixels, or that has our watermark; all others are *not
    ours*. The exit code is 0 where all are ours, else 1.

    Metadata can be written by anybody. Where GANSMITH_CREDENTIALS names a PEM file with a certificate and its key,
    images are signed, too (C2PA); a signature that does not fit, or that no authority of --trust vouches for, is
    *forged*. With GANSMITH_WATERMARK=1, images of 128 pixels and more get a watermark that nobody sees, and that
    outlasts JPEG, other sizes and cropping.

    Examples:

        gansmith verify download.png

        gansmith verify samples/*.png --run runs/dcgan-photos-1
    """
    import json

    from gansmith.apps.verify import verify as judged

    found = [judged(file, run, trust or ()) for file in files]
    if json_:
        print(json.dumps([one.to_json() for one in found], indent=2))
    else:
        for one in found:
            print(one)
    if any(one.status != "ours" for one in found):
        raise typer.Exit(1)

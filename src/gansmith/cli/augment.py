"""The command that makes more images for a classifier, and says whether they help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gansmith.cli import show
from gansmith.cli.runs import Json, NoMark, Set, set_layers

if TYPE_CHECKING:
    from gansmith.apps.augment import Report


def augment(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="Images with classes: a sub-folder each, or what else `train` reads."),
    ],
    out: Annotated[Path, typer.Option(help="A folder for the synthetic images, a sub-folder for each class.")],
    per_class: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Synthetic images of each class. Default: as many as the largest class has real ones.",
            rich_help_panel="Images",
        ),
    ] = None,
    balance: Annotated[
        bool,
        typer.Option(
            "--balance", help="As many as make all classes as large as the largest.", rich_help_panel="Images"
        ),
    ] = False,
    with_real: Annotated[
        bool,
        typer.Option(
            "--with-real", help="Write the training images, too, as the networks see them.", rich_help_panel="Images"
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what augment wrote there.", rich_help_panel="Images")
    ] = False,
    no_mark: NoMark = False,
    run: Annotated[
        Path | None,
        typer.Option(help="A conditional run of these data, instead of a new one.", rich_help_panel="GAN"),
    ] = None,
    family: Annotated[
        str, typer.Option(help="Any family of two players; it is told the class.", rich_help_panel="GAN")
    ] = "cgan",
    minutes: Annotated[float | None, typer.Option(help="Length of its training.", rich_help_panel="GAN")] = None,
    kimg: Annotated[
        float | None, typer.Option(help="Length in thousands of images. Default: 200.", rich_help_panel="GAN")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where it lives. Default: a new directory in runs/.", rich_help_panel="GAN")
    ] = None,
    set_: Set = None,
    seed: Annotated[int, typer.Option(help="Of everything: same seed and --kimg, same images.")] = 0,
    seeds: Annotated[
        int, typer.Option(help="Trainings of every classifier, with seeds of their own.", rich_help_panel="Measuring")
    ] = 5,
    steps: Annotated[
        int, typer.Option(help="Steps of every classifier, 32 images each.", rich_help_panel="Measuring")
    ] = 1500,
    no_measure: Annotated[
        bool,
        typer.Option("--no-measure", help="Do not ask whether the images help.", rich_help_panel="Measuring"),
    ] = False,
    json_: Json = False,
) -> None:
    """Make more images of each class, and say honestly whether a classifier is better for them.

    Trains a GAN that is told the class on the training part of your images, draws from it, and drops what a classifier
    takes for another class, what lies outside the real images of its class, and near-copies of training images. What is
    left goes to OUT, a sub-folder for each class, ready for any trainer; `manifest.jsonl` says where each image comes
    from.

    Then the same classifier is trained with and without them, and with what costs nothing: flips and crops, mixup,
    class weights, oversampling. Real images that were held out decide, and the answer is often no.

    Examples:

        gansmith augment photos/ --out more/ --minutes 20

        gansmith augment photos/ --out more/ --balance --run runs/cgan-photos-1
    """
    from gansmith.apps.augment import augment as made
    from gansmith.apps.classify import Schedule

    report = made(
        folder,
        out,
        family=family,
        run=run,
        run_dir=run_dir,
        kimg=kimg,
        minutes=minutes,
        seed=seed,
        per_class=per_class,
        balance=balance,
        seeds=seeds,
        measure=not no_measure,
        with_real=with_real,
        overwrite=overwrite,
        marked=not no_mark,
        layers=set_layers(set_),
        schedule=Schedule(steps),
    )
    show.as_json(report.to_json()) if json_ else tell(report)


def tell(report: Report) -> None:
    """Tables: what became of the images of each class, and whether they help."""
    rows = [
        [c["class"], *(f"{c[name]:,}" for name in ("real", "drawn", "kept")), *map(str, c["dropped"].values())]
        for c in report.classes
    ]
    reasons = [f"dropped: {reason}" for reason in report.classes[0]["dropped"]]
    show.table("", ["class", "real", "drawn", "kept", *reasons], rows)
    if report.real_pass is not None:
        print(f"of held-out real images these filters would keep {report.real_pass:.0%}")
    found = report.measured
    if found:
        rows = [[name, str(value), str(found.accuracy[name])] for name, value in found.balanced.items()]
        title = f"{found.heldout:,} held-out images, {len(found.seeds)} seeds, 95 % intervals"
        show.table(title, ["trained with", "balanced accuracy, %", "accuracy, %"], rows)
        if found.absent:
            print(f"of these classes no image is held out: {', '.join(found.absent)}")
        print(f"do they help? {found.verdict.words}")
    for what, place in (("images", report.out), ("sheet", report.sheet), ("run", report.run)):
        print(f"{what:8} {place}")

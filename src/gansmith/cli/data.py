"""Commands about data: what is in a source, and decoding it ahead of time."""

from __future__ import annotations

from typing import Annotated

import typer

from gansmith.cli import show
from gansmith.cli.runs import Json

app = typer.Typer(help="Data: check a source of images, or prepare it ahead of training.", no_args_is_help=True)
Source = Annotated[str, typer.Argument(metavar="PATH", help="A folder, archive or other source (see gansmith train).")]
MOST_NAMED = 10


@app.command()
def check(path: Source, json_: Json = False) -> None:
    """Report what a source holds and what is wrong with it. Exit code 4 where it cannot be trained on."""
    from gansmith.data import check_data

    report = check_data(path)
    record = report.to_json()
    if json_:
        show.as_json(record)
        return
    rows = [["images", f"{report.images:,}"], ["captions", f"{report.captions:,}"]]
    for what in ("splits", "sizes", "modes", "classes"):
        found = record[what]
        shown = [f"{name} ({count:,})" for name, count in list(found.items())[:MOST_NAMED]]
        more = [f"and {len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
        rows.append([what, ", ".join(shown + more) or "–"])
    show.table("", ["what", "found"], rows)
    for what, faults in (
        ("unreadable", report.unreadable),
        ("truncated", report.truncated),
        ("too large", report.bombs),
    ):
        for fault in faults[:MOST_NAMED]:
            print(f"{what}: {fault.name}: {fault.reason}")
        if len(faults) > MOST_NAMED:
            print(f"{what}: and {len(faults) - MOST_NAMED} more")
    for what, groups in (("same content", report.duplicates), ("same content in train and held-out", report.leaks)):
        for group in groups[:MOST_NAMED]:
            print(f"{what}: {', '.join(group)}")
        if len(groups) > MOST_NAMED:
            print(f"{what}: and {len(groups) - MOST_NAMED} more groups")
    if report.duplicates:
        print("--set data.duplicates=drop: train on each once")
    print("clean" if report.clean else f"{report.broken} broken, {len(report.duplicates)} groups of duplicates")


@app.command()
def prepare(
    path: Source,
    resolution: Annotated[int | None, typer.Option(help="Side the networks will see.")] = None,
    fit: Annotated[str | None, typer.Option(help="auto, crop, pad or stretch to a square, or tiles.")] = None,
    channels: Annotated[int | None, typer.Option(help="1, 3 or 4.")] = None,
    json_: Json = False,
) -> None:
    """Decode a source into the cache, as `train` with the same options would; the training then starts at once."""
    from gansmith.apps.configure import nested, resolve
    from gansmith.data import open_data

    flags = nested({"data.source": path, "data.resolution": resolution, "data.fit": fit, "data.channels": channels})
    dataset = open_data(resolve("dcgan", [("flags", flags)]).data)
    record = {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "images": len(dataset.train.images),
        "heldout": len(dataset.heldout.images),
        "skipped": list(dataset.skipped),
        "spec": dataset.spec.to_json(),
    }
    show.as_json(record) if json_ else show.table("", ["what", "value"], [[k, str(v)] for k, v in record.items()])

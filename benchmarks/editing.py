"""Images back to codes, and codes moved; `docs/editing.md` is made of it.

    python benchmarks/editing.py                     # all that has not been measured yet: an hour
    python benchmarks/editing.py --only garments --redo
    python benchmarks/editing.py --minutes 0.2       # a trial of everything
    python benchmarks/editing.py --table-only        # the page of what there is

    garments    ``gansmith train dcgan --data builtin:fashion`` and ``aae``, 300,000 images each; 200 held-out garments
                inverted by search, by an encoder, by both, beside what the AAE gives back and the mean image
    emoji       the same of ``builtin:emoji``
    unnamed     of both `dcgan`: the directions that are found without labels, and what they do to 500 samples
    direction   of the garments' `dcgan`: a direction learnt from training images of ankle boots and of sneakers; what
                it does to 500 samples, as `fashion-cnn` names them, which had no part in it

Nearness is PSNR and perceptual distance (`gansmith.metrics.perceptual_net`), with 95 % bootstrap intervals.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import gansmith
from common import (
    Bench,
    FashionMnist,
    Part,
    bench_parser,
    compared,
    comparison_table,
    markdown,
    of_run,
    perceptual_measures,
    play_parts,
    train,
    when,
)
from gansmith.apps import edits
from gansmith.core.config import DataConfig
from gansmith.data import open_data
from gansmith.data.split import evenly
from gansmith.metrics import psnr
from gansmith.training.pictures import side_by_side

NAME = "editing"
Record = dict[str, Any]
KIMG = 300.0
"""Length of a training, in thousands of images."""
MINUTES = 8.0
"""What that takes on one core; an estimate."""
HELD_OUT, SAMPLES, LEARNT_FROM, SHOWN = 200, 500, 200, 8
FAR = (0.0, 1.0, 2.0, 3.0)
"""Standard deviations that samples are moved by along what was learnt."""
BACK_AND_ON, UNNAMED = (-2.0, 2.0), 5
"""The same of directions without a name; how many of them."""
GROUNDS = {"builtin:fashion": 0, "builtin:emoji": 255}
"""What is behind the things in images."""
HAVING, LACKING = "Ankle boot", "Sneaker"


def trained(bench: Bench, family: str, data: str) -> tuple[gansmith.Run, Record]:
    """A run, trained once, and what a record says of it."""
    length = ("--kimg", f"{KIMG:g}") if bench.trial is None else ("--minutes", f"{bench.trial:g}")
    run_dir = bench.work / f"{data.partition(':')[2]}-{family}"
    result = train(family, run_dir, *length, data=data)
    return gansmith.load(run_dir), of_run(result, f"gansmith train {family} --data {data} {' '.join(length)}")


def inversion(bench: Bench, data: str) -> Record:
    """How near what is made of found codes comes to held-out images."""
    (run, one), (aae, other) = (trained(bench, family, data) for family in ("dcgan", "aae"))
    known, held = open_data(DataConfig(source=data)).pictures
    images = np.array(held[evenly(len(held), HELD_OUT)])
    made = {by: run.invert(images, by=by).images for by in edits.BY}
    made |= {"aae": aae.reconstruct(images)}
    mean = np.rint(known[evenly(len(known), 20_000)].mean(0)).astype(np.uint8)
    made |= {"mean image": np.broadcast_to(mean, images.shape)}
    measures = {"PSNR": psnr, **perceptual_measures()}
    values = {name: {who: measure(found, images) for who, found in made.items()} for name, measure in measures.items()}
    shown = [images[:SHOWN], *(found[:SHOWN] for found in made.values())]
    save(bench, f"{data.partition(':')[2]}.png", shown)
    return {"runs": [one, other], "comparison": compared(values, "both")}


def save(bench: Bench, name: str, columns: list[np.ndarray]) -> None:
    side_by_side(columns, 2).save(drawing(bench, name))


def drawing(bench: Bench, name: str) -> Path:
    """Where a picture of the page goes."""
    bench.pictures.mkdir(parents=True, exist_ok=True)
    return bench.pictures / name


def inversion_section(title: str, data: str, bench: Bench, record: Record) -> str:
    picture = f"{data.partition(':')[2]}.png"
    return f"""## {title}

{chr(10).join(f"- `{run['command']}`: {run['cpu_seconds'] / 60:.1f} CPU minutes" for run in record["runs"])}

{HELD_OUT} held-out images; `search`, `encoder` and `both` are `gansmith invert --by`, of the `dcgan`. {when([record])}.

{comparison_table(record["comparison"])}

{bench.link(picture)}
Each: the image, search, encoder, both, the AAE, the mean image.
"""


# ---- what a person, or a classifier, sees


def looks(images: np.ndarray, ground: int) -> dict[str, float]:
    """Means over uint8 (N, H, W, C), 0 to 1: the share of pixels, columns and rows that a thing covers, how light and
    how colourful it is."""
    pixels = images.astype(np.float32) / 255
    covered = (np.abs(pixels - ground / 255) > LIT).any(3)
    inside = np.maximum(covered.sum((1, 2)), 1)
    seen = {
        "area": covered.mean((1, 2)),
        "width": covered.any(1).mean(1),
        "height": covered.any(2).mean(1),
        "light": (pixels.mean(3) * covered).sum((1, 2)) / inside,
        "colour": (np.ptp(pixels, 3) * covered).sum((1, 2)) / inside,
    }
    return {name: round(float(values.mean()), 4) for name, values in seen.items()}


LIT = 0.16
"""A pixel so far from the ground belongs to the thing."""


def named(images: np.ndarray) -> np.ndarray:
    """Classes (N,) of uint8 (N, H, W, 1), by `fashion-cnn`."""
    garments = FashionMnist()
    return garments.classes(garments.features(images))


def kinds(images: np.ndarray, data: str) -> dict[str, str]:
    """What most garments are, and how many; nothing of emoji, which nobody here tells apart."""
    if data != "builtin:fashion":
        return {}
    most, count = Counter(named(images).tolist()).most_common(1)[0]
    return {"mostly": f"{open_data(DataConfig(source=data)).spec.classes[most]} {count / len(images):.0%}"}


# ---- directions that nobody has named


def unnamed(bench: Bench) -> Record:
    """What directions that were found without labels do to samples."""
    found: Record = {}
    for data, ground in GROUNDS.items():
        run, _ = trained(bench, "dcgan", data)
        known = run.directions(["sefa"], UNNAMED)  # those found last, after any that the run had
        ways = replace(known, names=known.names[-UNNAMED:], vectors=known.vectors[-UNNAMED:])
        edits.shown(run, ways).save(drawing(bench, f"unnamed-{data.partition(':')[2]}.png"))
        codes = run.codes(SAMPLES)
        found[data] = {}
        for name in ways.names:
            ends = [run.edit(codes, {name: far}) for far in BACK_AND_ON]
            found[data][name] = [looks(end, ground) | kinds(end, data) for end in ends]
    return {"found": found}


def unnamed_section(bench: Bench, record: Record) -> str:
    parts = []
    for data, found in record["found"].items():
        ends = [end for both in found.values() for end in both]
        columns = [name for name in ends[0] if any(end[name] for end in ends)]
        rows = [[name, *(f"{told(back[c])} → {told(on[c])}" for c in columns)] for name, (back, on) in found.items()]
        picture = bench.link(f"unnamed-{data.partition(':')[2]}.png").strip()
        parts += [f"The `dcgan` of `{data}`:", markdown(["direction", *columns], rows), picture]
    body = "\n\n".join(parts)
    return f"""## Directions that were found without labels

`gansmith directions RUN --how sefa --count {UNNAMED}`, of the runs above, and what becomes of {SAMPLES} samples from
{-BACK_AND_ON[0]:g} standard deviations back to {BACK_AND_ON[1]:g} on: the share of an image that a thing covers, of the
columns and of the rows, how light and how colourful it is, and what `fashion-cnn` takes most garments for.
{when([record])}.

{body}

Two samples each, from 3 standard deviations back to 3 on.

<!-- by hand: names -->

Not named yet.

<!-- end -->
"""


def told(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


# ---- a direction that was learnt


def direction(bench: Bench) -> Record:
    """What a learnt direction does to samples that lack what it stands for."""
    run, one = trained(bench, "dcgan", "builtin:fashion")
    data = open_data(DataConfig(source="builtin:fashion"))
    classes, labels = list(data.spec.classes), data.train.labels
    assert labels is not None
    numbers = [classes.index(name) for name in (HAVING, LACKING)]
    rows = [np.flatnonzero(labels == number)[:LEARNT_FROM] for number in numbers]
    images = np.concatenate([data.pictures[0][part] for part in rows])
    has = np.repeat([True, False], [len(part) for part in rows])
    run.learn_direction("boot", has, run.invert(images, by="both").codes)
    codes = run.codes(10 * SAMPLES)
    codes = codes[named(run.edit(codes, {})) == numbers[1]][:SAMPLES]
    moved = {far: run.edit(codes, {"boot": far}) for far in FAR}
    found = {
        str(far): {
            "boots": float((named(part) == numbers[0]).mean()),
            "footwear": float(np.isin(named(part), [*numbers, classes.index("Sandal")]).mean()),
            **looks(part, 0),
        }
        for far, part in moved.items()
    }
    save(bench, "direction.png", [part[:SHOWN] for part in moved.values()])
    return {"run": one, "found": found, "samples": len(codes)}


def direction_section(bench: Bench, record: Record) -> str:
    shapes = ("height", "width", "light")
    rows = [
        [far, f"{of['boots']:.0%}", f"{of['footwear']:.0%}", *(f"{of[shape]:.2f}" for shape in shapes)]
        for far, of in record["found"].items()
    ]
    return f"""## A direction that was learnt

`gansmith directions RUN --learn boot --having boots/ --lacking sneakers/`, {LEARNT_FROM} training images each, then
`gansmith edit RUN --direction boot=FAR`, of {record["samples"]} samples that are sneakers to `fashion-cnn`; the run is
that of the garments. {when([record])}.

{markdown(["moved by", "boots", "footwear", *shapes], rows)}

{bench.link("direction.png")}
Each: a sample, moved by 1, 2 and 3 standard deviations.

<!-- by hand: learnt -->

Nothing said yet.

<!-- end -->
"""


PARTS: dict[str, Part] = {
    "garments": Part(
        (MINUTES, MINUTES),
        lambda bench: inversion(bench, "builtin:fashion"),
        partial(inversion_section, "Garments", "builtin:fashion"),
    ),
    "emoji": Part(
        (MINUTES, MINUTES),
        lambda bench: inversion(bench, "builtin:emoji"),
        partial(inversion_section, "Emoji", "builtin:emoji"),
    ),
    "unnamed": Part((), unnamed, unnamed_section),
    "direction": Part((MINUTES,), direction, direction_section),
}


def page(sections: list[str]) -> str:
    body = "\n".join(sections)
    return f"""# Back to codes, and along directions

<!-- by hand: introduction -->

Which code makes an image? And what becomes of images when their codes are moved? `gansmith invert`, `directions` and
`edit`, measured.

<!-- end -->

Written by `python benchmarks/editing.py` from `benchmarks/results/editing.json`.

{body}"""


def main() -> None:
    play_parts(NAME, bench_parser(NAME, __doc__, PARTS), PARTS, page)


if __name__ == "__main__":
    main()

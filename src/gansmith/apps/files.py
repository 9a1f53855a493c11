"""What runs that make images of images, or of what is said, are used for: on arrays and on files."""

from __future__ import annotations

import glob
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from gansmith.apps.made import Maker
from gansmith.apps.run import Run
from gansmith.apps.tiles import GIB, Way, ignored, mapped
from gansmith.core.errors import ConfigError, DataError, GansmithError
from gansmith.core.game import Request, Translator
from gansmith.core.names import named
from gansmith.core.words import words_of
from gansmith.data.layout import is_image, wanted
from gansmith.data.marks import HOLD_MARKS
from gansmith.data.picture import BROKEN, Header, open_image, to_eight_bit, upright
from gansmith.data.sources.folder import scan
from gansmith.nets.translate import instance_norms

Verb = Literal["translate", "upscale", "restore"]
FAMILIES: Mapping[Verb, str] = {
    "translate": "cyclegan or pix2pix",
    "upscale": "srgan",
    "restore": "srgan with --scale 1",
}
BASE = 0.7 * GIB
"""What the process takes before any net is there: torch, above all; 0.67 with torch 2.14 on Linux."""
COPIES = 12
"""Bytes for each pixel, of what goes in and what comes out, beside the arrays: three of Pillow's pictures at once."""
QUALITY = 95
HOLDS: Mapping[str, tuple[str, ...]] = {
    "AVIF": ("L", "LA", "RGB", "RGBA"),
    "BMP": ("L", "RGB"),
    "DIB": ("L", "RGB"),
    "JPEG": ("L", "RGB"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
    "PCX": ("L", "RGB"),
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "PPM": ("L", "RGB"),
    "SGI": ("L", "RGB", "RGBA"),
    "TGA": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA"),
    "WEBP": ("L", "LA", "RGB", "RGBA"),
}
"""Formats that keep a picture as it is, or nearly so, and the modes that they do it for."""
LONGEST: Mapping[str, int] = {"JPEG": 65500, "WEBP": 16383}
"""Longest sides of formats that have such, pixels."""
PROFILES: Mapping[bytes, str] = {b"GRAY": "L", b"RGB ": "RGB"}
"""Colour spaces of an ICC profile (ICC.1, 7.2.6), and the modes that they are for."""


# ---- what a run can do


def verb_of(translator: Translator) -> Verb:
    """What images are made of images for."""
    if set(translator.ways) <= {"A", "B"}:
        return "translate"
    return "upscale" if translator.scale > 1 else "restore"


def translator_of(run: Run) -> Translator:
    """How the run makes images of images.

    Raises:
        ConfigError: it does not.
    """
    translator = run.player.game.translator
    if translator is None:
        train = ", ".join(f"{families} to {verb}" for verb, families in FAMILIES.items())
        raise ConfigError(f"{run.path}: {run.config.family} makes no images of images; train {train}")
    return translator


def check_verb(run: Run, verb: Verb) -> None:
    """Raises ConfigError where the run is for something else."""
    can = verb_of(translator_of(run))
    if can != verb:
        raise ConfigError(
            f"{run.path}: {run.config.family} cannot {verb}: give 'gansmith {can} {run.path} IN OUT', "
            f"or train {FAMILIES[verb]}"
        )


@contextmanager
def way_of(run: Run, to: str | None = None) -> Iterator[Way]:
    """A way of the run's averaged nets; by default the first.

    Raises:
        ConfigError: there is no such way.
    """
    translator = translator_of(run)
    name = to or next(iter(translator.ways))
    function, device = named("way", translator.ways, name), run.player.runtime.device
    with torch.inference_mode(), run.player.evaluated() as nets:
        yield Way(
            lambda images: function(nets, images.to(device)),
            translator.channels[name],
            translator.scale,
            translator.multiple,
            translator.reach,
            instance_norms(nets.values()),
        )


def translate_array(run: Run, image: np.ndarray, to: str | None = None, max_memory: float | None = None) -> np.ndarray:
    """What the run makes of an image of any size: uint8 (H, W, C) to uint8 (scale H, scale W, C').

    Args:
        to: which of two domains to come to, A or B; by default that of the run's samples.
        max_memory: GiB that the process may take; large images then go by tiles.

    Raises:
        ConfigError: the run makes no images of images, has no such way, or the image is of another kind.
    """
    with way_of(run, to) as way:
        channels = way.channels[0]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or not image.size:
            raise ConfigError(f"image: expected uint8 (H, W, {channels}), got {image.dtype} {image.shape}")
        if max_memory is None:
            return mapped(way, image)
        return mapped(way, image, checked_memory(run, max_memory), taken(run) + image.nbytes)


def taken(run: Run) -> float:
    """Bytes that the process has taken with a run loaded: nets, their averages, and what is below them."""
    return BASE + 2 * sum(weight.nbytes for weight in run.player.game.nets.parameters())


def checked_memory(run: Run, gib: float) -> float:
    """GiB as bytes.

    Raises:
        ConfigError: they are none, or less than is taken already.
    """
    if not gib > 0:
        raise ConfigError(f"--max-memory: expected more than 0 GiB, got {gib:g}")
    if gib * GIB <= taken(run):
        raise ConfigError(
            f"--max-memory: torch and these networks alone take {taken(run) / GIB:.2g} GiB, got {gib:g}; try 4"
        )
    return gib * GIB


# ---- which files, where


def inputs(pattern: str) -> list[Path]:
    """The images that a file's name, a folder or a pattern such as ``photos/*.png`` stands for, in order.

    A folder is read recursively; hidden files are left out.

    Raises:
        DataError: there are none.
    """
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(file.name for file in scan(path) if is_image(file.name) and wanted(file.name))
        if not found:
            raise DataError(f"{pattern}: no images in this folder or below it")
        return [path / name for name in found]
    matches = [Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if is_image(name)]
    files = [match for match in matches if match.is_file()]
    if not files:
        raise DataError(
            f"{pattern}: {'no image is called so' if glob.has_magic(pattern) else 'no such file or folder'}"
        )
    return files


def base_of(pattern: str) -> Path:
    """The folder that results keep their places relative to: IN itself, or as far as its name is certain."""
    path = Path(pattern)
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    certain = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:certain])


@dataclass(frozen=True)
class Kind:
    """What a picture is, apart from its pixels: without colours, and with transparency, or not."""

    grey: bool
    alpha: bool

    @classmethod
    def of(cls, image: Image.Image) -> Kind:
        return cls(Header(*image.size, image.mode).grey, image.has_transparency_data)

    def mode(self, way: Way, keeps: bool) -> str:
        """Of what a way makes of such a picture: as it is where the way keeps that, else as the way's nets have it.

        Transparency is kept where the nets know nothing of it.
        """
        made = way.channels[1]
        grey = self.grey if keeps else made == 1
        alpha = self.alpha if keeps or 4 not in way.channels else made == 4
        return ("L" if grey else "RGB") + "A" * alpha


@dataclass(frozen=True)
class Job:
    """One image: the file that it is in, and the one that what is made of it goes to."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Planned:
    """What is to be done, and what cannot be, by its file: why."""

    jobs: list[Job]
    failed: dict[Path, str]


def plan(pattern: str, out: Path, way: Way, keeps: bool, overwrite: bool, marked: bool = True) -> Planned:
    """Where everything goes; known before anything is computed.

    Args:
        marked: whether files are to say that a trained model made them, which not all formats can.

    Raises:
        ConfigError: OUT is no place for these, inputs would be overwritten, or two results are to have one name.
        DataError: there is no image.
    """
    sources, base = inputs(pattern), base_of(pattern)
    if not is_file_name(out):
        sources = without_results(sources, base, out)
    elif len(sources) > 1:
        raise ConfigError(f"{out}: expected a folder for {len(sources)} images")
    suffixes, failed = {}, {}
    for source in sources:
        try:
            suffixes[source] = suffix_for(source, out if is_file_name(out) else source, way, keeps, marked)
        except DataError as error:
            failed[source] = str(error)
    targets = dict.fromkeys(suffixes, out) if is_file_name(out) else names(suffixes, base, out)
    check_targets(targets, sources)
    jobs = []
    for source, target in targets.items():
        if target.is_dir() or (target.exists() and not overwrite):
            failed[source] = f"{target} is there already" + ("" if target.is_dir() else "; --overwrite replaces it")
        else:
            jobs.append(Job(source, target))
    return Planned(jobs, failed)


def without_results(sources: list[Path], base: Path, out: Path) -> list[Path]:
    """What an earlier call has written, where OUT is inside IN, is not read.

    Raises:
        DataError: there is nothing else.
    """
    folder = out.resolve()
    if folder == base.resolve() or not folder.is_relative_to(base.resolve()):
        return sources
    others = [source for source in sources if not source.resolve().is_relative_to(folder)]
    if not others:
        raise DataError(f"{base}: no images but those in {out}")
    return others


def is_file_name(out: Path) -> bool:
    """Whether OUT names a file rather than a folder."""
    return is_image(out.name) and not out.is_dir()


def suffix_for(source: Path, like: Path, way: Way, keeps: bool, marked: bool) -> str:
    """The suffix of what is made of an image: that of `like` where its format can hold it, else ``.png``.

    Raises:
        ConfigError: `like` is not the image's own name, but one asked for.
        DataError: the file is no image.
    """
    with decoding(), open_image(source) as image:
        mode, side = Kind.of(image).mode(way, keeps), max(image.size) * way.scale
    kind = format_of(like)
    holds = mode in HOLDS.get(kind, ()) and kind in Image.SAVE and side <= LONGEST.get(kind, side)
    if holds and (kind in HOLD_MARKS or not marked):
        return like.suffix
    if holds and like is not source:
        raise ConfigError(f"{like}: {kind} cannot say that a trained model made it; choose a .png, or --no-mark")
    if like is not source:
        raise ConfigError(f"{like}: {kind} cannot hold {mode} of {side} pixels a side; choose a .png")
    return ".png"


def format_of(path: Path) -> str:
    """Pillow's name of the format that the suffix stands for; empty where it knows none."""
    return Image.registered_extensions().get(path.suffix.lower(), "")


def names(suffixes: Mapping[Path, str], base: Path, out: Path) -> dict[Path, Path]:
    """A place below `out` for what is made of each image, as it lies below `base`.

    Where a new suffix would make two the same, it goes behind the old: ``a.gif.png`` beside ``a.png``.
    """
    places = {source: out / source.relative_to(base).with_suffix(suffix) for source, suffix in suffixes.items()}
    count = Counter(places.values())
    return {
        source: place if count[place] == 1 or place.name == source.name else place.with_name(source.name + place.suffix)
        for source, place in places.items()
    }


def check_targets(targets: Mapping[Path, Path], sources: Sequence[Path]) -> None:
    """Raises ConfigError where what is there, or another result, would be lost."""
    known = {source.resolve() for source in sources}
    for source, target in targets.items():
        if target.resolve() in known:
            raise ConfigError(f"{target}: is an image to be read; choose another OUT than {source.parent}")
        there = next(folder for folder in target.parents if folder.exists())
        if not there.is_dir():
            raise ConfigError(f"{there}: is a file; expected a folder")
    for target, count in Counter(targets.values()).items():
        if count > 1:
            clash = ", ".join(str(source) for source in targets if targets[source] == target)
            raise ConfigError(f"{clash}: would all become {target}; rename all but one")


# ---- one picture


@dataclass(frozen=True)
class Picture:
    """An image as it was stored, turned upright.

    Attributes:
        colours: mode L or RGB.
        alpha: mode L, or None where there is no transparency.
        profile: the ICC profile that the colours are to be seen by.
    """

    colours: Image.Image
    alpha: Image.Image | None
    profile: bytes | None

    @property
    def kind(self) -> Kind:
        return Kind(self.colours.mode == "L", self.alpha is not None)

    @property
    def opaque(self) -> Image.Image:
        """The colours as nets that know no transparency take them: white where nothing is to be seen."""
        if self.alpha is None:
            return self.colours
        colours = self.colours.copy()
        colours.paste("white", mask=self.alpha.point(lambda value: 255 * (value == 0)))
        return colours

    def pixels(self, channels: int) -> np.ndarray:
        """uint8 (H, W, channels): 1 grey, 3 RGB, 4 RGBA."""
        if channels < 4:
            return as_pixels(self.opaque.convert("L" if channels == 1 else "RGB"))
        solid = self.colours.convert("RGBA")
        if self.alpha is not None:
            solid.putalpha(self.alpha)
        return as_pixels(solid)


@contextmanager
def decoding() -> Iterator[None]:
    """What Pillow raises of a broken file becomes a DataError."""
    try:
        yield
    except BROKEN as error:
        raise DataError(str(error) or type(error).__name__) from error


def opened(path: Path) -> Picture:
    """Decodes an image of any mode, of an animated one the first frame; 16 bits become 8.

    Raises:
        DataError: it cannot be decoded.
    """
    with decoding(), open_image(path) as image:
        kind, profile = Kind.of(image), image.info.get("icc_profile")
        solid = to_eight_bit(upright(image), 4)
    colours = solid.convert("RGB")
    return Picture(
        colours.convert("L") if kind.grey else colours, solid.getchannel("A") if kind.alpha else None, profile
    )


Through = Callable[[np.ndarray], np.ndarray]


def made_of(picture: Picture, way: Way, through: Through, keeps: bool) -> Image.Image:
    """What a way makes of a picture.

    Of a way that keeps a picture's kind, a net that knows no colours makes the luma; chroma is interpolated.

    Args:
        through: the way, for arrays of any size.
        keeps: whether grey stays grey, colours stay colours; otherwise it is as the way's nets have it.
    """
    if keeps and way.channels[0] == 1 and picture.colours.mode == "RGB":
        luma, *chroma = picture.opaque.convert("YCbCr").split()
        detailed = as_image(through(as_pixels(luma)))
        rest = [part.resize(detailed.size, Image.Resampling.BICUBIC) for part in chroma]
        image = Image.merge("YCbCr", [detailed, *rest]).convert("RGB")
    else:
        image = as_image(through(picture.pixels(way.channels[0])))
    mode = picture.kind.mode(way, keeps)
    if picture.alpha is None or 4 in way.channels:
        return image.convert(mode)
    image = image.convert(mode.removesuffix("A"))
    image.putalpha(picture.alpha.resize(image.size, Image.Resampling.LANCZOS))
    return image


def as_pixels(image: Image.Image) -> np.ndarray:
    """Mode L, RGB or RGBA as uint8 (H, W, C)."""
    return np.asarray(image).reshape(image.height, image.width, -1)


def as_image(pixels: np.ndarray) -> Image.Image:
    """uint8 (H, W, C) as mode L, RGB or RGBA."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def save(image: Image.Image, target: Path, maker: Maker, profile: bytes | None = None) -> None:
    """Writes an image, whole or not at all, in the format of the suffix.

    Args:
        profile: an ICC profile, kept where it is for colours of this kind.

    Raises:
        GansmithError: it cannot be written.
    """
    fits = profile is not None and PROFILES.get(profile[16:20]) == image.mode.removesuffix("A")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        maker.write(image, target, format_of(target), quality=QUALITY, icc_profile=profile if fits else None)
    except BROKEN as error:
        raise GansmithError(f"{target}: cannot be written: {error}") from error


# ---- many files


def apply(
    run: Run,
    verb: Verb,
    pattern: str,
    out: Path,
    *,
    to: str | None = None,
    max_memory: float = 4.0,
    overwrite: bool = False,
    marked: bool = True,
) -> list[Path]:
    """Translates, upscales or restores images; what becomes of which is said by `inputs` and `plan`.

    A file that fails is named on stderr, and the rest go on.

    Args:
        pattern: a file, a folder, or a pattern of names.
        out: a file for one image, else a folder.
        to: which of two domains to come to, A or B; by default that of the run's samples.
        max_memory: GiB that the process may take; larger images go by tiles.
        marked: whether files say that a trained model made them.

    Returns:
        The files written.

    Raises:
        ConfigError: the run does something else, or as `plan`; nothing has been written.
        DataError: there are no images, or some failed.
    """
    check_verb(run, verb)
    memory, held, keeps = checked_memory(run, max_memory), taken(run), verb != "translate"
    with way_of(run, to) as way, Maker(run.dir, marked) as maker:
        planned = plan(pattern, out, way, keeps, overwrite, marked)
        failed = dict(planned.failed)
        for source, reason in failed.items():
            tell(source, reason)
        with bar(verb, len(planned.jobs)) as advance:
            for job in planned.jobs:
                try:
                    convert(job, maker, way, keeps, memory, held, advance)
                except GansmithError as error:
                    failed[job.source] = str(error)
                    tell(job.source, str(error))
                    advance(1)
    if failed:
        raise DataError(f"{len(failed)} of {len(planned.jobs) + len(planned.failed)} images failed")
    return [job.target for job in planned.jobs]


def convert(
    job: Job,
    maker: Maker,
    way: Way,
    keeps: bool,
    memory: float,
    held: float,
    advance: Callable[[float], None] = ignored,
) -> None:
    """Reads one image, and writes what is made of it.

    Raises:
        ConfigError: the memory is too little for it.
        GansmithError: it cannot be read, nothing can be made of it, or that cannot be written.
    """
    picture = opened(job.source)
    pixels = picture.colours.width * picture.colours.height
    held += COPIES * pixels * (1 + way.scale**2)
    made = made_of(picture, way, lambda array: mapped(way, array, memory, held, advance), keeps)
    save(made, job.target, maker, picture.profile)


def tell(source: Path, reason: str) -> None:
    print(f"gansmith: {source}: {reason}", file=sys.stderr)


@contextmanager
def bar(doing: str, total: int) -> Iterator[Callable[[float], None]]:
    """A bar on stderr if somebody is looking at it."""
    if not sys.stderr.isatty():
        yield ignored
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda share: progress.advance(task, share)


# ---- text to images


def draw_images(run: Run, text: str, n: int = 1, seed: int = 0) -> np.ndarray:
    """Images of what is said, uint8 (n, H, W, C). More of a seed begin with the fewer.

    Raises:
        ConfigError: the run draws no texts, the text is empty, n is below 1, or the seed below 0.
    """
    reader = run.player.game.reader
    if reader is None:
        raise ConfigError(f"{run.path}: {run.config.family} does not draw what is said; train stackgan")
    if not words_of(text):
        raise ConfigError(f"text: expected words, got {text!r}")
    if n < 1:
        raise ConfigError(f"number of images: expected at least 1, got {n}")
    if seed < 0:
        raise ConfigError(f"seed: expected at least 0, got {seed}")
    return run.player.sample(n, seed, Request(texts=reader.read([text] * n))).numpy()


def unknown_words(run: Run, text: str) -> list[str]:
    """The words of a text that the run's captions had not, each once."""
    return [word for word in dict.fromkeys(words_of(text)) if word not in run.spec.words]


def name_of(text: str) -> str:
    """A short form of a text that can be part of a file's name."""
    return "-".join(re.findall(r"\w+", " ".join(words_of(text))))[:40].strip("-_") or "text"

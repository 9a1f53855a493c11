"""Rebuild the data sets inside the wheel, `src/gansmith/data/builtin/`, from the packages that carry them.

    python benchmarks/build_builtin.py --cache ~/.cache/gansmith-builtin

Fetches apt `dataset-fashion-mnist` and npm `emoji-datasource-google`, `emoji-datasource-twitter`, `emojibase-data` into
the cache folder unless they are there already. The result is the same, byte for byte, wherever numpy and Pillow are the
same. Both files are plain `.npz`: no pickle.

fashion.npz: the first 1,000 images of each class of the training set and the first 200 of each class of t10k.
emoji.npz: base emoji only (skin tones would leak across the split), both styles, on white, 64 to 32 pixels by LANCZOS.
    The five skin-tone swatches of the category "Component" are left out: no class should have five images.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BUILTIN = Path(__file__).parent.parent / "src/gansmith/data/builtin"
APT_FOLDER = Path("/usr/share/datasets/fashion-mnist")
NPM = {"google": "emoji-datasource-google@16.0.0", "twitter": "emoji-datasource-twitter@16.0.0"}
WORDS = "emojibase-data@17.0.0"
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SIDE = 32
HELD_OUT = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/gansmith-builtin")
    cache = parser.parse_args().cache
    cache.mkdir(parents=True, exist_ok=True)
    for name, columns in {"fashion": fashion(cache), "emoji": emoji(cache)}.items():
        np.savez_compressed(BUILTIN / f"{name}.npz", **columns)
        print(name, {k: v.shape for k, v in columns.items()}, (BUILTIN / f"{name}.npz").stat().st_size, "bytes")


# ------------------------------------------------------------------------------------------------ Fashion-MNIST


def fashion(cache: Path) -> dict[str, np.ndarray]:
    folder = APT_FOLDER if APT_FOLDER.is_dir() else apt_folder(cache)
    train_images, train_labels = first_of_each(folder, "train", 1000)
    test_images, test_labels = first_of_each(folder, "t10k", 200)
    return {
        "images": np.concatenate([train_images, test_images]),
        "labels": np.concatenate([train_labels, test_labels]).astype(np.uint8),
        "heldout": np.arange(len(train_labels) + len(test_labels)) >= len(train_labels),
        "classes": np.array(FASHION),
    }


def apt_folder(cache: Path) -> Path:
    """Fetch the apt package and unpack it under the cache folder, so that no root is needed."""
    subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=cache, check=True)
    package = next(cache.glob("dataset-fashion-mnist_*.deb"))
    subprocess.run(["dpkg-deb", "-x", package.name, "fashion"], cwd=cache, check=True)
    return cache / "fashion" / APT_FOLDER.relative_to("/")


def first_of_each(folder: Path, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of every class, in the order of the file."""
    images = idx(folder / f"{part}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
    labels = idx(folder / f"{part}-labels-idx1-ubyte.gz", header=8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
    return images[chosen], labels[chosen]


def idx(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


# -------------------------------------------------------------------------------------------------------- emoji


def emoji(cache: Path) -> dict[str, np.ndarray]:
    packages = {style: npm_package(cache, package) for style, package in NPM.items()}
    words = {plain(record["hexcode"]): record for record in read_json(npm_package(cache, WORDS), "en/data.json")}
    table = read_json(packages["google"], "emoji.json")
    base = sorted((r for r in table if r["category"] != "Component"), key=lambda r: r["sort_order"])
    classes = sorted({record["category"] for record in base})
    count = len(packages)
    pictures = [drawings(package, style, base) for style, package in packages.items()]
    return {
        "images": np.concatenate(pictures),
        "labels": np.array([classes.index(r["category"]) for r in base] * count, np.uint8),
        "heldout": np.tile(without_leaks(np.array([held_out(r["unified"]) for r in base]), pictures), count),
        "classes": np.array(classes),
        "captions": np.array([caption(r, words) for r in base] * count),
        "styles": np.repeat(list(packages), len(base)),
        "codes": np.array([r["unified"].lower() for r in base] * count),
    }


def npm_package(cache: Path, package: str) -> Path:
    path = cache / (package.replace("@", "-") + ".tgz")
    if not path.exists():
        subprocess.run(["npm", "pack", package], cwd=cache, check=True)
    return path


def drawings(package: Path, style: str, base: list[dict[str, Any]]) -> np.ndarray:
    """The pictures of `base`, uint8 (N, 32, 32, 3)."""
    wanted = {f"package/img/{style}/64/{record['image']}" for record in base}
    found = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if member.name in wanted:
                found[member.name] = on_white(archive.extractfile(member).read())
    return np.stack([found[f"package/img/{style}/64/{record['image']}"] for record in base])


def on_white(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        picture = image.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(
        Image.alpha_composite(white, picture).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    )


def read_json(package: Path, member: str) -> Any:
    with tarfile.open(package) as archive:
        return json.load(archive.extractfile(f"package/{member}"))


def plain(code: str) -> str:
    """A code point sequence as both sources can agree on it: lower case, without variation selectors."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def caption(record: dict[str, Any], words: dict[str, dict[str, Any]]) -> str:
    known = words.get(plain(record["unified"]))
    if known is None:
        raise SystemExit(f"emojibase has no words for {record['unified']} {record['name']}")
    return ", ".join(dict.fromkeys([known["label"], *known.get("tags", [])]))


def held_out(code: str) -> bool:
    """One emoji in ten, by its code, so both styles of a drawing fall on the same side."""
    digest = hashlib.blake2b(plain(code).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < HELD_OUT


def without_leaks(heldout: np.ndarray, pictures: list[np.ndarray]) -> np.ndarray:
    """Move to training what is drawn, in either style, as something in training is: some flags are the same."""
    heldout = heldout.copy()
    while True:
        trained = [{picture.tobytes() for picture in style[~heldout]} for style in pictures]
        leaks = [
            i
            for i in np.flatnonzero(heldout)
            if any(style[i].tobytes() in known for style, known in zip(pictures, trained, strict=True))
        ]
        if not leaks:
            return heldout
        heldout[leaks] = False


if __name__ == "__main__":
    main()

"""Pictures of a run: grids of samples, the film of its fixed latents, the plot of its losses."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gansmith.core.paths import write_atomic
from gansmith.data.marks import Mark, encoded, stamped

GAP = 2
TERMS = (
    "class", "gp", "r1", "r2", "dragan", "drift", "lecam", "cycle", "identity", "pixels", "perceptual_loss", "kl",
    "code",
)  # fmt: skip
"""What players pay beside the adversarial loss, by the names of the recipes."""
LARGEST_SIDE = 1024


def grid(images: np.ndarray, columns: int | None = None) -> Image.Image:
    """A contact sheet of uint8 (N, H, W, C): as square as it goes, small images enlarged by whole pixels."""
    n, h, w, c = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    scale = max(1, min(3, LARGEST_SIDE // (columns * (w + GAP))))
    h, w = h * scale, w * scale
    sheet = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP, c), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = GAP + i // columns * (h + GAP), GAP + i % columns * (w + GAP)
        sheet[top : top + h, left : left + w] = image.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(sheet[:, :, 0] if c == 1 else sheet)


def side_by_side(columns: Sequence[np.ndarray], groups: int = 2) -> Image.Image:
    """A contact sheet of columns that belong together, each uint8 (N, H, W, C): every row shows `groups` of them."""
    coloured = [in_colour(column) for column in columns]
    return grid(np.stack(coloured, 1).reshape(-1, *coloured[0].shape[1:]), len(columns) * groups)


def in_colour(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) as RGB, white where they are transparent."""
    if images.shape[3] == 4:
        alpha = images[..., 3:].astype(np.float32) / 255
        return np.rint(images[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.broadcast_to(images, (*images.shape[:3], 3))


def save_picture(picture: Image.Image, path: Path, mark: Mark) -> None:
    """Writes a PNG that says which run made it, whole or not at all."""
    write_atomic(path, encoded(picture, "PNG", mark)[0])


def on_white(picture: Image.Image) -> Image.Image:
    """The picture as RGB, white where it is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    solid = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid).convert("RGB")


def save_film(frames: Sequence[Path], path: Path, mark: Mark, milliseconds: int = 150) -> None:
    """An animated WebP of the grids; the last stays for two seconds."""
    pictures = []
    for frame in frames:
        with Image.open(frame) as picture:
            pictures.append(on_white(picture))
    durations = [milliseconds] * (len(pictures) - 1) + [2000]
    moving = {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0}
    write_atomic(path, stamped(pictures[0], "WEBP", mark, **moving, quality=70, method=3))


def save_plot(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Losses, D's outputs and the quick Fréchet distance against images seen. Needs matplotlib (extra `plots`)."""
    from matplotlib.figure import Figure

    panels = [
        ("loss", _ending(rows, "loss", *TERMS)),
        ("mean output of D", _ending(rows, "real", "fake")),
        ("critic's estimate of the distance", _ending(rows, "distance")),
        ("ADA's p", _ending(rows, "ada_p")),
        ("Fréchet distance, 1,000 samples", _ending(rows, "frechet")),
        ("kernel distance to held-out images", _ending(rows, "kernel")),
        ("perceptual distance to held-out targets", _ending(rows, "perceptual")),
        ("PSNR of held-out pairs, dB", _ending(rows, "psnr")),
    ]
    panels = [(label, keys) for label, keys in panels if keys]
    figure = Figure(figsize=(9, 2.7 * len(panels)), layout="constrained")
    for axes, (label, keys) in zip(np.ravel(figure.subplots(len(panels), 1, sharex=True)), panels, strict=True):
        for key in keys:
            points = [(row["images"] / 1000, row[key]) for row in rows if key in row]
            x, y = zip(*points, strict=True)
            style = {"marker": "o", "label": key} if key.startswith("quick") else {"alpha": 0.25}
            line = axes.plot(x, y, linewidth=1, **style)[0]
            if not key.startswith("quick"):
                axes.plot(x, _smooth(y), linewidth=1.6, color=line.get_color(), label=key)
        axes.set_ylabel(label)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, loc="upper right")
    axes.set_xlabel("thousand images")
    figure.suptitle(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())


def save_curves(curves: Mapping[str, Sequence[tuple[int, float]]], path: Path, label: str) -> None:
    """What a figure was after so many images, by name of the curve. Needs matplotlib (extra `plots`)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        x, y = zip(*points, strict=True)
        axes.plot(np.array(x) / 1000, y, marker="o", markersize=3, label=name)
    axes.set_xlabel("thousand images")
    axes.set_ylabel(label)
    axes.set_yscale("log" if min(y for points in curves.values() for _, y in points) > 0 else "linear")
    axes.grid(alpha=0.25)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())


def save_scatter(codes: np.ndarray, labels: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Codes of two numbers (N, 2), coloured by class. Needs matplotlib (extra `plots`)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(classes):
        x, y = codes[labels == number].T
        axes.scatter(x, y, s=4, alpha=0.6, label=name, color=f"C{number % 10}")
    axes.set_aspect("equal")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8, markerscale=3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())


def _keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _ending(rows: Sequence[dict[str, Any]], *names: str) -> list[str]:
    """The keys of any player's figures of these names."""
    return [key for key in _keys(rows) if key.partition("/")[2] in names]


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Running mean over a twentieth of the points, shorter at the ends."""
    window = max(1, len(values) // 20)
    kernel = np.ones(window)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")

"""Samples as files: a folder of PNG, one grid, or arrays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from gansmith.apps.credentials import credentials
from gansmith.apps.latent import Inverted
from gansmith.apps.made import Maker
from gansmith.core.errors import ConfigError, GansmithError
from gansmith.core.paths import write_atomic
from gansmith.data.marks import SOURCE
from gansmith.training.pictures import grid, on_white, side_by_side


def check_target(out: Path, overwrite: bool) -> None:
    """Raises ConfigError where `save_images` could not, or should not, write; before anything is computed."""
    if out.suffix.lower() not in (".png", ".npz", ""):
        raise ConfigError(f"{out}: expected a folder, a .png or an .npz")
    credentials()
    taken = out.is_file() or (out.is_dir() and any(out.iterdir()))
    if taken and not overwrite:
        raise ConfigError(f"{out}: is there already; choose another place, or --overwrite")
    if out.suffix and out.is_dir():
        raise ConfigError(f"{out}: is a folder; expected a file")
    if not out.suffix and out.is_file():
        raise ConfigError(f"{out}: is a file; expected a folder")


def save_images(images: np.ndarray, out: Path, maker: Maker, labels: np.ndarray | None = None) -> None:
    """Writes uint8 (N, H, W, C) to a folder (a PNG each), to a ``.png`` (one grid) or to an ``.npz`` (``images``,
    where there are any ``labels``, and ``source``: what a mark says).

    Raises:
        GansmithError: the place cannot be written.
    """
    try:
        (out.parent if out.suffix else out).mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".png":
            maker.write(grid(images), out)
        elif out.suffix.lower() == ".npz":
            buffer = io.BytesIO()
            arrays = {"images": images} | ({} if labels is None else {"labels": labels})
            arrays |= {"source": np.array([SOURCE, maker.run.mark.maker, maker.run.mark.run])} if maker.marked else {}
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
            write_atomic(out, buffer.getvalue())
        else:
            digits = len(str(len(images) - 1))
            for i, image in enumerate(images):
                picture = Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image)
                maker.write(picture, out / f"{i:0{digits}}.png")
    except OSError as error:
        raise GansmithError(f"{out}: cannot be written: {error.strerror or error}") from error


def check_files(*files: tuple[Path, str], overwrite: bool) -> None:
    """Raises ConfigError where one of these cannot, or should not, be written; before anything is computed.

    Args:
        files: each with the suffix that it must have.
    """
    credentials()
    for file, suffix in files:
        if file.suffix.lower() != suffix:
            raise ConfigError(f"{file}: expected a {suffix}")
        if file.exists() and (file.is_dir() or not overwrite):
            raise ConfigError(f"{file}: is there already; choose another place, or --overwrite")


def save_sheet(picture: Image.Image, path: Path, maker: Maker) -> None:
    """A picture, in a folder that need not be there yet."""
    with maker.run.writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        maker.write(picture, path)


def save_walk(images: np.ndarray, film: Path, strip: Path, steps: int, maker: Maker) -> None:
    """A film of a walk; and a strip, a row for each way from one image to the next."""
    with maker.run.writing():
        film.parent.mkdir(parents=True, exist_ok=True)
        scale = max(1, FILM_SIDE // max(images.shape[1:3]))
        frames = [
            on_white(grid(image[None], 1).resize([scale * side for side in image.shape[1::-1]], 0)) for image in images
        ]
        maker.write(frames[0], film, "WEBP", save_all=True, append_images=frames[1:], duration=80, loop=0, quality=80)
        ways = -(-(len(images) - 1) // steps)
        rows = [images[i * steps : (i + 1) * steps + 1] for i in range(ways)]
        maker.write(grid(np.concatenate(rows), steps + 1), strip)


FILM_SIDE = 256


def save_inverted(images: np.ndarray, found: Inverted, sheet: Path, maker: Maker) -> None:
    """A sheet of images, each beside what its code makes; and the codes, in an ``.npz`` of the same name."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, codes=found.codes, images=found.images)
    save_sheet(side_by_side([images, found.images]), sheet, maker)
    with maker.run.writing():
        write_atomic(sheet.with_suffix(".npz"), buffer.getvalue())

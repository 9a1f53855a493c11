"""What image files say of where they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gansmith.data.marks import HOLD_MARKS, IPTC, SOURCE, Mark, digest, encoded, read

MARK = Mark("0123456789abcdef", 'gansmith <0.1> & "dcgan"')
SUFFIXES = {"AVIF": "avif", "JPEG": "jpg", "PNG": "png", "TIFF": "tif", "WEBP": "webp"}


def picture(mode: str = "RGB", size: tuple[int, int] = (24, 16)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kind", HOLD_MARKS)
def test_every_format_holds_the_mark(kind: str, mode: str, tmp_path: Path) -> None:
    shown = picture(mode.removesuffix("A") if kind == "JPEG" else mode)
    content, pixels = encoded(shown, kind, MARK)
    path = tmp_path / f"image.{SUFFIXES[kind]}"
    path.write_bytes(content)
    found = read(shutil.copy(path, tmp_path / f"copy.{SUFFIXES[kind]}"))
    assert found.mark == Mark(MARK.run, MARK.maker, pixels)
    assert found.is_synthetic
    assert found.pixels == pixels
    if kind in ("PNG", "TIFF"):
        assert found.pixels == digest(shown)
    assert IPTC.encode() in content
    assert SOURCE.encode() in content, "as other programs look for it"


def test_without_a_mark_nothing_is_said(tmp_path: Path) -> None:
    content, pixels = encoded(picture(), "PNG")
    (tmp_path / "plain.png").write_bytes(content)
    found = read(tmp_path / "plain.png")
    assert (found.mark, found.is_synthetic, found.pixels) == (None, False, pixels)


def test_other_pixels_have_another_digest() -> None:
    other = picture()
    ImageDraw.Draw(other).point((3, 5), fill=(1, 2, 3))
    assert digest(other) != digest(picture())
    assert digest(picture(size=(16, 24))) != digest(picture())
    assert digest(picture("L")) == digest(picture("L").convert("RGB")), "a mode is not a pixel"


def elements(value: str) -> bytes:
    """XMP as other programs write it again: properties as elements."""
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
    <rdf:Description rdf:about=""><e:DigitalSourceType xmlns:e="{IPTC}">{value}</e:DigitalSourceType></rdf:Description>
    </rdf:RDF></x:xmpmeta>""".encode()


@pytest.mark.parametrize(
    ("packet", "synthetic"),
    [
        (elements(SOURCE), True),
        (elements("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"), False),
        (b"<not xml", False),
        (b"\xff\xfe\x00", False),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", False),
        (b" " * (1 << 21), False),
    ],
)
def test_what_other_programs_wrote(packet: bytes, synthetic: bool, tmp_path: Path) -> None:
    picture().save(tmp_path / "image.webp", xmp=packet)
    found = read(tmp_path / "image.webp")
    assert (found.mark, found.is_synthetic) == (None, synthetic)

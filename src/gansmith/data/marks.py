"""What an image file says of where it comes from: that a trained model made it, and which run.

The statement is IPTC's, ``DigitalSourceType`` ``trainedAlgorithmicMedia`` (IPTC Photo Metadata Standard, 2023.1), in
XMP (ISO 16684-1), which every format of `HOLD_MARKS` has a place for. Beside it stand the run's fingerprint and a
digest of the pixels, by which a file that was changed since is told from one that was not. Anybody can write such a
statement: who wrote it is said only by a signature (see `gansmith.apps.credentials`).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from PIL import Image
from PIL.PngImagePlugin import PngInfo

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
HOLD_MARKS = ("AVIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Formats, as Pillow calls them, that a mark fits in."""
LOSSLESS = ("BMP", "PNG", "TIFF")
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
XMP = "http://ns.adobe.com/xap/1.0/"
OURS = "https://pypi.org/project/gansmith/ns/1.0/"
MOST = 1 << 20
"""Bytes of XMP that are read."""
XMP_OF_TIFF = 700
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{iptc}" xmlns:xmp="{xmp}" xmlns:gansmith="{ours}"
 Iptc4xmpExt:DigitalSourceType="{source}" xmp:CreatorTool={maker} gansmith:Run={run} gansmith:Pixels={pixels}/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Mark:
    """What a file says of an image.

    Attributes:
        run: fingerprint of the run that made it.
        maker: program, version and family.
        pixels: their digest (see `digest`), when it was written; empty where that is not said.
    """

    run: str
    maker: str
    pixels: str = ""

    def packet(self) -> bytes:
        """As XMP."""
        values = {"maker": quoteattr(self.maker), "run": quoteattr(self.run), "pixels": quoteattr(self.pixels)}
        return PACKET.format(iptc=IPTC, xmp=XMP, ours=OURS, source=SOURCE, **values).encode()


def digest(picture: Image.Image) -> str:
    """Of size and pixels, the same in every lossless format and mode."""
    solid = picture.convert("RGBA")
    return hashlib.blake2b(repr(solid.size).encode() + solid.tobytes(), digest_size=16).hexdigest()


def encoded(picture: Image.Image, kind: str, mark: Mark | None = None, **options: Any) -> tuple[bytes, str]:
    """A file's content, with the mark where there is one, and the digest of the pixels that are read from it.

    Args:
        kind: of file, as Pillow calls it; one of `HOLD_MARKS` where there is a mark.
        options: of ``Image.save``.
    """
    if kind in LOSSLESS:
        pixels = digest(picture)
    else:
        with Image.open(io.BytesIO(_saved(picture, kind, **options))) as again:
            pixels = digest(again)
    if mark is None:
        return _saved(picture, kind, **options), pixels
    return stamped(picture, kind, replace(mark, pixels=pixels), **options), pixels


def stamped(picture: Image.Image, kind: str, mark: Mark, **options: Any) -> bytes:
    """A file's content with the mark as it is."""
    packet = mark.packet()
    if kind == "PNG":
        chunk = PngInfo()
        chunk.add_itxt("XML:com.adobe.xmp", packet.decode())
        return _saved(picture, kind, **options, pnginfo=chunk)
    place = {"tiffinfo": {XMP_OF_TIFF: packet}} if kind == "TIFF" else {"xmp": packet}
    return _saved(picture, kind, **options, **place)


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class Found:
    """What is found in a file.

    Attributes:
        mark: what it says of itself; None where it says nothing.
        is_synthetic: whether it says that a trained model made it, us or another.
        pixels: digest of the pixels that it has.
    """

    mark: Mark | None
    is_synthetic: bool
    pixels: str


def read(path: Path) -> Found:
    """What a file says, and what it holds.

    Raises:
        one of `gansmith.data.picture.BROKEN`: it is no image that can be read.
    """
    with Image.open(path) as picture:
        packet = picture.info.get("xmp") or b""
        pixels = digest(picture)
    said = _properties(packet.encode() if isinstance(packet, str) else bytes(packet))
    run = said.get(f"{{{OURS}}}Run")
    mark = Mark(run, said.get(f"{{{XMP}}}CreatorTool", ""), said.get(f"{{{OURS}}}Pixels", "")) if run else None
    return Found(mark, said.get(f"{{{IPTC}}}DigitalSourceType") == SOURCE, pixels)


def _properties(packet: bytes) -> dict[str, str]:
    """Simple properties of XMP by qualified name, written as attributes or as elements; none of what is no XMP."""
    if not 0 < len(packet) <= MOST:
        return {}
    try:
        root = ElementTree.fromstring(packet.strip(b"\x00 \n"))
    except ElementTree.ParseError:
        return {}
    found: dict[str, str] = {}
    for element in root.iter():
        found |= {name: str(value) for name, value in element.attrib.items()}
        if element.text and element.text.strip():
            found[str(element.tag)] = element.text.strip()
    return found

"""Whether an image was made by us, and by which run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from gansmith.apps.credentials import check
from gansmith.core.errors import DataError
from gansmith.data.marks import Found, Mark, read
from gansmith.data.pack import describe
from gansmith.data.picture import BROKEN
from gansmith.data.watermark import is_watermarked
from gansmith.training.rundir import RunDir

Status = Literal["ours", "altered", "stripped", "forged", "not ours"]


@dataclass(frozen=True)
class Provenance:
    """What is known of where an image comes from.

    Attributes:
        file: its name.
        status: ``ours``, as it was written; ``altered``, with other pixels than it was written with; ``stripped``,
            without what it said, but with pixels that the run knows, or with our watermark; ``forged``, signed by
            nobody whose word counts, or not what was signed; ``not ours``.
        is_synthetic: whether the file says, or its pixels do, that a trained model made it, ours or another.
        run, maker: fingerprint of the run, and program, version and family, as far as they are known.
        signed_by: whom the certificate names that it was signed with, if it was.
        why: in a sentence.
    """

    file: str
    status: Status
    is_synthetic: bool
    run: str
    maker: str
    signed_by: str
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.file}: {self.status}: {self.why}"


def verify(file: str | Path, run: str | Path | None = None, trust: Sequence[str | Path] = ()) -> Provenance:
    """What an image file says of where it comes from, who signed that, and what the run knows of it.

    Args:
        run: one that may have made it; it knows its images by their pixels.
        trust: files of certificates, in PEM, of authorities whose word is taken for who signed.

    Raises:
        DataError: the file cannot be read.
        ConfigError: there is no such run, or no such certificates.
        MissingExtra: the file is signed, and what checks that is not installed.
    """
    path, known = Path(file), None if run is None else RunDir(Path(run))
    own, made = (known.mark, known.made()) if known else (None, {})
    try:
        found = read(path)
        signed = check(path, [Path(authority) for authority in trust])
        status, mark, why = judged(found, own, made)
        has_watermark = status == "not ours" and mark is None and has_ours(path)
    except BROKEN as error:
        raise DataError(f"{path}: cannot be read: {describe(error)}") from error
    if has_watermark:
        status, why = "stripped", f"{why}, but it has our watermark, which anybody can put there"
    if status == "not ours" and known is None and not found.is_synthetic:
        why += "; --run RUN knows its images without what they say"
    if signed is not None and (not signed.is_valid or signed.is_trusted is False):
        status, why = "forged", f"it is signed in the name of {signed.by or 'somebody'}: {signed.why}"
    elif signed is not None:
        why += f", signed by {signed.by}" + ("" if signed.is_trusted else "; --trust FILE says whose word counts")
    said = mark or Mark("", "")
    is_synthetic = found.is_synthetic or has_watermark
    return Provenance(str(path), status, is_synthetic, said.run, said.maker, signed.by if signed else "", why)


def has_ours(path: Path) -> bool:
    """Whether the pixels of a file have our watermark."""
    with Image.open(path) as picture:
        return is_watermarked(picture)


def judged(found: Found, own: Mark | None, made: Mapping[str, Mapping[str, Any]]) -> tuple[Status, Mark | None, str]:
    """By what a file says and holds: the status, whose it is, and why.

    Args:
        own: mark of the run that may have made it.
        made: what that run remembers, by digest of the pixels.
    """
    mark = found.mark
    if mark is not None and own is not None and mark.run != own.run:
        return "not ours", mark, f"made by run {mark.run} ({mark.maker}), not by this one, {own.run}"
    if mark is not None and mark.pixels != found.pixels:
        return "altered", mark, f"made by run {mark.run} ({mark.maker}); its pixels were changed since"
    if mark is not None:
        return "ours", mark, f"made by run {mark.run} ({mark.maker}), as it was written"
    if own is not None and found.pixels in made:
        line = made[found.pixels]
        lost = "its mark is gone" if line["marked"] else "it was written with --no-mark"
        return "stripped", own, f"made by run {own.run} ({own.maker}) as {line['file']}; {lost}"
    told = "that a trained model made it, and not which" if found.is_synthetic else "nothing of us"
    return "not ours", None, f"it says {told}"

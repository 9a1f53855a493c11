"""Writing what a run made: each image says so, and the run remembers it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from gansmith.apps.credentials import credentials
from gansmith.core.paths import write_atomic
from gansmith.data import watermark
from gansmith.data.marks import encoded
from gansmith.training.rundir import MADE, RunDir

log = logging.getLogger("gansmith")


@dataclass
class Maker:
    """Writes images that a run made, signed where there are credentials (see `gansmith.apps.credentials`), with a
    watermark where one is asked for (see `gansmith.data.watermark`; of a film, in its first picture).

    Attributes:
        run: whose fingerprint they get.
        marked: whether they say that a trained model made them; that they do not is remembered, too.
        lines: what is to be remembered of those written so far.
        without: how many had no room for the watermark that was asked for.
    """

    run: RunDir
    marked: bool = True
    lines: list[dict[str, Any]] = field(default_factory=list)
    without: int = 0

    def write(self, picture: Image.Image, path: Path, kind: str = "PNG", **options: Any) -> None:
        """A file, whole or not at all."""
        mark = self.run.mark if self.marked else None
        is_asked = self.marked and watermark.is_asked()
        shown = watermark.watermarked(picture) if is_asked else picture
        self.without += is_asked and shown is picture
        content, pixels = encoded(shown, kind, mark, **options)
        signer = credentials()
        write_atomic(path, content if signer is None or mark is None else signer.sign(content, kind, mark))
        self.lines.append({"pixels": pixels, "file": path.name, "marked": self.marked})

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *_: object) -> None:
        """Remembers, whatever happened."""
        try:
            with (self.run.path / MADE).open("a") as file:
                file.write("".join(json.dumps(line) + "\n" for line in self.lines))
        except OSError as error:
            log.warning("%s: does not remember what it made: %s", self.run.path, error.strerror or error)
        self.lines.clear()
        if self.without:
            log.warning(
                "images without the watermark that %s asks for: %d, smaller than %d pixels or not of 8 bits",
                watermark.VARIABLE,
                self.without,
                watermark.LEAST,
            )

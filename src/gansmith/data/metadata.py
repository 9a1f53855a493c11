"""Tables beside images, in the form of Hugging Face's imagefolder: `metadata.csv` and `metadata.jsonl`.

A `file_name` column is needed; `text` or `caption` is the caption, `label` the label; other columns are ignored.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from gansmith.core.errors import DataError

_CAPTIONS = ("text", "caption")
_MEND = "save it as UTF-8 (in Excel: CSV UTF-8)"


@dataclass(frozen=True)
class Row:
    """One row: `place` names the table and line for messages; `file` is relative to the table's folder."""

    place: str
    file: str
    label: str | None
    caption: str | None


def is_table(name: str) -> bool:
    return PurePosixPath(name).name.lower() in ("metadata.csv", "metadata.jsonl")


def read_table(name: str, content: bytes) -> list[Row]:
    """Read a table.

    Raises:
        DataError: it is not UTF-8, not CSV or JSON lines, or has no `file_name`; names the table and line.
    """
    # Without a byte order mark, UTF-16 of a Latin script passes for UTF-8 with every other character NUL.
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        raise DataError(f"{name}: UTF-16, not UTF-8; {_MEND}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: not UTF-8 at byte {error.start}; {_MEND}") from None
    records = _csv_records if name.lower().endswith(".csv") else _json_records
    return [_row(f"{name}: line {line}", record) for line, record in records(name, text)]


def _csv_records(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for record in reader:
            if None in record:
                raise DataError(f"{name}: line {reader.line_num}: more values than columns; quote values with commas")
            yield reader.line_num, record
    except csv.Error as error:
        raise DataError(f"{name}: line {reader.line_num}: {error}") from None


def _json_records(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Not splitlines(): JSON strings may hold U+2028 and its like, which it would split at.
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except ValueError as error:
            raise DataError(f"{name}: line {line}: not JSON: {error}") from None
        if not isinstance(record, dict):
            raise DataError(f"{name}: line {line}: expected an object, got {content.strip()[:40]}")
        yield line, record


def _row(place: str, record: dict[str, Any]) -> Row:
    file = record.get("file_name")
    if not isinstance(file, str) or not file:
        columns = ", ".join(map(str, record)) or "nothing"
        raise DataError(f"{place}: no file_name; the columns are {columns}, and file_name names the image of a row")
    caption = next((record[column] for column in _CAPTIONS if record.get(column) is not None), None)
    return Row(place, file.replace("\\", "/"), _label(place, record.get("label")), _caption(place, caption))


def _label(place: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list)):
        raise DataError(f"{place}: label: expected a name or number, got {json.dumps(value)[:40]}")
    return str(value)


def _caption(place: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{place}: caption: expected text, got {json.dumps(value)[:40]}")
    return value

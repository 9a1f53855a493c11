"""What folders and metadata tables say of images, for any names and any text."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gansmith.core.errors import DataError
from gansmith.data.entries import Entry, sorted_classes
from gansmith.data.layout import Place, is_image, lay_out, wanted
from gansmith.data.metadata import read_table
from gansmith.data.split import assign_splits

# No surrogates (not UTF-8) and no NUL (not CSV).
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.lists(st.from_regex(r"[a-z0-9 é,\"']{1,8}", fullmatch=True), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b.png"], [Place(), Place()]),
        (["c/a.png", "d/b.png"], [Place(label="c"), Place(label="d")]),
        (["root/c/a.png", "root/d/x/b.png"], [Place(label="c"), Place(label="d")]),
        (["c/a.png", "c/b.png"], [Place(), Place()]),
        (["c/a.png", "b.png"], [Place(), Place()]),
        (["train/a.png", "val/b.png"], [Place("train"), Place("heldout")]),
        (["x/Train/c/a.png", "x/TEST/d/b.png"], [Place("train", "c"), Place("heldout", "d")]),
        (["train/a.png", "bus/b.png", "test/c.png"], [Place(label="train"), Place(label="bus"), Place(label="test")]),
        (["test/a.png", "val/b.png"], [Place(label="test"), Place(label="val")]),
    ],
)
def test_folders(names: list[str], expected: list[Place]) -> None:
    assert lay_out(names, {}) == expected


def test_a_table_in_each_split() -> None:
    tables = {f"{part}/metadata.csv": b"file_name,caption\na.png,%s\n" % part.encode() for part in ("train", "test")}
    assert lay_out(["train/a.png", "test/a.png"], tables) == [
        Place("train", caption="train"),
        Place("heldout", caption="test"),
    ]


@given(names=NAMES, data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_table(names: list[str], data: st.DataObject) -> None:
    files = [name + ".png" for name in names]
    captions = [data.draw(TEXT) for _ in files]
    labels = [data.draw(TEXT.filter(bool)) for _ in files]
    expected = [Place(None, label, caption) for label, caption in zip(labels, captions, strict=True)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerows([("file_name", "label", "text", "more"), *zip(files, labels, captions, files, strict=True)])
    assert lay_out(files, {"metadata.csv": b"\xef\xbb\xbf" + buffer.getvalue().encode()}) == expected
    rows: list[dict[str, Any]] = [
        {"file_name": file, "label": label, "caption": caption}
        for file, label, caption in zip(files, labels, captions, strict=True)
    ]
    for escaped in (True, False):
        lines = "\n".join(json.dumps(row, ensure_ascii=escaped) for row in rows)
        assert lay_out(files, {"metadata.jsonl": lines.encode()}) == expected


@given(content=st.binary(max_size=200), kind=st.sampled_from(["csv", "jsonl"]))
def test_any_bytes_are_read_or_refused(content: bytes, kind: str) -> None:
    try:
        rows = read_table(f"metadata.{kind}", content)
    except DataError as error:
        assert str(error).startswith(f"metadata.{kind}: ")  # noqa: PT017
    else:
        assert all(row.file for row in rows)


@given(names=st.lists(st.text(min_size=1, max_size=6), min_size=10, max_size=60, unique=True), share=st.floats(0, 0.5))
def test_splits_do_not_depend_on_the_other_images(names: list[str], share: float) -> None:
    entries = [Entry(name, bytes) for name in names]
    splits = assign_splits(entries, share)
    assert (splits.count("heldout") >= 1) == (share > 0)
    assert "train" in splits or share > 0.3
    some = [(entry, split) for entry, split in zip(entries, splits, strict=True)][:-1]
    if len(some) >= 10 and splits.count("heldout") > 1:
        again = assign_splits([entry for entry, _ in some], share)
        assert sum(a != b for a, (_, b) in zip(again, some, strict=True)) <= 1


def test_classes_in_order_of_their_value() -> None:
    assert sorted_classes(["10", "9", "2", "9"]) == ("2", "9", "10")
    assert sorted_classes(["b", "10", "a"]) == ("10", "a", "b")


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "x/../../a.png", ".a.png", "__MACOSX/a.png", "a.txt", "a"])
def test_unwanted_names(name: str) -> None:
    assert not wanted(name)


def test_wanted_names() -> None:
    assert all(map(wanted, ["a.PNG", "x/y.jpeg", "x/metadata.csv", "metadata.jsonl"]))
    assert not is_image("metadata.csv")

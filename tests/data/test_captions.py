"""Captions to train on: none missing, and what they tell the networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gansmith.core.config import DataConfig
from gansmith.core.errors import ConfigError, DataError
from gansmith.core.spec import Spec
from gansmith.data import Dataset, open_data, pack
from gansmith.data.captions import captioned
from gansmith.data.entries import Entry, SplitName

Open = Callable[..., Dataset]


def describe(folder: Path, captions: list[str]) -> None:
    rows = [f'{i:02}.png,"{caption}"' for i, caption in enumerate(captions)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,text", *rows]) + "\n")


def entries(captions: list[str]) -> list[Entry]:
    return [Entry(f"{i}.png", bytes, caption=caption) for i, caption in enumerate(captions)]


def test_words_by_frequency_and_captions_of_the_spec(photos: Path, opened: Open) -> None:
    describe(photos, ["A red bird", "a blue bird", "a bird", "A RED fish"] * 6)
    spec = opened(photos, captions=True, holdout=0).spec
    assert spec.words == ("a", "bird", "red", "blue", "fish")
    assert spec.captions == ("A red bird", "a blue bird", "a bird", "A RED fish")
    plain = opened(photos, holdout=0)
    assert (plain.spec.words, plain.spec.captions) == ((), ())
    assert plain.train.captions is not None


def test_words_are_of_the_training_captions(photos: Path, opened: Open) -> None:
    describe(photos, [f"word{i}" for i in range(24)])
    data = opened(photos, captions=True, holdout=0.3)
    assert data.train.captions is not None
    assert set(data.spec.words) == set(data.train.captions)
    assert set(data.spec.words).isdisjoint(data.heldout.captions or ())
    # Fewer than 16 are held out.
    assert set(data.spec.captions) == set(data.train.captions)


def test_captions_are_held_out_ones_where_there_are_sixteen() -> None:
    spec = Spec(16, 1, 16, 16)
    texts = [f"caption {i}" for i in range(300)]
    splits: list[SplitName] = ["heldout"] * 256 + ["train"] * 44
    assert captioned(spec, entries(texts), splits).captions == tuple(texts[0:256:4])
    splits = ["heldout"] * 15 + ["train"] * 285
    assert captioned(spec, entries(texts), splits).captions[:2] == (texts[15], texts[19])
    splits = ["heldout"] * 100 + ["train"] * 200
    same = captioned(spec, entries(["the same"] * 100 + texts[:200]), splits)
    assert "the same" not in same.captions


def test_no_more_than_five_thousand_words() -> None:
    text = " ".join(f"{i:05}" for i in range(6000))
    spec = captioned(Spec(16, 1, 16, 16), entries([text, "05999"]), ["train", "train"])
    assert len(spec.words) == 5000
    assert spec.words[:2] == ("05999", "00000")


def test_expected_before_anything_is_decoded(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(photos, ["a bird"] * 24)

    def object_to(spec: Spec) -> None:
        raise ConfigError(f"{spec.words} {spec.captions}")

    monkeypatch.setattr(pack, "load_square", None)
    with pytest.raises(ConfigError, match=r"\('a', 'bird'\) \('a bird',\)"):
        open_data(DataConfig(source=str(photos), captions=True), object_to)


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_caption_missing(photos: Path, opened: Open, blank: str) -> None:
    describe(photos, ["a bird"] * 7 + [blank] + ["a bird"] * 15 + [blank])
    with pytest.raises(
        DataError,
        match=r"photos: no caption for 2 of 24 images, such as '07.png'; a metadata.csv or metadata.jsonl .* "
        "file_name,text",
    ):
        opened(photos, captions=True)
    assert len(opened(photos, holdout=0).train) == 24


def test_no_captions_at_all(photos: Path, opened: Open) -> None:
    opened(photos)
    with pytest.raises(DataError, match=r"no caption for 24 of 24 images, such as '00.png'; .* file_name,text"):
        opened(photos, captions=True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_in_utf_16(photos: Path, opened: Open, encoding: str, kind: str) -> None:
    (photos / f"metadata.{kind}").write_bytes('file_name,text\n00.png,"é"\n'.encode(encoding))
    with pytest.raises(DataError, match=rf"metadata.{kind}: UTF-16, not UTF-8; save it as UTF-8 \(in Excel"):
        opened(photos, captions=True)


def test_the_broken_need_no_caption(photos: Path, opened: Open) -> None:
    describe(photos, ["", *["a bird"] * 23])
    (photos / "00.png").write_bytes(b"nothing")
    assert opened(photos, captions=True).skipped == ("00.png",)


def test_builtin_captions(opened: Open) -> None:
    spec = opened("builtin:emoji-google", captions=True).spec
    assert len(spec.captions) == 64
    assert "face" in spec.words[:50]
    assert Spec.from_json(spec.to_json()) == spec

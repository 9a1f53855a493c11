"""Words of any text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gansmith.core.words import words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red bird, with 2 white-tipped wings.", ["a", "red", "bird", "with", "2", "white", "tipped", "wings"]),
        ("don't 'quote' the dogs' rock'n'roll", ["don't", "quote", "the", "dogs", "rock'n'roll"]),
        ("don’t", ["don't"]),
        ("snake_case", ["snake", "case"]),
        ("ÉCOLE e\u0301cole", ["école", "école"]),
        ("Straße ΣΊΣΥΦΟΣ 一只猫", ["straße", "σίσυφος", "一只猫"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("❤\ufe0f heart ' -- \u0301", ["heart"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words_of(text) == expected


@given(st.text())
def test_words_are_words_of_themselves(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words
    assert words_of(unicodedata.normalize("NFD", text)) == words
    assert all(word and not set(word) & set(" \n,.!?_-") for word in words)

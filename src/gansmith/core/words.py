"""Words of a text, the same for whoever counts them and whoever reads them."""

from __future__ import annotations

from functools import cache
from unicodedata import category, normalize


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case: runs of Unicode letters, marks and digits, with the apostrophes inside them.

    The same word in another Unicode form is the same word (NFC), and so it is with a typographic apostrophe.
    """
    spaced = "".join(map(_inside_a_word, normalize("NFC", text.lower())))
    words = (run.strip("'") for run in spaced.split())
    return [word for word in words if any(map(str.isalnum, word))]


@cache
def _inside_a_word(character: str) -> str:
    """The character where it can be part of a word, else a space."""
    if character in "'’":
        return "'"
    # Marks: the vowel signs of Indic scripts, and accents that no letter has built in.
    return character if character.isalnum() or category(character).startswith("M") else " "

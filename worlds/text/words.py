"""Words of a text, found the same way everywhere."""

import re

__all__ = ["sentences", "tokens"]

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*|\d+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)]*\s+")


def tokens(text: str) -> list[str]:
    """Words and numbers in lower case.

    >>> tokens("The fox's 2 cubs, sleeping.")
    ['the', "fox's", '2', 'cubs', 'sleeping']
    """
    return [word.casefold() for word in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Sentences, by their final signs.

    >>> sentences("It rained. Why? Nobody knew!")
    ['It rained.', 'Why?', 'Nobody knew!']
    """
    return [part for part in _SENTENCE_END.split(text.strip()) if part]

"""Framing: how the same world is told. Plain data, free of any array library."""

import dataclasses
import re
from typing import Literal

__all__ = ["Framing"]


@dataclasses.dataclass(frozen=True)
class Framing:
    """How the same world is told. Neutral by default, option order shuffled per seat.

    story: cover story. labels: option names, as letters ("JF") or words separated by commas.
    currency: unit of payoff. option_order: order in which options are listed.
    paraphrase: which of three wordings. whitespace: how lines and sentences are set apart.
    persona_format: how a persona is written down.
    """

    story: Literal["game", "cooking", "project"] = "game"
    labels: str = ""
    currency: str = "points"
    language: Literal["en"] = "en"
    option_order: Literal["shuffled", "fixed", "reversed"] = "shuffled"
    paraphrase: Literal[0, 1, 2] = 0
    whitespace: Literal["plain", "compact", "wide", "double", "trailing"] = "plain"
    persona_format: Literal["sentence", "list", "json", "interview"] = "sentence"

    def spaced(self, text: str) -> str:
        r"""The text with its white space as ``whitespace`` says; its words stay.

        ``compact`` joins lines that end a sentence, ``wide`` sets a blank line between
        lines, ``double`` puts two spaces between sentences, ``trailing`` a space behind
        every line. Lines that are no sentences (a map) are never joined.

        >>> Framing(whitespace="compact").spaced("You win.\nThey lose.")
        'You win. They lose.'
        """
        if self.whitespace == "compact":
            return _LINE_END.sub(" ", text)
        if self.whitespace == "wide":
            return _LINE_END.sub("\n\n", text)
        if self.whitespace == "double":
            return _SENTENCE_END.sub("  ", text)
        if self.whitespace == "trailing":
            return text.replace("\n", " \n") + " " if text else text
        return text

    def phrase(self, first: str, *others: str) -> str:
        """The wording that ``paraphrase`` chooses among three of the same content."""
        return (first, *others)[self.paraphrase] if others else first


_LINE_END = re.compile(r"(?<=[a-z0-9)%'][.?!:])\n(?=[A-Z])")
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)%'][.?!]) (?=[A-Z])")

"""Framing: how the same world is told. Plain data, free of any array library."""

import dataclasses
from typing import Literal

__all__ = ["Framing"]


@dataclasses.dataclass(frozen=True)
class Framing:
    """How the same world is told. Neutral by default, option order shuffled per seat.

    story: cover story. labels: option names, as letters ("JF") or words separated by commas.
    currency: unit of payoff. option_order: order in which options are listed.
    """

    story: Literal["game", "cooking", "project"] = "game"
    labels: str = ""
    currency: str = "points"
    language: Literal["en"] = "en"
    option_order: Literal["shuffled", "fixed", "reversed"] = "shuffled"
    paraphrase: int = 0
    whitespace: Literal["plain", "double", "trailing"] = "plain"
    persona_format: Literal["second_person", "third_person", "interview"] = "second_person"

"""Trials in words: what others chose here, what one chose last, and how it went."""

import string
from typing import Any

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.reading import read_answer
from worlds.games.captions.wording import amount, check_story, joined, ordered
from worlds.types import ParseError, Seat

__all__ = ["TrialCaption"]


class TrialCaption(Caption):
    """Choices as letters; a reply is one letter."""

    world: Any

    def __init__(self, world: Any, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, world.component_name)
        self.letters = tuple(string.ascii_uppercase[: world.action_space(0).n])

    def rules(self, seat: Seat) -> str:
        """The rules, and the letters."""
        return "\n".join(
            (*self.world.tell_rules(seat), f"Answer with {joined(self.letters, 'or')}.")
        )

    def words(self, row: Any, seat: Seat) -> str:
        """How the last choice went, and what others chose here."""
        lines = []
        own, reward = int(row["own"]), float(row["reward"])
        if own >= 0:
            lines.append(f"You chose {self.letters[own]} and got {amount(reward)}.")
        if int(row["ended"]):
            lines.append("That ended the trial; a new one begins.")
        elif own < 0:
            lines.append("Your first trial begins.")
        if int(row["visible"]):
            shown = [self.letters[item] for item in np.asarray(row["shown"]).tolist() if item >= 0]
            told = f"chose {joined(shown)}" if shown else "did not get this far"
            lines.append(f"Others who tried before you {told} at this place.")
        return "\n".join(lines) or "You see nobody else."

    def question(self, row: Any, seat: Seat) -> str:
        """Ask for the next choice."""
        return "What do you choose next?"

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        """The letters, ordered as the framing says."""
        return ordered(self.letters, self.framing, seat, "letters")

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        return "After 'Answer:' write one letter."

    def action(self, text: str, row: Any, seat: Seat) -> np.int32:
        """Read one letter."""
        return read_answer(text, self._letter)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """A choice in words."""
        return f"chooses {self.letters[int(action)]}"

    def _letter(self, answer: str) -> np.int32:
        letter = answer.strip().upper()
        if letter not in self.letters:
            raise ParseError(f"{answer[:60]!r} is none of {joined(self.letters, 'or')}")
        return np.int32(self.letters.index(letter))

"""Opinions in words."""

import re
from typing import Any

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.reading import read_answer
from worlds.games.captions.wording import amount, check_story, joined
from worlds.populations.opinions import Opinions
from worlds.types import ParseError, Seat

__all__ = ["OpinionsCaption"]

_NUMBER = r"[-+−–]?\d+(?:\.\d+)?|[-+−–]?\.\d+"


class OpinionsCaption(Caption):
    """Tells a citizen what it and its acquaintances think, and reads numbers on the scale."""

    world: Opinions

    def __init__(self, world: Opinions, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "opinions")
        self.low, self.high = amount(world.low), amount(world.high)

    def rules(self, seat: Seat) -> str:
        """The topics and the scale."""
        return "\n".join(
            [
                f"You are one of {self.world.num_players:,} citizens who talk about "
                f"{joined(self.world.topics)}.",
                f"Everybody has an opinion on it: a number from {self.low} (as much against it as "
                f"one can be) to {self.high} (as much in favour as one can be).",
                "People know the opinions of those they are acquainted with. Opinions may change, "
                "or stay as they are.",
            ]
        )

    def words(self, row: Any, seat: Seat) -> str:
        """One's own opinions and those around."""
        known = int(row["known"])
        lines = []
        for index, topic in enumerate(self.world.topics):
            line = f"Your opinion on {topic} is {_told(row['opinion'][index])}."
            if known == 1:
                line += f" The one person you know holds {_told(row['around'][index])}."
            elif known:
                mean = _told(row["around"][index])
                line += f" The {known:,} people you know hold {mean} on average."
            lines.append(line)
        if not known:
            lines.append("You know nobody else's opinion.")
        return "\n".join(lines)

    def question(self, row: Any, seat: Seat) -> str:
        """Ask for one's opinions from now on."""
        return f"What is your opinion on {joined(self.world.topics)} now?"

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        number = f"a number between {self.low} and {self.high}"
        if len(self.world.topics) == 1:
            return f"After 'Answer:' write {number}."
        form = ", ".join(f"{topic}: <number>" for topic in self.world.topics)
        return f"After 'Answer:' write {form}, each {number}."

    def action(self, text: str, row: Any, seat: Seat) -> np.ndarray:
        """Read an opinion on every topic."""
        hint = self.answer_hint(row, seat)
        found = read_answer(text, lambda answer: self._opinions(answer, hint))
        return np.asarray(found, np.float32)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words."""
        told = [
            f"{topic} {_told(value)}"
            for topic, value in zip(self.world.topics, np.asarray(action), strict=True)
            if value >= self.world.low
        ]
        return f"holds {', '.join(told)}" if told else "states nothing"

    def _opinions(self, answer: str, hint: str) -> tuple[float, ...]:
        topics = self.world.topics
        if len(topics) == 1:
            match = re.fullmatch(rf"(?i)(?:{re.escape(topics[0])}\s*:\s*)?({_NUMBER})", answer)
            return (self._value(match[1] if match else None, answer, hint),)
        parts = re.split(r"\s*[,;]\s*", answer)
        said = {}
        for part in parts:
            topic, _, number = part.rpartition(":")
            said[topic.strip().casefold()] = number.strip()
        if len(parts) != len(topics) or set(said) != {topic.casefold() for topic in topics}:
            raise ParseError(f"{answer[:60]!r} does not name every topic once. {hint}")
        return tuple(
            self._value(
                said[topic.casefold()] if re.fullmatch(_NUMBER, said[topic.casefold()]) else None,
                answer,
                hint,
            )
            for topic in topics
        )

    def _value(self, number: str | None, answer: str, hint: str) -> float:
        if number is None:
            raise ParseError(f"{answer[:60]!r} is not a number. {hint}")
        value = float(number.replace("−", "-").replace("–", "-"))
        if not self.world.low <= value <= self.world.high:
            raise ParseError(f"{value:g} is not on the scale. {hint}")
        return value


def _told(value: Any) -> str:
    return amount(value)

"""Seats: who may still ask, so that nobody is overtaken by a batch that closes too early."""

import asyncio
import contextvars
import dataclasses
from typing import NamedTuple, Protocol

from llm_agents.memory_search import Recall, Streams

__all__ = ["Search", "Seat", "Seated", "Wait", "current_seat"]


class Seated(Protocol):
    """A desk, as far as its seats know it."""

    held_seats: int

    def close_batch(self) -> None:
        """Send what is pending, where nobody may still ask."""
        ...


class Seat:
    """The right to ask before the batch closes, held by one task or mind."""

    __slots__ = ("desk", "gone", "held")

    def __init__(self, desk: Seated) -> None:
        self.desk, self.held, self.gone = desk, True, False
        desk.held_seats += 1

    def release(self) -> None:
        """Wait for an answer: the batch may close."""
        if self.held:
            self.held = False
            self.desk.held_seats -= 1

    def take(self) -> None:
        """Sit again, as an answer has come."""
        if not self.held and not self.gone:
            self.held = True
            self.desk.held_seats += 1

    def leave(self) -> None:
        """Ask nothing more."""
        self.release()
        self.gone = True
        self.desk.close_batch()


current_seat: contextvars.ContextVar[Seat | None] = contextvars.ContextVar("seat", default=None)


@dataclasses.dataclass(slots=True, eq=False)
class Wait:
    """An await of one or several answers by one mind: its seat returns with the last one."""

    seat: Seat | None
    left: int

    def one_resolved(self) -> None:
        """Count an answer."""
        self.left -= 1
        if self.left == 0 and self.seat is not None:
            self.seat.take()


class Search(NamedTuple):
    """A mind that wants to recall something from its stream."""

    streams: Streams
    agent: int
    recall: Recall
    future: asyncio.Future
    wait: Wait

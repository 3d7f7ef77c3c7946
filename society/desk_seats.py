"""Seats: who may still ask, so that nobody is overtaken by a batch that closes too early.

And what is asked: a question as it was taken, and as a call on its way.
"""

import asyncio
import contextvars
import dataclasses
import functools
from collections.abc import Coroutine, Generator
from typing import Any, NamedTuple, Protocol

from llm_agents.backends.base import Request
from llm_agents.memory_search import Recall, Streams
from society.journal_rows import CallKey

__all__ = [
    "Call",
    "Mind",
    "One",
    "Search",
    "Seat",
    "Seated",
    "Taken",
    "Wait",
    "current_seat",
    "new_taken",
]


class Seated(Protocol):
    """A desk, as far as its seats know it."""

    held_seats: int
    driven: "Mind | None"

    def close_batch(self) -> None:
        """Send what is pending, where nobody may still ask."""
        ...

    def next_mind(self, mind: "Mind") -> None:
        """Let a mind go on soon, after those who were called before."""
        ...


class Seat:
    """The right to ask before the batch closes, held by one task."""

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


class Wait:
    """An await of one or several answers: the seat returns with the last one.

    answers: what has come, by number. failures: what has gone wrong instead. Awaiting it
    gives the answers, or raises the first failure.
    """

    __slots__ = ("_future", "answers", "failures", "left", "seat")

    def __init__(self, seat: "Seat | Mind | None", count: int) -> None:
        self.seat, self.left = seat, count
        self.answers: list[Any] = [None] * count
        self.failures: dict[int, BaseException] | None = None
        self._future: asyncio.Future[None] | None = None

    def put(self, number: int, answer: Any) -> None:
        """Count an answer."""
        self.answers[number] = answer
        self._one_less()

    def fail(self, number: int, error: BaseException) -> None:
        """Count a failure."""
        self.failures = {**(self.failures or {}), number: error}
        self._one_less()

    async def all_come(self) -> None:
        """Wait until every answer or failure has come, in a task; raises none of them."""
        if self.left:
            self._future = asyncio.get_running_loop().create_future()
            await self._future

    def __await__(self) -> Generator[Any, None, Any]:
        if self.left:
            if self.seat.__class__ is Mind:
                yield self
            else:
                yield from self.all_come().__await__()
        if self.failures:
            raise self.failures[min(self.failures)]
        return self.answers

    def _one_less(self) -> None:
        self.left -= 1
        if self.left:
            return
        if self.seat is not None:
            self.seat.take()
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class One(Wait):
    """An await of a single answer, which awaiting it gives."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Any]:
        return (yield from Wait.__await__(self))[0]


class Mind:
    """A mind's coroutine, run by the desk itself from one question to the next.

    A mind awaits nothing but its desk, so a task, a context and a future for each would only
    cost time, a third of a step. It holds a seat from its beginning to its end, but for the
    time that it waits.
    """

    __slots__ = ("_coroutine", "_desk", "_number", "_together", "gone", "held")

    def __init__(
        self, desk: Seated, coroutine: Coroutine[Any, Any, Any], together: Wait, number: int
    ) -> None:
        self._desk, self._coroutine = desk, coroutine
        self._together, self._number = together, number
        self.held, self.gone = True, False
        desk.held_seats += 1

    def release(self) -> None:
        """Wait for an answer: the batch may close."""
        if self.held:
            self.held = False
            self._desk.held_seats -= 1

    def take(self) -> None:
        """Sit again, as an answer has come, and go on in turn."""
        if not self.held and not self.gone:
            self.held = True
            self._desk.held_seats += 1
            self._desk.next_mind(self)

    def go_on(self) -> BaseException | None:
        """Run to the next question or to the end, driven by the desk; returns what went wrong."""
        if self.gone:
            return None
        try:
            waited = self._coroutine.send(None)
        except StopIteration as ended:
            self._end()
            self._together.put(self._number, ended.value)
            return None
        except BaseException as error:
            self._end()
            self._together.fail(self._number, error)
            return error
        if waited.__class__ is One or waited.__class__ is Wait:
            return None
        return self._stray(waited)

    def abandon(self) -> None:
        """End where it stands."""
        if not self.gone:
            self._end()
            self._coroutine.close()
            self._together.fail(self._number, asyncio.CancelledError())

    def _end(self) -> None:
        if self.held:
            self._desk.held_seats -= 1
        self.held, self.gone = False, True

    def _stray(self, waited: Any) -> BaseException:
        """It waits for something else, which nobody here would wake it up from."""
        self._end()
        self._coroutine.close()
        error = TypeError(
            f"a mind ({self._coroutine.__qualname__}) awaits {waited!r:.80}; it may await nothing "
            "but what it asks (ask, ask.many). Slow work of its own belongs into a backend"
        )
        self._together.fail(self._number, error)
        return error


class Search(NamedTuple):
    """A mind that wants to recall something from its stream."""

    streams: Streams
    agent: int
    recall: Recall
    wait: Wait


class Taken(NamedTuple):
    """A question as it was asked."""

    backend: str
    key: CallKey
    request: Request
    wait: Wait
    number: int


new_taken = functools.partial(tuple.__new__, Taken)


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """A call on its way: its key, its request, and who waits for it."""

    key: CallKey
    backend: str
    request: Request
    text: str
    hash: str
    merge: str
    wait: Wait
    number: int

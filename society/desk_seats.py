"""Seats: who may still ask, so that nobody is overtaken by a batch that closes too early.

And what is asked: questions, alone or several that are awaited together.
"""

import abc
import asyncio
import contextlib
import contextvars
from collections.abc import Coroutine, Generator
from typing import Any, NamedTuple, Protocol

from llm_agents.backends.base import Request, Response
from llm_agents.memory_search import Recall, Streams
from society.journal_rows import CallKey

__all__ = [
    "Mind",
    "One",
    "Part",
    "Question",
    "Search",
    "Seat",
    "Seated",
    "Wait",
    "current_seat",
    "seated",
]


class Seated(Protocol):
    """A desk, as far as its seats know it."""

    held_seats: int
    driven: "Mind | None"

    def close_batch(self) -> None:
        """Send what is pending, where nobody may still ask."""
        ...

    def stop(self, reason: BaseException) -> None:
        """Take no more questions."""
        ...

    def next_mind(self, mind: "Mind") -> None:
        """Let a mind that sits again go on soon, after those who were called before."""
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

    @property
    def come(self) -> bool:
        """True once there is an answer or a failure for each."""
        return not self.left

    def put(self, number: int, answer: Any) -> None:
        """Count an answer."""
        self.answers[number] = answer
        self.left -= 1
        if not self.left:
            _wake(self)

    def fail(self, number: int, error: BaseException) -> None:
        """Count a failure."""
        self.failures = {**(self.failures or {}), number: error}
        self.left -= 1
        if not self.left:
            _wake(self)

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
        if self.failures is not None:
            raise self.failures[min(self.failures)]
        return self.answers


class Question(abc.ABC):
    """Something asked of a backend: by whom and where, and who is told what came of it.

    Once the desk has taken it in, its request has a seed; signature: the canonical request,
    as its beginning and the rest, and its hash; merge: what it has in common with questions
    that one answer is for.
    """

    __slots__ = ("backend", "key", "merge", "request", "signature")
    backend: str
    key: CallKey
    request: Request
    signature: tuple[str, str, str]
    merge: str

    @abc.abstractmethod
    def put(self, answer: Response) -> None:
        """Take the answer."""

    @abc.abstractmethod
    def fail(self, error: BaseException) -> None:
        """Take what went wrong instead."""


class Part(Question):
    """One of several questions that are awaited together."""

    __slots__ = ("_number", "_wait")

    def __init__(
        self, backend: str, key: CallKey, request: Request, wait: Wait, number: int
    ) -> None:
        self.backend, self.key, self.request = backend, key, request
        self._wait, self._number = wait, number

    def put(self, answer: Response) -> None:
        """Count the answer."""
        self._wait.put(self._number, answer)

    def fail(self, error: BaseException) -> None:
        """Count the failure."""
        self._wait.fail(self._number, error)


class One(Question):
    """A question that is asked as it is awaited, which gives its answer.

    A language agent's step is mostly this, so there is no coroutine around it, and what is
    asked is what is awaited.
    """

    __slots__ = ("_answer", "_asker", "_failure", "_future", "seat")

    def __init__(self, asker: "Asking", request: Request) -> None:
        self._asker: Asking | None = asker
        self.request = request
        self._answer: Response | None = None
        self._failure: BaseException | None = None
        self._future: asyncio.Future[None] | None = None

    @property
    def come(self) -> bool:
        """True once there is an answer, or a failure."""
        return self._answer is not None or self._failure is not None

    def put(self, answer: Response) -> None:
        """Take the answer."""
        self._answer = answer
        _wake(self)

    def fail(self, error: BaseException) -> None:
        """Take what went wrong instead."""
        self._failure = error
        _wake(self)

    def __await__(self) -> Generator[Any, None, Response]:
        asker, self._asker = self._asker, None
        if asker is None:
            raise RuntimeError("this question was awaited before; ask again to get another answer")
        asker.ask(self)
        if not self.come:
            if self.seat.__class__ is Mind:
                yield self
            else:
                self._future = asyncio.get_running_loop().create_future()
                yield from self._future
        if self._failure is not None:
            raise self._failure
        assert self._answer is not None
        return self._answer


def _wake(asked: Wait | One) -> None:
    """Let whoever waits sit again and go on, as everything has come."""
    if asked.seat is not None:
        asked.seat.take()
    if asked._future is not None and not asked._future.done():
        asked._future.set_result(None)


class Asking(Protocol):
    """Whoever asks, as far as a question knows it."""

    def ask(self, one: One) -> None:
        """Take a question to the desk: fill in its backend, key and seat."""
        ...


class Mind:
    """A mind's coroutine, run by the desk itself from one question to the next.

    A mind awaits nothing but its desk, so a task, a context and a future for each would only
    cost time, a third of a step. It holds a seat from its beginning to its end, but for the
    time that it waits.
    """

    __slots__ = ("_coroutine", "_desk", "_number", "_together", "gone", "held", "send")

    def __init__(
        self, desk: Seated, coroutine: Coroutine[Any, Any, Any], together: Wait, number: int
    ) -> None:
        self._desk, self._coroutine = desk, coroutine
        self._together, self._number = together, number
        self.send = coroutine.send
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
            self._desk.next_mind(self)

    def end(self, value: Any) -> None:
        """Leave, having come to something."""
        self._leave()
        self._together.put(self._number, value)

    def fail(self, error: BaseException) -> None:
        """Leave, as something went wrong."""
        self._leave()
        self._together.fail(self._number, error)

    def abandon(self) -> None:
        """End where it stands."""
        if not self.gone:
            self.fail(asyncio.CancelledError())
            self._close()

    def stray(self, waited: Any) -> BaseException:
        """End: it waits for something else, which nobody here would wake it up from."""
        error = TypeError(
            f"a mind ({self._coroutine.__qualname__}) awaits {waited!r:.80}; it may await nothing "
            "but what it asks (ask, ask.many). Slow work of its own belongs into a backend"
        )
        self.fail(error)
        self._close()
        return error

    def _leave(self) -> None:
        self.release()
        self.gone = True

    def _close(self) -> None:
        with contextlib.suppress(RuntimeError):  # it awaits something again as it is closed
            self._coroutine.close()


def seated(
    desk: Seated, work: Coroutine[Any, Any, Any], together: Wait, number: int
) -> asyncio.Task[Any]:
    """Start a task on a seat of its own; when the last one ends the caller sits again."""
    seat = Seat(desk)
    context = contextvars.copy_context()
    context.run(current_seat.set, seat)
    task = asyncio.get_running_loop().create_task(work, context=context)

    def ended(task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            together.put(number, task.result())
        else:
            if not isinstance(error, asyncio.CancelledError):
                desk.stop(error)
            together.fail(number, error)
        seat.leave()

    task.add_done_callback(ended)
    return task


class Search(NamedTuple):
    """A mind that wants to recall something from its stream."""

    streams: Streams
    agent: int
    recall: Recall
    wait: Wait

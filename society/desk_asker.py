"""How a mind asks: its questions numbered, and taken to its desk."""

import functools
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from llm_agents.backends.base import Request, Response
from llm_agents.memory_search import Recall, Remember, Row, Streams
from society.desk_rows import CallPlace
from society.desk_seats import One
from society.journal_rows import CallKey

__all__ = ["Asker"]

_call_key = functools.partial(tuple.__new__, CallKey)


class Questioned(Protocol):
    """A desk, as far as those who ask know it."""

    def ask_one(self, one: One) -> None:
        """Take one question."""
        ...

    def ask_several(
        self, name: str, keyed: Sequence[tuple[CallKey, Request]]
    ) -> Awaitable[list[Any]]:
        """Take several questions; to be awaited at once."""
        ...

    async def recall(self, streams: Streams, agent: int, recall: Recall) -> list[list[Row]]:
        """Search an agent's memory, together with everybody else's."""
        ...


class Asker:
    """How one agent asks at one place; numbers its questions within each purpose.

    Make one for each agent and place: a second one would number from 0 again.
    """

    __slots__ = ("_backend", "_desk", "_memory", "_ordinals", "_place", "_uid")

    def __init__(
        self,
        desk: Questioned,
        place: CallPlace,
        uid: int,
        backend: str,
        memory: tuple[Streams, int] | None = None,
    ) -> None:
        self._desk, self._place, self._uid, self._backend = desk, place, uid, backend
        self._memory = memory
        self._ordinals: dict[str, int] = {}

    def __call__(self, request: Any) -> Awaitable[Any]:
        """Ask once, as this is awaited: the model, or one's own memory."""
        if request.__class__ is Recall or request.__class__ is Remember:
            return self._of_memory(request)
        return One(self, request)

    def ask(self, one: One) -> None:
        """Take a question to the desk."""
        one.backend, one.key = self._backend, self._key(one.request)
        self._desk.ask_one(one)

    async def many(self, requests: Sequence[Request]) -> list[Response]:
        """Ask several things at once; answers in the same order."""
        keyed = [(self._key(request), request) for request in requests]
        return await self._desk.ask_several(self._backend, keyed)

    async def _of_memory(self, request: Recall | Remember) -> Any:
        if self._memory is None:
            raise RuntimeError(
                "this mind has no memory stream; its policy must make one in streams()"
            )
        streams, agent = self._memory
        if isinstance(request, Remember):
            return streams.remember(agent, request)
        return await self._desk.recall(streams, agent, request)

    def _key(self, request: Request) -> CallKey:
        """The next key of the request's purpose."""
        purpose = request.purpose
        ordinal = self._ordinals.get(purpose, 0)
        self._ordinals[purpose] = ordinal + 1
        return _call_key((*self._place, self._uid, purpose, ordinal))

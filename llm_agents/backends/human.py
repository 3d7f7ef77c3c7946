"""A person at the keyboard."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence

from llm_agents.backends.base import Backend, Capabilities, Request, Response, match_option
from worlds.registry import component

__all__ = ["Human"]


@component("backend", "human")
@dataclasses.dataclass(frozen=True, eq=False)
class Human(Backend):
    """Shows each prompt on the terminal and waits for somebody to type the answer."""

    _read: Callable[[str], str] = dataclasses.field(default=input, init=False, repr=False)
    _show: Callable[[str], None] = dataclasses.field(default=print, init=False, repr=False)
    _turn: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock, init=False, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """Takes each question as it comes."""
        return Capabilities(guided=True, streams=True)

    @property
    def fingerprint(self) -> str:
        """A person has no version."""
        return "human"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Show each prompt in turn and read a line."""
        return [await self._ask(request) for request in requests]

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Show each prompt and its numbered options until one of them is typed."""
        return [await self._ask(request) for request in requests]

    async def _ask(self, request: Request) -> Response:
        async with self._turn:
            began = time.monotonic()
            text, choice = await asyncio.to_thread(self._converse, request)
            return Response(
                text=text,
                choice=choice,
                method="person" if choice is not None else "",
                model="human",
                latency_s=time.monotonic() - began,
            )

    def _converse(self, request: Request) -> tuple[str, int | None]:
        for message in request.messages:
            self._show(f"[{message.role}] {message.content}\n")
        if request.options is None:
            return self._read("> "), None
        for number, option in enumerate(request.options, 1):
            self._show(f"  {number}. {option}")
        while True:
            said = self._read(f"1-{len(request.options)}> ").strip()
            choice = match_option(said, request.options)
            if choice is None and said.isdecimal() and 1 <= int(said) <= len(request.options):
                choice = int(said) - 1
            if choice is not None:
                return request.options[choice], choice
            self._show(f"{said!r} is none of the options; type one of them or its number")

"""A backend in one file: it always takes the middle option."""

import dataclasses
from collections.abc import Sequence

from llm_agents.backends.base import Backend, Capabilities, Request, Response
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Moderate"]


@component("backend", "moderate")
@dataclasses.dataclass(frozen=True)
class Moderate(Backend):
    """Takes the middle one of the options, and says the same sentence to everything else."""

    motto: str = doc_field("All things in moderation.", "what it says where nothing is offered")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(guided=True, deterministic=True)

    @property
    def fingerprint(self) -> str:
        return f"moderate {self.motto!r}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        return [Response(text=self.motto, model="moderate") for _ in requests]

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        return [_middle(request.options or ("",)) for request in requests]


def _middle(options: Sequence[str]) -> Response:
    """The middle of the options in alphabetical order: the order shown must not matter."""
    chosen = sorted(options)[len(options) // 2]
    return Response(text=chosen, choice=options.index(chosen), model="moderate", method="script")

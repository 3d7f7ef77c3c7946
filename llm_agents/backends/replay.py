"""A backend that answers nothing: what is not in the journal is an error."""

import dataclasses
from collections.abc import Sequence

from llm_agents.backends.base import Backend, BackendError, Capabilities, Request, Response
from worlds.registry import component

__all__ = ["Replay"]


@component("backend", "replay")
@dataclasses.dataclass(frozen=True, eq=False)
class Replay(Backend):
    """Answers come from the run's journal alone; anything that is not there stops the run."""

    @property
    def capabilities(self) -> Capabilities:
        """Deterministic: it never answers."""
        return Capabilities(seed=True, guided=True, deterministic=True)

    @property
    def fingerprint(self) -> str:
        """Has no model."""
        return "replay"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Refuse."""
        return [_missing(request) for request in requests]

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Refuse."""
        return [_missing(request) for request in requests]


def _missing(request: Request) -> Response:
    message = (
        f"the journal holds no answer to this {request.purpose!r} request, and the replay backend "
        "has no model; run with a real backend first"
    )
    return Response(error=BackendError("unavailable", message), model="replay", attempts=0)

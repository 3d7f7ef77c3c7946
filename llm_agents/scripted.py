"""Text policies without a model: fixed replies, as controls and for tests."""

import dataclasses
from typing import Any

from worlds.framing import Framing
from worlds.policy import Ask, TextPolicy
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Birth, Draft, ParseError, Reply, Turn

__all__ = ["FixedReply"]


@component("policy", "fixed_reply")
@dataclasses.dataclass(frozen=True)
class FixedReply(TextPolicy):
    """Says the same thing in every turn, through the same captions as a language agent."""

    answer: str = doc_field("", "the reply; empty: the first option, as listed")
    message: str = doc_field("", "what it says on every channel that it may write to")
    strategy: str = doc_field("", "the advice that it leaves to newcomers")
    every: int = doc_field(1, "asked at steps divisible by this", ge=1)
    framing: Framing | None = doc_field(None, "how the world is told to this group")

    async def birth(self, ask: Ask, birth: Birth) -> dict[str, Any]:
        """Know the strategy that the scenario gives."""
        return {"strategy": self.strategy}

    async def act(self, ask: Ask, mind: Any, turn: Turn) -> tuple[Reply, Any]:
        """Reply; what the world cannot read becomes its fallback."""
        drafts = tuple(Draft(name, self.message) for name in turn.talk if self.message)
        if not turn.acting:
            return Reply(turn.fallback, drafts), mind
        answer = self.answer or (turn.options[0] if turn.options else "")
        try:
            return Reply(turn.parse(answer), drafts), mind
        except ParseError as error:
            notes = {"problem": str(error), "reply": answer}
            return Reply(turn.fallback, drafts, fallback=True, notes=notes), mind

    def legacy(self, mind: Any) -> str:
        """The strategy that the scenario gives."""
        return str(mind["strategy"])

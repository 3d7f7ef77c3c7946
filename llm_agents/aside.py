"""A language agent asked aside: it answers at once, and keeps nothing of it."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_agents.memory import Did, Memory, Recollection
from llm_agents.questions import ContextBudget, Questions
from worlds.policy import Ask
from worlds.types import Turn

if TYPE_CHECKING:
    from llm_agents.chat import Chat

__all__ = ["asked_aside"]


@dataclasses.dataclass(frozen=True)
class _Read(Memory):
    """What another memory recalls; nothing is added to it."""

    memory: Memory

    async def recollect(
        self, ask: Ask, mind: Mapping[str, Any], turn: Turn, budget: ContextBudget
    ) -> Recollection:
        """What comes to mind in a turn."""
        return await self.memory.recollect(ask, mind, turn, budget)

    async def remember(
        self, ask: Ask, questions: Questions, mind: Mapping[str, Any], turn: Turn, did: Did
    ) -> dict[str, Any]:
        """The mind as it was."""
        return dict(mind)


def asked_aside(policy: "Chat") -> "Chat":
    """The same agent, who neither reasons aloud, plans, revises nor remembers.

    So one question is one request (and what it takes to recall), and options are scored.
    """
    strategy = "one_sentence" if policy.strategy == "revised" else policy.strategy
    return dataclasses.replace(
        policy,
        reasoning="direct",
        samples=1,
        plan="none",
        strategy=strategy,
        memory=_Read(policy._memory),
    )

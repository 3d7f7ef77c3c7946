"""What an agent keeps of its turns: nothing, the latest ones, or (elsewhere) a stream.

A memory is a few functions from minds to minds. A mind is a plain value; the texts of a
stream lie outside it (``llm_agents.memory_search``).
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from llm_agents.memory_search import Streams
from llm_agents.prompting import shortened
from llm_agents.questions import ContextBudget, Questions
from llm_agents.safety import one_line
from worlds.messages import render_messages
from worlds.policy import Ask
from worlds.registry import component
from worlds.text_safety import defuse
from worlds.tree import doc_field
from worlds.types import Draft, Turn

__all__ = ["NOTHING", "Did", "Memory", "NoMemory", "Recollection", "Window", "with_entry"]


class Did(NamedTuple):
    """What an agent said and did in a turn."""

    answer: str = ""
    drafts: Sequence[Draft] = ()

    def words(self) -> str:
        """In one line."""
        said = [self.answer] if self.answer else []
        said += [f"(on {draft.channel}) {one_line(draft.text, 300)}" for draft in self.drafts]
        return "; ".join(said)


class Recollection(NamedTuple):
    """What an agent has in mind as a turn begins.

    history: entries (saw, heard, did) of earlier turns, oldest first; left_out: older ones.
    memories: texts that came to mind, oldest first; forgotten: more that found no room.
    """

    history: Sequence[Mapping[str, Any]] = ()
    left_out: int = 0
    memories: Sequence[str] = ()
    forgotten: int = 0


NOTHING = Recollection()


class Memory(abc.ABC):  # noqa: B024 - every part has a default
    """One way of remembering; its kinds are frozen dataclasses under ``@component``.

    keeps: False where nothing is ever kept, so that nobody need ask it in a turn.
    """

    keeps: ClassVar[bool] = True

    def __init_subclass__(cls, **rest: Any) -> None:
        """Ask a kind derived from one that keeps nothing, unless it says the same itself."""
        super().__init_subclass__(**rest)
        cls.keeps = cls.__dict__.get("keeps", True)

    def streams(self, num_minds: int) -> Streams | None:
        """Room for the texts of a group's memories, or None where minds hold everything."""
        return None

    def aside(self) -> "Memory":
        """The same memory for a question that leaves no trace outside the mind."""
        return self

    def born(self, mind: Mapping[str, Any]) -> dict[str, Any]:
        """A newcomer's mind with what this memory needs."""
        return {**mind, "history": []}

    def anew(self, mind: Mapping[str, Any]) -> dict[str, Any]:
        """The mind as a new episode begins."""
        return {**mind, "history": []}

    async def recollect(
        self, ask: Ask, mind: Mapping[str, Any], turn: Turn, budget: ContextBudget
    ) -> Recollection:
        """What comes to mind in a turn."""
        return NOTHING

    async def remember(
        self, ask: Ask, questions: Questions, mind: Mapping[str, Any], turn: Turn, did: Did
    ) -> dict[str, Any]:
        """The mind after a turn."""
        return mind if isinstance(mind, dict) else dict(mind)


@component("memory", "none")
@dataclasses.dataclass(frozen=True)
class NoMemory(Memory):
    """Nothing is kept of earlier turns."""

    keeps: ClassVar[bool] = False


@component("memory", "window")
@dataclasses.dataclass(frozen=True)
class Window(Memory):
    """The latest turns of the episode, as they were."""

    turns: int = doc_field(50, "turns that the window holds", ge=1)

    async def recollect(
        self, ask: Ask, mind: Mapping[str, Any], turn: Turn, budget: ContextBudget
    ) -> Recollection:
        """The turns that fit, newest kept."""
        return Recollection(*fitting(mind["history"], budget))

    async def remember(
        self, ask: Ask, questions: Questions, mind: Mapping[str, Any], turn: Turn, did: Did
    ) -> dict[str, Any]:
        """Add the turn; turns of talk and the act of one step are one entry."""
        return with_entry(mind, turn, did, questions.budget, self.turns)


def fitting(
    history: Sequence[Mapping[str, Any]], budget: ContextBudget
) -> tuple[list[Mapping[str, Any]], int]:
    """The newest entries within the budget, and how many were left out."""
    if not budget.history:
        return [], len(history)
    return shortened(list(history), budget.chars("history"), _size)


def with_entry(
    mind: Mapping[str, Any], turn: Turn, did: Did, budget: ContextBudget, turns: int
) -> dict[str, Any]:
    """The mind with this turn behind its history of at most ``turns`` entries."""
    most = budget.chars("entry")
    entry = {
        "at": [turn.generation, turn.episode, turn.step],
        "saw": defuse(turn.text)[:most],
        "heard": render_messages(turn.inbox)[:most] if turn.inbox else "",
        "did": did.words(),
    }
    history = list(mind["history"])
    if history and history[-1]["at"] == entry["at"]:  # talk and act of one step
        last = history.pop()
        entry["heard"] = "\n".join(filter(None, (last["heard"], entry["heard"])))
        entry["did"] = "; ".join(filter(None, (last["did"], entry["did"])))
    return {**mind, "history": [*history, entry][-turns:]}


def _size(entry: Mapping[str, Any]) -> int:
    return sum(map(len, entry.values()))

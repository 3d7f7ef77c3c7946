"""What an agent knows in a turn, put together once for all that it is asked."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_agents.backends.base import ChatMessage
from llm_agents.memory import NOTHING, Recollection
from llm_agents.prompting import shortened
from llm_agents.questions import Questions
from worlds.messages import render_messages
from worlds.text_safety import defuse
from worlds.types import Turn

__all__ = ["View"]

_defused = functools.lru_cache(maxsize=4096)(defuse)  # rules and questions repeat


class View:
    """A mind at one turn, as prompts show it."""

    def __init__(
        self, questions: Questions, mind: Mapping[str, Any], turn: Turn, found: Recollection
    ) -> None:
        self.questions, self.mind, self.turn, self.found = questions, mind, turn, found
        self.inbox, self.unread = _inbox(questions, turn) if turn.inbox else ("", 0)

    @property
    def notes(self) -> dict[str, Any]:
        """What did not fit into the prompt."""
        if self.found is NOTHING and not self.unread:
            return {}
        counts = {
            "turns_left_out": self.found.left_out,
            "memories_left_out": self.found.forgotten,
            "messages_left_out": self.unread,
        }
        return {name: count for name, count in counts.items() if count}

    def messages(self, ask: str, prediction: str = "") -> tuple[ChatMessage, ...]:
        """The conversation that ends with a question."""
        mind, found, turn, plan = self.mind, self.found, self.turn, self.mind.get("plan")
        entries: Sequence[str] = ()
        if found.history:
            again = self.questions.prompts.render_again
            entries = [
                again("entry", saw=one["saw"], heard=one["heard"], did=one["did"])
                for one in found.history
            ]
        user = self.questions.fill_turn(
            mind["strategy"],
            tuple(plan.get("broad", ())) if plan else (),
            next(iter(plan.get("steps", ())), "") if plan else "",
            mind.get("bdi") or None,
            found.memories,
            found.forgotten,
            entries,
            found.left_out,
            self.inbox,
            self.unread,
            defuse(turn.text),
            prediction,
            _defused(ask),
        )
        return self.questions.messages(mind, _defused(turn.rules), user)

    def context(self, part: str, **more: Any) -> "Context":
        """The same for scripted backends."""
        return Context(part, self.mind["strategy"], self.turn, more)


class Context(Mapping[str, Any]):
    """What a scripted backend reads of a question; put together where one does."""

    __slots__ = ("_held", "_more", "_part", "_strategy", "_turn")

    def __init__(self, part: str, strategy: str, turn: Turn, more: dict[str, Any]) -> None:
        self._part, self._strategy, self._turn, self._more = part, strategy, turn, more
        self._held: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def get(self, name: str, default: Any = None) -> Any:  # half the time of the inherited one
        """What is held under a name, or the default."""
        return self._all().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Any]:
        if self._held is None:
            turn = self._turn
            self._held = {
                **self._more,
                "part": self._part,
                "name": turn.seat.name,
                "strategy": self._strategy,
                "options": turn.options,
                "question": turn.question,
                "hint": turn.answer_hint,
                "text": turn.text,
            }
        return self._held


def _inbox(questions: Questions, turn: Turn) -> tuple[str, int]:
    budget = questions.budget
    if not budget.inbox:
        return "", len(turn.inbox)
    kept, unread = shortened(
        list(turn.inbox), budget.chars("inbox"), lambda message: len(message.text)
    )
    most = budget.chars("entry")
    clipped = [dataclasses.replace(message, text=message.text[:most]) for message in kept]
    return render_messages(clipped), unread

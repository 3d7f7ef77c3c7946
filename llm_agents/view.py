"""What an agent knows in a turn, put together once for all that it is asked."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from llm_agents.backends.base import ChatMessage
from llm_agents.memory import Recollection
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
        if not (self.found.left_out or self.found.forgotten or self.unread):
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
        prompts = self.questions.prompts
        entries: Sequence[str] = ()
        if found.history:
            again = prompts.render_again
            entries = [
                again("entry", saw=one["saw"], heard=one["heard"], did=one["did"])
                for one in found.history
            ]
        values = {
            "strategy": mind["strategy"],
            "plan": tuple(plan.get("broad", ())) if plan else (),
            "intent": next(iter(plan.get("steps", ())), "") if plan else "",
            "beliefs": mind.get("bdi") or None,
            "memories": found.memories,
            "forgotten": found.forgotten,
            "history": entries,
            "left_out": found.left_out,
            "inbox": self.inbox,
            "unread": self.unread,
            "text": defuse(turn.text),
            "prediction": prediction,
            "ask": _defused(ask),
        }
        user = prompts.fill("turn", values)
        return self.questions.messages(mind, _defused(turn.rules), user)

    def context(self, part: str, **more: Any) -> dict[str, Any]:
        """The same for scripted backends."""
        turn = self.turn
        more["part"] = part
        more["name"] = turn.seat.name
        more["strategy"] = self.mind["strategy"]
        more["options"] = turn.options
        more["question"] = turn.question
        more["hint"] = turn.answer_hint
        more["text"] = turn.text
        return more


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

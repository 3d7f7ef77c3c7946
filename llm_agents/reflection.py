"""Reflection: asking oneself questions, recalling what bears on them, and concluding.

Source: Park et al. (2023), arXiv:2304.03442, section 4.2 (questions, then insights that name
the memories they rest on). The prompts are our own.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from llm_agents.memory_search import Row
from llm_agents.parsing import insights, numbered
from llm_agents.prompting import shortened
from llm_agents.questions import Questions
from llm_agents.safety import one_line
from worlds.policy import Ask
from worlds.text_safety import defuse
from worlds.types import Turn

__all__ = ["Focus", "reflect"]


class Focus(Protocol):
    """Whose reflection it is."""

    @property
    def questions(self) -> Questions: ...  # noqa: D102
    @property
    def mind(self) -> Any: ...  # noqa: D102
    @property
    def turn(self) -> Turn: ...  # noqa: D102
    @property
    def ask(self) -> Ask: ...  # noqa: D102

    async def recall(self, queries: Sequence[str]) -> list[list[Row]]:
        """Memories that bear on each question."""
        ...

    def shown(self, row: Row) -> str:
        """A memory as a prompt shows it."""
        ...


async def reflect(
    focus: Focus, latest: Sequence[Row], questions: int, conclusions: int
) -> list[tuple[str, tuple[int, ...]]]:
    """Conclusions, each with the ids of the memories that it rests on.

    Args:
      focus: whose.
      latest: memories since the last reflection, oldest first.
      questions: how many to ask oneself; conclusions: at most, from each.
    """
    budget = focus.questions.budget.chars("memories")
    texts, _ = shortened([focus.shown(row) for row in latest], budget)
    asked = await _ask(focus, [("focus", {"memories": texts, "count": questions})])
    queries = [one_line(text, 200) for text in numbered(asked[0], questions)]
    if not queries:
        return []
    found = await focus.recall(queries)
    kept = [[row for row in rows if row.id >= 0] for rows in found]
    prompts = [
        (
            "reflect",
            {"question": query, "memories": [focus.shown(r) for r in rows], "count": conclusions},
        )
        for query, rows in zip(queries, kept, strict=True)
    ]
    replies = await _ask(focus, prompts)
    concluded: dict[str, tuple[int, ...]] = {}
    for reply, rows in zip(replies, kept, strict=True):
        for text, places in insights(reply, conclusions, len(rows)):
            concluded.setdefault(one_line(text, 300), tuple(rows[i - 1].id for i in places))
    return list(concluded.items())


async def _ask(focus: Focus, prompts: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Replies to several prompts of one purpose; empty where a call failed."""
    requests = []
    for template, values in prompts:
        user = focus.questions.prompts.render(template, **values)
        messages = focus.questions.messages(focus.mind, defuse(focus.turn.rules), user)
        context = {"part": template, "name": focus.turn.seat.name, **values}
        requests.append(focus.questions.request(messages, template, context))
    responses = await focus.ask.many(requests)
    return ["" if response.error is not None else response.text for response in responses]

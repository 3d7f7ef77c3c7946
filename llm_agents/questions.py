"""How a policy words what it asks: templates, sampling, and how long each part may be."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from llm_agents.backends.base import ChatMessage, Request, Response
from llm_agents.prompting import Prompts
from llm_agents.safety import one_line
from worlds.records import maker
from worlds.text_safety import neutralise
from worlds.tree import doc_field

__all__ = ["CHARS_PER_TOKEN", "ContextBudget", "Questions", "Sampling"]

CHARS_PER_TOKEN = 4
# What the template "turn" may use.
TURN = (
    "strategy", "plan", "intent", "beliefs", "memories", "forgotten", "history", "left_out",
    "inbox", "unread", "text", "prediction", "ask",
)  # fmt: skip
_request, _message = maker(Request), maker(ChatMessage)


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How answers are drawn; belongs to the policy, so another server changes nothing."""

    temperature: float = doc_field(0.7, "0 takes the most probable words", ge=0)
    max_tokens: int = doc_field(300, "longest answer", ge=1)
    top_p: float = doc_field(1.0, "share of probability that words are drawn from", gt=0, le=1)


@dataclasses.dataclass(frozen=True)
class ContextBudget:
    """Most tokens of each part of a prompt; the oldest entries go first, and are counted.

    A token is taken to be four characters, so that a prompt does not depend on the backend.
    """

    history: int = doc_field(1500, "earlier turns", ge=0)
    memories: int = doc_field(1000, "memories that were found", ge=0)
    inbox: int = doc_field(1000, "messages received", ge=0)
    advice: int = doc_field(1500, "strategies of others, read at birth", ge=0)
    entry: int = doc_field(375, "one remembered turn, or one text of another agent", ge=1)

    def chars(self, part: str) -> int:
        """Most characters of a part."""
        return CHARS_PER_TOKEN * getattr(self, part)


@functools.lru_cache(maxsize=1 << 14)
def _system(prompts: Prompts, persona: str, rules: str) -> ChatMessage:
    return ChatMessage("system", prompts.render("system", persona=persona, rules=rules))


@dataclasses.dataclass(frozen=True)
class Questions:
    """Makes requests from templates.

    max_reasks: further questions after a reply that cannot be read.
    """

    prompts: Prompts
    sampling: Sampling
    budget: ContextBudget
    max_reasks: int

    @functools.cached_property
    def fill_turn(self) -> Callable[..., str]:
        """Renders the template "turn" from the values of ``TURN``, in that order."""
        return self.prompts.filler("turn", TURN)

    def messages(self, mind: Mapping[str, Any], rules: str, user: str) -> tuple[ChatMessage, ...]:
        """A conversation that begins: who one is and how the world works, then a text."""
        return (_system(self.prompts, mind["persona"], rules), _message("user", user))

    def request(
        self,
        messages: tuple[ChatMessage, ...],
        purpose: str,
        context: Mapping[str, Any],
        options: tuple[str, ...] | None = None,
        schema: Mapping[str, Any] | None = None,
    ) -> Request:
        """A request with the policy's sampling; ``context`` is for scripted backends."""
        way = self.sampling
        return _request(
            messages,
            purpose,
            "",
            options,
            schema,
            None,
            way.max_tokens,
            way.temperature,
            way.top_p,
            (),
            -1,
            context,
        )

    def again(
        self,
        messages: tuple[ChatMessage, ...],
        response: Response,
        problem: str,
        *,
        form: str = "",
        options: tuple[str, ...] | None = None,
        hint: str = "",
    ) -> tuple[ChatMessage, ...]:
        """The same question with the unusable reply and what was wrong; only the last one."""
        asked = self.prompts.render(
            "reask", problem=one_line(problem), options=options or (), hint=hint, form=form
        )
        said = neutralise(response.text)[: self.budget.chars("entry")].strip() or "(no answer)"
        return (*messages[:2], ChatMessage("assistant", said), ChatMessage("user", asked))

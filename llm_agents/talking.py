"""Messages: asked for apart, or in the same reply as the answer; to all, or to some by name."""

from llm_agents.parsing import messages_in, without_message
from llm_agents.safety import one_line
from llm_agents.view import View
from worlds.policy import Ask
from worlds.types import Draft, Turn

__all__ = ["inline_channel", "inline_drafts", "names_of", "say"]

SILENCE = "-"


def inline_channel(turn: Turn) -> str:
    """The channel that a message in the same reply goes to: the first one of free texts."""
    if not turn.talk:
        return ""
    return next((name for name in turn.talk if name not in turn.vocabulary), "")


def names_of(turn: Turn, channel: str) -> tuple[str, ...]:
    """Whom one can speak to alone on a channel, as prompts list them."""
    hearers = turn.hearers.get(channel)
    return tuple(one_line(name, 80) for name in hearers) if hearers else ()


def inline_drafts(turn: Turn, channel: str, reply: str) -> tuple[Draft, ...]:
    """The messages of a reply."""
    return tuple(
        Draft(channel, text, to)
        for name, text in messages_in(reply)
        if (to := _addressed(turn, channel, name)) is None or to
    )


async def say(ask: Ask, view: View, channel: str) -> list[Draft]:
    """Ask what the agent wants to say on a channel."""
    turn, questions = view.turn, view.questions
    words = tuple(turn.vocabulary.get(channel, ()))
    names = () if words else names_of(turn, channel)
    question = questions.prompts.render(
        "talk",
        channel=one_line(channel),
        words=words,
        names=names,
        public=channel not in turn.addressed,
        acting=turn.acting,
    )
    request = questions.request(
        view.messages(question),
        "talk",
        view.context("talk", names=names),
        (*words, SILENCE) if words else None,
    )
    response = await ask(request)
    if response.error is not None:
        return []
    drafts = inline_drafts(turn, channel, response.text)
    if not drafts:
        text = response.text.strip()
        if without_message(text).strip(" .\"'") in ("", SILENCE):
            return []
        drafts = (Draft(channel, text),)
    most = questions.budget.chars("entry")
    return [Draft(draft.channel, draft.text[:most], draft.to) for draft in drafts]


def _addressed(turn: Turn, channel: str, name: str) -> tuple[int, ...] | None:
    """Uids that a name stands for: None = everybody, () = nobody."""
    if not name or name.casefold() in ("all", "everybody", "everyone"):
        return None
    hearers = turn.hearers.get(channel, {})
    plain = name.casefold()
    return tuple(uid for known, uid in hearers.items() if one_line(known, 80).casefold() == plain)

"""From a turn to an action: asking, reading, asking again, and settling among samples."""

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from llm_agents.backends.base import Response
from llm_agents.parsing import answer_part, labelled, without_message
from llm_agents.prompting import Prompts
from llm_agents.safety import one_line
from llm_agents.talking import inline_channel, inline_drafts, names_of
from llm_agents.view import View
from worlds.policy import Ask
from worlds.records import maker
from worlds.types import Draft, ParseError, Reply, Turn

__all__ = ["IN_ONE_REPLY", "Decided", "Reasoning", "decide", "settled"]

Reasoning = Literal["direct", "justify", "cot", "scot", "bdi"]
IN_ONE_REPLY = ("justify", "cot", "bdi")
ANSWER_LINE = "answer_line"
JSON_ANSWER = "json"
_reply = maker(Reply)
ATTITUDES = ("belief", "desire", "intention")


class Decided(NamedTuple):
    """A decision: the reply without messages, what was said, messages, beliefs."""

    reply: Reply
    said: str = ""
    drafts: tuple[Draft, ...] = ()
    attitudes: dict[str, str] | None = None


class _Read(NamedTuple):
    action: Any
    problem: str
    response: Response


# As calling the class, in half the time.
_new_decided = functools.partial(tuple.__new__, Decided)
_new_read = functools.partial(tuple.__new__, _Read)


async def decide(
    ask: Ask,
    view: View,
    reasoning: Reasoning,
    samples: int = 1,
    prediction: str = "",
    *,
    in_json: bool = False,
) -> Decided:
    """Ask for the action until it can be read; then the world's fallback is taken."""
    turn, questions = view.turn, view.questions
    thinks = reasoning in IN_ONE_REPLY
    channel = inline_channel(turn) if thinks and turn.talk else ""
    names = names_of(turn, channel) if channel else ()
    schema = _object_of(turn.schema) if in_json and turn.schema is not None else None
    hint = turn.answer_hint if schema is None else _json_hint(schema["properties"]["answer"])
    prompts, options = questions.prompts, turn.options
    if thinks:
        public = channel not in turn.addressed
        task = _task(prompts, reasoning, turn.question, options, hint, channel, names, public)
        options = None
    else:
        task = _task(prompts, "direct", turn.question, options, hint)
    messages = view.messages(task, prediction)
    form = JSON_ANSWER if schema is not None else ANSWER_LINE if thinks else ""
    context = view.context("act", form=form, talk=channel, reasoning=reasoning, names=names)
    notes = view.notes
    if prediction:
        notes["prediction"] = prediction
    for reasks in range(questions.max_reasks + 1):
        request = questions.request(messages, "act", context, options, schema)
        if samples > 1 and not reasks:
            several = await ask.many([request] * samples)
            read = _agreed([_read(turn, one, schema is not None) for one in several], notes)
        else:
            read = _read(turn, await ask(request), schema is not None)
        if not read.problem:
            if reasks:
                notes["reasks"] = reasks
            return _decided(read, turn, channel, notes, reasoning)
        messages = questions.again(
            messages, read.response, read.problem, form=form, options=turn.options, hint=hint
        )
        notes["problem"], notes["reply"] = read.problem, one_line(read.response.text, 200)
    notes["reasks"] = questions.max_reasks
    return Decided(Reply(turn.fallback, fallback=True, notes=notes))


@functools.lru_cache(maxsize=1 << 12)  # a group is asked the same
def _task(
    prompts: Prompts,
    template: str,
    question: str,
    options: tuple[str, ...] | None,
    hint: str,
    channel: str | None = None,
    names: tuple[str, ...] = (),
    public: bool = True,
) -> str:
    """What is asked, and in which form."""
    values: dict[str, Any] = {"question": question, "options": options or (), "hint": hint}
    if channel is not None:
        values |= {"talk": (channel,) if channel else (), "names": names, "public": public}
    return prompts.render(template, **values)


def _agreed(read: Sequence[_Read], notes: dict[str, Any]) -> _Read:
    """What most samples that can be read come to, or the last one where none can."""
    good = [one for one in read if not one.problem]
    if not good:
        return read[-1]
    chosen, agreed = settled([one.action for one in good]) if len(good) > 1 else (0, 1)
    notes["agreement"] = agreed / len(read)
    return good[chosen]


def settled(actions: Sequence[Any]) -> tuple[int, int]:
    """Which of several actions is taken, and how many of them are equal to it.

    The most frequent one, the first among equals. Where no two numbers are equal, the
    middle one (of an even count, the lower).

    Source: Wang et al. (2023), "Self-consistency improves chain of thought reasoning in
    language models", arXiv:2203.11171 (majority; the middle number is ours).

    >>> settled([3, 1, 3]), settled([5.0, 1.0, 2.0])
    ((0, 2), (2, 1))
    """
    keys = [(np.asarray(action).tobytes(), str(np.asarray(action).dtype)) for action in actions]
    counts = Counter(keys)
    best = max(counts.values())
    if best == 1 and len(actions) > 2 and all(_is_real(action) for action in actions):
        order = sorted(range(len(actions)), key=lambda index: float(actions[index]))
        return order[(len(order) - 1) // 2], 1
    return next(index for index, key in enumerate(keys) if counts[key] == best), best


def _is_real(action: Any) -> bool:
    return np.ndim(action) == 0 and np.asarray(action).dtype.kind == "f"


def _decided(
    read: _Read, turn: Turn, channel: str, notes: dict[str, Any], reasoning: Reasoning
) -> Decided:
    text = read.response.text
    said = _told(text)
    drafts = inline_drafts(turn, channel, text) if channel else ()
    attitudes = None
    if reasoning == "bdi":
        found = labelled(text, *ATTITUDES)
        attitudes = {name: one_line(found[name], 300) for name in ATTITUDES if name in found}
    return _new_decided((_reply(read.action, (), False, notes), said, drafts, attitudes))


@functools.lru_cache(maxsize=1 << 12)  # short answers repeat
def _told(text: str) -> str:
    """What a reply says, in one line."""
    return one_line(answer_part(text) or text, 200)


def _object_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object that holds the answer: models are used to objects, and servers begin with them."""
    return {
        "type": "object",
        "properties": {"answer": dict(schema)},
        "required": ["answer"],
        "additionalProperties": False,
    }


def _json_hint(schema: Mapping[str, Any]) -> str:
    """The form of an answer in JSON, in words."""
    limits = f"from {schema['minimum']:g} to {schema['maximum']:g}"
    return f'Write JSON of the form {{"answer": NUMBER}}, with a number {limits}.'


def _read(turn: Turn, response: Response, in_json: bool = False) -> _Read:
    """The action, or what is wrong with the reply."""
    if response.error is not None and response.choice is None:
        kind = response.error.kind
        said = {
            "empty": "it was empty",
            "refused": "it was refused",
            "malformed": response.error.message,
        }
        none = f"it is none of the options: {one_line(response.text, 80)}"
        return _Read(None, said.get(kind, none), response)
    text = response.text
    if response.choice is not None and turn.options:
        text = turn.options[response.choice]
    try:
        if in_json:
            text = f"Answer: {json.loads(text)['answer']}"
        return _new_read((turn.parse(without_message(text)), "", response))
    except ParseError as error:
        return _Read(None, str(error) or "it could not be read", response)
    except (ValueError, KeyError, TypeError):
        if not in_json:
            raise
        return _Read(None, "it is no JSON object with an answer", response)

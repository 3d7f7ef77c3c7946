"""A strategy in the agent's own words: written at birth, perhaps revised as it goes along.

Source: Vallinder and Hughes (2024), arXiv:2412.10270 (one sentence, from the advice of
survivors). The prompts are our own.
"""

from collections.abc import Mapping
from typing import Any

from llm_agents.parsing import strategy_sentence
from llm_agents.prompting import shortened
from llm_agents.questions import Questions
from llm_agents.safety import marked, one_line
from llm_agents.view import View
from worlds.policy import Ask
from worlds.types import Birth

__all__ = ["revised_strategy", "written_strategy"]

_UNDECIDED = "My strategy will be to decide anew each time."
_NO_SENTENCE = 'it has no sentence that begins with "My strategy will be"'


async def written_strategy(
    ask: Ask, questions: Questions, mind: Mapping[str, Any], birth: Birth
) -> dict[str, Any]:
    """The newcomer's mind with a strategy, from the rules and the advice of survivors."""
    budget = questions.budget
    advice, _ = shortened(list(birth.texts), budget.chars("advice"))
    most = budget.chars("entry")
    shown = [
        marked(text[:most], "advice", birth.generation, birth.seat.uid, number)
        for number, text in enumerate(advice)
        if text.strip()
    ]
    messages = questions.messages(
        mind, birth.rules, questions.prompts.render("birth", advice=shown)
    )
    context = {"part": "birth", "name": birth.seat.name, "advice": list(advice)}
    reply = ""
    for _ in range(questions.max_reasks + 1):
        response = await ask(questions.request(messages, "birth", context))
        reply = response.text
        if sentence := strategy_sentence(reply):
            return {**mind, "strategy": one_line(sentence)}
        messages = questions.again(messages, response, _NO_SENTENCE)
    return {**mind, "strategy": one_line(reply) or _UNDECIDED, "strategy_fallback": True}


async def revised_strategy(ask: Ask, view: View) -> str:
    """The strategy from now on: a new sentence, or the old one where none can be read."""
    questions = view.questions
    old = str(view.mind["strategy"])
    messages = view.messages(questions.prompts.render("revise", strategy=old))
    context = view.context("revise")
    for _ in range(questions.max_reasks + 1):
        response = await ask(questions.request(messages, "revise", context))
        if response.error is None and (sentence := strategy_sentence(response.text)):
            return one_line(sentence)
        messages = questions.again(messages, response, _NO_SENTENCE)
    return old

"""Predicting what the other side will do, and seeing later whether it did.

Source: Akata et al. (2025), arXiv:2305.16867 (social chain of thought: predict, then act).
Scoring the prediction is ours.
"""

from collections.abc import Mapping
from typing import Any

from llm_agents.backends.base import match_option
from llm_agents.safety import one_line
from llm_agents.view import View
from worlds.policy import Ask
from worlds.types import Turn

__all__ = ["predict", "scored"]


async def predict(ask: Ask, view: View) -> str:
    """Ask what the other side will do; empty where the call failed."""
    turn, questions = view.turn, view.questions
    question = questions.prompts.render_again(
        "predict", question=turn.question, options=turn.options or (), hint=turn.answer_hint
    )
    request = questions.request(
        view.messages(question), "predict", view.context("predict"), turn.options
    )
    response = await ask(request)
    return "" if response.error is not None else one_line(response.text, 300)


def scored(mind: Mapping[str, Any], turn: Turn) -> dict[str, Any] | None:
    """What became of the last prediction, or None where it cannot be told.

    Returns:
      predicted: the option. actual: what the others did, by option. score: share of them
      that did as predicted.
    """
    said = mind.get("prediction") or ""
    if not said or not turn.others or not turn.options:
        return None
    index = match_option(said, turn.options)
    if index is None:
        return None
    predicted = turn.options[index]
    hits = sum(other == predicted for other in turn.others)
    return {"predicted": predicted, "actual": list(turn.others), "score": hits / len(turn.others)}

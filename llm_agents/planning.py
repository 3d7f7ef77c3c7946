"""Plans: a broad one for a day, and what to do in the next turns.

Source: Park et al. (2023), arXiv:2304.03442, section 4.3 (a broad plan, decomposed as one
goes along). A day is an episode, or ``every`` of the agent's own turns.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from llm_agents.parsing import numbered
from llm_agents.safety import one_line
from llm_agents.view import View
from worlds.policy import Ask
from worlds.tree import doc_field

__all__ = ["Plan", "made_plan", "step_taken"]

FEWEST, MOST = 4, 6


@dataclasses.dataclass(frozen=True)
class Plan:
    """How far an agent plans ahead."""

    use: Literal["none", "daily", "steps"] = doc_field(
        "daily", "a broad plan and then its next steps, or the next steps alone"
    )
    ahead: int = doc_field(5, "turns that the next steps are for", ge=1)
    every: int = doc_field(0, "own turns of a day; 0: a day is an episode", ge=0)


async def made_plan(
    ask: Ask, plan: Plan, view: View
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The mind with the plans that were due, and what was planned by kind.

    A broad plan is made when a day begins; steps when none are left.
    """
    mind, made = dict(view.mind), {}
    held: Mapping[str, Any] = mind.get("plan") or {"broad": [], "steps": [], "age": 0}
    day_over = bool(plan.every) and held["age"] >= plan.every
    if plan.use == "daily" and (not held["broad"] or day_over):
        broad = await _listed(ask, view, "plan", MOST, fewest=FEWEST, most=MOST)
        held = {"broad": broad, "steps": [], "age": 0}
        made["broad"] = broad
    if not held["steps"]:
        steps = await _listed(
            ask, view, "steps", plan.ahead, plan=tuple(held["broad"]), count=plan.ahead
        )
        held = {**held, "steps": steps}
        made["steps"] = steps
    return {**mind, "plan": held}, made


def step_taken(mind: Mapping[str, Any]) -> Mapping[str, Any]:
    """The mind after the turn that the first step was for."""
    held = mind.get("plan")
    if not held:
        return mind
    return {**mind, "plan": {**held, "steps": held["steps"][1:], "age": held["age"] + 1}}


async def _listed(ask: Ask, view: View, template: str, longest: int, /, **values: Any) -> list[str]:
    """The entries of a list that the model writes; asked again once where there are none."""
    question = view.questions.prompts.render(template, **values)
    messages = view.messages(question)
    context = view.context(template, count=longest)
    for _ in range(view.questions.max_reasks + 1):
        response = await ask(view.questions.request(messages, template, context))
        items = [] if response.error is not None else numbered(response.text, longest)
        if items:
            return [one_line(item, 200) for item in items]
        problem = "it holds no list"
        messages = view.questions.again(messages, response, problem)
    return ["go on as before"]

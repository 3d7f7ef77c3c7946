"""Lessons in public goods games: generous, selfish, fair, and conditional cooperators."""

import dataclasses
import random
from typing import Any

import numpy as np

from llm_agents.backends.base import Request
from llm_agents.chat import Chat
from llm_agents.tiny.lessons import Agent, Lesson, Stage, seat_names
from worlds.framing import Framing
from worlds.games.captions.wording import amount
from worlds.registry import make

__all__ = ["goods_lessons"]

PERSONAS = {
    "": None,
    "You are {{ name }}, a generous person.": 1.0,
    "You are {{ name }}. You are selfish.": 0.0,
    "You are {{ name }}, a fair person.": 0.5,
    "You are {{ name }}. You always put in everything.": 1.0,
    "You are {{ name }}. You never put in anything.": 0.0,
}


@dataclasses.dataclass
class MemberTeacher:
    """Puts in a fixed share, or what the first of the others put in; spends no points."""

    stage: Stage
    slot: int
    share: float | None

    def answer(self, request: Request, turn: Any) -> str:
        """A contribution with its reason, or 'none' in the phase of points."""
        row = self.stage.row(self.slot)
        if request.purpose == "predict":
            return "I expect the same from the others."
        points, reason = self._points(row)
        if request.purpose == "talk":
            return f"I put in {points}. Please do so too."
        answer = points
        if int(row["phase"]):
            answer, reason = "none", "I spend nothing on others."
        if request.context.get("form") != "answer_line":
            return answer
        said = f"Message: I put in {points}.\n" if request.context.get("talk") else ""
        begin = "Justification: " if "Justification:" in request.messages[-1].content else ""
        return f"{said}{begin}{reason}\nAnswer: {answer}"

    def _points(self, row: dict) -> tuple[str, str]:
        world = self.stage.world
        if self.share is not None:
            points = self._allowed(self.share)
            return points, f"I always put in {points}."
        others = [share for share in np.asarray(row["others"]) if share >= 0]
        if not others or float(row["share"]) < -1:
            points = self._allowed(0.5)
            return points, f"I begin with half, {points}."
        points = amount(float(others[0]) * float(world.endowment))
        return points, f"The first of the others put in {points}, so I do the same."

    def _allowed(self, share: float) -> str:
        world = self.stage.world
        if world.levels:
            steps = world.levels - 1
            share = int(share * steps) / steps
        return amount(share * float(world.endowment))


def goods_lessons(rng: random.Random) -> list[Lesson]:
    """Lessons of one episode."""
    size = rng.choice((4, 4, 5))
    costly = rng.random() < 0.2
    world = make(
        "public_goods",
        rounds=10,
        group_size=size,
        endowment=float(rng.choice((20, 20, 10))),
        multiplier=float(rng.choice((1.6, 1.6, 2, 3))),
        levels=rng.choice((0, 0, 0, 5)),
        matching=rng.choice(("strangers", "partners")),
        punishment="costly" if costly else "none",
        participation="voluntary" if rng.random() < 0.1 and not costly else "compulsory",
        num_slots=size,
        num_players=size,
    )
    framing = Framing(currency=rng.choice(("points", "points", "coins")))
    stage = Stage(world, framing, seat_names(size, rng), rng)
    agents = [_agent(stage, slot, rng) for slot in range(size)]
    for slot, agent in enumerate(agents):
        agent.be_born(stage.birth(slot))
    talk = ("chat",) if rng.random() < 0.1 else ()
    for _ in range(rng.choice((2, 4, 6))):
        actions = {
            slot: agents[slot].act(stage.turn(slot, talk=talk)).action for slot in stage.acting
        }
        stage.step(actions)
    return [lesson for agent in agents for lesson in agent.lessons]


def _agent(stage: Stage, slot: int, rng: random.Random) -> Agent:
    persona = rng.choice(("", "", *PERSONAS))
    policy = Chat(
        persona=persona,
        reasoning=rng.choice(("direct", "justify", "justify", "cot")),
        memory=rng.choice(("window", "none")),
    )
    return Agent(policy, MemberTeacher(stage, slot, PERSONAS[persona]), "goods", rng)

"""Lessons in the Donor Game: strategies that differ in generosity, and gifts that follow them."""

import dataclasses
import random
import re
from typing import Any

from llm_agents.backends.base import Request
from llm_agents.chat import Chat
from llm_agents.tiny.lessons import Agent, Lesson, Stage, seat_names
from worlds.framing import Framing
from worlds.registry import make
from worlds.types import Birth

__all__ = ["donor_lessons"]

PERSONAS = {
    "": (0, 100),
    "You are {{ name }}, a generous person.": (60, 100),
    "You are {{ name }}. You are selfish.": (0, 20),
    "You are {{ name }}, a fair person.": (40, 60),
    "You are {{ name }}. You care about the others.": (60, 100),
    "You are {{ name }}. You want to own more than anybody else.": (0, 20),
}
FLAT = (
    "My strategy will be to give {p}% of what I own to everybody.",
    "My strategy will be to give up {p}% of my {unit} in every round.",
    "My strategy will be to donate {p}% each time, whoever the recipient is.",
)
COPY = (
    "My strategy will be to begin with {p}% and then to give what the recipient gave.",
    "My strategy will be to give as much as the recipient gave, and {p}% where I know nothing.",
)
STRICT = (
    "My strategy will be to give {p}% to those who gave at least {q}%, and nothing to others.",
    "My strategy will be to give {p}%, but nothing to a recipient who gave less than {q}%.",
)
_PERCENT = re.compile(r"(\d+)%")


@dataclasses.dataclass
class DonorTeacher:
    """Writes a strategy (its own, or one of those advised, a little changed) and follows it."""

    stage: Stage
    slot: int
    rng: random.Random
    low: int
    high: int
    kind: str = ""
    give: int = 0
    least: int = 0

    def answer(self, request: Request, turn: Any) -> str:
        """A strategy, a gift with its reason, or a word to the others."""
        if isinstance(turn, Birth):
            return self._strategy(request)
        if not self.kind:
            self.kind = "copy" if (self.low, self.high) == (0, 100) else "flat"
            self.give = (self.low + self.high) // 20 * 10
        if request.purpose == "talk":
            return f"I give {self.give}% and hope for the same from you."
        percent, reason = self._gift()
        if request.purpose == "predict":
            return "I expect the same from the others."
        verb = "Donate " if "'Donate'" in turn.answer_hint else ""
        answer = f"{verb}{percent}%"
        if percent == 0 and self.kind == "strict" and "'Refuse'" in turn.answer_hint:
            answer = "Refuse"
        elif percent == 0 and self.kind == "strict" and verb:
            answer = "Punish 10%"
        form = request.context.get("form")
        if form != "answer_line":
            return answer
        said = f"Message: I give {percent}%.\n" if request.context.get("talk") else ""
        begin = "Justification: " if "Justification:" in request.messages[-1].content else ""
        if request.messages[-1].content.startswith("Your reply could not"):
            begin = ""
            reason = f"My strategy says {percent}%."
        return f"{said}{begin}{reason}\nAnswer: {answer}"

    def _gift(self) -> tuple[int, str]:
        row = self.stage.row(self.slot)
        partner = self.stage.names[int(row["partner"])]
        if self.kind == "flat":
            return self.give, f"I decided to give {self.give}% to everybody."
        last = row["trace"][0] if self.stage.world.trace else None
        if last is None or last[0] < 0:
            return self.give, f"I know nothing about {partner}, so I give {self.give}%."
        gave = round(100 * float(last[3]))
        if gave < 0:
            did = "refused to play" if last[3] < -1 else "punished"
            least = 0 if self.kind == "strict" else self.give
            return least, f"{partner} {did}, so I give {least}%."
        if self.kind == "copy":
            return gave, f"{partner} gave {gave}%, so I give {gave}%."
        if gave < self.least:
            return 0, f"{partner} gave {gave}%, less than {self.least}%, so I give nothing."
        return self.give, f"{partner} gave {gave}%, at least {self.least}%, so I give {self.give}%."

    def _strategy(self, request: Request) -> str:
        advice = [text for text in request.context["advice"] if text.strip()]
        if not advice:
            self.kind = self.rng.choice(("flat", "flat", "flat", "copy", "strict"))
            self.give = self.rng.randrange(self.low // 10, self.high // 10 + 1) * 10
            self.least = max(10, self.give - self.rng.choice((0, 10, 20)))
            told = {"flat": FLAT, "copy": COPY, "strict": STRICT}[self.kind]
            sentence = self.rng.choice(told).format(
                p=self.give, q=self.least, unit=self.stage.caption.unit
            )
            return f"I have no advice, so I decide for myself.\n{sentence}"
        model = self.rng.choice(advice)
        numbers = [int(found) for found in _PERCENT.findall(model)]
        stem = _PERCENT.sub("{}%", model)
        self.kind = (
            "strict"
            if "nothing" in stem and len(numbers) > 1
            else ("copy" if "recipient gave" in stem else "flat")
        )
        move = self.rng.choice((0, 0, 0, -10, 10))
        self.give = min(100, max(0, numbers[0] + move))
        self.least = numbers[1] if len(numbers) > 1 else 0
        sentence = stem.format(self.give, *numbers[1:])
        return f"One who did well gave {numbers[0]}%.\n{sentence}"


def donor_lessons(rng: random.Random) -> list[Lesson]:
    """Lessons of one episode: births with and without advice, gifts, some talk."""
    size = rng.choice((4, 8, 12, 12))
    costly = rng.random() < 0.1
    world = make(
        "donor_game",
        rounds=rng.choice((4, 12)),
        endowment=float(rng.choice((10, 10, 10, 20, 5, 100))),
        multiplier=float(rng.choice((2, 2, 2, 3, 1.5))),
        trace=rng.choice((3, 3, 3, 1, 0)),
        protocol="corrected" if costly else rng.choice(("corrected", "corrected", "published")),
        punishment="costly" if costly else "none",
        partner_choice="refuse" if rng.random() < 0.07 else "none",
        num_slots=size,
        num_players=size,
    )
    currency = rng.choice(("points", "points", "points", "coins", "apples"))
    stage = Stage(world, Framing(currency=currency), seat_names(size, rng), rng)
    agents = [_agent(stage, slot, rng) for slot in range(size)]
    advice = [_advice(rng, stage) for _ in range(rng.choice((0, 2, size // 2)))]
    for slot, agent in enumerate(agents):
        told = [] if agent.mind == "first" else rng.sample(advice, len(advice))
        agent.be_born(stage.birth(slot, told))
    talk = ("talk",) if rng.random() < 0.1 else ()
    for _ in range(min(stage.world.horizon, rng.choice((3, 6, 24)))):
        actions = {
            slot: agents[slot].act(stage.turn(slot, talk=talk)).action for slot in stage.acting
        }
        stage.step(actions)
    return [lesson for agent in agents for lesson in agent.lessons]


def _agent(stage: Stage, slot: int, rng: random.Random) -> Agent:
    persona = rng.choice((*[""] * 12, *PERSONAS))
    policy = Chat(
        persona=persona,
        strategy="one_sentence" if rng.random() < 0.9 else "none",
        reasoning=rng.choice(("justify",) * 8 + ("direct", "cot")),
        memory=rng.choice(("none", "none", "none", "window")),
    )
    low, high = PERSONAS[persona]
    return Agent(policy, DonorTeacher(stage, slot, rng, low, high), "donor", rng)


def _advice(rng: random.Random, stage: Stage) -> str:
    give = 10 * rng.randrange(11)
    told = rng.choice((FLAT, FLAT, FLAT, COPY, STRICT))
    least = max(10, give - rng.choice((0, 10, 20)))
    return rng.choice(told).format(p=give, q=least, unit=stage.caption.unit)

"""Lessons in repeated games: named strategies under all labels, payoffs and cover stories."""

import dataclasses
import random
from typing import Any

import numpy as np

from llm_agents.backends.base import ChatMessage, Request
from llm_agents.chat import Chat
from llm_agents.prompting import Prompts
from llm_agents.tiny.lessons import Agent, Lesson, Stage
from llm_agents.tiny.lessons import seat_names as names_of
from worlds.framing import Framing
from worlds.games.captions.matrix_game import STORIES
from worlds.games.matrix_game import MatrixGame
from worlds.games.presets import PRESETS, symmetric

__all__ = ["matrix_lessons"]

PERSONAS = {
    "tit_for_tat": (
        "You play tit for tat: you begin kindly, then you do what the other did last.",
        "You repay like with like: you choose what the other chose in the last round.",
    ),
    "always_cooperate": (
        "You always cooperate.",
        "You always choose what is best for both if both choose it.",
    ),
    "always_defect": (
        "You always defect.",
        "You never choose what would be best for both; you look for your own advantage.",
    ),
    "win_stay_lose_shift": (
        "You keep your choice after the other cooperated, and change it otherwise.",
    ),
    "alternator": ("You change your choice in every round.",),
    "fixed": ("You always choose {label}.", "Your favourite is {label}; you choose nothing else."),
}
GAMES = (
    "prisoners_dilemma prisoners_dilemma prisoners_dilemma_akata prisoners_dilemma_akata "
    "stag_hunt chicken hawk_dove snowdrift harmony coordination battle_of_the_sexes donation "
    "weak_prisoners_dilemma"
).split()
LABELS = ("JF", "QX", "RH", "YW", "TN", "PM", "", "", "", "AB", "KL", "cooperate, defect",
          "tea, coffee", "left, right")  # fmt: skip


@dataclasses.dataclass
class PlayerTeacher:
    """Plays one strategy; action ``kind_one`` is the one that is best if both choose it."""

    stage: Stage
    slot: int
    rng: random.Random
    strategy: str
    fixed: int = 0

    def answer(self, request: Request, turn: Any) -> str:
        """A label, with reasons where they are asked for; a prediction; a word to the other."""
        labels = self.stage.caption.labels
        last = self._last()
        if request.purpose == "predict":
            return labels[self._kind_one() if last is None else last[1]]
        if request.purpose == "talk":
            return f"Let us both choose {labels[self._kind_one()]}."
        choice, reason = self._decide(last, labels)
        if request.context.get("form") != "answer_line":
            return labels[choice]
        said = ""
        if request.context.get("talk"):
            said = f"Message: Let us both choose {labels[self._kind_one()]}.\n"
        asked = request.messages[-1].content
        begin = "Justification: " if "Justification:" in asked else ""
        return f"{said}{begin}{reason}\nAnswer: {labels[choice]}"

    def _last(self) -> tuple[int, int] | None:
        row = self.stage.row(self.slot)
        mine, theirs = int(np.asarray(row.own_last)), int(np.asarray(row.other_last))
        return None if mine < 0 else (mine, theirs)

    def _kind_one(self) -> int:
        role = self.stage.caption._known_role(self.stage.seats[self.slot]) or 0
        table = self.stage.caption.table
        return int(np.argmax([table[role, a, a] for a in range(table.shape[1])]))

    def _decide(self, last: tuple[int, int] | None, labels: tuple[str, ...]) -> tuple[int, str]:
        kind = self._kind_one()
        unkind, other = 1 - kind, STORIES[self.stage.caption.framing.story].other
        if self.strategy == "fixed":
            return self.fixed, f"I always choose {labels[self.fixed]}."
        if self.strategy == "always_cooperate":
            return kind, f"{labels[kind]} is best for both."
        if self.strategy == "always_defect":
            return unkind, f"{labels[kind]} would be best for both, so I choose {labels[unkind]}."
        if last is None:
            return kind, f"I begin with {labels[kind]}, which is best for both."
        mine, theirs = last
        if self.strategy == "alternator":
            return 1 - mine, f"I chose {labels[mine]} last, so I choose {labels[1 - mine]}."
        if self.strategy == "win_stay_lose_shift":
            choice = mine if theirs == kind else 1 - mine
            return choice, f"I chose {labels[mine]} and {other} chose {labels[theirs]}."
        return theirs, f"{other.capitalize()} chose {labels[theirs]}, so I choose the same."


def matrix_lessons(rng: random.Random) -> list[Lesson]:
    """Lessons of one episode between pairs, and questions about the rules."""
    pairs = 4
    labels = rng.choice(LABELS)
    story = rng.choice(("game", "game", "cooking", "project"))
    framing = Framing(
        story=story, labels=labels, currency=rng.choice(("points", "points", "points", "coins"))
    )
    world = MatrixGame(
        **_payoffs(rng),
        rounds=rng.choice((1, 5, 10, 10)),
        noise=rng.choice((0.0,) * 9 + (0.1,)),
        pairs="fixed",
        num_slots=2 * pairs,
        num_players=2 * pairs,
    )
    stage = Stage(world, framing, names_of(2 * pairs, rng), rng)
    agents = [_agent(stage, slot, rng) for slot in range(2 * pairs)]
    lessons: list[Lesson] = []
    for slot, agent in enumerate(agents):
        agent.be_born(stage.birth(slot))
        if rng.random() < 0.3:
            lessons.append(_comprehension(stage, slot, rng))
    talk = ("chat",) if rng.random() < 0.08 else ()
    for _ in range(min(world.rounds, rng.choice((2, 4, 6, 10)))):
        actions = {
            slot: agents[slot].act(stage.turn(slot, talk=talk)).action for slot in stage.acting
        }
        stage.step(actions)
    return lessons + [lesson for agent in agents for lesson in agent.lessons]


def _payoffs(rng: random.Random) -> dict:
    """A preset's table, or one of whole numbers; as leaves, so that worlds compile once."""
    if rng.random() < 0.75:
        table = PRESETS[rng.choice(GAMES)].table
    else:
        low, middle, good, best = sorted(map(float, rng.sample(range(11), 4)))
        dilemma = [[good, low], [best, middle]]
        table = symmetric(dilemma if rng.random() < 0.7 else [[best, low], [good, middle]])
    return {"game": "custom", "payoffs": np.asarray(table, np.float32)}


def _agent(stage: Stage, slot: int, rng: random.Random) -> Agent:
    strategy = rng.choice(("", "", "", *PERSONAS, "tit_for_tat", "always_defect", "fixed"))
    fixed = rng.randrange(len(stage.caption.labels))
    told = rng.choice(PERSONAS[strategy]) if strategy else ""
    persona = told.format(label=stage.caption.labels[fixed])
    if persona and rng.random() < 0.5:
        persona = "You are {{ name }}, one of several participants. " + persona
    policy = Chat(
        persona=persona,
        reasoning=rng.choice(("direct", "direct", "direct", "scot", "justify", "justify", "cot")),
        memory=rng.choice(("window", "window", "none")),
    )
    teacher = PlayerTeacher(stage, slot, rng, strategy or "tit_for_tat", fixed)
    return Agent(policy, teacher, "game", rng)


def _comprehension(stage: Stage, slot: int, rng: random.Random) -> Lesson:
    """A question about the payoffs, as a survey would put it."""
    seat, caption = stage.seats[slot], stage.caption
    probes = caption.probes(seat)
    if probes and rng.random() < 0.7:
        probe = rng.choice(probes)
        user = Prompts.shipped().render(
            "direct", question=probe.ask, options=probe.options, hint=""
        )
        system = Prompts.shipped().render(
            "system",
            persona=f"You are {seat.name}, one of several participants.",
            rules=caption.rules(seat),
        )
        messages = (ChatMessage("system", system), ChatMessage("user", user))
        return Lesson("survey/probe", messages, probe.options[probe.right], probe.options)
    role = caption._known_role(seat) or 0
    labels, unit = caption.labels, caption.framing.currency
    mine, theirs = rng.randrange(len(labels)), rng.randrange(len(labels))
    paid = caption.table[role, mine, theirs] if role == 0 else caption.table[role, theirs, mine]
    other = caption.story.other
    ask = rng.choice(
        (
            f"If you choose {labels[mine]} and {other} chooses {labels[theirs]}, how many "
            f"{unit} do you {caption.story.gains[0]}?",
            f"How many {unit} do you get if you choose {labels[mine]} and {other} chooses "
            f"{labels[theirs]}? Reply with a number.",
        )
    )
    system = Prompts.shipped().render(
        "system", persona=f"You are {seat.name}.", rules=caption.rules(seat)
    )
    messages = (ChatMessage("system", system), ChatMessage("user", ask))
    return Lesson("survey/payoffs", messages, np.format_float_positional(paid, trim="-"))

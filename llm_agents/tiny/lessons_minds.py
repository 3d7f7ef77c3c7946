"""Lessons in what minds ask themselves: how important, what to plan, what follows; and retelling.

Prompts are the shipped templates and the world of retelling; only their contents are made up.
"""

import random
from collections.abc import Callable
from typing import Any

from llm_agents.backends.base import ChatMessage
from llm_agents.prompting import Prompts
from llm_agents.tiny.lessons import NAMES, Lesson
from llm_agents.tiny.lessons_prose import EVENTS, GRAVE, JOBS, MOODS, NOTABLE, TRIVIAL, story
from worlds.messages import render_messages
from worlds.text.retelling import BEGINNINGS, TASKS, Retelling
from worlds.types import Message, Seat

__all__ = ["minds_lessons"]

KEPT = ("rephrase", "repeat", "small_changes", "pick_one")
MIXED = ("combine_two_favourites", "combine_all", "as_different_as_possible")


def minds_lessons(rng: random.Random) -> list[Lesson]:
    """A handful of lessons of every kind."""
    makers: tuple[Callable[[random.Random], Lesson], ...] = (
        _importance, _plan, _steps, _reflect, _focus, _retelling, _retelling, _retelling,
    )  # fmt: skip
    return [maker(rng) for maker in makers]


def _lesson(task: str, persona: str, rules: str, user: str, answer: str) -> Lesson:
    system = Prompts.shipped().render("system", persona=persona, rules=rules)
    return Lesson(task, (ChatMessage("system", system), ChatMessage("user", user)), answer)


def _turn(ask: str, text: str = "") -> str:
    """A question as a turn puts it."""
    return f"{text}\n\n{ask}" if text else ask


def _persona(rng: random.Random) -> str:
    name = rng.choice((*NAMES, *(f"Agent {rng.randrange(60)}" for _ in range(20))))
    if rng.random() < 0.5:
        return f"You are {name}, one of several participants."
    return f"You are {name}, a {rng.choice(list(JOBS))}."


def _happened(rng: random.Random) -> tuple[str, int]:
    """Something that an agent may remember, and how important it is."""
    kind = rng.randrange(4)
    if kind == 3:
        other, percent = rng.choice(NAMES), 10 * rng.randrange(11)
        return f"{other} gave {percent}% of its units to Agent {rng.randrange(60)}.", 3
    pool, rating = ((TRIVIAL, 1), (NOTABLE, 5), (GRAVE, 9))[kind]
    done = rng.choice(pool).format(name=rng.choice(NAMES), event=rng.choice(EVENTS))
    return f"I {done}.", rating


def _importance(rng: random.Random) -> Lesson:
    found = [_happened(rng) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    user = Prompts.shipped().render("importance", memories=[text for text, _ in found])
    answer = "\n".join(f"{number}: {rating}" for number, (_, rating) in enumerate(found, 1))
    return _lesson("mind/importance", _persona(rng), "", _turn(user), answer)


def _day(rng: random.Random) -> tuple[str, list[str]]:
    job = rng.choice(list(JOBS))
    last = rng.choice(("meet friends", "read a book", f"go to {rng.choice(EVENTS)}"))
    return f"You are {rng.choice(NAMES)}, a {job}.", [
        "get up and have breakfast", *JOBS[job], "have lunch", last, "go to bed",
    ]  # fmt: skip


def _plan(rng: random.Random) -> Lesson:
    persona, day = _day(rng)
    user = Prompts.shipped().render("plan", day=True, fewest=5, most=8)
    return _lesson("mind/plan", persona, "", _turn(user), _listed(day))


def _steps(rng: random.Random) -> Lesson:
    persona, day = _day(rng)
    count = rng.choice((1, 2, 3, 4))
    user = Prompts.shipped().render("steps", plan=tuple(day), count=count)
    return _lesson("mind/steps", persona, "", _turn(user), _listed(day[:count]))


def _reflect(rng: random.Random) -> Lesson:
    found = [_happened(rng)[0] for _ in range(rng.choice((3, 4, 5, 6)))]
    other = rng.choice(NAMES)
    user = Prompts.shipped().render(
        "reflect", question=f"What does {other} want?", memories=found, count=2
    )
    kept = sorted(rng.sample(range(len(found)), 2))
    lines = [f"{found[index].rstrip('.')} (because of {index + 1})" for index in kept]
    return _lesson("mind/reflect", _persona(rng), "", _turn(user), _listed(lines))


def _focus(rng: random.Random) -> Lesson:
    found = [_happened(rng)[0] for _ in range(rng.choice((3, 4, 5, 6)))]
    count = rng.choice((2, 3))
    user = Prompts.shipped().render("focus", memories=found, count=count)
    asked = ["What have I done of late?", "What do the others want?", "Whom can I trust?"]
    return _lesson("mind/focus", _persona(rng), "", _turn(user), _listed(asked[:count]))


def _listed(items: list[str]) -> str:
    return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))


def _retelling(rng: random.Random) -> Lesson:
    """A turn in the world of retelling: the story, or parts of several."""
    world: Any = Retelling
    rules = world(num_slots=4).rules(Seat(0))
    persona = rng.choice((_persona(rng), f"You are a {rng.choice(MOODS)} storyteller."))
    if rng.random() < 0.15:
        text, task = "Nothing has been told to you yet.", rng.choice(list(BEGINNINGS))
        told = " ".join(story(rng, 2))
        return _lesson("retelling/begin", persona, rules, _turn(BEGINNINGS[task], text), told)
    mixed = rng.random() < 0.3
    stories = [story(rng, rng.choice((2, 3))) for _ in range(rng.choice((2, 3)) if mixed else 1)]
    messages = [
        Message("story", teller, f"Teller {teller + 1}", " ".join(sentences), step=rng.randrange(9))
        for teller, sentences in zip(rng.sample(range(50), len(stories)), stories, strict=True)
    ]
    text = "These texts reached you:\n" + render_messages(messages)
    task = rng.choice(MIXED if mixed else KEPT)
    told = " ".join([stories[0][0], *stories[-1][1:]])
    name = "retelling/mix" if mixed else "retelling/keep"
    return _lesson(name, persona, rules, _turn(TASKS[task], text), told)

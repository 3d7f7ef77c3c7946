"""Surveys: questions asked aside at given steps, and remembered by nobody.

A survey happens between two steps, before interventions at the same step. Each question is
put to an agent as a turn of its own that never was: it has its persona, its memory and the
present view, answers as its policy answers, and the mind that comes out is thrown away. So a
run with surveys and one without do the same. Calls are journalled under the purpose
``survey/<survey>/<question>``, answers as events of kind "survey".
"""

import dataclasses
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from llm_agents.backends.base import Request, match_option
from llm_agents.parsing import answer_part
from society.frame import Question
from society.interventions import choose_slots, ticks_of
from society.journal_rows import StoredEvent
from society.plan import Place, Plan
from society.population import Population
from worlds.captions import Caption
from worlds.policy import Ask, TextPolicy
from worlds.types import ParseError, Seat, Turn

__all__ = [
    "PROBES",
    "Asked",
    "Respondent",
    "Survey",
    "ask_aside",
    "due",
    "make_surveys",
    "take",
    "tally",
]

PROBES = "payoffs_and_rules"
_FREE_HINT = "Answer in one or two sentences."
_MOST_ANSWERS = 10
_MOST_CHARS = 600


@dataclasses.dataclass(frozen=True)
class Survey:
    """A survey of a scenario with its ticks; questions None stands for the caption's probes."""

    name: str
    ticks: tuple[int, ...]
    who: Any
    questions: tuple[Question, ...] | None


@dataclasses.dataclass(frozen=True)
class Respondent:
    """A language agent who can be asked aside.

    row: what its slot would see now, or None between two episodes.
    """

    policy: TextPolicy
    mind: Any
    seat: Seat
    caption: Caption
    row: Any = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """One question to one agent; right: the right answer, where there is one."""

    survey: str
    id: str
    ask: str
    options: tuple[str, ...] | None = None
    right: str | None = None


class Interviewer(Protocol):
    """Who knows the agents of a replicate: ``society.speakers.Speakers``."""

    def respondent(self, slot: int, moment: Any, *, seen: bool) -> Respondent | None:
        """The language agent in a slot, or None where there is none."""
        ...

    def ask_for(self, slot: int, moment: Any, place: Place) -> Ask:
        """How that agent asks its model."""
        ...


def make_surveys(
    scenario: Any, plan: Plan, population: Population, caption: Any
) -> tuple[Survey, ...]:
    """The surveys of a scenario.

    Args:
      scenario: with ``surveys``. plan: the run's clock. population: who may be asked.
      caption: group -> Caption, for the probes.

    Raises:
      ScenarioError: Nobody can be asked, or the set of questions does not exist here.
    """
    made = []
    for name, spec in scenario.surveys.items():
        with scenario.locating(f"surveys.{name}.who"):
            groups = _readers(spec.who, population)
        questions = None if isinstance(spec.questions, str) else tuple(spec.questions)
        with scenario.locating(f"surveys.{name}.questions"):
            if questions is None:
                _check_set(spec.questions, [caption(group) for group in groups], groups)
        with scenario.locating(f"surveys.{name}.at"):
            ticks = ticks_of(spec.at, plan)
        made.append(Survey(name, ticks, spec.who, questions))
    return tuple(made)


def due(surveys: Sequence[Survey], tick: int) -> list[Survey]:
    """Surveys that happen before a tick."""
    return [survey for survey in surveys if tick in survey.ticks]


async def take(
    surveys: Sequence[Survey],
    *,
    interviewer: Interviewer,
    gather: Any,
    moment: Any,
    carry: Any,
    population: Population,
    seed: int,
    replicate: int,
    tick: int,
    place: Place,
    seen: bool,
) -> list[StoredEvent]:
    """Ask everybody everything side by side; returns the events to journal.

    Args:
      surveys: those that are due. interviewer, moment: who is there and what they see.
      gather: runs minds side by side, results in order (the desk's ``minds``).
      carry, population, seed: decide who is asked. replicate, tick, place: now.
      seen: False between two episodes, when there is nothing to see.
    """
    work, asked = [], []
    aside: dict[int, TextPolicy] = {}
    for survey in surveys:
        rng = np.random.default_rng([seed, zlib.crc32(f"survey/{survey.name}".encode())])
        for slot in choose_slots(survey.who, population, carry, rng).tolist():
            person = interviewer.respondent(slot, moment, seen=seen)
            if person is None:
                continue
            policy = aside.setdefault(id(person.policy), person.policy.aside())
            for question in _questions_for(survey, person):
                ask = interviewer.ask_for(slot, moment, place)
                work.append(_interview(person, policy, ask, question, place))
                asked.append((person.seat.uid, question))
    answers = await gather(work)
    ordinals: Counter[int] = Counter()
    rows = []
    for (uid, question), answer in zip(asked, answers, strict=True):
        data = {"survey": question.survey, "question": question.id, "tick": tick, **answer}
        rows.append(StoredEvent(replicate, *place.clock, "survey", uid, ordinals[uid], data))
        ordinals[uid] += 1
    return rows


# ---- one question to one agent -------------------------------------------------------------


async def ask_aside(
    person: Respondent, ask: Ask, question: str, place: Place, *, name: str
) -> str | None:
    """Ask one agent something outside any survey; returns its answer, None if it is unreadable.

    Args:
      person: whom. ask: how it asks its model. place: now.
      name: files the calls under the purpose ``survey/<name>``.
    """
    survey, _, number = name.partition("/")
    asked = Asked(survey, number or "0", question)
    return (await _interview(person, person.policy.aside(), ask, asked, place))["answer"]


async def _interview(
    person: Respondent, policy: TextPolicy, ask: Ask, question: Asked, place: Place
) -> dict[str, Any]:
    """Put a question aside; returns what is stored of the answer."""
    overheard = _Aside(ask, question)
    reply, _ = await policy.act(overheard, person.mind, _turn(person, question, place))
    data: dict[str, Any] = {"answer": None if reply.fallback else reply.action}
    if question.options is not None:
        data["options"] = list(question.options)
        if overheard.shares is not None and not reply.fallback:
            data["shares"] = list(overheard.shares)
    if question.right is not None:
        data["right"] = question.right
    return data


def _turn(person: Respondent, question: Asked, place: Place) -> Turn:
    caption, seat = person.caption, person.seat
    return Turn(
        seat=seat,
        rules=caption.rules(seat),
        text="" if person.row is None else caption.words(person.row, seat),
        question=question.ask,
        options=question.options,
        parse=partial(_read, question.options),
        fallback=None,
        answer_hint=_FREE_HINT if question.options is None else "",
        generation=place.generation,
        episode=place.episode,
        step=place.step,
    )


def _read(options: tuple[str, ...] | None, text: str) -> str:
    """The answer in a reply: one of the options, or what was said."""
    said = (answer_part(text) or text).strip()
    if options is None:
        if not said:
            raise ParseError("it was empty")
        return said[:_MOST_CHARS]
    index = match_option(said, options)
    if index is None:
        named = [i for i, option in enumerate(options) if _names(said, option)]
        index = named[0] if len(named) == 1 else None
    if index is None:
        raise ParseError(f"expected one of: {', '.join(options)}")
    return options[index]


def _names(said: str, option: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", said, re.I) is not None


class _Aside:
    """An ``Ask`` that files everything under the survey and overhears option probabilities."""

    def __init__(self, ask: Ask, question: Asked) -> None:
        self._ask, self._question = ask, question
        self._purpose = f"survey/{question.survey}/{question.id}"
        self.shares: tuple[float, ...] | None = None

    async def __call__(self, request: Any) -> Any:
        """Ask once; searches of a memory go through as they are."""
        if not isinstance(request, Request):
            return await self._ask(request)
        return (await self.many((request,)))[0]

    async def many(self, requests: Sequence[Any]) -> list[Any]:
        """Ask several things at once."""
        context = {"part": "survey", "survey": self._question.survey, "id": self._question.id}
        filed = [
            dataclasses.replace(
                request, purpose=self._purpose, context={**request.context, **context}
            )
            for request in requests
        ]
        responses = await self._ask.many(filed)
        for request, response in zip(filed, responses, strict=True):
            if request.options == self._question.options and response.option_logprobs:
                weights = [math.exp(value) for value in response.option_logprobs]
                total = sum(weights) or 1.0
                self.shares = tuple(round(weight / total, 6) for weight in weights)
        return responses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ask, name)


# ---- who is asked what ---------------------------------------------------------------------


def _questions_for(survey: Survey, person: Respondent) -> Iterable[Asked]:
    if survey.questions is not None:
        return [Asked(survey.name, q.id, q.ask, q.options) for q in survey.questions]
    return [
        Asked(survey.name, probe.id, probe.ask, probe.options, probe.options[probe.right])
        for probe in person.caption.probes(person.seat)
    ]


def _readers(who: Any, population: Population) -> list[Any]:
    """The groups among those that ``who`` names in which somebody can be asked."""
    name = who.get("group", "everyone") if isinstance(who, Mapping) else who
    named = [group for group in population.groups if name in ("everyone", group.name)]
    readers = [group for group in named if group.is_text]
    if not readers and named:
        said = f"group {name!r}" if name != "everyone" else "nobody here"
        raise ValueError(
            f"{said} can{'' if name == 'everyone' else 'not'} answer questions, because a survey "
            "is put to agents that read and write; groups that do: "
            f"{', '.join(group.name for group in population.text_groups) or 'none'} "
            "(give a group policy: chat)"
        )
    return readers


def _check_set(name: str, captions: Sequence[Caption], groups: Sequence[Any]) -> None:
    if name != PROBES:
        raise ValueError(
            f"no set of questions is called {name!r}; there is {PROBES}, or write a list of "
            "{id, ask, options} or {file: questions.yaml}"
        )
    for caption, group in zip(captions, groups, strict=True):
        if not caption.probes(Seat(group.start, group.name, group.role, name="Agent")):
            raise ValueError(
                f"world {type(caption.world).__name__} has no questions about its rules; write "
                "your own list of {id, ask, options}"
            )


# ---- results -------------------------------------------------------------------------------


def tally(events: Iterable[StoredEvent]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Summarise answers: survey -> question -> one entry a time, oldest first.

    An entry holds ``step`` (of the run), ``asked``, ``unread`` (replies that could not be
    used), ``counts`` of answers (the most common ten of free ones); and where they exist
    ``shares`` (mean probability of each option), ``mean`` (answers that are numbers) and
    ``right`` (share of right answers among all asked).
    """
    found: dict[str, dict[str, dict[int, list[Mapping[str, Any]]]]] = {}
    for event in events:
        data = event.data
        times = found.setdefault(data["survey"], {}).setdefault(data["question"], {})
        times.setdefault(data["tick"], []).append(data)
    return {
        survey: {
            question: [_entry(tick, rows) for tick, rows in sorted(times.items())]
            for question, times in questions.items()
        }
        for survey, questions in found.items()
    }


def _entry(tick: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    answers = [row["answer"] for row in rows if row["answer"] is not None]
    options = rows[0].get("options")
    entry: dict[str, Any] = {"step": tick, "asked": len(rows), "unread": len(rows) - len(answers)}
    counts = Counter(answers)
    entry["counts"] = (
        dict(counts.most_common(_MOST_ANSWERS))
        if options is None
        else {option: counts[option] for option in dict.fromkeys([*options, *counts])}
    )
    scored = [row for row in rows if "shares" in row and row["options"] == options]
    if scored and options is not None:
        means = np.mean([row["shares"] for row in scored], axis=0)
        entry["shares"] = {o: round(float(m), 6) for o, m in zip(options, means, strict=True)}
    numbers = [number for answer in answers if (number := _number(answer)) is not None]
    if numbers and len(numbers) == len(answers):
        entry["mean"] = round(math.fsum(numbers) / len(numbers), 6)
    if any("right" in row for row in rows):
        hits = sum(row["answer"] is not None and row["answer"] == row["right"] for row in rows)
        entry["right"] = round(hits / len(rows), 6)
    return entry


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

"""A backend without a model: scripted answers, for tests, demonstrations and dry runs."""

import asyncio
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    Request,
    Response,
    Usage,
    request_hash,
    sample_option,
)
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Mock"]

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)")
_NUMBER = r"(\d[\d,]*(?:\.\d+)?)"
_RANGES = (
    re.compile(rf"between\s+-?{_NUMBER}\s+and\s+{_NUMBER}", re.I),
    re.compile(rf"from\s+-?{_NUMBER}\s+to\s+{_NUMBER}", re.I),
)
_OWNED = re.compile(rf"\b(?:have|own|hold)\s+{_NUMBER}", re.I)
_KIND = re.compile(
    r"cooperat|donat|\bgive|\bshare|contribut|\btrust|\bhelp|\bstag\b|\bdove\b|swerve|\byes\b", re.I
)
_UNKIND = re.compile(r"\b(?:not|no|don't|never|nothing|keep|defect)\b", re.I)
_MEMBERS = re.compile(r"a member, a colon and a number from 0 to ([\d.]+).*?\(([^)]*)\)", re.S)
_PUT_IN = re.compile(rf"([A-Za-z][\w ]*?) put in {_NUMBER}")
_LEVELS = {"generous": 0.9, "selfish": 0.05, "fair": 0.5}
_NONSENSE = (
    "I would rather talk about the weather.",
    "",
    "Answer: banana!?",
    "{'amount':",
)


@component("backend", "mock")
@dataclasses.dataclass(frozen=True, eq=False)
class Mock(Backend):
    """Scripted answers from simple rules; not a language model, and it says so.

    It reads ``Request.context``, which the chat policy fills in, not the prompt. A newcomer's
    strategy is a percentage: its persona's, or, with advice, the mean of the percentages it
    read and a small step of its own. Decisions follow the percentage in the strategy
    sentence, less for partners who gave less. Among options it prefers the kinder-sounding
    one with that probability (the alphabetically first where none sounds kind). It fines
    members of a group who put in less than the others. Plans, ratings and conclusions have
    the right form and little content. Answers are a function of the request, its seed, and
    this backend's parameters.
    """

    persona: Literal["mixed", "generous", "selfish", "fair"] = doc_field(
        "mixed", "how generous newcomers without advice are; mixed: anything from 0 to 1"
    )
    generosity: float | None = doc_field(
        None, "one generosity for all; overrides persona", ge=0, le=1
    )
    malformed_rate: float = doc_field(0.0, "share of answers that are nonsense", ge=0, le=1)
    error_rate: float = doc_field(0.0, "share of calls that fail with an empty answer", ge=0, le=1)
    latency_s: float = doc_field(0.0, "seconds that every batch takes", ge=0)
    streaming: bool = doc_field(False, "take every request at once, like a server")
    seed: int = doc_field(0, "another seed gives other answers")

    reads_context = True

    @property
    def capabilities(self) -> Capabilities:
        """Honours seeds and options; deterministic."""
        return Capabilities(seed=True, guided=True, streams=self.streaming, deterministic=True)

    @property
    def fingerprint(self) -> str:
        """Its parameters: other parameters give other answers."""
        values = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        return f"mock {values}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text."""
        await asyncio.sleep(self.latency_s)
        return [self._answer(request) for request in requests]

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with an option."""
        await asyncio.sleep(self.latency_s)
        return [self._choice(request) for request in requests]

    # ---- one answer -----------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        draw = _Draws(self.seed, request)
        if (spoilt := self._spoilt(request, draw)) is not None:
            return spoilt
        context = request.context
        part = context.get("part", request.purpose)
        if part == "birth":
            return _said(self._strategy(context, draw), request)
        level = self._level(context)
        if part in _ASIDES:
            return _said(_ASIDES[part](context, level, draw), request)
        return _said(self._act(context, level, draw), request)

    def _act(self, context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
        if context.get("form") == "json":
            return json.dumps({"answer": float(self._decision(context, level, draw))})
        answer = f"Answer: {self._decision(context, level, draw)}"
        if context.get("form") != "answer_line":
            return answer
        reasons = f"Justification: my strategy says about {level:.0%}."
        if context.get("reasoning") == "bdi":
            reasons = (
                "Belief: the others give about as much as I do.\n"
                "Desire: to do well together with them.\n"
                f"Intention: to give about {level:.0%}."
            )
        message = f"Message: I give about {level:.0%}.\n" if context.get("talk") else ""
        return f"{message}{reasons}\n{answer}"

    def _choice(self, request: Request) -> Response:
        draw = _Draws(self.seed, request)
        if (spoilt := self._spoilt(request, draw)) is not None:
            return spoilt
        options = request.options or ()
        index = _pick(options, self._level(request.context), draw)
        return dataclasses.replace(_said(options[index], request), choice=index, method="script")

    def _spoilt(self, request: Request, draw: "_Draws") -> Response | None:
        if draw("error") < self.error_rate:
            error = BackendError("empty", "the mock was told to fail at this rate")
            return dataclasses.replace(_said("", request), error=error)
        if draw("malformed") < self.malformed_rate:
            text = _NONSENSE[int(draw("nonsense") * len(_NONSENSE))]
            error = BackendError("not_an_option", "a nonsense answer") if request.options else None
            return dataclasses.replace(_said(text, request), error=error)
        return None

    def _strategy(self, context: Mapping[str, Any], draw: "_Draws") -> str:
        advised = [
            level for text in context.get("advice", ()) if (level := _percent(text)) is not None
        ]
        if advised and self.generosity is None:
            level = sum(advised) / len(advised) + 0.2 * (draw("step") - 0.5)
        else:
            level = self._own_level(draw("level"))
        level = round(min(1.0, max(0.0, level)), 2)
        return (
            f"My strategy will be to give {100 * level:.0f}% of what I have, "
            "and less to those who gave less."
        )

    def _level(self, context: Mapping[str, Any]) -> float:
        stated = _percent(str(context.get("strategy", "")))
        if stated is not None:
            return stated
        return self._own_level(_unit(f"{self.seed}/{context.get('name', '')}"))

    def _own_level(self, point: float) -> float:
        if self.generosity is not None:
            return float(self.generosity)
        return _LEVELS.get(self.persona, point)

    def _decision(self, context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
        options = tuple(context.get("options") or ())
        if options:
            return options[_pick(options, level, draw)]
        hint = str(context.get("hint", ""))
        if members := _MEMBERS.search(hint):
            return _points(members, hint, str(context.get("text", "")), level)
        amount = _amount(context)
        if amount is None:
            return f"{level:.0%}"
        seen = [float(found) / 100 for found in _PERCENT.findall(str(context.get("text", "")))]
        if seen and level > 0 and "gave less" in str(context.get("strategy", "")):
            level *= 0.5 + 0.5 * min(1.0, sum(seen) / len(seen) / level)
        # Rounded down to two decimals: never more than there is.
        given = f"{math.floor(100 * level * amount) / 100:.2f}"
        return f"Donate {given}" if "'Donate'" in str(context.get("hint", "")) else given


def _points(members: re.Match[str], hint: str, text: str, level: float) -> str:
    """Fines for members who put in less than the others, by as much as one is kind."""
    most = float(members[1])
    names = [name.strip() for name in re.split(r",| and ", members[2]) if name.strip()]
    given = {name.strip().lower(): float(n.replace(",", "")) for name, n in _PUT_IN.findall(text)}
    known = [given[name.lower()] for name in names if name.lower() in given]
    mean = sum(known) / len(known) if known else 0.0
    verb = "fine " if "'fine' or 'reward'" in hint else ""
    fines = []
    for name in names:
        lacks = mean - given.get(name.lower(), mean)
        points = math.floor(min(most, level * max(0.0, lacks) / 2))
        fines += [f"{verb}{name}: {points}"] if points else []
    return ", ".join(fines) or "none"


def _talk(context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
    text = f"I give about {level:.0%} and hope for the same from you."
    names = context.get("names") or ()
    return f"Message to {names[int(draw('whom') * len(names))]}: {text}" if names else text


def _list_of(*texts: str) -> Callable[[Mapping[str, Any], float, "_Draws"], str]:
    def make(context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
        count = int(context.get("count", len(texts)))
        return "\n".join(f"{n + 1}. {texts[n % len(texts)]}" for n in range(count))

    return make


def _rate(context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
    count = int(context.get("count", 1))
    return "\n".join(f"{n + 1}: {1 + int(10 * draw(f'rating {n}'))}" for n in range(count))


def _conclude(context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
    seen = min(2, len(context.get("memories", ())))
    because = f" (because of {', '.join(str(n + 1) for n in range(seen))})" if seen else ""
    return f"1. The others do about as I do, so {level:.0%} is right{because}"


def _revise(context: Mapping[str, Any], level: float, draw: "_Draws") -> str:
    new = min(1.0, max(0.0, level + 0.2 * (draw("revision") - 0.5)))
    return (
        f"My strategy will be to give {100 * new:.0f}% of what I have, "
        "and less to those who gave less."
    )


_ASIDES: dict[str, Callable[[Mapping[str, Any], float, "_Draws"], str]] = {
    "talk": _talk,
    "predict": lambda context, level, draw: "I expect about as much as I would give.",
    "revise": _revise,
    "plan": _list_of("see how the others behave", "do as I said", "keep my word", "look back"),
    "steps": _list_of("do as my strategy says"),
    "importance": _rate,
    "focus": _list_of("Who gives how much?", "Whom can I trust?", "What should I do next?"),
    "reflect": _conclude,
}


class _Draws:
    """Uniform numbers that belong to one request, by name."""

    def __init__(self, seed: int, request: Request) -> None:
        own = request.seed if request.seed >= 0 else request_hash(request)
        self.stem = f"{seed}/{own}/{request.purpose}"

    def __call__(self, name: str) -> float:
        return _unit(f"{self.stem}/{name}")


def _unit(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48


def _said(text: str, request: Request) -> Response:
    """A response with honest bookkeeping: words stand for tokens."""
    read = sum(message.content.count(" ") + 1 for message in request.messages)
    return Response(text=text, usage=Usage(read, len(text.split())), model="mock")


def _percent(text: str) -> float | None:
    found = _PERCENT.search(text)
    return min(1.0, float(found[1]) / 100) if found else None


def _amount(context: Mapping[str, Any]) -> float | None:
    """The most that can be given: the upper end of a range, or what the agent is said to have."""
    for part in ("hint", "question", "text"):
        text = str(context.get(part, ""))
        for pattern in _RANGES:
            if found := pattern.search(text):
                return float(found[2].replace(",", ""))
        if found := _OWNED.search(text):
            return float(found[1].replace(",", ""))
    return None


def _pick(options: Sequence[str], level: float, draw: _Draws) -> int:
    """Index of the kind option with probability ``level``, of another one otherwise."""
    kind = [i for i, text in enumerate(options) if _KIND.search(text) and not _UNKIND.search(text)]
    kind = kind or [min(range(len(options)), key=lambda i: options[i].casefold())]
    others = [i for i in range(len(options)) if i not in kind] or kind
    pool = kind if draw("kind") < level else others
    return pool[sample_option([0.0] * len(pool), 1.0, int(draw("which") * 2**31))]

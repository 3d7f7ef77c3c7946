"""A backend that retells with a drift that is known: a yardstick for measures of culture."""

import dataclasses
import random
import re
from collections.abc import Sequence

from llm_agents.backends.base import Backend, Capabilities, Request, Response, Usage
from worlds.registry import component
from worlds.text.words import tokens
from worlds.tree import doc_field

__all__ = ["Drift"]

_HEARD = re.compile(r"every line marked (\S+):\n((?:\1\|.*\n?)+)")
_WORDS = (
    "river stone lantern fox harbour winter bread violin letter orchard tiger candle mirror "
    "ladder garden engine silver morning whale drum"
).split()


@component("backend", "drift")
@dataclasses.dataclass(frozen=True, eq=False)
class Drift(Backend):
    """A mock that retells: lengths drift to an attractor at a known rate; no language model.

    It reads the marked texts of its prompt. With mean length L of what it heard (words) it
    tells round(attractor + keep (L - attractor) + noise) words: those that it heard, one from
    each text in turn, again from the start where they do not suffice. So lengths follow a
    linear map with slope ``keep`` a step and fixed point ``attractor``, and texts that hear
    each other share words. Whoever heard nothing begins with ``length`` words of its own,
    drawn by the request's seed. Among options it takes the first.
    """

    keep: float = doc_field(0.5, "slope of the map from heard to told length", ge=0, le=1)
    attractor: float = doc_field(30.0, "length to which texts drift, words", ge=1)
    noise: float = doc_field(0.0, "standard deviation of told length, words", ge=0)
    length: int = doc_field(20, "words of a first text, where it varies by half", ge=2)

    @property
    def capabilities(self) -> Capabilities:
        """Honours seeds and options; deterministic."""
        return Capabilities(seed=True, guided=True, deterministic=True)

    @property
    def fingerprint(self) -> str:
        """Its parameters."""
        values = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        return f"drift {values}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Retell."""
        return [self._told(request) for request in requests]

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Take the first option."""
        return [
            dataclasses.replace(
                _said((request.options or ("",))[0]),
                choice=0 if request.options else None,
            )
            for request in requests
        ]

    def _told(self, request: Request) -> Response:
        draw = random.Random(request.seed)
        prompt = request.messages[-1].content
        heard = [tokens(re.sub(r"(?m)^\S+\|", "", part)) for _, part in _HEARD.findall(prompt)]
        heard = [words for words in heard if words]
        if not heard:
            number = draw.randint(max(self.length // 2, 1), self.length * 3 // 2)
            return _said(" ".join(draw.choice(_WORDS) for _ in range(number)))
        mean = sum(map(len, heard)) / len(heard)
        goal = self.attractor + self.keep * (mean - self.attractor)
        number = max(round(goal + draw.gauss(0, self.noise)), 1)
        mixed = [words[i] for i in range(max(map(len, heard))) for words in heard if i < len(words)]
        return _said(" ".join(mixed[i % len(mixed)] for i in range(number)))


def _said(text: str) -> Response:
    return Response(text=text, usage=Usage(completion_tokens=len(text.split())))

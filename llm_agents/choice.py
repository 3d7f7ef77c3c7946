"""Choosing among options: the same rules for every backend.

The best way there is decides: (1) log-probabilities of the options after a lead ("Answer:"),
(2) a structured choice on the same boundary, (3) a regular expression in the model's format,
(4) reading the text, with a bounded number of further questions. A small model that was held
to bare options answered 45 % of test questions rightly, and 97.5 % when the options were
scored where they stand in its own answers; so options are always scored *on the natural
boundary*: after a lead an option begins with a space, at the start of a reply it does not.

Probabilities are those of the whole option (summed over its tokens), renormalised over the
options. A longer option is a product of more factors, none above 1; options of very unequal
length should be labelled instead. Our own seeded sampling reads them rounded.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from llm_agents.backends.base import NEVER, Request, Response, Usage, sample_option

__all__ = [
    "CLEAR_MASS",
    "LEAD",
    "LEAST_MASS",
    "TokenTree",
    "Tokens",
    "continued",
    "leads",
    "options_regex",
    "read_top",
    "renormalised",
    "score_exactly",
    "tells_whole",
    "walk",
]

LEAD = "Answer:"  # how most models begin an answer that they were not asked to leave bare
LEAST_MASS = 0.1  # below this the options are not what the model was about to say
CLEAR_MASS = 0.5  # below this another lead is tried
MOST_ASKS = 8  # questions that one walk may ask
_WORTH_ASKING = 0.01  # share of the mass that a shared beginning must hold to be followed

Top = Sequence[tuple[str, float]]  # texts of the likeliest next tokens, with log-probabilities


def leads(request: Request) -> tuple[str, ...]:
    """Leads to try, in order: the request's own, or none and then the usual one."""
    own = request.prefill.rstrip()
    return (own,) if own else ("", LEAD)


def continued(lead: str, options: Sequence[str]) -> tuple[str, ...]:
    """Each option as it stands in a text that ends with the lead.

    >>> continued("Answer:", ("J", "F")), continued("", ("J", "F"))
    ((' J', ' F'), ('J', 'F'))
    """
    space = " " if lead else ""
    return tuple(space + option.strip() for option in options)


def renormalised(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Log-probabilities over the options alone, rounded to six decimals.

    >>> renormalised((-1.0, -1.0))
    (-0.693147, -0.693147)
    """
    best = max(logprobs)
    if best == -math.inf:
        return tuple(round(-math.log(len(logprobs)), 6) for _ in logprobs)
    total = best + math.log(sum(math.exp(value - best) for value in logprobs))
    return tuple(round(max(value - total, NEVER), 6) for value in logprobs)


def options_regex(options: Sequence[str], lead: str = "") -> str:
    r"""A regular expression for an answer: an option, after the lead where there is one.

    >>> options_regex(("Option J", "a.b"))
    '(Option J|a\\.b)'
    """
    escaped = "|".join(re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\1", text) for text in options)
    return f"{lead} ({escaped})" if lead else f"({escaped})"


# ---- models whose tokens can be scored exactly ------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """A context and what each option adds to it, in tokens."""

    context: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


class TokenTree:
    """The questions that score all options of a request: one for each place where they part.

    Options of one token each cost a single question; longer ones share what they have in
    common.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        nexts: dict[tuple[int, ...], dict[int, None]] = {}
        for option in tokens.options:
            for place, token in enumerate(option):
                nexts.setdefault(option[:place], {})[token] = None
        self.nodes = {node: tuple(found) for node, found in nexts.items()}

    @classmethod
    def of(
        cls,
        encode: Callable[[str], Sequence[int]],
        text: str,
        lead: str,
        options: Sequence[str],
    ) -> "TokenTree":
        """Split a rendered prompt (which ends with the lead) and its options into tokens.

        Where a token spans the boundary, the context ends before it, for all options alike.
        """
        joint = [encode(text + option) for option in continued(lead, options)]
        return cls.of_tokens(encode(text), joint)

    @classmethod
    def of_tokens(cls, context: Sequence[int], joint: Sequence[Sequence[int]]) -> "TokenTree":
        """The same, of what is split already: the prompt, and the prompt with each option."""
        shared = min((_common(context, one) for one in joint), default=len(context))
        return cls(Tokens(tuple(context[:shared]), tuple(tuple(one[shared:]) for one in joint)))

    def scores(self, logprobs: Mapping[tuple[int, ...], Mapping[int, float]]) -> list[float]:
        """Log-probability of each option.

        Args:
          logprobs: for each of ``nodes``, the log-probability of each of its tokens.

        An option that another one continues gets what is left after it.
        """
        options = self.tokens.options
        summed = [
            sum(logprobs[option[:place]][token] for place, token in enumerate(option))
            for option in options
        ]
        found = []
        for option, own in zip(options, summed, strict=True):
            longer = {
                other: value
                for other, value in zip(options, summed, strict=True)
                if len(other) > len(option) and other[: len(option)] == option
            }
            left = math.exp(own) - sum(map(math.exp, longer.values()))
            found.append(own if not longer else math.log(left) if left > 0 else -math.inf)
        return found


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


Scores = Mapping[tuple[int, ...], Mapping[int, float]]


def score_exactly(
    requests: Sequence[Request],
    tree_of: Callable[[Request, str], TokenTree],
    score: Callable[[Sequence[TokenTree]], Sequence[Scores]],
) -> list[Response]:
    """Choose for every request with a model whose tokens can be scored.

    Each request's options are scored after its own lead; where the model was not about to
    say any of them, and the request names no lead, after the usual one too, and the lead
    under which the options are the likelier counts.

    Args:
      requests: with options.
      tree_of: (request, lead) -> the questions to ask.
      score: answers the questions of many trees at once.
    """
    best: dict[int, tuple[float, str, list[float]]] = {}
    read = [0] * len(requests)
    left = list(range(len(requests)))
    for turn in range(2):
        left = [i for i in left if turn < len(leads(requests[i]))]
        if not left:
            break
        trees = [tree_of(requests[i], leads(requests[i])[turn]) for i in left]
        for index, tree, found in zip(left, trees, score(trees), strict=True):
            scores = tree.scores(found)
            mass = sum(map(math.exp, scores))
            read[index] += len(tree.tokens.context) + len(tree.nodes) - 1
            if index not in best or mass > best[index][0]:
                best[index] = (mass, leads(requests[index])[turn], scores)
        left = [i for i in left if best[i][0] < CLEAR_MASS]
    return [
        _chosen(request, *best[index][1:], read[index]) for index, request in enumerate(requests)
    ]


def _chosen(request: Request, lead: str, scores: Sequence[float], read: int) -> Response:
    options = request.options or ()
    logprobs = renormalised(scores)
    index = sample_option(logprobs, request.temperature, request.seed)
    return Response(
        text=options[index],
        choice=index,
        option_logprobs=logprobs,
        usage=Usage(prompt_tokens=read),
        method="logprobs" if lead == leads(request)[0] else "led_logprobs",
    )


# ---- servers that list the likeliest next tokens ----------------------------------------


@dataclass(frozen=True)
class Found:
    """What a list of next tokens says: the mass of each option, and of shared beginnings."""

    mass: tuple[float, ...]
    shared: Mapping[str, float]

    @property
    def total(self) -> float:
        """Probability that the model goes on with one of the options."""
        return sum(self.mass) + sum(self.shared.values())


def read_top(top: Top, rests: Sequence[str]) -> Found:
    """Sort the likeliest next tokens by the options whose text they begin.

    Args:
      top: text and log-probability of each token.
      rests: what is still to be said of each option; "" where nothing is.
    """
    mass = [0.0] * len(rests)
    shared: dict[str, float] = {}
    wanted = [rest.strip().casefold() for rest in rests]
    beginnings = tuple({rest[0] for rest in wanted if rest})
    for token, logprob in top:
        said = token.strip().casefold()
        if not said.startswith(beginnings):
            continue
        probability = math.exp(min(logprob, 0.0))
        fits = [i for i, rest in enumerate(wanted) if rest and _begins(rest, said)]
        if len(fits) == 1:
            mass[fits[0]] += probability
        elif fits:
            shared[said] = shared.get(said, 0.0) + probability
    for index, rest in enumerate(wanted):
        if not rest:
            mass[index] = max(0.0, 1.0 - sum(mass) - sum(shared.values()))
    return Found(tuple(mass), shared)


def tells_whole(top: Top, options: Sequence[str]) -> bool:
    """True where the tokens that matter are whole options, so that nothing is left to be said.

    >>> tells_whole([(" J", -0.1)], ("J", "F")), tells_whole([("de", -0.1)], ("defect", "J"))
    (True, False)
    """
    wanted = [option.strip().casefold() for option in options]
    least = _WORTH_ASKING * read_top(top, options).total
    for token, logprob in top:
        if math.exp(logprob) < least:
            continue
        said = token.strip().casefold()
        if not said:
            continue
        if any(rest.startswith(said) and rest != said for rest in wanted):
            return False
    return True


async def walk(
    options: Sequence[str],
    top: Top,
    ask: Callable[[str], Awaitable[Top | None]] | None,
) -> tuple[tuple[float, ...] | None, float]:
    """Log-probabilities of the options, from the likeliest tokens at each place they part.

    Args:
      options: as they are to be said.
      top: the likeliest first tokens.
      ask: the likeliest tokens after a beginning of an option; None where a text cannot be
        continued.

    Returns:
      Renormalised log-probabilities (None where the tokens do not tell), and the probability
      that the model says one of the options at all.
    """
    first = read_top(top, options)
    if first.total < LEAST_MASS:
        return None, first.total
    mass = list(first.mass)
    unclear = [("", said, share, list(range(len(options)))) for said, share in first.shared.items()]
    asked = 0
    while unclear:
        begun, said, share, among = unclear.pop()
        if share < _WORTH_ASKING * first.total:
            continue
        beginning = _beginning([options[i] for i in among], begun, said)
        if ask is None or asked >= MOST_ASKS:
            return None, first.total
        asked += 1
        after = await ask(beginning)
        if after is None:
            return None, first.total
        among = [i for i in among if options[i].casefold().startswith(beginning.casefold())]
        found = read_top(after, [options[i][len(beginning) :] for i in among])
        if not found.total:
            return None, first.total
        for index, part in zip(among, found.mass, strict=True):
            mass[index] += share * part
        unclear += [(beginning, more, share * p, among) for more, p in found.shared.items()]
    if not sum(mass):
        return None, first.total
    return renormalised([math.log(m) if m > 0 else -math.inf for m in mass]), first.total


def _begins(rest: str, said: str) -> bool:
    """True where a token is the beginning of an option, or all of it and then no letter."""
    if rest.startswith(said):
        return True
    return said.startswith(rest) and not said[len(rest)].isalnum()


def _beginning(options: Sequence[str], begun: str, said: str) -> str:
    """What has been said of an option after one more token, in the option's own letters."""
    for option in options:
        rest = option[len(begun) :]
        space = len(rest) - len(rest.lstrip())
        if rest.strip().casefold().startswith(said):
            return option[: len(begun) + space + len(said)]
    return begun

"""Properties of single texts and of a round of texts: how long, how varied, how glad, how hard."""

import dataclasses
import functools
import importlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np

from society.contract import Record
from society.measures.texts import (
    OfTexts,
    Told,
    mean_similarity,
    told_by_round,
    vectors_by_round,
)
from worlds.registry import component
from worlds.text.words import sentences, tokens
from worlds.tree import doc_field

__all__ = [
    "Property",
    "TextStyle",
    "by_round",
    "diversity_of",
    "installed_properties",
    "mtld",
    "property_of",
]

Property = Literal["length", "lexical_diversity", "polarity", "difficulty", "reading_ease"]


@component("measure", "text_style")
@dataclasses.dataclass(frozen=True)
class TextStyle(OfTexts):
    """Mean properties of the last texts, and how they came about round by round.

    For every property P of ``of``: ``text_P`` = mean over the texts of the last round,
    ``first_text_P`` = of the first one, and the table ``text_P_by_round`` [T]. Properties: length
    (words), lexical_diversity (different words / words); with the extra ``text`` also polarity
    (VADER compound score, -1 to 1), difficulty (Gunning fog index, years of school) and
    reading_ease (Flesch, higher is easier).
    Source: Hutto & Gilbert (2014), "VADER", doi:10.1609/icwsm.v8i1.14550; Gunning (1952), "The
    technique of clear writing"; Flesch (1948), doi:10.1037/h0057532; libraries vaderSentiment
    and, for syllables of English words, pyphen.
    """

    of: tuple[Property, ...] = doc_field(
        ("length", "lexical_diversity"), "which properties of a text"
    )

    def check(self, world: Any, groups: tuple[Any, ...]) -> None:
        """Also demand the libraries that the properties need."""
        super().check(world, groups)
        for name in self.of:
            property_of(name)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named means of one replicate."""
        rounds = told_by_round(record)
        found: dict[str, Any] = {}
        for name in self.of:
            value = property_of(name)
            course = [float(np.mean([value(one.text) for one in told])) for told in rounds]
            found[f"text_{name}"] = course[-1] if course else math.nan
            found[f"first_text_{name}"] = course[0] if course else math.nan
            found[f"text_{name}_by_round"] = course
        return found


def by_round(
    rounds: Sequence[Sequence[Told]], properties: Sequence[str] = ()
) -> dict[str, list[float]]:
    """What every round of texts came to: name -> one number a round.

    Args:
      rounds: texts of a replicate. properties: names that ``property_of`` knows.

    Returns:
      ``similarity_to_first``, ``similarity_within``, ``similarity_successive`` (to the round
      before; NaN for the first), ``cumulative_change``, diversity of words, and the mean of every
      property.
    """
    if not rounds:
        return {}
    parts = vectors_by_round(rounds)
    first = [
        mean_similarity(parts[0], part) if number else mean_similarity(part)
        for number, part in enumerate(parts)
    ]
    near = [mean_similarity(one, other) for one, other in itertools.pairwise(parts)]
    table: dict[str, list[float]] = {
        "similarity_to_first": first,
        "similarity_within": [mean_similarity(part) for part in parts],
        "similarity_successive": [math.nan, *near],
        "cumulative_change": [1.0 - value for value in first],
    }
    varied = [diversity_of([tokens(one.text) for one in told]) for told in rounds]
    table |= {name: [one[name] for one in varied] for name in varied[0]}
    for name in properties:
        value = property_of(name)
        table[name] = [float(np.mean([value(one.text) for one in told])) for told in rounds]
    return table


def installed_properties() -> list[str]:
    """Properties whose libraries are there."""
    found = []
    for name in get_args(Property):
        try:
            property_of(name)
        except ValueError:
            continue
        found.append(name)
    return found


@functools.lru_cache(maxsize=16)
def property_of(name: str) -> Callable[[str], float]:
    """The function that takes a property of a text.

    Raises:
      ValueError: Its library is not installed; the message names the extra.
    """
    if name == "length":
        return lambda text: float(len(tokens(text)))
    if name == "lexical_diversity":
        return lambda text: len(set(tokens(text))) / max(len(tokens(text)), 1)
    try:
        if name == "polarity":
            vader: Any = importlib.import_module("vaderSentiment.vaderSentiment")
            analyser = vader.SentimentIntensityAnalyzer()
            return lambda text: float(analyser.polarity_scores(text)["compound"])
        pyphen: Any = importlib.import_module("pyphen")
    except ImportError:
        raise ValueError(
            f"property {name!r} needs the extra text: pip install 'societylab[text]'; "
            "without it there are length and lexical_diversity"
        ) from None
    parted = pyphen.Pyphen(lang="en_US")

    def syllables(word: str) -> int:
        return 1 + len(parted.positions(word))

    rate = _fog if name == "difficulty" else _ease
    return lambda text: rate([syllables(word) for word in tokens(text)], len(sentences(text)))


def _fog(syllables: Sequence[int], num_sentences: int) -> float:
    """Gunning fog index of a text from the syllables of its words; 0 where there are none."""
    if not syllables:
        return 0.0
    hard = sum(number > 2 for number in syllables) / len(syllables)
    return 0.4 * (len(syllables) / num_sentences + 100.0 * hard)


def _ease(syllables: Sequence[int], num_sentences: int) -> float:
    """Flesch reading ease of a text from the syllables of its words; 0 where there are none."""
    if not syllables:
        return 0.0
    length = len(syllables) / num_sentences
    return 206.835 - 1.015 * length - 84.6 * sum(syllables) / len(syllables)


def diversity_of(texts: Sequence[list[str]]) -> dict[str, float]:
    """Hill numbers of words, distinct pairs, mean length and MTLD of a round of texts."""
    words = Counter(word for text in texts for word in text)
    total = sum(words.values())
    if not total:
        names = ("words_hill_0", "words_hill_1", "words_hill_2", "distinct_2", "text_length")
        return {name: math.nan for name in names} | {"mtld": math.nan}
    shares = np.array(sorted(words.values())) / total
    pairs = [pair for text in texts for pair in itertools.pairwise(text)]
    return {
        "words_hill_0": float(len(words)),
        "words_hill_1": float(np.exp(-(shares * np.log(shares)).sum())),
        "words_hill_2": float(1.0 / (shares**2).sum()),
        "distinct_2": len(set(pairs)) / len(pairs) if pairs else math.nan,
        "text_length": total / len(texts),
        "mtld": float(np.mean([mtld(text) for text in texts if text])),
    }


def mtld(words: Sequence[str], size: float = 0.72) -> float:
    """Mean length of runs of words that keep a type-token ratio of ``size``, both directions.

    >>> mtld("a b a b a b a b".split()) == mtld("b a b a b a b a".split())
    True
    """
    return (_mtld_forward(words, size) + _mtld_forward(words[::-1], size)) / 2


def _mtld_forward(words: Sequence[str], size: float) -> float:
    factors, seen, count = 0.0, set(), 0
    for word in words:
        seen.add(word)
        count += 1
        if len(seen) / count < size:
            factors, seen, count = factors + 1, set(), 0
    if count:
        factors += (1 - len(seen) / count) / (1 - size)
    return len(words) / factors if factors else float(len(words))

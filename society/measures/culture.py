"""Measures of culture in texts: what is kept, what is lost, and where retelling leads."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import networkx as nx
import numpy as np
from scipy import sparse

from llm_agents.embeddings import Embedding, unit
from society.contract import GroupSlice, Record
from society.measures.text_style import Property, diversity_of, property_of
from society.measures.texts import (
    OfTexts,
    Told,
    latest,
    mean_similarity,
    similarity_matrix,
    tfidf,
    ties_of_record,
    told_by_round,
    vectors_by_round,
)
from worlds.registry import component, load
from worlds.text.words import tokens
from worlds.tree import doc_field

__all__ = [
    "CulturalFst",
    "TextAttractor",
    "TextDiversity",
    "TextSimilarity",
    "chains_of",
    "ends_of_chains",
]


@component("measure", "text_similarity")
@dataclasses.dataclass(frozen=True)
class TextSimilarity(OfTexts):
    """How much of the first texts is left, round by round, by the words or the meaning they share.

    Cosine similarity of vectors of texts: TF-IDF over all texts of the replicate, or an
    ``embedding``. ``similarity_to_first`` = mean over pairs of the first and the last round;
    ``similarity_within`` = of distinct texts of the last round; ``similarity_successive`` = of
    neighbouring rounds, averaged; ``cumulative_change`` = 1 - similarity_to_first. Tables:
    ``similarity_matrix`` [T, T] (the diagonal leaves out a text's likeness to itself),
    ``similarity_to_first_by_round`` and ``similarity_within_by_round`` [T], for at most 64 rounds
    (evenly chosen beyond). With an embedding every name begins with ``embedding_``.
    Source: Perez et al. (2024), arXiv:2403.08882; they count self-similarity on the diagonal.
    """

    by: Literal["tfidf", "embedding"] = doc_field("tfidf", "what makes texts alike")
    embedding: Embedding | str = doc_field(
        "sentence_transformers", "how texts become vectors of meaning", component="embedding"
    )

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named similarities of one replicate."""
        prefix = "embedding_" if self.by == "embedding" else ""
        found = self._found(told_by_round(record))
        return {prefix + name: value for name, value in found.items()}

    def _found(self, rounds: list[list[Told]]) -> dict[str, Any]:
        if not rounds:
            names = ("to_first", "within", "successive")
            return {f"similarity_{n}": math.nan for n in names} | {"cumulative_change": math.nan}
        parts = vectors_by_round(rounds, self._vectors)
        near = [mean_similarity(a, b) for a, b in itertools.pairwise(parts)]
        matrix = similarity_matrix(parts)
        to_first = mean_similarity(parts[0], parts[-1]) if len(parts) > 1 else math.nan
        return {
            "similarity_to_first": to_first,
            "similarity_within": mean_similarity(parts[-1]),
            "similarity_successive": float(np.mean(near)) if near else math.nan,
            "cumulative_change": 1.0 - to_first,
            "similarity_matrix": matrix,
            "similarity_to_first_by_round": [row[0] for row in matrix],
            "similarity_within_by_round": [matrix[i][i] for i in range(len(matrix))],
        }

    def _vectors(self, texts: Sequence[str]) -> Any:
        if self.by == "tfidf":
            return tfidf(texts)
        made = self.embedding
        if isinstance(made, str):
            made = load("embedding", made)()
        return sparse.csr_matrix(unit(made.embed(list(texts))).astype(np.float64))


@component("measure", "text_diversity")
@dataclasses.dataclass(frozen=True)
class TextDiversity(OfTexts):
    """How many different words the last texts use, and how long and hard to read they are.

    ``words_hill_0, words_hill_1, words_hill_2`` = Hill numbers of word frequencies of the last
    round (richness, exp of Shannon entropy, inverse Simpson); ``distinct_2`` = different pairs
    of neighbouring words / all pairs; ``text_length`` = mean words a text; ``mtld`` = mean
    measure of textual lexical diversity (factor size 0.72, both directions). Each also as
    ``first_NAME`` of the first round.
    Source: Hill (1973), doi:10.2307/1934352; McCarthy & Jarvis (2010),
    doi:10.3758/BRM.42.2.381.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named diversities of one replicate."""
        rounds = told_by_round(record)
        found: dict[str, Any] = {}
        for name, told in (("", rounds[-1:]), ("first_", rounds[:1])):
            texts = [tokens(one.text) for one in told[0]] if told else []
            found |= {name + key: value for key, value in diversity_of(texts).items()}
        return found


@component("measure", "text_attractor")
@dataclasses.dataclass(frozen=True)
class TextAttractor(OfTexts):
    """Where retelling leads a property of texts, whatever it was at first.

    Regresses the last value of each chain on its first one, value_T = a + b value_0: strength
    1 - b (1 = all chains end at the same value, 0 = what was said first decides) and position
    a / (1 - b), defined for abs(b) < 1. A chain is a part of the graph that hangs together, where
    there are three or more; else a teller. ``attractor_p`` is the p-value of b = 1;
    ``attractor_slope`` and ``attractor_slope_se`` belong to the regression. Properties: length
    (words), lexical_diversity (different words / words), and from the extra ``text`` polarity
    (VADER compound score), difficulty (Gunning fog index) and reading_ease (Flesch). The tables
    ``attractor_first`` and ``attractor_last`` hold the points of the regression, one a chain.
    Source: Perez et al. (2025), arXiv:2407.04503, who take 1 - abs(b) and clip positions to
    [-1, 1].
    """

    of: Property = doc_field("length", "which property of a text")

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Also demand the library that the property needs."""
        super().check(world, groups)
        property_of(self.of)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Strength, position and the regression behind them."""
        names = ("strength", "position", "slope", "slope_se", "p")
        empty = {f"attractor_{name}": math.nan for name in names}
        first, last = first_and_last(record, property_of(self.of))
        points = {"attractor_first": first.tolist(), "attractor_last": last.tolist()}
        if len(first) < 3 or np.ptp(first) == 0:
            return empty | points
        from scipy import stats

        fit: Any = stats.linregress(first, last)
        slope, error = float(fit.slope), float(fit.stderr)
        distance = (1.0 - slope) / error if error > 0 else math.inf
        return {
            "attractor_strength": 1.0 - slope,
            "attractor_position": float(fit.intercept) / (1.0 - slope)
            if abs(slope) < 1
            else math.nan,
            "attractor_slope": slope,
            "attractor_slope_se": error,
            "attractor_p": float(2.0 * stats.t.sf(abs(distance), len(first) - 2)),
            **points,
        }


@component("measure", "cultural_fst")
@dataclasses.dataclass(frozen=True)
class CulturalFst(OfTexts):
    """How much of the difference among the last texts lies between parts of the population.

    F_ST = (H_T - H_S) / H_T, with H_T the mean distance (1 - cosine similarity of TF-IDF
    vectors) of all pairs of texts and H_S that of pairs within a part: 0 = parts do not
    differ (or no texts do), 1 = all difference lies between them. Parts are communities of the
    graph (``clique``, by greedy modularity), groups of the scenario (``group``), or ``blocks``
    equal runs of slots (``block``), which compares graphs with the same parts.
    Source: Bell, Richerson & McElreath (2009), doi:10.1073/pnas.0903232106; on distances as
    Excoffier, Smouse & Quattro (1992).
    """

    by: Literal["clique", "group", "block"] = doc_field("clique", "what the parts are")
    blocks: int = doc_field(2, "number of parts where they are blocks", ge=2)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """F_ST, and the two distances it is made of."""
        rounds = told_by_round(record)
        told = latest(rounds)
        parts = self._parts(record, len(record.alive))
        labels = np.array([parts[one.slot] for one in told])
        kinds = [kind for kind in np.unique(labels) if np.sum(labels == kind) > 1]
        empty = {"cultural_fst": math.nan, "distance_total": math.nan, "distance_within": math.nan}
        if len(np.unique(labels)) < 2 or not kinds:
            return empty
        vectors = tfidf([one.text for one in told])
        total = 1.0 - mean_similarity(vectors)
        sizes = np.array([np.sum(labels == kind) for kind in kinds], float)
        within = np.array(
            [1.0 - mean_similarity(vectors[np.flatnonzero(labels == kind)]) for kind in kinds]
        )
        pairs = sizes * (sizes - 1)
        mean = float((within * pairs).sum() / pairs.sum())
        return {
            "cultural_fst": (total - mean) / total if total > 0 else 0.0,
            "distance_total": total,
            "distance_within": mean,
        }

    def _parts(self, record: Record, num: int) -> np.ndarray:
        if self.by == "block":
            return np.arange(num) * self.blocks // num
        if self.by == "group":
            parts = np.zeros(num, int)
            for index, group in enumerate(record.groups):
                parts[group.start : group.stop] = index
            return parts
        parts = np.zeros(num, int)
        graph = ties_of_record(record, num)
        if graph is not None:
            for index, some in enumerate(nx.community.greedy_modularity_communities(graph)):
                parts[list(some)] = index
        return parts


def first_and_last(record: Record, value: Callable[[str], float]) -> tuple[np.ndarray, np.ndarray]:
    """A property at the beginning and at the end of every chain."""
    num = len(record.alive)
    starts = told_by_round(record, "given")[:1] + told_by_round(record)
    return ends_of_chains(starts, chains_of(ties_of_record(record, num), num), value)


def ends_of_chains(
    rounds: Sequence[Sequence[Told]], parts: np.ndarray, value: Callable[[str], float]
) -> tuple[np.ndarray, np.ndarray]:
    """A property at the beginning and at the end of every chain, averaged over a round.

    Args:
      rounds: of one replicate; texts that were given come first. parts: [N] chain of each slot.
    """
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for told in rounds:
        by_part: dict[int, list[float]] = {}
        for one in told:
            by_part.setdefault(int(parts[one.slot]), []).append(value(one.text))
        for part, values in by_part.items():
            first.setdefault(part, float(np.mean(values)))
            last[part] = float(np.mean(values))
    kept = sorted(first)
    return np.array([first[p] for p in kept]), np.array([last[p] for p in kept])


def chains_of(ties: nx.Graph | None, num: int) -> np.ndarray:
    """[num] parts of the graph that hang together, where there are three or more; else slots."""
    parts = np.arange(num)
    found = list(nx.connected_components(ties)) if ties is not None else []
    if len(found) >= 3:
        for index, some in enumerate(found):
            parts[list(some)] = index
    return parts

"""Trees of texts: which of the last ones seem to share a past."""

import dataclasses
import itertools
import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import networkx as nx
import numpy as np

from society.contract import Record
from society.measures.texts import OfTexts, latest, tfidf, ties_of_record, told_by_round
from worlds.registry import component
from worlds.text.iterated_learning import edit_distance
from worlds.text.words import tokens
from worlds.tree import doc_field

__all__ = ["Branch", "TextPhylogeny", "neighbour_joining", "newick_of", "text_distances"]

Distance = Literal["compression", "words", "edit"]


class Branch(NamedTuple):
    """An edge of a tree: from ``parent`` to ``child``, ``length`` long.

    Leaves are 0 .. n - 1, inner nodes n and up; the last node is the root.
    """

    parent: int
    child: int
    length: float


@component("measure", "text_phylogeny")
@dataclasses.dataclass(frozen=True)
class TextPhylogeny(OfTexts):
    """A tree of the last texts of everybody, by neighbour joining on their distances.

    ``text_tree`` = the tree as Newick text (leaves ``slot_N``, at most ``most`` of them, evenly
    chosen; an unrooted tree, written from its last join); ``tree_fit`` = correlation of the
    lengths of ways through the tree with the distances it was made from (1 = the texts differ as
    if they had only ever split); ``tree_ties`` = correlation of these ways with those through the
    social graph (1 = who is far apart tells texts that are far apart). Distances: ``compression``
    (normalised, by zlib), ``words`` (1 - cosine of TF-IDF vectors), ``edit`` (of words,
    divided by the longer length).
    Source: Saitou & Nei (1987), doi:10.1093/oxfordjournals.molbev.a040454; Cilibrasi & Vitanyi
    (2005), doi:10.1109/TIT.2005.844059; Tehrani (2013), doi:10.1371/journal.pone.0078871 (trees
    of folktales).
    """

    distance: Distance = doc_field("compression", "how far two texts are apart")
    most: int = doc_field(64, "leaves of the tree", ge=4, le=400)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """The tree, and how far to believe it."""
        told = latest(told_by_round(record))
        if len(told) < 4:
            return {"text_tree": "", "tree_fit": math.nan, "tree_ties": math.nan}
        chosen = np.unique(np.linspace(0, len(told) - 1, self.most).round().astype(int))
        told = [told[index] for index in chosen]
        distances = text_distances([one.text for one in told], self.distance)
        branches = neighbour_joining(distances)
        ways = _ways(branches, len(told))
        ties = ties_of_record(record, len(record.alive))
        slots = [one.slot for one in told]
        return {
            "text_tree": newick_of(branches, [f"slot_{slot}" for slot in slots]),
            "tree_fit": _correlation(ways, distances),
            "tree_ties": math.nan if ties is None else _correlation(ways, _apart(ties, slots)),
        }


def text_distances(texts: Sequence[str], kind: Distance = "compression") -> np.ndarray:
    """[n, n] float64 distances of texts, 0 on the diagonal, symmetric."""
    if kind == "words":
        rows = tfidf(texts)
        found = 1.0 - np.asarray((rows @ rows.T).todense(), np.float64)
        np.fill_diagonal(found, 0.0)
        return np.maximum(found, 0.0)
    between = _compression if kind == "compression" else _edit
    found = np.zeros((len(texts), len(texts)))
    for one, other in itertools.combinations(range(len(texts)), 2):
        found[one, other] = found[other, one] = between(texts[one], texts[other])
    return found


def neighbour_joining(distances: np.ndarray) -> list[Branch]:
    """Join the pair that is nearest to each other and farthest from the rest, until two are left.

    Args:
      distances: [n, n], symmetric, n >= 3.

    Returns:
      2n - 3 branches; on distances that fit a tree, that tree. Lengths below zero become zero.
      Source: Saitou & Nei (1987); in the form of Studier & Keppler (1988),
      doi:10.1093/oxfordjournals.molbev.a040527.
    """
    apart = np.array(distances, np.float64)
    nodes, joined = list(range(len(apart))), len(apart)
    branches: list[Branch] = []
    while len(nodes) > 2:
        num = len(nodes)
        total = apart.sum(1)
        score = (num - 2) * apart - total[:, None] - total[None, :]
        np.fill_diagonal(score, np.inf)
        one, other = sorted(map(int, np.unravel_index(int(np.argmin(score)), score.shape)))
        length = apart[one, other]
        first = length / 2 + (total[one] - total[other]) / (2 * (num - 2))
        first = min(max(first, 0.0), length)
        branches.append(Branch(joined, nodes[one], float(first)))
        branches.append(Branch(joined, nodes[other], float(length - first)))
        middle = (apart[one] + apart[other] - length) / 2
        kept = [place for place in range(num) if place not in (one, other)]
        grown = np.zeros((num - 1, num - 1))
        grown[:-1, :-1] = apart[np.ix_(kept, kept)]
        grown[-1, :-1] = grown[:-1, -1] = np.maximum(middle[kept], 0.0)
        apart, nodes = grown, [*(nodes[place] for place in kept), joined]
        joined += 1
    return [*branches, Branch(nodes[1], nodes[0], float(apart[0, 1]))]


def newick_of(branches: Sequence[Branch], names: Sequence[str]) -> str:
    """The tree as Newick text.

    >>> newick_of([Branch(2, 0, 1.0), Branch(2, 1, 0.5)], ["a", "b"])
    '(a:1,b:0.5);'
    """
    below: dict[int, list[Branch]] = {}
    for branch in branches:
        below.setdefault(branch.parent, []).append(branch)
    root = branches[-1].parent
    texts: dict[int, str] = {}
    order = [root]
    for node in order:  # grows: parents before their children
        order.extend(branch.child for branch in below.get(node, ()))
    for node in reversed(order):
        parts = [f"{texts[branch.child]}:{branch.length:.6g}" for branch in below.get(node, ())]
        texts[node] = f"({','.join(parts)})" if parts else names[node]
    return f"{texts[root]};"


def _compression(one: str, other: str) -> float:
    sizes = [_size(one), _size(other)]
    both = (_size(f"{one}\n{other}") + _size(f"{other}\n{one}")) / 2
    return max(both - min(sizes), 0.0) / max(sizes)


def _size(text: str) -> int:
    return len(zlib.compress(" ".join(tokens(text)).encode(), 9))


def _edit(one: str, other: str) -> float:
    left, right = tokens(one), tokens(other)
    return edit_distance(left, right) / max(len(left), len(right), 1)


def _ways(branches: Sequence[Branch], leaves: int) -> np.ndarray:
    """[leaves, leaves] lengths of the ways through a tree."""
    tree = nx.Graph()
    for branch in branches:
        tree.add_edge(branch.parent, branch.child, length=branch.length)
    found = np.zeros((leaves, leaves))
    for leaf in range(leaves):
        ways = nx.single_source_dijkstra_path_length(tree, leaf, weight="length")
        found[leaf] = [ways[other] for other in range(leaves)]
    return found


def _apart(ties: nx.Graph, slots: Sequence[int]) -> np.ndarray:
    """[n, n] steps between slots through the graph; NaN where there is no way."""
    found = np.full((len(slots), len(slots)), math.nan)
    for row, slot in enumerate(slots):
        ways = nx.single_source_shortest_path_length(ties, slot)
        found[row] = [ways.get(other, math.nan) for other in slots]
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson correlation over pairs; NaN where one side does not vary."""
    upper = np.triu_indices(len(one), 1)
    left, right = one[upper], other[upper]
    known = np.isfinite(left) & np.isfinite(right)
    left, right = left[known], right[known]
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return math.nan
    return float(np.corrcoef(left, right)[0, 1])

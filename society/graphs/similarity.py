"""Ties between the alike: numbers, categories, lists of tags, or rows of amounts."""

import dataclasses
import re
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import scipy.sparse

from society.graphs.base import MOST_TIES, GraphRule, Ties
from society.graphs.lattices import within_blocks
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Similarity"]

Columns = Mapping[str, np.ndarray]
MOST_TAG_SETS = 20_000


@component("graph", "similarity")
@dataclasses.dataclass(frozen=True)
class Similarity(GraphRule):
    """Ties all whose similarity in an attribute exceeds a threshold.

    Numbers: one minus the distance, divided by the attribute's range. Categories: one if
    equal. Tags (lists, or texts such as "banks; mining"): shared tags over all tags of the
    two (Jaccard). Rows of amounts [n, T]: sum of minima over sum of maxima.
    """

    assign: ClassVar[Literal["shuffled", "in_order"]] = "in_order"

    attribute: str = doc_field(dataclasses.MISSING, "the attribute to compare")
    above: float = doc_field(0.5, "similarity that a tie must exceed", ge=0, lt=1)
    compare: Literal["auto", "numbers", "categories", "tags", "amounts"] = doc_field(
        "auto", "what the attribute holds; auto = see for yourself"
    )
    isolates: Literal["leave", "link"] = doc_field(
        "leave", "whether those without any tie get one to a random other"
    )
    weights: Literal["none", "similarity"] = doc_field("none", "what ties weigh")
    every: int = doc_field(0, "steps until the ties are made anew; 0 = never", ge=0)

    def check(self, num: int, columns: Columns) -> None:
        """The attribute must exist, and the threshold lie in [0, 1)."""
        if self.attribute not in columns:
            raise ValueError(
                f"similarity by {self.attribute!r}, but attributes are "
                f"{', '.join(columns) or 'none'}; give the groups that attribute"
            )
        if not 0 <= self.above < 1:
            raise ValueError(f"above: {self.above}; use a similarity from 0 to below 1")

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """All pairs above the threshold."""
        column = np.asarray(columns[self.attribute])
        kind = _kind(column) if self.compare == "auto" else self.compare
        pairs, alike = _COMPARE[kind](column, self.above)
        weights = alike.astype(np.float32) if self.weights == "similarity" else None
        if self.isolates == "link" and num > 1:
            pairs, weights = _link(rng, num, pairs, weights)
        return Ties(pairs.astype(np.int32), weights)


def _kind(column: np.ndarray) -> str:
    if column.ndim == 2:
        return "amounts"
    if column.dtype.kind in "iuf":
        return "numbers"
    lists = any(not isinstance(value, str) and np.iterable(value) for value in column[:1000])
    split = column.dtype.kind in "OUS" and any(re.search("[;,|]", str(v)) for v in column[:1000])
    return "tags" if lists or split else "categories"


def _numbers(column: np.ndarray, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Windows over the sorted values."""
    values = column.astype(np.float64)
    span = float(np.ptp(values)) if len(values) else 0.0
    values = (values - values.min()) / span if span else np.zeros(len(values))
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    # Similar to those behind: strictly nearer than 1 - above, in the sorted order.
    end = np.searchsorted(ordered, ordered + (1 - above), side="left")
    count = np.maximum(end - np.arange(len(ordered)) - 1, 0)
    _affordable(int(count.sum()))
    first = np.repeat(np.arange(len(ordered)), count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    alike = 1 - (ordered[second] - ordered[first])
    return np.stack([order[first], order[second]], 1), alike


def _categories(column: np.ndarray, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Everybody with everybody of the same category."""
    _, code = np.unique(column.astype(str), return_inverse=True)
    sizes = np.bincount(code).astype(np.int64)
    _affordable(int((sizes * (sizes - 1) // 2).sum()))
    pairs = np.argsort(code, kind="stable")[within_blocks(sizes)]
    return pairs, np.ones(len(pairs))


def _tags(column: np.ndarray, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard between distinct sets of tags, then everybody who has those."""
    sets = [_tag_set(value) for value in column]
    known = {tags: index for index, tags in enumerate(dict.fromkeys(sets))}
    names = {tag: place for place, tag in enumerate(sorted(set().union(*known)))}
    if len(known) > MOST_TAG_SETS:
        raise ValueError(
            f"{len(known)} different sets of tags are more than {MOST_TAG_SETS}; use fewer tags"
        )
    rows = np.repeat(np.arange(len(known)), [len(tags) for tags in known])
    cols = np.array([names[tag] for tags in known for tag in sorted(tags)], np.int64)
    shape = (len(known), max(len(names), 1))
    has = scipy.sparse.csr_array((np.ones(len(rows), np.int32), (rows, cols)), shape=shape)
    shared = scipy.sparse.coo_array(has @ has.T)
    one, two = shared.coords
    size = np.asarray(has.sum(1)).ravel()
    alike = shared.data / (size[one] + size[two] - shared.data)
    good = (alike > above) & (one <= two)
    code = np.array([known[tags] for tags in sets])
    return _expand(one[good], two[good], alike[good], code)


def _amounts(column: np.ndarray, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted Jaccard between rows, some rows at a time."""
    values = column.astype(np.float64)
    if (values < 0).any():
        raise ValueError("amounts must not be negative; shift the attribute or use compare: tags")
    num, found, alike = len(values), [], []
    step = max(1, 20_000_000 // max(values.size, 1))
    for start in range(0, num, step):
        block = values[start : start + step, None, :]
        least, most = np.minimum(block, values).sum(2), np.maximum(block, values).sum(2)
        score = np.divide(least, most, out=np.zeros_like(least), where=most > 0)
        first, second = np.nonzero(score > above)
        later = second > first + start
        found.append(np.stack([first[later] + start, second[later]], 1))
        alike.append(score[first[later], second[later]])
        _affordable(sum(map(len, found)))
    return np.concatenate(found), np.concatenate(alike)


def _expand(
    one: np.ndarray, two: np.ndarray, alike: np.ndarray, code: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of agents from pairs of what they have; ``one`` equals ``two`` within a set."""
    members = np.argsort(code, kind="stable")
    sizes = np.bincount(code).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    count = sizes[one] * sizes[two]
    _affordable(int(count.sum()))
    row = np.repeat(np.arange(len(one)), count)
    local = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    first, second = np.divmod(local, sizes[two][row])
    keep = (one[row] != two[row]) | (first < second)
    row, first, second = row[keep], first[keep], second[keep]
    pairs = [members[starts[one[row]] + first], members[starts[two[row]] + second]]
    return np.stack(pairs, 1), alike[row]


def _link(
    rng: np.random.Generator, num: int, pairs: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Give each node without ties one to a random other."""
    lonely = np.flatnonzero(np.bincount(pairs.ravel().astype(np.int64), minlength=num) == 0)
    others = rng.integers(0, num - 1, len(lonely))
    others += others >= lonely
    new = np.unique(np.sort(np.stack([lonely, others], 1), axis=1), axis=0)
    if weights is not None:
        weights = np.concatenate([weights, np.ones(len(new), np.float32)])
    return np.concatenate([pairs, new]), weights


def _tag_set(value: object) -> frozenset[str]:
    parts = re.split("[;,|]", value) if isinstance(value, str) else value
    parts = parts if np.iterable(parts) else [parts]
    return frozenset(str(part).strip() for part in parts) - {""}  # type: ignore[union-attr]


def _affordable(ties: int) -> None:
    if ties > MOST_TIES:
        raise ValueError(
            f"{ties} pairs are similar enough, more than {MOST_TIES} ties; raise above:, or "
            "use stochastic_block with the same attribute"
        )


_COMPARE = {
    "numbers": _numbers,
    "categories": _categories,
    "tags": _tags,
    "amounts": _amounts,
}

"""The shape of the social graph at the end of a run, among the living.

All are computed from the rows of ties with NumPy and SciPy, so a million agents take
seconds. Weights of ties are ignored.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse
from scipy.sparse import csgraph

from society.contract import GroupSlice, Measure, Record
from society.graphs import graph_rng, unpack
from society.graphs.base import Ties
from society.graphs.lattices import pairs_in_blocks
from society.graphs.swaps import swap_ends
from worlds.registry import component
from worlds.tree import doc_field

__all__ = [
    "Assortativity",
    "Clustering",
    "Components",
    "Degrees",
    "Modularity",
    "Mutuality",
    "Net",
    "net_of",
]

Kind = Literal["type", "group"]
WEDGES = 10_000_000


class Net(NamedTuple):
    """Ties among the n living, renumbered 0..n-1.

    num: n. pairs: [E, 2] (sender, receiver) or undirected ties once; None = complete.
    """

    num: int
    pairs: np.ndarray | None
    directed: bool

    @property
    def rows(self) -> np.ndarray:
        """[R, 2] ties as arcs: both directions of undirected ones."""
        assert self.pairs is not None
        if self.directed:
            return self.pairs
        return np.concatenate([self.pairs, self.pairs[:, ::-1]])

    def degrees(self) -> tuple[np.ndarray, np.ndarray]:
        """[n] out-degrees and [n] in-degrees."""
        if self.pairs is None:
            every = np.full(self.num, max(self.num - 1, 0))
            return every, every
        rows = self.rows
        out, into = (np.bincount(rows[:, end], minlength=self.num) for end in (0, 1))
        return out, into

    def matrix(self) -> Any:
        """[n, n] sparse, 1 where a tie runs either way."""
        rows = self.rows
        if self.directed:
            rows = np.unique(np.concatenate([rows, rows[:, ::-1]]), axis=0)
        ones = np.ones(len(rows), np.int32)
        return scipy.sparse.csr_array((ones, (rows[:, 0], rows[:, 1])), shape=(self.num, self.num))


def net_of(record: Record) -> Net:
    """The graph of a replicate at its end, among the living."""
    alive = np.asarray(record.alive, bool)
    num = int(alive.sum())
    if record.graph is None or record.graph.complete:
        return Net(num, None, False)
    ties: Ties = unpack(record.graph)
    kept = ties.pairs[alive[ties.pairs].all(1)]
    place = np.cumsum(alive) - 1
    return Net(num, place[kept], ties.directed)


@component("measure", "degree")
@dataclasses.dataclass(frozen=True)
class Degrees(Measure):
    """How many neighbours agents have: mean, spread, extremes, and the share of ties present.

    ``degree_variance`` is over agents; ``density`` is ties over possible ties. In directed
    graphs degrees count incoming ties.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Statistics of the in-degrees."""
        net = net_of(record)
        if not net.num:
            names = ("mean", "variance", "min", "max")
            return {f"degree_{name}": float("nan") for name in names} | {"density": float("nan")}
        into = net.degrees()[1]
        possible = net.num - 1
        return {
            "degree_mean": float(into.mean()),
            "degree_variance": float(into.var()),
            "degree_min": int(into.min()),
            "degree_max": int(into.max()),
            "density": float(into.mean() / possible) if possible else float("nan"),
        }


@component("measure", "clustering")
@dataclasses.dataclass(frozen=True)
class Clustering(Measure):
    """How often friends of an agent are friends: mean over agents, and over all triads.

    ``clustering`` averages, over agents, ties among neighbours over possible ones (0 below
    two neighbours; Watts and Strogatz 1998). ``transitivity`` is three times the triangles
    over connected triples (Newman 2003, doi:10.1137/S003614450342480). Directions are ignored.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Both coefficients."""
        net = net_of(record)
        if net.pairs is None:
            value = 1.0 if net.num > 2 else 0.0
            return {"clustering": value, "transitivity": value}
        degree = np.diff(net.matrix().indptr).astype(np.float64)
        possible = degree * (degree - 1)
        closed = 2.0 * _triangles(net)
        local = np.divide(closed, possible, out=np.zeros(net.num), where=possible > 0)
        total = possible.sum()
        return {
            "clustering": float(local.mean()) if net.num else float("nan"),
            "transitivity": float(closed.sum() / total) if total else 0.0,
        }


@component("measure", "assortativity")
@dataclasses.dataclass(frozen=True)
class Assortativity(Measure):
    """Whether like is tied to like: by degree, and by strategy or group.

    ``assortativity_degree`` is the correlation of degrees over the ends of ties (sender's
    out-degree with receiver's in-degree where directed). ``assortativity_type`` (or
    ``_group``) is (sum e_ii - sum a_i b_i) / (1 - sum a_i b_i), with e the share of ties from
    one kind to another and a, b its sums. With ``nulls`` also the mean and standard deviation
    of the latter over graphs rewired with all degrees kept. NaN where undefined.

    Source: Newman (2003), eqs. 2 and 21, doi:10.1103/PhysRevE.67.026126.
    """

    by: Kind = doc_field("type", "strategies or groups")
    nulls: int = doc_field(0, "rewired graphs to compare with", ge=0)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Coefficients, and those of the null model."""
        net = net_of(record)
        kinds = _kinds(record, self.by)
        name = f"assortativity_{self.by}"
        found: dict[str, Any] = {
            "assortativity_degree": _degree_correlation(net),
            name: _assortativity(_mixing(net, kinds)),
        }
        if self.nulls:
            rewired = [
                _assortativity(_mixing(shuffled, kinds)) for shuffled in _rewired(net, self.nulls)
            ]
            found[f"{name}_null"] = float(np.mean(rewired))
            found[f"{name}_null_sd"] = float(np.std(rewired))
        return found


@component("measure", "modularity")
@dataclasses.dataclass(frozen=True)
class Modularity(Measure):
    """How much more than by chance ties run within strategies or groups: Q = sum e_ii - a_i b_i.

    Source: Newman and Girvan (2004), doi:10.1103/PhysRevE.69.026113; directed as in Leicht
    and Newman (2008), doi:10.1103/PhysRevLett.100.118703.
    """

    by: Kind = doc_field("type", "strategies or groups")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Q of the division into kinds."""
        share = _mixing(net_of(record), _kinds(record, self.by))
        expected = (share.sum(1) * share.sum(0)).sum()
        return {f"modularity_{self.by}": float(np.trace(share) - expected)}


@component("measure", "mutuality")
@dataclasses.dataclass(frozen=True)
class Mutuality(Measure):
    """Reciprocity of ties: the share of arcs whose opposite is there too; 1 if undirected.

    Source: Wasserman and Faust (1994), Social Network Analysis, section 13.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Share of arcs that are returned; NaN without ties."""
        net = net_of(record)
        if net.pairs is None:
            return {"mutuality": 1.0 if net.num > 1 else float("nan")}
        if not len(net.pairs):
            return {"mutuality": float("nan")}
        if not net.directed:
            return {"mutuality": 1.0}
        codes = net.rows[:, 0].astype(np.int64) * net.num + net.rows[:, 1]
        back = net.rows[:, 1].astype(np.int64) * net.num + net.rows[:, 0]
        return {"mutuality": float(np.isin(back, codes).mean())}


@component("measure", "components")
@dataclasses.dataclass(frozen=True)
class Components(Measure):
    """Into how many parts the graph falls, and which share of agents the largest holds.

    Directions are ignored, so these are weak components.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Number of parts, share of the largest, number of agents without any tie."""
        net = net_of(record)
        if net.pairs is None or not net.num:
            alone = int(net.num == 1)
            share = 1.0 if net.num else float("nan")
            return {"components": int(net.num > 0), "largest_component": share, "isolates": alone}
        number, label = csgraph.connected_components(net.matrix(), directed=False)
        sizes = np.bincount(label)
        return {
            "components": int(number),
            "largest_component": float(sizes.max() / net.num),
            "isolates": int((sizes == 1).sum()),
        }


def _kinds(record: Record, by: Kind) -> np.ndarray:
    """[n] number of the kind of each of the living."""
    return _kinds_of_slots(record.groups, np.asarray(record.types), by)[
        np.asarray(record.alive, bool)
    ]


def _kinds_of_slots(groups: tuple[GroupSlice, ...], types: np.ndarray, by: Kind) -> np.ndarray:
    """[N] kind of each slot; strategies of one name are one kind, in whatever group.

    Groups without named strategies are kinds of their own.
    """
    names: dict[str, int] = {}
    kinds = np.zeros(len(types), np.int64)
    for group in groups:
        rows = slice(group.start, group.stop)
        if by == "group" or not group.type_names:
            kinds[rows] = names.setdefault(f"group {group.name}", len(names))
            continue
        codes = np.array([names.setdefault(name, len(names)) for name in group.type_names])
        kinds[rows] = codes[types[rows]]
    return kinds


def _mixing(net: Net, kinds: np.ndarray) -> np.ndarray:
    """[K, K] share of arcs from one kind (row) to another (column); NaN without arcs."""
    num_kinds = int(kinds.max()) + 1 if len(kinds) else 1
    if net.pairs is None:
        count = np.bincount(kinds, minlength=num_kinds).astype(np.float64)
        arcs = np.outer(count, count) - np.diag(count)
    else:
        ends = kinds[net.rows]
        flat = np.bincount(ends[:, 0] * num_kinds + ends[:, 1], minlength=num_kinds**2)
        arcs = flat.reshape(num_kinds, num_kinds).astype(np.float64)
    total = arcs.sum()
    return arcs / total if total else np.full_like(arcs, np.nan)


def _assortativity(share: np.ndarray) -> float:
    expected = (share.sum(1) * share.sum(0)).sum()
    if not np.isfinite(expected) or expected > 1 - 1e-12:
        return float("nan")
    return float((np.trace(share) - expected) / (1 - expected))


def _degree_correlation(net: Net) -> float:
    if net.pairs is None or not len(net.pairs):
        return float("nan")
    out, into = net.degrees()
    rows = net.rows
    sender, receiver = out[rows[:, 0]].astype(float), into[rows[:, 1]].astype(float)
    spread = sender.std() * receiver.std()
    if spread < 1e-12:
        return float("nan")
    return float(((sender - sender.mean()) * (receiver - receiver.mean())).mean() / spread)


def _triangles(net: Net) -> np.ndarray:
    """[n] triangles that each agent is part of.

    Each triangle is found once, from its member with the lowest degree: two of the others
    that it is tied to, if they are tied. So hubs cost little.

    Source: Schank and Wagner (2005), "Finding, counting and listing all triangles in large
    graphs", doi:10.1007/11427186_54 (algorithm forward).
    """
    assert net.pairs is not None
    pairs = np.sort(net.pairs, axis=1)
    degree = np.bincount(pairs.ravel(), minlength=net.num)
    place = np.empty(net.num, np.int64)
    place[np.argsort(degree, kind="stable")] = np.arange(net.num)
    ends = place[pairs]
    low, high = np.minimum(ends[:, 0], ends[:, 1]), np.maximum(ends[:, 0], ends[:, 1])
    codes = np.unique(low * net.num + high)
    low, high = np.divmod(codes, net.num)
    sizes = np.bincount(low, minlength=net.num).astype(np.int64)
    wedges = int((sizes * (sizes - 1) // 2).sum())
    count = np.zeros(net.num, np.int64)
    # Most wedges are open: a table of hashes rules them out before the search in the list.
    bits = min(max(int(16 * len(codes)).bit_length(), 4), 28)
    seen = np.zeros(1 << bits, bool)
    seen[_hash(codes, bits)] = True
    for start in range(0, wedges, WEDGES):
        index = np.arange(start, min(start + WEDGES, wedges))
        later, earlier = pairs_in_blocks(index, sizes).T
        wanted = high[earlier] * net.num + high[later]
        likely = np.flatnonzero(seen[_hash(wanted, bits)])
        later, earlier, wanted = later[likely], earlier[likely], wanted[likely]
        spot = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
        closed = codes[spot] == wanted
        for corner in (low[later[closed]], high[later[closed]], high[earlier[closed]]):
            count += np.bincount(corner, minlength=net.num)
    return count[place]


def _hash(codes: np.ndarray, bits: int) -> np.ndarray:
    """Multiplicative hash to ``bits`` bits (Knuth)."""
    mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mixed >> np.uint64(64 - bits)


def _rewired(net: Net, number: int) -> list[Net]:
    if net.pairs is None or len(net.pairs) < 2:
        return [net] * number
    return [
        net._replace(
            pairs=swap_ends(
                graph_rng(index, "null"), net.pairs, net.num, directed=net.directed
            ).astype(np.int64)
        )
        for index in range(number)
    ]

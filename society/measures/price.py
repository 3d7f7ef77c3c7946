"""The Price equation: what changes by selection, and what otherwise."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.measures.counting import Kinds, kinds_of, labels_of, sum_by_kind
from worlds.registry import component
from worlds.types import Array

__all__ = ["Partition", "PriceEquation", "price_equation", "price_multilevel"]


class Partition(NamedTuple):
    """The change of a mean trait, as a sum of two parts.

    selection: Cov(w, z) / mean w. transmission: E(w dz) / mean w. change: their sum, the mean
    trait of offspring (weighted by descent) minus that of parents.
    """

    selection: float
    transmission: float
    change: float


def price_equation(fitness: np.ndarray, trait: np.ndarray, passed: np.ndarray) -> Partition:
    """Split the change of a mean trait into selection and transmission; exact.

    mean(w) * change = Cov(w, z) + E(w (z' - z)).

    Args:
      fitness: [N] w, offspring of each parent, sum above 0.
      trait: [N] z of the parents. passed: [N] z', mean trait of each parent's offspring
        (any number where it has none).

    Source: Price (1970), doi:10.1038/227520a0.
    """
    w, z = np.asarray(fitness, np.float64), np.asarray(trait, np.float64)
    mean = w.mean()
    if not mean > 0:
        raise ValueError("the Price equation needs offspring; all fitness is 0")
    moved = np.where(w > 0, np.asarray(passed, np.float64) - z, 0.0)
    selection = float((w * z).mean() - mean * z.mean()) / mean
    transmission = float((w * moved).mean()) / mean
    return Partition(selection, transmission, selection + transmission)


def price_multilevel(
    fitness: np.ndarray, trait: np.ndarray, group: np.ndarray
) -> tuple[float, float]:
    """Return selection between groups and within them; they add up to Cov(w, z) / mean w.

    Args:
      fitness: [N] w. trait: [N] z. group: [N] labels.

    Source: Price (1972), doi:10.1111/j.1469-1809.1957.tb01874.x.
    """
    w, z, group = np.asarray(fitness, float), np.asarray(trait, float), np.asarray(group)
    mean, between, within = w.mean(), 0.0, 0.0
    for label in np.unique(group):
        mine = group == label
        share, w_mean, z_mean = mine.mean(), w[mine].mean(), z[mine].mean()
        between += share * (w_mean - mean) * (z_mean - z.mean())
        within += share * float((w[mine] * z[mine]).mean() - w_mean * z_mean)
    return between / mean, within / mean


class _Tally(NamedTuple):
    """kinds. generation: of the running sums. counts, earned: [K] of that generation.

    sums: [3, K] selection, rest and change, summed over finished generations. number: of those.
    """

    kinds: Kinds
    generation: Array
    counts: Array
    earned: Array
    sums: Array
    number: Array


@component("measure", "price_equation")
@dataclasses.dataclass(frozen=True)
class PriceEquation(Measure):
    """Price equation: how much of each strategy's change its payoffs explain.

    The trait is holding a strategy k: its share q_k changes from one generation to the next
    by ``change.NAME`` = ``selection.NAME`` + ``rest.NAME``. Selection is Cov(w, z) / mean w =
    q_k (f_k / mean f - 1) with f the reward of a generation, as if offspring were in
    proportion to it; the rest is drift, mutation, and the rule's own departure from that.
    Values are means over generations. Generations whose mean reward is not above 0 are left
    out, and so is what happens to a strategy in the last one.
    Source: Price (1970), doi:10.1038/227520a0; Robertson (1966).
    """

    streams = True

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Tally:
        """No generation has ended."""
        kinds = kinds_of(groups)
        zero = jnp.zeros(kinds.blank.shape[0], jnp.float32)
        sums = jnp.zeros((3, kinds.blank.shape[0]), jnp.float32)
        return _Tally(kinds, jnp.int32(-1), zero, zero, sums, jnp.int32(0))

    def update(self, acc: _Tally, moment: Moment) -> _Tally:
        """Add one step's rewards; at the first step of a generation, close the one before."""
        alive = moment.observation.alive
        counts = sum_by_kind(acc.kinds, moment.types, alive).astype(jnp.float32)
        reward = jnp.where(alive, moment.transition.reward, 0.0)
        begins = moment.generation != acc.generation
        acc = _close(acc, counts, begins & (acc.generation >= 0))
        earned = _float_by_kind(acc.kinds, moment.types, reward)
        return acc._replace(
            generation=moment.generation,
            counts=jnp.where(begins, counts, acc.counts),
            earned=jnp.where(begins, earned, acc.earned + earned),
        )

    def finish(self, acc: _Tally, record: Record) -> dict[str, Any]:
        """Means over generations, by strategy."""
        number = int(acc.number)
        sums = np.asarray(acc.sums, np.float64)
        means = sums / number if number else np.full_like(sums, np.nan)
        names = ("selection", "rest", "change")
        return {
            f"{name}.{label}": float(means[row, place])
            for row, name in enumerate(names)
            for place, label in enumerate(labels_of(record.groups))
        }


def _close(acc: _Tally, after: Array, closes: Array) -> _Tally:
    """Add the partition of a generation that has ended."""
    before = acc.counts / jnp.maximum(acc.counts.sum(), 1.0)
    now = after / jnp.maximum(after.sum(), 1.0)
    total = acc.earned.sum()
    counted = closes & (total > 0)
    # q_k (f_k / mean f - 1) = share of all earnings - share of all individuals.
    selection = acc.earned / jnp.where(total > 0, total, 1.0) - before
    change = now - before
    parts = jnp.stack([selection, change - selection, change])
    return acc._replace(
        sums=acc.sums + jnp.where(counted, parts, 0.0),
        number=acc.number + counted.astype(jnp.int32),
    )


def _float_by_kind(kinds: Kinds, types: Array, values: Array) -> Array:
    kind = types + kinds.offset
    return jnp.stack(
        [jnp.where(kind == index, values, 0.0).sum() for index in range(kinds.blank.shape[0])]
    )

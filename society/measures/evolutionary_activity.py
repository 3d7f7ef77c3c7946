"""Evolutionary activity: which lineages persist because they are used, beyond drift."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from society.phylogeny import Pedigree
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Activity", "EvolutionaryActivity", "activity_of", "clades", "neutral_shadow"]


@dataclasses.dataclass(frozen=True)
class Activity:
    """Activity statistics at sampled ticks.

    ticks: [T]. diversity: [T] components that live. total: [T] summed activity.
    new: [T] activity of components that cross the threshold then, per living component.
    """

    ticks: np.ndarray
    diversity: np.ndarray
    total: np.ndarray
    new: np.ndarray


def clades(pedigree: Pedigree, every: int) -> np.ndarray:
    """[B] int component of each: who founded a line that is followed.

    A line begins with each founder and with each individual whose depth is a multiple of
    ``every`` births; descendants belong to their nearest such ancestor.
    """
    depth, parent = pedigree.depth(), pedigree.row_of(pedigree.parent)
    component_of = np.arange(len(pedigree))
    for row in range(len(pedigree)):
        if parent[row] >= 0 and depth[row] % every:
            component_of[row] = component_of[parent[row]]
    return component_of


def activity_of(
    pedigree: Pedigree, *, end: int, samples: int = 100, every: int = 4, threshold: float = 0.0
) -> Activity:
    """Activity of components: how long each has lived, in individuals times ticks.

    A component's activity grows at every tick by the number of its living members and counts
    as long as some live. ``new`` is activity that crosses ``threshold`` between samples.

    Source: Bedau, Snyder & Packard (1998), "A classification of long-term evolutionary
    dynamics", Artificial Life VI; components here are clades, as genomes are continuous.
    """
    component_of = clades(pedigree, every)
    names, index = np.unique(component_of, return_inverse=True)
    ticks = np.linspace(0, end, samples + 1).astype(int)[1:]
    died = np.where(pedigree.alive, end + 1, pedigree.died)
    diversity, total, new = np.zeros(samples), np.zeros(samples), np.zeros(samples)
    before = np.zeros(len(names))
    for number, tick in enumerate(ticks):
        lived = np.clip(np.minimum(died, tick) - pedigree.born, 0, None)
        activity = np.bincount(index, lived, len(names))
        here = (pedigree.born <= tick) & (died > tick)
        living = np.bincount(index[here], minlength=len(names)) > 0
        crossed = living & (before <= threshold) & (activity > threshold)
        diversity[number] = living.sum()
        total[number] = activity[living].sum()
        new[number] = activity[crossed].sum() / max(living.sum(), 1)
        before = activity
    return Activity(ticks, diversity, total, new)


def neutral_shadow(pedigree: Pedigree, *, end: int, seed: int = 0) -> Pedigree:
    """The same births and deaths at the same ticks, of individuals chosen at random.

    Who reproduces and who dies is drawn among those who live, so persistence in the shadow
    is drift alone; what exceeds it in the real pedigree is adaptation (or hitch-hiking).
    Source: Bedau, Snyder & Packard (1998); Rechtsteiner & Bedau (1999), "A generic neutral
    model for quantitative comparison of genotypic evolutionary activity".
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(pedigree.born, kind="stable")
    deaths = np.sort(pedigree.died[~pedigree.alive])
    parent = np.full(len(pedigree), -1, np.int64)
    died = np.full(len(pedigree), -1, np.int64)
    living: list[int] = []
    place = 0
    for row in order.tolist():
        while place < len(deaths) and deaths[place] < pedigree.born[row] and len(living) > 1:
            died[living.pop(int(rng.integers(len(living))))] = deaths[place]
            place += 1
        if pedigree.parent[row] >= 0 and living:
            parent[row] = pedigree.uid[living[int(rng.integers(len(living)))]]
        living.append(row)
    for tick in deaths[place:].tolist():
        if living:
            died[living.pop(int(rng.integers(len(living))))] = tick
    return dataclasses.replace(pedigree, parent=parent, died=died)


@component("measure", "evolutionary_activity")
@dataclasses.dataclass(frozen=True)
class EvolutionaryActivity(Measure):
    """Evolutionary activity: persistence of clades, beside a neutral shadow.

    Components are clades of ``every`` births' depth. Means over the second half of the run:
    ``activity_diversity`` clades alive, ``activity_mean`` activity for each of them,
    ``activity_new`` activity of those that exceed what 95 % of the shadow's clades reach.
    ``..._shadow`` are the same of the shadow, and ``activity_excess`` is the ratio of means.
    Source: Bedau, Snyder & Packard (1998); see ``activity_of`` and ``neutral_shadow``.
    """

    every: int = doc_field(4, "births between two followed ancestors", ge=1)
    samples: int = doc_field(100, "moments at which activity is looked at", ge=2)

    def check(self, world: Any, groups: Any) -> None:
        """Steps must give birth."""
        if not world.births:
            raise ValueError("evolutionary_activity needs a world that gives birth, as life")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Both pedigrees, and their comparison."""
        pedigree: Pedigree = record.pedigree
        end = max(int(pedigree.born.max(initial=1)), int(pedigree.died.max(initial=1)), 1)
        shadow = neutral_shadow(pedigree, end=end)
        common = {"end": end, "samples": self.samples, "every": self.every}
        reached = _reached(shadow, end, self.every)
        real = activity_of(pedigree, threshold=reached, **common)
        null = activity_of(shadow, threshold=reached, **common)
        found: dict[str, Any] = {}
        for name, activity in (("", real), ("_shadow", null)):
            half = slice(self.samples // 2, None)
            mean = activity.total[half] / np.maximum(activity.diversity[half], 1)
            found[f"activity_diversity{name}"] = float(activity.diversity[half].mean())
            found[f"activity_mean{name}"] = float(mean.mean())
            found[f"activity_new{name}"] = float(activity.new[half].mean())
        shadowed = found["activity_mean_shadow"]
        found["activity_excess"] = found["activity_mean"] / shadowed if shadowed else float("nan")
        return found


def _reached(shadow: Pedigree, end: int, every: int) -> float:
    """The activity that 95 % of the shadow's clades end below."""
    component_of = clades(shadow, every)
    died = np.where(shadow.alive, end, shadow.died)
    activity = np.bincount(component_of, np.clip(died - shadow.born, 0, None))
    return float(np.quantile(activity[np.unique(component_of)], 0.95)) if len(activity) else 0.0

"""Worlds side by side: the population, the world and the measures of ``num_envs``."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.population import Group, Population
from worlds.many import ManyWorlds, split_rows

__all__ = ["EachWorld", "each_world", "many_worlds", "refuse_unfit", "repeated"]


def refuse_unfit(scenario: Any, population: Population) -> None:
    """Refuse what has no meaning in worlds that feed one learner.

    Raises:
      ScenarioError: Which key, and what to do.
    """
    if scenario.num_envs == 1:
        return
    reasons = {
        "channels": bool(scenario.channels),
        "selection": scenario.selection is not None and scenario.selection.use != "none",
        "interventions": bool(scenario.interventions),
        "graph": scenario.graph is not None and scenario.graph.rewire is not None,
    }
    for key, given in reasons.items():
        if given:
            raise scenario.error(
                key,
                f"num_envs: {scenario.num_envs} runs worlds side by side, which share no {key}; "
                "use num_envs: 1, or seeds for replicates",
            )
    for group in population.groups:
        path = f"groups.{group.name}"
        if group.is_text:
            raise scenario.error(
                f"{path}.policy",
                f"a language agent lives in one world, not in {scenario.num_envs} side by side; "
                "use num_envs: 1, or train first and use policy: {use: trained, from: ...}",
            )
        if group.size > group.count:
            raise scenario.error(
                f"{path}.capacity", "spare slots need births, which num_envs: 1 has"
            )


def repeated(population: Population, num_envs: int) -> Population:
    """The population of E worlds: every group E times as large, still contiguous."""
    if num_envs == 1:
        return population
    groups: list[Group] = []
    start = 0
    for group in population.groups:
        size = group.size * num_envs
        columns = {name: np.tile(column, num_envs) for name, column in group.columns.items()}
        placed = {"start": start, "stop": start + size, "count": size, "columns": columns}
        groups.append(dataclasses.replace(group, **placed))
        start += size
    return Population(tuple(groups))


def many_worlds(world: Any, population: Population, num_envs: int, restart: bool) -> Any:
    """The world, or E of it as one; ``population`` is that of the single world."""
    if num_envs == 1:
        return world
    many = ManyWorlds(
        world=world,
        num_envs=num_envs,
        restart=restart and world.ends_early,
        group_sizes=tuple(group.size for group in population.groups),
        num_slots=population.num_slots * num_envs,
        graph=None,
        present=None,
    )
    many.check_params()
    return many


def each_world(measures: dict[str, Measure], world: Any, population: Population) -> Any:
    """Measures as they are taken where worlds lie side by side."""
    if not isinstance(world, ManyWorlds):
        return measures
    slices = population.slices()
    return {
        name: EachWorld(measure, slices, world.num_envs, measure.streams)
        for name, measure in measures.items()
    }


@dataclasses.dataclass(frozen=True)
class EachWorld(Measure):
    """A measure of one world, taken in each of E; numbers are means over them.

    slices: the groups of the single world.
    """

    inner: Measure
    slices: tuple[GroupSlice, ...]
    num_envs: int
    streams: bool = False  # type: ignore[misc]

    @property
    def needs_reward(self) -> bool:  # type: ignore[override]
        """As the measure."""
        return self.inner.needs_reward

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> Any:
        """One accumulator for each world, leaves [E, ...]."""
        one = jax.tree.map(jnp.asarray, self.inner.begin(world.single(), self.slices))
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (world.num_envs, *leaf.shape)), one)

    def update(self, acc: Any, moment: Moment) -> Any:
        """Add one step in each world."""
        sizes = tuple(one.stop - one.start for one in self.slices)
        metrics = moment.transition.metrics
        rows = (
            moment.observation,
            moment.action,
            moment.transition._replace(metrics={}),
            moment.types,
        )
        rows = jax.tree.map(lambda leaf: split_rows(leaf, sizes, self.num_envs), rows)

        def one(acc: Any, rows: Any) -> Any:
            seen, action, transition, types = rows
            moved = transition._replace(metrics=metrics)
            clock = (moment.generation, moment.episode, moment.step)
            return self.inner.update(acc, Moment(seen, action, moved, types, *clock))

        return jax.vmap(one)(acc, rows)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Means of numbers over worlds; of anything else, what the first world has."""
        world: ManyWorlds = record.world
        host = jax.device_get(acc)
        found = [self._finish_one(host, record, world, copy) for copy in range(world.num_envs)]
        return {name: _mean([one[name] for one in found]) for name in found[0]}

    def _finish_one(self, acc: Any, record: Record, world: ManyWorlds, copy: int) -> dict[str, Any]:
        rows = {"alive": record.alive, "types": record.types, "fitness": record.fitness}
        outcome = {
            name: np.asarray(world.split(value))[copy]
            if np.shape(value)[:1] == record.alive.shape
            else value
            for name, value in record.outcome.items()
        }
        one = dataclasses.replace(
            record,
            world=world.single(),
            groups=self.slices,
            outcome=outcome,
            **{name: np.asarray(world.split(value))[copy] for name, value in rows.items()},
        )
        return self.inner.finish(jax.tree.map(lambda leaf: leaf[copy], acc), one)


def _mean(values: list[Any]) -> Any:
    numbers = [value for value in values if isinstance(value, int | float | np.number)]
    if len(numbers) == len(values) and not isinstance(values[0], bool):
        return float(np.mean([float(value) for value in values]))
    if isinstance(values[0], np.ndarray) and values[0].dtype.kind in "iuf":
        return np.mean([np.asarray(value, float) for value in values], axis=0)
    return values[0]

"""The society's half of archetypes: when their tables are made anew, and from what.

A table is due in step 0 of a generation and every ``every`` steps after, so that what is
asked depends on the clock alone. It is made once an episode has begun and after
interventions of that step. The tables are part of the carry, so a checkpoint holds them;
what everybody has heard follows from the schedule of interventions.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society.carry import Carry, placed
from society.interventions import Broadcast, Scheduled
from society.journal_rows import StoredEvent
from society.plan import Place, Plan
from society.population import Group, Population
from worlds.types import Observation

__all__ = ["Refresh", "archetypes_of", "next_refresh", "refresh", "seat_archetypes"]


@dataclasses.dataclass(frozen=True)
class Refresh:
    """What came of a refresh: the carry with new tables, rows to journal, questions asked."""

    carry: Carry
    events: list[StoredEvent]
    asked: int


def archetypes_of(population: Population) -> tuple[Any, ...]:
    """Groups of array minds that ask a language model."""
    return tuple(group for group in population.groups if getattr(group.policy, "asks", False))


def seat_archetypes(population: Population, world: Any) -> Population:
    """The population with archetypes that know their members."""
    if not archetypes_of(population):
        return population
    groups = []
    for group in population.groups:
        if getattr(group.policy, "asks", False):
            policy: Any = group.policy
            group = dataclasses.replace(group, policy=policy.seated(group.seats(world)))
        groups.append(group)
    return dataclasses.replace(population, groups=tuple(groups))


def next_refresh(population: Population, plan: Plan, tick: int) -> list[int]:
    """For each such group, the next tick after ``tick`` at which its table is due."""
    begins = plan.generation(tick) * plan.ticks_per_generation
    within = tick - begins
    next_ones = [
        begins + (within // group.policy.every + 1) * group.policy.every
        for group in archetypes_of(population)
    ]
    return [min(after, plan.next_generation(tick)) for after in next_ones]


async def refresh(
    simulation: Any,
    carry: Carry,
    *,
    tick: int,
    replicate: int,
    observe: Callable[[], Any],
    asker: Callable[[Place, str], Any],
    gather: Callable[[list[Any]], Any],
) -> Refresh | None:
    """Make the tables anew that are due before a tick; None where none is.

    Args:
      simulation: what runs. carry: with the episode begun. tick, replicate: now.
      observe: awaits the observation on the device.
      asker: (place, backend) -> Ask of nobody in particular.
      gather: runs coroutines side by side.
    """
    plan, population = simulation.plan, simulation.population
    within = tick % plan.ticks_per_generation
    due = [
        (index, group)
        for index, group in enumerate(population.groups)
        if getattr(group.policy, "asks", False) and within % group.policy.every == 0
    ]
    if not due:
        return None
    place = Place(int(carry.generation), int(carry.episode), int(carry.step))
    observation = await observe()
    world = jax.device_get(placed(carry))
    news = _heard(simulation.interventions, plan, tick)
    minds, events, asked = list(carry.minds), [], 0
    for index, group in due:
        policy, framing = group.policy, simulation.framing(group)
        row = _row(observation, group)
        prompts = list(policy.prompts(group, row, partial(simulation.caption_in, world), framing))
        backend = policy.backend or simulation.default_backend
        heard = news[max(0, len(news) - policy.news) :]
        noop = int(np.asarray(world.noop())[group.start])
        answers = await gather(
            [
                policy.ask(asker(place, backend), prompt, _purpose(group, prompt), heard, noop)
                for prompt in prompts
            ]
        )
        table = policy.table(prompts, answers)
        asked += len(prompts)
        minds[index] = minds[index]._replace(params={"table": jnp.asarray(table)})
        events += _rows(replicate, place, index, group, prompts, answers, table)
    return Refresh(carry._replace(minds=tuple(minds)), events, asked)


def _purpose(group: Group, prompt: Any) -> str:
    return f"archetype/{group.name}/{prompt.archetype}/{prompt.situation}/{prompt.copy}"


def _heard(interventions: tuple[Scheduled, ...], plan: Plan, tick: int) -> list[str]:
    """Texts broadcast in this generation until now, oldest first."""
    begins = plan.generation(tick) * plan.ticks_per_generation
    told = [
        (at, order, event.what.text)
        for order, event in enumerate(interventions)
        if isinstance(event.what, Broadcast)
        for at in event.ticks
        if begins <= at <= tick
    ]
    return [text for _, _, text in sorted(told)]


def _row(observation: Observation, group: Group) -> Any:
    """What a member sees: of somebody whose turn it is, where there is one."""
    acting = np.asarray(observation.acting[group.rows])
    slot = group.start + int(acting.argmax())
    return jax.tree.map(lambda leaf: np.asarray(leaf[slot]), observation.view)


def _rows(
    replicate: int,
    place: Place,
    index: int,
    group: Any,
    prompts: list[Any],
    answers: list[Any],
    table: np.ndarray,
) -> list[StoredEvent]:
    """The table as an event, and each question that could not be answered as a fallback."""
    rounded = np.round(table.astype(float), 6).tolist()
    data = {"group": group.name, "kinds": [list(k) for k in group.policy.kinds], "table": rounded}
    rows = [StoredEvent(replicate, *place.clock, "archetype", -1, index, data)]
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        if answer.problem:
            data = {
                "group": group.name,
                "archetype": list(group.policy.kinds[prompt.archetype]),
                "situation": prompt.situation,
                "problem": answer.problem,
            }
            ordinal = index * 1_000_000 + number
            rows.append(StoredEvent(replicate, *place.clock, "fallback", -1, ordinal, data))
    return rows

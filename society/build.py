"""Scenario -> Simulation: everything that can be wrong is found here, before anything slow."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from society import culture
from society.apprentices import make_learners, with_past_selves
from society.archetypes import archetypes_of, seat_archetypes
from society.attributes import group_columns
from society.carry import Carry, Parts, placed, results_of
from society.channels import channel_plan
from society.components import Component
from society.contract import Measure, Selection
from society.engine import Engine
from society.envs import each_world, many_worlds, refuse_unfit, repeated
from society.graphs import build_graph, edit
from society.graphs.attachment import AttachRule
from society.graphs.rewiring import RewireRule, Situation
from society.hosted import HostCaption, Hosted, has_places, hosted
from society.interventions import Scheduled, ticks_of
from society.newborns import check_births, ticks_that_fit
from society.newcomers import make_attach
from society.plan import Plan
from society.population import Group, Population
from society.recording import check_record, columns_of
from society.scenario import Scenario
from society.surveys import Survey, make_surveys
from society.ties import TIE_CHANGES, attaches, check_ties, make_rewiring, ties_change
from society.transmission import Copy
from worlds.captions import Caption, Framing
from worlds.policy import ArrayPolicy, TextPolicy
from worlds.tree import as_arrays
from worlds.types import Graph

__all__ = ["Simulation", "build", "roots", "situation_of"]

CHUNK_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Simulation:
    """A scenario, ready to run: its structure, components, and what replicates start from.

    world: without its graph. graphs: one for each replicate, in arrays of equal shapes.
    measures: name -> component, in the order of ``engine.measures``.
    """

    scenario: Scenario
    plan: Plan
    population: Population
    engine: Engine
    parts: Parts
    world: Any
    measures: Mapping[str, Measure]
    interventions: tuple[Scheduled, ...]
    graphs: tuple[Graph, ...]
    rewiring: RewireRule | None = None
    surveys: tuple[Survey, ...] = ()
    attach: AttachRule | None = None
    mail_channels: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """One replicate for each."""
        return self.scenario.seed_list

    @property
    def default_backend(self) -> str:
        """The backend of language policies that name none."""
        own = self.scenario.backend or self.scenario.backend_component()
        return own.name or own.use

    @property
    def backend_names(self) -> list[str]:
        """Every backend that some group asks."""
        asking = (*self.population.text_groups, *archetypes_of(self.population))
        names = [getattr(group.policy, "backend", None) or self.default_backend for group in asking]
        if isinstance(self.world, Hosted) and self.world.asks:
            names.append(self.default_backend)
        return list(dict.fromkeys(names))

    @property
    def has_text(self) -> bool:
        """True where some minds read and write."""
        return bool(self.population.text_groups)

    @property
    def has_language(self) -> bool:
        """True where replicates wait for the host: text minds, archetypes, worlds of texts."""
        asking = self.has_text or bool(archetypes_of(self.population))
        return asking or isinstance(self.world, Hosted)

    def caption_in(self, world: Any, framing: Framing) -> Caption:
        """The caption of the world as a framing tells it."""
        return make_caption(world, framing)

    def caption(self, world: Any, group: Group) -> Caption:
        """The caption through which a group's minds read the world."""
        return make_caption(world, self.framing(group))

    def framing(self, group: Group) -> Framing:
        """The group's own framing, or the scenario's."""
        own = getattr(group.policy, "framing", None)
        return own if isinstance(own, Framing) else self.scenario.framing


def build(scenario: Scenario) -> Simulation:
    """Compose a simulation.

    Raises:
      ScenarioError: Something does not fit; the message says what, where, and what does.
    """
    with scenario.locating("groups"):
        single = with_past_selves(scenario, make_population(scenario))
    population = repeated(single, scenario.num_envs)
    with scenario.locating("world"):
        alone = make_world(scenario, single)
        world = many_worlds(alone, single, scenario.num_envs, scenario.steps is not None)
        if world.backend == "host":
            world = hosted(world, population)
        plan = make_plan(scenario, world)
        world = culture.lifetime_known(world, plan.ticks_per_generation)
    refuse_unfit(scenario, single)
    with scenario.locating("channels"):
        channels, mail_channels, talk_turns = channel_plan(
            scenario.channels, population, places=has_places(world)
        )
        plan = dataclasses.replace(plan, talk_turns=talk_turns)
    rewiring = make_rewiring(scenario, world)
    interventions = make_interventions(scenario, plan, world, population, mail_channels)
    dynamic = ties_change(rewiring, interventions) or attaches(scenario)
    graphs = make_graphs(scenario, single, dynamic=dynamic)
    seen = as_arrays(with_graph(world, graphs[0]))
    check_ties(scenario, plan, population, seen, rewiring, interventions)
    _check_policies(scenario, population, seen)
    population = seat_archetypes(population, seen)
    selection = make_selection(scenario, world)
    transmission = (
        scenario.transmission.build() if scenario.transmission else Copy(mutation=None, sd=None)
    )
    with scenario.locating("transmission"):
        transmission.check([group.policy for group in population.groups])
    measures = each_world(make_measures(scenario, alone, single, channels), world, single)
    with scenario.locating("selection"):
        check_births(world, selection is not None and plan.generations > 1)
    fitness = (selection.fitness if selection is not None else "") or world.fitness
    parts = Parts(
        policies=tuple(None if group.is_text else group.policy for group in population.groups),
        selection=selection,
        transmission=transmission,
        channels=channels,
        learners=make_learners(scenario, population, seen),
    )
    engine = Engine(
        plan=plan,
        population=population,
        fitness=fitness,
        spaces=tuple(
            (seen.action_space(group.start), seen.observation_space(group.start))
            for group in population.groups
        ),
        needs_reward=fitness == "reward"
        or any(getattr(measure, "needs_reward", False) for measure in measures.values()),
        may_freeze=world.ends_early,
        selects=selection is not None and plan.generations > 1,
        fixed=selection is None and not scenario.interventions and not world.births,
        measures=tuple(measures.values()),
        capacity=_capacity(plan, population, len(scenario.seed_list), selection, world.births),
    )
    simulation = Simulation(
        scenario=scenario,
        plan=plan,
        population=population,
        engine=engine,
        parts=as_arrays(parts),
        world=as_arrays(world),
        measures=measures,
        interventions=interventions,
        mail_channels=mail_channels,
        graphs=graphs,
        rewiring=rewiring,
        attach=make_attach(scenario, selection),
    )
    _check_fitness(simulation, scenario)
    surveys = make_surveys(
        scenario, plan, population, lambda group: simulation.caption(seen, group)
    )
    simulation = dataclasses.replace(simulation, surveys=surveys) if surveys else simulation
    if scenario.record.fields or scenario.record.frames_every:
        check_record(scenario, world, columns_of(simulation))
    return simulation


def make_population(scenario: Scenario) -> Population:
    """Place the groups in slot order and draw their attributes."""
    groups: list[Group] = []
    start = 0
    for name, spec in scenario.groups.items():
        with scenario.locating(f"groups.{name}.policy"):
            policy = spec.policy.build()
            if spec.policy.use == "trained":
                from society.trained import fill_in

                policy = fill_in(scenario, policy)
        count = scenario.counts[name]
        size = max(count, spec.capacity or 0)
        rng = np.random.default_rng([scenario.attribute_seed, start])
        groups.append(
            Group(
                name=name,
                policy=policy,
                start=start,
                stop=start + size,
                count=count,
                role=spec.role or "",
                every=int(getattr(policy, "every", 1) or 1),
                columns=group_columns(spec, size, rng),
            )
        )
        start += size
    groups = [group for group in groups if group.size]
    if not groups:
        raise ValueError("all groups are empty; give at least one group a count above 0")
    return Population(tuple(groups))


def make_world(scenario: Scenario, population: Population) -> Any:
    """Build the world around the population and check its parameters."""
    cls = scenario.world.load()
    fields = {field.name for field in dataclasses.fields(cls)}
    given = {
        "num_slots": population.num_slots,
        "num_players": population.num_players,
        "group_sizes": tuple(group.size for group in population.groups),
        "roles": tuple(group.role or group.name for group in population.groups),
    }
    if "names" in fields:
        given["names"] = tuple(
            str(population.attributes(slot).get("name") or f"Agent {slot}")
            for slot in range(population.num_slots)
        )
    if scenario.graph is None or scenario.graph.rule.use == "complete":
        given["graph"] = Graph(num_slots=population.num_slots, complete=True)
    world = scenario.world.build(**{name: given[name] for name in given if name in fields})
    world.check_params()
    return world


def make_plan(scenario: Scenario, world: Any) -> Plan:
    """The clock: steps or episodes, times generations."""
    episodes = scenario.episodes
    if scenario.steps is None and episodes is None:
        if world.horizon is None:
            raise ValueError(
                f"world {scenario.world.use!r} has no end; say how long a generation lasts "
                "with steps: (a number of steps)"
            )
        episodes = 1
    return Plan(
        generations=scenario.generations,
        episodes=episodes,
        steps=scenario.steps,
        horizon=world.horizon,
    )


def make_graphs(
    scenario: Scenario, population: Population, *, dynamic: bool = False
) -> tuple[Graph, ...]:
    """Ties among all slots, one graph a replicate; a complete graph stays implicit."""
    spec = scenario.graph
    if spec is None:
        return (Graph(num_slots=population.num_slots, complete=True),) * len(scenario.seed_list)
    with scenario.locating("graph"):
        rule = spec.rule.build()
        made = [
            build_graph(
                rule,
                population.num_slots,
                assign=spec.assign,
                seed=seed if spec.seed is None else spec.seed,
                columns=_all_columns(population),
                present=None if population.alive().all() else population.alive(),
                dynamic=dynamic,
            )
            for seed in scenario.seed_list
        ]
    return tuple(edit.align(made) if len(made) > 1 else made)


def with_graph(world: Any, graph: Graph) -> Any:
    """The world as a replicate with these ties sees it."""
    fields = {field.name for field in dataclasses.fields(world)}
    return dataclasses.replace(world, graph=graph) if "graph" in fields else world


def situation_of(simulation: Simulation, carry: Carry) -> Situation:
    """What rewiring may look at, between two ticks of one replicate."""
    world = placed(carry)
    defected = getattr(world, "defected", None)
    return Situation(
        alive=np.asarray(carry.alive),
        defected=None if defected is None else np.asarray(defected(carry.state)),
        types=np.asarray(simulation.engine.types(simulation.parts, carry.minds)),
        columns=_all_columns(simulation.population),
    )


def make_selection(scenario: Scenario, world: Any) -> Selection | None:
    """The selection rule fitted to the world, or None."""
    if scenario.selection is None or scenario.selection.use == "none":
        return None
    with scenario.locating("selection"):
        return scenario.selection.build().fitted(world)


def make_measures(
    scenario: Scenario, world: Any, population: Population, channels: Mapping[str, Any]
) -> dict[str, Measure]:
    """The world's own measures, then the scenario's; of two that are equal one counts."""
    slices = population.slices()
    found: dict[str, Measure] = {}
    for name in world.measures:
        measure = Component("measure", name).build()
        try:
            measure.check(world, slices)
        except ValueError:
            continue  # the world's own measures are taken where they apply
        found[name] = measure
    for index, spec in enumerate(scenario.measures):
        with scenario.locating(f"measures.{index}"):
            measure = spec.build()
            if hasattr(measure, "for_channels"):
                measure = measure.for_channels(channels)
            measure.check(world, slices)
            fresh = found.get(spec.use) in (None, measure)
            found[spec.use if fresh else f"{spec.use}_{index}"] = measure
    return found


def make_interventions(
    scenario: Scenario,
    plan: Plan,
    world: Any,
    population: Population,
    mail_channels: Mapping[str, Any],
) -> tuple[Scheduled, ...]:
    """Interventions with the ticks at which they happen."""
    scheduled = []
    for name, spec in scenario.interventions.items():
        with scenario.locating(f"interventions.{name}"):
            what = spec.component.build()
            what.check(as_arrays(world), population, tuple(mail_channels))
            graph = scenario.graph
            complete = graph is None or graph.rule.use == "complete"
            if complete and isinstance(what, TIE_CHANGES):
                raise ValueError(
                    f"{spec.component.use} changes ties, but everybody is tied to everybody; "
                    "give the scenario a graph other than complete"
                )
            ticks = ticks_of(spec.at, plan)
            scheduled.append(Scheduled(name, what, ticks, spec.who))
    return tuple(scheduled)


def make_caption(world: Any, framing: Framing) -> Caption:
    """Load and build the caption that a world declares."""
    if isinstance(world, Hosted):
        return HostCaption(world, framing)
    if world.caption is None:
        raise ValueError(
            f"world {type(world).__name__} has no caption, so language agents cannot play it"
        )
    module, _, name = world.caption.partition(":")
    caption = getattr(importlib.import_module(module), name)
    return caption(jax.tree.map(np.asarray, world), framing)


def _check_policies(scenario: Scenario, population: Population, world: Any) -> None:
    for group in population.groups:
        with scenario.locating(f"groups.{group.name}.policy"):
            if isinstance(group.policy, ArrayPolicy):
                group.policy.check(group.seats(world))
            elif isinstance(group.policy, TextPolicy):
                own = getattr(group.policy, "framing", None)
                make_caption(world, own if isinstance(own, Framing) else scenario.framing)
                check = getattr(group.policy, "check_params", None)
                if check is not None:
                    check()
            else:
                raise ValueError(f"{type(group.policy).__name__} is no ArrayPolicy or TextPolicy")


def _check_fitness(simulation: Simulation, scenario: Scenario) -> None:
    if simulation.parts.selection is None:
        return
    world = simulation.world
    engine = simulation.engine
    graph = simulation.graphs[0]
    carry = jax.eval_shape(engine.start, simulation.parts, world, graph, roots([0])[0])
    num = simulation.population.num_slots
    results = jax.eval_shape(lambda carry: results_of(simulation.plan, carry), carry)
    known = [name for name, value in results.items() if value.shape == (num,)] + ["reward"]
    if engine.fitness not in known:
        with scenario.locating("selection.fitness"):
            raise ValueError(
                f"{engine.fitness!r} is no result of this world; "
                f"possible: {', '.join(dict.fromkeys(known))}"
            )


def _capacity(
    plan: Plan,
    population: Population,
    replicates: int,
    selection: Selection | None,
    births: int,
) -> int:
    """Ticks of a chunk, so that what it leaves fits in memory."""
    row = 256
    if selection is not None and not selection.imitates:
        row += 12 * population.num_slots // plan.ticks_per_generation
    fits = CHUNK_BYTES // (row * replicates)
    ticks = int(np.clip(fits, 16, 4096))
    return ticks_that_fit(ticks, population.num_slots, replicates) if births else ticks


def _all_columns(population: Population) -> dict[str, np.ndarray]:
    names = {name for group in population.groups for name in group.columns}
    columns = {}
    for name in names:
        parts = [group.columns[name] for group in population.groups if name in group.columns]
        if len(parts) == len(population.groups):
            columns[name] = np.concatenate(parts)
    return columns


def roots(seeds: Sequence[int]) -> np.ndarray:
    """[R, 2] uint32 root keys: what ``jax.random.PRNGKey`` makes of each seed."""
    return np.asarray([(seed >> 32, seed & 0xFFFFFFFF) for seed in seeds], np.uint32)

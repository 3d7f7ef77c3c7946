"""Conformance kits for what the society floor composes: selection, transmission, measures.

Each ``check_*`` raises AssertionError with what was expected. They hold for every component
of this project and are meant for components of others.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Pool, Record, Selection, Transmission
from society.selection.pairs import births_among
from worlds.policy import ArrayPolicy
from worlds.random import fold, named
from worlds.types import Births, Graph, Percept, Seats
from worlds.world import World

__all__ = [
    "Lesson",
    "Play",
    "check_measure",
    "check_selection",
    "check_transmission",
    "learn_for",
    "play",
    "sample_pools",
]


class Play(NamedTuple):
    """One episode of an array world: what every step looked like, and the record of it."""

    moments: tuple[Moment, ...]
    record: Record


def sample_pools(size: int = 12) -> dict[str, Pool]:
    """Return pools of the kinds that a rule meets: some dead, tied, irregular, in groups."""
    rows = jnp.arange(size, dtype=jnp.int32)
    fitness = jnp.asarray((np.arange(size) * 7) % 5, jnp.float32)
    everybody, some = jnp.ones(size, bool), (rows % 4) != 1
    one, two = jnp.zeros(size, jnp.int32), (rows >= size // 2).astype(jnp.int32)
    types = rows % 3
    ring = np.stack([(np.arange(size) - 1) % size, (np.arange(size) + 1) % size], 1)
    return {
        "all alive": Pool(fitness, everybody, one, types),
        "some dead": Pool(fitness, some, one, types),
        "nobody alive": Pool(fitness, ~everybody, one, types),
        "one alive": Pool(fitness, rows == 3, one, types),
        "all equal": Pool(jnp.zeros(size), everybody, one, types),
        "negative": Pool(-1.0 - fitness, some, one, types),
        "two groups": Pool(fitness, some, two, types),
        "complete": Pool(fitness, some, one, types, Graph(num_slots=size, complete=True)),
        "ring": Pool(fitness, some, one, types, _graph(ring, regular=True, table=True)),
        "star": Pool(fitness, some, one, types, _star(size, table=False)),
        "star in a table": Pool(fitness, some, one, types, _star(size, table=True)),
    }


def check_selection(selection: Selection) -> None:
    """Check a selection rule on ``sample_pools``.

    Pairs have the right shapes; children and parents are alive, and neighbours where the
    rule looks along ties; nobody is replaced twice; the same key gives the same pairs, jitted
    or not; and further dead rows at the end change nothing.
    """
    assert selection.among in ("group", "neighbours", "population")
    assert isinstance(selection.fitness, str)
    key = jax.random.PRNGKey(7)
    dense: list[bool] = []

    @jax.jit
    def select(key: Any, pool: Pool) -> tuple[Any, Any]:
        births = selection.select(key, pool)
        dense.append(births.dense)
        return births.child, births.parent

    def made(key: Any, pool: Pool) -> Births:
        child, parent = select(key, pool)
        return Births(child, parent, dense[-1])

    pools = sample_pools()
    for name, pool in pools.items():
        if pool.graph is not None and selection.among != "neighbours":
            continue
        births = made(key, pool)
        assert len(set(dense)) == 1, f"{name}: births are dense only sometimes"
        _check_births(name, selection, pool, births)
    plain = selection.select(key, pools["some dead"])
    child, parent = select(key, pools["some dead"])
    np.testing.assert_array_equal(plain.child, child, "jit changes children")
    np.testing.assert_array_equal(plain.parent, parent, "jit changes parents")
    size = pools["some dead"].alive.shape[0]
    short = made(key, pools["some dead"])
    longer = made(key, _with_dead_rows(pools["some dead"], 5))
    assert _pairs(short, size) == _pairs(longer, size + 5), "more dead rows change a draw"


def check_transmission(transmission: Transmission, policy: ArrayPolicy, seats: Seats) -> None:
    """Check that transmission touches newcomers only, and passes texts of survivors on.

    Args:
      transmission: to check. policy: an array policy that can play. seats: at least 4 rows.
    """
    rows, key = seats.num, jax.random.PRNGKey(3)
    assert rows >= 4, "check_transmission needs seats for at least 4"
    mind = policy.init(key, seats)
    some = Births(jnp.array([1, 3, rows], jnp.int32), jnp.array([[0], [0], [-1]], jnp.int32))
    parent = jnp.arange(rows, dtype=jnp.int32).at[1].set(0).at[3].set(0)
    everyone = Births(jnp.arange(rows, dtype=jnp.int32), parent[:, None], True)
    for births in (some, everyone):
        heirs = transmission.pass_on(key, policy, mind, births, seats)
        assert jax.tree.structure(heirs) == jax.tree.structure(mind), "minds change their form"
        stay = np.array([row for row in range(rows) if row not in (1, 3)])
        for old, new in zip(jax.tree.leaves(mind), jax.tree.leaves(heirs), strict=True):
            assert old.shape == new.shape and old.dtype == new.dtype
            if old.ndim and old.shape[0] == rows:
                np.testing.assert_array_equal(old[stay], new[stay], "others' minds change")
    legacies = {0: "share", 2: "take", 5: "wait"}
    texts = transmission.texts(legacies, (0,))
    assert isinstance(texts, tuple) and set(texts) <= set(legacies.values())
    assert transmission.texts({}, (0,)) == (), "texts come from nowhere"


def play(world: World, policy: ArrayPolicy, *, steps: int | None = None, seed: int = 0) -> Play:
    """Play one episode of an array world with one policy for all slots, step by step.

    This is the loop at its plainest, for tests of measures; runs use ``society.engine``.
    """
    num, root = world.num_slots, jax.random.PRNGKey(seed)
    seats = Seats(num, 0, world, world.action_space(0), world.observation_space(0))
    policy.check(seats)
    mind = policy.init(named(root, "mind"), seats)
    state = world.init(named(root, "init"))
    total, moments = jnp.zeros(num), []
    length = world.horizon if steps is None else steps
    assert length is not None, "this world has no end; give steps"

    @jax.jit
    def tick(mind: Any, state: Any, index: Any) -> Any:
        seen = world.observe(state)
        first = jnp.broadcast_to(index == 0, (num,))
        percept = Percept(seen.view, seen.alive, seen.acting, first, seen.legal)
        decision = policy.act(fold(named(root, "act"), index), mind, percept)
        state, moved = world.step(fold(named(root, "world"), index), state, decision.action)
        return mind._replace(memory=decision.memory), state, seen, decision.action, moved

    types = policy.types(mind)
    types = jnp.zeros(num, jnp.int32) if types is None else types
    zero = jnp.int32(0)
    for index in range(length):
        mind, state, seen, action, moved = tick(mind, state, jnp.int32(index))
        total = total + moved.reward
        moments.append(Moment(seen, action, moved, types, zero, zero, jnp.int32(index)))
    return Play(tuple(moments), _record(world, policy, state, types, total, moments))


def check_measure(measure: Measure, played: Play, groups: tuple[GroupSlice, ...]) -> dict[str, Any]:
    """Check a measure on an episode; returns what it found.

    The accumulator keeps its form from step to step; a run without steps has values too;
    and values are numbers, arrays, texts, or lists and maps of those.
    """
    world = played.record.world
    measure.check(world, groups)
    record = dataclasses.replace(played.record, groups=groups)
    start = acc = jax.tree.map(jnp.asarray, measure.begin(world, groups))
    if measure.streams:
        update = jax.jit(measure.update)
        for moment in played.moments:
            acc = update(acc, moment)
        same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, start, acc)
        assert all(jax.tree.leaves(same)), "the accumulator changes its form"
    values = measure.finish(acc, record)
    for found in (values, measure.finish(start, record)):
        assert isinstance(found, dict) and all(isinstance(name, str) for name in found)
        _check_value(found)
    return values


def _check_births(name: str, selection: Selection, pool: Pool, births: Births) -> None:
    child, parent = np.asarray(births.child), np.asarray(births.parent)
    size = pool.alive.shape[0]
    assert child.dtype == np.int32 and parent.dtype == np.int32, f"{name}: rows are int32"
    assert child.ndim == 1 and parent.ndim == 2 and len(child) == len(parent), f"{name}: shapes"
    assert ((child >= 0) & (child <= size)).all(), f"{name}: children outside of the pool"
    if births.dense:
        np.testing.assert_array_equal(child, np.arange(size), f"{name}: dense births")
    counts = np.asarray(births_among(births, size))
    alive, named_children = np.asarray(pool.alive), child[counts]
    assert len(set(named_children.tolist())) == counts.sum(), f"{name}: a row is replaced twice"
    assert alive[named_children].all(), f"{name}: a dead row is replaced"
    assert alive[parent[counts, 0]].all(), f"{name}: a dead row is a parent"
    if selection.among == "neighbours" and pool.graph is not None and not pool.graph.complete:
        if getattr(selection, "events", 1) == 1:
            ties = set(
                zip(*map(np.ndarray.tolist, map(np.asarray, _edges(pool.graph))), strict=True)
            )
            for pair in zip(parent[counts, 0].tolist(), named_children.tolist(), strict=True):
                assert pair in ties, f"{name}: {pair} are not neighbours"


def _pairs(births: Births, size: int) -> set[tuple[int, int]]:
    counts = np.asarray(births_among(births, size))
    child, parent = np.asarray(births.child)[counts], np.asarray(births.parent)[counts, 0]
    return set(zip(child.tolist(), parent.tolist(), strict=True))


def _with_dead_rows(pool: Pool, extra: int) -> Pool:
    def longer(row: Any) -> Any:
        return jnp.concatenate([row, jnp.zeros(extra, row.dtype)])

    return Pool(*map(longer, (pool.fitness, pool.alive, pool.group, pool.types)))


def _edges(graph: Graph) -> tuple[Any, Any]:
    return graph.senders, graph.receivers


def _graph(neighbours: Any, *, regular: bool, table: bool) -> Graph:
    lists = [[int(n) for n in row] for row in neighbours]
    size = len(lists)
    degree = [len(row) for row in lists]
    width = max(degree)
    padded = [row + [size] * (width - len(row)) for row in lists]
    return Graph(
        senders=jnp.array(
            [n for row in lists for n in row] + ([] if regular else [size]), jnp.int32
        ),
        receivers=jnp.array(
            [i for i, row in enumerate(lists) for _ in row] + ([] if regular else [size]), jnp.int32
        ),
        offsets=jnp.array(np.concatenate([[0], np.cumsum(degree)]), jnp.int32),
        table=jnp.array(padded, jnp.int32) if table else None,
        num_slots=size,
        regular=regular,
    )


def _star(size: int, *, table: bool) -> Graph:
    return _graph([list(range(1, size - 1)), *[[0]] * (size - 2), []], regular=False, table=table)


def _record(
    world: World, policy: ArrayPolicy, state: Any, types: Any, total: Any, moments: list[Moment]
) -> Record:
    outcome = {name: np.asarray(value) for name, value in world.outcome(state).items()}
    series = {
        name: np.stack([np.asarray(moment.transition.metrics[name]) for moment in moments])
        for name in (moments[0].transition.metrics if moments else {})
    }
    alive = np.asarray(world.observe(state).alive)
    fitness = np.asarray(total if world.fitness == "reward" else outcome[world.fitness])
    kinds = range(len(policy.type_names()))
    counts = [[int(((np.asarray(types) == kind) & alive).sum()) for kind in kinds]]
    clock = np.zeros((len(moments), 3), np.int32)
    clock[:, 2] = np.arange(len(moments))
    return Record(
        world=world,
        groups=(GroupSlice("all", 0, world.num_slots, policy.type_names()),),
        series=series,
        clock=clock,
        generations={
            "fitness": np.array([fitness[alive].mean() if alive.any() else 0.0]),
            **({"types/all": np.array(counts, np.float32)} if kinds else {}),
        },
        outcome={**outcome, "reward": np.asarray(total)},
        fitness=fitness,
        alive=alive,
        types=np.asarray(types),
    )


def _check_value(value: Any) -> None:
    if isinstance(value, dict):
        for item in value.values():
            _check_value(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item)
    else:
        plain = value is None or isinstance(value, bool | int | float | str | np.generic)
        assert plain or isinstance(value, np.ndarray), f"{type(value).__name__} is not a value"


class Lesson(NamedTuple):
    """What ``learn_for`` leaves: every replicate's carry [R, ...], and metrics by update.

    metrics: group -> name -> [updates, R] float32.
    """

    carries: Any
    metrics: dict[str, dict[str, np.ndarray]]


def learn_for(simulation: Any, updates: int, chunk: int = 0, carries: Any = None) -> Lesson:
    """Let a simulation's learners make so many updates, without a folder or a journal.

    Args:
      simulation: what ``society.build.build`` made, with learners and without language.
      updates: of the group with the longest trajectories. chunk: most ticks at a time.
      carries: where to go on from; the beginning when None.
    """
    from society import learning
    from society.machine import Machine

    machine = Machine(simulation)
    lengths = [length for length in learning.rollouts(simulation.parts) if length]
    names = [group.name for group in simulation.population.groups]
    before = 0
    if carries is None:
        carries = machine.start(range(len(simulation.seeds)))
    else:
        before = max(lengths) * int(max(c.updates[0] for c in carries.learners if c is not None))
    found: dict[str, dict[str, list[Any]]] = {}
    tick, end = before, before + updates * max(lengths)
    while tick < end:
        need = min([*learning.reads_boundaries(simulation.parts, tick), end])
        ticks = min(need - tick, chunk or need, simulation.engine.capacity)
        carries, _ = machine.advance(carries, ticks)
        tick += ticks
        groups = learning.due(simulation.parts, tick)
        carries = machine.learn(carries, groups)
        for index in groups:
            rows = found.setdefault(names[index], {})
            for name, value in jax.device_get(carries.learners[index].metrics).items():
                rows.setdefault(name, []).append(value)
    metrics = {
        group: {name: np.stack(rows) for name, rows in columns.items()}
        for group, columns in found.items()
    }
    return Lesson(carries, metrics)

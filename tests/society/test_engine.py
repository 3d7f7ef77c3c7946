"""The loop: chunks change nothing, clocks nest as the plan says, generations inherit."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.carry import Carry, Chunk, Parts
from society.contract import Pool, Selection, Transmission
from society.engine import Engine
from society.plan import Plan
from society.population import Group, Population
from society.transmission import Copy
from worlds.policy import ArrayPolicy
from worlds.random import random_bits, uniform
from worlds.tree import as_arrays, provided, pytree
from worlds.types import Array, Births, Decision, Mind, Observation, Percept, Seats, Transition
from worlds.world import World

NUM = 8


@pytree
class Ring(World[Any]):
    """Neighbours on a ring pay each other; a rare accident may end the episode early."""

    rounds: int = 5
    benefit: float = 1.3
    accidents: bool = False
    num_slots: int = provided(NUM)
    fitness = "score"

    @property
    def horizon(self) -> int | None:
        return self.rounds or None

    @property
    def ends_early(self) -> bool:
        return self.accidents

    def init(self, key: Array) -> Any:
        luck = random_bits(key, jnp.arange(self.num_slots))
        return jnp.int32(0), jnp.zeros(self.num_slots), luck, jnp.bool_(False)

    def observe(self, state: Any) -> Observation:
        alive = jnp.ones(self.num_slots, bool)
        return Observation(state[1], alive, alive & ~state[3])

    def step(self, key: Array, state: Any, action: Array) -> tuple[Any, Transition]:
        clock, score, luck, over = state
        pay = (jnp.roll(action, 1) + jnp.roll(action, -1)).astype(jnp.float32)
        pay = jnp.where(action == 1, pay, self.benefit * pay)
        hit = self.accidents & (uniform(key, jnp.uint32(0)) < 0.3)
        over = over | hit | (clock + 1 == self.rounds)
        none = jnp.zeros(self.num_slots, bool)
        moved = (clock + 1, score + pay, luck, over)
        return moved, Transition(
            pay, none | over, none, None, {"given": action.mean(), "luck": luck[0] % 97}
        )

    def outcome(self, state: Any) -> dict[str, Array]:
        return {"score": state[1], "length": state[0].astype(jnp.float32)}

    def observation_space(self, slot: int) -> gymnasium.Space:
        return gymnasium.spaces.Box(0, np.inf, ())

    def action_space(self, slot: int) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(2)

    def noop(self) -> Array:
        return jnp.zeros(self.num_slots, jnp.int32)


@pytree
class Coins(ArrayPolicy):
    """Heritable bias; a coin every step, and a memory of how often it was asked."""

    def init(self, key: Array, seats: Seats) -> Mind:
        lanes = jnp.arange(seats.num)
        return Mind(uniform(key, lanes), jnp.zeros(seats.num, jnp.int32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        lanes = jnp.arange(percept.alive.shape[0])
        asked = jnp.where(percept.first, 0, mind.memory) + 1
        return Decision((uniform(key, lanes) < mind.params).astype(jnp.int32), asked)

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        parent = jnp.clip(births.parent[:, 0], 0)
        return mind._replace(
            params=mind.params.at[births.child].set(mind.params[parent], mode="drop")
        )

    def types(self, mind: Mind) -> Array:
        return (mind.params > 0.5).astype(jnp.int32)

    def type_names(self) -> tuple[str, ...]:
        return ("mean", "kind")


@pytree
class WorstCopiesBest(Selection):
    """The worst slot is taken by an offspring of the best."""

    fitness: str = "score"
    among: str = "population"

    def select(self, key: Array, pool: Pool) -> Births:
        worst = jnp.argmin(jnp.where(pool.alive, pool.fitness, jnp.inf)).astype(jnp.int32)
        best = jnp.argmax(jnp.where(pool.alive, pool.fitness, -jnp.inf)).astype(jnp.int32)
        return Births(worst[None], best[None, None])


PLANS = {
    "episodes": Plan(6, 1, None, 5),
    "two episodes": Plan(4, 2, None, 5),
    "a step a generation": Plan(20, None, 1, 5),
    "steps": Plan(4, None, 7, 5),
    "steps without an end": Plan(3, None, 7, None),
}


def simulate(
    plan: Plan, chunks: tuple[int, ...], world: Ring | None = None, groups: int = 2
) -> Any:
    world = world or Ring(rounds=plan.horizon or 0)
    policy = Coins()
    size = NUM // groups
    population = Population(
        tuple(Group(f"g{i}", policy, i * size, (i + 1) * size, size) for i in range(groups))
    )
    transmission: Transmission = Copy()
    parts = as_arrays(Parts((policy,) * groups, WorstCopiesBest(), transmission, {}))
    engine = Engine(
        plan,
        population,
        "score",
        ((world.action_space(0), world.observation_space(0)),) * groups,
        needs_reward=True,
        may_freeze=world.ends_early,
        selects=True,
        capacity=16,
    )
    carry = jax.jit(engine.start)(parts, as_arrays(world), None, jax.random.PRNGKey(3))
    advance = jax.jit(engine.advance)
    done, tick, index = [], 0, 0
    while tick < plan.total:
        ticks = min(chunks[index % len(chunks)], plan.total - tick)
        carry, chunk = advance(parts, carry, ticks)
        done.append((ticks, jax.device_get(chunk)))
        tick, index = tick + ticks, index + 1
    return carry, done


def rows(done: list[tuple[int, Chunk]]) -> dict[str, np.ndarray]:
    births = np.concatenate([chunk.births.reshape(-1, 3) for _, chunk in done])
    return {
        "ticks": np.concatenate([chunk.ticks[:ticks] for ticks, chunk in done]),
        "clock": np.concatenate([chunk.clock[:ticks] for ticks, chunk in done]),
        "generations": np.concatenate([chunk.generations[: chunk.ended] for _, chunk in done]),
        "births": births[births[:, 0] >= 0],
    }


@pytest.mark.parametrize("name", PLANS)
def test_chunk_length_changes_nothing(name: str) -> None:
    whole_carry, whole = simulate(PLANS[name], (16,))
    cut_carry, cut = simulate(PLANS[name], (1, 3, 5))
    for left, right in zip(
        jax.tree.leaves((whole_carry, rows(whole))),
        jax.tree.leaves((cut_carry, rows(cut))),
        strict=True,
    ):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def test_the_clock_nests_steps_in_episodes_in_generations() -> None:
    _, done = simulate(PLANS["two episodes"], (16,))
    clock = rows(done)["clock"]
    expected = [(g, e, s) for g in range(4) for e in range(2) for s in range(5)]
    assert clock.tolist() == [list(place) for place in expected]


def test_steps_begin_a_new_episode_whenever_one_ends() -> None:
    _, done = simulate(PLANS["steps"], (16,))
    clock = rows(done)["clock"]
    assert clock[:7].tolist() == [[0, 0, s] for s in range(5)] + [[0, 1, 0], [0, 1, 1]]
    assert clock[7].tolist() == [1, 0, 0]


def test_every_generation_but_the_first_begins_with_a_birth() -> None:
    plan = PLANS["episodes"]
    carry, done = simulate(plan, (16,), groups=1)
    births = rows(done)["births"]
    assert births[:, 0].tolist() == list(range(NUM, NUM + plan.generations - 1))
    assert int(carry.next_uid) == NUM + plan.generations - 1
    assert len(set(np.asarray(carry.uid).tolist())) == NUM


def test_births_into_a_full_group_are_refused_and_counted() -> None:
    plan = PLANS["episodes"]
    carry, done = simulate(plan, (16,), groups=2)
    births = rows(done)["births"]
    refused = int(np.asarray(carry.refused).sum())
    assert refused > 0
    assert len(births) + refused == plan.generations - 1
    assert int(np.asarray(carry.alive).sum()) == NUM - refused


def test_a_newborn_holds_what_its_parent_held() -> None:
    before, _ = simulate(Plan(1, 1, None, 5), (5,), groups=1)
    after, done = simulate(Plan(2, 1, None, 5), (5,), groups=1)
    ((_, _, slot),) = rows(done)["births"].tolist()
    best = int(np.argmax(np.asarray(before.totals["score"])))
    old, new = np.asarray(before.minds[0].params), np.asarray(after.minds[0].params)
    assert new[slot] == old[best]
    others = np.arange(NUM) != slot
    np.testing.assert_array_equal(new[others], old[others])


def test_memory_begins_anew_with_every_episode() -> None:
    carry, _ = simulate(PLANS["two episodes"], (16,))
    assert np.asarray(carry.minds[0].memory).tolist() == [5] * (NUM // 2)


def test_a_replicate_that_ends_early_waits_frozen() -> None:
    world = Ring(rounds=12, accidents=True)
    carry, done = simulate(Plan(1, 3, None, 12), (16,), world)
    frozen = np.concatenate([chunk.frozen[:ticks] for ticks, chunk in done])
    clock = rows(done)["clock"]
    lengths = [int((~frozen)[clock[:, 1] == episode].sum()) for episode in range(3)]
    assert any(length < 12 for length in lengths)
    assert float(carry.totals["length"]) == sum(lengths)
    assert int(carry.count) == 3


def test_reward_totals_are_the_score() -> None:
    carry, _ = simulate(PLANS["two episodes"], (16,))
    np.testing.assert_allclose(
        np.asarray(carry.totals["reward"]), np.asarray(carry.totals["score"]), rtol=1e-6
    )


def test_replicates_run_together_are_the_replicates_alone() -> None:
    plan, world, policy = PLANS["episodes"], Ring(), Coins()
    population = Population((Group("g", policy, 0, NUM, NUM),))
    parts = as_arrays(Parts((policy,), WorstCopiesBest(), Copy(), {}))
    spaces = ((world.action_space(0), world.observation_space(0)),)
    engine = Engine(plan, population, "score", spaces, selects=True, capacity=32)
    world = as_arrays(world)

    def run(root: Array) -> tuple[Carry, Chunk]:
        carry = engine.start(parts, world, None, root)
        return engine.advance(parts, carry, jnp.int32(plan.total))

    roots = jnp.stack([jax.random.PRNGKey(seed) for seed in range(3)])
    together = jax.jit(lambda keys: jax.lax.map(run, keys))(roots)
    for index in range(3):
        alone = jax.jit(lambda keys: jax.lax.map(run, keys))(roots[index : index + 1])
        for left, right in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(np.asarray(left)[index], np.asarray(right)[0])

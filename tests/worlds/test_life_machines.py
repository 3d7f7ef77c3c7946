"""Machines: the instruction set, and Rule 110 bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.life import Life
from worlds.life.body import ACTS, width_of
from worlds.life.machines import INSTRUCTIONS, WORDS, Machines, compute, rule_program
from worlds.life.space import bins_of, nearest
from worlds.tree import as_arrays


def automaton(rule, bits, generations, ring):
    """An elementary automaton in plain Python; beyond the ends lie zeros, or the other end."""
    bits = list(bits)
    for _ in range(generations):
        ends = [bits[-1], bits[0]] if ring else [0, 0]
        wide = [ends[0], *bits, ends[1]]
        bits = [
            (rule >> (4 * wide[i] + 2 * wide[i + 1] + wide[i + 2])) & 1 for i in range(len(bits))
        ]
    return bits


def test_a_row_of_machines_computes_rule_110_for_64_generations():
    rng = np.random.default_rng(7)
    for num, size in ((24, 64), (32, 32)):  # with open ends, and closed around the torus
        tape = rng.integers(0, 2, num)
        world = as_arrays(
            Life(
                num_slots=2, num_players=1, size=size, robots=num, layout="row", rule=110,
                tape="".join(map(str, tape)), ticks=1, patch=1,
            )
        )  # fmt: skip
        step = jax.jit(world.step)
        state = world.init(jax.random.PRNGKey(0))
        for generation in range(1, 65):
            state, _ = step(jax.random.PRNGKey(generation), state, world.noop())
            found = (np.asarray(state.machines.memory[:, 0]) > 0).astype(int).tolist()
            expected = automaton(110, tape.tolist(), generation, ring=num == size)
            assert found == expected, generation


def row(num=3, votes=None, memory=None):
    position = jnp.stack([jnp.full(num, 8.0), jnp.arange(num) + 4.5], axis=1)
    program = -np.ones((num, WORDS), np.float32)
    for place, name in enumerate(votes or ["keep"] * num):
        program[place, INSTRUCTIONS.index(name)] = 1.0
    memory = np.zeros((num, WORDS), np.float32) if memory is None else memory
    machines = Machines(position, jnp.asarray(memory), jnp.asarray(program))
    bins = bins_of(position, jnp.ones(num, bool), 16, 4, 8)
    return machines, nearest(position, position, bins, count=8, same=True)


def test_each_instruction_does_what_the_table_says():
    west, own, east = 0.5, 0.25, -0.5
    memory = np.repeat(np.array([[west], [own], [east]], np.float32), WORDS, axis=1)
    expected = {
        "keep": own,
        "copy": west,
        "multiply": west * east,
        "accumulate": own + west * east,
        "xor": 1.0,
        "nand": 1.0,
        "spread": own,
    }
    for name, value in expected.items():
        machines, near = row(3, ["keep", name, "keep"], memory)
        after, report = compute(machines, near, 1)
        np.testing.assert_allclose(after.memory[1], value, err_msg=name)
        np.testing.assert_array_equal(after.memory[::2], memory[::2])
        assert int(report.votes[INSTRUCTIONS.index(name)]) >= 1


def test_spread_copies_the_program_eastward_and_is_counted():
    machines, near = row(3, ["spread", "keep", "keep"])
    after, report = compute(machines, near, 1)
    np.testing.assert_array_equal(after.program[1], machines.program[0])
    np.testing.assert_array_equal(after.program[2], machines.program[2])
    assert int(report.copied) == 1
    after, report = compute(machines, near, 2)
    np.testing.assert_array_equal(after.program[2], machines.program[0])


@pytest.mark.slow
def test_agents_program_machines_by_messages_and_it_is_counted():
    world = as_arrays(Life(num_slots=2, num_players=1, size=16, robots=2, patch=1))
    state = world.init(jax.random.PRNGKey(0))
    place = jnp.array([[8.0, 8.0], [0.0, 0.0]])
    machines = state.machines._replace(position=jnp.array([[8.0, 9.0], [1.0, 1.0]]))
    state = state._replace(position=place, machines=machines)
    action = np.zeros((2, width_of(16)), np.float32)
    action[0, ACTS.index("program")] = 1.0
    action[0, len(ACTS) + 16 : len(ACTS) + 32] = rule_program(110)
    after, moved = world.step(jax.random.PRNGKey(1), state, jnp.asarray(action))
    np.testing.assert_array_equal(after.machines.program[0], rule_program(110))
    np.testing.assert_array_equal(after.machines.program[1], machines.program[1])
    assert int(moved.metrics["programs_written"]) == 1


def test_a_machine_moves_digs_and_writes_the_tape_as_its_memory_says():
    world = as_arrays(Life(num_slots=2, num_players=1, size=16, robots=1, patch=1))
    state = world.init(jax.random.PRNGKey(0))
    memory = jnp.zeros((1, WORDS)).at[0, :7].set(jnp.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]))
    program = jnp.full((1, WORDS), -1.0).at[0, 0].set(1.0)
    place = jnp.array([[3.2, 5.2]])
    state = state._replace(machines=Machines(place, memory, program))
    after, _ = world.step(jax.random.PRNGKey(1), state, world.noop())
    np.testing.assert_allclose(after.machines.position, [[3.7, 5.2]], rtol=1e-6)
    assert bool(after.bits[3 * 16 + 5]) and int(after.bits.sum()) == 1
    assert float(after.made[0, 3 * 16 + 5]) > 0
    reader = memory.at[0, 0].set(-1.0).at[0, 4].set(-1.0).at[0, 3].set(0.0)
    state = after._replace(machines=Machines(place, reader, program))
    read, _ = world.step(jax.random.PRNGKey(2), state, world.noop())
    assert float(read.machines.memory[0, 0]) == 1.0

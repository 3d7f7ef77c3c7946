"""Programmable machines: a memory, a program, and eight instructions.

A machine holds two vectors of 16 numbers in [-1, 1]. Its *program* says what happens to its
*memory*: entries 0 to 7 vote for an instruction (the largest wins, the first of equals),
entries 8 to 15 are its table. A machine knows the nearest machine to its west and to its
east within reach; where there is none it reads zeros, and a bit is 1 where a number is > 0.

=====  ==========  ============================================================================
vote   name        new memory
=====  ==========  ============================================================================
0      keep        as it was
1      copy        what the western machine remembers
2      multiply    west x east, entry by entry
3      accumulate  own + west x east, cut to [-1, 1]
4      xor         +1 where the signs of west and east differ, else -1
5      nand        -1 where both are above 0, else +1
6      lookup      entry 0 becomes program[8 + 4 west + 2 own + east] (bits of entry 0)
7      spread      as it was; the machine's program replaces that of the eastern machine
=====  ==========  ============================================================================

Entries of the memory steer the body (in every world step, after the instructions): with
entry 3 > 0.5 it moves by entries 1 and 2 times the machines' speed; with entry 4 > 0.5 it
writes bit 0 to its cell, with entry 4 < -0.5 it reads the cell into entry 0; with entry 5
> 0.5 it terraforms its cell by entries 6 to 10 (fertility, roughness, friction, noise,
hardship). ``lookup`` with a table of ±1 is an elementary cellular automaton; Rule 110,
which is universal, is ``rule_program(110)``. With the tape a single machine can
remember more than its memory holds.

Source: the lookup machine and its Rule 110 argument follow Lu et al. (2024), JaxLife,
arXiv:2409.00853; Cook (2004), Complex Systems 15(1), on universality. The instruction
set, directed neighbours and self-copying programs are ours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from worlds.life.space import Near
from worlds.types import Array

__all__ = ["INSTRUCTIONS", "WORDS", "Machines", "Report", "compute", "rule_program", "sides"]

INSTRUCTIONS = ("keep", "copy", "multiply", "accumulate", "xor", "nand", "lookup", "spread")
WORDS = 16  # numbers in a memory and in a program
KEEP, LOOKUP, SPREAD = 0, 6, 7


class Machines(NamedTuple):
    """All machines, R of them.

    position: [R, 2] float32. memory, program: [R, 16] float32 in [-1, 1].
    """

    position: Array
    memory: Array
    program: Array


class Report(NamedTuple):
    """What machines did in a step, counted: int32.

    used: instructions other than keep that changed a memory. copied: programs that a spread
    changed. votes: [8] int32, how often each instruction was carried out.
    """

    used: Array
    copied: Array
    votes: Array


def rule_program(rule: int) -> np.ndarray:
    """[16] float32: the program whose memory entry 0 follows an elementary automaton."""
    bits = np.array([(rule >> place) & 1 for place in range(8)], np.float32)
    votes = -np.ones(8, np.float32)
    votes[LOOKUP] = 1.0
    return np.concatenate([votes, 2 * bits - 1])


def sides(near: Near) -> tuple[Array, Array]:
    """[R] int32 nearest machine to the west, and to the east; R where there is none."""
    num = near.index.shape[0]
    east_of = near.offset[..., 1]
    found = []
    for side in (east_of < 0, east_of > 0):
        distance = jnp.where(side, near.distance, jnp.inf)
        best = jnp.argmin(distance, axis=1)[:, None]
        there = jnp.isfinite(jnp.take_along_axis(distance, best, 1))[:, 0]
        index = jnp.take_along_axis(near.index, best, 1)[:, 0]
        found.append(jnp.where(there, index, num))
    return found[0], found[1]


def compute(machines: Machines, near: Near, ticks: int) -> tuple[Machines, Report]:
    """Carry out ``ticks`` instructions in every machine, all machines at once."""
    west, east = sides(near)
    # Counted for each machine in the loop and added after it: sums of sums are long kernels.
    num = machines.memory.shape[0]
    zero = jnp.zeros(num, jnp.int32)
    report = Report(zero, zero, jnp.zeros((num, len(INSTRUCTIONS)), jnp.int32))
    memory, program, report = jax.lax.fori_loop(
        0,
        ticks,
        lambda _, now: _tick(now[0], now[1], west, east, now[2]),
        (machines.memory, machines.program, report),
    )
    report = Report(*(counts.sum(0, dtype=jnp.int32) for counts in report))
    return machines._replace(memory=memory, program=program), report


def _tick(
    memory: Array, program: Array, west: Array, east: Array, report: Report
) -> tuple[Array, Array, Report]:
    num = memory.shape[0]
    blank = jnp.zeros((1, WORDS), memory.dtype)
    shown = jnp.concatenate([memory, blank])
    left, right = shown[west], shown[east]
    vote = jnp.argmax(program[:, :8], axis=1)
    both = left * right
    bits = (left[:, 0] > 0) * 4 + (memory[:, 0] > 0) * 2 + (right[:, 0] > 0)
    entry = jnp.take_along_axis(program, 8 + bits[:, None].astype(jnp.int32), 1)
    results = (
        memory,
        left,
        both,
        jnp.clip(memory + both, -1.0, 1.0),
        jnp.where((left > 0) != (right > 0), 1.0, -1.0),
        jnp.where((left > 0) & (right > 0), -1.0, 1.0),
        jnp.concatenate([entry, memory[:, 1:]], axis=1),
        memory,
    )
    new = memory
    for number in range(1, SPREAD):
        new = jnp.where((vote == number)[:, None], results[number], new)
    target = jnp.where(vote == SPREAD, east, num)
    source = jnp.full(num + 1, -1, jnp.int32).at[target].max(jnp.arange(num, dtype=jnp.int32))
    taught = source[:num] >= 0
    copied = jnp.where(taught[:, None], program[jnp.maximum(source[:num], 0)], program)
    changed = (jnp.stack([new, copied]) != jnp.stack([memory, program])).any(-1)
    return (
        new,
        copied,
        Report(
            report.used + changed[0],
            report.copied + (taught & changed[1]),
            report.votes + (vote[:, None] == jnp.arange(len(INSTRUCTIONS))),
        ),
    )

"""What bodies do in a step: prices, eating, fighting, moving, changing the ground.

Every function returns who pays what, so that ``World.step`` can account for each flow.
Energy is a float32 in units of the ground's ``capacity`` scale; nothing here makes any.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from worlds.life.space import Near
from worlds.life.state import Prices
from worlds.life.terrain import CHANGEABLE
from worlds.types import Array

__all__ = [
    "ACTS",
    "Acts",
    "Fight",
    "acts_of",
    "bites",
    "blows",
    "heard",
    "landscaped",
    "prices",
    "shoved",
    "width_of",
]

ACTS = ("south", "east", "push", "eat", "birth", "attack", "speak", "program")


class Acts(NamedTuple):
    """One row for each slot, 0 where nobody acts.

    move: [N, 2] in [-1, 1], south and east. push: [N] in [-1, 1], below 0 pulls.
    attack: [N] in [0, 1]. eat, birth, speak, program: [N] bool.
    voice: [N, W] change of what is shown all the time. words: [N, W] what is said.
    terraform: [N, 5] in [-1, 1].
    """

    move: Array
    push: Array
    eat: Array
    birth: Array
    attack: Array
    speak: Array
    program: Array
    voice: Array
    words: Array
    terraform: Array


def width_of(words: int) -> int:
    """Numbers in an action."""
    return len(ACTS) + 2 * words + CHANGEABLE


def acts_of(action: Array, acting: Array, words: int) -> Acts:
    """Cut [N, A] numbers into acts; what is no number counts as 0, beyond +-1 is cut."""
    clean = jnp.clip(jnp.nan_to_num(action, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    clean = jnp.where(acting[:, None], clean, 0.0)
    voice, said = len(ACTS), len(ACTS) + words
    return Acts(
        move=clean[:, 0:2],
        push=clean[:, 2],
        eat=clean[:, 3] > 0,
        birth=clean[:, 4] > 0,
        attack=jnp.maximum(clean[:, 5], 0.0),
        speak=clean[:, 6] > 0,
        program=clean[:, 7] > 0,
        voice=clean[:, voice:said],
        words=clean[:, said : said + words],
        terraform=clean[:, said + words :],
    )


def bites(energy: Array, cell: Array, eats: Array, bite: Array | float) -> tuple[Array, Array]:
    """Share out cells among those who eat there at once.

    m eaters together take 1 - (1 - bite)^m of a cell, as if they ate one after the other,
    but each gets the same.

    Args:
      energy: [S * S] of the ground. cell: [N] int32. eats: [N] bool. bite: share of a cell.

    Returns:
      [N] energy got, and [S * S] energy left.
    """
    size = energy.shape[0]
    guests = jnp.zeros(size, jnp.int32).at[jnp.where(eats, cell, size)].add(1, mode="drop")
    company = guests[cell]
    taken = energy[cell] * (1.0 - (1.0 - bite) ** company)
    share = jnp.where(eats, taken / jnp.maximum(company, 1), 0.0)
    left = energy.at[jnp.where(eats, cell, size)].add(-share, mode="drop")
    return share, jnp.maximum(left, 0.0)


class Fight(NamedTuple):
    """Energy that changed hands: lost, won: [N] float32."""

    lost: Array
    won: Array


def blows(near: Near, attack: Array, energy: Array, reach: Any, power: Any, loot: Any) -> Fight:
    """Hit everybody within reach, weaker at a distance; victims lose what they have at most.

    A blow takes power x attack x exp(-distance / 2). Where blows together exceed what the
    victim has, each takes its part. Attackers keep the share ``loot`` of what they took.
    """
    num = energy.shape[0]
    hits = (near.distance <= reach) & (attack > 0)[:, None]
    blow = jnp.where(hits, power * attack[:, None] * jnp.exp(-0.5 * near.distance), 0.0)
    total = jnp.zeros(num + 1).at[near.index].add(blow)[:num]
    scale = jnp.minimum(energy / jnp.where(total > 0, total, 1.0), 1.0)
    taken = blow * jnp.append(scale, 0.0)[near.index]
    return Fight(lost=jnp.where(total > 0, total * scale, 0.0), won=loot * taken.sum(1))


def shoved(near: Near, push: Array, reach: Any, strength: Any, num: int) -> Array:
    """[num, 2] how far each of the others is moved.

    The nearest one within reach goes away from whoever pushes, towards whoever pulls; who is
    at the same spot goes east.
    """
    index, distance, way = near.index[:, 0], near.distance[:, 0], near.offset[:, 0]
    close = (distance <= reach) & (push != 0)
    length = jnp.maximum(distance, 1e-6)[:, None]
    apart = jnp.where((distance > 0)[:, None], way / length, jnp.array([0.0, 1.0]))
    # A pull stops where the one who pulls stands.
    least = jnp.where(jnp.isfinite(distance), -distance, 0.0)
    far = jnp.maximum(strength * push, least)
    shift = jnp.where(close[:, None], apart * far[:, None], 0.0)
    return jnp.zeros((num + 1, 2)).at[index].add(shift)[:num]


def heard(near: Near, speak: Array, words: Array, inbox: Array) -> tuple[Array, Array]:
    """Inbox after this step: the words of the nearest who spoke; [N] bool, heard anything.

    Args:
      near: who is near each listener; rows of it may be machines, of ``speak`` the speakers.
    """
    num = speak.shape[0]
    speaks = jnp.append(speak, False)[near.index]
    first = jnp.argmax(speaks, axis=1)[:, None]
    any_words = jnp.take_along_axis(speaks, first, 1)[:, 0]
    speaker = jnp.minimum(jnp.take_along_axis(near.index, first, 1)[:, 0], num - 1)
    return jnp.where(any_words[:, None], words[speaker], inbox), any_words


def landscaped(made: Array, digs: Sequence[tuple[Array, Array]], step: Any) -> Array:
    """[5, S * S] differences from the base maps after everybody dug, cut to [-1, 1].

    Args:
      digs: (cells, changes) of bodies, then of machines: [n] int32 and [n, 5] in [-1, 1].
      step: most that a change of 1 is.
    """
    cells = jnp.concatenate([cell for cell, _ in digs])
    changes = jnp.concatenate([change for _, change in digs])
    return jnp.clip(made.at[:, cells].add(step * changes.T), -1.0, 1.0)


def prices(acts: Acts, here: Mapping[str, Array], age: Array, price: Prices) -> Array:
    """[N] what living and acting cost in this step, on the fields under each body."""
    moved = jnp.abs(acts.move).sum(1)
    said = acts.speak.astype(jnp.float32) + acts.program
    return (
        price.living
        + price.ageing * age.astype(jnp.float32)
        + price.move * here["roughness"] * moved
        + price.push * here["friction"] * jnp.abs(acts.push)
        + price.attack * acts.attack
        + price.speak * here["noise"] * said
        + price.terraform * jnp.abs(acts.terraform).sum(1)
    )

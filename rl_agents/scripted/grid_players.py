"""Players without learning for gridworlds: wanderers, harvesters, cleaners, coin collectors."""

from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.policy import ArrayPolicy
from worlds.random import below, random_bits, random_pair
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["Cleaner", "CoinCollector", "Sustainable", "Wanderer"]

_RADIUS = 2  # within which apples count as neighbours
_BIG = np.int32(1 << 20)


def approach(
    target: Array, wall: Array, avoid: Array, row: int, column: int, words: Array
) -> Array:
    """A step towards the nearest target in view.

    Args:
      target, wall, avoid: [n, rows, columns] bool; walls and what is avoided are not stepped on.
      row, column: of the viewer. words: [n] uint32, break ties.

    Returns:
      [n] int32: 0 none to go to, 1 up, 2 right, 3 down, 4 left.
    """
    rows, columns = target.shape[1:]
    down, right = np.indices((rows, columns))
    down, right = down - row, right - column
    far = (np.abs(down) + np.abs(right)).astype(np.int32)
    # The nearest place; among equals the first in reading order of a view turned at random.
    spread = (random_order(words, rows * columns).reshape(-1, rows, columns)).astype(jnp.int32)
    cost = jnp.where(target & (far > 0), far * 4096 + spread, _BIG)
    flat = cost.reshape(cost.shape[0], -1)
    best = jnp.argmin(flat, axis=1)
    known = jnp.min(flat, axis=1) < _BIG
    to_down = jnp.asarray(down.ravel())[best]
    to_right = jnp.asarray(right.ravel())[best]
    shut = wall | avoid
    sides = ((-1, 0), (0, 1), (1, 0), (0, -1))
    score = []
    for index, (d, r) in enumerate(sides):
        inside = 0 <= row + d < rows and 0 <= column + r < columns
        barred = shut[:, row + d, column + r] if inside else jnp.zeros_like(known)
        gain = d * to_down + r * to_right
        tie = ((words >> (4 * index)) & 15).astype(jnp.int32)
        score.append(jnp.where(barred, -_BIG, jnp.sign(gain) * 64 + tie))
    scores = jnp.stack(score, axis=1)
    step = jnp.argmax(scores, axis=1).astype(jnp.int32) + 1
    return jnp.where(known & (jnp.max(scores, axis=1) > -_BIG), step, 0)


def random_order(words: Array, num: int) -> Array:
    """[n, num] numbers below 4096 that depend on a word and a place."""
    places = np.arange(num, dtype=np.uint32) * np.uint32(2654435761)
    return ((words[:, None] ^ places[None, :]) * np.uint32(2246822519)) >> 20


@component("policy", "wanderer")
@pytree
class Wanderer(ArrayPolicy):
    """Takes a uniformly random action, in any world with discrete actions.

    ``most`` leaves out the last actions of the space (beams, in gridworlds); 0 keeps them.
    """

    most: int = doc_field(0, "How many of the first actions are used; 0: all.", ge=0)

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose action is not one choice."""
        space = seats.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise ValueError(
                f"policy 'wanderer' chooses one of several actions, but this world's action is "
                f"{space}; choose another policy (society list policies)"
            )
        if self.most > space.n:
            raise ValueError(f"wanderer.most is {self.most}, but there are {space.n} actions")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember the number of actions."""
        num = self.most or int(seats.action_space.n)
        return Mind(params=jnp.full(seats.num, num, jnp.int32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Draw an action for every row, a legal one where the world says which are."""
        rows = jnp.arange(percept.acting.shape[0])
        if percept.legal is None:
            return Decision(below(random_bits(key, rows), mind.params))
        num = percept.legal.shape[1]
        lanes = jnp.arange(rows.shape[0] * num)
        words = random_bits(key, lanes).reshape(rows.shape[0], num) >> 1
        allowed = percept.legal & (jnp.arange(num)[None, :] < mind.params[:, None])
        allowed = jnp.where(allowed.any(axis=1)[:, None], allowed, percept.legal)
        return Decision(jnp.argmax(jnp.where(allowed, words + 1, 0), axis=1).astype(jnp.int32))


@component("policy", "coin_collector")
@pytree
class CoinCollector(ArrayPolicy):
    """Walks to the nearest coin in the coin game: of any colour, or only its own.

    ``take: own`` cooperates, ``take: any`` is the selfish best reply to players who do not
    punish. Without such a coin it wanders.
    Source: the two policies that Lerer and Peysakhovich (2017), arXiv:1707.01068, compare.
    """

    take: Literal["own", "any"] = doc_field("own", "Which coins it walks to.")

    def check(self, seats: Seats) -> None:
        """Refuse worlds without coins."""
        if tuple(getattr(seats.world, "channels", ()))[1:2] != ("your coins",):
            raise ValueError(
                "policy 'coin_collector' looks for coins of two kinds, which this world does not "
                "show; use it in coin_game, or choose another policy (society list policies)"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Step towards the nearest coin that counts, around coins that do not."""
        grid = percept.view["grid"] > 0
        words, other = random_pair(key, jnp.arange(grid.shape[0]))
        row, column = grid.shape[1] // 2, grid.shape[2] // 2
        own, theirs = grid[..., 1], grid[..., 2]
        target = own if self.take == "own" else own | theirs
        avoid = grid[..., 0] | (theirs if self.take == "own" else jnp.zeros_like(theirs))
        step = approach(target, jnp.zeros_like(own), avoid, row, column, words)
        # Wandering, it does not step on coins that it leaves to others.
        wander = 1 + below(other, 4)
        beside = jnp.stack(
            [
                avoid[:, row - 1, column],
                avoid[:, row, (column + 1) % grid.shape[2]],
                avoid[:, (row + 1) % grid.shape[1], column],
                avoid[:, row, column - 1],
            ],
            axis=1,
        )
        blocked = jnp.take_along_axis(beside, (wander - 1)[:, None], axis=1)[:, 0]
        wander = jnp.where(blocked, 0, wander)
        sees = jnp.any(target, axis=(1, 2))
        return Decision(jnp.where(sees, step, wander).astype(jnp.int32))


@component("policy", "sustainable")
@pytree
class Sustainable(ArrayPolicy):
    """Eats only apples that have enough others near them; walks to the nearest of those.

    An apple is eaten if at least ``leave`` other apples in view lie within distance 2 of it,
    so that it can grow back. ``leave: 0`` eats everything it sees. It never zaps. With
    chance ``noise`` it takes a random step instead, so that crowds do not lock.
    Source: the rule that keeps the commons of Perolat et al. (2017), arXiv:1707.06600, alive.
    """

    between: ClassVar[Literal["repeat", "noop"]] = "noop"

    leave: int = doc_field(2, "Apples that must be left near one that is eaten.", ge=0, le=12)
    noise: float = doc_field(0.1, "Chance of a random step.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds without apples on an oriented map."""
        _check_apples(seats, "sustainable")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Step towards the nearest apple that may be eaten, around those that may not."""
        grid = percept.view["grid"] > 0
        wall, apple, other = grid[..., 0], grid[..., 1], grid[..., -1]
        near = _count_near(apple)
        good = apple & (near >= self.leave)
        return Decision(_walk(key, good, wall | other, apple & ~good, self.noise))


@component("policy", "cleaner")
@pytree
class Cleaner(ArrayPolicy):
    """Cleans dirt in front of it in clean_up, walks to dirt, and eats when there is none to see.

    ``eat: never`` leaves all apples to others. With chance ``noise`` it takes a random step.
    Source: the role that Hughes et al. (2018), arXiv:1803.08884, see some agents take.
    """

    between: ClassVar[Literal["repeat", "noop"]] = "noop"

    eat: Literal["when_clean", "never"] = doc_field("when_clean", "Whether it also eats.")
    noise: float = doc_field(0.1, "Chance of a random step.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds without dirt."""
        _check_apples(seats, "cleaner")
        if "dirt" not in getattr(seats.world, "channels", ()):
            raise ValueError(
                "policy 'cleaner' needs dirt, which this world has not; use it in clean_up"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Clean, walk to dirt, or walk to apples."""
        grid = percept.view["grid"] > 0
        wall, apple, dirt, other = (grid[..., index] for index in (0, 1, 2, 4))
        row, column = grid.shape[1] - 2, grid.shape[2] // 2
        # Three cells ahead in three lanes: what the beam of clean_up reaches at least.
        reach = dirt[:, row - 3 : row, column - 1 : column + 2]
        some_dirt = jnp.any(dirt, axis=(1, 2))[:, None, None]
        rest = apple if self.eat == "when_clean" else jnp.zeros_like(apple)
        target = jnp.where(some_dirt, dirt, rest)
        step = _walk(key, target, wall | other, jnp.zeros_like(wall), self.noise)
        return Decision(jnp.where(jnp.any(reach, axis=(1, 2)), 7, step).astype(jnp.int32))


def _walk(key: Array, target: Array, shut: Array, avoid: Array, noise: Any) -> Array:
    """[n] int32 actions of agents with a facing: to the target, or onwards to see more."""
    num, rows, columns = target.shape
    words, other = random_pair(key, jnp.arange(num))
    row, column = rows - 2, columns // 2
    # approach: 1 ahead, 2 right, 3 behind, 4 left; actions: 1, 4, 2, 3.
    step = jnp.asarray([0, 1, 4, 2, 3])[approach(target, shut, avoid, row, column, words)]
    # With nothing to go to, walk on and turn at obstacles and now and then.
    ahead = (shut | avoid)[:, row - 1, column]
    turns = ahead | (other >> 28 == 0)
    onwards = jnp.where(turns, 5 + (words & 1), 1)
    step = jnp.where(jnp.any(target, axis=(1, 2)) & (step > 0), step, onwards)
    wild = (other >> 4).astype(jnp.float32) * 2.0**-28 < noise
    lost = jnp.where(words & 2 == 0, 5, 6)
    safe = jnp.where(ahead, lost, 1 + (other & 1) * 4)
    return jnp.where(wild, safe, step).astype(jnp.int32)


def _count_near(apple: Array) -> Array:
    """[n, rows, columns] int8: other apples within distance 2."""
    pad = ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS))
    field = jnp.pad(apple.astype(jnp.int8), pad)
    total = jnp.zeros(apple.shape, jnp.int8)
    rows, columns = apple.shape[1:]
    for down in range(-_RADIUS, _RADIUS + 1):
        for right in range(-_RADIUS, _RADIUS + 1):
            if 0 < down * down + right * right <= _RADIUS * _RADIUS:
                top, left = _RADIUS + down, _RADIUS + right
                total = total + field[:, top : top + rows, left : left + columns]
    return total


def _check_apples(seats: Seats, name: str) -> None:
    channels = tuple(getattr(seats.world, "channels", ()))
    if channels[:2] != ("wall", "apples") or not getattr(seats.world, "oriented", False):
        raise ValueError(
            f"policy {name!r} looks for apples ahead of it, which this world does not show; "
            "use it in commons_harvest or clean_up, or choose another policy "
            "(society list policies)"
        )

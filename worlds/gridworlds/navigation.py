"""Navigation: everybody has a goal, nobody sees farther than its neighbourhood."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount
from worlds.gridworlds.engine import (
    Board,
    Window,
    draws,
    look,
    open_board,
    scatter_players,
    settle,
    split_channels,
)
from worlds.gridworlds.pixels import Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.random import threshold
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["Navigation", "NavigationState", "Near"]


@pytree
class NavigationState:
    """One episode.

    cell, goal: [N] int32, -1 for empty slots. alive: [N] bool. wall: [C] bool.
    arrived: [N] int32 step of the first arrival, -1 before. bumps: [N] int32. clock: int32.
    """

    cell: Array
    goal: Array
    alive: Array
    wall: Array
    arrived: Array
    bumps: Array
    clock: Array


class Near(NamedTuple):
    """Who is near: slots [N, K] int32, -1 for fewer; features [N, K, 5] float32."""

    slots: Array
    features: Array


@component("world", "navigation")
@pytree
class Navigation(GridWorld[NavigationState]):
    """Agents find their goals among obstacles, seeing only their neighbourhood.

    Who acts when: everybody, in every step, on a board with edges and random obstacles (all
    agents and goals lie in one connected part). Action: Discrete(5), stay or one step north,
    east, south, west; cells hold one agent. Reward: ``goal_reward`` when an agent first
    reaches its goal, minus ``step_cost`` in every step that ends away from it; with
    ``reward: team`` everybody gets the mean. Truncated after ``max_steps``.

    View: ``grid`` [2 sight + 1, 2 sight + 1, 3] uint8 (north is up): obstacles, other agents,
    the own goal where it is in sight; ``own`` [4] float32: direction to the goal (rows south,
    columns east, as shares of the board), 1 if it is in sight, 1 if the agent stands on it;
    and the neighbourhood as a graph: ``neighbours`` [K, 5] float32 for the K nearest agents
    within ``sight`` (steps south and east to them and from them to their goals, as shares of
    the board, and 1 where there is one) and ``links`` [K] int32, their slots (-1: none), along
    which a graph network can pass on what agents compute.

    Source: Li, Gama, Ribeiro, Prorok (2020), "Graph neural networks for decentralized
    multi-robot path planning", arXiv:1912.06095 (local field of view, obstacles, messages to
    agents within reach).
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = ("wall", "other agents", "your goal")
    moves: ClassVar[tuple[str, ...]] = ("stay", "north", "east", "south", "west")
    oriented: ClassVar[bool] = False

    size: int = doc_field(12, "Rows and columns of the board.", ge=3, le=64)
    obstacles: float = doc_field(0.15, "Chance that a cell is an obstacle.", ge=0, le=0.5)
    sight: int = doc_field(3, "Cells that an agent sees in each direction.", ge=1, le=16)
    neighbours: int = doc_field(4, "Most neighbours that are shown.", ge=1, le=32)
    reward: Literal["own", "team"] = doc_field("own", "Who is paid for an arrival.")
    goal_reward: float = doc_field(1.0, "Paid for the first arrival at the goal.")
    step_cost: float = doc_field(0.01, "Lost in a step that ends away from the goal.", ge=0)
    max_steps: int = doc_field(50, "Steps of an episode.", ge=1)
    num_slots: int = provided(6)
    num_players: int = provided(6)
    present: Any = provided(None)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.sight, self.sight

    @property
    def grid(self) -> Board:
        """The board without its obstacles."""
        return open_board(self.size, self.size)

    @property
    def view_window(self) -> Window:
        """The square that an agent sees."""
        return Window(self.sight, self.sight, self.sight)

    def check_params(self) -> None:
        """Raise ValueError where agents and goals do not fit."""
        if 2 * self.num_slots > self.size**2 // 2:
            raise ValueError(
                f"navigation has {self.num_slots} agents and as many goals on {self.size**2} "
                "cells; leave at least half of them free (world.size)"
            )

    def init(self, key: Array) -> NavigationState:
        """Draw obstacles, then agents and goals within one connected part of the board."""
        num, grid = self.num_slots, self.grid
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        words, luck = draws(key, grid.cells, 3)
        wall = luck < threshold(self.obstacles)
        part = self._connected(wall, words)
        # Where the obstacles leave too small a part, there are none.
        fits = jnp.sum(part) >= 2 * num
        wall, part = wall & fits, part | ~fits
        cells = scatter_players(key, jnp.ones(2 * num, bool), grid.floor, ~part)
        nobody = jnp.full(num, -1, jnp.int32)
        return NavigationState(
            cell=jnp.where(alive, cells[:num], -1),
            goal=jnp.where(alive, cells[num:], -1),
            alive=alive,
            wall=wall,
            arrived=nobody,
            bumps=jnp.zeros(num, jnp.int32),
            clock=jnp.int32(0),
        )

    def observe(self, state: NavigationState) -> Observation:
        """Show each agent its surroundings, its goal's direction and its neighbours."""
        num, size = self.num_slots, self.size
        facing = jnp.zeros(num, jnp.int32)
        codes = state.wall.astype(jnp.int32)
        seen = look(self.grid, codes, state.cell, facing, self.view_window, 1)
        down, right = _between(state.cell, state.goal, size)
        visible = (jnp.abs(down) <= self.sight) & (jnp.abs(right) <= self.sight) & state.alive
        span = 2 * self.sight + 1
        place = (down + self.sight) * span + right + self.sight
        at_goal = jnp.where(visible, place, -1)[:, None] == jnp.arange(span * span)[None, :]
        seen = seen | (at_goal.reshape(seen.shape).astype(jnp.int32) << 2)
        near = self._near(state)
        own = jnp.stack(
            [down / size, right / size, visible, state.alive & (down == 0) & (right == 0)]
        )
        own = jnp.where(state.alive, own.astype(jnp.float32), 0.0)
        view = {
            "grid": split_channels(seen, len(self.channels)),
            "own": own.T,
            "neighbours": near.features,
            "links": near.slots,
        }
        return Observation(view, state.alive, state.alive & (state.clock < self.max_steps))

    def step(
        self, key: Array, state: NavigationState, action: Array
    ) -> tuple[NavigationState, Transition]:
        """Move everybody; pay for arrivals."""
        num, action = self.num_slots, jnp.asarray(action)
        words, _ = draws(key, num)
        moves = state.alive & (action > 0)
        place = jnp.maximum(state.cell, 0)
        ahead = jnp.asarray(self.grid.ahead)[jnp.clip(action - 1, 0, 3), place]
        free = moves & ~state.wall[ahead]
        cell = settle(state.cell, jnp.where(free, ahead, state.cell), words)
        there = state.alive & (cell == state.goal)
        first = there & (state.arrived < 0)
        reward = jnp.float32(self.goal_reward) * first
        reward = reward - jnp.float32(self.step_cost) * (state.alive & ~there)
        if self.reward == "team":
            mean = jnp.sum(reward) / jnp.maximum(jnp.sum(state.alive), 1)
            reward = jnp.where(state.alive, mean, 0.0)
        after = NavigationState(
            cell=cell,
            goal=state.goal,
            alive=state.alive,
            wall=state.wall,
            arrived=jnp.where(first, state.clock + 1, state.arrived),
            bumps=state.bumps + (moves & (cell == state.cell)),
            clock=state.clock + 1,
        )
        over = state.alive & (after.clock >= self.max_steps)
        living = jnp.maximum(jnp.sum(state.alive), 1)
        metrics = {
            "arrivals": jnp.sum(first, dtype=jnp.float32),
            "at_goal": jnp.sum(there, dtype=jnp.float32) / living,
            "bumps": jnp.sum(moves & (cell == state.cell), dtype=jnp.float32),
        }
        reward = reward.astype(jnp.float32)
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: NavigationState) -> dict[str, Array]:
        """Whether each has arrived, after how many steps (the horizon for never), and bumps."""
        arrived = state.arrived >= 0
        return {
            "arrived": arrived.astype(jnp.float32),
            "travel_steps": jnp.where(arrived, state.arrived, self.max_steps).astype(jnp.float32),
            "bumps": state.bumps.astype(jnp.float32),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        box = gymnasium.spaces.Box
        shape = (*self.view_window.shape, len(self.channels))
        links = box(-1, self.num_slots - 1, (self.neighbours,), np.int32)
        return gymnasium.spaces.Dict(
            {
                "grid": box(0, 1, shape, np.uint8),
                "own": box(-1.0, 1.0, (4,), np.float32),
                "neighbours": box(-1.0, 1.0, (self.neighbours, 5), np.float32),
                "links": links,
            }
        )

    def frame(self, state: NavigationState) -> np.ndarray:
        """A picture of the board: agents and their goals in the same colour."""
        picture = Picture(self.size, self.size)
        picture.walls(np.asarray(state.wall))
        for slot, goal in enumerate(np.asarray(state.goal)):
            if goal >= 0:
                draw(picture, int(goal), "ring", colour_of(slot))
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                draw(picture, int(cell), "face", colour_of(slot))
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        whose = "Everybody gets the mean of what all earn. " if self.reward == "team" else ""
        return (
            f"You are one of {self.num_players} agents on a board of {self.size} by {self.size} "
            "places with obstacles. Each has a goal of its own.",
            f"You see {self.sight} places in each direction, and in which direction your goal is.",
            f"When you first reach your goal you get {amount(self.goal_reward)}; every step that "
            f"ends away from it costs you {amount(self.step_cost)}. {whose}",
            f"You have {self.max_steps} steps.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """Where the goal lies."""
        down, right, _, there = (float(part) for part in row["own"])
        if there:
            return ("You stand on your goal.",)
        parts = []
        for share, names in ((down, ("south", "north")), (right, ("east", "west"))):
            steps = round(share * self.size)
            if steps:
                parts.append(f"{abs(steps)} {names[0] if steps > 0 else names[1]}")
        return (f"Your goal is {' and '.join(parts)} of you.",)

    def _near(self, state: NavigationState) -> Near:
        """The nearest agents in sight, nearest first, the lower slot first among equals."""
        num, size, most = self.num_slots, self.size, self.neighbours
        row, column = state.cell // size, state.cell % size
        down, right = row[None, :] - row[:, None], column[None, :] - column[:, None]
        both = state.alive[:, None] & state.alive[None, :] & ~np.eye(num, dtype=bool)
        seen = both & (jnp.abs(down) <= self.sight) & (jnp.abs(right) <= self.sight)
        far = jnp.where(seen, jnp.abs(down) + jnp.abs(right), 4 * size) * num + jnp.arange(num)
        order = jnp.argsort(far, axis=1)[:, :most]
        if order.shape[1] < most:
            order = jnp.pad(order, ((0, 0), (0, most - order.shape[1])))
        listed = np.arange(most) < num
        held = jnp.take_along_axis(seen, order, axis=1) & listed[None, :]
        goal_down, goal_right = _between(state.cell, state.goal, size)
        parts = [
            jnp.take_along_axis(down, order, axis=1) / size,
            jnp.take_along_axis(right, order, axis=1) / size,
            goal_down[order] / size,
            goal_right[order] / size,
            jnp.ones(order.shape),
        ]
        features = jnp.where(held[..., None], jnp.stack(parts, axis=-1), 0.0)
        return Near(jnp.where(held, order, -1).astype(jnp.int32), features.astype(jnp.float32))

    def _connected(self, wall: Array, words: Array) -> Array:
        """[C] bool: the part of the board that hangs together with one free cell, drawn."""
        table = jnp.asarray(self.grid.ahead)
        start = jnp.argmax(jnp.where(wall, 0, words | 1))
        part = (jnp.arange(wall.shape[0]) == start) & ~wall

        def grows(now: tuple[Array, Array]) -> Array:
            return jnp.any(now[0] != now[1])

        def grow(now: tuple[Array, Array]) -> tuple[Array, Array]:
            part = now[0]
            return (part | jnp.any(part[table], axis=0)) & ~wall, part

        return jax.lax.while_loop(grows, grow, (part, jnp.zeros_like(part)))[0]


def _between(cell: Array, goal: Array, size: int) -> tuple[Array, Array]:
    """Rows south and columns east from cells to goals."""
    return goal // size - cell // size, goal % size - cell % size

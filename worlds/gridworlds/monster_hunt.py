"""Monster hunt: catch the monster together, be caught alone, or pick apples."""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount
from worlds.gridworlds.engine import (
    Board,
    around,
    draws,
    free_cell,
    open_board,
    scatter_players,
    settle,
)
from worlds.gridworlds.pixels import PALETTE, Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["MonsterHunt", "MonsterHuntState"]


@pytree
class MonsterHuntState:
    """One episode.

    cell: [N] int32, -1 for empty slots. alive: [N] bool. monster: int32 cell.
    apple: [K] int32 cells. caught, mauled, eaten: [N] int32. clock: int32.
    """

    cell: Array
    alive: Array
    monster: Array
    apple: Array
    caught: Array
    mauled: Array
    eaten: Array
    clock: Array


@component("world", "monster_hunt")
@pytree
class MonsterHunt(GridWorld[MonsterHuntState]):
    """A stag hunt on a board: the monster pays those who meet it together and mauls the lonely.

    Who acts when: everybody, in every step, on a board with edges. Action: Discrete(5), stay
    or one step north, east, south, west; players never share a cell. Then the monster takes
    one step towards the nearest player (along the longer way; drawn at random where two ways
    or players are as far), unless it is next to one already. A player *meets* the monster
    when it is beside it (or on its cell) after that. Two or more who meet it together get
    ``together`` each, one alone gets ``alone``; in both cases the monster appears elsewhere.
    An apple pays ``apple`` and appears elsewhere. Truncated after ``max_steps``.

    View: ``grid`` [2 size - 1, 2 size - 1, 4] uint8 with the viewer in the centre (north is
    up): beyond the edge, other players, apples, the monster.

    Source: Peysakhovich and Lerer (2018), "Prosocial learning agents solve generalized stag
    hunts better than selfish ones", arXiv:1709.02865 (Markov stag hunt); payoffs 5, -2, 2 and
    the chase as in Tang et al. (2021), arXiv:2103.04564. There the players share the monster's
    cell; here cells hold one player, so meeting is standing beside it.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("equality",)
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = ("wall", "other players", "apples", "the monster")
    moves: ClassVar[tuple[str, ...]] = ("stay", "north", "east", "south", "west")
    oriented: ClassVar[bool] = False

    size: int = doc_field(5, "Rows and columns of the board.", ge=3, le=32)
    apples: int = doc_field(2, "Apples on the board.", ge=0, le=64)
    together: float = doc_field(5.0, "Paid to each who meets the monster with others.")
    alone: float = doc_field(-2.0, "Paid to whoever meets the monster alone.")
    apple: float = doc_field(2.0, "Paid for an apple.")
    max_steps: int = doc_field(50, "Steps of an episode.", ge=1)
    num_slots: int = provided(2)
    num_players: int = provided(2)
    present: Any = provided(None)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.size - 1, self.size - 1

    @property
    def grid(self) -> Board:
        """The board."""
        return open_board(self.size, self.size)

    def check_params(self) -> None:
        """Raise ValueError where players, apples and the monster do not fit."""
        needed = self.num_slots + self.apples + 1
        if needed > self.size**2 // 2:
            raise ValueError(
                f"monster_hunt has {self.num_slots} players, {self.apples} apples and a monster "
                f"on {self.size**2} cells; leave at least half of them free (world.size)"
            )

    def init(self, key: Array) -> MonsterHuntState:
        """Scatter players, apples and the monster over different cells."""
        num = self.num_slots
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        everything = jnp.ones(num + self.apples + 1, bool)
        cells = scatter_players(key, everything, self.grid.floor)
        zeros = jnp.zeros(num, jnp.int32)
        return MonsterHuntState(
            cell=jnp.where(alive, cells[:num], -1),
            alive=alive,
            monster=cells[-1],
            apple=cells[num:-1],
            caught=zeros,
            mauled=zeros,
            eaten=zeros,
            clock=jnp.int32(0),
        )

    def observe(self, state: MonsterHuntState) -> Observation:
        """Show the board around each player."""
        grid = around(
            self.grid,
            state.cell,
            {1: (state.cell, True), 2: (state.apple, False), 3: (state.monster[None], False)},
            len(self.channels),
        )
        acting = state.alive & (state.clock < self.max_steps)
        return Observation({"grid": grid}, state.alive, acting)

    def step(
        self, key: Array, state: MonsterHuntState, action: Array
    ) -> tuple[MonsterHuntState, Transition]:
        """Move players, then the monster; pay; put back what was taken."""
        num, action = self.num_slots, jnp.asarray(action)
        words, others = draws(key, num + self.apples + 1)
        moves = state.alive & (action > 0)
        table = jnp.asarray(self.grid.ahead)
        ahead = table[jnp.clip(action - 1, 0, 3), jnp.maximum(state.cell, 0)]
        cell = settle(state.cell, jnp.where(moves, ahead, state.cell), words[:num])
        eats = state.alive[:, None] & (cell[:, None] == state.apple[None, :])
        monster, near = self._chase(state.monster, cell, state.alive, others[:num])
        meets = state.alive & near
        number = jnp.sum(meets)
        caught, mauled = meets & (number > 1), meets & (number == 1)
        reward = (
            jnp.float32(self.apple) * jnp.sum(eats, axis=1)
            + jnp.float32(self.together) * caught
            + jnp.float32(self.alone) * mauled
        )
        monster, apple = self._put_back(
            state, cell, monster, number > 0, jnp.any(eats, axis=0), words[num:]
        )
        after = MonsterHuntState(
            cell=cell,
            alive=state.alive,
            monster=monster,
            apple=apple,
            caught=state.caught + caught,
            mauled=state.mauled + mauled,
            eaten=state.eaten + jnp.sum(eats, axis=1, dtype=jnp.int32),
            clock=state.clock + 1,
        )
        over = state.alive & (after.clock >= self.max_steps)
        metrics = {
            "caught": (number > 1).astype(jnp.float32),
            "mauled": (number == 1).astype(jnp.float32),
            "apples": jnp.sum(eats, dtype=jnp.float32),
        }
        reward = reward.astype(jnp.float32)
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: MonsterHuntState) -> dict[str, Array]:
        """How often each caught the monster, was mauled by it, and ate."""
        return {
            "caught": state.caught.astype(jnp.float32),
            "mauled": state.mauled.astype(jnp.float32),
            "apples": state.eaten.astype(jnp.float32),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        side = 2 * self.size - 1
        shape = (side, side, len(self.channels))
        return gymnasium.spaces.Dict({"grid": gymnasium.spaces.Box(0, 1, shape, np.uint8)})

    def frame(self, state: MonsterHuntState) -> np.ndarray:
        """A picture of the board."""
        picture = Picture(self.size, self.size, ground="grass")
        for cell in np.asarray(state.apple):
            draw(picture, int(cell), "apple", PALETTE["apple"])
        draw(picture, int(state.monster), "monster", PALETTE["monster"])
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                draw(picture, int(cell), "face", colour_of(slot))
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        return (
            f"You are one of {self.num_players} hunters on a board of {self.size} by {self.size} "
            "places. Nobody can leave it.",
            "After everybody has moved, the monster takes one step towards the nearest hunter, "
            "unless it stands right beside one already.",
            "Hunters right beside the monster after that meet it. If two or more meet it in the "
            f"same step, each of them gets {amount(self.together)}. Whoever meets it alone gets "
            f"{amount(self.alone)}. Then it appears somewhere else.",
            f"Stepping on an apple gives you {amount(self.apple)}; a new one appears elsewhere.",
            f"The hunt lasts {self.max_steps} steps. Your goal is to earn as much as possible.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """Nothing is known beside the picture."""
        return ()

    def _chase(
        self, monster: Array, cell: Array, alive: Array, words: Array
    ) -> tuple[Array, Array]:
        """The monster's cell after its step, and who is beside it ([N] bool)."""
        size = self.size
        down = jnp.where(alive, cell // size - monster // size, 2 * size)
        right = jnp.where(alive, cell % size - monster % size, 2 * size)
        far = jnp.abs(down) + jnp.abs(right)
        # Nearest first; the random word decides among those that are as far.
        order = far.astype(jnp.uint32) * np.uint32(1 << 24) + (words >> 8)
        nearest = jnp.argmin(order)
        to_down, to_right = down[nearest], right[nearest]
        either = jnp.abs(to_down) == jnp.abs(to_right)
        lengthwise = jnp.where(either, words[0] & 1 == 0, jnp.abs(to_down) > jnp.abs(to_right))
        stride = jnp.where(lengthwise, jnp.sign(to_down) * size, jnp.sign(to_right))
        stands = jnp.min(jnp.where(alive, far, 2 * size)) <= 1
        moved = jnp.where(stands, monster, monster + stride)
        down, right = cell // size - moved // size, cell % size - moved % size
        return moved, alive & (jnp.abs(down) + jnp.abs(right) <= 1)

    def _put_back(
        self,
        state: MonsterHuntState,
        cell: Array,
        monster: Array,
        met: Array,
        eaten: Array,
        words: Array,
    ) -> tuple[Array, Array]:
        """New places, free of everything else, for the monster and for eaten apples."""
        apple = jnp.where(eaten, -1, state.apple)
        for index in range(self.apples):
            taken = jnp.concatenate([cell, apple, monster[None]])
            place = free_cell(taken, words[index], self.grid.cells)
            apple = apple.at[index].set(jnp.where(eaten[index], place, apple[index]))
        taken = jnp.concatenate([cell, apple, monster[None]])
        place = free_cell(taken, words[-1], self.grid.cells)
        return jnp.where(met, place, monster), apple

"""Battle of the colours: meet at one block, but whose?"""

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount
from worlds.gridworlds.engine import Board, around, draws, free_cell, open_board, scatter_players
from worlds.gridworlds.pixels import Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["BattleOfTheColours", "ColoursState"]

_NAMES = ("red", "blue")


@pytree
class ColoursState:
    """One episode.

    cell: [2] int32. block: [2] int32, cells of the red and the blue block.
    met: [2] int32, meetings at each block. missed: int32, steps at different blocks. clock: int32.
    """

    cell: Array
    block: Array
    met: Array
    missed: Array
    clock: Array


@component("world", "battle_of_the_colours")
@pytree
class BattleOfTheColours(GridWorld[ColoursState]):
    """Two players must stand on the same block, and each prefers its own: a coordination game.

    Who acts when: both, in every step, on a board with edges; slot 0 is red, slot 1 is blue,
    and they may share a cell. Action: Discrete(5), stay or one step north, east, south, west.
    When both stand on the same block, its owner gets ``own`` and the other ``other``, and the
    block appears elsewhere. When they stand on different blocks, nobody gets anything and both
    blocks appear elsewhere. Truncated after ``max_steps``. Random: all places.

    View: ``grid`` [2 size - 1, 2 size - 1, 4] uint8 with the viewer in the centre (north is
    up): beyond the edge, the other player, one's own block, the other's block.

    Source: the game of that name in VS-Bench, Xu et al. (2025), arXiv:2506.02387, a board
    version of the battle of the sexes; Luce and Raiffa (1957), Games and Decisions.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("equality",)
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = (
        "wall",
        "the other player",
        "your block",
        "the other player's block",
    )
    moves: ClassVar[tuple[str, ...]] = ("stay", "north", "east", "south", "west")
    oriented: ClassVar[bool] = False
    collisions: ClassVar[str] = "allowed"

    size: int = doc_field(5, "Rows and columns of the board.", ge=2, le=32)
    own: float = doc_field(2.0, "Paid to the owner of the block where both stand.")
    other: float = doc_field(1.0, "Paid to the other one.")
    max_steps: int = doc_field(50, "Steps of an episode.", ge=1)
    num_slots: int = provided(2)
    num_players: int = provided(2)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.size - 1, self.size - 1

    @property
    def grid(self) -> Board:
        """The board."""
        return open_board(self.size, self.size)

    def check_params(self) -> None:
        """Raise ValueError where there are not two players."""
        if self.num_slots != 2 or self.num_players != 2:
            raise ValueError(
                f"battle_of_the_colours is for 2 players, not {self.num_players} in "
                f"{self.num_slots} slots; give the groups a count of 2 together"
            )

    def init(self, key: Array) -> ColoursState:
        """Scatter players and blocks over different cells."""
        cells = scatter_players(key, jnp.ones(4, bool), self.grid.floor)
        zero = jnp.int32(0)
        return ColoursState(cells[:2], cells[2:], jnp.zeros(2, jnp.int32), zero, zero)

    def observe(self, state: ColoursState) -> Observation:
        """Show the board around each player."""
        layers = [(state.cell, True), (state.block, False)]
        seen = around(self.grid, state.cell, dict(enumerate(layers, 1)), 4)
        red = around(self.grid, state.cell, {1: (state.block[:1], False)}, 2)[..., 1]
        blue = around(self.grid, state.cell, {1: (state.block[1:], False)}, 2)[..., 1]
        own, other = jnp.stack([red[0], blue[1]]), jnp.stack([blue[0], red[1]])
        grid = jnp.stack([seen[..., 0], seen[..., 1], own, other], axis=-1)
        alive = jnp.ones(2, bool)
        return Observation({"grid": grid}, alive, alive & (state.clock < self.max_steps))

    def step(
        self, key: Array, state: ColoursState, action: Array
    ) -> tuple[ColoursState, Transition]:
        """Move both, pay if they meet at a block, put blocks elsewhere."""
        action = jnp.asarray(action)
        table = jnp.asarray(self.grid.ahead)
        ahead = table[jnp.clip(action - 1, 0, 3), state.cell]
        acting = state.clock < self.max_steps
        cell = jnp.where((action > 0) & acting, ahead, state.cell)
        on = cell[:, None] == state.block[None, :]  # player, block
        met = jnp.all(on, axis=0)
        missed = (on[0, 0] & on[1, 1]) | (on[0, 1] & on[1, 0])
        pays = jnp.where(np.eye(2, dtype=bool), self.own, self.other)
        reward = jnp.sum(jnp.where(met[None, :], pays, 0.0), axis=1).astype(jnp.float32)
        block = self._put_elsewhere(state.block, cell, met | missed, draws(key, 2)[0])
        after = ColoursState(cell, block, state.met + met, state.missed + missed, state.clock + 1)
        over = jnp.broadcast_to(after.clock >= self.max_steps, (2,))
        metrics = {
            "met_red": met[0].astype(jnp.float32),
            "met_blue": met[1].astype(jnp.float32),
            "missed": missed.astype(jnp.float32),
        }
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: ColoursState) -> dict[str, Array]:
        """Meetings at one's own block, and how often they stood on different ones."""
        return {
            "met_at_own": state.met.astype(jnp.float32),
            "missed": state.missed.astype(jnp.float32),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        side = 2 * self.size - 1
        shape = (side, side, len(self.channels))
        return gymnasium.spaces.Dict({"grid": gymnasium.spaces.Box(0, 1, shape, np.uint8)})

    def frame(self, state: ColoursState) -> np.ndarray:
        """A picture of the board."""
        picture = Picture(self.size, self.size)
        for index, cell in enumerate(np.asarray(state.block)):
            draw(picture, int(cell), "square", colour_of(index))
        for slot, cell in enumerate(np.asarray(state.cell)):
            draw(picture, int(cell), "face", colour_of(slot))
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        return (
            f"You are the {_NAMES[seat.slot]} player on a board of {self.size} by {self.size} "
            "places with a red and a blue block. Nobody can leave the board.",
            "When both players stand on the same block, the player of its colour gets "
            f"{amount(self.own)}, the other one {amount(self.other)}, and the block appears "
            "somewhere else. When they stand on different blocks, nobody gets anything and both "
            "blocks appear somewhere else.",
            f"The game lasts {self.max_steps} steps. Your goal is to earn as much as possible.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """Nothing is known beside the picture."""
        return ()

    def _put_elsewhere(self, block: Array, cell: Array, taken: Array, words: Array) -> Array:
        """New places for blocks that were used, free of players and of the other block."""
        for index in range(2):
            taken_cells = jnp.concatenate([cell, block])
            place = free_cell(taken_cells, words[index], self.grid.cells)
            block = block.at[index].set(jnp.where(taken[index], place, block[index]))
        return block

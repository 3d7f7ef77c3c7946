"""The coin game: one's own coins are free, everybody else's cost their owner."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount
from worlds.gridworlds.engine import draws, free_cell, open_board, scatter_players, settle
from worlds.gridworlds.pixels import Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.random import below
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["CoinGame", "CoinState"]


@pytree
class CoinState:
    """One episode.

    cell: [N] int32, -1 for empty slots. alive: [N] bool. clock: int32 steps.
    coin: [K] int32 cells, -1 for none. colour: [K] int32 slot of the coin's owner.
    own, others: [N] int32 coins that each has taken, of its own colour and of other colours.
    """

    cell: Array
    alive: Array
    clock: Array
    coin: Array
    colour: Array
    own: Array
    others: Array


@component("world", "coin_game")
@pytree
class CoinGame(GridWorld[CoinState]):
    """Coins pay whoever takes them; a coin of another's colour costs that other twice as much.

    Who acts when: everybody, in every step, on a torus of ``size`` x ``size`` cells. Action:
    Discrete(5), stay or one step north, east, south, west. Reward: ``coin`` for each coin
    taken and ``penalty`` for each coin of one's own colour that somebody else takes. A taken
    coin is replaced at once, on a cell that is free after the moves. The episode is truncated
    after ``max_steps``. Random: all places, the colour of a single coin, and who gets a cell
    that several want.

    View: ``grid`` [size, size, 3] uint8 with the viewer in the centre (north is up): other
    players, coins of one's own colour, coins of others' colours.

    Source: Lerer and Peysakhovich (2017), "Maintaining cooperation in complex social dilemmas
    using deep reinforcement learning", arXiv:1707.01068; the 3 x 3 board of Foerster et al.
    (2018), arXiv:1709.04326. ``collisions: allowed`` is the published rule (players share
    cells, and all who reach a coin together are paid); ``refused``, the default, is ours.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("equality",)
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = ("other players", "your coins", "coins of others")
    moves: ClassVar[tuple[str, ...]] = ("stay", "north", "east", "south", "west")
    oriented: ClassVar[bool] = False

    size: int = doc_field(3, "Rows and columns of the board.", ge=2, le=32)
    coins: Literal["one", "each"] = doc_field(
        "one", "One coin of a random colour, or one of every player's colour at a time."
    )
    collisions: Literal["refused", "allowed"] = doc_field(
        "refused", "Whether players may share a cell."
    )
    coin: float = doc_field(1.0, "Paid to whoever takes a coin.")
    penalty: float = doc_field(-2.0, "Paid to the owner of a coin that somebody else takes.", le=0)
    max_steps: int = doc_field(150, "Steps of an episode.", ge=1)
    num_slots: int = provided(2)
    num_players: int = provided(2)
    present: Any = provided(None)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.size // 2, self.size // 2

    def check_params(self) -> None:
        """Raise ValueError where players and coins do not fit."""
        needed = self.num_slots + self._num_coins
        if self.num_players < 1 or needed > self.size**2:
            raise ValueError(
                f"coin_game has {self.num_slots} players and {self._num_coins} coins on "
                f"{self.size**2} cells; give every one a cell (world.size)"
            )

    def init(self, key: Array) -> CoinState:
        """Scatter players and coins."""
        num = self.num_slots
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        cell = scatter_players(key, alive, open_board(self.size, self.size).floor)
        zeros = jnp.zeros(num, jnp.int32)
        none = jnp.full(self._num_coins, -1, jnp.int32)
        blank = CoinState(cell, alive, jnp.int32(0), none, none, zeros, zeros)
        places, colours = draws(key, num + self._num_coins, 13)
        return self._replace(blank, jnp.ones(self._num_coins, bool), places, colours)

    def observe(self, state: CoinState) -> Observation:
        """Show the board around each player."""
        num, size = self.num_slots, self.size
        row, column = state.cell // size, state.cell % size
        other = state.alive[None, :] & ~np.eye(num, dtype=bool)
        mine = state.colour[None, :] == jnp.arange(num)[:, None]
        there = (state.coin >= 0)[None, :]
        coin_row, coin_column = state.coin // size, state.coin % size

        def around(rows: Array, columns: Array, counted: Array) -> Array:
            down = (rows[None, :] - row[:, None] + size // 2) % size
            right = (columns[None, :] - column[:, None] + size // 2) % size
            place = jnp.where(counted, down * size + right, -1)
            cells = jnp.arange(size * size)
            return jnp.any(place[:, None, :] == cells[None, :, None], axis=2)

        layers = [
            around(row, column, other),
            around(coin_row, coin_column, mine & there),
            around(coin_row, coin_column, ~mine & there),
        ]
        grid = jnp.stack(layers, axis=-1) & state.alive[:, None, None]
        grid = grid.reshape(num, size, size, 3).astype(jnp.uint8)
        acting = state.alive & (state.clock < self.max_steps)
        return Observation({"grid": grid}, state.alive, acting)

    def step(self, key: Array, state: CoinState, action: Array) -> tuple[CoinState, Transition]:
        """Move everybody, pay for coins, replace those that were taken."""
        num = self.num_slots
        slots = jnp.arange(num)
        words, colours = draws(key, num + self._num_coins)
        cell = self._moved(state, jnp.asarray(action), words[:num])
        reaches = (cell[:, None] == state.coin[None, :]) & state.alive[:, None]
        mine = state.colour[None, :] == slots[:, None]
        others = jnp.sum(reaches & ~mine, axis=1, dtype=jnp.int32)
        own = jnp.sum(reaches & mine, axis=1, dtype=jnp.int32)
        # lost[i]: how many others took a coin of i's colour.
        lost = jnp.sum(mine * jnp.sum(reaches[:, None, :] & ~mine[:, None, :], axis=0), axis=1)
        taken = jnp.any(reaches, axis=0)
        reward = jnp.float32(self.coin) * (own + others) + jnp.float32(self.penalty) * lost
        moved = dataclasses.replace(
            state,
            cell=cell,
            clock=state.clock + 1,
            own=state.own + own,
            others=state.others + others,
        )
        over = state.alive & (moved.clock >= self.max_steps)
        transition = Transition(
            reward=reward.astype(jnp.float32),
            terminated=jnp.zeros_like(over),
            truncated=over,
            metrics={
                "coins": jnp.sum(taken, dtype=jnp.float32),
                "own_coins": jnp.sum(own, dtype=jnp.float32),
                "welfare": jnp.sum(reward, dtype=jnp.float32),
            },
        )
        return self._replace(moved, taken, words, colours), transition

    def outcome(self, state: CoinState) -> dict[str, Array]:
        """Coins taken, and the share of those of one's own colour (0 for nobody's)."""
        total = state.own + state.others
        return {
            "coins": total.astype(jnp.float32),
            "own_share": state.own / jnp.maximum(total, 1).astype(jnp.float32),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        shape = (self.size, self.size, len(self.channels))
        return gymnasium.spaces.Dict({"grid": gymnasium.spaces.Box(0, 1, shape, np.uint8)})

    def frame(self, state: CoinState) -> np.ndarray:
        """A picture of the board: players and coins in their colours."""
        picture = Picture(self.size, self.size, ground="tiles")
        for cell, colour in zip(np.asarray(state.coin), np.asarray(state.colour), strict=True):
            if cell >= 0:
                draw(picture, int(cell), "coin", colour_of(int(colour)))
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                draw(picture, int(cell), "face", colour_of(slot))
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        edge = "Whoever leaves the board on one side comes back on the other."
        return (
            f"You are one of {self.num_players} players on a board of {self.size} by {self.size} "
            f"places. {edge}",
            "Every coin has the colour of one player. "
            f"Whoever steps on a coin takes it and gets {amount(self.coin)}, whatever its colour.",
            f"When somebody else takes a coin of your colour, you get {amount(self.penalty)}; "
            f"when you take a coin of another's colour, that player gets {amount(self.penalty)}.",
            "A new coin appears at once, somewhere else. "
            f"The game lasts {self.max_steps} steps. Your goal is to earn as much as possible.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """Nothing is known beside the picture."""
        return ()

    @property
    def _num_coins(self) -> int:
        return 1 if self.coins == "one" else self.num_slots

    def _moved(self, state: CoinState, action: Array, words: Array) -> Array:
        moves = (action > 0) & state.alive
        table = open_board(self.size, self.size, torus=True).ahead
        ahead = jnp.asarray(table)[jnp.clip(action - 1, 0, 3), state.cell]
        target = jnp.where(moves, ahead, state.cell)
        return target if self.collisions == "allowed" else settle(state.cell, target, words)

    def _replace(self, state: CoinState, taken: Array, places: Array, colours: Array) -> CoinState:
        """Put new coins where some were taken.

        places: [N + K] uint32, the last K decide where; colours: [N + K] uint32.
        """
        num, cells = self.num_slots, self.size**2
        coin, colour = jnp.where(taken, -1, state.coin), state.colour
        if self.coins == "one":
            # The owner is drawn among those present, by the place of one in their order.
            which = below(colours[num], jnp.maximum(jnp.sum(state.alive), 1))
            owner = jnp.argmax(state.alive & (jnp.cumsum(state.alive) - 1 == which))
            owner = owner.astype(jnp.int32)
            place = free_cell(state.cell, places[num], cells)
            return dataclasses.replace(
                state,
                coin=jnp.where(taken, place, state.coin),
                colour=jnp.where(taken, owner, colour),
            )
        for index in range(num):
            place = free_cell(jnp.concatenate([state.cell, coin]), places[num + index], cells)
            wanted = taken[index] & state.alive[index]
            coin = coin.at[index].set(jnp.where(wanted, place, coin[index]))
        return dataclasses.replace(state, coin=coin, colour=jnp.arange(num, dtype=jnp.int32))

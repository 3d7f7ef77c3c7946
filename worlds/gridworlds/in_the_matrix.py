"""In the matrix: collect what you will play, then meet somebody and be paid by a game."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount, joined
from worlds.gridworlds.bodies import WALKS, check_room, come_back, entries_of, walk, zapped
from worlds.gridworlds.engine import (
    Board,
    Window,
    board,
    draws,
    look,
    scatter_players,
    split_channels,
)
from worlds.gridworlds.maps import pick_map
from worlds.gridworlds.pixels import Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.random import below, fold, threshold
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["InTheMatrix", "MatrixState"]

# Payoff to the one who plays the row, and the names of the resources.
GAMES = {
    "prisoners_dilemma": (((3, 0), (5, 1)), ("green", "red")),
    "stag_hunt": (((4, 0), (2, 2)), ("stag", "hare")),
    "chicken": (((3, 2), (5, 0)), ("dove", "hawk")),
    "pure_coordination": (((1, 0, 0), (0, 1, 0), (0, 0, 1)), ("red", "green", "blue")),
    "rock_paper_scissors": (((0, -10, 10), (10, 0, -10), (-10, 10, 0)), ("rock", "paper", "shear")),
}
_MEET = len(WALKS)


@pytree
class MatrixState:
    """One episode.

    cell: [N] int32, -1 where out or empty. facing: [N] int32. alive: [N] bool.
    timer: [N] int32 steps until an agent that is out may come back.
    bag: [N, K] int32 resources of each kind that each carries.
    kind: [C] int32 kind of resource that grows in a cell, -1 none. there: [C] bool.
    met: [N] int32 games played. played: [N, K] float32, sum of the shares played. clock: int32.
    """

    cell: Array
    facing: Array
    alive: Array
    timer: Array
    bag: Array
    kind: Array
    there: Array
    met: Array
    played: Array
    clock: Array


@component("world", "in_the_matrix")
@pytree
class InTheMatrix(GridWorld[MatrixState]):
    """Players gather resources that stand for strategies and play a matrix game when they meet.

    Who acts when: everybody who is not out, in every step, on a walled map. Action:
    Discrete(8), stay, four steps relative to the own facing, two turns, meet. Moves are
    settled first, then resources are picked up, then those who chose to meet, and carry
    something, play with one other in reach of their beam who carries something too (drawn at
    random; nobody plays twice in a step). Each plays the mixture x of what it carries:
    the reward is x' A y with the payoff matrix A of ``game`` and the other's mixture y. Both
    lose what they carry and are out for ``timeout`` steps. Picked resources grow back in
    their place with chance ``growth`` a step. Truncated after ``max_steps``. Random: places,
    kinds of resources, contested cells and partners, growth.

    View: ``grid`` [11, 11, 2 + K] uint8, turned with the viewer (nine cells ahead, one
    behind, five to each side): walls, other players, resources by kind; ``own`` [K + 1]
    float32: the mixture that it carries (zeros for nothing) and the share of the time-out left.

    Source: Vezhnevets et al. (2020), "OPtions as REsponses", arXiv:1906.01470; Leibo et al.
    (2021), arXiv:2107.06857 (the payoffs, the chance of growth; theirs delays it by 10 steps,
    freezes for 16 and shows who carries something). The maps are our own.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("equality",)
    fitness: ClassVar[str] = "reward"
    moves: ClassVar[tuple[str, ...]] = (*WALKS, "meet")
    oriented: ClassVar[bool] = True
    view_window: ClassVar[Window] = Window(9, 1, 5)

    game: Literal[
        "prisoners_dilemma", "stag_hunt", "chicken", "pure_coordination", "rock_paper_scissors"
    ] = doc_field("prisoners_dilemma", "The matrix game.")
    layout: Literal["arena", "small"] = doc_field("arena", "Size of the map.")
    map: str = doc_field("", "An own map: # wall, R resources grow, P entries.")
    growth: float = doc_field(0.04, "Chance that a picked resource grows back.", ge=0, le=1)
    beam_length: int = doc_field(3, "Places within which one can meet.", ge=1, le=16)
    beam_radius: int = doc_field(1, "Lanes to each side.", ge=0, le=4)
    timeout: int = doc_field(16, "Steps that both stay out after a game.", ge=1)
    max_steps: int = doc_field(1000, "Steps of an episode.", ge=1)
    num_slots: int = provided(8)
    num_players: int = provided(8)
    present: Any = provided(None)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the resources, in the order of the payoffs."""
        return GAMES[self.game][1]

    @property
    def payoffs(self) -> np.ndarray:
        """[K, K] float32: what the one who plays the row gets."""
        return np.asarray(GAMES[self.game][0], np.float32)

    @property
    def channels(self) -> tuple[str, ...]:
        """What each channel of the picture shows."""
        return ("wall", "other players", *(f"{kind} resources" for kind in self.kinds))

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.view_window.own

    @property
    def grid(self) -> Board:
        """The map."""
        return board(pick_map("arena" if self.layout == "arena" else "arena_small", self.map))

    def check_params(self) -> None:
        """Raise ValueError where nothing grows or there is no room."""
        if not self.grid.mask("R").any():
            raise ValueError("in_the_matrix: the map has no R, so there is nothing to gather")
        check_room("in_the_matrix", self.grid, self.num_slots, "R")

    def init(self, key: Array) -> MatrixState:
        """Scatter agents over the entries and kinds over the places of resources."""
        num, grid = self.num_slots, self.grid
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        zeros = jnp.zeros(num, jnp.int32)
        words, kinds = draws(key, max(num, grid.cells), 3)
        grows = jnp.asarray(grid.mask("R"))
        kind = below(kinds[: grid.cells], len(self.kinds))
        return MatrixState(
            cell=scatter_players(key, alive, entries_of(grid, num, "R")),
            facing=(words[:num] & 3).astype(jnp.int32),
            alive=alive,
            timer=zeros,
            bag=jnp.zeros((num, len(self.kinds)), jnp.int32),
            kind=jnp.where(grows, kind, -1),
            there=grows,
            met=zeros,
            played=jnp.zeros((num, len(self.kinds)), jnp.float32),
            clock=jnp.int32(0),
        )

    def observe(self, state: MatrixState) -> Observation:
        """Show each agent what lies ahead of it, and what it carries."""
        grid = self.grid
        codes = jnp.asarray(grid.wall).astype(jnp.int32)
        codes = codes | jnp.where(state.there, jnp.int32(4) << jnp.maximum(state.kind, 0), 0)
        seen = look(grid, codes, state.cell, state.facing, self.view_window, 1)
        inside = state.cell >= 0
        waits = jnp.where(state.alive & ~inside, state.timer / self.timeout, 0.0)
        own = jnp.concatenate([_mixture(state.bag), waits[:, None]], axis=1)
        view = {"grid": split_channels(seen, len(self.channels)), "own": own.astype(jnp.float32)}
        acting = state.alive & inside & (state.clock < self.max_steps)
        return Observation(view, state.alive, acting)

    def step(self, key: Array, state: MatrixState, action: Array) -> tuple[MatrixState, Transition]:
        """Walk, gather, meet, grow, come back."""
        grid, action, num = self.grid, jnp.asarray(action), self.num_slots
        words, luck = draws(key, max(grid.cells, num))
        inside = state.alive & (state.cell >= 0)
        cell, facing = walk(grid, state.cell, state.facing, action, words[:num], inside)
        place = jnp.maximum(cell, 0)
        picks = inside & state.there[place]
        kinds = jnp.arange(len(self.kinds))
        bag = state.bag + (picks[:, None] & (state.kind[place][:, None] == kinds[None, :]))
        here = jnp.any(jnp.arange(grid.cells)[None, :] == cell[:, None], axis=0)
        grows = (state.kind >= 0) & ~state.there & ~here
        there = state.there & ~here | grows & (luck[: grid.cells] < threshold(self.growth))
        fires = inside & (action == _MEET) & jnp.any(bag > 0, axis=1)
        pairs = self._pairs(cell, facing, bag, fires, fold(key, 1))
        mixture = _mixture(bag)
        meets = jnp.any(pairs, axis=1)
        value = mixture @ jnp.asarray(self.payoffs) @ mixture.T
        reward = jnp.sum(jnp.where(pairs, value, 0.0), axis=1).astype(jnp.float32)
        timer = jnp.maximum(jnp.where(meets, self.timeout + 1, state.timer) - 1, 0)
        cell = come_back(
            fold(key, 2),
            jnp.where(meets, -1, cell),
            timer,
            state.alive,
            entries_of(grid, num, "R"),
        )
        after = MatrixState(
            cell=cell,
            facing=facing,
            alive=state.alive,
            timer=timer,
            bag=jnp.where(meets[:, None], 0, bag),
            kind=state.kind,
            there=there,
            met=state.met + meets,
            played=state.played + jnp.where(meets[:, None], mixture, 0.0),
            clock=state.clock + 1,
        )
        over = state.alive & (after.clock >= self.max_steps)
        metrics = {
            "games": jnp.sum(meets, dtype=jnp.float32) / 2,
            "gathered": jnp.sum(picks, dtype=jnp.float32),
            "welfare": jnp.sum(reward, dtype=jnp.float32),
        }
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: MatrixState) -> dict[str, Array]:
        """Games played, and the mean share of the first resource in what was played."""
        games = jnp.maximum(state.met, 1).astype(jnp.float32)
        return {
            "games": state.met.astype(jnp.float32),
            f"share_{self.kinds[0]}": state.played[:, 0] / games,
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        shape = (*self.view_window.shape, len(self.channels))
        own = (len(self.kinds) + 1,)
        return gymnasium.spaces.Dict(
            {
                "grid": gymnasium.spaces.Box(0, 1, shape, np.uint8),
                "own": gymnasium.spaces.Box(0.0, 1.0, own, np.float32),
            }
        )

    def frame(self, state: MatrixState) -> np.ndarray:
        """A picture of the arena."""
        grid = self.grid
        picture = Picture(grid.height, grid.width)
        picture.walls(grid.wall)
        for place in np.flatnonzero(np.asarray(state.there)):
            kind = int(np.asarray(state.kind)[place])
            draw(picture, int(place), "diamond", colour_of(3 - kind * 3 if kind < 2 else 1))
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                facing = int(np.asarray(state.facing)[slot])
                draw(picture, int(cell), "arrow", colour_of(slot), facing)
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        pays = [
            f"{row} against {column} gives {amount(self.payoffs[i, j])}"
            for i, row in enumerate(self.kinds)
            for j, column in enumerate(self.kinds)
        ]
        return (
            f"You are one of {self.num_players} players who gather resources of these kinds: "
            f"{joined(self.kinds)}. Step on a resource to take it.",
            "With 'meet' you play with one player who stands in front of you (within "
            f"{self.beam_length} places, {self.beam_radius} to each side), if both of you carry "
            "something. What you carry decides how you play: half red and half green plays each "
            "half of the time.",
            f"You get the average of what your kinds earn against the other's: {'; '.join(pays)}.",
            f"After that both of you carry nothing and are out for {self.timeout} steps.",
            f"The game lasts {self.max_steps} steps. Your goal is to earn as much as possible.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """What the seat carries, or how long it is out."""
        *shares, waits = (float(part) for part in row["own"])
        if waits > 0 or not np.asarray(row["grid"]).any():
            return (f"You are out for {round(waits * self.timeout)} more steps.",)
        if not any(shares):
            return ("You carry nothing.",)
        parts = [
            f"{amount(100 * share)}% {kind}"
            for kind, share in zip(self.kinds, shares, strict=True)
            if share
        ]
        return (f"Of what you carry, {joined(parts)}.",)

    def _pairs(self, cell: Array, facing: Array, bag: Array, fires: Array, key: Array) -> Array:
        """[N, N] bool, symmetric: who plays with whom; at most one partner each."""
        num = self.num_slots
        hits = zapped(self.grid, cell, facing, fires, self.beam_length, self.beam_radius)
        hits = hits & jnp.any(bag > 0, axis=1)[None, :]
        words, _ = draws(key, num * num)
        # The place in the low bits makes all scores different and above 0.
        places = np.arange(1, num * num + 1, dtype=np.uint32)
        low = np.uint32(2 ** int(num * num).bit_length() - 1)
        score = jnp.where(hits, ((words & ~low) | places).reshape(num, num), 0)
        score = jnp.maximum(score, score.T)
        best = jnp.max(score, axis=1)
        return (score > 0) & (score == best[:, None]) & (score == best[None, :])


def _mixture(bag: Array) -> Array:
    """[N, K] float32: shares of what each carries; zeros for nothing."""
    total = jnp.maximum(jnp.sum(bag, axis=1, keepdims=True), 1)
    return (bag / total).astype(jnp.float32)

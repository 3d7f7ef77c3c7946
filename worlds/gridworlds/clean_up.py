"""Clean-up: apples grow only while somebody cleans the river."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount, exact
from worlds.gridworlds.bodies import WALKS, check_room, come_back, entries_of, walk, zapped
from worlds.gridworlds.engine import (
    Board,
    Window,
    beam,
    board,
    draws,
    look,
    scatter_players,
    split_channels,
)
from worlds.gridworlds.maps import pick_map
from worlds.gridworlds.pixels import PALETTE, Picture, colour_of, draw
from worlds.gridworlds.world import GridWorld
from worlds.random import fold, threshold
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["CleanUp", "CleanUpState"]

_CLEAN, _ZAP = len(WALKS), len(WALKS) + 1


@pytree
class CleanUpState:
    """One episode.

    cell: [N] int32, -1 where out or empty. facing: [N] int32. alive: [N] bool.
    timer: [N] int32 steps until an agent that is out may come back. ready: [N] int32 steps
    until it may zap again. dirt, apple: [C] bool. eaten, cleaned: [N] int32. clock: int32.
    """

    cell: Array
    facing: Array
    alive: Array
    timer: Array
    ready: Array
    dirt: Array
    apple: Array
    eaten: Array
    cleaned: Array
    clock: Array


@component("world", "clean_up")
@pytree
class CleanUp(GridWorld[CleanUpState]):
    """Apples grow only while somebody cleans the river: a public good that nobody is paid for.

    Who acts when: everybody who is not out, in every step, on a walled map with a river and
    an orchard. Action: Discrete, stay, four steps relative to the own facing, two turns,
    clean, and, unless ``zap: none``, zap. Moves are settled first, then apples are eaten,
    then beams clean and hit, then dirt and apples come. Agents can wade in the river.
    Reward: 1 for an apple, minus ``zap_cost`` for firing and ``zap_loss`` for being hit.
    The episode is truncated after ``max_steps``.

    Dirt: with chance ``dirt_chance`` a step, one clean place of the river, drawn at random,
    gets dirty. Apples: every free place of the orchard without an apple gets one with chance
    ``apple_chance`` * (depletion - share) / (depletion - restoration), clipped to
    [0, apple_chance], where share is the part of the river that is dirty. At the beginning
    the part ``initial_dirt`` of the river (its upper rows) is dirty and there are no apples.

    View: ``grid`` [11, 11, 5] uint8 as in commons_harvest: walls, apples, dirt, water, other
    players; ``own`` [2] float32: 1 if it may zap, and the share of the time-out that is left.

    Source: Hughes et al. (2018), arXiv:1803.08884; Leibo et al. (2021), arXiv:2107.06857 for
    the chances and the beams (we begin without their delay of 50 steps). The map is our own.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("sustainability", "equality")
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = ("wall", "apples", "dirt", "water", "other players")
    oriented: ClassVar[bool] = True
    view_window: ClassVar[Window] = Window(9, 1, 5)

    layout: Literal["full", "small"] = doc_field("full", "Size of the map.")
    map: str = doc_field(
        "", "An own map: # wall, ~ river, A orchard, P entries; lines of one length."
    )
    dirt_chance: float = doc_field(0.5, "Chance of new dirt in a step.", ge=0, le=1)
    apple_chance: float = doc_field(0.05, "Greatest chance of an apple in a place.", ge=0, le=1)
    depletion: float = doc_field(
        0.4, "Dirty share of the river from which on nothing grows.", gt=0, le=1
    )
    restoration: float = doc_field(
        0.0, "Dirty share up to which apples grow at their best.", ge=0, le=1
    )
    initial_dirt: float = doc_field(0.5, "Dirty share of the river at first.", ge=0, le=1)
    zap: Literal["timeout", "none"] = doc_field("timeout", "Whether agents can zap others out.")
    beam_length: int = doc_field(3, "Places that both beams reach.", ge=1, le=16)
    beam_radius: int = doc_field(1, "Lanes of a beam to each side.", ge=0, le=4)
    timeout: int = doc_field(50, "Steps that whoever is hit stays out.", ge=1)
    cooldown: int = doc_field(10, "Steps between two zaps of an agent.", ge=0)
    zap_cost: float = doc_field(0.0, "Paid for firing.", ge=0)
    zap_loss: float = doc_field(0.0, "Lost by whoever is hit, by each beam.", ge=0)
    max_steps: int = doc_field(1000, "Steps of an episode.", ge=1)
    num_slots: int = provided(7)
    num_players: int = provided(7)
    present: Any = provided(None)

    @property
    def moves(self) -> tuple[str, ...]:
        """Names of the actions."""
        return (*WALKS, "clean") if self.zap == "none" else (*WALKS, "clean", "zap")

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.view_window.own

    @property
    def grid(self) -> Board:
        """The map."""
        return board(pick_map("clean_up" if self.layout == "full" else "clean_up_small", self.map))

    def check_params(self) -> None:
        """Raise ValueError where there is nothing to clean or to eat, or no room."""
        for mark, what in (("~", "river"), ("A", "orchard")):
            if not self.grid.mask(mark).any():
                raise ValueError(f"clean_up: the map has no {mark}, so it has no {what}")
        if float(self.restoration) >= float(self.depletion):
            raise ValueError(
                f"clean_up grows apples between restoration {float(self.restoration):g} and "
                f"depletion {float(self.depletion):g}; restoration must be the smaller one"
            )
        check_room("clean_up", self.grid, self.num_slots, "A~")

    def init(self, key: Array) -> CleanUpState:
        """Scatter agents over the entries; part of the river is dirty."""
        num, grid = self.num_slots, self.grid
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        zeros = jnp.zeros(num, jnp.int32)
        words, _ = draws(key, num, 3)
        river = grid.mask("~")
        rank = np.cumsum(river) - 1
        return CleanUpState(
            cell=scatter_players(key, alive, entries_of(grid, num, "A~")),
            facing=(words & 3).astype(jnp.int32),
            alive=alive,
            timer=zeros,
            ready=zeros,
            dirt=jnp.asarray(river) & (rank < jnp.round(river.sum() * self.initial_dirt)),
            apple=jnp.zeros(grid.cells, bool),
            eaten=zeros,
            cleaned=zeros,
            clock=jnp.int32(0),
        )

    def observe(self, state: CleanUpState) -> Observation:
        """Show each agent what lies ahead of it."""
        grid = self.grid
        codes = jnp.asarray(grid.wall.astype(np.int32) | (grid.mask("~").astype(np.int32) << 3))
        codes = codes | (state.apple.astype(jnp.int32) << 1) | (state.dirt.astype(jnp.int32) << 2)
        seen = look(grid, codes, state.cell, state.facing, self.view_window, 4)
        inside = state.cell >= 0
        ready = inside & (state.ready == 0) & (self.zap != "none")
        waits = jnp.where(state.alive & ~inside, state.timer / self.timeout, 0.0)
        view = {
            "grid": split_channels(seen, len(self.channels)),
            "own": jnp.stack([ready.astype(jnp.float32), waits.astype(jnp.float32)], axis=1),
        }
        acting = state.alive & inside & (state.clock < self.max_steps)
        return Observation(view, state.alive, acting)

    def step(
        self, key: Array, state: CleanUpState, action: Array
    ) -> tuple[CleanUpState, Transition]:
        """Walk, eat, clean, zap, come back; then dirt and apples come."""
        grid, action = self.grid, jnp.asarray(action)
        words, luck = draws(key, grid.cells)
        inside = state.alive & (state.cell >= 0)
        cell, facing = walk(grid, state.cell, state.facing, action, words[: self.num_slots], inside)
        here = jnp.any(jnp.arange(grid.cells)[None, :] == cell[:, None], axis=0)
        eats = inside & state.apple[jnp.maximum(cell, 0)]
        washes = inside & (action == _CLEAN)
        dirt, cleaned = self._washed(state.dirt, cell, facing, washes)
        fires = inside & (action == _ZAP) & (state.ready == 0) & (self.zap != "none")
        hits = zapped(grid, cell, facing, fires, self.beam_length, self.beam_radius)
        hit = jnp.sum(hits, axis=0, dtype=jnp.int32)
        dirt = self._soiled(dirt, fold(key, 1))
        apple = state.apple & ~here
        ripe = jnp.asarray(grid.mask("A")) & ~apple & ~here & (luck < self._chance(dirt))
        # One more, since the step that begins now is the first of those spent outside.
        timer = jnp.maximum(jnp.where(hit > 0, self.timeout + 1, state.timer) - 1, 0)
        cell = come_back(
            fold(key, 2),
            jnp.where(hit > 0, -1, cell),
            timer,
            state.alive,
            entries_of(grid, self.num_slots, "A~"),
        )
        after = CleanUpState(
            cell=cell,
            facing=facing,
            alive=state.alive,
            timer=timer,
            ready=jnp.where(fires, self.cooldown, jnp.maximum(state.ready - 1, 0)),
            dirt=dirt,
            apple=apple | ripe,
            eaten=state.eaten + eats,
            cleaned=state.cleaned + cleaned,
            clock=state.clock + 1,
        )
        cost = jnp.float32(self.zap_cost) * fires + jnp.float32(self.zap_loss) * hit
        over = state.alive & (after.clock >= self.max_steps)
        metrics = {
            "apples": jnp.sum(eats, dtype=jnp.float32),
            "cleaned": jnp.sum(cleaned, dtype=jnp.float32),
            "dirt": jnp.sum(dirt, dtype=jnp.float32),
            "zaps": jnp.sum(fires, dtype=jnp.float32),
        }
        reward = eats.astype(jnp.float32) - cost
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: CleanUpState) -> dict[str, Array]:
        """Apples eaten and places cleaned by each, and the dirty share of the river."""
        river = self.grid.mask("~").sum()
        return {
            "apples": state.eaten.astype(jnp.float32),
            "cleaned": state.cleaned.astype(jnp.float32),
            "dirty_share": jnp.sum(state.dirt, dtype=jnp.float32) / river,
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        shape = (*self.view_window.shape, len(self.channels))
        return gymnasium.spaces.Dict(
            {
                "grid": gymnasium.spaces.Box(0, 1, shape, np.uint8),
                "own": gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32),
            }
        )

    def frame(self, state: CleanUpState) -> np.ndarray:
        """A picture of river and orchard."""
        grid = self.grid
        picture = Picture(grid.height, grid.width, ground="sand")
        picture.fill(grid.mask("~"), "water")
        picture.fill(grid.mask("A"), "grass")
        picture.walls(grid.wall)
        for place in np.flatnonzero(np.asarray(state.dirt)):
            draw(picture, int(place), "dirt", PALETTE["dirt"])
        for place in np.flatnonzero(np.asarray(state.apple)):
            draw(picture, int(place), "apple", PALETTE["apple"])
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                facing = int(np.asarray(state.facing)[slot])
                draw(picture, int(cell), "arrow", colour_of(slot), facing)
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are played."""
        reach = f"{self.beam_length} places ahead, {self.beam_radius} to each side"
        lines = [
            f"You are one of {self.num_players} who live between a river and an orchard. "
            "Step on an apple to eat it; each apple gives you 1 point.",
            f"The river gets dirty: in each step, with a chance of "
            f"{amount(100 * self.dirt_chance)}%, one more place of it does.",
            f"Apples grow only while less than {amount(100 * self.depletion)}% of the river is "
            "dirty, and the faster the cleaner it is "
            f"(at best {exact(100 * self.apple_chance)}% a step in each place of the orchard).",
            f"With 'clean' you wash the dirt away in front of you ({reach}). Nobody is paid for "
            "cleaning. You can wade through the river.",
        ]
        if self.zap != "none":
            lines.append(
                f"With 'zap' you fire a beam with the same reach; whoever it hits is out for "
                f"{self.timeout} steps. You can do so every {self.cooldown + 1} steps."
            )
            if float(self.zap_cost) or float(self.zap_loss):
                lines.append(
                    f"Firing costs you {amount(self.zap_cost)} points; being hit costs "
                    f"{amount(self.zap_loss)} points."
                )
        lines.append(f"The season lasts {self.max_steps} steps. Your goal is to earn many points.")
        return lines

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """Whether one is out, and whether one may zap."""
        ready, waits = (float(part) for part in row["own"])
        if waits > 0 or not np.asarray(row["grid"]).any():
            return (f"You are out for {round(waits * self.timeout)} more steps.",)
        if self.zap == "none":
            return ()
        return ("You can zap now." if ready else "You cannot zap yet.",)

    def _washed(
        self, dirt: Array, cell: Array, facing: Array, washes: Array
    ) -> tuple[Array, Array]:
        """The dirt that is left, and how much each has washed away ([N] int32).

        Dirt that several reach counts for the one in the lowest slot of those, as nothing is
        paid for it.
        """
        grid = self.grid
        cells = beam(grid, cell, facing, self.beam_length, self.beam_radius)
        cells = jnp.where(washes[:, None], cells, -1).reshape(-1)
        earlier = np.tri(cells.shape[0], k=-1, dtype=bool)
        again = jnp.any(earlier & (cells[:, None] == cells[None, :]), axis=1)
        washed = dirt[jnp.maximum(cells, 0)] & (cells >= 0) & ~again
        clean = dirt.at[jnp.where(cells >= 0, cells, grid.cells)].set(False, mode="drop")
        return clean, jnp.sum(washed.reshape(cell.shape[0], -1), axis=1, dtype=jnp.int32)

    def _soiled(self, dirt: Array, key: Array) -> Array:
        """Perhaps one more dirty place."""
        cells = np.arange(self.grid.cells, dtype=np.uint32)
        words, luck = draws(key, self.grid.cells)
        clean = jnp.asarray(self.grid.mask("~")) & ~dirt
        # The place in the low bits makes all words different; one more keeps them above 0.
        low = np.uint32(2 ** int(self.grid.cells).bit_length() - 1)
        words = jnp.where(clean, ((words & ~low) | cells) + 1, 0)
        return dirt | (clean & (words == jnp.max(words)) & (luck[0] < threshold(self.dirt_chance)))

    def _chance(self, dirt: Array) -> Array:
        """[] uint32 threshold of an apple in a free place."""
        share = jnp.sum(dirt, dtype=jnp.float32) / self.grid.mask("~").sum()
        growth = (self.depletion - share) / (self.depletion - self.restoration)
        return threshold(self.apple_chance * jnp.clip(growth, 0.0, 1.0))

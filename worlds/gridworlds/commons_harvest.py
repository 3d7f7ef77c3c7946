"""Commons harvest: apples grow back only where enough are left."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.games.captions.wording import amount
from worlds.gridworlds.bodies import WALKS, check_room, come_back, entries_of, walk, zapped
from worlds.gridworlds.engine import (
    Board,
    Window,
    board,
    count_near,
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

__all__ = ["CommonsHarvest", "HarvestState"]

# Chance of regrowth in a step by the number of apples within radius 2; the last stands for more.
REGROWTH = {
    "leibo": (0.0, 0.0025, 0.005, 0.025),
    "perolat": (0.0, 0.01, 0.01, 0.05, 0.05, 0.1),
}
_ZAP = len(WALKS)
_RADIUS = 2


@pytree
class HarvestState:
    """One episode.

    cell: [N] int32, -1 where out or empty. facing: [N] int32. alive: [N] bool.
    timer: [N] int32 steps until an agent that is out may come back. ready: [N] int32 steps
    until it may zap again. apple: [C] bool. eaten, zaps: [N] int32. clock: int32 steps.
    """

    cell: Array
    facing: Array
    alive: Array
    timer: Array
    ready: Array
    apple: Array
    eaten: Array
    zaps: Array
    clock: Array


@component("world", "commons_harvest")
@pytree
class CommonsHarvest(GridWorld[HarvestState]):
    """Apples grow back only where enough are left near by: a commons that can be used up.

    Who acts when: everybody who is not out, in every step, on a walled map. Action: Discrete,
    stay, four steps relative to the own facing, two turns and, unless ``zap: none``, a beam
    that sends whoever it hits out of the map for ``timeout`` steps. Moves are settled first,
    then apples are eaten, then beams hit, then apples grow. Reward: 1 for an apple, minus
    ``zap_cost`` for firing and ``zap_loss`` for being hit. The episode is truncated after
    ``max_steps``.

    Regrowth: a place without an apple (and without an agent) gets one with a chance that
    depends on the number of apples within Euclidean distance 2: 0, 0.0025, 0.005, 0.025 for
    0, 1, 2 and more (``leibo``), or 0 for none, 0.01 for 1-2, 0.05 for 3-4 and 0.1 for more
    (``perolat``), times ``growth``. Random: places, contested cells, growth.

    View: ``grid`` [11, 11, 3] uint8, turned with the viewer, who sees nine cells ahead, one
    behind and five to each side: walls, apples, other players; ``own`` [2] float32: 1 if it
    may zap, and the share of the time-out that is left.

    Source: Perolat et al. (2017), arXiv:1707.06600; Hughes et al. (2018), arXiv:1803.08884;
    Leibo et al. (2021), arXiv:2107.06857 (``leibo`` and the views). The maps are our own.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    measures: ClassVar[tuple[str, ...]] = ("sustainability", "equality")
    fitness: ClassVar[str] = "reward"
    channels: ClassVar[tuple[str, ...]] = ("wall", "apples", "other players")
    oriented: ClassVar[bool] = True
    view_window: ClassVar[Window] = Window(9, 1, 5)

    layout: Literal["open", "closed", "small"] = doc_field(
        "open", "One field, rooms with narrow doors, or one patch."
    )
    map: str = doc_field("", "An own map: # wall, A apples grow, P entries; lines of one length.")
    regrowth: Literal["leibo", "perolat"] = doc_field("leibo", "Whose chances of regrowth.")
    growth: float = doc_field(1.0, "Factor on the chances of regrowth.", ge=0, le=10)
    zap: Literal["timeout", "none"] = doc_field("timeout", "Whether agents have a beam.")
    beam_length: int = doc_field(3, "Cells that a beam reaches.", ge=1, le=16)
    beam_radius: int = doc_field(1, "Lanes of a beam to each side.", ge=0, le=4)
    timeout: int = doc_field(25, "Steps that whoever is hit stays out.", ge=1)
    cooldown: int = doc_field(10, "Steps between two zaps of an agent.", ge=0)
    zap_cost: float = doc_field(0.0, "Paid for firing.", ge=0)
    zap_loss: float = doc_field(0.0, "Lost by whoever is hit, by each beam.", ge=0)
    max_steps: int = doc_field(1000, "Steps of an episode.", ge=1)
    num_slots: int = provided(8)
    num_players: int = provided(8)
    present: Any = provided(None)

    @property
    def moves(self) -> tuple[str, ...]:
        """Names of the actions."""
        return WALKS if self.zap == "none" else (*WALKS, "zap")

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer in its view."""
        return self.view_window.own

    @property
    def grid(self) -> Board:
        """The map."""
        return board(pick_map(f"harvest_{self.layout}", self.map))

    def check_params(self) -> None:
        """Raise ValueError where the map has no apples or no room."""
        if not self.grid.mask("A").any():
            raise ValueError("commons_harvest: the map has no A, so no apples could ever grow")
        check_room("commons_harvest", self.grid, self.num_slots, "A")

    def init(self, key: Array) -> HarvestState:
        """Scatter agents over the entries; all apples are there."""
        num, grid = self.num_slots, self.grid
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        zeros = jnp.zeros(num, jnp.int32)
        words, _ = draws(key, num, 3)
        return HarvestState(
            cell=scatter_players(key, alive, entries_of(grid, num, "A")),
            facing=(words & 3).astype(jnp.int32),
            alive=alive,
            timer=zeros,
            ready=zeros,
            apple=jnp.asarray(grid.mask("A")),
            eaten=zeros,
            zaps=zeros,
            clock=jnp.int32(0),
        )

    def observe(self, state: HarvestState) -> Observation:
        """Show each agent what lies ahead of it."""
        grid = self.grid
        codes = jnp.asarray(grid.wall).astype(jnp.int32) | (state.apple.astype(jnp.int32) << 1)
        seen = look(grid, codes, state.cell, state.facing, self.view_window, 2)
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
        self, key: Array, state: HarvestState, action: Array
    ) -> tuple[HarvestState, Transition]:
        """Walk, eat, zap, grow, come back."""
        grid, action = self.grid, jnp.asarray(action)
        words, luck = draws(key, grid.cells)
        inside = state.alive & (state.cell >= 0)
        cell, facing = walk(grid, state.cell, state.facing, action, words[: self.num_slots], inside)
        here = jnp.arange(grid.cells)[None, :] == cell[:, None]
        eats = inside & state.apple[jnp.maximum(cell, 0)]
        apple = state.apple & ~jnp.any(here, axis=0)
        fires = inside & (action == _ZAP) & (state.ready == 0) & (self.zap != "none")
        hits = zapped(grid, cell, facing, fires, self.beam_length, self.beam_radius)
        hit = jnp.sum(hits, axis=0, dtype=jnp.int32)
        grows = jnp.asarray(grid.mask("A")) & ~apple & ~jnp.any(here, axis=0)
        apple = apple | (grows & (luck < self._chance(apple)))
        out = hit > 0
        # One more, since the step that begins now is the first of those spent outside.
        timer = jnp.where(out, self.timeout + 1, state.timer)
        timer = jnp.maximum(timer - 1, 0)
        cell = jnp.where(out, -1, cell)
        cell = come_back(
            fold(key, 1), cell, timer, state.alive, entries_of(grid, self.num_slots, "A")
        )
        reward = (
            eats.astype(jnp.float32)
            - jnp.float32(self.zap_cost) * fires
            - jnp.float32(self.zap_loss) * hit
        )
        after = HarvestState(
            cell=cell,
            facing=facing,
            alive=state.alive,
            timer=timer,
            ready=jnp.where(fires, self.cooldown, jnp.maximum(state.ready - 1, 0)),
            apple=apple,
            eaten=state.eaten + eats,
            zaps=state.zaps + fires,
            clock=state.clock + 1,
        )
        over = state.alive & (after.clock >= self.max_steps)
        metrics = {
            "apples": jnp.sum(eats, dtype=jnp.float32),
            "stock": jnp.sum(apple, dtype=jnp.float32),
            "zaps": jnp.sum(fires, dtype=jnp.float32),
            "out": jnp.sum(state.alive & ~inside, dtype=jnp.float32),
        }
        return after, Transition(reward, jnp.zeros_like(over), over, metrics=metrics)

    def outcome(self, state: HarvestState) -> dict[str, Array]:
        """Apples eaten and zaps fired by each, and the apples that are left."""
        return {
            "apples": state.eaten.astype(jnp.float32),
            "zaps": state.zaps.astype(jnp.float32),
            "stock": jnp.sum(state.apple, dtype=jnp.float32),
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

    def frame(self, state: HarvestState) -> np.ndarray:
        """A picture of the field."""
        grid = self.grid
        picture = Picture(grid.height, grid.width, ground="grass")
        picture.walls(grid.wall)
        for place in np.flatnonzero(np.asarray(state.apple)):
            draw(picture, int(place), "apple", PALETTE["apple"])
        for slot, cell in enumerate(np.asarray(state.cell)):
            if cell >= 0:
                facing = int(np.asarray(state.facing)[slot])
                draw(picture, int(cell), "arrow", colour_of(slot), facing)
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are played."""
        table = [float(self.growth) * chance for chance in REGROWTH[self.regrowth]]
        chances = ", ".join(
            f"{100 * chance:.3g}% with {count}{' or more' if count == len(table) - 1 else ''}"
            for count, chance in enumerate(table)
        )
        lines = [
            f"You are one of {self.num_players} who pick apples in the same field. "
            "Step on an apple to eat it; each apple gives you 1 point.",
            "Apples grow back only where other apples are left within two places. The chance "
            f"in each step depends on how many are left there: {chances}. "
            "Where all apples of a place are eaten, none will ever grow again.",
        ]
        if self.zap != "none":
            reach = f"{self.beam_length} places ahead, {self.beam_radius} to each side"
            lines.append(
                f"With 'zap' you fire a beam ({reach}); whoever it hits is out for {self.timeout} "
                f"steps and cannot pick. You can do so every {self.cooldown + 1} steps."
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
            return (f"You are out of the field for {round(waits * self.timeout)} more steps.",)
        if self.zap == "none":
            return ()
        return ("You can zap now." if ready else "You cannot zap yet.",)

    def _chance(self, apple: Array) -> Array:
        """[C] uint32 thresholds of regrowth."""
        count = count_near(self.grid, apple, _RADIUS)
        table = REGROWTH[self.regrowth]
        chance = jnp.zeros(self.grid.cells, jnp.float32)
        for near, value in enumerate(table):
            held = count >= near if near == len(table) - 1 else count == near
            chance = jnp.where(held, jnp.float32(value), chance)
        return threshold(jnp.minimum(chance * self.growth, 1.0))

"""Goal sequence: in what order to visit the goals of a board, learned by trying and watching."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.accumulation.lessons import Lifetime, finish_step, results, visible
from worlds.accumulation.trials import Trials
from worlds.games.captions.wording import amount, joined
from worlds.gridworlds.engine import Window, open_board, scatter_players, window
from worlds.gridworlds.pixels import PALETTE, Picture, colour_of, draw
from worlds.random import below, random_pair, uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition

__all__ = ["Errand", "GoalSequence", "Walk"]

_COLOURS = ("red", "blue", "yellow", "green", "purple", "turquoise")
_SEES = Window(ahead=4, behind=0, side=2)
_SOUTH = 2
_NEVER = np.int32(1_000_000)


@pytree
class Errand:
    """The hidden task. goals: [G] int32 cells. order: [L] int32, which goal comes when."""

    goals: Array
    order: Array


@pytree
class Walk(Lifetime):
    """A lifetime on a board.

    cell, facing: [N] int32 of each pupil. reached: [N] int32 place in the order of goals.
    path: [D, span] int32 poses (4 * cell + facing) of each demonstrator before each step.
    """

    cell: Array
    facing: Array
    reached: Array
    path: Array


@component("world", "goal_sequence")
@pytree
class GoalSequence(Trials):
    """Pupils walk from goal to goal in a hidden order, each on a board of its own.

    An episode is a lifetime of ``trials`` trials of ``steps`` steps; the goals' places and
    their order stay the same. Who acts when: everybody, in every step. Action: Discrete(3),
    turn left, turn right, or one step ahead. Reward: +1 for stepping on the goal that is next;
    -1 for stepping on another one, which also sets the pupil back by one goal of the order.
    Goals that follow one another differ; the order begins anew after ``length`` goals. Every
    trial begins in the middle of the northern edge, facing south. Pupils do not meet. Random:
    the goals' places and order, who is seen when, and the teachers.

    Demonstrators walk beside the pupil, on its board, as they walked in their last trial; they
    are seen with a chance that runs in a line over the trials of a lifetime (or, with
    ``schedule: generation``, over the steps of a generation). Where they come from:
    ``teachers: oracle`` gives every lifetime ``models`` teachers who take the shortest way to
    the next goal that avoids the others, except that with chance ``noise``, drawn for each
    goal, they make for a goal at random; seen from always (first trial) to never (last).
    Transmission ``demonstration`` replaces them by the previous generation.

    View: ``grid`` [5, 5, goals + 2] uint8, egocentric, the pupil at the middle of the last row:
    beyond the edge, each goal, demonstrators. ``place`` int32 steps into the trial, ``visible``,
    ``own``, ``ended`` int32 and ``reward`` float32 as in memory_sequence.

    Source: Cook, Lu, Hughes, Leibo, Foerster (2024), "Artificial generational intelligence",
    arXiv:2406.00392, section 5. There demonstrators begin one cell beside the pupils.
    """

    caption: ClassVar[str | None] = "worlds.gridworlds.captions:GridCaption"
    fitness: ClassVar[str] = "last_reward"
    moves: ClassVar[tuple[str, ...]] = ("turn left", "turn right", "step ahead")
    oriented: ClassVar[bool] = True
    collisions: ClassVar[str] = "allowed"
    centre: ClassVar[tuple[int, int]] = _SEES.own

    size: int = doc_field(7, "Rows and columns of the board.", ge=4, le=32)
    goals: int = doc_field(3, "Goals on the board.", ge=2, le=6)
    length: int = doc_field(100, "Goals until the order begins anew.", ge=2, le=4096)
    steps: int = doc_field(50, "Steps of a trial.", ge=1, le=4096)
    trials: int = doc_field(4, "Trials in a lifetime.", ge=1, le=1024)
    models: int = doc_field(1, "Demonstrators that are seen at once.", ge=1, le=64)
    teachers: Literal["none", "oracle"] = doc_field(
        "none", "Demonstrators of those whose generation has no forerunners."
    )
    noise: float = doc_field(0.2, "Chance that a teacher makes for any goal.", ge=0, le=1)
    schedule: Literal["trials", "generation"] = doc_field(
        "trials", "Over what the chance to see demonstrators runs from first to last."
    )
    num_slots: int = provided(4)
    num_players: int = provided(4)
    present: Any = provided(None)
    lesson: Any = provided(None)
    within: Any = provided(None)
    lifetime: int = provided(0)

    @property
    def span(self) -> int:
        """Steps of a trial."""
        return self.steps

    @property
    def choices(self) -> int:
        """Moves to choose from."""
        return len(self.moves)

    @property
    def ends_early(self) -> bool:
        """All trials are equally long."""
        return False

    @property
    def channels(self) -> tuple[str, ...]:
        """What each channel of the grid shows."""
        goals = tuple(f"the {colour} goal" for colour in _COLOURS[: self.goals])
        return ("wall", *goals, "others who walked here before you")

    @property
    def start(self) -> int:
        """The cell in which trials begin."""
        return self.size // 2

    def init(self, key: Array) -> Walk:
        """A lifetime, everybody at the start."""
        life = super().init(key)
        num = self.num_slots
        parts = {field.name: getattr(life, field.name) for field in dataclasses.fields(life)}
        return Walk(
            **parts,
            cell=jnp.full(num, self.start, jnp.int32),
            facing=jnp.full(num, _SOUTH, jnp.int32),
            reached=jnp.zeros(num, jnp.int32),
            path=self.walked(life.models),
        )

    def observe(self, state: Walk) -> Observation:
        """Show each pupil what lies before it."""
        cells = window(self._board, state.cell, state.facing, _SEES.offsets)
        goals = [cells == goal for goal in state.task.goals]
        place = jnp.minimum(state.place, self.span - 1)
        there = jnp.where(state.visible[:, None], state.path[:, place].T // 4, -2)
        others = jnp.any(cells[:, :, None] == there[:, None, :], axis=2)
        grid = jnp.stack([cells < 0, *goals, others], axis=-1) & state.alive[:, None, None]
        view = {
            "grid": grid.reshape(-1, *_SEES.shape, len(self.channels)).astype(jnp.uint8),
            "place": place,
            "visible": state.visible.astype(jnp.int32),
            "own": state.own,
            "ended": state.ended.astype(jnp.int32),
            "reward": state.reward,
        }
        return Observation(view, state.alive, state.alive & (state.trial < self.trials))

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        space: Any = super().observation_space(slot)
        parts = {name: part for name, part in space.items() if name != "shown"}
        shape = (*_SEES.shape, len(self.channels))
        return gymnasium.spaces.Dict({"grid": gymnasium.spaces.Box(0, 1, shape, np.uint8), **parts})

    def step(self, key: Array, state: Walk, action: Array) -> tuple[Walk, Transition]:
        """Walk on; pay for goals."""
        acting = state.alive & (state.trial < self.trials)
        action = jnp.asarray(action).astype(jnp.int32)
        pose = jnp.asarray(self._next)[jnp.clip(action, 0, 2), 4 * state.cell + state.facing]
        pose = jnp.where(acting, pose, 4 * state.cell + state.facing)
        cell = pose // 4
        entered = (cell != state.cell)[:, None] & (cell[:, None] == state.task.goals[None, :])
        wanted = state.task.order[state.reached % self.length]
        right = jnp.any(entered & (jnp.arange(self.goals) == wanted[:, None]), axis=1)
        wrong = jnp.any(entered, axis=1) & ~right
        reward = right.astype(jnp.float32) - wrong.astype(jnp.float32)
        moved = right.astype(jnp.int32) - (wrong & (state.reached > 0))
        ends = state.place == self.span - 1
        life: Any = finish_step(state, action, acting, reward, moved.astype(jnp.float32), ends)
        again = life.ended
        life = dataclasses.replace(
            life,
            cell=jnp.where(again, self.start, cell),
            facing=jnp.where(again, _SOUTH, pose % 4),
            reached=jnp.where(again, 0, state.reached + moved),
        )
        life = visible(key, life, self.progress(life))
        over = life.alive & jnp.all(~life.alive | (life.trial >= self.trials))
        acted = jnp.maximum(jnp.sum(acting), 1)
        metrics = {
            "right": jnp.sum(right, dtype=jnp.float32) / acted,
            "wrong": jnp.sum(wrong, dtype=jnp.float32) / acted,
        }
        return life, Transition(reward, over, jnp.zeros_like(over), metrics=metrics)

    def outcome(self, state: Walk) -> dict[str, Array]:
        """Returns of trials; ``last_score`` is how far the last one came in the order."""
        return results(state, self.trials)

    def draw_task(self, key: Array) -> Errand:
        """Places of the goals, not at the start, and their order."""
        cells = np.delete(np.arange(self.size**2), self.start)
        places = scatter_players(key, jnp.ones(self.goals, bool), cells)
        words, _ = random_pair(key, jnp.arange(self.length), 3)
        leap = jnp.where(
            jnp.arange(self.length) == 0, below(words, self.goals), below(words, self.goals - 1) + 1
        )
        return Errand(places, jnp.cumsum(leap, dtype=jnp.int32) % self.goals)

    def draw_teachers(self, key: Array, task: Errand) -> tuple[Array, Array]:
        """[models, span] what teachers do, and how often they are seen."""
        if self.teachers == "none":
            blank = jnp.full((self.models, self.span), -1, jnp.int32)
            return blank, jnp.zeros(2, jnp.float32)
        far = self.steps_to(task.goals)
        lanes = jnp.arange(self.models)
        begun = self._aim(key, task, jnp.zeros(self.models, jnp.int32), jnp.uint32(0))

        def move(carry: tuple[Array, ...], clock: Array) -> tuple[tuple[Array, ...], Array]:
            pose, reached, aim = carry
            action = jnp.argmin(far[aim, :, pose], axis=1).astype(jnp.int32)
            new = jnp.asarray(self._next)[action, pose]
            hit = (new // 4 != pose // 4) & (new // 4 == task.goals[aim])
            right = aim == task.order[reached % self.length]
            reached = jnp.where(hit, jnp.maximum(reached + jnp.where(right, 1, -1), 0), reached)
            aim = jnp.where(hit, self._aim(key, task, reached, clock + 1), aim)
            return (new, reached, aim), action

        first = jnp.full_like(lanes, 4 * self.start + _SOUTH)
        clock = jnp.arange(self.span, dtype=jnp.uint32)
        _, tapes = jax.lax.scan(move, (first, jnp.zeros_like(lanes), begun), clock)
        return tapes.T, jnp.array([1.0, 0.0], jnp.float32)

    def steps_to(self, goals: Array) -> Array:
        """[G, 3, poses] int32: steps until one enters each goal, by what is done first.

        Other goals are not stepped on; a million where there is no such way.
        """
        table = jnp.asarray(self._next)
        cell = jnp.arange(table.shape[1]) // 4
        enters = jnp.where(table // 4 != cell, table // 4, -1)
        there = enters[None] == goals[:, None, None]
        barred = jnp.any(enters[:, :, None] == goals, axis=2)[None] & ~there

        def shorten(_: int, far: Array) -> Array:
            after = jnp.min(far, axis=1)[:, table]
            return jnp.where(there, 1, jnp.where(barred, _NEVER, jnp.minimum(1 + after, _NEVER)))

        far = jnp.full((self.goals, *table.shape), _NEVER)
        # A way winds around at most a few goals, so it stays well below this many steps.
        return jax.lax.fori_loop(0, 4 * self.size + 8 * self.goals, shorten, far)

    def walked(self, tapes: Array) -> Array:
        """[D, span] poses before each step of whoever did what tapes say (-1: stands still)."""
        table = jnp.asarray(self._next)

        def move(pose: Array, action: Array) -> tuple[Array, Array]:
            new = jnp.where(action >= 0, table[jnp.clip(action, 0, 2), pose], pose)
            return new, pose

        first = jnp.full(tapes.shape[0], 4 * self.start + _SOUTH, jnp.int32)
        poses = jax.lax.scan(move, first, tapes.T)[1].T
        # Whoever did nothing at all is nowhere.
        return jnp.where(jnp.all(tapes < 0, axis=1)[:, None], -8, poses)

    def frame(self, state: Walk) -> np.ndarray:
        """A picture of the board of the first pupil, and of whom it sees."""
        picture = Picture(self.size, self.size, ground="tiles")
        for index, goal in enumerate(np.asarray(state.task.goals)):
            draw(picture, int(goal), "diamond", colour_of(index))
        if bool(state.visible[0]):
            for pose in np.asarray(state.path)[:, min(int(state.place[0]), self.span - 1)]:
                if pose >= 0:
                    draw(picture, int(pose) // 4, "arrow", PALETTE["wall"], int(pose) % 4)
        if bool(state.alive[0]):
            draw(picture, int(state.cell[0]), "arrow", colour_of(0), int(state.facing[0]))
        return picture.pixels()

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        return (
            f"On a board of {self.size} by {self.size} places lie {self.goals} goals: "
            f"{joined(_COLOURS[: self.goals], 'and')}. There is a hidden order in which to visit "
            "them, again and again; the same goal never comes twice in a row.",
            "Stepping on the goal that is next gives you 1 point. Stepping on another one costs "
            "you 1 point, and you have to repeat the goal you reached before.",
            f"You have {self.trials} trials of {self.steps} steps. Places and order are the same "
            "in all of them. Each begins in the middle of the northern edge, facing south, and "
            "with the first goal of the order.",
            f"You see {_SEES.ahead} places ahead and {_SEES.side} to either side. Sometimes you "
            "see others who tried this before you, where they walked at the same time of their "
            "trial. They may be wrong.",
            "Your goal is to earn as much as possible in your last trial.",
        )

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """How the last step went."""
        own, reward = int(row["own"]), float(row["reward"])
        lines = [] if own < 0 else [f"Your last choice was to {self.moves[own]}."]
        if reward:
            lines.append(f"It gave you {amount(reward)}.")
        if int(row["ended"]):
            lines.append("That ended the trial; a new one begins, and you are at the start again.")
        lines.append(f"Step {int(row['place']) + 1} of {self.steps} of this trial.")
        return lines

    @property
    def _board(self) -> Any:
        return open_board(self.size, self.size)

    @property
    def _next(self) -> np.ndarray:
        """[3, poses] int32: the pose after each move."""
        cell, facing = np.divmod(np.arange(4 * self.size**2), 4)
        ahead = self._board.ahead[facing, cell]
        left, right = (facing + 3) % 4, (facing + 1) % 4
        moved = [4 * cell + left, 4 * cell + right, 4 * ahead + facing]
        return np.stack(moved).astype(np.int32)

    def _aim(self, key: Array, task: Errand, reached: Array, clock: Array) -> Array:
        """Which goal teachers make for: the next one, or sometimes any."""
        lanes = jnp.arange(self.models, dtype=jnp.uint32) + clock * np.uint32(self.models)
        errs = uniform(key, lanes, 1) < self.noise
        stray = below(random_pair(key, lanes, 4)[0], self.goals)
        return jnp.where(errs, stray, task.order[reached % self.length]).astype(jnp.int32)

"""Strategy: a rule for repeated two-action games, and what turns it into a policy.

A rule says how it opens, what it remembers, and how it moves; everything else (rows,
partners, copies, new episodes, whose turn it is, randomness) is handled here once, for
populations of one strategy and, in ``mix.py``, of many.

Action 0 is C (cooperate), action 1 is D (defect).
"""

from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp

from worlds.policy import ArrayPolicy
from worlds.random import random_bits, threshold
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["Last", "Strategy", "actions_shape", "number_of_actions"]

C, D = 0, 1


class Last(NamedTuple):
    """What a rule sees: the last round, as carried out; arrays of one common shape.

    own, other: int8, 0 = C and 1 = D. In the opening round they are -1.
    """

    own: Array
    other: Array


class Strategy(ArrayPolicy):
    """A rule for two-action games.

    Subclasses set ``opening`` and override ``move``; those that remember more than the
    last round give ``blank`` (the memory before anything was played) and ``update``;
    those that draw override ``chance`` instead of ``move``. All methods are elementwise.
    """

    component_name: ClassVar[str] = ""  # set by @component
    opening: ClassVar[int] = C
    blank: ClassVar[Any] = None  # NumPy scalar; its dtype is the memory's
    sees: ClassVar[Literal["nothing", "own", "other"]] = "other"  # what its rule depends on
    draws: ClassVar[bool] = False

    # ---- the rule ---------------------------------------------------------------------

    def setup(self, seats: Seats) -> Any:
        """Numbers that the rule needs, fixed for the run (a pytree of scalars)."""
        return ()

    def update(self, memory: Array, last: Last) -> Array:
        """Memory after the round ``last``."""
        return memory

    def move(self, memory: Array, last: Last) -> Array:
        """True where the rule defects, given its updated memory."""
        raise NotImplementedError(f"{type(self).__name__} overrides neither move nor chance")

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """Chance to cooperate, for rules that draw; also asked in the opening (own = -1)."""
        raise NotImplementedError(f"{type(self).__name__} draws but has no chance")

    @property
    def name(self) -> str:
        """What the strategy is called."""
        return self.component_name or type(self).__name__

    # ---- the policy -------------------------------------------------------------------

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose actions or views the rule cannot work with."""
        check_seats(self.name, self, seats)

    def init(self, key: Array, seats: Seats) -> Mind:
        """Make blank memories."""
        shape = (seats.num, *actions_shape(seats))
        return Mind(self.setup(seats), self.remember(shape))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Move in all rows."""
        last = last_round(percept)
        shape = last.own.shape
        memory, action = self.play(
            mind.params,
            mind.memory,
            last,
            rows(percept.first, shape),
            rows(percept.acting, shape),
            lambda: random_bits(key, *lane_of(shape)),
        )
        return Decision(action, memory)

    def remember(self, shape: tuple[int, ...]) -> Any:
        """Blank memory for an array of players."""
        return () if self.blank is None else jnp.full(shape, self.blank)

    def play(
        self, numbers: Any, memory: Any, last: Last, first: Array, acting: Array, words: Any
    ) -> tuple[Any, Array]:
        """Memory and int8 action of every player.

        Args:
          numbers: what ``setup`` made. memory: of ``remember``. last: the last round.
          first, acting: bool, broadcastable to the players.
          words: () -> uint32 words, one for each player.
        """
        begun = last.other >= 0
        if self.blank is not None:
            memory = jnp.where(first, self.blank, memory)
            fresh = self.update(memory, last).astype(memory.dtype)
            memory = jnp.where(acting & begun, fresh, memory)
        if self.draws:
            defects = ~happens(self.chance(numbers, memory, last), words())
        else:
            defects = jnp.where(begun, self.move(memory, last), bool(self.opening))
        return memory, jnp.broadcast_to(defects, last.own.shape).astype(jnp.int8)

    def type_names(self) -> tuple[str, ...]:
        """The one strategy of this group."""
        return (self.name,)

    def types(self, mind: Mind) -> Array | None:
        """None: all rows play the same."""
        return None


def happens(chance: Array, word: Array) -> Array:
    """True with the given chance, exactly always for 1 and never for 0."""
    return (word < threshold(chance)) | (jnp.asarray(chance) >= 1.0)


def rows(values: Array, shape: tuple[int, ...]) -> Array:
    """[n, ...] values with trailing axes, so that they broadcast to ``shape``."""
    return values.reshape(values.shape + (1,) * (len(shape) - values.ndim))


def lane_of(shape: tuple[int, ...], start: int = 0) -> tuple[Array, Array]:
    """Counters of the players in an array: the row, and the place within it.

    Neither depends on how many rows there are, so spare slots change nobody's draws.
    """
    row = jax.lax.broadcasted_iota(jnp.uint32, shape, 0) + jnp.uint32(start)
    place = jnp.zeros(shape, jnp.uint32)
    for axis in range(1, len(shape)):
        place = (place << 16) | jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    return row, place


def last_round(percept: Percept) -> Last:
    """The last round from a view that shows it; unseen (-1) for worlds that do not."""
    view = percept.view
    own = getattr(view, "own_last", None)
    if own is None:
        blank = jnp.full(percept.alive.shape, -1, jnp.int8)
        return Last(blank, blank)
    other = view.other_last
    return Last(own, own if isinstance(other, tuple) or other.ndim != own.ndim else other)


def actions_shape(seats: Seats) -> tuple[int, ...]:
    """Shape of one row's action: () for one choice, else one choice for each partner."""
    return tuple(seats.action_space.shape)


def number_of_actions(seats: Seats) -> int | None:
    """Choices that a row has, None where actions are not choices or not all alike."""
    space = seats.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.min() == space.nvec.max():
        return int(space.nvec.flat[0])
    return None


def check_seats(name: str, strategy: Strategy, seats: Seats) -> None:
    """Refuse worlds whose actions or views a rule cannot work with.

    Raises:
      ValueError: Says what the world offers and what would fit.
    """
    world = getattr(seats.world, "component_name", type(seats.world).__name__)
    choices = number_of_actions(seats)
    if choices != 2:
        raise ValueError(
            f"{name} plays games of two actions, but {world} offers {seats.action_space}; "
            "choose a two-action game or policy random"
        )
    if strategy.sees == "nothing":
        return
    space = seats.observation_space
    shown = getattr(space, "spaces", {}) if space is not None else {}
    seen = shown.get(f"{strategy.sees}_last")
    if seen is None or tuple(seen.shape) != actions_shape(seats):
        raise ValueError(
            f"{name} goes by the last round's actions, partner by partner, which {world} does "
            "not show here; set world.actions: each, or choose always_cooperate, "
            "always_defect or random"
        )

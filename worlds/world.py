"""World: the contract on one page.

A world is a frozen dataclass and a pytree of parameters; its state is a second pytree
that ``init`` makes and ``step`` turns into the next. It holds no random key and does not
reset itself: the loop does both. Arrays inside; dictionaries only at the PettingZoo edge.
"""

import abc
from typing import Any, ClassVar, Generic, Literal, TypeVar

import gymnasium

from worlds.types import Array, Observation, Transition

__all__ = ["State", "World"]

State = TypeVar("State")


class World(abc.ABC, Generic[State]):
    """What every world answers.

    Subclasses are decorated with ``worlds.tree.pytree``. A world declares

    * ``num_slots: int = provided(default)``: rows of every per-agent array;
    * where it uses them, further fields that the builder fills in, all through
      ``provided()``: ``num_players: int`` (individuals alive at the start),
      ``present: Any`` ([N] bool, who holds a slot when an episode begins),
      ``group_sizes: tuple[int, ...]`` (slots of each group, in order), ``graph: Any`` (a Graph);
    * its parameters as fields, read from the scenario (``int``, ``bool``, ``str`` and
      ``Literal`` fields are static, ``float`` and array fields are leaves).

    ``backend`` says where ``step`` runs: "jax" worlds are pure and jitted, "host" worlds
    are Python on values that the checkpoint codec can store, and always give texts.

    A world that can be drawn has ``frame(state) -> np.ndarray``, uint8 [height, width, 3]: on
    the host, from a state of NumPy arrays. Runs keep such pictures (``record.frames_every``).
    """

    backend: ClassVar[Literal["jax", "host"]] = "jax"
    caption: ClassVar[str | None] = None  # "module:Class" of the Caption that words this world
    measures: ClassVar[tuple[str, ...]] = ()  # measures computed without being asked for
    fitness: ClassVar[str] = "reward"  # default for ``selection.fitness``
    births: ClassVar[int] = 0  # most parents of a newborn in worlds where step gives birth
    num_slots: int

    @property
    def horizon(self) -> int | None:
        """Most steps an episode can take; None for worlds without an end."""
        return None

    @property
    def ends_early(self) -> bool:
        """True where an episode may end before its horizon (static: it costs a select a step)."""
        return self.horizon is None

    @abc.abstractmethod
    def init(self, key: Array) -> State:
        """Begin an episode."""

    @abc.abstractmethod
    def observe(self, state: State) -> Observation:
        """Show the state to everyone."""

    @abc.abstractmethod
    def step(self, key: Array, state: State, action: Any) -> tuple[State, Transition]:
        """Move the world once.

        Args:
          key: [2] uint32, fresh for this step.
          state: what ``init`` or ``step`` returned.
          action: pytree of arrays with leading axis N in the shape of ``action_space``;
            rows where ``acting`` is False carry the no-op and must not matter.
        """

    def outcome(self, state: State) -> dict[str, Array]:
        """Results at the end of an episode; values of shape [N] may serve as fitness."""
        return {}

    @abc.abstractmethod
    def observation_space(self, slot: int) -> gymnasium.Space[Any]:
        """Space of one row of ``Observation.view``."""

    @abc.abstractmethod
    def action_space(self, slot: int) -> gymnasium.Space[Any]:
        """Space of one row of ``action``."""

    @abc.abstractmethod
    def noop(self) -> Any:
        """Actions of shape [N, ...] that rows without a mind, and failed replies, take."""

    def check_params(self) -> None:
        """Raise ValueError, with what is allowed, where a parameter makes no sense."""

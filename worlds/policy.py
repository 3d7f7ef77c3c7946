"""What a world accepts as a player: policies over arrays, and policies over text."""

import abc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

from worlds.types import Array, Birth, Births, Decision, Mind, Percept, Reply, Seats, Turn

__all__ = ["ArrayPolicy", "Ask", "TextPolicy"]


class ArrayPolicy(abc.ABC):
    """A group's behaviour on the device; decorated with ``worlds.tree.pytree``.

    One call serves the whole group. ``between`` says what a group with ``every: k`` does
    in the steps where it is not asked: repeat its last action, or the world's no-op.
    """

    kind: ClassVar[Literal["array"]] = "array"
    between: ClassVar[Literal["repeat", "noop"]] = "noop"

    def check(self, seats: Seats) -> None:
        """Raise ValueError, saying what fits, where this policy cannot play that world."""

    @abc.abstractmethod
    def init(self, key: Array, seats: Seats) -> Mind:
        """Make the minds of ``seats.num`` rows."""

    @abc.abstractmethod
    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Decide for all rows at once: pure, inside jit. Must reset memory where ``first``."""

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Give newcomers what their parents pass on; the default has nothing to pass on."""
        return mind

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Change what newcomers inherited.

        Args:
          key: fresh for this event.
          births: ``child`` rows change, no others; rows whose parent is themselves do not.
          rate: chance that a discrete heritable (a strategy) is drawn anew.
          sd: standard deviation added to each continuous heritable.
        """
        return mind

    def bear(
        self,
        keys: tuple[Array, Array],
        mind: Mind,
        births: Births,
        shown: Births,
        rate: Array,
        sd: Callable[[Mind], Array],
    ) -> Mind:
        """Inherit, then mutate; minds of many numbers may do both at once, with the same results.

        Args:
          keys: of inheriting and of mutating.
          shown: births as ``mutate`` is shown them.
          sd: from minds that have inherited to what ``mutate`` calls sd.
        """
        heirs = self.inherit(keys[0], mind, births)
        return self.mutate(keys[1], heirs, shown, rate, sd(heirs))

    def types(self, mind: Mind) -> Array | None:
        """[n] int32 index of each row's strategy in ``type_names``, or None."""
        return None

    def assign(self, mind: Mind, rows: Array, kind: int) -> Mind:
        """Let the given rows ([k] int32) play strategy ``kind`` of ``type_names`` from now on."""
        raise NotImplementedError(f"{type(self).__name__} has no strategies to choose among")

    def type_names(self) -> tuple[str, ...]:
        """Names of the strategies that rows of this group can have."""
        return ()


class Ask(Protocol):
    """How a mind asks: the only thing that it may await."""

    def __call__(self, request: Any) -> Awaitable[Any]:
        """Ask once; nothing is asked before this is awaited, which it can be a single time."""
        ...

    def many(self, requests: Sequence[Any]) -> Awaitable[list[Any]]:
        """Ask several things of one purpose at once; answers in the same order."""
        ...


class TextPolicy(abc.ABC):
    """An agent that reads and writes; its mind is a value (dicts, lists, strings, numbers).

    One coroutine per acting agent. The mind that ``act`` returns replaces the one it got.
    """

    kind: ClassVar[Literal["text"]] = "text"
    between: ClassVar[Literal["repeat", "noop"]] = "repeat"

    @abc.abstractmethod
    async def birth(self, ask: Ask, birth: Birth) -> Any:
        """Make a mind."""

    @abc.abstractmethod
    async def act(self, ask: Ask, mind: Any, turn: Turn) -> tuple[Reply, Any]:
        """Answer a turn."""

    def legacy(self, mind: Any) -> str:
        """The text that an adviser passes on to newcomers."""
        return ""

    def streams(self, num_minds: int) -> Any:
        """Where a group's minds keep texts that they search by asking; None = nowhere."""
        return None

    def aside(self) -> "TextPolicy":
        """The policy that answers for a mind when it is asked aside, as in a survey.

        Its ``act`` gets a turn that only asks; the mind that comes out is thrown away.
        """
        return self

"""Captions: how a row of arrays becomes words, and words become an action.

Every text an agent reads about a world is generated here from the same parameters that
the engine pays from, so a prompt cannot state another game than the one being played.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

from worlds.framing import Framing
from worlds.probes import Probe
from worlds.types import Seat

__all__ = ["Caption", "Framing"]


class Caption(abc.ABC):
    """Words for one world. ``row`` is one slot's row of ``Observation.view`` as NumPy arrays.

    ``names`` tells what others call whoever holds a slot; the loop sets it. ``paraphrased``
    captions have three wordings of each sentence (``self.framing.phrase``).
    """

    situated: ClassVar[tuple[str, ...] | None] = None
    """Discrete parts of the view that tell one situation from another, while all others are
    the same for everybody (so that one question serves all); None where there are none such."""

    names: Callable[[int], str]
    paraphrased: ClassVar[bool] = False

    def __init__(self, world: Any, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        self.world = world
        self.framing = framing or Framing()
        if self.framing.paraphrase and not self.paraphrased:
            raise ValueError(
                f"framing.paraphrase: {self.framing.paraphrase}, but the caption of "
                f"{type(world).__name__} has one wording only; use framing.paraphrase: 0"
            )
        self.names = "Agent {}".format

    @abc.abstractmethod
    def rules(self, seat: Seat) -> str:
        """How the world works for this seat: payoffs, length, what others can do."""

    @abc.abstractmethod
    def words(self, row: Any, seat: Seat) -> str:
        """What the seat sees now."""

    @abc.abstractmethod
    def question(self, row: Any, seat: Seat) -> str:
        """What the seat is asked to decide now."""

    def options(self, row: Any, seat: Seat) -> tuple[str, ...] | None:
        """The choices in the order shown, or None for a free answer."""
        return None

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer, for prompts and re-asks."""
        return ""

    def schema(self, row: Any, seat: Seat) -> dict[str, Any] | None:
        """JSON schema of an answer that is a number; None where an answer is something else."""
        return None

    @abc.abstractmethod
    def action(self, text: str, row: Any, seat: Seat) -> Any:
        """Read an action from a reply; raises ParseError with what was expected."""

    def probes(self, seat: Seat) -> tuple[Probe, ...]:
        """Questions about the rules with right answers, from the world's current parameters."""
        return ()

    def others(self, row: Any, seat: Seat) -> tuple[str, ...] | None:
        """What the others did last, each as one of the options; None where that is unknown."""
        return None

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words, for journals and playthroughs."""
        return str(action)

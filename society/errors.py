"""Problems in a scenario: where they are, what is wrong, and what to write instead."""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence

from worlds.redact import redact

__all__ = ["Problem", "ScenarioError", "nearest"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    file: the file, or the ``--set`` argument, that holds it. line, column: counted from 1.
    path: dotted path in the scenario, empty where the text itself cannot be read.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return redact(f"{self.file}:{self.line}:{self.column}: error: {where}{self.message}")


class ScenarioError(ValueError):
    """A scenario cannot be used; ``problems`` holds every reason, ``str()`` one on each line."""

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(given: object, allowed: Iterable[object], *, most: int = 12) -> str:
    """Return a hint that ends a message: the nearest valid name, or all names of a short list.

    >>> nearest("roundz", ["rounds", "noise"])
    "; did you mean 'rounds'?"
    >>> nearest("x", ["rounds", "noise"])
    '; allowed: rounds, noise'
    """
    names = [str(name) for name in allowed]
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names or len(names) > most:
        return ""
    return f"; allowed: {', '.join(names)}"

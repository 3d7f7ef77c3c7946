"""Questions about the rules with one right answer: does whoever reads them understand them?"""

import dataclasses

__all__ = ["Probe"]


@dataclasses.dataclass(frozen=True)
class Probe:
    """One question about the rules of a world, made from the parameters that it pays from.

    id: names the question within its world. ask: the question. options: possible answers,
    all different. right: index of the right one.
    """

    id: str
    ask: str
    options: tuple[str, ...]
    right: int

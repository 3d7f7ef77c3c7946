"""What a scenario claims, and the patterns by which the claim is to be judged.

Reviews of generative agent-based models find that most are judged by how believable they
look (Larooij & Törnberg 2025, arXiv:2504.03274); so the level of the claim and its targets
are written down before the runs are made, and reports repeat them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from society.errors import nearest
from society.params import Named, Number, Plain, Strict, Text, fail

__all__ = ["CONDITION", "Target", "Validation", "label_of", "misplaced"]

CONDITION = "condition"


class Target(Strict):
    """A pattern that the runs must show.

    Met where a whole 95 % interval lies inside; missed where it lies outside; open otherwise.
    """

    measure: Text = Field(description="a number of the summary")
    where: dict[str, Plain] = Field(
        {}, description="which cells: path of a factor: label, condition: name; all when empty"
    )
    low: Number | None = Field(None, description="the number is at least this")
    high: Number | None = Field(None, description="the number is at most this")
    above: dict[str, Plain] | None = Field(
        None, description="where, with these changes: cells that must have a lower number"
    )
    source: Text = Field("", description="where the pattern was observed or derived")

    @model_validator(mode="after")
    def _says_something(self) -> "Target":
        banded = self.low is not None or self.high is not None
        if banded == (self.above is not None):
            raise fail("give either low and high (one may be left out), or above")
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise fail(f"low ({self.low:g}) must not be above high ({self.high:g})")
        return self


class Validation(Strict):
    """What a study claims, and the patterns by which it is to be judged."""

    claim: Literal["illustration", "mechanism", "prediction"] = Field(
        "illustration", description="what the results are meant to say about the world outside"
    )
    targets: Annotated[dict[str, Target], Named] = Field({}, description="patterns, by name")


def label_of(value: Any) -> str:
    """The label by which a factor's plain value is known."""
    return value if isinstance(value, str) else json.dumps(value)


def misplaced(
    targets: Mapping[str, Target], factors: Mapping[str, Sequence[str]], conditions: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (path, what is wrong with it) for places of targets that the sweep does not have.

    Args:
      targets: of the scenario. factors: path -> labels. conditions: names of all.
    """
    known = {CONDITION: list(conditions), **{path: list(v) for path, v in factors.items()}}
    for name, target in targets.items():
        for part in ("where", "above"):
            for path, value in (getattr(target, part) or {}).items():
                at = f"validation.targets.{name}.{part}"
                if path not in known:
                    yield at, f"{path!r} is no factor of the sweep{nearest(path, known)}"
                elif label_of(value) not in known[path]:
                    hint = nearest(label_of(value), known[path])
                    yield at, f"{path} has no level {label_of(value)!r}{hint}"

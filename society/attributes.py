"""What individuals differ in: distributions, and the columns of a group's attributes.

A distribution is a component: a frozen dataclass with ``sample(rng, n)``. Every column has
its own random stream, named after it, so that adding one changes no other.
"""

import abc
import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from society.components import Component
from society.tables import draw_rows
from worlds.registry import component
from worlds.tree import doc_field

__all__ = [
    "Choice",
    "Cycle",
    "Distribution",
    "Lognormal",
    "Normal",
    "Poisson",
    "Uniform",
    "group_columns",
]


class Distribution(abc.ABC):
    """Where the values of an attribute come from."""

    def check_params(self) -> None:
        """Raise ValueError, with what is allowed, where a parameter makes no sense."""

    @abc.abstractmethod
    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw [n] values."""


@component("distribution", "choice")
@dataclasses.dataclass(frozen=True)
class Choice(Distribution):
    """One of several values: equally likely in a list, by weight in a map."""

    values: Mapping[str, float] | tuple[Any, ...] = doc_field(
        dataclasses.MISSING, "a list of values, or a map from value to weight"
    )
    weights: tuple[float, ...] = doc_field((), "weights of the values of a list; any positive sum")

    def check_params(self) -> None:
        """Weights must fit the values."""
        shares = self._weights()
        if not len(self.values):
            raise ValueError("values is empty; give at least one")
        if isinstance(self.values, Mapping) and self.weights:
            raise ValueError("values already holds weights; drop weights or write values as a list")
        if len(shares) != len(self.values):
            raise ValueError(f"{len(shares)} weights for {len(self.values)} values")
        if min(shares) < 0 or sum(shares) <= 0:
            raise ValueError("weights must not be negative, and at least one must be positive")

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw independently."""
        shares = np.asarray(self._weights(), float)
        return _column(list(self.values))[rng.choice(len(shares), size=n, p=shares / shares.sum())]

    def _weights(self) -> tuple[float, ...]:
        if isinstance(self.values, Mapping):
            return tuple(self.values.values())
        return self.weights or (1.0,) * len(self.values)


@component("distribution", "cycle")
@dataclasses.dataclass(frozen=True)
class Cycle(Distribution):
    """The values of a list in turn: nothing is random."""

    values: tuple[Any, ...] = doc_field(dataclasses.MISSING, "values, dealt out in this order")

    def check_params(self) -> None:
        """There must be something to deal."""
        if not self.values:
            raise ValueError("values is empty; give at least one")

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Deal."""
        return _column(list(self.values))[np.arange(n) % len(self.values)]


@component("distribution", "normal")
@dataclasses.dataclass(frozen=True)
class Normal(Distribution):
    """A bell curve."""

    mean: float = doc_field(0.0, "its centre")
    sd: float = doc_field(1.0, "its standard deviation", ge=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw independently."""
        return rng.normal(self.mean, self.sd, n)


@component("distribution", "lognormal")
@dataclasses.dataclass(frozen=True)
class Lognormal(Distribution):
    """Positive values whose logarithm is normal."""

    mean: float = doc_field(0.0, "mean of the logarithm")
    sd: float = doc_field(1.0, "standard deviation of the logarithm", ge=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw independently."""
        return rng.lognormal(self.mean, self.sd, n)


@component("distribution", "uniform")
@dataclasses.dataclass(frozen=True)
class Uniform(Distribution):
    """Numbers between two bounds, all equally likely."""

    low: float = doc_field(0.0, "lowest value")
    high: float = doc_field(1.0, "highest value (not reached)")

    def check_params(self) -> None:
        """The bounds must be in order."""
        if self.high < self.low:
            raise ValueError(f"high ({self.high:g}) is below low ({self.low:g})")

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw independently."""
        return rng.uniform(self.low, self.high, n)


@component("distribution", "poisson")
@dataclasses.dataclass(frozen=True)
class Poisson(Distribution):
    """Counts of rare events."""

    mean: float = doc_field(1.0, "mean count", ge=0)

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw independently."""
        return rng.poisson(self.mean, n)


def group_columns(group: Any, size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the attributes of ``size`` individuals of a group of a scenario.

    Args:
      group: a ``society.frame.GroupSpec``. rng: consumed once.

    Returns:
      Column name -> [size] array: the table's columns first, then ``attributes``.
    """
    root = int(rng.integers(1 << 62))
    columns: dict[str, np.ndarray] = {}
    if group.table is not None:
        rows = draw_rows(group.table, size, group.draw, group.weight, _stream(root, "table"))
        columns |= {name: column[rows] for name, column in group.table.arrays().items()}
    for name, value in group.attributes.items():
        if isinstance(value, Component):
            columns[name] = np.asarray(value.build().sample(_stream(root, name), size))
        else:
            columns[name] = np.repeat(_column([value]), size)
    return columns


def _stream(root: int, name: str) -> np.random.Generator:
    return np.random.default_rng([root, zlib.crc32(name.encode())])


def _column(values: list[Any]) -> np.ndarray:
    """Values as an array: numbers stay numbers, a mixture becomes texts."""
    if any(isinstance(value, str) for value in values):
        return np.asarray([str(value) for value in values])
    return np.asarray(values)

"""Small things that all captions of games share: numbers, units, and orders by seat."""

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from worlds.captions import Framing
from worlds.types import Seat

__all__ = ["amount", "check_story", "exact", "joined", "ordered", "plural", "unit_words"]

Item = TypeVar("Item")


def exact(value: Any) -> str:
    """A float32 in the fewest digits that read back as the same float32."""
    return _exact(float(np.float32(value)) + 0.0)  # no negative zero


@functools.lru_cache(maxsize=1 << 14)  # payoffs repeat
def _exact(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be told in a rule; payoffs must be finite")
    return np.format_float_positional(np.float32(value), trim="-")


def amount(value: Any) -> str:
    """A number with at most two decimals."""
    text = f"{float(value):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def plural(number: str, unit: str) -> str:
    """The number with its unit: 1 point, 2 points."""
    return f"{number} {unit[:-1] if number == '1' and unit.endswith('s') else unit}"


def unit_words(*units: str) -> frozenset[str]:
    """The units in the singular and the plural, in small letters."""
    words = {unit.lower() for unit in units}
    return frozenset(words | {word.removesuffix("s") for word in words})


def ordered(items: Sequence[Item], framing: Framing, seat: Seat, topic: str) -> tuple[Item, ...]:
    """The items as the framing lists them: shuffled anew for every individual, by its uid."""
    if framing.option_order == "fixed":
        return tuple(items)
    if framing.option_order == "reversed":
        return tuple(items)[::-1]
    return tuple(items[place] for place in _shuffled(len(items), topic, seat.group, seat.uid))


@functools.lru_cache(maxsize=1 << 16)
def _shuffled(count: int, topic: str, group: str, uid: int) -> tuple[int, ...]:
    left, mixed = list(range(count)), []
    number = int.from_bytes(hashlib.blake2b(f"{topic}/{group}/{uid}".encode()).digest())
    while left:
        number, place = divmod(number, len(left))
        mixed.append(left.pop(place))
    return tuple(mixed)


def joined(words: Sequence[str], last: str = "and") -> str:
    """A list in words: a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def check_story(framing: Framing, world: str) -> None:
    """Refuse cover stories where there is only the plain one."""
    if framing.story != "game":
        raise ValueError(
            f"framing.story: {framing.story} is told of matrix_game only, not of {world}; "
            "use framing.story: game"
        )

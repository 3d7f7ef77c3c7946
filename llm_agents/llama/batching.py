"""Which prompts are read together, in which fixed shapes, so that few programs are compiled.

A prompt is padded to the next of some lengths, a batch to the next of some sizes. Where many
prompts begin alike, the beginning is read once for all of them.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["LENGTHS", "ROOMS", "Batch", "batches", "fitting", "padded", "rooms"]

LENGTHS = (32, 64, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1536)
MOST_TOKENS = 16384  # of one batch: longer prompts are read in smaller batches
ROOMS = (64, 256, 1024, 4096)  # columns for answers; more are added when they are full
LEAST_SHARED = 64  # tokens that prompts must have in common to be worth a program of its own
LEAST_SHARING = 16  # prompts

Prompt = Sequence[int]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Prompts that are read together.

    indices: which ones. size: rows that are computed, some of them empty. shared: how many
    tokens all of them begin with, read before. length: columns for the rest.
    """

    indices: tuple[int, ...]
    size: int
    length: int
    shared: int = 0


def batches(prompts: Sequence[Prompt], sizes: Sequence[int]) -> Iterator[Batch]:
    """Share out prompts, longest shapes last.

    Args:
      prompts: tokens of each.
      sizes: rows that a batch may have, growing.
    """
    for indices, shared in _alike(prompts):
        by_length: dict[int, list[int]] = {}
        for index in indices:
            by_length.setdefault(fitting(len(prompts[index]) - shared, LENGTHS), []).append(index)
        for length, left in sorted(by_length.items()):
            while left:
                size = _size(len(left), shared + length, sizes)
                yield Batch(tuple(left[:size]), size, length, shared)
                left = left[size:]


def fitting(number: int, steps: Sequence[int]) -> int:
    """The first step that is not below the number; multiples of the last one beyond it."""
    for step in steps:
        if number <= step:
            return step
    return -(-number // steps[-1]) * steps[-1]


def rooms(most: int) -> Iterator[int]:
    """Growing numbers of columns for answers, up to one that holds ``most``."""
    for room in ROOMS:
        yield room
        if room >= most:
            return
    yield fitting(most, ROOMS)


def padded(prompts: Sequence[Prompt], length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [B, P], padded on the left, and how much; rows without a prompt read one zero."""
    tokens = np.zeros((size, length), np.int32)
    pads = np.full(size, length - 1, np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :] = prompt
        pads[row] = length - len(prompt)
    return tokens, pads


def _alike(prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], int]]:
    """Prompts in groups, and how many tokens those of a group begin with.

    Each keeps one token at least: what follows is predicted from it.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(tuple(prompt[:LEAST_SHARED]), []).append(index)
    alone: list[int] = []
    for beginning, indices in groups.items():
        if len(beginning) < LEAST_SHARED or len(indices) < LEAST_SHARING:
            alone += indices
            continue
        group = [tuple(prompts[index]) for index in indices]
        common = _common(min(group), max(group))
        shared = min(common, min(map(len, group)) - 1)
        yield (indices, shared) if shared >= LEAST_SHARED else (indices, 0)
    if alone:
        yield sorted(alone), 0


def _common(first: Prompt, second: Prompt) -> int:
    """How many tokens two prompts begin with.

    >>> _common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    pairs = zip(first, second, strict=False)
    short = min(len(first), len(second))
    return next((place for place, (a, b) in enumerate(pairs) if a != b), short)


def _size(number: int, length: int, sizes: Sequence[int]) -> int:
    """How many rows are computed together; a few rows are not padded to many."""
    possible = [size for size in sizes if size * length <= MOST_TOKENS] or [1]
    enough = [size for size in possible if size // 4 < number]
    return max(enough, default=possible[0])

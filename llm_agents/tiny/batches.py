"""Lessons as arrays: encoded, put into buckets of like length, batched."""

import dataclasses
import random
from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

from llm_agents.tiny.lessons import Lesson

__all__ = ["BUCKETS", "Batch", "Encoded", "batches", "drill", "encode", "encode_prompt"]

BUCKETS = (128, 192, 256, 512)
TOKENS_A_BATCH = 4608
TARGETS = 64  # places of a row that count: those of the answer, and some of the prompt
PROMPT_WEIGHT = 0.05
DROPOUT = 0.05  # chance to leave out a merge, in the lessons that are cut up differently
DROPOUT_SHARE = 0.2
LONG = 256  # of the lessons that are longer, one in three is kept
DRILL_ROWS, DRILL_LENGTH = 48, 64
DRILL_SIGNS = (11, 90)  # tokens of single bytes: digits, letters, punctuation


@dataclasses.dataclass(frozen=True)
class Encoded:
    """One lesson as tokens; those from ``answer`` on are the answer and its end."""

    tokens: tuple[int, ...]
    answer: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of like length.

    tokens: [B, T] int32, padded on the right. where: [B, K] int32, places whose next token is
    to be told. wanted: [B, K] int32, that token. weight: [B, K] float32.
    """

    tokens: np.ndarray
    where: np.ndarray
    wanted: np.ndarray
    weight: np.ndarray


def encode_prompt(tokenizer: Tokenizer, lesson: Lesson) -> list[int]:
    """The conversation as the chat template writes it, up to where the answer begins."""
    ids: list[int] = []
    for message in lesson.messages:
        ids.append(_control(tokenizer, message.role))
        ids += tokenizer.encode(message.content, add_special_tokens=False).ids
        ids.append(_control(tokenizer, "end"))
    return [*ids, _control(tokenizer, "assistant")]


def encode(tokenizer: Tokenizer, lessons: Sequence[Lesson], rng: random.Random) -> list[Encoded]:
    """Encode lessons, some of them with merges left out; too long ones are dropped."""
    found = []
    for lesson in lessons:
        tokenizer.model.dropout = DROPOUT if rng.random() < DROPOUT_SHARE else None
        prompt = encode_prompt(tokenizer, lesson)
        tokenizer.model.dropout = None
        answer = tokenizer.encode(lesson.answer, add_special_tokens=False).ids
        tokens = (*prompt, *answer, _control(tokenizer, "end"))
        if len(tokens) <= LONG or (len(tokens) <= BUCKETS[-1] and rng.random() < 1 / 3):
            found.append(Encoded(tokens, len(prompt)))
    return found


def batches(lessons: Sequence[Encoded], rng: random.Random) -> Iterator[Batch]:
    """Yield one pass over the lessons in random order, each batch from one bucket."""
    buckets: dict[int, list[Encoded]] = {size: [] for size in BUCKETS}
    order = list(lessons)
    rng.shuffle(order)
    for lesson in order:
        size = next(size for size in BUCKETS if len(lesson.tokens) <= size)
        held = buckets[size]
        held.append(lesson)
        if len(held) == TOKENS_A_BATCH // size:
            yield _batch(held, size, rng)
            held.clear()


def drill(vocabulary: int, first: int, rng: np.random.Generator) -> Batch:
    """Random tokens said again: what teaches a small model to copy, long before lessons do.

    Source: Olsson et al. (2022), "In-context learning and induction heads", arXiv:2209.11895.
    """
    tokens = rng.integers(first, vocabulary, (DRILL_ROWS, DRILL_LENGTH), dtype=np.int32)
    signs = rng.integers(*DRILL_SIGNS, (DRILL_ROWS, DRILL_LENGTH), dtype=np.int32)
    tokens = np.where(rng.random((DRILL_ROWS, 1)) < 0.7, signs, tokens)
    where = np.zeros((DRILL_ROWS, TARGETS), np.int32)
    weight = np.zeros((DRILL_ROWS, TARGETS), np.float32)
    for row in range(DRILL_ROWS):
        period = int(rng.integers(4, DRILL_LENGTH // 3))
        tokens[row] = np.resize(tokens[row, :period], DRILL_LENGTH)
        places = np.arange(period, DRILL_LENGTH - 1)[:TARGETS]
        where[row, : len(places)] = places
        weight[row, : len(places)] = 1.0
    return Batch(tokens, where, np.take_along_axis(tokens, where + 1, axis=1), weight)


def _control(tokenizer: Tokenizer, name: str) -> int:
    found = tokenizer.token_to_id(f"<|{name}|>")
    assert found is not None
    return found


def _batch(lessons: Sequence[Encoded], size: int, rng: random.Random) -> Batch:
    rows = len(lessons)
    tokens = np.zeros((rows, size), np.int32)
    where = np.zeros((rows, TARGETS), np.int32)
    wanted = np.zeros((rows, TARGETS), np.int32)
    weight = np.zeros((rows, TARGETS), np.float32)
    for row, lesson in enumerate(lessons):
        length, begin = len(lesson.tokens), lesson.answer
        tokens[row, :length] = lesson.tokens
        answer = list(range(begin - 1, length - 1))[:TARGETS]
        spare = min(TARGETS - len(answer), begin - 1)
        places = answer + rng.sample(range(begin - 1), spare)
        where[row, : len(places)] = places
        wanted[row, : len(places)] = [lesson.tokens[place + 1] for place in places]
        weight[row, : len(answer)] = len(answer) ** -0.5
        weight[row, len(answer) : len(places)] = PROMPT_WEIGHT
    return Batch(tokens, where, wanted, weight)

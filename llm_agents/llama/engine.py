"""A model in memory: batches of prompts in fixed shapes, so that few programs are compiled.

A prompt is padded to the next of some lengths, a batch to the next of some sizes. Which length
depends on the prompt alone, so the same question gives the same answer whoever else asks.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_agents.choice import Scores, TokenTree
from llm_agents.llama.config import Config
from llm_agents.llama.decode import Drawing, Manner, draw, grown, prefill, score
from llm_agents.llama.text import ChatText
from llm_agents.llama.weights import read_weights

__all__ = ["Engine", "Said", "Task"]

LENGTHS = (64, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1536)
SIZES = (1, 8, 64)
MOST_TOKENS = 16384  # of one batch: longer prompts are read in smaller batches
ROOMS = (64, 256, 1024, 4096)  # columns for answers; more are added when they are full
_Path = tuple[int, tuple[int, ...]]  # a row of the batch, and what is said after its prompt
WATCHED = 16  # tokens between two looks at the text, where there are stop strings


@dataclasses.dataclass(frozen=True)
class Task:
    """A prompt in tokens and how to answer it; ``room``: most tokens of the answer."""

    prompt: tuple[int, ...]
    room: int
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Said:
    """An answer: its text, its tokens without the end, and why it ended (stop, length)."""

    text: str
    tokens: tuple[int, ...]
    finish: str


class Engine:
    """Weights, tokenizer and template of one folder."""

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        """Read everything; compile nothing yet."""
        self.config = Config.read(folder)
        self.text = ChatText(folder)
        self.graph, self.weights = read_weights(folder, self.config, jnp.dtype(dtype))
        ends = dict.fromkeys((*self.config.eos, self.text.end))
        self.ends = np.asarray([end for end in ends if end is not None] or [-1], np.int32)

    @property
    def longest(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.config.max_positions

    # ---- answers ------------------------------------------------------------------------

    def generate(self, tasks: Sequence[Task]) -> list[Said]:
        """Answer every task, in the order given."""
        said: dict[int, Said] = {}
        for length, indices in _by_length([len(task.prompt) for task in tasks], self.longest):
            for part in _slices(indices, length):
                answers = self._answer([tasks[i] for i in part], length)
                said.update(zip(part, answers, strict=True))
        return [said[index] for index in range(len(tasks))]

    def _answer(self, tasks: Sequence[Task], length: int) -> list[Said]:
        size = _size(len(tasks), length)
        tokens, pads = _padded([task.prompt for task in tasks], length, size)
        logits, cache = prefill(self.graph, self.weights, tokens, pads)
        manner = self._manner(tasks, size)
        most = max(task.room for task in tasks)
        watched = any(task.stop for task in tasks)
        drawing = Drawing(
            cache=cache,
            logits=logits,
            column=jnp.int32(length),
            pads=jnp.asarray(pads),
            tokens=jnp.zeros((size, _next(most, ROOMS)), jnp.int32),
            drawn=jnp.int32(0),
            done=jnp.arange(size) >= len(tasks),
            lengths=jnp.zeros(size, jnp.int32),
        )
        drawn = 0
        for room in _rooms(most):
            drawing = drawing._replace(cache=grown(drawing.cache, length + room))
            while drawn < min(room, most):
                until = min(room, most, drawn + WATCHED) if watched else min(room, most)
                drawing = draw(self.graph, self.weights, drawing, manner, jnp.int32(until))
                drawn = until
                if watched:
                    drawing = self._stopped(drawing, tasks)
                if bool(drawing.done.all()):
                    return self._said(drawing, tasks)
        return self._said(drawing, tasks)

    def _manner(self, tasks: Sequence[Task], size: int) -> Manner:
        def column(values: Sequence[Any], dtype: Any, rest: Any) -> jax.Array:
            return jnp.asarray([*values, *[rest] * (size - len(values))], dtype)

        return Manner(
            seeds=column([task.seed & 0xFFFFFFFF for task in tasks], jnp.uint32, 0),
            temperatures=column([task.temperature for task in tasks], jnp.float32, 0),
            top_ps=column([task.top_p for task in tasks], jnp.float32, 1),
            limits=column([task.room for task in tasks], jnp.int32, 1),
            ends=jnp.asarray(self.ends),
        )

    def _stopped(self, drawing: Drawing, tasks: Sequence[Task]) -> Drawing:
        done = np.array(drawing.done)
        for row, one in enumerate(self._said(drawing, tasks)):
            done[row] |= bool(tasks[row].stop) and _cut(one.text, tasks[row].stop) is not None
        return drawing._replace(done=jnp.asarray(done))

    def _said(self, drawing: Drawing, tasks: Sequence[Task]) -> list[Said]:
        rows, lengths = np.asarray(drawing.tokens), np.asarray(drawing.lengths)
        found = []
        for task, row, length in zip(tasks, rows, lengths, strict=False):
            tokens = tuple(row[:length].tolist())
            ended = bool(tokens) and tokens[-1] in self.ends
            tokens = tokens[:-1] if ended else tokens
            text = self.text.decode(tokens)
            cut = _cut(text, task.stop)
            text = text if cut is None else text[:cut]
            found.append(Said(text, tokens, "stop" if ended or cut is not None else "length"))
        return found

    # ---- scores -------------------------------------------------------------------------

    def score(self, trees: Sequence[TokenTree]) -> list[Scores]:
        """Log-probabilities at every place where options part; contexts are read once."""
        found: list[Scores] = [{} for _ in trees]
        lengths = [len(tree.tokens.context) for tree in trees]
        for length, indices in _by_length(lengths, self.longest):
            for part in _slices(indices, length):
                scored = self._score([trees[i] for i in part], length)
                for index, one in zip(part, scored, strict=True):
                    found[index] = one
        return found

    def _score(self, trees: Sequence[TokenTree], length: int) -> list[Scores]:
        size = _size(len(trees), length)
        tokens, pads = _padded([tree.tokens.context for tree in trees], length, size)
        logits, cache = prefill(self.graph, self.weights, tokens, pads)
        first = np.asarray(jax.nn.log_softmax(logits, axis=-1))
        found: list[dict[tuple[int, ...], Mapping[int, float]]] = [
            {(): _at(first[row], tree.nodes[()])} for row, tree in enumerate(trees)
        ]
        paths = [(row, node) for row, tree in enumerate(trees) for node in _ends_of(tree)]
        width = _next(max((len(node) for _, node in paths), default=0), (2, 4, 8, 16, 32, 64, 256))
        for start in range(0, len(paths), size):
            part = paths[start : start + size]
            said = self._continue(cache, pads, part, size, width)
            for (row, node), values in zip(part, said, strict=False):
                for place in range(1, len(node) + 1):
                    nexts = trees[row].nodes[node[:place]]
                    found[row][node[:place]] = _at(values[place - 1], nexts)
        return list(found)

    def _continue(
        self, cache: Any, pads: Any, paths: Sequence[_Path], size: int, width: int
    ) -> np.ndarray:
        rows = np.zeros(size, np.int32)
        options = np.zeros((size, width), np.int32)
        for place, (row, node) in enumerate(paths):
            rows[place] = row
            options[place, : len(node)] = node
        return np.asarray(score(self.graph, self.weights, cache, rows, pads[rows], options))


def _ends_of(tree: TokenTree) -> list[tuple[int, ...]]:
    """The places from which no other one is reached, the beginning left out."""
    return [
        node
        for node in tree.nodes
        if node and not any(len(o) > len(node) and o[: len(node)] == node for o in tree.nodes)
    ]


def _at(logprobs: np.ndarray, tokens: Sequence[int]) -> dict[int, float]:
    return dict(zip(tokens, logprobs[list(tokens)].tolist(), strict=True))


def _by_length(lengths: Sequence[int], longest: int) -> Iterator[tuple[int, list[int]]]:
    """Indices of the prompts of each bucket, in the order given."""
    buckets: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        buckets.setdefault(_next(length, LENGTHS), []).append(index)
    yield from sorted(buckets.items())


def _slices(indices: Sequence[int], length: int) -> Iterator[Sequence[int]]:
    """Batches of at most the size that fits; a few rows are not padded to many."""
    left = list(indices)
    while left:
        size = _size(len(left), length)
        yield left[:size]
        left = left[size:]


def _size(number: int, length: int) -> int:
    """How many rows are computed together."""
    fitting = [size for size in SIZES if size * length <= MOST_TOKENS] or [1]
    enough = [size for size in fitting if size // 4 < number]
    return max(enough, default=fitting[0])


def _next(number: int, steps: Sequence[int]) -> int:
    """The first step that is not below the number; multiples of the last one beyond it."""
    for step in steps:
        if number <= step:
            return step
    return -(-number // steps[-1]) * steps[-1]


def _rooms(most: int) -> Iterator[int]:
    """Growing numbers of columns for answers, up to one that holds ``most``."""
    for room in ROOMS:
        yield room
        if room >= most:
            return
    yield _next(most, ROOMS)


def _padded(
    prompts: Sequence[Sequence[int]], length: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [B, P], padded on the left, and how much; rows without a prompt read one zero."""
    tokens = np.zeros((size, length), np.int32)
    pads = np.full(size, length - 1, np.int32)
    for row, prompt in enumerate(prompts):
        tokens[row, length - len(prompt) :] = prompt
        pads[row] = length - len(prompt)
    return tokens, pads


def _cut(text: str, stops: Sequence[str]) -> int | None:
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return min(places, default=None)

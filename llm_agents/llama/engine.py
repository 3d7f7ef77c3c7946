"""A model in memory: answers and scores for any number of prompts.

On processors a batch is small and as many batches as there are cores are computed side by side:
what a layer keeps of the prompts should stay in the cores' caches, and small products of matrices
do not fill two cores. The same question gives the same answer whoever else asks, up to the
rounding of sums (about 1e-6 of a logit).
"""

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_agents.choice import Scores, TokenTree
from llm_agents.llama.batching import LENGTHS, ROOMS, Batch, batches, fitting, padded, rooms
from llm_agents.llama.config import Config
from llm_agents.llama.decode import Drawing, Manner, Read, draw, grown, prefill, score
from llm_agents.llama.model import empty_cache
from llm_agents.llama.text import ChatText
from llm_agents.llama.weights import read_weights

__all__ = ["Engine", "Said", "Task"]

SIZES = {"cpu": (1, 4, 16)}  # rows of a batch, by platform
OTHER_SIZES = (1, 8, 64)
WIDTHS = (2, 4, 8, 16, 32, 64, 256)  # tokens of options
WATCHED = 16  # tokens between two looks at the text, where there are stop strings
_Path = tuple[int, tuple[int, ...]]  # a row of the batch, and what is said after its prompt


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
        platform = jax.default_backend()
        self.sizes = SIZES.get(platform, OTHER_SIZES)
        self.workers = len(os.sched_getaffinity(0)) if platform == "cpu" else 1
        self._compiled: set[Any] = set()
        self._compiling = threading.Lock()

    @property
    def longest(self) -> int:
        """Most tokens of prompt and answer together."""
        return self.config.max_positions

    # ---- answers ------------------------------------------------------------------------

    def generate(self, tasks: Sequence[Task]) -> list[Said]:
        """Answer every task, in the order given."""

        def answers(batch: Batch, before: tuple[Read, ...]) -> list[Said]:
            return self._answer([tasks[i] for i in batch.indices], batch, before)

        return self._all([task.prompt for task in tasks], answers)

    def _all(
        self,
        prompts: Sequence[tuple[int, ...]],
        work: Callable[[Batch, tuple[Read, ...]], list[Any]],
    ) -> list[Any]:
        """Do the work batch by batch, side by side; what is found, in the order of the prompts."""
        found: dict[int, Any] = {}
        beginnings: dict[tuple[int, ...], tuple[Read, ...]] = {(): ()}

        def beginning(batch: Batch) -> tuple[Read, ...]:
            shared = prompts[batch.indices[0]][: batch.shared]
            if shared not in beginnings:
                tokens, pads = padded([shared], fitting(len(shared), LENGTHS), 1)
                beginnings[shared] = (self._run(prefill, tokens, pads)[1],)
            return beginnings[shared]

        jobs = [(batch, beginning(batch)) for batch in batches(prompts, self.sizes)]
        with ThreadPoolExecutor(max(1, min(self.workers, len(jobs)))) as threads:
            for (batch, _), some in zip(
                jobs, threads.map(lambda job: work(*job), jobs), strict=True
            ):
                found.update(zip(batch.indices, some, strict=True))
        return [found[index] for index in range(len(prompts))]

    def _run(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call a compiled function; two threads do not compile the same program twice."""
        key = (function, *map(np.shape, jax.tree.leaves(given)))
        if key in self._compiled:
            return function(self.graph, self.weights, *given)
        with self._compiling:
            found = function(self.graph, self.weights, *given)
            self._compiled.add(key)
            return found

    def _read(
        self, prompts: Sequence[tuple[int, ...]], batch: Batch, before: tuple[Read, ...]
    ) -> tuple[jax.Array, tuple[Read, ...]]:
        """The logits of what follows the prompts of a batch, and all that was read."""
        rests = [prompt[batch.shared :] for prompt in prompts]
        logits, read = self._run(prefill, *padded(rests, batch.length, batch.size), before)
        return logits, (*before, read)

    def _answer(self, tasks: Sequence[Task], batch: Batch, before: tuple[Read, ...]) -> list[Said]:
        size = batch.size
        logits, read = self._read([task.prompt for task in tasks], batch, before)
        manner = self._manner(tasks, size)
        most = max(task.room for task in tasks)
        watched = any(task.stop for task in tasks)
        drawing = Drawing(
            cache=empty_cache(self.config, size, ROOMS[0], self.weights["embedding"].dtype),
            logits=logits,
            tokens=jnp.zeros((size, ROOMS[0]), jnp.int32),
            drawn=jnp.int32(0),
            done=jnp.arange(size) >= len(tasks),
            lengths=jnp.zeros(size, jnp.int32),
        )
        drawn = 0
        for room in rooms(most):
            if room > drawing.tokens.shape[1]:
                drawing = grown(drawing, room)
            while drawn < min(room, most):
                until = min(room, most, drawn + WATCHED) if watched else min(room, most)
                drawing = self._run(draw, read, drawing, manner, jnp.int32(until))
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

        def scores(batch: Batch, before: tuple[Read, ...]) -> list[Scores]:
            return self._score([trees[i] for i in batch.indices], batch, before)

        return self._all([tree.tokens.context for tree in trees], scores)

    def _score(
        self, trees: Sequence[TokenTree], batch: Batch, before: tuple[Read, ...]
    ) -> list[Scores]:
        size = batch.size
        logits, read = self._read([tree.tokens.context for tree in trees], batch, before)
        first = np.asarray(jax.nn.log_softmax(logits, axis=-1))
        found: list[dict[tuple[int, ...], Mapping[int, float]]] = [
            {(): _at(first[row], tree.nodes[()])} for row, tree in enumerate(trees)
        ]
        paths = [(row, node) for row, tree in enumerate(trees) for node in _ends_of(tree)]
        width = fitting(max((len(node) for _, node in paths), default=0), WIDTHS)
        for start in range(0, len(paths), size):
            part = paths[start : start + size]
            said = self._continue(read, part, size, width)
            for (row, node), values in zip(part, said, strict=False):
                for place in range(1, len(node) + 1):
                    nexts = trees[row].nodes[node[:place]]
                    found[row][node[:place]] = _at(values[place - 1], nexts)
        return list(found)

    def _continue(
        self, read: tuple[Read, ...], paths: Sequence[_Path], size: int, width: int
    ) -> np.ndarray:
        rows = np.zeros(size, np.int32)
        options = np.zeros((size, width), np.int32)
        for place, (row, node) in enumerate(paths):
            rows[place] = row
            options[place, : len(node)] = node
        return np.asarray(self._run(score, read, rows, options))


def _ends_of(tree: TokenTree) -> list[tuple[int, ...]]:
    """The places from which no other one is reached, the beginning left out."""
    return [
        node
        for node in tree.nodes
        if node and not any(len(o) > len(node) and o[: len(node)] == node for o in tree.nodes)
    ]


def _at(logprobs: np.ndarray, tokens: Sequence[int]) -> dict[int, float]:
    return dict(zip(tokens, logprobs[list(tokens)].tolist(), strict=True))


def _cut(text: str, stops: Sequence[str]) -> int | None:
    places = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return min(places, default=None)

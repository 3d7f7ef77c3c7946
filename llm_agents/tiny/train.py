"""Make society-tiny: lessons, tokenizer, training, export, test, model card.

    python -m llm_agents.tiny.train --minutes 60 --out my-model

Everything is kept in ``--work``: lessons, tokenizer, checkpoints. Started again with the same
folder it goes on where it was; ``--export-only`` writes the model of the latest checkpoint.
With ``--steps`` instead of ``--minutes`` the same seed gives the same model on the same machine.
"""

import argparse
import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tokenizers import Tokenizer

from llm_agents.backends.base import ChatMessage
from llm_agents.llama.config import Config
from llm_agents.tiny.batches import DRILL_LENGTH, Batch, Encoded, batches, drill, encode
from llm_agents.tiny.curriculum import fingerprint, lessons, without
from llm_agents.tiny.learning import load, new_student, rate_at, save, study
from llm_agents.tiny.lessons import Lesson
from llm_agents.tiny.tokenizer import make_tokenizer

__all__ = ["CONFIG", "main"]

CONFIG = Config(
    vocab_size=2048,
    width=128,
    hidden_width=384,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_width=32,
    max_positions=4096,
    rope_theta=10000.0,
    tied=True,
    eos=(1,),
)
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY = 10
DRILLS_UNTIL, DRILLS_EARLY, DRILLS_LATE = 1000, 0.5, 0.08
FIRST_WORD = 5  # tokens below it are control tokens


def main(arguments: list[str] | None = None) -> None:
    """Run the stages that are not done yet."""
    options = _parser().parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    train, test = _lessons(options)
    tokenizer = _tokenizer(options.work / "tokenizer.json", train)
    if not options.export_only:
        _train(options, _encoded(options.work / "encoded.npz", tokenizer, train, options.seed))
    from llm_agents.tiny.export import export

    export(options, CONFIG, tokenizer, test)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train society-tiny.")
    parser.add_argument("--work", type=Path, default=Path("runs/society-tiny"))
    parser.add_argument("--out", type=Path, default=Path("runs/society-tiny/model"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lessons", type=int, default=60_000, help="training lessons")
    parser.add_argument("--test", type=int, default=2000, help="lessons held out")
    parser.add_argument("--minutes", type=float, default=60.0, help="wall time of the training")
    parser.add_argument("--steps", type=int, default=None, help="instead of --minutes")
    parser.add_argument("--export-only", action="store_true", help="train no further")
    return parser


# ---- lessons ------------------------------------------------------------------------------


def _lessons(options: argparse.Namespace) -> tuple[list[Lesson], list[Lesson]]:
    """Lessons to train on, and lessons to test with whose prompts are not among the former."""
    train = _kept(options.work / "train.jsonl", options.lessons, 2 * options.seed)
    known = frozenset(map(fingerprint, train))
    test = _kept(options.work / "test.jsonl", options.test, 2 * options.seed + 1)
    return train, without(test, known)


def _kept(path: Path, number: int, seed: int) -> list[Lesson]:
    if not path.is_file():
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            for lesson in lessons(number, seed):
                file.write(json.dumps(_plain(lesson)) + "\n")
        part.rename(path)
    with path.open(encoding="utf-8") as file:
        return [_lesson(json.loads(line)) for line in file]


def _plain(lesson: Lesson) -> list[Any]:
    said = [[message.role, message.content] for message in lesson.messages]
    return [lesson.task, said, lesson.answer, lesson.options]


def _lesson(plain: list[Any]) -> Lesson:
    task, said, answer, options = plain
    messages = tuple(ChatMessage(role, content) for role, content in said)
    return Lesson(task, messages, answer, tuple(options) if options else None)


def _tokenizer(path: Path, train: list[Lesson]) -> Tokenizer:
    if not path.is_file():
        texts = itertools.chain.from_iterable(
            (*(message.content for message in lesson.messages), lesson.answer) for lesson in train
        )
        make_tokenizer(texts, CONFIG.vocab_size).save(str(path))
    return Tokenizer.from_file(str(path))


def _encoded(path: Path, tokenizer: Tokenizer, train: list[Lesson], seed: int) -> list[Encoded]:
    """Lessons in tokens; kept, because encoding takes a minute."""
    if not path.is_file():
        fresh = encode(tokenizer, train, random.Random(seed))
        sizes = [[len(lesson.tokens), lesson.answer] for lesson in fresh]
        joined = np.concatenate([np.asarray(lesson.tokens, np.int32) for lesson in fresh])
        np.savez(path, sizes=np.asarray(sizes, np.int32), tokens=joined)
    with np.load(path, allow_pickle=False) as found:
        sizes, tokens = found["sizes"], found["tokens"]
    parts = np.split(tokens, np.cumsum(sizes[:-1, 0]))
    return [
        Encoded(tuple(part.tolist()), int(answer))
        for part, answer in zip(parts, sizes[:, 1], strict=True)
    ]


# ---- training -----------------------------------------------------------------------------


def _train(options: argparse.Namespace, encoded: list[Encoded]) -> None:
    graph, student = new_student(CONFIG, options.seed)
    path = options.work / "checkpoint.npz"
    step = 0
    if path.is_file():
        student, step = load(path, student)
    log = (options.work / "log.jsonl").open("a", encoding="utf-8")
    learn, clock = study(graph), _Clock(options)
    for batch in _course(encoded, options.seed, step):
        progress = clock.progress(step)
        if progress >= 1.0:
            break
        student, loss, answer = learn(student, batch, rate_at(progress, step))
        step += 1
        clock.tokens += batch.tokens.size
        drilled = batch.tokens.shape[1] == DRILL_LENGTH
        if drilled and step % LOG_EVERY == 0:
            print(f"step {step}, drill {float(loss):.3f}", flush=True)
        elif step % LOG_EVERY == 0:
            row = {"step": step, "tokens": clock.tokens, "s": round(clock.elapsed_s, 1),
                   "loss": round(float(loss), 4), "answer": round(float(answer), 4)}  # fmt: skip
            print(json.dumps(row), file=log, flush=True)
        if clock.due():
            save(path, jax.block_until_ready(student), step)
    save(path, student, step)


class _Clock:
    """How far the training is, by steps or by wall time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.begun, self.saved, self.tokens = options, time.monotonic(), 0.0, 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.begun

    def progress(self, step: int) -> float:
        """From 0 to 1."""
        if self.options.steps is not None:
            return step / self.options.steps
        return self.elapsed_s / (60 * self.options.minutes)

    def due(self) -> bool:
        """Whether a checkpoint is due."""
        if self.elapsed_s - self.saved < CHECKPOINT_EVERY_S:
            return False
        self.saved = self.elapsed_s
        return True


def _course(encoded: list[Encoded], seed: int, step: int) -> Iterator[Batch]:
    """Batches of lessons, in the first part with drills between them."""
    taught = itertools.islice(_for_ever(encoded, seed), step, None)
    for number in itertools.count(step):
        rng = np.random.default_rng([seed, number])
        if rng.random() < (DRILLS_EARLY if number < DRILLS_UNTIL else DRILLS_LATE):
            yield drill(CONFIG.vocab_size, FIRST_WORD, rng)
        else:
            yield next(taught)


def _for_ever(encoded: list[Encoded], seed: int) -> Iterator[Batch]:
    for lap in itertools.count():
        yield from batches(encoded, random.Random(f"{seed}/{lap}"))


if __name__ == "__main__":
    main()

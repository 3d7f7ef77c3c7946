"""Write the trained model in Hugging Face form, test it, and write its card."""

import argparse
import collections
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from llm_agents.choice import TokenTree
from llm_agents.llama.config import Config
from llm_agents.llama.engine import Engine, Task
from llm_agents.llama.weights import write_weights
from llm_agents.parsing import answer_part
from llm_agents.tiny.card import write_card
from llm_agents.tiny.learning import load, new_student
from llm_agents.tiny.lessons import Lesson
from llm_agents.tiny.tokenizer import save_tokenizer

__all__ = ["Score", "export", "grade", "write_model"]

MOST_PER_TASK = 60


class Score(NamedTuple):
    """How many of ``asked`` held-out prompts of a task got the taught answer.

    decided: the same option, number or name (the line behind "Answer:" where there is one).
    exact: the same text.
    """

    task: str
    asked: int
    decided: int
    exact: int


def export(
    options: argparse.Namespace, config: Config, tokenizer: Tokenizer, test: Sequence[Lesson]
) -> None:
    """Write the model of the latest checkpoint, grade it and write the card beside it."""
    _, student = new_student(config, options.seed)
    student, step = load(options.work / "checkpoint.npz", student)
    write_model(options.out, student.weights, config, tokenizer)
    scores = grade(Engine(options.out), test)
    log = [json.loads(line) for line in (options.work / "log.jsonl").read_text().splitlines()]
    write_card(options.out.parent / "MODEL_CARD.md", config, log, scores, step)
    for score in scores:
        print(f"{score.task:32} {score.asked:5} {score.decided / score.asked:6.1%}")


def write_model(folder: Path, weights: Any, config: Config, tokenizer: Tokenizer) -> None:
    """Write weights (as float16), settings, tokenizer and template."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / "model.safetensors", weights, config, np.float16)
    (folder / "config.json").write_text(json.dumps(config.to_json(), indent=2) + "\n")
    settings = {"eos_token_id": list(config.eos), "pad_token_id": 0, "do_sample": True}
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    save_tokenizer(tokenizer, folder, config.max_positions)


def grade(engine: Engine, test: Sequence[Lesson]) -> list[Score]:
    """Ask every task's held-out prompts at temperature 0."""
    asked: dict[str, list[Lesson]] = collections.defaultdict(list)
    for lesson in test:
        if len(asked[lesson.task]) < MOST_PER_TASK:
            asked[lesson.task].append(lesson)
    lessons = [lesson for task in sorted(asked) for lesson in asked[task]]
    counts: dict[str, list[int]] = {task: [0, 0, 0] for task in sorted(asked)}
    for lesson, said in zip(lessons, _answers(engine, lessons), strict=True):
        count = counts[lesson.task]
        count[0] += 1
        count[1] += _decision(said) == _decision(lesson.answer)
        count[2] += said == lesson.answer
    return [Score(task, *count) for task, count in counts.items()]


def _answers(engine: Engine, lessons: Sequence[Lesson]) -> list[str]:
    texts = [
        engine.text.render([{"role": m.role, "content": m.content} for m in lesson.messages])
        for lesson in lessons
    ]
    free = [i for i, lesson in enumerate(lessons) if lesson.options is None]
    tasks = [Task(engine.text.encode(texts[i]), room=128) for i in free]
    answers = {i: said.text for i, said in zip(free, engine.generate(tasks), strict=True)}
    closed = [i for i, lesson in enumerate(lessons) if lesson.options is not None]
    trees = [
        TokenTree.of(engine.text.encode, texts[i], "", lessons[i].options or ()) for i in closed
    ]
    for i, tree, found in zip(closed, trees, engine.score(trees), strict=True):
        answers[i] = (lessons[i].options or ())[int(np.argmax(tree.scores(found)))]
    return [answers[i] for i in range(len(lessons))]


def _decision(said: str) -> str:
    """The line behind "Answer:", the strategy sentence, or the whole text."""
    answer = answer_part(said)
    if answer is not None:
        return answer.strip().rstrip(".").lower()
    place = said.find("My strategy will be")
    return (said[place:] if place >= 0 else said).strip().rstrip(".").lower()

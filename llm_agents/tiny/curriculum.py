"""Which lessons there are, in what shares, and how training and test are kept apart."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence

from llm_agents.tiny.lessons import Lesson
from llm_agents.tiny.lessons_donor import donor_lessons
from llm_agents.tiny.lessons_goods import goods_lessons
from llm_agents.tiny.lessons_matrix import matrix_lessons
from llm_agents.tiny.lessons_minds import minds_lessons
from llm_agents.tiny.lessons_prose import prose_lessons

__all__ = ["fingerprint", "lessons", "without"]

SHARES: tuple[tuple[Callable[[random.Random], list[Lesson]], float], ...] = (
    (donor_lessons, 0.36),
    (matrix_lessons, 0.30),
    (goods_lessons, 0.08),
    (prose_lessons, 0.14),
    (minds_lessons, 0.12),
)
AT_ONCE = 24  # lessons kept of one episode: those of one game are much alike


def lessons(number: int, seed: int) -> Iterator[Lesson]:
    """Yield ``number`` lessons, all kinds mixed in their shares; equal seeds, equal lessons."""
    rng = random.Random(f"society-tiny/{seed}")
    made = {maker: 0 for maker, _ in SHARES}
    total = 0
    while total < number:
        maker = min(SHARES, key=lambda item: made[item[0]] / item[1])[0]
        found = maker(rng)
        kept = found if len(found) <= AT_ONCE else rng.sample(found, AT_ONCE)
        made[maker] += len(kept)
        total += len(kept)
        yield from kept


def fingerprint(lesson: Lesson) -> str:
    """Names a lesson's prompt; equal prompts have equal names."""
    text = "\x00".join(message.content for message in lesson.messages)
    return hashlib.sha256(text.encode()).hexdigest()


def without(found: Sequence[Lesson], known: frozenset[str]) -> list[Lesson]:
    """The lessons whose prompts are not among ``known``, each prompt once."""
    fresh: dict[str, Lesson] = {}
    for lesson in found:
        name = fingerprint(lesson)
        if name not in known:
            fresh.setdefault(name, lesson)
    return list(fresh.values())

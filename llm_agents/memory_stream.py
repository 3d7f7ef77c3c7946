"""A memory stream: everything is kept, and what matters now comes to mind.

Source: Park, O'Brien, Cai, Morris, Liang and Bernstein (2023), "Generative agents:
interactive simulacra of human behavior", arXiv:2304.03442 (recency, importance, relevance;
reflection when enough has happened). We differ: age counts the agent's own turns since a
memory was made or last found, so that the latest has the highest recency (their code ranks
memories oldest first and so gives it to the oldest); importance may be a rule; the stream
is bounded.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llm_agents.embeddings import Embedding
from llm_agents.memory import Did, Memory, Recollection, fitting, with_entry
from llm_agents.memory_search import Entry, Recall, Remember, Row, Streams, Weights
from llm_agents.parsing import ratings
from llm_agents.prompting import shortened
from llm_agents.questions import ContextBudget, Questions
from llm_agents.reflection import reflect
from llm_agents.safety import marked, one_line
from worlds.policy import Ask
from worlds.registry import component, load
from worlds.text_safety import defuse
from worlds.tree import doc_field, provided
from worlds.types import Turn

__all__ = ["Stream", "shown"]

_LONGEST = 600  # characters of a memory
_WORDS_A_POINT = 4


@component("memory", "stream")
@dataclasses.dataclass(frozen=True)
class Stream(Memory):
    """Every observation, message and act is kept; the most fitting come to mind each turn.

    A memory's score is recency x (decay ** own turns since it was made or last found)
    + importance x (its rating) + relevance x (cosine with what is seen and asked now), each
    stretched over the agent's memories to 0 .. 1 (0.5 where all are equal). When ratings since
    the last reflection add up to ``reflect_at``, the agent asks itself questions, recalls
    what bears on them, and keeps its conclusions with the memories they rest on.
    Beyond ``capacity`` the oldest memory is forgotten. A stream lasts a life: it goes on
    across episodes, while the recent turns shown beside it begin anew.
    """

    retrieved: int = doc_field(8, "memories that come to mind in a turn", ge=0)
    turns: int = doc_field(5, "latest turns of the episode that are shown as they were", ge=0)
    capacity: int = doc_field(2000, "memories of one agent; the oldest are forgotten", ge=1)
    recency: float = doc_field(1.0, "weight of recency", ge=0)
    importance_weight: float = doc_field(1.0, "weight of importance", ge=0)
    relevance: float = doc_field(1.0, "weight of relevance", ge=0)
    decay: float = doc_field(0.99, "recency left after a turn without use", gt=0, le=1)
    importance: Literal["length", "model", "constant"] = doc_field(
        "length", "who rates: a rule by length, the model (one more call a turn), or 5 for all"
    )
    reflect_at: float = doc_field(0.0, "sum of ratings that makes it reflect; 0 = never", ge=0)
    questions: int = doc_field(3, "questions that a reflection asks", ge=1)
    insights: int = doc_field(5, "conclusions from each question", ge=1)
    embedding: Embedding | str = doc_field(
        "hashing", "how texts become vectors", component="embedding"
    )
    reads_only: bool = provided(False)

    def aside(self) -> "Stream":
        """The same memory for a question that leaves no trace."""
        return dataclasses.replace(self, reads_only=True)

    def streams(self, num_minds: int) -> Streams:
        """Empty streams of a group."""
        made = self.embedding
        if isinstance(made, str):
            made = load("embedding", made)()
        return Streams(num_minds, made, self.capacity)

    def born(self, mind: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing is remembered yet."""
        stream = {"length": 0, "now": 0, "saw": "", "weight": 0.0, "reflected": 0}
        return {**mind, "history": [], "stream": stream}

    async def recollect(
        self, ask: Ask, mind: Mapping[str, Any], turn: Turn, budget: ContextBudget
    ) -> Recollection:
        """The latest turns, and the memories that fit what is seen now."""
        history, left_out = fitting(mind["history"], budget)
        stream = mind["stream"]
        if not (self.retrieved and stream["length"]):
            return Recollection(history, left_out)
        heard = [message.text for message in turn.inbox]
        query = "\n".join([turn.text, turn.question, *heard])
        (found,) = await ask(self._recall(stream, (query,), self.retrieved))
        rows = sorted(found, key=lambda row: row.id)
        texts = [shown(row.entry, turn.seat.uid, row.id) for row in rows]
        kept, forgotten = shortened(texts, budget.chars("memories")) if texts else ([], 0)
        return Recollection(history, left_out, kept, forgotten)

    async def remember(
        self, ask: Ask, questions: Questions, mind: Mapping[str, Any], turn: Turn, did: Did
    ) -> dict[str, Any]:
        """Keep what was seen, heard and done; reflect where enough has happened."""
        if self.reads_only:
            return dict(mind)
        stream = dict(mind["stream"])
        told = list(_happened(stream, turn, did))
        rated = await self._rated(ask, questions, mind, turn, [text for _, text in told])
        entries = tuple(
            Entry(kind, text, rating, stream["now"])
            for (kind, text), rating in zip(told, rated, strict=True)
        )
        if entries:
            stream["length"] = await ask(Remember(stream["length"], entries))
        stream["weight"] += sum(rated)
        stream["saw"] = one_line(turn.text, _LONGEST)
        stream["now"] += int(turn.acting)
        mind = {**mind, "stream": stream}
        if self.turns:
            mind = with_entry(mind, turn, did, questions.budget, self.turns)
        if self.reflect_at and turn.acting and stream["weight"] >= self.reflect_at:
            return await self._reflected(ask, questions, mind, turn)
        return mind

    async def keep(
        self,
        ask: Ask,
        questions: Questions,
        mind: Mapping[str, Any],
        turn: Turn,
        kind: str,
        texts: Sequence[tuple[str, tuple[int, ...]]],
    ) -> dict[str, Any]:
        """Keep texts of one kind, each with the ids of what it rests on."""
        stream = dict(mind["stream"])
        rated = await self._rated(ask, questions, mind, turn, [text for text, _ in texts])
        entries = tuple(
            Entry(kind, text, rating, stream["now"], evidence)
            for (text, evidence), rating in zip(texts, rated, strict=True)
        )
        stream["length"] = await ask(Remember(stream["length"], entries))
        return {**mind, "stream": stream}

    # ---- parts --------------------------------------------------------------------------

    async def _reflected(
        self, ask: Ask, questions: Questions, mind: Mapping[str, Any], turn: Turn
    ) -> dict[str, Any]:
        stream = mind["stream"]
        since = max(1, stream["length"] - stream["reflected"])
        (latest,) = await ask(self._recall(stream, (), since))
        focus = _Focus(self, questions, mind, turn, ask)
        texts = await reflect(focus, latest, self.questions, self.insights)
        if texts:
            mind = await self.keep(ask, questions, mind, turn, "thought", texts)
        stream = mind["stream"]
        return {**mind, "stream": {**stream, "weight": 0.0, "reflected": stream["length"]}}

    def _recall(self, stream: Mapping[str, Any], queries: tuple[str, ...], most: int) -> Recall:
        weights = Weights(self.recency, self.importance_weight, self.relevance)
        return Recall(
            queries,
            stream["length"],
            stream["now"],
            most,
            self.decay,
            weights,
            leaves_trace=not self.reads_only,
        )

    async def _rated(
        self,
        ask: Ask,
        questions: Questions,
        mind: Mapping[str, Any],
        turn: Turn,
        texts: Sequence[str],
    ) -> list[float]:
        """A rating from 1 to 10 for each text."""
        if self.importance == "constant" or not texts:
            return [5.0] * len(texts)
        by_length = [float(min(10, 1 + len(text.split()) // _WORDS_A_POINT)) for text in texts]
        if self.importance == "length":
            return by_length
        prompt = questions.prompts.render("importance", memories=[defuse(t) for t in texts])
        messages = questions.messages(mind, defuse(turn.rules), prompt)
        context = {"part": "importance", "name": turn.seat.name, "count": len(texts)}
        response = await ask(questions.request(messages, "importance", context))
        rated = {} if response.error is not None else ratings(response.text, len(texts))
        return [float(rated.get(i + 1, rule)) for i, rule in enumerate(by_length)]


@dataclasses.dataclass(frozen=True)
class _Focus:
    """What a reflection needs: to ask the model, and to recall."""

    memory: Stream
    questions: Questions
    mind: Mapping[str, Any]
    turn: Turn
    ask: Ask

    async def recall(self, queries: Sequence[str]) -> list[list[Row]]:
        """Memories that bear on each question."""
        most = max(self.memory.retrieved, self.memory.insights * 2)
        return await self.ask(self.memory._recall(self.mind["stream"], tuple(queries), most))

    def shown(self, row: Row) -> str:
        """A memory as a prompt shows it."""
        return shown(row.entry, self.turn.seat.uid, row.id)


def shown(entry: Entry, *seed: object) -> str:
    """A memory in a line; what others said keeps a mark that they could not know."""
    if entry.kind == "heard":
        speaker, _, text = entry.text.partition(" said: ")
        return f"{speaker} said: {marked(text, 'memory', *seed)}"
    prefix = {"did": "You answered: ", "thought": "You concluded: ", "plan": "You planned: "}
    return prefix.get(entry.kind, "") + entry.text


def _happened(stream: Mapping[str, Any], turn: Turn, did: Did) -> list[tuple[str, str]]:
    """What is new in a turn: what is seen (unless it was just seen), heard, and done."""
    told = []
    saw = one_line(turn.text, _LONGEST)
    if saw and saw != stream["saw"]:
        told.append(("saw", saw))
    for message in turn.inbox:
        kind = "heard" if message.mode == "marked" else "saw"
        name = one_line(message.speaker_name, 80).replace(":", " ")
        told.append((kind, f"{name} said: {one_line(message.text, _LONGEST)}"))
    if words := did.words():
        told.append(("did", one_line(words, _LONGEST)))
    return told

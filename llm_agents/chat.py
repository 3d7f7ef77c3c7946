"""A language agent, put together from parts that a scenario names.

Its mind is a plain value: ``strategy`` (one sentence or ""), ``persona`` (rendered once at
birth), ``history`` (its latest turns), and what its parts keep (``stream``, ``plan``,
``bdi``, ``prediction``). Nothing another agent wrote is ever part of a system message; it
enters the user's part, neutralised and marked.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from llm_agents.aside import asked_aside
from llm_agents.deciding import IN_ONE_REPLY, Decided, Reasoning, decide
from llm_agents.memory import NOTHING, Did, Memory
from llm_agents.memory_search import Streams
from llm_agents.planning import Plan, made_plan, step_taken
from llm_agents.prediction import predict, scored
from llm_agents.prompting import Prompts
from llm_agents.questions import ContextBudget, Questions, Sampling
from llm_agents.safety import one_line, plain_values
from llm_agents.strategy import revised_strategy, written_strategy
from llm_agents.talking import inline_channel, say
from llm_agents.view import View
from worlds.framing import Framing
from worlds.policy import Ask, TextPolicy
from worlds.registry import component, load
from worlds.tree import doc_field
from worlds.types import Birth, Draft, Reply, Seat, Turn

__all__ = ["Chat", "ContextBudget", "Sampling"]

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n+")


@component("policy", "chat")
@dataclasses.dataclass(frozen=True)
class Chat(TextPolicy):
    """A language agent with a persona, a memory, one way of reasoning, and perhaps a strategy.

    reasoning ``direct`` asks for the answer alone, and scores options where there are some;
    ``justify`` for reasons and then the answer; ``cot`` for steps of thought and then the
    answer; ``scot`` first for a prediction of the other side, then for the answer, and
    notes later whether the prediction came true; ``bdi`` for belief, desire and intention,
    which it remembers, and then the answer. ``samples`` asks several times and takes what
    most replies say.
    strategy ``one_sentence`` writes a strategy at birth, from the rules and from the advice
    of survivors, and shows it at every decision; ``revised`` also rewrites it as it goes
    along. A reply that cannot be read is asked for again, the problem shown, ``max_reasks``
    times; then the world's fallback action is taken and flagged.

    Source: Vallinder and Hughes (2024), "Cultural evolution of cooperation among LLM agents",
    arXiv:2412.10270 (strategies as advice); Akata et al. (2025), "Playing repeated games with
    large language models", arXiv:2305.16867 (scot); Xie et al. (2024), "Can large language
    model agents simulate human trust behavior?", arXiv:2402.04559 (bdi). Prompts are our own.
    """

    persona: str = doc_field(
        "", "template of who the agent is; may use the seat's name, role, group and attributes"
    )
    prompts: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "templates that replace shipped ones, by name"},
        kw_only=True,
    )
    memory: Memory | str = doc_field(
        "window", "what is kept of earlier turns: none, window or stream", component="memory"
    )
    reasoning: Reasoning = doc_field("direct", "what is asked for before the answer")
    answers: Literal["text", "json"] = doc_field(
        "text",
        "form of an answer that is a number; json: by the world's schema, asked for directly",
    )
    samples: int = doc_field(1, "replies asked for at once; what most of them say is done", ge=1)
    plan: Literal["none", "daily", "steps"] | Plan = doc_field("none", "how far it plans ahead")
    strategy: Literal["none", "one_sentence", "revised"] = doc_field(
        "none", "whether a strategy is written at birth, and revised"
    )
    revise_every: int = doc_field(
        0, "own turns after which a strategy is revised; 0: after every episode", ge=0
    )
    sampling: Sampling = doc_field(Sampling(), "temperature, max_tokens, top_p")
    context: ContextBudget = doc_field(ContextBudget(), "most tokens of each part of a prompt")
    every: int = doc_field(1, "asked at steps divisible by this", ge=1)
    backend: str | None = doc_field(None, "name of the backend that answers")
    framing: Framing | None = doc_field(None, "how the world is told to this group")
    max_reasks: int = doc_field(2, "further questions after a reply that cannot be read", ge=0)

    def check_params(self) -> None:
        """Raise PromptError, a ValueError, where a template cannot be read."""
        self._questions.prompts.check_text(self.persona, "persona")
        if self.answers == "json" and self.reasoning not in ("direct", "scot"):
            raise ValueError(
                f"answers: json asks for a number and nothing else, which reasoning: "
                f"{self.reasoning} does not; use reasoning: direct or scot, or answers: text"
            )

    def prompt_hashes(self) -> dict[str, str]:
        """SHA-256 of every template in use, for the manifest."""
        hashes = self._questions.prompts.hashes()
        if self.persona:
            hashes["persona"] = hashlib.sha256(self.persona.encode()).hexdigest()
        return hashes

    def legacy(self, mind: Any) -> str:
        """The strategy."""
        return str(mind.get("strategy", ""))

    def streams(self, num_minds: int) -> Streams | None:
        """Room for the texts of the group's memories."""
        return self._memory.streams(num_minds)

    def aside(self) -> "Chat":
        """The same agent answering at once, so that options can be scored."""
        return asked_aside(dataclasses.replace(self, memory=self._memory.aside()))

    # ---- birth --------------------------------------------------------------------------

    async def birth(self, ask: Ask, birth: Birth) -> dict[str, Any]:
        """Make a mind: render the persona, write a strategy."""
        mind: dict[str, Any] = {"persona": self._persona(birth), "strategy": ""}
        mind = self._memory.born(mind)
        if self.strategy == "none":
            return mind
        return await written_strategy(ask, self._questions, mind, birth)

    # ---- turns --------------------------------------------------------------------------

    async def act(self, ask: Ask, mind: Any, turn: Turn) -> tuple[Reply, Any]:
        """Answer a turn; the mind remembers what was seen and answered."""
        events: dict[str, Any] = {}
        memory = self._memory
        if turn.first and turn.turn == 0:
            mind = await self._new_episode(ask, mind, turn, events)
        found = NOTHING
        if memory.keeps:
            found = await memory.recollect(ask, mind, turn, self.context)
        view = View(self._questions, mind, turn, found)
        if turn.acting and (self._prepares or mind.get("prediction")):
            view = await self._prepared(ask, view, events)
        drafts: list[Draft] = []
        if turn.talk:
            inline = inline_channel(turn) if turn.acting and self.reasoning in IN_ONE_REPLY else ""
            for channel in turn.talk:
                if channel != inline:
                    drafts += await say(ask, view, channel)
        if not turn.acting:
            reply = Reply(turn.fallback, tuple(drafts), notes=view.notes)
            did = Did("", drafts)
            return reply, await memory.remember(ask, self._questions, view.mind, turn, did)
        prediction = await predict(ask, view) if self.reasoning == "scot" else ""
        decided = await decide(
            ask, view, self.reasoning, self.samples, prediction, in_json=self.answers == "json"
        )
        drafts += decided.drafts
        view.mind = self._after(view.mind, decided, prediction)
        reply = decided.reply
        if drafts or events:
            reply = Reply(reply.action, tuple(drafts), reply.fallback, reply.notes, events)
        if not memory.keeps:
            return reply, view.mind
        did = Did(decided.said, drafts)
        return reply, await memory.remember(ask, self._questions, view.mind, turn, did)

    async def _new_episode(
        self, ask: Ask, mind: Any, turn: Turn, events: dict[str, Any]
    ) -> dict[str, Any]:
        """Begin an episode: revise the strategy in the light of the last one, then forget it."""
        if self.strategy == "revised" and not self.revise_every and mind["history"]:
            found = await self._memory.recollect(ask, mind, turn, self.context)
            view = View(self._questions, mind, turn, found)
            mind = await self._revised(ask, view, events)
        mind = self._memory.anew(mind)
        return {name: value for name, value in mind.items() if name not in ("plan", "prediction")}

    async def _prepared(self, ask: Ask, view: View, events: dict[str, Any]) -> View:
        """What an agent does before it decides: see what came of its guess, revise, plan."""
        mind = view.mind
        if mind.get("prediction"):
            if (score := scored(mind, view.turn)) is not None:
                events["prediction"] = score
            view.mind = mind = {**mind, "prediction": ""}
        if self.strategy == "revised" and self.revise_every:
            age = int(mind.get("age", 0))
            if age and age % self.revise_every == 0:
                mind = await self._revised(ask, view, events)
            view.mind = {**mind, "age": age + 1}
        if self.plan != "none":
            plan = Plan(use=self.plan) if isinstance(self.plan, str) else self.plan
            view.mind, made = await made_plan(ask, plan, view)
            if made:
                events["plan"] = made
        return view

    async def _revised(self, ask: Ask, view: View, events: dict[str, Any]) -> dict[str, Any]:
        strategy = await revised_strategy(ask, view)
        changed = strategy != view.mind["strategy"]
        events["strategy"] = {"text": strategy, "changed": changed}
        return {**view.mind, "strategy": strategy}

    def _after(
        self, mind: Mapping[str, Any], decided: Decided, prediction: str
    ) -> Mapping[str, Any]:
        """What a decision leaves in the mind, apart from memory."""
        after = step_taken(mind) if "plan" in mind else mind
        if prediction:
            after = {**after, "prediction": prediction}
        if decided.attitudes:
            after = {**after, "bdi": {**after.get("bdi", {}), **decided.attitudes}}
        return after

    # ---- parts --------------------------------------------------------------------------

    @functools.cached_property
    def _questions(self) -> Questions:
        prompts = Prompts.shipped(self.prompts)
        return Questions(prompts, self.sampling, self.context, self.max_reasks)

    @functools.cached_property
    def _prepares(self) -> bool:
        return self.plan != "none" or self.strategy == "revised"

    @functools.cached_property
    def _memory(self) -> Memory:
        if isinstance(self.memory, Memory):
            return self.memory
        return load("memory", self.memory)()

    def _persona(self, birth: Birth) -> str:
        prompts, seat = self._questions.prompts, birth.seat
        values = plain_values(seat.attributes) | _names(seat)
        if self.persona:
            text = prompts.render_text(self.persona, "persona", **values)
        else:
            text = prompts.render("persona", **values)
        form = (self.framing or birth.framing or Framing()).persona_format
        if form == "sentence":
            return text
        sentences = [part.strip() for part in _SENTENCE.split(text) if part.strip()]
        return prompts.render("persona_format", format=form, text=text, sentences=sentences)


def _names(seat: Seat) -> dict[str, str]:
    return {
        "name": one_line(seat.name),
        "role": one_line(seat.role),
        "group": one_line(seat.group),
    }

"""A language agent: a persona, perhaps a strategy in its own words, and a way of answering.

Its mind is a plain value: ``strategy`` (one sentence or ""), ``persona`` (rendered once at
birth), ``history`` (what it saw, heard and answered, newest last). Nothing another agent
wrote is ever part of a system message; it enters the user's part, neutralised and marked.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llm_agents.backends.base import ChatMessage, Request, Response
from llm_agents.parsing import answer_part, message_part, strategy_sentence, without_message
from llm_agents.prompting import Prompts, shortened
from llm_agents.safety import marked, one_line, plain_values
from worlds.framing import Framing
from worlds.messages import render_messages
from worlds.policy import Ask, TextPolicy
from worlds.registry import component
from worlds.text_safety import defuse, neutralise
from worlds.tree import doc_field
from worlds.types import Birth, Draft, ParseError, Reply, Seat, Turn

__all__ = ["Chat", "ContextBudget", "Memory", "Sampling"]

SILENCE = "-"
_UNDECIDED = "My strategy will be to decide anew each time."
_ANSWER_LINE = "answer_line"


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How answers are drawn; belongs to the policy, so another server changes nothing."""

    temperature: float = doc_field(0.7, "0 takes the most probable words", ge=0)
    max_tokens: int = doc_field(300, "longest answer", ge=1)
    top_p: float = doc_field(1.0, "share of probability that words are drawn from", gt=0, le=1)


@dataclasses.dataclass(frozen=True)
class Memory:
    """What an agent remembers of earlier turns of the same episode."""

    use: Literal["none", "window"] = doc_field("window", "nothing, or the latest turns")
    turns: int = doc_field(50, "turns that the window holds", ge=1)


@dataclasses.dataclass(frozen=True)
class ContextBudget:
    """Most characters of each part of a prompt; the oldest entries go first."""

    history: int = doc_field(6000, "earlier turns", ge=0)
    inbox: int = doc_field(4000, "messages received", ge=0)
    advice: int = doc_field(6000, "strategies of others, read at birth", ge=0)
    entry: int = doc_field(1500, "one remembered turn, or one text of another agent", ge=1)


@component("policy", "chat")
@dataclasses.dataclass(frozen=True)
class Chat(TextPolicy):
    """A language agent with a persona, one way of reasoning, and perhaps a strategy.

    reasoning ``direct`` asks for the answer alone, and scores options where there are some;
    ``justify`` for reasons and then the answer; ``cot`` for steps of thought and then the
    answer; ``scot`` first for a prediction of the other side, then for the answer.
    strategy ``one_sentence`` writes a strategy at birth, from the rules and from the advice
    of survivors, and shows it at every decision. A reply that cannot be read is asked for
    again, the problem shown, ``max_reasks`` times; then the world's fallback action is taken
    and flagged.

    Source: Vallinder and Hughes (2024), "Cultural evolution of cooperation among LLM agents",
    arXiv:2412.10270 (strategies as advice); Akata et al. (2025), "Playing repeated games with
    large language models", arXiv:2305.16867 (scot). The prompts are our own.
    """

    persona: str = doc_field(
        "", "template of who the agent is; may use the seat's name, role, group and attributes"
    )
    prompts: Mapping[str, str] = dataclasses.field(
        default_factory=dict,
        metadata={"help": "templates that replace shipped ones, by name"},
        kw_only=True,
    )
    memory: Literal["none", "window"] | Memory = doc_field(
        "window", "what is remembered of earlier turns of an episode"
    )
    reasoning: Literal["direct", "justify", "cot", "scot"] = doc_field(
        "direct", "what is asked for before the answer"
    )
    strategy: Literal["none", "one_sentence"] = doc_field(
        "none", "whether a strategy is written at birth"
    )
    sampling: Sampling = doc_field(Sampling(), "temperature, max_tokens, top_p")
    context: ContextBudget = doc_field(ContextBudget(), "most characters of each part of a prompt")
    every: int = doc_field(1, "asked at steps divisible by this", ge=1)
    backend: str | None = doc_field(None, "name of the backend that answers")
    framing: Framing | None = doc_field(None, "how the world is told to this group")
    max_reasks: int = doc_field(2, "further questions after a reply that cannot be read", ge=0)

    def check_params(self) -> None:
        """Raise PromptError, a ValueError, where a template cannot be read."""
        self._prompts().check_text(self.persona, "persona")

    def prompt_hashes(self) -> dict[str, str]:
        """SHA-256 of every template in use, for the manifest."""
        hashes = self._prompts().hashes()
        if self.persona:
            hashes["persona"] = hashlib.sha256(self.persona.encode()).hexdigest()
        return hashes

    def legacy(self, mind: Any) -> str:
        """The strategy."""
        return str(mind.get("strategy", ""))

    # ---- birth --------------------------------------------------------------------------

    async def birth(self, ask: Ask, birth: Birth) -> dict[str, Any]:
        """Make a mind: render the persona, write a strategy."""
        mind: dict[str, Any] = {
            "persona": self._persona(birth.seat),
            "strategy": "",
            "history": [],
        }
        if self.strategy == "none":
            return mind
        advice, _ = shortened(list(birth.texts), self.context.advice)
        shown = [
            marked(text[: self.context.entry], "advice", birth.generation, birth.seat.uid, number)
            for number, text in enumerate(advice)
            if text.strip()
        ]
        messages = self._messages(mind, birth.rules, self._prompts().render("birth", advice=shown))
        context = {"part": "birth", "name": birth.seat.name, "advice": list(advice)}
        reply = ""
        for _ in range(self.max_reasks + 1):
            response = await ask(self._request(messages, "birth", context))
            reply = response.text
            if sentence := strategy_sentence(reply):
                return mind | {"strategy": one_line(sentence)}
            problem = 'it has no sentence that begins with "My strategy will be"'
            messages = self._again(messages, response, problem, form="")
        return mind | {"strategy": one_line(reply) or _UNDECIDED, "strategy_fallback": True}

    # ---- turns --------------------------------------------------------------------------

    async def act(self, ask: Ask, mind: Any, turn: Turn) -> tuple[Reply, Any]:
        """Answer a turn; the mind remembers what was seen and answered."""
        if turn.first and turn.turn == 0:
            mind = mind | {"history": []}
        view = _View(self, mind, turn)
        inline = turn.acting and self.reasoning in ("justify", "cot")
        spoken = [c for c in turn.talk if not (inline and c == _inline_channel(turn))]
        drafts = [draft for name in spoken if (draft := await self._say(ask, view, name))]
        if not turn.acting:
            return Reply(turn.fallback, tuple(drafts)), self._remember(mind, turn, "", drafts)
        prediction = await self._predict(ask, view) if self.reasoning == "scot" else ""
        reply, said, message = await self._decide(ask, view, prediction)
        if message:
            drafts.append(Draft(_inline_channel(turn), message))
        reply = dataclasses.replace(reply, messages=tuple(drafts))
        return reply, self._remember(mind, turn, said, drafts)

    async def _decide(self, ask: Ask, view: "_View", prediction: str) -> tuple[Reply, str, str]:
        """Ask for the action until it can be read; returns the reply, what was said, a message."""
        turn = view.turn
        scored = turn.options is not None and self.reasoning in ("direct", "scot")
        template = self.reasoning if self.reasoning in ("justify", "cot") else "direct"
        channel = _inline_channel(turn) if template != "direct" else ""
        question = self._prompts().render_again(
            template,
            question=turn.question,
            options=turn.options or (),
            hint=turn.answer_hint,
            talk=(channel,) if channel else (),
        )
        messages = view.messages(question, prediction)
        form = "" if template == "direct" else _ANSWER_LINE
        context = view.context("act", form=form, talk=channel)
        notes: dict[str, Any] = view.notes | ({"prediction": prediction} if prediction else {})
        for reasks in range(self.max_reasks + 1):
            request = self._request(messages, "act", context, turn.options if scored else None)
            response = await ask(request)
            action, problem = _read(turn, response)
            if not problem:
                notes |= {"reasks": reasks} if reasks else {}
                said = answer_part(response.text) or response.text
                message = message_part(response.text) if channel else ""
                return Reply(action, notes=notes), one_line(said, 200), message
            messages = self._again(messages, response, problem, form, turn)
            notes |= {"problem": problem, "reply": one_line(response.text, 200)}
        notes["reasks"] = self.max_reasks
        return Reply(turn.fallback, fallback=True, notes=notes), "", ""

    async def _predict(self, ask: Ask, view: "_View") -> str:
        turn = view.turn
        question = self._prompts().render_again(
            "predict",
            question=turn.question,
            options=turn.options or (),
            hint=turn.answer_hint,
        )
        request = self._request(
            view.messages(question), "predict", view.context("predict"), turn.options
        )
        response = await ask(request)
        return "" if response.error is not None else one_line(response.text, 300)

    async def _say(self, ask: Ask, view: "_View", channel: str) -> Draft | None:
        words = tuple(view.turn.vocabulary.get(channel, ()))
        question = self._prompts().render(
            "talk", channel=one_line(channel), words=words, acting=view.turn.acting
        )
        request = self._request(
            view.messages(question),
            "talk",
            view.context("talk"),
            (*words, SILENCE) if words else None,
        )
        response = await ask(request)
        text = message_part(response.text) or response.text.strip()
        if response.error is not None or text.strip(" .\"'") in ("", SILENCE, "Message:"):
            return None
        return Draft(channel, text[: self.context.entry])

    # ---- parts --------------------------------------------------------------------------

    def _prompts(self) -> Prompts:
        return Prompts.shipped(self.prompts)

    def _persona(self, seat: Seat) -> str:
        values = plain_values(seat.attributes) | {
            "name": one_line(seat.name),
            "role": one_line(seat.role),
            "group": one_line(seat.group),
        }
        if not self.persona:
            return self._prompts().render("persona", **values)
        return self._prompts().render_text(self.persona, "persona", **values)

    def _messages(self, mind: Any, rules: str, user: str) -> tuple[ChatMessage, ...]:
        system = self._prompts().render_again("system", persona=mind["persona"], rules=rules)
        return (ChatMessage("system", system), ChatMessage("user", user))

    def _request(
        self,
        messages: tuple[ChatMessage, ...],
        purpose: str,
        context: Mapping[str, Any],
        options: tuple[str, ...] | None = None,
    ) -> Request:
        return Request(
            messages=messages,
            purpose=purpose,
            options=options,
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            context=context,
        )

    def _again(
        self,
        messages: tuple[ChatMessage, ...],
        response: Response,
        problem: str,
        form: str,
        turn: Turn | None = None,
    ) -> tuple[ChatMessage, ...]:
        """The same question with the unusable reply and what was wrong; only the last one."""
        asked = self._prompts().render(
            "reask",
            problem=one_line(problem),
            options=(turn.options or ()) if turn else (),
            hint=turn.answer_hint if turn else "",
            form=form,
        )
        said = neutralise(response.text)[: self.context.entry].strip() or "(no answer)"
        return (*messages[:2], ChatMessage("assistant", said), ChatMessage("user", asked))

    def _window(self) -> Memory:
        return Memory(use=self.memory) if isinstance(self.memory, str) else self.memory

    def _remember(
        self, mind: dict[str, Any], turn: Turn, said: str, drafts: Sequence[Draft]
    ) -> dict[str, Any]:
        window = self._window()
        if window.use == "none":
            return mind
        did = [said] if said else []
        did += [f"(on {draft.channel}) {one_line(draft.text, 300)}" for draft in drafts]
        entry = {
            "at": [turn.generation, turn.episode, turn.step],
            "saw": defuse(turn.text)[: self.context.entry],
            "heard": render_messages(turn.inbox)[: self.context.entry] if turn.inbox else "",
            "did": "; ".join(did),
        }
        history = list(mind["history"])
        if history and history[-1]["at"] == entry["at"]:  # talk and act of one step
            last = history.pop()
            entry["heard"] = "\n".join(filter(None, (last["heard"], entry["heard"])))
            entry["did"] = "; ".join(filter(None, (last["did"], entry["did"])))
        return mind | {"history": [*history, entry][-window.turns :]}


class _View:
    """What an agent knows in a turn, put together once for all that it is asked."""

    def __init__(self, policy: Chat, mind: Mapping[str, Any], turn: Turn) -> None:
        self.policy, self.mind, self.turn = policy, mind, turn
        budget = policy.context
        self.history, self.left_out = shortened(
            list(mind["history"]) if budget.history else [],
            budget.history,
            lambda entry: sum(map(len, entry.values())),
        )
        inbox, self.unread = shortened(
            list(turn.inbox) if budget.inbox else [],
            budget.inbox,
            lambda message: len(message.text),
        )
        clipped = [
            dataclasses.replace(message, text=message.text[: budget.entry]) for message in inbox
        ]
        self.inbox = render_messages(clipped) if clipped else ""

    @property
    def notes(self) -> dict[str, Any]:
        """What did not fit into the prompt."""
        counts = {"turns_left_out": self.left_out, "messages_left_out": self.unread}
        return {name: count for name, count in counts.items() if count}

    def messages(self, ask: str, prediction: str = "") -> tuple[ChatMessage, ...]:
        """The conversation that ends with a question."""
        user = self.policy._prompts().render(
            "turn",
            strategy=self.mind["strategy"],
            history=self.history,
            left_out=self.left_out,
            inbox=self.inbox,
            unread=self.unread,
            text=defuse(self.turn.text),
            prediction=prediction,
            ask=defuse(ask),
        )
        return self.policy._messages(self.mind, defuse(self.turn.rules), user)

    def context(self, part: str, **more: Any) -> dict[str, Any]:
        """The same for scripted backends."""
        turn = self.turn
        return {
            "part": part,
            "name": turn.seat.name,
            "strategy": self.mind["strategy"],
            "options": turn.options,
            "question": turn.question,
            "hint": turn.answer_hint,
            "text": turn.text,
            **more,
        }


def _inline_channel(turn: Turn) -> str:
    """The channel that a message in the same reply goes to: the first one of free texts."""
    return next((name for name in turn.talk if name not in turn.vocabulary), "")


def _read(turn: Turn, response: Response) -> tuple[Any, str]:
    """The action, or what is wrong with the reply."""
    if response.error is not None and response.choice is None:
        kind = response.error.kind
        said = {"empty": "it was empty", "refused": "it was refused"}
        return None, said.get(kind, f"it is none of the options: {one_line(response.text, 80)}")
    text = response.text
    if response.choice is not None and turn.options:
        text = turn.options[response.choice]
    try:
        return turn.parse(without_message(text)), ""
    except ParseError as error:
        return None, str(error) or "it could not be read"

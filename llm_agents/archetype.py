"""Archetypes: a few prompts speak for a large group, and each member draws its own action.

Members who are alike in the attributes ``by`` share an archetype. Now and then a language
model is asked, for every archetype in every situation that the world's caption knows, with
which probability it takes each action; the answers fill a table [K, S, A], which is part of
the group's mind. In between, every member looks its row up on the device and draws.
"""

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np

from llm_agents.backends.base import Response
from llm_agents.prompting import Prompts
from llm_agents.questions import ContextBudget, Questions, Sampling
from llm_agents.safety import one_line, plain_values
from worlds.captions import Caption
from worlds.framing import Framing
from worlds.policy import ArrayPolicy, Ask
from worlds.random import uniform
from worlds.registry import component
from worlds.spaces import part_of
from worlds.text_safety import defuse
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Decision, Mind, ParseError, Percept, Seat, Seats

__all__ = ["Archetype", "Prompt", "Shares", "assigned"]

_MOST = 4096


class Prompt(NamedTuple):
    """One question: archetype k in situation s, asked for the c-th time, from this seat."""

    archetype: int
    situation: int
    copy: int
    seat: Seat
    row: Any
    caption: Caption


class Shares(NamedTuple):
    """What came of a prompt: [A] float64 probabilities of the actions, and any problem."""

    shares: np.ndarray
    problem: str = ""


def _placed(default: Any, **metadata: Any) -> Any:
    """A field that ``seated`` fills in; static unless said otherwise."""
    return dataclasses.field(
        default=default, metadata={"provided": True, "static": True, **metadata}, kw_only=True
    )


@component("policy", "archetype")
@pytree
class Archetype(ArrayPolicy):
    """A language model is asked for types of people; each person then draws its own action.

    One prompt for every combination of the attributes ``by`` that occurs, in every situation
    of the world's caption, asked ``copies`` times with the options in one order and then the
    other. A table of action probabilities [archetypes, situations, actions] is the mean of
    the answers: option probabilities where the backend gives them, otherwise votes. It is
    made anew ``every`` so many steps of a generation; in all steps each person draws from
    its row. So the number of calls does not depend on the number of people.

    ``broadcast`` interventions of the running generation are part of later prompts. A reply
    that cannot be read is asked for again, then the world's no-op is taken and flagged.

    Source: Chopra et al. (2024), "On the limits of agency in agent-based models",
    arXiv:2409.10568, section 4; there everybody of an archetype gets the same number, and
    an unreadable reply counts as 0.
    """

    asks: ClassVar[bool] = True

    by: tuple[str, ...] = doc_field(
        (), "attributes that make an archetype; none: one archetype for the whole group"
    )
    copies: int = doc_field(1, "times that each prompt is asked", ge=1)
    every: int = doc_field(1, "steps between refreshes of the table", ge=1)
    persona: str = doc_field(
        "", "template of who they are; may use the attributes in by, role and group"
    )
    news: int = doc_field(5, "latest broadcasts that a prompt holds", ge=0)
    sampling: Sampling = doc_field(
        Sampling(temperature=1.0), "temperature, max_tokens, top_p", static=True
    )
    backend: str | None = doc_field(None, "name of the backend that answers")
    framing: Framing | None = doc_field(None, "how the world is told", static=True)
    max_reasks: int = doc_field(2, "further questions after a reply that cannot be read", ge=0)
    members: Any = provided(None)
    kinds: Any = _placed(())
    situated: Any = _placed(())
    num_actions: int = _placed(0)

    # ---- before the run -----------------------------------------------------------------

    def check(self, seats: Seats) -> None:
        """The world needs few situations and a choice; attributes and persona must exist."""
        self._situations(seats)
        self._actions(seats)
        missing = [name for name in self.by if name not in seats.attributes]
        if missing:
            raise ValueError(
                f"archetype goes by {missing[0]!r}, which is no attribute of the group; "
                f"attributes: {', '.join(seats.attributes) or 'none'}"
            )
        _, kinds = assigned([seats.attributes[name] for name in self.by], seats.num)
        self._persona(Seat(seats.start, attributes=dict(zip(self.by, kinds[0], strict=True))))

    def seated(self, seats: Seats) -> "Archetype":
        """The policy of a group whose members it knows.

        Args:
          seats: of the group, with all attributes, texts too.
        """
        members, kinds = assigned([seats.attributes[name] for name in self.by], seats.num)
        return dataclasses.replace(
            self,
            members=members,
            kinds=kinds,
            situated=self._situations(seats),
            num_actions=self._actions(seats),
        )

    def _situations(self, seats: Seats) -> tuple[tuple[str, int], ...]:
        """(part of the view, number of values) for what tells situations apart."""
        world = seats.world
        names = None
        if world.caption is not None:
            module, _, name = world.caption.partition(":")
            names = getattr(importlib.import_module(module), name).situated
        if names is None:
            raise ValueError(
                f"world {type(world).__name__} does not say which few situations there are, so no "
                "table can answer them all; use policy: chat, or a world whose caption "
                "declares `situated` (epidemic)"
            )
        return tuple((name, int(part_of(seats.observation_space, name).n)) for name in names)

    def _actions(self, seats: Seats) -> int:
        space = seats.action_space
        if not isinstance(space, gymnasium.spaces.Discrete) or space.start:
            raise ValueError(
                f"archetypes choose among options, but actions here are {space}; use policy: chat"
            )
        return int(space.n)

    # ---- on the device ------------------------------------------------------------------

    def init(self, key: Array, seats: Seats) -> Mind:
        """A table in which all actions are equally likely, until the first refresh.

        params: {"table": [K, S, A] float32}.
        """
        shape = (len(self.kinds), self.num_situations, self.num_actions)
        return Mind(params={"table": jnp.full(shape, 1.0 / self.num_actions, jnp.float32)})

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Look up, and draw."""
        situation = jnp.zeros(self.members.shape, jnp.int32)
        for name, size in self.situated:
            situation = situation * size + part_of(percept.view, name)
        table = mind.params["table"].reshape(-1, self.num_actions)
        weights = table[self.members * self.num_situations + situation]
        if percept.legal is not None:
            possible = weights * percept.legal
            known = possible.sum(-1, keepdims=True) > 0
            weights = jnp.where(known, possible, percept.legal)
        ends = jnp.cumsum(weights, axis=-1)
        total = ends[:, -1]
        point = uniform(key, jnp.arange(self.members.shape[0])) * total
        point = jnp.minimum(point, jnp.nextafter(total, jnp.zeros_like(total)))
        action = (point[:, None] >= ends[:, :-1]).sum(-1, dtype=jnp.int32)
        return Decision(action, memory=mind.memory)

    @property
    def num_situations(self) -> int:
        """S, of the table."""
        return math.prod(size for _, size in self.situated)

    # ---- asking -------------------------------------------------------------------------

    def prompts(
        self, group: Any, row: Any, caption: Callable[[Framing], Caption], framing: Framing
    ) -> Iterator[Prompt]:
        """All questions of a refresh.

        Args:
          group: with name, role and start. row: of the view, what everybody sees.
          caption: framing -> Caption of the world as it is. framing: of the group.
        """
        # Half of the copies read the options the other way round.
        orders = ("fixed", "reversed") if framing.option_order == "shuffled" else ("",)
        captions = [
            caption(dataclasses.replace(framing, option_order=order) if order else framing)
            for order in orders
        ]
        for archetype, values in enumerate(self.kinds):
            first = int(np.argmax(np.asarray(self.members) == archetype))
            attributes = dict(zip(self.by, values, strict=True))
            seat = Seat(group.start + first, group.name, group.role, -1, "", attributes)
            for situation in range(self.num_situations):
                seen = self._in_situation(row, situation)
                for copy in range(self.copies):
                    told = captions[copy % len(captions)]
                    yield Prompt(archetype, situation, copy, seat, seen, told)

    async def ask(
        self, ask: Ask, prompt: Prompt, purpose: str, news: Sequence[str], noop: int
    ) -> Shares:
        """Put one question; the shares of the actions that the answer stands for.

        Args:
          ask, purpose: of this prompt alone. news: what everybody has heard. noop: taken where
            nothing can be read.
        """
        caption, row, seat = prompt.caption, prompt.row, prompt.seat
        questions, options = self._questions, caption.options(row, seat)
        assert options is not None
        asked = questions.prompts.render_again(
            "direct",
            question=caption.question(row, seat),
            options=options,
            hint=caption.answer_hint(row, seat),
        )
        user = questions.prompts.render(
            "archetype",
            news=[one_line(defuse(text)) for text in news],
            text=defuse(caption.words(row, seat)),
            ask=asked,
        )
        mind = {"persona": self._persona(seat)}
        messages = questions.messages(mind, defuse(caption.rules(seat)), user)
        context = {
            "part": "archetype",
            "name": "/".join(map(str, seat.attributes.values())),
            "options": options,
        }
        problem = ""
        for _ in range(self.max_reasks + 1):
            request = questions.request(messages, purpose, context, options)
            response = await ask(request)
            try:
                return Shares(self._shares(response, options, caption, row, seat))
            except ParseError as error:
                problem = str(error)
            messages = questions.again(messages, response, problem, options=options)
        return Shares(np.eye(self.num_actions)[noop], problem)

    def table(self, prompts: Sequence[Prompt], answers: Sequence[Shares]) -> np.ndarray:
        """[K, S, A] float32: the mean over copies."""
        shape = (len(self.kinds), self.num_situations, self.num_actions)
        total = np.zeros(shape)
        for prompt, answer in zip(prompts, answers, strict=True):
            total[prompt.archetype, prompt.situation] += answer.shares
        return (total / total.sum(-1, keepdims=True)).astype(np.float32)

    def _shares(
        self,
        response: Response,
        options: tuple[str, ...],
        caption: Caption,
        row: Any,
        seat: Seat,
    ) -> np.ndarray:
        if response.choice is None:
            raise ParseError("it is none of the options")
        weights = np.eye(len(options))[response.choice]
        if response.option_logprobs is not None:
            weights = _tempered(response.option_logprobs, self.sampling.temperature)
        shares = np.zeros(self.num_actions)
        for option, weight in zip(options, weights, strict=True):
            shares[int(caption.action(option, row, seat))] += weight
        return shares

    def _in_situation(self, row: Any, situation: int) -> Any:
        """The row that somebody in this situation would see."""
        values: dict[str, Any] = {}
        for name, size in reversed(self.situated):
            situation, value = divmod(situation, size)
            values[name] = np.asarray(value, np.asarray(part_of(row, name)).dtype)
        if isinstance(row, Mapping):
            return {**row, **values}
        if hasattr(row, "_replace"):
            return row._replace(**values)
        return dataclasses.replace(row, **values)

    @property
    def _questions(self) -> Questions:
        return Questions(Prompts.shipped(), self.sampling, ContextBudget(), self.max_reasks)

    def _persona(self, seat: Seat) -> str:
        prompts = self._questions.prompts
        values = plain_values(seat.attributes) | {
            "role": one_line(seat.role),
            "group": one_line(seat.group),
        }
        if self.persona:
            return prompts.render_text(self.persona, "persona", **values)
        known = plain_values(seat.attributes).items()
        listed = ", ".join(f"{name} {value}" for name, value in known)
        return f"You stand for people of one kind ({listed})." if listed else "You are a resident."


def assigned(columns: Sequence[Any], num: int) -> tuple[np.ndarray, tuple[tuple[Any, ...], ...]]:
    """Sort people into kinds by their attributes.

    Args:
      columns: one array [num] for each attribute.
      num: people.

    Returns:
      [num] int32 index of everybody's kind, and the kinds: tuples of attribute values, in
      sorted order, only those that occur.

    Raises:
      ValueError: There would be more kinds than anybody can ask about.
    """
    code = np.zeros(num, np.int64)
    values = []
    for column in columns:
        known, place = np.unique(np.asarray(column), return_inverse=True)
        values.append(known)
        code = code * len(known) + place
        if len(known) > _MOST:
            raise ValueError(
                f"an attribute with {len(known)} values makes too many archetypes (at most "
                f"{_MOST}); go by attributes with few values"
            )
    codes, members = np.unique(code, return_inverse=True)
    if len(codes) > _MOST:
        raise ValueError(
            f"{len(codes)} combinations of attributes make too many archetypes (at most {_MOST}); "
            "go by fewer attributes"
        )
    sizes = [len(known) for known in values]
    places = np.unravel_index(codes, sizes) if sizes else ()
    kinds = [
        tuple(known[p].item() for known, p in zip(values, place, strict=True))
        for place in zip(*places, strict=True)
    ]
    return members.astype(np.int32), tuple(kinds) if sizes else ((),)


def _tempered(logprobs: Sequence[float], temperature: float) -> np.ndarray:
    """Probabilities of options at a temperature; 0 takes the most probable."""
    known = np.round(np.asarray(logprobs, np.float64), 4)
    if temperature <= 0:
        return np.eye(len(known))[int(known.argmax())]
    weights = np.exp((known - known.max()) / temperature)
    return weights / weights.sum()

"""Worlds on the host, in the loop: to the device they look like any other world.

``Hosted`` stands for a host world there. Its state holds arrays alone: what everybody sees
now, and what the host found out about the next moment; a step on the device only turns the
page. So array policies, measures, selection and learners run as ever. ``HostSide`` keeps the
real state of one replicate, a value that checkpoints store, and moves it.
"""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from llm_agents.backends.base import ChatMessage, Request
from society.carry import Carry, placed
from society.journal_rows import StoredEvent
from society.plan import Place
from society.population import Population
from worlds.captions import Caption
from worlds.framing import Framing
from worlds.host import HASHED, AskModel, Happening, HostWorld, Question, hashed_words
from worlds.random import fold
from worlds.spaces import AnyText
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Seat, Transition
from worlds.world import World

__all__ = [
    "HostCaption",
    "HostRow",
    "HostSide",
    "Hosted",
    "events",
    "has_places",
    "hosted",
    "with_actions",
]


class Page(NamedTuple):
    """What everybody sees in one moment, as arrays with leading axis N."""

    view: Any
    alive: Any
    acting: Any
    legal: Any


class Book(NamedTuple):
    """State of ``Hosted``: two moments, and what lies between them."""

    now: Page
    then: Page
    reward: Any
    terminated: Any
    truncated: Any
    outcome: Mapping[str, Any]
    metrics: Mapping[str, Any]


class HostRow(NamedTuple):
    """What a caption reads of a host world: one slot's texts."""

    text: str
    options: tuple[str, ...] | None
    question: str
    hint: str
    read: Callable[[str], str]


@pytree
class Hosted(World[Book]):
    """A host world as the compiled loop sees it.

    world: the host world itself; its leaves may change between steps. blank: an empty state.
    """

    world: Any = doc_field(None, "the host world")
    blank: Any = doc_field(None, "an empty state")
    num_slots: int = provided(2)
    graph: Any = provided(None)
    present: Any = provided(None)

    def __getattr__(self, name: str) -> Any:
        """Whatever else the host world says of itself."""
        if name.startswith("__") or name in ("world", "blank"):
            raise AttributeError(name)
        return getattr(self.world, name)

    @property
    def measures(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the host world."""
        return type(self.world).measures

    @property
    def fitness(self) -> str:  # type: ignore[override]
        """That of the host world."""
        return type(self.world).fitness

    @property
    def component_name(self) -> str:
        """What the host world is called in scenarios."""
        return getattr(type(self.world), "component_name", type(self.world).__name__)

    @property
    def horizon(self) -> int | None:
        """That of the host world."""
        return self.world.horizon

    @property
    def ends_early(self) -> bool:
        """As the host world says."""
        return self.world.ends_early

    def init(self, key: Array) -> Book:
        """A blank page, which the host fills in."""
        return jax.tree.map(jnp.asarray, self.blank)

    def observe(self, state: Book) -> Observation:
        """What everybody sees now."""
        return Observation(*state.now)

    def step(self, key: Array, state: Book, action: Any) -> tuple[Book, Transition]:
        """Turn the page."""
        moved = Transition(
            state.reward, state.terminated, state.truncated, metrics=dict(state.metrics)
        )
        return state._replace(now=state.then), moved

    def outcome(self, state: Book) -> dict[str, Array]:
        """Results as the host last told them."""
        return dict(state.outcome)

    def observation_space(self, slot: int) -> gymnasium.Space:
        """The host world's own, or a hashed bag of the words of its text."""
        if isinstance(self.blank.now.view, Mapping) and "words" in self.blank.now.view:
            return spaces.Dict({"words": spaces.Box(-1, 1, (HASHED,), np.float32)})
        return self.world.observation_space(slot)

    def action_space(self, slot: int) -> gymnasium.Space:
        """An index into the options, where there are any."""
        own = self.world.action_space(slot)
        return spaces.Discrete(self.world.most_options) if isinstance(own, AnyText) else own

    def noop(self) -> Array:
        """The first option, in rows that the host does not ask."""
        return jnp.zeros(self.num_slots, jnp.int32)


def hosted(world: HostWorld, population: Population) -> Hosted:
    """Put a host world behind its stand-in; its shapes are those of its first step."""
    arrays = any(not group.is_text for group in population.groups)
    key: Any = np.zeros(2, np.uint32)
    state = world.init(key)
    seen = world.observe(state)
    after, moved = world.step(key, state, list(world.noop()))
    page = _page(world, seen, arrays)
    book = Book(
        now=page,
        then=page,
        reward=np.zeros(world.num_slots, np.float32),
        terminated=np.zeros(world.num_slots, bool),
        truncated=np.zeros(world.num_slots, bool),
        outcome=_numbers(world.outcome(after)),
        metrics=_numbers(moved.metrics),
    )
    blank = jax.tree.map(np.zeros_like, book)
    return Hosted(world=world, blank=blank, num_slots=world.num_slots, graph=None, present=None)


def has_places(world: Any) -> bool:
    """Whether a world says who is where."""
    return isinstance(world, Hosted) and type(world.world).scene is not HostWorld.scene


class HostSide:
    """The real state of a host world in one replicate.

    Between its turns an agent with ``every: k`` says nothing ("", the no-op): a text world
    reads that as going on with what it does.
    """

    def __init__(self, world: Hosted, population: Population) -> None:
        self.state: Any = None
        self._arrays = any(not group.is_text for group in population.groups)
        self._population = population
        self._world = world.world
        self._shown: tuple[Any, Observation] | None = None
        self._found: tuple[Any, tuple[int, ...]] | None = None

    def world(self, carry: Carry) -> Any:
        """The host world with its current parameters, as NumPy values."""
        world = carry.world.world
        fields = {field.name for field in dataclasses.fields(world)}
        known = placed(carry)
        given = {"graph": known.graph, "present": known.present}
        given = {name: value for name, value in given.items() if name in fields}
        return jax.tree.map(np.asarray, dataclasses.replace(world, **given))

    def begin(self, carry: Carry) -> Carry:
        """Begin an episode: the host's state, and the page that the device shows."""
        self._world = self.world(carry)
        key = _key(carry.keys["init"], carry.generation, carry.episode)
        self.state = self._world.init(np.asarray(key))
        page = _page(self._world, self._seen, self._arrays)
        blank = jax.tree.map(np.asarray, carry.world.blank)
        return carry._replace(state=blank._replace(now=page, then=page))

    def shown(self, observation: Observation) -> Observation:
        """An observation from the device with the texts and options of the host."""
        if self.state is None:  # nothing has begun
            return observation
        seen = self._seen
        return observation._replace(text=seen.text, options=seen.options)

    def row(self, observation: Observation, slot: int) -> HostRow:
        """What one slot reads."""
        assert observation.text is not None
        options = observation.options[slot] if observation.options is not None else None
        world, state = self._world, self.state
        return HostRow(
            observation.text[slot],
            options,
            world.question(state, slot),
            world.hint(state, slot),
            partial(_read, world, state, slot),
        )

    def near(self, slot: int) -> list[int]:
        """The other slots in the same place."""
        if self._found is None or self._found[0] is not self.state:
            scene = self._world.scene(self.state)
            self._found = (self.state, () if scene is None else tuple(map(int, scene.at)))
        at = self._found[1]
        if not at or at[slot] < 0:
            return []
        return [other for other, place in enumerate(at) if place == at[slot] and other != slot]

    def noop(self, slot: int) -> str:
        """What a slot does when nothing is decided."""
        return list(self._world.noop())[slot]

    async def move(
        self,
        carry: Carry,
        place: Place,
        *,
        turns: Callable[[Carry], Awaitable[tuple[Carry, dict[int, Any]]]],
        decide: Callable[[Carry], Any],
        on_device: Callable[..., Awaitable[Any]],
        ask: Any,
    ) -> tuple[Carry, Sequence[Happening]]:
        """Let everybody decide, and find out what comes of it.

        Args:
          turns: talk and act of language agents: what they chose, by slot.
          decide: what array policies choose, [N]; runs on the device.
          on_device: runs a function where compiled code runs.
          ask: how the world asks a model, or None.
        """
        if place.step == 0:
            carry = await on_device(self.begin, carry)
        if bool(carry.over):
            return carry, ()
        groups, chosen = self._population.text_groups, {}
        if any(place.step % group.every == 0 for group in groups):
            carry, chosen = await turns(carry)
        indices = await on_device(decide, carry) if self._arrays else None
        return await self.step(carry, chosen, indices, ask)

    async def step(
        self, carry: Carry, said: Mapping[int, str], indices: Any, ask: Any
    ) -> tuple[Carry, Sequence[Happening]]:
        """Move the world; returns the carry with the next page, and what happened.

        Args:
          said: slot -> text of language agents. indices: [N] choices of array policies, or None.
          ask: how the world asks a model.
        """
        world = self._world = self.world(carry)
        action = list(world.noop())
        for slot, text in said.items():
            action[slot] = text
        if indices is not None:
            self._look_up(action, np.asarray(indices))
        key = np.asarray(_key(carry.keys["world"], carry.generation, carry.episode, carry.step))
        before = self.state
        if world.asks and ask is not None:
            self.state, moved = await world.play(asking(ask), key, before, action)
        else:
            self.state, moved = world.step(key, before, action)
        book = Book(
            now=carry.state.now,
            then=_page(world, self._seen, self._arrays),
            reward=np.asarray(moved.reward, np.float32),
            terminated=np.asarray(moved.terminated, bool),
            truncated=np.asarray(moved.truncated, bool),
            outcome=_numbers(world.outcome(self.state)),
            metrics=_numbers(moved.metrics),
        )
        _same_shapes(carry.world, book)
        return carry._replace(state=book), world.happenings(before, action, self.state)

    @property
    def _seen(self) -> Observation:
        """What the state shows, found out once a state."""
        if self._shown is None or self._shown[0] is not self.state:
            self._shown = (self.state, self._world.observe(self.state))
        return self._shown[1]

    def _look_up(self, action: list[str], indices: np.ndarray) -> None:
        seen = self._seen
        for group in self._population.groups:
            for slot in () if group.is_text else range(group.start, group.stop):
                options = seen.options[slot] if seen.options is not None else None
                if seen.acting[slot] and options:
                    action[slot] = options[min(int(indices[slot]), len(options) - 1)]


def events(
    happenings: Sequence[Happening], replicate: int, place: Place, uid: np.ndarray
) -> list[StoredEvent]:
    """Rows of the journal: event kind "world", with the happening's own kind in its data."""
    return [
        StoredEvent(
            replicate,
            *place.clock,
            "world",
            int(uid[one.slot]) if one.slot >= 0 else -1,
            number,
            {"kind": one.kind, "slot": one.slot, "data": one.data},
        )
        for number, one in enumerate(happenings)
    ]


def with_actions(carry: Carry, chosen: Mapping[int, Any]) -> Carry:
    """The carry with what text agents chose in the rows of their slots."""
    if not chosen:
        return carry
    actions = jax.tree.map(np.array, jax.device_get(carry.actions))
    for slot, action in chosen.items():
        jax.tree.map(lambda rows, one, s=slot: rows.__setitem__(s, one), actions, action)
    return carry._replace(actions=jax.tree.map(jnp.asarray, actions))


def asking(ask: Any) -> AskModel:
    """How a world asks, by way of the desk; a failed call is an empty answer."""

    async def many(questions: Sequence[Question]) -> list[str]:
        requests = [
            Request(
                messages=(ChatMessage("system", one.rules), ChatMessage("user", one.text)),
                purpose="world",
                options=one.options,
                max_tokens=one.max_tokens,
                temperature=one.temperature,
            )
            for one in questions
        ]
        answers = await ask.many(requests) if requests else []
        texts = []
        for one, answer in zip(questions, answers, strict=True):
            chosen = answer.choice if one.options else None
            text = one.options[chosen] if one.options and chosen is not None else answer.text
            texts.append("" if answer.error is not None else text)
        return texts

    return many


class HostCaption(Caption):
    """The words of a host world are its own."""

    def __init__(self, world: Any, framing: Framing | None = None) -> None:
        super().__init__(world, framing)
        self.world = world.world if isinstance(world, Hosted) else world

    def rules(self, seat: Seat) -> str:
        """As the world tells them."""
        return self.world.rules(seat)

    def words(self, row: HostRow, seat: Seat) -> str:
        """What the seat reads now."""
        return row.text

    def question(self, row: HostRow, seat: Seat) -> str:
        """What it is asked."""
        return row.question

    def options(self, row: HostRow, seat: Seat) -> tuple[str, ...] | None:
        """The choices, if any."""
        return row.options or None

    def answer_hint(self, row: HostRow, seat: Seat) -> str:
        """The form of the answer."""
        return row.hint

    def action(self, text: str, row: HostRow, seat: Seat) -> str:
        """One of the options, or any text."""
        return row.read(text)


def _read(world: HostWorld, state: Any, slot: int, text: str) -> str:
    return world.read(text, state, slot)


def _page(world: HostWorld, seen: Observation, arrays: bool) -> Page:
    view = jax.tree.map(np.asarray, seen.view)
    own = world.observation_space(0)
    plain = isinstance(own, spaces.Dict) and not own.spaces
    if arrays and plain:
        view = {"words": np.stack([hashed_words(text) for text in seen.text or ()])}
    legal = None if seen.legal is None else np.asarray(seen.legal, bool)
    if legal is None and arrays and isinstance(world.action_space(0), AnyText):
        counts = [len(options or ()) for options in seen.options or [()] * world.num_slots]
        most = world.most_options
        if max(counts, default=0) > most:
            raise ValueError(
                f"{max(counts)} options in {type(world).__name__}, which declares most_options = "
                f"{most}; array policies cannot tell them apart"
            )
        legal = np.arange(most) < np.maximum(counts, 1)[:, None]
    return Page(view, np.asarray(seen.alive, bool), np.asarray(seen.acting, bool), legal)


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value, np.float32) for name, value in sorted(values.items())}


def _same_shapes(world: Hosted, book: Book) -> None:
    """Refuse what the compiled loop cannot hold: metrics or views that change their shape."""
    told = [np.shape(leaf) for leaf in jax.tree.leaves(world.blank)]
    given = [np.shape(leaf) for leaf in jax.tree.leaves(book)]
    if told != given or set(world.blank.metrics) != set(book.metrics):
        raise ValueError(
            f"{type(world.world).__name__}: a step's view, outcome or metrics "
            f"{sorted(book.metrics)} differ in names or shapes from the first step's "
            f"{sorted(world.blank.metrics)}; they must stay the same"
        )


@partial(jax.jit)
def _key(stream: Array, *clock: Array) -> Array:
    return fold(stream, *(jnp.asarray(number) for number in clock))

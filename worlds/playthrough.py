"""A few steps of a world as a text that people review: what seats read, do and earn."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worlds.captions import Caption, Framing
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.types import Observation, ParseError, Percept, Seat, Seats, Transition
from worlds.wording import caption_of, row_of
from worlds.world import World

__all__ = ["playthrough"]

Choose = Callable[[int, Seat, Caption | None, Any], Any]


def playthrough(
    world: World,
    players: ArrayPolicy | Choose | Mapping[int, Any],
    *,
    seed: int = 0,
    steps: int | None = None,
    show: Iterable[int] = (0,),
    framing: Framing | None = None,
) -> str:
    """Play a world and write down what happens.

    Args:
      world: made by ``worlds.make``; its caption, if it has one, gives the words.
      players: an array policy that plays all slots; or a function of (step, seat, caption,
        row) that returns an action, or a text that the caption reads; or a mapping
        slot -> list of such actions and texts, one for each time that the slot acts
        (the no-op after that, and for slots that are not in it).
      seed: of the world's and the policy's randomness.
      steps: at most this many; the whole episode otherwise.
      show: slots whose rules and views are written out.
      framing: how the world is told.

    Returns:
      Plain text with numbers to two decimals, the same on every machine.
    """
    most = steps if steps is not None else world.horizon
    if most is None:
        raise ValueError(f"{type(world).__name__} has no end; say how many steps to play")
    play = _Play(world, players, seed, tuple(show), framing)
    play.write_opening()
    for step in range(most):
        if not np.asarray(play.observation.acting).any():
            break
        play.play_step(step)
    return play.write_end()


class _Play:
    """The state of one playthrough and its lines so far."""

    def __init__(
        self, world: World, players: Any, seed: int, show: tuple[int, ...], framing: Framing | None
    ) -> None:
        self.world, self.show, self.lines = world, show, []
        self.seats = [Seat(slot, uid=slot, name=f"Agent {slot}") for slot in range(world.num_slots)]
        self.caption = caption_of(world, framing)
        key = jax.random.PRNGKey(seed)
        self.key_step, self.key_mind = fold(key, 1), fold(key, 2)
        self.act = self._choices(players)
        wrap = jax.jit if world.backend == "jax" else lambda function: function
        self.move, self.see = wrap(type(world).step), wrap(type(world).observe)
        self.state = wrap(type(world).init)(world, fold(key, 0))
        self.observation: Observation = self.see(world, self.state)

    # ---- writing ------------------------------------------------------------------------

    def write_opening(self) -> None:
        """The world, its parameters, and the rules as seats read them."""
        name = getattr(type(self.world), "component_name", type(self.world).__name__)
        self.lines += [f"# {name}", *_parameters(self.world)]
        if self.caption is None:
            return
        for slot in self.show:
            seat = self.seats[slot]
            self.lines += ["", f"## Rules for {seat.name}", self.caption.rules(seat)]

    def play_step(self, step: int) -> None:
        """One step: views, actions, rewards, metrics."""
        observation = self.observation
        self.lines += ["", f"## Step {step + 1}"]
        for slot in self.show:
            self._write_view(slot)
        action, said = self.act(step)
        self.lines += [f"{self.seats[slot].name} {what}." for slot, what in said]
        key = fold(self.key_step, step)
        self.state, transition = self.move(self.world, key, self.state, action)
        self._write_transition(observation, transition)
        self.observation = self.see(self.world, self.state)

    def write_end(self) -> str:
        """Final views and outcome; returns the whole text."""
        self.lines += ["", "## End"]
        for slot in self.show:
            self._write_view(slot)
        for name, value in sorted(self.world.outcome(self.state).items()):
            self.lines.append(f"{name}: {_numbers(value)}")
        return "\n".join(line.rstrip() for line in "\n".join(self.lines).split("\n")) + "\n"

    def _write_view(self, slot: int) -> None:
        seat, observation = self.seats[slot], self.observation
        if not np.asarray(observation.alive)[slot]:
            return
        row = self._row(slot)
        text = observation.text[slot] if observation.text else ""
        if self.caption:
            text = self.caption.words(row, seat)
        if not text:
            leaves = jax.tree_util.tree_flatten_with_path(row)[0]
            text = "\n".join(f"{jax.tree_util.keystr(at)}: {_numbers(v)}" for at, v in leaves)
        self.lines += [f"{seat.name} sees:", *(f"  | {line}" for line in text.split("\n"))]
        if self.caption and np.asarray(observation.acting)[slot]:
            asked = [self.caption.question(row, seat)]
            options = self.caption.options(row, seat)
            asked += [f"Options: {', '.join(options)}"] if options else []
            asked += [self.caption.answer_hint(row, seat)]
            self.lines += [f"  ? {line}" for line in asked if line]

    def _write_transition(self, before: Observation, transition: Transition) -> None:
        alive = np.asarray(before.alive)
        rewards = [
            f"{seat.name} {_signed(value)}"
            for seat, value, here in zip(
                self.seats, np.asarray(transition.reward), alive, strict=True
            )
            if here
        ]
        self.lines.append(f"Rewards: {', '.join(rewards)}")
        for name, value in sorted(transition.metrics.items()):
            self.lines.append(f"{name}: {_numbers(value)}")
        for name in ("terminated", "truncated"):
            ended = np.asarray(getattr(transition, name)) & alive
            if ended.any():
                who = "everybody" if ended[alive].all() else _numbers(np.flatnonzero(ended))
                self.lines.append(f"{name.capitalize()}: {who}")

    # ---- deciding -----------------------------------------------------------------------

    def _row(self, slot: int) -> Any:
        return row_of(self.observation.view, slot)

    def _choices(self, players: Any) -> Callable[[int], tuple[Any, list[tuple[int, str]]]]:
        if isinstance(players, ArrayPolicy):
            return self._by_policy(players)
        if isinstance(players, Mapping):
            queues = {slot: list(values) for slot, values in players.items()}

            def choose(step: int, seat: Seat, caption: Caption | None, row: Any) -> Any:
                return queues[seat.slot].pop(0) if queues.get(seat.slot) else None

            return lambda step: self._one_by_one(step, choose)
        return lambda step: self._one_by_one(step, players)

    def _by_policy(self, policy: ArrayPolicy) -> Callable[[int], tuple[Any, list]]:
        world = self.world
        seats = Seats(world.num_slots, 0, world, world.action_space(0), world.observation_space(0))
        policy.check(seats)
        mind = policy.init(self.key_mind, seats)
        act = jax.jit(type(policy).act)

        def choose(step: int) -> tuple[Any, list[tuple[int, str]]]:
            nonlocal mind
            seen = self.observation
            first = jnp.full(world.num_slots, step == 0)
            percept = Percept(seen.view, seen.alive, seen.acting, first, seen.legal)
            decision = act(policy, fold(self.key_mind, 1, step), mind, percept)
            mind = mind._replace(memory=decision.memory)
            acting = np.flatnonzero(np.asarray(seen.acting)).tolist()
            return decision.action, [(slot, self._told(decision.action, slot)) for slot in acting]

        return choose

    def _one_by_one(self, step: int, choose: Choose) -> tuple[Any, list[tuple[int, str]]]:
        action = jax.tree.map(lambda leaf: np.array(leaf), self.world.noop())
        said = []
        for slot in np.flatnonzero(np.asarray(self.observation.acting)).tolist():
            row, seat = self._row(slot), self.seats[slot]
            chosen = choose(step, seat, self.caption, row)
            prefix = ""
            if isinstance(chosen, str):
                prefix = f"answers {chosen!r} and "
                chosen, problem = self._read(chosen, row, seat)
                if problem:
                    said.append((slot, f"{prefix}is told: {problem}"))
            if chosen is None:
                continue
            jax.tree.map(lambda all_, one, s=slot: all_.__setitem__(s, one), action, chosen)
            said.append((slot, prefix + self._told(action, slot)))
        return action, said

    def _read(self, text: str, row: Any, seat: Seat) -> tuple[Any, str]:
        if self.caption is None:
            raise ValueError(f"{type(self.world).__name__} has no caption that reads {text!r}")
        try:
            return self.caption.action(text, row, seat), ""
        except ParseError as error:
            return None, str(error).rstrip(".")

    def _told(self, action: Any, slot: int) -> str:
        own = jax.tree.map(lambda leaf: np.asarray(leaf)[slot], action)
        if self.caption is None:
            return f"does {_numbers(own) if isinstance(own, np.ndarray | np.generic) else own}"
        return self.caption.describe(own, self._row(slot), self.seats[slot])


def _parameters(world: Any) -> list[str]:
    lines = []
    for field in dataclasses.fields(world):
        value = getattr(world, field.name)
        hidden = field.metadata.get("provided") and field.name != "num_slots"
        if hidden or value is None or (isinstance(value, tuple) and not value):
            continue
        shown = value if isinstance(value, (str, bool)) else _numbers(value)
        lines.append(f"{field.name}: {shown}")
    return lines


def _numbers(value: Any) -> str:
    """Numbers to two decimals; rows of a table in brackets."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        return str(value)
    if array.ndim == 0:
        text = f"{float(array):.2f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    items = [_numbers(item) for item in array]
    return ", ".join(items if array.ndim == 1 else [f"[{item}]" for item in items])


def _signed(value: Any) -> str:
    text = _numbers(value)
    return text if text.startswith("-") or text == "0" else f"+{text}"

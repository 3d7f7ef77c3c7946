"""The conformance kit for worlds, ours and those of others.

``check_world(Lake(size=20))`` plays the world with random actions and raises AssertionError
where it breaks the contract of ``worlds.world``, saying what was found and what to change.
It holds for every world of this project.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from worlds.random import fold
from worlds.spaces import action_masks, batch_of
from worlds.testing_caption import Answers, check_caption
from worlds.testing_moments import (
    check_birth,
    check_end,
    check_form,
    check_no_key,
    check_outcome,
    check_seen,
    check_transition,
)
from worlds.testing_processes import check_processes
from worlds.testing_static import check_declaration, check_spaces, float_leaves
from worlds.testing_trees import alike, bits, same_form
from worlds.tree import as_arrays
from worlds.types import Observation, Transition
from worlds.world import World

__all__ = ["check_processes", "check_world"]

Codec = tuple[Callable[[Any], bytes], Callable[[bytes], Any]]
_LONGEST = 256  # episodes up to this horizon are played to their end
_EXACT_EAGERLY = 2e-6  # relative; compiled code may fuse a product and a sum


class Moment(NamedTuple):
    """One step of a rollout: what was, what was done, what came of it."""

    key: Any
    state: Any
    seen: Observation
    action: Any
    next_state: Any
    next_seen: Observation
    moved: Transition


def check_world(
    world: World[Any],
    *,
    steps: int = 16,
    seed: int = 0,
    captioned: bool = True,
    answers: Answers | None = None,
    codec: Codec | None = None,
    permutable: bool = False,
    longer: World[Any] | None = None,
    processes: bool = False,
) -> None:
    """Check that a world keeps the contract.

    It is declared as a pytree whose floats are leaves; shapes, dtypes and values match its
    spaces; the compiled step is the plain one; rows whose turn it is not do not matter;
    nobody who is dead acts or earns; ends are where ``horizon`` and ``ends_early`` say; equal
    seeds give equal bits; states hold no key; parameters sweep without compiling anew; and
    a caption, where there is one, words every seat and reads its own options.

    Args:
      world: to check, with its size filled in (``num_slots``, ``num_players``, ``graph``).
      steps: to play; an episode of at most 256 steps is played to its end all the same.
      seed: of the actions and of the world.
      captioned: False where these parameters cannot be told in words.
      answers: (row, seat) -> texts that the caption must read, where it lists no options.
      codec: (encode, decode) that checkpoints use; host states must survive it.
      permutable: slots are alike, so permuted actions earn permuted rewards. Only for worlds
        in which nothing random is tied to a slot.
      longer: the same world with more (empty) slots; whoever is present must fare the same.
      processes: play it in a fresh process too, with other hashes. The world's module must
        be importable there.
    """
    check_declaration(world)
    check_spaces(world)
    name, rig = type(world).__name__, _Rig(world)
    state, seen = rig.begin(jax.random.PRNGKey(seed))
    check_no_key(state, jax.random.PRNGKey(seed), f"{name}, at the beginning")
    check_seen(rig.world, seen, f"{name}, at the beginning")
    moments = _rollout(rig, steps, seed)
    for step, moment in enumerate(moments):
        where = f"{name}, step {step}"
        check_seen(rig.world, moment.seen, where)
        check_transition(rig.world, moment.seen, moment.moved, where)
        check_birth(rig.world, moment.seen, moment.next_seen, moment.moved, where)
        if not rig.host:  # states on the host may grow
            check_form(moments[0].state, moment.next_state, f"{where}: the state")
        check_form(moments[0].seen.view, moment.next_seen.view, f"{where}: the view")
        check_form(moments[0].moved.metrics, moment.moved.metrics, f"{where}: metrics")
        check_no_key(moment.state, moment.key, where)
    check_seen(rig.world, moments[-1].next_seen, f"{name}, at the end")
    check_end(rig.world, [(m.seen, m.moved, m.next_seen) for m in moments], name)
    check_outcome(rig.world, moments[0].state, moments[-1].next_state, name)
    _check_idle_rows(rig, moments, seed)
    _check_repeat(rig, moments, steps, seed)
    if world.backend == "jax":
        _check_compiled(rig, moments)
        _check_vmapped(rig, moments)
        _check_sweep(rig, moments)
    else:
        _check_host(rig, moments, codec)
    if permutable:
        _check_permuted(rig, moments)
    if longer is not None:
        _check_longer(rig, longer, moments)
    if captioned and world.caption is not None:
        shown = [(m.seen, m.action) for m in moments]
        check_caption(rig.world, shown, answers)
    if processes:
        check_processes({name: world}, steps=steps, seed=seed)


class _Rig:
    """A world with its functions compiled, counting how often they are traced."""

    def __init__(self, world: World[Any]) -> None:
        self.host = world.backend == "host"
        self.world = world if self.host else as_arrays(world)
        self.traces = {"init": 0, "step": 0}
        compiled = (lambda function: function) if self.host else jax.jit
        self._begin, self._advance = compiled(self._plain_begin), compiled(self._plain_advance)

    def begin(self, key: Any, world: World[Any] | None = None) -> tuple[Any, Observation]:
        """State and observation at the beginning of an episode."""
        return self._got(self._begin, world or self.world, key)

    def advance(
        self, key: Any, state: Any, action: Any, world: World[Any] | None = None
    ) -> tuple[Any, Observation, Transition]:
        """State, observation and transition after a step."""
        return self._got(self._advance, world or self.world, key, state, action)

    def _plain_begin(self, world: World[Any], key: Any) -> tuple[Any, Observation]:
        self.traces["init"] += 1
        state = world.init(key)
        return state, world.observe(state)

    def _plain_advance(
        self, world: World[Any], key: Any, state: Any, action: Any
    ) -> tuple[Any, Observation, Transition]:
        self.traces["step"] += 1
        state, moved = world.step(key, state, action)
        return state, world.observe(state), moved

    def _got(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self.host:
            return function(*arguments)
        with _traceable(type(self.world).__name__):
            state, *seen = function(*arguments)
        return (state, *jax.device_get(seen))


@contextlib.contextmanager
def _traceable(name: str) -> Iterator[None]:
    """Turn what JAX says about untraceable code into a broken promise of the world."""
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        reason = str(error).splitlines()[0]
        raise AssertionError(
            f"{name} cannot be compiled: it turns a traced value into a Python one (if, float(), "
            f"int(), np.asarray()); use jnp.where and jax.lax. JAX says: {reason}"
        ) from error


def _rollout(rig: _Rig, steps: int, seed: int) -> list[Moment]:
    """Play one episode with random actions, to its end where that is near."""
    world, root = rig.world, jax.random.PRNGKey(seed)
    draw = _Actions(world, seed)
    state, seen = rig.begin(root)
    horizon = world.horizon
    length = horizon if horizon is not None and horizon <= _LONGEST else steps
    moments: list[Moment] = []
    for step in range(max(length, 1)):
        key, action = fold(root, step), draw(seen)
        after, next_seen, moved = rig.advance(key, state, action)
        moments.append(Moment(key, state, seen, action, after, next_seen, moved))
        done = np.asarray(moved.terminated) | np.asarray(moved.truncated)
        if (done | ~np.asarray(next_seen.alive)).all():
            break
        state, seen = after, next_seen
    return moments


class _Actions:
    """Draws legal actions for every slot, the same for the same seed."""

    def __init__(self, world: World[Any], seed: int) -> None:
        self._noop = jax.device_get(world.noop()) if world.backend == "jax" else world.noop()
        self._spaces = [world.action_space(slot) for slot in range(world.num_slots)]
        for slot, space in enumerate(self._spaces):
            space.seed(seed * 100_003 + slot)

    def __call__(self, seen: Observation) -> Any:
        return batch_of(self._noop, range(len(self._spaces)), self.rows(seen))

    def rows(self, seen: Observation) -> list[Any]:
        """One action for each slot; where nothing is legal, any."""
        masks: Sequence[Any] = [None] * len(self._spaces)
        if seen.legal is not None:
            masks = action_masks(self._spaces[0], np.asarray(seen.legal))
        rows = []
        for slot, (space, mask) in enumerate(zip(self._spaces, masks, strict=True)):
            options = None if seen.options is None else seen.options[slot]
            row = space.sample() if mask is None else space.sample(mask)
            rows.append(options[len(rows) % len(options)] if options else row)
        return rows


def _check_idle_rows(rig: _Rig, moments: list[Moment], seed: int) -> None:
    """Rows whose turn it is not may hold any action of the space."""
    other = _Actions(rig.world, seed + 1)
    for step, moment in enumerate(moments):
        idle = np.flatnonzero(~np.asarray(moment.seen.acting))
        if not len(idle):
            continue
        rows = other.rows(moment.seen._replace(legal=None))
        action = batch_of(moment.action, idle.tolist(), [rows[slot] for slot in idle])
        got = rig.advance(moment.key, moment.state, action)
        bits(
            got,
            (moment.next_state, moment.next_seen, moment.moved),
            f"{type(rig.world).__name__}, step {step}: actions of slots {idle.tolist()[:8]} change "
            "what happens, although it is not their turn; mask them with observe(state).acting",
        )


def _check_repeat(rig: _Rig, moments: list[Moment], steps: int, seed: int) -> None:
    """Equal seeds give equal bits."""
    again = _rollout(rig, steps, seed)
    assert len(again) == len(moments), "two runs with one seed end at different steps"
    for step, (one, two) in enumerate(zip(moments, again, strict=True)):
        bits(
            (one.state, one.next_state, one.moved),
            (two.state, two.next_state, two.moved),
            f"{type(rig.world).__name__}, step {step}: two runs with one seed differ; all chance "
            "must come from the key",
        )


def _check_compiled(rig: _Rig, moments: list[Moment]) -> None:
    """The compiled functions are the plain ones."""
    name = type(rig.world).__name__
    moment = moments[min(1, len(moments) - 1)]
    with jax.disable_jit():
        after, moved = rig.world.step(moment.key, moment.state, moment.action)
        seen = rig.world.observe(after)
    alike(
        (after, seen, moved),
        (moment.next_state, moment.next_seen, moment.moved),
        f"{name}: step and observe differ with and without jit",
        rtol=_EXACT_EAGERLY,
    )


def _check_vmapped(rig: _Rig, moments: list[Moment]) -> None:
    """Two worlds in one batch do what they do alone."""
    some = [moments[0], moments[-1]]

    def stacked(*leaves: Any) -> Any:
        return np.stack([np.asarray(leaf) for leaf in leaves])

    key, state, action = (
        jax.tree.map(stacked, *(part[index] for part in some)) for index in (0, 1, 3)
    )
    name = type(rig.world).__name__
    try:
        after, moved = jax.jit(jax.vmap(rig.world.step))(key, state, action)
    except (NotImplementedError, ValueError, TypeError) as error:
        raise AssertionError(f"{name}: step cannot be vmapped: {error}") from error
    for index, moment in enumerate(some):
        row = functools.partial(_nth, index=index)
        alike(
            jax.tree.map(row, (after, moved)),
            (moment.next_state, moment.moved),
            f"{name}: step differs alone and under vmap",
            rtol=1e-5,
        )


def _nth(leaf: Any, index: int) -> Any:
    return np.asarray(leaf)[index]


def _check_sweep(rig: _Rig, moments: list[Moment]) -> None:
    """Another value of a float parameter compiles nothing."""
    name = type(rig.world).__name__
    assert rig.traces["step"] == 1, (
        f"{name}: step was compiled {rig.traces['step']} times in one episode; init and step "
        "must return states of the same shapes and dtypes (write jnp.int32(0), not 0)"
    )
    leaves = float_leaves(rig.world)
    if not leaves:
        return
    before = dict(rig.traces)
    moved = rig.world
    for leaf in leaves:
        moved = leaf.scaled(moved, 0.875)
    rig.begin(moments[0].key, moved)
    rig.advance(moments[0].key, moments[0].state, moments[0].action, moved)
    assert rig.traces == before, (
        f"{name}: other values of {[leaf.name for leaf in leaves]} compile the world anew; "
        "keep them leaves and do not turn them into Python numbers"
    )


def _check_host(rig: _Rig, moments: list[Moment], codec: Codec | None) -> None:
    """Host states are plain values, which checkpoints can store."""
    name = type(rig.world).__name__
    for step, moment in enumerate(moments):
        texts = moment.seen.text
        assert texts is not None and len(texts) == rig.world.num_slots, (
            f"{name}, step {step}: host worlds show one text a slot, but Observation.text is "
            f"{texts!r:.80}"
        )
        if codec is not None:
            encode, decode = codec
            restored = decode(encode(moment.state))
            same_form(moment.state, restored, f"{name}, step {step}: the state after a checkpoint")
            bits(restored, moment.state, f"{name}, step {step}: the codec changes the state")
            got = rig.advance(moment.key, restored, moment.action)
            bits(got[0], moment.next_state, f"{name}, step {step}: a restored state goes elsewhere")


def _check_permuted(rig: _Rig, moments: list[Moment]) -> None:
    """Whoever sits in another slot and acts the same earns the same."""
    num = rig.world.num_slots
    order = np.roll(np.arange(num), 1)
    state, _ = rig.begin(jax.random.PRNGKey(0))
    plain = state
    for moment in moments:
        action = jax.tree.map(lambda rows: np.asarray(rows)[order], moment.action)
        plain, _, one = rig.advance(moment.key, plain, moment.action)
        state, _, two = rig.advance(moment.key, state, action)
        alike(
            np.asarray(one.reward)[order],
            two.reward,
            f"{type(rig.world).__name__} is declared permutable, but slots that change places do "
            "not earn each other's rewards",
            rtol=1e-5,
        )


def _check_longer(rig: _Rig, longer: World[Any], moments: list[Moment]) -> None:
    """Empty slots behind the others change nothing for those who are present."""
    name, num = type(rig.world).__name__, rig.world.num_slots
    long = _Rig(longer)
    state, seen = long.begin(jax.random.PRNGKey(0))
    short, first = rig.begin(jax.random.PRNGKey(0))
    assert np.asarray(seen.alive).sum() == np.asarray(first.alive).sum(), (
        f"{name}: the longer world must have the same number of players in more slots"
    )
    noop = jax.device_get(longer.noop())
    for step, moment in enumerate(moments):
        padded = jax.tree.map(_padded, noop, moment.action)
        short, _, one = rig.advance(moment.key, short, moment.action)
        state, seen, two = long.advance(moment.key, state, padded)
        alike(
            one.reward,
            np.asarray(two.reward)[:num],
            f"{name}, step {step}: rewards depend on how many empty slots there are; draw with "
            "functions of (key, slot) as worlds.random does",
            rtol=1e-5,
        )


def _padded(noop: Any, rows: Any) -> np.ndarray:
    padded = np.array(noop)
    padded[: np.shape(rows)[0]] = rows
    return padded

"""The conformance kit for array policies, ours and those of others.

``check_policy(TitForTat(), make("matrix_game", rounds=5))`` plays the policy in all slots
of a world and raises AssertionError where it breaks the contract of ``worlds.policy``.
It holds for every array policy of this project.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from worlds.policy import ArrayPolicy
from worlds.random import fold, named
from worlds.spaces import rows_of
from worlds.testing_trees import alike, bits, same_form
from worlds.tree import as_arrays
from worlds.types import Births, Decision, Mind, Observation, Percept, Seats
from worlds.world import World

__all__ = ["check_policy"]

_EXACT_EAGERLY = 2e-6  # relative; compiled code may fuse a product and a sum


class Scene(NamedTuple):
    """One moment of play: the minds before, what they perceived, what they decided."""

    key: Any
    mind: Mind
    percept: Percept
    decision: Decision


def check_policy(policy: ArrayPolicy, world: World[Any], *, steps: int = 5, seed: int = 0) -> None:
    """Check that an array policy keeps the contract, in a world that it can play.

    It is a pytree; ``act`` is pure, compiles to what it is without, keeps the form of the
    memory, answers with legal actions, forgets where ``first``, and lets no row depend on
    rows whose turn it is not; ``inherit`` gives newcomers and nobody else their parents'
    params, the same for compact and dense births; ``mutate`` changes newcomers only, and
    nobody at rate 0; ``types``, ``type_names`` and ``assign`` agree.

    Args:
      policy: to check.
      world: with at least 2 slots; all of them are played by the policy.
      steps: of play. seed: of the world and of the minds.

    Raises:
      AssertionError: Says which promise is broken, and how.
    """
    name = type(policy).__name__
    assert isinstance(policy, ArrayPolicy), f"{name} is no subclass of worlds.policy.ArrayPolicy"
    leaves = jax.tree.leaves(policy)
    assert not (len(leaves) == 1 and leaves[0] is policy), (
        f"{name} is not registered with JAX; decorate it with @worlds.tree.pytree"
    )
    assert policy.between in ("repeat", "noop"), f"{name}.between is {policy.between!r}"
    policy, world = as_arrays(policy), as_arrays(world)
    seats = _seats(world)
    policy.check(seats)
    player = _Player(policy, world, seats)
    scenes = player.play(steps, seed)
    _check_purity(player, scenes[-1])
    _check_first(player, scenes)
    _check_idle_rows(player, scenes)
    mind = scenes[-1].mind
    _check_types(policy, mind, seats.num, name)
    _check_inherit(policy, mind, seats.num, name)
    _check_mutate(policy, mind, seats.num, name)


def _seats(world: World[Any]) -> Seats:
    num = world.num_slots
    assert num >= 2, "check_policy needs a world with at least 2 slots"
    return Seats(num, 0, world, world.action_space(0), world.observation_space(0))


class _Player:
    """A policy in all slots of a world; ``act`` is compiled once."""

    def __init__(self, policy: ArrayPolicy, world: World[Any], seats: Seats) -> None:
        self.policy, self.world, self.seats = policy, world, seats
        self.name = type(policy).__name__
        self._act = jax.jit(lambda policy, *rest: policy.act(*rest))

    def act(self, key: Any, mind: Mind, percept: Percept) -> Decision:
        """Decide, compiled."""
        return self._act(self.policy, key, mind, percept)

    def play(self, steps: int, seed: int) -> list[Scene]:
        """Play the first steps of an episode."""
        root = jax.random.PRNGKey(seed)
        mind = as_arrays(self.policy.init(named(root, "mind"), self.seats))
        again = as_arrays(self.policy.init(named(root, "mind"), self.seats))
        bits(again, mind, f"{self.name}.init gives other minds for the same key")
        state, seen = _begin(self.world, named(root, "init"))
        scenes = []
        for index in range(max(steps, 2)):
            first = jnp.full(seen.alive.shape, index == 0)
            percept = Percept(seen.view, seen.alive, seen.acting, first, seen.legal)
            key = fold(named(root, "act"), index)
            decision = self.act(key, mind, percept)
            scenes.append(Scene(key, mind, percept, decision))
            where = f"{self.name}, step {index}"
            _check_decision(self.world, scenes[-1], where)
            same_form(mind.memory, decision.memory, f"{where}: the memory")
            mind = mind._replace(memory=decision.memory)
            key = fold(named(root, "world"), index)
            state, seen = _step(self.world, key, state, decision.action)
        return scenes


@jax.jit
def _begin(world: World[Any], key: Any) -> tuple[Any, Observation]:
    state = world.init(key)
    return state, world.observe(state)


@jax.jit
def _step(world: World[Any], key: Any, state: Any, action: Any) -> tuple[Any, Observation]:
    state, _ = world.step(key, state, action)
    return state, world.observe(state)


def _check_decision(world: World[Any], scene: Scene, where: str) -> None:
    """One action of the space for each row, legal where it is the row's turn."""
    num, space = world.num_slots, world.action_space(0)
    decision = scene.decision
    assert isinstance(decision, Decision), f"{where}: act returns no Decision but {decision!r:.60}"
    actions = jax.device_get(decision.action)
    for leaf in jax.tree.leaves((actions, decision.outbox, decision.extras)):
        assert np.shape(leaf)[:1] == (num,), (
            f"{where}: act returns an array {list(np.shape(leaf))}; actions, messages and extras "
            f"have one row for each of {num} seats"
        )
    try:
        rows = rows_of(space, actions, num)
    except (TypeError, KeyError, AttributeError) as error:
        raise AssertionError(f"{where}: actions are not of {space}: {error}") from error
    legal = scene.percept.legal
    for row in np.flatnonzero(np.asarray(scene.percept.acting)).tolist():
        own = world.action_space(row)
        assert own.contains(rows[row]), f"{where}: row {row} does {rows[row]!r:.60}, not in {own}"
        if legal is not None and np.ndim(rows[row]) == 0:
            choice = int(rows[row]) - int(getattr(own, "start", 0))
            assert bool(legal[row, choice]), f"{where}: row {row} does {choice}, which is not legal"


def _check_purity(player: _Player, scene: Scene) -> None:
    """Same arguments, same decision: again, and without jit."""
    name, policy = player.name, player.policy
    one = player.act(scene.key, scene.mind, scene.percept)
    before = [np.array(leaf) for leaf in jax.tree.leaves((scene.mind, scene.percept))]
    with jax.disable_jit():
        plain = policy.act(scene.key, scene.mind, scene.percept)
        again = policy.act(scene.key, scene.mind, scene.percept)
    bits(again, plain, f"{name}: act decides otherwise when asked again; it must be pure")
    alike(plain, one, f"{name}: act differs with and without jit", rtol=_EXACT_EAGERLY)
    after = jax.tree.leaves((scene.mind, scene.percept))
    bits(after, before, f"{name}: act changes its arguments")


def _check_first(player: _Player, scenes: list[Scene]) -> None:
    """Where ``first``, what a row remembers makes no difference."""
    scene, fresh = scenes[-1], scenes[0].mind.memory
    percept = scene.percept._replace(first=jnp.ones_like(scene.percept.first))
    remembering = player.act(scene.key, scene.mind, percept)
    blank = player.act(scene.key, scene.mind._replace(memory=fresh), percept)
    bits(
        (remembering.action, remembering.memory),
        (blank.action, blank.memory),
        f"{player.name}: memory survives where percept.first; put back what init made in those "
        "rows",
    )


def _check_idle_rows(player: _Player, scenes: list[Scene]) -> None:
    """What rows see whose turn it is not changes nobody else's decision."""
    scene = scenes[-1]
    num = scene.percept.alive.shape[0]
    idle = jnp.arange(num) == num - 1
    percept = scene.percept._replace(
        acting=scene.percept.acting & ~idle, alive=scene.percept.alive & ~idle
    )

    def scrambled(leaf: Any) -> Any:
        other = ~leaf if leaf.dtype == bool else leaf + leaf.dtype.type(1)
        return jnp.where(idle.reshape(-1, *[1] * (leaf.ndim - 1)), other, leaf)

    other = percept._replace(view=jax.tree.map(scrambled, percept.view))
    decisions = [player.act(scene.key, scene.mind, seen) for seen in (percept, other)]
    rows = [
        jax.tree.map(lambda leaf: leaf[: num - 1], (decision.action, decision.outbox))
        for decision in decisions
    ]
    message = f"{player.name}: what a row sees that does not act changes other rows"
    bits(rows[1], rows[0], message)


def _check_types(policy: ArrayPolicy, mind: Mind, num: int, name: str) -> None:
    """Types are indices of names; ``assign`` sets them, for the given rows only."""
    types, names = policy.types(mind), policy.type_names()
    assert isinstance(names, tuple) and all(isinstance(item, str) for item in names), (
        f"{name}.type_names() is {names!r:.60}; it must be a tuple of names"
    )
    assert len(set(names)) == len(names), f"{name}.type_names() holds a name twice: {names}"
    if types is None:
        assert len(names) <= 1, f"{name} has types {names}, but types(mind) is None"
        return
    found = np.asarray(types)
    assert found.shape == (num,) and found.dtype == np.int32, (
        f"{name}.types(mind) is {found.dtype}{list(found.shape)}; it must be int32[{num}]"
    )
    assert ((found >= 0) & (found < len(names))).all(), (
        f"{name}.types(mind) holds {found.min()} to {found.max()}, but there are {len(names)} names"
    )
    if type(policy).assign is ArrayPolicy.assign:
        return
    for kind in range(len(names)):
        changed = policy.assign(mind, jnp.array([num - 1], jnp.int32), kind)
        same_form(mind, changed, f"{name}.assign: the mind")
        now = np.asarray(policy.types(changed))
        assert now[-1] == kind, f"{name}.assign(rows, {kind}) leaves type {now[-1]}"
        assert (now[:-1] == found[:-1]).all(), f"{name}.assign changes rows that it was not given"


def _check_inherit(policy: ArrayPolicy, mind: Mind, num: int, name: str) -> None:
    """Newcomers get their parents' params; nobody else changes; dense is compact."""
    compact, dense = _births(num)
    key = jax.random.PRNGKey(1)
    for births in (compact, dense):
        jax.eval_shape(lambda mind, births=births: policy.inherit(key, mind, births), mind)
    one, two = policy.inherit(key, mind, compact), policy.inherit(key, mind, dense)
    for births, heirs in ((compact, one), (dense, two)):
        kind = "dense" if births.dense else "compact"
        same_form(mind, heirs, f"{name}.inherit with {kind} births: the mind")
        _only_children(mind, heirs, num, f"{name}.inherit with {kind} births")
    bits(two.params, one.params, f"{name}.inherit differs for dense and compact births")
    for path, before, after in _per_row(mind.params, one.params, num):
        same = np.array_equal(after[num - 1], before[0])
        kept = np.array_equal(after[num - 1], before[num - 1])
        assert same or kept, (
            f"{name}.inherit: params{path} of a newcomer are neither its parent's nor its own"
        )


def _check_mutate(policy: ArrayPolicy, mind: Mind, num: int, name: str) -> None:
    """Mutation changes newcomers only, and nobody where there is none."""
    compact, dense = _births(num)
    key, much, none = jax.random.PRNGKey(2), jnp.float32(1), jnp.float32(0)
    for births in (compact, dense):

        def mutate(amount: Any, births: Births = births) -> Mind:
            return policy.mutate(key, mind, births, amount, amount)

        jax.eval_shape(mutate, much)
        heirs = mutate(much)
        same_form(mind, heirs, f"{name}.mutate: the mind")
        _only_children(mind, heirs, num, f"{name}.mutate")
        bits(mutate(none), mind, f"{name}.mutate changes minds at rate 0 and sd 0")


def _births(num: int) -> tuple[Births, Births]:
    """The last row inherits from the first; written as a list with padding, and densely."""
    rows = jnp.arange(num, dtype=jnp.int32)
    compact = Births(jnp.array([num - 1, num], jnp.int32), jnp.array([[0], [-1]], jnp.int32))
    return compact, Births(rows, rows.at[num - 1].set(0)[:, None], True)


def _only_children(before: Mind, after: Mind, num: int, what: str) -> None:
    for path, old, new in _per_row(before, after, num):
        assert np.array_equal(old[: num - 1], new[: num - 1]), (
            f"{what} changes {path} of rows that are no newcomers"
        )


def _per_row(before: Any, after: Any, num: int) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Leaves with one row for each seat: (path, before, after)."""
    first, second = (jax.tree_util.tree_flatten_with_path(tree)[0] for tree in (before, after))
    pairs = [
        (jax.tree_util.keystr(path), np.asarray(old), np.asarray(new))
        for (path, old), (_, new) in zip(first, second, strict=True)
    ]
    return [pair for pair in pairs if pair[1].ndim and pair[1].shape[0] == num]

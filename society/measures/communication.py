"""Does what is heard change what is done? Measured by intervening on minds, not by correlation."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Array, Mind, Percept

__all__ = ["HeardWordsInfluence", "Influence", "heard_words", "influence"]


class Influence(NamedTuple):
    """Mean absolute change of actions, over rows who have heard something; float32.

    silence: had they heard nothing. shuffled: had they heard somebody else's words.
    noise: the same for words of the same size drawn at random, as a yardstick.
    """

    silence: Array
    shuffled: Array
    noise: Array


class _Heard(NamedTuple):
    """sums: [3] float32 of changes, in the order of ``Influence``. number: of those asked."""

    sums: Array
    number: Array


def _hearing(percept: Percept, words: Callable[[Any], Array]) -> Array:
    """[n] bool: lives and has heard something."""
    return percept.alive & (jnp.abs(words(percept.view)).sum(-1) > 0)


def influence(
    policy: ArrayPolicy,
    mind: Mind,
    percept: Percept,
    key: Array,
    words: Callable[[Any], Array],
    replace: Callable[[Any, Array], Any],
) -> Influence:
    """What the same minds, in the same situation, would do had they heard otherwise.

    Args:
      words: view -> [n, W] what was heard. replace: (view, words) -> view with other words.
      key: for the shuffle and the noise; the minds get the same key in all cases.

    Source: after Lowe et al. (2019), "On the pitfalls of measuring emergent communication",
    arXiv:1903.05168: positive listening is shown by changing the message alone.
    """
    heard = words(percept.view)
    hears = _hearing(percept, words)
    order = jnp.argsort(jax.random.uniform(key, hears.shape) + ~hears)
    others = heard[jnp.roll(order, 1)][jnp.argsort(order)]
    size = jnp.abs(heard).mean() * 1.2533  # of normal deviates with the same mean size
    cases = (jnp.zeros_like(heard), others, jax.random.normal(key, heard.shape) * size)

    def act(view: Any) -> Array:
        action = policy.act(key, mind, percept._replace(view=view)).action
        return jnp.reshape(action, (action.shape[0], -1)).astype(jnp.float32)

    plain = act(percept.view)
    changes = [jnp.abs(act(replace(percept.view, case)) - plain).mean(-1) for case in cases]
    number = jnp.maximum(hears.sum(), 1)
    return Influence(*[jnp.where(hears, change, 0.0).sum() / number for change in changes])


def heard_words(width: int) -> tuple[Callable[[Any], Array], Callable[[Any, Array], Any]]:
    """``words`` and ``replace`` for the views of ``life``, whose ``own`` ends with the inbox."""

    def words(view: Any) -> Array:
        return view["own"][:, -width:]

    def replace(view: Any, changed: Array) -> Any:
        own = jnp.concatenate([view["own"][:, :-width], changed], axis=1)
        return {**view, "own": own}

    return words, replace


@component("measure", "heard_words_influence")
@dataclasses.dataclass(frozen=True)
class HeardWordsInfluence(Measure):
    """Influence of heard words on acts, by intervention: what if they had heard otherwise?

    Every ``every`` steps the same minds decide again in the same moment, with other words in
    their inbox. ``influence_silence``, ``influence_shuffled`` and ``influence_noise`` are mean
    absolute changes of an action's numbers over those who had heard something; see
    ``Influence``. ``influence_heard`` counts them. Nothing that is asked changes the run.
    Source: Lowe et al. (2019), "On the pitfalls of measuring emergent communication",
    arXiv:1903.05168.
    """

    streams = True

    every: int = doc_field(16, "steps between two moments that are lived again", ge=1)

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Bodies must hear words of numbers."""
        if not (world.births and hasattr(world, "words")):
            raise ValueError(
                "heard_words_influence needs bodies that hear words of numbers, as in life; for "
                "channels use positive_listening"
            )

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Heard:
        """Nobody has heard anything."""
        return _Heard(jnp.zeros(3, jnp.float32), jnp.int32(0))

    def update(self, acc: _Heard, moment: Moment) -> _Heard:
        """Ask all array groups again, where it is time."""
        if moment.replay is None:
            return acc
        due = moment.step % self.every == 0
        return jax.lax.cond(due, lambda now: _asked(now, moment), lambda now: now, acc)

    def finish(self, acc: _Heard, record: Record) -> dict[str, Any]:
        """Means over all who were asked; NaN where nobody had heard anything."""
        number = int(acc.number)
        means = np.asarray(acc.sums, np.float64) / number if number else np.full(3, np.nan)
        found = {
            f"influence_{name}": float(mean)
            for name, mean in zip(Influence._fields, means, strict=True)
        }
        return {**found, "influence_heard": number}


def _asked(acc: _Heard, moment: Moment) -> _Heard:
    replay = moment.replay
    words, replace = heard_words(replay.carry.world.words)
    said, heard = replay.carry.outbox, {}
    if said:
        heard = replay.inbox(next(iter(said)), next(iter(said.values())))
    for index in replay.groups:
        percept = replay.percept(index, moment.observation, heard)
        mind, policy = replay.carry.minds[index], replay.parts.policies[index]
        key = fold(replay.carry.keys["world"], moment.step, jnp.int32(index))
        found = influence(policy, mind, percept, key, words, replace)
        number = _hearing(percept, words).sum(dtype=jnp.int32)
        acc = _Heard(acc.sums + jnp.stack(found) * number, acc.number + number)
    return acc

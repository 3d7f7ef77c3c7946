"""Positive signalling and positive listening: do words say something, and are they heard?"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from worlds.registry import component
from worlds.tree import doc_field, provided
from worlds.types import Array

__all__ = ["PositiveListening", "PositiveSignalling", "mutual_information"]


@dataclasses.dataclass(frozen=True)
class OfWords(Measure):
    """What measures of a channel of words have in common."""

    streams = True

    channel: str = doc_field("", "The channel of words; may be left out where there is one.")
    draws: int = doc_field(
        32, "Decisions drawn for minds that cannot tell their chances (networks can).", ge=2
    )
    words: int = provided(0)

    def for_channels(self, channels: Mapping[str, Any]) -> "OfWords":
        """The measure with its channel and number of words.

        Raises:
          ValueError: There is no such channel of words.
        """
        fit = [name for name, one in channels.items() if getattr(one, "vocabulary", ())]
        name = self.channel or (fit[0] if len(fit) == 1 else "")
        if name not in fit:
            has = ", ".join(fit) or "none"
            given = f"channel {self.channel!r} is" if self.channel else "the channel to measure is"
            raise ValueError(
                f"{given} not one of the channels of words ({has}); give the scenario "
                "channels: {say: {use: words, vocabulary: [...]}} and name it here"
            )
        return dataclasses.replace(self, channel=name, words=channels[name].size)

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand words, and acts that can be counted."""
        if not self.words:
            self.for_channels({})
        if not isinstance(world.action_space(0), gymnasium.spaces.Discrete):
            raise ValueError(
                "measures of signalling count actions, so they need a world with Discrete "
                f"actions, not {world.action_space(0)}"
            )

    def sizes(self, world: Any) -> dict[str, int]:
        """Numbers of actions ("") and of words with silence."""
        space = world.action_space(0)
        return {"": int(space.start + space.n), self.channel: self.words + 1}


@component("measure", "positive_signalling")
@dataclasses.dataclass(frozen=True)
class PositiveSignalling(OfWords):
    """Whether what is said depends on what the speaker sees, and tells what it will do.

    ``signalling_sight``: I(word; what the speaker perceives) = H(mean of p(word | sight)) -
    mean of H(p(word | sight)), over living rows and steps, with the minds' own chances; left
    out where words are said in turns of talk. ``signalling_action``: I(word; own action) in
    what was done, less the Miller-Madow bias (so it scatters around 0 where there is none).
    ``signalling_words``: H(word). All in nats; silence counts as a word. Language agents count
    in the last two.

    Source: Lowe et al. (2019), arXiv:1903.05168, section 3 (speaker consistency); Eccles et
    al. (2019), "Biases for emergent communication in multi-agent reinforcement learning",
    arXiv:1912.05676, equation 1; Miller (1955), note on the bias of information estimates.
    """

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> Any:
        """Nothing said."""
        sizes = self.sizes(world)
        return {
            "joint": jnp.zeros((self.words + 1, sizes[""]), jnp.float32),
            "said": jnp.zeros(self.words + 1, jnp.float32),
            "spread": jnp.float32(0),
            "rows": jnp.float32(0),
        }

    def update(self, acc: Any, moment: Moment) -> Any:
        """Count words with acts, and add up the minds' chances to say them."""
        replay, seen = moment.replay, moment.observation
        word = replay.spoken(self.channel, seen) + 1
        action = moment.action.astype(jnp.int32)
        acting = (seen.alive & seen.acting).astype(jnp.float32)
        hot = (word[:, None] == jnp.arange(self.words + 1)) * acting[:, None]
        done = (action[:, None] == jnp.arange(acc["joint"].shape[1])).astype(jnp.float32)
        acc = {**acc, "joint": acc["joint"] + hot.T @ done}
        if replay.engine.plan.talk_turns:
            return acc
        heard = replay.inbox(self.channel, replay.carry.outbox[self.channel])
        sizes = {self.channel: self.words + 1}
        for index in replay.groups:
            found = replay.chances(index, seen, heard, sizes, self.draws)
            if self.channel in found:
                acc = _add_sights(acc, found[self.channel], acting[replay.rows(index)])
        return acc

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Mutual information and entropies in nats."""
        joint = np.asarray(acc["joint"], np.float64)
        total = joint.sum()
        found = {
            "signalling_action": mutual_information(joint),
            "signalling_words": _entropy(joint.sum(axis=1) / total) if total else float("nan"),
        }
        rows = float(acc["rows"])
        if rows:
            marginal = np.asarray(acc["said"], np.float64) / rows
            sight = _entropy(marginal) - float(acc["spread"]) / rows
            found["signalling_sight"] = max(sight, 0.0)
        return found


@component("measure", "positive_listening")
@dataclasses.dataclass(frozen=True)
class PositiveListening(OfWords):
    """How much a word changes what those who hear it do: the causal influence of communication.

    In every step one speaker, in turn, is made to say each word (or nothing) while all else
    stays as it was, and the minds of its hearers are asked again. ``listening`` is the mean
    over hearers of I(word; action) = sum over w of p(w) KL(p(a | do w) || sum over v of p(v)
    p(a | do v)), in nats; p(w) is how often each word was said so far, with one added.
    ``listening_change`` is the mean total variation between what hearers do after what was
    really said and after silence. Both are 0 where nobody hears anything. Hearers are living,
    acting minds other than the speaker for whom the word makes a difference in what arrives;
    language agents are not asked again, as that would cost calls.

    Source: Lowe et al. (2019), arXiv:1903.05168, section 4 (CIC); Jaques et al. (2019),
    "Social influence as intrinsic motivation", arXiv:1810.08647, equation 2.
    """

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> Any:
        """Nothing heard."""
        return {
            "said": jnp.ones(self.words + 1, jnp.float32),
            "influence": jnp.float32(0),
            "change": jnp.float32(0),
            "hearers": jnp.float32(0),
            "actions": jnp.zeros(self.sizes(world)[""], jnp.float32),
        }

    def update(self, acc: Any, moment: Moment) -> Any:
        """Let one speaker say everything, and add up what its hearers make of it."""
        replay, seen = moment.replay, moment.observation
        said = replay.carry.outbox[self.channel]
        alive = seen.alive
        clock = (moment.generation + moment.episode + moment.step).astype(jnp.int32)
        turn = clock % jnp.maximum(jnp.sum(alive), 1)
        speaker = alive & (jnp.cumsum(alive) - 1 == turn)
        counts = ((said[:, None] + 1) == jnp.arange(self.words + 1)) & alive[:, None]
        acc = {**acc, "said": acc["said"] + counts.sum(axis=0)}
        boxes = [
            replay.inbox(self.channel, jnp.where(speaker, word, said))
            for word in range(-1, self.words)
        ]
        told = (said[jnp.argmax(speaker)] + 1).astype(jnp.int32)
        sizes = {"": acc["actions"].shape[0]}
        for index in replay.groups:
            rows = replay.rows(index)
            does = jnp.stack(
                [replay.chances(index, seen, box, sizes, self.draws)[""] for box in boxes]
            )
            hears = _differ(boxes, rows) & (alive & seen.acting & ~speaker)[rows]
            acc = _add_hearers(acc, does, hears, told)
        return acc

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Means over hearers."""
        hearers = max(float(acc["hearers"]), 1.0)
        return {
            "listening": float(acc["influence"]) / hearers,
            "listening_change": float(acc["change"]) / hearers,
        }


def mutual_information(counts: np.ndarray) -> float:
    """I(row; column) of a table of counts, in nats, less its Miller-Madow bias; NaN if empty.

    The bias is (cells - rows - columns + 1) / (2 n), of those that occur.
    """
    total = counts.sum()
    if not total:
        return float("nan")
    row, column = counts.sum(axis=1), counts.sum(axis=0)
    plain = _entropy(row / total) + _entropy(column / total) - _entropy(counts.ravel() / total)
    cells = (counts > 0).sum() - (row > 0).sum() - (column > 0).sum() + 1
    return float(plain - cells / (2 * total))


def _entropy(chances: np.ndarray) -> float:
    held = chances[chances > 0]
    return float(-(held * np.log(held)).sum())


def _add_sights(acc: Any, chance: Array, acting: Array) -> Any:
    entropy = -jnp.sum(jnp.where(chance > 0, chance * jnp.log(jnp.maximum(chance, 1e-30)), 0), 1)
    return {
        **acc,
        "said": acc["said"] + (chance * acting[:, None]).sum(axis=0),
        "spread": acc["spread"] + (entropy * acting).sum(),
        "rows": acc["rows"] + acting.sum(),
    }


def _differ(boxes: list[Any], rows: slice) -> Array:
    """[n] bool: something else arrives after some word."""
    found: Any = False
    for box in boxes[1:]:
        for name, leaf in box.items():
            other = leaf[rows] != boxes[0][name][rows]
            found = found | other.reshape(other.shape[0], -1).any(axis=1)
    return found


def _add_hearers(acc: Any, does: Array, hears: Array, told: Array) -> Any:
    """Add one group's hearers; does: [words + 1, n, actions] chances after each word."""
    weight = (acc["said"] / acc["said"].sum())[:, None, None]
    mean = (weight * does).sum(axis=0)
    ratio = jnp.log(jnp.maximum(does, 1e-30)) - jnp.log(jnp.maximum(mean, 1e-30))
    influence = jnp.maximum((weight * jnp.where(does > 0, does * ratio, 0)).sum(axis=(0, 2)), 0)
    change = 0.5 * jnp.abs(does[told] - does[0]).sum(axis=1)
    held = hears.astype(jnp.float32)
    return {
        **acc,
        "influence": acc["influence"] + (influence * held).sum(),
        "change": acc["change"] + (change * held).sum(),
        "hearers": acc["hearers"] + held.sum(),
    }

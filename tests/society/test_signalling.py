"""Positive signalling and listening, with minds whose words and deeds are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.build import build
from society.machine import Machine
from society.scenario import load_scenario
from worlds.policy import ArrayPolicy
from worlds.random import uniform
from worlds.tree import pytree
from worlds.types import Decision, Mind

TEXT = """
about: a test
world: {use: matrix_game, game: prisoners_dilemma, rounds: 8, pairs: fixed}
groups: {a: {count: 2, policy: {use: mlp, width: 4, layers: 1}}}
channels: {say: {use: words, to: everyone, vocabulary: [no, yes]}}
episodes: 1
measures: [positive_listening, positive_signalling]
"""


@pytree
class Known(ArrayPolicy):
    """Acts on what it heard (``hears``) or at random; says yes, its own act, or who it is."""

    hears: bool = False
    says: str = "yes"

    def init(self, key, seats):
        return Mind()

    def act(self, key, mind, percept):
        num = percept.alive.shape[0]
        heard = percept.inbox["say"]
        chance = (uniform(key, jnp.arange(num)) < 0.5).astype(jnp.int32)
        action = (heard[:, 1] > heard[:, 0]).astype(jnp.int32) if self.hears else chance
        word = {"yes": jnp.ones(num, jnp.int32), "act": action, "name": jnp.arange(num) % 2}
        return Decision(action, (), {"say": word[self.says].astype(jnp.int32)})


def measured(tmp_path, policy=None, text=TEXT, ticks=8):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    simulation = build(load_scenario(path))
    if policy is not None:
        parts = simulation.parts._replace(policies=(policy,))
        simulation = dataclasses.replace(simulation, parts=parts)
    machine = Machine(simulation)
    carries, _ = machine.advance(machine.start([0]), ticks)
    found, accs = {}, jax.device_get(carries.accs)
    for measure, acc in zip(simulation.engine.measures, accs, strict=True):
        if hasattr(measure, "words"):
            found.update(measure.finish(jax.tree.map(lambda leaf: leaf[0], acc), None))
    return found


def test_who_does_what_it_hears_is_moved_by_it(tmp_path):
    found = measured(tmp_path, Known(hears=True))
    # Before step t silence was said twice (at the start) and yes 2 t times, and one of each
    # word is added; only yes makes a difference.
    chance = np.array([(1 + 2 * t) / (5 + 2 * t) for t in range(8)])
    entropy = -(chance * np.log(chance) + (1 - chance) * np.log(1 - chance))
    assert found["listening"] == pytest.approx(entropy.mean(), rel=1e-4)
    assert found["listening_change"] == pytest.approx(7 / 8)  # nothing was said before step 0
    # It says the same whatever it sees and does.
    assert found["signalling_words"] == found["signalling_action"] == 0
    assert found["signalling_sight"] == pytest.approx(0, abs=1e-6)


def test_who_announces_its_act_signals_without_being_heard(tmp_path):
    found = measured(tmp_path, Known(says="act"), TEXT.replace("rounds: 8", "rounds: 200"), 200)
    assert found["listening"] == pytest.approx(0, abs=1e-6)
    assert found["listening_change"] == 0
    assert found["signalling_action"] == pytest.approx(np.log(2), abs=0.02)
    assert 0 <= found["signalling_sight"] < 0.03, "32 draws of a fair coin look less than fair"


def test_who_tells_its_name_signals_what_it_sees_not_what_it_does(tmp_path):
    found = measured(tmp_path, Known(says="name"), TEXT.replace("rounds: 8", "rounds: 200"), 200)
    assert found["signalling_sight"] == pytest.approx(np.log(2), rel=1e-4)
    assert found["signalling_words"] == pytest.approx(np.log(2))
    assert abs(found["signalling_action"]) < 0.02

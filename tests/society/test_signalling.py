"""Positive signalling and listening, with minds whose words and deeds are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.network_policy import Mlp
from society.build import build
from society.counterfactual import chances
from society.errors import ScenarioError
from society.machine import Machine
from society.measures.signalling import mutual_information
from society.scenario import load_scenario
from worlds.policy import ArrayPolicy
from worlds.random import uniform
from worlds.tree import pytree
from worlds.types import Decision, Mind, Percept, Seats

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


def test_networks_listen_a_little_and_not_at_all_where_nothing_arrives(tmp_path):
    found = measured(tmp_path)
    assert 0 < found["listening"] < 0.01, "an untrained network's act hardly depends on a word"
    assert 0 < found["listening_change"] < 0.1
    silent = measured(tmp_path, text=TEXT.replace("to: everyone", "to: everyone, mode: silent"))
    assert silent["listening"] == silent["listening_change"] == 0


def test_the_chances_of_a_network_are_the_frequencies_of_its_draws(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(TEXT)
    simulation = build(load_scenario(path))
    world, policy = simulation.world, Mlp(width=4, layers=1, sees=("own_last",))
    spaces = (world.action_space(0), world.observation_space(0))
    seats = Seats(2, 0, world, *spaces, channels={"say": 2}, words=("say",))
    mind = policy.init(jax.random.PRNGKey(1), seats)
    net = {**mind.params.net, "act": {"w": jnp.ones((4, 2)), "b": jnp.array([0.0, 1.5])}}
    mind = mind._replace(params=dataclasses.replace(mind.params, net=net))
    seen = world.observe(world.init(jax.random.PRNGKey(0)))
    inbox = {"say": jnp.array([[0, 1], [1, 0]])}
    alive = jnp.ones(2, bool)
    percept = Percept(seen.view, alive, alive, alive, None, inbox)
    sizes = {"": 2, "say": 3}
    exact = chances(policy, jax.random.PRNGKey(2), mind, percept, sizes, 2)

    class Opaque:
        act = staticmethod(policy.act)

    drawn = jax.jit(lambda key: chances(Opaque(), key, mind, percept, sizes, 2000))(
        jax.random.PRNGKey(2)
    )
    for name in sizes:
        np.testing.assert_allclose(exact[name].sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(drawn[name], exact[name], atol=0.05)
    assert exact[""][0, 1] == pytest.approx(1 / (1 + np.exp(-1.5)), rel=1e-4)


def test_information_of_tables():
    assert mutual_information(np.diag([500.0, 500.0])) == pytest.approx(np.log(2), abs=1e-3)
    assert mutual_information(np.full((2, 3), 10.0)) == pytest.approx(-2 / 120)
    assert np.isnan(mutual_information(np.zeros((2, 2))))


def test_what_is_missing_is_said(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        TEXT.replace("vocabulary: [no, yes]", "x").replace(
            "{use: words, to: everyone, x}", "{use: text}"
        )
    )
    with pytest.raises(ScenarioError, match=r"channels of words \(none\)"):
        build(load_scenario(path))
    path.write_text(TEXT.replace("[positive_listening", "[{use: positive_listening, channel: sya}"))
    with pytest.raises(ScenarioError, match="'sya' is not one of the channels of words \\(say\\)"):
        build(load_scenario(path))

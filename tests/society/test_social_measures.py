"""Measures of dilemmas and commons, against what hands compute."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.grid_players import CoinCollector
from society.contract import Moment
from society.measures.commons import Peace, Sustainability
from society.measures.schelling import Schelling, diagram, pressures
from society.measures.welfare import welfare_of
from worlds import make
from worlds.types import Observation, Transition

ALIVE = jnp.array([True, True, True])


def moment(step, reward, acting=(True, True, True)):
    seen = Observation((), ALIVE, jnp.array(acting))
    none = jnp.zeros(3, bool)
    moved = Transition(jnp.array(reward, jnp.float32), none, none)
    clock = (jnp.int32(0), jnp.int32(0), jnp.int32(step))
    return Moment(seen, None, moved, jnp.zeros(3, jnp.int32), *clock)


def taken(measure, moments):
    acc = measure.begin(SimpleNamespace(num_slots=3), ())
    for one in moments:
        acc = measure.update(acc, one)
    return measure.finish(acc, None)


def test_sustainability_is_the_mean_time_of_rewards_by_hand():
    first = [moment(0, [1, 0, 0]), moment(1, [1, 0, 0]), moment(2, [0, 2, -1])]
    found = taken(Sustainability(), first)
    # Agent 0 is paid at 1 and 2, agent 1 at 3, agent 2 never.
    assert found["sustainability"] == pytest.approx((1.5 + 3) / 2)
    second = [moment(0, [0, 0, 0]), moment(1, [0, 0, 5])]
    found = taken(Sustainability(), first + second)
    assert found["sustainability"] == pytest.approx((2.25 + 2.0) / 2)
    assert found["sustainability_last"] == 2.0
    nothing = taken(Sustainability(), [moment(0, [0, 0, 0])])
    assert np.isnan(nothing["sustainability"]) and np.isnan(nothing["sustainability_last"])


def test_peace_is_the_share_of_those_who_may_act():
    calm, one_out = moment(0, [0, 0, 0]), moment(1, [0, 0, 0], (True, False, True))
    assert taken(Peace(), [calm, one_out])["peace"] == pytest.approx((1 + 2 / 3) / 2)


def test_welfare_by_hand():
    found = welfare_of(np.array([1.0, 4.0, 16.0]))
    assert found == pytest.approx({"welfare": 21.0, "welfare_least": 1.0, "welfare_nash": 4.0})
    assert welfare_of(np.array([0.0, 3.0]))["welfare_nash"] == 0.0
    assert np.isnan(welfare_of(np.array([-1.0, 3.0]))["welfare_nash"])
    assert np.isnan(welfare_of(np.zeros(0))["welfare"])


def test_fear_greed_and_dilemmas_by_hand():
    found = pressures(np.array([0.0, 3.0]), np.array([1.0, 5.0]))
    assert found == {"fear": 1.0, "greed": 2.0, "dilemma": 1.0}
    harmless = pressures(np.array([2.0, 3.0]), np.array([1.0, 2.0]))
    assert harmless == {"fear": -1.0, "greed": -1.0, "dilemma": 0.0}


def test_the_coin_game_is_a_dilemma():
    world = make("coin_game", max_steps=60)
    cooperate, defect = diagram(
        world, CoinCollector(), CoinCollector(take="any"), episodes=6, steps=60
    )
    found = pressures(cooperate, defect)
    assert found["dilemma"] == 1.0 and found["fear"] > 0 and found["greed"] > 0
    assert cooperate.shape == defect.shape == (2,)


def test_schelling_refuses_worlds_and_policies_that_do_not_fit():
    with pytest.raises(ValueError, match="gridworlds"):
        Schelling().check(make("donor_game"), ())
    with pytest.raises(ValueError, match="sustainable"):
        Schelling().check(make("coin_game"), ())
    Schelling().check(make("commons_harvest"), ())

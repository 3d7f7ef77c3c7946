"""Numeric channels: what is said on the device reaches those who hear it, and nobody else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.channels import (
    Forum,
    TextChannel,
    Vector,
    Words,
    channel_plan,
    deliver,
    empty_outbox,
)
from society.graphs import build_graph
from society.graphs.lattices import Cycle, Path, Star
from worlds.types import Graph

NUM = 6
KEY = jax.random.PRNGKey(0)
deliver_once = jax.jit(deliver)
ALIVE = jnp.array([True, True, True, True, True, False])
CHAIN = jax.tree.map(jnp.asarray, build_graph(Path(directed=True), NUM, assign="in_order"))


class Nobody:
    """A population as far as channels care."""

    num_slots = NUM
    text_groups = ()

    def alive(self):
        return np.ones(NUM, bool)


class Somebody(Nobody):
    text_groups = ("talkers",)


def test_a_vector_is_the_mean_of_what_living_neighbours_said():
    channels = {"talk": Vector(width=2)}
    said = jnp.arange(12.0).reshape(NUM, 2)
    heard = deliver(channels, {"talk": said}, CHAIN, ALIVE, KEY)["talk"]
    expected = np.concatenate([np.zeros((1, 2)), said[:5]])
    np.testing.assert_allclose(heard, expected)
    everyone = deliver({"talk": Vector(width=2, to="everyone")}, {"talk": said}, CHAIN, ALIVE, KEY)
    np.testing.assert_allclose(everyone["talk"][0], np.mean(said[1:5], axis=0))
    np.testing.assert_allclose(everyone["talk"][5], np.mean(said[:5], axis=0))


def test_words_are_counted_and_told_apart_by_speaker():
    channels = {"talk": Words(vocabulary=("stop", "wait", "take"))}
    said = jnp.array([2, -1, 0, 2, 1, 1])
    ring = jax.tree.map(jnp.asarray, build_graph(Cycle(), NUM, assign="in_order"))
    heard = deliver(channels, {"talk": said}, ring, ALIVE, KEY)
    expected = [[0, 0, 0], [1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 1], [0, 1, 1]]
    assert heard["talk"].tolist() == expected
    assert heard["talk/said"][3].tolist() == [0, 1]
    assert heard["talk/said"][4].tolist() == [2, -1]  # slot 5 is dead


def test_words_are_counted_also_where_no_table_fits():
    num = 200
    hub = jax.tree.map(jnp.asarray, build_graph(Star(), num, assign="in_order"))
    channels = {"talk": Words(vocabulary=("a", "b"))}
    heard = deliver(channels, {"talk": jnp.arange(num) % 2}, hub, jnp.ones(num, bool), KEY)
    assert heard["talk"][0].tolist() == [99, 100]
    assert heard["talk"][1].tolist() == [1, 0]
    assert "talk/said" not in heard


@pytest.mark.parametrize("channel", [Vector(width=3), Words(vocabulary=("a", "b"))])
def test_silence_is_the_null_of_every_channel(channel):
    import dataclasses

    silent = dataclasses.replace(channel, mode="silent")
    outbox = {"talk": channel.silence(NUM) + 1}
    quiet = deliver({"talk": channel}, empty_outbox({"talk": channel}, NUM), CHAIN, ALIVE, KEY)
    heard = deliver({"talk": silent}, outbox, CHAIN, ALIVE, KEY)
    assert heard.keys() == quiet.keys()
    for part, value in heard.items():
        np.testing.assert_array_equal(value, quiet[part])


def test_shuffling_permutes_the_living_and_does_not_depend_on_free_slots():
    channels = {"talk": Words(vocabulary=tuple("abcdefghij"), mode="shuffled", to="everyone")}
    orders = []
    for num in (8, 13):
        alive = jnp.arange(num) < 7
        said = jnp.where(alive, jnp.arange(num), -1)
        heard = deliver_once(channels, {"talk": said}, None, alive, KEY)["talk/said"]
        # A dead slot hears everybody, in order of slots.
        orders.append(heard[-1][:7].tolist())
    assert sorted(orders[0]) == list(range(7)) and orders[0] != list(range(7))
    assert orders[0] == orders[1]
    other = deliver_once(
        channels, {"talk": jnp.arange(8)}, None, jnp.arange(8) < 7, jax.random.PRNGKey(1)
    )
    assert other["talk/said"][-1][:7].tolist() != orders[0]


def test_a_channel_may_carry_its_own_graph():
    channel = Vector(width=1, graph=Cycle())
    numeric, mailed, turns = channel_plan({"talk": channel}, Nobody())
    assert isinstance(numeric["talk"].graph, Graph) and not mailed and turns == 0
    said = jnp.ones((NUM, 1))
    heard = deliver(numeric, {"talk": said}, CHAIN, jnp.ones(NUM, bool), KEY)
    np.testing.assert_allclose(heard["talk"], 1.0)


def test_the_plan_sorts_channels_by_how_they_travel():
    specs = {
        "gaze": Vector(),
        "signs": Words(vocabulary=("a",), when="before_action", rounds=2),
        "chat": TextChannel(when="before_action", rounds=3),
        "board": Forum(),
    }
    numeric, mailed, turns = channel_plan(specs, Somebody())
    assert set(numeric) == {"gaze", "signs"} and set(mailed) == {"signs", "chat", "board"}
    assert turns == 3
    assert channel_plan(specs, Nobody())[1] == {}
    outbox = empty_outbox(numeric, 4)
    assert outbox["gaze"].shape == (4, 8) and outbox["signs"].tolist() == [-1] * 4


def test_channels_that_make_no_sense_say_why():
    with pytest.raises(ValueError, match="broadcast"):
        channel_plan({"v": Vector(to="addressed")}, Nobody())
    with pytest.raises(ValueError, match="no word twice"):
        channel_plan({"w": Words(vocabulary=("Yes", "yes "))}, Nobody())
    with pytest.raises(ValueError, match="who is near whom"):
        channel_plan({"v": Vector(to="nearby")}, Nobody())
    with pytest.raises(ValueError, match="only texts are heard nearby"):
        channel_plan({"v": Vector(to="nearby")}, Nobody(), places=True)


def test_delivery_is_one_compiled_step_whose_ties_may_change():
    channels = {"talk": Vector(width=1), "signs": Words(vocabulary=("a", "b"))}
    outbox = {"talk": jnp.ones((NUM, 1)), "signs": jnp.zeros(NUM, jnp.int32)}
    before = deliver_once._cache_size()
    for seed in range(3):
        ties = build_graph(Cycle(), NUM, seed=seed)
        graph = jax.tree.map(jnp.asarray, ties)
        heard = deliver_once(channels, outbox, graph, ALIVE, KEY)
        assert heard["signs"][:, 0].tolist() == [
            sum(bool(ALIVE[j]) for j in row) for row in ties.table
        ]
    assert deliver_once._cache_size() == before + 1

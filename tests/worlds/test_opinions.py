"""Opinions against theory: consensus of DeGroot, clusters of Hegselmann and Krause."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.populations import Stubborn
from society.graphs.base import Ties, pack
from worlds.populations.captions.opinions import OpinionsCaption
from worlds.populations.opinions import Opinions
from worlds.registry import make
from worlds.types import ParseError, Seat, Seats


def run(world, state, steps, action=None):
    """Let so many steps pass; nobody states anything unless ``action`` says so."""
    key = jax.random.PRNGKey(0)
    action = world.noop() if action is None else action

    def step(state, _):
        state, moved = world.step(key, state, action)
        return state, moved.reward

    return jax.jit(lambda s: jax.lax.scan(step, s, None, length=steps))(state)


def weighted_ring(num, rng):
    """A directed ring with chords and random weights, and its row-stochastic matrix."""
    around = np.arange(num)
    pairs = np.concatenate(
        [np.stack([around, (around + 1) % num], 1), np.stack([around, (around + 3) % num], 1)]
    )
    weights = rng.uniform(0.2, 2.0, len(pairs)).astype(np.float32)
    matrix = np.zeros((num, num))
    matrix[pairs[:, 1], pairs[:, 0]] = weights
    graph = pack(Ties(pairs, weights, True), num)
    return graph, matrix / matrix.sum(1, keepdims=True)


def test_averaging_ends_in_the_consensus_that_the_left_eigenvector_tells():
    num = 9
    graph, others = weighted_ring(num, np.random.default_rng(0))
    world = make(
        "opinions", influence="averaging", self_weight=0.3, graph=graph, num_slots=num,
        num_players=num, topics=("a", "b"), scale=(0.0, 10.0),
    )  # fmt: skip
    state = world.init(jax.random.PRNGKey(3))
    mixing = 0.3 * np.eye(num) + 0.7 * others
    values, vectors = np.linalg.eig(mixing.T)
    left = np.real(vectors[:, np.argmax(np.real(values))])
    consensus = (left / left.sum()) @ np.asarray(state.opinion, float)
    after, _ = run(world, state, 1)
    expected = mixing @ np.asarray(state.opinion, float)
    np.testing.assert_allclose(after.opinion, expected, rtol=1e-5)
    end, _ = run(world, state, 400)
    np.testing.assert_allclose(end.opinion, np.tile(consensus, (num, 1)), rtol=1e-4)


def listened(opinions, confidence, ties):
    """One step of bounded confidence in plain NumPy."""
    near = (np.abs(opinions[:, None] - opinions[None]) <= confidence) & ties
    np.fill_diagonal(near, True)
    return (near * opinions[None]).sum(1) / near.sum(1)


def graph_of(kind, num, rng):
    """(graph, [N, N] bool matrix) of a complete, a tabled or a row-wise graph."""
    everybody = ~np.eye(num, dtype=bool)
    if kind == "complete":
        return None, everybody
    ties = np.triu(rng.random((num, num)) < 0.3, 1)
    if kind == "star":
        ties[:] = False
        ties[0, 1:] = True
    pairs = np.argwhere(ties)
    graph = pack(Ties(pairs, None, False), num, width=0 if kind == "star" else num)
    return graph, ties | ties.T


@pytest.mark.parametrize("kind", ["complete", "tabled", "star"])
def test_bounded_confidence_is_that_of_a_plain_reference(kind):
    num, rng = 24, np.random.default_rng(2)
    graph, ties = graph_of(kind, num, rng)
    if graph is not None:
        assert (graph.table is None) == (kind == "star")
    world = make(
        "opinions", influence="bounded_confidence", confidence=0.45, graph=graph,
        num_slots=num, num_players=num,
    )  # fmt: skip
    state = world.init(jax.random.PRNGKey(1))
    plain = np.asarray(state.opinion, np.float64)[:, 0]
    step = jax.jit(world.step)
    for _ in range(6):
        state, _ = step(jax.random.PRNGKey(0), state, world.noop())
        plain = listened(plain, np.float32(0.45), ties)
        np.testing.assert_allclose(np.asarray(state.opinion)[:, 0], plain, atol=2e-6)


def clusters(opinions):
    return 1 + int((np.diff(np.sort(opinions)) > 0.05).sum())


def test_the_narrower_the_confidence_the_more_clusters_remain():
    def remaining(confidence):
        world = make(
            "opinions", influence="bounded_confidence", confidence=confidence, scale=(0.0, 1.0),
            num_slots=300, num_players=300,
        )  # fmt: skip
        end, _ = run(world, world.init(jax.random.PRNGKey(7)), 40)
        still, _ = run(world, end, 1)
        np.testing.assert_allclose(still.opinion, end.opinion, atol=1e-5)  # it has settled
        return clusters(np.asarray(end.opinion)[:, 0])

    # Hegselmann and Krause (2002): plurality, polarisation, consensus.
    many, two, one = remaining(0.05), remaining(0.2), remaining(0.3)
    assert many >= 5 and two == 2 and one == 1


def test_a_stubborn_minority_pulls_everybody_to_its_opinion():
    num = 12
    world = make("opinions", influence="averaging", num_slots=num, num_players=num)
    seats = Seats(2, 0, world, world.action_space(0), world.observation_space(0))
    policy = Stubborn(opinion=-1.0)
    policy.check(seats)
    with pytest.raises(ValueError, match="scale goes from -1 to 1"):
        Stubborn(opinion=3.0).check(seats)
    action = world.noop().at[:2].set(-1.0)
    end, rewards = run(world, world.init(jax.random.PRNGKey(0)), 400, action)
    np.testing.assert_allclose(end.opinion, -1.0, atol=1e-3)
    assert float(rewards[-1].min()) == pytest.approx(0.0, abs=1e-3)
    assert float(rewards[0].mean()) < -0.1


def test_what_is_stated_holds_and_the_rest_follows_influence():
    world = make("opinions", influence="none", topics=("a", "b"), num_slots=3, num_players=2)
    state = world.init(jax.random.PRNGKey(0))
    action = jnp.asarray([[0.25, world.unstated], [9.0, -0.5], [1.0, 1.0]], jnp.float32)
    after, moved = jax.jit(world.step)(jax.random.PRNGKey(0), state, action)
    first = np.asarray(state.opinion)
    expected = [[0.25, first[0, 1]], [1.0, -0.5], first[2]]
    np.testing.assert_allclose(after.opinion, expected, rtol=1e-6)
    distance = np.abs(np.asarray(expected[0]) - np.asarray(expected[1])).mean() / 2
    np.testing.assert_allclose(moved.reward, [-distance, -distance, 0.0], rtol=1e-6)


def test_the_caption_reads_every_topic_once():
    caption = OpinionsCaption(make("opinions", topics=("tax", "school"), scale=(0.0, 10.0)))
    assert caption.action("Answer: school: 2, tax: 7.5", None, Seat(0)).tolist() == [7.5, 2.0]
    for answer in (
        "Answer: tax: 7",
        "Answer: 7, 2",
        "Answer: tax: 7, school: 12",
        "tax: a, school: 1",
    ):
        with pytest.raises(ParseError):
            caption.action(answer, None, Seat(0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"topics": ("a", "a")}, "all different"),
        ({"scale": (1.0, 1.0)}, "lower end"),
        ({"influence": "bounded_confidence", "num_slots": 50_000}, "choose another graph"),
    ],
)
def test_opinions_that_make_no_sense_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Opinions(**params).check_params()

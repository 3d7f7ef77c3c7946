"""Trees, archives, diversity and influence: tools that look at evolution."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.build import build
from society.contract import Moment
from society.illumination import Archive, novelty
from society.measures.automaton import elementary
from society.measures.communication import influence
from society.measures.diversity import clusters, diversity_of
from society.measures.evolutionary_activity import activity_of, clades, neutral_shadow
from society.measures.illumination import Illumination
from society.measures.lineage import coalescence, lineage_numbers
from society.phylogeny import Pedigree, newick, pedigree_of
from society.run import run_scenario
from society.scenario import load_scenario
from worlds.registry import make
from worlds.types import Decision, Mind, Observation, Percept, Transition


def pedigree(rows):
    """(uid, parent, born, died) each."""
    table = np.array(rows)
    none = np.full(len(table), -1)
    return Pedigree(*table[:, [0, 1]].T, none, *table[:, [2, 3]].T, none, np.zeros(len(table)))


FAMILY = pedigree([(0, -1, 0, 9), (1, -1, 0, 4), (2, 0, 2, -1), (3, 2, 5, -1), (4, 1, 3, 6)])


def test_a_tree_is_written_with_names_and_lengths():
    assert newick(FAMILY) == "(((3:7)2:2)0:0,(4:6)1:0);"


def test_numbers_of_a_small_family_are_right():
    numbers = lineage_numbers(FAMILY)
    assert numbers["lived"] == 5 and numbers["births"] == 3 and numbers["deaths"] == 3
    assert numbers["depth_mean"] == 1.5 and numbers["founders_left"] == 1
    assert numbers["lifespan_mean"] == pytest.approx((9 + 4 + 3) / 3)
    assert coalescence(FAMILY) == 9 - 2
    strangers = pedigree([(0, -1, 0, -1), (1, -1, 0, -1)])
    assert np.isnan(coalescence(strangers))


def test_clades_follow_depth_and_activity_counts_lives():
    assert clades(FAMILY, 2).tolist() == [0, 1, 0, 3, 1]
    activity = activity_of(FAMILY, end=10, samples=10, every=10)
    assert activity.diversity.tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    assert activity.total[0] == 2 and activity.total[-1] == 9 + 8 + 5


def test_a_shadow_of_a_neutral_history_resembles_it_and_that_of_a_champion_does_not():
    rng = np.random.default_rng(0)

    def history(fittest):
        born, died, parent, living = [0] * 20, [-1] * 20, [-1] * 20, list(range(20))
        for tick in range(1, 400):
            weight = np.array([50.0 if fittest and _line(parent, i) == 3 else 1.0 for i in living])
            mother = int(rng.choice(living, p=weight / weight.sum()))
            gone = living.pop(int(rng.integers(20)))
            died[gone] = tick
            living.append(len(born))
            born.append(tick), died.append(-1), parent.append(mother)
        uid = np.arange(len(born))
        none = np.full(len(uid), -1)
        return Pedigree(
            uid, np.array(parent), none, np.array(born), np.array(died), none, none * 0.0
        )

    def founders_at(found, tick):
        here = (found.born <= tick) & ((found.died > tick) | found.alive)
        return len(np.unique(found.founder()[here]))

    neutral, adapted = history(False), history(True)
    assert founders_at(adapted, 60) < founders_at(neutral_shadow(adapted, end=400), 60)
    ratio = founders_at(neutral, 60) / founders_at(neutral_shadow(neutral, end=400), 60)
    assert 0.4 < ratio < 2.5


def _line(parent, row):
    while parent[row] >= 0:
        row = parent[row]
    return row


def test_founders_without_a_birth_record_are_known_by_their_death():
    event = type("Event", (), {"data": {"tick": 7, "born": [], "died": [[3, 1]]}})
    found = pedigree_of([event])
    assert found.uid.tolist() == [3] and found.died.tolist() == [7]


def test_an_archive_keeps_the_best_of_each_cell():
    archive = Archive((0, 0), (1, 1), (2, 2))
    genomes = {"w": np.arange(4.0)}
    where = np.array([[0.1, 0.1], [0.2, 0.2], [0.9, 0.1], [5.0, 5.0]])
    assert archive.add(genomes, where, np.array([1.0, 2.0, 0.5, np.nan])) == 3
    assert archive.elites[(0, 0)]["w"] == 1.0 and archive.coverage == 0.5
    assert archive.score == 2.5
    drawn = archive.sample(np.random.default_rng(0), 6)["w"]
    assert set(drawn.tolist()) == {1.0, 2.0}
    with pytest.raises(ValueError, match="one of each"):
        Archive((0,), (1, 2), (3,))


def test_novelty_is_far_from_what_is_known():
    known = np.zeros((5, 2))
    found = novelty(np.array([[0.0, 0.0], [3.0, 4.0]]), known, k=3)
    assert found[0] == 0 and found[1] == 5


def test_clusters_and_their_effective_number():
    traits = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    assert clusters(traits, 0.15).tolist() == [0, 0, 0, 1, 1, 1]
    assert diversity_of(traits, 0.15).effective == pytest.approx(2.0)
    assert diversity_of(traits[:3], 0.15).effective == pytest.approx(1.0)


def test_influence_is_found_where_there_is_some_and_only_there():
    class Listener:
        def __init__(self, weight):
            self.weight = weight

        def act(self, key, mind, percept):
            return Decision(percept.view["own"] + self.weight * percept.view["heard"])

    rng = np.random.default_rng(0)
    heard = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32).at[0].set(0.0)
    view = {"own": jnp.ones((6, 3)), "heard": heard}
    there = jnp.ones(6, bool)
    percept = Percept(view, there, there, ~there)
    deaf, keen = (
        influence(
            Listener(weight), Mind(), percept, jax.random.PRNGKey(0),
            lambda view: view["heard"], lambda view, words: {**view, "heard": words},
        )
        for weight in (0.0, 2.0)
    )  # fmt: skip
    assert float(deaf.silence) == float(deaf.shuffled) == float(deaf.noise) == 0.0
    expected = float(2 * jnp.abs(heard[1:]).mean())
    assert float(keen.silence) == pytest.approx(expected, rel=1e-5)
    assert float(keen.shuffled) > 0.1


def moments(acts, terminated, parents):
    """Steps of two bodies; the second slot is empty unless somebody is born there."""
    alive = np.array([True, False])
    for act, dies, bearers in zip(acts, terminated, parents, strict=True):
        action = np.zeros((2, 45), np.float32)
        action[:, 0] = action[:, 1] = act
        transition = Transition(
            reward=jnp.ones(2), terminated=jnp.array(dies), truncated=jnp.zeros(2, bool),
            parents=jnp.array([[one, -1] for one in bearers]), metrics={},
        )  # fmt: skip
        seen = Observation({}, jnp.asarray(alive), jnp.asarray(alive))
        yield Moment(seen, jnp.asarray(action), transition, jnp.zeros(2, int), *[jnp.int32(0)] * 3)
        alive = (alive & ~np.array(dies)) | (np.array(bearers) >= 0)


@pytest.mark.parametrize(("quality", "worth"), [("age", (3, 1)), ("children", (1, 0))])
def test_an_illuminated_archive_holds_each_life_by_what_it_did(quality, worth):
    measure = Illumination(descriptors=("moving",), cells=4, quality=quality)
    acc = measure.begin(make("life", num_slots=2, num_players=1), ())
    steps = moments(
        acts=(0.3, 0.3, 0.3, 1.0),
        terminated=((False, False), (False, False), (True, False), (False, False)),
        parents=((-1, -1), (-1, -1), (-1, 0), (-1, -1)),
    )
    for moment in steps:
        acc = measure.update(acc, moment)
    found = measure.finish(acc, None)
    assert found["illumination_lives"] == 2 and found["illumination_coverage"] == 0.5
    np.testing.assert_array_equal(found["illumination_map"], [np.nan, worth[0], np.nan, worth[1]])
    assert found["illumination_novelty"] == pytest.approx(0.7)


def test_scenarios_choose_descriptors_and_bad_ones_are_refused_by_name():
    chosen = "measures=[{use: illumination, descriptors: [eating, digging], cells: 5}]"
    measure = build(load_scenario("life_quick", (chosen,))).engine.measures[0]
    assert measure.descriptors == ("eating", "digging") and measure.cells == 5
    with pytest.raises(ValueError, match="descriptors"):
        load_scenario("life_quick", ("measures=[{use: illumination, descriptors: [flying]}]",))


@pytest.mark.slow
def test_archive_shadow_and_words_are_measured_from_yaml(tmp_path):
    sets = (
        "measures=[illumination, evolutionary_activity, lineage, "
        "{use: heard_words_influence, every: 5}]", "steps=60",
    )  # fmt: skip
    found = run_scenario(load_scenario("life_quick", sets=sets), out=tmp_path)["measures"]
    found = {name: row.get("mean", row) if isinstance(row, dict) else row
             for name, row in found.items()}  # fmt: skip
    assert found["illumination_lives"] == found["lived"] > 24
    assert found["influence_heard"] > 0 and found["influence_silence"] > 0
    assert found["activity_mean_shadow"] > 0


def test_rule_90_draws_a_triangle():
    bits = np.zeros(9, int)
    bits[4] = 1
    assert elementary(90, bits, 2, ring=False).tolist() == [0, 0, 1, 0, 0, 0, 1, 0, 0]


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from society.build import build, roots
from society.scenario import load_scenario
from society.sharding import mesh_of, shard_minds

assert len(jax.devices()) == 2
sets = ("world.size=16", "groups.animals.count=8", "groups.animals.capacity=16",
        "world.endowment=60", "world.reserve=0", "world.patch=1", "measures=[]")
sim = build(load_scenario("life_quick", sets))
start = jax.jit(sim.engine.start)(sim.parts, sim.world, sim.graphs[0], roots([1])[0])
advance = jax.jit(sim.engine.advance)
one, log = advance(sim.parts, start, jnp.int32(25))
sizes = [group.size for group in sim.population.groups]
parts = jax.device_put(sim.parts, jax.sharding.NamedSharding(mesh_of(), jax.P()))
two, log2 = advance(parts, shard_minds(start, mesh_of(), sizes), jnp.int32(25))
used = int(log.lives.used)
assert used > 8 and used == int(log2.lives.used)
rows, rows2 = (np.asarray(found.lives.rows)[:used, :6] for found in (log, log2))
assert (rows == rows2).all()
for a, b in zip(jax.tree.leaves((one.state, one.minds)), jax.tree.leaves((two.state, two.minds))):
    np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-4, atol=1e-5)
print("same lives")
"""


@pytest.mark.slow
def test_a_society_over_two_devices_lives_the_same_lives_as_on_one(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], capture_output=True, text=True, check=False
    )
    assert "same lives" in done.stdout, done.stderr[-2000:]

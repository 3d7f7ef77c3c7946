"""Births inside steps: minds from the true parents, names that never return, logs that hold."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.between import Between
from society.build import build, roots
from society.checkpoint import restore_tree, save_tree
from society.machine import Machine, unstack
from society.measures.evolutionary_activity import activity_of, neutral_shadow
from society.measures.lineage import lineage_numbers
from society.newborns import BORN, DIED, births_of, events_of
from society.phylogeny import newick, pedigree_of, write_table
from society.run import run_scenario
from society.scenario import ScenarioError, load_scenario

# Founders are rich and children cheap, so that births come at once.
SHORT = (
    "world.size=16",
    "world.patch=1",
    "world.company=2",
    "world.words=2",
    "world.sight=4",
    "world.endowment=60",
    "world.reserve=0",
    "world.mating=either",
    "groups.animals.count=8",
    "groups.animals.capacity=24",
    "groups.animals.policy.width=4",
    "transmission.sd=0.01",
    "steps=120",
    "measures=[energy_audit]",
)
QUICKLY = {"xla_backend_optimization_level": 0}


@functools.cache
def simulation():
    return build(load_scenario("life_quick", SHORT))


@functools.cache
def compiled():
    engine = simulation().engine
    start = jax.jit(engine.start, compiler_options=QUICKLY)
    advance = jax.jit(engine.advance, compiler_options=QUICKLY)
    sim = simulation()
    first = start(sim.parts, sim.world, sim.graphs[0], roots([3])[0])
    return first, lambda carry, ticks: advance(sim.parts, carry, jnp.int32(ticks))


@functools.cache
def history():
    """Fifty ticks one by one: carries (NumPy) and the lives of each tick."""
    carry, advance = compiled()
    carries, chunks = [jax.device_get(carry)], []
    for _ in range(50):
        carry, chunk = advance(carry, 1)
        carries.append(jax.device_get(carry))
        chunks.append(jax.device_get(chunk))
    return carries, chunks


def lives(chunk):
    return np.asarray(chunk.lives.rows)[: int(chunk.lives.used)]


def genome(carry, slot):
    leaves = jax.tree.leaves(carry.minds[0].params.own)
    return np.concatenate([np.ravel(leaf[slot]) for leaf in leaves])


def test_every_child_is_a_mutated_copy_of_its_true_parents():
    carries, chunks = history()
    checked = 0
    for before, after, chunk in zip(carries, carries[1:], chunks, strict=False):
        slots = {int(uid): slot for slot, uid in enumerate(before.uid) if uid >= 0}
        for row in lives(chunk):
            if row[1] != BORN or row[4] < 0:
                continue
            uid, slot, first, second = row[2:6]
            assert after.uid[slot] == uid and not before.alive[slot]
            child = genome(after, slot)
            ones = genome(before, slots[int(first)])
            others = ones if second < 0 else genome(before, slots[int(second)])
            nearest = np.minimum(np.abs(child - ones), np.abs(child - others))
            assert 0 < nearest.max() < 0.01 * 6, "a child is no mutated copy of its parents"
            logged = row[6:7].view(np.float32)[0]
            assert logged == pytest.approx(float(np.linalg.norm(child - ones)), rel=1e-4)
            strangers = [s for u, s in slots.items() if u not in (first, second)]
            if second < 0:
                far = [np.linalg.norm(child - genome(before, s)) for s in strangers]
                assert logged < min(far, default=np.inf), "the child resembles somebody else"
            checked += 1
    assert checked >= 8


def test_uids_never_return_and_only_the_living_have_one():
    carries, _ = history()
    seen: dict[int, int] = {}
    for tick, carry in enumerate(carries):
        assert ((carry.uid >= 0) == carry.alive).all()
        held = carry.uid[carry.alive].tolist()
        assert len(set(held)) == len(held)
        for uid in held:
            assert seen.get(uid, tick - 1) == tick - 1 or uid not in seen, "somebody came back"
            seen[uid] = tick
    assert int(carries[-1].next_uid) == max(seen) + 1


def test_the_mind_forgets_and_the_percept_says_first_for_newborns_only():
    carries, chunks = history()
    for after, chunk in zip(carries[1:], chunks, strict=True):
        born = {int(row[3]) for row in lives(chunk) if row[1] == BORN and row[4] >= 0}
        assert set(np.flatnonzero(after.newborn).tolist()) == born


def test_lives_agree_with_who_is_there():
    carries, chunks = history()
    here = set()
    for after, chunk in zip(carries[1:], chunks, strict=True):
        for row in lives(chunk):
            if row[1] == BORN:
                here.add(int(row[2]))
        for row in lives(chunk):
            if row[1] == DIED:
                here.remove(int(row[2]))
        assert here == set(after.uid[after.alive].tolist())


def test_chunks_and_checkpoints_change_nothing():
    carry, advance = compiled()
    carries, chunks = history()
    whole, chunk = advance(carry, 50)
    assert same(whole, carries[-1])
    one_by_one = [event for chunk in chunks for event in events_of(0, chunk.lives, chunk.clock)]
    assert events_of(0, jax.device_get(chunk.lives), np.asarray(chunk.clock)) == one_by_one
    middle = restore_tree(carries[20], save_tree(jax.tree.map(np.array, carries[20])))
    resumed, _ = advance(jax.tree.map(jnp.asarray, middle), 30)
    assert same(resumed, carries[-1])


def same(one, two):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def pedigree():
    _, chunks = history()
    return pedigree_of(
        event for chunk in chunks for event in events_of(0, chunk.lives, chunk.clock)
    )


def test_a_pedigree_holds_everybody_and_exports_as_a_tree_and_a_table(tmp_path: Path):
    carries, _ = history()
    found = pedigree()
    assert len(found) == int(carries[-1].next_uid)
    assert set(found.uid[found.alive].tolist()) == set(carries[-1].uid[carries[-1].alive].tolist())
    tree = newick(found)
    assert tree.count("(") == tree.count(")") and tree.endswith(";")
    labels = tree.replace("(", " ").replace(")", " ").replace(",", " ").replace(";", " ").split()
    assert sorted(int(label.split(":")[0]) for label in labels) == found.uid.tolist()
    write_table(found, tmp_path / "lives.csv")
    rows = (tmp_path / "lives.csv").read_text().splitlines()
    assert len(rows) == len(found) + 1 and rows[0].startswith("uid,parent")
    numbers = lineage_numbers(found)
    assert numbers["births"] == float((found.parent >= 0).sum()) > 0
    assert numbers["deaths"] == float((found.died >= 0).sum())


def test_a_shadow_has_the_same_births_and_deaths_but_drawn_at_random():
    found = pedigree()
    shadow = neutral_shadow(found, end=50, seed=1)
    assert (shadow.born == found.born).all()
    assert (np.sort(shadow.died) == np.sort(found.died)).all()
    born = shadow.parent >= 0
    assert (born == (found.parent >= 0)).all()
    parent = shadow.row_of(shadow.parent[born])
    assert (shadow.born[parent] <= shadow.born[born]).all()
    activity = activity_of(found, end=50, samples=10)
    assert activity.total[-1] > 0 and activity.diversity.max() <= len(found)


def test_selection_between_generations_is_refused_where_steps_give_birth():
    with pytest.raises(ScenarioError, match="gives birth inside its steps"):
        build(load_scenario("life_quick", (*SHORT, "selection=truncation", "generations=2")))


@pytest.mark.slow
def test_replicates_alone_and_together_have_the_same_lives(tmp_path: Path):
    one = run_scenario(load_scenario("life_quick", (*SHORT, "seeds=[5]")), tmp_path / "one")
    two = run_scenario(load_scenario("life_quick", (*SHORT, "seeds=[4, 5]")), tmp_path / "two")
    assert one["status"] == two["status"] == "ok"
    alone = one["measures"]["energy.spent"]["values"]
    assert two["measures"]["energy.spent"]["values"][1:] == alone


@pytest.mark.slow
def test_the_books_close_over_ten_thousand_steps(tmp_path: Path):
    sets = ("steps=10000", "world.mating=either", "world.loot=0.5", "record.every=100")
    summary = run_scenario(load_scenario("life_quick", sets), tmp_path)
    measures = summary["measures"]
    assert measures["energy.sun"]["mean"] > 0
    assert measures["audit_error"]["mean"] < 1e-4
    assert measures["births"]["mean"] > 100


@pytest.mark.slow
def test_newborns_are_tied_to_their_parents_within_the_graphs_capacity(tmp_path: Path):
    sets = (*SHORT, "graph={use: cycle, attach: parents_neighbours}", "steps=12")
    scenario = load_scenario("life_quick", sets)
    sim = build(scenario)
    machine = Machine(sim)
    between = Between(sim, machine, Notes(), tmp_path)
    carry, tied = unstack(machine.start([0]), 0), 0
    for tick in range(12):
        carry = between.rewire(0, tick, carry)
        graph = jax.tree.map(np.asarray, carry.graph)
        born = births_of(carry.lives, np.asarray(carry.uid)) if tick else None
        for child, parents in zip(*born[:2], strict=True) if born else ():
            around = graph.senders[graph.offsets[child] : graph.offsets[child + 1]]
            living = [slot for slot in parents if slot >= 0]
            assert set(around.tolist()) & set(living) or not living or between.journal.refused
            assert np.asarray(carry.alive)[around].all() or not len(around)
            tied += bool(len(around))
        assert between.next_need(tick) == tick + 1
        carry, _ = machine.some(carry, 1)
        carry = jax.device_get(carry)
    assert tied > 0


class Notes:
    refused = 0

    def add_events(self, rows):
        self.refused += sum(row.data["refused"] for row in rows)

"""Learning inside the loop: chunks, checkpoints, replicates, company, and known results."""

import json
import re
import sqlite3
from pathlib import Path

import jax
import numpy as np
import pytest

from society.build import build
from society.checkpoint import restore_tree, save_tree
from society.errors import ScenarioError
from society.journal import Journal
from society.run import replay_run, run_scenario
from society.scenario import load_scenario
from society.testing import learn_for
from society.tree_codec import decode, encode
from worlds.testing_trees import bits

GAME = "world: {use: matrix_game, game: prisoners_dilemma, rounds: 3, pairs: fixed}\n"
LEARNERS = (
    GAME
    + """
groups:
  learners:
    count: 2
    policy: {use: gru, width: 4, sees: [own_last, other_last]}
    learner: {use: ippo, rollout: 5, epochs: 1, minibatches: 2, lr: 0.01}
  others: {count: 2, policy: tit_for_tat}
steps: 1000
seeds: 2
"""
)


@pytest.fixture
def write(tmp_path):
    def put(text: str, name: str = "s") -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text("about: a test\n" + text)
        return path

    return put


def learned(carries):
    return (carries.minds, [course for course in carries.learners if course is not None])


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    path = tmp_path_factory.mktemp("learning") / "s.yaml"
    path.write_text("about: a test\n" + LEARNERS)
    return build(load_scenario(path))


@pytest.fixture(scope="module")
def straight(simulation):
    """Four updates in one go."""
    return learn_for(simulation, 4)


def test_learning_changes_the_networks_and_says_so(simulation, straight):
    begun = learn_for(simulation, 0)
    before, after = (jax.tree.leaves(x.carries.minds[0].params) for x in (begun, straight))
    assert any(not np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    metrics = straight.metrics["learners"]
    assert {"policy_loss", "value_loss", "entropy", "reward", "episode_return"} <= set(metrics)
    assert all(values.shape == (4, 2) for values in metrics.values())
    assert np.isfinite(metrics["entropy"]).all() and (metrics["entropy"] < 0.7).all()
    assert "others" not in straight.metrics


def test_chunk_length_changes_nothing_about_learning(simulation, straight):
    """Rollouts of five steps, episodes of three, chunks of two."""
    bits(learned(learn_for(simulation, 4, chunk=2).carries), learned(straight.carries), "chunks")


def test_a_checkpoint_holds_optimisers_and_half_made_trajectories(simulation, straight):
    half = learn_for(simulation, 2).carries
    saved = decode(encode(save_tree(half)))
    again = restore_tree(jax.device_get(half), saved)
    bits(learned(learn_for(simulation, 2, carries=again).carries), learned(straight.carries), "it")


@pytest.mark.slow
def test_replicates_learn_alone_as_they_do_together(write, straight):
    alone = learn_for(build(load_scenario(write(LEARNERS), ["seeds=[1]"])), 4).carries
    both = jax.tree.map(lambda leaf: leaf[1:], learned(straight.carries))
    bits(learned(alone), both, "a seed alone differs")


def test_a_trajectory_holds_what_happened(simulation, straight):
    steps = jax.device_get(learn_for(simulation, 0).carries.learners[0].steps)
    assert steps.reward.shape == (2, 5, 2)
    from society.machine import Machine

    machine = Machine(simulation)
    carries, _ = machine.advance(machine.start(range(2)), 5)
    steps = jax.device_get(carries.learners[0].steps)
    first = steps.percept.first
    np.testing.assert_array_equal(first[0, :, 0], [True, False, False, True, False])
    np.testing.assert_array_equal(steps.terminated[0, :, 0], [False, False, True, False, False])
    np.testing.assert_array_equal(steps.uid[0], np.tile([0, 1], (5, 1)))
    own = steps.percept.view.own_last[0]
    np.testing.assert_array_equal(own[1], steps.action[0, 0])  # the next view shows what was done
    assert float(carries.learners[0].finished[0, 1]) == 2
    both = steps.action[0, 0, 0], steps.action[0, 0, 1]
    table = {(0, 0): 3, (0, 1): 0, (1, 0): 5, (1, 1): 1}
    assert steps.reward[0, 0, 0] == table[both] and steps.reward[0, 0, 1] == table[both[::-1]]


def test_scenarios_without_learners_carry_nothing_of_learning(write):
    text = GAME + "groups: {a: {count: 2, policy: tit_for_tat}}\n"
    simulation = build(load_scenario(write(text)))
    assert simulation.parts.learners == ()
    from society.machine import Machine

    carries = Machine(simulation).start([0])
    assert carries.learners == () and not [key for key in carries.keys if "learner" in key]


def test_what_cannot_be_trained_is_said_where_it_stands(write):
    cases = {
        "learner: ippo, policy: tit_for_tat": "ippo trains networks, not TitForTat",
        "learner: q_learning, policy: mlp": "q_learning fills tables, not Mlp",
        "learner: lola, policy: mlp": "lola trains policy: memory_one_odds, not Mlp",
        "learner: pbt, policy: mlp": "pbt compares members; use a network with",
        "learner: deep_q_learning, policy: mlp": "needs decide: epsilon_greedy",
        "learner: ippo, policy: chat": "no learner trains",
    }
    for given, expected in cases.items():
        path = write(GAME + f"groups: {{a: {{count: 2, {given}}}}}\n")
        with pytest.raises(ScenarioError, match=expected) as error:
            build(load_scenario(path))
        assert "groups.a.learner" in str(error.value)


def test_worlds_side_by_side_share_nothing_but_the_learner(write):
    base = GAME + "groups: {a: {count: 2, policy: mlp, learner: ippo}}\nsteps: 10\nnum_envs: 2\n"
    for extra, key in (
        ("channels: {say: {use: words, vocabulary: [hi]}}\n", "channels"),
        ("selection: {use: truncation}\n", "selection"),
    ):
        with pytest.raises(ScenarioError, match=f"{key}.*num_envs: 2"):
            build(load_scenario(write(base + extra)))
    text = base.replace("policy: mlp, learner: ippo", "policy: chat")
    with pytest.raises(ScenarioError, match="a language agent lives in one world"):
        build(load_scenario(write(text)))


def test_learners_language_agents_and_scripts_share_a_world(write, tmp_path):
    """They play and talk; the learner learns from its own steps; the run replays."""
    text = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 4, pairs: all, actions: same}
groups:
  learner:
    policy: {use: mlp, width: 4, layers: 1}
    learner: {use: ippo, rollout: 4, epochs: 1, minibatches: 1}
  talker: {policy: chat}
  script: {policy: always_cooperate}
channels: {say: {use: words, vocabulary: [please, thanks], to: everyone}}
backend: mock
episodes: 2
measures: [{use: returns, by: group}]
"""
    summary = run_scenario(load_scenario(write(text)), tmp_path / "runs")
    assert summary["status"] == "ok", summary.get("reason")
    assert summary["llm"]["calls"] >= 8  # a decision, and a word, in every step
    measures = summary["measures"]
    assert {"returns.learner", "returns.talker", "returns.script"} <= set(measures)
    assert list((Path(summary["run_dir"]) / "policies").glob("*")) != []
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


def test_learners_and_language_agents_hear_each_others_words(write, tmp_path):
    """Each word is a sign on the device and a text in a prompt, both ways."""
    text = """
world: {use: matrix_game, game: stag_hunt, rounds: 6, pairs: all, actions: same}
groups:
  learners:
    count: 2
    policy: {use: mlp, width: 4, layers: 1}
    learner: {use: ippo, rollout: 6, epochs: 1, minibatches: 1}
  people: {count: 2, policy: {use: chat, memory: none}}
channels: {say: {use: words, vocabulary: [stag, hare], to: everyone}}
backend: {use: mock, seed: 3}
episodes: 2
"""
    heard = run_scenario(load_scenario(write(text)), tmp_path / "heard")
    assert heard["status"] == "ok", heard.get("reason")
    with Journal.open(Path(heard["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        said = {(m.episode, m.step, m.speaker, m.text) for m in journal.messages(0)}
    with sqlite3.connect(Path(heard["run_dir"]) / "journal.sqlite") as database:
        rows = database.execute("SELECT episode, step, uid, request FROM questions").fetchall()
    told = re.compile(r"From Agent (\d), .*:\n\w+\| (stag|hare)$", re.M)
    read = {
        (episode, step, uid, int(speaker), word)
        for episode, step, uid, request in rows
        for speaker, word in told.findall(json.loads(request)[1][-1][1])
    }
    words = {(speaker, word) for *_, speaker, word in read}
    assert words >= {(0, "stag"), (0, "hare"), (1, "stag"), (1, "hare")}, "learners were read"
    for episode, step, reader, speaker, word in read:
        if speaker >= 2:
            before = (episode, step - 1) if step else (episode - 1, 5)
            assert speaker != reader and (*before, speaker, word) in said
    assert replay_run(heard["run_dir"])["digest"] == heard["digest"]

    deaf = run_scenario(load_scenario(write(text), ["channels.say.mode=silent"]), tmp_path / "deaf")
    learnt = [
        next((Path(one["run_dir"]) / "policies").glob("*.weights")).read_bytes()
        for one in (heard, deaf)
    ]
    assert learnt[0] != learnt[1], "what language agents said is part of what learners saw"


def test_what_was_trained_plays_elsewhere_and_is_trained_once(write, tmp_path):
    write(LEARNERS.replace("steps: 1000\nseeds: 2", "steps: 15"), "school")
    text = GAME + (
        "groups:\n"
        "  pupil: {policy: {use: trained, from: school.yaml, decide: greedy}}\n"
        "  other: {policy: tit_for_tat}\n"
    )
    scenario = load_scenario(write(text))
    first = run_scenario(scenario, tmp_path / "runs")
    second = run_scenario(scenario, tmp_path / "runs")
    assert first["digest"] == second["digest"]
    assert len(list((tmp_path / "runs").glob("school-*"))) == 1
    run = next((tmp_path / "runs").glob("school-*"))
    path = write(text.replace("school.yaml", str(run)).replace("matrix_game, game: prisoners", "x"))
    path = write(
        text.replace("school.yaml", str(run)).replace("game: prisoners_dilemma", "game: x")
    )
    path = write(text.replace("school.yaml", str(run)).replace("prisoners_dilemma", "stag_hunt"))
    assert build(load_scenario(path)).population.groups[0].policy.weights is not None
    other = text.replace("game: prisoners_dilemma", "game: rock_paper_scissors")
    with pytest.raises(ScenarioError, match="it was trained where"):
        build(
            load_scenario(
                write(other.replace("school.yaml", str(run)).replace("tit_for_tat", "mixed"))
            )
        )
    (run / "policies" / "learners.weights").write_bytes(b"nothing")
    with pytest.raises(ScenarioError, match="cannot be used"):
        build(load_scenario(write(text.replace("school.yaml", str(run)))))
    with pytest.raises(ScenarioError, match="neither a run's folder nor a scenario"):
        run_scenario(load_scenario(write(text.replace("school", "college"))), tmp_path / "runs")


@pytest.mark.slow
def test_a_pool_keeps_what_a_learner_was(write):
    text = GAME + (
        "groups:\n"
        "  a: {policy: {use: mlp, width: 4, layers: 1}, learner: {use: reinforce, rollout: 3}}\n"
        "  b: {policy: {use: past_self, of: a, every: 1, size: 2}}\n"
        "steps: 1000\n"
    )
    simulation = build(load_scenario(write(text)))
    carries = learn_for(simulation, 3).carries
    pool, now = carries.minds[1].params, carries.minds[0].params
    assert int(pool.held[0]) == 2 and int(pool.latest[0]) == 1
    newest = jax.tree.map(lambda leaf: leaf[:, 1], pool.past)
    bits(newest, now, "the newest moment is not the present one")
    older = jax.tree.map(lambda leaf: leaf[:, 0], pool.past)
    same = [
        np.array_equal(one, two)
        for one, two in zip(jax.tree.leaves(older), jax.tree.leaves(now), strict=True)
    ]
    assert not all(same)
    with pytest.raises(ScenarioError, match="'c' is no group with a learner"):
        build(load_scenario(write(text.replace("of: a", "of: c"))))


# ---- known results ---------------------------------------------------------------------------


def lesson(write, text, updates, sets=()):
    return learn_for(build(load_scenario(write(text), sets)), updates)


def test_naive_learners_defect_and_foresight_finds_tit_for_tat():
    """Foerster et al. (2018): -1.98 a round without foresight, -1.06 with it."""
    found = {}
    for foresight in ("both", "none"):
        sets = [f"groups.players.learner.foresight={foresight}"]
        simulation = build(load_scenario("lola_ipd", sets))
        found[foresight] = {
            name: float(values[-1, 0])
            for name, values in learn_for(simulation, 100).metrics["players"].items()
        }
    assert found["none"]["value"] == pytest.approx(-1.98, abs=0.05)
    assert found["both"]["value"] > -1.1
    assert found["both"]["cooperates_after_cooperation"] > 0.9
    assert found["both"]["cooperates_after_defection"] < 0.3


@pytest.mark.parametrize("learner", ["regret_matching", "fictitious_play"])
def test_play_in_rock_paper_scissors_comes_to_its_equilibrium(learner, write):
    text = (
        "world: {use: matrix_game, game: rock_paper_scissors, rounds: 100000, pairs: fixed}\n"
        f"groups: {{a: {{count: 2, policy: mixed, learner: {learner}}}}}\n"
        "steps: 100000\nmeasures: [exploitability]\n"
    )
    simulation = build(load_scenario(write(text)))
    carries = learn_for(simulation, 1500).carries
    counts = np.asarray(carries.accs[-1][0])
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.06)
    row, column = shares
    payoff = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    conv = (payoff @ column).max() + (row @ -payoff).max()
    assert conv < 0.15, "half of it is what an opponent could gain"


@pytest.mark.slow
def test_ppo_balances_a_pole(write):
    """CartPole-v1 counts as solved at 475 of 500.

    Settings and 100,000 steps as tuned by Raffin (2020), RL Baselines3 Zoo, ppo.yml, except that
    the clipping range is not annealed.
    """
    text = """
world: cartpole
groups:
  a:
    policy: {use: mlp}
    learner:
      {use: ippo, lr: 0.001, anneal: 390, rollout: 32, epochs: 20, minibatches: 1, discount: 0.98,
       trace: 0.8, entropy: 0.0}
num_envs: 8
steps: 100000
"""
    simulation = build(load_scenario(write(text)))
    learned = learn_for(simulation, 390)
    returns = learned.metrics["a"]["episode_return"][:, 0]
    assert returns[0] < 60
    assert float(np.mean(returns[-20:])) > 200, "while it still explores"
    assert evaluate(simulation, learned.carries) >= 475


def evaluate(simulation, carries, episodes=20):
    """Mean return of the likeliest actions over fresh episodes."""
    import dataclasses

    import jax.numpy as jnp

    from worlds.many import ManyWorlds
    from worlds.tree import as_arrays
    from worlds.types import Percept

    policy = dataclasses.replace(simulation.parts.policies[0], decide="greedy")
    mind = jax.tree.map(lambda leaf: leaf[0], carries.minds[0])
    single = simulation.world.world
    world = as_arrays(
        ManyWorlds(world=single, num_envs=episodes, group_sizes=(1,), num_slots=episodes)
    )

    @jax.jit
    def play(key):
        def step(carry, key):
            state, total = carry
            seen = world.observe(state)
            percept = Percept(seen.view, seen.alive, seen.acting, jnp.zeros(episodes, bool))
            state, moved = world.step(key, state, policy.act(key, mind, percept).action)
            return (state, total + moved.reward), None

        start = (world.init(key), jnp.zeros(episodes))
        return jax.lax.scan(step, start, jax.random.split(key, single.horizon))[0][1]

    return float(play(jax.random.PRNGKey(7)).mean())


@pytest.mark.slow
def test_population_based_training_beats_its_fixed_settings(write):
    """Over five seeds, with the same settings to begin with."""
    text = """
world: cartpole
groups:
  a:
    count: 8
    policy: {use: mlp, width: 32, parameters: separate}
    learner:
      use: pbt
      every: 5
      spread: 30
      learner: {use: ippo, rollout: 32, lr: 0.0005, entropy: 0.01}
num_envs: 4
steps: 100000
seeds: 5
"""
    returns = {}
    for share in (0.25, 0.0):
        found = lesson(write, text, 60, [f"groups.a.learner.share={share}"]).metrics["a"]
        returns[share] = found["episode_return"][-10:].mean(axis=0)
        assert (found["copied"][-1] > 0).all() == (share > 0)
    assert (returns[0.25] > returns[0.0]).sum() >= 4, returns
    assert returns[0.25].mean() > returns[0.0].mean()


@pytest.mark.slow
def test_aligned_advantages_cooperate_where_independent_ones_defect(write):
    text = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 10, pairs: fixed}
groups:
  a:
    count: 2
    policy: {use: gru, width: 16, sees: [own_last, other_last], parameters: separate}
    learner: {use: LEARNER, rollout: 20, lr: 0.005}
num_envs: 16
steps: 100000
"""
    reward = {
        name: lesson(write, text.replace("LEARNER", name), 20).metrics["a"]["reward"][-1, 0]
        for name in ("advantage_alignment", "ippo")
    }
    assert reward["advantage_alignment"] > 2.5 and reward["ippo"] < 1.8

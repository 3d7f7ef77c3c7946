"""Archetypes: few prompts, tables in the carry, and a choice of its own for everybody."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import society.execute
from llm_agents.archetype import Archetype, assigned
from llm_agents.backends.mock import Mock
from society.build import build
from society.journal import Journal
from society.run import replay_run, resume_run, run_scenario
from society.scenario import ScenarioError, load_scenario
from worlds.registry import make
from worlds.types import Mind, Percept, Seats

CITY = """
about: a small city
world: {use: epidemic, r0: 3, initial_share: 0.1, awareness: own}
groups:
  residents:
    count: 60
    attributes:
      age: {use: cycle, values: [young, old]}
      income: {use: cycle, values: [1, 1, 2]}
      name: {use: cycle, values: [Ann, Ben]}
    policy:
      use: archetype
      by: [age, income]
      copies: 2
      every: 3
      persona: "You are {{ age }} with income {{ income }}."
backend: {use: scorer_of_archetypes:Scorer}
steps: 8
interventions:
  news: {at: 4, use: broadcast, text: "Beds are full."}
"""

SCORER = '''
import dataclasses, math
from llm_agents.backends.base import Backend, Capabilities, Response

ASKED = []


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer(Backend):
    """The old and the ill stay at home with 0.8, and a little more where it is listed first."""

    silent: str = ""

    @property
    def capabilities(self):
        return Capabilities(logprobs=True, deterministic=True)

    async def generate(self, requests):
        raise AssertionError("archetypes choose")

    async def choose(self, requests):
        ASKED.append(["".join(m.content for m in request.messages) for request in requests])
        return [self._one(request) for request in requests]

    def _one(self, request):
        text = request.messages[0].content + request.messages[1].content
        home = 0.8 if "You are old" in text or "You are ill" in text else 0.2
        home += 0.1 if request.options[0] == "stay at home" else -0.1
        logs = [math.log(home if o == "stay at home" else 1 - home) for o in request.options]
        return Response(request.options[0], 0, tuple(logs), method="logprobs")
'''


@pytest.fixture
def city(tmp_path, monkeypatch):
    """Load the city with changes; the backend scores options."""
    (tmp_path / "scorer_of_archetypes.py").write_text(SCORER)
    monkeypatch.syspath_prepend(tmp_path)

    def load(*sets, text=CITY):
        path = tmp_path / "city.yaml"
        path.write_text(text)
        return load_scenario(path, sets, allow_code=True)

    return load


def asked():
    import scorer_of_archetypes

    batches = list(scorer_of_archetypes.ASKED)
    scorer_of_archetypes.ASKED.clear()
    return batches


def journal_of(summary):
    return Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True)


def test_tables_hold_option_probabilities_and_equal_prompts_are_asked_once(city, tmp_path):
    asked()
    summary = run_scenario(city(), tmp_path / "runs")
    # 4 kinds x 3 situations x 2 orders of the options, on days 0, 3 and 6.
    assert [len(batch) for batch in asked()] == [24, 24, 24]
    assert summary["llm"]["calls"] == 72 and summary["llm"]["fallback_rate"] == 0
    with journal_of(summary) as journal:
        tables = journal.events(0, "archetype")
    assert [event.step for event in tables] == [0, 3, 6]
    data = tables[0].data
    assert data["kinds"] == [["old", 1], ["old", 2], ["young", 1], ["young", 2]]
    # The two orders of the options cancel what position alone does.
    home = np.asarray(data["table"])[:, :, 1]
    np.testing.assert_allclose(home, [[0.8] * 3] * 2 + [[0.2, 0.8, 0.2]] * 2, atol=1e-6)


def test_copies_with_the_same_prompt_are_one_request(city, tmp_path):
    asked()
    sets = "groups.residents.policy.copies=6", "framing.option_order=fixed", "steps=1"
    summary = run_scenario(city(*sets, "interventions=null"), tmp_path / "runs")
    assert [len(batch) for batch in asked()] == [12]
    assert summary["llm"]["calls"] == 72  # each keeps its own row in the journal


def test_a_broadcast_is_part_of_later_prompts_of_the_generation(city, tmp_path):
    asked()
    run_scenario(city("generations=2"), tmp_path / "runs")
    told = [{"Beds are full." in text for text in batch} for batch in asked()]
    assert told == [{False}, {False}, {True}, {False}, {False}, {False}]


def test_everybody_draws_from_its_own_row():
    world = make("epidemic", awareness="own", num_slots=30_000, num_players=30_000)
    ages = np.asarray(["young", "old", "old"])[np.arange(30_000) % 3]
    seats = Seats(
        30_000, 0, world, world.action_space(0), world.observation_space(0), {"age": ages}
    )
    policy = Archetype(by=("age",)).seated(seats)
    assert policy.kinds == (("old",), ("young",)) and policy.num_situations == 3
    home = np.asarray([[0.1, 0.9, 0.0], [0.5, 1.0, 0.3]])
    mind = Mind(params={"table": jnp.asarray(np.stack([1 - home, home], -1), jnp.float32)})
    health = jnp.asarray(np.random.default_rng(0).integers(0, 3, 30_000), jnp.int32)
    yes = jnp.ones(30_000, bool)
    percept = Percept({"health": health}, yes, yes, yes)
    action = np.asarray(jax.jit(policy.act)(jax.random.PRNGKey(0), mind, percept).action)
    for kind, age in enumerate(("old", "young")):
        for situation in range(3):
            mine = action[(ages == age) & (np.asarray(health) == situation)]
            assert mine.mean() == pytest.approx(home[kind, situation], abs=0.02)
    legal = percept._replace(legal=jnp.asarray([[True, False]]).repeat(30_000, 0))
    assert not np.asarray(policy.act(jax.random.PRNGKey(0), mind, legal).action).any()


def test_replay_is_exact_and_a_stopped_run_asks_nothing_twice(city, tmp_path, monkeypatch):
    monkeypatch.setattr(society.execute, "CHECKPOINT_EVERY_S", 0.0)
    text = CITY.replace("{use: scorer_of_archetypes:Scorer}", "mock")
    whole = run_scenario(city(text=text), tmp_path / "runs")
    assert replay_run(whole["run_dir"])["digest"] == whole["digest"]
    stopped = run_scenario(city("limits.calls=30", text=text), tmp_path / "runs")
    assert stopped["status"] == "limit"
    again = []
    plain = Mock._choice
    monkeypatch.setattr(
        Mock, "_choice", lambda self, request: again.append(1) or plain(self, request)
    )
    answered = stopped["llm"]["calls"]
    resumed = resume_run(stopped["run_dir"], sets=("limits.calls=1000",), allow_code=True)
    assert resumed["digest"] == whole["digest"]
    assert 24 <= answered < 72 and len(again) == 72 - answered


def test_what_cannot_be_read_becomes_a_flagged_fallback(city, tmp_path):
    text = CITY.replace("{use: scorer_of_archetypes:Scorer}", "{use: mock, malformed_rate: 1}")
    summary = run_scenario(city("steps=1", "interventions=null", text=text), tmp_path / "runs")
    assert summary["status"] == "failed" and summary["llm"]["fallback_rate"] == 1.0
    assert summary["llm"]["calls"] == 24 * 3  # each asked again twice
    with journal_of(summary) as journal:
        table = journal.events(0, "archetype")[0].data["table"]
        problems = journal.events(0, "fallback")
    assert np.asarray(table)[:, :, 0].min() == 1.0  # everybody goes out: the no-op
    assert len(problems) == 24 and json.dumps(problems[0].data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("groups.residents.policy.by=[age, height]", "goes by 'height', which is no attribute"),
        ("groups.residents.policy.persona='{{ height }}'", "names it may use: age"),
        ("world={use: opinions}", "does not say which few situations there are"),
    ],
)
def test_archetypes_that_cannot_be_asked_are_refused(city, change, message):
    with pytest.raises(ScenarioError, match=message):
        build(city(change))


def test_a_million_people_are_sorted_into_kinds_as_one_by_one():
    rng = np.random.default_rng(0)
    age = rng.choice(["u19", "20s", "30s"], 500)
    income, tall = rng.integers(0, 3, 500), rng.random(500) < 0.5
    members, kinds = assigned([age, income, tall], 500)
    for person in range(500):
        assert kinds[members[person]] == (age[person], income[person], tall[person])
    assert list(kinds) == sorted(kinds) and len(set(kinds)) == len(kinds)
    assert assigned([], 3)[1] == ((),)
    with pytest.raises(ValueError, match="too many archetypes"):
        assigned([rng.random(5000)], 5000)

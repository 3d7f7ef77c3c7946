"""Surveys: asked aside, journalled, scored, remembered by nobody."""

import io
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

import society.execute
from llm_agents.backends.mock import Mock
from society.build import build
from society.journal import Journal
from society.report import print_summary
from society.run import replay_run, resume_run, run_scenario
from society.scenario import ScenarioError, load_scenario
from society.surveys import tally
from worlds.games.captions.probes import choice_of
from worlds.registry import make
from worlds.types import Seat
from worlds.wording import caption_of

GAME = """
about: two games of two readers and two rules
world: {use: matrix_game, game: prisoners_dilemma, rounds: 4, actions: same}
groups:
  readers: {count: 2, policy: {use: chat}}
  rules: {count: 2, policy: always_cooperate}
backend: mock
episodes: 2
surveys:
  panel:
    at: [0, 2, 5, 8]
    who: readers
    questions:
      - {id: mood, ask: "How is it going?", options: [good, bad]}
      - {id: why, ask: "Why?"}
"""


@pytest.fixture
def scenario(tmp_path):
    """Load a scenario of the given text, with changes."""

    def load(text=GAME, *sets, allow_code=False):
        path = tmp_path / "asked.yaml"
        path.write_text(text)
        return load_scenario(path, sets, allow_code=allow_code)

    return load


def calls_of(summary, like="survey/%"):
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        query = "SELECT step, uid, purpose, ordinal, request FROM questions WHERE purpose LIKE ?"
        return journal._database.execute(query, (like,)).fetchall()


def events_of(summary):
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        return journal.events(0, "survey")


def test_a_run_is_the_same_with_and_without_surveys(scenario, tmp_path):
    asked = run_scenario(scenario(), tmp_path / "runs")
    silent = run_scenario(scenario(GAME, "surveys=null"), tmp_path / "runs")
    assert asked["digest"] == silent["digest"]
    assert asked["llm"]["calls"] == silent["llm"]["calls"] + 2 * 2 * 4
    assert "surveys" not in silent
    entries = asked["surveys"]["panel"]["mood"]
    assert [entry["step"] for entry in entries] == [0, 2, 5, 8]
    assert all(entry["asked"] == 2 == sum(entry["counts"].values()) for entry in entries)
    assert list(entries[0]["counts"]) == ["good", "bad"]
    shown = io.StringIO()
    print_summary(Console(width=120, file=shown), asked)
    assert "mood" in shown.getvalue()


def test_a_stream_of_memories_is_not_touched_either(scenario, tmp_path):
    memory = "groups.readers.policy.memory=stream"
    asked = run_scenario(scenario(GAME, memory), tmp_path / "runs")
    silent = run_scenario(scenario(GAME, memory, "surveys=null"), tmp_path / "runs")
    assert asked["digest"] == silent["digest"]


def test_the_prompt_of_a_survey_holds_memory_and_view_and_its_own_question(scenario, tmp_path):
    summary = run_scenario(scenario(), tmp_path / "runs")
    by_place = {(step, purpose): request for step, _, purpose, _, request in calls_of(summary)}
    middle = by_place[2, "survey/panel/mood"]
    assert "How is it going?" in middle and "Options: good, bad" in middle
    assert "You answered" in middle and "Round 3" in middle
    assert "Why?" not in middle and "Which option do you choose" not in middle
    assert "in one or two sentences" in by_place[2, "survey/panel/why"]


def test_replay_is_exact_and_a_stopped_run_asks_nothing_twice(scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(society.execute, "CHECKPOINT_EVERY_S", 0.0)
    whole = run_scenario(scenario(), tmp_path / "runs")
    assert replay_run(whole["run_dir"])["surveys"] == whole["surveys"]
    stopped = run_scenario(scenario(GAME, "limits.calls=13"), tmp_path / "runs")
    assert stopped["status"] == "limit"
    answered = stopped["llm"]["calls"]
    asked = []
    for name in ("_answer", "_choice"):
        plain = getattr(Mock, name)
        monkeypatch.setattr(
            Mock, name, lambda self, request, plain=plain: asked.append(1) or plain(self, request)
        )
    resumed = resume_run(stopped["run_dir"], sets=("limits.calls=1000",))
    assert resumed["digest"] == whole["digest"]
    assert resumed["surveys"] == whole["surveys"]
    assert 0 < answered < whole["llm"]["calls"]
    assert len(asked) == whole["llm"]["calls"] - answered


SCORER = '''
import dataclasses, math
from llm_agents.backends.base import Backend, Capabilities, Response
from worlds.registry import component


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer(Backend):
    """Gives the first option a probability of 0.75, the others the rest."""

    @property
    def capabilities(self):
        return Capabilities(logprobs=True, deterministic=True)

    async def generate(self, requests):
        return [Response("Answer: nothing") for _ in requests]

    async def choose(self, requests):
        found = []
        for request in requests:
            rest = 0.25 / (len(request.options) - 1)
            logs = [math.log(0.75)] + [math.log(rest)] * (len(request.options) - 1)
            found.append(Response(request.options[0], 0, tuple(logs), method="logprobs"))
        return found
'''


def test_options_are_scored_by_probability_where_the_backend_can(scenario, tmp_path):
    (tmp_path / "scorer_of_tests.py").write_text(SCORER)
    backend = "backend={use: scorer_of_tests:Scorer}"
    whom = "surveys.panel.who=everyone"
    found = scenario(GAME, backend, whom, allow_code=True)
    summary = run_scenario(found, tmp_path / "runs")
    entry = summary["surveys"]["panel"]["mood"][0]
    assert entry["shares"] == {"good": 0.75, "bad": 0.25}
    assert entry["asked"] == 2  # everyone who can be asked: rules have no words
    first = events_of(summary)[0].data
    assert first["shares"] == [0.75, 0.25] and first["answer"] in ("good", "bad")


def test_comprehension_is_probed_with_right_answers_from_the_world(scenario, tmp_path):
    text = GAME.partition("surveys:")[0] + (
        "surveys:\n  comprehension: {at: start, who: readers, questions: payoffs_and_rules}\n"
    )
    (tmp_path / "scorer_of_tests.py").write_text(SCORER)
    backend = "backend={use: scorer_of_tests:Scorer}"
    sampling = "groups.readers.policy.sampling.temperature=0"  # so it says the first option
    found = run_scenario(scenario(text, backend, sampling, allow_code=True), tmp_path / "runs")
    probes = found["surveys"]["comprehension"]
    assert set(probes) == {"payoff_0_0", "payoff_0_1", "payoff_1_0", "payoff_1_1", "rounds"}
    # Options are in ascending order; the first, 0, is what a cooperator earns from a defector.
    assert [probes[f"payoff_{cell}"][0]["right"] for cell in ("0_0", "0_1", "1_0", "1_1")] == [
        0.0, 1.0, 0.0, 0.0,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["prisoners_dilemma", "battle_of_the_sexes", "chicken"])
def test_probes_of_matrix_games_agree_with_what_is_paid(name):
    world = make("matrix_game", game=name, rounds=1, pairs="fixed", num_slots=2, num_players=2)
    caption = caption_of(world)
    step = jax.jit(world.step)
    for own, theirs in np.ndindex(2, 2):
        for slot in (0, 1):
            action = np.zeros(2, np.int32)
            action[slot], action[1 - slot] = own, theirs
            state = world.init(jax.random.PRNGKey(0))
            _, moved = step(jax.random.PRNGKey(1), state, action)
            probes = {probe.id: probe for probe in caption.probes(Seat(slot))}
            probe = probes[f"payoff_{own}_{theirs}"]
            assert float(probe.options[probe.right]) == float(moved.reward[slot])


def test_probes_of_public_goods_and_donors_agree_with_what_is_paid():
    world = make("public_goods", rounds=1)
    probes = {probe.id: probe for probe in caption_of(world).probes(Seat(0))}
    step = jax.jit(world.step)
    cases = {"all": [1, 1, 1, 1], "none": [0] * 4, "free_ride": [0, 1, 1, 1], "alone": [1, 0, 0, 0]}
    for name, shares in cases.items():
        state = world.init(jax.random.PRNGKey(0))
        _, moved = step(jax.random.PRNGKey(0), state, np.float32(shares)[:, None])
        probe = probes[f"payoff_{name}"]
        assert float(probe.options[probe.right]) == pytest.approx(float(moved.reward[0]))
    donor = {probe.id: probe for probe in caption_of(make("donor_game")).probes(Seat(0))}
    assert donor["recipient"].options[donor["recipient"].right] == "8"
    assert donor["start"].options[donor["start"].right] == "10"


def test_a_question_with_one_possible_answer_is_not_asked():
    assert choice_of("flat", "How much?", 2.0, [2.0, 2.0]) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("surveys.panel.who=rules", "group 'rules' cannot answer questions"),
        ("surveys.panel.questions=feelings", "no set of questions is called 'feelings'"),
        ("surveys.panel.at=99", "outside this run of 8 steps"),
    ],
)
def test_surveys_that_cannot_be_held_are_refused(scenario, change, message):
    with pytest.raises(ScenarioError, match=message):
        build(scenario(GAME, change))


def test_a_panel_asks_the_same_people_every_time(scenario, tmp_path):
    text = GAME.replace("who: readers", "who: {group: readers, number: 2}")
    sizes = "groups.readers.count=5", "groups.rules.count=1"
    found = run_scenario(scenario(text, *sizes), tmp_path / "runs")
    people = {}
    for event in events_of(found):
        people.setdefault(event.data["tick"], set()).add(event.uid)
    assert len(people) == 4 and len(set(map(frozenset, people.values()))) == 1
    assert len(people[0]) == 2


def test_unread_replies_and_numbers_are_counted():
    class Row:
        def __init__(self, answer, right=None):
            self.data = {"survey": "s", "question": "q", "tick": 3, "answer": answer}
            self.data |= {"options": ["1", "2"]} | ({"right": right} if right else {})

    entry = tally([Row("1", "1"), Row("2", "1"), Row(None, "1"), Row("2", "1")])["s"]["q"][0]
    assert entry == {
        "step": 3,
        "asked": 4,
        "unread": 1,
        "counts": {"1": 1, "2": 2},
        "mean": round(5 / 3, 6),
        "right": 0.25,
    }

import asyncio
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_agents.backends.base import (
    VISIBLE,
    BackendError,
    ChatMessage,
    Request,
    Response,
    Usage,
    canonical,
    match_option,
    request_hash,
    sample_option,
    signed,
)
from llm_agents.backends.human import Human
from llm_agents.backends.mock import Mock
from llm_agents.backends.replay import Replay
from llm_agents.testing import check_backend
from worlds.registry import entries, load


def ask(text="hello", **changes):
    return Request(messages=(ChatMessage("user", text),), **({"seed": 1} | changes))


def run(coroutine):
    return asyncio.run(coroutine)


def test_backends_are_listed_with_a_description():
    found = entries("backend")
    assert {"mock", "replay", "openai_http", "human"} <= set(found)
    assert all(len(entry.summary) > 20 for entry in found.values())
    assert load("backend", "mock") is Mock


@pytest.mark.parametrize(
    "backend",
    [Mock(), Mock(malformed_rate=0.5, error_rate=0.3), Mock(streaming=True), Replay()],
)
def test_backends_pass_the_conformance_kit(backend):
    run(check_backend(backend))


def test_the_hash_covers_what_decides_an_answer_and_nothing_else():
    base = ask()
    changed = [
        ask("other"), ask(seed=2), ask(temperature=0.1), ask(options=("a", "b")), ask(prefill="A"),
        ask(max_tokens=9), ask(top_p=0.5), ask(stop=("x",)), ask(regex="a+"), ask(schema={"a": 1}),
        Request(messages=(ChatMessage("system", "hello"),), seed=1),
    ]  # fmt: skip
    assert len({request_hash(request) for request in [base, *changed]}) == len(changed) + 1
    assert request_hash(ask(purpose="x", context={"a": 1})) == request_hash(base)
    assert request_hash(ask(seed=2), seed=False) == request_hash(base, seed=False)
    assert request_hash(ask(temperature=1)) == request_hash(ask(temperature=1.0))


@given(st.text(max_size=50), st.integers(0, 2**31 - 1))
def test_any_text_has_a_canonical_form(text, seed):
    request = ask(text, seed=seed)
    assert canonical(request) == canonical(request) and canonical(request).isascii()


@given(
    st.builds(
        Request,
        messages=st.lists(
            st.builds(ChatMessage, st.sampled_from(["system", "user"]), st.text(max_size=30))
        ).map(tuple),
        prefill=st.text(max_size=5),
        options=st.none() | st.lists(st.text(max_size=5)).map(tuple),
        schema=st.none() | st.just({"type": "object", "a": [1, None]}),
        regex=st.none() | st.text(max_size=5),
        max_tokens=st.integers(0, 2),
        temperature=st.sampled_from([0, 1, 0.1, 1.0]),
        top_p=st.sampled_from([1, 1.0, 0.3]),
        stop=st.sampled_from([(), ("x",)]),
        seed=st.integers(-1, 2**31 - 1),
    ),
    st.booleans(),
)
def test_the_canonical_form_is_the_plain_encoders(request, seed):
    whole = [
        1,
        [[message.role, message.content] for message in request.messages],
        request.prefill,
        request.options,
        request.schema,
        request.regex,
        request.max_tokens,
        float(request.temperature),
        float(request.top_p),
        request.stop,
        request.seed if seed else None,
    ]
    expected = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    assert canonical(request, seed=seed) == expected
    beginning, rest, hashed = signed(request)
    assert (beginning + rest, hashed) == (canonical(request), request_hash(request))


@given(
    st.builds(
        Response,
        text=st.text(max_size=20),
        choice=st.none() | st.integers(0, 5),
        option_logprobs=st.none() | st.tuples(st.floats(-30, 0), st.floats(-30, 0)),
        usage=st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
        faults=st.tuples() | st.just(("server", "timeout")),
        error=st.none() | st.just(BackendError("empty", "nothing", True, 2.0)),
        finish_reason=st.sampled_from(["stop", "length"]),
    )
)
def test_responses_survive_being_stored(response):
    assert Response.from_json(response.to_json()) == response


def test_options_are_sampled_as_often_as_they_are_probable():
    logprobs = tuple(math.log(p) for p in (0.1, 0.6, 0.3))
    counts = [0, 0, 0]
    for seed in range(6000):
        counts[sample_option(logprobs, 1.0, seed)] += 1
    assert [c / 6000 for c in counts] == pytest.approx([0.1, 0.6, 0.3], abs=0.025)
    assert {sample_option(logprobs, 0.0, seed) for seed in range(20)} == {1}
    sharper = sum(sample_option(logprobs, 0.5, seed) == 1 for seed in range(2000)) / 2000
    assert sharper == pytest.approx(0.36 / 0.46, abs=0.04)


def test_the_last_digits_of_log_probabilities_do_not_matter():
    for seed in range(200):
        first = sample_option((-0.70000, -0.68000), 1.0, seed)
        assert first == sample_option((-0.700004, -0.680004), 1.0, seed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("J", 0), (" j.\n", 0), ("**F**", 1), ('"F"', 1), ("J or F", None), ("", None), ("K", None)],
)
def test_an_option_is_named_or_it_is_not(text, expected):
    assert match_option(text, ("J", "F")) == expected


def test_equal_options_cannot_be_told_apart():
    assert match_option("a", ("A", "a")) is None


# ---- the mock ---------------------------------------------------------------------------


def birth(seed, **context):
    return ask(purpose="birth", seed=seed, context={"part": "birth"} | context)


def percent(text):
    return float(text.split("give ")[1].split("%")[0])


def test_the_mock_says_that_it_is_one():
    response = run(Mock().generate([ask()]))[0]
    assert response.model == "mock" and "mock" in Mock().fingerprint
    assert "not a language model" in Mock.__doc__


def test_mock_newcomers_stay_near_the_advice_they_read():
    advice = ["My strategy will be to give 70% of it.", "My strategy will be to give 80%."]
    levels = [
        percent(r.text) for r in run(Mock().generate([birth(s, advice=advice) for s in range(50)]))
    ]
    assert min(levels) >= 65 and max(levels) <= 85 and len(set(levels)) > 10
    free = [percent(r.text) for r in run(Mock().generate([birth(s) for s in range(50)]))]
    assert min(free) < 20 and max(free) > 80


def test_mock_decisions_follow_the_strategy_sentence():
    def decide(level, text=""):
        context = {
            "part": "act", "strategy": f"I give {level}%, and less to those who gave less.",
            "hint": "a number of units from 0 to 12.5", "text": text, "form": "answer_line",
        }  # fmt: skip
        return run(Mock().generate([ask(purpose="act", context=context)]))[0].text

    assert decide(40).endswith("Answer: 5.00") and decide(0).endswith("Answer: 0.00")
    assert decide(100).endswith("Answer: 12.50")
    assert decide(40, "In round 2, Ada gave 10% of its units.").endswith("Answer: 3.12")


def test_the_mock_prefers_the_kind_option_with_its_generosity():
    options = ("Defect", "Cooperate")
    asked = [
        ask(seed=s, options=options, context={"strategy": "give 80%"}, purpose="act")
        for s in range(400)
    ]
    share = sum(r.choice == 1 for r in run(Mock().choose(asked))) / 400
    assert share == pytest.approx(0.8, abs=0.06)


def test_the_mock_fails_as_often_as_told():
    asked = [ask(seed=seed, purpose="act") for seed in range(1000)]
    responses = run(Mock(error_rate=0.2, malformed_rate=0.1).generate(asked))
    errors = sum(r.error is not None for r in responses) / 1000
    nonsense = sum("weather" in r.text or "banana" in r.text for r in responses) / 1000
    assert errors == pytest.approx(0.2, abs=0.04) and 0.01 < nonsense < 0.09
    assert all(r.error.kind in VISIBLE for r in responses if r.error)


# ---- replay and people ------------------------------------------------------------------


def test_replay_never_answers():
    responses = run(Replay().generate([ask(), ask()])) + run(Replay().choose([ask()]))
    assert all(r.error.kind == "unavailable" and not r.error.visible for r in responses)
    assert "journal" in responses[0].error.message


def test_a_person_is_asked_until_an_option_is_typed():
    typed, shown = iter(["what?", "9", "2", "a free text"]), []
    human = Human()
    object.__setattr__(human, "_read", lambda prompt: next(typed))
    object.__setattr__(human, "_show", shown.append)
    response = run(human.choose([ask(options=("J", "F"))]))[0]
    assert (response.choice, response.text, response.method) == (1, "F", "person")
    assert sum("none of the options" in line for line in shown) == 2
    assert run(human.generate([ask()]))[0].text == "a free text"

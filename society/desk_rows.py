"""What the desk writes down, and what the answers that it hands out are made from."""

import asyncio
import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from llm_agents.backends.base import (
    BackendDownError,
    BackendError,
    LimitReachedError,
    Request,
    Response,
    Usage,
    sample_option,
)
from society.desk_seats import Search
from society.journal_rows import CallKey, Divergence, StoredCall
from worlds.records import maker
from worlds.redact import redact

__all__ = [
    "CallPlace",
    "JournalLike",
    "StoppedError",
    "anew",
    "by_streams",
    "call_place",
    "known_answer",
    "own_answer",
    "request_seed",
    "response_text",
    "seeded",
    "stopping_error",
    "stored_call",
]

_request = maker(Request)
_stored_call = functools.partial(tuple.__new__, StoredCall)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii  # as the encoder writes a text


class CallPlace(NamedTuple):
    """Where in a run something is asked."""

    replicate: int
    generation: int
    episode: int
    step: int
    turn: int = 0


@functools.lru_cache(maxsize=64)
def call_place(*place: int) -> CallPlace:
    """The place of many calls, made once."""
    return CallPlace(*place)


class JournalLike(Protocol):
    """What the desk needs of ``society.journal.Journal``."""

    def calls(self, keys: Sequence[CallKey]) -> list[StoredCall | None]:
        """The stored call, or None, for each key."""
        ...

    def add_calls(self, rows: Sequence[StoredCall]) -> None:
        """Buffer calls."""
        ...

    def flush(self) -> None:
        """Store what is buffered in one commit."""
        ...


class StoppedError(RuntimeError):
    """The desk has stopped because of an earlier failure, which the run reports instead."""


def request_seed(seed: int, key: CallKey) -> int:
    """Return 31 bits that belong to one call of a replicate with this seed.

    The replicate's index takes no part: a seed gives the same requests alone or in a sweep.
    """
    _, generation, episode, step, turn, uid, purpose, ordinal = key
    hashing = _seeding(seed, generation, episode, step, turn).copy()
    hashing.update(f"{uid}/{purpose}/{ordinal}".encode())
    return int.from_bytes(hashing.digest(), "big") >> 1


@functools.lru_cache(maxsize=64)
def _seeding(*place: int) -> Any:
    """What the seeds of all calls at one place begin with, hashed once."""
    return hashlib.blake2b("".join([f"{number}/" for number in place]).encode(), digest_size=4)


def seeded(request: Request, seed: int) -> Request:
    """The request with a seed; ``dataclasses.replace`` would take several times as long."""
    return _request(
        request.messages,
        request.purpose,
        request.prefill,
        request.options,
        request.schema,
        request.regex,
        request.max_tokens,
        request.temperature,
        request.top_p,
        request.stop,
        seed,
        request.context,
    )


def own_answer(response: Response, request: Request, first: bool) -> Response:
    """The response as one of the merged callers gets it: its own sample, its own share of cost."""
    if first and response.option_logprobs is None:
        return response
    changes: dict[str, Any] = {}
    if response.error is None and response.option_logprobs is not None and request.options:
        choice = sample_option(response.option_logprobs, request.temperature, request.seed)
        changes = {"choice": choice, "text": request.options[choice]}
    if not first:
        changes |= {"usage": Usage(), "attempts": 0, "faults": (), "latency_s": 0.0}
    return dataclasses.replace(response, **changes) if changes else response


def stored_call(
    key: CallKey, backend: str, signature: tuple[str, str, str], response: Response
) -> StoredCall:
    """The row of a call: what was said, without how long it took."""
    usage = response.usage
    beginning, request, hashed = signature
    return _stored_call(
        (
            key,
            hashed,
            request,
            response_text(response),
            "ok" if response.error is None else "error",
            backend,
            response.model,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cost_usd,
            len(response.faults) + (response.error is not None),
            response.latency_s,
            response.attempts,
            response.attempts == 0,
            0.0,
            beginning,
        )
    )


def response_text(response: Response) -> str:
    """``Response.to_json()`` as canonical JSON, without how long it took; five times as fast."""
    parts = []
    if response.choice is not None:
        parts.append(f'"choice":{_encode(response.choice)}')
    if response.error is not None:
        parts.append(f'"error":{_error_text(response.error)}')
    if response.faults:
        parts.append(f'"faults":{_encode(response.faults)}')
    if response.finish_reason != "stop":
        parts.append(f'"finish_reason":{_quoted(response.finish_reason)}')
    if response.method:
        parts.append(f'"method":{_quoted(response.method)}')
    if response.model:
        parts.append(f'"model":{_quoted(response.model)}')
    if response.option_logprobs is not None:
        parts.append(f'"option_logprobs":{_encode(response.option_logprobs)}')
    if response.text:
        parts.append(f'"text":{_quoted(response.text)}')
    usage = _usage_text(*_usage_values(response.usage))
    if usage:
        parts.append(f'"usage":{usage}')
    return f"{{{','.join(parts)}}}"


def _error_text(error: BackendError) -> str:
    told = {spec.name: getattr(error, spec.name) for spec in dataclasses.fields(error)}
    unsaid = {spec.name: spec.default for spec in dataclasses.fields(error)}
    return _encode({name: value for name, value in told.items() if value != unsaid[name]})


@functools.lru_cache(maxsize=1 << 12, typed=True)
def _usage_text(*values: float) -> str:
    """Usage as JSON; nothing where it is the default."""
    pairs = zip(_USAGE, values, strict=True)
    told = {spec.name: value for spec, value in pairs if value != spec.default}
    return _encode(told) if told else ""


_USAGE = dataclasses.fields(Usage)
_usage_values = operator.attrgetter(*[spec.name for spec in _USAGE])


def known_answer(row: StoredCall | None, key: CallKey, hashed: str) -> Response:
    """The answer that the journal holds for a question.

    Raises:
      Divergence: It holds none, or something else was asked under this key.
    """
    if row is None:
        raise Divergence("calls", key._asdict(), "", None, None)
    if row.request_hash != hashed:
        raise Divergence("calls", key._asdict(), "request_hash", row.request_hash, hashed)
    return Response.from_json(json.loads(row.response))


def by_streams(searches: Sequence[Search]) -> list[list[Search]]:
    """Searches of the same streams together, in the order in which they came."""
    groups: dict[int, list[Search]] = {}
    for search in searches:
        groups.setdefault(id(search.streams), []).append(search)
    return list(groups.values())


def stopping_error(outcome: Response | BaseException, backend: str) -> BaseException | None:
    """The error that stops the run, or None where the outcome is an answer."""
    if not isinstance(outcome, Response):
        return outcome
    if outcome.error is None or outcome.error.visible:
        return None
    return BackendDownError(
        f"backend {backend!r} does not answer ({outcome.error.kind}): "
        f"{redact(outcome.error.message)}. Nothing that was answered is lost; when the backend "
        "works again, use `society resume`"
    )


def anew(error: BaseException) -> BaseException:
    """The same error as a new object: shared ones would collect everybody's traceback."""
    if type(error) in (LimitReachedError, BackendDownError, StoppedError):
        return type(error)(*error.args)
    if isinstance(error, asyncio.CancelledError):
        return StoppedError("the request was cancelled")
    return error

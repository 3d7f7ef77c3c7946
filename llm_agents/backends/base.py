"""What every backend answers, and the values that go in and come out.

A backend takes a batch of requests and returns as many responses in the same order. What
goes wrong with one request is that response's ``error``, never an exception: only a limit
(``LimitReachedError``) or a programming mistake leaves ``generate`` by being raised.
"""

import abc
import functools
import hashlib
import json
import math
import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from worlds.records import record

__all__ = [
    "VISIBLE",
    "Backend",
    "BackendDownError",
    "BackendError",
    "Capabilities",
    "ChatMessage",
    "LimitReachedError",
    "Request",
    "Response",
    "Usage",
    "canonical",
    "match_option",
    "request_hash",
    "sample_option",
    "signed",
]

HASH_VERSION = 1
LOGPROB_DECIMALS = 4
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_quoted = json.encoder.encode_basestring_ascii  # as the encoder writes a text
NEVER = -30.0  # log-probability given to an option that the model did not list at all

Kind = Literal[
    "connection",  # refused, reset, or the body ended early
    "timeout",  # no complete answer in time
    "rate_limit",  # 429
    "server",  # 5xx
    "rejected",  # another 4xx: asking again would not help
    "garbage",  # the body is not what the dialect promises
    "empty",  # a sound body without an answer in it
    "refused",  # the model or a filter declined
    "not_an_option",  # an answer outside the options
    "malformed",  # an answer without the form that was asked for (schema, regex)
    "unavailable",  # the backend cannot answer at all (replay without a stored answer)
]
VISIBLE: frozenset[str] = frozenset({"empty", "refused", "not_an_option", "malformed"})
"""Kinds of error that a mind sees as data; all others stop the run, which can be resumed."""


class LimitReachedError(RuntimeError):
    """A budget is spent; the run stops and can be resumed with a higher one."""


class BackendDownError(RuntimeError):
    """A backend cannot answer; the run stops and can be resumed when it can."""


@record
class ChatMessage:
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@record
class Request:
    """One question to a model.

    messages: the conversation. purpose: what the answer is for (part of the journal's key).
    prefill: how the answer begins; used where the backend can continue a text.
    options: the only answers allowed, or None for free text. schema, regex: form of a free
      answer, for backends that guide decoding.
    seed: set by the desk; -1 stands for "not yet set".
    context: facts for scripted backends, never sent to a model and not part of the hash.
    """

    messages: tuple[ChatMessage, ...]
    purpose: str = "ask"
    prefill: str = ""
    options: tuple[str, ...] | None = None
    schema: Mapping[str, Any] | None = None
    regex: str | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = -1
    context: Mapping[str, Any] = field(default_factory=dict, compare=False)


@record
class Usage:
    """What an answer cost: tokens, and money where the price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cost_usd + other.cost_usd,
        )

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class BackendError:
    """Why there is no good answer.

    retryable: asking again may help. retry_after_s: the server's wish, or None.
    """

    kind: Kind
    message: str
    retryable: bool = False
    retry_after_s: float | None = None

    @property
    def visible(self) -> bool:
        """True where a mind sees the failure as data; otherwise the run stops."""
        return self.kind in VISIBLE


@record
class Response:
    """One answer.

    choice: index of the chosen option. option_logprobs: renormalised over the options.
    method: how a choice was made, or "": logprobs, structured, regex or text (after "led_": behind
      a lead that the request had not asked for), script, person.
    attempts: requests that went out. faults: kinds of the failures on the way.
    """

    text: str = ""
    choice: int | None = None
    option_logprobs: tuple[float, ...] | None = None
    finish_reason: str = "stop"
    usage: Usage = Usage()
    model: str = ""
    latency_s: float = 0.0
    attempts: int = 1
    faults: tuple[str, ...] = ()
    error: BackendError | None = None
    method: str = ""

    def to_json(self) -> dict[str, Any]:
        """The response as plain values, defaults left out."""
        plain = {
            name: value
            for (name, default), value in zip(_RESPONSE_DEFAULTS, _values(self), strict=True)
            if value is not default and value != default
        }
        for name in ("usage", "error"):
            if name in plain:
                value = plain[name]
                plain[name] = {
                    part.name: held
                    for part in fields(value)
                    if (held := getattr(value, part.name)) != part.default
                }
        return plain

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Response":
        """The response that ``to_json`` stored."""
        values = dict(stored)
        for name in ("option_logprobs", "faults"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if "usage" in values:
            values["usage"] = Usage(**values["usage"])
        if values.get("error") is not None:
            values["error"] = BackendError(**values["error"])
        return cls(**values)


_RESPONSE_DEFAULTS = tuple((spec.name, spec.default) for spec in fields(Response))
_values = operator.attrgetter(*(name for name, _ in _RESPONSE_DEFAULTS))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do.

    seed: honours a request's seed. logprobs: gives option log-probabilities.
    guided: keeps to options, a schema or a regex. prefill: continues a text.
    streams: batches for itself. deterministic: equal requests get equal answers.
    """

    seed: bool = False
    logprobs: bool = False
    guided: bool = False
    prefill: bool = False
    streams: bool = False
    deterministic: bool = False


class Backend(abc.ABC):
    """Whatever answers requests: a server, a model in this process, a script, a person.

    reads_context: answers depend on ``Request.context``, so it takes part in merging.
    """

    reads_context: bool = False

    @property
    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What this backend can do."""

    @property
    def streams(self) -> bool:
        """True where requests should arrive one by one, as soon as they are known."""
        return self.capabilities.streams

    @property
    def fingerprint(self) -> str:
        """Names the backend and its model, for manifests and caches; holds no secret."""
        return type(self).__name__

    @abc.abstractmethod
    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text; same order, errors per item."""

    @abc.abstractmethod
    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with one of each request's options; same order, errors per item."""

    def check_params(self) -> None:
        """Raise ValueError where it cannot work, before anything slow."""

    async def identify(self) -> str:
        """The fingerprint, once whatever it needs to know has been found out."""
        return self.fingerprint

    async def aclose(self) -> None:
        """Let go of connections and processes; may be called twice."""


def canonical(request: Request, *, seed: bool = True) -> str:
    """The request as canonical JSON: everything that decides the answer, and nothing else."""
    head, _, said = _conversation(request)
    return f"{head}{said}],{_told(request)},{request.seed if seed else 'null'}]"


def signed(request: Request) -> tuple[str, str, str]:
    """The canonical request, as its beginning and the rest, and its hash.

    Of a step's requests only the user's messages and the seeds differ: what they begin with
    is written and hashed once.
    """
    head, hashing, said = _conversation(request)
    rest = f"{said}],{_told(request)},{request.seed}]"
    hashing = hashing.copy()
    hashing.update(rest.encode("ascii"))
    return head, rest, hashing.hexdigest()


def _conversation(request: Request) -> tuple[str, Any, str]:
    """Its beginning with the system's message, the hash of that, and the other messages."""
    messages = request.messages
    if len(messages) == 2 and messages[0].role == "system":
        head, hashing = _beginning(messages[0].content)
        said = messages[1]
        return head, hashing, f",[{_quoted(said.role)},{_quoted(said.content)}]"
    system = messages[0].content if messages and messages[0].role == "system" else None
    head, hashing = _beginning(system)
    others = messages if system is None else messages[1:]
    said = ",".join([f"[{_quoted(one.role)},{_quoted(one.content)}]" for one in others])
    return head, hashing, f",{said}" if said and system is not None else said


@functools.lru_cache(maxsize=1 << 14)
def _beginning(system: str | None) -> tuple[str, Any]:
    """What requests with the same system message begin with, and the hash of it."""
    said = "" if system is None else f'["system",{_quoted(system)}]'
    head = f"[{HASH_VERSION},[{said}"
    return head, hashlib.sha256(head.encode("ascii"))


def _told(request: Request) -> str:
    """How an answer must look."""
    form = (
        request.prefill,
        None if request.options is None else tuple(request.options),
        request.regex,
        request.max_tokens,
        request.temperature,
        request.top_p,
        tuple(request.stop),
    )
    return _form_again(*form) if request.schema is None else _form(*form, request.schema)


def _form(
    prefill: str,
    options: tuple[str, ...] | None,
    regex: str | None,
    max_tokens: int,
    temperature: float,
    top_p: float,
    stop: tuple[str, ...],
    schema: Mapping[str, Any] | None = None,
) -> str:
    """How an answer must look, as the inner part of a JSON list."""
    heat, share = float(temperature), float(top_p)
    return _encode([prefill, options, schema, regex, max_tokens, heat, share, stop])[1:-1]


_form_again = functools.lru_cache(maxsize=1024, typed=True)(_form)


def request_hash(request: Request, *, seed: bool = True) -> str:
    """SHA-256 of the canonical request (purpose, context and operational settings left out)."""
    return hashlib.sha256(canonical(request, seed=seed).encode("ascii")).hexdigest()


def sample_option(logprobs: Sequence[float], temperature: float, seed: int) -> int:
    """Draw an option from its log-probabilities, the same on every machine.

    Log-probabilities are rounded first, because a server's last digits depend on its batch.
    Temperature 0 takes the most probable option, the first among equals.
    """
    rounded = [round(value, LOGPROB_DECIMALS) for value in logprobs]
    best = max(rounded)
    if temperature <= 0 or len(rounded) == 1:
        return rounded.index(best)
    weights = [math.exp((value - best) / temperature) for value in rounded]
    point = random.Random(seed).random() * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return len(weights) - 1


def match_option(text: str, options: Sequence[str]) -> int | None:
    """Index of the option that a short answer names, or None.

    Case, surrounding space, quotes and a final full stop do not matter; nothing else is
    guessed.

    >>> match_option(' "Option J".', ("Option F", "Option J"))
    1
    """
    strip = " \t\r\n\"'`*.,;:!()"
    said = text.strip(strip).casefold()
    exact = [i for i, option in enumerate(options) if option.strip(strip).casefold() == said]
    return exact[0] if len(exact) == 1 else None

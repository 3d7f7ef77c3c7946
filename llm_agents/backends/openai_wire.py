"""The OpenAI dialect on the wire: what is sent, and what the bytes that return mean.

Nothing here touches a socket, so every body that a server might send can be tested.
"""

import dataclasses
import datetime
import email.utils
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_agents.backends.base import (
    BackendError,
    Request,
    Response,
    Usage,
    match_option,
)
from llm_agents.backends.openai_dialect import OPENAI, Dialect
from llm_agents.choice import TokenTree, continued, options_regex
from worlds.redact import redact

__all__ = [
    "choice_from_text",
    "exact_scores",
    "named_choice",
    "payload",
    "read_body",
    "refuses",
    "retry_after_s",
    "status_error",
    "top_tokens",
    "without_lead",
]

TOP_LOGPROBS = 20
_SCORING: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": True, "top_logprobs": TOP_LOGPROBS},
    "exact": {"prompt_logprobs": 0, "return_token_ids": True},
}
MESSAGE_CHARS = 300
_ANSWER = re.compile(r"answer\s*[:=]\s*(.+)", re.I)


def payload(
    request: Request,
    model: str,
    dialect: Dialect = OPENAI,
    *,
    way: str = "",
    lead: str | None = None,
) -> dict[str, Any]:
    """Return the JSON of a chat completion request.

    Args:
      way: "" for free text, or how to obtain a choice: "logprobs", "structured", "regex", "text";
        "exact" asks for the log-probabilities of the prompt itself.
      dialect: what the server understands.
      lead: how the answer begins; None = as the request says. Left out where the server
        cannot go on from a text.
    """
    lead = (request.prefill if lead is None else lead).rstrip()
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.seed >= 0:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    if lead and dialect.continues:
        body["messages"].append({"role": "assistant", "content": lead})
        if dialect.continues == "flags":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    elif way:
        lead = ""
    if way in _SCORING:
        # Temperature 1 shows the model's own probabilities, whatever the server does first;
        # what it samples is not looked at, so it needs no seed.
        body |= {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0} | _SCORING[way]
        body.pop("seed", None)
        body.pop("stop", None)
    elif way == "structured":
        body |= _only(continued(lead, request.options or ()), dialect)
    elif way == "regex":
        body |= {
            "structured_outputs": {"regex": options_regex(continued(lead, request.options or ()))}
        }
    elif not way:
        body |= _form(request, dialect)
    return body


def read_body(
    status: int, raw: bytes, *, listing: bool = False
) -> tuple[Mapping[str, Any], Response]:
    """Return the parsed body and the response that it stands for, of a reply with status 200.

    Args:
      listing: it should be a list of models, not a completion.

    The response holds a typed error where the body is not JSON ("garbage"), reports a failure
    ("server"), or is sound but holds no answer ("empty", "refused").
    """
    try:
        body = json.loads(raw)
    except (ValueError, UnicodeDecodeError, RecursionError):
        return {}, _garbage(f"the body is not JSON: {_excerpt(raw)}")
    if not isinstance(body, Mapping):
        return {}, _garbage(f"the body is JSON, but not a completion: {_excerpt(raw)}")
    if body.get("error"):
        reason = _error_text(body)
        return body, Response(error=BackendError("server", f"{status}: {reason}", retryable=True))
    if listing:
        sound = isinstance(body.get("data"), list)
        return body, Response() if sound else _garbage("the list of models cannot be read")
    choices = body.get("choices")
    if not isinstance(choices, list):
        return body, _garbage(f"the body has no list of choices: {_excerpt(raw)}")
    usage = _usage(body.get("usage"))
    model = str(body.get("model") or "")
    if not choices:
        error = BackendError("empty", "the list of choices is empty", retryable=True)
        return body, Response(usage=usage, model=model, error=error)
    return body, _first_choice(choices[0], usage, model)


def status_error(
    status: int, headers: Mapping[str, str], raw: bytes, now: float
) -> BackendError | None:
    """Return what a status says about the request, or None for 200."""
    if status == 200:
        return None
    try:
        body = json.loads(raw)
    except (ValueError, UnicodeDecodeError, RecursionError):
        body = None
    reason = _error_text(body) if isinstance(body, Mapping) else _excerpt(raw)
    text = f"HTTP {status}: {reason}" if reason else f"HTTP {status}"
    wish = retry_after_s(headers.get("retry-after"), now)
    if status == 429:
        hopeless = "insufficient_quota" in text
        return BackendError("rejected" if hopeless else "rate_limit", text, not hopeless, wish)
    if status >= 500 or status in (408, 425):
        return BackendError("server", text, True, wish)
    return BackendError("rejected", text)


def retry_after_s(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date; None if unreadable.

    >>> retry_after_s("1.5", 0.0), retry_after_s("Thu, 01 Jan 1970 00:00:10 GMT", 4.0)
    (1.5, 6.0)
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=datetime.UTC)
        seconds = date.timestamp() - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def top_tokens(body: Mapping[str, Any]) -> list[tuple[str, float]] | None:
    """Texts and log-probabilities of the likeliest first tokens; None where there are none."""
    try:
        top = body["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        pairs = [(str(item["token"]), float(item["logprob"])) for item in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return pairs if pairs and all(math.isfinite(value) for _, value in pairs) else None


def exact_scores(bodies: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """Summed log-probabilities of options, from the scored prompts that end with them.

    Args:
      bodies: of the prompt without an option first, then of the prompt with each option.

    Returns:
      One for each option; None where a server has not scored its prompts.
    """
    try:
        scored = [_scored_prompt(body) for body in bodies]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    found = [dict(enumerate(logprobs)) for _, logprobs in scored[1:]]
    tree = TokenTree.of_tokens(scored[0][0], [ids for ids, _ in scored[1:]])
    start = len(tree.tokens.context)
    logprobs: dict[tuple[int, ...], dict[int, float]] = {}
    for option, values in zip(tree.tokens.options, found, strict=True):
        for place, token in enumerate(option):
            logprobs.setdefault(option[:place], {})[token] = values[start + place]
    return tree.scores(logprobs)


def choice_from_text(text: str, options: Sequence[str], *, json_answer: bool) -> int | None:
    """Index of the option that a reply names: alone, after "Answer:", or as JSON."""
    if json_answer:
        try:
            text = str(json.loads(text)["answer"])
        except (ValueError, KeyError, TypeError):
            return None
    found = match_option(text, options)
    if found is None and (answer := _ANSWER.findall(text)):
        found = match_option(answer[-1], options)
    return found


def refuses(response: Response) -> bool:
    """True where the server does not know the parameters that a way needs."""
    return (
        response.error is not None
        and response.error.kind == "rejected"
        and any(f"HTTP {status}" in response.error.message for status in (400, 422, 501))
    )


def without_lead(response: Response, last: Mapping[str, str]) -> Response:
    """The response without the beginning that was given, which some servers repeat."""
    if last["role"] == "assistant" and response.text.startswith(last["content"]):
        return dataclasses.replace(response, text=response.text[len(last["content"]) :])
    return response


def named_choice(response: Response, request: Request, way: str, json_answer: bool) -> Response:
    """The response with the option that its text names, if it names one."""
    if response.error is not None:
        return response
    options = request.options or ()
    index = choice_from_text(response.text, options, json_answer=json_answer)
    if index is None:
        return response
    return dataclasses.replace(response, choice=index, text=options[index], method=way)


def _scored_prompt(body: Mapping[str, Any]) -> tuple[list[int], list[float]]:
    ids = [int(token) for token in body["prompt_token_ids"]]
    rows = body["prompt_logprobs"]
    found = [
        float(row[str(token)]["logprob"]) if row else 0.0
        for token, row in zip(ids, rows, strict=True)
    ]
    return ids, found


def _only(options: Sequence[str], dialect: Dialect) -> dict[str, Any]:
    if dialect.options == "structured_outputs":
        return {"structured_outputs": {"choice": list(options)}}
    if dialect.options == "grammar":
        return {"grammar": f"root ::= {' | '.join(json.dumps(text) for text in options)}"}
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": [text.strip() for text in options]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    return _json_schema(schema)


def _form(request: Request, dialect: Dialect) -> dict[str, Any]:
    if request.schema is not None:
        return _json_schema(dict(request.schema))
    if request.regex is not None and dialect.regex:
        return {"structured_outputs": {"regex": request.regex}}
    return {}


def _json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    form = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _first_choice(choice: Any, usage: Usage, model: str) -> Response:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        return _garbage("the first choice holds no message")
    finish = str(choice.get("finish_reason") or "stop")
    content = message.get("content")
    error = None
    if message.get("refusal") or finish == "content_filter":
        reason = str(message.get("refusal") or "a content filter stopped the answer")
        error = BackendError("refused", redact(reason)[:MESSAGE_CHARS])
    elif content is None:
        error = BackendError("empty", "the content of the answer is null", retryable=True)
    elif not isinstance(content, str):
        return _garbage("the content of the answer is not a text")
    text = redact(content) if isinstance(content, str) else ""
    return Response(text=text, finish_reason=finish, usage=usage, model=model, error=error)


def _usage(value: Any) -> Usage:
    if not isinstance(value, Mapping):
        return Usage()
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    return Usage(
        _count(value.get("prompt_tokens")), _count(value.get("completion_tokens")), _count(cached)
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _garbage(message: str) -> Response:
    return Response(error=BackendError("garbage", message, retryable=True))


def _error_text(body: Mapping[str, Any]) -> str:
    """What an error body says, from the shapes that servers use."""
    error = body.get("error", body)
    if isinstance(error, Mapping):
        code = error.get("code") or error.get("type") or ""
        said = error.get("message") or error.get("detail") or error
        error = f"{said} ({code})" if code else said
    return _one_line(str(error))


def _excerpt(raw: bytes) -> str:
    return _one_line(raw[:2000].decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    line = " ".join(redact(text).split())
    return line if len(line) <= MESSAGE_CHARS else line[: MESSAGE_CHARS - 1] + "…"

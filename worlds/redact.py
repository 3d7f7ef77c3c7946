"""Taking secrets out of texts before they are stored or shown.

Three nets, one behind the other: values known to be secret (registered by whoever read
them, or held by environment variables with telling names), texts in the form of a
credential, and user names, passwords and signed parameters inside URLs.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["HIDDEN", "redact", "redact_tree", "redact_url", "register_secret"]

HIDDEN = "[redacted]"
_HIDDEN_VALUE = rf"\1\2{HIDDEN}"

_SHORTEST_SECRET = 8
_SECRET_NAME = re.compile(
    r"(^|_)(API_?KEY|KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|CREDENTIALS?|APIKEY)(_|$)", re.I
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+", re.I)
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.I)
_SIGNED = re.compile(
    r"([?&;](?:[\w.-]*(?:key|token|secret|password|passwd|signature|sig|auth|code|credential))=)"
    r"[^&;#\s]+",
    re.I,
)
_HEADER = re.compile(
    r"((?:proxy-)?authorization|(?:x-)?api[-_ ]?key|x-[\w-]*(?:key|token)|set-cookie|cookie)"
    r"(\"?'?\s*[:=]\s*\"?'?(?:bearer\s+|basic\s+|token\s+)?)([^\s\"',;]+)",
    re.I,
)
_FORMS = re.compile(
    r"\bbearer\s+[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|rk)-[\w-]{8,}"
    r"|\b(?:hf|gh[pousr]|github_pat|glpat|xox[abprs]|gsk|nvapi|r8)[_-][\w-]{8,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{20,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+",
    re.I,
)

# In small letters, one of these is in every ASCII text that ``_HEADER`` or ``_FORMS`` matches.
# To look for them takes a fifth of the time, and most texts hold none.
_HEADER_SIGNS = ("authorization", "api", "x-", "cookie")
_FORM_SIGNS = ("-", "_", "bearer", "akia", "aiza", "eyj")

_registered: set[str] = set()
# The environment and the number of registered secrets, and what they hide: each secret as it
# is and as it is in a URL, longest first.
_known: tuple[dict[bytes, bytes] | None, int, list[tuple[str, str]]] = (None, 0, [])


def register_secret(value: str) -> None:
    """Hide this value wherever ``redact`` meets it, for the rest of the process."""
    if len(value) >= _SHORTEST_SECRET:
        _registered.add(value)


def redact(text: str, forms: bool = True) -> str:
    """Return the text with credentials replaced by ``[redacted]``.

    Args:
      text: anything.
      forms: also hide what only looks like a credential; False for texts that must keep
        their meaning, such as scenarios.

    >>> redact("POST https://me:pw@host/v1?api_key=abc Authorization: Bearer 123456789")
    'POST https://host/v1?api_key=[redacted] Authorization: Bearer [redacted]'
    """
    for secret, in_url in _secrets():
        text = text.replace(secret, HIDDEN).replace(in_url, HIDDEN)
    if "://" in text:
        text = _URL.sub(lambda match: redact_url(match[0]), text)
    if forms and _holds(text, _HEADER_SIGNS):
        text = _HEADER.sub(_HIDDEN_VALUE, text)
    if forms and _holds(text, _FORM_SIGNS):
        text = _FORMS.sub(HIDDEN, text)
    return text


def redact_url(url: str) -> str:
    """Return a URL without user, password and the values of signed parameters."""
    return _SIGNED.sub(rf"\1{HIDDEN}", _USER.sub(r"\1", url))


def redact_tree(value: Any) -> Any:
    """Redact every string in nested dicts, lists and tuples; other values pass unchanged."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_tree(item) for item in value]
    return value


def _holds(text: str, signs: tuple[str, ...]) -> bool:
    """True where a sign is in the text, or may be: beyond ASCII, more letters match ``re.I``."""
    small = text.lower()
    return not text.isascii() or any(sign in small for sign in signs)


def _secrets() -> list[tuple[str, str]]:
    """All known secrets; looked for again only where the environment has changed.

    A look at every variable would cost more than all the rest of reading a model's answer.
    """
    global _known
    held, count = getattr(os.environ, "_data", None), len(_registered)  # CPython's own dictionary
    known = _known
    if held is None or known[0] != held or known[1] != count:
        copied = None if held is None else dict(held)
        found = sorted(_registered | _from_environment(), key=len, reverse=True)
        _known = known = copied, count, [(secret, quote(secret, safe="")) for secret in found]
    return known[2]


def _from_environment() -> set[str]:
    return {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name)
    }

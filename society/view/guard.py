"""What a request to the viewer must look like, and what every answer carries.

The viewer shows texts that models wrote, on a machine where other pages are open in the same
browser. So it answers only requests that name this server as their host (which stops DNS
rebinding) and come from its own page or from no page (which stops other sites); it changes
nothing on GET; a change needs a token that only the address printed by ``society view`` holds;
and its pages may load nothing from elsewhere and run no script but the shipped files.
"""

import hmac
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["HEADERS", "MOST_BYTES", "TOKEN_HEADER", "Refusal", "hosts", "refusal"]

TOKEN_HEADER = "X-Society-Token"
MOST_BYTES = 64 << 10

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Refusal(NamedTuple):
    """An HTTP status and one line that says why."""

    status: int
    reason: str


def hosts(port: int) -> frozenset[str]:
    """The values of ``Host`` under which a server on this loopback port is reached."""
    return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))


def refusal(
    method: str, headers: Mapping[str, str], allowed: frozenset[str], token: str
) -> Refusal | None:
    """Say why a request is refused, or None where it is in order.

    Args:
      method: of the request. headers: with case-insensitive ``get``.
      allowed: what ``hosts`` gives. token: what a change must show.
    """
    host = headers.get("Host", "").lower()
    if host not in allowed:
        return Refusal(421, "this server answers under its loopback address only")
    origin = headers.get("Origin")
    if origin is not None and origin.lower() not in {f"http://{name}" for name in allowed}:
        return Refusal(403, "requests of other sites are not answered")
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return Refusal(403, "requests of other sites are not answered")
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return Refusal(405, "use GET, or POST for what changes something")
    shown = headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(shown.encode(), token.encode()):
        return Refusal(403, "a change needs the token in the address that society view printed")
    return _body(headers)


def _body(headers: Mapping[str, str]) -> Refusal | None:
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        return Refusal(415, "send application/json")
    length = headers.get("Content-Length", "")
    if not length.isascii() or not length.isdigit():
        return Refusal(411, "say how long the body is")
    if int(length) > MOST_BYTES:
        return Refusal(413, f"the body may have {MOST_BYTES} bytes")
    return None

"""One REST call: POST of a JSON object, and what the answer is worth.

The rule: a refusal is the venue's own error object with a status below 500; everything else that is no success says
nothing about the request. Reading may be tried again, so for reads it makes no difference whether a request left.

Who calls it: data_fetcher.py, account_fetcher.py, session.py. Orders have their own way (order_connection.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.grvt.messages import RpcError
from exchanges.http import HttpHandler
from exchanges.request_failure import RequestFailure

JSON_HEADERS: Final = {"Content-Type": "application/json"}
"""Without it the venue answers 1003."""
TOO_MANY_REQUESTS: Final = 429


async def ask(
    http: HttpHandler,
    path: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float | None = None,
) -> bytes:
    """Body of the answer. Raises VenueRefused (its error code) or VenueUnavailable (no usable answer)."""
    try:
        reply = await http.request(
            "POST",
            path,
            headers={**JSON_HEADERS, **(headers or {})},
            body=msgspec.json.encode(body),
            timeout_s=timeout_s,
        )
    except RequestFailure as failure:
        raise VenueUnavailable(str(failure)) from failure
    if reply.status == 200:
        return reply.body
    error = error_of(reply.body)
    if error.code and reply.status < 500 and reply.status != TOO_MANY_REQUESTS:
        raise VenueRefused(error.message, code=error.code, http_status=reply.status)
    raise VenueUnavailable(f"POST {path}: HTTP {reply.status} {error.message}".rstrip())


def error_of(body: bytes) -> RpcError:
    """Code and message; none of both where the body is something else (a firewall's HTML page)."""
    try:
        return msgspec.json.decode(body, type=RpcError)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RpcError()

"""REST over warm connections, with failures that say whether the request can have reached the venue.

The rule: every failure is one of two kinds (request_failure.py): `NotSent` where name resolution, connect or TLS failed
or no connection was free in time, else `OutcomeUnknown`. An HTTP status is never a failure here: the caller reads
`HttpReply.status`. Nothing is retried, not even what HTTP calls idempotent: whether a request may go twice is known to
the venue's package only.

Who calls it: data fetchers and order senders of every venue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import aiohttp
from yarl import URL

from exchanges.request_failure import NotSent, OutcomeUnknown
from exchanges.request_failure import RequestFailure as HttpFailure
from shm.clock import monotonic_ns

__all__ = ["HttpFailure", "HttpHandler", "HttpReply", "NotSent", "OutcomeUnknown"]

MAX_REPLY_BYTES: Final = 64 * 1024 * 1024
"""exchangeInfo of the largest venue has about 2 MB; anything near this is not a reply we asked for."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`headers` has lower-case names: venues change the case with the HTTP version. Of a name that comes more than once
    the last counts there; `set_cookies` has all of theirs, because what stands before a venue sets cookies too."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    set_cookies: tuple[str, ...] = ()


class HttpHandler:
    """One pool of connections to one base URL. Make it inside the running event loop; `close()` it there."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 3.0,
        connections: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.reply_time_ns = 0
        """CLOCK_MONOTONIC of the last whole reply, whatever it said; 0 before the first."""
        trace = aiohttp.TraceConfig()
        # From here on a failure can no longer prove that nothing was sent.
        trace.on_connection_create_end.append(_mark_connected)
        trace.on_connection_reuseconn.append(_mark_connected)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=75.0, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=connect_timeout_s, sock_connect=connect_timeout_s),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
            auto_decompress=True,
        )
        # aiohttp sends PUT and DELETE a second time when a kept-alive connection drops under them; an amend or cancel
        # must leave once. There is no public switch (aiohttp 3.14); tests/exchanges/test_http.py holds the behaviour.
        self._session._retry_connection = False

    async def warm(self, path: str, connections: int = 1) -> None:
        """Open `connections` sockets ahead of need with harmless GETs. Failures are the caller's to see."""
        await asyncio.gather(*(self.request("GET", path) for _ in range(connections)))

    async def request(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> HttpReply:
        """Send exactly these bytes of path and query (they may be signed, so nothing is re-encoded).

        Raises NotSent or OutcomeUnknown, each with one sentence.
        """
        if self._session.closed:
            raise NotSent(f"{method} {self.base_url}{path}: closed here")
        sent = SimpleNamespace(connected=False)
        url = URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True)
        options: dict[str, Any] = {}
        if timeout_s is not None:
            options["timeout"] = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False, trace_request_ctx=sent, **options
            ) as reply:
                content = await _read_bounded(reply.content)
                self.reply_time_ns = monotonic_ns()
                return HttpReply(
                    reply.status,
                    {k.lower(): v for k, v in reply.headers.items()},
                    content,
                    tuple(reply.headers.getall("Set-Cookie", ())),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            what = f"{method} {self.base_url}{path}: {_words(failure)}"
            if sent.connected:
                raise OutcomeUnknown(what) from failure
            raise NotSent(what) from failure

    async def close(self) -> None:
        await self._session.close()


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    parts, size = [], 0
    async for part in content.iter_any():
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise ValueError(f"reply is larger than {MAX_REPLY_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


async def _mark_connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.connected = True


def _words(failure: BaseException) -> str:
    """The exception's own sentence, or its kind where it has none (timeouts)."""
    return str(failure) or type(failure).__name__

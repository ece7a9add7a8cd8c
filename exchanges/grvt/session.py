"""The login at GRVT's edge: a cookie and an account header, renewed before they end.

The rules
- A login that fails is HTTP 200 without a cookie, so the cookie alone tells. Such an answer is the venue's no: the key
  is wrong, or this place may not log in, and trying again changes nothing. A body that is not the venue's (the page of
  something that stands before it) is nobody's no.
- What stands before the venue may set cookies of its own, before or behind ours, with attributes of any kind.
- The cookie's own Expires says how long it lives, in UTC. It is renewed when nine tenths of that have passed; the old
  one stays in use until the new one is there. There is no other way to renew than to log in again. A cookie that comes
  with an end in the past says that this host's clock is wrong, and counts as one without an end.
- Nobody documents what becomes of a socket whose cookie ends: one that is closed then comes back with the new one.

Source: https://api-docs.grvt.io, "Authentication"; header, body and failure as the venue's SDK and others read them.

Who calls it: account_fetcher.py, user_stream.py and order_socket.py for headers; oms.py and pms.py keep it renewed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from logging import Logger
from typing import Final

import msgspec

from exchanges.adapter import ConfigurationError, Credentials, VenueRefused, VenueUnavailable
from exchanges.grvt.endpoints import LOGIN
from exchanges.grvt.rest import JSON_HEADERS, error_of
from exchanges.http import HttpHandler
from exchanges.request_failure import RequestFailure
from shm.layout import Reason

COOKIE: Final = "gravity"
ACCOUNT_HEADER: Final = "X-Grvt-Account-Id"
LIFE_WHERE_UNSAID_S: Final = 3600.0
"""Where the cookie names no end: often enough for a documented life of a day."""
RENEW_AFTER: Final = 0.9
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class LoginReply(msgspec.Struct, frozen=True):
    """Body of the login; only `sub_account_id` is of use, and may be missing."""

    status: str = ""
    error: str = ""
    sub_account_id: str = ""


class Session:
    """One API key's session. `headers` is what private calls and handshakes carry."""

    def __init__(
        self,
        http: HttpHandler,
        credentials: Credentials,
        account: str,
        log: Logger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """http: to the edge host, closed by its maker. account: the configured sub account, "" = as the login says.
        clock: UTC in seconds."""
        self._http, self._api_key, self._log, self._clock = http, credentials.api_key, log, clock
        self._configured = account
        self._headers: dict[str, str] = {}
        self._expires_s = self._renew_s = 0.0
        self._one_login = asyncio.Lock()
        self.account = account
        """Decimal text of the sub account."""
        self.logins = 0
        self.on_login: Callable[[], None] = lambda: None
        """Told after each login: there are new headers."""

    @property
    def headers(self) -> dict[str, str]:
        """Empty before the first login."""
        return self._headers

    @property
    def good(self) -> bool:
        return bool(self._headers) and self._clock() < self._expires_s

    async def ensure(self) -> None:
        """Log in where there is no good session; who comes meanwhile waits for the same login. Raises what `log_in`
        raises."""
        async with self._one_login:
            if not self.good:
                await self.log_in()

    def lost(self, headers: dict[str, str]) -> None:
        """The venue does not know the cookie of these headers any more; a newer one is not concerned."""
        if headers is self._headers:
            self._expires_s = 0.0

    async def log_in(self) -> None:
        """Raises VenueUnavailable, VenueRefused with reason VENUE_SIGNATURE, or ConfigurationError."""
        body = msgspec.json.encode({"api_key": self._api_key})
        try:
            reply = await self._http.request("POST", LOGIN, headers={**JSON_HEADERS, "Cookie": "rm=true;"}, body=body)
        except RequestFailure as failure:
            raise VenueUnavailable(str(failure)) from failure
        if reply.status != 200:
            error = error_of(reply.body)
            raise VenueUnavailable(f"POST {LOGIN}: HTTP {reply.status} {error.message}".rstrip())
        said = _read(reply.body)
        token, life_s = self._cookie(reply.set_cookies)
        if not token:
            if said is None:
                raise VenueUnavailable(f"POST {LOGIN}: neither a cookie nor an answer of the venue's came")
            message = said.error or said.status or "no cookie came"
            raise VenueRefused(f"login: {message}", http_status=200, reason=Reason.VENUE_SIGNATURE)
        self.account = self._configured or (said.sub_account_id if said is not None else "")
        if not self.account.isdigit():
            raise ConfigurationError("venues.grvt.account is missing, and the login does not name the key's account")
        self._headers = {
            "Cookie": f"{COOKIE}={token}",
            ACCOUNT_HEADER: reply.headers.get(ACCOUNT_HEADER.lower(), ""),
        }
        now = self._clock()
        self._expires_s, self._renew_s = now + life_s, now + RENEW_AFTER * life_s
        self.logins += 1
        self.on_login()

    async def run(self) -> None:
        """Renew in time until cancelled. A refusal is tried again while the old cookie is good: orders are open on it,
        and an edge in trouble may word it like one. Raises VenueRefused where the key is no longer good."""
        pause_s = FIRST_PAUSE_S
        while True:
            await asyncio.sleep(max(self._renew_s - self._clock(), FIRST_PAUSE_S))
            try:
                await self.log_in()
                pause_s = FIRST_PAUSE_S
                self._log.info("session renewed, good for %.0f s", self._expires_s - self._clock())
            except (VenueUnavailable, VenueRefused) as failure:
                if isinstance(failure, VenueRefused) and not self.good:
                    raise
                self._log.warning("session could not be renewed, next try in %.0f s: %s", pause_s, failure)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _cookie(self, lines: Sequence[str]) -> tuple[str, float]:
        """Token and life in seconds, of the Set-Cookie header that has ours; no token where none has."""
        for line in lines:
            pair, *attributes = line.split(";")
            name, _, token = (part.strip() for part in pair.partition("="))
            if name == COOKIE and token:
                return token, self._life_s(attributes)
        return "", 0.0

    def _life_s(self, attributes: Sequence[str]) -> float:
        for attribute in attributes:
            name, _, text = attribute.partition("=")
            if name.strip().lower() == "expires":
                try:
                    life_s = parsedate_to_datetime(text.strip()).timestamp() - self._clock()
                except (ValueError, TypeError):
                    break
                return life_s if life_s > 0 else LIFE_WHERE_UNSAID_S
        return LIFE_WHERE_UNSAID_S


def _read(body: bytes) -> LoginReply | None:
    """None: no JSON object."""
    try:
        return msgspec.json.decode(body, type=LoginReply)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

"""One login: what is sent for it, what was granted, and when it must be refreshed.

The rules
- The scope is a named session: it belongs to the connection that logged in, requests need no token of their own, and a
  refresh goes on with the same one. Without a name each login would take another of the account's 16 places.
- What the venue grants may be narrower than what was asked for: it is read back.
- Lifetimes differ by a factor of a thousand between accounts and years: the refresh follows `expires_in`.

Source: https://docs.deribit.com/articles/authentication, .../access-scope.

Who calls it: subscriber.py (unaggregated channels need a login), user_stream.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from exchanges.deribit.auth import RequestSigner

REFRESH_AT: Final = 0.8
"""Of the lifetime."""
LONGEST_S: Final = 24 * 3600.0


class AuthResult(msgspec.Struct, frozen=True):
    """Result of public/auth."""

    access_token: str
    refresh_token: str
    expires_in: float
    scope: str


class LoginFailed(Exception):
    """The venue's answer to a login is not one that can be worked with; `str()` says why."""


class Session:
    def __init__(self, signer: RequestSigner, now_ms: Callable[[], int], name: str, scopes: str) -> None:
        """now_ms: the venue's UTC. scopes: what this connection needs, like "trade:read_write"."""
        self._signer, self._now_ms = signer, now_ms
        self._needed = scopes.split()
        self._scope = f"session:{name} {scopes}"
        self._decoder = msgspec.json.Decoder(AuthResult)
        self._refresh_token = ""
        self.refresh_in_s = LONGEST_S
        """From the last answer on."""

    def login(self) -> dict[str, Any]:
        """Parameters of public/auth."""
        return self._signer.login(self._now_ms(), self._scope)

    def refresh(self) -> dict[str, Any]:
        """Parameters of public/auth that extend this session."""
        return {"grant_type": "refresh_token", "refresh_token": self._refresh_token}

    def granted(self, result: bytes) -> None:
        """Take the answer to either. Raises LoginFailed where a scope is missing or the answer cannot be read."""
        try:
            answer = self._decoder.decode(result)
        except msgspec.DecodeError as failure:
            raise LoginFailed(f"public/auth: reply has another shape than documented: {failure}") from None
        scopes = answer.scope.split()
        missing = [scope for scope in self._needed if not _covers(scopes, scope)]
        if missing:
            raise LoginFailed(f"the API key lacks the scope {', '.join(missing)}: it was granted {answer.scope!r}")
        self._refresh_token = answer.refresh_token
        self.refresh_in_s = min(LONGEST_S, max(1.0, answer.expires_in * REFRESH_AT))


def _covers(granted: list[str], needed: str) -> bool:
    """read_write covers read."""
    return needed in granted or (needed.endswith(":read") and f"{needed}_write" in granted)

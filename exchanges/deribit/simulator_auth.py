"""Who asks: keys, the three grants of public/auth, signed HTTP requests, tokens, scopes and sessions.

Source: authentication and access-scope articles. What they leave open is decided here and marked "our choice":
- a connection-scoped token also authenticates the socket it was given on (working clients rely on it);
- what ends is 13009 everywhere, a login that fails 13004.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from exchanges.deribit.simulator_errors import VenueError, invalid
from exchanges.deribit.simulator_parameters import Parameters
from exchanges.simulator.errors import SimulatorError

SIGNATURE_LIFE_MS: Final = 60_000
MAX_SESSIONS: Final = 16
KINDS: Final = ("account", "trade", "wallet", "block_trade", "block_rfq")
ACCESS: Final = ("none", "read", "read_write")
FULL: Final = dict.fromkeys(KINDS, "read_write") | {"wallet": "read"}
"""`client_credentials` cannot get `wallet:read_write`."""


@dataclass(frozen=True)
class ApiKey:
    """One key of one account; `scopes` is the most it may do, `{"trade": "read"}`."""

    key: str
    secret: str
    account: str = "demo"
    scopes: Mapping[str, str] = field(default_factory=lambda: dict(FULL))

    def __post_init__(self) -> None:
        if not self.key or not self.secret:
            raise SimulatorError("API key: expected a client id and a secret")
        for kind, access in self.scopes.items():
            if kind not in KINDS or access not in ACCESS:
                raise SimulatorError(
                    f"API key {self.key[:8]}...: found scope {kind}:{access}, expected one like trade:read"
                )


DEMO_KEY: Final = ApiKey(key="corelane-deribit-simulator-key", secret="corelane-deribit-simulator-secret")
"""Opens the simulator and nothing else in the world; it may be printed, committed and shared."""


@dataclass(slots=True)
class Token:
    """What a login gave. `connection` is the socket it belongs to, None for a named session or HTTP."""

    key: ApiKey
    scopes: dict[str, str]
    access: str
    refresh: str
    expires_ms: int
    session: str | None
    connection: object | None
    granted_ms: int

    @property
    def account(self) -> str:
        return self.key.account

    def allows(self, kind: str, write: bool) -> bool:
        access = self.scopes.get(kind, "none")
        return access == "read_write" or (access == "read" and not write)

    @property
    def scope(self) -> str:
        """As the venue lists it: sorted words."""
        words = [f"{kind}:{access}" for kind, access in self.scopes.items() if access != "none"]
        words += ["mainaccount", f"session:{self.session}" if self.session else "connection"]
        return " ".join(sorted(words))


def sign(secret: str, text: str) -> str:
    """HMAC-SHA256 in lower-case hex."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


class Tokens:
    """All keys, and all that was granted on them."""

    def __init__(self, keys: tuple[ApiKey, ...], life_s: int) -> None:
        self.keys = {key.key: key for key in keys}
        self.life_s = life_s
        self._by_access: dict[str, Token] = {}
        self._by_refresh: dict[str, Token] = {}
        self._nonces: dict[tuple[str, str], int] = {}

    # --- logins ----------------------------------------------------------------------------------------------------
    def log_in(self, parameters: Parameters, connection: object | None, now_ms: int) -> Token:
        """public/auth; 13004 for anything that does not fit the key."""
        grant = parameters.choice("grant_type", ("client_credentials", "client_signature", "refresh_token"))
        if grant == "refresh_token":
            return self._refresh(parameters, connection, now_ms)
        key = self.keys.get(parameters.text("client_id"))
        if grant == "client_credentials":
            secret = parameters.text("client_secret")
            if key is None or not hmac.compare_digest(secret.encode(), key.secret.encode()):
                raise VenueError(13004)
        else:
            timestamp, nonce = parameters.integer("timestamp"), parameters.text("nonce")
            text = f"{timestamp}\n{nonce}\n{parameters.text('data', '')}"
            key = self._check(key, text, parameters.text("signature"), timestamp, nonce, now_ms)
        scopes, session, life_s = self._scopes(key, parameters.text("scope", ""))
        return self._grant(key, scopes, session, life_s, connection, now_ms)

    def check_request(self, header: str, method: str, uri: str, body: str, now_ms: int) -> Token:
        """`Authorization` of one HTTP request: bearer, basic or deri-hmac-sha256."""
        form, _, rest = header.partition(" ")
        if form.lower() == "bearer":
            return self.find(rest.strip(), None, now_ms)
        if form.lower() == "basic":
            try:
                name, _, secret = base64.b64decode(rest, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise VenueError(13004) from None
            key = self.keys.get(name)
            if key is None or not hmac.compare_digest(secret.encode(), key.secret.encode()):
                raise VenueError(13004)
        elif form.lower() == "deri-hmac-sha256":
            fields = dict(pair.strip().partition("=")[::2] for pair in rest.split(","))
            stamp, nonce = fields.get("ts", ""), fields.get("nonce", "")
            if not stamp.isdigit() or len(stamp) > 16:
                raise VenueError(13004)
            text = f"{stamp}\n{nonce}\n{method.upper()}\n{uri}\n{body}\n"
            key = self._check(
                self.keys.get(fields.get("id", "")), text, fields.get("sig", ""), int(stamp), nonce, now_ms
            )
        else:
            raise VenueError(13009)
        return Token(key, dict(key.scopes), "", "", now_ms + SIGNATURE_LIFE_MS, None, None, now_ms)

    def _check(self, key: ApiKey | None, text: str, signature: str, timestamp: int, nonce: str, now_ms: int) -> ApiKey:
        """A signature is good once, and for a minute."""
        if key is None or not hmac.compare_digest(sign(key.secret, text).encode(), signature.encode()):
            raise VenueError(13004)
        for used, at_ms in list(self._nonces.items()):
            if at_ms < now_ms - 2 * SIGNATURE_LIFE_MS:
                del self._nonces[used]
        if abs(now_ms - timestamp) > SIGNATURE_LIFE_MS or (key.key, nonce) in self._nonces:
            raise VenueError(13004)
        self._nonces[(key.key, nonce)] = now_ms
        return key

    def _refresh(self, parameters: Parameters, connection: object | None, now_ms: int) -> Token:
        old = self._by_refresh.get(parameters.text("refresh_token"))
        if old is None or (old.connection is not None and old.connection is not connection):
            raise VenueError(13004)
        if old.connection is None and old.session is None:
            connection = None
        self.revoke(old)
        return self._grant(old.key, old.scopes, old.session, self.life_s, connection, now_ms)

    def _scopes(self, key: ApiKey, wanted: str) -> tuple[dict[str, str], str | None, int]:
        """(what is granted, session name, life): never more than the key may, narrower without a word."""
        scopes, session, life_s, named = dict(key.scopes), None, self.life_s, False
        for word in wanted.split():
            kind, _, value = word.partition(":")
            if kind == "session" and value:
                session = value
            elif kind == "expires" and value.isdigit():
                life_s = min(int(value), self.life_s)
            elif kind in KINDS and value in ACCESS:
                if not named:
                    scopes, named = {}, True
                scopes[kind] = min(value, key.scopes.get(kind, "none"), key=ACCESS.index)
            elif word not in ("connection", "mainaccount") and kind not in ("ip", "name"):
                raise invalid("scope")
        return scopes, session, life_s

    def _grant(
        self, key: ApiKey, scopes: dict[str, str], session: str | None, life_s: int, connection: object | None, now: int
    ) -> Token:
        if session is not None:
            same = [token for token in self._by_access.values() if token.key == key and token.session is not None]
            for token in same:
                if token.session == session:
                    self.revoke(token)
            names = {token.session for token in same} - {session}
            if len(names) >= MAX_SESSIONS:  # the one that was refreshed longest ago makes room
                self.revoke(min(same, key=lambda token: token.granted_ms))
        expires = now + life_s * 1000
        token = Token(
            key,
            scopes,
            f"{expires}.{secrets.token_urlsafe(24)}",
            f"{expires}.{secrets.token_urlsafe(24)}",
            expires,
            session,
            None if session is not None else connection,
            now,
        )
        self._by_access[token.access] = self._by_refresh[token.refresh] = token
        return token

    # --- use -------------------------------------------------------------------------------------------------------
    def find(self, access: str, connection: object | None, now_ms: int) -> Token:
        """The token named so; 13009 when it is none, has ended, or belongs to another connection."""
        token = self._by_access.get(access)
        if token is None or not self.valid(token, now_ms):
            raise VenueError(13009)
        if token.connection is not None and connection is not token.connection:
            raise VenueError(13009)
        return token

    def valid(self, token: Token, now_ms: int) -> bool:
        return self._by_access.get(token.access) is token and now_ms < token.expires_ms

    def revoke(self, token: Token) -> None:
        self._by_access.pop(token.access, None)
        self._by_refresh.pop(token.refresh, None)

    def drop_connection(self, connection: object) -> None:
        """Tokens of this connection die with it."""
        for token in [token for token in self._by_access.values() if token.connection is connection]:
            self.revoke(token)

    def expire_all(self) -> None:
        """Every access token ends, and can no longer be refreshed."""
        self._by_access.clear()
        self._by_refresh.clear()


def auth_result(token: Token, now_ms: int, state: str | None) -> dict[str, object]:
    """The answer of public/auth."""
    result: dict[str, object] = {
        "access_token": token.access,
        "token_type": "bearer",
        "expires_in": max(0, (token.expires_ms - now_ms) // 1000),
        "refresh_token": token.refresh,
        "scope": token.scope,
        "enabled_features": [],
    }
    if token.session is not None:
        result["sid"] = f"{token.key.key[:8]}.{token.session}"
    if state is not None:
        result["state"] = state
    return result

"""Who may do what at the simulated GRVT: logins that set a cookie, and signatures that name their signer.

The rule: a failed login is HTTP 200 without a cookie, as live. A signature is judged by recovering the address that
made it from the digest of what was asked: another payload, chain or key gives another address.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

from coincurve import PublicKey

from exchanges.grvt.auth import address_of, make_signer
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.typed_data import WALLET_LOGIN_TYPE, flat_digest, keccak

COOKIE: Final = "gravity"
ACCOUNT_HEADER: Final = "X-Grvt-Account-Id"
COOKIE_LIFE_S: Final = 24 * 3600.0
HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""Half of the order of secp256k1: s must not be above it."""
WALLET_LOGIN_LIMIT_NS: Final = 300 * 10**9
NS: Final = 10**9


@dataclass(frozen=True)
class ApiKey:
    """A key and its signer, as one sub account's owner has them. `secret` is the signer's private key in hex."""

    key: str
    secret: str
    account: str = "2147050003876484"
    """Number of the sub account."""
    may_trade: bool = True
    """Whether the signer was made with the permission to trade."""
    signer_ends_s: float = 0.0
    """When the signer's key ends, UTC; 0: never."""

    @property
    def signer(self) -> str:
        return address_of(make_signer(self.secret))

    @property
    def main_account(self) -> str:
        """Address of the funding account: made from the signer's, so that each has one of its own."""
        return "0x" + keccak(self.signer.encode())[12:].hex()


@dataclass
class Session:
    account: str
    expires_s: float


class Sessions:
    """Keys, signers, and the cookies that are good now."""

    def __init__(self, keys: tuple[ApiKey, ...], life_s: float, clock: Callable[[], float] = time.time) -> None:
        self.keys = {key.key: key for key in keys}
        self.by_signer = {key.signer: key for key in keys}
        self._by_account = {key.account: key for key in keys}
        self._life_s, self._clock = life_s, clock
        self._sessions: dict[str, Session] = {}
        self._used: set[tuple[str, int]] = set()
        self.logins = 0

    def key_of(self, account: str) -> ApiKey:
        return self._by_account[account]

    # --- login ------------------------------------------------------------------------------------------------------
    def log_in(self, path: str, body: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers of the answer, both with HTTP 200."""
        key = self._by_api_key(body) if path.endswith("api_key/login") else self._by_wallet(body)
        if key is None:
            return {"error": "invalid api key", "status": "failure"}, {}
        self.logins += 1
        token = secrets.token_urlsafe(24)
        expires = self._clock() + self._life_s
        self._sessions[token] = Session(key.account, expires)
        shown = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(expires))
        answer = {
            "status": "success",
            "location": "",
            "funding_account_address": key.main_account,
            "sub_account_id": key.account,
        }
        cookie = f"{COOKIE}={token}; Path=/; Expires={shown}; HttpOnly; Secure; SameSite=Lax"
        return answer, {"Set-Cookie": cookie, ACCOUNT_HEADER: key.main_account}

    def _by_api_key(self, body: Any) -> ApiKey | None:
        return self.keys.get(str(body.get("api_key")))

    def _by_wallet(self, body: Any) -> ApiKey | None:
        address, signature = str(body.get("address", "")).lower(), body.get("signature")
        if not isinstance(signature, dict):
            return None
        try:
            nonce, expiration = int(signature["nonce"]), int(signature["expiration"])
            chain = int(signature.get("chain_id") or 325)
            digest = flat_digest(chain, WALLET_LOGIN_TYPE, (int(address, 16), nonce, expiration))
            signer = recovered(digest, signature)
        except (KeyError, ValueError, TypeError, OverflowError, VenueError):
            return None
        now = time.time_ns()
        if signer != address or not now < expiration <= now + WALLET_LOGIN_LIMIT_NS or (signer, nonce) in self._used:
            return None
        self._used.add((signer, nonce))
        return self.by_signer.get(signer)

    def account_of(self, cookie_header: str | None) -> str | None:
        """The account of a request's cookies; with several of our name the newest that is good counts."""
        found = None
        for part in (cookie_header or "").split(";"):
            try:
                cookie = SimpleCookie(part.strip())
            except CookieError:
                continue
            session = self._sessions.get(cookie[COOKIE].value) if COOKIE in cookie else None
            if session is not None and session.expires_s > self._clock():
                found = session.account
        return found

    def expire_all(self) -> None:
        """No cookie is good any more; sockets that are open stay so."""
        self._sessions.clear()


def recovered(digest: bytes, signature: dict[str, Any]) -> str:
    """The address that signed. Raises VenueError 2002, 2005, 2006 or 2007."""
    r, s, v = (str(signature.get(name, "")) for name in ("r", "s", "v"))
    if v not in ("27", "28"):
        raise VenueError(2005)
    r, s = r.removeprefix("0x"), s.removeprefix("0x")
    try:
        if len(r) != 64 or len(s) != 64:
            raise ValueError
        raw = bytes.fromhex(r) + bytes.fromhex(s) + bytes([int(v) - 27])
    except ValueError:
        raise VenueError(2006) from None
    if int(s, 16) > HALF_ORDER:
        raise VenueError(2007)
    try:
        key = PublicKey.from_signature_and_message(raw, digest, hasher=None)
    except Exception:  # the library raises its own bare kinds
        raise VenueError(2002) from None
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()

"""Request signing for Deribit: the login of a connection and the header of an HTTP request.

The rule: what is signed is exactly what leaves. A login by client_signature never shows the secret, and needs a clock
that the venue believes; client_credentials needs none and sends the secret. The config's `login` chooses; HTTP requests
are signed either way. Source: https://docs.deribit.com/articles/authentication.

Who calls it: session.py (logins), account_fetcher.py (headers), one `RequestSigner` per process.
"""

from __future__ import annotations

import secrets
from typing import Any

from exchanges.adapter import ConfigurationError, Credentials
from exchanges.hmac_signer import HmacSigner


class RequestSigner:
    """Signs for one API key. Has no repr that shows the secret."""

    __slots__ = ("_client_id", "_secret", "_sends_secret", "_signer")

    def __init__(self, credentials: Credentials, login: str = "signature") -> None:
        """login: "signature" | "secret". Raises ConfigurationError where a part of the pair is empty."""
        if not credentials.secret.strip() or not credentials.api_key.strip():
            raise ConfigurationError("deribit: the client id or the client secret is empty")
        self._client_id = credentials.api_key
        self._secret = credentials.secret
        self._sends_secret = login == "secret"
        self._signer = HmacSigner(credentials.secret)

    def login(self, timestamp_ms: int, scope: str = "") -> dict[str, Any]:
        """Parameters of public/auth, as the config wants it. timestamp_ms: the venue's UTC, good for 60 s."""
        return self.login_with_secret(scope) if self._sends_secret else self.login_with_signature(timestamp_ms, scope)

    def login_with_signature(self, timestamp_ms: int, scope: str = "", nonce: str = "") -> dict[str, Any]:
        """Parameters of public/auth by client_signature."""
        nonce = nonce or make_nonce()
        signature = self._signer.sign(f"{timestamp_ms}\n{nonce}\n".encode())
        parameters: dict[str, Any] = {
            "grant_type": "client_signature",
            "client_id": self._client_id,
            "timestamp": timestamp_ms,
            "nonce": nonce,
            "data": "",
            "signature": signature,
        }
        return parameters | {"scope": scope} if scope else parameters

    def login_with_secret(self, scope: str = "") -> dict[str, Any]:
        """Parameters of public/auth by client_credentials: no clock is needed, but the secret leaves this host."""
        parameters = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret,
        }
        return parameters | {"scope": scope} if scope else parameters

    def headers(self, method: str, uri: str, body: bytes, timestamp_ms: int, nonce: str = "") -> dict[str, str]:
        """Of one HTTP request. uri: path with query, without the host."""
        nonce = nonce or make_nonce()
        text = f"{timestamp_ms}\n{nonce}\n{method.upper()}\n{uri}\n".encode() + body + b"\n"
        return {
            "Authorization": f"deri-hmac-sha256 id={self._client_id},ts={timestamp_ms},nonce={nonce},"
            f"sig={self._signer.sign(text)}"
        }


def make_nonce() -> str:
    """Single use: the venue refuses one that it has seen."""
    return secrets.token_hex(8)

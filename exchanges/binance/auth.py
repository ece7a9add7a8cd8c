"""Request signing for Binance USDⓈ-M futures.

The rule: the signature covers exactly the bytes that leave, and is their last parameter. A secret that is a PEM private
key signs with Ed25519 (base64), any other text is an HMAC-SHA256 secret (hex). Source: venues' General Info, "SIGNED
endpoint security" (developers.binance.com/docs/derivatives/usds-margined-futures/general-info).

Who calls it: oms.py, order_socket.py, account_fetcher.py and user_stream.py, one `RequestSigner` per process.
"""

from __future__ import annotations

import base64
from typing import Final, Protocol
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from exchanges.adapter import ConfigurationError, Credentials
from exchanges.hmac_signer import HmacSigner

KEY_HEADER: Final = "X-MBX-APIKEY"

Parameters = dict[str, str | int]
"""Of one request, by the venue's names: decimals as text, whole numbers as themselves. Neither path escapes them."""


def query_text(parameters: Parameters) -> str:
    """The query string of these parameters, unsigned."""
    return "&".join([f"{name}={value}" for name, value in parameters.items()])


class Signer(Protocol):
    """One key's signature over bytes, as text."""

    def sign(self, payload: bytes) -> str: ...


class Ed25519Signer:
    """Ed25519 in base64 (not percent-encoded: the WebSocket API takes it as it is)."""

    __slots__ = ("_key",)

    def __init__(self, pem: str) -> None:
        """`pem`: PKCS#8 without passphrase. Raises ConfigurationError."""
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as failure:
            raise ConfigurationError(
                f"binance: the secret looks like a PEM key but cannot be read: {failure}"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError("binance: a PEM secret must be an Ed25519 private key (PKCS#8, no passphrase)")
        self._key = key

    def sign(self, payload: bytes) -> str:
        return base64.b64encode(self._key.sign(payload)).decode("ascii")


def make_signer(secret: str) -> Signer:
    """The signer that fits the secret's form. Raises ConfigurationError where it is unreadable or empty."""
    if not secret.strip():
        raise ConfigurationError("binance: the secret is empty")
    return Ed25519Signer(secret) if "-----BEGIN" in secret else HmacSigner(secret)


class RequestSigner:
    """Signs query strings of one API key. Holds the secret in no readable form, and has no repr that shows it."""

    __slots__ = ("_quote", "_signer", "headers")

    def __init__(self, credentials: Credentials) -> None:
        self._signer = make_signer(credentials.secret)
        self._quote = isinstance(self._signer, Ed25519Signer)
        self.headers: dict[str, str] = {KEY_HEADER: credentials.api_key}
        """Send these with every request that needs the key."""

    @property
    def logs_on(self) -> bool:
        """Whether this key can open a session of the WebSocket API; the venue takes Ed25519 keys only."""
        return self._quote

    def sign(self, payload: bytes) -> str:
        """The signature alone, as the WebSocket API takes it."""
        return self._signer.sign(payload)

    def signed_query(self, query: str, timestamp_ms: int, receive_window_ms: int) -> str:
        """`query` (may be empty, already percent-encoded) with recvWindow, timestamp and signature, in that order.

        timestamp_ms: the venue's UTC as we estimate it. receive_window_ms: 1 to 60000, the venue refuses later arrival.
        """
        joint = "&" if query else ""
        payload = f"{query}{joint}recvWindow={receive_window_ms}&timestamp={timestamp_ms}"
        signature = self._signer.sign(payload.encode())
        return f"{payload}&signature={quote(signature, safe='') if self._quote else signature}"

    def signed_parameters(self, parameters: Parameters) -> Parameters:
        """WebSocket API: `parameters` with apiKey and the signature over all of them sorted by name, as text and not
        percent-encoded."""
        full = {**parameters, "apiKey": self.headers[KEY_HEADER]}
        payload = "&".join([f"{name}={full[name]}" for name in sorted(full)])
        full["signature"] = self.sign(payload.encode())
        return full

"""Who asks, and whether the request is really theirs: API keys, signatures, timestamps.

Source: general-info of the USDⓈ-M futures documentation, signed endpoint security. Checked in this order: key header
(401 -2014, -2015), mandatory parameters (-1102), signature (-1022), timestamp within the receive window (-1021).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from exchanges.binance.simulator_errors import VenueError, invalid, missing
from exchanges.simulator.errors import SimulatorError

DEFAULT_RECEIVE_WINDOW_MS: Final = 5000
MAX_RECEIVE_WINDOW_MS: Final = 60_000
MAX_AHEAD_MS: Final = 1000
_KEY_FORMAT = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""The venue's keys are 64 letters and digits; keys that name themselves are welcome here."""
_SIGNATURE_PAIR = re.compile(r"(?:^|&)signature=([^&]*)")


@dataclass(frozen=True)
class ApiKey:
    """One key of one account: HMAC-SHA256 with `secret`, or Ed25519 when `public_key_pem` is given."""

    key: str
    secret: str = ""
    account: str = "demo"
    public_key_pem: str = ""

    def __post_init__(self) -> None:
        if bool(self.secret) == bool(self.public_key_pem):
            raise SimulatorError(f"API key {self.key[:8]}...: give either a secret or an Ed25519 public key")
        if self.public_key_pem:
            self.ed25519()

    def ed25519(self) -> Ed25519PublicKey | None:
        """The public key, None for an HMAC key."""
        if not self.public_key_pem:
            return None
        try:
            key = load_pem_public_key(self.public_key_pem.encode())
        except ValueError as error:
            raise SimulatorError(f"API key {self.key[:8]}...: its public key is no PEM ({error})") from None
        if not isinstance(key, Ed25519PublicKey):
            raise SimulatorError(f"API key {self.key[:8]}...: its public key is not Ed25519")
        return key


DEMO_KEY: Final = ApiKey(
    key="corelane-binance-simulator-key",
    secret="corelane-binance-simulator-secret",
)
"""Opens the simulator and nothing else in the world; it may be printed, committed and shared."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request's parameters (the query string wins), the bytes that were signed, and the signature."""

    parameters: dict[str, str]
    payload: bytes
    signature: str | None


def read_parameters(query: str, body: str) -> Signed:
    """Split `query` and form `body` as sent; the payload is query directly followed by body, less the signature."""
    parameters = dict(parse_qsl(body, keep_blank_values=True))
    parameters.update(parse_qsl(query, keep_blank_values=True))
    parameters.pop("signature", None)
    signature = None
    parts = []
    for part in (body, query):
        found = _SIGNATURE_PAIR.search(part)
        if found is not None:
            signature = unquote(found.group(1))
            part = part[: found.start()] + part[found.end() :]
            part = part[1:] if found.start() == 0 and part.startswith("&") else part
        parts.append(part)
    return Signed(parameters, (parts[1] + parts[0]).encode(), signature)


def socket_payload(parameters: Mapping[str, object]) -> bytes:
    """What a WebSocket API request signs: parameters by name, `k=v` joined with `&`, not percent-encoded."""
    return "&".join(
        f"{name}={_as_text(parameters[name])}" for name in sorted(parameters) if name != "signature"
    ).encode()


def _as_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def sign(secret: str, payload: bytes) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.digest(secret.encode(), payload, "sha256").hex()


def find_key(keys: Mapping[str, ApiKey], header: str | None) -> ApiKey:
    """The key named by the request."""
    if not header or not _KEY_FORMAT.match(header):
        raise VenueError(-2014, "API-key format invalid.", 401)
    key = keys.get(header)
    if key is None:
        raise unknown_key()
    return key


def unknown_key() -> VenueError:
    """A key that never was, or is not any more."""
    return VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_signature(key: ApiKey, payload: bytes, signature: str | None) -> None:
    """-1102 without a signature, -1022 with a wrong one."""
    if not signature:
        raise missing("signature")
    public = key.ed25519()
    if public is None:
        good = hmac.compare_digest(sign(key.secret, payload), signature.lower())
    else:
        try:
            public.verify(base64.b64decode(signature, validate=True), payload)
            good = True
        except (InvalidSignature, binascii.Error):
            good = False
    if not good:
        raise VenueError(-1022, "Signature for this request is not valid.")


def check_matching_time(parameters: Mapping[str, str], now_ms: int) -> None:
    """The same window once more where orders are matched, after whatever the request waited for."""
    window_ms = int(parameters.get("recvWindow", DEFAULT_RECEIVE_WINDOW_MS))
    if now_ms - int(parameters["timestamp"]) > window_ms:
        raise VenueError(-5028, "Timestamp for this request is outside of the ME recvWindow.")


def check_timestamp(parameters: Mapping[str, str], now_ms: int) -> None:
    """The request must be no more than recvWindow old and less than a second ahead."""
    shown, window_text = parameters.get("timestamp", ""), parameters.get("recvWindow", str(DEFAULT_RECEIVE_WINDOW_MS))
    if not shown.isdigit():
        raise missing("timestamp")
    if not window_text.isdigit() or int(window_text) > MAX_RECEIVE_WINDOW_MS:
        raise invalid("recvWindow")
    timestamp = int(shown)
    if timestamp >= now_ms + MAX_AHEAD_MS:
        raise VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > int(window_text):
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")

"""HMAC-SHA256 in hex, for the venues that sign with a shared secret. The key schedule is done once.

Who calls it: auth.py of a venue.
"""

from __future__ import annotations

import hashlib
import hmac


class HmacSigner:
    """Holds the secret in no readable form; each signature copies the keyed state."""

    __slots__ = ("_keyed",)

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        state = self._keyed.copy()
        state.update(payload)
        return state.hexdigest()

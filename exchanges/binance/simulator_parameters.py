"""Typed reading of request parameters, with the venue's own errors for what is missing or malformed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from exchanges.binance.simulator_errors import VenueError, invalid, missing

MAX_DIGITS = 30
"""Longer numbers are refused before Decimal has to carry them."""


class Parameters:
    """Parameters of one call, all text, as both REST and the WebSocket API send them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def has(self, name: str) -> bool:
        return bool(self.values.get(name))

    def text(self, name: str, default: str | None = None) -> str:
        """Mandatory unless a default is given."""
        value = self.values.get(name)
        if not value:
            if default is None:
                raise missing(name)
            return default
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        value = self.text(name, None if default is None else str(default))
        if not value.lstrip("-").isdigit() or len(value) > 20:
            raise missing(name)
        return int(value)

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        value = self.text(name, None if default is None else str(default))
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise missing(name) from None
        if not number.is_finite() or len(value) > MAX_DIGITS:
            raise missing(name)
        return number

    def boolean(self, name: str, default: bool | None = None) -> bool:
        value = self.text(name, None if default is None else str(default)).lower()
        if value not in ("true", "false"):
            raise missing(name)
        return value == "true"

    def choice(self, name: str, allowed: Iterable[str], refusal: VenueError, default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise refusal
        return value

    def limit(self, default: int, most: int) -> int:
        """`limit`, capped as the venue caps it."""
        value = self.integer("limit", default)
        if value < 1:
            raise invalid("limit")
        return min(value, most)

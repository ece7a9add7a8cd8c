"""Typed reading of request parameters, with the venue's -32602 for what is missing or malformed.

Names are case-sensitive; a parameter that no call knows is ignored, null counts as wrong. Over WebSocket and POST the
JSON types must be right; a query string has text only, which is read as the type that is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from exchanges.deribit.simulator_errors import invalid

MAX_DIGITS = 30
"""Longer numbers are refused before Decimal has to carry them."""
MAX_CHANNELS = 500


class Parameters:
    """Parameters of one call. `textual`: they come from a query string."""

    def __init__(self, values: Mapping[str, Any], textual: bool = False) -> None:
        self.values = dict(values)
        self._textual = textual

    def has(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: str | None = None, most: int = 1 << 15) -> str:
        """Mandatory unless a default is given."""
        value = self._value(name, default)
        if not isinstance(value, str) or len(value) > most:
            raise invalid(name)
        return value

    def optional_text(self, name: str, most: int = 1 << 15) -> str | None:
        return self.text(name, most=most) if self.has(name) else None

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise invalid(name, "value not allowed")
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        value = self._value(name, default)
        if self._textual and isinstance(value, str) and value.lstrip("-").isdigit() and len(value) < 20:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(name)
        return value

    def decimal(self, name: str) -> Decimal:
        """A number exactly as it was written, as far as a JSON reader keeps it."""
        value = self._value(name, None)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number and not (self._textual and isinstance(value, str)):
            raise invalid(name)
        try:
            exact = Decimal(str(value))
        except InvalidOperation:
            raise invalid(name) from None
        if not exact.is_finite() or len(str(value)) > MAX_DIGITS or abs(exact) > Decimal(10) ** MAX_DIGITS:
            raise invalid(name)
        return exact

    def optional_decimal(self, name: str) -> Decimal | None:
        return self.decimal(name) if self.has(name) else None

    def boolean(self, name: str, default: bool | None = None) -> bool:
        value = self._value(name, default)
        if self._textual and value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise invalid(name)
        return value

    def texts(self, name: str) -> list[str]:
        """A list of channels."""
        value = self._value(name, None)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid(name)
        if not 0 < len(value) <= MAX_CHANNELS:
            raise invalid(name, "number of channels")
        return value

    def count(self, default: int = 10, most: int = 1000) -> int:
        """`count` of a list's rows."""
        value = self.integer("count", default)
        if not 0 < value <= most:
            raise invalid("count", "out of range")
        return value

    def _value(self, name: str, default: Any) -> Any:
        if name not in self.values:
            if default is None:
                raise invalid(name, "value required")
            return default
        return self.values[name]

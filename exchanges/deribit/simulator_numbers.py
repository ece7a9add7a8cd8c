"""Numbers and JSON as the venue's server writes them.

It is an Erlang server: one and the same price may arrive as `61000`, `61000.0` or `6.1e4`, a fee as `5.0e-8`. "mixed"
writes numbers in all forms in turn, so that a client that cannot read one of them is found out; "plain" writes
decimals without exponent. A number's value is exact in every form.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import orjson

NumberStyle = Literal["mixed", "plain"]

REMEMBERED = 1 << 16
"""Texts of numbers: a book's prices come again and again."""


@lru_cache(REMEMBERED)
def plain(value: Decimal) -> str:
    """Shortest decimal text without exponent; a whole number keeps `.0`."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0")
        return text + "0" if text.endswith(".") else text
    return text + ".0"


@lru_cache(REMEMBERED)
def exponent(value: Decimal) -> str:
    """`d.ddde±x` with at least one digit after the point."""
    sign, digits, power = value.normalize().as_tuple()
    if not isinstance(power, int) or not any(digits):
        return "0.0"
    shown = "".join(str(digit) for digit in digits)
    scale = power + len(digits) - 1
    return f"{'-' if sign else ''}{shown[0]}.{shown[1:] or '0'}e{scale}"


@lru_cache(REMEMBERED)
def whole(value: Decimal) -> str:
    """Without `.0` where there is nothing after the point."""
    text = plain(value)
    return text.removesuffix(".0")


class Numbers:
    """Writes numbers in one style and JSON that contains `Decimal`."""

    def __init__(self, style: NumberStyle) -> None:
        forms = (plain,) if style == "plain" else (plain, whole, plain, exponent)
        self._forms = itertools.cycle(forms)

    def write(self, value: Decimal) -> str:
        """`value` in the next form."""
        return next(self._forms)(value)

    def dumps(self, value: Any) -> bytes:
        """JSON of `value`; its Decimals as numbers."""
        return orjson.dumps(value, default=self._default)

    def _default(self, value: Any) -> Any:
        if isinstance(value, Decimal):
            return orjson.Fragment(next(self._forms)(value).encode())
        raise TypeError(f"{type(value).__name__} is no JSON")

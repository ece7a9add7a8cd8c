"""Limits of an engine's risk gate, from the config's words to exact integers.

Called by processes/trading_engine.py, which gives them to the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from exchanges.adapter import ConfigurationError
from exchanges.decimal_text import DecimalTextError, mantissa
from exchanges.order_instruments import OrderInstruments
from shm.layout import MONEY_SCALE


class RiskSettings(Protocol):
    """The config's RiskConfig."""

    @property
    def max_order_quantity(self) -> Mapping[str, str]: ...
    @property
    def max_order_notional(self) -> str: ...
    @property
    def max_position(self) -> Mapping[str, str]: ...
    @property
    def max_open_orders(self) -> int: ...
    @property
    def max_orders_per_second(self) -> float: ...
    @property
    def collar(self) -> float: ...


class RiskLimits(Struct, frozen=True):
    """Quantities by instrument id in its quantity scale, notional in MONEY_SCALE, collar as a fraction of the mid."""

    max_order_quantity: dict[int, int]
    max_order_notional: int
    max_position: dict[int, int]
    max_open_orders: int
    max_orders_per_second: float
    collar: float

    @classmethod
    def from_settings(cls, settings: RiskSettings, instruments: OrderInstruments) -> RiskLimits:
        """Raises ConfigurationError where a number is finer than the instrument allows."""
        return cls(
            max_order_quantity=_quantities("max_order_quantity", settings.max_order_quantity, instruments),
            max_order_notional=_mantissa("max_order_notional", settings.max_order_notional, MONEY_SCALE),
            max_position=_quantities("max_position", settings.max_position, instruments),
            max_open_orders=settings.max_open_orders,
            max_orders_per_second=settings.max_orders_per_second,
            collar=settings.collar,
        )


def _quantities(key: str, texts: Mapping[str, str], instruments: OrderInstruments) -> dict[int, int]:
    return {
        instrument.id: _mantissa(f"{key}.{instrument.symbol}", texts[instrument.symbol], instrument.quantity_scale)
        for instrument in instruments
        if instrument.symbol in texts
    }


def _mantissa(key: str, text: str, scale: int) -> int:
    try:
        return mantissa(text, scale)
    except DecimalTextError:
        raise ConfigurationError(f"risk.{key}: {text!r} has more than the {scale} decimals that count there") from None

"""The contracts that the GRVT simulator lists, as its all_instruments and currency replies say them.

Ticks, sizes, hashes and limits of the listed ones follow the venue's own list (2026); another name of the form
<BASE>_USDT_Perp gets a set derived from a price near 1 and a hash of its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.instrument import Instrument

QUOTE: Final = "USDT"
QUOTE_ID: Final = 3
QUOTE_DECIMALS: Final = 6
CREATED_NS: Final = "1768040726362828205"
SUFFIX: Final = "_USDT_Perp"
PERPETUAL: Final = 1
PRECISION: Final = 9
"""Decimals that anything may have: the venue knows ticks and sizes only, not "too many digits"."""

# base: currency id, base decimals, tick, min size, max position, min notional, funding cap, price
_LISTED: Final[dict[str, tuple[int, int, str, str, str, str, str, str]]] = {
    "BTC": (5, 9, "0.1", "0.001", "1000.0", "100.0", "0.3", "61800"),
    "ETH": (4, 9, "0.01", "0.001", "30000.0", "20.0", "0.3", "2681"),
    "SOL": (6, 9, "0.01", "0.01", "300000.0", "5.0", "0.375", "150"),
    "BNB": (8, 9, "0.01", "0.01", "1644.0", "5.0", "0.375", "500"),
    "SUI": (0x15, 6, "0.0001", "0.1", "901207.0", "5.0", "0.75", "1"),
    "DOGE": (0x1E, 6, "0.00001", "1.0", "9993338.0", "5.0", "0.4875", "0.1"),
}
_DERIVED: Final = (6, "0.0001", "1.0", "10000000.0", "5.0", "0.75", "1")
_FIRST_DERIVED_ID: Final = 0x80


def instrument_for(symbol: str) -> Instrument:
    """The contract named `symbol`; SimulatorError unless it is a USDT perpetual's name."""
    base = symbol.removesuffix(SUFFIX)
    if not symbol.endswith(SUFFIX) or not base.isalnum() or base != base.upper():
        raise SimulatorError(f"symbol {symbol!r}: the simulator lists USDT perpetuals, such as BTC_USDT_Perp")
    _, _, tick, size, most, notional, _, price = _terms(base)
    return Instrument(
        symbol=symbol,
        base=base,
        quote=QUOTE,
        tick_size=Decimal(tick),
        lot_size=Decimal(size),
        min_price=Decimal(tick),
        max_price=Decimal(10**9),
        min_quantity=Decimal(size),
        max_quantity=Decimal(most),
        market_max_quantity=Decimal(most),
        min_notional=Decimal(notional),
        price_precision=PRECISION,
        quantity_precision=PRECISION,
        reference_price=Decimal(price),
    )


def instrument_hash(symbol: str) -> str:
    """Bytes of quote, base and kind, as the venue's own are."""
    currency = _terms(symbol.removesuffix(SUFFIX))[0]
    return f"0x{QUOTE_ID:02x}{currency:02x}{PERPETUAL:02x}"


def base_decimals(symbol: str) -> int:
    return _terms(symbol.removesuffix(SUFFIX))[1]


def display(symbol: str) -> dict[str, Any]:
    """The InstrumentDisplay of a listed contract."""
    base = symbol.removesuffix(SUFFIX)
    _, digits, tick, size, most, notional, cap, _ = _terms(base)
    return {
        "instrument": symbol,
        "instrument_hash": instrument_hash(symbol),
        "base": base,
        "quote": QUOTE,
        "kind": "PERPETUAL",
        "venues": ["ORDERBOOK", "RFQ"],
        "settlement_period": "PERPETUAL",
        "base_decimals": digits,
        "quote_decimals": QUOTE_DECIMALS,
        "tick_size": tick,
        "min_size": size,
        "create_time": CREATED_NS,
        "max_position_size": most,
        "funding_interval_hours": 8,
        "adjusted_funding_rate_cap": cap,
        "adjusted_funding_rate_floor": f"-{cap}",
        "min_notional": notional,
        "asset_class": "UNSPECIFIED",
        "status": "UNSPECIFIED",
    }


def currencies(symbols: list[str]) -> list[dict[str, Any]]:
    """The reply of `currency`: the quote and every base."""
    found = [{"id": QUOTE_ID, "symbol": QUOTE, "balance_decimals": 6, "quantity_multiplier": "1000000"}]
    for symbol in symbols:
        base = symbol.removesuffix(SUFFIX)
        currency, digits = _terms(base)[:2]
        found.append(
            {"id": currency, "symbol": base, "balance_decimals": digits, "quantity_multiplier": str(10**digits)}
        )
    return found


def _terms(base: str) -> tuple[int, int, str, str, str, str, str, str]:
    listed = _LISTED.get(base)
    if listed is not None:
        return listed
    return (_FIRST_DERIVED_ID + sum(base.encode()) % (0x100 - _FIRST_DERIVED_ID), *_DERIVED)

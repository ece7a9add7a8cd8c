"""The contracts the Binance simulator lists, and its exchangeInfo reply.

Numbers of the listed symbols follow the venue's own exchangeInfo (2026); a symbol that is not listed gets a filter set
derived from a price near 1, so any `...USDT` name can be generated.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.instrument import Instrument

DELIVERY_NEVER_MS = 4_133_404_800_000
ONBOARD_MS = 1_569_398_400_000

# symbol: tick, lot, min price, max price, max quantity, market max, notional, price decimals, quantity decimals, price
_LISTED: dict[str, tuple[str, str, str, str, str, str, str, int, int, str]] = {
    "BTCUSDT": ("0.10", "0.001", "261.10", "809484", "1000", "120", "50", 2, 3, "61800"),
    "ETHUSDT": ("0.01", "0.001", "18.67", "306177", "10000", "2000", "20", 2, 3, "2681"),
    "SOLUSDT": ("0.0100", "0.01", "0.4200", "6857", "1000000", "8000", "5", 4, 2, "150"),
    "BNBUSDT": ("0.010", "0.01", "6.600", "100000", "10000", "2000", "5", 3, 2, "500"),
    "XRPUSDT": ("0.0001", "0.1", "0.0143", "100000", "10000000", "2000000", "5", 4, 1, "0.6"),
    "DOGEUSDT": ("0.000010", "1", "0.002440", "30", "50000000", "30000000", "5", 6, 0, "0.1"),
}
_DERIVED = ("0.0001", "1", "0.0001", "100000", "10000000", "1000000", "5", 4, 0, "1")


def instrument_for(symbol: str) -> Instrument:
    """The contract named `symbol`; SimulatorError unless it is a USDT-margined name."""
    if not symbol.endswith("USDT") or len(symbol) < 6 or symbol != symbol.upper():
        raise SimulatorError(f"symbol {symbol!r}: the simulator lists USDT-margined names in capitals, such as BTCUSDT")
    tick, lot, low, high, most, market_most, notional, price_decimals, quantity_decimals, price = _LISTED.get(
        symbol, _DERIVED
    )
    return Instrument(
        symbol=symbol,
        base=symbol[:-4],
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_price=Decimal(low),
        max_price=Decimal(high),
        min_quantity=Decimal(lot),
        max_quantity=Decimal(most),
        market_max_quantity=Decimal(market_most),
        min_notional=Decimal(notional),
        price_precision=price_decimals,
        quantity_precision=quantity_decimals,
        reference_price=Decimal(price),
    )


def exchange_info(
    instruments: list[Instrument], server_ms: int, limits: list[dict[str, Any]], halted: set[str]
) -> dict[str, Any]:
    """The reply of GET /fapi/v1/exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": server_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": limits,
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_symbol_info(instrument, instrument.symbol in halted) for instrument in instruments],
    }


def _symbol_info(instrument: Instrument, halted: bool) -> dict[str, Any]:
    up, down = 1 + instrument.percent_price, 1 - instrument.percent_price
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": DELIVERY_NEVER_MS,
        "onboardDate": ONBOARD_MS,
        "status": "PENDING_TRADING" if halted else "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": instrument.price_precision,
        "quantityPrecision": instrument.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if instrument.base == "BTC" else [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": str(instrument.percent_price),
        "maxMoveOrderLimit": 10000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": str(instrument.min_price),
                "maxPrice": str(instrument.max_price),
                "tickSize": str(instrument.tick_size),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": str(instrument.min_quantity),
                "maxQty": str(instrument.max_quantity),
                "stepSize": str(instrument.lot_size),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": str(instrument.min_quantity),
                "maxQty": str(instrument.market_max_quantity),
                "stepSize": str(instrument.lot_size),
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": instrument.max_open_orders},
            {"filterType": "MIN_NOTIONAL", "notional": str(instrument.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": f"{up:.4f}",
                "multiplierDown": f"{down:.4f}",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ],
        "orderTypes": [
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY", "RPI"],
    }

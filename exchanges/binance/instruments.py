"""exchangeInfo -> instrument rows.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information

The rule: scales are fixed by the venue's own numbers. Market streams pad prices to `pricePrecision`, which may be finer
or coarser than the tick, so price_scale is the larger of both and every price of the venue is an exact mantissa;
quantities likewise.

Who calls it: data_fetcher.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from exchanges.adapter import InstrumentIds
from exchanges.binance.codec import NS_PER_MS
from exchanges.binance.endpoints import VENUE
from exchanges.binance.messages import ExchangeInfoReply, SymbolFilter, SymbolInfo
from exchanges.decimal_text import decimals, mantissa
from exchanges.instrument_rows import require_symbols
from exchanges.market_events import MalformedFrame
from shm import layout
from shm.layout import MONEY_SCALE, ContractKind, InstrumentStatus
from shm.records import InstrumentRow

_STATUS: Final = {
    "TRADING": InstrumentStatus.TRADING,
    "PENDING_TRADING": InstrumentStatus.PENDING,
    "PRE_SETTLE": InstrumentStatus.HALTED,
    "SETTLING": InstrumentStatus.HALTED,
    "PRE_DELIVERING": InstrumentStatus.CLOSED,
    "DELIVERING": InstrumentStatus.CLOSED,
    "DELIVERED": InstrumentStatus.CLOSED,
    "CLOSE": InstrumentStatus.CLOSED,
}
_NO_FILTER: Final = SymbolFilter(kind="")
_decoder: Final = msgspec.json.Decoder(ExchangeInfoReply)


def decode_exchange_info(body: bytes) -> ExchangeInfoReply:
    """Raises MalformedFrame."""
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise MalformedFrame("unexpected shape", f"exchangeInfo: {error}") from None


def instrument_row(info: SymbolInfo, instrument_id: int, receive_time_ns: int) -> InstrumentRow:
    """The row of one symbol. Raises DecimalTextError where the venue's numbers do not fit 18 digits."""
    filters = {entry.kind: entry for entry in info.filters}
    price = filters.get("PRICE_FILTER", _NO_FILTER)
    lot = filters.get("LOT_SIZE", _NO_FILTER)
    percent = filters.get("PERCENT_PRICE", _NO_FILTER)
    row = InstrumentRow()
    row.instrument_id = instrument_id
    row.venue = layout.Venue.BINANCE
    row.status = _STATUS.get(info.status, InstrumentStatus.HALTED)
    row.contract_kind = (
        ContractKind.LINEAR_PERPETUAL if "PERPETUAL" in info.contract_type else ContractKind.LINEAR_FUTURE
    )
    row.price_scale = max(decimals(price.tick_size), info.price_precision)
    row.quantity_scale = max(decimals(lot.step_size), info.quantity_precision)
    row.tick_size = mantissa(price.tick_size, row.price_scale)
    row.lot_size = mantissa(lot.step_size, row.quantity_scale)
    row.minimum_quantity = mantissa(lot.minimum_quantity, row.quantity_scale)
    row.maximum_quantity = mantissa(lot.maximum_quantity, row.quantity_scale)
    row.minimum_price = mantissa(price.minimum_price, row.price_scale)
    row.maximum_price = mantissa(price.maximum_price, row.price_scale)
    row.minimum_notional = mantissa(filters.get("MIN_NOTIONAL", _NO_FILTER).notional, MONEY_SCALE)
    row.contract_size = 10**MONEY_SCALE
    row.price_band_up = float(percent.multiplier_up)
    row.price_band_down = float(percent.multiplier_down)
    if row.contract_kind == ContractKind.LINEAR_FUTURE:
        row.expiration_time_ns = info.delivery_date * NS_PER_MS
    row.receive_time_ns = receive_time_ns
    row.symbol = info.symbol.encode()
    row.base_currency = info.base_asset.encode()
    row.quote_currency = info.quote_asset.encode()
    row.settle_currency = info.margin_asset.encode()
    return row


def instrument_rows(
    reply: ExchangeInfoReply, symbols: Sequence[str], ids: InstrumentIds, receive_time_ns: int
) -> list[InstrumentRow]:
    """Rows of the configured symbols, in their order. Raises ConfigurationError naming each one that is not there."""
    known = {info.symbol: info for info in reply.symbols}
    require_symbols(VENUE, symbols, known)
    return [instrument_row(known[symbol], ids.id(symbol), receive_time_ns) for symbol in symbols]

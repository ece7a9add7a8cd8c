"""exchangeInfo -> instrument rows, and what is kept of them for a start while the venue is away.

Docs: https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api/Exchange-Information

The rule: scales are fixed by the venue's own numbers. Market streams pad prices to `pricePrecision`, which may be finer
or coarser than the tick, so price_scale is the larger of both and every price of the venue is an exact mantissa;
quantities likewise. A row never changes its scales while a process lives: mantissas already published would change
their meaning.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from exchanges.adapter import ConfigurationError, InstrumentIds
from exchanges.binance.codec import Scales
from exchanges.binance.endpoints import VENUE
from exchanges.binance.messages import ExchangeInfoReply, SymbolFilter, SymbolInfo
from exchanges.decimal_text import decimals, mantissa
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
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        raise ConfigurationError("; ".join(_missing(symbol, known) for symbol in missing))
    return [instrument_row(known[symbol], ids.id(symbol), receive_time_ns) for symbol in symbols]


def scales_of(rows: Iterable[InstrumentRow]) -> dict[str, Scales]:
    """Symbol -> decimals, as the codec takes them."""
    return {row.symbol.decode(): Scales(row.price_scale, row.quantity_scale) for row in rows}


def _missing(symbol: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(symbol.upper(), known, n=3)
    hint = f", it has {', '.join(close)}" if close else ""
    return f"venues.{VENUE}.symbols: the venue has no symbol {symbol!r}{hint}"


# --- the last rows, kept over restarts --------------------------------------------------------------------------------
def rows_file(state_dir: Path) -> Path:
    return state_dir / "instruments" / f"{VENUE}.rows.json"


def save_rows(path: Path, rows: Sequence[InstrumentRow]) -> None:
    """Replace the file as a whole: a reader finds the old rows or the new ones."""
    document = {"layout_version": layout.LAYOUT_VERSION, "rows": [_plain(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    temporary.replace(path)


def load_rows(path: Path, symbols: Sequence[str], ids: InstrumentIds) -> list[InstrumentRow] | None:
    """The kept rows of these symbols, or None: the file is missing, unreadable, of another layout or incomplete."""
    try:
        document = msgspec.json.decode(path.read_bytes())
        if document["layout_version"] != layout.LAYOUT_VERSION:
            return None
        kept = {row["symbol"]: row for row in document["rows"]}
        return [_restored(kept[symbol], ids.id(symbol)) for symbol in symbols]
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def _plain(row: InstrumentRow) -> dict[str, Any]:
    return {name: value for name, value in row.to_dict().items() if name not in ("instrument_id", "receive_time_ns")}


def _restored(fields: dict[str, Any], instrument_id: int) -> InstrumentRow:
    row = InstrumentRow()
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(row, name)[:] = value
        else:
            setattr(row, name, value.encode() if isinstance(value, str) else value)
    row.instrument_id = instrument_id
    return row

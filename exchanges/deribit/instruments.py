"""public/get_instruments -> instrument rows.

Docs: https://docs.deribit.com/api-reference/market-data/public-get_instruments

The rules
- A quantity here is the venue's `amount`: US dollars of inverse futures, base coins of linear futures and options. So
  contract_size of a row is 1 (an amount counts itself); the venue's own contract_size is only a lot.
- Block trades and combo legs are published with prices off the tick, so price_scale has the finest of both ticks.
- `inverse` is said of futures that pay in the base coin. An option on a coin is priced in that coin: linear in it.
- Spot and combos are not traded here.

Who calls it: data_fetcher.py, subscriber.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from exchanges.adapter import ConfigurationError, InstrumentIds
from exchanges.decimal_text import number_decimals, number_mantissa
from exchanges.deribit.codec import NS_PER_MS
from exchanges.deribit.endpoints import VENUE
from exchanges.deribit.messages import InstrumentInfo
from exchanges.instrument_rows import require_symbols
from exchanges.market_events import MalformedFrame
from shm import layout
from shm.layout import MONEY_SCALE, ContractKind, InstrumentStatus, OptionKind
from shm.records import InstrumentRow

_STATUS: Final = {
    "open": InstrumentStatus.TRADING,
    "settlement": InstrumentStatus.HALTED,
    "inactive": InstrumentStatus.HALTED,
    "locked": InstrumentStatus.HALTED,
    "halted": InstrumentStatus.HALTED,
    "delivered": InstrumentStatus.CLOSED,
    "archivized": InstrumentStatus.CLOSED,
}
"""Book states."""
_FUTURES: Final = {
    (True, True): ContractKind.INVERSE_PERPETUAL,
    (True, False): ContractKind.INVERSE_FUTURE,
    (False, True): ContractKind.LINEAR_PERPETUAL,
    (False, False): ContractKind.LINEAR_FUTURE,
}
_OPTIONS: Final = {"call": OptionKind.CALL, "put": OptionKind.PUT}
PERPETUAL: Final = "perpetual"
STEPS: Final = 4
"""Tick size steps that a row holds; the venue has at most two today."""
_decoder: Final = msgspec.json.Decoder(list[InstrumentInfo])


def decode_instruments(result: bytes) -> list[InstrumentInfo]:
    """Raises MalformedFrame."""
    try:
        return _decoder.decode(result)
    except msgspec.DecodeError as error:
        raise MalformedFrame("unexpected shape", f"get_instruments: {error}") from None


def instrument_row(info: InstrumentInfo, instrument_id: int, receive_time_ns: int) -> InstrumentRow:
    """The row of one future or option. Raises DecimalTextError where the venue's numbers do not fit 18 digits."""
    tick, contract, minimum = (bytes(raw) for raw in (info.tick_size, info.contract_size, info.min_trade_amount))
    steps = [(bytes(step.above_price), bytes(step.tick_size)) for step in info.tick_size_steps]
    row = InstrumentRow()
    row.instrument_id = instrument_id
    row.venue = layout.Venue.DERIBIT
    row.status = status_of(info)
    row.inverse = is_inverse(info)
    row.contract_kind = (
        ContractKind.OPTION
        if info.kind == "option"
        else _FUTURES[bool(row.inverse), info.settlement_period == PERPETUAL]
    )
    row.option_kind = _OPTIONS.get(info.option_type, OptionKind.NONE)
    row.strike = info.strike
    if info.settlement_period != PERPETUAL:
        row.expiration_time_ns = info.expiration_timestamp * NS_PER_MS
    finest = [tick, *(size for _, size in steps)]
    if info.block_trade_tick_size:
        finest.append(bytes(info.block_trade_tick_size))
    row.price_scale = max(number_decimals(text) for text in finest)
    row.quantity_scale = max(number_decimals(contract), number_decimals(minimum))
    row.tick_size = number_mantissa(tick, row.price_scale)
    row.minimum_quantity = number_mantissa(minimum, row.quantity_scale)
    row.lot_size = min(number_mantissa(contract, row.quantity_scale), row.minimum_quantity)
    if len(steps) > STEPS:  # the coarsest tick early is allowed at every price, a fine one late is not
        steps = [*steps[: STEPS - 1], (steps[STEPS - 1][0], steps[-1][1])]
    for index, (above, size) in enumerate(steps):
        row.tick_step_prices[index] = number_mantissa(above, row.price_scale)
        row.tick_step_sizes[index] = number_mantissa(size, row.price_scale)
    row.contract_size = 10**MONEY_SCALE
    row.receive_time_ns = receive_time_ns
    row.symbol = info.instrument_name.encode()
    row.base_currency = info.base_currency.encode()
    row.quote_currency = info.quote_currency.encode()
    row.settle_currency = settle_currency(info).encode()
    return row


def status_of(info: InstrumentInfo) -> InstrumentStatus:
    """By `state`; recordings before it came have `is_active` only."""
    if not info.state:
        return InstrumentStatus.TRADING if info.is_active else InstrumentStatus.CLOSED
    return _STATUS.get(info.state, InstrumentStatus.HALTED)


def is_inverse(info: InstrumentInfo) -> bool:
    """Pays in the base coin although it is priced in dollars."""
    kind = info.instrument_type or info.future_type
    return info.kind == "future" and (kind == "reversed" if kind else info.quote_currency == "USD")


def settle_currency(info: InstrumentInfo) -> str:
    """What fees and profits are paid in."""
    return info.settlement_currency or (info.base_currency if is_inverse(info) else info.quote_currency)


def instrument_rows(
    infos: Sequence[InstrumentInfo], symbols: Sequence[str], ids: InstrumentIds, receive_time_ns: int
) -> list[InstrumentRow]:
    """Rows of the configured symbols, in their order. Raises ConfigurationError naming each one that is not there or
    not traded here."""
    known = {info.instrument_name: info for info in infos}
    require_symbols(VENUE, symbols, known)
    if others := [symbol for symbol in symbols if known[symbol].kind not in ("future", "option")]:
        raise ConfigurationError(
            f"venues.{VENUE}.symbols: futures and options are traded here, not {', '.join(others)}"
            f" ({', '.join(known[symbol].kind for symbol in others)})"
        )
    return [instrument_row(known[symbol], ids.id(symbol), receive_time_ns) for symbol in symbols]

"""all_instruments -> instrument rows, and what only signatures need of an instrument.

Docs: https://api-docs.grvt.io/market_data_api (Get All Instruments), struct InstrumentDisplay of the venue's api-spec.

The rule: scales are fixed by the venue's own numbers. Every price of the book is a multiple of the tick and every size
one of `min_size`, which is the smallest size and the step at once; other prices (mark, index) are finer and never
become mantissas of this scale. A signature counts sizes in 10^-base_decimals, which the row need not know.

Who calls it: data_fetcher.py, and order_codec.py for the terms of signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from exchanges.adapter import InstrumentIds
from exchanges.decimal_text import decimals, mantissa
from exchanges.grvt.endpoints import VENUE
from exchanges.grvt.messages import Instrument, InstrumentsReply
from exchanges.instrument_rows import require_symbols
from exchanges.market_events import MalformedFrame
from shm import layout
from shm.layout import MONEY_SCALE, ContractKind, InstrumentStatus
from shm.records import InstrumentRow

_KINDS: Final = {"PERPETUAL": ContractKind.LINEAR_PERPETUAL, "FUTURE": ContractKind.LINEAR_FUTURE}
_CURRENCY_BYTES: Final = 8
_decoder: Final = msgspec.json.Decoder(InstrumentsReply)


class SigningTerms(msgspec.Struct, frozen=True):
    """How an instrument stands in a signature."""

    instrument_hash: str
    base_decimals: int


def decode_instruments(body: bytes) -> InstrumentsReply:
    """Raises MalformedFrame."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedFrame("unexpected shape", f"all_instruments: {error}") from None


def instrument_row(info: Instrument, instrument_id: int, receive_time_ns: int) -> InstrumentRow:
    """The row of one instrument. Raises DecimalTextError where the venue's numbers do not fit 18 digits.

    The list is asked for with is_active, so what stands in it trades; options are halted here, we do not price them.
    """
    row = InstrumentRow()
    row.instrument_id = instrument_id
    row.venue = layout.Venue.GRVT
    known = info.kind in _KINDS
    row.status = InstrumentStatus.TRADING if known else InstrumentStatus.HALTED
    row.contract_kind = _KINDS.get(info.kind, ContractKind.OPTION)
    row.price_scale = decimals(info.tick_size)
    row.quantity_scale = decimals(info.min_size)
    row.tick_size = mantissa(info.tick_size, row.price_scale)
    row.lot_size = row.minimum_quantity = mantissa(info.min_size, row.quantity_scale)
    if info.max_position_size:
        row.maximum_quantity = mantissa(info.max_position_size, row.quantity_scale)
    row.minimum_notional = mantissa(info.min_notional, MONEY_SCALE)
    row.contract_size = 10**MONEY_SCALE
    row.receive_time_ns = receive_time_ns
    row.symbol = info.instrument.encode()
    row.base_currency = info.base.encode()[:_CURRENCY_BYTES]
    row.quote_currency = row.settle_currency = info.quote.encode()[:_CURRENCY_BYTES]
    return row


def instrument_rows(
    reply: InstrumentsReply, symbols: Sequence[str], ids: InstrumentIds, receive_time_ns: int
) -> list[InstrumentRow]:
    """Rows of the configured symbols, in their order. Raises ConfigurationError naming each one that is not there."""
    known = {info.instrument: info for info in reply.result}
    require_symbols(VENUE, symbols, known)
    return [instrument_row(known[symbol], ids.id(symbol), receive_time_ns) for symbol in symbols]


def signing_terms(reply: InstrumentsReply, symbols: Sequence[str]) -> dict[str, SigningTerms]:
    """By symbol. Raises ConfigurationError naming each symbol that is not there."""
    known = {info.instrument: info for info in reply.result}
    require_symbols(VENUE, symbols, known)
    return {symbol: SigningTerms(known[symbol].instrument_hash, known[symbol].base_decimals) for symbol in symbols}

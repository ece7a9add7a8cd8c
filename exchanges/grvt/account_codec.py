"""Positions and balances of GRVT as rows. No I/O.

The rule: sizes are exact mantissas; money that the venue cuts at six decimals fits a record's eight. What the venue
says at an instant carries that instant (`event_time`), so rows show how old they are.

Who calls it: account_fetcher.py and pms.py.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from exchanges.decimal_text import DecimalTextError, mantissa, rounded_mantissa
from exchanges.grvt.order_messages import Position, PositionsReply, PrivateFrame, SubAccountReply
from exchanges.market_events import MalformedFrame
from exchanges.order_instruments import OrderInstruments
from shm.layout import MONEY_SCALE, Venue
from shm.records import BalanceRow, PositionRow

_T = TypeVar("_T")


class AccountCodec:
    """Stateless but for the instruments. Everything raises MalformedFrame."""

    def __init__(self, instruments: OrderInstruments) -> None:
        self._instruments = instruments
        self._frame = msgspec.json.Decoder(PrivateFrame)
        self._position = msgspec.json.Decoder(Position)
        self._positions = msgspec.json.Decoder(PositionsReply)
        self._summary = msgspec.json.Decoder(SubAccountReply)

    def decode_frame(self, payload: bytes) -> PrivateFrame:
        return _decode(self._frame, payload)

    def decode_position(self, feed: bytes, receive_time_ns: int) -> PositionRow | None:
        """The feed of v1.position; None: an instrument that is not configured."""
        return self._row(_decode(self._position, feed), receive_time_ns)

    def decode_positions(self, body: bytes, receive_time_ns: int) -> list[PositionRow]:
        """Reply of positions: configured instruments that have one."""
        rows = [self._row(entry, receive_time_ns) for entry in _decode(self._positions, body).result]
        return [row for row in rows if row is not None]

    def decode_every_position(self, body: bytes) -> list[Position]:
        """Reply of positions as it is worded, of all instruments."""
        return _decode(self._positions, body).result

    def decode_balances(self, body: bytes, receive_time_ns: int) -> list[BalanceRow]:
        """Reply of account_summary: a row per currency, the settle currency's with what is available."""
        summary = _decode(self._summary, body).result
        rows = []
        for entry in summary.spot_balances:
            row = BalanceRow()
            row.venue = Venue.GRVT
            row.currency = entry.currency.encode()[:8]
            row.wallet_balance = _money(entry.balance)
            if entry.currency == summary.settle_currency:
                row.available_balance = _money(summary.available_balance)
                row.unrealized_pnl = _money(summary.unrealized_pnl)
            else:
                row.available_balance = row.wallet_balance
            row.exchange_time_ns = int(summary.event_time)
            row.receive_time_ns = receive_time_ns
            row.valid = 1
            rows.append(row)
        return rows

    def _row(self, entry: Position, receive_time_ns: int) -> PositionRow | None:
        instrument = self._instruments.by_symbol(entry.instrument)
        if instrument is None:
            return None
        row = PositionRow()
        row.venue, row.instrument_id = Venue.GRVT, instrument.id
        try:
            row.position = mantissa(entry.size, instrument.quantity_scale)
            row.entry_price = float(entry.entry_price)
        except (DecimalTextError, ValueError) as error:
            raise MalformedFrame("bad decimal", str(error)) from None
        row.unrealized_pnl = _money(entry.unrealized_pnl)
        row.accumulated_realized_pnl = _money(entry.realized_pnl)
        row.exchange_time_ns = int(entry.event_time)
        row.receive_time_ns = receive_time_ns
        row.valid = 1
        return row


def _money(text: str) -> int:
    try:
        return rounded_mantissa(text, MONEY_SCALE)
    except DecimalTextError as error:
        raise MalformedFrame("bad decimal", str(error)) from None


def _decode(decoder: msgspec.json.Decoder[_T], data: bytes) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame("unexpected shape", f"{error} in {data[:160]!r}") from None

"""Positions and balances of an account: events and snapshots merged, rows written. The same for every venue.

The rule: a snapshot never undoes an event. Of a row that an event changed after the snapshot was asked for, or whose
venue time is newer than the snapshot's, the event's word stays. A configured instrument that a snapshot does not list
has position 0, as of when it was asked for.

Who calls it: the venues' pms.py; processes/position_server.py makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from exchanges.order_instruments import OrderInstruments
from shm.clock import monotonic_ns
from shm.layout import ROW_MASK
from shm.records import BalanceRow, PositionRow


class RowWriter(Protocol):
    """shm.table.TableWriter."""

    def write(self, row: int, record: PositionRow | BalanceRow) -> None: ...


class AccountTables:
    """Merges rows of events and snapshots and writes what changed. No I/O but the tables."""

    def __init__(
        self,
        positions: RowWriter,
        balances: RowWriter,
        instruments: OrderInstruments,
        settle_currency: str,
        balance_rows: int,
    ) -> None:
        """balance_rows: capacity of the balances table; the settle currency always has row 0."""
        self._position_writer, self._balance_writer = positions, balances
        self._instruments, self._balance_rows = instruments, balance_rows
        self._positions: dict[int, PositionRow] = {}
        self._balances: dict[bytes, BalanceRow] = {}
        self._rows: dict[bytes, int] = {settle_currency.encode()[:8]: 0}
        self._event_time_ns: dict[int | bytes, int] = {}
        """CLOCK_MONOTONIC of the newest event, by instrument id or currency."""

    def on_event(
        self, positions: Sequence[PositionRow], balances: Sequence[BalanceRow], *, complete: bool = False
    ) -> None:
        """Rows of an event of the private stream. One that is older than what stands is dropped. complete: the balances
        carry what is available and the profit too."""
        for row in positions:
            known = self._positions.get(row.instrument_id)
            if known is not None and row.exchange_time_ns < known.exchange_time_ns:
                continue
            self._event_time_ns[row.instrument_id] = row.receive_time_ns
            self._write_position(row)
        for balance in balances:
            before = self._balances.get(balance.currency)
            if before is not None:
                if balance.exchange_time_ns < before.exchange_time_ns:
                    continue
                if not complete:
                    # No available balance: it moves with the wallet until the next snapshot says better.
                    moved = balance.wallet_balance - before.wallet_balance
                    balance.available_balance = before.available_balance + moved
                    balance.unrealized_pnl = before.unrealized_pnl
            self._event_time_ns[balance.currency] = balance.receive_time_ns
            self._write_balance(balance)

    def on_snapshot(
        self, positions: Sequence[PositionRow], balances: Sequence[BalanceRow], asked_time_ns: int, venue_time_ns: int
    ) -> None:
        """Both lists, asked for at asked_time_ns (CLOCK_MONOTONIC), which was venue_time_ns of the venue's clock."""
        listed = {row.instrument_id: row for row in positions}
        for instrument in self._instruments:
            row = listed.get(instrument.id)
            if row is None:
                row = PositionRow()
                row.venue, row.instrument_id, row.valid = instrument.venue, instrument.id, 1
                row.exchange_time_ns, row.receive_time_ns = venue_time_ns, monotonic_ns()
            known = self._positions.get(instrument.id)
            if known is not None and self._is_older(instrument.id, row.exchange_time_ns, known, asked_time_ns):
                if row.position == known.position:
                    known.unrealized_pnl = row.unrealized_pnl
                known.valid = 1
                self._write_position(known)
                continue
            if known is not None:
                row.accumulated_realized_pnl = known.accumulated_realized_pnl  # only events carry it
            self._write_position(row)
        for balance in balances:
            before = self._balances.get(balance.currency)
            if before is not None and self._is_older(balance.currency, balance.exchange_time_ns, before, asked_time_ns):
                before.valid = 1
                self._write_balance(before)
                continue
            self._write_balance(balance)

    def _is_older(
        self, key: int | bytes, snapshot_time_ns: int, known: PositionRow | BalanceRow, asked_time_ns: int
    ) -> bool:
        if self._event_time_ns.get(key, 0) >= asked_time_ns:
            return True
        return 0 < snapshot_time_ns < known.exchange_time_ns

    def invalidate(self) -> None:
        """The stream is gone: nothing here is known to be true any more."""
        for row in self._positions.values():
            row.valid = 0
            self._write_position(row)
        for balance in self._balances.values():
            balance.valid = 0
            self._write_balance(balance)

    def _write_position(self, row: PositionRow) -> None:
        self._positions[row.instrument_id] = row
        row.publish_time_ns = monotonic_ns()
        self._position_writer.write(row.instrument_id & ROW_MASK, row)

    def _write_balance(self, row: BalanceRow) -> None:
        self._balances[row.currency] = row
        index = self._rows.setdefault(row.currency, len(self._rows))
        if index < self._balance_rows:
            row.publish_time_ns = monotonic_ns()
            self._balance_writer.write(index, row)

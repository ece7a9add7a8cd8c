"""Snapshots and events merged; a snapshot never undoes an event."""

from __future__ import annotations

from typing import Any

from exchanges.account_tables import AccountTables
from exchanges.order_instruments import OrderInstruments
from shm.records import BalanceRow, PositionRow
from tests.exchanges.order_world import BTC, ETH


class Rows:
    def __init__(self) -> None:
        self.by_index: dict[int, Any] = {}

    def write(self, row: int, record: PositionRow | BalanceRow) -> None:
        self.by_index[row] = record.copy()


class Account:
    def __init__(self) -> None:
        self.positions, self.balances = Rows(), Rows()
        self.tables = AccountTables(self.positions, self.balances, OrderInstruments([BTC, ETH]), "USDT", 3)

    def position(self, instrument: Any = BTC) -> PositionRow:
        row: PositionRow = self.positions.by_index[instrument.row]
        return row

    def balance(self, index: int = 0) -> BalanceRow:
        row: BalanceRow = self.balances.by_index[index]
        return row


def position(quantity: int, venue_time: int, received: int = 0, **fields: int) -> PositionRow:
    row = PositionRow()
    row.instrument_id, row.position, row.valid = BTC.id, quantity, 1
    row.exchange_time_ns, row.receive_time_ns = venue_time, received
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def balance(wallet: int, venue_time: int, received: int = 0, currency: bytes = b"USDT", **fields: int) -> BalanceRow:
    row = BalanceRow()
    row.currency, row.wallet_balance, row.valid = currency, wallet, 1
    row.exchange_time_ns, row.receive_time_ns = venue_time, received
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def test_a_snapshot_fills_all_configured_instruments() -> None:
    account = Account()
    account.tables.on_snapshot([position(5, 100)], [balance(1_000, 100, available_balance=900)], 50, 90)
    assert (account.position().position, account.position().valid) == (5, 1)
    assert (account.position(ETH).position, account.position(ETH).valid) == (0, 1)
    assert account.position(ETH).exchange_time_ns == 90
    assert (account.balance().currency, account.balance().available_balance) == (b"USDT", 900)


def test_an_event_during_the_snapshots_way_wins() -> None:
    account = Account()
    account.tables.on_snapshot([position(5, 100)], [balance(1_000, 100)], 50, 90)
    account.tables.on_event([position(8, 200, received=70)], [balance(990, 200, received=70)])
    account.tables.on_snapshot([position(5, 300)], [balance(1_000, 300)], 60, 150)
    assert account.position().position == 8
    assert account.balance().wallet_balance == 990


def test_a_snapshot_with_an_older_venue_time_changes_nothing() -> None:
    account = Account()
    account.tables.on_event([position(8, 200, received=70)], [balance(990, 200, received=70)])
    account.tables.on_snapshot([position(5, 150)], [balance(1_000, 150)], 80, 250)
    assert account.position().position == 8
    assert account.balance().wallet_balance == 990


def test_a_newer_snapshot_replaces_an_event_and_keeps_what_only_events_carry() -> None:
    account = Account()
    account.tables.on_event([position(8, 200, received=70, accumulated_realized_pnl=33)], [])
    account.tables.on_snapshot([position(9, 300, unrealized_pnl=4)], [], 80, 250)
    row = account.position()
    assert (row.position, row.unrealized_pnl, row.accumulated_realized_pnl) == (9, 4, 33)


def test_a_position_that_was_closed_is_not_listed_and_becomes_zero() -> None:
    account = Account()
    account.tables.on_event([position(8, 200, received=70)], [])
    account.tables.on_snapshot([], [], 80, 250)
    assert account.position().position == 0


def test_an_older_event_is_dropped() -> None:
    account = Account()
    account.tables.on_event([position(8, 200, received=70)], [balance(990, 200, received=70)])
    account.tables.on_event([position(7, 199, received=71)], [balance(980, 199, received=71)])
    assert account.position().position == 8
    assert account.balance().wallet_balance == 990


def test_the_available_balance_moves_with_the_wallet_until_the_next_snapshot() -> None:
    account = Account()
    account.tables.on_snapshot([], [balance(1_000, 100, available_balance=900, unrealized_pnl=5)], 50, 90)
    account.tables.on_event([], [balance(980, 200, received=70)])
    row = account.balance()
    assert (row.wallet_balance, row.available_balance, row.unrealized_pnl) == (980, 880, 5)


def test_rows_are_invalid_without_the_stream_and_valid_after_the_next_snapshot() -> None:
    account = Account()
    account.tables.on_event([position(8, 200, received=70)], [balance(990, 200, received=70)])
    account.tables.invalidate()
    assert (account.position().valid, account.balance().valid) == (0, 0)
    account.tables.on_snapshot([position(8, 200)], [balance(990, 200)], 80, 250)
    assert (account.position().valid, account.balance().valid, account.position().position) == (1, 1, 8)


def test_currencies_beyond_the_table_are_left_out() -> None:
    account = Account()
    account.tables.on_snapshot([], [balance(1, 1, currency=b"C%d" % index) for index in range(5)], 1, 1)
    account.tables.on_snapshot([], [balance(7, 2)], 1, 1)
    assert account.balance(0).currency == b"USDT", "the settle currency has its row"
    assert set(account.balances.by_index) == {0, 1, 2}

"""ShmPMSAdapter: the account's positions and balances of one venue, as rows written by its position server.

The rule: rows are levels. `changed_positions` looks at versions and copies what moved; nothing is ever missed, because
the newest row says everything. Used by the container, which gives positions to MiniPMS and balances to strategies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from shm.layout import ROW_MASK, ProcessState
from shm.records import BalanceRow, PositionRow, ProcessRow

if TYPE_CHECKING:
    from shm.table import TableReader

HEARTBEAT_LIMIT_NS: Final = 2_000_000_000


class ShmPMSAdapter:
    """Reader side of a position server. One thread."""

    def __init__(
        self, venue: str, positions: TableReader, balances: TableReader, status: TableReader, status_row: int
    ) -> None:
        self.venue = venue
        self._positions = positions
        self._balances = balances
        self._status = status
        self._status_row = status_row
        self._process = ProcessRow()
        self._position_changes = -1
        self._balance_changes = -1
        self._balance_versions: dict[int, int] = {}
        self._balance = BalanceRow()
        self.rows: dict[int, PositionRow] = {}
        """Newest row of each instrument that was asked for."""
        self._versions: dict[int, int] = {}

    def is_ready(self, now_ns: int) -> bool:
        """The position server has the account's state: an instrument without a row is flat."""
        row = self._process
        if not self._status.read(self._status_row, row):
            return False
        return row.state == ProcessState.READY and now_ns - row.heartbeat_time_ns < HEARTBEAT_LIMIT_NS

    def read_position(self, instrument_id: int) -> PositionRow | None:
        """The newest row; None where none was ever written."""
        row = self.rows.get(instrument_id) or PositionRow()
        version = self._positions.version(instrument_id & ROW_MASK)
        if not self._positions.read(instrument_id & ROW_MASK, row):
            return self.rows.get(instrument_id)
        self._versions[instrument_id] = version
        self.rows[instrument_id] = row
        return row

    def refresh_positions(self, instrument_ids: Iterable[int]) -> None:
        """Bring `rows` up to date; one load where nothing changed in the whole table."""
        changes = self._positions.changes
        if changes == self._position_changes:
            return
        self._position_changes = changes
        for instrument_id in instrument_ids:
            if self._positions.version(instrument_id & ROW_MASK) != self._versions.get(instrument_id):
                self.read_position(instrument_id)

    def changed_balances(self) -> Iterator[BalanceRow]:
        """Rows that changed since the last call; the same object each time."""
        changes = self._balances.changes
        if changes == self._balance_changes:
            return
        self._balance_changes = changes
        for number in range(self._balances.capacity):
            version = self._balances.version(number)
            if version == self._balance_versions.get(number, 0):
                continue
            if self._balances.read(number, self._balance):
                self._balance_versions[number] = version
                yield self._balance

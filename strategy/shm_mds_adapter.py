"""ShmMDSAdapter: market data of one venue as the trader reads it from shared memory.

The rule: the ring tells what happens, the tables tell what is; after a lap only the tables are believed. The adapter
holds the one reader of the venue's market ring, the instruments and the freshness of each. Used by the container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shm.layout import ROW_MASK, ConnectionState, ProcessState
from shm.records import InstrumentRow, ProcessRow, TickerRow
from strategy.instrument import Instrument
from strategy.market_view import MarketView

if TYPE_CHECKING:
    from shm.ring import BroadcastReader
    from shm.table import TableReader

HEARTBEAT_FLOOR_NS: Final = 500_000_000
"""Heartbeats come about every 100 ms; a limit below five of them would only measure the scheduler."""


class ShmMDSAdapter:
    """Reader side of a market server. One thread."""

    def __init__(
        self, venue: str, market: BroadcastReader, books: TableReader, tickers: TableReader, instruments: TableReader,
        status: TableReader, status_row: int, stale_after_ns: int,
    ) -> None:  # fmt: skip
        """`status_row`: row of the market server's process; `stale_after_ns`: age at which data is not quoted on."""
        self.venue = venue
        self.market = market
        self.poll = market.poll
        self._books = books
        self._tickers = tickers
        self._instruments = instruments
        self._status = status
        self._status_row = status_row
        self._stale_after_ns = stale_after_ns
        self._process = ProcessRow()
        self._writer_start_ns = 0
        self._instrument_row = InstrumentRow()
        self._ticker = TickerRow()
        self._versions: dict[int, int] = {}
        self.by_id: dict[int, Instrument] = {}
        self.views: dict[int, MarketView] = {}
        self.server_problem = "the market server has not started"

    # --- instruments ------------------------------------------------------------------------------------------------
    def instrument(self, instrument_id: int, symbol: str = "") -> Instrument | None:
        """The instrument, or None while its row was never written. Raises InstrumentError for an impossible row."""
        found = self.by_id.get(instrument_id)
        if found is not None:
            return found
        row_number = instrument_id & ROW_MASK
        version = self._instruments.version(row_number)
        if not self._instruments.read(row_number, self._instrument_row):
            return None
        name = symbol or self._instrument_row.symbol.decode("ascii", "replace")
        found = Instrument(f"{self.venue}:{name}", self._instrument_row)
        self._versions[instrument_id] = version
        self.by_id[instrument_id] = found
        view = self.views[instrument_id] = MarketView(found, self._books, self._stale_after_ns)
        view.writer_began(self._writer_start_ns)
        return found

    def refresh_instruments(self) -> None:
        """Take over rows that changed (tick size, limits, status). Raises InstrumentError where a scale changed."""
        for instrument_id, instrument in self.by_id.items():
            version = self._instruments.version(instrument_id & ROW_MASK)
            if version != self._versions[instrument_id] and self._instruments.read(
                instrument_id & ROW_MASK, self._instrument_row
            ):
                self._versions[instrument_id] = version
                instrument.refresh(self._instrument_row)

    def mark_price(self, instrument_id: int) -> int:
        """Mark price mantissa (MONEY_SCALE) of the tickers table; 0 where there is none."""
        if self._tickers.read(instrument_id & ROW_MASK, self._ticker):
            return int(self._ticker.mark_price_mantissa)
        return 0

    # --- freshness --------------------------------------------------------------------------------------------------
    def check_server(self, now_ns: int, halted: str = "") -> str:
        """Why this venue's data may not be used, in one sentence; "" where it may. Also kept in `server_problem`.

        `halted`: a reason of the caller's own that comes before any the data could give.
        """
        self.server_problem = halted or self._find_problem(now_ns)
        return self.server_problem

    def _find_problem(self, now_ns: int) -> str:
        row = self._process
        if not self._status.read(self._status_row, row):
            return "the market server has not started"
        if row.start_time_ns != self._writer_start_ns:
            self._writer_start_ns = int(row.start_time_ns)
            for view in self.views.values():
                view.writer_began(self._writer_start_ns)
        if row.state in (ProcessState.STOPPING, ProcessState.STOPPED, ProcessState.FAILED):
            return f"the market server is {ProcessState(row.state).name.lower()}"
        age_ns = now_ns - row.heartbeat_time_ns
        if age_ns > max(self._stale_after_ns, HEARTBEAT_FLOOR_NS):
            return f"the market server's heartbeat is {age_ns / 1e6:.0f} ms old"
        newest_ns = 0
        for state, receive_time_ns in zip(row.connection_states, row.connection_receive_time_ns, strict=False):
            if state == ConnectionState.NONE:
                continue
            if state != ConnectionState.UP:
                return f"a market data connection is {ConnectionState(int(state)).name.lower()}"
            newest_ns = max(newest_ns, int(receive_time_ns))
        # The row is written with the heartbeat: compare with that moment, or its own period would count as silence.
        if newest_ns and row.heartbeat_time_ns - newest_ns > self._stale_after_ns:
            return f"nothing was received for {(row.heartbeat_time_ns - newest_ns) / 1e6:.0f} ms"
        return ""

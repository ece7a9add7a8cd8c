"""How a running demo looks: a live screen in a terminal, a progress line every few seconds elsewhere.

The rule: it draws what `set_view` read and computes nothing of its own. Called by `demo.py`.
"""

from __future__ import annotations

import sys
import time
from decimal import Decimal

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from processes.demo_books import OwnBooks
from processes.demo_report import show
from processes.set_view import SetView
from processes.venue_view import VenueView
from shm.layout import MONEY_SCALE, Side

PROGRESS_EVERY_S = 5.0
STATE_STYLES = {"READY": "green", "FAILED": "bold red", "UNHEALTHY": "red", "STOPPED": "dim"}


class Screen:
    """Live display or progress lines, by what the output is. Use as a context manager."""

    def __init__(self, view: SetView, seconds: float, *, live: bool) -> None:
        self._view = view
        self._seconds = seconds
        self._console = Console(stderr=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if live else None
        self._next_line_s = 0.0

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, stage: str, elapsed_s: float) -> None:
        """Show how things are now. Call it about ten times a second."""
        if self._live is not None:
            self._live.update(self._picture(stage, elapsed_s), refresh=True)
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + PROGRESS_EVERY_S
            print(self._line(stage, elapsed_s), flush=True)

    def _clock(self, stage: str, elapsed_s: float) -> str:
        """Seconds of this stage; only trading has an end that is known beforehand."""
        return f"{elapsed_s:.1f} of {self._seconds:g} s" if stage == "trading" else f"{elapsed_s:.1f} s"

    # --- progress lines ---------------------------------------------------------------------------------------------
    def _line(self, stage: str, elapsed_s: float) -> str:
        parts = [f"{self._clock(stage, elapsed_s):>14}  {stage}"]
        for name, venue in self._view.venues.items():
            for market in venue.markets():
                best = f"{market.bid:g} / {market.ask:g}" if market.valid else "no book"
                parts.append(f"{name}:{market.symbol} {best}")
            if venue.books is not None:
                counts = venue.books.counts
                parts.append(f"{counts.accepted} orders, {len(venue.books.trades)} fills")
                parts.append(f"realized {show(venue.books.money(venue.marks()).realized_pnl)}")
        return "  |  ".join(parts)

    # --- the live picture -------------------------------------------------------------------------------------------
    def _picture(self, stage: str, elapsed_s: float) -> Group:
        head = Text(f" corelane demo   {stage}   {self._clock(stage, elapsed_s)} ", style="bold reverse")
        markets = [self._venue(name, venue) for name, venue in self._view.venues.items()]
        return Group(head, Panel(self._processes(), title="processes"), *markets, self._rings(), self._latency())

    def _processes(self) -> Table:
        table = _table("process", "pid", "core", "state", "heartbeat ms", "restarts", "says")
        for line in self._view.processes():
            table.add_row(
                line.name,
                str(line.pid or "-"),
                str(line.core) if line.core >= 0 else "any",
                Text(line.state, style=STATE_STYLES.get(line.state, "yellow")),
                f"{line.age_ms:.0f}" if line.pid else "-",
                str(line.restarts),
                line.text,
            )
        return table

    def _venue(self, name: str, venue: VenueView) -> Panel:
        table = _table("instrument", "best bid", "best ask", "own bid", "own ask", "position", "mark")
        for market, identifier in zip(venue.markets(), venue.identifiers, strict=True):
            bid = f"{market.bid_quantity:g} @ {market.bid:,.2f}" if market.valid else "-"
            ask = f"{market.ask:,.2f} @ {market.ask_quantity:g}" if market.valid else "-"
            own = venue.books.quotes(identifier) if venue.books is not None else {}
            table.add_row(
                market.symbol,
                bid,
                ask,
                _quote(own.get(Side.BUY)),
                _quote(own.get(Side.SELL)),
                _position(venue.books, market.symbol, venue.marks()),
                f"{Decimal(market.mark_mantissa).scaleb(-MONEY_SCALE):,.2f}" if market.mark_mantissa else "-",
            )
        return Panel(Group(table, Text(self._money(venue))), title=name)

    def _money(self, venue: VenueView) -> str:
        if venue.books is None:
            return "waiting for instruments"
        counts, money = venue.books.final_counts(), venue.books.money(venue.marks())
        lost = f"   ({venue.lost_events} events were not seen by this screen)" if venue.lost_events else ""
        return (
            f"orders {counts.accepted} accepted, {counts.filled} filled, {counts.canceled} canceled, "
            f"{counts.rejected} rejected; {len(venue.books.trades)} fills   realized {money.realized_pnl:,.4f}   "
            f"unrealized {money.unrealized_pnl:,.4f}   fees {money.fees:,.4f}{lost}"
        )

    def _rings(self) -> Panel:
        table = _table("ring", "published", "waiting", "slots")
        for venue in self._view.venues.values():
            for line in venue.rings():
                waiting = "-" if line.depth is None else str(line.depth)
                table.add_row(line.name, f"{line.published:,}", waiting, f"{line.capacity:,}")
        return Panel(table, title="rings")

    def _latency(self) -> Panel:
        table = _table("hop", "count", "p50 µs", "p99 µs", "max µs")
        for hop, summary in self._view.latency().items():
            figures = (f"{summary[key] / 1000:,.1f}" for key in ("p50", "p99", "max"))
            table.add_row(hop, f"{summary['count']:,}", *figures)
        return Panel(table, title="latency")


def is_terminal() -> bool:
    return sys.stdout.isatty()


def _table(*columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 or column == "says" else "right", no_wrap=True)
    return table


def _quote(quote: tuple[Decimal, Decimal] | None) -> str:
    return "-" if quote is None else f"{show(quote[1])} @ {quote[0]:,}"


def _position(books: OwnBooks | None, symbol: str, marks: dict[int, int]) -> str:
    return "-" if books is None else show(books.money(marks).position[symbol])

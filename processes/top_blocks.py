"""What `corelane top` shows of a look, block by block: tables of plain cells, as wide as the terminal lets them be.

The rule: a block knows which of its columns are worth the room at a width; it draws what the snapshot says and computes
nothing. Called by `top_screen.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from processes.health import Problem
from processes.health_rules import Severity, is_silent
from processes.history import History
from processes.snapshot import HopLine, MarketLine, OrderLine, ProcessLine, Snapshot, StrategyLine

GOOD, WARN, BAD, QUIET, BID, ASK = "green", "yellow", "bold red", "bright_black", "cyan", "magenta"
STATES: Final = {"READY": GOOD, "RUNNING": GOOD, "FAILED": BAD, "UNHEALTHY": BAD, "STOPPED": BAD, "NONE": BAD}
BARS: Final = "▁▂▃▄▅▆▇█"
SPARKS: Final = 20
WIDE: Final = 105
"""Columns of a block from which on it shows what is only nice to know."""
COINS: Final = frozenset({"BTC", "ETH", "SOL"})
"""Currencies of which two decimals say nothing."""

ACCOUNT_HASH: Final = re.compile(r" [0-9a-f]{16}\b")
"""In the name of a limit; nobody knows an account by it."""

Cell = Text | str
Row = list[Cell]


@dataclass(frozen=True)
class Column:
    """right: figures. wide: only shown in a wide block. stretch: takes what is left, and is cut first."""

    name: str
    right: bool = False
    wide: bool = False
    stretch: bool = False


@dataclass(frozen=True)
class Block:
    title: str
    columns: tuple[Column, ...]
    rows: list[Row]
    empty: str = "nothing yet"
    key: str = ""
    """The key that shows it alone."""


def problems(found: list[Problem]) -> Block:
    rows: list[Row] = [
        [Text(one.severity, BAD if one.severity is Severity.CRITICAL else WARN), one.since[11:19], one.text]
        for one in found
    ]
    columns = (Column("severity"), Column("since"), Column("what", stretch=True))
    return Block("Problems", columns, rows, "none", "6")


def strategies(snapshot: Snapshot, history: History) -> Block:
    markets = {name: market for name, _, market in snapshot.markets()}
    columns = (
        Column("strategy"), Column("instrument", wide=True), Column("state"), Column("position", True),
        Column("may become", True, wide=True), Column("profit", True), Column("its last looks", wide=True),
        Column("fees", True, wide=True), Column("own bid", True), Column("own ask", True),
        Column("open", True, wide=True), Column("fills", True), Column("says", wide=True, stretch=True),
    )  # fmt: skip
    rows = [_strategy(line, markets.get(line.instrument), history) for line in snapshot.strategies]
    return Block("Strategies", columns, rows)


def _strategy(line: StrategyLine, market: MarketLine | None, history: History) -> Row:
    decimals = 2 if market is None else market.price_decimals
    unit = Text("" if line.profit is None else f" {line.currency}", QUIET)
    profits = [one.strategies.get(f"{line.name} {line.instrument}", (None, 0.0))[0] for one in history.points()]
    return [
        line.name, line.instrument, _strategy_state(line), plain(line.position),
        Text(f"{plain(line.lowest)} … {plain(line.highest)}", QUIET),
        signed(line.profit, line.currency) + unit, spark(profits[-SPARKS:]),
        money(line.fees, line.currency),
        Text(price(line.bid, decimals), BID), Text(price(line.ask, decimals), ASK), str(line.open_orders),
        f"{line.fills:,}", line.text,
    ]  # fmt: skip


def _strategy_state(line: StrategyLine) -> Text:
    if line.only_reducing:
        return Text("reducing", BAD)
    return Text("stale", WARN) if line.stale else state(line.state)


def markets(snapshot: Snapshot) -> Block:
    columns = (
        Column("instrument"), Column("quantity", True, wide=True), Column("bid", True), Column("ask", True),
        Column("quantity", True, wide=True), Column("mark", True), Column("book"), Column("age", True),
        Column("position", True), Column("entry", True, wide=True), Column("venue's PnL", True, wide=True),
        Column("told", True, wide=True),
    )  # fmt: skip
    rows = [_market(name, market) for name, _, market in snapshot.markets()]
    return Block("Books and the venue's own positions", columns, rows)


def _market(name: str, line: MarketLine) -> Row:
    decimals, none = line.price_decimals, "–"
    book = Text("good", GOOD) if line.valid else Text(line.status.lower(), BAD)
    return [
        name, f"{line.bid_quantity:,.{line.quantity_decimals}f}" if line.valid else none,
        Text(price(line.bid if line.valid else None, decimals), BID),
        Text(price(line.ask if line.valid else None, decimals), ASK),
        f"{line.ask_quantity:,.{line.quantity_decimals}f}" if line.valid else none, price(line.mark, decimals), book,
        none if line.age_ms is None else age(line.age_ms / 1e3),
        none if line.position is None else plain(line.position),
        price(line.entry_price, decimals), signed(line.unrealized_pnl, line.currency),
        none if line.position_age_ms is None else age(line.position_age_ms / 1e3),
    ]  # fmt: skip


def processes(snapshot: Snapshot) -> Block:
    columns = (
        Column("process"), Column("state"), Column("beat", True), Column("up", True), Column("restarts", True),
        Column("pid", True, wide=True), Column("core", True, wide=True), Column("links"), Column("says", stretch=True),
    )  # fmt: skip
    return Block("Processes", columns, [_process(line) for line in snapshot.processes], key="2")


def _process(line: ProcessLine) -> Row:
    silent = is_silent(line)
    shown = Text("silent", BAD) if silent else Text("never started", BAD) if not line.pid else state(line.state)
    links = Text(" ").join(Text(link.state.lower(), GOOD if link.state == "UP" else WARN) for link in line.connections)
    return [
        line.name, shown, Text(age(line.age_ms / 1e3) if line.pid else "–", BAD if silent else ""),
        age(line.uptime_s) if line.pid else "–", Text(str(line.restarts), WARN if line.restarts else ""),
        str(line.pid or "–"), "any" if line.core < 0 else str(line.core), links, line.text,
    ]  # fmt: skip


def orders(snapshot: Snapshot) -> Block:
    columns = (
        Column("instrument"), Column("strategy", wide=True), Column("side"), Column("price", True),
        Column("quantity", True), Column("filled", True), Column("state"), Column("told", True),
    )  # fmt: skip
    decimals = {name: market.price_decimals for name, _, market in snapshot.markets()}
    rows = [_order(line, decimals.get(line.instrument, 2)) for venue in snapshot.venues for line in venue.orders]
    whole = all(venue.orders_complete for venue in snapshot.venues)
    title = "Open orders" if whole else "Open orders (events were missed: some may lack, or be over)"
    return Block(title, columns, rows, "no order is open", "3")


def _order(line: OrderLine, decimals: int) -> Row:
    told = Text("UNKNOWN", BAD) if line.unknown else Text(line.state.lower().replace("_", " "))
    return [
        line.instrument, line.strategy, side(line.side), price(line.price, decimals), plain(line.quantity),
        plain(line.filled), told, age(line.age_s),
    ]  # fmt: skip


def fills(snapshot: Snapshot) -> Block:
    columns = (
        Column("time"), Column("instrument"), Column("strategy", wide=True), Column("side"), Column("price", True),
        Column("quantity", True), Column("as"),
    )  # fmt: skip
    decimals = {name: market.price_decimals for name, _, market in snapshot.markets()}
    lines = sorted((line for venue in snapshot.venues for line in venue.fills), key=lambda one: one.time, reverse=True)
    rows: list[Row] = [
        [
            one.time[11:23], one.instrument, one.strategy, side(one.side),
            price(one.price, decimals.get(one.instrument, 2)), plain(one.quantity), one.liquidity.lower(),
        ]
        for one in lines
    ]  # fmt: skip
    return Block("Last fills", columns, rows, "no fill yet", "3")


def latency(snapshot: Snapshot) -> Block:
    return _durations("Latency since the start", "hop, µs", [hop for hop in snapshot.hops if not hop.is_stage])


def stages(snapshot: Snapshot) -> Block:
    """The same order from its tick to its end, by venue."""
    return _durations("From tick to answer, by venue", "stage, µs", [hop for hop in snapshot.hops if hop.is_stage])


def _durations(title: str, first: str, hops: list[HopLine]) -> Block:
    columns = (
        Column(first), Column("p50 now", True), Column("p50", True), Column("p90", True, wide=True),
        Column("p99", True), Column("p99.9", True), Column("max", True), Column("count", True),
    )  # fmt: skip
    rows: list[Row] = [
        [
            hop.name.replace("_", " "), "–" if hop.recent is None else micro(hop.recent.p50), micro(hop.total.p50),
            micro(hop.total.p90), micro(hop.total.p99), micro(hop.total.p999), micro(hop.total.max),
            f"{hop.total.count:,}",
        ]
        for hop in hops
    ]  # fmt: skip
    return Block(title, columns, rows, key="4")


def limits(snapshot: Snapshot) -> Block:
    columns = (Column("limit"), Column("used", True), Column("of", True), Column(""), Column("", stretch=True))
    rows: list[Row] = []
    for venue in snapshot.venues:
        for one in venue.budgets or ():
            shut = f"shut for {one.closed_s:.0f} s" if one.closed_s else ""
            quiet = f"cancels only for {one.quiet_s:.0f} s" if one.quiet_s else ""
            part = bar(one.used / one.limit) if one.limit else ""
            name = ACCOUNT_HASH.sub("", one.name)
            rows.append([f"{venue.name} {name}", f"{one.used:,}", f"{one.limit:,}", part, Text(shut or quiet, BAD)])
    return Block("Request limits of the venues", columns, rows, key="5")


def rings(snapshot: Snapshot) -> Block:
    columns = (Column("ring"), Column("published", True), Column("waiting", True), Column("slots", True), Column(""))
    rows: list[Row] = [
        [
            ring.name, f"{ring.published:,}", "–" if ring.depth is None else f"{ring.depth:,}", f"{ring.capacity:,}",
            "" if ring.depth is None else bar(ring.depth / ring.capacity),
        ]
        for venue in snapshot.venues
        for ring in venue.rings
    ]  # fmt: skip
    return Block("Rings", columns, rows, key="5")


def balances(snapshot: Snapshot) -> Block:
    columns = (
        Column("balance"), Column("wallet", True), Column("available", True), Column("unrealized", True),
        Column("told", True),
    )  # fmt: skip
    rows: list[Row] = [
        [
            f"{venue.name} {one.currency}", f"{one.wallet:,.4f}", f"{one.available:,.4f}",
            signed(one.unrealized_pnl, one.currency), age(one.age_ms / 1e3),
        ]
        for venue in snapshot.venues
        for one in venue.balances
    ]  # fmt: skip
    return Block("Balances", columns, rows, key="5")


# --- cells ----------------------------------------------------------------------------------------------------------
def state(name: str) -> Text:
    return Text(name.lower(), STATES.get(name, WARN))


def side(name: str) -> Text:
    return Text(name.lower(), BID if name == "BUY" else ASK)


def plain(value: float) -> str:
    return f"{value:,.10g}"


def price(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def money(value: float | None, currency: str) -> str:
    """Nothing has no sign: what rounds to zero is not shown as a loss."""
    return "–" if value is None else f"{value:z,.{6 if currency in COINS else 2}f}"


def signed(value: float | None, currency: str) -> Text:
    shown = money(value, currency)
    if value is None or not shown.strip("0.,"):
        return Text(shown)
    return Text(shown, GOOD if value > 0 else BAD)


def micro(ns: int) -> str:
    return f"{ns / 1e3:,.1f}" if ns < 99_950 else f"{ns / 1e3:,.0f}"


def age(seconds: float) -> str:
    """As long as a person wants it: 85 ms, 12 s, 5 min, 3.2 h, 4.0 d."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    for limit, unit, name, digits in ((120, 1, "s", 0), (7_200, 60, "min", 0), (172_800, 3_600, "h", 1)):
        if seconds < limit:
            return f"{seconds / unit:.{digits}f} {name}"
    return f"{seconds / 86_400:.1f} d"


def bar(part: float, width: int = 10) -> Text:
    full = max(min(round(part * width), width), 1 if part > 0 else 0)
    return Text("■" * full, BAD if part >= 0.9 else WARN if part > 0.7 else GOOD) + Text("·" * (width - full), QUIET)


def spark(values: Iterable[float | None]) -> str:
    """One bar a value, from the least to the greatest; a blank where it is not known."""
    return "".join(_sparks(list(values)))


def _sparks(values: list[float | None]) -> Iterator[str]:
    known = [value for value in values if value is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    for value in values:
        if value is None:
            yield " "
        else:
            yield BARS[round((value - least) / (most - least) * (len(BARS) - 1))] if most > least else BARS[0]

"""What counts as wrong with a running set: rules as data, each of which finds problems in snapshots.

The rule: a level rule looks at how things are in one snapshot; a moment rule names a counter whose rise is a problem.
A rule finds at most one problem of a subject, and says it in one sentence. No I/O, no memory: `health.py` has that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from exchanges.alerts import ALERT_COUNTERS
from processes.snapshot import ProcessLine, Snapshot, StrategyLine, VenueSnapshot

SILENT_MS: Final = 2_000.0
"""A heartbeat is due every 100 ms."""
RING_FULL: Final = 0.75
BUDGET_LOW: Final = 0.9
"""Used part of a limit: from here on the engine refuses new orders itself and keeps the rest for cancels."""
START_S: Final = 30.0
"""What a set may take to come up before it is a problem."""
STRATEGY_SILENT_MS: Final = 2_000.0
"""The trader writes its strategies ten times a second; older rows say nothing of now."""
NO_BOOK_YET: Final = "NONE"
"""Status of a book row before its first book."""
LISTED: Final = 3
"""Names in a sentence before it says how many more there are."""

Finding = tuple[str, str]
"""(subject, sentence)"""


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True)
class LevelRule:
    """hold_s: how long it must be so without a pause before it is a problem."""

    name: str
    severity: Severity
    look: Callable[[Snapshot], Iterable[Finding]]
    hold_s: float = 0.0


@dataclass(frozen=True)
class MomentRule:
    """text: of what was counted, behind the number. role: only in processes of this role; empty: in all."""

    name: str
    severity: Severity
    counter: str
    text: str
    role: str = ""


# --- processes ------------------------------------------------------------------------------------------------------
def is_down(process: ProcessLine) -> bool:
    return not process.pid or process.state in ("STOPPED", "FAILED")


def is_silent(process: ProcessLine) -> bool:
    """It did not say that it ends, and yet there is no heartbeat. One that starts loads much before its first."""
    limit_ms = START_S * 1e3 if process.state == "STARTING" else SILENT_MS
    return not is_down(process) and process.state != "RESTARTING" and process.age_ms > limit_ms


def _dead(snapshot: Snapshot) -> Iterator[Finding]:
    for process in snapshot.processes:
        if process.pid and is_down(process):
            yield process.name, f"{process.name} is not running: {process.state}{_because(process)}"
        elif is_silent(process):
            yield (
                process.name,
                f"{process.name} is dead or hangs: no heartbeat for {process.age_ms / 1e3:.0f} s, its last state was "
                f"{process.state}",
            )


def _not_started(snapshot: Snapshot) -> Iterator[Finding]:
    for process in snapshot.processes:
        if not process.pid:
            yield process.name, f"{process.name} has never started"


def _unhealthy(snapshot: Snapshot) -> Iterator[Finding]:
    for process in snapshot.processes:
        if process.state == "UNHEALTHY" and not is_silent(process):
            yield process.name, f"{process.name} is unhealthy{_because(process)}"


def _not_ready(snapshot: Snapshot) -> Iterator[Finding]:
    for process in snapshot.processes:
        coming = process.state in ("STARTING", "CONNECTING", "RECOVERING", "STOPPING", "RESTARTING")
        if coming and not is_silent(process):
            yield process.name, f"{process.name} is not ready: {process.state}{_because(process)}"


def _disconnected(snapshot: Snapshot) -> Iterator[Finding]:
    for process in snapshot.processes:
        down = [number for number, link in enumerate(process.connections, 1) if link.state in ("DOWN", "STALE")]
        if down and not is_down(process) and not is_silent(process):
            links = ", ".join(f"{number} is {process.connections[number - 1].state}" for number in down)
            yield process.name, f"{process.name}: connection {links}"


def _because(process: ProcessLine) -> str:
    return f": {process.text}" if process.text else ""


# --- market data ----------------------------------------------------------------------------------------------------
def _stale(snapshot: Snapshot) -> Iterator[Finding]:
    """Withdrawn by its server, or still marked good by one that is gone. A quiet book is good while its link speaks."""
    for subject, venue, market in snapshot.markets():
        if not market.valid and market.status != NO_BOOK_YET:
            yield subject, f"{subject} has no good book: {market.status}"
        elif market.valid and min(market.age_ms or 0.0, _newest_frame_ms(snapshot, venue)) > venue.stale_after_ms:
            yield subject, f"{subject}: no market data for longer than {venue.stale_after_ms / 1000:g} s"


def _newest_frame_ms(snapshot: Snapshot, venue: VenueSnapshot) -> float:
    server = next((line for line in snapshot.processes if line.name == f"market_server.{venue.name}"), None)
    ages = [link.age_ms for link in server.connections if link.age_ms is not None] if server is not None else []
    return min(ages, default=float("inf"))


def _no_book(snapshot: Snapshot) -> Iterator[Finding]:
    for subject, _, market in snapshot.markets():
        if not market.valid and market.status == NO_BOOK_YET:
            yield subject, f"{subject} never had a good book since the set was started"


# --- orders, strategies, positions ----------------------------------------------------------------------------------
def _unknown_orders(snapshot: Snapshot) -> Iterator[Finding]:
    for venue in snapshot.venues:
        unknown = [order for order in venue.orders if order.unknown]
        if unknown:
            ids = _some([order.client_order_id for order in unknown])
            yield venue.name, f"{venue.name}: nobody knows what became of {len(unknown)} requests; orders {ids}"


def _strategy_failed(snapshot: Snapshot) -> Iterator[Finding]:
    for line in snapshot.strategies:
        if line.state == "FAILED":
            yield f"{line.name} {line.instrument}", f"strategy {line.name} has failed{line.text and f': {line.text}'}"


def _strategy_stale(snapshot: Snapshot) -> Iterator[Finding]:
    for line in _fresh(snapshot):
        if line.stale and line.state == "RUNNING":
            yield (
                f"{line.name} {line.instrument}",
                f"strategy {line.name} does not quote on {line.instrument}: its market data is not fresh",
            )


def _only_reducing(snapshot: Snapshot) -> Iterator[Finding]:
    """By a limit that was reached or is missing, of the strategy or of a venue's engine: why nothing is quoted."""
    for line in _fresh(snapshot):
        if line.only_reducing:
            yield line.name, f"{line.name} may only reduce: {line.text}"
    traded = {line.instrument.partition(":")[0] for line in snapshot.strategies}
    for process in snapshot.processes:
        role, _, venue = process.name.partition(".")
        if role == "trading_engine" and venue in traded and process.state == "READY" and process.text:
            yield process.name, f"{process.name} lets only reduce: {process.text}"


def _orders_refused(snapshot: Snapshot) -> Iterator[Finding]:
    for line in _fresh(snapshot):
        if line.refused:
            yield line.name, f"orders of {line.name} are {line.text}"


def _own_quotes_cross(snapshot: Snapshot) -> Iterator[Finding]:
    quotes: dict[str, tuple[list[float], list[float]]] = {}
    for line in _fresh(snapshot):
        bids, asks = quotes.setdefault(line.instrument, ([], []))
        if line.bid is not None:
            bids.append(line.bid)
        if line.ask is not None:
            asks.append(line.ask)
    for instrument, (bids, asks) in quotes.items():
        if bids and asks and max(bids) >= min(asks):
            yield instrument, f"{instrument}: own quotes cross, bid {max(bids):.10g} and ask {min(asks):.10g}"


def _position_differs(snapshot: Snapshot) -> Iterator[Finding]:
    """Where one strategy alone trades an instrument, what the account holds is its position, to the last digit. Where
    several do, what belongs to none of them is not told here, and the trader's own comparison counts."""
    venue_says = {name: market for name, _, market in snapshot.markets()}
    owners: dict[str, list[StrategyLine]] = {}
    for line in _fresh(snapshot):
        owners.setdefault(line.instrument, []).append(line)
    for instrument, lines in owners.items():
        market = venue_says.get(instrument)
        if len(lines) != 1 or market is None or market.position_mantissa is None or lines[0].state == "FAILED":
            continue
        if lines[0].position_mantissa != market.position_mantissa:
            ours, theirs = f"{lines[0].position:.10g}", f"{market.position or 0.0:.10g}"
            yield instrument, f"{instrument}: {lines[0].name} holds {ours}, the venue says {theirs}"


def _fresh(snapshot: Snapshot) -> Iterator[StrategyLine]:
    return (line for line in snapshot.strategies if line.age_ms < STRATEGY_SILENT_MS)


# --- limits ---------------------------------------------------------------------------------------------------------
def _kill_switch(snapshot: Snapshot) -> Iterator[Finding]:
    switch = snapshot.kill_switch
    if switch.on:
        late = ", ".join(name for name, obeys in switch.obeyed_by.items() if not obeys)
        yield "kill switch", "the kill switch is on" + (f", not yet obeyed by {late}" if late else ": no order is sent")


def _ring_full(snapshot: Snapshot) -> Iterator[Finding]:
    for venue in snapshot.venues:
        for ring in venue.rings:
            if ring.depth is not None and ring.depth >= RING_FULL * ring.capacity:
                yield ring.name, f"{ring.name}: {ring.depth:,} of {ring.capacity:,} slots wait for their consumer"


def _budget_low(snapshot: Snapshot) -> Iterator[Finding]:
    for venue in snapshot.venues:
        for budget in venue.budgets or ():
            if budget.limit and budget.used >= BUDGET_LOW * budget.limit:
                subject = f"{venue.name} {budget.name}"
                yield subject, f"{subject}: {budget.used:,} of {budget.limit:,} are used, the rest is kept for cancels"


def _budget_shut(snapshot: Snapshot) -> Iterator[Finding]:
    for venue in snapshot.venues:
        for budget in venue.budgets or ():
            subject = f"{venue.name} {budget.name}"
            if budget.closed_s > 0:
                yield subject, f"{subject}: the venue takes no requests for another {budget.closed_s:.0f} s"
            elif budget.quiet_s > 0:
                yield subject, f"{subject}: the venue refused for load, only cancels go for {budget.quiet_s:.0f} s"


def _budget_unreadable(snapshot: Snapshot) -> Iterator[Finding]:
    for venue in snapshot.venues:
        if venue.budgets is None:
            yield venue.name, f"{venue.name}: its request limits cannot be read (another user's, or another build's)"


def _some(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


# --- the rules ------------------------------------------------------------------------------------------------------
_CRITICAL, _WARNING = Severity.CRITICAL, Severity.WARNING
LEVEL_RULES: Final = (
    LevelRule("dead_process", _CRITICAL, _dead),
    LevelRule("process_not_started", _CRITICAL, _not_started, hold_s=START_S),
    LevelRule("unhealthy_process", _CRITICAL, _unhealthy),
    LevelRule("process_not_ready", _WARNING, _not_ready, hold_s=START_S),
    LevelRule("disconnected", _WARNING, _disconnected, hold_s=5.0),
    LevelRule("stale_data", _CRITICAL, _stale, hold_s=2.0),  # a resync of a book is shorter
    LevelRule("no_data", _CRITICAL, _no_book, hold_s=START_S),
    LevelRule("unknown_order", _CRITICAL, _unknown_orders),
    LevelRule("strategy_failed", _CRITICAL, _strategy_failed),
    LevelRule("strategy_stale", _WARNING, _strategy_stale, hold_s=5.0),
    LevelRule("only_reducing", _CRITICAL, _only_reducing),
    LevelRule("orders_refused", _WARNING, _orders_refused, hold_s=5.0),  # one alone is a strategy's everyday life
    LevelRule("own_quotes_cross", _CRITICAL, _own_quotes_cross, hold_s=1.0),  # a replace of both sides is not a cross
    LevelRule("position_differs", _CRITICAL, _position_differs, hold_s=5.0),  # the trader's own grace is 3 s
    LevelRule("kill_switch", _CRITICAL, _kill_switch),
    LevelRule("ring_nearly_full", _CRITICAL, _ring_full),
    LevelRule("rate_budget_low", _WARNING, _budget_low),
    LevelRule("rate_budget_shut", _CRITICAL, _budget_shut),
    LevelRule("rate_budget_unreadable", _WARNING, _budget_unreadable),
)
RESTART_RULE: Final = MomentRule("process_restarted", _WARNING, "", "times started anew")
"""Its counter is not a process's own: `health.py` counts changes of the pid."""
MOMENT_RULES: Final = (
    RESTART_RULE,
    MomentRule("unknown_outcome", _WARNING, "unknown", "requests whose outcome was not known", "trading_engine"),
    MomentRule("order_contradiction", _CRITICAL, "contradictions", "facts of orders that contradict", "trading_engine"),
    MomentRule("external_order", _WARNING, "external_orders", "orders that are not ours", "trading_engine"),
    MomentRule("event_ring_full", _CRITICAL, "ring_full", "times that a ring was full", "trading_engine"),
    MomentRule("trader_silent", _CRITICAL, "heartbeat_lost", "times that the trader was silent", "trading_engine"),
    MomentRule("reconcile_difference", _CRITICAL, "reconcile_corrections", "positions corrected by the venue's word"),
    MomentRule("audit_difference", _CRITICAL, "audit_differences", "differences to the venue", "trading_engine"),
    MomentRule("illegal_transition", _CRITICAL, "illegal_transitions", "events that no order state allows", "trader"),
    MomentRule("overfill", _CRITICAL, "overfills", "fills beyond the quantity of their order", "trader"),
    MomentRule("strategy_error", _CRITICAL, "strategy_errors", "exceptions in strategies", "trader"),
    MomentRule("lapped_reader", _CRITICAL, "lapped", "records overwritten before they were read", "trader"),
    MomentRule("lost_log_lines", _WARNING, "lost", "log lines overwritten before they were read", "logger"),
    MomentRule("recording_gap", _WARNING, "missed", "records missed by the recording", "recorder"),
    MomentRule("recording_disk", _WARNING, "disk_errors", "times that the disk refused a block", "recorder"),
    MomentRule("book_stale", _WARNING, "stale", "books withdrawn as stale", "market_server"),
    MomentRule("book_gap", _WARNING, "gaps", "gaps in the venue's books", "market_server"),
    MomentRule("book_crossed", _WARNING, "crossed", "books of the venue that crossed", "market_server"),
    MomentRule("alert_given_up", _CRITICAL, "alerts_given_up", "alert messages that nobody took", "monitor"),
    *(
        MomentRule(name, _CRITICAL, name, f"alerts: {name.removeprefix('alert_').replace('_', ' ')}; see its log")
        for name in ALERT_COUNTERS
    ),
)
SEVERITIES: Final[dict[str, Severity]] = {rule.name: rule.severity for rule in LEVEL_RULES} | {
    rule.name: rule.severity for rule in MOMENT_RULES
}

"""The end of a demo: our books against the venue's, in words and as JSON.

The rule: every figure of ours comes from `OwnBooks` (the engine's journal), every figure of the venue from its own
ledger; they are compared as exact decimals and as sets, and one difference anywhere makes `agree` false. Keys of the
JSON are only ever added. Called by `demo.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from processes import demo_script
from processes.demo_books import Money, OrderCounts, OwnBooks
from processes.demo_owners import Owners, VenueOrder
from processes.demo_script import Outcome

DIFFERENCES_SHOWN = 5


@dataclass
class VenueTruth:
    """What the venue itself says, from its ledger."""

    money: Money
    orders: set[tuple[str, str, Decimal]]
    trades: set[tuple[str, str]]
    open_orders: int
    marks: dict[str, Decimal]
    ledger: list[VenueOrder] = field(default_factory=list)


@dataclass
class VenueReport:
    """One venue: counters of the run, and both sides of the comparison."""

    ours: Money
    venue: Money
    counts: OrderCounts
    own_orders: set[tuple[str, str, Decimal]]
    venue_orders: set[tuple[str, str, Decimal]]
    own_trades: set[tuple[str, str]]
    venue_trades: set[tuple[str, str]]
    open_orders_left: int
    frames: int = 0
    gaps: int = 0
    book_checks: int = 0
    book_agree: int = 0
    reconcile_corrections: int = 0
    owners: Owners = field(default_factory=Owners)

    @property
    def agrees(self) -> bool:
        return (
            self.ours == self.venue
            and self.own_orders == self.venue_orders
            and self.own_trades == self.venue_trades
            and self.open_orders_left == 0
            and self.owners.good
        )


@dataclass
class DemoReport:
    """The whole run."""

    seconds: float
    seed: int
    venues: dict[str, VenueReport] = field(default_factory=dict)
    latency_ns: dict[str, dict[str, int]] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, dict[str, int]] = field(default_factory=dict)
    processes_left: int = 0
    segments_left: int = 0
    notes: list[str] = field(default_factory=list)
    actions: list[Outcome] = field(default_factory=list)
    failed_strategies: dict[str, str] = field(default_factory=dict)
    """What each of them raised, and where. They stopped trading, so the books of a quiet market may well agree."""

    @property
    def good(self) -> bool:
        """Both sides agree, every live action was done, and no strategy failed."""
        return self.agree and all(one.good for one in self.actions) and not self.failed_strategies

    @property
    def agree(self) -> bool:
        """Both sides say the same everywhere, and the run left nothing behind."""
        clean = self.processes_left == 0 and self.segments_left == 0
        return bool(self.venues) and clean and all(report.agrees for report in self.venues.values())

    def add_faults(self, injected: dict[str, dict[str, int]]) -> None:
        """Add what one venue injected, by kind."""
        for kind, counts in injected.items():
            known = self.faults.setdefault(kind, {})
            for key, count in counts.items():
                known[key] = known.get(key, 0) + count


def compare(books: OwnBooks, truth: VenueTruth, marks: dict[int, int]) -> VenueReport:
    """Put both sides next to each other. `marks` as in `OwnBooks.money`."""
    return VenueReport(
        ours=books.money(marks),
        venue=truth.money,
        counts=books.final_counts(),
        own_orders=books.order_set(),
        venue_orders=truth.orders,
        own_trades=books.trade_set(),
        venue_trades=truth.trades,
        open_orders_left=max(truth.open_orders, len(books.open_orders())),
    )


# --- JSON -----------------------------------------------------------------------------------------------------------
def as_json(report: DemoReport) -> dict[str, Any]:
    return {
        "agree": report.agree,
        "seconds": round(report.seconds, 3),
        "seed": report.seed,
        "processes_left": report.processes_left,
        "segments_left": report.segments_left,
        "venues": {name: _venue_json(venue) for name, venue in report.venues.items()},
        "latency_ns": report.latency_ns,
        "restarts": report.restarts,
        "faults": report.faults,
        "notes": report.notes,
        "actions": [vars(one).copy() for one in report.actions],
        "failed_strategies": report.failed_strategies,
    }


def _venue_json(venue: VenueReport) -> dict[str, Any]:
    return {
        "frames": venue.frames,
        "gaps": venue.gaps,
        "book_checks": venue.book_checks,
        "book_agree": venue.book_agree,
        "orders": vars(venue.counts).copy(),
        "fills": len(venue.own_trades),
        "reconcile_corrections": venue.reconcile_corrections,
        "orders_differ": len(venue.own_orders ^ venue.venue_orders),
        "trades_differ": len(venue.own_trades ^ venue.venue_trades),
        "ours": _money_json(venue.ours),
        "venue": _money_json(venue.venue),
        "open_orders_left": venue.open_orders_left,
        "owners": {
            "orders": venue.owners.orders,
            "orders_by_epoch": {str(epoch): count for epoch, count in venue.owners.by_epoch.items()},
            "without_owner": venue.owners.without_owner,
            "of_dead_epochs": venue.owners.of_dead_epochs,
        },
    }


def _money_json(money: Money) -> dict[str, Any]:
    return {
        "position": {symbol: show(quantity) for symbol, quantity in sorted(money.position.items())},
        "fees": show(money.fees),
        "realized_pnl": show(money.realized_pnl),
        "unrealized_pnl": show(money.unrealized_pnl),
    }


def show(value: Decimal) -> str:
    """The same text for the same number: no exponent, no trailing zeros, no -0."""
    return format(value.normalize(), "f") if value else "0"


def write(report: DemoReport, path: Path) -> None:
    path.write_text(json.dumps(as_json(report), indent=2) + "\n", encoding="utf-8")


# --- words ----------------------------------------------------------------------------------------------------------
def in_words(report: DemoReport) -> str:
    lines = [f"Traded for {report.seconds:.1f} s (seed {report.seed})."]
    for name, venue in report.venues.items():
        lines += ["", *_venue_words(name, venue)]
    if report.latency_ns:
        lines += ["", "Latency by hop, microseconds:", *_latency_words(report.latency_ns)]
    again = {name: count for name, count in report.restarts.items() if count}
    if again:
        lines += ["", "Restarts: " + ", ".join(f"{name} {count}" for name, count in again.items())]
    if report.faults:
        lines += [
            "",
            "Faults (with an order in flight): " + ", ".join(_fault_words(*item) for item in report.faults.items()),
        ]
    if report.actions:
        lines += ["", "Live actions:", *demo_script.in_words(report.actions)]
    lines += ["", *report.notes]
    lines += [f"strategy {name} was stopped: {text}" for name, text in report.failed_strategies.items()]
    left = f"{report.processes_left} processes and {report.segments_left} segments left behind."
    verdict = "AGREE: our books and the venue's are the same." if report.agree else "DIFFER: see above."
    return "\n".join([*lines, left, verdict]).replace("\n\n\n", "\n\n")


def _fault_words(kind: str, counts: dict[str, int]) -> str:
    return f"{kind} {counts.get('injected', 0)} ({counts.get('with_order_in_flight', 0)})"


def _venue_words(name: str, venue: VenueReport) -> list[str]:
    counts = venue.counts
    lines = [
        f"{name}: {venue.frames:,} frames, {venue.gaps} gaps; best prices checked {venue.book_checks:,} times, "
        f"{venue.book_agree:,} agree",
        f"  orders: {counts.sent} sent, {counts.accepted} accepted, {counts.filled} filled, {counts.canceled} "
        f"canceled, {counts.rejected} rejected; {len(venue.own_trades)} fills; "
        f"{venue.reconcile_corrections} reconcile corrections; {venue.open_orders_left} open orders left",
        f"  {'':<22}{'ours (from fills)':>22}{'venue (its ledger)':>22}",
    ]
    for symbol in sorted(venue.ours.position.keys() | venue.venue.position.keys()):
        lines.append(_pair(f"position {symbol}", venue.ours.position.get(symbol), venue.venue.position.get(symbol)))
    lines += [
        _pair("fees", venue.ours.fees, venue.venue.fees),
        _pair("realized PnL", venue.ours.realized_pnl, venue.venue.realized_pnl),
        _pair("unrealized PnL", venue.ours.unrealized_pnl, venue.venue.unrealized_pnl),
        *_set_words("orders (id, final state, filled)", venue.own_orders, venue.venue_orders),
        *_set_words("trades (symbol, id)", venue.own_trades, venue.venue_trades),
        *venue.owners.in_words(),
    ]
    return lines


def _pair(label: str, ours: Decimal | None, venue: Decimal | None) -> str:
    texts = [show(value) if value is not None else "-" for value in (ours, venue)]
    return f"  {label:<22}{texts[0]:>22}{texts[1]:>22}   {'equal' if ours == venue else 'DIFFERENT'}"


def _set_words(label: str, ours: set[Any], venue: set[Any]) -> list[str]:
    if ours == venue:
        return [f"  {label}: {len(ours)} on both sides, equal"]
    lines = [f"  {label}: {len(ours ^ venue)} differ"]
    for side, items in (("only ours", ours - venue), ("only the venue's", venue - ours)):
        lines += [f"    {side}: {', '.join(map(str, item))}" for item in sorted(items, key=str)[:DIFFERENCES_SHOWN]]
    return lines


def _latency_words(latency: dict[str, dict[str, int]]) -> list[str]:
    lines = [f"  {'hop':<28}{'count':>10}{'p50':>10}{'p90':>10}{'p99':>10}{'p99.9':>10}{'max':>11}"]
    for hop, summary in latency.items():
        figures = "".join(f"{summary[key] / 1000:>10.1f}" for key in ("p50", "p90", "p99", "p999"))
        lines.append(f"  {hop:<28}{summary['count']:>10,}{figures}{summary['max'] / 1000:>11.1f}")
    return lines

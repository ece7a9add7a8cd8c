"""`corelane replay FILE --strategy ...`: a recording fed back through a strategy, offline.

The rule: the trader's side is the real one (container, risk, MiniOMS, MiniPMS on a clock that is the recording's), the
market is what was recorded, in the order of publishing over all venues, and orders trade on paper_venue.py, which says
what is modelled. The same file, strategy and options give the same result. What the recorder had missed is said.
Called by `corelane replay`.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from exchanges.simulator.orders import Report, ReportKind
from processes.exit_codes import ExitCode, Failure
from processes.paper_venue import PaperVenue, Recorded, RecordedListing
from processes.replay import Chosen
from shm.layout import RecordKind
from shm.records import RECORD_CLASSES, InstrumentRow
from strategy.loader import StrategyLoadError
from strategy.parameters import ParameterError
from strategy.strategy_runner import RunnerState
from strategy.testing import Listing, StrategyRig, VenueSide

MARKET_KINDS: Final = frozenset(
    (RecordKind.QUOTE, RecordKind.TRADE, RecordKind.BOOK_TOP, RecordKind.TICKER, RecordKind.MARKET_STATUS)
)
STEP_NS: Final = 50_000_000
"""Where nothing was recorded, time passes in steps of this: data goes stale and heartbeats beat as they do live."""
BEAT_NS: Final = 100_000_000
BEFORE_NS: Final = 1_000_000_000
"""The strategy is started so long before the first record."""


@dataclass(frozen=True)
class PaperOptions:
    """What `corelane replay --strategy` was asked for. Fees are fractions of the notional, latency is one way."""

    strategy: str
    instruments: tuple[str, ...] = ()
    """Empty: all that the recording has, in its order."""
    parameters: dict[str, Any] = field(default_factory=dict)
    latency_ms: float = 1.0
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")


@dataclass(frozen=True)
class Holding:
    """One instrument at the end; money in `currency`. `unrealized_pnl` is at the last mark or mid, None without one."""

    instrument: str
    position: float
    realized_pnl: float
    unrealized_pnl: float | None
    fees: float
    funding: float
    """Received (positive) or paid; no other figure contains it."""
    currency: str
    fills: int
    maker_fills: int


@dataclass(frozen=True)
class PaperResult:
    """What a strategy made of a recording."""

    seconds: float
    records: int
    missed: int
    """Records that the recorder had lost: the strategy did not see them either."""
    orders: int
    refused_here: int
    """Orders that risk or rounding did not let out."""
    refused_there: dict[str, int]
    open_at_end: int
    holdings: list[Holding]
    fills: list[dict[str, Any]]
    without_funding: list[str]
    """Perpetuals that paid none because the recording names no time for it."""
    stopped: str
    """Why the strategy ended before the recording did, in one sentence; "" where it did not."""


def run(chosen: Chosen, options: PaperOptions) -> PaperResult:
    """Feed the chosen part of a recording to the strategy. Raises Failure with one sentence."""
    recording = chosen.recording
    if not recording.of_this_layout:
        raise Failure(
            f"{recording.path}: made with layout {recording.layout_version}, expected today's for --strategy",
            ExitCode.CONFIG,
        )
    listings = _listings(chosen, options.instruments)
    first = next((entry.time_ns for entry in _market(chosen, listings)), 0)
    if not first:
        raise Failure(f"{recording.path}: holds no market data of the chosen instruments and times", ExitCode.CONFIG)
    try:
        rig = PaperRig(options, list(listings.values()), first - BEFORE_NS, recording.utc_offset_ns)
    except (StrategyLoadError, ParameterError) as error:
        raise Failure(f"--strategy: {error}", ExitCode.CONFIG) from None
    with rig:
        for entry in _market(chosen, listings):
            if not rig.play(entry):
                break
        return rig.result(_missed(chosen))


def fee(option: str, text: str) -> Decimal:
    """A rate as the command line gives it. Raises Failure."""
    try:
        rate = Decimal(text)
    except ArithmeticError:
        rate = Decimal("NaN")
    if not rate.is_finite() or abs(rate) >= 1:
        raise Failure(
            f"{option}: found {text!r}, expected a fraction like 0.0002 (a rebate is below 0)", ExitCode.CONFIG
        )
    return rate


# --- the recording ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Moment:
    """One record of one venue's market, when it was published."""

    time_ns: int
    venue: str
    name: str
    record: Recorded


def _listings(chosen: Chosen, wanted: tuple[str, ...]) -> dict[tuple[str, int], RecordedListing]:
    """{(venue, recorded instrument id): listing} of the wanted instruments, in their order."""
    found: dict[str, tuple[tuple[str, int], RecordedListing]] = {}
    tables = [source for source in chosen.recording.sources if source.endswith(".instruments")]
    for entry in chosen.recording.entries(0, chosen.to_ns, tables):
        if entry.missed:
            continue
        row, venue = InstrumentRow(), entry.source.partition(".")[0]
        row.load(entry.data)
        name = f"{venue}:{bytes(row.symbol).decode('ascii', 'replace')}"
        found.setdefault(name, ((venue, row.instrument_id), RecordedListing(name, recorded=row)))
    for name in wanted:
        if name not in found:
            known = ", ".join(found) or "none"
            raise Failure(f"--instrument: found {name}, expected some of: {known}", ExitCode.CONFIG)
    if not found:
        raise Failure(f"{chosen.recording.path}: holds no instrument, expected a recorder's file", ExitCode.CONFIG)
    return dict(found[name] for name in wanted or found)


def _market(chosen: Chosen, listings: dict[tuple[str, int], RecordedListing]) -> Iterator[Moment]:
    """Market records of all venues in the order of publishing; a recorder writes them ring by ring."""
    venues = dict.fromkeys(venue for venue, _ in listings)
    sources = [f"{venue}.market" for venue in venues if f"{venue}.market" in chosen.sources]
    return heapq.merge(*(_of(chosen, source, listings) for source in sources), key=lambda moment: moment.time_ns)


def _of(chosen: Chosen, source: str, listings: dict[tuple[str, int], RecordedListing]) -> Iterator[Moment]:
    venue = source.partition(".")[0]
    for entry in chosen.recording.entries(chosen.from_ns, chosen.to_ns, [source]):
        if entry.missed or entry.kind not in MARKET_KINDS:
            continue
        record: Any = RECORD_CLASSES[entry.kind]()
        record.load(entry.data)
        listing = listings.get((venue, record.instrument_id))
        if listing is not None and chosen.from_ns <= record.publish_time_ns <= chosen.to_ns:
            yield Moment(record.publish_time_ns, venue, listing.name, record)


def _missed(chosen: Chosen) -> int:
    rings = [source for source in chosen.sources if source.endswith(".market")]
    return sum(entry.missed for entry in chosen.recording.entries(chosen.from_ns, chosen.to_ns, rings))


# --- the strategy -----------------------------------------------------------------------------------------------------
class PaperRig(StrategyRig):
    """One strategy on paper venues, at the recording's times."""

    def __init__(
        self, options: PaperOptions, listings: list[RecordedListing], begin_ns: int, utc_offset_ns: int
    ) -> None:
        self._options = options
        self._utc_offset_ns = utc_offset_ns
        self._next_beat_ns = 0
        self._begin_ns, self._records = begin_ns, 0
        super().__init__(options.strategy, options.parameters, instruments=listings, begin_ns=begin_ns)

    def make_side(self, venue: str, listings: list[Listing]) -> VenueSide:
        latency_ns = round(self._options.latency_ms * 1e6)
        return PaperVenue(self, venue, listings, latency_ns, self._options.maker_fee, self._options.taker_fee)

    @property
    def paper(self) -> dict[str, PaperVenue]:
        return {name: side for name, side in self.venues.items() if isinstance(side, PaperVenue)}

    def _pass(self, seconds: float) -> None:
        super()._pass(seconds)
        self.utc_ns = self.now_ns + self._utc_offset_ns

    def play(self, moment: Moment) -> bool:
        """Let time pass until then, then show the record to venue and strategy; False once the strategy has ended."""
        self._until(moment.time_ns)
        venue, _, symbol = moment.name.partition(":")
        moment.record.instrument_id = self.instance.instruments(venue).id(symbol)
        self.paper[venue].play(moment.record)
        self._records += 1
        self._settle()
        return self.runner.state is not RunnerState.FAILED

    def _until(self, time_ns: int) -> None:
        while True:
            due = min(self.container.timers.next_ns, self._next_beat_ns, self.now_ns + STEP_NS)
            due = min(due, *(side.next_ns for side in self.paper.values()))
            if due >= time_ns:
                break
            self._step(due)
        self._step(time_ns)

    def _step(self, time_ns: int) -> None:
        self.now_ns = max(self.now_ns, time_ns)
        self.utc_ns = self.now_ns + self._utc_offset_ns
        if self.now_ns >= self._next_beat_ns:
            self._next_beat_ns = self.now_ns + BEAT_NS
            self.beat()
        self._settle()

    def _settle(self) -> None:
        """Until nothing more happens at this moment."""
        sides = list(self.paper.values())
        while True:
            work = self.container.turn()
            for side in sides:
                side.answer()
                work += side.deliver()
            if not work:
                return

    # --- what came of it --------------------------------------------------------------------------------------------
    def result(self, missed: int) -> PaperResult:
        """The end: quotes are left as they stand, positions are valued at the last mark."""
        reports = [(name, report) for name, side in self.paper.items() for report in side.reports]
        refused = Counter(words for side in self.paper.values() for words in side.refused)
        return PaperResult(
            seconds=(self.now_ns - self._begin_ns - BEFORE_NS) / 1e9,
            records=self._records,
            missed=missed,
            orders=sum(report.kind is ReportKind.ACCEPTED for _, report in reports),
            refused_here=len(self.refused),
            refused_there=dict(refused),
            open_at_end=sum(side.exchange.open_count() for side in self.paper.values()),
            holdings=[self._holding(one.name) for one in self.runner.instruments],
            fills=[self._fill(name, report) for name, report in reports if report.kind is ReportKind.TRADE],
            without_funding=[f"{name}:{one}" for name, side in self.paper.items() for one in side.without_funding],
            stopped=self.runner.text if self.runner.state is RunnerState.FAILED else "",
        )

    def _holding(self, name: str) -> Holding:
        venue, _, symbol = name.partition(":")
        exchange, ours = self.paper[venue].exchange, self.position(name)
        instrument = exchange.instruments[symbol]
        trades = [trade for trade in exchange.accounts[instrument.settle].trades if trade.symbol == symbol]
        valued = exchange.matchers[symbol].book.ready or symbol in exchange.marks
        return Holding(
            name,
            ours.position,
            ours.realized_pnl,
            float(exchange.unrealized(instrument.settle, symbol)) if valued else None,
            float(sum((trade.fee for trade in trades), Decimal(0))),
            float(exchange.accounts[instrument.settle].position(symbol).funding),
            instrument.settle,
            len(trades),
            sum(trade.maker for trade in trades),
        )

    def _fill(self, venue: str, report: Report) -> dict[str, Any]:
        trade = report.trade
        assert trade is not None
        return {
            "time": datetime.fromtimestamp(trade.time_ms / 1e3, UTC).isoformat(timespec="milliseconds"),
            "instrument": f"{venue}:{trade.symbol}",
            "side": "buy" if trade.is_buy else "sell",
            "price": f"{trade.price:f}",
            "quantity": f"{self.paper[venue].contracts(trade.symbol, trade.quantity):f}",
            "fee": f"{trade.fee:f}",
            "maker": trade.maker,
        }


# --- for people -------------------------------------------------------------------------------------------------------
def lines(result: PaperResult, options: PaperOptions) -> Iterator[str]:
    """The result on a screen."""
    yield f"{result.records:,} market records over {result.seconds:,.1f} s, {result.missed:,} missed by the recorder"
    there = "".join(f", {count:,} refused: {words}" for words, count in sorted(result.refused_there.items()))
    yield (
        f"orders: {result.orders:,} accepted{there}; {result.refused_here:,} never left (risk, rounding); "
        f"{result.open_at_end:,} open at the end; {len(result.fills):,} fills"
    )
    for held in result.holdings:
        unrealized = "not valued" if held.unrealized_pnl is None else f"{held.unrealized_pnl:,.6g}"
        yield (
            f"  {held.instrument:<28} position {held.position:<12g} realized {held.realized_pnl:,.6g}  unrealized "
            f"{unrealized}  fees {held.fees:,.6g}  funding {held.funding:,.6g} {held.currency}  fills {held.fills:,} "
            f"({held.maker_fills:,} as maker)"
        )
    yield (
        f"modelled: {options.latency_ms:g} ms each way, queue behind what was shown, recorded levels for takers, fees "
        f"{options.maker_fee} / {options.taker_fee}, funding by the recorded rates; not modelled: market impact, "
        "margin, venue limits" + "".join(f", funding of {name} (no time recorded)" for name in result.without_funding)
    )
    if result.stopped:
        yield f"the strategy ended before the recording: {result.stopped}"


def write_report(result: PaperResult, path: Path) -> None:
    """The same as JSON, with every fill. Raises Failure."""
    try:
        path.write_text(json.dumps(asdict(result), indent=1) + "\n", "utf-8")
    except OSError as error:
        raise Failure(f"--report: {path}: {error.strerror}", ExitCode.CONFIG) from None

"""StrategyContainer: several strategies, the venues they trade, and the one loop that feeds them.

The rule: every decision about money passes here in one thread, in this order per turn: order events, market data,
timers, then (every few ms) the checks of state that must hold whatever was or was not in a ring: engines and epochs,
recovery, freshness, positions, cancels that are still owed. `turn()` never waits.

What it guarantees to strategies: no callback before every venue they use is Ready; no market data and no new orders on
data that is not fresh; their orders pulled when data or engine fail, when they are paused, stopped, or raise.
What it guarantees to the operator: an order is over only by the venue's word; a cancel that could not be sent is not
forgotten; what disagrees is counted, logged, and asked about.

Made and driven by processes/trader.py.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from shm.clock import monotonic_ns
from shm.layout import (
    MONEY_SCALE,
    TERMINAL_STATES,
    AuditSubject,
    EventType,
    OrderState,
    Reason,
    RecordKind,
    RecoveryPhase,
    RequestType,
    Word,
    client_order_id,
)
from shm.records import ProcessRow
from strategy import code_swap, parameters
from strategy.abstract_strategy import AbstractStrategy
from strategy.code_swap import SwapError
from strategy.instrument import Instrument, InstrumentError
from strategy.limits import Limits, values_of
from strategy.loader import StrategyLoadError, load_strategy_class, where
from strategy.measures import Measures
from strategy.mini_oms import MiniOMS
from strategy.mini_pms import ACCOUNT, MiniPMS
from strategy.planned_restart import RestartMeasure, RestartNote
from strategy.risk import StrategyRisk
from strategy.risk_state import RiskState
from strategy.shm_oms_adapter import Cause
from strategy.strategy_runner import CALLBACK_BUDGET_NS, LEFT_ALONE, RunnerState, StrategyRunner
from strategy.timers import Timers
from strategy.venue_session import REFUSED_PAUSE_NS

if TYPE_CHECKING:
    from shm.records import AuditDifference, OrderEvent, Recovery
    from shm.table import Words
    from shm.trace import Trace
    from strategy.order import Fill, Order
    from strategy.venue_link import VenueLink

# Bound once, as plain names: looking an enum member up in its class is slow, and these are compared per record.
_QUOTE, _TRADE, _BOOK_TOP, _TICKER = (
    int(RecordKind.QUOTE), int(RecordKind.TRADE), int(RecordKind.BOOK_TOP), int(RecordKind.TICKER),
)  # fmt: skip
_RECOVERY: Final = int(RecordKind.RECOVERY)
_AUDIT_DIFFERENCE: Final = int(RecordKind.AUDIT_DIFFERENCE)
_STALE_EPOCH: Final = int(Reason.STALE_EPOCH)
_RUNNING: Final = RunnerState.RUNNING

BATCH: Final = 64
"""Records taken from one ring per turn, so that a burst of one venue does not keep the others waiting."""
CHECK_NS: Final = 5_000_000
SLOW_CHECK_NS: Final = 100_000_000
SWEEP_NS: Final = 500_000_000
PATIENCE_NS: Final = 5_000_000_000
"""How long an answer may be overdue before the venue is asked; the engine settles its own timeouts well before."""
RESYNC_PAUSE_NS: Final = 1_000_000_000
IDS_OF_AN_EPOCH: Final = 16_000_000
"""After so many order ids the trader takes a new epoch. A venue without an amend keeps the legs of replaced orders in
the counter's upper eight bits (exchanges/grvt/legs.py): however long a trader runs, no counter may grow into them."""


class StrategySettings(Protocol):
    """The part of the config's StrategyConfig that is read here."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def instruments(self) -> list[str]: ...  # "venue:SYMBOL"
    @property
    def parameters(self) -> dict[str, Any]: ...
    @property
    def limits(self) -> Limits | None: ...
    @property
    def on_start(self) -> str: ...  # "adopt" | "cancel"


class StrategyContainer:
    """Use: `load` each strategy, then `turn` for ever, then `stop_all` and `turn` until `unsettled_orders` is 0."""

    def __init__(
        self, instance: int, links: list[VenueLink], words: Words, take_epoch: Callable[[int], int], cause: Cause,
        log: logging.Logger | None = None, measures: Measures | None = None, clock: Callable[[], int] = monotonic_ns,
        reconcile_grace_ns: int = 3_000_000_000, callback_budget_ns: int = CALLBACK_BUDGET_NS,
        risk_state: RiskState | None = None,
    ) -> None:  # fmt: skip
        """`take_epoch(at_least)` gives a new trader epoch; `cause` is shared with the venues' OMS adapters.

        `risk_state`: what outlives this process; None: nothing does.
        """
        self.instance = instance
        self.log = log or logging.getLogger(__name__)
        self.clock = clock
        self.callback_budget_ns = callback_budget_ns
        self.risk_state = risk_state or RiskState()
        self.links = links
        self.links_by_name = {link.name: link for link in links}
        self._links_by_code = {link.code: link for link in links}
        self._words = words
        self._take_epoch = take_epoch
        self._cause = cause
        self._trace: Trace | None = None
        """Of the order event that is being dealt with."""
        self._measures = measures or Measures()
        self.oms = MiniOMS(instance, self, self.log)
        self.pms = MiniPMS(
            lambda strategy, instrument: self.oms.working(strategy, instrument), self.log, reconcile_grace_ns
        )
        self.timers: Timers[StrategyRunner] = Timers()
        self.runners: dict[int, StrategyRunner] = {}
        self.marks: dict[int, int] = {}
        """Mark price mantissa (MONEY_SCALE) by instrument id."""
        self._loaded: list[tuple[StrategySettings, AbstractStrategy]] = []
        self._folder: Path | None = None
        """Where relative files of strategies are looked for."""
        self._runners_by_instrument: dict[int, list[StrategyRunner]] = {}
        self._wanted_cancels: dict[int, Order] = {}
        self._later: deque[tuple[StrategyRunner, str, tuple[Any, ...]]] = deque()
        self._counter = 0
        self._id_bases: dict[int, int] = {}
        self._engine_row = ProcessRow()
        self._next_check_ns = self._next_slow_check_ns = self._next_sweep_ns = 0
        self._stopping = False
        self._handed_on: frozenset[int] = frozenset()
        self._settings: dict[int, StrategySettings] = {}
        self.restart: RestartMeasure | None = None
        """The planned restart by which this trader came; None after any other start."""
        self._restarting: RestartMeasure | None = None
        # Seen from outside; the trader copies them into its counters.
        self.quotes = self.trades = self.books = self.tickers = self.statuses = 0
        self.events = self.fills = self.requests = self.refusals = 0
        self.lapped = 0
        self.strategy_errors = 0
        self.audit_differences = 0
        self.stale_episodes = 0
        self.queries = 0
        self.epoch = 0
        self.new_epoch(0)

    # --- strategies: load, life, parameters -------------------------------------------------------------------------
    def load(self, settings: StrategySettings, folder: Path | None = None) -> None:
        """Find, check and make one strategy; it starts by itself when its venues are Ready.

        Raises StrategyLoadError with one sentence for anything that is wrong with its class, instruments or parameters.
        """
        self._folder = folder
        who = f"strategy {settings.name}"
        if any(known.id == settings.id for known, _ in self._loaded) or settings.id in self.runners:
            raise StrategyLoadError(f"{who}: id {settings.id} is already another strategy's")
        kind = load_strategy_class(settings.module, folder)
        for name in settings.instruments:
            venue, _, symbol = name.partition(":")
            link = self.links_by_name.get(venue)
            if link is None:
                known = ", ".join(self.links_by_name)
                raise StrategyLoadError(f"{who}: instrument {name!r}: no such venue, expected one of: {known}")
            if symbol not in link.ids:
                raise StrategyLoadError(f"{who}: instrument {name!r}: {symbol} is not among the venue's symbols")
        try:
            strategy = kind()
        except (Exception, SystemExit) as error:
            raise StrategyLoadError(f"{who}: {kind.__name__}() failed at {where(error)}: {error}") from error
        try:
            strategy.parameters = parameters.build(kind.Parameters, settings.parameters)
        except parameters.ParameterError as error:
            raise StrategyLoadError(f"{who}: {error}") from None
        for name in settings.instruments:
            venue, _, symbol = name.partition(":")
            self.pms.set_owner(self.links_by_name[venue].ids[symbol], settings.id)
        self._loaded.append((settings, strategy))
        self._settings[settings.id] = settings

    def find(self, name: str) -> StrategyRunner | None:
        """A strategy by its name in the config."""
        return next((runner for runner in self.runners.values() if runner.name == name), None)

    def set_parameters(self, name: str, changes: dict[str, Any]) -> dict[str, Any]:
        """Change parameters of a strategy all or nothing; the new full set. Raises ParameterError."""
        strategy = next((one for settings, one in self._loaded if settings.name == name), None)
        runner = self.find(name)
        if runner is not None:
            strategy = runner.strategy
        if strategy is None:
            raise parameters.ParameterError(f"there is no strategy {name!r}")
        strategy.parameters = parameters.change(strategy.parameters, changes)
        self.log.info("strategy %s: parameters changed: %s", name, changes)
        return parameters.values_of(strategy.parameters)

    def swap_strategy(self, name: str, module: str = "", changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Replace the code of a strategy while its orders live on; `module` "": its own, read anew. See code_swap.py.

        Raises SwapError, and then the old code runs on.
        """
        runner = self.find(name)
        if runner is None:
            waiting = any(settings.name == name for settings, _ in self._loaded)
            known = ", ".join(one.name for one in self.runners.values()) or "none"
            raise SwapError(
                f"strategy {name} waits for its instruments, and runs no code yet"
                if waiting
                else f"strategy: found {name!r}, expected one of: {known}"
            )
        try:
            return code_swap.swap(runner, module or runner.module, self._folder, changes or {})
        except SwapError as error:
            self.log.error("strategy %s: code not swapped: %s", name, error)
            raise

    def stop_all(self, kept: Collection[int] = ()) -> dict[int, int]:
        """Stop every strategy and cancel its orders, but those of the strategies `kept` that run; `turn` on until
        `unsettled_orders` is 0. Strategies whose orders stay, and how many those are."""
        self._stopping = True
        stay = {runner.id: 0 for runner in self.runners.values() if runner.id in kept and runner.hand_on()}
        for runner in self.runners.values():
            if runner.id not in stay:
                runner.stop()
        for order in self._live_orders():
            if order.strategy_id in stay:
                stay[order.strategy_id] += 1
            else:
                self.cancel_order(order)
        self._handed_on = frozenset(stay)
        return stay

    def open_orders(self) -> int:
        """Own orders of which the venue has not said that they are over."""
        return len(self._live_orders())

    def unsettled_orders(self) -> int:
        """Own orders that nobody takes over and that are not closed: still open, or their fills do not add up yet;
        and cancels of others that could not be sent yet."""
        ours = sum(not one.external and one.strategy_id not in self._handed_on for one in self.oms.orders.values())
        return ours + sum(one.strategy_id in self._handed_on for one in self._wanted_cancels.values())

    def go_on_from(self, note: RestartNote) -> None:
        """This trader was started by a planned restart: take over what the one before it left."""
        self.restart = RestartMeasure(note)
        self._restarting = self.restart

    def differs_from_config(self) -> dict[str, list[str]]:
        """Parameters by strategy that were changed live, and "module" where its code comes from elsewhere now."""
        found: dict[str, list[str]] = {}
        for runner in self.runners.values():
            settings = self._settings[runner.id]
            now = parameters.values_of(runner.strategy.parameters)
            try:
                then = parameters.values_of(parameters.build(type(runner.strategy).Parameters, settings.parameters))
            except parameters.ParameterError:  # code was swapped, and its parameters are others
                then = {}
            names = [name for name, value in now.items() if then.get(name) != value]
            if runner.module != settings.module:
                names.append("module")
            if names:
                found[runner.name] = names
        return found

    def cancel_everything(self) -> int:
        """Cancel all own orders, and ask each engine for the same, for orders that are not known here."""
        now_ns = self.clock()
        asked = sum(self.cancel_order(order) for order in self._live_orders())
        for link in self.links:
            if link.session.is_ready:
                link.oms.cancel_all(now_ns)
        return asked

    def _live_orders(self) -> list[Order]:
        return [one for one in self.oms.orders.values() if not one.external and one.state not in TERMINAL_STATES]

    def _build_runners(self) -> None:
        """Make the runner of each loaded strategy whose instruments the market servers have written."""
        for settings, strategy in list(self._loaded):
            instruments: list[tuple[VenueLink, Instrument]] = []
            for name in settings.instruments:
                venue, _, symbol = name.partition(":")
                link = self.links_by_name[venue]
                instrument = self._instrument(link, link.ids[symbol], symbol)
                if instrument is not None:
                    instruments.append((link, instrument))
            if len(instruments) < len(settings.instruments):
                continue
            self._loaded.remove((settings, strategy))
            risk = StrategyRisk(settings.limits, [instrument for _, instrument in instruments])
            runner = StrategyRunner(
                self, strategy, settings.id, settings.name, instruments, risk, settings.on_start, settings.module
            )
            if self._stopping:
                runner.state = RunnerState.STOPPED
            elif self.restart is not None:
                runner.adopts = runner.adopts or runner.id in self.restart.note.kept
                if runner.id in self.restart.note.paused:
                    runner.pause()
            self.runners[settings.id] = runner
            for _, instrument in instruments:
                self._runners_by_instrument.setdefault(instrument.id, []).append(runner)

    def _instrument(self, link: VenueLink, instrument_id: int, symbol: str = "") -> Instrument | None:
        try:
            return link.mds.instrument(instrument_id, symbol)
        except InstrumentError as error:
            self.log.error("%s", error)
            return None

    # --- epochs and ids ---------------------------------------------------------------------------------------------
    def new_epoch(self, at_least: int) -> None:
        """Take a new epoch: every request and order id from now on carries it, every venue must be recovered."""
        self.epoch = self._take_epoch(at_least)
        self._counter = 0
        self._id_bases.clear()
        for link in self.links:
            link.oms.begin_epoch(self.epoch)

    def next_order_id(self, strategy_id: int) -> int:
        """A client order id that was never used (`IDS_OF_AN_EPOCH`)."""
        self._counter += 1
        base = self._id_bases.get(strategy_id)
        if base is None:
            base = self._id_bases[strategy_id] = client_order_id(self.instance, strategy_id, self.epoch, 0)
        return base + self._counter

    def measure_request(self, asked_ns: int) -> None:
        """A request was published just now; it was asked for at `asked_ns`."""
        now_ns = self.clock()
        self.requests += 1
        measures, cause = self._measures, self._cause
        measures.request_build.record(now_ns - asked_ns)
        if cause.is_market:
            measures.poll_to_request.record(now_ns - cause.poll_time_ns)
            measures.tick_to_request.record(now_ns - cause.receive_time_ns)

    # --- the loop ---------------------------------------------------------------------------------------------------
    def turn(self) -> int:
        """One bounded unit of work; how many things were done."""
        work = 0
        for link in self.links:
            work += self._poll_events(link)
            work += self._poll_market(link)  # leaves no cause behind: what follows was not led to by a record
        now_ns = self.clock()
        if now_ns >= self.timers.next_ns:
            for runner, name in self.timers.due(now_ns):
                runner.notify("on_timer", name)
                work += 1
        if self._later:
            self._tell_later()
            work += 1
        if now_ns >= self._next_check_ns:
            self.check(now_ns)
        return work

    def later(self, runner: StrategyRunner, name: str, arguments: tuple[Any, ...]) -> None:
        """Call back when the running callback is over."""
        self._later.append((runner, name, arguments))

    def _tell_later(self) -> None:
        # Only what stands there now: a strategy that answers each refusal with the next order gets one turn at a time.
        for _ in range(len(self._later)):
            runner, name, arguments = self._later.popleft()
            runner.notify(name, *arguments)

    # --- market data ------------------------------------------------------------------------------------------------
    def _poll_market(self, link: VenueLink) -> int:
        poll, clock, cause, mds = link.mds.poll, self.clock, self._cause, link.mds
        publish_to_poll = self._measures.publish_to_poll.record
        runners_of, views = self._runners_by_instrument, mds.views
        count = 0
        while count < BATCH:
            record = poll()
            if record is None:
                break
            count += 1
            now_ns = clock()
            publish_to_poll(now_ns - record.publish_time_ns)
            instrument_id = record.instrument_id
            runners = runners_of.get(instrument_id)
            if runners is None:
                continue
            cause.take(record, now_ns)
            kind = record.kind
            if kind == _QUOTE:
                self.quotes += 1
                view = views[instrument_id]
                if not view.on_quote(record, now_ns, mds.server_problem):
                    self._went_stale(instrument_id, view.reason)
                elif link.session.is_ready:
                    for runner in runners:
                        if runner.stale:
                            runner.set_fresh(instrument_id)
                        handler = runner.quote_handler
                        if handler is not None and runner.state is _RUNNING and runner.is_ready:
                            runner.call(handler, record)
            elif kind == _TRADE:
                self.trades += 1
                self._hand_over(link, runners, instrument_id, "on_trade", record)
            elif kind == _BOOK_TOP:
                self.books += 1
                self._hand_over(link, runners, instrument_id, "on_book", record)
            elif kind == _TICKER:
                self.tickers += 1
                if record.mark_price_mantissa > 0:
                    self.marks[instrument_id] = record.mark_price_mantissa
                self._hand_over(link, runners, instrument_id, "on_ticker", record)
            else:
                # A hint that the state moved: look at the state itself, now.
                self.statuses += 1
                if not views[instrument_id].check(now_ns, mds.server_problem):
                    self._went_stale(instrument_id, views[instrument_id].reason)
            if self._later:
                self._tell_later()
        cause.clear()
        if mds.market.laps != link.laps_seen:
            self.lapped += mds.market.laps - link.laps_seen
            link.laps_seen = mds.market.laps
            self.log.warning(
                "%s: the market ring lapped this trader, %d records were lost so far", link.name, mds.market.lost
            )
            self._check_views(link, self.clock())
        return count

    def _hand_over(
        self, link: VenueLink, runners: list[StrategyRunner], instrument_id: int, name: str, record: Any
    ) -> None:
        """Give a record other than a quote to the strategies that want it, on fresh data only."""
        for runner in runners:
            handler = runner.handlers[name]
            if handler is None or runner.state != RunnerState.RUNNING or not runner.is_ready:
                continue
            if instrument_id not in runner.stale and link.mds.views[instrument_id].fresh:
                runner.call(handler, record)

    def _went_stale(self, instrument_id: int, reason: str) -> None:
        for runner in self._runners_by_instrument.get(instrument_id, ()):
            runner.set_stale(instrument_id, reason)

    # --- order events -----------------------------------------------------------------------------------------------
    def _poll_events(self, link: VenueLink) -> int:
        count = 0
        while count < BATCH:
            record = link.oms.poll()
            if record is None:
                break
            count += 1
            now_ns = self.clock()
            if not link.session.drops_events:  # what waited for this trader to start says nothing about the hop
                self._measures.event_to_poll.record(now_ns - record.publish_time_ns)
            if record.kind == _RECOVERY:
                self._on_recovery(link, record, now_ns)
            elif record.kind == _AUDIT_DIFFERENCE:
                self._on_audit_difference(link, record)
            elif link.session.drops_events:
                link.session.dropped += 1
            else:
                self._on_event(link, record, now_ns)
            if self._later:
                self._tell_later()
        if count:
            link.oms.commit()
            self._cause.clear()
        return count

    def _on_event(self, link: VenueLink, event: OrderEvent, now_ns: int) -> None:
        self.events += 1
        if event.reason == _STALE_EPOCH:
            self._next_check_ns = 0  # another trader's epoch may have been accepted: look at the engine's row now
        if event.client_order_id == 0:
            if event.request_type == RequestType.RECOVER and event.event_type == EventType.REJECTED:
                reason = Reason(event.reason).name
                link.session.doubt(f"the trading engine refused the recovery: {reason}", now_ns, REFUSED_PAUSE_NS)
            return
        cause = self._cause
        cause.sequence, cause.receive_time_ns = event.cause_sequence, event.cause_receive_time_ns
        cause.poll_time_ns, cause.is_market = now_ns, False
        trace = self._trace = link.oms.trace
        self.oms.apply(event, self._instrument(link, event.instrument_id), now_ns)
        if trace is not None:
            trace.end(event, now_ns)
            self._trace = None

    def _on_audit_difference(self, link: VenueLink, difference: AuditDifference) -> None:
        """The engine found the venue and itself apart. What heals it comes as order events; here it is counted."""
        self.audit_differences += 1
        instrument = self._instrument(link, difference.instrument_id)
        name = instrument.name if instrument is not None else f"instrument {difference.instrument_id}"
        self.log.warning(
            "audit of %s: %s: %d here, %d at the venue (in its lots' scale)",
            name, AuditSubject(difference.subject).name.lower(), difference.ours, difference.theirs,
        )  # fmt: skip

    def on_order(self, order: Order) -> None:
        """MiniOMS: an order changed."""
        if self._trace is not None:
            self._trace.applied()
        if order.external:
            self.log.info("%s: an order of somebody else: %r", order.instrument.name, order)
            return
        if self._restarting is not None and order.is_working and not order.adopted:
            self._restarting.on_working(self.clock())
        runner = self.runners.get(order.strategy_id)
        if runner is not None:
            runner.notify("on_order", order)

    def on_fill(self, order: Order, fill: Fill) -> None:
        """MiniOMS: a new trade. The position moves before the strategy hears of it."""
        trace = self._trace
        if trace is not None:
            trace.applied()
        self.fills += not order.external
        runner = None if order.external else self.runners.get(order.strategy_id)
        position = self.pms.apply_fill(
            runner.id if runner else ACCOUNT, order.instrument, order.side, fill.price_mantissa, fill.quantity_mantissa,
            fill.exchange_time_ns,
        )  # fmt: skip
        if trace is not None:
            trace.moved()
        if runner is None:
            return
        runner.notify("on_fill", fill)
        if position is not None:
            runner.notify("on_position", position)
        runner.check_loss(self.marks)

    def on_fee(self, order: Order, fill: Fill) -> None:
        """MiniOMS: the fee of a trade."""
        runner = None if order.external else self.runners.get(order.strategy_id)
        position = self.pms.apply_fee(
            runner.id if runner else ACCOUNT, order.instrument, fill.fee_currency, fill.fee_mantissa,
            fill.exchange_time_ns,
        )  # fmt: skip
        if runner is not None:
            runner.notify("on_position", position)

    # --- cancels ----------------------------------------------------------------------------------------------------
    def cancel_order(self, order: Order) -> bool:
        """Send a cancel, or keep the wish until it can be sent. False: it is over or its cancel is on the way."""
        if order.external or order.state in TERMINAL_STATES or order.cancel_pending:
            return False
        if order.client_order_id in self._wanted_cancels:
            return False
        if not self._send_cancel(order):
            self._wanted_cancels[order.client_order_id] = order
        return True

    def _send_cancel(self, order: Order) -> bool:
        link = self._links_by_code[order.instrument.venue]
        if not link.session.is_ready:
            return False
        now_ns = self.clock()
        if not self.oms.ask_cancel(order, now_ns):
            return True  # nothing to send any more
        if link.oms.cancel(order, now_ns):
            self.measure_request(now_ns)
            return True
        self.oms.not_published(order, RequestType.CANCEL, Reason.RING_FULL, "the request ring is full", now_ns)
        return False

    # --- checks of state, every few ms ------------------------------------------------------------------------------
    def check(self, now_ns: int) -> None:
        """Everything that must hold whatever the rings said."""
        self._next_check_ns = now_ns + CHECK_NS
        if self._loaded:
            self._build_runners()
        if self._counter >= IDS_OF_AN_EPOCH and not self._stopping:
            self._renew_epoch(now_ns)
        # Engines refuse everything while the switch is on. To quote on would only fill the rings with refusals.
        halted = "the kill switch is on" if self._words.load(Word.KILL_SWITCH) & 1 else ""
        for link in self.links:
            self._check_engine(link, now_ns)
            link.mds.check_server(now_ns, halted)
            self._check_views(link, now_ns)
        for runner in self.runners.values():
            runner.update_readiness()
        if self._wanted_cancels:
            self._retry_cancels()
        if self._restarting is not None:
            self._follow_restart(self._restarting, now_ns)
        if now_ns >= self._next_slow_check_ns:
            self._next_slow_check_ns = now_ns + SLOW_CHECK_NS
            self._check_positions(now_ns)
            for runner in self.runners.values():
                runner.check_loss(self.marks)
                runner.finish_stop()
            self.risk_state.save_if_due(now_ns)
        if now_ns >= self._next_sweep_ns:
            self._next_sweep_ns = now_ns + SWEEP_NS
            self._sweep(now_ns)

    def _follow_restart(self, restart: RestartMeasure, now_ns: int) -> None:
        """Say how long it took, once it is known."""
        if (
            not restart.stood_still_ms >= 0.0
            and not self._loaded
            and all(one.is_ready for one in self.runners.values())
        ):
            restart.on_running(now_ns, sum(order.adopted and order.is_working for order in self._live_orders()))
            if not restart.is_over:
                self.log.info("%s", restart)
        if restart.is_over:
            self.log.info("%s", restart)
            self._restarting = None

    def _check_engine(self, link: VenueLink, now_ns: int) -> None:
        """Engine, epoch and lost events; asks for a recovery where one is due."""
        row = self._engine_row if link.status.read(link.engine_row, self._engine_row) else None
        session = link.session
        if session.on_engine_row(row, now_ns):
            self.log.error("%s: %s; its orders in flight are unknown until recovered", link.name, session.reason)
            self.oms.engine_lost(link.code, now_ns)
        if row is not None and row.accepted_trader_epoch > self.epoch:
            self._withdraw(row.accepted_trader_epoch, now_ns)
        elif row is not None and session.is_ready:
            if row.accepted_trader_epoch != self.epoch and row.heartbeat_time_ns > session.ready_time_ns:
                session.doubt("the trading engine has not accepted this trader's epoch", now_ns)
            elif self._words.load(link.resync_word):
                pause_ns = RESYNC_PAUSE_NS if now_ns - session.ready_time_ns < RESYNC_PAUSE_NS else 0
                session.doubt("order events were lost", now_ns, pause_ns)
                self.log.error("%s: the event ring was full, order events were lost; recovering", link.name)
        if not session.is_ready:
            for instrument_id in link.ids.values():
                self._went_stale(instrument_id, session.reason)
        if session.should_ask(row, now_ns):
            self._ask_recovery(link, now_ns)

    def _withdraw(self, accepted: int, now_ns: int) -> None:
        """An engine serves a newer trader epoch than ours: take a newer one still and recover everywhere."""
        before = self.epoch
        self.new_epoch(accepted + 1)
        self.log.error("an engine has accepted epoch %d, ours was %d; recovering with %d", accepted, before, self.epoch)
        for link in self.links:
            link.session.doubt("this trader's epoch was replaced", now_ns)

    def _renew_epoch(self, now_ns: int) -> None:
        """The ids of this epoch are used up: take a new one, and let every engine learn of it by a recovery."""
        before = self.epoch
        self.new_epoch(before + 1)
        self.log.warning("%d order ids of epoch %d are used; recovering with %d", IDS_OF_AN_EPOCH, before, self.epoch)
        for link in self.links:
            link.session.doubt("the order ids of this epoch are used up", now_ns)

    def _ask_recovery(self, link: VenueLink, now_ns: int) -> None:
        """Publish RECOVER, once what it speaks about is known: instruments, and positions before the first one."""
        for symbol, instrument_id in link.ids.items():
            if self._instrument(link, instrument_id, symbol) is None:
                link.session.reason = f"the market server has not described {symbol} yet"
                return
        if link.session.drops_events:
            if not link.pms.is_ready(now_ns):
                link.session.reason = "the position server is not ready"
                return
            for instrument_id in link.ids.values():
                instrument = link.mds.by_id[instrument_id]
                self.pms.seed(instrument, link.pms.read_position(instrument_id))
        nonce = link.oms.recover(now_ns)
        if nonce:
            link.session.asked(nonce, now_ns)

    def _on_recovery(self, link: VenueLink, record: Recovery, now_ns: int) -> None:
        match link.session.on_recovery(record, now_ns):
            case RecoveryPhase.BEGIN:
                self.oms.begin_recovery(link.code)
            case RecoveryPhase.END:
                absent = self.oms.end_recovery(link.code, now_ns)
                for order in absent:
                    self.log.warning("%s: the recovery did not mention %r; asking for it", link.name, order)
                    self._query(link, order, now_ns)
                if link.session.is_ready:
                    self.log.info("%s is ready: %d open orders, %d fills", link.name, record.open_orders, record.fills)
                    self._cancel_strays(link)
                    self._next_check_ns = 0

    def _cancel_strays(self, link: VenueLink) -> None:
        """Orders of an earlier trader: their strategy takes them over or they are canceled, as configured."""
        for order in self._live_orders():
            if not order.adopted or order.instrument.venue != link.code:
                continue
            runner = self.runners.get(order.strategy_id)
            if link.cancels_strays if runner is None else not runner.adopts or runner.loss.tripped:
                self.log.info("canceling a stray order: %r", order)
                self.cancel_order(order)

    def _check_views(self, link: VenueLink, now_ns: int) -> None:
        problem = link.mds.server_problem
        for instrument_id, view in link.mds.views.items():
            if not view.check(now_ns, problem):
                self._went_stale(instrument_id, view.reason)

    def _retry_cancels(self) -> None:
        for order_id, order in list(self._wanted_cancels.items()):
            if order.state in TERMINAL_STATES or self._send_cancel(order):
                self._wanted_cancels.pop(order_id, None)

    def _check_positions(self, now_ns: int) -> None:
        for link in self.links:
            try:
                link.mds.refresh_instruments()
            except InstrumentError as error:
                self.log.error("%s", error)
            link.pms.refresh_positions(link.ids.values())
            for instrument_id, row in link.pms.rows.items():
                instrument = link.mds.by_id.get(instrument_id)
                # While the engine is away its fills are: the bracket will bring them, with their prices and fees, and a
                # position taken over before would know neither. Nothing can be sent there meanwhile.
                if instrument is None or not link.session.is_ready:
                    continue
                if self.pms.reconcile(instrument, row, now_ns):
                    runner = self.runners.get(self.pms.owner_of(instrument_id))
                    if runner is not None:
                        runner.notify("on_position", runner.position(instrument))
            for balance in link.pms.changed_balances():
                for runner in self.runners.values():
                    if link in runner.venues and runner.state == RunnerState.RUNNING:
                        runner.notify("on_balance", balance)
            self._refresh_marks(link)

    def _refresh_marks(self, link: VenueLink) -> None:
        """Marks of the tickers table; where a venue has none yet, the mid stands in for it."""
        for instrument_id, view in link.mds.views.items():
            mark = link.mds.mark_price(instrument_id)
            if mark > 0:
                self.marks[instrument_id] = mark
            elif instrument_id not in self.marks and view.fresh:
                self.marks[instrument_id] = round(view.mid * 10**MONEY_SCALE)

    def _sweep(self, now_ns: int) -> None:
        """Ask about orders whose answer is overdue; cancel again what must not be there any more."""
        for order in self.oms.questionable(now_ns, PATIENCE_NS):
            link = self._links_by_code[order.instrument.venue]
            if link.session.is_ready:
                self._query(link, order, now_ns)
        for runner in self.runners.values():
            if runner.state not in LEFT_ALONE:
                runner.cancel_all()

    def _query(self, link: VenueLink, order: Order, now_ns: int) -> None:
        order.last_query_time_ns = now_ns
        self.queries += 1
        link.oms.query(order, now_ns)

    # --- seen from outside ------------------------------------------------------------------------------------------
    def status(self) -> dict[str, Any]:
        """For the control command and the log: strategies, venues, positions; decimal floats for people only."""
        return {
            "epoch": self.epoch,
            "open_orders": self.open_orders(),
            "restart": None if self.restart is None else self.restart.describe(),
            "venues": {
                link.name: {"state": link.session.state.name, "reason": link.session.reason} for link in self.links
            },
            "strategies": {runner.name: self._describe(runner) for runner in self.runners.values()}
            | {settings.name: {"state": "WAITING"} for settings, _ in self._loaded},
        }

    def _describe(self, runner: StrategyRunner) -> dict[str, Any]:
        profit = self.pms.profit(runner.id, self.marks)
        return {
            "id": runner.id,
            "state": runner.state.name,
            "text": runner.text,
            "module": runner.module,
            "stale": {
                runner.instrument_by_id(one).name: runner.links[one].mds.views[one].reason or "waiting for a quote"
                for one in sorted(runner.stale)
            },
            "slow_callbacks": runner.slow_callbacks,
            "slowest_callback_ms": round(runner.slowest_callback_ns / 1e6, 3),
            "parameters": parameters.values_of(runner.strategy.parameters),
            "open_orders": [
                {
                    "id": str(order.client_order_id),
                    "instrument": order.instrument.name,
                    "side": "buy" if order.is_buy else "sell",
                    "price": order.price,
                    "quantity": order.quantity,
                    "filled": order.filled_quantity,
                    "state": OrderState(order.state).name,
                }
                for order in runner.open_orders()
            ],
            "positions": {
                position.instrument.name: {
                    "position": position.position,
                    "exposure": list(position.exposure),
                    "realized_pnl": position.realized_pnl,
                    "fees": {currency: fee / 10**MONEY_SCALE for currency, fee in position.fees.items()},
                    "fills": position.fills,
                }
                for position in runner.positions.values()
            },
            "profit": None if profit is None else profit / 10**MONEY_SCALE,
            "day_profit": runner.loss.day_profit / 10**MONEY_SCALE,
            "loss_limit_reached": runner.loss.tripped,
            "only_reducing": runner.loss.text,
            "limits": {} if runner.risk.limits is None else values_of(runner.risk.limits),
        }

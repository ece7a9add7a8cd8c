"""The trader: one process for all strategies and all venues. Market data and order events in, order requests out.

    reads    <venue>.market (broadcast), <venue>.events (lossless, its one consumer), words,
             tables instruments, books, tickers, positions, balances, status
    writes   <venue>.requests (lossless, its one producer), its process row, counters.trader, word TRADER_EPOCH
    loop     a plain loop over `StrategyContainer.turn`, no asyncio, no credentials, no socket but control

The rule: SIGTERM cancels every own order and waits for the venue's word on each, within a bound; the exit code says
whether all of them came. The control command `restart` ends it the same way with an exit code that asks for the next
start, and may leave orders where they are; see strategy/planned_restart.py. Called by `cli.py` as `run(service)`.
"""

from __future__ import annotations

from pathlib import Path
from time import sleep
from typing import Any, Final

from processes import stalls
from processes.app_service import AppService
from processes.config import Config
from processes.control import ControlError
from processes.epoch import EpochError, EpochFile
from processes.exit_codes import ExitCode, Failure
from processes.strategy_table import StrategyTable
from shm.clock import monotonic_ns
from shm.instance import VENUE_CODES
from shm.layout import ProcessState, Word
from shm.ring import BroadcastReader, LosslessReader, LosslessWriter
from shm.table import TableReader, Words
from shm.trace import Trace
from strategy.code_swap import SwapError
from strategy.container import StrategyContainer
from strategy.limits import LimitError
from strategy.loader import StrategyLoadError
from strategy.measures import HISTOGRAMS, Measures
from strategy.parameters import ParameterError
from strategy.planned_restart import RestartNote, take_note
from strategy.risk_state import RiskState
from strategy.shm_mds_adapter import ShmMDSAdapter
from strategy.shm_oms_adapter import Cause, ShmOMSAdapter
from strategy.shm_pms_adapter import ShmPMSAdapter
from strategy.strategy_runner import RunnerState, StrategyRunner
from strategy.venue_link import VenueLink
from strategy.venue_session import VenueSession

RESYNC_WORDS: Final = {"binance": Word.RESYNC_BINANCE, "deribit": Word.RESYNC_DERIBIT, "grvt": Word.RESYNC_GRVT}
PUBLISH_COUNTERS_NS: Final = 100_000_000
CLOSE_S: Final = 6.0
"""How long the end waits for the venue's words: below AppService's own bound, so that what is missing is still said."""
CLOSE_IDLE_S: Final = 0.0005
HALTED: Final = frozenset({RunnerState.PAUSED, RunnerState.STOPPING, RunnerState.STOPPED})
"""What a person has halted: a restart does not let it trade again."""

COUNTERS: Final = (
    "quotes", "trades", "books", "tickers", "events", "requests", "fills", "refusals", "lapped", "illegal_transitions",
    "duplicate_fills", "overfills", "late_events", "queries", "reconcile_corrections", "strategy_errors", "stale",
    "slow_callbacks", "recoveries", "open_orders_left", "audit_differences",
)  # fmt: skip


def run(service: AppService) -> int:
    """Build the trader and run it to its end; the exit code."""
    return service.run_worker(Trader(service))


class Trader:
    """The worker of the trader process (see AppService.run_worker)."""

    role_name = "trader"

    def __init__(self, service: AppService) -> None:
        self._service = service
        self._config: Config = service.config
        self._next_counters_ns = 0
        self._published: dict[str, int] = {}
        self._state_text: str | None = None
        self._restart_orders = ""
        """keep, cancel or configured, once a restart was asked for."""
        self.exit_code = ExitCode.OK
        self.rings: list[Any] = []
        """What a doorbell may sleep on."""

    # --- life -------------------------------------------------------------------------------------------------------
    def on_start(self) -> None:
        """Attach everything, take the epoch, load the strategies. Raises Failure, SegmentError."""
        service = self._service
        counters = service.declare(counters=COUNTERS, histograms=HISTOGRAMS)
        self._counters = counters
        self._words = Words(service.segment("words"))
        self._strategies = StrategyTable(service.segment("strategies"))
        self._epochs = EpochFile(Path(self._config.instance.state_dir) / "trader.epoch")
        measures = Measures(**{name: counters.histogram(name) for name in HISTOGRAMS})
        cause = Cause()
        links = [self._link(venue, cause) for venue in self._config.venues]
        self.container = StrategyContainer(
            self._config.instance.number,
            links,
            self._words,
            self._take_epoch,
            cause,
            service.log,
            measures,
            callback_budget_ns=self._config.trader.callback_budget_us * 1_000,
            risk_state=RiskState(Path(self._config.instance.state_dir) / "strategy_risk.json", service.log),
        )
        self.rings = [ring for link in links for ring in (link.mds.market, link.oms.events)]
        limit_ns = self._config.trader.restart_limit_ms * 1_000_000
        note = take_note(Path(self._config.instance.state_dir), monotonic_ns(), limit_ns)
        if note is not None:
            self.container.go_on_from(note)
        folder = Path(self._config.path).parent if self._config.path else None
        try:
            for settings in self._config.strategies:
                self.container.load(settings, folder)
                service.heartbeat()  # one that imports much must not look dead
        except StrategyLoadError as error:
            raise Failure(str(error), ExitCode.CONFIG) from error
        self._bind_control()
        service.set_state(ProcessState.RECOVERING, "waiting for the venues")

    def do_work(self) -> int:
        """One turn of the container; every 100 ms what is seen from outside."""
        work = self.container.turn()
        now_ns = monotonic_ns()
        if now_ns >= self._next_counters_ns:
            self._next_counters_ns = now_ns + PUBLISH_COUNTERS_NS
            self._publish_counters()
            self._publish_state()
            self._strategies.publish(self.container)
        return work

    def on_close(self) -> None:
        """Cancel all own orders, wait for the venue's word on each. Raises Failure where some did not come."""
        container = getattr(self, "container", None)
        if container is None:
            return
        begin_ns = monotonic_ns()
        open_orders = container.open_orders()
        paused = [one.id for one in container.runners.values() if one.state in HALTED]
        kept = container.stop_all(self._kept_strategies())
        end_ns = begin_ns + int(CLOSE_S * 1e9)
        next_beat_ns = 0
        asked_all = False
        while container.unsettled_orders() and (now_ns := monotonic_ns()) < end_ns:
            if not container.turn():
                sleep(CLOSE_IDLE_S)
            if now_ns >= next_beat_ns:  # engines would take our silence for death
                next_beat_ns = now_ns + PUBLISH_COUNTERS_NS
                self._service.heartbeat()
            if not asked_all and now_ns - begin_ns > CLOSE_S * 0.5e9:
                asked_all = True  # half the patience is gone: say it once more, to the whole venue
                container.cancel_everything()
        container.risk_state.save()
        left = container.unsettled_orders()
        self._counters.add("open_orders_left", left)
        self._publish_counters()
        if left:
            orders = [order for order in container.oms.orders.values() if not order.external]
            for order in orders:
                self._service.log.error("not confirmed as over: %r", order)
            raise Failure(f"{left} orders were not confirmed as over within {CLOSE_S:g} s", ExitCode.DIFFERENCE)
        if self._restart_orders:
            self._leave_note(begin_ns, open_orders, kept, paused)

    def _kept_strategies(self) -> list[int]:
        """Ids of the strategies whose orders stay: none but in a planned restart."""
        if self._restart_orders in ("", "cancel"):
            return []
        return [one.id for one in self._config.strategies if self._restart_orders == "keep" or one.on_start == "adopt"]

    def _leave_note(self, stopped_ns: int, open_orders: int, kept: dict[int, int], paused: list[int]) -> None:
        """For the trader that is started next, and for the engines: this silence is meant."""
        note = RestartNote(
            stopped_ns=stopped_ns, orders=self._restart_orders, kept=kept, open_orders=open_orders, paused=paused
        )
        note.write(Path(self._config.instance.state_dir))
        self._service.set_state(ProcessState.RESTARTING, f"{sum(kept.values())} of {open_orders} orders are kept")
        self.exit_code = ExitCode.RESTART

    # --- parts ------------------------------------------------------------------------------------------------------
    def _take_epoch(self, at_least: int) -> int:
        try:
            epoch = self._epochs.take(at_least)
        except EpochError as error:
            raise Failure(str(error), ExitCode.CONFIG) from None
        self._words.store(Word.TRADER_EPOCH, epoch)
        self._service.row.epoch = epoch
        self._service.log.info("trader epoch %d", epoch)
        return epoch

    def _link(self, venue: str, cause: Cause) -> VenueLink:
        """Attach to everything of one venue."""
        service, settings = self._service, self._config.venues[venue]
        instance = service.instance

        def table(name: str) -> TableReader:
            return TableReader(service.segment(name))

        status = table("status")
        code = int(VENUE_CODES[venue])
        mds = ShmMDSAdapter(
            venue, BroadcastReader(service.segment(f"{venue}.market")), table(f"{venue}.books"),
            table(f"{venue}.tickers"), table(f"{venue}.instruments"), status,
            instance.process_row(f"market_server.{venue}"), settings.stale_after_ms * 1_000_000,
        )  # fmt: skip
        oms = ShmOMSAdapter(
            venue, code, stalls.publishing(LosslessWriter(service.segment(f"{venue}.requests"))),
            LosslessReader(service.segment(f"{venue}.events")), cause,
            self._config.trader.request_deadline_ms * 1_000_000, Trace(venue, self._counters),
        )  # fmt: skip
        pms = ShmPMSAdapter(
            venue, table(f"{venue}.positions"), table(f"{venue}.balances"), status,
            instance.process_row(f"position_server.{venue}"),
        )  # fmt: skip
        ids = instance.instruments(venue)
        return VenueLink(
            name=venue, code=code, mds=mds, oms=oms, pms=pms,
            session=VenueSession(self._config.trader.heartbeat_timeout_ms * 1_000_000),
            status=status, engine_row=instance.process_row(f"trading_engine.{venue}"), resync_word=RESYNC_WORDS[venue],
            ids={symbol: ids.id(symbol) for symbol in settings.symbols},
            cancels_strays=settings.on_start == "cancel",
        )  # fmt: skip

    # --- seen from outside ------------------------------------------------------------------------------------------
    def _publish_counters(self) -> None:
        container = self.container
        oms, pms = container.oms, container.pms
        values = {
            "quotes": container.quotes,
            "trades": container.trades,
            "books": container.books,
            "tickers": container.tickers,
            "events": container.events,
            "requests": container.requests,
            "fills": container.fills,
            "refusals": container.refusals,
            "lapped": container.lapped,
            "illegal_transitions": oms.illegal_transitions,
            "duplicate_fills": oms.duplicate_fills,
            "overfills": oms.overfills,
            "late_events": oms.late_events,
            "queries": container.queries,
            "reconcile_corrections": pms.reconcile_corrections,
            "strategy_errors": container.strategy_errors,
            "stale": container.stale_episodes,
            "slow_callbacks": sum(runner.slow_callbacks for runner in container.runners.values()),
            "recoveries": sum(link.session.brackets for link in container.links),
            "audit_differences": container.audit_differences,
        }
        published = self._published
        for name, value in values.items():
            if value != published.get(name, 0):
                self._counters.add(name, value - published.get(name, 0))
                published[name] = value

    def _publish_state(self) -> None:
        """READY while every venue is; the reason of the first that is not, otherwise."""
        problem = next(
            (f"{one.name}: {one.session.reason}" for one in self.container.links if not one.session.is_ready), ""
        )
        if problem == self._state_text:
            return
        self._state_text = problem
        self._service.set_state(ProcessState.RECOVERING if problem else ProcessState.READY, problem)

    # --- control ----------------------------------------------------------------------------------------------------
    def _bind_control(self) -> None:
        service = self._service
        service.on_control("status", self._answer_status)
        service.on_control("pause", lambda arguments: self._each(arguments, StrategyRunner.pause))
        service.on_control("resume", lambda arguments: self._each(arguments, StrategyRunner.resume))
        service.on_control("stop", lambda arguments: self._each(arguments, StrategyRunner.stop))
        service.on_control("set-param", self._answer_set_param)
        service.on_control("swap-strategy", self._answer_swap_strategy)
        service.on_control("restart", self._answer_restart)
        service.on_control("cancel-all", self._answer_cancel_all)
        service.on_control("set-limit", self._answer_set_limit)
        service.on_control("reset-loss", self._answer_reset_loss)

    def _answer_status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {**self._service.status(), **self.container.status()}

    def _each(self, arguments: dict[str, Any], act: Any) -> dict[str, Any]:
        """Do something to the named strategy, or to all."""
        name = arguments.get("strategy")
        runners = list(self.container.runners.values())
        if name is not None:
            runners = [runner for runner in runners if runner.name == name]
            if not runners:
                known = ", ".join(runner.name for runner in self.container.runners.values()) or "none"
                raise ControlError(f"strategy: found {name!r}, expected one of: {known}")
        for runner in runners:
            act(runner)
        return {"strategies": {runner.name: RunnerState(runner.state).name for runner in runners}}

    def _answer_set_param(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Parameters by name, also in a table "parameters"; "strategy" may be left out where there is only one."""
        changes = {key: value for key, value in arguments.items() if key not in ("strategy", "parameters")}
        table = arguments.get("parameters", {})
        if not isinstance(table, dict) or not (table or changes):
            raise ControlError("set-param: expected at least one parameter, like order_size=0.01")
        changes |= table
        name = self._named(arguments)
        try:
            return {"strategy": name, "parameters": self.container.set_parameters(name, changes)}
        except ParameterError as error:
            raise ControlError(str(error)) from None

    def _named(self, arguments: dict[str, Any]) -> str:
        """The strategy that a command names, or the only one."""
        name = arguments.get("strategy")
        if name is None:
            if len(self._config.strategies) != 1:
                raise ControlError("strategy: missing, expected a name: there is more than one strategy")
            name = self._config.strategies[0].name
        return str(name)

    def _answer_swap_strategy(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Code from "module" (absent: where it came from, read anew); what else is given are parameters."""
        changes = {key: value for key, value in arguments.items() if key not in ("strategy", "module")}
        try:
            return self.container.swap_strategy(self._named(arguments), str(arguments.get("module", "")), changes)
        except SwapError as error:
            raise ControlError(str(error)) from None

    def _answer_restart(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """End, to be started again: "orders" says whether they stay (absent: by each strategy's on_start)."""
        orders = arguments.get("orders", "configured")
        if orders not in ("keep", "cancel", "configured"):
            raise ControlError(f"orders: found {orders!r}, expected keep or cancel")
        self._restart_orders = orders
        self._service.log.info("a restart was asked for over control, orders: %s", orders)
        self._service.request_stop()
        return {
            "restarting": True,
            "orders": orders,
            "pid": self._service.row.pid,
            "back_to_the_config": self.container.differs_from_config(),
        }

    def _runner(self, arguments: dict[str, Any]) -> StrategyRunner:
        name = self._named(arguments)
        runner = self.container.find(name)
        if runner is None:
            known = ", ".join(one.name for one in self.container.runners.values()) or "none"
            raise ControlError(f"strategy: found {name!r}, expected one of those that run: {known}")
        return runner

    def _answer_set_limit(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Limits by name, at most the config's; the answer has all of them."""
        runner = self._runner(arguments)
        changes = {key: value for key, value in arguments.items() if key != "strategy"}
        if not changes:
            raise ControlError("set-limit: expected at least one limit, like max_position=0.01")
        try:
            return {"strategy": runner.name, "limits": runner.set_limits(changes)}
        except LimitError as error:
            raise ControlError(str(error)) from None

    def _answer_reset_loss(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Lift the loss trip of one strategy; its day's profit counts from here."""
        runner = self._runner(arguments)
        was = runner.loss.text
        runner.loss.reset()
        self._service.log.warning("strategy %s: the loss guard was reset by control; it said: %s", runner.name, was)
        return {"strategy": runner.name, "was": was}

    def _answer_cancel_all(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {"cancels": self.container.cancel_everything()}

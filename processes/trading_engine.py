"""Trading engine: one venue's order requests out, its order events in.

Reads <venue>.requests (lossless ring, its one consumer), <venue>.instruments, <venue>.books, the status table and the
words. Writes <venue>.events (lossless ring), the journal, <venue>'s resync word, its row and counters. Loop: uvloop
with the request ring polled inside: every turn (wait = "spin" or "yield") or when the doorbell rings (the others).

Life: instrument rows → clock, key, account mode → journal replayed → requests that were never sent refused → own orders
pulled if so configured → private stream → countdowns armed → recovery bracket → READY. Afterwards any reconnect runs
the bracket again, and a trader that falls silent has its orders pulled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Final, cast

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.alerts import ALERT_COUNTERS
from exchanges.audit import Audit
from exchanges.book_reference import BookReference
from exchanges.dead_man_switch import SILENT, TraderWatch, VenueSwitch
from exchanges.epoch_fence import EpochFence, UnreadableEpoch
from exchanges.event_log import EventLog
from exchanges.factory import ExchangeFactory
from exchanges.fill_ledger import FillLedger
from exchanges.journal_replay import Replay
from exchanges.order_engine import COUNTERS, HISTOGRAMS, OrderEngine
from exchanges.order_gateway import OrderGateway
from exchanges.order_instruments import OrderInstruments
from exchanges.order_store import OrderStore
from exchanges.recovery import RecoveryBracket
from exchanges.risk_gate import GateState, RiskGate
from exchanges.risk_limits import RiskLimits
from exchanges.settlement import Settlement
from processes import stalls
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from processes.venue_process import RETRY_S, VenueProcess
from shm.clock import monotonic_ns
from shm.journal import JournalWriter, read_journal
from shm.layout import ProcessState, Reason, Word
from shm.log_ring import DEBUG
from shm.records import OrderRequest
from shm.ring import LosslessReader, LosslessWriter
from shm.table import TableReader, Words

REQUESTS_A_TURN: Final = 64
"""Bound of one turn, so that sockets are served between bursts."""
TICK_S: Final = 0.01
SLOW_TICKS: Final = 10
"""Ticks between looks at heartbeats, words and the connections."""
FLUSH_S: Final = 1.0
"""How much of the journal a power cut may take."""
POLLED: Final = b"request of type {0:.0f} for order {id} polled {1:.1f} us after its publication"
AUDIT_S: Final = 60.0
CLOCK_S: Final = 120.0
PULL_AGAIN_NS: Final = 2_000_000_000
STOP_PULL_S: Final = 4.0


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""

    async def main(service: AppService) -> None:
        await TradingEngine(service, venue).main()

    return service.run_async(main)


class ResyncWord:
    """This venue's resync word as the event log wants it."""

    def __init__(self, words: Words, venue: str) -> None:
        self._words, self._index = words, Word[f"RESYNC_{venue.upper()}"]

    def set(self) -> None:
        self._words.store(self._index, 1)

    def clear(self) -> None:
        self._words.store(self._index, 0)


class TradingEngine(VenueProcess):
    """The wiring. Everything that decides anything stands in exchanges/."""

    def __init__(self, service: AppService, venue: str) -> None:
        super().__init__(service, venue)
        self._counters = service.declare((*COUNTERS, *ALERT_COUNTERS), HISTOGRAMS)
        self._words = Words(service.segment("words"))
        self._status = TableReader(service.segment("status"))
        self._reader = LosslessReader(service.segment(f"{venue}.requests"))
        self._writer = LosslessWriter(service.segment(f"{venue}.events"), reserve=False)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._recovered = False
        self._stream_is_up = False
        self._first_ready = False
        self._gate_state = GateState.ACTIVE
        self._kill_generation = 0
        self._cancel_all_generation = self._words.load(Word.CANCEL_ALL)
        self._pull_again_ns = 0
        self._verify_kill_ns = 0
        self._audit_asked = asyncio.Event()
        self._audit_time_ns = 0
        self._audited: list[str] = []

    # --- life -------------------------------------------------------------------------------------------------------
    async def main(self) -> None:
        service = self._service
        service.set_state(ProcessState.CONNECTING, "waiting for instruments")
        self._instruments = OrderInstruments()
        if not await self._wait_for_instruments(self._instruments):
            return
        gateway = self._gateway = self._make_gateway()
        try:
            if not await self._prepare(gateway):
                return
            self._build(gateway)
            self._restart()
            if self._settings.on_start == "cancel" and not await self._pull_until_done():
                return
            await self._serve()
        finally:
            await self._close()

    def _make_gateway(self) -> OrderGateway:
        context = self._context(self._credentials("trading engine"))
        return cast(
            OrderGateway,
            ExchangeFactory(context).oms(
                cast(Any, stalls.facts(self._on_fact)),
                instruments=self._instruments,
                instance_number=self._instance.number,
                guard=stalls.after("engine.guarded", self._guard),
                on_stream=self._on_stream,
                on_recover=lambda nonce: self._bracket.request(nonce, self._fence.accepted, monotonic_ns()),
            ),
        )

    def _build(self, gateway: OrderGateway) -> None:
        venue, settings, state_dir = self._venue, self._settings, self._instance.state_dir
        self._journal = JournalWriter(self._instance.journal_path(venue))
        self._store, self._ledger = OrderStore(), FillLedger()
        self._books = BookReference(
            TableReader(self._service.segment(f"{venue}.books")),
            self._status,
            self._instance.process_row(f"market_server.{venue}"),
            settings.stale_after_ms * 1_000_000,
            monotonic_ns,
        )
        limits = RiskLimits.from_settings(settings.risk, self._instruments) if settings.risk else None
        self._gate = RiskGate(limits, self._store, self._books.mid, state_dir / f"{venue}.risk_trip")
        try:
            self._fence = EpochFence(state_dir / f"{venue}.accepted_epoch")
        except UnreadableEpoch as failure:
            raise Failure(str(failure), ExitCode.CONFIG) from None
        self._events = EventLog(
            self._journal,
            self._writer.try_publish,
            ResyncWord(self._words, venue),
            monotonic_ns,
            self._log,
            on_overflow=lambda: self._counters.add("ring_full"),
        )
        self._switch = VenueSwitch(gateway.arm_countdown, settings.countdown_ms, monotonic_ns, self._log)
        self._engine = OrderEngine(
            instance_number=self._instance.number,
            instruments=self._instruments,
            store=self._store,
            ledger=self._ledger,
            gate=self._gate,
            fence=self._fence,
            events=self._events,
            gateway=gateway,
            clock=monotonic_ns,
            kill_switch=self._words.level(Word.KILL_SWITCH),
            armed=self._switch.armed,
            commit=stalls.after("engine.committed", self._reader.commit),
            counters=self._counters,
            histogram=self._counters.histogram,
            log=self._log,
        )
        self._on_request = stalls.before("engine.polled", self._engine.on_request)
        self._engine.merger.settler = Settlement(
            merger=self._engine.merger,
            store=self._store,
            source=gateway.source,
            instruments=self._instruments,
            cancel=gateway.cancel,
            acceptance_ns=gateway.acceptance_ns,
            venue_time_ns=gateway.clock.now_ns,
            clock=monotonic_ns,
            counters=self._counters,
            log=self._log,
            spawn=self._spawn,
            forbid=gateway.forbid,
        )
        self._bracket = RecoveryBracket(
            merger=self._engine.merger,
            store=self._store,
            ledger=self._ledger,
            gate=self._gate,
            events=self._events,
            source=gateway.source,
            instruments=self._instruments,
            stream_up=gateway.stream_up,
            set_ready=self._set_recovered,
            venue_time_ns=gateway.clock.now_ns,
            clock=monotonic_ns,
            counters=self._counters,
            log=self._log,
            spawn=self._spawn,
            ring_sequence=lambda: self._writer.published,
            ring_free=lambda: self._writer.free,
        )
        self._engine.recoverer = self._bracket
        self._audit = Audit(
            bracket=self._bracket,
            merger=self._engine.merger,
            store=self._store,
            ledger=self._ledger,
            gate=self._gate,
            events=self._events,
            source=gateway.source,
            instruments=self._instruments,
            venue_time_ns=gateway.clock.now_ns,
            clock=monotonic_ns,
            counters=self._counters,
            log=self._log,
        )
        self._watch = TraderWatch(
            self._status,
            self._instance.process_row("trader"),
            self._service.config.trader.heartbeat_timeout_ms * 1_000_000,
            monotonic_ns,
            self._service.config.trader.restart_limit_ms * 1_000_000,
        )

    def _restart(self) -> None:
        """Take up what the journal and the ring say of an earlier run."""
        replay = Replay(self._store, self._ledger)
        replay.read(read_journal(self._instance.journal_path(self._venue)))
        self._engine.merger.recent_fills.extend(replay.recent_fills)
        if replay.last_event_time_ns:
            self._bracket.lost_before_ns = min(self._bracket.lost_before_ns, replay.last_event_time_ns)
        if replay.overflowed_since_ns:
            self._events.overflowed_before_restart(replay.overflowed_since_ns)
        refused = 0
        while (request := self._reader.poll()) is not None:
            replay.unanswered.pop((request.epoch, request.request_id), None)
            self._engine.refuse_not_sent(request)
            refused += 1
        self._reader.commit()
        self._engine.merger.after_restart(replay.unanswered.values())
        self._log.info(
            "journal: %d records, %d orders, %d requests without an answer; ring: %d requests refused as never sent",
            replay.records, len(self._store), len(replay.unanswered), refused,
        )  # fmt: skip

    async def _pull_until_done(self) -> bool:
        """on_start = "cancel": no order of ours stays from before."""
        pause, longest = RETRY_S
        while failures := await self._gateway.pull_all():
            text = f"own orders of before cannot be canceled yet: {'; '.join(failures)}"
            self._log.warning("%s", text)
            self._service.set_state(ProcessState.UNHEALTHY, text)
            if await self._stopped_within(pause):
                return False
            pause = min(2 * pause, longest)
        return True

    async def _serve(self) -> None:
        service = self._service
        service.set_state(ProcessState.CONNECTING, "connecting the private stream")
        self._add_controls()
        for task in (
            self._ticks(),
            self._flushes(),
            self._switch.keep(self._instruments, self._show_state, RETRY_S[0]),
            self._audits(),
            self._clocks(),
        ):
            self._spawn(task)
        self._spawn(self._gateway.run())
        self._books.refresh()  # or the first orders would be refused for books that nobody has looked at
        self._start_polling()
        stopping = asyncio.ensure_future(service.stopping.wait())
        waited: set[asyncio.Future[Any]] = {stopping, self._failed}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
        finally:
            stopping.cancel()
            self._set_recovered(False)
        await self._stop_orders()

    async def _stop_orders(self) -> None:
        """Nothing of ours is left working without us, unless the next start is to adopt it."""
        if self._settings.on_start != "cancel":
            return
        try:
            async with asyncio.timeout(STOP_PULL_S):
                failures = await self._gateway.pull_all()
                if failures:
                    self._log.error("own orders may be left open: %s", "; ".join(failures))
                while any(not order.external for order in self._store.open_orders()):
                    await asyncio.sleep(0.02)
                await self._switch.disarm(self._instruments)
        except TimeoutError:
            self._log.error("own orders could not all be seen closed within %g s", STOP_PULL_S)

    async def _close(self) -> None:
        self._stop_polling()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._gateway.close()
        if hasattr(self, "_journal"):
            self._journal.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that failed ends the process: half an engine is worse than none."""
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(failure)

    # --- the request ring -------------------------------------------------------------------------------------------
    def _start_polling(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._polling = True
        if self._service.config.core(self._service.process).wait in ("spin", "yield"):
            self._bell = None
            self._turn()
            return
        self._bell = self._service.doorbell([self._reader])
        self._loop.add_reader(self._bell.fileno(), self._rung)
        self._sleep()

    def _stop_polling(self) -> None:
        self._polling = False
        bell = getattr(self, "_bell", None)
        if bell is not None:
            self._loop.remove_reader(bell.fileno())
            bell.disarm()

    def _turn(self) -> None:
        """Spin: one look a turn of the loop, for as long as the process lives."""
        if self._polling:
            self._drain()
            self._loop.call_soon(self._turn)

    def _rung(self) -> None:
        assert self._bell is not None
        self._bell.clear()
        self._sleep()

    def _sleep(self) -> None:
        """Take what is there, then say that this process sleeps; what came in between is taken in the next turn."""
        assert self._bell is not None
        self._drain()
        if self._polling and not self._bell.arm():
            self._loop.call_soon(self._sleep)

    def _drain(self) -> int:
        """Carry out what the ring holds, up to a bound; how many."""
        reader, on_request, trace = self._reader, self._on_request, self._service.log_ring
        count = 0
        while count < REQUESTS_A_TURN and (request := reader.poll()) is not None:
            if trace.debug:
                waited_us = (monotonic_ns() - request.publish_time_ns) / 1e3
                trace.say(DEBUG, POLLED, request.client_order_id, request.request_type, waited_us)
            on_request(request)
            count += 1
        if count:
            reader.commit()
        return count

    # --- the venue --------------------------------------------------------------------------------------------------
    def _guard(self, request: OrderRequest) -> Reason:
        return self._engine.guard(request)

    def _on_fact(self, fact: Any) -> None:
        self._engine.merger.on_fact(fact)

    def _on_stream(self, up: bool, why: str) -> None:
        self._stream_is_up = up
        if up:
            self._switch.arm_anew()
            self._bracket.request(0, self._fence.accepted, monotonic_ns())
        else:
            self._log.warning("private stream is down (%s): no new orders until it is recovered", why)
        self._show_state(why)

    def _set_recovered(self, recovered: bool) -> None:
        self._recovered = recovered
        self._show_state()

    def _show_state(self, why: str = "") -> None:
        service = self._service
        ready = self._recovered and self._stream_is_up and self._switch.settled
        self._engine.ready = ready
        service.row.accepted_trader_epoch = self._fence.accepted
        if service.stopping.is_set():
            return
        if ready:
            gate = self._gate.state
            text = {GateState.NO_LIMITS: "the config names no risk limits", GateState.TRIPPED: self._gate.trip_text}
            service.set_state(ProcessState.READY, text.get(gate, ""))
        elif not self._stream_is_up:
            service.set_state(ProcessState.CONNECTING, f"private stream is down {why}".strip())
        else:
            service.set_state(ProcessState.RECOVERING)

    # --- tasks ------------------------------------------------------------------------------------------------------
    async def _ticks(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(TICK_S)
            if self._drain():  # a ring that was not heard in time costs this much
                self._counters.add("requests_found_by_tick")
            self._engine.merger.on_timer()
            self._look_at_words()
            count += 1
            if count % SLOW_TICKS == 1:
                self._books.refresh()
                if self._look_at_trader() or self._kill_generation & 1:
                    self._pull_again()
                else:
                    self._pull_again_ns = 0
                self._show_connections(self._gateway.connections())
                self._look_at_gate()

    def _look_at_words(self) -> None:
        """Kill switch and cancel-all: levels, so a missed edge is found by the next look."""
        generation = self._words.load(Word.KILL_SWITCH)
        now = monotonic_ns()
        if generation != self._kill_generation:
            self._kill_generation = generation
            self._switch.stopped = bool(generation & 1)
            if generation & 1:
                self._log.warning("kill switch is on (generation %d): all own orders are pulled", generation)
                self._gateway.cancel_all(None)
                self._verify_kill_ns = now + self._gateway.acceptance_ns
            else:
                self._log.warning("kill switch is off (generation %d)", generation)
                self._verify_kill_ns = 0
                self._spawn(self._arm())
        if self._verify_kill_ns and now >= self._verify_kill_ns:
            self._verify_kill_ns = 0
            self._gateway.cancel_all(None)  # nothing sent before the switch can have come to life after this look
        if not self._engine.merger.unsent:
            self._service.row.kill_switch_echo = generation
        pulled = self._words.load(Word.CANCEL_ALL)
        if pulled != self._cancel_all_generation:
            self._cancel_all_generation = pulled
            self._gateway.cancel_all(None)

    def _look_at_gate(self) -> None:
        """A fill or a recovery may have tripped it: who watches must see at once why nothing is quoted any more."""
        state = self._gate.state
        if state is not self._gate_state:
            self._gate_state = state
            if state is GateState.TRIPPED:
                self._log.error("only reducing orders pass until risk-reset: %s", self._gate.trip_text)
            if self._engine.ready:
                self._show_state()

    def _look_at_trader(self) -> bool:
        """Whether it is away."""
        before = self._watch.why
        if not self._watch.look():
            return False
        if self._watch.why != before:
            fault = self._watch.why == SILENT
            self._counters.add("heartbeat_lost", int(fault))
            level = logging.WARNING if fault else logging.INFO
            self._log.log(level, "the trader %s: all orders of this instance are canceled", self._watch.why)
        return True

    def _pull_again(self) -> None:
        """Nobody may have an order now: what is open all the same (a create that came late) is pulled, and again."""
        now = monotonic_ns()
        if now >= self._pull_again_ns and any(not order.external for order in self._store.open_orders()):
            self._pull_again_ns = now + PULL_AGAIN_NS
            self._gateway.cancel_all(None)

    async def _flushes(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(FLUSH_S)
            await loop.run_in_executor(None, self._events.flush)

    async def _arm(self) -> None:
        await self._switch.refresh(self._instruments)

    async def _audits(self) -> None:
        """Once a minute, or when an operator asks."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AUDIT_S):
                    await self._audit_asked.wait()
            self._audit_asked.clear()
            if self._engine.ready:
                with self._complaining("audit"):
                    found = await self._audit.run()
                    self._audited = [self._audit.describe(subject, sides) for subject, sides in found.items()]
                    self._audit_time_ns = monotonic_ns()

    async def _clocks(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_S)
            with self._complaining("clock"):
                await self._gateway.measure_clock()

    @contextlib.contextmanager
    def _complaining(self, what: str) -> Any:
        """A failing background question is said and asked again later, but a wrong key ends the process."""
        try:
            yield
        except VenueUnavailable as failure:
            self._log.warning("%s: %s", what, failure)
        except VenueRefused as refused:
            if refused.reason == Reason.VENUE_SIGNATURE:
                raise
            self._log.warning("%s: %s", what, refused)

    # --- control ----------------------------------------------------------------------------------------------------
    def _add_controls(self) -> None:
        self._service.on_control("cancel-all", self._control_cancel_all)
        self._service.on_control("audit", self._control_audit)
        self._service.on_control("risk-status", self._control_risk_status)
        self._service.on_control("risk-reset", self._control_risk_reset)

    def _control_cancel_all(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._gateway.cancel_all(None)
        return {"canceling": sum(not order.external for order in self._store.open_orders())}

    def _control_audit(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        """Begin an audit now; the answer is the last one's: ask again for this one's."""
        self._audit_asked.set()
        age_s = round((monotonic_ns() - self._audit_time_ns) / 1e9, 1) if self._audit_time_ns else None
        return {"begun": True, "last_audit_age_s": age_s, "last_differences": self._audited}

    def _control_risk_status(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {"state": self._gate.state.name, "text": self._gate.trip_text}

    def _control_risk_reset(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        self._log.warning("risk gate was reset over control (it was %s)", self._gate.state.name)
        self._gate.reset()
        self._show_state("")
        return {"state": self._gate.state.name}

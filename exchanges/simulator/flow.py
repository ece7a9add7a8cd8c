"""The market that our orders meet: events in time order, and the player that lets them happen at their time.

A flow yields events with a due time counted from its own start. A recorded event carries the venue's bytes (`frame`)
and the stream they were recorded from; a made event carries neither, and the venue's wire layer words it if anybody
listens. Event times (`time_ms`) are the market's own clock, which for a recording lies in the past.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Protocol

from exchanges.simulator.book import Level


@dataclass(slots=True)
class MarketEvent:
    """`due_ns` from the start of the flow; `event_ms` when the venue sent it, `time_ms` when it happened."""

    due_ns: int
    symbol: str
    event_ms: int
    time_ms: int
    frame: bytes | None
    stream: str | None


@dataclass(slots=True)
class Top(MarketEvent):
    """Best levels after a change."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    update_id: int


@dataclass(slots=True)
class MarketTrade(MarketEvent):
    """One trade; the buyer was the maker when `buyer_is_maker`."""

    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
    trade_id: int


@dataclass(slots=True)
class AggregateTrade(MarketEvent):
    """Trades of one side and price within 100 ms; only worded, not matched."""

    price: Decimal
    quantity: Decimal
    buyer_is_maker: bool
    aggregate_id: int
    first_trade_id: int
    last_trade_id: int


@dataclass(slots=True)
class Delta(MarketEvent):
    """Absolute quantities since the previous delta, prices ascending. `matched` False: for clients only."""

    bids: list[Level]
    asks: list[Level]
    first_id: int
    last_id: int
    previous_id: int
    matched: bool = True


@dataclass(slots=True)
class MarkTick(MarketEvent):
    """Time to send a mark price; the exchange makes the number from its book."""


@dataclass(slots=True)
class OtherFrame(MarketEvent):
    """A recorded frame that only its subscribers care for."""


@dataclass(slots=True)
class Snapshot:
    """A book to start from."""

    bids: list[Level]
    asks: list[Level]
    update_id: int
    event_ms: int
    time_ms: int
    body: bytes | None = None


class MarketFlow(Protocol):
    """Events of one or several symbols, in time order."""

    symbols: tuple[str, ...]

    def snapshot(self, symbol: str) -> Snapshot:
        """The book before the first event."""

    def next_due_ns(self) -> int | None:
        """When the next event is due; None at the end."""

    def pop(self) -> MarketEvent:
        """The next event."""

    def next_delta_id(self, symbol: str) -> int | None:
        """First update id of the delta that comes next, None when there is none."""


class FlowState(Enum):
    WAITING = "waiting for a subscriber"
    PLAYING = "playing"
    PAUSED = "paused"
    FROZEN = "frozen"
    ENDED = "ended"


MAX_BATCH = 256
"""Events handed over before other tasks run: a burst must not hold up an order for longer than a few ms."""
SHORTEST_SLEEP_S = 0.001


class FlowPlayer:
    """Plays one flow at `speed` times its own time (`math.inf`: as fast as the readers take it).

    `deliver` is called for each event in the player's task. `backlog` says how many frames the slowest reader has
    not taken yet; a scaled replay waits for it, a real-time one does not, as the venue would not.
    """

    def __init__(
        self,
        flow: MarketFlow,
        speed: float,
        deliver: Callable[[MarketEvent], None],
        backlog: Callable[[], int] = lambda: 0,
        start_delay_s: float = 0.0,
    ) -> None:
        self.flow = flow
        self.state = FlowState.WAITING
        self.delivered = 0
        self.position_ns = 0
        self.failure: BaseException | None = None
        self._speed = speed
        self._deliver = deliver
        self._backlog = backlog
        self._start_delay_s = start_delay_s
        self._task: asyncio.Task[None] | None = None
        self._running = asyncio.Event()
        self._origin_ns = 0
        self._stopped = False

    def start(self) -> None:
        """Begin; harmless when it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="market flow")

    def pause(self) -> None:
        if self.state is FlowState.PLAYING:
            self.state = FlowState.PAUSED
            self._running.clear()

    def resume(self) -> None:
        if self.state is FlowState.PAUSED:
            self._play()

    def freeze(self) -> None:
        """Stop for good."""
        if self.state is not FlowState.ENDED:
            self.state = FlowState.FROZEN
        self._stopped = True
        self._running.clear()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _play(self) -> None:
        self.state = FlowState.PLAYING
        self._origin_ns = time.monotonic_ns() - self._scaled(self.position_ns)
        self._running.set()

    def _scaled(self, flow_ns: int) -> int:
        return int(flow_ns / self._speed)

    async def _run(self) -> None:
        await asyncio.sleep(self._start_delay_s)
        if self._stopped:
            return
        self._play()
        try:
            while (due := self.flow.next_due_ns()) is not None:
                if not self._running.is_set():
                    await self._running.wait()
                    continue
                wait_ns = self._origin_ns + self._scaled(due) - time.monotonic_ns()
                if wait_ns > 0:
                    await asyncio.sleep(max(wait_ns / 1e9, SHORTEST_SLEEP_S))
                    continue
                self._deliver_due()
                await asyncio.sleep(0)
                while self._speed > 1 and self._backlog() > MAX_BATCH and self._running.is_set():
                    await asyncio.sleep(SHORTEST_SLEEP_S)
        except Exception as error:  # kept for the server to report: a dead flow must not look like a quiet market
            self.failure = error
            raise
        finally:
            if not self._stopped:
                self.state = FlowState.ENDED

    def _deliver_due(self) -> None:
        flow, deliver = self.flow, self._deliver
        elapsed = time.monotonic_ns() - self._origin_ns
        limit = math.inf if math.isinf(self._speed) else elapsed * self._speed
        for _ in range(MAX_BATCH):
            due = flow.next_due_ns()
            if due is None or due > limit or not self._running.is_set():
                return
            self.position_ns = due
            self.delivered += 1
            deliver(flow.pop())

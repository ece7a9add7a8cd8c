"""Following up what is unknown until the venue's own word is complete.

The rules, for every venue (the venue's OMS says from which documented facts they follow)
- A NEW without an answer: the order is asked for by our id. Found: it exists, and what was found is merged. Not found
  counts only from `acceptance_ns` after the send on, when the venue can no longer accept it, and then only if, asked
  after that time, the order query, the list of open orders *and* the account's trades since the send all say the same.
- An order that the venue has taken and not decided about (PENDING) is asked for again. One that it does not know yet
  is forbidden to come to life later, where the venue can do that (`forbid`), and the bound counts from then on.
- A CANCEL without an answer: the order is asked for. Over: that is the answer. Still open: the cancel is sent again,
  because canceling twice does no harm.
- A REPLACE without an answer: the order is asked for. Its terms are the wanted ones: done. They are still the old ones
  after the bound: not done. It is never sent again by itself.
- An order that the venue confirmed and then does not know: asked again for as long as a replica may lag, then closed
  with the fills that the account's trades show.
- The lists of open orders and trades are read once for all orders that ask for them together (shared_read.py).
- A query that fails proves nothing and is repeated, ever more slowly. There is no limit after which we guess.

Who calls it: order_merger.py (settle, fetch_fills). Runs in the engine's loop, one task per unknown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.order_instruments import OrderInstruments
from exchanges.order_merger import CounterSink, OrderMerger
from exchanges.order_store import InFlight, Order, OrderStore
from exchanges.shared_read import SharedRead
from shm.layout import OrderState, RequestType
from shm.records import OrderEvent, OrderRequest

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
CLOCK_MARGIN_NS: Final = 1_000_000_000
"""Laid on both ends of times that are compared with the venue's clock."""


class AccountSource(Protocol):
    """The venue's account fetcher. Raises VenueUnavailable or VenueRefused; facts are fresh records."""

    async def open_orders(self, symbols: Sequence[str]) -> list[OrderEvent]: ...
    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None: ...
    async def order_by_exchange_id(self, symbol: str, exchange_order_id: bytes) -> OrderEvent | None: ...
    async def own_trades_since(self, symbol: str, venue_time_ns: int) -> list[OrderEvent]: ...
    async def trades_of_order(self, symbol: str, exchange_order_id: bytes) -> list[OrderEvent]: ...


class Settlement:
    def __init__(
        self,
        *,
        merger: OrderMerger,
        store: OrderStore,
        source: AccountSource,
        instruments: OrderInstruments,
        cancel: Callable[[OrderRequest], None],
        acceptance_ns: int,
        venue_time_ns: Callable[[], int],
        clock: Callable[[], int],
        counters: CounterSink,
        log: logging.Logger,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        forbid: Callable[[str, int], Awaitable[int]] | None = None,
    ) -> None:
        """acceptance_ns: how long after its send a request may still be accepted by the venue, its clock's error and
        our estimate of it included. spawn: starts a coroutine in the loop and keeps it alive. forbid(symbol, client
        order id): the gateway's; ns from then on."""
        self._merger, self._store, self._source = merger, store, source
        self._instruments, self._cancel = instruments, cancel
        self._acceptance_ns, self._venue_time_ns, self._clock = acceptance_ns, venue_time_ns, clock
        self._count, self._log, self._spawn, self._sleep = counters.add, log, spawn, sleep
        self._forbid = forbid
        self._running: set[tuple[int, int]] = set()
        self._listings: dict[str, SharedRead[list[OrderEvent]]] = {}
        self._trades: dict[str, SharedRead[list[OrderEvent]]] = {}
        """By symbol: one answer serves all orders that asked before it."""

    @property
    def pending(self) -> int:
        """Unknowns that are being followed up."""
        return len(self._running)

    # --- called by the merger ---------------------------------------------------------------------------------------
    def settle(self, order: Order, request: InFlight | None) -> None:
        if request is None:
            self._start(order, 0, self._settle_order(order))
        else:
            self._start(order, request.request_id or 1, self._settle_request(order, request))

    def fetch_fills(self, order: Order) -> None:
        if order.exchange_order_id:
            self._start(order, -1, self._fetch_fills(order))

    def _start(self, order: Order, what: int, work: Coroutine[Any, Any, None]) -> None:
        key = (order.client_order_id, what)
        if key in self._running or order.external:
            work.close()
            return
        self._running.add(key)
        self._spawn(self._run(key, work))

    async def _run(self, key: tuple[int, int], work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._running.discard(key)

    # --- one unknown order ------------------------------------------------------------------------------------------
    async def _settle_order(self, order: Order) -> None:
        """Until the order is confirmed, over, or surely absent."""
        began = self._clock()
        sent = order.new.send_time_ns if order.new is not None and not order.accepted else 0
        bound = (sent or began) + self._acceptance_ns
        unconfirmed = not order.accepted
        forbidden = self._forbid is None
        pause = FIRST_PAUSE_S
        while not order.closed and not (unconfirmed and order.accepted):
            after_bound = self._clock() >= bound
            try:
                found = await self._ask(order)
                if found is not None:
                    self._merger.on_fact(found)
                    if found.order_state != OrderState.PENDING_NEW:
                        return
                elif unconfirmed and not forbidden:
                    assert self._forbid is not None
                    life_ns = await self._forbid(self._symbol(order), order.client_order_id)
                    bound, forbidden = max(bound, self._clock() + life_ns), True
                elif after_bound and await self._absent(order, sent or began):
                    if order.accepted:
                        self._merger.settled_gone(order)
                    else:
                        self._merger.settled_absent(order)
                    return
            except (VenueUnavailable, VenueRefused) as failure:
                self._log.warning("order %d: cannot be settled yet: %s", order.client_order_id, failure)
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _settle_request(self, order: Order, request: InFlight) -> None:
        """Until an unknown cancel or replace has its answer."""
        bound = (request.send_time_ns or self._clock()) + self._acceptance_ns
        pause = FIRST_PAUSE_S
        while not request.answered:
            if order.closed:
                self._merger.settled_request(order, request)
                return
            after_bound = self._clock() >= bound
            try:
                found = await self._ask(order)
                if found is not None:
                    self._merger.on_fact(found)
                    if not request.answered and not order.closed and order.ended_by is None:
                        if request.request_type == RequestType.CANCEL:
                            self._cancel(cancel_of(order))
                        elif after_bound:
                            self._merger.settled_request(order, request)
                            return
                elif after_bound and order.accepted and await self._absent(order, bound - self._acceptance_ns):
                    self._merger.settled_gone(order)
            except (VenueUnavailable, VenueRefused) as failure:
                self._log.warning("order %d: request cannot be settled yet: %s", order.client_order_id, failure)
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _ask(self, order: Order) -> OrderEvent | None:
        return await self._source.order(self._symbol(order), order.client_order_id)

    async def _absent(self, order: Order, sent_time_ns: int) -> bool:
        """Whether open orders and trade history know nothing of it either. What they do know is merged."""
        symbol = self._symbol(order)
        listing = self._listings.setdefault(symbol, SharedRead(lambda _since: self._source.open_orders([symbol])))
        for fact in await listing():
            if fact.client_order_id == order.client_order_id:
                self._merger.on_fact(fact)
                return False
        age_ns = self._clock() - sent_time_ns
        since = self._venue_time_ns() - age_ns - CLOCK_MARGIN_NS
        asked: dict[bytes, OrderEvent | None] = {}
        trades = self._trades.setdefault(
            symbol, SharedRead(lambda earliest: self._source.own_trades_since(symbol, earliest))
        )
        for trade in await trades(since):
            exchange_id = trade.exchange_order_id
            known = self._store.by_exchange_id(order.instrument_id, exchange_id)
            if trade.client_order_id != order.client_order_id:
                if known is None and exchange_id not in asked:
                    # Not every venue's trades carry our id, and not every venue knows an order for long: ask whose.
                    asked[exchange_id] = await self._source.order_by_exchange_id(symbol, exchange_id)
                fact = asked.get(exchange_id)  # type: ignore[assignment]
                if fact is not None and fact.client_order_id == order.client_order_id:
                    self._merger.on_fact(fact)
                elif known is not order:
                    continue
            trade.client_order_id = order.client_order_id
            self._merger.on_fact(trade)
            if not order.accepted or known is None:
                return False
        return True

    # --- missing fills ----------------------------------------------------------------------------------------------
    async def _fetch_fills(self, order: Order) -> None:
        try:
            trades = await self._source.trades_of_order(self._symbol(order), order.exchange_order_id)
        except (VenueUnavailable, VenueRefused) as failure:
            self._log.warning("order %d: its fills cannot be fetched yet: %s", order.client_order_id, failure)
            return  # the merger asks again while they are missing
        before = order.cumulative_quantity
        for trade in trades:
            trade.client_order_id = order.client_order_id
            self._merger.on_fact(trade)
        if order.cumulative_quantity != before:
            self._count("fills_fetched")
        self._merger.fills_known(order, sum(trade.last_quantity for trade in trades))

    def _symbol(self, order: Order) -> str:
        instrument = self._instruments.by_id(order.instrument_id)
        assert instrument is not None, f"order {order.client_order_id} is of instrument {order.instrument_id}"
        return instrument.symbol


def cancel_of(order: Order) -> OrderRequest:
    """A cancel of the engine's own: it answers no request of the trader."""
    request = OrderRequest()
    request.request_type = RequestType.CANCEL
    request.client_order_id, request.instrument_id = order.client_order_id, order.instrument_id
    request.venue = order.instrument_id >> 16
    request.strategy_id, request.epoch = order.strategy_id, order.epoch
    return request

"""Signed JSON-RPC over HTTP of Deribit: the account's orders, trades, positions, balances, and cancels.

The rule: nothing is retried here, and no order that could rest is placed here: cancel-on-disconnect covers only what a
WebSocket has created. No usable answer is VenueUnavailable, the venue's no is VenueRefused (with reason VENUE_SIGNATURE
where key or signature are wrong, so that a process can end instead of going on). Every call takes its credits from the
budget first; where that is used up, VenueUnavailable says until when.

Orders are remembered for 30 minutes after their end and trades for a day; what is older is read from the history.

Source: https://docs.deribit.com/api-reference, pages of the methods named below.

Who calls it: oms.py and pms.py, settlement and recovery through the Protocols of exchanges/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.deribit.auth import RequestSigner
from exchanges.deribit.endpoints import API, GET_TIME
from exchanges.deribit.error_codes import KEY_CODES, NOT_FOUND_CODES, classify
from exchanges.deribit.order_budget import CREDITS, MATCHING, REQUEST_COST, OrderBudget
from exchanges.deribit.order_codec import CANCEL, NS_PER_MS, STATE_BY_LABEL, OrderCodec, currency_of, parameters
from exchanges.deribit.order_messages import AccountLimits, Order, Position, Reply
from exchanges.http import HttpHandler
from exchanges.order_instruments import OrderInstruments
from exchanges.order_wire import MalformedMessage
from exchanges.rate_limit import Lane
from exchanges.request_failure import RequestFailure
from exchanges.venue_clock import VenueClock
from exchanges.verdict import Outcome
from shm.clock import monotonic_ns
from shm.layout import Reason
from shm.records import BalanceRow, OrderEvent, PositionRow

_T = TypeVar("_T")

OPEN_ORDERS: Final = "private/get_open_orders"
ORDER_STATE: Final = "private/get_order_state"
USER_TRADES: Final = "private/get_user_trades_by_instrument"
USER_TRADES_SINCE: Final = "private/get_user_trades_by_instrument_and_time"
TRADES_OF_ORDER: Final = "private/get_user_trades_by_order"
POSITIONS: Final = "private/get_positions"
ACCOUNT_SUMMARY: Final = "private/get_account_summary"
ACCOUNT_SUMMARIES: Final = "private/get_account_summaries"
CANCEL_ALL_OF_INSTRUMENT: Final = "private/cancel_all_by_instrument"

TRADES_PER_PAGE: Final = 1000
RECENT_TRADES_MS: Final = 23 * 3_600_000
"""Trades are remembered for 24 hours; what is older stands in the history alone, which lags behind a little."""
MAX_PAGES: Final = 200
"""A bound on paging: 200,000 own trades since the last watermark is a broken reply, not a busy day."""


class DeribitAccountFetcher:
    """One per process, over the HTTP handler of its maker."""

    def __init__(
        self,
        http: HttpHandler,
        signer: RequestSigner,
        codec: OrderCodec,
        instruments: OrderInstruments,
        clock: VenueClock,
        budget: OrderBudget,
    ) -> None:
        self._http, self._signer, self._codec, self._instruments = http, signer, codec, instruments
        self._clock, self._budget = clock, budget
        self._history_read: set[str] = set()
        self._identity = 0

    # --- orders -----------------------------------------------------------------------------------------------------
    async def open_orders(self, symbols: Sequence[str], lane: Lane = Lane.QUERY) -> list[OrderEvent]:
        """STATUS of every open order of these symbols, whoever placed it. lane: CANCEL where it is asked in order to
        cancel."""
        wanted = {instrument.id for symbol in symbols if (instrument := self._instruments.by_symbol(symbol))}
        facts = self._read(self._codec.decode_orders, await self._call(OPEN_ORDERS, {}, lane))
        return [fact for fact in facts if fact.instrument_id in wanted]

    async def every_open_order(self) -> list[Order]:
        """Open orders of all instruments, configured or not, as the venue words them."""
        reply = await self._call(OPEN_ORDERS, {}, Lane.CANCEL)
        return self._read(lambda result, _time: self._codec.decode_every_order(result), reply)

    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None:
        """STATUS of one order by our id; None: the venue says that it knows no such order."""
        query = {"currency": currency_of(symbol), "label": str(client_order_id)}
        try:
            reply = await self._call(STATE_BY_LABEL, query)
        except VenueRefused as refused:
            if refused.code in NOT_FOUND_CODES:
                return None
            raise
        for fact in self._read(self._codec.decode_orders, reply):
            if fact.client_order_id == client_order_id:
                return fact
        return None

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: bytes) -> OrderEvent | None:
        """The same by the venue's id."""
        try:
            reply = await self._call(ORDER_STATE, {"order_id": exchange_order_id.decode()})
        except VenueRefused as refused:
            if refused.code in NOT_FOUND_CODES:
                return None
            raise
        return self._read(self._codec.decode_order, reply)

    # --- own trades -------------------------------------------------------------------------------------------------
    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]:
        """FILL facts from that trade_seq on, all pages; None: the latest page. The first read of a symbol also asks the
        history, which holds what is older than a day."""
        if from_trade_id is None:
            query = {"instrument_name": symbol, "count": TRADES_PER_PAGE, "sorting": "desc"}
            facts, _ = await self._page(USER_TRADES, query)
            return facts
        facts = await self._pages(symbol, from_trade_id, historical=False)
        if symbol not in self._history_read:
            known = {fact.trade_id for fact in facts}
            older = await self._pages(symbol, from_trade_id, historical=True)
            facts += [fact for fact in older if fact.trade_id not in known]
            self._history_read.add(symbol)
        return facts

    async def _pages(self, symbol: str, from_trade_id: int, *, historical: bool) -> list[OrderEvent]:
        facts: list[OrderEvent] = []
        for _ in range(MAX_PAGES):
            query = {
                "instrument_name": symbol, "start_seq": from_trade_id, "count": TRADES_PER_PAGE, "sorting": "asc",
                "historical": historical,
            }  # fmt: skip
            page, more = await self._page(USER_TRADES, query)
            facts += page
            if not more or not page:
                return facts
            from_trade_id = _newest(page) + 1
        raise VenueUnavailable(f"{USER_TRADES}: more than {MAX_PAGES} full pages for {symbol}")

    async def own_trades_since(self, symbol: str, venue_time_ns: int) -> list[OrderEvent]:
        """FILL facts of trades at or after that time of the venue's clock, all pages. The history is asked too where
        that time is about as long ago as trades are remembered."""
        start_ms = max(0, venue_time_ns // NS_PER_MS)
        old = self._clock.now_ms() - start_ms > RECENT_TRADES_MS
        found: dict[bytes, OrderEvent] = {}
        for historical in (False, True)[: 1 + old]:
            query = {
                "instrument_name": symbol, "start_timestamp": start_ms, "end_timestamp": self._clock.now_ms() + 60_000,
                "count": TRADES_PER_PAGE, "sorting": "asc", "historical": historical,
            }  # fmt: skip
            facts, more = await self._page(USER_TRADES_SINCE, query)
            if more and facts:
                facts += await self._pages(symbol, _newest(facts) + 1, historical=historical)
            found |= {fact.trade_id: fact for fact in facts}
        return list(found.values())

    async def trades_of_order(self, symbol: str, exchange_order_id: bytes) -> list[OrderEvent]:
        """FILL facts of one order, those that are older than trades are remembered too."""
        found: dict[bytes, OrderEvent] = {}
        for historical in (False, True):
            query = {"order_id": exchange_order_id.decode(), "historical": historical}
            facts = self._read(self._codec.decode_trades, await self._call(TRADES_OF_ORDER, query))
            found |= {fact.trade_id: fact for fact in facts}
        return list(found.values())

    async def _page(self, method: str, query: dict[str, Any]) -> tuple[list[OrderEvent], bool]:
        return self._read(self._codec.decode_trade_page, await self._call(method, query))

    # --- account ----------------------------------------------------------------------------------------------------
    async def positions(self) -> list[PositionRow]:
        """Rows of the instruments with a position; the venue may leave the others out."""
        return self._read(self._codec.decode_positions, await self._call(POSITIONS, {"currency": "any"}))

    async def every_position(self) -> list[Position]:
        """Positions of all instruments, configured or not, as the venue words them."""
        reply = await self._call(POSITIONS, {"currency": "any"}, Lane.CANCEL)
        return self._read(lambda result, _time: self._codec.decode_every_position(result), reply)

    async def balances(self) -> list[BalanceRow]:
        """One row per currency."""
        return self._read(self._codec.decode_balances, await self._call(ACCOUNT_SUMMARIES, {}))

    async def limits(self, currency: str) -> AccountLimits:
        """The account's own rate limits."""
        reply = await self._call(ACCOUNT_SUMMARY, {"currency": currency, "extended": True})
        return self._read(lambda result, _time: self._codec.decode_limits(result), reply)

    async def server_time(self) -> int:
        """Venue UTC, ns."""
        reply = await self._call(GET_TIME, {}, signed=False)
        return int(bytes(reply.result)) * NS_PER_MS

    # --- changes ----------------------------------------------------------------------------------------------------
    async def cancel_all_of_symbol(self, symbol: str) -> None:
        """Cancel every open order of the instrument, whoever placed it: the caller has looked."""
        await self._call(CANCEL_ALL_OF_INSTRUMENT, {"instrument_name": symbol}, Lane.CANCEL, bucket=MATCHING)

    async def cancel_order(self, exchange_order_id: str) -> None:
        """Cancel one order by the venue's id."""
        await self._call(CANCEL, {"order_id": exchange_order_id}, Lane.CANCEL, bucket=MATCHING)

    async def reduce_at_market(self, method: str, symbol: str, amount: str, client_order_id: int) -> None:
        """One reduce-only market order, for closing a position in an emergency. amount: the venue's own text."""
        query = {
            "instrument_name": symbol, "amount": msgspec.Raw(amount.encode()), "type": "market", "reduce_only": True,
            "post_only": False, "label": str(client_order_id),
        }  # fmt: skip
        await self._call(method, query, Lane.CANCEL, bucket=MATCHING)

    # --- transport --------------------------------------------------------------------------------------------------
    async def send(self, method: str, text: str, *, signed: bool = True) -> tuple[Reply, int]:
        """One request as it is, and its reply with the HTTP status: for the OMS, which reads outcomes itself. Raises
        RequestFailure, MalformedMessage."""
        self._identity += 1
        body = f'{{"jsonrpc":"2.0","id":{self._identity},"method":"{method}","params":{text}}}'.encode()
        uri = f"{API}/{method}"
        headers = {"Content-Type": "application/json"}
        if signed:
            headers |= self._signer.headers("POST", uri, body, self._clock.now_ms())
        reply = await self._http.request("POST", uri, headers=headers, body=body)
        return self._codec.decode_reply(reply.body), reply.status

    async def _call(
        self,
        method: str,
        query: dict[str, Any],
        lane: Lane = Lane.QUERY,
        *,
        bucket: str = CREDITS,
        signed: bool = True,
    ) -> Reply:
        asked_ns = self._clock.now_ns()
        until = self._budget.admit(lane, {bucket: REQUEST_COST if bucket == CREDITS else 1}, asked_ns)
        if until:
            raise VenueUnavailable(f"{method}: rate limit, not before {(until - asked_ns) / 1e9:.1f} s from now")
        try:
            reply, status = await self.send(method, parameters(query), signed=signed)
        except RequestFailure as failure:
            raise VenueUnavailable(str(failure)) from failure
        except MalformedMessage as failure:
            raise VenueUnavailable(f"{method}: {failure}") from failure
        if reply.error is None and reply.result and status == 200:
            self._budget.note(0, bucket, self._clock.now_ns(), asked_ns)
            return reply
        error, message = (reply.error.code, reply.error.message) if reply.error is not None else (0, "no result")
        self._budget.note(error, bucket, self._clock.now_ns(), asked_ns)
        verdict = classify(error)
        if error in KEY_CODES:
            raise VenueRefused(message, code=error, http_status=status, reason=Reason.VENUE_SIGNATURE)
        if verdict.outcome is Outcome.REFUSED:
            reason = verdict.reason if verdict.reason != Reason.VENUE_SIGNATURE else Reason.VENUE_REJECTED
            raise VenueRefused(message, code=error, http_status=status, reason=reason)
        raise VenueUnavailable(f"{method}: HTTP {status} {error or ''} {message}")

    def _read(self, read: Callable[[bytes, int], _T], reply: Reply) -> _T:
        try:
            return read(bytes(reply.result), monotonic_ns())
        except MalformedMessage as failure:
            raise VenueUnavailable(str(failure)) from failure


def _newest(facts: list[OrderEvent]) -> int:
    """The highest trade_seq."""
    return max(int(fact.trade_id) for fact in facts)

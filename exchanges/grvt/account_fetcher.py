"""Private REST of GRVT: the account's orders, fills, positions, balances, cancels and its dead-man's switch.

The rule: nothing is retried here but one login: where the venue does not know the cookie any more (1000), nothing was
carried out, and the call is made once again with a new one. No usable answer is VenueUnavailable, the venue's no is
VenueRefused (with reason VENUE_SIGNATURE where key, signer or account are wrong, so that a process can end instead of
going on). Every call takes its tokens from the budget first; where that is used up, VenueUnavailable says until when.

Orders of more than one leg (legs.py): where an answer shows a leg whose forerunners are not known here, they are asked
for, and the answer is read again. `fill_history` is newest first and knows no trade ids, so it is read by time.

Source: https://api-docs.grvt.io/trading_api

Who calls it: oms.py, pms.py and emergency.py, settlement and recovery through the Protocols of exchanges/.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import orjson

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.grvt.account_codec import AccountCodec
from exchanges.grvt.endpoints import BULK_LIMIT, PAGE_LIMIT, TIME_TO_LIVE_LIMIT_MS
from exchanges.grvt.error_codes import GONE_CODES, KEY_CODES, NOT_LOGGED_IN, classify
from exchanges.grvt.legs import MOST_LEGS, UnknownLegs, wire_id
from exchanges.grvt.order_budget import CANCELS, CREATES, QUERIES, OrderBudget
from exchanges.grvt.order_codec import CANCEL, CREATE, QUERY, TIME_TO_LIVE, OrderCodec
from exchanges.grvt.order_messages import Order, Position, Reply
from exchanges.grvt.rest import JSON_HEADERS
from exchanges.grvt.session import Session
from exchanges.http import HttpHandler
from exchanges.market_events import MalformedFrame
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

FULL: Final = "/full/"
OPEN_ORDERS: Final = "v1/open_orders"
FILL_HISTORY: Final = "v1/fill_history"
POSITIONS: Final = "v1/positions"
ACCOUNT_SUMMARY: Final = "v1/account_summary"
BULK: Final = "v2/bulk_orders"
CANCEL_ALL: Final = "v1/cancel_all_orders"
COUNTDOWN: Final = "v1/cancel_on_disconnect"
PERPETUAL: Final = "Perp"
CREATE_MARGIN_NS: Final = 1_000_000_000
"""Two parts of the venue stamp creates and fills."""
MAX_PAGES: Final = 200
"""A bound on paging: 200,000 own fills since the last watermark is a broken reply, not a busy day."""


class GrvtAccountFetcher:
    """One per process, over the HTTP handler of its maker, which goes to the trades host."""

    def __init__(
        self,
        http: HttpHandler,
        session: Session,
        codec: OrderCodec,
        account_codec: AccountCodec,
        instruments: OrderInstruments,
        clock: VenueClock,
        budget: OrderBudget,
        server_time: Callable[[], Awaitable[int]],
    ) -> None:
        """server_time: of the market data host, ns UTC."""
        self._http, self._session, self._codec, self._account_codec = http, session, codec, account_codec
        self._instruments, self._clock, self._budget = instruments, clock, budget
        self._server_time = server_time

    # --- orders -----------------------------------------------------------------------------------------------------
    async def open_orders(self, symbols: Sequence[str], lane: Lane = Lane.QUERY) -> list[OrderEvent]:
        """STATUS of every open order of these symbols, whoever placed it. lane: CANCEL where it is asked in order to
        cancel."""
        wanted = {instrument.id for symbol in symbols if (instrument := self._instruments.by_symbol(symbol))}
        facts = await self._read(self._codec.decode_orders, await self._call(OPEN_ORDERS, {}, lane))
        return [fact for fact in facts if fact.instrument_id in wanted]

    async def every_open_order(self) -> list[Order]:
        """Open orders of all instruments, configured or not, as the venue words them."""
        body = await self._call(OPEN_ORDERS, {}, Lane.CANCEL)
        return await self._read(lambda raw, _time: self._codec.decode_every_order(raw), body)

    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None:
        """STATUS of one order by our id, its present leg; None: the venue says that it knows no such order."""
        found = await self.present_leg(client_order_id)
        if found is None and self._codec.legs.watch_of(client_order_id) is not None:
            raise VenueUnavailable(f"order {client_order_id} is being replaced: asked again")
        return found

    async def present_leg(self, client_order_id: int) -> OrderEvent | None:
        """The same for a replacement, to which the silence on its new leg is an answer."""
        codec = self._codec
        for _ in range(MOST_LEGS):
            body = await self._found({"client_order_id": str(codec.wire_id(client_order_id))})
            if body is None:
                return None
            try:
                return codec.decode_order(body, monotonic_ns())
            except UnknownLegs as unknown:
                await self.learn_legs(unknown.order_id)  # another leg may be the present one
            except MalformedMessage as failure:
                raise VenueUnavailable(str(failure)) from failure
        raise VenueUnavailable("the legs of an order could not be learned")

    async def absent(self, client_order_id: int, for_ns: int) -> bool:
        """Whether neither open orders nor any fill since its create know the present leg of this order. for_ns: how
        long ago that was sent."""
        wire = str(self._codec.wire_id(client_order_id))
        if any(str(order.metadata.client_order_id) == wire for order in await self.every_open_order()):
            return False
        since = self._clock.now_ns() - for_ns - CREATE_MARGIN_NS
        query, cursor = {"limit": PAGE_LIMIT, "start_time": str(since)}, ""
        for _ in range(MAX_PAGES):
            body = await self._call(FILL_HISTORY, query | ({"cursor": cursor} if cursor else {}))
            ids, cursor = await self._read(lambda raw, _time: self._codec.decode_fill_ids(raw), body)
            if wire in ids:
                return False
            if not cursor:
                return True
        raise VenueUnavailable(f"{FILL_HISTORY}: more than {MAX_PAGES} full pages")

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: bytes) -> OrderEvent | None:
        """The same by the venue's id."""
        return await self._order({"order_id": exchange_order_id.decode()})

    async def _order(self, query: dict[str, Any]) -> OrderEvent | None:
        body = await self._found(query)
        return None if body is None else await self._read(self._codec.decode_order, body)

    async def _found(self, query: dict[str, Any]) -> bytes | None:
        """Answer of order; None: not known there."""
        try:
            return await self._call(QUERY, query)
        except VenueRefused as refused:
            if refused.code in GONE_CODES:
                return None
            raise

    # --- own trades -------------------------------------------------------------------------------------------------
    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]:
        """FILL facts from that trade number on, all pages; None: the latest page."""
        query = {"limit": PAGE_LIMIT, **_filters(symbol)}
        if from_trade_id is None:
            page, _ = await self._page(query)
            return _of_symbol(page, self._instruments, symbol)
        facts = await self._pages(query, lambda page: int(page[-1].trade_id) < from_trade_id)
        return [fact for fact in _of_symbol(facts, self._instruments, symbol) if int(fact.trade_id) >= from_trade_id]

    async def own_trades_since(self, symbol: str, venue_time_ns: int) -> list[OrderEvent]:
        """FILL facts of trades at or after that time of the venue's clock."""
        query = {"limit": PAGE_LIMIT, "start_time": str(max(0, venue_time_ns)), **_filters(symbol)}
        return _of_symbol(await self._pages(query), self._instruments, symbol)

    async def trades_of_order(self, symbol: str, exchange_order_id: bytes) -> list[OrderEvent]:
        """FILL facts of one order, of all its legs."""
        body = await self._found({"order_id": exchange_order_id.decode()})
        if body is None:
            return []
        order = await self._read(self._codec.decode_order, body)
        if order is None:
            return []
        began = await self._read(lambda raw, _time: self._codec.decode_create_time(raw), body)
        if self._codec.legs.standing(order.client_order_id).leg:
            first = await self._found({"client_order_id": str(wire_id(order.client_order_id, 0))})
            if first is not None:
                began = await self._read(lambda raw, _time: self._codec.decode_create_time(raw), first)
        facts = await self.own_trades_since(symbol, began - CREATE_MARGIN_NS)
        return [fact for fact in facts if fact.client_order_id == order.client_order_id]

    async def _pages(
        self, query: dict[str, Any], enough: Callable[[list[OrderEvent]], bool] = lambda page: False
    ) -> list[OrderEvent]:
        facts: list[OrderEvent] = []
        cursor = ""
        for _ in range(MAX_PAGES):
            page, cursor = await self._page(query | ({"cursor": cursor} if cursor else {}))
            facts += page
            if not cursor or (page and enough(page)):
                return facts
        raise VenueUnavailable(f"{FILL_HISTORY}: more than {MAX_PAGES} full pages")

    async def _page(self, query: dict[str, Any]) -> tuple[list[OrderEvent], str]:
        return await self._read(self._codec.decode_fills, await self._call(FILL_HISTORY, query))

    # --- account ----------------------------------------------------------------------------------------------------
    async def positions(self) -> list[PositionRow]:
        """Rows of the configured instruments that have a position; the others have none."""
        return await self._read(self._account_codec.decode_positions, await self._call(POSITIONS, {}))

    async def every_position(self) -> list[Position]:
        """Positions of all instruments, configured or not, as the venue words them."""
        body = await self._call(POSITIONS, {}, Lane.CANCEL)
        return await self._read(lambda raw, _time: self._account_codec.decode_every_position(raw), body)

    async def balances(self) -> list[BalanceRow]:
        """One row per currency."""
        return await self._read(self._account_codec.decode_balances, await self._call(ACCOUNT_SUMMARY, {}))

    async def server_time(self) -> int:
        """Venue UTC, ns."""
        try:
            return await self._server_time()
        except MalformedFrame as failure:
            raise VenueUnavailable(str(failure)) from failure

    # --- changes ----------------------------------------------------------------------------------------------------
    async def cancel_all_of_symbol(self, symbol: str) -> None:
        """Cancel every open order of the instrument, whoever placed it: the caller has looked. The venue has no filter
        finer than kind, base and quote, which name one perpetual; others are canceled one by one."""
        if symbol.rpartition("_")[2] == PERPETUAL:
            await self._call(CANCEL_ALL, _filters(symbol), Lane.CANCEL, bucket=CANCELS)
            return
        for order in await self.every_open_order():
            if any(leg.instrument == symbol for leg in order.legs):
                await self.cancel_order(order.order_id)

    async def cancel_order(self, exchange_order_id: str) -> None:
        """Cancel one order by the venue's id."""
        await self._call(CANCEL, {"order_id": exchange_order_id}, Lane.CANCEL, bucket=CANCELS)

    async def cancel_orders(self, exchange_order_ids: Sequence[str]) -> None:
        """Cancel these by the venue's ids, a hundred with one token. The names of the lists are the api-spec's; its
        prose has others, so whoever calls this looks afterwards what still stands."""
        for start in range(0, len(exchange_order_ids), BULK_LIMIT):
            await self._bulk(exchange_order_ids[start : start + BULK_LIMIT], [])

    async def bulk_orders(
        self, exchange_order_ids: Sequence[str], creates: Sequence[Mapping[str, Any]]
    ) -> list[OrderEvent]:
        """Cancel orders by the venue's ids, then create others of one instrument, at most a hundred of each, in one
        call. creates: bodies as `OrderCodec.encode_new` makes them. Returns a STATUS (PENDING) for each that was taken.

        Not atomic: a create that is refused brings no canceled order back, and one that was taken may be rejected on
        the stream. VenueRefused: nothing of the call was carried out. VenueUnavailable: nobody knows, each order for
        itself: ask for each by its id. A create costs what it costs alone; all cancels together cost one token. So the
        engine sends creates one by one (oms.py), and this is for callers with orders of their own."""
        if max(len(exchange_order_ids), len(creates)) > BULK_LIMIT:
            raise ValueError(f"bulk_orders takes {BULK_LIMIT} cancels and {BULK_LIMIT} creates, not more")
        return await self._read(self._codec.decode_bulk, await self._bulk(exchange_order_ids, creates))

    async def _bulk(self, exchange_order_ids: Sequence[str], creates: Sequence[Mapping[str, Any]]) -> bytes:
        body = {
            "orders": [create["order"] for create in creates],
            "order_i_ds": list(exchange_order_ids),
            "client_order_i_ds": [],
        }
        costs = {CREATES: len(creates)} if creates else {}
        if exchange_order_ids:
            costs[CANCELS] = 1
        lane, bucket = (Lane.NEW, CREATES) if creates else (Lane.CANCEL, CANCELS)
        return await self._call(BULK, body, lane, bucket=bucket, costs=costs)

    async def forbid(self, client_order_id: int) -> int:
        """Let the venue kill this order's present leg should its create still arrive; for how long it will, ns."""
        await self._forbid(self._codec.wire_id(client_order_id))
        return TIME_TO_LIVE_LIMIT_MS * 1_000_000

    async def _forbid(self, wire: int) -> None:
        query = {"client_order_id": str(wire), "time_to_live_ms": TIME_TO_LIVE}
        await self._call(CANCEL, query, Lane.CANCEL, bucket=CANCELS)
        self._codec.remembers_cancels = True

    async def arm_countdown(self, countdown_ms: int) -> None:
        """Cancel everything of the account after that many ms without another call; 0: off."""
        await self._call(COUNTDOWN, {"countdown_time": str(countdown_ms)}, Lane.CANCEL)

    async def create(self, body: Mapping[str, Any]) -> None:
        """One order of the emergency access, signed by its maker."""
        await self._call(CREATE, body, Lane.CANCEL, bucket=CREATES)

    # --- transport --------------------------------------------------------------------------------------------------
    async def send(self, route: str, body: Mapping[str, Any]) -> Reply:
        """One call as it is, with the present session, and its answer: for the OMS, which reads outcomes itself. Raises
        RequestFailure."""
        headers = {**JSON_HEADERS, **self._session.headers}
        reply = await self._http.request("POST", FULL + route, headers=headers, body=orjson.dumps(body))
        return self._codec.decode_answer(reply.status, reply.body)

    async def _call(
        self,
        route: str,
        query: Mapping[str, Any],
        lane: Lane = Lane.QUERY,
        *,
        bucket: str = QUERIES,
        costs: dict[str, int] | None = None,
    ) -> bytes:
        """Body of the answer. bucket: the one that a refusal for the rate shuts; costs: one of it where not given."""
        asked_ns = self._clock.now_ns()
        until = self._budget.admit(lane, {bucket: 1} if costs is None else costs, asked_ns)
        if until:
            raise VenueUnavailable(f"{route}: rate limit, not before {(until - asked_ns) / 1e9:.1f} s from now")
        session = self._session
        await session.ensure()
        headers, reply = session.headers, await self._ask(route, query)
        if reply.error is not None and reply.error.code == NOT_LOGGED_IN:
            session.lost(headers)
            await session.ensure()
            reply = await self._ask(route, query)
        code = reply.error.code if reply.error is not None else 0
        self._budget.note(code, bucket, self._clock.now_ns(), asked_ns)
        if reply.error is None:
            return bytes(reply.result)
        message, status = reply.error.message, reply.status or 0
        if code in KEY_CODES:
            raise VenueRefused(message, code=code, http_status=status, reason=Reason.VENUE_SIGNATURE)
        verdict = classify(reply.status, code)
        if verdict.outcome is Outcome.REFUSED:
            raise VenueRefused(message, code=code, http_status=status, reason=verdict.reason)
        raise VenueUnavailable(f"{route}: HTTP {status} {code or ''} {message}")

    async def _ask(self, route: str, query: Mapping[str, Any]) -> Reply:
        body = query if "order" in query else {"sub_account_id": self._session.account, **query}
        try:
            return await self.send(route, body)
        except RequestFailure as failure:
            raise VenueUnavailable(str(failure)) from failure

    async def _read(self, read: Callable[[bytes, int], _T], body: bytes) -> _T:
        """Read an answer; where it shows legs that are not known here, the venue is asked for them first."""
        now = monotonic_ns()
        for _ in range(MOST_LEGS):
            try:
                return read(body, now)
            except UnknownLegs as unknown:
                await self.learn_legs(unknown.order_id)
            except (MalformedMessage, MalformedFrame) as failure:
                raise VenueUnavailable(str(failure)) from failure
        raise VenueUnavailable("the legs of an order could not be learned")

    async def learn_legs(self, order_id: int) -> None:
        """Ask for the legs of an order one after the other; the last that the venue knows is the present one."""
        before = traded = 0
        over = False
        for leg in range(MOST_LEGS):
            body = await self._found({"client_order_id": str(wire_id(order_id, leg))})
            if body is None:
                if leg:
                    if over:  # what an earlier engine sent in its last moment may still be on its way
                        await self._forbid(wire_id(order_id, leg))
                    break
                raise VenueUnavailable(f"order {order_id}: the venue does not know its first leg")
            before += traded
            try:
                over, traded = self._codec.decode_leg(body)
            except MalformedMessage as failure:
                raise VenueUnavailable(str(failure)) from failure
            present = leg
        self._codec.legs.stand(order_id, present, before)


def _filters(symbol: str) -> dict[str, list[str]]:
    """What the venue can filter by; it names the instrument where that is a perpetual."""
    parts = symbol.split("_")
    if len(parts) != 3 or parts[2] != PERPETUAL:
        return {}
    return {"kind": ["PERPETUAL"], "base": [parts[0]], "quote": [parts[1]]}


def _of_symbol(facts: list[OrderEvent], instruments: OrderInstruments, symbol: str) -> list[OrderEvent]:
    instrument = instruments.by_symbol(symbol)
    return [fact for fact in facts if instrument is not None and fact.instrument_id == instrument.id]

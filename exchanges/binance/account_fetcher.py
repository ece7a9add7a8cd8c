"""Signed REST of Binance USDⓈ-M futures: the account's orders, trades, positions, balances, and the listen key.

The rule: nothing is retried here but a request whose timestamp the venue refused (-1021), once, after its clock was
measured again: that one was surely not carried out. No usable answer is VenueUnavailable, the venue's no is
VenueRefused (with reason VENUE_SIGNATURE where key or signature are wrong, so that a process can end instead of going
on). Every call takes its documented weight from the budget first; where that is used up, VenueUnavailable says until
when.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures, pages of the endpoints named below.

Who calls it: oms.py and pms.py, settlement and recovery through the Protocols of exchanges/.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.binance.auth import RequestSigner
from exchanges.binance.endpoints import EXCHANGE_INFO, SERVER_TIME
from exchanges.binance.error_codes import KEY_CODES, WRONG_TIMESTAMP, classify
from exchanges.binance.messages import RateLimit
from exchanges.binance.order_budget import QUERY_WEIGHT, OrderBudget
from exchanges.binance.order_codec import OrderCodec
from exchanges.binance.order_messages import AccountConfig, OrderReply, PositionRisk, SymbolConfig
from exchanges.http import HttpFailure, HttpHandler, HttpReply
from exchanges.order_instruments import OrderInstruments
from exchanges.order_wire import MalformedMessage
from exchanges.rate_limit import Lane
from exchanges.venue_clock import VenueClock
from exchanges.verdict import Outcome
from shm.clock import monotonic_ns
from shm.layout import Reason
from shm.records import BalanceRow, OrderEvent, PositionRow

_T = TypeVar("_T")

ORDER: Final = "/fapi/v1/order"
OPEN_ORDERS: Final = "/fapi/v1/openOrders"
ALL_OPEN_ORDERS: Final = "/fapi/v1/allOpenOrders"
COUNTDOWN: Final = "/fapi/v1/countdownCancelAll"
USER_TRADES: Final = "/fapi/v1/userTrades"
POSITION_RISK: Final = "/fapi/v3/positionRisk"
BALANCE: Final = "/fapi/v3/balance"
ACCOUNT_CONFIG: Final = "/fapi/v1/accountConfig"
SYMBOL_CONFIG: Final = "/fapi/v1/symbolConfig"
LISTEN_KEY: Final = "/fapi/v1/listenKey"

TRADES_PER_PAGE: Final = 1000
MAX_PAGES: Final = 200
"""A bound on paging: 200,000 own trades since the last watermark is a broken reply, not a busy day."""
UNKNOWN_ORDER_CODES: Final = frozenset({-2011, -2013})


class TimestampRefused(VenueUnavailable):
    """-1021: not carried out, because our clock and the venue's disagree."""


class BinanceAccountFetcher:
    """One per process, over the HTTP handler of its maker."""

    def __init__(
        self,
        http: HttpHandler,
        signer: RequestSigner,
        codec: OrderCodec,
        instruments: OrderInstruments,
        clock: VenueClock,
        budget: OrderBudget,
        receive_window_ms: int,
    ) -> None:
        self._http, self._signer, self._codec, self._instruments = http, signer, codec, instruments
        self._clock, self._budget, self._receive_window_ms = clock, budget, receive_window_ms

        self.heal_clock: Callable[[], Awaitable[None]] = self._measure
        """Called where the venue refused a timestamp; raises VenueUnavailable."""

    async def _measure(self) -> None:
        await self._clock.measure(self.server_time)

    # --- orders -----------------------------------------------------------------------------------------------------
    async def open_orders(self, symbols: Sequence[str], lane: Lane = Lane.QUERY) -> list[OrderEvent]:
        """STATUS of every open order of these symbols, whoever placed it. Weight 1 a symbol. lane: CANCEL where it is
        asked in order to cancel."""
        facts: list[OrderEvent] = []
        for symbol in symbols:
            reply = await self._signed("GET", OPEN_ORDERS, f"symbol={symbol}", 1, lane)
            facts += self._read(self._codec.decode_open_orders, reply)
        return facts

    async def every_open_order(self) -> list[OrderReply]:
        """Open orders of all symbols, configured or not, as the venue words them. Weight 40."""
        reply = await self._signed("GET", OPEN_ORDERS, "", 40, Lane.CANCEL)
        return self._read(lambda body, _time: self._codec.decode_every_order(body), reply)

    async def order(self, symbol: str, client_order_id: int) -> OrderEvent | None:
        """STATUS of one order by our id; None: the venue says that it knows no such order. Weight 1."""
        return await self._order(f"symbol={symbol}&origClientOrderId={client_order_id}")

    async def order_by_exchange_id(self, symbol: str, exchange_order_id: bytes) -> OrderEvent | None:
        """The same by the venue's id."""
        return await self._order(f"symbol={symbol}&orderId={exchange_order_id.decode()}")

    async def _order(self, query: str) -> OrderEvent | None:
        try:
            reply = await self._signed("GET", ORDER, query, 1)
        except VenueRefused as refused:
            if refused.code in UNKNOWN_ORDER_CODES:
                return None
            raise
        return self._read(self._codec.decode_order, reply)

    # --- own trades -------------------------------------------------------------------------------------------------
    async def own_trades(self, symbol: str, from_trade_id: int | None) -> list[OrderEvent]:
        """FILL facts (both parts, no client order id) from that trade id on, all pages; None: the latest page. Weight 5
        a page."""
        if from_trade_id is None:
            return await self._trades(f"symbol={symbol}&limit={TRADES_PER_PAGE}")
        return await self._pages(symbol, f"fromId={from_trade_id}")

    async def own_trades_since(self, symbol: str, venue_time_ns: int) -> list[OrderEvent]:
        """FILL facts of trades at or after that time of the venue's clock, all pages."""
        return await self._pages(symbol, f"startTime={max(0, venue_time_ns // 1_000_000)}")

    async def _pages(self, symbol: str, begin: str) -> list[OrderEvent]:
        """From where `begin` says, then by trade id."""
        facts: list[OrderEvent] = []
        for _ in range(MAX_PAGES):
            page = await self._trades(f"symbol={symbol}&{begin}&limit={TRADES_PER_PAGE}")
            facts += page
            if len(page) < TRADES_PER_PAGE:
                return facts
            begin = f"fromId={max(int(fact.trade_id) for fact in page) + 1}"
        raise VenueUnavailable(f"GET {USER_TRADES}: more than {MAX_PAGES} full pages for {symbol}")

    async def trades_of_order(self, symbol: str, exchange_order_id: bytes) -> list[OrderEvent]:
        """FILL facts of one order."""
        return await self._trades(f"symbol={symbol}&orderId={exchange_order_id.decode()}&limit={TRADES_PER_PAGE}")

    async def _trades(self, query: str) -> list[OrderEvent]:
        return self._read(self._codec.decode_user_trades, await self._signed("GET", USER_TRADES, query, 5))

    # --- account ----------------------------------------------------------------------------------------------------
    async def positions(self) -> list[PositionRow]:
        """Rows of the symbols with a position or open orders; the others have none. Weight 5."""
        return self._read(self._codec.decode_positions, await self._signed("GET", POSITION_RISK, "", 5))

    async def every_position(self) -> list[PositionRisk]:
        """Positions of all symbols, configured or not, as the venue words them. Weight 5."""
        reply = await self._signed("GET", POSITION_RISK, "", 5, Lane.CANCEL)
        return self._read(lambda body, _time: self._codec.decode_every_position(body), reply)

    async def balances(self) -> list[BalanceRow]:
        """One row per currency. Weight 5."""
        return self._read(self._codec.decode_balances, await self._signed("GET", BALANCE, "", 5))

    async def account_config(self) -> AccountConfig:
        """Position mode, multi-assets mode, the right to trade. Weight 5."""
        reply = await self._signed("GET", ACCOUNT_CONFIG, "", 5)
        return self._read(lambda body, _time: self._codec.decode_account_config(body), reply)

    async def symbol_configs(self) -> list[SymbolConfig]:
        """Leverage and margin mode of every symbol. Weight 5."""
        reply = await self._signed("GET", SYMBOL_CONFIG, "", 5)
        return self._read(lambda body, _time: self._codec.decode_symbol_configs(body), reply)

    async def server_time(self) -> int:
        """Venue UTC, ns. Weight 1."""
        reply = await self._checked("GET", SERVER_TIME, "", 1, {})
        return self._read(lambda body, _time: self._codec.decode_server_time(body), reply)

    async def rate_limits(self) -> list[RateLimit]:
        """The limits that hold at this environment. Weight 1; the reply is a megabyte or two, the rest is skipped."""
        reply = await self._checked("GET", EXCHANGE_INFO, "", 1, {})
        return self._read(lambda body, _time: self._codec.decode_rate_limits(body), reply)

    # --- changes ----------------------------------------------------------------------------------------------------
    async def cancel_all_of_symbol(self, symbol: str) -> None:
        """Cancel every open order of the symbol, whoever placed it: the caller has looked. Weight 1."""
        await self._signed("DELETE", ALL_OPEN_ORDERS, f"symbol={symbol}", 1, Lane.CANCEL)

    async def cancel_order(self, symbol: str, exchange_order_id: str) -> None:
        """Cancel one order by the venue's id. Weight 1."""
        await self._signed("DELETE", ORDER, f"symbol={symbol}&orderId={exchange_order_id}", 1, Lane.CANCEL)

    async def reduce_at_market(self, symbol: str, side: str, quantity: str, client_order_id: int) -> None:
        """One reduce-only market order, for closing a position in an emergency. quantity: the venue's own text."""
        query = (
            f"symbol={symbol}&side={side}&type=MARKET&quantity={quantity}&reduceOnly=true"
            f"&newClientOrderId={client_order_id}&newOrderRespType=RESULT"
        )
        await self._signed("POST", ORDER, query, 1, Lane.CANCEL)

    async def arm_countdown(self, symbol: str, countdown_ms: int) -> None:
        """The venue cancels all open orders of the symbol when this is not repeated in time; 0 disarms. Weight 10."""
        query = f"symbol={symbol}&countdownTime={countdown_ms}"
        await self._signed("POST", COUNTDOWN, query, 10, Lane.CANCEL)

    async def listen_key(self) -> str:
        """The account's key, made or extended by 60 minutes. Never deleted: others share it. Weight 1."""
        reply = await self._checked("POST", LISTEN_KEY, "", 1, self._signer.headers)
        key = self._read(lambda body, _time: self._codec.decode_listen_key(body), reply)
        if not key:
            raise VenueUnavailable(f"POST {LISTEN_KEY}: reply has no key")
        return key

    async def extend_listen_key(self) -> str:
        """Extend it by 60 minutes; the key, or "" from servers that do not name it. Weight 1."""
        reply = await self._checked("PUT", LISTEN_KEY, "", 1, self._signer.headers)
        return self._read(lambda body, _time: self._codec.decode_listen_key(body), reply)

    # --- transport --------------------------------------------------------------------------------------------------
    async def _signed(self, method: str, path: str, query: str, weight: int, lane: Lane = Lane.QUERY) -> HttpReply:
        try:
            return await self._signed_once(method, path, query, weight, lane)
        except TimestampRefused:
            await self.heal_clock()
            return await self._signed_once(method, path, query, weight, lane)

    async def _signed_once(self, method: str, path: str, query: str, weight: int, lane: Lane) -> HttpReply:
        signed = self._signer.signed_query(query, self._clock.now_ms(), self._receive_window_ms)
        return await self._checked(method, path, signed, weight, self._signer.headers, lane)

    async def _checked(
        self, method: str, path: str, query: str, weight: int, headers: dict[str, str], lane: Lane = Lane.QUERY
    ) -> HttpReply:
        now_ns = self._clock.now_ns()
        until = self._budget.admit(lane, {QUERY_WEIGHT: weight}, now_ns)
        if until:
            raise VenueUnavailable(f"{method} {path}: rate limit, not before {(until - now_ns) / 1e9:.1f} s from now")
        try:
            reply = await self._http.request(method, path, query, headers)
        except HttpFailure as failure:
            raise VenueUnavailable(str(failure)) from failure
        code, message = (0, "") if reply.status == 200 else self._codec.decode_error(reply.body)
        self._budget.note(reply, code, message, self._clock.now_ns(), now_ns)
        if reply.status == 200:
            return reply
        verdict = classify(reply.status, code, message)
        if code in KEY_CODES or reply.status == 401:
            raise VenueRefused(message, code=code, http_status=reply.status, reason=Reason.VENUE_SIGNATURE)
        if 400 <= reply.status < 500 and code and verdict.outcome is Outcome.REFUSED:
            raise VenueRefused(message, code=code, http_status=reply.status, reason=verdict.reason)
        text = f"{method} {path}: HTTP {reply.status} {code or ''} {message}".rstrip()
        raise TimestampRefused(text) if code == WRONG_TIMESTAMP else VenueUnavailable(text)

    def _read(self, decode: Callable[[bytes, int], _T], reply: HttpReply) -> _T:
        try:
            return decode(reply.body, monotonic_ns())
        except MalformedMessage as failure:
            raise VenueUnavailable(str(failure)) from failure

"""GRVT as a server on loopback: login, REST, market data and trading sockets, and an admin endpoint.

    server = await serve(SimulatorOptions(symbols=("BTC_USDT_Perp",)))
    ... http://127.0.0.1:{server.port}/full/v1/...   ws://127.0.0.1:{server.port}/ws/full ...
    await server.close()

One port is all three hosts: /auth/* is edge's, /full/v1/* and /full/v2/* belong to both others, /ws/full, /ws/lite and
the old /ws to both as well. A path that begins with /trades or /market keeps to that host's streams and calls, as live
(clients that keep one connection per URL need two). Our orders meet a market that is generated from a seed
(`exchanges.simulator`). Everything happens in one event loop: a request is matched and booked without an await.

Not simulated: klines and candles, ticker deltas, RFQ, trigger orders, transfers, isolated margin, funding, liquidation,
lite names over REST. Streams of these kinds can be subscribed and stay silent.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from aiohttp import web

from exchanges.grvt import simulator_replies as replies
from exchanges.grvt.simulator_admin import account_truth
from exchanges.grvt.simulator_auth import COOKIE_LIFE_S, ApiKey, Sessions
from exchanges.grvt.simulator_calls import BY_ROUTE
from exchanges.grvt.simulator_dispatch import Dispatcher, DropReply
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_instruments import instrument_for
from exchanges.grvt.simulator_order_calls import reach_book
from exchanges.grvt.simulator_socket import LEGACY, SocketSession
from exchanges.grvt.simulator_streams import StreamConnection, StreamHub
from exchanges.grvt.simulator_venue import (
    COOKIE_EXPIRED,
    RECENT_TRADES,
    SEQUENCE_RESTART,
    Call,
    GrvtAccount,
    Venue,
    WireOrder,
)
from exchanges.grvt.typed_data import CHAIN_IDS
from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import CONNECTION_KINDS, Fault
from exchanges.simulator.flow import (
    AggregateTrade,
    Delta,
    FlowPlayer,
    MarketEvent,
    MarketTrade,
    MarkTick,
    Top,
)
from exchanges.simulator.generator import GeneratedFlow
from exchanges.simulator.ledger import money
from exchanges.simulator.options import check_options
from exchanges.simulator.orders import OrderRules, Report, ReportKind
from exchanges.simulator.server import MAX_BODY, LoopbackServer, json_response

__all__ = ["DEFAULT_SYMBOLS", "DEMO_KEY", "ApiKey", "SimulatorError", "SimulatorOptions", "SimulatorServer", "serve"]

LOG = logging.getLogger("corelane.simulator.grvt")
DEFAULT_SYMBOLS = ("BTC_USDT_Perp",)
DELTA_EVERY_NS = 50_000_000
"""The fastest book stream's grid."""
DEMO_KEY = ApiKey("corelane-grvt-demo", "0x" + "11" * 32)
RULES = OrderRules(refuses_fill_or_kill=False)


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulator is set up. Money and rates are decimal text; `speed` scales the market's own time.

    speed_bump_ms: how long a create that is not post-only waits before it reaches the book. cookie_life_s: of a login.
    create_limit, cancel_limit: a second and account. rest_status: of what is left of an order that may not rest,
    CANCELLED or REJECTED (the venue's own word for it is not documented)."""

    host: str = "127.0.0.1"
    port: int = 0
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    seed: int = 1
    speed: float = 1.0
    api_keys: tuple[ApiKey, ...] = (DEMO_KEY,)
    wallet_balance: str = "100000"
    maker_fee: str = "-0.000001"
    taker_fee: str = "0.00045"
    leverage: int = 20
    speed_bump_ms: int = 25
    cookie_life_s: float = COOKIE_LIFE_S
    create_limit: int = 100
    cancel_limit: int = 100
    rest_status: str = "CANCELLED"

    def __post_init__(self) -> None:
        check_options(self, ("wallet_balance", "maker_fee", "taker_fee"))
        if math.isinf(self.speed):
            raise SimulatorError("simulator speed inf: a generated market has no end, expected a finite speed")
        if self.rest_status not in ("CANCELLED", "REJECTED"):
            raise SimulatorError(f"simulator rest_status {self.rest_status!r}: expected CANCELLED or REJECTED")
        for key in self.api_keys:
            if not key.account.isdigit():
                raise SimulatorError(f"simulator account {key.account!r}: expected the number of a sub account")


class SimulatorServer(LoopbackServer):
    """A running simulator; make it with `serve`. All methods belong to its event loop."""

    venue_name = "grvt"

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        instruments = [instrument_for(symbol) for symbol in dict.fromkeys(options.symbols)]
        self.exchange = SimulatedExchange(instruments, _now_ms, self._on_reports, RULES)
        rates = Decimal(options.maker_fee), Decimal(options.taker_fee)
        for key in options.api_keys:
            if key.account not in self.exchange.accounts:
                balance = Decimal(options.wallet_balance)
                self.exchange.add_account(GrvtAccount(key.account, "USDT", balance, *rates, options.leverage))
        self.venue = Venue(
            self.exchange,
            Sessions(options.api_keys, options.cookie_life_s),
            _now_ms,
            CHAIN_IDS["simulator"],
            options.create_limit,
            options.cancel_limit,
            rest_status=options.rest_status,
        )
        super().__init__(options.host, options.port, self.venue.faults, self.venue.messages)
        self.hub = StreamHub(self.venue)
        self.venue.submit, self.venue.send_order, self.venue.send_cancel = (
            self._submit,
            self._send_order,
            self._send_cancel,
        )
        self.dispatcher = Dispatcher(self.venue, self._strike_waiting)
        flow = GeneratedFlow(instruments, options.seed, _now_ms(), DELTA_EVERY_NS)
        self.players.append(FlowPlayer(flow, options.speed, self.deliver, self.hub.backlog))
        for symbol in flow.symbols:
            snapshot = flow.snapshot(symbol)
            self.venue.book(symbol).load(snapshot.bids, snapshot.asks, snapshot.update_id)
            self.venue.recent_trades[symbol] = deque(maxlen=RECENT_TRADES)

    # --- life ------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Listen; PortBusy when the port is taken."""
        await super().start()
        for player in self.players:
            player.start()
        LOG.info("grvt simulator on %s, accounts %s", self.rest_url, ", ".join(self.exchange.accounts))

    async def __aenter__(self) -> SimulatorServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def on_timer(self) -> None:
        self.exchange.on_timer()
        self.venue.on_timer()
        self.hub.on_grid(_now_ms())

    # --- the market ------------------------------------------------------------------------------------------------
    def deliver(self, event: MarketEvent) -> None:
        """One event of the market: to its subscribers, then to our orders."""
        symbol = event.symbol
        match event:
            case Top():
                self.exchange.on_top(
                    symbol, event.bid, event.bid_quantity, event.ask, event.ask_quantity, event.update_id, event.time_ms
                )
                self.hub.on_top(symbol)
            case MarketTrade():
                self.venue.recent_trades[symbol].append(event)
                self.hub.on_trade(event)
                self.exchange.on_trade(symbol, event.price, event.quantity, event.buyer_is_maker, event.time_ms)
            case Delta(matched=True):
                self.exchange.on_delta(symbol, event.bids, event.asks, event.last_id, event.time_ms)
            case MarkTick():
                self._set_mark(symbol)
            case AggregateTrade():
                pass  # this venue tells each trade

    def _set_mark(self, symbol: str) -> None:
        book = self.venue.book(symbol)
        if book.ready:
            self.exchange.set_mark(symbol, money(book.mid))

    def on_frozen(self) -> None:
        """Marks as they stay, told on every ticker and mini ticker at once."""
        for symbol in self.exchange.instruments:
            self._set_mark(symbol)
        for channel in self.hub.channels.values():
            if channel.listeners and (feed := channel.changes(time.time_ns())) is not None:
                self.hub.publish(channel, feed)

    # --- orders ----------------------------------------------------------------------------------------------------
    def _submit(self, wire: WireOrder) -> None:
        """Orders that may take wait for the speed bump, so that makers can cancel first."""
        delay_s = 0.0 if wire.post_only else self.options.speed_bump_ms / 1000
        asyncio.get_running_loop().call_later(delay_s, reach_book, self.venue, wire)

    def _on_reports(self, account: str, reports: list[Report]) -> None:
        """What happened in one moment. An order that traded or ended in it was never seen open."""
        last = {report.order.order_id: index for index, report in enumerate(reports)}
        for index, report in enumerate(reports):
            order = report.order
            if report.kind is ReportKind.ACCEPTED and last[order.order_id] > index:
                continue
            if report.trade is not None:
                self._tell(
                    "v1.fill", account, order.symbol, replies.fill(self.venue, report.trade, order.request.venue)
                )
            self._send_order(replies.order_reply(order))
            if report.trade is not None:
                shown = replies.position(self.venue, account, order.symbol)
                self.hub.tell("v1.position", account, order.symbol, shown)

    def _send_order(self, order: dict[str, Any]) -> None:
        account, symbol = order["sub_account_id"], order["legs"][0]["instrument"]
        self._tell("v1.order", account, symbol, order)
        self.hub.tell("v1.state", account, symbol, replies.state_feed(order))

    def _send_cancel(self, outcome: dict[str, Any]) -> None:
        self._tell("v1.cancel", outcome["sub_account_id"], "", outcome)

    def _tell(self, stream: str, account: str, symbol: str, feed: dict[str, Any]) -> None:
        self.messages.note("event", f"{stream} {orjson.dumps(feed).decode()}")
        self.hub.tell(stream, account, symbol, feed)

    # --- requests --------------------------------------------------------------------------------------------------
    async def on_rest(self, request: web.Request, path: str) -> web.StreamResponse:
        host, path = _host(path)
        if (request.method, path) == ("GET", "/time"):
            return json_response({"server_time": _now_ms()}, 200)
        try:
            body = await _body(request)
            if path in ("/auth/api_key/login", "/auth/wallet/login"):
                answer, headers = await self.dispatcher.log_in(path, body)
                return json_response(answer, 200, headers)
            endpoint = BY_ROUTE.get(path.removeprefix("/full/")) if path.startswith("/full/") else None
            if endpoint is None or (host and endpoint.private != (host == "trades")):
                raise VenueError(1004)
            account = self.venue.sessions.account_of(request.headers.get("Cookie"))
            if endpoint.changes_orders:
                self.messages.note("request", f"{path} {orjson.dumps(body).decode()}")
            answer = await self.dispatcher.answer(endpoint, Call(body, account))
        except VenueError as error:
            self.messages.note("answer", f"{path} -> {error.body}")
            return json_response(error.body, error.status)
        except DropReply:
            self.messages.note("answer", f"{path} -> the connection is cut")
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return json_response(answer, 200)

    async def on_socket(self, request: web.Request, path: str) -> web.StreamResponse:
        host, path = _host(path)
        form = {"/ws/full": "full", "/ws/lite": "lite", "/ws": LEGACY}.get(path)
        if form is None:
            return json_response(VenueError(1004).body, 404)
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_BODY)
        await socket.prepare(request)
        account = self.venue.sessions.account_of(request.headers.get("Cookie"))
        connection = StreamConnection(self.hub, socket, host, form == "lite", account)
        await SocketSession(connection, self.dispatcher, form).serve(request)
        return socket

    # --- admin -----------------------------------------------------------------------------------------------------
    def clients(self) -> Iterable[StreamConnection]:
        return tuple(self.hub.connections)

    def account_names(self) -> Iterable[str]:
        return self.exchange.accounts

    def account_truth(self, name: str) -> dict[str, Any]:
        return account_truth(self.venue, self.exchange.accounts[name])

    def counts(self) -> dict[str, Any]:
        return {
            "requests": dict(self.venue.requests),
            "refusals": dict(self.venue.refusals),
            "order_sockets": sum(connection.takes_orders for connection in self.hub.connections),
            "frames_sent": dict(self.hub.frames_sent),
            "logins": self.venue.sessions.logins,
        }

    def on_armed(self, fault: Fault) -> None:
        """Those of connections and accounts strike at once unless they wait for an order."""
        if fault.with_order or fault.skip:
            return
        if fault.kind in (COOKIE_EXPIRED, SEQUENCE_RESTART):
            fault.count = 1
            self._strike_at_once()
        elif fault.kind in CONNECTION_KINDS:
            self.hub.strike_connections()

    def _strike_waiting(self) -> None:
        """An order request is being handled: what waited for one strikes."""
        self.hub.strike_connections()
        self._strike_at_once()

    def _strike_at_once(self) -> None:
        if self.faults.strike((COOKIE_EXPIRED,)) is not None:
            self.venue.sessions.expire_all()
        if self.faults.strike((SEQUENCE_RESTART,)) is not None:
            self.hub.restart_sequences()


async def serve(options: SimulatorOptions) -> SimulatorServer:
    """Listen, and return the running server (its `port` is the real one).

    SimulatorError, one sentence, when an option is wrong or the port is taken."""
    server = SimulatorServer(options)
    await server.start()
    return server


def _host(path: str) -> tuple[str, str]:
    """("trades" | "market" | "", the path there)."""
    for host in ("trades", "market"):
        if path.startswith(f"/{host}/"):
            return host, path.removeprefix(f"/{host}")
    return "", path


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object of a call. Raises VenueError 1003."""
    if request.method != "POST" or request.content_type != "application/json":
        raise VenueError(1003)
    try:
        body = orjson.loads(await request.read())
    except ValueError:
        raise VenueError(1003) from None
    if not isinstance(body, dict):
        raise VenueError(1003)
    return body


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""Binance USDⓈ-M futures as a server on loopback: REST, streams, user data, WebSocket API, and an admin endpoint.

    server = await serve(SimulatorOptions(recordings=("btcusdt.gz",)))
    ... http://127.0.0.1:{server.port}/fapi/v1/...   ws://127.0.0.1:{server.port}/public/ws/btcusdt@bookTicker ...
    await server.close()

One port speaks everything. Our orders meet a market that is played from recordings or generated from a seed
(`exchanges.simulator`); recorded frames go out byte for byte. `processes/simulator.py` runs it as a process, tests run
it in their own loop. Everything happens in one event loop: a request is matched and booked without an await.

Made, not recorded: exchangeInfo always; aggTrade and markPrice where a recording has none; all of it when generated.
All diff-depth speeds of a symbol carry the same frames (a recording's own speed, 100 ms when generated).
Not simulated: klines, tickers other than those of the call table, conditional orders, orders in hedge mode, isolated
margin, liquidation of our accounts. Streams of these kinds can be subscribed and stay silent.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import orjson
from aiohttp import web

from exchanges.binance import simulator_frames as frames
from exchanges.binance.simulator_admin import account_truth
from exchanges.binance.simulator_auth import DEMO_KEY, ApiKey, read_parameters
from exchanges.binance.simulator_calls import BY_PATH
from exchanges.binance.simulator_dispatch import Asked, Dispatcher, DropReply, OrderEvents
from exchanges.binance.simulator_errors import VenueError
from exchanges.binance.simulator_funding import account_update as funding_update
from exchanges.binance.simulator_funding import settle
from exchanges.binance.simulator_instruments import instrument_for
from exchanges.binance.simulator_keepalive import KeepAlive
from exchanges.binance.simulator_limits import RateLimits
from exchanges.binance.simulator_liquidations import LiquidationReports
from exchanges.binance.simulator_margin import MarginCalls
from exchanges.binance.simulator_market_calls import encode
from exchanges.binance.simulator_recording import RecordedFlow
from exchanges.binance.simulator_replies import user_events
from exchanges.binance.simulator_streams import MARKET, PRIVATE, PUBLIC, StreamConnection, StreamHub, parse_stream
from exchanges.binance.simulator_venue import SymbolMarket, Venue
from exchanges.binance.simulator_ws_api import HANDSHAKE_WEIGHT, WebSocketApi
from exchanges.simulator.connection import ClientConnection
from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import ACCOUNT_KINDS, CONNECTION_KINDS, Fault
from exchanges.simulator.flow import (
    AggregateTrade,
    Delta,
    FlowPlayer,
    MarketEvent,
    MarketFlow,
    MarketTrade,
    MarkTick,
    OtherFrame,
    Top,
)
from exchanges.simulator.generator import GeneratedFlow
from exchanges.simulator.ledger import Account, money
from exchanges.simulator.options import check_options
from exchanges.simulator.orders import Report
from exchanges.simulator.server import MAX_BODY, LoopbackServer, json_body, json_response

__all__ = ["DEMO_KEY", "ApiKey", "SimulatorError", "SimulatorOptions", "SimulatorServer", "serve"]

LOG = logging.getLogger("corelane.simulator.binance")
DEFAULT_SYMBOLS = ("BTCUSDT",)
MARKS_PER_SLOW_MARK = 3
"""`@markPrice` speaks every 3 s, `@markPrice@1s` every second."""
PARTIAL_DEPTHS = (5, 10, 20)


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulator is set up. Recordings bring their symbols; `symbols` that none has are generated (BTCUSDT where
    neither is given).

    `speed` scales both kinds of flow, `math.inf` plays as fast as clients read. `start` says whether a recording
    waits for the first subscriber of its symbol and then `start_delay_ms` for its other sockets. Money and rates are
    decimal text."""

    host: str = "127.0.0.1"
    port: int = 0
    symbols: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()
    seed: int = 1
    speed: float = 1.0
    start: Literal["first_subscriber", "at_once"] = "first_subscriber"
    start_delay_ms: int = 200
    api_keys: tuple[ApiKey, ...] = (DEMO_KEY,)
    wallet_balance: str = "100000"
    maker_fee: str = "0.0002"
    taker_fee: str = "0.0005"
    leverage: int = 20
    reply_schema: Literal["2026", "2025"] = "2026"
    order_events: OrderEvents = "any"
    strict_routes: bool = False
    ping_interval_s: float = 180.0
    pong_timeout_s: float = 600.0
    connection_life_s: float = 24 * 3600.0
    weight_limit_1m: int = 2400
    order_limit_10s: int = 300
    order_limit_1m: int = 1200

    def __post_init__(self) -> None:
        check_options(self, ("wallet_balance", "maker_fee", "taker_fee"))


class SimulatorServer(LoopbackServer):
    """A running simulator; make it with `serve`. All methods belong to its event loop."""

    venue_name = "binance"

    def __init__(self, options: SimulatorOptions, flows: list[MarketFlow]) -> None:
        self.options = options
        symbols = list(dict.fromkeys(symbol for flow in flows for symbol in flow.symbols))
        self.exchange = SimulatedExchange([instrument_for(s) for s in symbols], _now_ms, self._on_reports)
        for key in options.api_keys:
            self.exchange.accounts.setdefault(
                key.account,
                Account(
                    key.account,
                    "USDT",
                    Decimal(options.wallet_balance),
                    Decimal(options.maker_fee),
                    Decimal(options.taker_fee),
                    options.leverage,
                ),
            )
        limits = RateLimits(options.weight_limit_1m, options.order_limit_10s, options.order_limit_1m)
        keys = {key.key: key for key in options.api_keys}
        self.venue = Venue(self.exchange, keys, limits, _now_ms, options.reply_schema == "2025")
        super().__init__(options.host, options.port, self.venue.faults, self.venue.messages)
        self.venue.configuration_events = self._send_configuration
        self.hub = StreamHub(self.venue.faults, options.strict_routes)
        self.hub.on_subscribed = self._on_subscribed
        self.dispatcher = Dispatcher(
            self.venue, options.order_events, self._strike_with_order, self._hold, self._release, self._drained
        )
        for flow in flows:
            delay = options.start_delay_ms / 1000 if options.start == "first_subscriber" else 0.0
            waits = isinstance(flow, RecordedFlow)
            player = FlowPlayer(flow, options.speed, self.deliver, self.hub.backlog, delay if waits else 0.0)
            self.players.append(player)
            for symbol in flow.symbols:
                snapshot = flow.snapshot(symbol)
                market = SymbolMarket(flow, snapshot, snapshot.event_ms, snapshot.time_ms, synced=not waits)
                self.venue.markets[symbol] = market
                self.venue.book(symbol).load(snapshot.bids, snapshot.asks, snapshot.update_id)
        self._handlers = {
            Top: self._on_top,
            MarketTrade: self._on_trade,
            AggregateTrade: self._on_aggregate,
            Delta: self._on_delta,
            MarkTick: self._on_mark,
            OtherFrame: self._on_other,
        }
        self._keep_alive = KeepAlive(options.ping_interval_s, options.pong_timeout_s, options.connection_life_s)
        self._api_sockets: set[WebSocketApi] = set()
        self._marks_sent: dict[str, int] = {}
        self._liquidations = {symbol: LiquidationReports() for symbol in symbols}
        self._margin_calls = MarginCalls(self.venue)
        self._next_funding_ms = frames.next_funding_ms(_now_ms())
        self._gates: dict[str, list[list[Report]]] = {}
        self._gate_depth: dict[str, int] = {}

    # --- life ------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Listen; PortBusy when the port is taken."""
        await super().start()
        for player in self.players:
            if self.options.start == "at_once" or not isinstance(player.flow, RecordedFlow):
                player.start()
        for line in self.describe():
            LOG.info(line)

    async def __aenter__(self) -> SimulatorServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def describe(self) -> list[str]:
        """What is served and what of it is made: one line per flow, for the log."""
        lines = [f"binance simulator on {self.rest_url}, accounts {', '.join(self.exchange.accounts)}"]
        for player in self.players:
            flow = player.flow
            if isinstance(flow, RecordedFlow):
                made = ", ".join(("exchangeInfo", *flow.lacks))
                lines.append(
                    f"{flow.symbol}: recording {flow.path}, {flow.frames} frames over {flow.span_ns / 1e9:.1f} s, "
                    f"speed {self.options.speed:g}; made from it: {made}"
                )
            else:
                lines.append(f"{', '.join(flow.symbols)}: generated, seed {self.options.seed}, every stream is made")
        return lines

    def on_timer(self) -> None:
        self.exchange.on_timer()
        now = _now_ms()
        if now >= self._next_funding_ms:
            self._next_funding_ms = frames.next_funding_ms(now)
            for symbol in self.exchange.instruments:
                self.settle_funding(symbol, Decimal(frames.FUNDING_RATE))
        for entry in [entry for entry in self.venue.listen_keys.values() if entry.expires_ms <= now]:
            self.expire_listen_key(entry.key)

    def settle_funding(self, symbol: str, rate: Decimal) -> int:
        """Book it and tell the accounts; how many positions there were."""
        payments = settle(self.exchange, symbol, rate, _now_ms())
        self.venue.funding += payments
        for payment in payments:
            event = orjson.dumps(funding_update(payment, self.exchange.accounts[payment.account]))
            self.messages.note("event", event.decode())
            for key in self._listen_keys(payment.account):
                self.hub.publish_user(key, "ACCOUNT_UPDATE", event)
        return len(payments)

    async def admin(self, request: web.Request, method: str, path: str) -> dict[str, Any] | None:
        """Also `POST /admin/funding` {"symbol", "rate"}: settle now."""
        if (method, path) == ("POST", "/admin/funding"):
            asked = await json_body(request)
            symbol, rate = asked.get("symbol"), asked.get("rate", frames.FUNDING_RATE)
            if not isinstance(symbol, str) or symbol not in self.exchange.instruments:
                raise SimulatorError(
                    f"funding symbol {symbol!r}: expected one of {', '.join(self.exchange.instruments)}"
                )
            try:
                settled = self.settle_funding(symbol, Decimal(rate))
            except (ArithmeticError, TypeError, ValueError):
                raise SimulatorError(f"funding rate {rate!r}: expected a decimal number as text") from None
            return {"positions": settled}
        return await super().admin(request, method, path)

    def expire_listen_key(self, key: str) -> None:
        """Tell its sockets; after that they stay open and silent."""
        if self.venue.listen_keys.pop(key, None) is None:
            return
        body = orjson.dumps({"e": "listenKeyExpired", "E": _now_ms(), "listenKey": key})
        self.hub.publish_user(key, "listenKeyExpired", body)

    # --- the market ------------------------------------------------------------------------------------------------
    def _on_subscribed(self, symbol: str) -> None:
        for player in self.players:
            if symbol in player.flow.symbols or not symbol:
                player.start()

    def deliver(self, event: MarketEvent) -> None:
        """One event of the market: to its subscribers, then to our orders."""
        market = self.venue.markets[event.symbol]
        market.event_ms, market.time_ms = event.event_ms, event.time_ms
        self._handlers[type(event)](event)  # type: ignore[operator]

    def _publish(self, event: MarketEvent, kind: str, make: Any) -> None:
        key = f"{event.symbol.lower()}@{kind}"
        if self.hub.subscribers.get(key):
            frame = event.frame
            self.hub.publish(key, frame if frame is not None else make(event, self.exchange.instruments[event.symbol]))

    def _on_top(self, event: Top) -> None:
        self._publish(event, "bookTicker", frames.book_ticker)
        self.exchange.on_top(
            event.symbol,
            event.bid,
            event.bid_quantity,
            event.ask,
            event.ask_quantity,
            event.update_id,
            event.time_ms,
        )

    def _on_trade(self, event: MarketTrade) -> None:
        self._publish(event, "trade", frames.trade)
        if event.frame is None and (liquidated := self._liquidations[event.symbol].on_trade(event)) is not None:
            report = frames.force_order(liquidated, self.exchange.instruments[event.symbol], event.event_ms)
            self.hub.publish(f"{event.symbol.lower()}@forceOrder", report)
            self.hub.publish("!forceOrder@arr", report)
        self.venue.markets[event.symbol].trades.append(event)
        self.exchange.on_trade(event.symbol, event.price, event.quantity, event.buyer_is_maker, event.time_ms)

    def _on_aggregate(self, event: AggregateTrade) -> None:
        self._publish(event, "aggTrade", frames.aggregate_trade)

    def _on_delta(self, event: Delta) -> None:
        self._publish(event, "depth", frames.depth_update)
        if not event.matched:
            return
        self.venue.markets[event.symbol].synced = True
        self.exchange.on_delta(event.symbol, event.bids, event.asks, event.last_id, event.time_ms)
        symbol, book = event.symbol.lower(), self.venue.book(event.symbol)
        for limit in PARTIAL_DEPTHS:
            key = f"{symbol}@depth{limit}"
            if self.hub.subscribers.get(key):
                bids, asks = book.top_levels(True, limit), book.top_levels(False, limit)
                instrument = self.exchange.instruments[event.symbol]
                self.hub.publish(key, frames.partial_depth(event, bids, asks, instrument))

    def _on_mark(self, event: MarkTick) -> None:
        self._send_mark(event.symbol, event.event_ms)

    def _send_mark(self, symbol: str, event_ms: int, everybody: bool = False) -> None:
        book = self.venue.book(symbol)
        if book.ready:
            self.exchange.set_mark(symbol, money(book.mid))
        for account, call in self._margin_calls.due(_now_ms()):
            for key in self._listen_keys(account):
                self.hub.publish_user(key, "MARGIN_CALL", orjson.dumps(call))
        body = frames.mark_price(symbol, self.exchange.mark(symbol), event_ms)
        count = self._marks_sent[symbol] = self._marks_sent.get(symbol, 0) + 1
        self.hub.publish(f"{symbol.lower()}@markPrice@1s", body)
        if everybody or count % MARKS_PER_SLOW_MARK == 1:
            self.hub.publish(f"{symbol.lower()}@markPrice", body)

    def _on_other(self, event: OtherFrame) -> None:
        stream = parse_stream(event.stream or "")
        if stream is None or event.frame is None:
            return
        if stream.key.startswith(f"{event.symbol.lower()}@markPrice"):
            self.exchange.set_mark(event.symbol, Decimal(str(orjson.loads(event.frame)["p"])))
        self.hub.publish(stream.key, event.frame)

    def on_frozen(self) -> None:
        for symbol, market in self.venue.markets.items():
            self._send_mark(symbol, market.event_ms or _now_ms(), everybody=True)

    # --- user events -----------------------------------------------------------------------------------------------
    def _on_reports(self, account: str, reports: list[Report]) -> None:
        gate = self._gates.get(account)
        if gate is not None:
            gate.append(reports)
        else:
            self._send_reports(account, reports)

    def _send_reports(self, account: str, reports: list[Report]) -> None:
        keys = self._listen_keys(account)
        if not keys:
            return
        for event in user_events(reports, self.exchange.instruments):
            body = orjson.dumps(event)
            self.messages.note("event", body.decode())
            for key in keys:
                self.hub.publish_user(key, event["e"], body)

    def _send_configuration(self, account: str, body: dict[str, Any]) -> None:
        now = _now_ms()
        event = orjson.dumps({"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now} | body)
        for key in self._listen_keys(account):
            self.hub.publish_user(key, "ACCOUNT_CONFIG_UPDATE", event)

    def _listen_keys(self, account: str) -> list[str]:
        return [entry.key for entry in self.venue.listen_keys.values() if entry.account == account]

    def _hold(self, account: str) -> None:
        """Keep the account's events back until as many releases."""
        self._gates.setdefault(account, [])
        self._gate_depth[account] = self._gate_depth.get(account, 0) + 1

    def _release(self, account: str) -> None:
        self._gate_depth[account] -= 1
        if not self._gate_depth[account]:
            for reports in self._gates.pop(account):
                self._send_reports(account, reports)

    async def _drained(self, account: str) -> None:
        await self.hub.drained(self._listen_keys(account))

    # --- sockets ---------------------------------------------------------------------------------------------------
    async def on_rest(self, request: web.Request, path: str) -> web.StreamResponse:
        ip = request.remote or ""
        endpoint = BY_PATH.get((request.method, path))
        if endpoint is None:
            text = f"Path {path}, Method {request.method} is invalid"
            return json_response({"code": -5000, "msg": text}, 404)
        query = request.raw_path.partition("?")[2]
        body = (await request.read()).decode("utf-8", "replace") if request.can_read_body else ""
        signed = read_parameters(query, body)
        asked = Asked(
            endpoint, ip, signed.parameters, signed.payload, signed.signature, request.headers.get("X-MBX-APIKEY")
        )
        known = self.venue.keys.get(asked.api_key or "")
        counted = known.account if known is not None and endpoint.orders != (0, 0) else None
        with self.dispatcher.in_flight(endpoint):
            what = f"{request.method} {path} {_shown(signed.parameters)}"
            if endpoint.changes_orders:
                self.messages.note("request", what)
            try:
                answer, release = await self.dispatcher.answer(asked)
            except VenueError as error:
                self.messages.note("answer", f"{what} -> {error.status} {error.body}")
                headers = self.venue.limits.headers(ip, counted, self.venue.clock_ms())
                if error.retry_after_s:
                    headers["Retry-After"] = str(error.retry_after_s)
                return json_response(error.body, error.status, headers)
            except DropReply:
                self.messages.note("answer", f"{what} -> the connection is cut")
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)
            response = web.Response(
                body=encode(answer),
                content_type="application/json",
                headers=self.venue.limits.headers(ip, counted, self.venue.clock_ms()),
            )
            if release is not None:
                try:
                    await response.prepare(request)
                    await response.write_eof()
                finally:
                    self._release(release)
            return response

    async def on_socket(self, request: web.Request, path: str) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_BODY)
        parts = [part for part in path.split("/") if part]
        if parts[:2] == ["ws-fapi", "v1"]:
            ip = request.remote or ""
            try:
                self.venue.limits.add_weight(ip, HANDSHAKE_WEIGHT, self.venue.clock_ms())
            except VenueError as error:
                return json_response(error.body, error.status)
            await socket.prepare(request)
            show = request.query.get("returnRateLimits", "true") != "false"
            api = WebSocketApi(socket, self.dispatcher, ip, show)
            self._api_sockets.add(api)
            try:
                await api.serve(request, self._keep_alive)
            finally:
                self._api_sockets.discard(api)
            return socket
        route = parts.pop(0) if parts and parts[0] in (PUBLIC, MARKET, PRIVATE) else None
        form = parts.pop(0) if parts else ""
        if form not in ("ws", "stream"):
            return json_response({"code": -5000, "msg": f"Path {path}, Method GET is invalid"}, 404)
        await socket.prepare(request)
        connection = StreamConnection(self.hub, socket, route, combined=form == "stream")
        names = parts if form == "ws" else [n for n in request.query.get("streams", "").split("/") if n]
        for name in names:
            # Names of no kind in a URL are ignored: the socket opens and stays silent, as for a bad listen key.
            if "@" in name or name.startswith("!"):
                connection.subscribe(name)
            elif route in (None, PRIVATE):
                connection.listen(name)
        self._listen_by_query(connection, request)
        await connection.serve(request, self._keep_alive)
        return socket

    @staticmethod
    def _listen_by_query(connection: StreamConnection, request: web.Request) -> None:
        """`?listenKey=K1&events=A/B&listenKey=K2&events=C`: each events list belongs to the key before it."""
        if connection.route not in (None, PRIVATE):
            return
        key = ""
        for name, value in request.query.items():
            if name == "listenKey":
                key = value
                connection.listen(key)
            elif name == "events" and key:
                connection.listen(key, frozenset(value.split("/")))

    # --- admin -----------------------------------------------------------------------------------------------------
    def clients(self) -> Iterable[ClientConnection]:
        return (*self.hub.connections, *self._api_sockets)

    def account_names(self) -> Iterable[str]:
        return self.exchange.accounts

    def account_truth(self, name: str) -> dict[str, Any]:
        return account_truth(self.venue, self.exchange.accounts[name])

    def counts(self) -> dict[str, Any]:
        return {
            "requests": dict(self.venue.requests),
            "refusals": {str(code): count for code, count in self.venue.refusals.items()},
            "frames_sent": dict(self.hub.frames_sent),
            "order_sockets": len(self._api_sockets),
        }

    def flow_kind(self, flow: MarketFlow) -> str:
        return "recording" if isinstance(flow, RecordedFlow) else "generator"

    def on_armed(self, fault: Fault) -> None:
        """Those of connections and accounts strike at once unless they wait for an order."""
        if fault.with_order or fault.skip:
            return
        if fault.kind == "listen_key_expired":
            fault.count = 1  # a key expires once
            self._strike_listen_keys()
        elif fault.kind in CONNECTION_KINDS:
            self.hub.strike_connections()

    def _strike_with_order(self) -> None:
        """An order request is being handled: what waited for one strikes."""
        self.hub.strike_connections()
        self._strike_listen_keys()

    def _strike_listen_keys(self) -> None:
        if self.venue.faults.strike(ACCOUNT_KINDS) is not None:
            for entry in tuple(self.venue.listen_keys.values()):
                self.expire_listen_key(entry.key)


async def serve(options: SimulatorOptions) -> SimulatorServer:
    """Load the market, listen, and return the running server (its `port` is the real one).

    SimulatorError, one sentence, when a recording or an option is wrong or the port is taken."""
    flows: list[MarketFlow] = []
    for path in options.recordings:
        flows.append(await asyncio.to_thread(RecordedFlow, Path(path)))
    recorded = [symbol for flow in flows for symbol in flow.symbols]
    for symbol in recorded:
        if recorded.count(symbol) > 1:
            raise SimulatorError(
                f"recordings: {symbol} is recorded in more than one file, expected one file per symbol"
            )
    wanted = options.symbols if options.symbols or recorded else DEFAULT_SYMBOLS
    generated = [instrument_for(symbol) for symbol in dict.fromkeys(wanted) if symbol not in recorded]
    if generated and math.isinf(options.speed):
        raise SimulatorError("simulator speed inf: a generated market has no end, expected a finite speed")
    if generated:
        flows.append(GeneratedFlow(generated, options.seed, _now_ms()))
    server = SimulatorServer(options, flows)
    await server.start()
    return server


def _shown(parameters: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in parameters.items() if key != "signature")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

"""Deribit as a server on loopback: JSON-RPC over WebSocket and HTTP, and an admin endpoint.

    server = await serve(SimulatorOptions(symbols=("BTC-PERPETUAL",)))
    ... ws://127.0.0.1:{server.port}/ws/api/v2   http://127.0.0.1:{server.port}/api/v2/public/ticker?instrument_name=..
    await server.close()

One port speaks everything. Our orders meet a market that is generated from a seed: perpetuals, and dated futures and
a small option chain that follow theirs (`simulator_flow.py`). `processes/simulator.py` runs it as a process, tests run
it in their own loop. Everything happens in one event loop: without `order_latency_ms` a request is matched and booked
without an await.

Where the venue's documentation is silent, `OpenPoints` has an option. Not simulated: trigger and linked orders,
icebergs, mass quotes and MMP, block trades, combos, spot, sub-accounts, wallets, liquidation, FIX.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web

from exchanges.deribit.simulator_admin import account_truth
from exchanges.deribit.simulator_auth import DEMO_KEY, ApiKey, Token, Tokens
from exchanges.deribit.simulator_dispatch import MAX_FRAME, Answer, Dispatcher, NoReply, OnRateLimit, OrderEvents
from exchanges.deribit.simulator_errors import INVALID_REQUEST, PARSE_ERROR, VenueError, invalid
from exchanges.deribit.simulator_faults import VENUE_KINDS, WINDOW_MS
from exchanges.deribit.simulator_flow import VenueFlow
from exchanges.deribit.simulator_instruments import OPTION_STRIKE_STEP, Listing, chain, listing_for
from exchanges.deribit.simulator_limits import Credits
from exchanges.deribit.simulator_numbers import Numbers, NumberStyle
from exchanges.deribit.simulator_open_points import OpenPoints
from exchanges.deribit.simulator_order_calls import cancel_orders
from exchanges.deribit.simulator_parameters import Parameters
from exchanges.deribit.simulator_publisher import Publisher
from exchanges.deribit.simulator_settlement import Settlement
from exchanges.deribit.simulator_streams import RpcConnection, StreamHub
from exchanges.deribit.simulator_venue import CURRENCIES, MarketState, Venue
from exchanges.simulator.errors import SimulatorError
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import CONNECTION_KINDS, Fault
from exchanges.simulator.flow import (
    Delta,
    FlowPlayer,
    MarketEvent,
    MarketFlow,
    MarketTrade,
    MarkTick,
    Snapshot,
    Top,
)
from exchanges.simulator.ids import first_id
from exchanges.simulator.ledger import Account
from exchanges.simulator.options import check_options
from exchanges.simulator.orders import OrderRules, Report
from exchanges.simulator.server import MAX_BODY, LoopbackServer, json_body, json_response

__all__ = [
    "DEMO_KEY",
    "ApiKey",
    "OpenPoints",
    "SimulatorError",
    "SimulatorOptions",
    "SimulatorServer",
    "serve",
    "wallets_worth",
]

LOG = logging.getLogger("corelane.simulator.deribit")
DEFAULT_SYMBOLS = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC_USDC-PERPETUAL")
STRIKES_EACH_SIDE = 2
WS_PATH = "/ws/api/v2"
HTTP_PATH = "/api/v2"
RULES = OrderRules(
    unique_client_order_ids=False,
    refuses_fill_or_kill=False,
    amend_ends_self_trade_mode=False,
    smaller_amend_keeps_place=True,
)
LIST_ACTIONS = ("list", "expire", "lock", "halt", "open")


@dataclass(frozen=True)
class SimulatorOptions:
    """How the simulator is set up. Perpetuals that dated names need are listed beside them.

    `chain` adds, for each inverse perpetual that has options, two dated futures and twenty options. `speed` scales the
    market. Money and rates are decimal text; `wallets` has one amount per currency, 0 where one is not named."""

    host: str = "127.0.0.1"
    port: int = 0
    symbols: tuple[str, ...] = ()
    chain: bool = False
    seed: int = 1
    speed: float = 1.0
    api_keys: tuple[ApiKey, ...] = (DEMO_KEY,)
    wallets: Mapping[str, str] = field(default_factory=lambda: {"BTC": "10", "ETH": "100", "USDC": "100000"})
    maker_fee: str = "0"
    taker_fee: str = "0.0005"
    leverage: int = 50
    funding: bool = True
    numbers: NumberStyle = "mixed"
    order_events: OrderEvents = "any"
    order_latency_ms: float = 0.0
    on_rate_limit: OnRateLimit = "error_then_close"
    matching_rate: int = 30
    matching_burst: int = 100
    enforce_limits: bool = True
    token_life_s: int = 900
    max_connections: int = 32
    idle_limit_s: float = 600.0
    points: OpenPoints = field(default_factory=OpenPoints)

    def __post_init__(self) -> None:
        check_options(self, ("maker_fee", "taker_fee"))
        for currency, amount in self.wallets.items():
            if currency not in CURRENCIES:
                raise SimulatorError(f"simulator wallets: found {currency!r}, expected one of {', '.join(CURRENCIES)}")
            try:
                good = Decimal(amount).is_finite() and Decimal(amount) >= 0
            except ArithmeticError:
                good = False
            if not good:
                raise SimulatorError(
                    f"simulator wallets: found {amount!r} {currency}, expected a decimal number as text"
                )
        if math.isinf(self.speed):
            raise SimulatorError("simulator speed inf: a generated market has no end, expected a finite speed")


class SimulatorServer(LoopbackServer):
    """A running simulator; make it with `serve`. All methods belong to its event loop."""

    venue_name = "deribit"

    def __init__(self, options: SimulatorOptions, flow: MarketFlow, listings: Iterable[Listing]) -> None:
        self.options = options
        listings = list(listings)
        self.exchange = SimulatedExchange(
            [one.instrument for one in listings], lambda: self.venue.clock_ms(), self._on_reports, RULES
        )
        for owner in dict.fromkeys(key.account for key in options.api_keys):
            for currency in CURRENCIES:
                self.exchange.add_account(
                    Account(
                        Venue.core_account(owner, currency),
                        currency,
                        Decimal(options.wallets.get(currency, "0")),
                        Decimal(options.maker_fee),
                        Decimal(options.taker_fee),
                        options.leverage,
                    )
                )
        tokens = Tokens(options.api_keys, options.token_life_s)
        credits = Credits(options.matching_rate, options.matching_burst, options.enforce_limits)
        self.venue = Venue(self.exchange, tokens, credits, _now_ms, options.points)
        super().__init__(options.host, options.port, self.venue.faults, self.venue.messages)
        self.numbers = Numbers(options.numbers)
        self.hub = self.venue.hub = StreamHub(self.venue, self.numbers)
        self.publisher = Publisher(self.venue, self.hub)
        self.settlement = Settlement(self.venue, self.publisher, options.funding)
        self.dispatcher = Dispatcher(
            self.venue,
            self.numbers,
            options.order_events,
            options.order_latency_ms,
            options.seed,
            self._strike_with_order,
            self._hold,
            self._release,
        )
        self.flow = flow
        self.players.append(FlowPlayer(flow, options.speed, self.deliver, self.hub.backlog))
        for listing in listings:
            self._open_market(listing, flow.snapshot(listing.name))
        self._handlers = {
            Top: self._on_top,
            MarketTrade: self._on_trade,
            Delta: self._on_delta,
            MarkTick: self._on_mark,
        }
        self._gates: dict[str, list[tuple[str, list[Report]]]] = {}
        self._gate_depth: dict[str, int] = {}
        self._answering: set[asyncio.Task[None]] = set()

    # --- life ------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Listen; PortBusy when the port is taken."""
        await super().start()
        for player in self.players:
            player.start()
        LOG.info("deribit simulator on %s, accounts %s", self.rest_url, ", ".join(self.account_names()))
        LOG.info("%s: generated, seed %d", ", ".join(self.venue.markets), self.options.seed)

    async def close(self) -> None:
        for task in tuple(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await super().close()

    async def __aenter__(self) -> SimulatorServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def on_timer(self) -> None:
        now = self.venue.clock_ms()
        self.exchange.on_timer()
        self.settlement.on_timer(now)
        self.hub.on_timer(now)
        for connection in tuple(self.venue.connections):
            idle = now - connection.last_inbound_ms > self.options.idle_limit_s * 1000
            if idle or not connection.beat(now):
                connection.abort()

    # --- the market ------------------------------------------------------------------------------------------------
    def _open_market(self, listing: Listing, snapshot: Snapshot) -> MarketState:
        market = self.venue.markets[listing.name] = MarketState(
            listing, time_ms=snapshot.time_ms, next_seq=first_id(snapshot.time_ms)
        )
        self.venue.book(listing.name).load(snapshot.bids, snapshot.asks, snapshot.update_id)
        if listing.perpetual:
            self.venue.indices.setdefault(listing.index, self.venue.book(listing.name).mid.quantize(Decimal("0.01")))
        self.settlement.mark(market, snapshot.time_ms)
        return market

    def deliver(self, event: MarketEvent) -> None:
        """One event of the market: to its subscribers, then to our orders."""
        market = self.venue.markets[event.symbol]
        if market.state == "delivered":
            return
        market.time_ms = event.time_ms
        if market.state in ("halted", "settlement") and not isinstance(event, MarkTick):
            self._stand_still(event)
            return
        self._handlers[type(event)](market, event)  # type: ignore[operator]

    def _stand_still(self, event: MarketEvent) -> None:
        """Nothing trades, but the book is kept: levels that change now must be right when it opens again."""
        book = self.venue.book(event.symbol)
        if isinstance(event, Delta):
            book.apply_delta(event.bids, event.asks, event.last_id)
            self.publisher.on_delta(event)
        elif isinstance(event, Top):
            book.set_top(event.bid, event.bid_quantity, event.ask, event.ask_quantity, event.update_id)
            self.publisher.on_best(event.symbol)

    def _on_top(self, market: MarketState, event: Top) -> None:
        self.exchange.on_top(
            event.symbol,
            event.bid,
            event.bid_quantity,
            event.ask,
            event.ask_quantity,
            event.update_id,
            event.time_ms,
        )
        self.publisher.on_best(event.symbol)

    def _on_trade(self, market: MarketState, event: MarketTrade) -> None:
        self.publisher.on_trade(market, event)
        self.exchange.on_trade(event.symbol, event.price, event.quantity, event.buyer_is_maker, event.time_ms)

    def _on_delta(self, market: MarketState, event: Delta) -> None:
        self.exchange.on_delta(event.symbol, event.bids, event.asks, event.last_id, event.time_ms)
        self.publisher.on_delta(event)

    def _on_mark(self, market: MarketState, event: MarkTick) -> None:
        self.settlement.mark(market, event.time_ms)

    def on_frozen(self) -> None:
        for market in self.venue.markets.values():
            self.publisher.on_mark(market.listing)
        for account in self.exchange.accounts:
            self.publisher.on_money(*account.rsplit(":", 1))

    # --- notifications of accounts ---------------------------------------------------------------------------------
    def _on_reports(self, core_account: str, reports: list[Report]) -> None:
        self.venue.book_session(core_account, reports)
        gate = self._gates.get(self.venue.owner_of(core_account))
        if gate is not None:
            gate.append((core_account, reports))
        else:
            self.publisher.on_reports(core_account, reports)

    def _hold(self, owner: str) -> None:
        """Keep the account's notifications back until as many releases."""
        self._gates.setdefault(owner, [])
        self._gate_depth[owner] = self._gate_depth.get(owner, 0) + 1

    def _release(self, owner: str) -> None:
        self._gate_depth[owner] -= 1
        if not self._gate_depth[owner]:
            for core_account, reports in self._gates.pop(owner):
                self.publisher.on_reports(core_account, reports)

    # --- WebSocket -------------------------------------------------------------------------------------------------
    async def on_socket(self, request: web.Request, path: str) -> web.StreamResponse:
        if path.rstrip("/") != WS_PATH:
            return json_response({"error": f"{path}: no WebSocket here, expected {WS_PATH}"}, 404)
        ip = request.remote or ""
        if sum(1 for one in self.venue.connections if one.ip == ip) >= self.options.max_connections:
            return web.Response(status=429)
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_BODY)
        await socket.prepare(request)
        connection = RpcConnection(self.venue, socket, ip)
        self.venue.connections.add(connection)
        async with connection.sending(request):
            try:
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        await self._on_text(connection, message.data)
            finally:
                self._on_lost(connection)
        return socket

    async def _on_text(self, connection: RpcConnection, text: str) -> None:
        connection.heard(self.venue.clock_ms())
        if self.options.order_latency_ms or self.venue.faults.active:
            # An answer that waits must not keep the next request waiting: the venue has many workers.
            task = asyncio.get_running_loop().create_task(self._reply(connection, text), name="answer")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        else:
            await self._reply(connection, text)

    async def _reply(self, connection: RpcConnection, text: str) -> None:
        answer = await self.dispatcher.on_message(connection, text)
        if answer is None:
            return
        if answer.closes:
            await connection.drained()
            await connection.socket.close()
            return
        connection.reply(answer.body)
        for frame in answer.after:
            connection.reply(frame)
        if answer.release is not None:
            self._release(answer.release)
        if answer.rate_limited and self.options.on_rate_limit == "error_then_close":
            await connection.drained()
            await connection.socket.close(code=self.options.points.rate_limit_close_code, message=b"too_many_requests")

    def _on_lost(self, connection: RpcConnection) -> None:
        """The connection has ended, however: its subscriptions and tokens go, and its orders if it asked for that."""
        token = connection.token
        self.hub.leave(connection)
        self.venue.tokens.drop_connection(connection)
        if token is None or not connection.cancel_on_disconnect or connection.logged_out:
            return
        mine = set(connection.order_ids)
        cancel_orders(
            self.venue,
            token.account,
            lambda order, listing: order.order_id in mine,
            reason="cancel_on_disconnect",
        )

    # --- HTTP ------------------------------------------------------------------------------------------------------
    async def on_rest(self, request: web.Request, path: str) -> web.StreamResponse:
        if not path.startswith(HTTP_PATH):
            return json_response({"error": f"{path}: no such path, expected {HTTP_PATH}/..."}, 404)
        body = (await request.read()).decode("utf-8", "replace") if request.can_read_body else ""
        try:
            answer = await self._on_http(request, path.removeprefix(HTTP_PATH).strip("/"), body)
        except NoReply:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        response = web.Response(body=answer.body, status=answer.status, content_type="application/json")
        if answer.release is not None:
            try:
                await response.prepare(request)
                await response.write_eof()
            finally:
                self._release(answer.release)
        return response

    async def _on_http(self, request: web.Request, method: str, body: str) -> Answer:
        parameters, identity = Parameters(dict(request.query), textual=True), None
        if len(body) > MAX_FRAME:
            return self.dispatcher.refuse(VenueError(INVALID_REQUEST))
        if body:
            try:
                content = json.loads(body)
            except json.JSONDecodeError:
                content = None
            if content is None:
                return self.dispatcher.refuse(VenueError(PARSE_ERROR))
            if not isinstance(content, dict) or not isinstance(content.get("params", {}), dict):
                return self.dispatcher.refuse(invalid("params", "must be an object"))
            method = method or str(content.get("method", ""))
            parameters, identity = Parameters(content.get("params", {})), content.get("id")

        def authorize() -> Token | None:
            header = request.headers.get("Authorization")
            if header is None:
                return None
            now = self.venue.clock_ms()
            return self.venue.tokens.check_request(header, request.method, request.raw_path, body, now)

        return await self.dispatcher.on_http(method, parameters, identity, request.remote or "", authorize)

    # --- admin -----------------------------------------------------------------------------------------------------
    def clients(self) -> Iterable[RpcConnection]:
        return tuple(self.venue.connections)

    @property
    def failure(self) -> BaseException | None:
        return super().failure or self.venue.failure

    def account_names(self) -> Iterable[str]:
        return list(dict.fromkeys(key.account for key in self.options.api_keys))

    def account_truth(self, name: str) -> dict[str, Any]:
        return account_truth(self.venue, name)

    def counts(self) -> dict[str, Any]:
        return {"requests": dict(self.venue.requests), "frames_sent": dict(self.hub.frames_sent)}

    async def admin(self, request: web.Request, method: str, path: str) -> dict[str, Any] | None:
        """Beside the calls of every simulator: `POST /admin/instruments {"action": .., "instrument_name": ..}`."""
        if (method, path) == ("POST", "/admin/instruments"):
            return self.command_instrument(await json_body(request))
        return await super().admin(request, method, path)

    def command_instrument(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """list a new follower, expire one now, lock (cancels only), halt (nothing happens) or open it again."""
        action, name = command.get("action"), str(command.get("instrument_name", ""))
        if action not in LIST_ACTIONS:
            raise SimulatorError(f"instruments action: expected one of {', '.join(LIST_ACTIONS)}, found {action!r}")
        if action == "list":
            return self._list(name)
        market = self.venue.markets.get(name)
        if market is None or market.state == "delivered":
            raise SimulatorError(f"instrument {name!r}: expected one of {', '.join(self.venue.markets)}")
        if action == "expire":
            if market.listing.perpetual or not isinstance(self.flow, VenueFlow):
                raise SimulatorError(f"instrument {name}: a perpetual does not expire")
            self.settlement.deliver(market)
            self.flow.leave(name)
        else:
            market.state = {"lock": "locked", "halt": "halted", "open": "open"}[str(action)]
            self.publisher.instrument_state(market.listing, "started" if action == "open" else "deactivated")
        return {"instrument_name": name, "state": market.state}

    def _list(self, name: str) -> dict[str, Any]:
        listing = listing_for(name, Decimal(self.options.maker_fee), Decimal(self.options.taker_fee))
        if name in self.venue.markets or listing.perpetual or listing.underlying not in self.venue.markets:
            raise SimulatorError(f"instrument {name}: expected a new dated one of a listed perpetual")
        if listing.expiry_ms <= self.venue.clock_ms() or not isinstance(self.flow, VenueFlow):
            raise SimulatorError(f"instrument {name}: its expiry is over")
        self.exchange.list_instrument(listing.instrument)
        market = self._open_market(listing, self.flow.follow(listing))
        for event in ("created", "started"):
            self.publisher.instrument_state(listing, event)
        return {"instrument_name": name, "state": market.state}

    def on_armed(self, fault: Fault) -> None:
        """Those of connections and of the venue strike at once unless they wait for an order."""
        if fault.with_order or fault.skip:
            return
        if fault.kind in VENUE_KINDS:
            fault.count = 1
            self._strike_venue()
        elif fault.kind in CONNECTION_KINDS:
            self.hub.strike_connections()

    def _strike_with_order(self) -> None:
        """An order request is being handled: what waited for one strikes."""
        self.hub.strike_connections()
        self._strike_venue()

    def _strike_venue(self) -> None:
        fault = self.venue.faults.strike(VENUE_KINDS)
        if fault is None:
            return
        now, length_ms = self.venue.clock_ms(), fault.delay_ms or WINDOW_MS
        if fault.kind == "token_expired":
            self.venue.tokens.expire_all()
        elif fault.kind == "settlement":
            self.settlement.begin(now, length_ms)
        elif fault.kind == "platform_maintenance":
            self.settlement.maintain(now, length_ms)
        else:
            for connection in self.clients():
                connection.fell_behind()


def listings_of(options: SimulatorOptions, now_ms: int) -> tuple[list[Listing], list[Listing]]:
    """(perpetuals, followers) that the options ask for, with the perpetuals that followers need."""
    names = list(options.symbols or DEFAULT_SYMBOLS)
    if options.chain:
        bases = [base for base in OPTION_STRIKE_STEP if f"{base}-PERPETUAL" in names]
        names += [name for base in bases for name in chain(base, now_ms, STRIKES_EACH_SIDE)]
    maker, taker = Decimal(options.maker_fee), Decimal(options.taker_fee)
    listings = {name: listing_for(name, maker, taker) for name in names}
    for listing in tuple(listings.values()):
        if listing.underlying not in listings:
            listings[listing.underlying] = listing_for(listing.underlying, maker, taker)
        if listing.expiry_ms <= now_ms:
            raise SimulatorError(f"symbol {listing.name}: its expiry is over, expected a later one")
    perpetuals = [listing for listing in listings.values() if listing.perpetual]
    return perpetuals, [listing for listing in listings.values() if not listing.perpetual]


def wallets_worth(dollars: str) -> dict[str, str]:
    """As many USDC, and coins that are worth as much where the market starts, to whole coins but not below one."""
    wallets = {"USDC": dollars}
    for currency in ("BTC", "ETH"):
        price = listing_for(f"{currency}-PERPETUAL", Decimal(0), Decimal(0)).instrument.reference_price
        wallets[currency] = str(max(round(Decimal(dollars) / price), 1))
    return wallets


async def serve(options: SimulatorOptions) -> SimulatorServer:
    """Make the market, listen, and return the running server (its `port` is the real one).

    SimulatorError, one sentence, when an option is wrong or the port is taken."""
    now = _now_ms()
    perpetuals, followers = listings_of(options, now)
    server = SimulatorServer(options, VenueFlow(perpetuals, followers, options.seed, now), [*perpetuals, *followers])
    await server.start()
    return server


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

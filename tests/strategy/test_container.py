"""The container over real rings and tables, with engine, market server and position server played by the test."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from exchanges.grvt.legs import LARGEST_COUNTER
from shm.layout import (
    EventType,
    MarketStatusCode,
    OrderState,
    ProcessState,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    Word,
    client_order_id,
    epoch_of,
    instance_of,
    strategy_of,
)
from strategy.abstract_strategy import AbstractStrategy
from strategy.container import IDS_OF_AN_EPOCH
from strategy.limits import ChangedLimits, values_of
from strategy.loader import StrategyLoadError
from strategy.order import Order
from strategy.parameters import ParameterError
from strategy.strategy_runner import RunnerState
from tests.strategy.world import INSTANCE_NUMBER, Limits, Settings, World, make_instrument_row


class Probe(AbstractStrategy):
    """Writes down everything it is told, and does what the test plugged in."""

    made: ClassVar[list[Probe]] = []

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.act: dict[str, Any] = {}
        Probe.made.append(self)

    def note(self, name: str, what: Any = None) -> None:
        self.told.append((name, what))
        if name in self.act:
            self.act[name](what)

    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    def count(self, name: str) -> int:
        return self.names().count(name)

    def last(self, name: str) -> Any:
        return next(what for told, what in reversed(self.told) if told == name)

    def on_start(self) -> None:
        self.note("start")

    def on_stop(self) -> None:
        self.note("stop")

    def on_ready(self) -> None:
        self.note("ready")

    def on_quote(self, quote: Any) -> None:
        self.note("quote", (quote.bid_price, quote.ask_price))

    def on_trade(self, trade: Any) -> None:
        self.note("trade", trade.price)

    def on_book(self, book: Any) -> None:
        self.note("book", (book.bid_prices[0], book.ask_prices[0]))

    def on_balance(self, balance: Any) -> None:
        self.note("balance", (balance.currency, balance.wallet_balance))

    def on_ticker(self, ticker: Any) -> None:
        self.note("ticker", ticker.mark_price)

    def on_order(self, order: Order) -> None:
        self.note("order", (order, OrderState(order.state)))

    def on_fill(self, fill: Any) -> None:
        self.note("fill", fill)

    def on_position(self, position: Any) -> None:
        self.note("position", position.position)

    def on_timer(self, name: str) -> None:
        self.note("timer", name)

    def on_stale(self, instrument: Any, reason: str) -> None:
        self.note("stale", reason)

    def on_error(self, refusal: Any) -> None:
        self.note("error", refusal)


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: float = 1.0
    side: int = 1


class Tunable(Probe):
    Parameters = Sizes


@pytest.fixture
def probe(world: World) -> Probe:
    """A started strategy 1 on a Ready venue with fresh data."""
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits())))
    world.make_ready()
    return Probe.made[0]


def buy(probe: Probe, price: float = 59000.0, quantity: float = 0.01, **more: Any) -> Order:
    return probe.buy(probe.instruments[0], price, quantity, **more)


# --- becoming ready ---------------------------------------------------------------------------------------------------
def test_nothing_runs_before_the_bracket_has_ended(world: World) -> None:
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits())))
    world.book()
    world.quote()
    world.turn()
    assert world.take_requests() == [], "instruments are not described: there is nothing to recover about"
    world.describe_instruments()
    world.turn()
    world.quote()
    world.turn()
    probe = Probe.made[0]
    assert probe.told == []
    request = world.answer_recover()
    world.turn()
    assert probe.names() == ["start", "ready"]
    assert request.epoch == 1 and request.request_id == 1 << 32 | 1, "a nonce is never met twice"
    world.quote()
    world.turn()
    assert probe.names() == ["start", "ready", "quote"]


def test_no_recovery_is_asked_of_an_engine_that_does_not_serve_or_before_the_position_server(world: World) -> None:
    world.describe_instruments()
    world.set_process("trading_engine.binance", ProcessState.CONNECTING)
    world.set_process("position_server.binance", ProcessState.CONNECTING)
    container = world.start((Probe, Settings()))
    world.turn()
    assert world.take_requests() == [] and "connecting" in world.link.session.reason
    world.set_process("trading_engine.binance", ProcessState.READY)
    world.turn()
    assert world.take_requests() == [] and world.link.session.reason == "the position server is not ready"
    world.set_process("position_server.binance", ProcessState.READY)
    world.turn()
    assert [one.request_type for one in world.take_requests()] == [RequestType.RECOVER]
    assert container.status()["venues"]["binance"]["state"] == "ASKED"


def test_a_bracket_of_another_nonce_does_not_count_and_events_before_ours_are_void(world: World) -> None:
    world.describe_instruments()
    container = world.start((Probe, Settings()))
    stale = client_order_id(INSTANCE_NUMBER, 1, 99, 5)
    world.send_event(EventType.STATUS, client_order_id=stale, side=1, order_state=OrderState.OPEN, price=1, quantity=1)
    world.bracket(12345)
    world.bracket(0)
    world.turn()
    assert not world.link.session.is_ready and container.oms.orders == {} and world.link.session.dropped == 1
    world.answer_recover()
    world.turn()
    assert world.link.session.is_ready


def test_a_recover_that_gets_no_answer_or_a_refusal_is_asked_again_with_a_new_nonce(world: World) -> None:
    world.describe_instruments()
    world.start((Probe, Settings()))
    world.turn()
    first = world.take_requests()[0]
    world.wait(9.0)
    assert world.take_requests() == []
    world.wait(2.0)
    second = world.take_requests()[0]
    assert second.request_id > first.request_id
    world.send_event(EventType.REJECTED, request_type=RequestType.RECOVER, reason=Reason.NOT_READY)
    world.turn()
    # A refusal before our first BEGIN is dropped with everything else there: the next question comes by time.
    world.wait(10.5)
    third = world.take_requests()[0]
    world.set_process("trading_engine.binance", ProcessState.READY, accepted_trader_epoch=third.epoch)
    world.bracket(third.request_id)
    world.turn()
    assert world.link.session.is_ready


def test_the_position_of_the_account_is_seeded_before_the_bracket(world: World) -> None:
    Probe.made.clear()
    world.position_row(150, entry_price=50000.0)
    container = world.start((Probe, Settings(limits=Limits())))

    def fills() -> None:
        for number, time_ns in enumerate((world.utc_ns - 5_000_000_000, world.utc_ns + 10**9)):
            world.send_event(
                EventType.FILL, client_order_id=client_order_id(INSTANCE_NUMBER, 1, 0, 1), side=1, strategy_id=1,
                price=100, quantity=500, last_price=100, last_quantity=7, parts=3, fee_currency=b"USDT",
                trade_id=b"t%d" % number, exchange_time_ns=time_ns,
            )  # fmt: skip

    world.make_ready(fills)
    position = container.pms.position(1, world.runner().instruments[0])
    assert position.position_mantissa == 157, "the fill older than the row is in the row"


# --- orders -----------------------------------------------------------------------------------------------------------
def test_an_order_becomes_a_complete_request_with_its_cause(world: World, probe: Probe) -> None:
    probe.act["quote"] = lambda _: (
        None if probe.orders else buy(probe, 59000.07, 0.0129, post_only=True, time_in_force=TimeInForce.GTC)
    )
    sequence = world.quote(60000.0, 60000.1)
    received = world.now_ns
    world.turn()
    request = world.take_requests()[-1]
    assert request.request_type == RequestType.NEW and request.instrument_id == world.btc
    assert (request.price, request.quantity) == (5_900_000, 12), "down to tick and lot"
    assert (request.side, request.order_type, request.time_in_force, request.exec_flags) == (1, 2, 1, 1)
    assert request.strategy_id == 1 and request.epoch == 1
    assert request.cause_sequence == sequence and request.cause_receive_time_ns == received
    assert request.cause_poll_time_ns == request.create_time_ns >= received
    assert request.deadline_ns == request.create_time_ns + 500_000_000
    identifier = request.client_order_id
    assert (instance_of(identifier), strategy_of(identifier), epoch_of(identifier)) == (INSTANCE_NUMBER, 1, 1)


def test_a_request_caused_by_an_event_carries_that_events_cause_and_a_timer_carries_none(
    world: World, probe: Probe
) -> None:
    probe.act["quote"] = lambda _: None if probe.orders else buy(probe)
    sequence = world.quote()
    world.turn()
    first = world.take_requests()[-1]
    del probe.act["quote"]
    probe.act["fill"] = lambda _: buy(probe, 58000.0)
    world.accept(first)
    world.fill(first, 10, b"t1")
    world.turn()
    second = world.take_requests()[-1]
    assert second.price == 5_800_000 and second.cause_sequence == sequence and second.cause_poll_time_ns > 0
    probe.act = {"timer": lambda _: buy(probe, 57500.0)}
    probe.set_timer(0.1, "again")
    world.wait(0.5)
    third = world.take_requests()[-1]
    assert third.price == 5_750_000 and third.cause_sequence == third.cause_receive_time_ns == 0


def test_the_life_of_an_order_reaches_the_strategy_and_its_position(world: World, probe: Probe) -> None:
    order = buy(probe)
    request = world.take_requests()[-1]
    world.accept(request)
    world.fill(request, 4, b"t1", fee=None)
    world.send_event(EventType.FILL_FEE, request, trade_id=b"t1", parts=2, fee=944, fee_currency=b"USDT")
    world.fill(request, 6, b"t2", fee=1416)
    world.turn()
    assert order.state == OrderState.FILLED and order.closed and order.average_price == 59000.0
    states = [what[1] for name, what in probe.told if name == "order"]
    assert states == [OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.FILLED]
    position = probe.position(probe.instruments[0])
    assert position.position == 0.01 and position.fees == {"USDT": 2360} and position.cost_mantissa == 590 * 10**8
    assert probe.count("fill") == 2 and world.container is not None and world.container.fills == 2


def test_a_refused_order_never_existed_and_is_told_after_the_callback(world: World, probe: Probe) -> None:
    inside: list[bool] = []
    entered: list[int] = []

    def ask(_: Any) -> None:
        order = buy(probe, 59000.0, 5.0)
        inside.append(order.state == OrderState.REJECTED)
        entered.append(probe.count("order"))

    probe.act["quote"] = ask
    world.quote()
    world.turn()
    assert inside == [True] and entered == [0], "not while the callback runs"
    order, _ = probe.last("order")
    assert order.reason == Reason.RISK_SIZE and "limit of 1" in order.text
    assert world.take_requests() == [] and probe.orders == []


def test_a_callback_never_runs_inside_another(world: World, probe: Probe) -> None:
    """Also where MiniOMS has news in the middle of one: here the ring is full and the order ends at once."""
    risk = world.runner().risk
    assert risk.limits is not None
    risk.set_limits(ChangedLimits(**{**values_of(risk.limits), "max_open_orders": 1000}))
    while buy(probe, quantity=0.001).state == OrderState.PENDING_NEW:
        pass
    world.turn()
    depth: list[str] = []
    seen: list[list[str]] = []

    def enter(name: str) -> Any:
        def act(_: Any) -> None:
            depth.append(name)
            seen.append(list(depth))
            if name == "quote":
                assert buy(probe, quantity=0.001).reason == Reason.RING_FULL
            depth.pop()

        return act

    probe.act = {"quote": enter("quote"), "order": enter("order")}
    world.quote()
    world.turn()
    assert seen == [["quote"], ["order"]]


@pytest.mark.parametrize(
    ("price", "quantity", "reason", "words"),
    [
        (float("nan"), 0.01, Reason.BAD_REQUEST, "not a positive number"),
        (59000.0, 0.0, Reason.BAD_REQUEST, "not a positive number"),
        (50000.0, 0.01, Reason.RISK_COLLAR, "from the mid"),
        (59000.0, 0.00001, Reason.BAD_REQUEST, "below its smallest order"),
    ],
)
def test_impossible_orders_are_refused_with_reason_and_sentence(
    world: World, probe: Probe, price: float, quantity: float, reason: Reason, words: str
) -> None:
    order = buy(probe, price, quantity)
    world.turn()
    assert order.reason == reason and words in order.text and world.take_requests() == []


def test_a_notional_below_the_venues_smallest_is_refused_here(world: World, probe: Probe) -> None:
    probe.instruments[0].minimum_notional = 100 * 10**8
    assert buy(probe, 59000.0, 0.001).reason == Reason.BAD_REQUEST
    assert buy(probe, 59000.0, 0.002).state == OrderState.PENDING_NEW


def test_an_instrument_of_another_strategy_is_refused(world: World, probe: Probe) -> None:
    other = world.link.mds.by_id[world.eth]
    assert probe.buy(other, 3000.0, 0.1).reason == Reason.BAD_REQUEST


def test_cancel_and_replace_go_out_and_come_back(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    assert probe.replace(order, price=59010.0, quantity=0.02)
    request = world.take_requests()[-1]
    assert (request.request_type, request.price, request.quantity) == (RequestType.REPLACE, 5_901_000, 20)
    assert request.client_order_id == order.client_order_id and request.exchange_order_id == order.exchange_order_id
    assert not probe.replace(order, price=59020.0), "one replace at a time"
    world.send_event(EventType.REPLACED, request)
    world.turn()
    assert order.price == 59010.0 and order.quantity == 0.02 and order.state == OrderState.OPEN
    assert probe.last("error").reason == Reason.BAD_REQUEST
    assert probe.cancel(order) and not probe.cancel(order)
    request = world.take_requests()[-1]
    assert request.request_type == RequestType.CANCEL and request.deadline_ns == 0
    world.send_event(EventType.CANCELED, request)
    world.turn()
    assert order.closed and not probe.cancel(order)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"price": 59000.0}, "changes nothing"),
        ({"quantity": 0.004}, "not above"),
        ({"price": -1.0}, "not a positive"),
        ({"quantity": 3.0}, "above the limit"),
        ({"price": 30000.0}, "from the mid"),
    ],
)
def test_a_replace_that_cannot_be_is_an_error_to_the_strategy(
    world: World, probe: Probe, arguments: dict[str, float], words: str
) -> None:
    order = buy(probe)
    request = world.take_requests()[-1]
    world.accept(request)
    world.fill(request, 4, b"t1")
    world.turn()
    assert not probe.replace(order, **arguments)
    world.turn()
    assert words in probe.last("error").text and world.take_requests() == []


def test_a_full_ring_refuses_new_orders_and_still_takes_cancels(world: World, probe: Probe) -> None:
    orders = [buy(probe, quantity=0.001) for _ in range(10)]
    for request in world.take_requests():
        world.accept(request)
    world.turn()
    risk = world.runner().risk
    assert risk.limits is not None
    risk.set_limits(ChangedLimits(**{**values_of(risk.limits), "max_open_orders": 1000}))
    while (order := buy(probe, quantity=0.001)).state == OrderState.PENDING_NEW:
        orders.append(order)
    assert order.reason == Reason.RING_FULL and order.closed
    assert len(orders) == 10 + 56, "64 slots, one eighth kept for cancels"
    working = world.container.oms.working(1, world.btc)  # type: ignore[union-attr]
    assert working.buy == len(orders) and working.orders == len(orders)
    assert sum(probe.cancel(one) for one in orders[:10]) == 10
    assert sum(one.state == OrderState.PENDING_CANCEL for one in orders[:10]) == 8, "what does not fit is not forgotten"
    taken = world.take_requests()
    world.turn()
    taken += world.take_requests()
    canceled = [one.client_order_id for one in taken if one.request_type == RequestType.CANCEL]
    assert sorted(canceled) == sorted(one.client_order_id for one in orders[:10])


def test_cancel_all_cancels_the_strategys_own_orders_only(world: World) -> None:
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits())), (Probe, Settings(id=2, name="two", limits=Limits())))
    world.make_ready()
    one, two = Probe.made
    buy(one)
    buy(two)
    assert one.cancel_all() == 1 and one.cancel_all() == 0
    cancels = [each for each in world.take_requests() if each.request_type == RequestType.CANCEL]
    assert [each.strategy_id for each in cancels] == [1]
    assert not one.cancel(two.orders[0]), "nobody cancels the orders of another"


def test_several_strategies_have_their_own_positions_and_ids(world: World) -> None:
    Probe.made.clear()
    container = world.start((Probe, Settings(limits=Limits())), (Probe, Settings(id=2, name="two", limits=Limits())))
    world.make_ready()
    for probe in Probe.made:
        buy(probe)
    first, second = world.take_requests()[-2:]
    world.fill(first, 10, b"t1")
    world.fill(second, 3, b"t1")  # both sides of one trade may be ours: the id alone is not the key
    world.turn()
    positions = [container.runners[number].position(Probe.made[0].instruments[0]).position for number in (1, 2)]
    assert positions == [0.01, 0.003]
    assert Probe.made[0].count("fill") == Probe.made[1].count("fill") == 1


# --- freshness --------------------------------------------------------------------------------------------------------
def stale_cases() -> list[Any]:
    def withdrawn(world: World) -> None:
        world.book(valid=0)

    def crossed_book(world: World) -> None:
        world.book(bid=60001.0, ask=60000.0)

    def crossed_quote(world: World) -> None:
        world.quote(60001.0, 60000.0)

    def empty_side(world: World) -> None:
        world.quote(60001.0, float("nan"))

    def server_gone(world: World) -> None:
        world.silent = ("market_server.binance",)
        for _ in range(10):
            world.turn(0.25)
            world.book()
            world.quote()
        world.turn()

    def server_stopping(world: World) -> None:
        world.set_process("market_server.binance", ProcessState.STOPPING)

    def connection_down(world: World) -> None:
        world.rows["market_server.binance"].connection_states[1] = 4
        world.beat()

    def silence(world: World) -> None:
        world.wait(2.5)

    def late(world: World) -> None:
        world.utc_ns -= 2_100_000_000
        world.book()
        world.quote()

    def replaced_server(world: World) -> None:
        world.set_process("market_server.binance", ProcessState.CONNECTING, start_time_ns=world.now_ns + 1)
        world.now_ns += 2

    cases = {
        "withdrawn": (withdrawn, "the book is withdrawn"),
        "crossed book": (crossed_book, "the book is crossed"),
        "crossed quote": (crossed_quote, "the best quote is crossed"),
        "empty side": (empty_side, "one side is empty"),
        "dead server": (server_gone, "heartbeat"),
        "stopping server": (server_stopping, "the market server is stopping"),
        "connection down": (connection_down, "a market data connection is down"),
        "silence": (silence, "the newest data is"),
        "late": (late, "quotes come 2.1 s later than they did"),
        "replaced server": (replaced_server, "the book is of a market server that is gone"),
    }
    return [pytest.param(do, words, id=name) for name, (do, words) in cases.items()]


@pytest.mark.parametrize(("spoil", "words"), stale_cases())
def test_data_that_is_not_fresh_is_told_once_pulls_the_orders_and_stops_new_ones(
    world: World, probe: Probe, spoil: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    offset_ns = world.utc_ns - world.now_ns
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    quotes = probe.count("quote")
    spoil(world)
    world.turn()
    world.turn()
    assert probe.count("stale") == 1 and words in probe.last("stale")
    assert probe.count("quote") == quotes or words == "heartbeat"
    cancels = [one for one in world.take_requests() if one.request_type == RequestType.CANCEL]
    assert [one.client_order_id for one in cancels] == [order.client_order_id]
    assert buy(probe).reason == Reason.RISK_STALE_DATA
    assert world.container is not None
    assert words in world.container.status()["strategies"]["one"]["stale"]["binance:BTCUSDT"]
    assert "strategy one: binance:BTCUSDT is stale: " in caplog.text and "fresh again" not in caplog.text
    world.send_event(EventType.CANCELED, cancels[0])
    # and back: everything is good again
    world.silent = ()
    world.utc_ns = world.now_ns + offset_ns
    world.rows["market_server.binance"].connection_states[1] = 0
    world.set_process("market_server.binance", ProcessState.READY)
    world.book()
    world.turn()
    world.quote()
    world.turn()
    assert probe.told[-1][0] == "quote" and probe.count("stale") == 1
    assert "strategy one: binance:BTCUSDT is fresh again after " in caplog.text
    assert world.container.status()["strategies"]["one"]["stale"] == {}
    assert buy(probe).state == OrderState.PENDING_NEW


def test_the_kill_switch_pulls_quotes_once_and_stops_new_ones_until_it_is_off(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    world.words.store(Word.KILL_SWITCH, 1)
    world.turn()
    world.turn()
    assert probe.count("stale") == 1 and "kill switch" in probe.last("stale")
    cancels = [one for one in world.take_requests() if one.request_type == RequestType.CANCEL]
    assert [one.client_order_id for one in cancels] == [order.client_order_id]
    assert buy(probe).state == OrderState.REJECTED
    world.words.store(Word.KILL_SWITCH, 2)
    world.turn()
    world.quote()
    world.turn()
    assert buy(probe).state == OrderState.PENDING_NEW


def test_a_quote_that_stands_in_the_ring_behind_a_gap_is_not_handed_on(world: World, probe: Probe) -> None:
    before = probe.count("quote")
    world.quote()
    world.book(valid=0)  # the market server withdraws the row first, then says so
    world.market_status(MarketStatusCode.GAP)
    world.quote()
    world.turn()
    assert probe.count("quote") == before and probe.count("stale") == 1


def test_reducing_orders_may_leave_on_stale_data(world: World, probe: Probe) -> None:
    request = (buy(probe), world.take_requests()[-1])[1]
    world.fill(request, 10, b"t1")
    world.turn()
    world.book(valid=0)
    world.turn()
    sell = probe.sell(probe.instruments[0], 60000.0, 0.01)
    assert sell.state == OrderState.PENDING_NEW and world.take_requests()[-1].side == Side.SELL


def test_a_lapped_reader_believes_the_tables_and_counts(world: World, probe: Probe) -> None:
    for number in range(1000):
        world.quote(60000.0 + number * 0.1, 60000.1 + number * 0.1)
    world.turn()
    assert world.container is not None and world.container.lapped >= 1
    assert probe.last("quote")[0] == pytest.approx(60099.9), "it goes on at the newest"


def test_trades_and_tickers_come_on_fresh_data_only(world: World, probe: Probe) -> None:
    world.trade(60000.1)
    world.ticker("60000.05")
    world.turn()
    world.book(valid=0)
    world.turn()
    world.trade(60000.2)
    world.ticker("60000.06")
    world.turn()
    assert [what for name, what in probe.told if name in ("trade", "ticker")] == [60000.1, 60000.05]
    assert world.container is not None
    assert world.container.marks[world.btc] == 6_000_006_000_000, (
        "a mark is a state: it is kept also when not quoted on"
    )


def test_books_and_balances_reach_the_strategy(world: World, probe: Probe) -> None:
    world.book_top(60000.0, 60000.1)
    world.balance_row(3, b"USDT", 100 * 10**8)
    world.turn(0.2)
    world.balance_row(3, b"USDT", 99 * 10**8)
    world.turn(0.2)
    world.turn(0.2)
    assert probe.last("book") == (60000.0, 60000.1)
    assert [what for name, what in probe.told if name == "balance"] == [(b"USDT", 100 * 10**8), (b"USDT", 99 * 10**8)]


def test_a_changed_tick_size_is_taken_over_without_a_restart(world: World, probe: Probe) -> None:
    world.instruments.write(0, make_instrument_row(tick_size=50))
    world.turn(0.2)
    assert buy(probe, 59000.37, post_only=True).price == 59000.0 and probe.instruments[0].tick == 0.5


# --- engine, epoch, lost events ---------------------------------------------------------------------------------------
def test_a_dead_engine_makes_orders_in_flight_unknown_and_pulls_nothing_out_of_thin_air(
    world: World, probe: Probe
) -> None:
    flying = buy(probe, 59000.0)
    working = buy(probe, 58900.0)
    requests = world.take_requests()
    world.accept(requests[1])
    world.turn()
    world.silent = ("trading_engine.binance",)
    for _ in range(12):
        world.turn(0.25)
        world.book()
        world.quote()
    assert flying.state == OrderState.UNKNOWN and working.state == OrderState.OPEN
    assert buy(probe).reason == Reason.NOT_READY and "heartbeat" in probe.last("stale")
    assert world.take_requests() == [], "nothing is sent to nobody"
    # a new engine: recover, then the owed cancels leave
    world.silent = ()
    world.set_process("trading_engine.binance", ProcessState.READY, pid=200)
    world.turn()

    def inside() -> None:
        world.send_event(EventType.STATUS, requests[1], order_state=OrderState.OPEN)
        world.send_event(EventType.REJECTED, requests[0], reason=Reason.SETTLED_ABSENT)

    world.answer_recover(inside)
    world.turn()
    cancels = [one.client_order_id for one in world.take_requests() if one.request_type == RequestType.CANCEL]
    assert flying.state == OrderState.REJECTED and cancels == [working.client_order_id]
    assert probe.count("ready") == 2


def test_an_order_that_the_bracket_does_not_mention_is_unknown_and_asked_for(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    world.set_process("trading_engine.binance", ProcessState.READY, pid=200)
    world.turn()
    world.answer_recover()
    world.turn()
    queries = [one for one in world.take_requests() if one.request_type == RequestType.QUERY]
    assert order.state == OrderState.UNKNOWN and [one.client_order_id for one in queries] == [order.client_order_id]
    world.send_event(EventType.STATUS, queries[0], order_state=OrderState.CANCELED, quantity=10)
    world.turn()
    assert order.state == OrderState.CANCELED and order.closed


def test_an_overdue_answer_is_asked_for_and_not_guessed(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.take_requests()
    for _ in range(24):
        world.turn(0.25)
        world.book()
        world.quote()
    assert order.state == OrderState.PENDING_NEW
    queries = [one for one in world.take_requests() if one.request_type == RequestType.QUERY]
    assert len(queries) == 1


def test_another_epoch_makes_the_trader_withdraw_take_a_newer_one_and_recover(world: World, probe: Probe) -> None:
    world.set_process("trading_engine.binance", ProcessState.READY, accepted_trader_epoch=9)
    world.turn()
    assert world.container is not None and world.container.epoch == 10
    assert buy(probe).reason == Reason.NOT_READY
    request = world.answer_recover()
    world.turn()
    assert request.epoch == 10
    world.quote()
    world.turn()
    assert buy(probe).state == OrderState.PENDING_NEW
    assert epoch_of(world.take_requests()[-1].client_order_id) == 10


def test_a_trader_that_used_up_the_ids_of_its_epoch_goes_on_with_the_next(world: World, probe: Probe) -> None:
    assert world.container is not None
    resting = buy(probe)
    request = world.take_requests()[-1]
    world.accept(request)
    world.turn()
    before = world.container.epoch
    world.container._counter = IDS_OF_AN_EPOCH - 1
    last = buy(probe)
    world.turn(0.01)
    assert world.container.epoch == before + 1
    assert buy(probe).reason == Reason.NOT_READY

    def still_there() -> None:
        fields = {"order_state": OrderState.OPEN, "price": request.price, "quantity": request.quantity}
        world.send_event(EventType.STATUS, request, **fields)

    assert world.answer_recover(still_there).epoch == before + 1
    world.quote()
    world.turn()
    following = buy(probe)
    assert following.state == OrderState.PENDING_NEW
    request = world.take_requests()[-1]
    assert (request.client_order_id, request.epoch) == (following.client_order_id, before + 1)
    assert (epoch_of(last.client_order_id), epoch_of(following.client_order_id)) == (before, before + 1)
    assert following.client_order_id & 0xFFFF_FFFF < 10
    assert resting.state == OrderState.PENDING_CANCEL, "quotes are pulled while a venue is recovered, and known after"


def test_the_ids_of_an_epoch_leave_the_bits_of_a_replaced_orders_legs_free() -> None:
    most_between_two_looks = 500_000
    assert IDS_OF_AN_EPOCH + most_between_two_looks <= LARGEST_COUNTER


def test_an_engine_that_forgot_our_epoch_is_recovered(world: World, probe: Probe) -> None:
    world.turn(0.1)
    world.set_process("trading_engine.binance", ProcessState.READY, accepted_trader_epoch=0)
    world.turn()
    assert not world.link.session.is_ready
    world.answer_recover()
    world.turn()
    assert world.link.session.is_ready


def test_lost_events_start_a_recovery_until_the_engine_clears_the_word(world: World, probe: Probe) -> None:
    world.turn(1.2)
    world.words.store(Word.RESYNC_BINANCE, 1)
    world.turn()
    assert not world.link.session.is_ready and probe.last("stale") == "order events were lost"
    world.answer_recover()
    world.turn(0.003)
    world.words.store(Word.RESYNC_BINANCE, 0)
    world.wait(2.0)
    asked = [one for one in world.take_requests() if one.request_type == RequestType.RECOVER]
    if asked:  # the word stood a moment longer than the bracket
        world.set_process("trading_engine.binance", ProcessState.READY)
        world.bracket(asked[-1].request_id)
        world.turn()
    assert world.link.session.is_ready


def test_a_bracket_that_the_engine_begins_by_itself_stops_orders_until_it_ends(world: World, probe: Probe) -> None:
    seen: list[Reason] = []

    def inside() -> None:
        world.turn()
        seen.append(Reason(buy(probe).reason))

    world.bracket(0, inside)
    world.turn()
    assert seen == [Reason.NOT_READY] and world.link.session.is_ready and probe.count("ready") == 2


@pytest.mark.parametrize(("on_start", "cancels"), [("cancel", 1), ("adopt", 0)])
def test_strays_are_adopted_by_their_strategy_or_canceled_as_configured(
    world: World, on_start: str, cancels: int
) -> None:
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits(), on_start=on_start)))
    stray = client_order_id(INSTANCE_NUMBER, 1, 0, 77)
    nobodys = client_order_id(INSTANCE_NUMBER, 200, 0, 78)
    foreign = client_order_id(INSTANCE_NUMBER + 1, 1, 0, 79)

    def inside() -> None:
        for number in (stray, nobodys, foreign):
            world.send_event(
                EventType.STATUS,
                client_order_id=number,
                side=1,
                order_state=OrderState.OPEN,
                price=5_900_000,
                quantity=5,
            )

    world.make_ready(inside)
    canceled = [one.client_order_id for one in world.take_requests() if one.request_type == RequestType.CANCEL]
    assert canceled == [stray] * cancels + [nobodys], "never the order of another system"
    if on_start == "adopt":
        assert [one.client_order_id for one in Probe.made[0].orders] == [stray]
    # It prepares in on_start: whatever happens to the order before must not reach a strategy that has nothing yet.
    assert Probe.made[0].names()[0] == "start"


# --- strategies that misbehave, life cycle ----------------------------------------------------------------------------
def test_an_exception_stops_that_strategy_only_and_pulls_its_orders(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    Probe.made.clear()
    container = world.start((Probe, Settings(limits=Limits())), (Probe, Settings(id=2, name="two", limits=Limits())))
    world.make_ready()
    bad, good = Probe.made
    order = buy(bad)
    world.accept(world.take_requests()[-1])
    world.turn()
    bad.act["quote"] = lambda _: 1 / 0
    with caplog.at_level(logging.ERROR):
        world.quote()
        world.turn()
    assert "ZeroDivisionError in on_quote at" in container.runners[1].text and "test_container.py:" in caplog.text
    assert container.runners[1].state == RunnerState.FAILED and container.strategy_errors == 1
    assert world.take_requests()[-1].client_order_id == order.client_order_id
    told = len(bad.told)
    count = good.count("quote")
    world.quote()
    world.turn()
    assert good.count("quote") == count + 1 and len(bad.told) == told
    assert buy(bad).reason == Reason.STRATEGY_STOPPED


def test_a_strategy_that_fails_in_on_start_is_stopped_and_said(world: World) -> None:
    class_probe = Probe.made
    class_probe.clear()
    container = world.start((Probe, Settings()))
    class_probe[0].act["start"] = lambda _: [][1]
    world.make_ready()
    assert container.runners[1].state == RunnerState.FAILED and "IndexError in on_start" in container.runners[1].text
    assert class_probe[0].names() == ["start"]


def test_cancels_of_a_failed_strategy_are_repeated_until_the_order_is_over(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    probe.act["quote"] = lambda _: 1 / 0
    world.quote()
    world.turn()
    for _ in range(3):
        cancel = world.take_requests()[-1]
        assert cancel.request_type == RequestType.CANCEL
        world.send_event(EventType.CANCEL_REJECTED, cancel, reason=Reason.RATE_LIMIT)
        world.turn(0.6)
    world.send_event(EventType.CANCELED, world.take_requests()[-1])
    world.turn()
    assert order.closed
    world.wait(1.0)
    assert world.take_requests() == []


def test_pause_pulls_orders_and_stops_data_and_resume_goes_on(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    runner = world.runner()
    runner.pause()
    cancel = world.take_requests()[-1]
    assert cancel.client_order_id == order.client_order_id and buy(probe).reason == Reason.STRATEGY_STOPPED
    quotes = probe.count("quote")
    world.quote()
    world.fill(cancel, 3, b"t1", price=5_900_000)
    world.send_event(EventType.CANCELED, cancel, cumulative_quantity=3)
    world.turn()
    assert probe.count("quote") == quotes and probe.count("fill") == 1, "what is true of its money it is always told"
    runner.resume()
    world.quote()
    world.turn()
    assert probe.count("quote") == quotes + 1 and probe.count("ready") == 2


def test_stop_waits_for_the_venues_word_on_every_order(world: World, probe: Probe) -> None:
    order = buy(probe)
    world.accept(world.take_requests()[-1])
    world.turn()
    assert world.container is not None
    world.container.stop_all()
    cancel = world.take_requests()[-1]
    assert probe.count("stop") == 1 and world.container.open_orders() == 1
    assert world.runner().state == RunnerState.STOPPING
    world.send_event(EventType.CANCELED, cancel, cumulative_quantity=4)
    world.turn(0.3)
    assert world.container.open_orders() == 0 and world.container.unsettled_orders() == 1, "four of it were traded"
    world.fill(cancel, 4, b"t1", price=5_900_000)
    world.turn(0.3)
    assert world.container.unsettled_orders() == 0 and order.closed
    assert world.runner().state == RunnerState.STOPPED


def test_the_loss_limit_pulls_quotes_and_lets_only_reducing_orders_pass(world: World) -> None:
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits(max_loss="50"))))
    world.make_ready()
    probe = Probe.made[0]
    request = (buy(probe, 60000.0, 0.1), world.take_requests()[-1])[1]
    world.fill(request, 100, b"t1")
    buy(probe, 59900.0, 0.1)
    world.accept(world.take_requests()[-1])
    world.ticker("59600")  # the position has lost 40, and the open order would lose 30 more: the worse end is -70
    world.turn(0.3)
    assert probe.last("error").reason == Reason.RISK_LOSS
    assert world.take_requests()[-1].request_type == RequestType.CANCEL
    world.book(bid=59600.0, ask=59600.1)
    world.quote(59600.0, 59600.1)
    world.turn()
    assert buy(probe, 59500.0).reason == Reason.RISK_LOSS
    assert probe.sell(probe.instruments[0], 59600.0, 0.1).state == OrderState.PENDING_NEW


def test_slow_callbacks_are_named_once_a_second(world: World, probe: Probe, caplog: pytest.LogCaptureFixture) -> None:
    def slow(_: Any) -> None:
        world.now_ns += 20_000_000

    probe.act["quote"] = slow
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            world.quote()
            world.turn()
    lines = [record.getMessage() for record in caplog.records if "on_quote took" in record.getMessage()]
    assert len(lines) == 1 and "on_quote took 20.0 ms, its budget is 5 ms" in lines[0]
    assert world.container is not None
    status = world.container.status()["strategies"]["one"]
    assert (status["slow_callbacks"], status["slowest_callback_ms"]) == (3, 20.0)


def test_the_budget_of_a_callback_is_configured(world: World, caplog: pytest.LogCaptureFixture) -> None:
    Probe.made.clear()
    world.start((Probe, Settings(limits=Limits())), callback_budget_ns=100_000_000)
    world.make_ready()
    for taken_ns in (99_000_000, 101_000_000):
        Probe.made[0].act["timer"] = lambda _, taken_ns=taken_ns: setattr(world, "now_ns", world.now_ns + taken_ns)
        Probe.made[0].set_timer(0.001)
        world.turn()
        assert ("on_timer took 101.0 ms" in caplog.text) == (taken_ns > 100_000_000)


def test_a_strategy_that_answers_each_refusal_with_an_order_does_not_hold_the_loop(world: World, probe: Probe) -> None:
    probe.act["order"] = lambda _: buy(probe, 59000.0, 5.0)
    buy(probe, 59000.0, 5.0)
    assert world.container is not None
    for _ in range(5):
        assert world.container.turn() <= 2
    assert probe.count("order") == 5


def test_timers_run_while_the_strategy_lives(world: World, probe: Probe) -> None:
    probe.set_timer(0.5, "beat", repeat=True)
    probe.set_timer(0.2, "once")
    world.wait(2.25)
    assert probe.count("timer") == 5
    probe.cancel_timer("beat")
    world.wait(1.0)
    assert probe.count("timer") == 5
    with pytest.raises(ValueError, match="positive"):
        probe.set_timer(0.0)


# --- loading, parameters, status --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instruments": ["kraken:BTCUSDT"]}, "no such venue"),
        ({"instruments": ["binance:DOGEUSDT"]}, "not among the venue's symbols"),
        ({"parameters": {"sise": 1}}, "'sise' is not known"),
        ({"parameters": {"size": "x"}}, "parameter size"),
        ({"id": 1}, "already another"),
    ],
)
def test_a_strategy_that_cannot_be_loaded_says_why(world: World, changes: dict[str, Any], words: str) -> None:
    container = world.start((Tunable, Settings()))
    settings = Settings(**{"id": 2, "name": "two", **changes})
    settings.module = f"{__name__}:Tunable"
    with pytest.raises(StrategyLoadError) as caught:
        container.load(settings)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_strategy_from_a_file_runs(world: World, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(
        "from strategy.abstract_strategy import AbstractStrategy\n"
        "class Mine(AbstractStrategy):\n"
        "    def on_quote(self, quote):\n"
        "        if not self.orders:\n"
        "            self.sell(self.instruments[0], quote.ask_price, 0.002, post_only=True)\n"
    )
    container = world.start()
    container.load(Settings(module="user.py:Mine", limits=Limits()), tmp_path)
    world.make_ready()
    assert [one.side for one in world.take_requests()] == [Side.SELL]


def test_parameters_change_live_all_or_nothing(world: World) -> None:
    Probe.made.clear()
    container = world.start((Tunable, Settings(parameters={"size": 2.0})))
    assert container.set_parameters("one", {"side": "2"}) == {"size": 2.0, "side": 2}, "also before it runs"
    world.make_ready()
    assert container.set_parameters("one", {"size": "3.5"}) == {"size": 3.5, "side": 2}
    with pytest.raises(ParameterError):
        container.set_parameters("one", {"size": 9.0, "side": "x"})
    assert Probe.made[0].parameters == Sizes(3.5, 2)
    with pytest.raises(ParameterError, match="no strategy 'none'"):
        container.set_parameters("none", {})


def test_status_tells_strategies_venues_orders_and_positions(world: World, probe: Probe) -> None:
    buy(probe)
    assert world.container is not None
    status = world.container.status()
    assert status["venues"] == {"binance": {"state": "READY", "reason": ""}}
    strategy = status["strategies"]["one"]
    assert strategy["state"] == "RUNNING" and strategy["open_orders"][0]["state"] == "PENDING_NEW"
    assert strategy["positions"]["binance:BTCUSDT"]["exposure"] == [0.0, 0.01]
    assert msgspec.json.encode(status)


def test_a_position_that_stays_different_is_corrected_counted_and_told(world: World, probe: Probe) -> None:
    world.position_row(25, entry_price=60000.0)
    for _ in range(20):
        world.turn(0.25)
        world.book()
        world.quote()
    assert world.container is not None and world.container.pms.reconcile_corrections == 1
    assert probe.last("position") == 0.025


def test_a_fill_that_the_engine_could_not_tell_comes_with_its_bracket_and_not_as_a_correction(
    world: World, probe: Probe
) -> None:
    buy(probe)
    [request] = world.take_requests()
    world.accept(request)
    world.turn()
    world.set_process("trading_engine.binance", ProcessState.CONNECTING)
    world.position_row(10, entry_price=59000.0)
    for _ in range(20):
        world.turn(0.25)
    assert world.container is not None and world.container.pms.reconcile_corrections == 0
    assert probe.position(probe.instruments[0]).position == 0.0
    world.set_process("trading_engine.binance", ProcessState.READY)
    world.turn()
    world.answer_recover(lambda: world.fill(request, 10, b"1", fee=2 * 10**6))
    for _ in range(20):
        world.turn(0.25)
    assert world.container.pms.reconcile_corrections == 0
    position = probe.position(probe.instruments[0])
    assert position.position == 0.01 and position.fees == {"USDT": 2 * 10**6}

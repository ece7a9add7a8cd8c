"""`exchanges/simulator/generator.py`: repeats by seed, obeys the book rules, looks like what was measured."""

from __future__ import annotations

import statistics
from dataclasses import replace
from decimal import Decimal

import pytest

from exchanges.binance.simulator_instruments import instrument_for
from exchanges.simulator.book import MarketBook
from exchanges.simulator.flow import AggregateTrade, Delta, MarketEvent, MarketTrade, MarkTick, Top
from exchanges.simulator.generator import GeneratedFlow

SECONDS = 20


def run(seed: int, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"), seconds: float = SECONDS) -> list[MarketEvent]:
    flow = GeneratedFlow([instrument_for(symbol) for symbol in symbols], seed, 1_700_000_000_000)
    events = []
    while (flow.next_due_ns() or 0) <= seconds * 1e9:
        events.append(flow.pop())
    return events


@pytest.fixture(scope="module")
def events() -> list[MarketEvent]:
    return run(7)


def test_the_same_seed_repeats_every_event_and_another_does_not() -> None:
    assert run(3, seconds=2) == run(3, seconds=2)
    assert run(3, seconds=2) != run(4, seconds=2)


def test_events_come_in_time_order_with_times_of_the_market_clock(events: list[MarketEvent]) -> None:
    dues = [event.due_ns for event in events if not isinstance(event, AggregateTrade)]
    assert dues == sorted(dues)
    assert all(event.event_ms >= event.time_ms >= 1_700_000_000_000 for event in events)


def test_update_ids_are_one_rising_sequence_of_all_symbols_with_jumps(events: list[MarketEvent]) -> None:
    ids = [event.update_id for event in events if isinstance(event, Top)]
    assert ids == sorted(ids)
    growth = (ids[-1] - ids[0]) / SECONDS
    assert 60_000 < growth < 100_000


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_deltas_chain_and_rebuild_the_best_levels_without_ever_crossing(events: list[MarketEvent], symbol: str) -> None:
    flow = GeneratedFlow([instrument_for(name) for name in ("BTCUSDT", "ETHUSDT")], 7, 1_700_000_000_000)
    snapshot = flow.snapshot(symbol)
    book = MarketBook()
    book.load(snapshot.bids, snapshot.asks, snapshot.update_id)
    before, newest, compared = snapshot.update_id, None, 0
    for event in events:
        if event.symbol != symbol:
            continue
        if isinstance(event, Top):
            assert event.bid < event.ask
            newest = event
        elif isinstance(event, Delta):
            assert event.previous_id == before < event.first_id <= event.last_id
            before = event.last_id
            assert [p for p, _ in event.bids] == sorted(p for p, _ in event.bids)
            assert [p for p, _ in event.asks] == sorted(p for p, _ in event.asks)
            book.apply_delta(event.bids, event.asks, event.last_id)
            bid, ask = book.top_levels(True, 1)[0], book.top_levels(False, 1)[0]
            assert bid[0] < ask[0]
            if newest is not None:
                assert (bid, ask) == ((newest.bid, newest.bid_quantity), (newest.ask, newest.ask_quantity))
                compared += 1
    assert compared > SECONDS * 9


def test_trades_happen_at_the_best_price_shown_before_them(events: list[MarketEvent]) -> None:
    shown: dict[str, list[Top]] = {"BTCUSDT": [], "ETHUSDT": []}
    for event in events:
        if isinstance(event, Top):
            shown[event.symbol].append(event)
        elif isinstance(event, MarketTrade) and len(shown[event.symbol]) > 50:
            recent = shown[event.symbol][-2:]
            if event.buyer_is_maker:
                assert event.price <= max(top.bid for top in recent)
            else:
                assert event.price >= min(top.ask for top in recent)


def test_rates_and_spread_are_near_what_the_recordings_show(events: list[MarketEvent]) -> None:
    tops = [event for event in events if isinstance(event, Top) and event.symbol == "BTCUSDT"]
    trades = [event for event in events if isinstance(event, MarketTrade) and event.symbol == "BTCUSDT"]
    assert 140 < len(tops) / SECONDS < 240
    assert 40 < len(trades) / SECONDS < 90
    assert sum(top.ask - top.bid == Decimal("0.1") for top in tops) / len(tops) > 0.9
    assert 0.008 < statistics.median(float(trade.quantity) for trade in trades) < 0.03
    assert {trade.trade_id - first for first, trade in enumerate(trades, trades[0].trade_id)} == {0}


def test_a_mark_tick_comes_every_second_per_symbol(events: list[MarketEvent]) -> None:
    marks = [event.due_ns for event in events if isinstance(event, MarkTick) and event.symbol == "BTCUSDT"]
    assert marks == [second * 1_000_000_000 for second in range(1, SECONDS + 1)]


def test_aggregates_hold_exactly_the_trades(events: list[MarketEvent]) -> None:
    trades = {e.trade_id: e for e in events if isinstance(e, MarketTrade) and e.symbol == "ETHUSDT"}
    groups = [e for e in events if isinstance(e, AggregateTrade) and e.symbol == "ETHUSDT"]
    assert len(groups) > 20
    assert [group.aggregate_id - groups[0].aggregate_id for group in groups] == list(range(len(groups)))
    for group in groups:
        members = [trades[number] for number in range(group.first_trade_id, group.last_trade_id + 1)]
        assert sum(member.quantity for member in members) == group.quantity
        assert {(member.price, member.buyer_is_maker) for member in members} == {(group.price, group.buyer_is_maker)}
        assert members[-1].due_ns - members[0].due_ns < 100_000_000


def test_any_usdt_symbol_can_be_generated() -> None:
    events = run(1, ("DOGEUSDT", "SOLUSDT", "WHATEVERUSDT"), seconds=2)
    for symbol in ("DOGEUSDT", "SOLUSDT", "WHATEVERUSDT"):
        tops = [event for event in events if isinstance(event, Top) and event.symbol == symbol]
        assert len(tops) > 50
        assert all(0 < top.bid < top.ask for top in tops)


def test_an_inverse_contract_is_quoted_in_dollars_as_much_as_a_linear_one_in_coins() -> None:
    linear = instrument_for("BTCUSDT")
    inverse = replace(linear, symbol="BTC-PERPETUAL", inverse=True, lot_size=Decimal(10), tick_size=Decimal("0.5"))
    flow = GeneratedFlow([inverse], 3, 0, delta_every_ns=20_000_000)
    deltas = []
    while (flow.next_due_ns() or 0) <= 5e9:
        event = flow.pop()
        if isinstance(event, Delta):
            deltas.append(event)
    sizes = [quantity for event in deltas for _, quantity in event.bids + event.asks if quantity]
    assert all(size % 10 == 0 for size in sizes)
    assert 100 < statistics.median(sizes) < 100_000
    assert len(deltas) > 200, "one every 20 ms"

"""`exchanges/deribit/simulator_flow.py`: one market of many contracts, in time order, repeated by its seed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from exchanges.deribit.simulator import SimulatorOptions, listings_of
from exchanges.deribit.simulator_flow import VenueFlow
from exchanges.deribit.simulator_instruments import listing_for
from exchanges.simulator.book import MarketBook
from exchanges.simulator.flow import Delta, MarketTrade, MarkTick, Top
from exchanges.simulator.ledger import ZERO

NOW = int(datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp() * 1000)
SECONDS = 6


def flow_of(seed: int) -> VenueFlow:
    return VenueFlow(*listings_of(SimulatorOptions(symbols=("BTC-PERPETUAL",), chain=True), NOW), seed, NOW)


def run(flow: VenueFlow, seconds: float = SECONDS) -> list[Any]:
    events = []
    while (flow.next_due_ns() or 0) <= seconds * 1e9:
        events.append(flow.pop())
    return events


def test_the_same_seed_repeats_every_event_and_another_does_not() -> None:
    first = run(flow_of(4), 2)
    assert run(flow_of(4), 2) == first
    assert run(flow_of(5), 2) != first


def test_events_come_in_time_order_and_books_chain_without_ever_crossing() -> None:
    flow = flow_of(7)
    books: dict[str, MarketBook] = {}
    for symbol in flow.symbols:
        snapshot = flow.snapshot(symbol)
        books[symbol] = MarketBook()
        books[symbol].load(snapshot.bids, snapshot.asks, snapshot.update_id)
    last, seen = 0, Counter[tuple[str, bool]]()
    for event in run(flow):
        assert event.due_ns >= last
        last = event.due_ns
        option = event.symbol.endswith(("-C", "-P"))
        seen[(type(event).__name__, option)] += 1
        book = books[event.symbol]
        if isinstance(event, Delta):
            assert event.previous_id <= book.update_id < event.last_id
            book.apply_delta(event.bids, event.asks, event.last_id)
            if book.bids.prices and book.asks.prices:
                assert book.bids.prices[-1] < book.asks.prices[0]
        elif isinstance(event, MarketTrade):
            instrument = listing_for(event.symbol, ZERO, ZERO).instrument
            assert event.quantity > 0 and not event.price % instrument.tick_at(event.price)
    for kind in (Delta, MarketTrade, MarkTick):
        assert seen[(kind.__name__, True)] and seen[(kind.__name__, False)]
    assert seen[("AggregateTrade", False)] == 0, "the venue has none"


def test_followers_stay_with_their_perpetual() -> None:
    flow = flow_of(2)
    middle, futures = 0.0, {}
    for event in run(flow):
        if isinstance(event, Top):
            middle = float(event.bid + event.ask) / 2
        elif isinstance(event, Delta) and event.symbol == "BTC-4DEC26" and event.bids:
            best = max(price for price, quantity in event.bids if quantity)
            futures[event.due_ns] = float(best) / middle
    assert futures and all(abs(ratio - 1) < 0.005 for ratio in futures.values())


def test_a_contract_may_come_and_go_while_it_plays() -> None:
    flow = flow_of(3)
    run(flow, 1)
    late = listing_for("BTC-25DEC26-60000-C", ZERO, ZERO)
    snapshot = flow.follow(late)
    assert snapshot.bids and snapshot.asks and late.name in flow.symbols
    assert any(event.symbol == late.name for event in run(flow, 2))
    flow.leave(late.name)
    assert not any(event.symbol == late.name for event in run(flow, 4))

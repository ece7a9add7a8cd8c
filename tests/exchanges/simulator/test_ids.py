"""`exchanges/simulator/ids.py`: nothing that an earlier run gave is given again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance.simulator_instruments import instrument_for
from exchanges.simulator.flow import AggregateTrade, MarketTrade, Top
from exchanges.simulator.generator import GeneratedFlow
from exchanges.simulator.ids import IDS_PER_MS, Ids, first_id
from tests.exchanges.simulator.market import Market

NOW_MS = 1_790_000_000_000


def filled(market: Market) -> tuple[int, int]:
    """(order id, trade id) of an order that takes."""
    order = market.place("buy", "1", "100.1")
    return order.order_id, order.trade_ids[0]


def test_the_same_clock_gives_the_same_ids_and_a_later_one_larger_ones() -> None:
    first, same, later = Market(), Market(), Market()
    later.now += 1
    ids = [filled(market) for market in (first, same, later)]
    assert ids[0] == ids[1]
    assert ids[2][0] > ids[0][0] and ids[2][1] > ids[0][1]


@given(st.integers(1, 10**13), st.integers(1, 10_000), st.data())
def test_two_runs_never_share_an_id_and_each_counts_on_by_one(
    start_ms: int, lives_ms: int, data: st.DataObject
) -> None:
    used = data.draw(st.integers(1, min(lives_ms * IDS_PER_MS, 50)))
    ids, next_ids = Ids(lambda: start_ms), Ids(lambda: start_ms + lives_ms)
    given_out = [ids.next() for _ in range(used)]
    assert given_out == list(range(first_id(start_ms), first_id(start_ms) + used))
    assert next_ids.next() > given_out[-1]


def test_ids_have_no_more_digits_than_a_trade_id_may_have_for_a_century() -> None:
    assert len(str(first_id(NOW_MS + 100 * 365 * 86_400_000))) == 14


def test_a_generated_market_that_starts_again_goes_on_with_new_ids() -> None:
    seen: list[tuple[int, int, int]] = []
    for base_ms in (NOW_MS, NOW_MS + 60_000):
        flow = GeneratedFlow([instrument_for("BTCUSDT")], 1, base_ms)
        events = [flow.pop() for _ in range(2_000)]
        trades = [event.trade_id for event in events if isinstance(event, MarketTrade)]
        groups = [event.aggregate_id for event in events if isinstance(event, AggregateTrade)]
        tops = [event.update_id for event in events if isinstance(event, Top)]
        if seen:
            assert (min(trades), min(groups), min(tops)) > seen[0]
            assert min(trades) > seen[0][0] and min(groups) > seen[0][1] and min(tops) > seen[0][2]
        seen.append((max(trades), max(groups), max(tops)))

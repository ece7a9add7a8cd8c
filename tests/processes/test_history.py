"""What a page that is opened now begins with: bounded, and what the snapshots said."""

from __future__ import annotations

from processes.history import FILLS_A_POINT, KEPT, History, point
from tests.processes.snapshots import fill, market, snapshot, strategy, venue


def test_a_point_holds_what_the_charts_draw() -> None:
    found = point(snapshot(7.0), [])
    assert found.time == "2026-01-01T00:00:07.000+00:00"
    assert found.markets == {"binance:BTCUSDT": (100.0, 100.1, 99.9, 100.2)}
    assert found.strategies == {"mm binance:BTCUSDT": (4.5, 0.02)}
    assert found.hops == {"tick_to_request": (5_000, 20_000)}


def test_of_several_strategies_the_best_quotes_are_drawn() -> None:
    lines = [strategy(bid=99.0, ask=None), strategy(name="b", bid=99.5, ask=101.0)]
    assert point(snapshot(strategies=lines), []).markets["binance:BTCUSDT"][2:] == (99.5, 101.0)


def test_what_is_not_known_leaves_a_gap() -> None:
    withdrawn = snapshot(venues=[venue(markets=[market(valid=False)])], strategies=[], hops=[])
    assert point(withdrawn, []).markets == {"binance:BTCUSDT": (None, None, None, None)}
    assert point(withdrawn, []).hops == {}


def test_only_the_last_points_are_kept() -> None:
    history = History()
    for second in range(KEPT + 10):
        history.add(snapshot(float(second)))
    times = [one.time for one in history.points()]
    assert len(times) == KEPT
    assert times == sorted(times)
    assert times[-1] == snapshot(float(KEPT + 9)).time


def test_a_fill_is_told_once_and_not_too_many_at_once() -> None:
    history = History()
    history.add(snapshot(0.0))
    history.add(snapshot(1.0))
    many = [fill(trade_id=str(number)) for number in range(FILLS_A_POINT + 5)]
    history.add(snapshot(2.0, venues=[venue(fills=many)]))
    assert [len(one.fills) for one in history.points()] == [1, 0, FILLS_A_POINT]


def test_only_what_came_after_a_time_is_asked_for() -> None:
    history = History()
    for second in range(5):
        history.add(snapshot(float(second)))
    assert [one.time for one in history.points(snapshot(2.0).time)] == [snapshot(3.0).time, snapshot(4.0).time]

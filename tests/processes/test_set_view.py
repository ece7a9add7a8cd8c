"""What an observer reads is what the writers wrote, in the units that people read; what is not known is None."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from processes.config import Config
from processes.set_view import SetView
from processes.snapshot import encode
from shm.layout import ConnectionState, EventType, OrderState, ProcessState, Word
from shm.limits import LimitCredits, LimitWindow
from tests.processes.observed_set import SECOND_NS, ObservedSet


@pytest.fixture
def observed(config: Config) -> Iterator[ObservedSet]:
    made = ObservedSet(config)
    yield made
    made.close()


@pytest.fixture
def view(observed: ObservedSet) -> SetView:
    return observed.view()


def test_before_anything_was_written_nothing_is_known(view: SetView) -> None:
    snapshot = view.take()
    assert [(line.name, line.pid, line.state) for line in snapshot.processes] == [
        (name, 0, "NONE") for name in view.config.processes()
    ]
    (market,) = snapshot.venues[0].markets
    assert (market.valid, market.status, market.age_ms, market.bids) == (False, "NONE", None, [])
    assert (market.mark, market.position, market.entry_price) == (None, None, None)
    assert (snapshot.strategies, snapshot.hops, snapshot.venues[0].balances) == ([], [], [])


def test_a_process_is_shown_as_its_row_says(observed: ObservedSet, view: SetView) -> None:
    observed.process(
        "trading_engine.binance", ProcessState.UNHEALTHY, age_s=3.0, link=ConnectionState.DOWN, restarts=2,
        text=b"no clock", kill_switch_echo=4, core=1,
    )  # fmt: skip
    line = next(line for line in view.processes() if line.name == "trading_engine.binance")
    assert (line.pid, line.core, line.state, line.restarts, line.text) == (1000, 1, "UNHEALTHY", 2, "no clock")
    assert line.age_ms >= 3_000.0
    assert line.uptime_s == 60.0
    assert [link.state for link in line.connections] == ["DOWN"]
    assert line.role == "trading_engine"


def test_a_market_is_shown_in_its_own_units(observed: ObservedSet, view: SetView) -> None:
    observed.book(100.0, 100.1)
    observed.mark(100.05)
    observed.position(-20)
    (market,) = view.take().venues[0].markets
    assert (market.valid, market.status, market.bids, market.asks) == (True, "LIVE", [(100.0, 1.5)], [(100.1, 2.5)])
    assert (market.bid, market.bid_quantity, market.ask, market.ask_quantity) == (100.0, 1.5, 100.1, 2.5)
    assert (market.mark, market.position, market.position_mantissa) == (100.05, -0.02, -20)
    assert (market.entry_price, market.unrealized_pnl, market.currency) == (99.5, 1.5, "USDT")
    assert (market.price_decimals, market.quantity_decimals) == (1, 3)


def test_the_venues_position_shows_how_long_ago_it_was_told(observed: ObservedSet, view: SetView) -> None:
    assert view.take().venues[0].markets[0].position_age_ms is None
    observed.position(-20, age_s=7.0)
    (market,) = view.take().venues[0].markets
    assert market.position_age_ms is not None
    assert market.position_age_ms >= 7_000.0


def test_a_withdrawn_book_shows_no_price(observed: ObservedSet, view: SetView) -> None:
    observed.book(valid=False, age_s=5.0)
    (market,) = view.take().venues[0].markets
    assert (market.valid, market.status, market.bids, market.bid) == (False, "STALE", [], 0.0)
    assert market.age_ms is not None
    assert market.age_ms >= 5_000.0


def test_a_flat_account_has_no_entry_price(observed: ObservedSet, view: SetView) -> None:
    observed.position(0)
    (market,) = view.take().venues[0].markets
    assert (market.position, market.entry_price, market.unrealized_pnl) == (0.0, None, None)


def test_balances_and_strategies_are_shown(observed: ObservedSet, view: SetView) -> None:
    observed.balance(123_400_000_000)
    observed.strategy(
        position=15, lowest=5, highest=25, realized_pnl=4.0, unrealized_pnl=1.0, fees=0.5, open_orders=2, stale=1,
        bid_price=99.0, bid_quantity=0.01, text=b"why",
    )  # fmt: skip
    snapshot = view.take()
    (balance,) = snapshot.venues[0].balances
    assert (balance.currency, balance.wallet) == ("USDT", 1234.0)
    (line,) = snapshot.strategies
    assert (line.name, line.instrument, line.state, line.stale) == ("s1", "binance:BTCUSDT", "RUNNING", True)
    assert (line.position, line.lowest, line.highest, line.position_mantissa) == (0.015, 0.005, 0.025, 15)
    assert (line.profit, line.bid, line.ask, line.text, line.currency) == (4.5, 99.0, None, "why", "USDT")


def test_a_profit_without_a_mark_is_not_known(observed: ObservedSet, view: SetView) -> None:
    observed.strategy(realized_pnl=4.0)
    (line,) = view.take().strategies
    assert (line.unrealized_pnl, line.profit) == (None, None)


def test_orders_are_shown_by_name_and_in_units(observed: ObservedSet, view: SetView) -> None:
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)
    observed.fill(1, b"t1")
    venue = view.take().venues[0]
    assert [(line.instrument, line.price, line.quantity) for line in venue.orders] == [("binance:BTCUSDT", 100.0, 0.02)]
    assert [fill.price for fill in venue.fills] == [100.1]
    assert venue.orders_complete


def test_the_kill_switch_and_who_obeys_it(observed: ObservedSet, view: SetView) -> None:
    observed.process("trading_engine.binance", kill_switch_echo=2)
    observed.words.store(Word.KILL_SWITCH, 3)
    switch = view.take().kill_switch
    assert (switch.on, switch.generation, switch.obeyed_by) == (True, 3, {"trading_engine.binance": False})


def test_limits_are_what_counts_now(observed: ObservedSet, view: SetView) -> None:
    settings = observed.config.venues["binance"]
    table = observed.instance.limits("binance", settings.environment, settings.rest_url)
    now = time.time_ns()
    window = LimitWindow(table, "weight", 100, 3_600 * SECOND_NS)
    window.reported(30, now)
    old = LimitWindow(table, "old", 100, SECOND_NS)
    old.reported(30, now - 10 * SECOND_NS)
    credits = LimitCredits(table, "credits", 50, 30 * SECOND_NS)
    credits.reported(7, now)
    credits.close(now + 90 * SECOND_NS)
    lines = {line.name.partition(" /")[0]: line for line in view.take().venues[0].budgets or ()}
    assert (lines["weight"].limit, lines["weight"].closed_s) == (100, 0.0)
    assert lines["weight"].used in (0, 30)  # 0 where the hour ended just now
    assert lines["old"].used == 0
    assert lines["credits"].limit == 50
    assert 0 < lines["credits"].used <= 7  # one comes back every 30 s
    assert 80 < lines["credits"].closed_s <= 90


def test_hops_are_told_in_all_and_since_the_last_look(observed: ObservedSet, view: SetView) -> None:
    counters = observed.counters("trader")
    counters.declare(["fills"], ["tick_to_request", "heartbeat_delay"])
    hop = counters.histogram("tick_to_request")
    for _ in range(10):
        hop.record(5_000)
    counters.add("fills", 3)
    first = view.take()
    (line,) = first.hops
    assert (line.name, line.total.count, line.total.max, line.recent) == ("tick_to_request", 10, 5_000, None)
    assert first.counters["trader"] == {"fills": 3}
    assert view.take().hops[0].recent is None  # nothing since
    hop.record(80_000)
    (line,) = view.take().hops
    assert (line.total.count, line.recent and line.recent.count) == (11, 1)
    assert line.recent is not None
    assert abs(line.recent.p50 - 80_000) < 800


def test_histograms_count_what_is_below_each_bound(observed: ObservedSet, view: SetView) -> None:
    counters = observed.counters("trader")
    counters.declare([], ["tick_to_request"])
    for value in (900, 1_500, 1_500, 40_000_000_000):
        counters.histogram("tick_to_request").record(value)
    (line,) = [one for one in view.take().histograms if one.process == "trader"]
    assert (line.count, line.sum_ns) == (4, 40_000_003_900)
    assert line.at_most[:3] == [1, 3, 3]
    assert line.at_most[-1] == 3


def test_the_whole_is_json(observed: ObservedSet, view: SetView) -> None:
    observed.book()
    observed.strategy()
    observed.all_ready()
    told = json.loads(encode(view.take()))
    assert told["instance"] == observed.config.instance.name
    assert told["strategies"][0]["unrealized_pnl"] is None
    assert told["venues"][0]["markets"][0]["bids"] == [[100.0, 1.5]]


def test_it_reads_along_without_writing_a_byte(observed: ObservedSet, view: SetView) -> None:
    observed.book()
    observed.all_ready()
    observed.event(1, EventType.ACCEPTED, OrderState.OPEN)

    def contents() -> dict[str, bytes]:
        names = [f"corelane.{observed.instance.name}.{name}" for name in ("status", "words", "strategies")]
        names += [
            f"corelane.{observed.instance.name}.binance.{name}"
            for name in ("market", "requests", "events", "books", "instruments", "positions")
        ]
        return {name: Path(f"/dev/shm/{name}").read_bytes() for name in names}

    view.take()
    before = contents()
    for _ in range(3):
        view.take()
    assert contents() == before


def test_a_killed_observer_leaves_the_writers_alone(observed: ObservedSet) -> None:
    code = (
        "import sys; from processes.config import load_config; from processes import shm_admin; "
        "from processes.set_view import SetView; c = load_config(sys.argv[1]); "
        "v = SetView(c, shm_admin.instance_of(c)); v.take(); print('looking', flush=True)\nwhile True: v.take()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, observed.config.path],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        for number in range(200):
            observed.event(number, EventType.ACCEPTED, OrderState.OPEN)
            observed.book(100.0 + number)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    observed.event(999, EventType.ACCEPTED, OrderState.OPEN)
    assert len(observed.view().take().venues[0].orders) == 201

"""A recording that is composed here, fed back through a strategy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from processes import replay
from processes.exit_codes import Failure
from processes.replay_strategy import PaperOptions, PaperResult, lines, run, write_report
from shm.layout import ContractKind, MarketStatusCode, Side
from shm.recording import Recording, RecordingWriter
from shm.records import MarketStatus, Quote, Ticker, Trade
from strategy.testing import Listing

SECOND = 1_000_000_000
SOURCES = ["binance.market", "deribit.market", "binance.instruments", "deribit.instruments"]
STRATEGY = """
from strategy.abstract_strategy import AbstractStrategy

class Joins(AbstractStrategy):
    '''Buys once at the best bid of its first instrument, with what the test sets.'''
    def on_start(self):
        self.seen, self.order = [], None
    def on_quote(self, quote):
        self.seen.append(quote.bid_price)
        if self.order is None and quote.instrument_id == self.instruments[0].id:
            self.order = self.buy(self.instruments[0], quote.bid_price, 0.5, post_only=True)
        if quote.bid_price == 66.0:
            raise RuntimeError(f"saw {self.seen}")
"""
Step = tuple[float, str, str, float, float]
"""(second, venue, "bid", "sold", "bought", "gap" or "mark", price, quantity); the ask is 0.1 above a bid. The quantity
of a mark is the rate of the funding that is due at FUNDING_S, or eight hours later."""
FUNDING_S = 2.0


@pytest.fixture
def strategy(tmp_path: Path) -> str:
    (tmp_path / "joins.py").write_text(STRATEGY)
    return f"{tmp_path / 'joins.py'}:Joins"


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    serial = itertools.count()

    def write(steps: list[Step], venues: tuple[str, ...] = ("binance",), missed: int = 0, **of_instrument: Any) -> Path:
        path = tmp_path / f"made-{next(serial)}.clr"
        RecordingWriter(path, SOURCES, "test").close()
        begin, utc_offset_ns = Recording(path).begin_ns, Recording(path).utc_offset_ns
        path.unlink()
        path.with_name(f"{path.name}.index").unlink()
        writer = RecordingWriter(path, SOURCES, "test")
        for index, venue in enumerate(venues):
            row = Listing(f"{venue}:BTCUSDT").row(7 + (index << 16), index + 1)
            for name, value in of_instrument.items():
                setattr(row, name, value)
            writer.add(SOURCES.index(f"{venue}.instruments"), 1, row, begin)
        # Ring by ring, as a recorder takes them: the order of a file is not that of time.
        for index, venue in enumerate(venues):
            for number, (second, at, what, price, quantity) in enumerate(steps):
                if at != venue:
                    continue
                made = _record(what, price, quantity)
                made.instrument_id = 7 + (index << 16)
                if isinstance(made, Ticker):
                    due_s = FUNDING_S if second < FUNDING_S else FUNDING_S + 8 * 3_600
                    made.next_funding_time_ns = begin + utc_offset_ns + round(due_s * SECOND)
                made.publish_time_ns = made.receive_time_ns = begin + round(second * SECOND)
                writer.add(SOURCES.index(f"{venue}.market"), number + 1, made, made.publish_time_ns)
        if missed:
            writer.miss(0, missed)
        writer.close()
        return path

    return write


def _record(what: str, price: float, quantity: float) -> Any:
    if what == "bid":
        quote = Quote()
        quote.bid_price, quote.bid_quantity = price, quantity
        quote.ask_price, quote.ask_quantity = round(price + 0.1, 1), quantity
        return quote
    if what == "gap":
        status = MarketStatus()
        status.code = MarketStatusCode.GAP
        return status
    if what == "mark":
        ticker = Ticker()
        ticker.mark_price, ticker.mark_price_mantissa, ticker.funding_rate = price, round(price * 1e8), quantity
        return ticker
    trade = Trade()
    trade.price, trade.quantity = price, quantity
    trade.aggressor_side = Side.SELL if what == "sold" else Side.BUY
    return trade


def replayed(path: Path, strategy: str, **options: Any) -> PaperResult:
    return run(replay.choose(path, [], "", ""), PaperOptions(strategy, **options))


def bids(*seconds: float, price: float = 100.0, quantity: float = 2.0) -> list[Step]:
    return [(second, "binance", "bid", price, quantity) for second in seconds]


def test_an_order_waits_behind_what_was_shown_at_its_price(record, strategy):
    path = record([*bids(1, 1.5, 2), (2.1, "binance", "sold", 100.0, 1.9), *bids(2.2)])
    assert replayed(path, strategy).fills == []
    path = record([*bids(1, 1.5, 2), (2.1, "binance", "sold", 100.0, 2.3), *bids(2.2)])
    [fill] = replayed(path, strategy).fills
    assert (fill["price"], fill["quantity"], fill["side"], fill["maker"]) == ("100.0", "0.300", "buy", True)


def test_a_trade_through_the_price_fills_at_the_orders_own_price_and_money_adds_up(record, strategy):
    path = record([*bids(1, 1.5), (1.6, "binance", "sold", 99.0, 0.001), *bids(2, price=110.0)])
    result = replayed(path, strategy, maker_fee=Decimal("0.001"))
    [held] = result.holdings
    assert (held.position, held.fills, held.maker_fills) == (0.5, 1, 1)
    assert held.fees == pytest.approx(0.05)  # 100 * 0.5 * 0.001
    assert held.unrealized_pnl == pytest.approx(0.5 * (110.05 - 100.0))
    assert (result.orders, result.open_at_end, result.stopped) == (1, 0, "")


def test_the_profit_of_an_inverse_contract_is_in_coin_and_so_is_its_funding(record, strategy):
    early, late = (0.5, "binance", "mark", 100.0, 0.01), (2.5, "binance", "mark", 110.0, 0.0)
    steps = [early, *bids(1, 1.5), (1.6, "binance", "sold", 99.0, 0.001), *bids(2.2, price=109.0), late, *bids(3)]
    coin = {
        "inverse": 1,
        "minimum_notional": 0,
        "contract_kind": ContractKind.INVERSE_PERPETUAL,
        "settle_currency": b"BTC",
    }
    [held] = replayed(record(steps, **coin, base_currency=b"BTC", quote_currency=b"USD"), strategy).holdings
    assert (held.position, held.currency) == (0.5, "BTC")
    assert held.unrealized_pnl == pytest.approx(0.5 / 100.0 - 0.5 / 110.0, abs=1e-8)
    assert held.fees == pytest.approx(0.5 / 100.0 * 0.0002, abs=1e-8)
    assert held.funding == pytest.approx(-0.5 / 100.0 * 0.01, abs=1e-8)


@pytest.mark.parametrize("size", [10.0, 0.1, 1.0])
def test_a_contract_of_another_size_is_worth_that_many_units(record, strategy, size):
    steps = [*bids(1, 1.5), (1.6, "binance", "sold", 99.0, 0.001), *bids(2, price=110.0)]
    path = record(steps, contract_size=round(size * 1e8))
    result = replayed(path, strategy, maker_fee=Decimal("0.001"))
    [held] = result.holdings
    assert held.position == 0.5
    assert held.unrealized_pnl == pytest.approx(size * 0.5 * (110.05 - 100.0))
    assert held.fees == pytest.approx(size * 0.5 * 100.0 * 0.001)
    assert Decimal(result.fills[0]["quantity"]) == Decimal("0.5")


def test_funding_is_paid_once_at_its_time_and_at_the_mark_of_then(record, strategy):
    early, late = (0.5, "binance", "mark", 100.0, 0.01), (2.5, "binance", "mark", 120.0, 0.02)
    bought = [*bids(1, 1.5), (1.6, "binance", "sold", 99.0, 0.001)]
    result = replayed(record([early, *bought, (1.8, "binance", "mark", 110.0, 0.03), late, *bids(3)]), strategy)
    assert result.holdings[0].funding == pytest.approx(-0.5 * 110.0 * 0.03)
    assert result.without_funding == []
    flat = replayed(record([early, *bids(1.0, 3.0), late]), strategy)
    assert flat.holdings[0].funding == 0.0, "who holds nothing pays nothing"


def test_a_perpetual_without_a_time_of_funding_is_named(record, strategy):
    result = replayed(record([*bids(1, 2)]), strategy)
    assert result.without_funding == ["binance:BTCUSDT"]
    assert "funding of binance:BTCUSDT (no time recorded)" in "\n".join(lines(result, PaperOptions(strategy)))


def test_an_order_is_at_the_venue_only_after_the_latency(record, strategy):
    steps = [*bids(1), (1.05, "binance", "sold", 99.0, 5.0), *bids(1.2)]
    assert len(replayed(record(steps), strategy, latency_ms=10.0).fills) == 1
    assert replayed(record(steps), strategy, latency_ms=60.0).fills == []


def test_a_post_only_order_that_would_take_by_then_is_refused_in_words(record, strategy):
    steps = [*bids(1), *bids(1.01, price=99.0), *bids(1.2, price=99.0)]
    result = replayed(record(steps), strategy, latency_ms=50.0)
    assert result.refused_there == {"post only would take": 1}
    assert (result.orders, result.open_at_end) == (0, 0)


def test_venues_are_merged_by_time_and_a_strategy_that_fails_ends_the_replay(record, strategy):
    steps = [
        *bids(1, price=61.0), *bids(2, price=63.0), *bids(3, price=65.0),
        (1.5, "deribit", "bid", 62.0, 1.0), (2.5, "deribit", "bid", 64.0, 1.0), (3.5, "deribit", "bid", 66.0, 1.0),
        *bids(9),
    ]  # fmt: skip
    result = replayed(record(steps, ("binance", "deribit")), strategy)
    assert "saw [61.0, 62.0, 63.0, 64.0, 65.0, 66.0]" in result.stopped
    assert result.records == 6


def test_a_gap_of_the_recorded_feed_is_a_gap_of_the_strategy(record, strategy):
    steps = [(1.0, "binance", "gap", 0.0, 0.0), *bids(1.1), (1.2, "binance", "gap", 0.0, 0.0)]
    steps.append((1.5, "binance", "bought", 101.0, 0.1))  # time for the cancel to get there
    result = replayed(record(steps), strategy)
    assert (result.orders, result.open_at_end) == (1, 0)  # pulled when the book went


def test_the_same_file_gives_the_same_result_and_losses_are_said(record, strategy, tmp_path):
    path = record([*bids(1, 1.5), (1.6, "binance", "sold", 99.0, 1.0), *bids(2)], missed=3)
    first, second = replayed(path, strategy), replayed(path, strategy)
    assert first == second
    assert first.missed == 3
    shown = "\n".join(lines(first, PaperOptions(strategy)))
    assert "3 missed by the recorder" in shown and "no" in shown and "market impact" in shown
    write_report(first, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["fills"] == first.fills


def test_mistakes_are_one_sentence(record, strategy, tmp_path):
    path = record(bids(1))
    with pytest.raises(Failure, match=r"--instrument: found binance:XYZ, expected some of: binance:BTCUSDT"):
        replayed(path, strategy, instruments=("binance:XYZ",))
    with pytest.raises(Failure, match=r"--strategy: .*Nobody"):
        replayed(path, strategy.replace("Joins", "Nobody"))
    with pytest.raises(Failure, match=r"--strategy: .*unknown"):
        replayed(path, strategy, parameters={"unknown": 1})
    with pytest.raises(Failure, match="holds no market data"):
        run(replay.choose(path, [], "5", ""), PaperOptions(strategy))
    empty = tmp_path / "empty.clr"
    RecordingWriter(empty, SOURCES, "test").close()
    with pytest.raises(Failure, match="holds no instrument"):
        replayed(empty, strategy)

"""What a feed writes to ring and tables, and when it withdraws."""

from __future__ import annotations

import math
from typing import Any

import pytest

from exchanges.instrument_feed import (
    SEEN_AGGREGATED_TRADE,
    SEEN_LIQUIDATION,
    SEEN_QUOTE,
    SEEN_TICKER,
    SEEN_TRADE,
    InstrumentFeed,
    MarketOutput,
)
from exchanges.market_events import BestQuote, BookDelta, MarkPrice, PublicTrade
from shm.layout import BOOK_TABLE_DEPTH, BOOK_TOP_DEPTH, MarketStatusCode, RecordKind, Side, TradeFlag

ROW = 2


class Feed:
    def __init__(self, market: Any) -> None:
        self.market = market
        self.out = MarketOutput(
            market.by_name["market"], market.by_name["books"], market.by_name["tickers"], market.counters
        )
        self.feed = self.again()
        self.reader = market.reader()

    def again(self) -> InstrumentFeed:
        return InstrumentFeed(self.out, "BTCUSDT", 1 << 16 | ROW, 2, 3)

    def go_live(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], update_id: int = 50) -> bool:
        self.feed.book.apply_snapshot(bids, asks)
        self.feed.update_id, self.feed.live = update_id, True
        return self.feed.publish_snapshot(1_000, 2_000)

    def polled(self) -> list[dict[str, Any]]:
        records = []
        while (record := self.reader.poll()) is not None:
            records.append({"kind": RecordKind(record.kind), **record.to_dict()})
        return records

    @property
    def row(self) -> Any:
        return self.market.book(ROW)

    def count(self, name: str) -> int:
        return int(self.market.counters.counter(name).value)


@pytest.fixture
def it(market: Any) -> Feed:
    return Feed(market)


def quote(update_id: int, bid: int = 100, ask: int = 101, bid_quantity: int = 1, ask_quantity: int = 1) -> BestQuote:
    return BestQuote("BTCUSDT", update_id, 5_000, bid, bid_quantity, ask, ask_quantity)


def test_a_feed_begins_withdrawn(it: Feed) -> None:
    assert it.row.valid == 0
    assert it.row.instrument_id == 1 << 16 | ROW
    assert math.isnan(it.row.bid_prices[0])
    assert not it.feed.good


def test_a_new_book_is_told_as_snapshot_book_live(it: Feed) -> None:
    assert it.go_live([(6180020, 2507)], [(6180030, 1083)])
    records = it.polled()
    assert [record["kind"] for record in records] == [
        RecordKind.MARKET_STATUS, RecordKind.BOOK_TOP, RecordKind.MARKET_STATUS,
    ]  # fmt: skip
    assert [record.get("code") for record in records] == [MarketStatusCode.SNAPSHOT, None, MarketStatusCode.LIVE]
    assert records[1]["bid_prices"][0] == 61800.2
    assert records[1]["ask_quantities"][0] == 1.083
    assert (it.row.valid, it.row.epoch, it.row.update_id) == (1, 1, 50)
    assert it.feed.good


def test_the_epoch_goes_on_where_the_last_writer_left_it(it: Feed) -> None:
    it.go_live([(1, 1)], [(2, 1)])
    it.go_live([(1, 1)], [(2, 1)])
    assert it.row.epoch == 2
    it.feed = it.again()
    assert it.row.valid == 0
    it.go_live([(1, 1)], [(2, 1)])
    assert it.row.epoch == 3


def test_levels_stand_best_first_and_the_rest_is_empty(it: Feed) -> None:
    bids = [(6_000_000 - n, n + 1) for n in range(70)]
    asks = [(6_000_001 + n, n + 1) for n in range(4)]
    it.go_live(bids, asks)
    top = it.polled()[1]
    assert (top["bid_count"], top["ask_count"]) == (BOOK_TOP_DEPTH, 4)
    assert top["bid_prices"] == [(6_000_000 - n) / 100 for n in range(BOOK_TOP_DEPTH)]
    assert top["ask_quantities"][:5] == [0.001, 0.002, 0.003, 0.004, 0.0]
    assert math.isnan(top["ask_prices"][4])
    assert (it.row.bid_count, it.row.ask_count) == (BOOK_TABLE_DEPTH, 4)
    assert it.row.bid_prices[BOOK_TABLE_DEPTH - 1] == (6_000_000 - BOOK_TABLE_DEPTH + 1) / 100


def test_a_price_is_the_very_double_that_its_text_means(it: Feed) -> None:
    for mantissa in (6180020, 1, 3, 7, 10**12 + 7, 99999999999):
        it.go_live([(mantissa, mantissa)], [])
        assert it.row.bid_prices[0] == float(f"{mantissa // 100}.{mantissa % 100:02d}")
        assert it.row.bid_quantities[0] == float(f"{mantissa // 1000}.{mantissa % 1000:03d}")


def test_a_withdrawn_book_has_an_invalid_row_before_the_hint_is_in_the_ring(it: Feed) -> None:
    it.go_live([(1, 1)], [(2, 1)])
    it.polled()
    it.feed.withdraw(MarketStatusCode.GAP)
    assert (it.row.valid, it.row.status, it.row.bid_count) == (0, MarketStatusCode.GAP, 0)
    assert [record["code"] for record in it.polled()] == [MarketStatusCode.GAP]
    assert not it.feed.live


def test_a_crossed_snapshot_or_update_is_never_published_as_good(it: Feed) -> None:
    assert not it.go_live([(200, 1)], [(200, 1)])
    assert (it.row.valid, it.row.status) == (0, MarketStatusCode.CROSSED)
    it.go_live([(100, 1)], [(101, 1)])
    it.polled()
    it.feed.book.apply_delta([(101, 1)], [])
    assert not it.feed.publish_update(1, 2)
    assert [record["code"] for record in it.polled()] == [MarketStatusCode.CROSSED]
    assert it.row.valid == 0
    assert it.count("crossed") == 2


def test_an_objection_withdraws_and_its_end_brings_back_the_book_of_now(it: Feed) -> None:
    it.go_live([(100, 1)], [(101, 1)])
    it.polled()
    it.feed.set_stale(True)
    it.feed.set_stale(True)
    assert (it.row.valid, it.row.status) == (0, MarketStatusCode.STALE)
    it.feed.book.apply_delta([(100, 7)], [])
    assert it.feed.publish_update(1, 2)
    assert it.row.valid == 0
    it.feed.set_stale(False)
    assert (it.row.valid, it.row.bid_quantities[0], it.row.epoch) == (1, 0.007, 1)
    assert [record.get("code") for record in it.polled()] == [MarketStatusCode.STALE, None, MarketStatusCode.LIVE]


def test_quotes_never_go_back(it: Feed) -> None:
    for update_id in (10, 12, 11, 12, 13):
        it.feed.publish_quote(quote(update_id), 1)
    assert [record["update_id"] for record in it.polled()] == [10, 12, 13]
    assert it.count("late_quotes") == 2


def test_a_crossed_quote_is_not_published(it: Feed) -> None:
    it.feed.publish_quote(quote(1, bid=101, ask=101), 1)
    assert it.polled() == []
    assert it.count("crossed") == 1


def test_an_empty_side_of_a_quote_has_no_price(it: Feed) -> None:
    it.feed.publish_quote(quote(1, ask=0, ask_quantity=0), 1)
    record = it.polled()[0]
    assert math.isnan(record["ask_price"])
    assert (record["ask_quantity"], record["bid_price"]) == (0.0, 1.0)


def test_trades_never_come_twice_and_both_kinds_count_for_themselves(it: Feed) -> None:
    def trade(trade_id: int, aggregated: bool) -> PublicTrade:
        return PublicTrade("BTCUSDT", trade_id, 1, 100, 5, Side.SELL, aggregated, 2 if aggregated else 1)

    for trade_id, aggregated in ((1, False), (2, False), (1, True), (2, False), (3, True), (3, True)):
        it.feed.publish_trade(trade(trade_id, aggregated), 1)
    records = it.polled()
    assert [(r["trade_id"], r["aggregated"]) for r in records] == [(1, 0), (2, 0), (1, 1), (3, 1)]
    assert records[0]["aggressor_side"] == Side.SELL
    assert it.count("repeated_trades") == 2


def test_a_trade_that_the_slower_of_two_connections_brings_late_is_not_lost(it: Feed) -> None:
    for trade_id in (100, 101, 105, 102, 101, 103, 105, 104, 104, 300, 299, 105, 236, 237):
        it.feed.publish_trade(PublicTrade("BTCUSDT", trade_id, 1, 100, 5, Side.BUY), 1)
    assert [record["trade_id"] for record in it.polled()] == [100, 101, 105, 102, 103, 104, 300, 299, 237]
    assert it.count("repeated_trades") == 5


def test_reports_on_liquidations_are_flagged_and_count_for_themselves(it: Feed) -> None:
    flags = TradeFlag.LIQUIDATION | TradeFlag.REPORT
    for time_ms in (1789, 1789, 2901):
        it.feed.publish_trade(PublicTrade("BTCUSDT", time_ms, time_ms * 10**6, 100, 5, Side.SELL, flags=flags), 1)
    it.feed.publish_trade(PublicTrade("BTCUSDT", 7, 1, 100, 5, Side.SELL, flags=TradeFlag.LIQUIDATION), 1)
    assert [(record["trade_id"], record["flags"]) for record in it.polled()] == [(1789, 3), (2901, 3), (7, 1)]
    assert it.feed.seen == SEEN_LIQUIDATION | SEEN_TRADE
    it.feed.reconnected(SEEN_LIQUIDATION)
    assert it.feed.seen == SEEN_TRADE


def test_a_ticker_goes_to_table_and_ring(it: Feed) -> None:
    it.feed.publish_ticker(MarkPrice("BTCUSDT", 7, 8455110762319, 84590.5, math.nan, 9), 8)
    record = it.polled()[0]
    row = it.market.ticker(ROW)
    assert row.kind == RecordKind.TICKER_ROW
    for name in ("mark_price_mantissa", "mark_price", "index_price", "next_funding_time_ns", "receive_time_ns"):
        assert record[name] == getattr(row, name)
    assert (row.mark_price_mantissa, row.mark_price) == (8455110762319, 84551.10762319)
    assert math.isnan(row.funding_rate)


def update(it: Feed, update_id: int, bid_quantity: int) -> None:
    it.feed.book.apply_delta([(100, bid_quantity)], [])
    it.feed.update_id = update_id
    it.feed.publish_update(1, 2)


def test_every_update_is_compared_with_the_newest_quote_that_is_not_ahead_of_it(it: Feed) -> None:
    it.feed.publish_quote(quote(49, bid_quantity=9), 1)
    it.go_live([(100, 1)], [(101, 1)], update_id=50)
    update(it, 60, 1)
    assert (it.count("book_checks"), it.count("book_agree")) == (0, 0)  # the quote is from before this book
    it.feed.publish_quote(quote(61, bid_quantity=2), 1)
    it.feed.publish_quote(quote(65, bid_quantity=3), 1)
    it.feed.publish_quote(quote(75, bid_quantity=4), 1)
    update(it, 70, 3)
    assert (it.count("book_checks"), it.count("book_agree")) == (1, 1)
    update(it, 74, 5)
    assert (it.count("book_checks"), it.count("book_agree")) == (2, 1)
    update(it, 80, 4)
    assert (it.count("book_checks"), it.count("book_agree")) == (3, 2)


def test_more_quotes_than_can_be_remembered_lose_the_oldest_only(it: Feed) -> None:
    it.go_live([(100, 1)], [(101, 1)], update_id=50)
    for number in range(3000):
        it.feed.publish_quote(quote(51 + number, bid_quantity=1 + number), 1)
    update(it, 51 + 2999, 3000)
    assert (it.count("book_checks"), it.count("book_agree")) == (1, 1)


def test_a_new_connection_may_begin_its_ids_anew(it: Feed) -> None:
    it.feed.publish_quote(quote(1_000), 1)
    it.feed.publish_trade(PublicTrade("BTCUSDT", 1_000, 1, 100, 5, Side.SELL), 1)
    it.feed.reconnected(SEEN_QUOTE | SEEN_TRADE)
    assert it.feed.seen & (SEEN_QUOTE | SEEN_TRADE) == 0
    it.feed.publish_quote(quote(5), 1)
    it.feed.publish_trade(PublicTrade("BTCUSDT", 5, 1, 100, 5, Side.SELL), 1)
    assert len(it.polled()) == 4
    assert it.feed.seen == SEEN_QUOTE | SEEN_TRADE


def test_what_was_seen_is_noted_per_stream(it: Feed) -> None:
    assert it.feed.seen == 0
    it.feed.publish_trade(PublicTrade("BTCUSDT", 5, 1, 100, 5, Side.SELL, True, 1), 1)
    it.feed.publish_ticker(MarkPrice("BTCUSDT", 7, 1, 1.0, 1.0, 9), 8)
    assert it.feed.seen == SEEN_AGGREGATED_TRADE | SEEN_TICKER
    it.feed.note_delta(BookDelta("BTCUSDT", 1, 1, 1, 100, [], []), 350)
    assert (it.feed.book_receive_time_ns, it.feed.delay_ns) == (350, 250)


def test_a_ring_too_narrow_for_market_records_is_refused(market: Any) -> None:
    with pytest.raises(Exception, match="books"):
        MarketOutput(market.by_name["books"], market.by_name["books"], market.by_name["tickers"], market.counters)

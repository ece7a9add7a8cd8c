"""processes/shm_dump.py: every kind of segment as JSON lines, once and followed."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from processes.shm_dump import lines, plain
from shm.counters import Counters
from shm.layout import (
    COUNTERS_STRIDE,
    MARKET_RING_KINDS,
    WORD_COUNT,
    EventType,
    ProcessState,
    RecordKind,
    SegmentKind,
    Side,
    Venue,
    Word,
    slot_stride,
)
from shm.records import RECORD_CLASSES, OrderEvent, ProcessRow, Quote, Trade
from shm.ring import BroadcastWriter
from shm.segment import Segment
from shm.table import TableWriter, Words


@pytest.fixture
def name() -> Iterator[str]:
    name = f"/corelane.testdump{os.getpid()}-{uuid.uuid4().hex[:8]}"
    yield name
    Segment.remove(name)


def parsed(segment: Segment) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(segment)]


def test_a_ring_gives_its_records_from_the_oldest_it_holds(name: str) -> None:
    segment = Segment.create(name, SegmentKind.BROADCAST_RING, 8, slot_stride(*MARKET_RING_KINDS))
    writer = BroadcastWriter(segment)
    quote, trade = Quote(), Trade()
    quote.venue, quote.bid_price = Venue.BINANCE, float("nan")
    trade.aggressor_side = Side.SELL
    for number in range(10):
        trade.trade_id = number
        writer.publish(quote if number == 5 else trade)
    found = parsed(segment)
    assert [line["sequence"] for line in found] == list(range(3, 11))
    assert found[3]["kind"] == "QUOTE"
    assert (found[3]["venue"], found[3]["bid_price"]) == ("BINANCE", None)
    assert (found[0]["kind"], found[0]["aggressor_side"], found[0]["trade_id"]) == ("TRADE", "SELL", 2)


def test_follow_goes_on_until_it_is_stopped_and_tells_a_lap(name: str) -> None:
    segment = Segment.create(name, SegmentKind.BROADCAST_RING, 8, slot_stride(*MARKET_RING_KINDS))
    writer = BroadcastWriter(segment)
    writer.publish(Trade())
    stopped = False
    following = lines(segment, follow=True, stop=lambda: stopped)
    assert json.loads(next(following))["sequence"] == 1
    for _ in range(20):
        writer.publish(Trade())
    assert json.loads(next(following)) == {"lost": 19}
    assert json.loads(next(following))["sequence"] == 21
    stopped = True
    assert list(following) == []


def test_a_table_gives_written_rows_and_then_changes(name: str) -> None:
    segment = Segment.create(name, SegmentKind.TABLE, 8, slot_stride(RecordKind.PROCESS_ROW))
    writer, row = TableWriter(segment), ProcessRow()
    row.process, row.state = b"trader", ProcessState.READY
    writer.write(3, row)
    [line] = parsed(segment)
    assert (line["row"], line["version"], line["process"], line["state"]) == (3, 1, "trader", "READY")
    following = lines(segment, follow=True)
    next(following)
    writer.write(3, row)
    assert json.loads(next(following))["version"] == 2


def test_words_go_by_name(name: str) -> None:
    segment = Segment.create(name, SegmentKind.WORDS, WORD_COUNT, 8)
    words = Words(segment)
    words.store(Word.KILL_SWITCH, 7)
    words.store(63, 1)
    assert parsed(segment) == [{"word": "KILL_SWITCH", "value": 7}, {"word": "63", "value": 1}]


def test_counters_are_one_line(name: str) -> None:
    segment = Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE)
    Counters(segment, ["frames"], ["hop"]).add("frames", 3)
    [line] = parsed(segment)
    assert line["counters"] == {"frames": 3}
    assert line["histograms"]["hop"]["count"] == 0


@pytest.mark.parametrize("cls", list(RECORD_CLASSES.values()), ids=lambda cls: cls.__name__)
def test_every_kind_of_record_is_json(cls: Any) -> None:
    assert json.loads(json.dumps(plain(cls()), allow_nan=False))["kind"] == RecordKind(cls.record_code).name


def test_a_code_of_no_known_name_stays_a_number() -> None:
    event = OrderEvent()
    event.event_type, event.reason = EventType.FILL, 60_000
    assert (plain(event)["event_type"], plain(event)["reason"]) == ("FILL", 60_000)

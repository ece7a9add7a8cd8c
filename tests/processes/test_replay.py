"""What a recording holds, as its user asks for it."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from processes import replay
from processes.exit_codes import Failure
from shm.layout import EventType, OrderState
from shm.recording import Recording, RecordingWriter
from shm.records import BookTop, OrderEvent, Quote

SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten quotes a second apart, an event and a loss."""
    made = tmp_path / "a.clr"
    writer = RecordingWriter(made, ["binance.market", "binance.events"], "test")
    writer.close()
    begin = Recording(made).begin_ns
    made.unlink()
    made.with_name("a.clr.index").unlink()
    writer = RecordingWriter(made, ["binance.market", "binance.events"], "test")
    for number in range(10):
        quote = Quote()
        quote.bid_price, quote.publish_time_ns = 100.0 + number, begin + (number + 1) * SECOND
        writer.add(0, number + 1, quote, quote.publish_time_ns)
        writer.flush()
    event = OrderEvent()
    event.event_type, event.order_state, event.exchange_order_id = EventType.ACCEPTED, OrderState.OPEN, b"77"
    event.publish_time_ns = begin + 10 * SECOND
    writer.add(1, 1, event, event.publish_time_ns)
    writer.miss(0, 5)
    writer.close()
    return made


def found(path: Path, *sources: str, begin: str = "", end: str = "") -> list[dict[str, object]]:
    return [json.loads(line) for line in replay.lines(replay.choose(path, list(sources), begin, end))]


def test_records_are_lines_with_codes_by_name_and_a_loss_is_a_line(path: Path) -> None:
    lines = found(path)
    assert [line.get("bid_price") for line in lines[:10]] == [100.0 + number for number in range(10)]
    assert (lines[10]["kind"], lines[10]["event_type"], lines[10]["order_state"]) == ("ORDER_EVENT", "ACCEPTED", "OPEN")
    assert lines[11] == {"source": "binance.market", "missed": 5}


def test_a_source_and_a_time_choose_a_part(path: Path) -> None:
    assert len(found(path, "binance.events")) == 1
    part = found(path, "binance.market", begin="2.5", end="5.5")
    assert [line["bid_price"] for line in part if "missed" not in line] == [102.0, 103.0, 104.0]
    recording = Recording(path)
    moment = datetime.fromtimestamp((recording.begin_ns + recording.utc_offset_ns) / 1e9 + 8.5, UTC)
    by_clock = found(path, "binance.market", begin=moment.replace(tzinfo=None).isoformat())
    assert [line["bid_price"] for line in by_clock if "missed" not in line] == [108.0, 109.0]


@pytest.mark.parametrize(
    ("source", "begin", "words"),
    [
        ("nothing", "", "--source: found nothing, expected one of binance.market, binance.events"),
        ("binance.market", "soon", "--from: found 'soon', expected UTC like"),
    ],
)
def test_a_wrong_choice_is_one_sentence(path: Path, source: str, begin: str, words: str) -> None:
    with pytest.raises(Failure, match=words):
        replay.choose(path, [source], begin, "")


def test_info_says_what_is_there_what_was_missed_and_what_is_torn(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"CLRB torn")
    text = "\n".join(replay.info(replay.choose(path, [], "", "")))
    assert "instance test" in text
    assert "11 blocks, 11 records" in text
    assert "quote                        10" in text
    assert "missed                        5" in text
    assert "the last 9 bytes are no whole block" in text


def test_parquet_holds_the_same_and_arrays_as_lists(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (the parquet extra)")
    parquet = importlib.import_module("pyarrow.parquet")
    recording = tmp_path / "b.clr"
    writer = RecordingWriter(recording, ["binance.market"], "test")
    top = BookTop()
    top.bid_prices[:] = range(10)
    writer.add(0, 3, top, 1)
    writer.close()
    ((written, count),) = replay.to_parquet(replay.choose(recording, [], "", ""), tmp_path / "out")
    table = parquet.read_table(written).to_pydict()
    assert (count, table["sequence"], table["source"]) == (1, [3], ["binance.market"])
    assert table["bid_prices"] == [[float(number) for number in range(10)]]
    quotes = dict(replay.to_parquet(replay.choose(path, [], "", ""), tmp_path / "out"))
    assert sorted(quotes.values()) == [1, 10]
    events = parquet.read_table(tmp_path / "out" / "a.order_event.parquet").to_pydict()
    assert events["exchange_order_id"] == ["77"]


def test_without_pyarrow_it_says_what_to_install(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(Failure, match="--parquet needs pyarrow"):
        replay.to_parquet(replay.choose(path, [], "", ""), tmp_path)

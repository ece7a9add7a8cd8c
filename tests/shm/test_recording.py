"""Recordings: blocks that are whole or not there, whatever cut the file."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest

from shm import recording as module
from shm.layout import LAYOUT_HASH, RecordKind
from shm.recording import Recording, RecordingError, RecordingWriter
from shm.records import OrderEvent, Quote

SOURCES = ["binance.market", "binance.events"]


def quote(number: int) -> Quote:
    record = Quote()
    record.bid_price, record.instrument_id, record.publish_time_ns = 100.0 + number, 7, 1_000 * number
    return record


def write(path: Path, blocks: int, records: int = 3) -> None:
    """Blocks of quotes numbered through from 1, the k-th published at k microseconds."""
    writer = RecordingWriter(path, SOURCES, "test")
    number = 0
    for _ in range(blocks):
        for _ in range(records):
            number += 1
            writer.add(0, number, quote(number), 1_000 * number)
        writer.flush()
    writer.close()


def test_what_went_in_comes_out_in_order_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "a.clr"
    writer = RecordingWriter(path, SOURCES, "test")
    writer.add(0, 5, quote(1), 1_000)
    event = OrderEvent()
    event.client_order_id, event.text = 1 << 63, b"hello"
    writer.add(1, 9, event, 2_000)
    writer.miss(0, 17)
    writer.close()
    found = Recording(path)
    first, second, third = found.entries()
    assert (first.source, first.sequence, first.kind) == ("binance.market", 5, RecordKind.QUOTE)
    copy = OrderEvent()
    copy.load(second.data)
    assert (second.source, copy.client_order_id, copy.text) == ("binance.events", 1 << 63, b"hello")
    assert (third.source, third.missed, third.data) == ("binance.market", 17, b"")
    assert (found.instance, found.sources, found.of_this_layout) == ("test", SOURCES, True)
    assert [one.source for one in found.entries(sources=["binance.events"])] == ["binance.events"]


def test_a_file_that_was_cut_anywhere_lacks_only_what_comes_after_the_last_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "a.clr"
    write(path, 4)
    whole = path.read_bytes()
    ends = [block.offset + block.length for block in Recording(path).blocks()]
    begin = Recording(path)._first_block
    cut = tmp_path / "cut.clr"
    for size in {*range(begin, len(whole), 37), *ends, *(end - 1 for end in ends)}:
        cut.write_bytes(whole[:size])
        found = Recording(cut)
        complete = sum(end <= size for end in ends)
        assert len(list(found.entries())) == 3 * complete, f"cut at {size}"
        assert found.torn_bytes == size - max([begin, *ends[:complete]])


def test_a_damaged_block_is_left_out_and_counted_and_the_next_ones_are_read(tmp_path: Path) -> None:
    seed = 20_260_131
    rng = random.Random(seed)
    path = tmp_path / "a.clr"
    write(path, 4)
    whole = path.read_bytes()
    block = Recording(path).blocks()[1]
    for _ in range(50):
        data = bytearray(whole)
        data[rng.randrange(block.offset, block.offset + block.length)] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        found = Recording(path)
        assert [entry.sequence for entry in found.entries()] == [1, 2, 3, 7, 8, 9, 10, 11, 12], f"seed {seed}"
        assert found.damaged == 1


@pytest.mark.parametrize("index", ["good", "missing", "short", "wrong"])
def test_a_part_is_found_with_any_index_or_none(tmp_path: Path, index: str) -> None:
    path = tmp_path / "a.clr"
    write(path, 50)
    rows = tmp_path / "a.clr.index"
    if index == "missing":
        rows.unlink()
    elif index == "short":
        rows.write_bytes(rows.read_bytes()[: 10 * 32 + 5])
    elif index == "wrong":
        rows.write_bytes(b"\xff" * 320)
    found = Recording(path)
    sequences = [entry.sequence for entry in found.entries(from_ns=70_000, to_ns=80_000)]
    assert set(range(70, 81)) <= set(sequences)
    assert len(sequences) < 20


def test_a_disk_that_is_full_leaves_the_file_as_it_was_and_the_block_can_be_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.clr"
    writer = RecordingWriter(path, SOURCES, "test")
    writer.add(0, 1, quote(1), 1_000)
    writer.flush()
    size = path.stat().st_size
    writer.add(0, 2, quote(2), 2_000)
    real = RecordingWriter._write

    def full(file: object, data: bytes) -> None:
        real(file, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordingWriter, "_write", staticmethod(full))
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    assert path.stat().st_size == size
    monkeypatch.setattr(RecordingWriter, "_write", staticmethod(real))
    writer.close()
    assert [entry.sequence for entry in Recording(path).entries()] == [1, 2]


def test_an_older_layout_is_read_by_what_the_file_says_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.clr"
    monkeypatch.setattr(module, "LAYOUT_HASH", LAYOUT_HASH ^ 1)
    write(path, 1)
    monkeypatch.undo()
    found = Recording(path)
    assert not found.of_this_layout
    entry = next(found.entries())
    assert found.array(entry.data, entry.kind)["bid_price"][0] == 101.0
    assert found.dtypes[RecordKind.BOOK_TOP]["bid_prices"].shape == (10,)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is not a recording"), (b"CLRECRD1", "is not a recording"), (b"hello" * 50, "is not a recording")],
)
def test_a_file_that_is_no_recording_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.clr"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=words):
        Recording(path)
    with pytest.raises(RecordingError, match="cannot be read"):
        Recording(tmp_path / "missing.clr")
    with pytest.raises(RecordingError, match="exists already"):
        RecordingWriter(path, SOURCES, "test")


def test_a_damaged_description_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.clr"
    write(path, 1)
    data = bytearray(path.read_bytes())
    data[70:90] = b"\x00" * 20
    path.write_bytes(data)
    with pytest.raises(RecordingError, match="description is damaged"):
        Recording(path)


def test_the_checksum_is_over_every_byte_of_a_block(tmp_path: Path) -> None:
    path = tmp_path / "a.clr"
    write(path, 1)
    block = Recording(path).blocks()[0]
    data = path.read_bytes()[block.offset : block.offset + block.length]
    assert zlib.crc32(data) == block.checksum
    assert block.length == 3 * (16 + Quote.dtype.itemsize)

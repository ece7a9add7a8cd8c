"""The recorder: every ring into a file that outlives it, and nothing of the set waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import recorder as module
from processes import shm_admin
from processes.app_service import AppService
from processes.config import Config, load_config
from processes.exit_codes import ExitCode, Failure
from processes.recorder import Recorder
from shm.instance import Instance
from shm.layout import ProcessState, RecordKind
from shm.recording import Entry, Recording, RecordingWriter
from shm.records import InstrumentRow, OrderEvent, Quote
from shm.ring import BroadcastWriter, LosslessWriter
from shm.table import TableWriter

PATIENCE_S = 60.0


class Place:
    """The writers of a set without its processes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.instance: Instance = shm_admin.instance_of(config)
        self.market = BroadcastWriter(self.instance.segment("binance.market"))
        self.events = LosslessWriter(self.instance.segment("binance.events"), reserve=False)
        row = InstrumentRow()
        row.symbol, row.tick_size, row.receive_time_ns = b"BTCUSDT", 10, 1
        self.instruments = TableWriter(self.instance.segment("binance.instruments"))
        self.instruments.write(0, row)

    def quote(self, bid: float) -> None:
        record = Quote()
        record.bid_price = bid
        self.market.publish(record)

    def event(self, order_id: int) -> None:
        record = OrderEvent()
        record.client_order_id = order_id
        assert self.events.try_publish(record)

    def files(self) -> list[Path]:
        return sorted(Path(self.config.recorder.directory).glob("*.clr"))

    def entries(self) -> list[Entry]:
        return [entry for path in self.files() for entry in Recording(path).entries()]


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Iterator[Config]:
    loaded = load_config(write_config("[observers]\nrecorder = true\n[recorder]\nfile_megabytes = 1\n"))
    shm_admin.create(loaded)
    yield loaded
    shm_admin.instance_of(loaded).remove()


@pytest.fixture
def place(config: Config) -> Iterator[Place]:
    made = Place(config)
    yield made
    made.instance.close()


def bids(entries: list[Entry]) -> list[float]:
    record = Quote()
    found = []
    for entry in entries:
        if entry.kind == RecordKind.QUOTE:
            record.load(entry.data)
            found.append(record.bid_price)
    return found


def test_all_rings_and_the_instruments_are_in_the_file(config: Config, place: Place) -> None:
    with AppService("recorder", config, log_to_stderr=False) as service:
        worker = Recorder(service)
        worker.on_start()
        place.quote(1.0)
        place.event(17)
        place.quote(2.0)
        worker.do_work()
        worker.on_close()
    entries = place.entries()
    assert bids(entries) == [1.0, 2.0]
    assert [entry.kind for entry in entries if entry.source == "binance.events"] == [RecordKind.ORDER_EVENT]
    assert entries[0].source == "binance.instruments"
    row = InstrumentRow()
    row.load(entries[0].data)
    assert (row.symbol, row.tick_size) == (b"BTCUSDT", 10)


def test_what_was_overwritten_before_it_came_is_counted_in_its_place(config: Config, place: Place) -> None:
    with AppService("recorder", config, log_to_stderr=False) as service:
        worker = Recorder(service)
        worker.on_start()
        for number in range(3_000):  # the ring has 1,024 slots
            place.quote(float(number))
        worker.on_close()
        assert service.counters is not None
    entries = place.entries()
    missed = sum(entry.missed for entry in entries)
    assert missed > 0
    assert missed + len(bids(entries)) == 3_000
    assert bids(entries)[-1] == 2_999.0


def test_a_new_file_is_begun_at_the_size_and_the_oldest_are_removed(
    config: Config, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    with AppService("recorder", config, log_to_stderr=False) as service:
        worker = Recorder(service)
        worker.on_start()
        first = place.files()[0]
        number = 0
        while len(place.files()) < 3:
            for _ in range(500):
                number += 1
                place.quote(float(number))
            worker.do_work()
        assert all(path.stat().st_size >= 1 << 20 for path in place.files()[:-1])
        assert bids(place.entries()) == [float(one + 1) for one in range(number)]
        assert any(entry.source == "binance.instruments" for entry in Recording(place.files()[-1]).entries())
        object.__setattr__(worker, "_config", load_config_with_little_room(config))
        worker._remove_oldest()
        assert first not in place.files()
        assert not first.with_name(first.name + ".index").exists()
        worker.on_close()


def load_config_with_little_room(config: Config) -> object:
    import msgspec

    return msgspec.structs.replace(config.recorder, keep_megabytes=1)


def test_a_full_disk_is_said_tried_again_and_ends_nothing(
    config: Config, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_NS", 0)
    monkeypatch.setattr(module, "FLUSH_NS", 0)
    real = RecordingWriter.flush

    def full(self: RecordingWriter) -> int:
        raise OSError(28, "No space left on device")

    with AppService("recorder", config, log_to_stderr=False) as service:
        worker = Recorder(service)
        worker.on_start()
        place.quote(1.0)
        monkeypatch.setattr(RecordingWriter, "flush", full)
        worker.do_work()
        assert service.row.state == ProcessState.UNHEALTHY
        assert b"No space left on device; nothing is recorded" in service.row.text
        monkeypatch.setattr(RecordingWriter, "flush", real)
        place.quote(2.0)
        worker.do_work()
        assert service.row.state == ProcessState.READY
        worker.on_close()
    assert bids(place.entries())[-1] == 2.0


def test_a_folder_that_cannot_be_written_is_one_sentence(config: Config, place: Place) -> None:
    folder = Path(config.recorder.directory)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    with AppService("recorder", config, log_to_stderr=False) as service:
        worker = Recorder(service)
        with pytest.raises(Failure, match=r"recorder\.directory: .*recordings: File exists"):
            worker.on_start()
        worker.on_close()


def test_killed_it_leaves_all_but_its_last_block_and_the_next_one_begins_a_file(config: Config, place: Place) -> None:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "processes.cli", "recorder", "--config", config.path],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "the recorder did not write it in time"
            place.quote(time.monotonic())
            time.sleep(0.01)

    first = start()
    try:
        until(lambda: bool(bids(place.entries())))
    finally:
        first.kill()
        first.wait()
    kept = len(bids(place.entries()))
    second = start()
    try:
        until(lambda: len(place.files()) == 2 and len(bids(place.entries())) > kept)
        second.send_signal(signal.SIGTERM)
        assert second.wait(PATIENCE_S) == ExitCode.OK
    finally:
        second.kill()
        second.wait()
    assert bids(place.entries())[:kept] == sorted(bids(place.entries())[:kept])

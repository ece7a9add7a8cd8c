"""The journal first, then the ring; a full ring is remembered until a bracket was whole."""

from __future__ import annotations

import logging

from exchanges.event_log import EventLog
from shm.layout import EventType, Reason, RecordKind, RecoveryPhase
from shm.records import OrderEvent, OrderRequest
from tests.exchanges.order_world import Journal, Resync


class Desk:
    def __init__(self) -> None:
        self.now = 1_000
        self.order: list[str] = []
        self.room = 1_000
        self.overflows = 0
        self.journal, self.resync = Journal(), Resync()
        self.log = EventLog(
            self.journal, self._publish, self.resync, lambda: self.now, logging.getLogger("test"), self._overflow
        )

    def _overflow(self) -> None:
        self.overflows += 1

    def _publish(self, event: object) -> bool:
        self.order.append(f"ring {len(self.journal.records)}")
        self.room -= 1
        return self.room >= 0

    def emit(self) -> bool:
        event = OrderEvent()
        event.event_type = EventType.ACCEPTED
        return self.log.emit(event)


def test_an_event_is_journaled_before_it_is_published_and_stamped_with_the_time() -> None:
    desk = Desk()
    assert desk.emit()
    assert desk.order == ["ring 1"]
    assert desk.journal.records[0].publish_time_ns == 1_000


def test_a_full_ring_is_one_overflow_with_one_marker() -> None:
    desk = Desk()
    desk.room = 0
    assert not desk.emit()
    desk.now = 2_000
    assert not desk.emit()
    assert (desk.resync.value, desk.overflows, desk.log.overflowed_since_ns) == (1, 1, 1_000)
    kinds = [record.kind for record in desk.journal.records]
    assert kinds == [RecordKind.ORDER_EVENT, RecordKind.RECOVERY, RecordKind.ORDER_EVENT]
    marker = desk.journal.records[1]
    assert (marker.phase, marker.reason) == (RecoveryPhase.NONE, Reason.RING_FULL)


def test_only_a_whole_bracket_clears_the_word() -> None:
    desk = Desk()
    desk.room = 0
    desk.emit()
    desk.log.start_over()
    desk.emit()  # the ring is still full: the bracket itself lost something
    desk.log.whole_again()
    assert desk.resync.value == 1
    desk.room = 10
    desk.log.start_over()
    desk.emit()
    desk.log.whole_again()
    assert desk.resync.value == 0
    assert not desk.log.overflowed


def test_requests_and_watermarks_go_to_the_journal_alone() -> None:
    desk = Desk()
    desk.log.request(OrderRequest())
    desk.log.watermark(65536, 77)
    assert desk.order == []
    marker = desk.journal.records[1]
    assert (marker.instrument_id, marker.watermark, marker.venue) == (65536, 77, 1)


def test_an_overflow_of_the_run_before_counts() -> None:
    desk = Desk()
    desk.log.overflowed_before_restart(500)
    assert desk.log.overflowed
    assert desk.resync.value == 1

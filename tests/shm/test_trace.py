"""A trace counts whole or not at all, and its hops add up to its total."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shm import hops
from shm.clock import monotonic_ns
from shm.counters import Counters, CountersReader
from shm.layout import COUNTERS_STRIDE, EventType, SegmentKind
from shm.records import OrderEvent
from shm.segment import Segment
from shm.trace import Trace

TICK = [name for name, _ in hops.TICK_HOPS]
FILL = [name for name, _ in hops.FILL_HOPS]
PENDING = 1024
NOW = 5_000_000_000_000


class Traced:
    """One venue's trace and what its block says."""

    def __init__(self, segment: Segment) -> None:
        self.trace = Trace("binance", Counters(segment))
        self._reader = CountersReader(segment)

    def counted(self) -> tuple[int, int, int]:
        found = self._reader.counters()
        complete, broken, unanswered = (found[name] for name in hops.COUNTERS)
        return complete, broken, unanswered

    def sums(self) -> dict[str, tuple[int, int]]:
        """{hop: (count, sum)} of the hops that have any."""
        words = self._reader.histogram_words()
        return {hops.venue_of(name)[1]: (int(one[0]), int(one[1])) for name, one in words.items() if one[0]}

    def answer(self, request_id: int, stamps: list[int], kind: EventType = EventType.ACCEPTED) -> None:
        """Begin with the first five stamps, end with those of the event; MiniOMS takes it over now."""
        self.trace.begin(request_id, *stamps[:5])
        event = OrderEvent()
        event.event_type, event.request_id = kind, request_id
        event.request_publish_time_ns, event.request_poll_time_ns, event.sign_time_ns = stamps[5:8]
        event.send_time_ns, event.receive_time_ns, event.publish_time_ns = stamps[8:11]
        self.trace.end(event, stamps[11])


@pytest.fixture
def traced() -> Iterator[Traced]:
    name = f"/corelane.t{os.getpid()}-{uuid.uuid4().hex[:8]}.counters"
    try:
        yield Traced(Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE))
    finally:
        Segment.remove(name)


def rising(first: int, steps: list[int]) -> list[int]:
    stamps = [first]
    for step in steps:
        stamps.append(stamps[-1] + step)
    return stamps


def test_every_hop_is_the_time_between_its_two_stamps(traced: Traced) -> None:
    begin = monotonic_ns() - 10**6
    steps = [10 * (1 + index) for index in range(11)]
    stamps = rising(begin, steps)
    before = monotonic_ns()
    traced.answer(7, stamps)
    assert traced.counted() == (1, 0, 0)
    found = traced.sums()
    assert [found[name] for name in TICK[:11]] == [(1, step) for step in steps]
    assert before - stamps[11] <= found["apply"][1] <= monotonic_ns() - stamps[11]
    assert found["tick_to_trade"] == (1, sum(steps[:8]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ways=st.lists(st.lists(st.integers(0, 10**6), min_size=11, max_size=11), min_size=1, max_size=5))
def test_the_hops_add_up_to_the_total(traced: Traced, ways: list[list[int]]) -> None:
    for number, steps in enumerate(ways, 1):
        traced.answer(number, rising(monotonic_ns() - 10**9, steps))
    found = traced.sums()
    assert found["tick_to_answer"][0] == traced.counted()[0]
    assert sum(found[name][1] for name in TICK) == found["tick_to_answer"][1]
    assert sum(found[name][1] for name in TICK[:8]) == found["tick_to_trade"][1]
    assert {found[name][0] for name in TICK} == {traced.counted()[0]}


@given(missing=st.integers(0, 11), order=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stamp_that_is_missing_or_out_of_order_breaks_the_trace(traced: Traced, missing: int, order: bool) -> None:
    if missing == 8:
        return  # no send time: that event is no answer of the venue
    stamps = rising(monotonic_ns() - 10**6, [100] * 11)
    stamps[missing] = 0 if not order or missing == 0 else stamps[missing - 1] - 1
    complete, broken, _ = traced.counted()
    recorded = traced.sums()
    traced.answer(3, stamps)
    assert traced.counted()[:2] == (complete, broken + 1)
    assert traced.sums() == recorded


def test_what_is_no_answer_of_the_venue_ends_no_trace(traced: Traced) -> None:
    stamps = rising(monotonic_ns() - 10**6, [100] * 11)
    traced.answer(4, stamps, EventType.UNKNOWN)
    refused = [*stamps]
    refused[8] = 0
    traced.answer(5, refused, EventType.REJECTED)
    event = OrderEvent()
    event.event_type, event.send_time_ns = EventType.ACCEPTED, NOW
    traced.trace.end(event, NOW)  # of no request
    event.request_id = 99
    traced.trace.end(event, NOW)  # of one that no market record led to
    assert (traced.counted(), traced.sums()) == ((0, 0, 0), {})


def test_a_trace_waits_through_sent_and_ends_once(traced: Traced) -> None:
    stamps = rising(monotonic_ns() - 10**6, [100] * 11)
    traced.trace.begin(6, *stamps[:5])
    sent = OrderEvent()
    sent.event_type, sent.request_id, sent.send_time_ns = EventType.SENT, 6, stamps[8]
    traced.trace.end(sent, stamps[9])
    assert traced.counted() == (0, 0, 0)
    traced.answer(6, stamps)
    complete = traced.counted()[0]
    traced.trace.end(sent, stamps[9])
    assert (complete, traced.counted()[0]) == (1, 1)


def test_an_answer_that_never_came_is_counted_when_its_place_is_needed(traced: Traced) -> None:
    traced.trace.begin(8, 1, 2, 3, 4, 5)
    traced.trace.begin(8 + PENDING, 1, 2, 3, 4, 5)
    assert traced.counted() == (0, 0, 1)


def test_a_fill_is_followed_until_the_position_has_moved(traced: Traced) -> None:
    begin = monotonic_ns() - 10**6
    event = OrderEvent()
    event.event_type, event.receive_time_ns, event.publish_time_ns = EventType.FILL, begin, begin + 50
    traced.trace.applied()
    traced.trace.moved()
    traced.trace.end(event, begin + 120)
    found = traced.sums()
    assert (found["fill.event"], found["fill.event_poll"]) == ((1, 50), (1, 70))
    assert sum(found[name][1] for name in FILL) == found["fill_to_position"][1] < monotonic_ns() - begin
    traced.trace.end(event, begin + 120)  # a fill that moved nothing (a duplicate) leaves no trace
    assert traced.sums()["fill_to_position"][0] == 1


def test_names_tell_their_venue_and_hop() -> None:
    assert len(set(hops.NAMES)) == len(hops.NAMES)
    for name in hops.NAMES:
        assert hops.venue_of(hops.histogram("deribit", name)) == ("deribit", name)
    assert hops.venue_of("frame_to_publish") == hops.venue_of("book.age") == ("", "")

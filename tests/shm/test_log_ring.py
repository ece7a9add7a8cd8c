"""Log lines as records: two ends of one ring, and what a line costs its writer."""

from __future__ import annotations

import time

import pytest

from shm.layout import LOG_PLAIN, LOG_RING_KINDS, LOG_TEXT_SIZE, SegmentKind, slot_stride
from shm.log_ring import DEBUG, INFO, WARNING, LogRing
from shm.ring import BroadcastReader
from shm.segment import Segment


@pytest.fixture
def segment(segment_name):
    made = Segment.create(segment_name, SegmentKind.BROADCAST_RING, 64, slot_stride(*LOG_RING_KINDS))
    yield made
    made.close()
    Segment.remove(segment_name)


def test_a_template_travels_with_its_bare_numbers(segment):
    reader, log = BroadcastReader(segment), LogRing(segment, "trader")
    log.say(DEBUG, b"order {id} took {0:.1f} us", (1 << 64) - 1, 2.5)
    line = reader.poll()
    assert (line.level, line.process, line.text) == (DEBUG, b"trader", b"order {id} took {0:.1f} us")
    assert (line.subject, line.value_count, line.values[0]) == ((1 << 64) - 1, 1, 2.5)
    assert line.publish_time_ns > 0 == line.wall_time_ns


def test_a_whole_line_stands_as_it_is_and_is_cut_where_it_does_not_fit(segment):
    reader, log = BroadcastReader(segment), LogRing(segment, "trader")
    log.line(WARNING, b"corelane.trader", b"{braces} stay " + b"x" * 500, 17)
    line = reader.poll()
    assert (line.value_count, line.wall_time_ns, len(line.text)) == (LOG_PLAIN, 17, LOG_TEXT_SIZE)
    assert line.text.startswith(b"{braces} stay x")


def test_a_line_after_one_with_more_values_does_not_inherit_them(segment):
    reader, log = BroadcastReader(segment), LogRing(segment, "trader")
    log.say(INFO, b"{0} {1}", 0, 1.0, 2.0)
    log.say(INFO, b"{0}", 0, 3.0)
    assert reader.poll().value_count == 2
    assert reader.poll().value_count == 1


def test_nobody_waits_for_a_reader_and_it_is_told_what_it_lost(segment):
    reader, log = BroadcastReader(segment), LogRing(segment, "trader")
    for number in range(1_000):
        log.say(INFO, b"{id}", number)
    while reader.poll() is not None:
        pass
    assert reader.lost > 900


def test_the_flags_follow_the_level(segment):
    log = LogRing(segment, "trader")
    wanted = []
    for level in (DEBUG, INFO, WARNING):
        log.set_level(level)
        wanted.append((log.debug, log.info))
    assert wanted == [(True, True), (False, True), (False, False)]


def test_more_values_than_a_record_holds_are_an_error_of_the_caller(segment):
    with pytest.raises(IndexError):
        LogRing(segment, "trader").say(INFO, b"", 0, 1.0, 2.0, 3.0, 4.0, 5.0)


def test_a_line_that_is_wanted_costs_a_few_microseconds_and_one_that_is_not_next_to_nothing(segment):
    log = LogRing(segment, "trader")

    def fastest_of(lines, rounds=40):
        best = float("inf")
        for _ in range(rounds):
            begin = time.perf_counter_ns()
            for number in range(lines):
                if log.debug:
                    log.say(DEBUG, b"order {id} took {0:.1f} us", number, 1.5)
            best = min(best, (time.perf_counter_ns() - begin) / lines)
        return best

    log.set_level(DEBUG)
    wanted = fastest_of(500)
    log.set_level(INFO)
    unwanted = fastest_of(500)
    assert wanted < 3_000
    assert unwanted < wanted / 10

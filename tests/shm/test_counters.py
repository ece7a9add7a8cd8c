"""shm/counters.pyx: counts that are exact and histograms within one percent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.counters import Counters, CountersReader, bucket_middles, difference, merge, percentiles
from shm.layout import (
    COUNTER_LIMIT,
    COUNTER_NAME_SIZE,
    COUNTERS_STRIDE,
    HISTOGRAM_BUCKETS,
    HISTOGRAM_LIMIT,
    SegmentKind,
)
from shm.segment import Segment, SegmentError
from tests.shm.children import children


@pytest.fixture
def block(make_segment: Callable[..., Segment]) -> Segment:
    return make_segment(SegmentKind.COUNTERS, 1, stride=COUNTERS_STRIDE)


def test_counts_are_exact_and_seen_from_outside(block: Segment) -> None:
    counters = Counters(block, counters=["frames", "gaps"])
    frames = counters.counter("frames")
    for _ in range(1000):
        frames.add()
    counters.add("gaps", 7)
    assert frames.value == 1000
    assert CountersReader(block).counters() == {"frames": 1000, "gaps": 7}


def test_a_restarted_process_goes_on_counting_whatever_it_declares_beside(block: Segment) -> None:
    first = Counters(block, counters=["a", "b"], histograms=["x", "y"])
    first.add("a", 1)
    first.add("b", 2)
    first.histogram("y").record(50)
    second = Counters(block, counters=["new", "b"], histograms=["y", "x"])
    second.declare(counters=["a"])
    second.add("b")
    second.histogram("y").record(50)
    assert CountersReader(block).counters() == {"a": 1, "b": 3, "new": 0}
    histograms = CountersReader(block).snapshot()["histograms"]
    assert (histograms["x"]["count"], histograms["y"]["count"]) == (0, 2)


def test_declaring_twice_is_the_same_counter(block: Segment) -> None:
    counters = Counters(block, counters=["a"], histograms=["x"])
    counter, histogram = counters.counter("a"), counters.histogram("x")
    counters.declare(["a"], ["x"])
    assert counters.counter("a") is counter
    assert counters.histogram("x") is histogram


def test_a_full_block_gives_way_to_names_that_are_declared_now(block: Segment) -> None:
    old = Counters(block, counters=[f"old{index}" for index in range(COUNTER_LIMIT)])
    for index in range(COUNTER_LIMIT):
        old.add(f"old{index}", 5)
    new = Counters(block, counters=["old3", "fresh"])
    new.add("fresh", 1)
    found = CountersReader(block).counters()
    assert (found["fresh"], found["old3"], len(found)) == (1, 5, COUNTER_LIMIT)


@pytest.mark.parametrize("name", ["", "x" * COUNTER_NAME_SIZE])
def test_a_name_that_does_not_fit_is_refused(block: Segment, name: str) -> None:
    with pytest.raises(ValueError, match="characters were expected"):
        Counters(block, counters=[name])
    with pytest.raises(ValueError, match="characters were expected"):
        Counters(block, histograms=[name])


def test_more_names_than_places_are_refused(block: Segment) -> None:
    with pytest.raises(ValueError, match=f"no room for 'c{COUNTER_LIMIT}'"):
        Counters(block, counters=[f"c{index}" for index in range(COUNTER_LIMIT + 1)])
    with pytest.raises(ValueError, match=f"no room for 'h{HISTOGRAM_LIMIT}'"):
        Counters(block, histograms=[f"h{index}" for index in range(HISTOGRAM_LIMIT + 1)])


def test_all_names_fit_side_by_side(block: Segment) -> None:
    names = ["n" * (COUNTER_NAME_SIZE - 3) + f"{index:02d}" for index in range(COUNTER_LIMIT)]
    counters = Counters(block, names, names[:HISTOGRAM_LIMIT])
    for index, name in enumerate(names):
        counters.add(name, index)
    for index, name in enumerate(names[:HISTOGRAM_LIMIT]):
        counters.histogram(name).record(2**36 + index)
    snapshot = CountersReader(block).snapshot()
    assert snapshot["counters"] == {name: index for index, name in enumerate(names)}
    assert {name: part["max"] for name, part in snapshot["histograms"].items()} == {
        name: 2**36 + index for index, name in enumerate(names[:HISTOGRAM_LIMIT])
    }


def test_only_a_counters_segment_holds_counters(make_segment: Callable[..., Segment]) -> None:
    segment = make_segment(SegmentKind.WORDS, 4, stride=8)
    for cls in (Counters, CountersReader):
        with pytest.raises(SegmentError, match="counters were expected"):
            cls(segment)


def record_all(block: Segment, values: list[int], name: str = "hop") -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    histogram = Counters(block, histograms=[name]).histogram(name)
    for value in values:
        histogram.record(value)
    return CountersReader(block).histogram_words()[name]


NANOSECONDS = st.one_of(st.integers(100, 60 * 10**9), st.floats(2, 11).map(lambda power: int(10**power) % (60 * 10**9)))


@settings(max_examples=200, deadline=None)
@given(values=st.lists(NANOSECONDS, min_size=1, max_size=60))
def test_percentiles_are_within_one_percent_from_100_ns_to_60_s(values: list[int]) -> None:
    name = "/corelane.testcounters"
    Segment.remove(name)
    try:
        words = record_all(Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE), values)
    finally:
        Segment.remove(name)
    found = percentiles(words)
    ordered = sorted(values)
    assert found["count"] == len(values)
    assert found["max"] == ordered[-1]
    for share, got in ((0.5, found["p50"]), (0.9, found["p90"]), (0.99, found["p99"]), (0.999, found["p999"])):
        exact = ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1]
        assert abs(got - exact) <= 0.01 * exact
    assert int(words[1]) == sum(values)
    assert (int(words[2]), int(words[0])) == (ordered[0], len(ordered))


def test_every_bucket_is_within_one_percent_of_its_values(block: Segment) -> None:
    middles = bucket_middles()
    assert len(middles) == HISTOGRAM_BUCKETS
    assert (np.diff(middles) > 0).all()
    edges = sorted(
        {bound + shift for power in range(7, 36) for bound in (2**power, 3 * 2 ** (power - 1)) for shift in (-1, 0, 1)}
    )
    words = record_all(block, edges)
    assert int(words[4:].sum()) == len(edges)
    for value in edges:
        nearest = middles[np.abs(middles - value).argmin()]
        assert abs(nearest - value) <= 0.008 * value


def test_extremes_stand_in_the_first_and_last_bucket(block: Segment) -> None:
    words = record_all(block, [-5, 0, 2**37, 2**62])
    assert int(words[4]) == 2
    assert int(words[-1]) == 2
    assert percentiles(words)["max"] == 2**62


def test_an_empty_histogram_is_all_zero(block: Segment) -> None:
    assert percentiles(record_all(block, [])) == {"count": 0, "p50": 0, "p90": 0, "p99": 0, "p999": 0, "max": 0}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(NANOSECONDS, max_size=20), max_size=4))
def test_merged_histograms_are_the_histogram_of_everything(groups: list[list[int]]) -> None:
    name = "/corelane.testcounters"
    Segment.remove(name)
    try:
        block = Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE)
        parts = [record_all(block, group, f"part{index}") for index, group in enumerate(groups)]
        everything = record_all(block, [value for group in groups for value in group], "all")
    finally:
        Segment.remove(name)
    assert merge(parts).tolist() == everything.tolist()


def test_a_difference_is_the_interval_between_two_snapshots(block: Segment) -> None:
    older = record_all(block, [100, 10**9])
    newer = record_all(block, [5000, 7000, 7000])
    interval = difference(newer, older)
    assert int(interval[0]) == 3
    assert percentiles(interval)["count"] == 3
    assert percentiles(interval)["p50"] == pytest.approx(7000, rel=0.01)
    assert int(interval[2]) == pytest.approx(5000, rel=0.01)
    assert int(interval[3]) == pytest.approx(7000, rel=0.01)
    assert percentiles(difference(newer, newer))["max"] == 0


def count_up(name: str, turns: int) -> None:
    counters = Counters(Segment.attach(name), counters=["turns"], histograms=["hop"])
    turn, hop = counters.counter("turns"), counters.histogram("hop")
    for index in range(turns):
        turn.add()
        hop.record(index)


def test_a_reader_in_another_process_sees_counts_only_rise(block: Segment) -> None:
    turns = 100_000
    reader = CountersReader(block)
    Counters(block, counters=["turns"], histograms=["hop"])
    with children() as start:
        child = start(count_up, block.name, turns)
        seen = [0]
        while child.running:
            seen.append(reader.counters()["turns"])
        child.result()
    assert seen == sorted(seen)
    snapshot = reader.snapshot()
    assert snapshot["counters"]["turns"] == snapshot["histograms"]["hop"]["count"] == turns

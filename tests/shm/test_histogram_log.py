"""shm/histogram_log.py: what it writes is read back by an independent reader, where that is installed."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shm.counters import Counters, CountersReader
from shm.histogram_log import HistogramLog, encode
from shm.layout import COUNTERS_STRIDE, HISTOGRAM_BUCKETS, SegmentKind
from shm.segment import Segment


def words_of(make_segment: Callable[..., Segment], values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    segment = make_segment(SegmentKind.COUNTERS, 1, stride=COUNTERS_STRIDE)
    histogram = Counters(segment, histograms=["hop"]).histogram("hop")
    for value in values:
        histogram.record(value)
    return CountersReader(segment).histogram_words()["hop"]


def decode(text: str) -> dict[int, int]:
    """{lowest value of the HdrHistogram bucket: count}, by the format's description and nothing of ours."""
    data = base64.b64decode(text)
    cookie, length = struct.unpack_from(">II", data)
    assert cookie == 0x1C849314
    assert len(data) == 8 + length
    body = zlib.decompress(data[8:])
    cookie, length, offset, digits, lowest, highest, ratio = struct.unpack_from(">IIIIqqd", body)
    assert (cookie, offset, digits, lowest, ratio) == (0x1C849313, 0, 3, 1, 1.0)
    assert highest > 60 * 10**9
    payload, position, index = body[40:], 0, 0
    assert len(payload) == length
    result = {}
    while position < length:
        value = shift = 0
        for nth in range(9):
            byte = payload[position]
            position += 1
            value |= (byte if nth == 8 else byte & 0x7F) << shift
            shift += 7
            if nth == 8 or not byte & 0x80:
                break
        count = (value >> 1) ^ -(value & 1)
        if count < 0:
            index -= count
            continue
        if count:
            bucket, sub = divmod(index, 1024)
            result[sub if bucket == 0 else (sub + 1024) << bucket - 1] = count
        index += 1
    return result


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 60 * 10**9), max_size=40))
def test_every_count_comes_back_within_one_percent(values: list[int]) -> None:
    words = np.zeros(4 + HISTOGRAM_BUCKETS, dtype=np.uint64)
    name = "/corelane.testhistogramlog"
    try:
        segment = Segment.create(name, SegmentKind.COUNTERS, 1, COUNTERS_STRIDE)
        histogram = Counters(segment, histograms=["hop"]).histogram("hop")
        for value in values:
            histogram.record(value)
        words = CountersReader(segment).histogram_words()["hop"]
    finally:
        Segment.remove(name)
    found = [value for value, count in decode(encode(words)).items() for _ in range(count)]
    assert len(found) == len(values)
    for value, expected in zip(sorted(found), sorted(values), strict=True):
        assert abs(value - expected) <= max(1, expected * 0.01)


def test_an_empty_histogram_is_a_valid_one() -> None:
    assert decode(encode(np.zeros(4 + HISTOGRAM_BUCKETS, dtype=np.uint64))) == {}


def test_large_counts_take_all_nine_bytes() -> None:
    words = np.zeros(4 + HISTOGRAM_BUCKETS, dtype=np.uint64)
    words[4 + 5] = 2**62
    words[2] = words[3] = 5
    assert decode(encode(words)) == {5: 2**62}


def test_the_text_begins_as_every_hdr_log_does(make_segment: Callable[..., Segment]) -> None:
    assert encode(words_of(make_segment, [1, 2, 3])).startswith("HISTFAAAA")


def test_the_log_has_the_headers_and_a_line_per_interval(make_segment: Callable[..., Segment]) -> None:
    stream = io.StringIO()
    log = HistogramLog(stream, 1_700_000_000.0)
    log.interval(words_of(make_segment, [1_500_000]), 0.0, 1.0, "frame_to_publish")
    log.interval(words_of(make_segment, [2]), 1.0, 1.0)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "#[Histogram log format version 1.3]"
    assert lines[1].startswith("#[StartTime: 1700000000.000 (seconds since epoch), 2023-11-14T")
    assert lines[3] == '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"'
    assert lines[4].startswith("Tag=frame_to_publish,0.000,1.000,1.500,HISTFAAAA")
    assert lines[5].startswith("1.000,1.000,0.000,HISTFAAAA")
    with pytest.raises(ValueError, match="no commas"):
        log.interval(words_of(make_segment, []), 0, 1, "a,b")


def test_the_hdrhistogram_package_reads_the_same_percentiles(
    make_segment: Callable[..., Segment], tmp_path: Path
) -> None:
    reader = pytest.importorskip("hdrh.log", reason="the hdrhistogram package is not installed")
    histogram = pytest.importorskip("hdrh.histogram")
    generator = np.random.default_rng(5)
    values = (generator.lognormal(9, 2, 20_000)).astype(np.int64).tolist()
    path = tmp_path / "latency.hlog"
    with path.open("w") as stream:
        HistogramLog(stream, 1_700_000_000.0).interval(words_of(make_segment, values), 0.0, 1.0)
    total = histogram.HdrHistogram(1, 2**37, 3)
    log = reader.HistogramLogReader(str(path), total)
    read = log.get_next_interval_histogram()
    log.close()
    assert read.get_total_count() == len(values)
    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = sorted(values)[max(1, int(percent * len(values) / 100 + 0.5)) - 1]
        assert read.get_value_at_percentile(percent) == pytest.approx(exact, rel=0.01)

"""Latency histograms in HdrHistogram's interval log format, so that its plotters and tools read ours.

A line is `Tag=<name>,<start s>,<length s>,<maximum ms>,<HISTF…>`; the last part is base64 of the compressed V2
encoding: a header, then the counts as zigzag LEB128 numbers in which a negative one stands for that many empty buckets.
The whole encoding is the forty lines below, so the project carries them instead of a library with a compiled half.
Format: https://github.com/HdrHistogram/HdrHistogram (AbstractHistogram.encodeIntoCompressedByteBuffer,
HistogramLogWriter, version 1.3).

Our buckets (counters.pyx) are coarser than the three significant digits written here, so the export adds at most 0.05 %
to their 0.8 %. Called by whoever reports latency: the monitor, benches.
"""

from __future__ import annotations

import base64
import struct
import zlib
from datetime import UTC, datetime
from typing import Final, TextIO

import numpy as np
import numpy.typing as npt

from shm.counters import bucket_middles
from shm.layout import HISTOGRAM_TOP_BIT

_COOKIE: Final = 0x1C849303 | 0x10
_COMPRESSED_COOKIE: Final = 0x1C849304 | 0x10
_SIGNIFICANT_DIGITS: Final = 3
_HALF_MAGNITUDE: Final = 10
"""2**11 sub-buckets: the smallest power of two above 2 * 10**3."""
_HIGHEST_VALUE: Final = (2 << HISTOGRAM_TOP_BIT) - 1


def encode(words: npt.NDArray[np.uint64]) -> str:
    """One histogram's words (CountersReader.histogram_words, merge or difference) as `HISTF…` text."""
    filled = np.flatnonzero(words[4:])
    counts: dict[int, int] = {}
    middles = bucket_middles()
    for bucket in filled:
        # Never outside of what was recorded: a bucket's middle may be above the maximum or below the minimum.
        value = min(max(int(middles[bucket]), int(words[2])), int(words[3]), _HIGHEST_VALUE)
        index = _hdr_index(value)
        counts[index] = counts.get(index, 0) + int(words[4 + bucket])
    payload = bytearray()
    position = 0
    for index in sorted(counts):
        if index > position:
            payload += _zigzag(position - index)
        payload += _zigzag(counts[index])
        position = index + 1
    header = struct.pack(
        ">IIIIqqd", _COOKIE, len(payload), 0, _SIGNIFICANT_DIGITS, 1, _HIGHEST_VALUE, 1.0
    )  # fmt: skip
    compressed = zlib.compress(header + bytes(payload))
    return base64.b64encode(struct.pack(">II", _COMPRESSED_COOKIE, len(compressed)) + compressed).decode()


def _hdr_index(value: int) -> int:
    """Index of a value in HdrHistogram's counts array (countsArrayIndex)."""
    bucket = (value | (2 << _HALF_MAGNITUDE) - 1).bit_length() - (_HALF_MAGNITUDE + 1)
    return (bucket + 1 << _HALF_MAGNITUDE) + (value >> bucket) - (1 << _HALF_MAGNITUDE)


def _zigzag(value: int) -> bytes:
    """Signed 64 bits as zigzag LEB128 of at most nine bytes: the ninth carries eight bits."""
    rest = (value << 1) ^ (value >> 63)
    result = bytearray()
    while rest > 0x7F and len(result) < 8:
        result.append(rest & 0x7F | 0x80)
        rest >>= 7
    result.append(rest)
    return bytes(result)


class HistogramLog:
    """Writes the log; times of intervals are seconds since `start_time_s` (UTC seconds since 1970)."""

    def __init__(self, stream: TextIO, start_time_s: float) -> None:
        self._stream = stream
        start = datetime.fromtimestamp(start_time_s, UTC).isoformat()
        stream.write("#[Histogram log format version 1.3]\n")
        stream.write(f"#[StartTime: {start_time_s:.3f} (seconds since epoch), {start}]\n")
        stream.write(f"#[BaseTime: {start_time_s:.3f} (seconds since epoch)]\n")
        stream.write('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')

    def interval(self, words: npt.NDArray[np.uint64], start_s: float, length_s: float, tag: str = "") -> None:
        """One interval of one hop. ValueError for a tag that the format cannot carry."""
        if any(character in tag for character in ', \r\n"'):
            raise ValueError(f"tag {tag!r}: no commas, spaces or quotes can stand in a histogram log's tag")
        prefix = f"Tag={tag}," if tag else ""
        self._stream.write(f"{prefix}{start_s:.3f},{length_s:.3f},{int(words[3]) / 1e6:.3f},{encode(words)}\n")

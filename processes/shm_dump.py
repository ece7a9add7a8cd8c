"""What stands in a segment, as JSON lines: records of rings, rows of tables, words, counters; once, or followed.

The rule: it only reads along (an observer of rings, a reader of rows), so it may look at a running set without
changing what anybody sees. A lap is a line of its own with the number of records lost. Codes are written by name,
prices of orders stay the mantissas that they are. Called by `corelane shm dump` (and `replay`, for `plain`); functions
and a generator, so that tests read the lines.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

from shm import layout
from shm.counters import CountersReader
from shm.layout import RecordKind, SegmentKind
from shm.limits import LimitTable
from shm.record import Record
from shm.records import RECORD_CLASSES
from shm.ring import BroadcastReader
from shm.segment import Segment
from shm.table import TableReader, Words
from shm.wait import Backoff

_CODES: Final[dict[str, type[IntEnum]]] = {
    "venue": layout.Venue,
    "side": layout.Side,
    "aggressor_side": layout.Side,
    "order_type": layout.OrderType,
    "time_in_force": layout.TimeInForce,
    "request_type": layout.RequestType,
    "event_type": layout.EventType,
    "order_state": layout.OrderState,
    "reason": layout.Reason,
    "liquidity": layout.Liquidity,
    "phase": layout.RecoveryPhase,
    "contract_kind": layout.ContractKind,
}
_CODES_BY_KIND: Final[dict[tuple[RecordKind, str], type[IntEnum]]] = {
    (RecordKind.MARKET_STATUS, "code"): layout.MarketStatusCode,
    (RecordKind.AUDIT_DIFFERENCE, "subject"): layout.AuditSubject,
    (RecordKind.INSTRUMENT_ROW, "status"): layout.InstrumentStatus,
    (RecordKind.BOOK_ROW, "status"): layout.MarketStatusCode,
    (RecordKind.PROCESS_ROW, "state"): layout.ProcessState,
}
LONGEST_SLEEP_S: Final = 0.02


def lines(segment: Segment, *, follow: bool = False, stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """One JSON object per line: everything the segment holds now, oldest first; with `follow` what comes, until `stop`.

    Raises SegmentError for a segment of no readable kind.
    """
    for item in _items(segment, follow, stop):
        yield json.dumps(item, ensure_ascii=False, allow_nan=False)


def _items(segment: Segment, follow: bool, stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    if segment.kind is SegmentKind.TABLE:
        look: Callable[[], Iterator[dict[str, Any]]] = _Rows(segment).changed
    elif segment.kind is SegmentKind.WORDS:
        look = _WordValues(segment).changed
    elif segment.kind is SegmentKind.LIMITS:
        look = _LimitBuckets(segment).changed
    elif segment.kind is SegmentKind.COUNTERS:
        look = _CounterValues(segment).changed
    else:
        look = _Records(segment).new
    idle = Backoff(longest_s=LONGEST_SLEEP_S)
    while True:
        found = 0
        for item in look():
            found += 1
            yield item
        if not follow or stop():
            return
        idle.idle(found)


def plain(record: Record) -> dict[str, Any]:
    """A record's fields for JSON: kind and codes by name, NaN as null."""
    kind = RecordKind(record.kind_code)
    result: dict[str, Any] = {"kind": kind.name}
    for name, value in record.to_dict().items():
        codes = _CODES_BY_KIND.get((kind, name)) or _CODES.get(name)
        if codes is not None and value in codes._value2member_map_:
            result[name] = codes(value).name
        elif isinstance(value, list):
            result[name] = [_finite(item) for item in value]
        else:
            result[name] = _finite(value)
    return result


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Records:
    """A ring from the oldest record that its slots still hold."""

    def __init__(self, segment: Segment) -> None:
        cursor = int(segment.header["cursor"][0])
        self._reader = BroadcastReader(segment, from_sequence=max(1, cursor - segment.capacity + 1))
        self._lost = 0

    def new(self) -> Iterator[dict[str, Any]]:
        reader = self._reader
        while (record := reader.poll()) is not None:
            if reader.lost != self._lost:
                yield {"lost": reader.lost - self._lost}
                self._lost = reader.lost
            yield {"sequence": record.sequence, **plain(record)}


class _Rows:
    """Rows that were written since the last look. A row that is not stable is looked at again the next time."""

    def __init__(self, segment: Segment) -> None:
        self._table = TableReader(segment)
        room = segment.stride - layout.SLOT_HEADER_SIZE
        self._records = [cls() for code, cls in RECORD_CLASSES.items() if cls.dtype.itemsize <= room and code >= 32]
        self._versions = [0] * segment.capacity

    def changed(self) -> Iterator[dict[str, Any]]:
        for row, known in enumerate(self._versions):
            version = self._table.version(row)
            if version == known:
                continue
            for record in self._records:
                if self._table.read(row, record):
                    self._versions[row] = record.sequence
                    yield {"row": row, "version": record.sequence, **plain(record)}
                    break


class _WordValues:
    """Words that are not 0, then those that changed."""

    def __init__(self, segment: Segment) -> None:
        self._words = Words(segment)
        self._known = [0] * segment.capacity

    def changed(self) -> Iterator[dict[str, Any]]:
        for index, known in enumerate(self._known):
            value = self._words.load(index)
            if value != known:
                self._known[index] = value
                name = layout.Word(index).name if index in layout.Word._value2member_map_ else str(index)
                yield {"word": name, "value": value}


class _LimitBuckets:
    """Buckets that are claimed, then those that changed."""

    def __init__(self, segment: Segment) -> None:
        self._table = LimitTable(segment)
        self._known: dict[str, dict[str, Any]] = {}

    def changed(self) -> Iterator[dict[str, Any]]:
        for row in self._table.rows():
            if self._known.get(row["name"]) != row:
                self._known[row["name"]] = row
                yield row


class _CounterValues:
    """The whole block whenever it changed, at most once a second."""

    def __init__(self, segment: Segment) -> None:
        self._reader = CountersReader(segment)
        self._known: Any = None
        self._next_s = 0.0

    def changed(self) -> Iterator[dict[str, Any]]:
        if time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + 1.0
        snapshot = self._reader.snapshot()
        if snapshot != self._known:
            self._known = snapshot
            yield dict(snapshot)

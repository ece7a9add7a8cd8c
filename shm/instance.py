"""Everything of one instance by name: its segments, ids, folders. Several instances live side by side on one host.

`corelane shm create` calls `create`; every other process makes an Instance from the same configuration and attaches.

    /dev/shm/corelane.<instance>.<segment>      rings, tables, words, counters
    /dev/shm/corelane.host.<venue>.<env…>       limits of a venue, shared by all instances (shm/host.py)
    <run dir>/<process>.ctl, bells/<n>.bell     sockets and doorbells, gone with the set
    <state dir>/instruments/<venue>.json        append-only symbol -> id table
    <state dir>/processes.json                  append-only process -> row table (also the doorbell id)
    <state dir>/locks, journal, …               what must survive a reboot
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shm import host
from shm.layout import (
    COUNTERS_STRIDE,
    DOORBELLS,
    EVENT_RING_KINDS,
    LOG_RING_KINDS,
    MARKET_RING_KINDS,
    REQUEST_RING_KINDS,
    ROW_MASK,
    WORD_COUNT,
    RecordKind,
    SegmentKind,
    Venue,
    instrument_id,
    slot_stride,
)
from shm.limits import LimitTable
from shm.segment import Segment, SegmentError

VENUE_CODES: Final[dict[str, Venue]] = {"binance": Venue.BINANCE, "deribit": Venue.DERIBIT, "grvt": Venue.GRVT}
INSTRUMENT_ROWS: Final = 1024
"""Rows of a venue's tables. Growing them needs new segments, so room for every listed future of a venue is cheap."""
BALANCE_ROWS: Final = 64
STRATEGY_ROWS: Final = 512
"""Strategies times their instruments."""
LOG_RING_SLOTS: Final = 2048
"""Lines that one process may be ahead of the logger before some are dropped."""


@dataclass(frozen=True)
class VenueSegments:
    """What `create` needs to know of one venue: its instruments and the slots of its rings (powers of two)."""

    symbols: list[str]
    market_ring_slots: int = 1 << 14
    request_ring_slots: int = 1 << 10
    event_ring_slots: int = 1 << 14


class InstrumentIds:
    """The append-only symbol -> id table of one venue. Ids never move when the configuration changes."""

    def __init__(self, venue: str, rows: dict[str, int]) -> None:
        self.venue = venue
        self._ids = {symbol: instrument_id(VENUE_CODES[venue], row) for symbol, row in rows.items()}
        self._symbols = {identifier: symbol for symbol, identifier in self._ids.items()}

    def id(self, symbol: str) -> int:
        """Raises KeyError for a symbol that was never configured."""
        return self._ids[symbol]

    def symbol(self, identifier: int) -> str:
        return self._symbols[identifier]

    def row(self, symbol: str) -> int:
        return self._ids[symbol] & ROW_MASK

    @property
    def symbols(self) -> list[str]:
        return list(self._ids)


@dataclass
class Instance:
    name: str
    number: int
    run_dir: Path
    state_dir: Path
    _attached: dict[str, Segment] = field(default_factory=dict, repr=False)
    _limits: dict[str, host.HostLimits] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", self.name):
            raise SegmentError(
                f"instance name {self.name!r}: 1 to 32 letters, digits, - and _ were expected, it names files"
            )
        if self.name == host.HOST_INSTANCE:
            raise SegmentError(f"instance name {self.name!r} is taken: it names the segments that all instances share")

    # --- names ------------------------------------------------------------------------------------------------------
    def segment_name(self, logical: str) -> str:
        return f"/corelane.{self.name}.{logical}"

    @property
    def bell_folder(self) -> Path:
        return self.run_dir / "bells"

    @property
    def lock_folder(self) -> Path:
        return self.state_dir / "locks"

    def journal_path(self, venue: str) -> Path:
        return self.state_dir / "journal" / venue

    # --- making and removing ----------------------------------------------------------------------------------------
    def specifications(
        self, venues: dict[str, VenueSegments], processes: list[str]
    ) -> dict[str, tuple[SegmentKind, int, int]]:
        """{logical name: (kind, capacity, stride)} of every segment this configuration needs."""
        result: dict[str, tuple[SegmentKind, int, int]] = {
            "words": (SegmentKind.WORDS, WORD_COUNT, 8),
            "status": (SegmentKind.TABLE, DOORBELLS, slot_stride(RecordKind.PROCESS_ROW)),
            "strategies": (SegmentKind.TABLE, STRATEGY_ROWS, slot_stride(RecordKind.STRATEGY_ROW)),
        }
        for venue, spec in venues.items():
            for ring, kind, slots, kinds in (
                ("market", SegmentKind.BROADCAST_RING, spec.market_ring_slots, MARKET_RING_KINDS),
                ("requests", SegmentKind.LOSSLESS_RING, spec.request_ring_slots, REQUEST_RING_KINDS),
                ("events", SegmentKind.LOSSLESS_RING, spec.event_ring_slots, EVENT_RING_KINDS),
            ):
                if slots < 8 or slots & (slots - 1):
                    raise SegmentError(
                        f"{venue}: a ring of {slots} slots was asked for, a power of two from 8 is expected"
                    )
                result[f"{venue}.{ring}"] = (kind, slots, slot_stride(*kinds))
            for table, row_kind, rows in (
                ("instruments", RecordKind.INSTRUMENT_ROW, INSTRUMENT_ROWS),
                ("books", RecordKind.BOOK_ROW, INSTRUMENT_ROWS),
                ("tickers", RecordKind.TICKER_ROW, INSTRUMENT_ROWS),
                ("positions", RecordKind.POSITION_ROW, INSTRUMENT_ROWS),
                ("balances", RecordKind.BALANCE_ROW, BALANCE_ROWS),
            ):
                result[f"{venue}.{table}"] = (SegmentKind.TABLE, rows, slot_stride(row_kind))
        for process in processes:
            result[f"counters.{process}"] = (SegmentKind.COUNTERS, 1, COUNTERS_STRIDE)
            result[f"log.{process}"] = (SegmentKind.BROADCAST_RING, LOG_RING_SLOTS, slot_stride(*LOG_RING_KINDS))
        return result

    def create(
        self, venues: dict[str, VenueSegments], processes: list[str], mode: int = 0o600, group: int = -1
    ) -> list[str]:
        """Make every segment and id the configuration needs; what exists in the same shape stays as it is.

        Returns the logical names. Raises SegmentError; what this call made is removed again then.
        """
        specifications = self.specifications(venues, processes)
        for folder in (self.run_dir, self.state_dir, self.bell_folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for venue, spec in venues.items():
            self._check_ids(venue)
            _extend(self._instruments_path(venue), spec.symbols, INSTRUMENT_ROWS)
        _extend(self._processes_path, processes, DOORBELLS)
        existed = set(Segment.names(self.segment_name("")))
        made: list[str] = []
        try:
            for logical, (kind, capacity, stride) in specifications.items():
                name = self.segment_name(logical)
                Segment.create(name, kind, capacity, stride, mode, group).close()
                made.append(name)
            for venue in venues:
                self._note_ids(venue)
        except SegmentError:
            for name in made:
                if name not in existed:
                    Segment.remove(name)
            raise
        return list(specifications)

    def remove(self) -> list[str]:
        """Unlink every segment of this instance, also those of earlier configurations, and those of the host that
        nobody needs any more. Returns the names of the instance's."""
        removed = [name for name in Segment.names(self.segment_name("")) if Segment.remove(name)]
        host.sweep()
        return removed

    # --- attaching --------------------------------------------------------------------------------------------------
    def segment(self, logical: str) -> Segment:
        """Attach once and keep. Raises SegmentError."""
        segment = self._attached.get(logical)
        if segment is None:
            segment = Segment.attach(self.segment_name(logical))
            segment.bell_folder = str(self.bell_folder)
            self._attached[logical] = segment
        return segment

    def attached(self) -> dict[str, Segment]:
        """{logical name: segment} of what this process has attached so far."""
        return dict(self._attached)

    def lost_segment(self, turn: int) -> str | None:
        """The name of one attached segment where it was removed or made anew meanwhile. Looks at one a call, by `turn`,
        so that a hot loop may ask."""
        attached = list(self._attached.values())
        segment = attached[turn % len(attached)] if attached else None
        return segment.name if segment is not None and not segment.is_linked() else None

    def limits(self, venue: str, environment: str, url: str | None = None) -> LimitTable:
        """The host's limits of a venue (see shm/host.py), attached once and kept, made where they are missing. url: the
        venue's, where it is not the environment's own. Raises SegmentError."""
        name = host.limits_name(venue, environment, url)
        if name not in self._limits:
            self._limits[name] = host.HostLimits(name)
        return self._limits[name].table

    def close(self) -> None:
        for segment in self._attached.values():
            segment.close()
        self._attached.clear()
        for limits in self._limits.values():
            limits.close()
        self._limits.clear()

    # --- ids --------------------------------------------------------------------------------------------------------
    def _instruments_path(self, venue: str) -> Path:
        return self.state_dir / "instruments" / f"{venue}.json"

    @property
    def _processes_path(self) -> Path:
        return self.state_dir / "processes.json"

    def instruments(self, venue: str) -> InstrumentIds:
        """Raises SegmentError where `create` never ran for this venue, or its tables were made for other ids."""
        self._check_ids(venue)
        return InstrumentIds(venue, _load(self._instruments_path(venue)))

    def _check_ids(self, venue: str) -> None:
        """The segments outlive a lost state directory: rows numbered by another id table would be taken for others."""
        name = self.segment_name(f"{venue}.instruments")
        if name not in Segment.names(name):
            return
        segment = Segment.attach(name)
        known = int(segment.header["tail"][0])
        segment.close()
        path = self._instruments_path(venue)
        if known and not (path.exists() and known in _table_hashes(_load(path))):
            raise SegmentError(
                f"segment {name} was made for another id table than {path}; stop the processes and run "
                "`corelane shm rm`, then `create`"
            )

    def _note_ids(self, venue: str) -> None:
        segment = Segment.attach(self.segment_name(f"{venue}.instruments"))
        segment.header["tail"] = _table_hashes(_load(self._instruments_path(venue)))[-1]
        segment.close()

    def process_row(self, process: str) -> int:
        """Row of the process in the status table, and its doorbell id."""
        rows = _load(self._processes_path)
        if process not in rows:
            raise SegmentError(f"process {process} is not known to instance {self.name}; run `corelane shm create`")
        return rows[process]

    def processes(self) -> dict[str, int]:
        """{process: row} of every process this instance ever had."""
        return _load(self._processes_path)


def _load(path: Path) -> dict[str, int]:
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError:
        raise SegmentError(f"{path} does not exist; `corelane shm create` makes it") from None
    except OSError as error:
        raise SegmentError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SegmentError(f"{path} is not the id table it should be: {error}") from None
    if not isinstance(rows, dict) or not all(type(row) is int and 0 <= row <= ROW_MASK for row in rows.values()):
        raise SegmentError(f"{path} is not the id table it should be: names with row numbers were expected")
    if len(set(rows.values())) != len(rows):
        raise SegmentError(f"{path} is not the id table it should be: one row is given to two names")
    return rows


def _extend(path: Path, names: list[str], limit: int) -> None:
    """Give every new name the next free number; existing ones keep theirs. Replaced atomically."""
    rows = _load(path) if path.exists() else {}
    missing = [name for name in dict.fromkeys(names) if name not in rows]
    if not missing and path.exists():
        return
    for name in missing:
        rows[name] = max(rows.values(), default=-1) + 1
    if max(rows.values(), default=-1) >= limit:
        raise SegmentError(f"{path} would hold {len(rows)} names, {limit} at most are possible")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(fd, "w") as stream:
        json.dump(rows, stream, indent=0)
        stream.flush()
        os.fsync(stream.fileno())
    Path(temporary).replace(path)


def _table_hashes(rows: dict[str, int]) -> list[int]:
    """64 bits over an id table, never 0, of each state that it went through by appending; the last is that of today."""
    digest = hashlib.sha256()
    hashes = [int.from_bytes(digest.digest()[:8], "little") | 1]
    for name, row in sorted(rows.items(), key=lambda item: item[1]):
        digest.update(f"{row}:{name}\n".encode())
        hashes.append(int.from_bytes(digest.digest()[:8], "little") | 1)
    return hashes

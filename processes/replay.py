"""What a recording holds: as JSON lines, in short, or as Parquet.

The rule: it reads, so any file that a recorder left (also one that still grows, or whose writer was killed) is good;
what is torn, damaged or was missed is said, never skipped in silence. Records of an older layout are read by the layout
that the file describes. Called by `corelane replay`; generators, so that tests read the lines.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from processes.exit_codes import ExitCode, Failure
from processes.shm_dump import plain
from shm.recording import Entry, Recording, RecordingError
from shm.records import RECORD_CLASSES

ROWS_AT_ONCE: Final = 65_536
"""Of one row group in Parquet."""
ALWAYS: Final = 1 << 62


@dataclass(frozen=True)
class Chosen:
    """A recording and the part of it that is wanted; times are CLOCK_MONOTONIC ns of the recorded host."""

    recording: Recording
    sources: list[str]
    from_ns: int
    to_ns: int

    def entries(self) -> Iterator[Entry]:
        for entry in self.recording.entries(self.from_ns, self.to_ns, self.sources):
            if entry.missed or self.from_ns <= self._time(entry) <= self.to_ns:
                yield entry

    def _time(self, entry: Entry) -> int:
        names = self.recording.dtypes[entry.kind].names or ()
        field = "publish_time_ns" if "publish_time_ns" in names else "receive_time_ns"
        return int(self.recording.array(entry.data, entry.kind)[field][0])


def choose(path: Path, sources: list[str], begin: str, end: str) -> Chosen:
    """Open a recording. Raises Failure for a file that is none, an unknown source, or a time that cannot be read."""
    try:
        recording = Recording(path)
    except RecordingError as error:
        raise Failure(str(error), ExitCode.CONFIG) from None
    for name in sources:
        if name not in recording.sources:
            raise Failure(f"--source: found {name}, expected one of {', '.join(recording.sources)}", ExitCode.CONFIG)
    return Chosen(
        recording,
        sources or recording.sources,
        _moment("--from", begin, recording) if begin else 0,
        _moment("--to", end, recording) if end else ALWAYS,
    )


def _moment(option: str, text: str, recording: Recording) -> int:
    try:
        return int(recording.begin_ns) + round(float(text) * 1e9)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(
            f"{option}: found {text!r}, expected UTC like 2026-01-31T12:00:00 or seconds since the beginning",
            ExitCode.CONFIG,
        ) from None
    utc_ns = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e9)
    return utc_ns - int(recording.utc_offset_ns)


# --- as text --------------------------------------------------------------------------------------------------------
def lines(chosen: Chosen) -> Iterator[str]:
    """One JSON object per record, in the order of recording; a loss is a line of its own."""
    for entry in chosen.entries():
        if entry.missed:
            yield json.dumps({"source": entry.source, "missed": entry.missed})
        else:
            fields = {"source": entry.source, "sequence": entry.sequence, **_fields(chosen.recording, entry)}
            yield json.dumps(fields, ensure_ascii=False, allow_nan=False)


def _fields(recording: Recording, entry: Entry) -> dict[str, Any]:
    if recording.of_this_layout:
        record = RECORD_CLASSES[entry.kind]()
        record.load(entry.data)
        return plain(record)
    row = recording.array(entry.data, entry.kind)[0]
    result: dict[str, Any] = {"kind": recording.kind_names[entry.kind]}
    for name in row.dtype.names or ():
        value = row[name].tolist()
        result[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else _finite(value)
    return result


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def info(chosen: Chosen) -> Iterator[str]:
    """What the whole file holds, for people."""
    recording = chosen.recording
    blocks = recording.blocks()
    counts: Counter[tuple[str, str]] = Counter()
    missed: Counter[str] = Counter()
    for entry in recording.entries():
        if entry.missed:
            missed[entry.source] += entry.missed
        else:
            counts[entry.source, recording.kind_names[entry.kind].lower()] += 1
    begin = datetime.fromtimestamp((recording.begin_ns + recording.utc_offset_ns) / 1e9, UTC)
    yield f"{recording.path}: instance {recording.instance}, begun {begin:%Y-%m-%d %H:%M:%S} UTC"
    if blocks:
        seconds = (blocks[-1].last_time_ns - recording.begin_ns) / 1e9
        yield f"  {len(blocks):,} blocks, {sum(counts.values()):,} records, {seconds:,.1f} s, {recording.size:,} bytes"
    for (source, kind), count in sorted(counts.items()):
        yield f"  {source:<24} {kind:<18} {count:>12,}"
    for source, count in sorted(missed.items()):
        yield f"  {source:<24} {'missed':<18} {count:>12,}"
    if recording.torn_bytes:
        yield f"  the last {recording.torn_bytes:,} bytes are no whole block: its writer was killed, or writes on"
    if not recording.of_this_layout:
        yield f"  made with layout {recording.layout_version}, another than today's"


# --- as Parquet -----------------------------------------------------------------------------------------------------
def to_parquet(chosen: Chosen, folder: Path) -> list[tuple[Path, int]]:
    """One file per kind of record; each file with its number of rows. Array fields become lists. Raises Failure where
    pyarrow is missing or the folder cannot be written."""
    try:
        pa, pq = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise Failure("--parquet needs pyarrow: pip install 'corelane[parquet]'", ExitCode.CONFIG) from None
    recording = chosen.recording
    buffers: dict[int, list[tuple[str, int, bytes]]] = {}
    writers: dict[int, Any] = {}
    counts: Counter[int] = Counter()

    def write(kind: int) -> None:
        rows = buffers.pop(kind)
        table = pa.table(_columns(recording, kind, rows))
        if kind not in writers:
            path = folder / f"{recording.path.stem}.{recording.kind_names[kind].lower()}.parquet"
            writers[kind] = pq.ParquetWriter(path, table.schema, compression="zstd")
        writers[kind].write_table(table)
        counts[kind] += len(rows)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in chosen.entries():
            if not entry.missed:
                buffers.setdefault(entry.kind, []).append((entry.source, entry.sequence, entry.data))
                if len(buffers[entry.kind]) >= ROWS_AT_ONCE:
                    write(entry.kind)
        for kind in list(buffers):
            write(kind)
    except OSError as error:
        raise Failure(f"--parquet: {folder}: {error.strerror or error}", ExitCode.CONFIG) from None
    finally:
        for writer in writers.values():
            writer.close()
    return [(Path(writer.where), counts[kind]) for kind, writer in sorted(writers.items())]


def _columns(recording: Recording, kind: int, rows: list[tuple[str, int, bytes]]) -> dict[str, Any]:
    array = np.frombuffer(b"".join(data for _, _, data in rows), recording.dtypes[kind])
    columns: dict[str, Any] = {
        "source": [source for source, _, _ in rows],
        "sequence": np.array([sequence for _, sequence, _ in rows], np.uint64),
    }
    for name in array.dtype.names or ():
        if name.startswith("pad"):
            continue
        column = array[name]
        if column.dtype.kind == "S":
            columns[name] = [text.decode("utf-8", "replace") for text in column.tolist()]
        elif column.ndim > 1:
            columns[name] = column.tolist()
        else:
            columns[name] = np.ascontiguousarray(column)
    return columns

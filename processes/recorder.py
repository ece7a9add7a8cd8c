"""Recorder: what goes through the rings, into files for research.

Reads every venue's market, request and event ring as an observer and the rows of its instruments, so that a file
explains itself. Writes <recorder directory>/<instance>-<UTC>.clr, its row and counters. Loop: backoff. Nobody waits for
it: records that were overwritten before it came are counted, in the file too. (The lossless record of the orders is the
engines' journal.) A killed recorder leaves a file that lacks at most the last block, FLUSH_S of records; the next one
begins a new file. A full disk is UNHEALTHY, said, and tried again; the trading processes notice nothing of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from shm.clock import monotonic_ns
from shm.layout import ProcessState
from shm.recording import RecordingError, RecordingWriter
from shm.records import InstrumentRow
from shm.ring import BroadcastReader
from shm.table import TableReader

SUFFIX: Final = ".clr"
RINGS: Final = ("market", "requests", "events")
COUNTERS: Final = ("records", "missed", "blocks", "bytes", "files", "disk_errors")
AT_ONCE: Final = 512
"""Records of one ring before the next has its turn."""
BLOCK_BYTES: Final = 1 << 18
FLUSH_NS: Final = 500_000_000
RETRY_NS: Final = 1_000_000_000
ROWS_NS: Final = 1_000_000_000
"""How often the instruments are looked at for changes."""


def run(service: AppService) -> int:
    """Record until asked to stop; the exit code."""
    return service.run_worker(Recorder(service))


class Recorder:
    """The worker of the recorder process (see AppService.run_worker)."""

    role_name = "recorder"

    def __init__(self, service: AppService) -> None:
        self._service = service
        self._config = service.config.recorder
        self._folder = Path(self._config.directory)
        self._file: RecordingWriter | None = None
        self._sources: list[str] = []
        self._rings: list[tuple[int, BroadcastReader]] = []
        self._tables: list[tuple[int, TableReader, list[int]]] = []
        self._missed: dict[int, int] = {}
        self._next_flush_ns = self._next_rows_ns = self._retry_ns = 0

    # --- life -------------------------------------------------------------------------------------------------------
    def on_start(self) -> None:
        """Attach everything, open the first file. Raises SegmentError, Failure."""
        service = self._service
        self._counters = service.declare(COUNTERS)
        for venue in service.config.venues:
            for ring in RINGS:
                self._rings.append((len(self._sources), BroadcastReader(service.segment(f"{venue}.{ring}"))))
                self._sources.append(f"{venue}.{ring}")
            table = TableReader(service.segment(f"{venue}.instruments"))
            symbols = service.config.venues[venue].symbols
            ids = service.instance.instruments(venue)
            self._tables.append((len(self._sources), table, [ids.row(symbol) for symbol in symbols]))
            self._sources.append(f"{venue}.instruments")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except (OSError, RecordingError) as error:
            raise Failure(f"recorder.directory: {self._folder}: {_words(error)}", ExitCode.CONFIG) from None
        service.set_state(ProcessState.READY, "")

    def do_work(self) -> int:
        """One round over all rings; how many records."""
        now = monotonic_ns()
        if self._file is None:
            if now < self._retry_ns:
                return 0
            self._try(self._open)
            if self._file is None:
                return 0
        count = sum(self._take(self._file, source, ring) for source, ring in self._rings)
        if now >= self._next_rows_ns:
            self._next_rows_ns = now + ROWS_NS
            self._take_rows(self._file, changed_only=True)
        if count:
            self._counters.add("records", count)
        if self._file.pending >= BLOCK_BYTES or now >= self._next_flush_ns:
            self._next_flush_ns = now + FLUSH_NS
            self._try(self._flush)
        return count

    def on_close(self) -> None:
        """Take what is there, write it, sync."""
        if not hasattr(self, "_counters") or self._file is None:
            return
        while self.do_work():
            pass
        if self._file is not None:
            self._try(self._file.close)

    # --- files ------------------------------------------------------------------------------------------------------
    def _open(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self._folder / f"{self._service.instance.name}-{stamp}{SUFFIX}"
        self._file = RecordingWriter(path, self._sources, self._service.instance.name)
        self._counters.add("files")
        self._versions: dict[tuple[int, int], int] = {}
        self._take_rows(self._file, changed_only=False)
        self._file.flush()  # a file explains itself from its first block
        self._service.log.info("recording into %s", path)
        self._remove_oldest()

    def _flush(self) -> None:
        assert self._file is not None
        written = self._file.flush()
        if written:
            self._counters.add("blocks")
            self._counters.add("bytes", written)
        if self._file.size >= self._config.file_megabytes << 20:
            self._file.close()
            self._file = None
            self._open()

    def _try(self, act: Any) -> None:
        """Do something that the disk may refuse: then say so, and begin anew a little later."""
        try:
            act()
        except (OSError, RecordingError) as error:
            self._counters.add("disk_errors")
            text = f"{self._folder}: {_words(error)}; nothing is recorded until it can be written again"
            self._service.log.error("%s", text)
            self._service.set_state(ProcessState.UNHEALTHY, text)
            self._retry_ns = monotonic_ns() + RETRY_NS
            if self._file is not None:
                self._counters.add("missed", self._file.drop_pending())
                file, self._file = self._file, None
                try:
                    file.close()
                except OSError:
                    self._service.log.warning("%s may lack its last records", file.path)
            return
        if self._service.row.state == ProcessState.UNHEALTHY:
            self._service.set_state(ProcessState.READY)

    def _remove_oldest(self) -> None:
        """Keep the folder below its bound; the file that is being written always stays."""
        pattern = f"{self._service.instance.name}-*{SUFFIX}"
        files = sorted(self._folder.glob(pattern))
        total = sum(path.stat().st_size for path in files)
        for path in files[:-1]:
            if total <= self._config.keep_megabytes << 20:
                return
            total -= path.stat().st_size
            path.unlink()
            path.with_name(path.name + ".index").unlink(missing_ok=True)
            self._service.log.info("removed the oldest recording, %s", path.name)

    # --- records ----------------------------------------------------------------------------------------------------
    def _take(self, file: RecordingWriter, source: int, ring: BroadcastReader) -> int:
        count = 0
        while count < AT_ONCE and (record := ring.poll()) is not None:
            if ring.lost != self._missed.get(source, 0):
                self._miss(file, source, ring.lost)
            file.add(source, record.sequence, record, record.publish_time_ns)
            count += 1
        return count

    def _miss(self, file: RecordingWriter, source: int, lost: int) -> None:
        count, self._missed[source] = lost - self._missed.get(source, 0), lost
        file.miss(source, count)
        self._counters.add("missed", count)

    def _take_rows(self, file: RecordingWriter, *, changed_only: bool) -> None:
        row = InstrumentRow()
        for source, table, rows in self._tables:
            for number in rows:
                version = table.version(number)
                if (changed_only and self._versions.get((source, number)) == version) or not table.read(number, row):
                    continue
                self._versions[source, number] = version
                file.add(source, row.sequence, row, row.receive_time_ns or monotonic_ns())


def _words(error: OSError | RecordingError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)

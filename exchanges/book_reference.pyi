from collections.abc import Callable
from typing import Protocol

from shm.records import BookRow, ProcessRow

class BookSource(Protocol):
    """TableReader of the books table."""

    def read(self, row: int, record: BookRow) -> bool: ...

class ProcessSource(Protocol):
    """TableReader of the status table."""

    def read(self, row: int, record: ProcessRow) -> bool: ...

class BookReference:
    def __init__(
        self,
        books: BookSource,
        processes: ProcessSource,
        market_server_row: int,
        stale_after_ns: int,
        clock: Callable[[], int],
    ) -> None: ...
    def refresh(self) -> None: ...
    def mid(self, instrument_id: int) -> float | None: ...

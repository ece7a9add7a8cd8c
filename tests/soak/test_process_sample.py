"""What /proc says of a process, and that an ended one is no error."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

from tests.soak import process_sample

SIZE = 32 << 20


def test_its_own_memory_and_files_of_this_process_go_up_by_what_it_takes() -> None:
    before = process_sample.read(os.getpid())
    taken = mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    reading, writing = os.pipe()
    after = process_sample.read(os.getpid())
    taken.close()
    os.close(reading)
    os.close(writing)
    assert before is not None and after is not None
    assert after.anonymous_kb - before.anonymous_kb >= SIZE / 1024 * 0.95
    assert after.files == before.files + 2
    assert after.threads >= 1
    assert after.resident_kb >= after.anonymous_kb


def test_pages_of_rings_and_files_are_not_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(bytes(SIZE))
    before = process_sample.read(os.getpid())
    with path.open("r+b") as file, mmap.mmap(file.fileno(), SIZE, mmap.MAP_SHARED | mmap.MAP_POPULATE) as of_file:
        of_file[::4096] = bytes([1]) * (SIZE // 4096)
        with mmap.mmap(-1, SIZE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
            after = process_sample.read(os.getpid())
    assert before is not None and after is not None
    assert after.anonymous_kb - before.anonymous_kb < SIZE / 1024 * 0.5
    assert after.resident_kb - before.resident_kb > SIZE / 1024 * 0.5


def test_a_process_that_has_ended_is_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_sample.read(child.pid) is None

"""What /proc says of a process, and that an ended one is no error."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys

from tests.soak import process_sample

SIZE = 32 << 20


def test_private_memory_and_files_of_this_process_go_up_by_what_it_takes() -> None:
    before = process_sample.read(os.getpid())
    taken = mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)
    reading, writing = os.pipe()
    after = process_sample.read(os.getpid())
    taken.close()
    os.close(reading)
    os.close(writing)
    assert before is not None and after is not None
    assert after.private_kb - before.private_kb >= SIZE / 1024 * 0.95
    assert after.files == before.files + 2
    assert after.threads >= 1
    assert after.resident_kb >= after.private_kb


def test_shared_pages_are_not_private() -> None:
    before = process_sample.read(os.getpid())
    reading, writing = os.pipe()
    with mmap.mmap(-1, SIZE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE) as taken:
        child = os.fork()
        if child == 0:  # holds the same pages until it is ended
            sum(taken[::4096])
            os.write(writing, b"held")
            signal.pause()
        assert os.read(reading, 4) == b"held"
        after = process_sample.read(os.getpid())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert before is not None and after is not None
    assert after.private_kb - before.private_kb < SIZE / 1024 * 0.5


def test_a_process_that_has_ended_is_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert process_sample.read(child.pid) is None

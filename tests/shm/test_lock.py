"""shm/lock.py: one copy of a process, for as long as the first one lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shm.lock import AlreadyRunning, ProcessLock
from tests.shm.children import children


def hold(folder: Path, ready: int) -> None:
    ProcessLock(folder, "engine")
    os.write(ready, b"x")
    time.sleep(60)


def test_a_second_copy_in_another_process_names_the_first(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    with children() as start:
        holder = start(hold, tmp_path, write_end)
        assert os.read(read_end, 1) == b"x"
        with pytest.raises(AlreadyRunning, match=f"engine already runs as process {holder.pid} "):
            ProcessLock(tmp_path, "engine")
        ProcessLock(tmp_path, "other").release()
        holder.kill()
        lock = ProcessLock(tmp_path, "engine")
        assert lock.path.read_text().strip() == str(os.getpid())
        lock.release()


def test_a_second_copy_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path, "engine")
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} "):
        ProcessLock(tmp_path, "engine")
    lock.release()
    lock.release()
    ProcessLock(tmp_path, "engine").release()


def test_a_started_program_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path, "engine")
    program = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        lock.release()
        ProcessLock(tmp_path, "engine").release()
    finally:
        program.communicate(timeout=60)


def test_the_file_stays_so_that_two_never_lock_two_files_of_one_name(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path, "engine")
    lock.release()
    assert lock.path.exists()


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "a" / "locks", "engine")
    assert lock.path.parent.stat().st_mode & 0o777 == 0o700
    assert lock.path.stat().st_mode & 0o777 == 0o600
    lock.release()

"""Where a process runs: core, scheduling class, locked memory, and what ends it when its parent is gone.

The rule: called once, before any thread exists, because threads inherit their creator's core. What the host does not
allow is returned as sentences and not fatal: an untuned host trades slower, and `[cores]` says what was wanted.
Called by `app_service.py`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Final

from processes.config import Config
from processes.host_reading import Host

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
PARENT_VARIABLE: Final = "CORELANE_PARENT"
"""Set by the supervisor to its own pid for each child."""


def place(config: Config, process: str) -> list[str]:
    """Pin this process, set its scheduling class, lock its memory; sentences about what was refused."""
    wanted = config.core(process)
    refused: list[str] = []
    if wanted.core is not None:
        try:
            os.sched_setaffinity(0, {wanted.core})
        except OSError as error:
            refused.append(f"not pinned to core {wanted.core}: {error.strerror}")
    if wanted.scheduling == "fifo" and not _is_fifo(wanted.priority):
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(wanted.priority))
        except OSError as error:
            refused.append(f"no SCHED_FIFO priority {wanted.priority}: {error.strerror}")
    if wanted.core is not None:
        refused += _lock_memory()
    return refused


def _is_fifo(priority: int) -> bool:
    """Whether whoever started this process (a unit with RestrictRealtime=yes) has set the class already."""
    return os.sched_getscheduler(0) == os.SCHED_FIFO and os.sched_getparam(0).sched_priority == priority


def _lock_memory() -> list[str]:
    """mlockall where it cannot hurt: with a bounded RLIMIT_MEMLOCK, MCL_FUTURE turns a later malloc into a failure."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return []
    if _LIBC.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        return [f"memory not locked: {os.strerror(ctypes.get_errno())}"]
    return []


def housekeeping_cores(config: Config, host: Host | None = None) -> set[int]:
    """Cores of this machine on which nothing spins, and which the boot has not isolated (a thread is stuck on one of
    those): where the threads of libraries belong. Never empty."""
    host = host or Host()
    present = host.cores
    spinning = {placed.core for placed in config.cores.values() if placed.core is not None and placed.wait == "spin"}
    return present - spinning - host.isolated() or present - spinning or present


def name_thread(name: str) -> None:
    """The name that top and ps show for this process: the kernel keeps 15 characters."""
    _LIBC.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def die_with_parent() -> bool:
    """Ask the kernel for SIGTERM when the supervisor dies, however it dies. False where it is dead already.

    Does nothing for a process that no supervisor started.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return True
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return os.getppid() == int(parent)

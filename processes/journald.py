"""Lines into the systemd journal with fields of their own, by its native protocol.

The rule: a datagram per line, never waited for; where the journal does not take it, the line is counted and gone. (It
stands in the JSON file anyway.) The library for this needs libsystemd's headers to build; here it is twenty lines.
Source: systemd.io/JOURNAL_NATIVE_PROTOCOL.

Who calls it: processes/logger.py.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final

SOCKET: Final = Path("/run/systemd/journal/socket")
PRIORITIES: Final = ((50, 2), (40, 3), (30, 4), (20, 6), (0, 7))
"""From levels of `logging` to those of syslog."""


def wanted(setting: str) -> bool:
    """`setting` as in [log] journald: "auto" means where systemd started this process with the journal behind it."""
    return setting == "on" or (setting == "auto" and "JOURNAL_STREAM" in os.environ and SOCKET.exists())


class Journald:
    """The sending end. Raises OSError where the socket cannot be reached."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self.dropped = 0

    def send(self, level: int, message: str, process: str, logger: str, pid: int) -> None:
        priority = next(syslog for least, syslog in PRIORITIES if level >= least)
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": f"corelane-{process}",
            "CORELANE_PROCESS": process,
            "CORELANE_LOGGER": logger,
            "CORELANE_PID": str(pid),
        }
        try:
            self._socket.send(b"".join(field(name, value) for name, value in fields.items()))
        except OSError:
            self.dropped += 1

    def close(self) -> None:
        self._socket.close()


def field(name: str, value: str) -> bytes:
    """One field; a value of several lines goes with its length, as a newline would end it."""
    data = value.encode()
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"

"""What systemd wants to hear from a Type=notify service, over the datagram socket it names in $NOTIFY_SOCKET.

The rule: without that variable every call does nothing, so a process behaves the same in a terminal. Protocol:
sd_notify(3). Called by `app_service.py`.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """READY once, WATCHDOG as long as the loop turns, STOPPING at the end, STATUS in between."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_interval_s = int(microseconds) / 2e6 if microseconds.isdigit() and mine else 0.0
        """How often to send WATCHDOG: half of what systemd allows; 0 = it does not watch."""

    def send(self, *lines: str) -> None:
        """Send assignments like "READY=1". A manager that does not listen is no reason to stop trading."""
        if not self._address:
            return
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError:
            return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

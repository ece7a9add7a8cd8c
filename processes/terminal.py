"""A terminal that is borrowed: its second screen, single keys, and everything as it was at whatever end.

The rule: what is changed is changed back once, in the reverse order, on return, exception, SIGTERM, SIGHUP and Ctrl-C,
and around Ctrl-Z too. A signal only makes `key` return; nothing is raised into the middle of a drawing. Called by
`top.py`; the main thread only, standard input and output are the terminal.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from types import FrameType
from typing import Any, Final, Self

ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""The second screen, no cursor."""
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
KEYS: Final = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
}  # fmt: skip
END_OF_INPUT: Final = ""


class Terminal:
    """Use as a context manager. `ended` says why it is over, if a signal said so."""

    def __init__(self) -> None:
        self.ended: signal.Signals | None = None
        self._in, self._out = sys.stdin.fileno(), sys.stdout
        self._handlers: dict[int, Any] = {}
        self._typed = b""
        """Keys that were read and not yet asked for."""

    def __enter__(self) -> Self:
        self._settings = termios.tcgetattr(self._in)
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        for number in ENDS:
            self._handlers[number] = signal.signal(number, self._on_end)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._on_stop)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
        self._borrow()
        return self

    def __exit__(self, *_error: object) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._wake)
        os.close(self._woken)

    def _borrow(self) -> None:
        tty.setcbreak(self._in, termios.TCSANOW)
        self._write(ENTER)

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):  # an ssh connection that is gone took the terminal with it
            self._write(LEAVE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._settings)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _on_end(self, number: int, _frame: FrameType | None) -> None:
        self.ended = signal.Signals(number)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: stop as any program does, with the terminal as it was, and go on here afterwards."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._on_stop)
        self._borrow()

    # --- in and out -------------------------------------------------------------------------------------------------
    def key(self, timeout_s: float) -> str | None:
        """The next key, by name or as it is; None where none came in time or a signal did (a new size, the end)."""
        if not self._typed:
            ready, _, _ = select.select([self._in, self._wake], [], [], timeout_s)
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            if self._in not in ready:
                return None
            try:
                self._typed = os.read(self._in, 4096)
            except OSError:
                return END_OF_INPUT
        return self._take()

    def _take(self) -> str:
        """The first key of what was typed; several may have come at once. An unknown sequence is dropped."""
        for sequence, name in KEYS.items():
            if self._typed.startswith(sequence):
                self._typed = self._typed[len(sequence) :]
                return name
        if self._typed.startswith(b"\x1b"):
            self._typed = b""
            return "escape"
        key, self._typed = self._typed[:1], self._typed[1:]
        return key.decode("latin-1")

    def show(self, lines: list[str]) -> None:
        """Draw these, one a row, over what is there; what is left below is cleared. One write: nothing flickers."""
        body = "\r\n".join(f"{line}\x1b[K" for line in lines)
        self._write(f"\x1b[H{body}\x1b[J")

"""`corelane top`: the running set on a terminal.

The rule: it observes shared memory and nothing else, so the set neither knows nor notices it. It ends on q, Ctrl-C and
signals with the terminal as it was; a set that goes away is waited for. Called by `cli.py`.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from typing import Final

from processes.config import Config
from processes.exit_codes import ExitCode
from processes.health import Look
from processes.set_watch import SetWatch
from processes.snapshot import encode
from processes.terminal import END_OF_INPUT, Terminal
from processes.top_screen import VIEWS, Shown, lines

INTERVALS_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FOLLOW_S: Final = 0.25
"""How often order events are taken in, whatever the interval of the picture."""
PAGE: Final = 10
PIPE_SIZE: Final = (160, 60)
"""Columns and rows where the output is no terminal."""


def run(config: Config, *, once: bool, as_json: bool, interval_s: float) -> int:
    """Show it until the user has seen enough; the exit code. Raises SegmentError where the set is not there."""
    logging.getLogger("shm.segment").setLevel(logging.ERROR)  # whether an observer's pages are locked matters to nobody
    watch = SetWatch(config)
    try:
        if as_json:
            look = watch.look()
            sys.stdout.buffer.write(encode(look) + b"\n")
            return ExitCode.OK
        if once or not (sys.stdout.isatty() and sys.stdin.isatty()):
            return _print(watch)
        with Terminal() as terminal:
            _Top(watch, terminal, interval_s).run()
        return ExitCode.OK
    finally:
        watch.close()


def _print(watch: SetWatch) -> int:
    """One picture; colored on a terminal only."""
    color = sys.stdout.isatty()
    width, height = shutil.get_terminal_size(PIPE_SIZE) if color else PIPE_SIZE
    picture = lines(watch.look(), watch.history, Shown(), width, height, color=color)
    print("\n".join(line.rstrip() for line in picture[:-1]).rstrip())  # the keys of the last row are of no use here
    return ExitCode.OK


class _Top:
    """The loop: a look every interval, a drawing after each look and each key."""

    def __init__(self, watch: SetWatch, terminal: Terminal, interval_s: float) -> None:
        self._watch, self._terminal = watch, terminal
        self._shown = Shown(interval_s=interval_s)
        self._look: Look | None = None

    def run(self) -> None:
        next_look_s = 0.0
        while self._terminal.ended is None:
            self._watch.follow()
            now = time.monotonic()
            if now >= next_look_s:
                next_look_s = now + self._shown.interval_s
                look = self._watch.look()
                if not self._shown.held:
                    self._look = look
            self._draw()
            wait_s = max(next_look_s - time.monotonic(), 0.01)
            if not self._pressed(self._terminal.key(min(wait_s, FOLLOW_S))):
                return

    def _draw(self) -> None:
        width, height = shutil.get_terminal_size()
        self._terminal.show(lines(self._look, self._watch.history, self._shown, width, height, color=True))

    def _pressed(self, key: str | None) -> bool:
        """Do what the key says; False: end."""
        shown = self._shown
        if key is None:
            return True
        if key in ("q", "Q", END_OF_INPUT):
            return False
        if shown.help:
            shown.help = False
            return True
        if key in VIEWS or key == "1":
            shown.view, shown.offset = key, 0
        elif key in ("?", "h"):
            shown.help = True
        elif key == " ":
            shown.held = not shown.held
        elif key in ("+", "="):
            shown.interval_s = max((one for one in INTERVALS_S if one < shown.interval_s), default=INTERVALS_S[0])
        elif key == "-":
            shown.interval_s = min((one for one in INTERVALS_S if one > shown.interval_s), default=INTERVALS_S[-1])
        else:
            moves = {"up": -1, "down": 1, "k": -1, "j": 1, "page up": -PAGE, "page down": PAGE}
            shown.offset = max(shown.offset + moves.get(key, 0), 0)
        return True

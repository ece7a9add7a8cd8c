"""The one trader epoch that an engine serves, kept over restarts.

The rule: an engine takes requests of exactly one epoch. A RECOVER with a higher one moves the fence, and it never moves
back: a trader that was thought dead and wakes up finds its epoch refused. The number is on disk before any request
under it is carried out, so a restarted engine does not fall back to an older trader.

Who calls it: order_engine.pyx at each request.
"""

from __future__ import annotations

import os
from pathlib import Path

from shm.layout import EPOCH_BITS


class UnreadableEpoch(Exception):
    """The file exists and holds no number: going on could serve an old trader."""


class EpochFence:
    def __init__(self, path: Path) -> None:
        """`path`: the file of this engine in the state directory; absent = no trader was ever accepted (0)."""
        self._path = path
        self.accepted = 0
        try:
            text = path.read_text().strip()
        except FileNotFoundError:
            return
        if not text.isdecimal():
            raise UnreadableEpoch(f"{path}: expected the accepted trader epoch as a number, found {text[:40]!r}")
        self.accepted = int(text)

    def accept(self, epoch: int) -> bool:
        """Serve `epoch` from now on. False: it is older than the accepted one, or no trader can have it (0, or more
        than its bits in an order id hold: since the fence never moves back, such a one would shut out every other).
        Durable when it returns."""
        if epoch < self.accepted or not 0 < epoch < 1 << EPOCH_BITS:
            return False
        if epoch > self.accepted:
            self._write(epoch)
            self.accepted = epoch
        return True

    def _write(self, epoch: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(f"{epoch}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)

"""Trader epochs: a number that only rises, one per start of the trader, kept in the state directory.

The rule: an epoch is never handed out twice, so no client order id ever is. The file is replaced atomically and synced,
with its directory, before the epoch is used. A file that cannot be read is an error and never "begin again at 1":
ids of the past would come back. Only a missing file is a first start. Called by `trader.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from shm.layout import EPOCH_BITS

LAST_EPOCH: Final = (1 << EPOCH_BITS) - 1
"""The epoch stands in 16 bits of each order id."""


class EpochError(Exception):
    """No epoch can be taken; one sentence."""


class EpochFile:
    """`<state dir>/trader.epoch`: one decimal number and a newline. The process lock makes us its only writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> int:
        """The epoch taken last; 0 where none ever was. Raises EpochError for a file that is not one number."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise EpochError(f"{self.path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            text = "?"
        if not text.strip().isascii() or not text.strip().isdigit() or not 0 < int(text) <= LAST_EPOCH:
            raise EpochError(
                f"{self.path} holds {text.strip()[:40]!r}, expected one number from 1 to {LAST_EPOCH}; "
                "write there a number that is larger than every epoch used before"
            )
        return int(text)

    def take(self, at_least: int = 0) -> int:
        """A new epoch: larger than every one before, and not below `at_least`. On disk when this returns."""
        epoch = max(self.read() + 1, at_least)
        if epoch > LAST_EPOCH:
            raise EpochError(f"{self.path}: epoch {epoch} does not fit {EPOCH_BITS} bits; use another instance number")
        temporary = self.path.with_suffix(".epoch.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with temporary.open("w") as stream:
                stream.write(f"{epoch}\n")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self.path)
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)  # the rename itself must survive a power loss
            finally:
                os.close(directory)
        except OSError as error:
            raise EpochError(f"{self.path} cannot be written: {error.strerror}") from None
        return epoch

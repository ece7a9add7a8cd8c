"""Nonces of signed orders: a uint32 that is never used twice, also after a crash.

The rule: a block of nonces is on disk as used before the first of it is handed out; a restart begins behind the last
block, whether all of it was used or not. Going round takes more than three thousand million orders, and the venue takes
no signature that is older than thirty days. Where there is no file yet, the first nonce comes from the clock at one
hundred nonces a second, so that a state directory that was lost does not bring back the nonces of last week.
A file that cannot be read is an error and never "begin again". The upper quarter of all numbers is never handed out
here: closing orders of the emergency access draw theirs from it (emergency.py).

Who calls it: order_codec.py takes one per create; the engine's process lock makes it the only one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from exchanges.adapter import ConfigurationError
from exchanges.grvt.auth import ENGINE_NONCES, NONCES

BLOCK: Final = 1 << 16
"""Reserved at once: one sync to disk per so many orders, and 49152 restarts until the numbers go round."""


class NonceSource:
    """`take()` is a few machine instructions but for one call in BLOCK, which writes and syncs a small file."""

    def __init__(self, path: Path) -> None:
        """Reserves the first block. Raises ConfigurationError for a file that is unreadable, or cannot be written."""
        self._path = path
        self._next = self._end = self._read()
        self._reserve()

    def take(self) -> int:
        """A nonce that no signature of this sub account carries. Raises ConfigurationError where it cannot be kept."""
        if self._next == self._end:
            self._reserve()
        nonce = self._next
        self._next += 1
        return nonce % ENGINE_NONCES

    def _read(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return (time.time_ns() // 10_000_000) % ENGINE_NONCES
        except (OSError, UnicodeDecodeError) as failure:
            raise ConfigurationError(f"{self._path} cannot be read: {failure}") from None
        if not text.isdigit() or int(text) >= NONCES:
            raise ConfigurationError(
                f"{self._path} holds {text[:40]!r}, expected one number below {NONCES}: the first nonce never used"
            )
        return int(text) % ENGINE_NONCES

    def _reserve(self) -> None:
        self._next = self._end % ENGINE_NONCES
        self._end = self._next + BLOCK
        temporary = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with temporary.open("w", encoding="ascii") as stream:
                stream.write(f"{self._end % ENGINE_NONCES}\n")
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(self._path)
            directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as failure:
            raise ConfigurationError(f"{self._path} cannot be written: {failure.strerror}") from None

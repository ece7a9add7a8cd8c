"""Reads recordings: gzip text, one line per message, `<receive time, ns> <JSON>` (the format of hftbacktest).

Everything that can be wrong with the file is found here, before anything is served, and said in one sentence.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from exchanges.simulator.errors import SimulatorError


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, receive time ns, JSON bytes) of each line."""
    number = 0
    try:
        with gzip.open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                stamp, _, body = line.rstrip(b"\r\n").partition(b" ")
                if not stamp.isdigit() or not body.startswith(b"{"):
                    raise malformed(path, number, "expected '<receive time in ns> <JSON object>'", line)
                yield number, int(stamp), body
        if not number:
            raise SimulatorError(f"recording {path} holds nothing: expected gzip text of '<ns> <JSON>' lines")
    except FileNotFoundError:
        raise SimulatorError(f"recording {path} does not exist") from None
    except (gzip.BadGzipFile, zlib.error):
        raise SimulatorError(
            f"recording {path} is not a gzip file: expected gzip text of '<ns> <JSON>' lines"
        ) from None
    except EOFError:
        raise SimulatorError(f"recording {path} is cut off: its gzip stream has no end") from None
    except OSError as error:
        raise SimulatorError(f"recording {path} cannot be read: {error.strerror or error}") from None


def malformed(path: Path, number: int, expectation: str, found: bytes) -> SimulatorError:
    """The sentence for a bad line."""
    shown = found[:60].decode("utf-8", "replace").strip()
    return SimulatorError(f"recording {path}, line {number}: {expectation}, found {shown!r}")

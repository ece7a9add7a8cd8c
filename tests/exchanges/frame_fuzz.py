"""Mutated frames against every venue's compiled scanner: it takes only what the declared decoder understands alike, and
reads nothing behind a frame's end.

    python -m tests.exchanges.frame_fuzz [--venue binance] [--inputs 1e7] [--seed N] [--from INPUT]

Every input lies directly before a page that cannot be read, so a look too far is a crash. Inputs come in blocks, each
from the seed and its own number: a run that was stopped, or that failed, goes on or repeats with the seed and the input
that it prints. `make fuzz` runs the long form, test_fast_decode.py of each venue a short one.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import mmap
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from exchanges.market_events import MalformedFrame

BLOCK: Final = 10_000
REPORT_EVERY_S: Final = 5.0
INTERESTING: Final = b'"{}[],:.0123456789-+eEu\\ \t\n\x00\x7f\x80\xff'
PIECES: Final = (
    b'"', b'""', b"{", b"}", b"}}", b"[", b"]", b"[]", b"[[", b"]]", b'["1","0"]', b"[1.5,2]", b'"new":[{"a":null}],',
    b"\\u0042", b"\\", b"1e5", b"1E-2", b"-0", b"0.000", b"00", b"9" * 18, b"9" * 19, b"0" * 40, b".", b"true", b"null",
    b"@depth5", "币".encode(), b'{"stream":"', b'","data":', b'"st":2,',
)  # fmt: skip


def mutate(frames: Sequence[bytes], chance: random.Random, number: int) -> bytes:
    """A frame with one to four things wrong with it, or nothing that matters: bytes changed, cut, doubled, moved."""
    frame = bytearray(frames[number % len(frames)])
    share = chance.random  # an int of it is several times as quick as randrange
    for _ in range((1, 1, 1, 2, 4)[int(share() * 5)]):
        if not frame:
            break
        at = int(share() * len(frame))
        match int(share() * 9):
            case 0:
                frame[at] = INTERESTING[int(share() * len(INTERESTING))]
            case 1:
                frame[at] ^= 1 << int(share() * 8)
            case 2:
                del frame[at : at + 1 + int(share() * 8)]
            case 3:
                frame[at:at] = frame[max(0, at - 1 - int(share() * 8)) : at]
            case 4:
                frame[at:at] = PIECES[int(share() * len(PIECES))]
            case 5:
                del frame[at:]
            case 6:  # a digit for a digit: mostly still a good frame
                digit = frame.find(b"%d" % int(share() * 10), at)
                if digit >= 0:
                    frame[digit] = 48 + int(share() * 10)
            case 7:  # a number that is longer
                point = frame.find(b".", at)
                if point > 0:
                    frame[point:point] = b"0123456789"[: int(share() * 10)]
            case _:  # the head of one frame, the tail of another
                other = frames[int(share() * len(frames))]
                frame[at:] = other[min(at, len(other)) :]
    return bytes(frame)


def mutated(frames: Sequence[bytes], count: int, seed: int, first: int = 0) -> Iterator[bytes]:
    """Inputs `first` to `count` of a seed; `first` is a multiple of BLOCK."""
    for number in range(first, count):
        if number % BLOCK == 0:
            chance = random.Random(f"{seed} {number // BLOCK}")
        yield mutate(frames, chance, number)


@contextmanager
def memory_that_ends() -> Iterator[Any]:
    """A function that puts a frame at the end of readable memory: a read behind it is a crash, not a wrong answer."""
    page = mmap.PAGESIZE
    pages = 64  # mutations make frames longer
    memory = mmap.mmap(-1, (pages + 1) * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    end = pages * page
    assert libc.mprotect(ctypes.c_void_p(address + end), page, 0) == 0
    view = memoryview(memory)

    def put(frame: bytes) -> memoryview:
        view[end - len(frame) : end] = frame
        return view[end - len(frame) : end]

    yield put
    assert libc.mprotect(ctypes.c_void_p(address + end), page, mmap.PROT_READ | mmap.PROT_WRITE) == 0


@dataclass
class Target:
    """Two decoders of the same frames: None from the first is no statement, MalformedFrame from the second is one."""

    name: str
    frames: Sequence[bytes]
    scan: Callable[[Any], Any]
    declared: Callable[[bytes], Any]

    def run(self, count: int, seed: int, first: int = 0, done: Callable[[int], None] = lambda number: None) -> int:
        """How many inputs the scanner took. AssertionError names the frame that the two understand differently."""
        taken = 0
        with memory_that_ends() as put:
            for number, frame in enumerate(mutated(self.frames, count, seed, first), first):
                event = self.scan(put(frame))
                if event is not None:
                    taken += 1
                    try:
                        declared = self.declared(frame)
                    except MalformedFrame as malformed:
                        raise AssertionError(f"input {number}, {frame!r}: taken, but {malformed}") from None
                    assert declared == event, f"input {number}, {frame!r}: {event} is not {declared}"
                if number % BLOCK == BLOCK - 1:
                    done(number + 1)
        return taken


def targets(venue: str) -> list[Target]:
    """Those that the venue's test_fast_decode.py names."""
    found: list[Target] = importlib.import_module(f"tests.exchanges.{venue}.test_fast_decode").FUZZ_TARGETS
    return found


VENUES: Final = ("binance", "deribit", "grvt")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venue", choices=VENUES, help="default: all")
    parser.add_argument("--inputs", type=float, default=1e7, help="for each scanner")
    parser.add_argument("--seed", type=int, help="repeats a run; default: a new one")
    parser.add_argument("--from", dest="first", type=float, default=0, metavar="INPUT", help="go on from this input")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    count, first = int(options.inputs), int(options.first) // BLOCK * BLOCK
    for venue in [options.venue] if options.venue else VENUES:
        for target in targets(venue):
            began = told = time.monotonic()

            def done(number: int, venue: str = venue) -> None:
                nonlocal told
                if time.monotonic() - told >= REPORT_EVERY_S:
                    told = time.monotonic()
                    print(f"  {number:,}; go on: --venue {venue} --seed {seed} --from {number}", flush=True)

            print(f"{target.name}: {count:,} inputs, seed {seed}", flush=True)
            try:
                taken = target.run(count, seed, first, done)
            except AssertionError as failure:
                print(f"{failure}\nrepeat: --venue {venue} --seed {seed}")
                return 1
            took = time.monotonic() - began
            print(f"{target.name}: {count - first:,} inputs in {took:.0f} s, {taken:,} taken, each understood alike")
    return 0


if __name__ == "__main__":
    sys.exit(main())

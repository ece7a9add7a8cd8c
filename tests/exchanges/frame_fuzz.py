"""What the tests of every venue's compiled scanner need: frames with bytes changed, and memory that ends."""

from __future__ import annotations

import ctypes
import mmap
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERESTING = b'"{}[],:.0123456789-eE\\ \x00\xff'


def mutated(frames: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Frames with bytes changed, cut, doubled and moved."""
    chance = random.Random(seed)
    for number in range(count):
        frame = bytearray(frames[number % len(frames)])
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            at = chance.randrange(len(frame))
            match chance.randrange(5):
                case 0:
                    frame[at] = chance.choice(INTERESTING)
                case 1:
                    frame[at] ^= 1 << chance.randrange(8)
                case 2:
                    del frame[at : at + chance.randrange(1, 9)]
                case 3:
                    frame[at:at] = frame[max(0, at - chance.randrange(1, 9)) : at]
                case _:
                    frame[at:at] = bytes([chance.choice(INTERESTING)])
            if not frame:
                break
        yield bytes(frame)


@contextmanager
def memory_that_ends() -> Iterator[Any]:
    """A function that puts a frame at the end of readable memory: a read behind it is a crash, not a wrong answer."""
    page = mmap.PAGESIZE
    pages = 4  # one is not enough for every frame
    memory = mmap.mmap(-1, (pages + 1) * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    end = pages * page
    assert libc.mprotect(ctypes.c_void_p(address + end), page, 0) == 0

    def put(frame: bytes) -> memoryview:
        memory[end - len(frame) : end] = frame
        return memoryview(memory)[end - len(frame) : end]

    yield put
    assert libc.mprotect(ctypes.c_void_p(address + end), page, mmap.PROT_READ | mmap.PROT_WRITE) == 0

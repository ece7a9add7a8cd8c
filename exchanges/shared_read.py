"""One read for everybody who waits for it: many unknown orders ask the venue for the same two lists.

The rule: an answer counts only for those who asked before its read began, because each of them needs the venue's word
of a time after its own question. Who comes while a read runs shares the next one. A read that fails fails for all who
share it.

Who calls it: settlement.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class SharedRead(Generic[_T]):
    """`read(since)`: since is the earliest time that any of those who share it asked for."""

    def __init__(self, read: Callable[[int], Awaitable[_T]]) -> None:
        self._read = read
        self._running: asyncio.Task[_T] | None = None
        self._next: asyncio.Task[_T] | None = None
        self._since = 0

    async def __call__(self, since: int = 0) -> _T:
        """The answer of a read that begins after this call."""
        if self._next is None:
            self._since = since
            self._next = asyncio.get_running_loop().create_task(self._in_turn(self._running))
        self._since = min(self._since, since)
        # Shielded: one who gives up must not take the answer from the others.
        return await asyncio.shield(self._next)

    async def _in_turn(self, before: asyncio.Task[_T] | None) -> _T:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(0)  # whoever asks in this turn of the loop comes along
        self._running, self._next = self._next, None
        return await self._read(self._since)

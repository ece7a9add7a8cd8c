"""A private stream that is open and says nothing although it must: found by what the venue confirmed elsewhere.

The rule: a change that a reply confirmed is told by the stream too, live within milliseconds. Where nothing at all came
within `echo_s`, the stream is dead though open, and is given up.

Who calls it: the private streams of the venues that have a stream beside the path of the replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

ECHO_S: Final = 3.0


class EchoWatch:
    """`silent` is told once for each silence, with one sentence."""

    def __init__(self, silent: Callable[[str], None], echo_s: float = ECHO_S) -> None:
        self._silent, self._echo_s = silent, echo_s
        self._word_ns = 0
        self._due: asyncio.TimerHandle | None = None

    def word(self, receive_time_ns: int) -> None:
        """The stream said something."""
        self._word_ns = receive_time_ns
        if self._due is not None:
            self.forget()

    def expect(self, since_ns: int) -> None:
        """The account changed since then (CLOCK_MONOTONIC ns)."""
        if self._word_ns < since_ns and self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._echo_s, self._no_word)

    def forget(self) -> None:
        """The stream that was watched is gone, or has spoken."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _no_word(self) -> None:
        self._due = None
        self._silent(f"open, and silent for {self._echo_s:g} s about a change that the venue confirmed")

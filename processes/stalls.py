"""Named moments between processes at which a test may hold one of them: after this request was committed, before that
order was published. What dies there, or stops for a while, is up to the test.

The rule: off unless the environment names a directory at the start of the process, and off means absent: every function
here gives back what it was given, so nothing of this is on any path. On, a process that comes to a point looks for the
file of that name in the directory. Its content says how many passes are let through first. At the last one the process
puts `<point>.reached` in its place and stops itself (SIGSTOP), and goes on with SIGCONT as if nothing had been.

    trader.unpublished    a request is about to be put into the request ring
    trader.published      it is in the ring
    engine.polled         the engine has read it, the ring's tail has not moved
    engine.committed      journaled, tail moved, nothing sent
    engine.guarded        the last look at kill switch, deadline and epoch is done, the bytes have not left
    engine.sent.NEW       the bytes are with the socket (also .CANCEL, .REPLACE), the reply has not been read
    engine.told.ACCEPTED  a fact of the venue was merged and told (also of every other event type)

Windows inside one ring or table are those of shm/stall.py. Called by trader.py and trading_engine.py where they wire
their parts; armed by tests/chaos.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from shm.layout import EventType, RequestType

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W")

VARIABLE: Final = "CORELANE_STALLS"
DIRECTORY: Final = os.environ.get(VARIABLE, "")


def at(point: str) -> None:
    """Hold this process here if the point is armed."""
    armed = Path(DIRECTORY, point)
    try:
        left = int(armed.read_text() or "0")
    except FileNotFoundError:
        return
    if left:
        armed.write_text(str(left - 1))
        return
    armed.rename(armed.with_name(f"{point}.reached"))
    os.kill(os.getpid(), signal.SIGSTOP)


def before(point: str, act: Callable[P, R]) -> Callable[P, R]:
    """`act`, held before it."""
    if not DIRECTORY:
        return act

    def held(*arguments: P.args, **named: P.kwargs) -> R:
        at(point)
        return act(*arguments, **named)

    return held


def after(point: str, act: Callable[P, R]) -> Callable[P, R]:
    """`act`, held after it."""
    if not DIRECTORY:
        return act

    def held(*arguments: P.args, **named: P.kwargs) -> R:
        result = act(*arguments, **named)
        at(point)
        return result

    return held


def facts(on_fact: Callable[[Any], None]) -> Callable[[Any], None]:
    """The engine's sink of facts, held after it told. "Sent" is said in the very turn of the loop in which the bytes
    leave, so there the process is held two turns later; a reply takes longer than that."""
    if not DIRECTORY:
        return on_fact

    def held(fact: Any) -> None:
        kind = EventType(fact.event_type)
        on_fact(fact)
        if kind is EventType.SENT:
            loop = asyncio.get_running_loop()
            point = f"engine.sent.{RequestType(fact.request_type).name}"
            loop.call_soon(loop.call_soon, at, point)
            return
        at(f"engine.told.{kind.name}")

    return held


def publishing(writer: W) -> W:
    """The trader's request ring, held before and after each publication."""
    return _HeldWriter(writer) if DIRECTORY else writer  # type: ignore[return-value]


class _HeldWriter:
    """A LosslessWriter for what the trader's adapter calls."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.try_publish = after("trader.published", before("trader.unpublished", writer.try_publish))
        self.try_publish_reserved = after("trader.published", before("trader.unpublished", writer.try_publish_reserved))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

"""What the container measures: one histogram per hop, given by the trader process; without one, nothing is recorded.

Hops, all in ns of CLOCK_MONOTONIC:
    publish_to_poll   market record published by the market server -> polled here
    poll_to_request   market record polled -> the order request that it led to is published
    request_build     strategy asked for an order -> request published (rounding, risk, MiniOMS, ring)
    tick_to_request   market record received from the venue -> request published
    event_to_poll     order event published by the engine -> polled here
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

HISTOGRAMS: Final = ("publish_to_poll", "poll_to_request", "request_build", "tick_to_request", "event_to_poll")


class Histogram(Protocol):
    def record(self, value: int, /) -> None: ...


class NoHistogram:
    """Records nothing."""

    def record(self, value: int, /) -> None:
        """Forget it."""


@dataclass(slots=True)
class Measures:
    publish_to_poll: Histogram = field(default_factory=NoHistogram)
    poll_to_request: Histogram = field(default_factory=NoHistogram)
    request_build: Histogram = field(default_factory=NoHistogram)
    tick_to_request: Histogram = field(default_factory=NoHistogram)
    event_to_poll: Histogram = field(default_factory=NoHistogram)

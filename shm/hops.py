"""The hops of a trace, named once: from a market frame's arrival to the order's answer in the trader's books.

The rule: the hops of one trace follow each other without a gap, so they add up to its total; `shm/trace.pyx` counts a
trace whose stamps do not. One causal id goes through all of it: the market record's sequence in its venue's ring
(`cause_sequence` of the request and of the events that answer it). In a counters block a hop's histogram is called
`<venue>.<hop>`; venue is that of the order.

Who reads it: the trace, `corelane latency`, the screens that show the same, the benches.
"""

from __future__ import annotations

from typing import Final

TICK_HOPS: Final = (
    ("decode", "first byte of the market frame here -> its numbers understood"),
    ("publish", "-> record in the market ring (a book update: applied and checked too)"),
    ("poll", "-> polled by the trader"),
    ("decide", "-> the strategy asks for the order"),
    ("request", "-> request in the request ring (rounding, risk, MiniOMS)"),
    ("engine_poll", "-> polled by the trading engine"),
    ("sign", "-> every gate passed, journaled, its text complete and signed"),
    ("send", "-> last look at kill switch, deadline and epoch; handed to the socket"),
    ("venue", "-> the venue's answer arrives (network and venue)"),
    ("event", "-> order event in the event ring (merged, journaled)"),
    ("event_poll", "-> polled by the trader"),
    ("apply", "-> taken over by MiniOMS"),
)
TICK_TOTALS: Final = (
    ("tick_to_trade", "arrival of the market frame -> order handed to the socket"),
    ("tick_to_answer", "arrival of the market frame -> the venue's answer is in MiniOMS"),
)
FILL_HOPS: Final = (
    ("fill.event", "fill's frame arrives -> order event in the event ring"),
    ("fill.event_poll", "-> polled by the trader"),
    ("fill.apply", "-> merged by MiniOMS"),
    ("fill.position", "-> the position has moved"),
)
FILL_TOTALS: Final = (("fill_to_position", "fill's frame arrives -> the position has moved"),)

ALL: Final = (*TICK_HOPS, *TICK_TOTALS, *FILL_HOPS, *FILL_TOTALS)
DESCRIPTIONS: Final = dict(ALL)
NAMES: Final = tuple(name for name, _ in ALL)

COUNTERS: Final = ("traces", "traces_broken", "traces_unanswered")
"""Complete ones; those with a stamp missing or out of order, which are in no histogram; those whose answer did not come
before their place was needed again. Fills count with them."""


def histogram(venue: str, hop: str) -> str:
    """Name of the hop's histogram in a counters block."""
    return f"{venue}.{hop}"


def venue_of(name: str) -> tuple[str, str]:
    """(venue, hop) of a histogram's name; ("", "") where it is none of a trace."""
    venue, _, hop = name.partition(".")
    return (venue, hop) if hop in DESCRIPTIONS else ("", "")

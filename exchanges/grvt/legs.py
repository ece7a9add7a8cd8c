"""One order of ours, one after another at the venue: legs, and what they traded together.

GRVT has no amend. A replaced order lives on as another order of the venue, of the same client order id with another
leg number in it: bits 24 to 31, which our counter leaves free (a trader takes a new epoch before it has counted to 16.7
million, strategy/container.py). So every leg can be asked for by itself, a remembered cancel of one leg never kills the
next, and the number survives every restart at the venue, where the truth is.

The rule: facts count for the order as a whole: its quantity and traded quantity are the present leg's and what the legs
before it traded. Of an earlier leg only fills are news. Where a leg is seen whose forerunners are not known here (after
a restart), `UnknownLegs` says so, and account_fetcher.py asks the venue for them.

While a replacement runs (`LegWatch`), the end of the leg that goes is not the end of the order.

Who calls it: order_codec.py, account_fetcher.py, replacement.py, oms.py.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final, NamedTuple, TypeVar

from shm.layout import TERMINAL_STATES, OrderState, Reason
from shm.records import OrderEvent

LEG_SHIFT: Final = 24
MOST_LEGS: Final = 256
LARGEST_COUNTER: Final = (1 << LEG_SHIFT) - 1
ENDED_ORDERS: Final = 1_024
"""How many orders that have ended are remembered: late words come soon or never."""
REMEMBERED: Final = 65_536
"""How many are in all, whatever the venue says of them."""
_LEG_BITS: Final = (MOST_LEGS - 1) << LEG_SHIFT
_COUNTER_BITS: Final = (1 << 32) - 1


def wire_id(order_id: int, leg: int) -> int:
    """A leg's client order id at the venue. Raises ValueError for a counter that needs the leg's bits."""
    if order_id & _COUNTER_BITS > LARGEST_COUNTER:
        raise ValueError(f"counter {order_id & _COUNTER_BITS} is larger than {LARGEST_COUNTER}: start the trader anew")
    return order_id | leg << LEG_SHIFT


def order_of(wire: int) -> int:
    return wire & ~_LEG_BITS


def leg_of(wire: int) -> int:
    return (wire & _LEG_BITS) >> LEG_SHIFT


class UnknownLegs(Exception):
    """What the legs of this order traded before, or whether there are later ones, is not known here."""

    def __init__(self, order_id: int, leg: int) -> None:
        super().__init__(f"leg {leg} of order {order_id} is not known here")
        self.order_id, self.leg = order_id, leg


class Standing(NamedTuple):
    """The present leg of an order, and what the earlier ones traded (mantissa)."""

    leg: int = 0
    before: int = 0


class LegWatch:
    """A replacement under way: the end of the leg that goes, and the first word on the one that comes."""

    def __init__(self, leg: int, loop: asyncio.AbstractEventLoop) -> None:
        self.leg = leg
        self.ended: asyncio.Future[OrderEvent] = loop.create_future()
        self.begun: asyncio.Future[OrderEvent] = loop.create_future()
        self.expiration_ns = 0
        """The end of life in the signature of the leg that goes, ns UTC."""
        self.canceled = False
        """Somebody canceled the order meanwhile: no new leg."""
        self.never_open = False
        """The new leg was rejected by the matching engine."""

    def see(self, fact: OrderEvent, leg: int, expiration_ns: int) -> None:
        """A fact of the order, counted for the whole of it. The end of the leg that goes is not the order's: it is kept
        here, and `fact` says that the order works."""
        if leg == self.leg and fact.order_state in TERMINAL_STATES:
            if not self.ended.done():
                self.expiration_ns = expiration_ns
                self.ended.set_result(fact.copy())
            if fact.order_state != OrderState.FILLED:
                fact.order_state = OrderState.PARTIALLY_FILLED if fact.cumulative_quantity else OrderState.OPEN
                fact.reason = Reason.NONE
        elif leg == self.leg + 1 and not self.begun.done():
            self.begun.set_result(fact.copy())


class Legs:
    """Of the orders that have more than one leg, or were asked about."""

    def __init__(self) -> None:
        self._standing: OrderedDict[int, Standing] = OrderedDict()
        self._watches: dict[int, LegWatch] = {}
        self._canceled: OrderedDict[int, None] = OrderedDict()
        self._ended: OrderedDict[int, None] = OrderedDict()

    # --- cancels and replacements -----------------------------------------------------------------------------------
    def cancel(self, order_id: int) -> None:
        """A cancel of the order is sent: it is not replaced any more, and a replacement under way brings no new leg."""
        if (watch := self._watches.get(order_id)) is not None:
            watch.canceled = True
        _remember(self._canceled, order_id, None)

    def uncancel(self, order_id: int) -> None:
        """The venue refused it."""
        self._canceled.pop(order_id, None)

    def is_canceled(self, order_id: int) -> bool:
        return order_id in self._canceled

    def watch(self, order_id: int, leg: int, loop: asyncio.AbstractEventLoop) -> LegWatch:
        """The replacement of leg `leg` begins."""
        self._watches[order_id] = watch = LegWatch(leg, loop)
        return watch

    def watch_of(self, order_id: int) -> LegWatch | None:
        """The replacement that runs."""
        return self._watches.get(order_id)

    def forget_watch(self, order_id: int, watch: LegWatch) -> None:
        """This one is over; the next may run already."""
        if self._watches.get(order_id) is watch:
            del self._watches[order_id]

    def cancel_watches(self) -> None:
        """Everything is pulled: no replacement brings a new leg."""
        for watch in self._watches.values():
            watch.canceled = True

    # --- legs -------------------------------------------------------------------------------------------------------

    def known(self, order_id: int) -> bool:
        return order_id in self._standing

    def standing(self, order_id: int) -> Standing:
        return self._standing.get(order_id, _FIRST)

    def stand(self, order_id: int, leg: int, before: int) -> None:
        """Leg `leg` is the present one."""
        _remember(self._standing, order_id, Standing(leg, before))

    def end(self, order_id: int) -> None:
        """The order as a whole has ended: what is known of the one that ended longest ago is forgotten, so that it does
        not become ever more. Who hears of that one's legs again asks the venue (`UnknownLegs`)."""
        if order_id not in self._standing and order_id not in self._canceled:
            return
        self._ended[order_id] = None
        if len(self._ended) > ENDED_ORDERS:
            oldest, _ = self._ended.popitem(last=False)
            self._standing.pop(oldest, None)
            self._canceled.pop(oldest, None)

    def wire_id(self, order_id: int) -> int:
        """The present leg's id. Raises ValueError."""
        return wire_id(order_id, self.standing(order_id).leg)


_FIRST: Final = Standing()
_T = TypeVar("_T")


def _remember(table: OrderedDict[int, _T], order_id: int, value: _T) -> None:
    """The newest, bounded."""
    table[order_id] = value
    if len(table) > REMEMBERED:
        table.popitem(last=False)

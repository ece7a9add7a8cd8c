"""One order of ours, one after another at the venue: legs, and what they traded together.

GRVT has no amend. A replaced order lives on as another order of the venue, of the same client order id with another
leg number in it: bits 24 to 31, which our counter leaves free (16.7 million orders a trader start). So every leg can be
asked for by itself, a remembered cancel of one leg never kills the next, and the number survives every restart at the
venue, where the truth is.

The rule: facts count for the order as a whole: its quantity and traded quantity are the present leg's and what the legs
before it traded. Of an earlier leg only fills are news. Where a leg is seen whose forerunners are not known here (after
a restart), `UnknownLegs` says so, and account_fetcher.py asks the venue for them.

Who calls it: order_codec.py, account_fetcher.py, replacement.py.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

LEG_SHIFT: Final = 24
MOST_LEGS: Final = 256
LARGEST_COUNTER: Final = (1 << LEG_SHIFT) - 1
REMEMBERED: Final = 65_536
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


class Legs:
    """Of the orders that have more than one leg, or were asked about."""

    def __init__(self) -> None:
        self._standing: OrderedDict[int, Standing] = OrderedDict()

    def known(self, order_id: int) -> bool:
        return order_id in self._standing

    def standing(self, order_id: int) -> Standing:
        return self._standing.get(order_id, _FIRST)

    def stand(self, order_id: int, leg: int, before: int) -> None:
        """Leg `leg` is the present one."""
        self._standing[order_id] = Standing(leg, before)
        if len(self._standing) > REMEMBERED:
            self._standing.popitem(last=False)

    def wire_id(self, order_id: int) -> int:
        """The present leg's id. Raises ValueError."""
        return wire_id(order_id, self.standing(order_id).leg)


_FIRST: Final = Standing()

"""The last way to a venue: over REST alone, list what is open, cancel it, close positions, and look until it is gone.

The rules
- Nothing else of this system is needed: no process, no segment, no table of instruments. Orders are told apart by the
  instance bits of their client order id, quantities stay the venue's own text, so no scale has to be known.
- Only the venue's word counts: gone is what two listings in a row would not show, the second one asked after everything
  that had left before the kill switch can no longer be accepted.
- An order of another instance, or one placed by hand, is never touched.
- What cannot be done now is tried again until the deadline; what is left then is said, with the venue's last words.

Who calls it: processes/emergency.py, for `corelane kill-switch on` and `corelane flatten`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Final, Protocol

from exchanges.adapter import VenueRefused, VenueUnavailable
from shm.clock import monotonic_ns
from shm.layout import Reason

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
"""Between two looks; a look at all symbols costs 40 of Binance's 2,400 a minute."""
CANCELS_AT_ONCE: Final = 8


@dataclass(frozen=True)
class OpenOrder:
    """One open order of the account. client_order_id: ours, 0 where the order is not this instance's."""

    symbol: str
    exchange_order_id: str
    client_order_id: int


@dataclass(frozen=True)
class OpenPosition:
    """One position that is not zero; quantity as the venue says it, below zero where it is short."""

    symbol: str
    quantity: str

    @property
    def amount(self) -> Decimal:
        return Decimal(self.quantity)


class EmergencyAccess(Protocol):
    """What a venue supplies: exchanges/<venue>/emergency.py. Calls raise VenueUnavailable and VenueRefused."""

    @property
    def acceptance_ns(self) -> int:
        """How long after it was signed the venue may still accept an order."""
        ...

    async def open_orders(self) -> list[OpenOrder]:
        """Every open order of the account, of whatever symbol and whoever placed it."""
        ...

    async def cancel_symbol(self, symbol: str) -> None:
        """Cancel all orders of a symbol: the caller has looked whose they are."""
        ...

    async def cancel(self, order: OpenOrder) -> None:
        """Cancel one. Done also where the venue says that it is gone already."""
        ...

    def cancel_together(self, orders: Sequence[OpenOrder]) -> Awaitable[None] | None:
        """Cancel exactly these by one call; None: the venue has none for that."""
        ...

    async def positions(self) -> list[OpenPosition]:
        """The positions that are not zero."""
        ...

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        """Send one reduce-only market order over the whole position; it can never turn it around."""
        ...

    async def close(self) -> None: ...


@dataclass
class Pull:
    """What became of the orders of this instance at one venue. Times in ns of CLOCK_MONOTONIC, 0 = not yet."""

    seen: set[OpenOrder] = field(default_factory=set)
    """Every order of ours in any listing."""
    asked: set[OpenOrder] = field(default_factory=set)
    """Those that still stood right before a cancel of ours that the venue confirmed."""
    left: list[OpenOrder] = field(default_factory=list)
    """What the last listing showed."""
    listings: int = 0
    gone_ns: int = 0
    """When the venue first said that none of ours is open, after the last time that it said otherwise."""
    verified_ns: int = 0
    """When it said so again, after the bound."""
    trouble: str = ""
    """The venue's last words where something is not done."""

    @property
    def gone(self) -> bool:
        return bool(self.verified_ns)

    @property
    def by_others(self) -> int:
        """Ended without us: by the engine's cancels, by a fill, or by the venue's own switch."""
        return len(self.seen - self.asked - set(self.left))


async def pull(access: EmergencyAccess, report: Pull, deadline_ns: int) -> None:
    """List, cancel, and look again until none of ours is listed or the deadline has passed."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            listed = await access.open_orders()
            report.left = [order for order in listed if order.client_order_id]
            report.listings += 1
            report.seen.update(report.left)
            if not report.left:
                report.gone_ns = report.gone_ns or monotonic_ns()
                report.trouble = ""
                return
            report.gone_ns = 0
            report.trouble = f"{len(report.left)} orders are still open"
            await _cancel(access, listed, report)
        except VenueRefused as refused:
            report.trouble = str(refused)
            if refused.reason == Reason.VENUE_SIGNATURE:
                return  # a wrong key stays wrong
        except VenueUnavailable as failure:
            report.trouble = str(failure)
        if monotonic_ns() + int(pause_s * 1e9) >= deadline_ns:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def verify(access: EmergencyAccess, report: Pull, bound_ns: int, deadline_ns: int) -> None:
    """Look once more after `bound_ns`, when nothing sent before can come to life, and pull what did meanwhile."""
    if not report.gone_ns:
        return
    await asyncio.sleep(max(0, bound_ns - monotonic_ns()) / 1e9)
    before = report.listings
    await pull(access, report, max(deadline_ns, monotonic_ns()))
    if report.gone_ns and report.listings > before and not report.trouble:
        report.verified_ns = monotonic_ns()


async def _cancel(access: EmergencyAccess, listed: Iterable[OpenOrder], report: Pull) -> None:
    """One call for a symbol where all of its orders are ours; else one for ours where the venue has such, and what that
    has left standing one by one."""
    calls: list[tuple[Sequence[OpenOrder], Awaitable[None]]] = []
    few = asyncio.Semaphore(CANCELS_AT_ONCE)
    for symbol, group in groupby(sorted(listed, key=_symbol), _symbol):
        orders: Sequence[OpenOrder] = list(group)
        ours = [order for order in orders if order.client_order_id]
        if ours and len(ours) == len(orders):
            calls.append((ours, access.cancel_symbol(symbol)))
        elif len(ours) > 1 and report.listings == 1 and (together := access.cancel_together(ours)) is not None:
            calls.append((ours, together))
        else:
            calls += [([order], _one(access, order, few)) for order in ours]
    outcomes = await asyncio.gather(*(call for _, call in calls), return_exceptions=True)
    for (orders, _), outcome in zip(calls, outcomes, strict=True):
        if outcome is None:
            report.asked.update(orders)
        elif isinstance(outcome, VenueRefused | VenueUnavailable):
            report.trouble = f"{orders[0].symbol}: {outcome}"
        else:
            raise outcome


async def _one(access: EmergencyAccess, order: OpenOrder, few: asyncio.Semaphore) -> None:
    async with few:
        await access.cancel(order)


def _symbol(order: OpenOrder) -> str:
    return order.symbol


@dataclass
class Flat:
    """What became of the positions at one venue."""

    found: list[OpenPosition] = field(default_factory=list)
    left: list[OpenPosition] = field(default_factory=list)
    known: bool = False
    """The venue answered at least once."""
    trouble: str = ""


async def flatten(
    access: EmergencyAccess, symbols: Sequence[str], ids: Iterable[int], report: Flat, deadline_ns: int
) -> None:
    """Close the positions of `symbols` and look until the venue shows none. ids: fresh client order ids.

    An outcome that is unknown is not repeated blindly: the positions are asked for first, and an order is reduce-only,
    so one that was carried out after all leaves nothing for the next."""
    fresh, pause_s = iter(ids), FIRST_PAUSE_S
    while True:
        try:
            report.left = [position for position in await access.positions() if position.symbol in symbols]
            report.found = report.found if report.known else report.left
            report.known = True
            if not report.left:
                report.trouble = ""
                return
            report.trouble = f"{len(report.left)} positions are still open"
            for position in report.left:
                try:
                    await access.close_position(position, next(fresh))
                except VenueRefused as refused:
                    report.trouble = f"{position.symbol}: {refused}"
        except VenueRefused as refused:
            report.trouble = str(refused)
            if refused.reason == Reason.VENUE_SIGNATURE:
                return
        except VenueUnavailable as failure:
            report.trouble = str(failure)
        if monotonic_ns() + int(pause_s * 1e9) >= deadline_ns:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

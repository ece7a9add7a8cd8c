"""A venue's emergency access on orders, a position and a foreign order; each venue's test_emergency.py says which."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from exchanges import emergency
from exchanges.alerts import Alerts
from exchanges.emergency import Flat, Pull
from shm.clock import monotonic_ns
from shm.layout import EventType, OrderType, TimeInForce, client_order_id
from tests.exchanges.live_engine import INSTANCE, LiveEngine

SECOND = 10**9


def alerts() -> Alerts:
    return Alerts(lambda name: None, logging.getLogger("test"))


async def check_own_go_and_foreign_stay(
    engine: LiveEngine,
    access_of: Callable[[int], Any],
    resting_price: int,
    foreign: Callable[[Any], Awaitable[object]] | None,
) -> None:
    """access_of: the access of an instance by its number. resting_price: of the first of three orders, each 50 below
    the one before. foreign: places an order of nobody through the access it gets."""
    symbol = engine.instrument.symbol
    held = engine.order(0, 200, order_type=OrderType.MARKET, time_in_force=TimeInForce.NONE)
    await engine.until(lambda: EventType.FILL in engine.kinds(held))
    resting = [engine.order(resting_price - 50 * step, 100) for step in range(3)]
    for order_id in resting:
        await engine.told_of(order_id, EventType.ACCEPTED)
    access, other = access_of(INSTANCE), access_of(INSTANCE + 1)
    assert {order.client_order_id for order in await access.open_orders()} == set(resting)
    assert {order.client_order_id for order in await other.open_orders()} == {0}
    untouched = Pull()
    await emergency.pull(other, untouched, monotonic_ns() + SECOND)  # to that instance they are foreign
    assert len(await access.open_orders()) == 3
    if foreign is not None:
        await foreign(access)
    report, flat = Pull(), Flat()
    deadline = monotonic_ns() + 30 * SECOND
    await emergency.pull(access, report, deadline)
    await emergency.verify(access, report, monotonic_ns(), deadline)
    assert report.gone
    assert {order.client_order_id for order in report.asked} == set(resting)
    assert len(await access.open_orders()) == (foreign is not None)
    ids = (client_order_id(INSTANCE, 0, 0, number) for number in count(1))
    await emergency.flatten(access, [symbol], ids, flat, deadline)
    assert [position.symbol for position in flat.found] == [symbol]
    assert flat.left == []
    assert await access.positions() == []
    await access.close()
    await other.close()

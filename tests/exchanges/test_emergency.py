"""The last way to a venue, against one that a test plays: ours goes, the rest stays, and only its word counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges import emergency
from exchanges.adapter import VenueRefused, VenueUnavailable
from exchanges.emergency import Flat, OpenOrder, OpenPosition, Pull
from shm.clock import monotonic_ns
from shm.layout import Reason

SECOND = 10**9


class PlayedVenue:
    """Lists and cancels; `failures` are raised first, one a call."""

    acceptance_ns = 0

    def __init__(self, orders: list[OpenOrder], failures: list[Exception] | None = None) -> None:
        self.open, self.failures = orders, failures or []
        self.calls: list[str] = []
        self.held: list[OpenPosition] = []
        self.coming: list[OpenOrder] = []
        """Come to life after the next listing that shows nothing of ours."""

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self.failures:
            raise self.failures.pop(0)

    async def open_orders(self) -> list[OpenOrder]:
        self._answer("open_orders")
        listed = list(self.open)
        if not any(order.client_order_id for order in listed):
            self.open, self.coming = self.open + self.coming, []
        return listed

    async def cancel_symbol(self, symbol: str) -> None:
        self._answer(f"cancel_symbol {symbol}")
        self.open = [order for order in self.open if order.symbol != symbol]

    async def cancel(self, order: OpenOrder) -> None:
        self._answer(f"cancel {order.exchange_order_id}")
        self.open = [other for other in self.open if other != order]

    def cancel_together(self, orders: Sequence[OpenOrder]) -> Awaitable[None] | None:
        return None

    async def positions(self) -> list[OpenPosition]:
        self._answer("positions")
        return list(self.held)

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        self._answer(f"close {position.symbol} {client_order_id}")
        self.held = [other for other in self.held if other != position]

    async def close(self) -> None:
        raise AssertionError("whoever made it closes it")


def order(number: int, symbol: str = "BTCUSDT", *, ours: bool = True) -> OpenOrder:
    return OpenOrder(symbol, str(number), number if ours else 0)


async def pulled(venue: PlayedVenue, seconds: float = 5.0) -> Pull:
    report, deadline = Pull(), monotonic_ns() + int(seconds * SECOND)
    await emergency.pull(venue, report, deadline)
    await emergency.verify(venue, report, monotonic_ns(), deadline)
    return report


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]), st.booleans()), max_size=30))
def test_everything_of_ours_goes_and_nothing_else(rows: list[tuple[str, bool]]) -> None:
    venue = PlayedVenue([order(number, symbol, ours=ours) for number, (symbol, ours) in enumerate(rows, 1)])
    foreign = [other for other in venue.open if not other.client_order_id]
    emergency.FIRST_PAUSE_S, before = 0.0, emergency.FIRST_PAUSE_S  # type: ignore[misc]
    try:
        report = asyncio.run(pulled(venue))
    finally:
        emergency.FIRST_PAUSE_S = before  # type: ignore[misc]
    assert report.gone
    assert venue.open == foreign
    assert len(report.asked) == len(rows) - len(foreign)
    assert report.by_others == 0


async def test_one_call_takes_ours_from_among_others_and_what_it_left_goes_one_by_one() -> None:
    class Together(PlayedVenue):
        def cancel_together(self, orders: Sequence[OpenOrder]) -> Awaitable[None]:
            return self._together([order.exchange_order_id for order in orders])

        async def _together(self, ids: list[str]) -> None:
            self._answer(f"cancel_together {' '.join(ids)}")
            self.open = [order for order in self.open if order.exchange_order_id != ids[0]]

    venue = Together(
        [order(1), order(2, ours=False), order(3), order(4), order(5, "ETHUSDT"), order(6, "X", ours=False)]
    )
    assert (await pulled(venue)).gone
    assert [call for call in venue.calls if call.startswith("cancel")] == [
        "cancel_together 1 3 4", "cancel_symbol ETHUSDT", "cancel 3", "cancel 4",
    ]  # fmt: skip


async def test_a_symbol_with_a_foreign_order_is_never_canceled_as_a_whole() -> None:
    venue = PlayedVenue([order(1), order(2, ours=False), order(3, "ETHUSDT")])
    await pulled(venue)
    assert [call for call in venue.calls if call.startswith("cancel")] == ["cancel 1", "cancel_symbol ETHUSDT"]


async def test_an_order_that_comes_to_life_after_the_first_look_is_pulled_by_the_second() -> None:
    venue = PlayedVenue([order(1)])
    venue.coming = [order(2)]
    report = await pulled(venue)
    assert report.gone
    assert report.asked == {order(1), order(2)}
    assert venue.open == []


async def test_a_venue_that_fails_for_a_while_is_asked_again() -> None:
    venue = PlayedVenue([order(1)], [VenueUnavailable("down"), VenueRefused("busy", code=-1)])
    assert (await pulled(venue)).gone
    assert venue.open == []


async def test_a_wrong_key_is_not_tried_again() -> None:
    venue = PlayedVenue([order(1)], [VenueRefused("no such key", code=-2015, reason=Reason.VENUE_SIGNATURE)])
    report = await pulled(venue)
    assert not report.gone
    assert venue.calls == ["open_orders"]
    assert "no such key" in report.trouble


async def test_a_cancel_that_the_venue_refuses_leaves_the_order_on_the_list() -> None:
    class Stubborn(PlayedVenue):
        async def cancel_symbol(self, symbol: str) -> None:
            raise VenueRefused("halted", code=-4001)

    report = await pulled(Stubborn([order(1)]), 0.3)
    assert not report.gone
    assert report.left == [order(1)]
    assert report.asked == set()
    assert "halted" in report.trouble


async def test_silence_at_the_second_look_is_no_verification() -> None:
    venue, report = PlayedVenue([]), Pull()
    await emergency.pull(venue, report, monotonic_ns())
    venue.failures = [VenueUnavailable("down")]
    await emergency.verify(venue, report, monotonic_ns(), monotonic_ns())
    assert report.gone_ns
    assert not report.gone


async def test_positions_of_other_symbols_stay_and_an_unknown_outcome_is_looked_at_before_it_is_repeated() -> None:
    venue = PlayedVenue([])
    venue.held = [OpenPosition("BTCUSDT", "-0.5"), OpenPosition("DOGEUSDT", "7")]
    report = Flat()
    original = venue.close_position

    async def lost(position: OpenPosition, client_order_id: int) -> None:
        await original(position, client_order_id)
        raise VenueUnavailable("no reply")

    venue.close_position = lost  # type: ignore[method-assign]
    await emergency.flatten(venue, ["BTCUSDT"], count(11), report, monotonic_ns() + 5 * SECOND)
    assert report.found == [OpenPosition("BTCUSDT", "-0.5")]
    assert report.left == []
    assert venue.held == [OpenPosition("DOGEUSDT", "7")]
    assert venue.calls == ["positions", "close BTCUSDT 11", "positions"]

"""The venue's countdown and the trader's heartbeat."""

from __future__ import annotations

import asyncio
import logging

from exchanges.adapter import VenueUnavailable
from exchanges.dead_man_switch import ENDED, NOT_STARTED, SILENT, TraderWatch, VenueSwitch
from shm.layout import ProcessState
from shm.records import ProcessRow
from tests.exchanges.order_world import BTC, ETH, MS, SECOND


class Venue:
    def __init__(self) -> None:
        self.now = 100 * SECOND
        self.armed: list[tuple[str, int]] = []
        self.failing: set[str] = set()

    async def arm(self, symbol: str, countdown_ms: int) -> None:
        if symbol in self.failing:
            raise VenueUnavailable("no answer")
        self.armed.append((symbol, countdown_ms))
        self.now += 30 * MS  # the way there and back

    def switch(self, countdown_ms: int = 60_000) -> VenueSwitch:
        return VenueSwitch(self.arm, countdown_ms, lambda: self.now, logging.getLogger("test"))


async def test_an_instrument_counts_as_armed_only_after_the_venue_said_so() -> None:
    venue = Venue()
    switch = venue.switch()
    assert not switch.armed(BTC.id)
    venue.failing.add("ETHUSDT")
    assert not await switch.refresh([BTC, ETH])
    assert switch.armed(BTC.id)
    assert not switch.armed(ETH.id)
    venue.failing.clear()
    assert await switch.refresh([BTC, ETH])
    assert switch.armed(ETH.id)
    assert venue.armed[0] == ("BTCUSDT", 60_000)


async def test_a_countdown_that_is_not_refreshed_stops_counting_before_it_ends() -> None:
    venue = Venue()
    switch = venue.switch()
    await switch.refresh([BTC])
    venue.now = 100 * SECOND + 45 * SECOND - 1
    assert switch.armed(BTC.id)
    venue.now += 1
    assert not switch.armed(BTC.id), "measured from before the request, with a quarter as margin"
    assert switch.refresh_s == 15.0


async def test_the_kill_switch_lets_countdowns_run_out() -> None:
    venue = Venue()
    switch = venue.switch()
    switch.stopped = True
    assert not await switch.refresh([BTC])
    assert not venue.armed


async def test_it_is_armed_at_once_when_the_stream_is_back_whatever_the_pause_after_a_failure() -> None:
    venue = Venue()
    switch = venue.switch()
    settled = asyncio.Event()
    kept = asyncio.ensure_future(switch.keep([BTC, ETH], settled.set, first_pause_s=3_600.0))
    await asyncio.sleep(0)
    assert not venue.armed, "nothing can be armed before the stream is up"
    venue.failing = {"BTCUSDT", "ETHUSDT"}
    switch.arm_anew()
    async with asyncio.timeout(20.0):
        await settled.wait()
    assert not switch.armed(BTC.id)
    settled.clear()
    venue.failing.clear()
    switch.arm_anew()
    assert not switch.settled
    async with asyncio.timeout(20.0):  # far less than the hour that a failure would be waited out
        await settled.wait()
    assert switch.armed(BTC.id)
    assert switch.armed(ETH.id)
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)


async def test_a_stream_that_comes_up_while_it_is_being_armed_is_armed_for_anew() -> None:
    venue = Venue()
    told: list[int] = []
    asked = asyncio.Event()
    gate = asyncio.Event()

    async def arm(symbol: str, countdown_ms: int) -> None:
        asked.set()
        await gate.wait()
        await venue.arm(symbol, countdown_ms)

    switch = VenueSwitch(arm, 60_000, lambda: venue.now, logging.getLogger("test"))
    kept = asyncio.ensure_future(switch.keep([BTC], lambda: told.append(len(venue.armed)), first_pause_s=1.0))
    switch.arm_anew()
    async with asyncio.timeout(20.0):
        await asked.wait()
        switch.arm_anew()
        gate.set()
        while not told:
            await asyncio.sleep(0)
    assert told == [2], "told once, when the second one was through"
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)


async def test_switched_off_it_asks_nothing_and_holds_nothing_back() -> None:
    venue = Venue()
    switch = venue.switch(0)
    assert switch.armed(BTC.id)
    assert await switch.refresh([BTC])
    assert not venue.armed


async def test_an_end_in_good_order_disarms_what_was_armed() -> None:
    venue = Venue()
    switch = venue.switch()
    await switch.refresh([BTC])
    await switch.disarm([BTC, ETH])
    assert venue.armed[1:] == [("BTCUSDT", 0)]
    assert not switch.armed(BTC.id)
    assert not await switch.refresh([BTC]), "it stays disarmed"


class Status:
    def __init__(self) -> None:
        self.heartbeat_ns: int | None = None
        self.state = ProcessState.READY

    def read(self, row: int, record: ProcessRow) -> bool:
        assert row == 4
        if self.heartbeat_ns is None:
            return False
        record.heartbeat_time_ns, record.state = self.heartbeat_ns, self.state
        return True


def test_a_silent_trader_is_lost_after_its_limit_and_found_again() -> None:
    now = 50 * SECOND
    status = Status()
    watch = TraderWatch(status, 4, 2 * SECOND, lambda: now)
    status.heartbeat_ns = now
    now += 2 * SECOND
    assert not watch.look()
    now += 1
    assert watch.look()
    status.heartbeat_ns = now
    assert not watch.look()


def test_a_trader_that_said_that_it_restarts_may_be_silent_for_longer() -> None:
    now = 50 * SECOND
    status = Status()
    watch = TraderWatch(status, 4, 2 * SECOND, lambda: now, restart_ns=10 * SECOND)
    status.heartbeat_ns, status.state = now, ProcessState.RESTARTING
    now += 10 * SECOND
    assert not watch.look()
    now += 1
    assert watch.look()
    status.heartbeat_ns, status.state = now, ProcessState.STARTING
    now += 2 * SECOND + 1
    assert watch.look(), "the next one is held to the usual limit"


def test_a_trader_that_never_came_counts_from_the_engines_start() -> None:
    now = 50 * SECOND
    status = Status()
    watch = TraderWatch(status, 4, 2 * SECOND, lambda: now)
    assert not watch.look()
    assert watch.why == ""
    now += 2 * SECOND + 1
    assert watch.look()
    assert watch.why == NOT_STARTED, "nobody is called silent who has not started yet"
    status.heartbeat_ns = 10 * SECOND  # the row of a trader that died long ago
    assert watch.look()
    assert watch.why == SILENT


def test_a_trader_that_said_its_end_is_not_called_silent() -> None:
    now = 50 * SECOND
    status = Status()
    watch = TraderWatch(status, 4, 2 * SECOND, lambda: now)
    status.heartbeat_ns, status.state = now, ProcessState.STOPPED
    now += 2 * SECOND + 1
    assert watch.look(), "its orders are canceled all the same"
    assert watch.why == ENDED

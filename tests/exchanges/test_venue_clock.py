"""The venue's clock from the sample with the shortest way."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from exchanges.venue_clock import VenueClock

MS = 1_000_000
OFFSET = 1_700_000_000_000 * MS


async def test_the_quickest_sample_counts() -> None:
    now = 0
    ways = iter([(9, 41), (2, 2), (30, 1), (7, 7), (4, 3)])

    async def server_time() -> int:
        nonlocal now
        there, back = next(ways)
        now += there * MS
        answer = now + OFFSET
        now += back * MS
        return answer

    clock = VenueClock(lambda: now)
    assert not clock.measured
    await clock.measure(server_time)
    assert clock.offset_ns == OFFSET
    assert clock.error_ns == 2 * MS + MS
    assert clock.now_ns() == now + OFFSET
    assert clock.now_ms() == (now + OFFSET) // MS


async def test_an_uneven_way_stays_within_the_stated_error() -> None:
    now = 0

    async def server_time() -> int:
        nonlocal now
        now += 40 * MS
        return now - 40 * MS + OFFSET  # stamped as it left us: all of the way is on the way back

    clock = VenueClock(lambda: now)
    await clock.measure(server_time, samples=1)
    assert abs(clock.offset_ns - OFFSET) <= clock.error_ns


class Host:
    """A host clock, and a venue whose clock may step, both told by the test."""

    def __init__(self) -> None:
        self.now = 10**12
        self.venue_offset = OFFSET
        self.way = 2 * MS
        self.steps: list[int] = []
        self.clock = VenueClock(lambda: self.now)
        self.clock.on_step = self.steps.append

    async def measure(self) -> None:
        await self.clock.measure(self.server_time, samples=2)

    async def server_time(self) -> int:
        self.now += self.way
        answer = self.now + self.venue_offset
        self.now += self.way
        return answer

    @property
    def off(self) -> int:
        return abs(self.clock.offset_ns - self.venue_offset)


async def test_a_slow_moment_of_the_network_does_not_spoil_a_good_estimate() -> None:
    host = Host()
    await host.measure()
    host.way = 400 * MS
    await host.measure()
    assert host.clock.error_ns < 4 * MS
    assert host.steps == []


async def test_an_old_estimate_gives_way_to_a_worse_sample_once_it_may_have_drifted_further() -> None:
    host = Host()
    await host.measure()
    host.way = 20 * MS
    host.now += 1_000 * 10**9
    host.venue_offset += 30 * MS  # 30 ppm
    before = host.clock.error_ns
    assert before > 100 * MS
    await host.measure()
    assert host.clock.error_ns == 20 * MS + MS
    assert host.off <= host.clock.error_ns
    assert host.steps == []


async def test_a_step_of_the_venues_clock_is_taken_and_said() -> None:
    host = Host()
    await host.measure()
    host.venue_offset -= 3_000 * MS
    await host.measure()
    assert host.off == 0
    assert host.steps == [-3_000 * MS]
    assert host.clock.steps == 1


@given(st.lists(st.tuples(st.integers(1, 10**12), st.integers(-100, 100), st.integers(0, 500)), max_size=20))
def test_the_error_is_never_larger_than_stated_however_the_clocks_drift(steps: list[tuple[int, int, int]]) -> None:
    host = Host()

    async def run() -> None:
        await host.measure()
        for elapsed, ppm, way_ms in steps:
            host.now += elapsed
            host.venue_offset += elapsed * ppm // 1_000_000
            assert host.off <= host.clock.error_ns + 1
            host.way = way_ms * MS
            await host.measure()
            assert host.off <= host.clock.error_ns + 1

    asyncio.run(run())
    assert host.steps == []


def test_until_it_was_measured_it_is_this_hosts_own_utc() -> None:
    assert abs(VenueClock().now_ns() - time.time_ns()) < 10**9


async def test_a_clock_says_where_it_is_and_how_well_it_is_known() -> None:
    clock = VenueClock(lambda: 0)

    async def server_time() -> int:
        return 12_500_000

    await clock.measure(server_time)
    assert clock.in_words() == "venue clock is +12.5 ms from this host's monotonic zero, known to 1.0 ms"

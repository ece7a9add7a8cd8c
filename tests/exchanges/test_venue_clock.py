"""The venue's clock from the sample with the shortest way."""

from __future__ import annotations

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
    assert clock.measured
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

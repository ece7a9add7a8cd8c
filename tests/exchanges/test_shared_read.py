"""One read for all who asked before it began, the next one for all who came meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from exchanges.adapter import VenueUnavailable
from exchanges.shared_read import SharedRead


class Venue:
    """Answers with the number of the read, when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def read(self, since: int) -> int:
        self.asked.append(since)
        number = len(self.asked)
        await self.answers.acquire()
        if self.failure is not None:
            raise self.failure
        return number


async def until_asked(venue: Venue, times: int) -> None:
    async with asyncio.timeout(20):
        while len(venue.asked) < times:
            await asyncio.sleep(0)


async def test_who_asks_before_a_read_begins_shares_it_from_the_earliest_time_on() -> None:
    venue = Venue()
    shared = SharedRead(venue.read)
    waiting = [asyncio.ensure_future(shared(since)) for since in (30, 10, 20)]
    await until_asked(venue, 1)
    venue.answers.release()
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert venue.asked == [10]


async def test_who_asks_while_a_read_runs_gets_the_next_one_and_not_its_answer() -> None:
    venue = Venue()
    shared = SharedRead(venue.read)
    first = asyncio.ensure_future(shared(1))
    await until_asked(venue, 1)
    later = [asyncio.ensure_future(shared(since)) for since in (7, 5)]
    await asyncio.sleep(0)
    assert venue.asked == [1]
    venue.answers.release()
    assert await first == 1
    await until_asked(venue, 2)
    venue.answers.release()
    assert await asyncio.gather(*later) == [2, 2]
    assert venue.asked == [1, 5]


async def test_a_read_that_fails_fails_for_all_who_share_it_and_for_nobody_else() -> None:
    venue = Venue()
    shared = SharedRead(venue.read)
    waiting = [asyncio.ensure_future(shared()) for _ in range(2)]
    await until_asked(venue, 1)
    venue.failure = VenueUnavailable("down")
    venue.answers.release()
    assert [type(one) for one in await asyncio.gather(*waiting, return_exceptions=True)] == [VenueUnavailable] * 2
    venue.failure = None
    venue.answers.release()
    assert await shared() == 2


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    venue = Venue()
    shared = SharedRead(venue.read)
    one, other = asyncio.ensure_future(shared()), asyncio.ensure_future(shared())
    await until_asked(venue, 1)
    one.cancel()
    venue.answers.release()
    assert await other == 1
    with pytest.raises(asyncio.CancelledError):
        await one

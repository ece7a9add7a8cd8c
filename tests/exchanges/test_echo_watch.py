"""A stream that owes a word: it speaks in time, or is told silent once."""

from __future__ import annotations

import asyncio

from exchanges.echo_watch import EchoWatch


async def until_told(told: list[str]) -> None:
    async with asyncio.timeout(30):
        while not told:
            await asyncio.sleep(0.001)


async def test_a_stream_that_says_nothing_is_told_silent_once() -> None:
    told: list[str] = []
    watch = EchoWatch(told.append, echo_s=0.01)
    watch.expect(1_000)
    watch.expect(1_001)
    await until_told(told)
    await asyncio.sleep(0)
    assert told == ["open, and silent for 0.01 s about a change that the venue confirmed"]
    watch.expect(1_002)  # and again for the next change
    told.clear()
    await until_told(told)


async def test_a_word_after_the_change_or_before_it_was_confirmed_is_enough() -> None:
    told: list[str] = []
    watch = EchoWatch(told.append, echo_s=0.0)
    watch.word(2_000)
    watch.expect(1_000)
    watch.expect(2_000)
    watch.expect(3_000)
    watch.word(3_001)
    for _ in range(10):
        await asyncio.sleep(0)
    assert told == []


async def test_a_stream_that_is_gone_owes_nothing() -> None:
    told: list[str] = []
    watch = EchoWatch(told.append, echo_s=0.0)
    watch.expect(1_000)
    watch.forget()
    watch.forget()
    for _ in range(10):
        await asyncio.sleep(0)
    assert told == []

"""Each beginning and each end is told once; nothing waits for it, and nothing grows."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import Any

from processes.alert_channels import DeliveryError
from processes.alert_delivery import WAITING, AlertDelivery
from processes.health import Problem
from processes.health_rules import Severity

LOG = logging.getLogger("test")
PATIENCE_S = 60.0


def problem(subject: str, severity: Severity = Severity.CRITICAL) -> Problem:
    return Problem("stale_data", severity, subject, f"{subject} is bad", "2026-01-01T00:00:00.000+00:00")


class Taker:
    """A channel that refuses as often as it is told to, and can be held up."""

    name = "taker"

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.taken: list[dict[str, Any]] = []
        self.tries = 0
        self.open = asyncio.Event()
        self.open.set()
        self.news = asyncio.Event()

    async def send(self, message: bytes) -> None:
        await self.open.wait()
        self.tries += 1
        if self.refusals:
            self.refusals -= 1
            raise DeliveryError("not now")
        self.taken.append(json.loads(message))
        self.news.set()

    def told(self) -> list[tuple[str, str]]:
        return [
            (what, one["subject"]) for message in self.taken for what in ("began", "ended") for one in message[what]
        ]

    async def until(self, messages: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.taken) < messages:
                self.news.clear()
                await self.news.wait()


class Delivered:
    """A delivery with its task."""

    def __init__(self, taker: Taker, pauses_s: tuple[float, ...] = (), least: Severity = Severity.WARNING) -> None:
        self.counts: Counter[str] = Counter()
        self.delivery = AlertDelivery(
            taker, "main", 0.0, lambda name: self.counts.update([name]), LOG, least, pauses_s
        )  # fmt: skip

    async def __aenter__(self) -> Delivered:
        self._task = asyncio.ensure_future(self.delivery.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def counted(self, name: str, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.counts[name] < times:
                await asyncio.sleep(0.001)


async def test_a_problem_is_told_when_it_begins_and_when_it_ends_and_not_between() -> None:
    taker = Taker()
    async with Delivered(taker) as one:
        one.delivery.update([problem("a")])
        await taker.until(1)
        one.delivery.update([problem("a")])
        one.delivery.update([problem("a"), problem("b")])
        await taker.until(2)
        one.delivery.update([])
        await taker.until(3)
        await one.counted("alerts_delivered", 3)
    assert taker.told() == [("began", "a"), ("began", "b"), ("ended", "a"), ("ended", "b")]
    assert [message["standing"] for message in taker.taken] == [1, 2, 0]
    assert taker.taken[0]["instance"] == "main"
    assert taker.taken[0]["began"][0]["text"] == "a is bad"


async def test_what_comes_while_a_message_is_on_its_way_goes_into_the_next_one() -> None:
    taker = Taker()
    async with Delivered(taker) as one:
        taker.open.clear()
        one.delivery.update([problem("a")])
        await asyncio.sleep(0)
        for subject in "bcd":
            one.delivery.update([problem(subject)])
        taker.open.set()
        await taker.until(2)
    assert len(taker.taken) == 2
    assert sorted(taker.told()) == sorted(
        [("began", one) for one in "abcd"] + [("ended", one) for one in "abc"]
    )  # fmt: skip


async def test_a_message_that_is_not_taken_is_tried_again(caplog: Any) -> None:
    taker = Taker(refusals=2)
    async with Delivered(taker, pauses_s=(0.0, 0.0, 0.0)) as one:
        one.delivery.update([problem("a")])
        await taker.until(1)
        await one.counted("alerts_delivered")
    assert one.counts == {"alerts_retried": 2, "alerts_delivered": 1}
    assert taker.tries == 3


async def test_at_last_it_is_given_up_said_and_the_next_one_goes_its_way(caplog: Any) -> None:
    taker = Taker(refusals=3)
    async with Delivered(taker, pauses_s=(0.0, 0.0)) as one:
        one.delivery.update([problem("a")])
        await one.counted("alerts_given_up")
        one.delivery.update([problem("a"), problem("b")])
        await taker.until(1)
    assert taker.told() == [("began", "b")]
    assert "given up after 3 attempts: not now" in caplog.text


async def test_a_channel_that_hangs_holds_nobody_up_and_memory_stays_bounded() -> None:
    taker = Taker()
    async with Delivered(taker) as one:
        taker.open.clear()
        one.delivery.update([problem("first")])
        await asyncio.sleep(0)
        for number in range(WAITING):
            one.delivery.update([problem(str(number))])
        assert len(one.delivery._waiting) == WAITING
        assert one.counts["alerts_dropped"] == 2 * WAITING - WAITING
        taker.open.set()
        await taker.until(2)
    assert taker.told()[-1] == ("ended", str(WAITING - 2))
    assert ("began", str(WAITING - 1)) in taker.told()


async def test_only_what_is_severe_enough_is_told() -> None:
    taker = Taker()
    async with Delivered(taker, least=Severity.CRITICAL) as one:
        one.delivery.update([problem("mild", Severity.WARNING), problem("severe")])
        await taker.until(1)
    assert taker.told() == [("began", "severe")]


async def test_messages_are_apart_by_the_interval() -> None:
    taker, counts = Taker(), Counter[str]()
    delivery = AlertDelivery(taker, "main", 3600.0, lambda name: counts.update([name]), LOG)
    task = asyncio.ensure_future(delivery.run())
    delivery.update([problem("a")])
    await taker.until(1)
    delivery.update([problem("a"), problem("b")])
    for _ in range(100):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(taker.taken) == 1
    assert len(delivery._waiting) == 1

"""`exchanges/simulator/flow.py`: the player hands every event over once, in order, and obeys its switches."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from exchanges.simulator.flow import FlowPlayer, FlowState, MarketEvent, MarkTick, Snapshot


class ListFlow:
    """Mark ticks at the given times."""

    symbols = ("AAAUSDT",)

    def __init__(self, dues_ns: list[int]) -> None:
        self.dues = dues_ns
        self.next = 0

    def snapshot(self, symbol: str) -> Snapshot:
        return Snapshot([], [], 0, 0, 0)

    def next_due_ns(self) -> int | None:
        return self.dues[self.next] if self.next < len(self.dues) else None

    def pop(self) -> MarketEvent:
        self.next += 1
        return MarkTick(self.dues[self.next - 1], "AAAUSDT", 0, self.next, None, None)

    def next_delta_id(self, symbol: str) -> int | None:
        return None


async def ended(player: FlowPlayer) -> None:
    async with asyncio.timeout(60):
        while player.state is not FlowState.ENDED:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("speed", [math.inf, 1e6])
async def test_every_event_is_delivered_once_and_in_order(speed: float) -> None:
    got: list[int] = []
    player = FlowPlayer(ListFlow([n * 1_000_000 for n in range(2000)]), speed, lambda event: got.append(event.time_ms))
    player.start()
    player.start()
    await ended(player)
    assert got == list(range(1, 2001))
    assert (player.delivered, player.position_ns) == (2000, 1999 * 1_000_000)
    await player.close()


async def test_real_time_keeps_the_recorded_distances_and_speed_divides_them() -> None:
    for speed, expected in ((1.0, 0.06), (4.0, 0.015)):
        times: list[float] = []
        player = FlowPlayer(ListFlow([0, 60_000_000]), speed, lambda _, t=times: t.append(time.monotonic()))
        player.start()
        await ended(player)
        assert times[1] - times[0] >= expected * 0.95
        await player.close()


async def test_a_paused_flow_goes_on_where_it_stood_and_a_frozen_one_never() -> None:
    got: list[int] = []
    flow = ListFlow([n * 1_000_000 for n in range(50)])
    player: FlowPlayer

    def deliver(event: MarketEvent) -> None:
        got.append(event.time_ms)
        if len(got) == 10:
            player.pause()
        if len(got) == 30:
            player.freeze()

    player = FlowPlayer(flow, 1.0, deliver)
    player.start()
    while player.state is not FlowState.PAUSED:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert len(got) == 10
    player.resume()
    while player.state is not FlowState.FROZEN:
        await asyncio.sleep(0.001)
    player.resume()
    await asyncio.sleep(0.02)
    assert got == list(range(1, 31))
    await player.close()


async def test_a_fast_replay_waits_for_the_slowest_reader() -> None:
    got: list[int] = []
    behind = 10_000
    player = FlowPlayer(ListFlow([0] * 5000), math.inf, lambda event: got.append(event.time_ms), lambda: behind)
    player.start()
    for _ in range(500):  # turns of the loop, not time: without the wait, 20 turns deliver everything
        await asyncio.sleep(0)
    assert 0 < len(got) < 5000
    behind = 0
    await ended(player)
    assert len(got) == 5000
    await player.close()


async def test_a_flow_that_breaks_keeps_its_failure_for_the_server_to_report() -> None:
    def deliver(event: MarketEvent) -> None:
        raise ValueError("broken")

    player = FlowPlayer(ListFlow([0]), 1.0, deliver)
    player.start()
    await ended(player)
    assert isinstance(player.failure, ValueError)
    await player.close()

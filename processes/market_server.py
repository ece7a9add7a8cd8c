"""Market server: one venue's public streams -> market ring and tables.

Reads nothing but the venue. Writes <venue>.market (ring), <venue>.books, <venue>.tickers, <venue>.instruments (tables)
and its own counters. Loop: uvloop, woken by the sockets. READY once every configured instrument has a live book; every
row is invalid when it ends.
"""

from __future__ import annotations

import asyncio

from exchanges.adapter import ExchangeContext, ExchangeSubscriber
from exchanges.factory import ExchangeFactory
from processes.app_service import AppService
from shm.layout import CONNECTIONS_PER_PROCESS

ROW_REFRESH_S = 0.1


def run(service: AppService, venue: str) -> int:
    """Serve until asked to stop; the exit code."""

    async def main(service: AppService) -> None:
        subscriber = ExchangeFactory(_context(service, venue)).subscriber()
        serving = asyncio.ensure_future(subscriber.run())
        stopping = asyncio.ensure_future(service.stopping.wait())
        try:
            while not serving.done() and not stopping.done():
                await asyncio.wait({serving, stopping}, timeout=ROW_REFRESH_S, return_when=asyncio.FIRST_COMPLETED)
                _show_connections(service, subscriber)
            if serving.done():
                serving.result()
        finally:
            await subscriber.close()
            for task in (serving, stopping):
                task.cancel()
            await asyncio.gather(serving, stopping, return_exceptions=True)
            _show_connections(service, subscriber)

    return service.run_async(main)


def _context(service: AppService, venue: str) -> ExchangeContext:
    return ExchangeContext(
        venue=venue,
        settings=service.config.venues[venue],
        instruments=service.instance.instruments(venue),
        segment=service.segment,
        counters=service.declare(),
        log=service.log,
        state_dir=service.instance.state_dir,
        set_state=service.set_state,
    )


def _show_connections(service: AppService, subscriber: ExchangeSubscriber) -> None:
    """For the process row; it is written with the next heartbeat."""
    for index, health in enumerate(subscriber.connections()[:CONNECTIONS_PER_PROCESS]):
        service.row.connection_states[index] = int(health.state)
        service.row.connection_receive_time_ns[index] = health.receive_time_ns

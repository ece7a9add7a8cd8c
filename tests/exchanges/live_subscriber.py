"""A venue's subscriber at work on a simulator in the same loop; each venue's test_subscriber.py says which."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.http import HttpHandler
from exchanges.websocket import WebSocketPolicy
from processes.config import VenueConfig
from shm.layout import MarketStatusCode, ProcessState, RecordKind

POLICY = WebSocketPolicy(backoff_first_s=0.001, backoff_limit_s=0.05, first_message_timeout_s=None)


def settings(symbols: list[str], **changes: Any) -> VenueConfig:
    values = {"environment": "simulator", "ws_api_url": "ws://127.0.0.1:9", "stale_after_ms": 30_000}  # slow machines
    return VenueConfig(symbols=symbols, **values | changes)


class Ids:
    """Instrument ids by the symbol's place; `venue`: the venue's number in them."""

    def __init__(self, venue: int, symbols: list[str]) -> None:
        self.venue, self.symbols = venue, symbols

    def id(self, symbol: str, /) -> int:
        return self.venue << 16 | self.symbols.index(symbol)

    def symbol(self, instrument_id: int, /) -> str:
        return self.symbols[instrument_id & 0xFFFF]


class LiveSubscriber:
    """One subscriber, everything it published since it began, and the states it went through. A subclass names the
    venue and makes the parts."""

    venue: str
    number: int
    fetcher: Any
    subscriber: Any

    def __init__(self, market: Any, config: VenueConfig, state_dir: Path, **parts: Any) -> None:
        """`parts`: what the subclass wants beside the context for `make`."""
        self.market = market
        self.states: list[tuple[ProcessState, str]] = []
        self.http = HttpHandler(config.rest_url or "", timeout_s=20.0)
        self.context = ExchangeContext(
            self.venue, config, Ids(self.number, config.symbols), market.segment, market.counters,
            logging.getLogger("test.subscriber"), state_dir, self.set_state, parts.pop("credentials", None),
        )  # fmt: skip
        self.make(**parts)
        self.reader = market.reader()
        self.records: list[Any] = []
        self.task = asyncio.ensure_future(self.subscriber.run())

    def make(self, **parts: Any) -> None:
        """Set `fetcher` (over `self.http`) and `subscriber`."""
        raise NotImplementedError

    def set_state(self, state: ProcessState, text: str) -> None:
        if not self.states or self.states[-1] != (state, text):
            self.states.append((state, text))

    def count(self, name: str) -> int:
        return int(self.market.counters.counter(name).value)

    def drain(self) -> None:
        while (record := self.reader.poll()) is not None:
            self.records.append(record.copy())
        assert self.reader.lost == 0

    def of(self, kind: RecordKind, row: int = 0) -> list[Any]:
        self.drain()
        return [record for record in self.records if record.kind == kind and record.instrument_id & 0xFFFF == row]

    def codes(self, row: int = 0) -> list[MarketStatusCode]:
        return [MarketStatusCode(record.code) for record in self.of(RecordKind.MARKET_STATUS, row)]

    async def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    self.task.result()
                    raise AssertionError("the subscriber ended")
                await asyncio.sleep(0.002)
                self.drain()

    async def close(self) -> None:
        await self.subscriber.close()
        await asyncio.wait({self.task}, timeout=60)
        assert self.task.done()
        await self.fetcher.close()

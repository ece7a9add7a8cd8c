"""A venue's PMS over account rows in memory, on a simulator in the same loop; each venue's test_pms.py says which."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exchanges.account_tables import AccountTables
from exchanges.adapter import ExchangeContext
from exchanges.alerts import Alerts
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from tests.exchanges.order_world import Counters
from tests.exchanges.test_account_tables import Rows

PATIENCE_S = 60.0


class LivePMS:
    """A subclass says which class, instrument and currency, and makes the context."""

    pms_class: Callable[..., Any]
    instrument: OrderInstrument
    currency: str

    def __init__(self, server: Any, tmp_path: Path, snapshot_s: float = 0.05, **changes: Any) -> None:
        self.positions, self.balances = Rows(), Rows()
        self.counters = Counters()
        self.alerts = Alerts(self.counters.add, logging.getLogger("test.pms"))
        instruments = OrderInstruments([self.instrument])
        self.pms = type(self).pms_class(
            self.context(server, tmp_path, changes),
            instruments=instruments,
            tables=AccountTables(self.positions, self.balances, instruments, self.currency, 4),
            snapshot_s=snapshot_s,
        )
        self.task: asyncio.Future[None] | None = None

    def context(self, server: Any, tmp_path: Path, changes: dict[str, Any]) -> ExchangeContext:
        raise NotImplementedError

    async def start(self) -> None:
        await self.pms.prepare()
        self.task = asyncio.ensure_future(self.pms.run())
        await self.until(lambda: self.pms.ready)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.task is not None and self.task.done():
                    self.task.result()
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        await self.pms.close()
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    @property
    def position(self) -> Any:
        return self.positions.by_index[self.instrument.row]

    @property
    def balance(self) -> Any:
        return self.balances.by_index[0]

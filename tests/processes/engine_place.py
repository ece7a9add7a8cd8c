"""One instance whose market server and trader are played by the test, around real engine and position processes."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exchanges.binance.simulator import SimulatorServer
from exchanges.binance.simulator_instruments import instrument_for
from processes import shm_admin
from processes.config import load_config
from shm.clock import monotonic_ns
from shm.counters import CountersReader
from shm.instance import Instance
from shm.layout import (
    EventType,
    InstrumentStatus,
    OrderType,
    ProcessState,
    RecordKind,
    RecoveryPhase,
    RequestType,
    Side,
    TimeInForce,
    client_order_id,
)
from shm.records import BookRow, InstrumentRow, OrderRequest, ProcessRow
from shm.ring import LosslessReader, LosslessWriter
from shm.table import TableReader, TableWriter, Words

ROOT = Path(__file__).parent.parent.parent
NUMBER = 88
STRATEGY = 4
PATIENCE_S = 60.0
CONFIG = """
[instance]
name = "{name}"
number = {number}
run_dir = "{folder}/run"
state_dir = "{folder}/state"
[cores."trading_engine.binance"]
wait = "{wait}"
[trader]
heartbeat_timeout_ms = 400
[venues.binance]
symbols = ["BTCUSDT"]
environment = "simulator"
rest_url = "{rest}"
stream_url = "{stream}"
ws_api_url = "{stream}"
event_ring_slots = {event_slots}
on_start = "{on_start}"
receive_window_ms = 500
{credentials}
[venues.binance.risk]
max_order_quantity = {{ BTCUSDT = "1" }}
max_order_notional = "100000"
max_position = {{ BTCUSDT = "5" }}
max_open_orders = 200
max_orders_per_second = 1000.0
collar = 0.5
[log]
directory = "{folder}/log"
"""


class Place:
    """Close it when the test is over. Everything runs in the test's loop but the processes under test."""

    def __init__(
        self,
        folder: Path,
        server: SimulatorServer,
        *,
        wait: str = "doorbell",
        event_slots: int = 1024,
        on_start: str = "adopt",
        credentials: str = "",
        rest: str = "",
    ) -> None:
        self.file = folder / "corelane.toml"
        self.file.write_text(
            CONFIG.format(
                name=f"e{os.getpid()}-{folder.name[3:].lower().replace('_', '-')}",
                number=NUMBER,
                folder=folder,
                wait=wait,
                rest=rest or server.rest_url,
                stream=server.stream_url,
                event_slots=event_slots,
                on_start=on_start,
                credentials=credentials,
            )
        )
        self.server = server
        config = load_config(self.file)
        shm_admin.create(config)
        self.instance: Instance = shm_admin.instance_of(config)
        self.running: list[Process] = []
        self.events: list[Any] = []
        self.epoch = 0
        self.trader_alive = True
        self._request_id = 0
        self._counter = 0
        self._status = TableReader(self.instance.segment("status"))
        self._requests = LosslessWriter(self.instance.segment("binance.requests"))
        self._reader = LosslessReader(self.instance.segment("binance.events"))
        self.words = Words(self.instance.segment("words"))
        self._rows = {
            name: (
                TableWriter(self.instance.segment("status"), row=self.instance.process_row(name)),
                self.instance.process_row(name),
            )
            for name in ("trader", "market_server.binance")
        }
        self._write_market()
        self._beating = asyncio.ensure_future(self._beat())

    # --- the parts that the test plays --------------------------------------------------------------------------------
    def _write_market(self) -> None:
        identifier = self.instance.instruments("binance").id("BTCUSDT")
        real = instrument_for("BTCUSDT")
        row = InstrumentRow()
        row.instrument_id, row.venue, row.status = identifier, 1, InstrumentStatus.TRADING
        row.price_scale, row.quantity_scale = 2, 3
        row.tick_size, row.lot_size = int(real.tick_size * 100), int(real.lot_size * 1000)
        row.contract_size, row.symbol = 10**8, b"BTCUSDT"
        TableWriter(self.instance.segment("binance.instruments")).write(identifier & 0xFFFF, row)
        book = BookRow()
        book.instrument_id, book.venue, book.valid, book.bid_count, book.ask_count = identifier, 1, 1, 1, 1
        book.bid_prices[0], book.ask_prices[0] = 61_800.0, 61_800.1
        TableWriter(self.instance.segment("binance.books")).write(identifier & 0xFFFF, book)
        self.instrument_id = identifier

    async def _beat(self) -> None:
        while True:
            for name, (writer, row) in self._rows.items():
                if name == "trader" and not self.trader_alive:
                    continue
                record = ProcessRow()
                record.heartbeat_time_ns, record.pid = monotonic_ns(), os.getpid()
                record.state = ProcessState.READY
                writer.write(row, record)
            await asyncio.sleep(0.05)

    # --- processes ----------------------------------------------------------------------------------------------------
    async def start(self, role: str = "trading-engine", **environment: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "processes.cli", role, "binance", "-c", str(self.file),
            cwd=ROOT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environment},
        )  # fmt: skip
        self.running.append(process)
        return process

    async def ready(self, role: str = "trading-engine") -> Process:
        process = await self.start(role)
        name = f"{role.replace('-', '_')}.binance"
        await self.until(lambda: self.row(name).pid == process.pid and self.row(name).state == ProcessState.READY)
        return process

    async def recovered(self) -> Process:
        """A ready engine that serves this trader."""
        process = await self.ready()
        await self.recover()
        return process

    def row(self, name: str = "trading_engine.binance") -> ProcessRow:
        row = ProcessRow()
        self._status.read(self.instance.process_row(name), row)
        return row

    def counters(self) -> dict[str, int]:
        return CountersReader(self.instance.segment("counters.trading_engine.binance")).snapshot()["counters"]

    async def until(self, condition: Callable[[], object], alive: bool = True) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.poll()
                if alive and self.running and self.running[-1].returncode not in (None, 0):
                    raise AssertionError(await self.errors())
                await asyncio.sleep(0.002)

    async def errors(self) -> str:
        assert self.running[-1].stderr is not None
        return (await self.running[-1].stderr.read()).decode()

    async def close(self) -> None:
        self._beating.cancel()
        for process in self.running:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.instance.close()
        self.instance.remove()

    # --- the trader ---------------------------------------------------------------------------------------------------
    async def recover(self) -> int:
        """Take a new epoch and wait for the end of the bracket; its nonce."""
        self.epoch += 1
        nonce = self.epoch << 32 | 1
        self._request_id = nonce
        self.publish(RequestType.RECOVER, request_id=nonce)
        await self.until(
            lambda: any(
                record.kind == RecordKind.RECOVERY and (record.phase, record.nonce) == (RecoveryPhase.END, nonce)
                for record in self.events
            )
        )
        return nonce

    def publish(self, kind: RequestType, order_id: int = 0, **fields: Any) -> OrderRequest:
        request = OrderRequest()
        self._request_id += 1
        request.request_type, request.client_order_id, request.epoch = kind, order_id, self.epoch
        request.instrument_id, request.venue, request.strategy_id = self.instrument_id, 1, STRATEGY
        request.request_id = self._request_id
        request.deadline_ns = 0 if kind == RequestType.CANCEL else monotonic_ns() + 20 * 10**9
        for name, value in fields.items():
            setattr(request, name, value)
        assert self._requests.try_publish(request)
        return request

    def new(self, price: int = 6_179_950, quantity: int = 10, **fields: Any) -> int:
        self._counter += 1
        order_id = client_order_id(NUMBER, STRATEGY, self.epoch, self._counter)
        fields = {
            "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC,
            "price": price, "quantity": quantity,
        } | fields  # fmt: skip
        self.publish(RequestType.NEW, order_id, **fields)
        return order_id

    def poll(self) -> None:
        while (record := self._reader.poll()) is not None:
            self.events.append(record.copy())
        self._reader.commit()

    def kinds(self, order_id: int) -> list[EventType]:
        return [EventType(event.event_type) for event in self.told(order_id)]

    def told(self, order_id: int) -> list[Any]:
        return [e for e in self.events if e.kind == RecordKind.ORDER_EVENT and e.client_order_id == order_id]

    async def wait_for(self, order_id: int, kind: EventType) -> Any:
        await self.until(lambda: kind in self.kinds(order_id))
        return next(event for event in self.told(order_id) if event.event_type == kind)


Places = Callable[..., Place]

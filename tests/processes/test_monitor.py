"""The monitor as a process: what it serves, whom it tells, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from processes import monitor as module
from processes.app_service import AppService
from processes.config import Config, load_config
from processes.demo_config import free_port
from processes.exit_codes import ExitCode, Failure
from processes.monitor import Monitor
from shm.layout import EventType, OrderState, ProcessState
from shm.limits import LimitCredits
from tests.processes.observed_set import ObservedSet

PATIENCE_S = 60.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(write_config: Callable[..., Path], directory: Path) -> Config:
    got = directory / "got"
    return load_config(
        write_config(
            f"[observers]\nmonitor = true\n[monitor]\nport = {free_port()}\nmin_interval_s = 0.0\n"
            f'command = ["/bin/sh", "-c", "cat >> {got}; echo >> {got}"]\n',
            port=free_port(),  # request limits are shared by all on this host that know a venue of this address
        )
    )


@pytest.fixture
def observed(config: Config) -> Iterator[ObservedSet]:
    made = ObservedSet(config)
    made.all_ready()
    made.book()
    made.position(0)
    yield made
    made.close()


class Served:
    """A monitor that serves in this process, and a client."""

    def __init__(self, observed: ObservedSet, service: AppService, session: aiohttp.ClientSession) -> None:
        self.observed, self._service, self._session = observed, service, session
        self.where = f"http://127.0.0.1:{observed.config.monitor.port}"
        self.renews_book = True

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with self._session.get(self.where + path, headers=headers) as reply:
            text = await reply.text()
            return reply.status, json.loads(text) if reply.content_type == "application/json" else text

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():
                self.observed.all_ready()
                self._service.heartbeat()
                if self.renews_book:
                    self.observed.book()
                await asyncio.sleep(0.02)

    async def healthy(self) -> bool:
        return (await self.get("/health"))[0] == 200


@pytest.fixture
async def served(observed: ObservedSet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setattr(module, "FOLLOW_S", 0.02)
    with AppService("monitor", observed.config, log_to_stderr=False) as service:
        monitor = Monitor(service)
        task = asyncio.ensure_future(monitor.serve())
        async with asyncio.timeout(PATIENCE_S):
            while service.row.state != ProcessState.READY:
                await asyncio.sleep(0.01)
        async with aiohttp.ClientSession() as session:
            yield Served(observed, service, session)
        service.request_stop()
        await task


async def test_a_good_set_is_healthy_and_all_is_served(served: Served) -> None:
    await served.until(served.healthy)
    status, health = await served.get("/health")
    assert (status, health["healthy"], health["problems"]) == (200, True, [])
    _, told = await served.get("/status")
    assert told["healthy"] is True
    assert [line["name"] for line in told["set"]["processes"]] == served.observed.config.processes()
    status, text = await served.get("/metrics")
    assert status == 200
    assert 'corelane_book_valid{instrument="BTCUSDT",venue="binance"} 1.0' in text
    _, history = await served.get("/history")
    assert history[-1]["markets"]["binance:BTCUSDT"][:2] == [100.0, 100.1]


async def test_health_turns_red_with_a_reason_and_green_again(served: Served) -> None:
    counters = served.observed.counters("trader")
    counters.declare(["illegal_transitions", "lapped"])
    await served.until(served.healthy)
    counters.add("illegal_transitions", 2)

    async def red() -> bool:
        return (await served.get("/health"))[0] == 503

    await served.until(red)
    _, health = await served.get("/health")
    assert [one["rule"] for one in health["problems"]] == ["illegal_transition"]
    assert health["problems"][0]["text"] == "trader: 2 events that no order state allows"
    _, told = await served.get("/status")
    assert told["healthy"] is False
    _, text = await served.get("/metrics")
    assert 'corelane_problems{rule="illegal_transition",severity="critical"} 1.0' in text


def low_budget(observed: ObservedSet) -> None:
    settings = observed.config.venues["binance"]
    table = observed.instance.limits("binance", settings.environment, settings.rest_url)
    LimitCredits(table, "credits", 100, 30_000_000_000).reported(95, time.time_ns())


@pytest.mark.parametrize(
    ("rule", "happen", "words"),
    [
        ("stale_data", lambda one: one.book(valid=False), "binance:BTCUSDT has no good book: STALE"),
        ("lapped_reader", lambda one: one.counters("trader").add("lapped", 3), "trader: 3 records overwritten"),
        ("unknown_order", lambda one: one.event(1, EventType.UNKNOWN, OrderState.UNKNOWN), "what became of 1 requests"),
        (
            "reconcile_difference",
            lambda one: one.counters("trader").add("reconcile_corrections"),
            "trader: 1 positions",
        ),
        ("rate_budget_low", low_budget, "of 100 are used, the rest is kept for cancels"),
        ("only_reducing", lambda one: one.strategy(text=b"the limit of 5 was reached"), "the limit of 5 was reached"),
    ],
)
async def test_health_is_red_on(served: Served, rule: str, happen: Callable[[ObservedSet], None], words: str) -> None:
    served.observed.counters("trader").declare(["lapped", "reconcile_corrections"])
    await served.until(served.healthy)
    served.renews_book = rule != "stale_data"
    happen(served.observed)

    async def red() -> bool:
        status, health = await served.get("/health")
        told = {one["rule"]: one["text"] for one in health["problems"]}
        return status == 503 and words in told.get(rule, "")

    await served.until(red)


async def test_health_can_be_asked_for_critical_problems_only(served: Served) -> None:
    counters = served.observed.counters("market_server.binance")
    counters.declare(["gaps"])
    await served.until(served.healthy)
    counters.add("gaps")

    async def red() -> bool:
        return (await served.get("/health"))[0] == 503

    await served.until(red)
    assert (await served.get("/health?severity=critical"))[0] == 200
    assert (await served.get("/health?severity=all"))[0] == 400


async def test_problems_reach_the_command_when_they_begin(served: Served, directory: Path) -> None:
    counters = served.observed.counters("trader")
    counters.declare(["lapped"])
    await served.until(served.healthy)
    counters.add("lapped", 3)

    async def told() -> bool:
        path = directory / "got"
        return path.exists() and "lapped_reader" in path.read_text() and path.read_text().endswith("\n")

    await served.until(told)
    message = json.loads((directory / "got").read_text().splitlines()[-1])
    assert message["instance"] == served.observed.config.instance.name
    assert "trader: 3 records overwritten" in message["began"][-1]["text"]


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:9464", 200), ("LOCALHOST:80", 200),
        ("evil.example", 403), ("evil.example:9464", 403), ("127.0.0.1.evil.example", 403), ("", 403), ("[", 403),
    ],
)  # fmt: skip
async def test_only_requests_for_this_host_are_answered(served: Served, host: str, answer: int) -> None:
    assert (await served.get("/status", Host=host))[0] == answer


async def test_nothing_can_be_changed_and_nothing_else_is_there(served: Served) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("POST", "PUT", "DELETE"):
            async with session.request(method, served.where + "/status") as reply:
                assert reply.status == 405
        for path in ("/nothing", "/../pyproject.toml", "/page/%2e%2e/monitor.py"):
            async with session.get(served.where + path) as reply:
                assert reply.status == 404
        async with session.get(served.where + "/status") as reply:
            assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_port_that_is_taken_is_one_sentence(observed: ObservedSet) -> None:
    async def main() -> None:
        port = observed.config.monitor.port
        other = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
        try:
            with AppService("monitor", observed.config, log_to_stderr=False) as service:
                with pytest.raises(Failure, match=rf"^monitor\.port: 127\.0\.0\.1:{port} cannot be") as failure:
                    await Monitor(service).serve()
                assert failure.value.code == ExitCode.ADDRESS_IN_USE
        finally:
            other.close()
            await other.wait_closed()

    asyncio.run(main())


async def test_as_a_process_it_says_where_it_is_and_ends_with_0(observed: ObservedSet) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "processes.cli", "monitor", "--config", observed.config.path],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    view = observed.view()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (line := next(one for one in view.processes() if one.name == "monitor")).state != "READY" or (
                line.pid != process.pid
            ):
                await asyncio.sleep(0.02)
        assert line.text == f"http://127.0.0.1:{observed.config.monitor.port}"
        async with aiohttp.ClientSession() as session, session.get(f"{line.text}/status") as reply:
            assert reply.status == 200
        process.terminate()
        assert process.wait(PATIENCE_S) == ExitCode.OK
    finally:
        process.kill()
        process.wait()


def test_a_webhook_whose_url_is_nowhere_ends_it_with_one_sentence(
    write_config: Callable[..., Path], observed: ObservedSet
) -> None:
    text = Path(observed.config.path).read_text().replace("[monitor]", '[monitor]\nwebhook = "alerts"')
    Path(observed.config.path).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "processes.cli", "monitor", "--config", observed.config.path],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 3,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == ExitCode.CREDENTIALS
    assert 'URL "alerts": found in no place; expected $CREDENTIALS_DIRECTORY/alerts.url, or' in ended.stderr
    assert "Traceback" not in ended.stderr

"""A webhook and a command: what they get, what counts as delivered, and what must never be shown."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from processes import alert_channels
from processes.alert_channels import Command, DeliveryError, Webhook, channels
from processes.config import Config
from processes.demo_config import free_port

MESSAGE = b'{"began":[]}'


class Receiver:
    """A webhook's other side."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.port = free_port()

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        assert request.content_type == "application/json"
        headers = {"Location": f"http://127.0.0.1:{self.port}/elsewhere"} if self.status == 302 else {}
        return web.Response(status=self.status, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/token-in-here", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", made.port).start()
    yield made
    await runner.cleanup()


def webhook(port: int) -> Webhook:
    return Webhook("alerts", f"http://127.0.0.1:{port}/token-in-here")


async def test_the_webhook_gets_the_message(receiver: Receiver) -> None:
    await webhook(receiver.port).send(MESSAGE)
    receiver.status = 204
    await webhook(receiver.port).send(MESSAGE)
    assert receiver.bodies == [MESSAGE, MESSAGE]


@pytest.mark.parametrize("status", [302, 404, 429, 500])
async def test_any_other_answer_is_no_delivery(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(DeliveryError, match=rf"^webhook alerts answered {status}$"):
        await webhook(receiver.port).send(MESSAGE)
    assert len(receiver.bodies) == 1


async def test_a_webhook_that_is_not_there_is_one_sentence_without_its_url() -> None:
    with pytest.raises(DeliveryError) as failure:
        await webhook(free_port()).send(MESSAGE)
    assert str(failure.value).startswith("webhook alerts cannot be reached: ")
    assert "token" not in str(failure.value)


async def test_the_command_gets_the_message_on_its_input(directory: Path) -> None:
    await Command(["/bin/sh", "-c", f"cat > {directory}/got"]).send(MESSAGE)
    assert (directory / "got").read_bytes() == MESSAGE


async def test_the_command_sees_no_secret(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORELANE_ALERTS_URL", "http://secret")
    monkeypatch.setenv("CORELANE_MAIN_SECRET", "secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/secret")
    monkeypatch.setenv("NOTIFY_SOCKET", "/secret")
    await Command(["/bin/sh", "-c", f"env > {directory}/got"]).send(MESSAGE)
    got = (directory / "got").read_text()
    assert "secret" not in got
    assert "PATH=" in got


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/bin/sh", "-c", "exit 3"], "command sh ended with exit code 3"),
        (["/nowhere/page-me"], "command page-me cannot be started: No such file or directory"),
    ],
)
async def test_a_command_that_fails_is_one_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(DeliveryError, match=words):
        await Command(arguments).send(MESSAGE)


async def test_a_command_that_hangs_is_killed_with_its_children(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_channels, "TRY_S", 0.2)
    pids = directory / "pids"
    script = f"sleep 600 & echo $! > {pids}; echo $$ >> {pids}; wait"
    with pytest.raises(DeliveryError, match=r"took longer than 0\.2 s and was killed"):
        await Command(["/bin/sh", "-c", script]).send(MESSAGE)
    if pids.exists():  # a slow host may have killed it before it wrote
        for pid in pids.read_text().split():
            async with asyncio.timeout(60):
                while _runs(int(pid)):
                    await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_the_config_names_the_channels(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    assert channels(config) == []
    monkeypatch.setenv("CORELANE_ALERTS_URL", "https://127.0.0.1/x")
    monitor = msgspec.structs.replace(config.monitor, webhook="alerts", command=["/bin/true"])
    found = channels(msgspec.structs.replace(config, monitor=monitor))
    assert [one.name for one in found] == ["webhook alerts", "command true"]
    assert os.environ["CORELANE_ALERTS_URL"] not in repr(vars(found[0]).keys())

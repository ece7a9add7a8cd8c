"""A real headless Chromium for tests, driven over its DevTools protocol by aiohttp alone; skips where there is none.

Also by hand, to look at the page:  python -m tests.processes.browser URL FILE.png [WIDTH [dark]]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import aiohttp

PATIENCE_S = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


def found() -> str | None:
    """The browser's program, if any is installed."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in one browser of its own. Use as an async context manager."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        """What the page wrote to its console as an error, and what it threw."""
        self.requested: list[str] = []
        """Every URL that the page asked for."""
        self._next = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        program = found()
        assert program is not None
        self._home = tempfile.mkdtemp(prefix="cl-browser-")
        self._process = subprocess.Popen(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
                "--remote-debugging-port=0", f"--user-data-dir={self._home}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self._session = aiohttp.ClientSession()
        async with asyncio.timeout(PATIENCE_S):
            port = await self._port()
            async with self._session.get(f"http://127.0.0.1:{port}/json/list") as reply:
                target = next(one for one in await reply.json() if one["type"] == "page")
            self._socket = await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26)
        self._reader = asyncio.ensure_future(self._read())
        for domain in ("Page", "Runtime", "Network"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    async def _port(self) -> int:
        file = Path(self._home) / "DevToolsActivePort"
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
                return int(file.read_text().splitlines()[0])
            assert self._process.poll() is None, "the browser ended at its start"
            await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"].get("exception", {}).get("description")))
            elif told["method"] == "Runtime.consoleAPICalled" and told["params"]["type"] == "error":
                self.complaints.append(
                    str([one.get("value") or one.get("description") for one in told["params"]["args"]])
                )
            elif told["method"] == "Network.requestWillBeSent":
                self.requested.append(told["params"]["request"]["url"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        self._next += 1
        answer = self._waiting[self._next] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._next, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_S):
            told = await answer
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Size of the window, and the colours that its user prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until it is true in the page."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self.evaluate(expression):
                await asyncio.sleep(0.05)

    async def text(self, selector: str) -> str:
        return str(await self.evaluate(f"document.querySelector({selector!r}).innerText"))

    async def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        answer = await self.call(
            "Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "x": 0, "y": 0, "scale": 1}
        )
        file.write_bytes(base64.b64decode(answer["data"]))


async def _main(url: str, file: str, width: str = "1400", scheme: str = "light") -> None:
    async with Browser() as browser:
        await browser.look(int(width), 900, scheme)
        await browser.open(url)
        await browser.until("document.body?.dataset.drawn === 'yes'")
        await asyncio.sleep(1.5)
        await browser.picture(Path(file))
        print(browser.complaints)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

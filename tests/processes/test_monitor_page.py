"""The monitor's page in a real browser: it draws the set in either palette, asks nobody else, says when it is old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from processes.config import load_config
from processes.demo_config import free_port
from processes.health import Health, Look
from processes.monitor_http import PAGE, MonitorHttp, page_file
from shm.layout import EventType, OrderState
from tests.processes.browser import Browser, found
from tests.processes.observed_set import ObservedSet

needs_browser = pytest.mark.skipif(found() is None, reason="no Chromium is installed here")
WIDTHS = (400, 1400)


@pytest.fixture
def observed(write_config: Callable[..., Path]) -> Iterator[ObservedSet]:
    made = ObservedSet(load_config(write_config()))
    made.all_ready()
    made.book(100.0, 100.1)
    made.mark(100.05)
    made.position(20)
    made.balance(123_400_000_000)
    made.strategy(
        position=20, unrealized_pnl=1.0, realized_pnl=4.0, fees=0.5, bid_price=100.0, bid_quantity=0.02,
        open_orders=1, name=b"<b>not bold</b>",
    )  # fmt: skip
    made.event(1, EventType.ACCEPTED, OrderState.OPEN)
    made.fill(1, b"t1")
    yield made
    made.close()


class Page:
    """A server of looks, and a browser that shows it."""

    def __init__(self, observed: ObservedSet, browser: Browser) -> None:
        self.observed, self.browser = observed, browser
        self._view, self._health = observed.view(), Health()
        self._http = MonitorHttp(self.look(), lambda name: None)
        self.port = free_port()

    def look(self) -> Look:
        """Everybody has just said that he lives, however long the browser took."""
        self.observed.all_ready()
        snapshot = self._view.take()
        return Look(snapshot, self._health.update(snapshot))

    def show(self) -> None:
        self._http.show(self.look())

    async def open(self) -> None:
        await self._http.listen("127.0.0.1", self.port)
        await self.browser.open(f"http://127.0.0.1:{self.port}/")
        await self.browser.until("document.body?.dataset.drawn === 'yes'")

    async def close(self) -> None:
        await self._http.close()


@pytest.fixture
async def page(observed: ObservedSet) -> AsyncIterator[Page]:
    async with Browser() as browser:
        made = Page(observed, browser)
        await made.open()
        yield made
        await made.close()


@needs_browser
async def test_it_draws_the_set_narrow_and_wide_in_two_palettes_and_asks_nobody_else(page: Page) -> None:
    browser = page.browser
    grounds = set()
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            await browser.look(width, 900, scheme)
            grounds.add(await browser.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert await browser.evaluate("document.documentElement.scrollWidth") <= width
    assert len(grounds) == 2
    assert page.observed.config.instance.name in await browser.text("header")
    assert "healthy" in await browser.text("#health")
    assert "SIMULATOR" in await browser.text("#environment")
    assert "4.50" in await browser.text("#tiles")
    ladder = await browser.text(".ladder")
    assert "100.1" in ladder
    assert "spread 0.1" in ladder
    assert await browser.evaluate("document.querySelectorAll('.ladder .own').length") == 1
    assert "<b>not bold</b>" in await browser.text("#strategies")
    assert "partially filled" in (await browser.text("#orders")).lower()
    assert "maker" in await browser.text("#fills")
    assert "1,234.0000" in await browser.text("#balances")
    assert "trading_engine.binance" in await browser.text("#processes")
    assert browser.complaints == []
    where = f"http://127.0.0.1:{page.port}/"
    assert [url for url in browser.requested if not url.startswith((where, "data:"))] == []
    assert set(PAGE) <= {"/" + url.removeprefix(where) for url in browser.requested}


@needs_browser
async def test_it_follows_the_set_and_says_what_is_wrong_and_when_it_is_old(page: Page) -> None:
    browser = page.browser
    assert await browser.evaluate("document.getElementById('problems').hidden") is True
    page.observed.words.store(0, 1)
    page.observed.book(200.0, 200.1)
    page.observed.strategy(text=b"the loss limit of 50 was reached")
    page.show()
    await browser.until("document.getElementById('health').textContent.includes('problem')")
    assert await browser.text("#switch") == "KILL SWITCH ON"
    assert "the kill switch is on" in await browser.text("#problems")
    assert "may only reduce: the loss limit of 50" in await browser.text("#problems")
    strategies = await browser.text("#strategies")
    assert "RUNNING, only reducing" in strategies
    assert "the loss limit of 50 was reached" in strategies
    assert "200.1" in await browser.text(".ladder")
    await browser.until("document.querySelectorAll('.market path').length >= 2")
    assert browser.complaints == []
    await page.close()
    await page.browser.until("document.getElementById('gone').textContent.includes('does not answer')")
    assert await page.browser.text("#health") == "no answer"


def test_the_page_is_whole_and_loads_nothing_from_elsewhere() -> None:
    for name, _ in PAGE.values():
        text = page_file(name).decode().replace("http://www.w3.org/2000/svg", "")
        assert text
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
        assert 'style="' not in text


async def test_the_files_are_served_with_their_types(observed: ObservedSet) -> None:

    http = MonitorHttp(Look(observed.view().take(), []), lambda name: None)
    port = free_port()
    await http.listen("127.0.0.1", port)
    try:
        async with aiohttp.ClientSession() as session:
            for path, (name, kind) in PAGE.items():
                async with session.get(f"http://127.0.0.1:{port}{path}") as reply:
                    assert (reply.status, reply.content_type) == (200, kind)
                    assert await reply.read() == page_file(name)
                    assert reply.headers["Content-Security-Policy"].startswith("default-src 'none'")
    finally:
        await http.close()

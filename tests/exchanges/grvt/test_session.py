"""Logins against the simulator: what tells success, when it is renewed, and what a failure says."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from exchanges.adapter import ConfigurationError, VenueRefused, VenueUnavailable
from exchanges.grvt import session as session_module
from exchanges.grvt.session import Session
from exchanges.http import HttpHandler
from shm.layout import Reason
from tests.exchanges.grvt.simulator_client import DEMO_KEY, venue

LOG = logging.getLogger("test.session")


class Edge:
    """A server that answers each login as it is told, and counts them."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"body": {"status": "success", "sub_account_id": "7"}, "headers": {}, "status": 200, **answer}
        self.bodies: list[Any] = []

    async def __aenter__(self) -> Edge:
        app = web.Application()
        app.router.add_post("/auth/api_key/login", self._on_login)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.http = HttpHandler(self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()
        await self._runner.cleanup()

    async def _on_login(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        body = self.answer["body"]
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=self.answer["status"], headers=self.answer["headers"])

    def session(self, account: str = "", **options: Any) -> Session:
        return Session(self.http, SimpleNamespace(api_key="key", secret="s"), account, LOG, **options)


def cookie(expires: str = "Expires=Wed, 06 Jan 2027 10:00:00 GMT; ") -> dict[str, str]:
    return {"Set-Cookie": f"gravity=tok.en==; Path=/; {expires}HttpOnly; Secure", "X-Grvt-Account-Id": "0xabc"}


JANUARY = 1_799_229_600.0
"""2027-01-06 10:00 UTC."""


async def test_the_simulators_login_opens_a_session() -> None:
    async with venue() as server:
        http = HttpHandler(server.rest_url)
        try:
            credentials = SimpleNamespace(api_key=DEMO_KEY.key, secret=DEMO_KEY.secret)
            session = Session(http, credentials, "", LOG)
            assert not session.good
            await session.ensure()
            await session.ensure()
            assert (session.good, session.logins, session.account) == (True, 1, DEMO_KEY.account)
            assert session.headers["X-Grvt-Account-Id"] == DEMO_KEY.main_account
            assert server.venue.sessions.account_of(session.headers["Cookie"]) == DEMO_KEY.account
            wrong = Session(http, SimpleNamespace(api_key="x", secret="s"), "", LOG)
            with pytest.raises(VenueRefused, match="invalid api key") as refused:
                await wrong.log_in()
            assert refused.value.reason == Reason.VENUE_SIGNATURE
        finally:
            await http.close()


async def test_the_cookies_end_is_read_as_utc_whatever_the_hosts_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        now = [JANUARY - 100.0]
        async with Edge(headers=cookie()) as edge:
            session = edge.session(clock=lambda: now[0])
            await session.log_in()
            assert session.headers == {"Cookie": "gravity=tok.en==", "X-Grvt-Account-Id": "0xabc"}
            assert session.good
            now[0] = JANUARY - 1.0
            assert session.good
            now[0] = JANUARY + 1.0
            assert not session.good
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_it_is_renewed_before_its_end_and_survives_a_venue_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "FIRST_PAUSE_S", 0.01)
    now = [JANUARY - 0.5]
    async with Edge(headers=cookie()) as edge:
        session = edge.session(clock=lambda: now[0])
        await session.log_in()
        assert session._renew_s == pytest.approx(JANUARY - 0.05)
        task = asyncio.ensure_future(session.run())
        async with asyncio.timeout(60):
            while session.logins < 2:
                await asyncio.sleep(0.002)
        edge.answer["status"] = 503
        asked = len(edge.bodies)
        async with asyncio.timeout(60):
            while len(edge.bodies) == asked:
                await asyncio.sleep(0.002)
        assert not task.done()
        edge.answer.update(status=200, headers={}, body={"error": "Access from this location is not allowed."})
        asked = len(edge.bodies)
        async with asyncio.timeout(60):
            while len(edge.bodies) < asked + 3:
                await asyncio.sleep(0.002)
        assert not task.done() and session.good  # on the old cookie, for as long as that is good
        now[0] = JANUARY + 1.0
        with pytest.raises(VenueRefused, match="this location is not allowed"):
            await asyncio.wait_for(task, 60)
        assert edge.bodies[0] == {"api_key": "key"}


@pytest.mark.parametrize("headers", [{}, {"Set-Cookie": "other=1; Path=/"}, {"Set-Cookie": "gravity=; Path=/"}])
async def test_an_answer_without_our_cookie_is_a_refusal(headers: dict[str, str]) -> None:
    async with Edge(headers=headers) as edge:
        with pytest.raises(VenueRefused, match="login: success"):
            await edge.session().log_in()


@pytest.mark.parametrize(
    "others",
    [
        ("AWSALB=x; Expires=Mon, 01 Jan 2035 00:00:00 GMT; Path=/", "", "__cf_bm=y; HttpOnly; Secure; Partitioned"),
        ("", "gravity_old=z; Path=/", "a=b"),
    ],
)
async def test_our_cookie_is_found_among_those_of_what_stands_before_the_venue(others: tuple[str, ...]) -> None:
    ours = "gravity=tok.en==; Path=/; expires=Wed, 06-Jan-2027 10:00:00 GMT; Partitioned; SameSite=None"
    headers = [("Set-Cookie", line or ours) for line in others]
    now = [JANUARY - 100.0]
    async with Edge(headers=headers) as edge:
        session = edge.session(clock=lambda: now[0])
        await session.log_in()
        assert session.headers["Cookie"] == "gravity=tok.en=="
        now[0] = JANUARY - 1.0
        assert session.good
        now[0] = JANUARY + 1.0
        assert not session.good


@pytest.mark.parametrize("body", ["<html>be right back</html>", "", "[]"])
async def test_a_page_of_something_else_is_no_refusal_of_the_venue(body: str) -> None:
    async with Edge(body=body) as edge:
        with pytest.raises(VenueUnavailable, match="neither a cookie nor an answer"):
            await edge.session().log_in()


async def test_a_clock_that_is_far_ahead_does_not_make_a_storm_of_logins() -> None:
    async with Edge(headers=cookie()) as edge:
        session = edge.session(clock=lambda: JANUARY + 7200.0)
        await session.ensure()
        await session.ensure()
        assert (session.good, session.logins) == (True, 1)


async def test_a_cookie_without_an_end_is_renewed_often_enough() -> None:
    async with Edge(headers=cookie(expires="")) as edge:
        session = edge.session()
        await session.log_in()
        assert session.good


async def test_the_account_is_the_configured_one_or_the_logins() -> None:
    async with Edge(headers=cookie(), body={"status": "success"}) as edge:
        with pytest.raises(ConfigurationError, match=r"venues\.grvt\.account"):
            await edge.session().log_in()
        session = edge.session("123")
        await session.log_in()
        assert session.account == "123"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_venue_that_is_away_is_unavailable(status: int) -> None:
    async with Edge(status=status) as edge:
        with pytest.raises(VenueUnavailable, match=f"HTTP {status}"):
            await edge.session().log_in()

"""What the monitor answers over HTTP, read-only, on loopback.

    /           the page: processes, latency, books, orders, positions, profit; no resource from elsewhere
    /metrics    Prometheus text
    /status     the snapshot and its problems, as JSON
    /history    the last minutes of prices, profit and latency for the charts; ?since=TIME only what came after it
    /health     200 and no problems, or 503 and the problems, as JSON; ?severity=critical counts only those

The rule: it asks nobody who he is, so requests that name another host than this one are refused: else a page from
elsewhere could read along through a browser (DNS rebinding). Nothing that is asked changes anything. Called by
`monitor.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from aiohttp import web

from processes import metrics
from processes.health import Look, Problem
from processes.health_rules import Severity
from processes.history import History
from processes.snapshot import Snapshot, encode
from shm.clock import monotonic_ns

OLD_S: Final = 10.0
"""A picture that is older than this is not answered as healthy: the monitor itself hangs."""
HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/chart.js": ("chart.js", "text/javascript"),
}
"""Path: (file in monitor_page, type)."""
POLICY: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Status:
    """What `/status` answers."""

    healthy: bool
    problems: list[Problem]
    set: Snapshot


@dataclass(frozen=True)
class HealthAnswer:
    """What `/health` answers."""

    healthy: bool
    age_s: float
    problems: list[Problem]


class MonitorHttp:
    """The server; shows the newest look it was given."""

    def __init__(self, look: Look, count: Callable[[str], None]) -> None:
        self._history = History()
        self.show(look)
        self._count = count
        self._files = {name: page_file(name) for name, _ in PAGE.values()}
        app = web.Application(middlewares=[self._guard])
        for path in PAGE:
            app.router.add_get(path, self._answer_page)
        app.router.add_get("/metrics", self._answer_metrics)
        app.router.add_get("/status", self._answer_status)
        app.router.add_get("/history", self._answer_history)
        app.router.add_get("/health", self._answer_health)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError where the port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()

    async def close(self) -> None:
        await self._runner.cleanup()

    def show(self, look: Look) -> None:
        """From now on this is what is answered."""
        self._look = look
        self._history.add(look.snapshot)

    # --- answering --------------------------------------------------------------------------------------------------
    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self._count("http_requests")
        if _host_of(request.headers.get("Host", "")) not in HOSTS:
            self._count("http_refused")
            return web.Response(status=403, text="this monitor answers to 127.0.0.1, [::1] and localhost only\n")
        answer: web.StreamResponse
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:
            answer = web.Response(status=refusal.status, text=f"{refusal.reason}\n")
        answer.headers.update(POLICY)
        return answer

    async def _answer_page(self, request: web.Request) -> web.Response:
        name, kind = PAGE[request.path]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8")

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        body = metrics.exposition(self._look.snapshot, self._look.problems)
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _answer_status(self, _request: web.Request) -> web.Response:
        look = self._look
        return _json(Status(not look.problems, look.problems, look.snapshot))

    async def _answer_history(self, request: web.Request) -> web.Response:
        return _json(self._history.points(request.query.get("since", "")))

    async def _answer_health(self, request: web.Request) -> web.Response:
        look, asked = self._look, request.query.get("severity", Severity.WARNING)
        if asked not in tuple(Severity):
            return web.Response(status=400, text=f"severity: expected one of {', '.join(Severity)}\n")
        problems = [one for one in look.problems if asked == Severity.WARNING or one.severity == asked]
        age_s = (monotonic_ns() - look.snapshot.monotonic_ns) / 1e9
        healthy = not problems and age_s < OLD_S
        return _json(HealthAnswer(healthy, age_s, problems), status=200 if healthy else 503)


def page_file(name: str) -> bytes:
    """A file of the web page; the folder monitor_page is its only source."""
    return (files("processes") / "monitor_page" / name).read_bytes()


def _host_of(header: str) -> str:
    """A Host header without its port."""
    host, colon, port = header.rpartition(":")
    return (host if colon and port.isdigit() else header).lower()


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")

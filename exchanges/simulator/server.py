"""What the venues' simulators share as servers: one loopback port, the market's players, a timer, the admin endpoint.

`GET /admin/truth[?account=name]` is what tests and reports compare with; `GET /admin/health` tells the flows;
`POST /admin/fault` arms a fault and `DELETE` disarms all; `POST /admin/flow` pauses, resumes or freezes the market;
`POST /admin/connections` cuts everybody off; `GET /admin/messages?about=text` tells the newest order calls, their
failures and user events. Loopback only, no authentication; a mistake is HTTP 400 with one sentence.

A venue derives its server and fills in the hooks at the end. All methods belong to the server's event loop.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import orjson
from aiohttp import web

from exchanges.simulator.connection import ClientConnection
from exchanges.simulator.errors import PortBusy, SimulatorError
from exchanges.simulator.exchange import SimulatedExchange
from exchanges.simulator.faults import Fault, FaultRegistry
from exchanges.simulator.flow import FlowPlayer, MarketFlow
from exchanges.simulator.messages import MessageLog

TIMER_S = 0.01
"""Countdowns and dates are looked at this often."""
MAX_BODY = 1 << 20
CLOSE_S = 1.0
"""How long a connection that is closed in order may take for the answer that is under way."""


class LoopbackServer(ABC):
    """A running simulator of one venue."""

    venue_name: ClassVar[str]
    exchange: SimulatedExchange
    """Made by the venue, with its own rules."""

    def __init__(self, host: str, port: int, faults: FaultRegistry, messages: MessageLog) -> None:
        self.port = port
        self.faults = faults
        self.messages = messages
        self.players: list[FlowPlayer] = []
        self._host = host
        self._closing: set[asyncio.Task[None]] = set()
        self._frozen = False
        self._started = time.monotonic()
        self._runner: web.AppRunner | None = None
        self._timer: asyncio.Task[None] | None = None

    # --- life ------------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Listen; PortBusy when the port is taken."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._on_request)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._host}:{self.port}"
            if error.errno == errno.EADDRINUSE:
                raise PortBusy(f"simulator port {where} is busy: another process listens there") from None
            raise SimulatorError(f"simulator cannot listen on {where}: {error.strerror or error}") from None
        self.port = int(self._runner.addresses[0][1])
        self._timer = asyncio.get_running_loop().create_task(self._run_timer(), name="simulator timer")

    async def close(self) -> None:
        """Stop the market, cut all clients, free the port."""
        for player in self.players:
            await player.close()
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        for connection in self.clients():
            connection.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _run_timer(self) -> None:
        while True:
            await asyncio.sleep(TIMER_S)
            self.on_timer()

    @property
    def failure(self) -> BaseException | None:
        """What ended a flow or the timer: a dead one must not look like a quiet market."""
        for player in self.players:
            if player.failure is not None:
                return player.failure
        timer = self._timer
        return timer.exception() if timer is not None and timer.done() and not timer.cancelled() else None

    @property
    def rest_url(self) -> str:
        return f"http://{self._authority}"

    @property
    def stream_url(self) -> str:
        return f"ws://{self._authority}"

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    # --- requests --------------------------------------------------------------------------------------------------
    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.on_socket(request, path)
        if path.startswith("/admin/"):
            return await self._on_admin(request, path)
        return await self.on_rest(request, path)

    async def _on_admin(self, request: web.Request, path: str) -> web.StreamResponse:
        try:
            answer = await self.admin(request, request.method, path)
        except SimulatorError as error:
            return json_response({"error": str(error)}, 400)
        if answer is None:
            return json_response({"error": f"{request.method} {path}: no such admin call"}, 404)
        return json_response(answer, 200)

    async def admin(self, request: web.Request, method: str, path: str) -> dict[str, Any] | None:
        """The answer of one admin call, None where there is no such call. SimulatorError for a mistake in it."""
        if (method, path) == ("GET", "/admin/health"):
            return self.health()
        if (method, path) == ("GET", "/admin/truth"):
            return self.truth(request.query.get("account"))
        if (method, path) == ("POST", "/admin/fault"):
            return self.arm(await json_body(request))
        if (method, path) == ("DELETE", "/admin/fault"):
            self.faults.clear()
            return {"faults": self.faults.report()}
        if (method, path) == ("GET", "/admin/messages"):
            return {"messages": self.messages.about(request.query.get("about", ""))}
        if (method, path) == ("POST", "/admin/connections"):
            return {"cut": self.cut_connections((await json_body(request)).get("action"), request)}
        if (method, path) == ("POST", "/admin/flow"):
            self.command_flow(await json_body(request))
            return self.health()
        return None

    def health(self) -> dict[str, Any]:
        """State of the flows and sockets."""
        return {
            "ok": self.failure is None,
            "venue": self.venue_name,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "frozen": self._frozen,
            "connections": sum(1 for _ in self.clients()),
            "flows": [
                {
                    "symbols": list(player.flow.symbols),
                    "kind": self.flow_kind(player.flow),
                    "state": player.state.name.lower(),
                    "delivered": player.delivered,
                    "position_s": round(player.position_ns / 1e9, 3),
                    "failure": None if player.failure is None else repr(player.failure),
                }
                for player in self.players
            ],
        }

    def truth(self, account: str | None = None) -> dict[str, Any]:
        """Everything: orders, trades, positions and money of each account (or the named one), and counts."""
        accounts = self.account_names()
        if account is not None and account not in accounts:
            raise SimulatorError(f"account {account!r}: expected one of {', '.join(accounts)}")
        return {
            "accounts": {name: self.account_truth(name) for name in accounts if account in (None, name)},
            "time": time.time_ns() // 1_000_000,
            "frozen": self._frozen,
            "flows": self.health()["flows"],
            "faults": self.faults.report(),
            **self.counts(),
        }

    def arm(self, description: dict[str, Any]) -> dict[str, Any]:
        """Arm one fault; some strike at once unless they wait for an order."""
        self.on_armed(self.faults.arm(description))
        return {"armed": len(self.faults.armed), "faults": self.faults.report()}

    def cut_connections(self, action: Any, asking: web.Request | None = None) -> int:
        """End every connection but the one that asks, REST and sockets alike: "abort" as a lost line does, "close" as a
        server does that restarts in order (a request that is being answered still gets its answer). How many."""
        if action not in ("abort", "close"):
            raise SimulatorError(f'connections action: expected "abort" or "close", found {action!r}')
        server = self._runner.server if self._runner is not None else None
        ended = 0
        for connection in server.connections if server is not None else ():
            transport = connection.transport
            if transport is None or (asking is not None and transport is asking.transport):
                continue
            ended += 1
            if action == "abort":
                transport.abort()
            else:
                task = asyncio.get_running_loop().create_task(connection.shutdown(CLOSE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        if action == "close":
            for client in self.clients():
                client.go_away()
        return ended

    def command_flow(self, command: dict[str, Any]) -> None:
        """`{"action": "pause" | "resume" | "freeze"}`."""
        wanted = command.get("action")
        if wanted == "pause":
            for player in self.players:
                player.pause()
        elif wanted == "resume":
            for player in self.players:
                player.resume()
        elif wanted == "freeze":
            self.freeze()
        else:
            raise SimulatorError(f'flow action: expected "pause", "resume" or "freeze", found {wanted!r}')

    def freeze(self) -> None:
        """Stop all flows for good and send one last mark price per symbol, so that everybody values with the same: also
        on connections that were to be silent for a time, because nothing comes after it."""
        for player in self.players:
            player.freeze()
        if not self._frozen:
            self._frozen = True
            for client in self.clients():
                client.end_silence()
            self.on_frozen()

    # --- what a venue fills in -------------------------------------------------------------------------------------
    @abstractmethod
    async def on_socket(self, request: web.Request, path: str) -> web.StreamResponse:
        """A WebSocket handshake."""

    @abstractmethod
    async def on_rest(self, request: web.Request, path: str) -> web.StreamResponse:
        """Any other request outside /admin/."""

    @abstractmethod
    def clients(self) -> Iterable[ClientConnection]:
        """Connections that are sent to; a copy that stays as it is while they end."""

    @abstractmethod
    def on_timer(self) -> None:
        """About every 10 ms."""

    @abstractmethod
    def on_armed(self, fault: Fault) -> None:
        """Let a fault that waits for nothing strike."""

    @abstractmethod
    def on_frozen(self) -> None:
        """Send the last marks."""

    @abstractmethod
    def account_names(self) -> Iterable[str]:
        """Accounts that the truth tells of."""

    @abstractmethod
    def account_truth(self, name: str) -> dict[str, Any]:
        """Everything the venue knows of one account."""

    @abstractmethod
    def counts(self) -> dict[str, Any]:
        """Requests received and frames sent."""

    def flow_kind(self, flow: MarketFlow) -> str:
        """ "recording" or "generator"."""
        return "generator"


def json_response(value: Any, status: int, headers: dict[str, str] | None = None) -> web.Response:
    """`value` as application/json."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=headers)


async def json_body(request: web.Request) -> dict[str, Any]:
    """The JSON object of an admin call; SimulatorError when it is none."""
    try:
        value = json.loads(await request.text() or "{}")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SimulatorError(f"admin body: expected a JSON object ({error})") from None
    if not isinstance(value, dict):
        raise SimulatorError(f"admin body: expected a JSON object, found {value!r}")
    return value

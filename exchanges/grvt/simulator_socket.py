"""Messages over a socket of the simulated GRVT: JSON-RPC with full or lite names, and the flat form of the old gateway.

Subscribe and unsubscribe are answered here; any other method is a REST call by another way ("v1/create_order"). Replies
go past silence and faults of streams, as they are no stream frames.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from exchanges.grvt.simulator_calls import BY_ROUTE
from exchanges.grvt.simulator_dispatch import Dispatcher, DropReply
from exchanges.grvt.simulator_errors import VenueError
from exchanges.grvt.simulator_streams import StreamConnection
from exchanges.grvt.simulator_venue import Call

LEGACY: Final = "legacy"
_LITE_RPC: Final = {"jsonrpc": "j", "result": "r", "error": "e", "id": "i", "method": "m"}
_LITE_RESULT: Final = {
    "stream": "s", "subs": "s1", "unsubs": "u", "num_snapshots": "ns", "first_sequence_number": "fs",
    "latest_sequence_number": "ls",
}  # fmt: skip
_LITE_ERROR: Final = {"code": "c", "message": "m"}


class SocketSession:
    """Reads one socket until it ends. `form`: "full", "lite" or "legacy"."""

    def __init__(self, connection: StreamConnection, dispatcher: Dispatcher, form: str) -> None:
        self._connection, self._dispatcher, self._form = connection, dispatcher, form
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self, request: web.Request) -> None:
        connection = self._connection
        connection.hub.connections.add(connection)
        async with connection.sending(request):
            try:
                async for message in connection.socket:
                    if message.type is WSMsgType.TEXT:
                        self._on_text(message.data)
                    elif message.type is WSMsgType.PING:
                        await connection.socket.pong(message.data)
            finally:
                for call in tuple(self._calls):
                    call.cancel()
                connection.close()

    # --- requests ---------------------------------------------------------------------------------------------------
    def _on_text(self, text: str) -> None:
        try:
            request = orjson.loads(text)
            if not isinstance(request, dict):
                raise ValueError
        except ValueError:
            self._refuse(VenueError(1003), 0, "")
            return
        if self._form == LEGACY:
            self._on_legacy(request)
            return
        if self._form == "lite":
            names = {short: name for name, short in {**_LITE_RPC, "params": "p"}.items()}
            request = {names.get(key, key): value for key, value in request.items()}
        identity, method, body = request.get("id"), request.get("method"), request.get("params")
        if not isinstance(method, str) or not isinstance(body, dict | None):
            self._refuse(VenueError(1003), 0, "")  # the flat form on this gateway ends here too
            return
        body = body or {}
        if method in ("subscribe", "unsubscribe"):
            self._on_subscription(identity, method, body)
            return
        task = asyncio.get_running_loop().create_task(self._call(identity, method, body))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _on_subscription(self, identity: Any, method: str, body: dict[str, Any]) -> None:
        if self._form == "lite":
            body = {"stream": body.get("s"), "selectors": body.get("s1")}
        stream, selectors = str(body.get("stream")), body.get("selectors")
        first: list[bytes] = []
        try:
            if not isinstance(selectors, list) or not all(isinstance(selector, str) for selector in selectors):
                raise VenueError(1003)
            if method == "subscribe":
                result, first = self._connection.subscribe(stream, selectors)
            else:
                result = self._connection.unsubscribe(stream, selectors)
        except VenueError as error:
            self._refuse(error, identity, method)
            return
        if self._form == "lite":
            result = {_LITE_RESULT[key]: value for key, value in result.items()}
        self._reply({"jsonrpc": "2.0", "result": result}, identity, method)
        for made in first:
            self._connection.push(made)

    async def _call(self, identity: Any, method: str, body: dict[str, Any]) -> None:
        messages = self._dispatcher.venue.messages
        endpoint = BY_ROUTE.get(method)
        try:
            if endpoint is None or (
                self._connection.gateway and endpoint.private != (self._connection.gateway == "trades")
            ):
                raise VenueError(1200)
            if endpoint.changes_orders:
                messages.note("request", f"{method} {orjson.dumps(body).decode()}")
            answer = await self._dispatcher.answer(endpoint, Call(body, self._connection.account))
            self._connection.takes_orders |= endpoint.private
        except VenueError as error:
            messages.note("answer", f"{method} -> {error.body}")
            self._refuse(error, identity, method)
        except DropReply:
            messages.note("answer", f"{method} -> the connection is cut")
            self._connection.abort()
        else:
            self._reply({"jsonrpc": "2.0", "result": answer}, identity, method)

    # --- replies ----------------------------------------------------------------------------------------------------
    def _refuse(self, error: VenueError, identity: Any, method: str) -> None:
        shown: dict[str, Any] = {"code": error.code, "message": error.message}
        if self._form == LEGACY:
            self._connection.reply(orjson.dumps(error.body))
            return
        if self._form == "lite":
            shown = {_LITE_ERROR[key]: value for key, value in shown.items()}
        self._reply({"jsonrpc": "2.0", "error": shown}, identity, method)

    def _reply(self, whole: dict[str, Any], identity: Any, method: str) -> None:
        if identity is not None:
            whole["id"] = identity
        whole["method"] = method
        if self._form == "lite":
            whole = {_LITE_RPC[key]: value for key, value in whole.items()}
        self._connection.reply(orjson.dumps(whole))

    def _on_legacy(self, request: dict[str, Any]) -> None:
        """{"request_id":1,"stream":"v1.mini.s","feed":["BTC_USDT_Perp@500"],"method":"subscribe","is_full":true}"""
        stream, selectors, method = str(request.get("stream")), request.get("feed"), request.get("method")
        self._connection.lite = not request.get("is_full", False)
        first: list[bytes] = []
        try:
            if not isinstance(selectors, list) or method not in ("subscribe", "unsubscribe"):
                raise VenueError(1003)
            if method == "subscribe":
                result, first = self._connection.subscribe(stream, [str(selector) for selector in selectors])
            else:
                result = self._connection.unsubscribe(stream, [str(selector) for selector in selectors])
        except VenueError as error:
            self._refuse(error, None, "")
            return
        self._connection.reply(orjson.dumps({"request_id": request.get("request_id"), **result}))
        for made in first:
            self._connection.push(made)

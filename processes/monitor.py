"""Monitor: metrics, status, health and a web page on loopback, and alerts to whoever shall know.

Reads shared memory as an observer (set_view.py), once a second. Writes its row and counters. Serves on
[monitor] host:port, read-only, to anybody on this host (monitor_http.py). Nobody waits for it, and it changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from processes import alert_delivery
from processes.alert_channels import channels
from processes.alert_delivery import AlertDelivery
from processes.app_service import AppService
from processes.exit_codes import ExitCode, Failure
from processes.health import Health, Look
from processes.health_rules import Severity
from processes.monitor_http import MonitorHttp
from processes.set_view import SetView
from shm.clock import monotonic_ns
from shm.layout import ProcessState

LOOK_S: Final = 1.0
FOLLOW_S: Final = 0.25
"""How often order events are taken in between: an event ring holds far more than a quarter of a second's."""
COUNTERS: Final = ("looks", "http_requests", "http_refused", *alert_delivery.COUNTERS)
HISTOGRAMS: Final = ("look",)
"""Time that one look at the whole set takes, ns."""


def run(service: AppService) -> int:
    """Serve until asked to stop; the exit code."""
    return service.run_async(lambda _: Monitor(service).serve())


class Monitor:
    """The monitor process, in the event loop of its service."""

    def __init__(self, service: AppService) -> None:
        """Raises SegmentError, CredentialsError."""
        self._service = service
        config = service.config.monitor
        self._counters = service.declare(COUNTERS, HISTOGRAMS)
        self._view = SetView(service.config, service.instance)
        self._health = Health()
        self._deliveries = [
            AlertDelivery(
                channel, service.instance.name, config.min_interval_s, self._counters.add, service.log,
                Severity(config.least_severity),
            )
            for channel in channels(service.config)
        ]  # fmt: skip
        self._http = MonitorHttp(self._look(), self._counters.add)

    async def serve(self) -> None:
        """Until canceled or asked to stop. Raises Failure where the port is taken."""
        work: list[Coroutine[Any, Any, object]] = [delivery.run() for delivery in self._deliveries]
        tasks = [asyncio.ensure_future(one) for one in (*work, self._look_on(), self._service.stopping.wait())]
        try:
            await self._listen()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._http.close()

    async def _listen(self) -> None:
        config = self._service.config.monitor
        host, port = config.host, config.port
        try:
            await self._http.listen(host, port)
        except OSError as error:
            raise Failure(
                f"monitor.port: {host}:{port} cannot be listened on: {error.strerror}", ExitCode.ADDRESS_IN_USE
            ) from None
        where = f"[{host}]" if ":" in host else host
        self._service.set_state(ProcessState.READY, f"http://{where}:{port}")

    async def _look_on(self) -> None:
        next_look_ns = monotonic_ns()
        while True:
            await asyncio.sleep(FOLLOW_S)
            self._view.follow_orders()
            if (now := monotonic_ns()) >= next_look_ns:
                next_look_ns = now + int(LOOK_S * 1e9)
                self._http.show(self._look())

    def _look(self) -> Look:
        began = monotonic_ns()
        snapshot = self._view.take()
        problems = self._health.update(snapshot)
        for delivery in self._deliveries:
            delivery.update(problems)
        self._counters.add("looks")
        self._counters.histogram("look").record(monotonic_ns() - began)
        return Look(snapshot, problems)

"""Ways by which an alert leaves this host: a webhook, or a program of the operator's.

The rule: one attempt, bounded in time; what went wrong is one sentence in which no URL and no answer of anybody
stands. Called by `alert_delivery.py`, which has the patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from processes import secrets
from processes.config import Config

TRY_S: Final = 10.0
"""Of one attempt."""


class DeliveryError(Exception):
    """This attempt came to nothing; one sentence."""


class Channel(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str: ...
    async def send(self, message: bytes) -> None:
        """Raises DeliveryError; bounded by TRY_S."""
        ...


class Webhook:
    """POST of the JSON; any 2xx answer counts as delivered. Redirects are not followed: they would take the alert to
    a place that nobody configured."""

    def __init__(self, name: str, url: str) -> None:
        self.name = f"webhook {name}"
        self._url = url

    async def send(self, message: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TRY_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, data=message, headers=headers, allow_redirects=False) as reply,
            ):
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failure:
            # Only the kind: the words of some failures carry the URL, which may hold a token.
            raise DeliveryError(f"{self.name} cannot be reached: {type(failure).__name__}") from None
        if not 200 <= status < 300:
            raise DeliveryError(f"{self.name} answered {status}")


class Command:
    """A program with the JSON on its standard input, no shell; exit code 0 counts as delivered. It sees neither
    credentials nor systemd's socket, and ends with all its children when its time is over."""

    def __init__(self, arguments: list[str]) -> None:
        self.name = f"command {Path(arguments[0]).name}"
        self._arguments = arguments

    async def send(self, message: bytes) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_harmless(),
                start_new_session=True,
            )
        except OSError as failure:
            raise DeliveryError(f"{self.name} cannot be started: {failure.strerror}") from None
        try:
            async with asyncio.timeout(TRY_S):
                await process.communicate(message)
        except TimeoutError:
            raise DeliveryError(f"{self.name} took longer than {TRY_S:g} s and was killed") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group is the program's own: a new session
            await process.wait()
        if process.returncode:
            raise DeliveryError(f"{self.name} ended with exit code {process.returncode}")


def _harmless() -> dict[str, str]:
    """Of the environment, what a program needs to run."""
    return {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR")}


def channels(config: Config) -> list[Channel]:
    """Those that the config names. Raises CredentialsError."""
    found: list[Channel] = []
    name = config.monitor.webhook
    if name is not None:
        found.append(Webhook(name, secrets.find_url(name, Path(config.path).parent)))
    if config.monitor.command:
        found.append(Command(config.monitor.command))
    return found

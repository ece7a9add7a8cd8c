"""The newest messages between a simulator and its clients, for whoever looks into a failed comparison."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

MESSAGES_KEPT = 5_000


class MessageLog:
    """Order calls, failures and user events, newest last; the oldest make room."""

    def __init__(self) -> None:
        self._messages: deque[tuple[int, str, str]] = deque(maxlen=MESSAGES_KEPT)

    def note(self, kind: str, text: str) -> None:
        """`kind`: "request", "answer" or "event"."""
        self._messages.append((time.time_ns(), kind, text))

    def about(self, text: str) -> list[dict[str, Any]]:
        """The newest messages that contain this text, in the order in which they came."""
        return [
            {"time_ns": time_ns, "kind": kind, "text": said} for time_ns, kind, said in self._messages if text in said
        ]

"""An ExchangeContext of one instrument for parts that talk to a simulator in the same loop; each venue's live_engine.py
says what is its own."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from exchanges.adapter import ExchangeContext
from exchanges.order_instruments import OrderInstrument
from tests.exchanges.order_world import Counters


def make_context(
    venue: str,
    instrument: OrderInstrument,
    key: tuple[str, str],
    server: Any,
    tmp_path: Path,
    counters: Counters,
    settings: dict[str, Any],
    changes: dict[str, Any],
) -> ExchangeContext:
    """key: of the API and its secret. settings: of the venue's section, laid over the common ones. changes: fields of
    the context or of the settings, laid over both."""
    common = {
        "environment": "simulator",
        "symbols": [instrument.symbol],
        "rest_url": server.rest_url,
        "stream_url": server.stream_url,
        "ws_api_url": server.stream_url,
        "order_path": "websocket",
        "receive_window_ms": 5_000,
        "stale_after_ms": 2_000,
    } | settings
    values: dict[str, Any] = {
        "venue": venue,
        "settings": SimpleNamespace(**common | {name: changes[name] for name in changes if name in common}),
        "instruments": SimpleNamespace(id=lambda symbol: instrument.id, symbol=lambda identifier: instrument.symbol),
        "segment": lambda name: None,
        "counters": counters,
        "log": logging.getLogger("test.oms"),
        "state_dir": tmp_path,
        "set_state": lambda state, text: None,
        "credentials": SimpleNamespace(api_key=key[0], secret=key[1]),
    }
    return ExchangeContext(**values | {name: changes[name] for name in changes if name not in common})

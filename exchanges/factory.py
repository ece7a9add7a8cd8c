"""Makes the parts of a venue by its name, so that no process names a venue's class.

The rule: a venue's package is imported only when it is asked for; a process that serves one venue never loads another.
Every part is made from the same ExchangeContext. Call it inside the running event loop: the parts open their REST
connections there.

Who calls it: processes/market_server.py, processes/trading_engine.py, processes/position_server.py,
processes/emergency.py.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from exchanges.adapter import (
    ConfigurationError,
    EventSink,
    ExchangeContext,
    ExchangeDataFetcher,
    ExchangeOMS,
    ExchangePMS,
    ExchangeSubscriber,
)
from exchanges.emergency import EmergencyAccess

_PREFIXES: Final = {"binance": "Binance", "deribit": "Deribit", "grvt": "Grvt"}
"""What the names of a venue's interface classes begin with."""
VENUES: Final = tuple(_PREFIXES)


class ExchangeFactory:
    """The parts of the context's venue. Raises ConfigurationError for a venue that nobody has built."""

    def __init__(self, context: ExchangeContext) -> None:
        if context.venue not in VENUES:
            raise ConfigurationError(f"venues.{context.venue}: unknown venue, expected one of {', '.join(VENUES)}")
        self._context = context

    def subscriber(self) -> ExchangeSubscriber:
        subscriber: ExchangeSubscriber = self._class("subscriber", "Subscriber")(self._context, self.data_fetcher())
        return subscriber

    def data_fetcher(self) -> ExchangeDataFetcher:
        fetcher: ExchangeDataFetcher = self._class("data_fetcher", "DataFetcher").from_context(self._context)
        return fetcher

    def oms(self, sink: EventSink, **parts: Any) -> ExchangeOMS:
        """`parts`: what the engine gives its OMS beside the context (see the venue's oms.py)."""
        oms: ExchangeOMS = self._class("oms", "OMS")(self._context, sink, **parts)
        return oms

    def pms(self, **parts: Any) -> ExchangePMS:
        pms: ExchangePMS = self._class("pms", "PMS")(self._context, **parts)
        return pms

    def emergency(self, **parts: Any) -> EmergencyAccess:
        """The way to the account that needs nothing else of this system. Raises ConfigurationError where there is none
        for this venue."""
        access: EmergencyAccess = self._class("emergency", "Emergency")(self._context, **parts)
        return access

    def _class(self, module: str, name: str) -> Any:
        """exchanges.<venue>.<module>.<Venue><name>"""
        venue = self._context.venue
        path = f"exchanges.{venue}.{module}"
        try:
            found = importlib.import_module(path)
        except ModuleNotFoundError as missing:
            if missing.name != path:
                raise
            raise ConfigurationError(f"venues.{venue}: this version has no {module} for this venue") from None
        return getattr(found, f"{_PREFIXES[venue]}{name}")

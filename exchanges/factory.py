"""Makes the parts of a venue by its name, so that no process names a venue's class.

The rule: a venue's package is imported only when it is asked for; a process that serves one venue never loads another.
Every part is made from the same ExchangeContext. Call it inside the running event loop: the parts open their REST
connections there.

Who calls it: processes/market_server.py, processes/trading_engine.py, processes/position_server.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchanges.adapter import (
    ConfigurationError,
    EventSink,
    ExchangeContext,
    ExchangeDataFetcher,
    ExchangeOMS,
    ExchangePMS,
    ExchangeSubscriber,
)

if TYPE_CHECKING:
    from exchanges.binance.data_fetcher import BinanceDataFetcher

VENUES: Final = ("binance",)


class ExchangeFactory:
    """The parts of the context's venue. Raises ConfigurationError for a venue that nobody has built."""

    def __init__(self, context: ExchangeContext) -> None:
        if context.venue not in VENUES:
            raise ConfigurationError(f"venues.{context.venue}: unknown venue, expected one of {', '.join(VENUES)}")
        self._context = context

    def subscriber(self) -> ExchangeSubscriber:
        from exchanges.binance.subscriber import BinanceSubscriber

        return BinanceSubscriber(self._context, self._binance_fetcher())

    def data_fetcher(self) -> ExchangeDataFetcher:
        return self._binance_fetcher()

    def oms(self, sink: EventSink, **parts: Any) -> ExchangeOMS:
        """`parts`: what the engine gives its OMS beside the context (see the venue's oms.py)."""
        from exchanges.binance.oms import BinanceOMS

        oms: ExchangeOMS = BinanceOMS(self._context, sink, **parts)
        return oms

    def pms(self, **parts: Any) -> ExchangePMS:
        from exchanges.binance.pms import BinancePMS

        pms: ExchangePMS = BinancePMS(self._context, **parts)
        return pms

    def _binance_fetcher(self) -> BinanceDataFetcher:
        from exchanges.binance.data_fetcher import BinanceDataFetcher
        from exchanges.binance.endpoints import endpoints
        from exchanges.binance.order_budget import OrderBudget
        from exchanges.http import HttpHandler

        settings = self._context.settings
        http = HttpHandler(endpoints(settings).rest)
        budget = OrderBudget(self._context.limits)
        return BinanceDataFetcher(http, settings.symbols, self._context.instruments, budget)

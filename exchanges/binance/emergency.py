"""BinanceEmergency: the kill switch's own way to the account, over signed REST (see exchanges/emergency.py).

The clock is not measured first, that would be five calls before the first cancel: the host's own UTC signs, and where
the venue refuses it (-1021), it is measured then.

Sources: Current All Open Orders, Cancel All Open Orders, Position Information V3, New Order below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

from typing import Final

from exchanges.adapter import ExchangeContext, VenueRefused
from exchanges.binance.account_fetcher import UNKNOWN_ORDER_CODES
from exchanges.binance.order_connection import OrderConnection
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.order_instruments import OrderInstruments
from exchanges.order_wire import own_order_id

NS_PER_MS: Final = 1_000_000
AHEAD_NS: Final = 1_000_000_000
"""The venue takes a timestamp up to a second ahead of its clock."""


class BinanceEmergency:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        self._instance = instance_number
        self._connection = OrderConnection(context, OrderInstruments(), instance_number)
        self._fetcher = self._connection.fetcher

    @property
    def acceptance_ns(self) -> int:
        connection = self._connection
        return connection.receive_window_ms * NS_PER_MS + AHEAD_NS + connection.clock.error_ns

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(reply.symbol, str(reply.exchange_order_id), own_order_id(reply.client_order_id, self._instance))
            for reply in await self._fetcher.every_open_order()
        ]

    async def cancel_symbol(self, symbol: str) -> None:
        await self._fetcher.cancel_all_of_symbol(symbol)

    async def cancel(self, order: OpenOrder) -> None:
        try:
            await self._fetcher.cancel_order(order.symbol, order.exchange_order_id)
        except VenueRefused as refused:
            if refused.code not in UNKNOWN_ORDER_CODES:
                raise

    async def positions(self) -> list[OpenPosition]:
        rows = [OpenPosition(row.symbol, row.position) for row in await self._fetcher.every_position()]
        return [row for row in rows if row.amount]

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        side = "BUY" if position.amount < 0 else "SELL"
        quantity = position.quantity.removeprefix("-")
        await self._fetcher.reduce_at_market(position.symbol, side, quantity, client_order_id)

    async def close(self) -> None:
        await self._connection.close()

"""BinanceEmergency: the kill switch's own way to the account, over signed REST (see exchanges/emergency.py).

The clock is not measured first, that would be five calls before the first cancel: the host's own UTC signs, and where
the venue refuses it (-1021), it is measured then.

Sources: Current All Open Orders, Cancel All Open Orders, Position Information V3, New Order below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

from exchanges.account_emergency import AccountEmergency
from exchanges.adapter import ExchangeContext
from exchanges.binance.account_fetcher import UNKNOWN_ORDER_CODES
from exchanges.binance.order_connection import OrderConnection
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.order_instruments import OrderInstruments


class BinanceEmergency(AccountEmergency[OrderConnection]):
    """See exchanges/account_emergency.py for the part that all venues share."""

    GONE = UNKNOWN_ORDER_CODES

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        super().__init__(OrderConnection(context, OrderInstruments(), instance_number), instance_number)
        self._fetcher = self._connection.fetcher

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(reply.symbol, str(reply.exchange_order_id), self._ours(reply.client_order_id))
            for reply in await self._fetcher.every_open_order()
        ]

    async def _cancel(self, order: OpenOrder) -> None:
        await self._fetcher.cancel_order(order.symbol, order.exchange_order_id)

    async def positions(self) -> list[OpenPosition]:
        rows = [OpenPosition(row.symbol, row.position) for row in await self._fetcher.every_position()]
        return [row for row in rows if row.amount]

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        side = "BUY" if position.amount < 0 else "SELL"
        quantity = position.quantity.removeprefix("-")
        await self._fetcher.reduce_at_market(position.symbol, side, quantity, client_order_id)

"""DeribitEmergency: the kill switch's own way to the account, over signed HTTP (see exchanges/emergency.py).

The clock is not measured first, that would be five calls before the first cancel: the venue takes a signature up to
60 s off. Cancel-on-disconnect does not cover a closing order sent from here, and need not: a market order does not
rest.

Sources: private/get_open_orders, private/cancel, private/cancel_all_by_instrument, private/get_positions, private/buy
below https://docs.deribit.com/api-reference.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

from typing import Final

from exchanges.adapter import ExchangeContext, VenueRefused
from exchanges.deribit.error_codes import GONE_CODES
from exchanges.deribit.order_connection import OrderConnection
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.order_instruments import OrderInstruments
from exchanges.order_wire import own_order_id

NS_PER_MS: Final = 1_000_000
AHEAD_NS: Final = 1_000_000_000
"""By how much an engine's `valid_until` may lie later, because it took the venue's clock to be slower."""


class DeribitEmergency:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        self._instance = instance_number
        self._connection = OrderConnection(context, OrderInstruments(), instance_number)
        self._fetcher = self._connection.fetcher

    @property
    def acceptance_ns(self) -> int:
        return self._connection.receive_window_ms * NS_PER_MS + AHEAD_NS

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(order.instrument_name, order.order_id, own_order_id(order.label, self._instance))
            for order in await self._fetcher.every_open_order()
        ]

    async def cancel_symbol(self, symbol: str) -> None:
        await self._fetcher.cancel_all_of_symbol(symbol)

    async def cancel(self, order: OpenOrder) -> None:
        try:
            await self._fetcher.cancel_order(order.exchange_order_id)
        except VenueRefused as refused:
            if refused.code not in GONE_CODES:
                raise

    async def positions(self) -> list[OpenPosition]:
        rows = await self._fetcher.every_position()
        found = [OpenPosition(row.instrument_name, bytes(row.size).decode()) for row in rows]
        return [position for position in found if position.amount]

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        method = "private/buy" if position.amount < 0 else "private/sell"
        await self._fetcher.reduce_at_market(
            method, position.symbol, position.quantity.removeprefix("-"), client_order_id
        )

    async def close(self) -> None:
        await self._connection.close()

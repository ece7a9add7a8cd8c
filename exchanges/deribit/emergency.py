"""DeribitEmergency: the kill switch's own way to the account, over signed HTTP (see exchanges/emergency.py).

The clock is not measured first, that would be five calls before the first cancel: the venue takes a signature up to
60 s off. Cancel-on-disconnect does not cover a closing order sent from here, and need not: a market order does not
rest.

Sources: private/get_open_orders, private/cancel, private/cancel_all_by_instrument, private/get_positions, private/buy
below https://docs.deribit.com/api-reference.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

from exchanges.account_emergency import AccountEmergency
from exchanges.adapter import ExchangeContext
from exchanges.deribit.error_codes import GONE_CODES
from exchanges.deribit.order_codec import signed_size
from exchanges.deribit.order_connection import OrderConnection
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.order_instruments import OrderInstruments


class DeribitEmergency(AccountEmergency[OrderConnection]):
    """See exchanges/account_emergency.py for the part that all venues share."""

    GONE = GONE_CODES

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        super().__init__(OrderConnection(context, OrderInstruments(), instance_number), instance_number)
        self._fetcher = self._connection.fetcher

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(order.instrument_name, order.order_id, self._ours(order.label))
            for order in await self._fetcher.every_open_order()
        ]

    async def _cancel(self, order: OpenOrder) -> None:
        await self._fetcher.cancel_order(order.exchange_order_id)

    async def positions(self) -> list[OpenPosition]:
        rows = await self._fetcher.every_position()
        found = [OpenPosition(row.instrument_name, signed_size(row)) for row in rows]
        return [position for position in found if position.amount]

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        method = "private/buy" if position.amount < 0 else "private/sell"
        await self._fetcher.reduce_at_market(
            method, position.symbol, position.quantity.removeprefix("-"), client_order_id
        )

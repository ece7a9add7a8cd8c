"""GrvtEmergency: the kill switch's own way to the account, over REST (see exchanges/emergency.py).

One login comes first: nothing private is answered without its cookie. The clock is not measured, which would be five
calls before the first cancel: only a closing order carries a time, the end of its signature, and CLOSE_LIFE_NS leaves
room for a clock that is wrong.

Nonces of closing orders are drawn at random, because the engine's file belongs to an engine that may be alive, and from
the upper quarter of all numbers, which no engine uses. So none is one of an engine's. Of a hundred closing orders in
one month two would meet once in 200,000 months; and even those two would differ in what is signed beside the nonce (the
end of life, in nanoseconds), so that the venue could not take one for a repetition of the other.

Sources: open_orders, cancel_order, cancel_all_orders, positions, create_order below https://api-docs.grvt.io.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Sequence
from typing import Final

from exchanges.account_emergency import NS_PER_MS, AccountEmergency
from exchanges.adapter import ExchangeContext, VenueUnavailable
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.grvt.auth import ENGINE_NONCES, NONCES
from exchanges.grvt.endpoints import TIME_TO_LIVE_LIMIT_MS
from exchanges.grvt.error_codes import GONE_CODES
from exchanges.grvt.instruments import signing_terms
from exchanges.grvt.legs import order_of
from exchanges.grvt.order_connection import OrderConnection
from exchanges.market_events import MalformedFrame
from exchanges.order_instruments import OrderInstruments

CLOSE_LIFE_NS: Final = 60 * 10**9
"""A closing order is a market order and rests nowhere; it may wait this long for a slow venue."""


class GrvtEmergency(AccountEmergency[OrderConnection]):
    """See exchanges/account_emergency.py for the part that all venues share."""

    GONE = GONE_CODES

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        super().__init__(OrderConnection(context, OrderInstruments(), instance_number), instance_number)
        self._fetcher = self._connection.fetcher

    @property
    def acceptance_ns(self) -> int:
        """No bound of the venue's, as it has none for a create that may rest: its signature lives for 29 days. This is
        as long as an engine that lives takes to settle an order without an answer (oms.py). What comes to life later
        still is pulled by such an engine, and ends with the account's countdown, which nobody refreshes any more."""
        return super().acceptance_ns + TIME_TO_LIVE_LIMIT_MS * NS_PER_MS

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(
                order.legs[0].instrument, order.order_id, order_of(self._ours(str(order.metadata.client_order_id)))
            )
            for order in await self._fetcher.every_open_order()
            if order.legs
        ]

    async def _cancel(self, order: OpenOrder) -> None:
        await self._fetcher.cancel_order(order.exchange_order_id)

    def cancel_together(self, orders: Sequence[OpenOrder]) -> Awaitable[None]:
        return self._fetcher.cancel_orders([order.exchange_order_id for order in orders])

    async def positions(self) -> list[OpenPosition]:
        rows = [OpenPosition(row.instrument, row.size) for row in await self._fetcher.every_position()]
        return [row for row in rows if row.amount]

    async def close_position(self, position: OpenPosition, client_order_id: int) -> None:
        connection, symbol = self._connection, position.symbol
        try:
            terms = signing_terms(await connection.market.all_instruments(), [symbol])[symbol]
        except MalformedFrame as failure:
            raise VenueUnavailable(str(failure)) from failure
        await connection.session.ensure()
        account = connection.session.account
        connection.codec.trade_as(connection.signer(), account, {}, closing_nonce)
        size, buying = position.quantity.removeprefix("-"), position.amount < 0
        expiration_ns = time.time_ns() + CLOSE_LIFE_NS
        await self._fetcher.create(
            connection.codec.encode_reduction(symbol, terms, size, buying, client_order_id, expiration_ns)
        )


def closing_nonce() -> int:
    """Out of those that no engine hands out."""
    return ENGINE_NONCES + secrets.randbelow(NONCES - ENGINE_NONCES)

"""GrvtEmergency: the kill switch's own way to the account, over REST (see exchanges/emergency.py).

One login comes first: nothing private is answered without its cookie. The clock is not measured, which would be five
calls before the first cancel: only a closing order carries a time, the end of its signature, and CLOSE_LIFE_NS leaves
room for a clock that is wrong. Nonces of closing orders are drawn at random, because the engine's file belongs to an
engine that may be alive; a nonce that came twice by chance would stand in another payload, and so in another signature.

Sources: open_orders, cancel_order, cancel_all_orders, positions, create_order below https://api-docs.grvt.io.

Who calls it: exchanges/factory.py makes it.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from exchanges.adapter import ExchangeContext, VenueRefused, VenueUnavailable
from exchanges.emergency import OpenOrder, OpenPosition
from exchanges.grvt.auth import NONCES
from exchanges.grvt.error_codes import GONE_CODES
from exchanges.grvt.instruments import signing_terms
from exchanges.grvt.legs import order_of
from exchanges.grvt.order_connection import OrderConnection
from exchanges.market_events import MalformedFrame
from exchanges.order_instruments import OrderInstruments
from exchanges.order_wire import own_order_id

NS_PER_MS: Final = 1_000_000
AHEAD_NS: Final = 1_000_000_000
"""By how much an engine may have taken the venue's clock to be slower."""
CLOSE_LIFE_NS: Final = 60 * 10**9
"""A closing order is a market order and rests nowhere; it may wait this long for a slow venue."""


class GrvtEmergency:
    """Make it inside the running event loop; `close()` it there."""

    def __init__(self, context: ExchangeContext, *, instance_number: int) -> None:
        self._instance = instance_number
        self._connection = OrderConnection(context, OrderInstruments(), instance_number)
        self._fetcher = self._connection.fetcher

    @property
    def acceptance_ns(self) -> int:
        """The venue sets no bound to a create that may rest: this is how long an engine counts on a reply. What came
        later still would end with the account's countdown, which nobody refreshes any more."""
        return self._connection.receive_window_ms * NS_PER_MS + AHEAD_NS

    async def open_orders(self) -> list[OpenOrder]:
        return [
            OpenOrder(
                order.legs[0].instrument,
                order.order_id,
                order_of(own_order_id(str(order.metadata.client_order_id), self._instance)),
            )
            for order in await self._fetcher.every_open_order()
            if order.legs
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
        connection.codec.trade_as(connection.signer(), account, {}, lambda: secrets.randbelow(NONCES))
        size, buying = position.quantity.removeprefix("-"), position.amount < 0
        expiration_ns = time.time_ns() + CLOSE_LIFE_NS
        await self._fetcher.create(
            connection.codec.encode_reduction(symbol, terms, size, buying, client_order_id, expiration_ns)
        )

    async def close(self) -> None:
        await self._connection.close()

"""The strategy of the drill: a ladder of orders far from the market on each side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from strategy.abstract_strategy import AbstractStrategy

if TYPE_CHECKING:
    from shm.records import Quote
    from strategy.order import Order

DISTANCE = 0.004
"""Of the price: no generated market goes there within a drill."""


class LadderParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    orders: Annotated[int, Meta(ge=1, le=200)] = 34
    order_quantity: Annotated[float, Meta(gt=0.0)] = 0.001


class Ladder(AbstractStrategy):
    """One order a quote, so that no rate limit is met; a rung whose order ended (a gap pulls all) gets another."""

    Parameters = LadderParameters
    parameters: LadderParameters

    def on_start(self) -> None:
        self.rungs: list[Order | None] = [None] * self.parameters.orders

    def on_quote(self, quote: Quote) -> None:
        rung = next((number for number, order in enumerate(self.rungs) if order is None), None)
        if rung is None:
            return
        [instrument] = self.instruments
        away = DISTANCE + 0.0001 * rung
        quantity = self.parameters.order_quantity
        if rung % 2:
            order = self.sell(instrument, quote.ask_price * (1.0 + away), quantity, post_only=True)
        else:
            order = self.buy(instrument, quote.bid_price * (1.0 - away), quantity, post_only=True)
        if not order.is_terminal:  # refused here: again with the next quote
            self.rungs[rung] = order

    def on_order(self, order: Order) -> None:
        if order.is_terminal and order in self.rungs:
            self.rungs[self.rungs.index(order)] = None

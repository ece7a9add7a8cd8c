"""ShmOMSAdapter: requests to one trading engine and its events, through the venue's two lossless rings.

The rule: a request is complete when it is published: identity, epoch, deadline, and the market record that led to it.
`publish` never waits; a full ring is an answer (False), and cancels may use the part that is kept for them. Request ids
rise by one within an epoch and begin at epoch << 32, so the nonce of a recovery (its request id) is never met twice in
an event ring that survived several traders. Used by the container and its runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shm.layout import RequestType
from shm.records import OrderRequest

if TYPE_CHECKING:
    from shm.ring import LosslessReader, LosslessWriter
    from strategy.order import Order


class Cause:
    """The market record that the trader is acting on now; zeros where there is none (a timer, a command)."""

    __slots__ = ("is_market", "poll_time_ns", "receive_time_ns", "sequence")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.sequence = self.receive_time_ns = self.poll_time_ns = 0
        self.is_market = False


class ShmOMSAdapter:
    """Writer of the request ring and reader of the event ring of one venue. One thread."""

    def __init__(
        self,
        venue: str,
        venue_code: int,
        requests: LosslessWriter,
        events: LosslessReader,
        cause: Cause,
        deadline_ns: int,
    ) -> None:
        """`deadline_ns`: how long after its creation the engine may still send a request."""
        self.venue = venue
        self.venue_code = venue_code
        self.requests = requests
        self.events = events
        self.poll = events.poll
        self.commit = events.commit
        self._cause = cause
        self._deadline_ns = deadline_ns
        self._request = OrderRequest()
        # The hot one: what is the same for every new order is written once, the rest each time.
        self._new = OrderRequest()
        self._new.venue = venue_code
        self._new.request_type = RequestType.NEW
        self._try_publish = requests.try_publish
        self.epoch = 0
        self._last_request_id = 0
        self.published = 0
        self.refused = 0
        """Requests that found the ring full."""

    def begin_epoch(self, epoch: int) -> None:
        """Every request from now on belongs to this epoch."""
        self.epoch = self._new.epoch = epoch
        self._last_request_id = epoch << 32

    # --- requests ---------------------------------------------------------------------------------------------------
    def new(self, order: Order, now_ns: int) -> bool:
        """Publish a new order; False: the ring is full, nothing happened."""
        request, cause = self._new, self._cause
        self._last_request_id += 1
        request.request_id = self._last_request_id
        request.instrument_id = order.instrument.id
        request.strategy_id = order.strategy_id
        request.client_order_id = order.client_order_id
        request.side = order.side
        request.order_type = order.order_type
        request.time_in_force = order.time_in_force
        request.exec_flags = order.exec_flags
        request.price = order.price_mantissa
        request.quantity = order.quantity_mantissa
        request.deadline_ns = now_ns + self._deadline_ns
        request.create_time_ns = now_ns
        request.cause_sequence = cause.sequence
        request.cause_receive_time_ns = cause.receive_time_ns
        request.cause_poll_time_ns = cause.poll_time_ns
        if self._try_publish(request):
            self.published += 1
            return True
        self.refused += 1
        return False

    def cancel(self, order: Order, now_ns: int) -> bool:
        """Publish a cancel, into the reserved part of the ring if need be. No deadline: late is better than never."""
        request = self._begin(RequestType.CANCEL, now_ns)
        self._identify(request, order)
        return self._end(self.requests.try_publish_reserved(request))

    def replace(self, order: Order, price_mantissa: int, quantity_mantissa: int, now_ns: int) -> bool:
        """Publish a replace; the quantity is the new total."""
        request = self._begin(RequestType.REPLACE, now_ns)
        self._identify(request, order)
        request.order_type = order.order_type
        request.time_in_force = order.time_in_force
        request.exec_flags = order.exec_flags
        request.price = price_mantissa
        request.quantity = quantity_mantissa
        request.deadline_ns = now_ns + self._deadline_ns
        return self._end(self.requests.try_publish(request))

    def query(self, order: Order, now_ns: int) -> bool:
        """Ask for the venue's word about an order."""
        request = self._begin(RequestType.QUERY, now_ns)
        self._identify(request, order)
        return self._end(self.requests.try_publish(request))

    def cancel_all(self, now_ns: int) -> bool:
        """Ask for the end of every order of this instance at the venue, also of those that are not known here."""
        return self._end(self.requests.try_publish_reserved(self._begin(RequestType.CANCEL_ALL, now_ns)))

    def recover(self, now_ns: int) -> int:
        """Ask for a recovery bracket; its nonce, or 0 where the ring is full."""
        request = self._begin(RequestType.RECOVER, now_ns)
        return request.request_id if self._end(self.requests.try_publish_reserved(request)) else 0

    # --- the one record they all use --------------------------------------------------------------------------------
    def _begin(self, request_type: int, now_ns: int) -> OrderRequest:
        request, cause = self._request, self._cause
        request.clear()
        self._last_request_id += 1
        request.venue = self.venue_code
        request.epoch = self.epoch
        request.request_type = request_type
        request.request_id = self._last_request_id
        request.create_time_ns = now_ns
        request.cause_sequence = cause.sequence
        request.cause_receive_time_ns = cause.receive_time_ns
        request.cause_poll_time_ns = cause.poll_time_ns
        return request

    def _identify(self, request: OrderRequest, order: Order) -> None:
        request.instrument_id = order.instrument.id
        request.strategy_id = order.strategy_id
        request.client_order_id = order.client_order_id
        request.side = order.side
        if order.exchange_order_id:
            request.exchange_order_id = order.exchange_order_id

    def _end(self, published: bool) -> bool:
        if published:
            self.published += 1
        else:
            self.refused += 1
        return published

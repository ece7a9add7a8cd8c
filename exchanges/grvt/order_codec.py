from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from exchanges.adapter import ConfigurationError
from exchanges.decimal_text import DecimalTextError, decimal_text, mantissa
from exchanges.fill_ledger import FEE, QUANTITY
from exchanges.grvt.auth import RequestSigner, asset_word
from exchanges.grvt.codec import trade_number
from exchanges.grvt.endpoints import SIGNATURE_LIFETIME_S, TIME_TO_LIVE_LIMIT_MS
from exchanges.grvt.error_codes import classify, end_reason
from exchanges.grvt.instruments import SigningTerms
from exchanges.grvt.legs import Legs, UnknownLegs, leg_of, order_of
from exchanges.grvt.messages import RpcError
from exchanges.grvt.order_messages import (
    AckReply,
    BulkReply,
    CancelStatus,
    Fill,
    FillsReply,
    Order,
    OrderReply,
    OrdersReply,
    Reply,
)
from exchanges.grvt.typed_data import PRICE_SCALE, TIME_IN_FORCE_CODES, cut
from exchanges.market_events import MalformedFrame
from exchanges.order_events import FactFlag, cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import (
    MalformedMessage,
    UnsupportedRequest,
    answer,
    code,
    decode,
    money,
    own_order_id,
    synthetic_order_id,
)
from exchanges.verdict import Outcome, Verdict
from shm.layout import (
    TERMINAL_STATES,
    EventType,
    ExecFlag,
    Liquidity,
    OrderState,
    OrderType,
    Reason,
    RequestType,
    Side,
    TimeInForce,
    Venue,
    strategy_of,
)
from shm.records import OrderEvent, OrderRequest

CREATE: Final = "v1/create_order"
CANCEL: Final = "v1/cancel_order"
QUERY: Final = "v1/order"
NO_ORDER_ID: Final = "0x00"
RESTING_LIFE_NS: Final = int((SIGNATURE_LIFETIME_S - 24 * 3600.0) * 1e9)
TIME_TO_LIVE: Final = str(TIME_TO_LIVE_LIMIT_MS)
SELF_TRADE: Final = int(ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER)
"""Modes that a request may ask for; the venue has one of its own and no choice."""
POST_ONLY: Final = int(ExecFlag.POST_ONLY)
REDUCE_ONLY: Final = int(ExecFlag.REDUCE_ONLY)
_GOOD_TILL_TIME: Final = "GOOD_TILL_TIME"
TIME_IN_FORCE_TEXT: Final[dict[int, str]] = {
    TimeInForce.NONE: _GOOD_TILL_TIME,
    TimeInForce.GTC: _GOOD_TILL_TIME,
    TimeInForce.GTD: _GOOD_TILL_TIME,
    TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
    TimeInForce.FOK: "FILL_OR_KILL",
}
TIMES_IN_FORCE: Final = {
    "GOOD_TILL_TIME": TimeInForce.GTC,
    "RETAIL_PRICE_IMPROVEMENT": TimeInForce.GTC,
    "IMMEDIATE_OR_CANCEL": TimeInForce.IOC,
    "FILL_OR_KILL": TimeInForce.FOK,
}
STATES: Final = {
    "PENDING": OrderState.PENDING_NEW,
    "OPEN": OrderState.OPEN,
    "FILLED": OrderState.FILLED,
    "CANCELLED": OrderState.CANCELED,
    "REJECTED": OrderState.REJECTED,
}
END_EVENTS: Final = {
    OrderState.CANCELED: EventType.CANCELED,
    OrderState.EXPIRED: EventType.EXPIRED,
    OrderState.REJECTED: EventType.REJECTED,
}
CANCEL_EXPIRED: Final = "EXPIRED"
"""A remembered cancel met no order."""


class _Terms(NamedTuple):
    """How one instrument's mantissas become what is signed."""

    asset: bytes
    size_factor: int
    price_factor: int


class OrderCodec:
    """Both directions for one account. Stateless but for the instruments, this instance's number, and the legs of
    replaced orders. Signing begins with `trade_as`."""

    def __init__(self, instruments: OrderInstruments, instance_number: int) -> None:
        self._instruments = instruments
        self._instance = instance_number
        self.legs = Legs()
        self.remembers_cancels = True
        """The venue keeps a cancel for an order that has not come yet; it may switch that off."""
        self.began_ns = 0
        """The venue's UTC from which on every replacement is known here; 0: of an order that was canceled before, later
        legs are not asked for."""
        self._account = self._chain = ""
        self._terms: dict[int, _Terms] = {}
        self._signer: RequestSigner | None = None
        self._nonce: Callable[[], int] = _no_nonce
        self._reply = msgspec.json.Decoder(Reply)
        self._order = msgspec.json.Decoder(Order)
        self._order_reply = msgspec.json.Decoder(OrderReply)
        self._orders = msgspec.json.Decoder(OrdersReply)
        self._ack = msgspec.json.Decoder(AckReply)
        self._bulk = msgspec.json.Decoder(BulkReply)
        self._fill = msgspec.json.Decoder(Fill)
        self._fills = msgspec.json.Decoder(FillsReply)
        self._cancel_status = msgspec.json.Decoder(CancelStatus)
        self._error = msgspec.json.Decoder(RpcError)

    def trade_as(
        self, signer: RequestSigner, account: str, terms: Mapping[str, SigningTerms], nonce: Callable[[], int]
    ) -> None:
        """From here on orders can be encoded. terms: of every instrument; nonce: gives one that was never used
        (nonces.py). Raises ConfigurationError where an instrument's steps cannot be signed."""
        self._terms = {
            instrument.id: _signed_in(instrument, terms[instrument.symbol]) for instrument in self._instruments
        }
        self._signer, self._account, self._nonce = signer, account, nonce
        self._chain = str(signer.chain_id)

    # --- requests -> bodies of calls --------------------------------------------------------------------------------
    def encode_new(self, request: OrderRequest, venue_time_ns: int, window_ns: int) -> dict[str, Any]:
        """Body of create_order. venue_time_ns: the venue's UTC now; window_ns: how long what may not rest may live.

        Raises UnsupportedRequest."""
        instrument = self._instrument(request.instrument_id)
        if request.side not in (Side.BUY, Side.SELL):
            raise UnsupportedRequest(f"new order: side {request.side} is neither BUY nor SELL")
        flags = request.exec_flags
        if flags & SELF_TRADE:
            raise UnsupportedRequest("new order: grvt has no self-trade prevention modes to choose from")
        post_only, reduce_only = bool(flags & POST_ONLY), bool(flags & REDUCE_ONLY)
        market = request.order_type == OrderType.MARKET
        if not market and request.order_type != OrderType.LIMIT:
            raise UnsupportedRequest(f"new order: order type {request.order_type} is neither LIMIT nor MARKET")
        word = TIME_IN_FORCE_TEXT.get(request.time_in_force)
        if word is None:
            raise UnsupportedRequest(f"new order: time in force {request.time_in_force} is not known here")
        if market and word == _GOOD_TILL_TIME:
            word = "IMMEDIATE_OR_CANCEL"
        if post_only and (market or word != _GOOD_TILL_TIME):
            raise UnsupportedRequest("new order: post-only goes with a limit price that may rest")
        if word != _GOOD_TILL_TIME:
            expiration_ns = venue_time_ns + window_ns
        elif request.time_in_force == TimeInForce.GTD:
            expiration_ns = request.expire_time_ns
            if not venue_time_ns < expiration_ns <= venue_time_ns + RESTING_LIFE_NS:
                raise UnsupportedRequest("new order: its end is in the past or more than 29 days away")
        else:
            expiration_ns = venue_time_ns + RESTING_LIFE_NS
        asset, size_factor, price_factor = self._terms[request.instrument_id]
        price = 0 if market else request.price
        return self._signed(
            instrument.symbol,
            asset,
            (decimal_text(request.quantity, instrument.quantity_scale), request.quantity * size_factor),
            None if market else (decimal_text(price, instrument.price_scale), price * price_factor),
            request.side == Side.BUY,
            word,
            post_only,
            reduce_only,
            expiration_ns,
            self.wire_id(request.client_order_id),
        )

    def encode_reduction(
        self, symbol: str, terms: SigningTerms, size: str, buying: bool, client_order_id: int, expiration_ns: int
    ) -> dict[str, Any]:
        """Body of create_order for a reduce-only market order of an instrument that need not be configured. size: the
        venue's own text."""
        asset, contract_size = asset_word(terms.instrument_hash), cut(size, terms.base_decimals)
        word = "IMMEDIATE_OR_CANCEL"
        return self._signed(
            symbol, asset, (size, contract_size), None, buying, word, False, True, expiration_ns, client_order_id
        )

    def _signed(
        self,
        symbol: str,
        asset: bytes,
        size: tuple[str, int],
        price: tuple[str, int] | None,
        buying: bool,
        time_in_force: str,
        post_only: bool,
        reduce_only: bool,
        expiration_ns: int,
        client_order_id: int,
    ) -> dict[str, Any]:
        """size, price: as they are written and as they are signed; no price: a market order."""
        signer, nonce, market = self._signer, self._nonce(), price is None
        assert signer is not None
        signature = signer.sign_order(
            asset,
            size[1],
            price[1] if price is not None else 0,
            buying,
            market=market,
            time_in_force=TIME_IN_FORCE_CODES[time_in_force],
            post_only=post_only,
            reduce_only=reduce_only,
            nonce=nonce,
            expiration_ns=expiration_ns,
        )
        leg: dict[str, Any] = {
            "instrument": symbol,
            "size": size[0],
            "limit_price": price[0] if price is not None else None,
            "is_buying_asset": buying,
        }
        return {
            "order": {
                "sub_account_id": self._account,
                "is_market": market,
                "time_in_force": time_in_force,
                "post_only": post_only,
                "reduce_only": reduce_only,
                "legs": [leg],
                "signature": {
                    "signer": signer.address,
                    "r": signature.r,
                    "s": signature.s,
                    "v": signature.v,
                    "expiration": str(expiration_ns),
                    "nonce": nonce,
                    "chain_id": self._chain,
                },
                "metadata": {"client_order_id": str(client_order_id)},
            }
        }

    def encode_cancel(self, request: OrderRequest) -> dict[str, str]:
        """Body of cancel_order, by our id. Raises UnsupportedRequest."""
        named = self.encode_query(request)
        return {**named, "time_to_live_ms": TIME_TO_LIVE} if self.remembers_cancels else named

    def encode_query(self, request: OrderRequest) -> dict[str, str]:
        """Body of order, by our id. Raises UnsupportedRequest."""
        return {"sub_account_id": self._account, "client_order_id": str(self.wire_id(request.client_order_id))}

    @staticmethod
    def encode_call(method: str, body: Mapping[str, Any], identity: int) -> bytes:
        """A call as it goes over a socket; over REST the body goes alone."""
        return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": body, "id": identity})

    def wire_id(self, order_id: int) -> int:
        """The venue's client order id of the order's present leg. Raises UnsupportedRequest."""
        try:
            return self.legs.wire_id(order_id)
        except ValueError as failure:
            raise UnsupportedRequest(str(failure)) from None

    def _instrument(self, instrument_id: int) -> OrderInstrument:
        instrument = self._instruments.by_id(instrument_id)
        if instrument is None:
            raise UnsupportedRequest(f"instrument id {instrument_id} is not one of this venue's configured symbols")
        return instrument

    # --- replies ----------------------------------------------------------------------------------------------------
    def decode_reply(self, payload: bytes) -> Reply:
        """A frame of an order socket. Raises MalformedMessage."""
        return decode(self._reply, payload, "frame")

    def decode_answer(self, status: int, body: bytes) -> Reply:
        """A REST answer in the form of a socket's; code 0: the body is not the venue's."""
        if status == 200:
            return Reply(result=msgspec.Raw(body), status=status)
        try:
            return Reply(error=decode(self._error, body, "error"), status=status)
        except MalformedMessage:
            return Reply(error=RpcError(0, f"HTTP {status}"), status=status)

    def decode_request_reply(
        self, request: OrderRequest, reply: Reply, receive_time_ns: int
    ) -> tuple[OrderEvent, Verdict | None]:
        """The fact that a reply to NEW, CANCEL or QUERY is; the verdict where it was not a success."""
        if reply.error is not None:
            verdict = classify(reply.status, reply.error.code)
            return self._failure(request, verdict, reply.error.code, reply.error.message, receive_time_ns), verdict
        try:
            return self._success(request, reply.result, receive_time_ns), None
        except (MalformedMessage, DecimalTextError, UnknownLegs) as failure:
            verdict = Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
            return self._failure(request, verdict, 0, f"reply could not be read: {failure}", receive_time_ns), verdict

    def _success(self, request: OrderRequest, result: msgspec.Raw, receive_time_ns: int) -> OrderEvent:
        if request.request_type == RequestType.CANCEL:
            if str(decode(self._ack, result, CANCEL).result.ack).lower() != "true":
                raise MalformedMessage("cancel_order: ack is not true")
            fact = fact_of_request(request, EventType.STATUS)
            fact.order_state, fact.receive_time_ns = OrderState.PENDING_CANCEL, receive_time_ns
            return fact
        found = self._order_fact(self._one_order(result), receive_time_ns)
        if found is None or found.client_order_id != request.client_order_id:
            raise MalformedMessage("the order of the reply is not the one of the request")
        if request.request_type == RequestType.NEW:
            found.event_type = _event_of(found)
        answer(found, request)
        return found

    def _one_order(self, result: msgspec.Raw | bytes) -> Order:
        """Of `result.result`, or of `result` as some tell it."""
        try:
            return decode(self._order_reply, result, "order").result
        except MalformedMessage:
            return decode(self._order, result, "order")

    def _failure(
        self, request: OrderRequest, verdict: Verdict, error_code: int, message: str, receive_time_ns: int
    ) -> OrderEvent:
        if verdict.outcome is Outcome.UNKNOWN:
            fact = fact_of_request(request, EventType.UNKNOWN, verdict.reason)
            fact.text = cut_text(message)
        else:
            fact = refusal(request, verdict.reason, message)
        fact.error_code = error_code
        fact.receive_time_ns = receive_time_ns
        return fact

    def decode_order(self, body: bytes, receive_time_ns: int) -> OrderEvent | None:
        """Answer of order as STATUS; None: of no configured symbol. Raises MalformedMessage, UnknownLegs."""
        return self._order_fact(self._one_order(body), receive_time_ns)

    def decode_orders(self, body: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """Answer of open_orders as STATUS facts of the configured symbols. Raises MalformedMessage, UnknownLegs."""
        facts = [self._order_fact(order, receive_time_ns) for order in self.decode_every_order(body)]
        return [fact for fact in facts if fact is not None]

    def decode_every_order(self, body: bytes) -> list[Order]:
        """Answer of open_orders as it is worded, of all instruments. Raises MalformedMessage."""
        return decode(self._orders, body, "open_orders").result

    def decode_leg(self, body: bytes) -> tuple[bool, int]:
        """Of an answer of order: whether it is over, and what it traded. Raises MalformedMessage."""
        order = self._one_order(body)
        instrument = self._instruments.by_symbol(order.legs[0].instrument) if order.legs else None
        if instrument is None or not order.state.traded_size:
            raise MalformedMessage("an order of ours is of an instrument that is not configured")
        over = code(STATES, order.state.status, "order status") in TERMINAL_STATES
        return over, _number(order.state.traded_size[0], instrument.quantity_scale)

    def decode_fill_ids(self, body: bytes) -> tuple[set[str], str]:
        """Client order ids of a page of fill_history, as the venue has them, and the cursor of the next page. Raises
        MalformedMessage."""
        page = decode(self._fills, body, "fill_history")
        return {str(fill.client_order_id) for fill in page.result}, page.next

    def decode_bulk(self, body: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """Answer of bulk_orders: STATUS of each created order, which says PENDING. Raises MalformedMessage."""
        facts = [self._order_fact(order, receive_time_ns) for order in decode(self._bulk, body, "bulk_orders").orders]
        return [fact for fact in facts if fact is not None]

    def decode_create_time(self, body: bytes) -> int:
        """Of an answer of order: when it was created, ns UTC. Raises MalformedMessage."""
        return int(self._one_order(body).metadata.create_time)

    def decode_fills(self, body: bytes, receive_time_ns: int) -> tuple[list[OrderEvent], str]:
        """FILLs of a page of fill_history, and the cursor of the next page. Raises MalformedMessage."""
        page = decode(self._fills, body, "fill_history")
        facts = [self._fill_fact(fill, receive_time_ns) for fill in page.result]
        return [fact for fact in facts if fact is not None], page.next

    def _order_fact(self, order: Order, receive_time_ns: int) -> OrderEvent | None:
        """None: not of one configured instrument."""
        if len(order.legs) != 1 or not order.state.traded_size:
            return None
        leg, state = order.legs[0], order.state
        instrument = self._instruments.by_symbol(leg.instrument)
        if instrument is None:
            return None
        fact = OrderEvent()
        fact.event_type = EventType.STATUS
        fact.order_state = code(STATES, state.status, "order status")
        fact.exchange_time_ns = int(state.update_time)
        fact.receive_time_ns = receive_time_ns
        wire = self._identity(fact, instrument, str(order.metadata.client_order_id), order.order_id)
        if fact.order_state == OrderState.PENDING_NEW:
            return fact
        fact.side = Side.BUY if leg.is_buying_asset else Side.SELL
        fact.order_type = OrderType.MARKET if order.is_market else OrderType.LIMIT
        fact.time_in_force = TIMES_IN_FORCE.get(order.time_in_force, TimeInForce.NONE)
        if order.post_only:
            fact.exec_flags |= POST_ONLY
        if order.reduce_only:
            fact.exec_flags |= REDUCE_ONLY
        traded = _number(state.traded_size[0], instrument.quantity_scale)
        fact.reason = end_reason(state.reject_reason)
        if wire:
            earlier, before = self._leg(fact, wire, int(order.metadata.create_time))
            if earlier:
                fact.order_state = OrderState.NONE
                return fact
        else:
            before = 0
        fact.price = _number(leg.limit_price or "0", instrument.price_scale)
        fact.quantity = before + _number(leg.size, instrument.quantity_scale)
        fact.cumulative_quantity = before + traded
        fact.flags = FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN
        if fact.order_state == OrderState.OPEN and fact.cumulative_quantity:
            fact.order_state = OrderState.PARTIALLY_FILLED
        elif fact.order_state == OrderState.REJECTED and fact.cumulative_quantity:
            fact.order_state = OrderState.CANCELED
        if fact.order_state in (OrderState.CANCELED, OrderState.REJECTED) and fact.reason == Reason.VENUE_EXPIRED:
            fact.order_state = OrderState.EXPIRED
        if fact.order_state == OrderState.REJECTED and not fact.reason:
            fact.reason = Reason.VENUE_REJECTED  # the venue names none: rejected all the same
        if wire and (leg_of(wire) or self.legs.watch_of(fact.client_order_id) is not None):
            self._count_for_the_order(fact, leg_of(wire), int(order.signature.expiration))
        if wire and fact.order_state in TERMINAL_STATES:
            self.legs.end(fact.client_order_id)
        return fact

    def _count_for_the_order(self, fact: OrderEvent, leg: int, expiration_ns: int) -> None:
        """A leg's word as the word on the order: that a later leg was rejected is the end of an order that was open."""
        watch = self.legs.watch_of(fact.client_order_id)
        if leg and fact.order_state == OrderState.REJECTED:
            fact.order_state = OrderState.CANCELED
            if watch is not None and leg == watch.leg + 1:
                watch.never_open = True
        if watch is not None:
            watch.see(fact, leg, expiration_ns)

    def _leg(self, fact: OrderEvent, wire: int, create_time_ns: int) -> tuple[bool, int]:
        """Whether a later leg of the order stands, and what was traded before this one. Raises UnknownLegs."""
        order_id, leg = order_of(wire), leg_of(wire)
        if not self.legs.known(order_id):
            canceled = fact.order_state == OrderState.CANCELED and fact.reason == Reason.VENUE_USER_CANCEL
            if leg or (canceled and create_time_ns < self.began_ns):
                raise UnknownLegs(order_id, leg)
            return False, 0
        present, before = self.legs.standing(order_id)
        if leg > present:
            raise UnknownLegs(order_id, leg)
        return leg < present, before

    def _fill_fact(self, fill: Fill, receive_time_ns: int) -> OrderEvent | None:
        instrument = self._instruments.by_symbol(fill.instrument)
        if instrument is None:
            return None
        fact = OrderEvent()
        fact.event_type = EventType.FILL
        fact.exchange_time_ns = int(fill.event_time)
        fact.receive_time_ns = receive_time_ns
        self._identity(fact, instrument, str(fill.client_order_id), fill.order_id)
        fact.side = Side.BUY if fill.is_buyer else Side.SELL
        try:
            fact.trade_id = b"%d" % trade_number(fill.trade_id)
        except MalformedFrame as failure:
            raise MalformedMessage(str(failure)) from None
        fact.text = cut_text(fill.trade_id)
        fact.last_price = _number(fill.price, instrument.price_scale)
        fact.last_quantity = _number(fill.size, instrument.quantity_scale)
        fact.liquidity = Liquidity.TAKER if fill.is_taker else Liquidity.MAKER
        fact.fee = money(fill.fee)
        fact.fee_currency = (fill.fee_currency or quote_of(fill.instrument)).encode()[:8]
        fact.parts = QUANTITY | FEE
        return fact

    # --- private streams --------------------------------------------------------------------------------------------
    def order_update(self, feed: bytes, receive_time_ns: int) -> OrderEvent | None:
        """A feed of v1.order; None: of no configured symbol. Raises MalformedMessage, UnknownLegs."""
        fact = self._order_fact(decode(self._order, feed, "v1.order"), receive_time_ns)
        if fact is not None:
            fact.flags |= FactFlag.STREAM
            fact.event_type = EventType.STATUS if self.legs.known(fact.client_order_id) else _event_of(fact)
            if fact.order_state in END_EVENTS:
                fact.event_type = _event_of(fact)
        return fact

    def fill(self, feed: bytes, receive_time_ns: int) -> OrderEvent | None:
        """A feed of v1.fill; None: of no configured symbol. Raises MalformedMessage."""
        fact = self._fill_fact(decode(self._fill, feed, "v1.fill"), receive_time_ns)
        if fact is not None:
            fact.flags |= FactFlag.STREAM
        return fact

    def cancel_outcome(self, feed: bytes, receive_time_ns: int) -> OrderEvent | None:
        """A feed of v1.cancel: CANCEL_REJECTED where the cancel met no order of ours. Raises MalformedMessage."""
        status = decode(self._cancel_status, feed, "v1.cancel")
        own = own_order_id(str(status.client_order_id), self._instance)
        if not own or status.cancel_status != CANCEL_EXPIRED:
            return None
        fact = OrderEvent()
        fact.event_type, fact.reason = EventType.CANCEL_REJECTED, Reason.VENUE_UNKNOWN_ORDER
        fact.venue, fact.client_order_id = Venue.GRVT, order_of(own)
        fact.exchange_time_ns, fact.receive_time_ns = int(status.update_time), receive_time_ns
        fact.flags = FactFlag.STREAM
        return fact

    # --- shared pieces ----------------------------------------------------------------------------------------------
    def _identity(self, fact: OrderEvent, instrument: OrderInstrument, client_id: str, order_id: str) -> int:
        """The client order id as the venue has it, where the order is ours, else 0."""
        fact.venue = Venue.GRVT
        fact.instrument_id = instrument.id
        if order_id != NO_ORDER_ID:
            fact.exchange_order_id = order_id.encode()
        wire = own_order_id(client_id, self._instance)
        if not wire:
            fact.client_order_id = synthetic_order_id(instrument.id, _hex_number(order_id))
            return 0
        fact.client_order_id = own = order_of(wire)
        fact.strategy_id = strategy_of(own)
        fact.epoch = own >> 32 & 0xFFFF
        return wire


def _no_nonce() -> int:
    raise RuntimeError("trade_as was not called: nothing can be signed")


def quote_of(symbol: str) -> str:
    """USDT of BTC_USDT_Perp, which it settles in, and fees are paid in."""
    return symbol.split("_")[1] if symbol.count("_") else ""


def _event_of(fact: OrderEvent) -> int:
    """How the venue's word on an order is told: ACCEPTED before anything traded, its end, else STATUS."""
    if fact.order_state == OrderState.OPEN:
        return EventType.ACCEPTED
    return END_EVENTS.get(OrderState(fact.order_state), EventType.STATUS)


def _hex_number(order_id: str) -> int:
    try:
        return int(order_id, 16)
    except ValueError:
        raise MalformedMessage(f"order id {order_id!r} is not a hexadecimal number") from None


def _number(text: str, scale: int) -> int:
    try:
        return mantissa(text, scale)
    except DecimalTextError as failure:
        raise MalformedMessage(str(failure)) from None


def _signed_in(instrument: OrderInstrument, terms: SigningTerms) -> _Terms:
    size, price = terms.base_decimals - instrument.quantity_scale, PRICE_SCALE - instrument.price_scale
    if size < 0 or price < 0:
        raise ConfigurationError(
            f"venues.grvt.symbols: {instrument.symbol} has finer steps than the venue's signatures can hold"
        )
    return _Terms(asset_word(terms.instrument_hash), 10**size, 10**price)

"""Orders of Deribit without I/O: requests to JSON-RPC, replies and user.changes to facts.

The rules
- The label is the decimal text of our uint64. The venue's order id, once seen, is what an order is canceled and edited
  by: both work by label too, but a label need not be unique there.
- A fact says what its message said (`exchanges/order_events.py`), nothing is concluded here. One message may say
  several things (an order, its fills): the order comes first, so that nobody's fill is a stranger's.
- A fill's trade id is `trade_seq`, the number that rises by one per instrument; the venue's own text stands in `text`.
- Numbers go out as the shortest exact decimal and are read exactly. A quantity is the venue's `amount`.

Sources: private/buy, private/edit, private/cancel, user.changes below https://docs.deribit.com.

Who calls it: oms.py, account_fetcher.py, order_socket.py, pms.py.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from exchanges.decimal_text import DecimalTextError, decimal_text, number_mantissa
from exchanges.deribit.error_codes import classify
from exchanges.deribit.order_messages import (
    AccountLimits,
    AccountSummary,
    CancelOnDisconnect,
    Changes,
    Order,
    OrderResult,
    Portfolio,
    Position,
    Reply,
    Summaries,
    TradePage,
    UserTrade,
)
from exchanges.fill_ledger import FEE, QUANTITY
from exchanges.order_events import FactFlag, cut_text, fact_of_request, refusal
from exchanges.order_instruments import OrderInstrument, OrderInstruments
from exchanges.order_wire import (
    MalformedMessage,
    UnsupportedRequest,
    answer,
    check_market_terms,
    code,
    decode,
    money,
    own_order_id,
    synthetic_order_id,
)
from exchanges.verdict import Outcome, Verdict
from shm.layout import (
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
from shm.records import BalanceRow, OrderEvent, OrderRequest, PositionRow

NS_PER_MS: Final = 1_000_000
DAY_NS: Final = 86_400_000_000_000
DAY_END_NS: Final = 8 * 3_600_000_000_000
"""good_til_day orders end with the session: 08:00 UTC."""
ENDED_ORDERS: Final = 1_024
"""How many orders that have ended keep their venue's id here: late words come soon or never."""
REMEMBERED_ORDERS: Final = 65_536
"""How many ids are kept in all, whatever the venue says of them."""

POST_ONLY: Final = int(ExecFlag.POST_ONLY)
REDUCE_ONLY: Final = int(ExecFlag.REDUCE_ONLY)
SELF_TRADE: Final = int(ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER)
"""Modes that a request may ask for; here they are a setting of the account."""
NOT_POST_ONLY: Final = ',"post_only":false'
"""Said with every order and edit: the OpenAPI document gives it a default of true, the venue's replies one of false."""

METHODS: Final[dict[int, str]] = {Side.BUY: "private/buy", Side.SELL: "private/sell"}
CANCEL: Final = "private/cancel"
CANCEL_BY_LABEL: Final = "private/cancel_by_label"
EDIT: Final = "private/edit"
STATE_BY_LABEL: Final = "private/get_order_state_by_label"
SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
TIME_IN_FORCE_TEXT: Final[dict[int, str]] = {
    TimeInForce.NONE: "good_til_cancelled",
    TimeInForce.GTC: "good_til_cancelled",
    TimeInForce.IOC: "immediate_or_cancel",
    TimeInForce.FOK: "fill_or_kill",
    TimeInForce.GTD: "good_til_day",
}
TIMES_IN_FORCE: Final = {
    "good_til_cancelled": TimeInForce.GTC,
    "immediate_or_cancel": TimeInForce.IOC,
    "fill_or_kill": TimeInForce.FOK,
    "good_til_day": TimeInForce.GTD,
}
STATES: Final = {
    "open": OrderState.OPEN,
    "untriggered": OrderState.OPEN,
    "triggered": OrderState.OPEN,
    "filled": OrderState.FILLED,
    "cancelled": OrderState.CANCELED,
    "rejected": OrderState.REJECTED,
}
WORKING: Final = frozenset({OrderState.OPEN, OrderState.PARTIALLY_FILLED})
CANCEL_REASONS: Final = {
    "": Reason.NONE,
    "user_request": Reason.VENUE_USER_CANCEL,
    "cancel_on_disconnect": Reason.DISCONNECTED,
    "autoliquidation": Reason.VENUE_LIQUIDATION,
    "edit_post_only_reject": Reason.VENUE_POST_ONLY,
    "settlement": Reason.VENUE_EXPIRED,
}
"""`cancel_reason`; every other value is VENUE_REJECTED."""
LIQUIDITY: Final = {"M": Liquidity.MAKER, "T": Liquidity.TAKER}


def currency_of(symbol: str) -> str:
    """What an instrument settles in, by its name: BTC of BTC-PERPETUAL, USDC of ETH_USDC-PERPETUAL."""
    return symbol.partition("-")[0].rpartition("_")[2]


class OrderCodec:
    """Both directions for one account. Stateless but for the instruments, this instance's number, and the venue's ids
    of the orders seen lately."""

    def __init__(self, instruments: OrderInstruments, instance_number: int) -> None:
        self._instruments = instruments
        self._instance = instance_number
        self.exchange_ids: OrderedDict[int, bytes] = OrderedDict()
        """Client order id -> the venue's."""
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._end = msgspec.json.Decoder(Order | int)
        self._reply = msgspec.json.Decoder(Reply)
        self._result = msgspec.json.Decoder(OrderResult)
        self._order = msgspec.json.Decoder(Order)
        self._orders = msgspec.json.Decoder(list[Order])
        self._page = msgspec.json.Decoder(TradePage)
        self._trades = msgspec.json.Decoder(list[UserTrade])
        self._changes = msgspec.json.Decoder(Changes)
        self._positions = msgspec.json.Decoder(list[Position])
        self._portfolio = msgspec.json.Decoder(Portfolio)
        self._summaries = msgspec.json.Decoder(Summaries)
        self._summary = msgspec.json.Decoder(AccountSummary)
        self._switch = msgspec.json.Decoder(CancelOnDisconnect)

    # --- requests -> method and parameters as JSON text -------------------------------------------------------------
    def encode_new(self, request: OrderRequest, valid_until_ms: int) -> tuple[str, str]:
        """valid_until_ms: the venue's clock; it does not begin with the request later. Raises UnsupportedRequest."""
        instrument = self._instrument(request.instrument_id)
        method = METHODS.get(request.side)
        if method is None:
            raise UnsupportedRequest(f"new order: side {request.side} is neither BUY nor SELL")
        flags = request.exec_flags
        if flags & SELF_TRADE:
            raise UnsupportedRequest("new order: deribit sets self-trade prevention per account, not per order")
        head = (
            f'{{"instrument_name":"{instrument.symbol}",'
            f'"amount":{decimal_text(request.quantity, instrument.quantity_scale)},"label":"{request.client_order_id}"'
        )
        tail = f',"valid_until":{valid_until_ms}}}'
        if flags & REDUCE_ONLY:
            tail = ',"reduce_only":true' + tail
        if request.order_type == OrderType.MARKET:
            check_market_terms(request)
            return method, f'{head},"type":"market"{NOT_POST_ONLY}{tail}'
        if request.order_type != OrderType.LIMIT:
            raise UnsupportedRequest(f"new order: order type {request.order_type} is neither LIMIT nor MARKET")
        time_in_force = TIME_IN_FORCE_TEXT.get(request.time_in_force)
        if time_in_force is None:
            raise UnsupportedRequest(f"new order: time in force {request.time_in_force} is none that deribit has")
        if flags & POST_ONLY:
            if time_in_force != "good_til_cancelled":
                raise UnsupportedRequest(f"new order: post-only goes with good_til_cancelled, not with {time_in_force}")
            tail = ',"post_only":true,"reject_post_only":true' + tail
        else:
            tail = NOT_POST_ONLY + tail
        if time_in_force == "good_til_day":
            _check_day(request.expire_time_ns, valid_until_ms * NS_PER_MS)
        price = decimal_text(request.price, instrument.price_scale)
        return method, f'{head},"type":"limit","price":{price},"time_in_force":"{time_in_force}"{tail}'

    def encode_cancel(self, request: OrderRequest) -> tuple[str, str]:
        """One order by the venue's id, or by its label where that was never seen. Raises UnsupportedRequest."""
        exchange_id = request.exchange_order_id or self.exchange_ids.get(request.client_order_id)
        if exchange_id:
            return CANCEL, f'{{"order_id":"{exchange_id.decode()}"}}'
        return CANCEL_BY_LABEL, self._by_label(request)

    def encode_replace(self, request: OrderRequest, valid_until_ms: int) -> tuple[str, str]:
        """quantity is the new total, as the venue counts it too. The order's flags are said again: what an edit that
        leaves them out makes of them is not documented. Raises UnsupportedRequest."""
        instrument = self._instrument(request.instrument_id)
        exchange_id = self.exchange_ids.get(request.client_order_id)
        if exchange_id is None:
            raise UnsupportedRequest("replace: the venue's id of the order is not known here")
        flags = NOT_POST_ONLY
        if request.exec_flags & POST_ONLY:
            flags = ',"post_only":true,"reject_post_only":true'
        if request.exec_flags & REDUCE_ONLY:
            flags += ',"reduce_only":true'
        return EDIT, (
            f'{{"order_id":"{exchange_id.decode()}",'
            f'"amount":{decimal_text(request.quantity, instrument.quantity_scale)},'
            f'"price":{decimal_text(request.price, instrument.price_scale)}{flags},"valid_until":{valid_until_ms}}}'
        )

    def encode_query(self, request: OrderRequest) -> tuple[str, str]:
        """One order by its label, open or lately ended. Raises UnsupportedRequest."""
        return STATE_BY_LABEL, self._by_label(request)

    def _by_label(self, request: OrderRequest) -> str:
        symbol = self._instrument(request.instrument_id).symbol
        return f'{{"currency":"{currency_of(symbol)}","label":"{request.client_order_id}"}}'

    def _instrument(self, instrument_id: int) -> OrderInstrument:
        instrument = self._instruments.by_id(instrument_id)
        if instrument is None:
            raise UnsupportedRequest(f"instrument id {instrument_id} is not one of this venue's configured symbols")
        return instrument

    # --- replies ----------------------------------------------------------------------------------------------------
    def decode_reply(self, payload: bytes) -> Reply:
        """Any frame of a private connection, any body over HTTP. Raises MalformedMessage."""
        return decode(self._reply, payload, "frame")

    def decode_request_reply(
        self, request: OrderRequest, reply: Reply, receive_time_ns: int
    ) -> tuple[list[OrderEvent], Verdict | None]:
        """The facts that a reply to NEW, CANCEL, REPLACE or QUERY is: the first answers the request, the others are
        fills that it brought. The verdict where it was not a success."""
        if reply.error is not None:
            verdict = classify(reply.error.code)
            fact = self._failure(request, verdict, reply.error.code, reply.error.message, receive_time_ns)
            return [fact], verdict
        try:
            return self._success(request, reply.result, receive_time_ns)
        except (MalformedMessage, DecimalTextError):
            verdict = Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
            return [self._failure(request, verdict, 0, "reply could not be read", receive_time_ns)], verdict

    def _success(
        self, request: OrderRequest, result: msgspec.Raw, receive_time_ns: int
    ) -> tuple[list[OrderEvent], Verdict | None]:
        trades: list[UserTrade] = []
        order: Order | None
        if request.request_type == RequestType.QUERY:
            listed = decode(self._orders, result, "order by label")
            order = listed[0] if listed else None
        elif request.request_type == RequestType.CANCEL:
            ended = decode(self._end, result, "cancel")
            if isinstance(ended, int) and ended:
                # By label it counts what it canceled and does not say how that ended: none, or ask.
                verdict = Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
                return [self._failure(request, verdict, 0, "canceled by label", receive_time_ns)], verdict
            order = None if isinstance(ended, int) else ended
        else:
            both = decode(self._result, result, "order")
            order, trades = both.order, both.trades
        if order is None:
            verdict = Verdict(Outcome.REFUSED, Reason.VENUE_UNKNOWN_ORDER)
            return [self._failure(request, verdict, 0, "no order of this label", receive_time_ns)], verdict
        fact = self._order_fact(order, receive_time_ns)
        if request.request_type == RequestType.NEW and fact.order_state in WORKING:
            fact.event_type = EventType.ACCEPTED
        elif request.request_type == RequestType.REPLACE and order.order_state in ("open", "filled"):
            fact.event_type = EventType.REPLACED
        elif request.request_type in (RequestType.CANCEL, RequestType.REPLACE):
            fact.event_type = _end_of(fact, order)
        answer(fact, request)
        return [fact, *self._fills(trades, receive_time_ns)], None

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

    def decode_order(self, result: bytes, receive_time_ns: int) -> OrderEvent:
        """Result of get_order_state as STATUS. Raises MalformedMessage."""
        return self._order_fact(decode(self._order, result, "order"), receive_time_ns)

    def decode_orders(self, result: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """Result of a list of orders as STATUS facts of the configured symbols. Raises MalformedMessage."""
        return [
            self._order_fact(order, receive_time_ns)
            for order in decode(self._orders, result, "orders")
            if self._instruments.by_symbol(order.instrument_name) is not None
        ]

    def decode_every_order(self, result: bytes) -> list[Order]:
        """Result of a list of orders as it is worded, of all instruments. Raises MalformedMessage."""
        return decode(self._orders, result, "orders")

    def decode_trade_page(self, result: bytes, receive_time_ns: int) -> tuple[list[OrderEvent], bool]:
        """FILLs of both parts, and whether there are more. Raises MalformedMessage."""
        page = decode(self._page, result, "user trades")
        return self._fills(page.trades, receive_time_ns), page.has_more

    def decode_trades(self, result: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """FILLs of a bare list. Raises MalformedMessage."""
        trades = decode(self._trades, result, "user trades")
        return self._fills(trades, receive_time_ns)

    def _order_fact(self, order: Order, receive_time_ns: int) -> OrderEvent:
        instrument = self._instruments.by_symbol(order.instrument_name)
        if instrument is None:
            raise MalformedMessage(f"order names {order.instrument_name!r}, which is not configured")
        fact = OrderEvent()
        fact.event_type = EventType.STATUS
        fact.order_state = code(STATES, order.order_state, "order state")
        fact.exchange_time_ns = order.last_update_timestamp * NS_PER_MS
        fact.receive_time_ns = receive_time_ns
        self._identity(fact, instrument, order.label, order.order_id)
        fact.side = SIDES[order.direction]
        fact.order_type = OrderType.MARKET if order.order_type == "market" else OrderType.LIMIT
        fact.time_in_force = TIMES_IN_FORCE.get(order.time_in_force, TimeInForce.NONE)
        if order.post_only:
            fact.exec_flags |= POST_ONLY
        if order.reduce_only:
            fact.exec_flags |= REDUCE_ONLY
        if not bytes(order.price).startswith(b'"'):  # "market_price" of a trigger order
            fact.price = _number(order.price, instrument.price_scale)
        fact.quantity = _number(order.amount, instrument.quantity_scale)
        fact.cumulative_quantity = _number(order.filled_amount, instrument.quantity_scale)
        fact.flags = FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN
        if fact.order_state == OrderState.OPEN and fact.cumulative_quantity:
            fact.order_state = OrderState.PARTIALLY_FILLED
        elif fact.order_state == OrderState.CANCELED:
            fact.reason = CANCEL_REASONS.get(order.cancel_reason, Reason.VENUE_REJECTED)
            if _end_of(fact, order) == EventType.EXPIRED:
                fact.order_state, fact.reason = OrderState.EXPIRED, Reason.VENUE_EXPIRED
        if fact.order_state not in WORKING and fact.client_order_id in self.exchange_ids:
            self._has_ended(fact.client_order_id)
        return fact

    def _has_ended(self, own: int) -> None:
        """Forget the venue's id of the order that ended longest ago, so that they do not become ever more."""
        self._ended[own] = None
        if len(self._ended) > ENDED_ORDERS:
            self.exchange_ids.pop(self._ended.popitem(last=False)[0], None)

    def _fills(self, trades: Iterable[UserTrade], receive_time_ns: int) -> list[OrderEvent]:
        facts = []
        for trade in trades:
            instrument = self._instruments.by_symbol(trade.instrument_name)
            if instrument is None:
                continue
            fact = OrderEvent()
            fact.event_type = EventType.FILL
            fact.exchange_time_ns = trade.timestamp * NS_PER_MS
            fact.receive_time_ns = receive_time_ns
            self._identity(fact, instrument, trade.label, trade.order_id)
            fact.side = SIDES[trade.direction]
            fact.trade_id = b"%d" % trade.trade_seq
            fact.text = cut_text(trade.trade_id)
            fact.last_price = _number(trade.price, instrument.price_scale)
            fact.last_quantity = _number(trade.amount, instrument.quantity_scale)
            fact.liquidity = LIQUIDITY.get(trade.liquidity, Liquidity.NONE)
            fact.fee = money(bytes(trade.fee))
            fact.fee_currency = trade.fee_currency.encode()[:8]
            fact.parts = QUANTITY | FEE
            facts.append(fact)
        return facts

    # --- private channels -------------------------------------------------------------------------------------------
    def decode_changes(self, data: bytes | msgspec.Raw) -> Changes:
        """A message of user.changes. Raises MalformedMessage."""
        return decode(self._changes, data, "user.changes")

    def changes(self, message: Changes, receive_time_ns: int) -> list[OrderEvent]:
        """Its orders and fills as facts; none of an instrument that is not configured. Raises MalformedMessage."""
        if self._instruments.by_symbol(message.instrument_name) is None:
            return []
        facts = []
        for order in message.orders:
            fact = self._order_fact(order, receive_time_ns)
            fact.flags |= FactFlag.STREAM
            if fact.order_state in WORKING:
                fact.event_type = EventType.REPLACED if order.replaced else EventType.ACCEPTED
            else:
                fact.event_type = _end_of(fact, order)
            facts.append(fact)
        for fact in self._fills(message.trades, receive_time_ns):
            fact.flags |= FactFlag.STREAM
            facts.append(fact)
        return facts

    # --- positions and balances -------------------------------------------------------------------------------------
    def position_rows(self, message: Changes, receive_time_ns: int) -> list[PositionRow]:
        """Rows that a message of user.changes changes. Raises MalformedMessage."""
        times = [order.last_update_timestamp for order in message.orders]
        times += [trade.timestamp for trade in message.trades]
        time_ns = max(times, default=0) * NS_PER_MS
        rows = [self._position(position) for position in message.positions]
        for row in (found := [row for row in rows if row is not None]):
            row.exchange_time_ns, row.receive_time_ns = time_ns, receive_time_ns
        return found

    def balance_row(self, data: bytes | msgspec.Raw, receive_time_ns: int) -> BalanceRow:
        """A message of user.portfolio. Raises MalformedMessage."""
        row = _balance(decode(self._portfolio, data, "user.portfolio"))
        row.receive_time_ns = receive_time_ns
        return row

    def decode_positions(self, result: bytes, receive_time_ns: int) -> list[PositionRow]:
        """Rows of get_positions for the configured symbols that it lists. Raises MalformedMessage."""
        rows = []
        for position in decode(self._positions, result, "positions"):
            row = self._position(position)
            if row is not None:
                row.receive_time_ns = receive_time_ns
                rows.append(row)
        return rows

    def decode_every_position(self, result: bytes) -> list[Position]:
        """Result of get_positions as it is worded, of all instruments. Raises MalformedMessage."""
        return decode(self._positions, result, "positions")

    def decode_balances(self, result: bytes, receive_time_ns: int) -> list[BalanceRow]:
        """Rows of get_account_summaries, one per currency. Raises MalformedMessage."""
        rows = [_balance(entry) for entry in decode(self._summaries, result, "account summaries").summaries]
        for row in rows:
            row.receive_time_ns = receive_time_ns
        return rows

    def decode_limits(self, result: bytes) -> AccountLimits:
        """Of get_account_summary. Raises MalformedMessage."""
        return decode(self._summary, result, "account summary").limits

    def decode_switch(self, result: bytes) -> bool:
        """Whether cancel-on-disconnect is on for this connection, as get_cancel_on_disconnect says; its word on the
        account's default says nothing about a connection. Raises MalformedMessage."""
        switch = decode(self._switch, result, "cancel on disconnect")
        return switch.enabled and switch.scope == "connection"

    # --- shared pieces ----------------------------------------------------------------------------------------------
    def _identity(self, fact: OrderEvent, instrument: OrderInstrument, label: str, order_id: str) -> None:
        fact.venue = Venue.DERIBIT
        fact.instrument_id = instrument.id
        exchange_id = order_id.encode()
        fact.exchange_order_id = exchange_id
        own = own_order_id(label, self._instance)
        if not own:
            fact.client_order_id = synthetic_order_id(instrument.id, _number_of(order_id))
            return
        fact.client_order_id = own
        fact.strategy_id = strategy_of(own)
        fact.epoch = own >> 32 & 0xFFFF
        if own not in self.exchange_ids:
            self.exchange_ids[own] = exchange_id
            if len(self.exchange_ids) > REMEMBERED_ORDERS:
                self.exchange_ids.popitem(last=False)

    def _position(self, position: Position) -> PositionRow | None:
        """None: not configured."""
        instrument = self._instruments.by_symbol(position.instrument_name)
        if instrument is None:
            return None
        row = PositionRow()
        row.venue, row.instrument_id, row.valid = Venue.DERIBIT, instrument.id, 1
        row.position = _number(msgspec.Raw(signed_size(position).encode()), instrument.quantity_scale)
        row.entry_price = position.average_price
        row.unrealized_pnl = money(bytes(position.total_profit_loss))
        row.accumulated_realized_pnl = money(bytes(position.realized_profit_loss))
        return row


def signed_size(position: Position) -> str:
    """Below zero for a short: the venue has a minus sign there, or says it with the direction alone."""
    size = bytes(position.size).decode()
    return f"-{size}" if position.direction == "sell" and not size.startswith("-") else size


def _number_of(order_id: str) -> int:
    """The number in "ETH-584864807" with a mark of its prefix, for a synthetic id."""
    prefix, _, digits = order_id.rpartition("-")
    number = int(digits) if digits.isdecimal() else zlib.crc32(digits.encode())
    return number ^ zlib.crc32(prefix.encode()) if prefix else number


def _end_of(fact: OrderEvent, order: Order) -> EventType:
    """How the venue's word on an order that works no more is told."""
    if order.order_state != "cancelled":
        return EventType.STATUS
    never_rests = order.time_in_force in ("immediate_or_cancel", "fill_or_kill")
    if fact.reason == Reason.VENUE_EXPIRED or (never_rests and order.cancel_reason in ("", "user_request")):
        return EventType.EXPIRED
    return EventType.CANCELED


def _check_day(expire_time_ns: int, now_ns: int) -> None:
    end_ns = now_ns - (now_ns - DAY_END_NS) % DAY_NS + DAY_NS
    if expire_time_ns != end_ns:
        raise UnsupportedRequest("new order: the venue ends GTD orders at the next 08:00 UTC, and at no other time")


def _balance(entry: Portfolio) -> BalanceRow:
    row = BalanceRow()
    row.venue, row.valid = Venue.DERIBIT, 1
    row.currency = entry.currency.encode()[:8]
    row.wallet_balance = money(bytes(entry.balance))
    row.available_balance = money(bytes(entry.available_funds))
    row.unrealized_pnl = money(bytes(entry.session_upl))
    return row


def _number(number: msgspec.Raw, scale: int) -> int:
    try:
        return number_mantissa(bytes(number), scale)
    except DecimalTextError as failure:
        raise MalformedMessage(str(failure)) from None


def parameters(values: dict[str, Any]) -> str:
    """JSON text of parameters that nobody is in a hurry for."""
    return msgspec.json.encode(values).decode()

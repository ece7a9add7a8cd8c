"""Orders of Binance USDⓈ-M futures without I/O: requests to parameters, replies and user events to facts.

REST and the WebSocket API take the same parameters and say the same in their replies; what differs (a query string or
JSON, a status line or `status`) is outside of the parameters and of `result` or `error`.

The rules
- The client order id on the wire is the decimal text of our uint64. An order whose id text is not such a number with
  this instance's bits is not ours: it gets a synthetic id (top bit clear) made from the venue's own id, and only ever
  travels as STATUS.
- A fact says what its message said (`exchanges/order_events.py`), nothing is concluded here.
- newOrderRespType is ACK for orders that may rest (the reply comes soonest, and fills arrive on the user stream anyway)
  and RESULT for MARKET, IOC and FOK: their reply then tells the final executed quantity, so a fill that the stream
  lost is missed at once instead of at the next audit.
- Self-trade prevention is said only where the request names a mode; the venue's own default (EXPIRE_MAKER) holds else,
  and an amend sets an order back to NONE.
- goodTillDate counts in whole seconds at the venue, so it is cut to them here; more than 600 s ahead (else -5040).

Sources: New Order, Modify Order, WebSocket API General Info, Event: Order Update, Event: Trade Lite below
developers.binance.com/docs/derivatives/usds-margined-futures.

Who calls it: oms.py, account_fetcher.py, user_stream.py, pms.py.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from exchanges.binance.auth import Parameters
from exchanges.binance.error_codes import classify
from exchanges.binance.messages import RateLimit, RateLimitsReply
from exchanges.binance.order_messages import (
    AccountConfig,
    AccountUpdate,
    Balance,
    ErrorReply,
    ListenKey,
    OrderReply,
    OrderTradeUpdate,
    OrderUpdate,
    PositionRisk,
    ServerTime,
    SocketReply,
    StreamHead,
    StreamMessage,
    SymbolConfig,
    TradeLite,
    UserTrade,
)
from exchanges.decimal_text import DecimalTextError, decimal_text, mantissa
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

_T = TypeVar("_T")

NS_PER_MS: Final = 1_000_000
NS_PER_SECOND: Final = 1_000_000_000

# Plain integers: testing a bit of an IntFlag costs more than the rest of a line.
POST_ONLY: Final = int(ExecFlag.POST_ONLY)
REDUCE_ONLY: Final = int(ExecFlag.REDUCE_ONLY)
SELF_TRADE: Final = int(ExecFlag.EXPIRE_TAKER | ExecFlag.EXPIRE_MAKER)

SELF_TRADE_TEXT: Final[dict[int, str]] = {
    int(ExecFlag.EXPIRE_TAKER): "EXPIRE_TAKER",
    int(ExecFlag.EXPIRE_MAKER): "EXPIRE_MAKER",
    SELF_TRADE: "EXPIRE_BOTH",
}
SIDE_TEXT: Final[dict[int, str]] = {Side.BUY: "BUY", Side.SELL: "SELL"}
SIDES: Final = {text: side for side, text in SIDE_TEXT.items()}
TIME_IN_FORCE_TEXT: Final[dict[int, str]] = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.GTD: "GTD",
}
TIMES_IN_FORCE: Final = {
    **{text: value for value, text in TIME_IN_FORCE_TEXT.items()},
    "GTX": TimeInForce.GTC,
    "RPI": TimeInForce.GTC,
}
POST_ONLY_TEXTS: Final = frozenset({"GTX", "RPI"})
STATES: Final = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIALLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
    # legacy states of orders that the venue made itself
    "NEW_INSURANCE": OrderState.OPEN,
    "NEW_ADL": OrderState.OPEN,
}
ENDED_BY: Final[dict[int, EventType]] = {OrderState.CANCELED: EventType.CANCELED, OrderState.EXPIRED: EventType.EXPIRED}
EXPIRY_REASONS: Final = {
    "1": Reason.VENUE_SELF_TRADE,
    "3": Reason.VENUE_SELF_TRADE,
    "4": Reason.VENUE_REDUCE_ONLY,
    "5": Reason.VENUE_LIQUIDATION,
    "7": Reason.VENUE_NOT_TRADING,
}
"""`er` of ORDER_TRADE_UPDATE; every other value is VENUE_EXPIRED."""


class OrderCodec:
    """Both directions for one account. Stateless but for the instruments and this instance's number."""

    def __init__(self, instruments: OrderInstruments, instance_number: int) -> None:
        self._instruments = instruments
        self._instance = instance_number
        self._stream = msgspec.json.Decoder(StreamMessage)
        self._head = msgspec.json.Decoder(StreamHead)
        self._reply = msgspec.json.Decoder(OrderReply)
        self._replies = msgspec.json.Decoder(list[OrderReply])
        self._trades = msgspec.json.Decoder(list[UserTrade])
        self._error = msgspec.json.Decoder(ErrorReply)
        self._socket_reply = msgspec.json.Decoder(SocketReply)
        self._position_risks = msgspec.json.Decoder(list[PositionRisk])
        self._balances = msgspec.json.Decoder(list[Balance])
        self._listen_key = msgspec.json.Decoder(ListenKey)
        self._account_config = msgspec.json.Decoder(AccountConfig)
        self._symbol_configs = msgspec.json.Decoder(list[SymbolConfig])
        self._server_time = msgspec.json.Decoder(ServerTime)
        self._rate_limits = msgspec.json.Decoder(RateLimitsReply)

    # --- requests -> parameters (unsigned, without recvWindow and timestamp) ----------------------------------------
    def encode_new(self, request: OrderRequest) -> Parameters:
        """Of POST /fapi/v1/order and order.place. Raises UnsupportedRequest."""
        instrument = self._instrument(request.instrument_id)
        side = SIDE_TEXT.get(request.side)
        if side is None:
            raise UnsupportedRequest(f"new order: side {request.side} is neither BUY nor SELL")
        flags = request.exec_flags
        parameters: Parameters = {
            "symbol": instrument.symbol,
            "side": side,
            "quantity": decimal_text(request.quantity, instrument.quantity_scale),
            "newClientOrderId": str(request.client_order_id),
        }
        if request.order_type == OrderType.LIMIT:
            self._limit_terms(parameters, request, instrument)
        elif request.order_type == OrderType.MARKET:
            check_market_terms(request)
            parameters["type"], parameters["newOrderRespType"] = "MARKET", "RESULT"
        else:
            raise UnsupportedRequest(f"new order: order type {request.order_type} is neither LIMIT nor MARKET")
        if flags & REDUCE_ONLY:
            parameters["reduceOnly"] = "true"
        if flags & SELF_TRADE:
            parameters["selfTradePreventionMode"] = SELF_TRADE_TEXT[flags & SELF_TRADE]
        return parameters

    @staticmethod
    def _limit_terms(parameters: Parameters, request: OrderRequest, instrument: OrderInstrument) -> None:
        time_in_force = TIME_IN_FORCE_TEXT.get(request.time_in_force, "GTC")
        if request.exec_flags & POST_ONLY:
            if time_in_force != "GTC":
                raise UnsupportedRequest(f"new order: post-only goes with GTC, not with {time_in_force}")
            time_in_force = "GTX"
        parameters["type"], parameters["timeInForce"] = "LIMIT", time_in_force
        parameters["price"] = decimal_text(request.price, instrument.price_scale)
        parameters["newOrderRespType"] = "RESULT" if time_in_force in ("IOC", "FOK") else "ACK"
        if time_in_force == "GTD":
            if request.expire_time_ns <= 0:
                raise UnsupportedRequest("new order: a GTD order needs the time at which it ends")
            parameters["goodTillDate"] = request.expire_time_ns // NS_PER_SECOND * 1000

    def encode_cancel(self, request: OrderRequest) -> Parameters:
        """Of DELETE and GET /fapi/v1/order, order.cancel and order.status: one order, by our id."""
        symbol = self._instrument(request.instrument_id).symbol
        return {"symbol": symbol, "origClientOrderId": str(request.client_order_id)}

    def encode_replace(self, request: OrderRequest) -> Parameters:
        """Of PUT /fapi/v1/order and order.modify; quantity is the new total, as the venue counts it too."""
        instrument = self._instrument(request.instrument_id)
        side = SIDE_TEXT.get(request.side)
        if side is None:
            raise UnsupportedRequest(f"replace: side {request.side} is neither BUY nor SELL")
        return {
            "symbol": instrument.symbol,
            "side": side,
            "origClientOrderId": str(request.client_order_id),
            "quantity": decimal_text(request.quantity, instrument.quantity_scale),
            "price": decimal_text(request.price, instrument.price_scale),
        }

    def _instrument(self, instrument_id: int) -> OrderInstrument:
        instrument = self._instruments.by_id(instrument_id)
        if instrument is None:
            raise UnsupportedRequest(f"instrument id {instrument_id} is not one of this venue's configured symbols")
        return instrument

    # --- replies ----------------------------------------------------------------------------------------------------
    def decode_request_reply(
        self, request: OrderRequest, status: int, body: bytes | msgspec.Raw, receive_time_ns: int
    ) -> tuple[OrderEvent, Verdict | None]:
        """The fact that a reply to NEW, CANCEL, REPLACE or QUERY is; the verdict where it was not a success.

        status, body: of the HTTP reply, or `status` and `result` or `error` of the WebSocket API's."""
        if 200 <= status < 300:
            try:
                reply = self._reply.decode(body)
                fact = self._order_fact(reply, receive_time_ns)
            except (msgspec.MsgspecError, MalformedMessage, DecimalTextError, UnicodeDecodeError):
                verdict = Verdict(Outcome.UNKNOWN, Reason.VENUE_STATUS_UNKNOWN)
                return self._failure(request, verdict, 0, "reply could not be read", receive_time_ns), verdict
            answer(fact, request)
            if request.request_type == RequestType.NEW and fact.order_state == OrderState.OPEN:
                fact.event_type = EventType.ACCEPTED
                # An ACK always says "0 executed", also of an order that filled in the same millisecond.
                fact.flags &= ~FactFlag.CUMULATIVE_KNOWN
            elif request.request_type == RequestType.REPLACE and fact.order_state in (
                OrderState.OPEN,
                OrderState.PARTIALLY_FILLED,
            ):
                fact.event_type = EventType.REPLACED
            elif request.request_type == RequestType.CANCEL:
                fact.event_type = ENDED_BY.get(fact.order_state, EventType.STATUS)
            return fact, None
        code, message = self.decode_error(body)
        verdict = classify(status, code, message)
        return self._failure(request, verdict, code, message or f"HTTP {status}", receive_time_ns), verdict

    def _failure(
        self, request: OrderRequest, verdict: Verdict, code: int, message: str, receive_time_ns: int
    ) -> OrderEvent:
        if verdict.outcome is Outcome.UNKNOWN:
            fact = fact_of_request(request, EventType.UNKNOWN, verdict.reason)
            fact.text = cut_text(message)
        else:
            fact = refusal(request, verdict.reason, message)
        fact.error_code = code
        fact.receive_time_ns = receive_time_ns
        return fact

    def decode_socket_reply(self, payload: bytes) -> SocketReply:
        """One frame of the WebSocket API; `result` and `error` stay bytes. Raises MalformedMessage."""
        reply = decode(self._socket_reply, payload, "WebSocket API")
        if reply.identity is not None and (not reply.status or not (reply.result or reply.error)):
            raise MalformedMessage("WebSocket API: a reply with an id has neither result nor error")
        return reply

    def decode_error(self, body: bytes | msgspec.Raw) -> tuple[int, str]:
        """(code, message) of an error body; (0, "") where it is not the venue's JSON."""
        try:
            error = self._error.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return 0, ""
        return error.code, error.message

    def decode_order(self, body: bytes, receive_time_ns: int) -> OrderEvent:
        """Reply of GET order as STATUS. Raises MalformedMessage."""
        return self._order_fact(decode(self._reply, body, "order"), receive_time_ns)

    def decode_open_orders(self, body: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """Reply of GET openOrders as STATUS facts of the configured symbols. Raises MalformedMessage."""
        replies = decode(self._replies, body, "openOrders")
        return [
            self._order_fact(reply, receive_time_ns)
            for reply in replies
            if self._instruments.by_symbol(reply.symbol) is not None
        ]

    def decode_every_order(self, body: bytes) -> list[OrderReply]:
        """Reply of GET openOrders as it is worded, of all symbols. Raises MalformedMessage."""
        return decode(self._replies, body, "openOrders")

    def decode_user_trades(self, body: bytes, receive_time_ns: int) -> list[OrderEvent]:
        """Reply of GET userTrades as FILLs of both parts, without client order id. Raises MalformedMessage."""
        facts = []
        for row in decode(self._trades, body, "userTrades"):
            instrument = self._instruments.by_symbol(row.symbol)
            if instrument is None:
                continue
            fact = OrderEvent()
            fact.event_type = EventType.FILL
            fact.venue = Venue.BINANCE
            fact.instrument_id = instrument.id
            fact.exchange_order_id = b"%d" % row.exchange_order_id
            fact.side = code(SIDES, row.side, "side")
            fact.exchange_time_ns = row.time_ms * NS_PER_MS
            fact.receive_time_ns = receive_time_ns
            self._fill(fact, instrument, row.trade_id, row.price, row.quantity, maker=row.maker)
            _fee(fact, row.fee, row.fee_currency)
            facts.append(fact)
        return facts

    def _order_fact(self, reply: OrderReply, receive_time_ns: int) -> OrderEvent:
        instrument = self._instruments.by_symbol(reply.symbol)
        if instrument is None:
            raise MalformedMessage(f"reply names symbol {reply.symbol!r}, which is not configured")
        fact = OrderEvent()
        fact.event_type = EventType.STATUS
        fact.order_state = code(STATES, reply.status, "order status")
        fact.exchange_time_ns = reply.update_time_ms * NS_PER_MS
        fact.receive_time_ns = receive_time_ns
        self._identity(fact, instrument, reply.client_order_id, reply.exchange_order_id)
        self._terms(fact, instrument, reply.side, reply.order_type, reply.time_in_force, reply.price, reply.quantity)
        if reply.reduce_only:
            fact.exec_flags |= REDUCE_ONLY
        fact.cumulative_quantity = _number(reply.cumulative_quantity, instrument.quantity_scale)
        fact.flags = FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN
        return fact

    # --- user data stream -------------------------------------------------------------------------------------------
    def decode_stream(self, payload: bytes) -> StreamMessage | None:
        """One frame of the private stream; None: an event that we have no use for. Raises MalformedMessage."""
        try:
            message: StreamMessage = self._stream.decode(payload)
            return message
        except (msgspec.MsgspecError, UnicodeDecodeError) as failure:
            try:
                event = self._head.decode(payload).event
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise MalformedMessage(f"user stream: frame is not an event: {failure}") from None
            if event in ("ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "listenKeyExpired"):
                raise MalformedMessage(f"user stream: {event} has another shape than documented: {failure}") from None
            return None

    def order_update(self, message: OrderTradeUpdate, receive_time_ns: int) -> OrderEvent | None:
        """ORDER_TRADE_UPDATE as a fact; None: a symbol that is not configured. Raises MalformedMessage."""
        update = message.order
        instrument = self._instruments.by_symbol(update.symbol)
        if instrument is None:
            return None
        fact = OrderEvent()
        fact.exchange_time_ns = update.time_ms * NS_PER_MS
        fact.receive_time_ns = receive_time_ns
        fact.order_state = code(STATES, update.status, "order status")
        fact.flags = FactFlag.CUMULATIVE_KNOWN | FactFlag.TERMS_KNOWN | FactFlag.STREAM
        self._identity(fact, instrument, update.client_order_id, update.exchange_order_id)
        self._terms(
            fact, instrument, update.side, update.order_type, update.time_in_force, update.price, update.quantity
        )
        if update.reduce_only:
            fact.exec_flags |= REDUCE_ONLY
        fact.cumulative_quantity = _number(update.cumulative_quantity, instrument.quantity_scale)
        self._execution(fact, instrument, update)
        return fact

    def _execution(self, fact: OrderEvent, instrument: OrderInstrument, update: OrderUpdate) -> None:
        """Event type from `x`, and the fill where the event is one (a liquidation fills under x=CALCULATED too)."""
        ended = ENDED_BY.get(fact.order_state)
        if update.trade_id > 0 and update.execution_type in ("TRADE", "CALCULATED"):
            fact.event_type = EventType.FILL
            self._fill(fact, instrument, update.trade_id, update.last_price, update.last_quantity, maker=update.maker)
            _fee(fact, update.fee, update.fee_currency)
        elif ended is not None:
            fact.event_type = ended
            if ended == EventType.EXPIRED:
                fact.reason = EXPIRY_REASONS.get(update.expiry_reason, Reason.VENUE_EXPIRED)
            elif update.expiry_reason in EXPIRY_REASONS:
                fact.reason = EXPIRY_REASONS[update.expiry_reason]
        elif update.execution_type == "NEW":
            fact.event_type = EventType.ACCEPTED
        elif update.execution_type == "AMENDMENT":
            fact.event_type = EventType.REPLACED
        else:
            fact.event_type = EventType.STATUS

    def trade_lite(self, message: TradeLite, receive_time_ns: int) -> OrderEvent | None:
        """TRADE_LITE as a FILL of part QUANTITY; None: a symbol that is not configured. Raises MalformedMessage."""
        instrument = self._instruments.by_symbol(message.symbol)
        if instrument is None:
            return None
        fact = OrderEvent()
        fact.event_type = EventType.FILL
        fact.exchange_time_ns = message.time_ms * NS_PER_MS
        fact.receive_time_ns = receive_time_ns
        fact.flags = FactFlag.STREAM
        self._identity(fact, instrument, message.client_order_id, message.exchange_order_id)
        fact.side = code(SIDES, message.side, "side")
        fact.price = _number(message.price, instrument.price_scale)
        fact.quantity = _number(message.quantity, instrument.quantity_scale)
        self._fill(fact, instrument, message.trade_id, message.last_price, message.last_quantity, maker=message.maker)
        return fact

    # --- positions and balances -------------------------------------------------------------------------------------
    def account_rows(self, message: AccountUpdate, receive_time_ns: int) -> tuple[list[PositionRow], list[BalanceRow]]:
        """Rows that an ACCOUNT_UPDATE changes. It has no available balance: the field is 0 there, keep the old one."""
        time_ns = message.time_ms * NS_PER_MS
        positions = []
        for change in message.change.positions:
            row = self._position(
                change.symbol, change.position_side, change.position, change.entry_price, change.unrealized_pnl
            )
            if row is not None:
                row.accumulated_realized_pnl = money(change.accumulated_realized_pnl)
                row.exchange_time_ns, row.receive_time_ns = time_ns, receive_time_ns
                positions.append(row)
        balances = []
        for entry in message.change.balances:
            balance = _balance(entry.currency, entry.wallet_balance)
            balance.exchange_time_ns, balance.receive_time_ns = time_ns, receive_time_ns
            balances.append(balance)
        return positions, balances

    def decode_positions(self, body: bytes, receive_time_ns: int) -> list[PositionRow]:
        """Rows of positionRisk for the configured symbols that it lists. Raises MalformedMessage."""
        rows = []
        for risk in decode(self._position_risks, body, "positionRisk"):
            row = self._position(risk.symbol, risk.position_side, risk.position, risk.entry_price, risk.unrealized_pnl)
            if row is not None:
                row.exchange_time_ns, row.receive_time_ns = risk.update_time_ms * NS_PER_MS, receive_time_ns
                rows.append(row)
        return rows

    def decode_every_position(self, body: bytes) -> list[PositionRisk]:
        """Reply of positionRisk as it is worded, of all symbols. Raises MalformedMessage."""
        return decode(self._position_risks, body, "positionRisk")

    def decode_balances(self, body: bytes, receive_time_ns: int) -> list[BalanceRow]:
        """Rows of balance, one per currency. Raises MalformedMessage."""
        rows = []
        for balance in decode(self._balances, body, "balance"):
            row = _balance(balance.currency, balance.wallet_balance)
            row.available_balance = money(balance.available_balance)
            row.unrealized_pnl = money(balance.unrealized_pnl)
            row.exchange_time_ns, row.receive_time_ns = balance.update_time_ms * NS_PER_MS, receive_time_ns
            rows.append(row)
        return rows

    def decode_listen_key(self, body: bytes) -> str:
        """The key; "" for the older reply `{}`. Raises MalformedMessage."""
        return decode(self._listen_key, body, "listenKey").listen_key

    def decode_account_config(self, body: bytes) -> AccountConfig:
        """Raises MalformedMessage."""
        return decode(self._account_config, body, "accountConfig")

    def decode_symbol_configs(self, body: bytes) -> list[SymbolConfig]:
        """Raises MalformedMessage."""
        return decode(self._symbol_configs, body, "symbolConfig")

    def decode_server_time(self, body: bytes) -> int:
        """Venue UTC, ns. Raises MalformedMessage."""
        return decode(self._server_time, body, "time").server_time_ms * NS_PER_MS

    def decode_rate_limits(self, body: bytes) -> list[RateLimit]:
        """`rateLimits` of exchangeInfo. Raises MalformedMessage."""
        return decode(self._rate_limits, body, "exchangeInfo").rate_limits

    # --- shared pieces ----------------------------------------------------------------------------------------------
    def _identity(
        self, fact: OrderEvent, instrument: OrderInstrument, client_order_id: str, exchange_order_id: int
    ) -> None:
        fact.venue = Venue.BINANCE
        fact.instrument_id = instrument.id
        fact.exchange_order_id = b"%d" % exchange_order_id
        own = own_order_id(client_order_id, self._instance)
        fact.client_order_id = own or synthetic_order_id(instrument.id, exchange_order_id)
        if own:
            fact.strategy_id = strategy_of(own)
            fact.epoch = own >> 32 & 0xFFFF

    def _terms(
        self,
        fact: OrderEvent,
        instrument: OrderInstrument,
        side: str,
        order_type: str,
        time_in_force: str,
        price: str,
        quantity: str,
    ) -> None:
        fact.side = code(SIDES, side, "side")
        fact.order_type = OrderType.MARKET if order_type in ("MARKET", "LIQUIDATION") else OrderType.LIMIT
        fact.time_in_force = TIMES_IN_FORCE.get(time_in_force, TimeInForce.NONE)
        if time_in_force in POST_ONLY_TEXTS:
            fact.exec_flags |= POST_ONLY
        fact.price = _number(price, instrument.price_scale)
        fact.quantity = _number(quantity, instrument.quantity_scale)

    def _fill(
        self, fact: OrderEvent, instrument: OrderInstrument, trade_id: int, price: str, quantity: str, *, maker: bool
    ) -> None:
        fact.trade_id = b"%d" % trade_id
        fact.last_price = _number(price, instrument.price_scale)
        fact.last_quantity = _number(quantity, instrument.quantity_scale)
        fact.liquidity = Liquidity.MAKER if maker else Liquidity.TAKER
        fact.parts = QUANTITY

    def _position(
        self, symbol: str, position_side: str, position: str, entry_price: str, unrealized_pnl: str
    ) -> PositionRow | None:
        """None: not configured, or a side of hedge mode, which this system refuses at its start."""
        instrument = self._instruments.by_symbol(symbol)
        if instrument is None or position_side != "BOTH":
            return None
        row = PositionRow()
        row.venue, row.instrument_id, row.valid = Venue.BINANCE, instrument.id, 1
        row.position = _number(position, instrument.quantity_scale)
        row.entry_price = _float(entry_price)
        row.unrealized_pnl = money(unrealized_pnl)
        return row


def _fee(fact: OrderEvent, fee: str, currency: str) -> None:
    """The fee part, where the message has one. More decimals than MONEY_SCALE are rounded half-even: the venue prints
    eight, and a fill must not be lost over the ninth."""
    fact.fee = money(fee)
    fact.fee_currency = currency.encode()[:8]
    fact.parts |= FEE


def _balance(currency: str, wallet_balance: str) -> BalanceRow:
    row = BalanceRow()
    row.venue, row.valid = Venue.BINANCE, 1
    row.currency = currency.encode()[:8]
    row.wallet_balance = money(wallet_balance)
    return row


def _number(text: str, scale: int) -> int:
    try:
        return mantissa(text, scale)
    except DecimalTextError as failure:
        raise MalformedMessage(str(failure)) from None


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise MalformedMessage(f"{text!r} is not a number") from None

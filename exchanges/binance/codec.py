"""Bytes of Binance's public streams and REST replies <-> market events. No I/O, no clock, no state but the scales.

The rule: this declared decoder is the meaning; the compiled scanner (fast_decode.pyx) may only be faster. It takes any
key order and any unknown key, and raises MalformedFrame for whatever the protocol does not allow, of one of few kinds.

exchange_time_ns is the time the venue sent the event (E); of trades it is the trade time (T).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from exchanges.binance import messages
from exchanges.decimal_text import DecimalTextError, mantissa
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Ignored,
    Levels,
    MalformedFrame,
    MarketEvent,
    MarkPrice,
    PublicTrade,
)
from shm.layout import MONEY_SCALE, Side, TradeFlag

NS_PER_MS: Final = 1_000_000
MARKET_TRADE: Final = "MARKET"
"""`X` of an ordinary trade; insurance fund and auto-deleveraging trades carry others and move no price here."""
_PARTIAL_DEPTH: Final = re.compile(r"@depth\d+(@|$)")
"""Partial book streams say "depthUpdate" too; only the stream's name tells them from a delta."""

_NUMBER: Final = re.compile(r"-?\d{1,18}(\.\d{1,18})?", re.ASCII).fullmatch

T = TypeVar("T")


class MarketCodec:
    """Decoder for the instruments of `scales` (symbol -> Scales), encoder of stream commands."""

    def __init__(self, scales: Mapping[str, Scales]) -> None:
        self._scales = dict(scales)
        self._frame = msgspec.json.Decoder(messages.Frame)
        self._payload = msgspec.json.Decoder(messages.Payload)
        self._decoders: dict[str, tuple[msgspec.json.Decoder[Any], Any]] = {
            "depthUpdate": (msgspec.json.Decoder(messages.DepthUpdate), self._delta),
            "bookTicker": (msgspec.json.Decoder(messages.BookTicker), self._quote),
            "trade": (msgspec.json.Decoder(messages.Trade), self._trade),
            "aggTrade": (msgspec.json.Decoder(messages.AggTrade), self._agg_trade),
            "markPriceUpdate": (msgspec.json.Decoder(messages.MarkPriceUpdate), self._mark_price),
            "forceOrder": (msgspec.json.Decoder(messages.ForceOrder), self._liquidation),
        }
        self._depth_reply = msgspec.json.Decoder(messages.DepthReply)

    # --- streams ----------------------------------------------------------------------------------------------------
    def decode(self, frame: bytes) -> MarketEvent:
        """The event of one text frame, combined or bare. Raises MalformedFrame."""
        outer = _decode(self._frame, frame)
        if outer.stream is not None and outer.data:
            return self._decode_payload(bytes(outer.data), outer.stream)
        if outer.event is not None:
            return self._decode_payload(frame, None)
        if outer.error:
            return ControlReply(outer.request_id, bytes(outer.error).decode("utf-8", "replace"))
        if outer.request_id is not None:
            return ControlReply(outer.request_id)
        raise MalformedFrame("unknown frame", _cut(frame))

    def _decode_payload(self, payload: bytes, stream: str | None) -> MarketEvent:
        head = _decode(self._payload, payload)
        found = self._decoders.get(head.event)
        if found is None:
            return Ignored(f"event {head.event}")
        if head.contract_type != messages.USD_MARGINED:
            return Ignored(f"contract type {head.contract_type}")
        decoder, event_of = found
        message = _decode(decoder, payload)
        if stream is not None:
            if not stream.startswith(f"{message.symbol.lower()}@") and not stream.startswith("!"):
                raise MalformedFrame("stream and symbol differ", f"{stream} carries {message.symbol}")
            if _PARTIAL_DEPTH.search(stream):
                return Ignored("partial depth")
        event: MarketEvent = event_of(message)
        return event

    def _delta(self, message: messages.DepthUpdate) -> MarketEvent:
        scales = self._scales_of(message.symbol)
        if message.first_update_id > message.last_update_id:
            raise MalformedFrame("update ids out of order", f"U {message.first_update_id} > u {message.last_update_id}")
        return BookDelta(
            message.symbol,
            message.first_update_id,
            message.last_update_id,
            message.previous_update_id,
            message.event_time * NS_PER_MS,
            _levels(message.bids, scales),
            _levels(message.asks, scales),
        )

    def _quote(self, message: messages.BookTicker) -> MarketEvent:
        scales = self._scales_of(message.symbol)
        bid = _level(message.bid_price, message.bid_quantity, scales, empty_allowed=True)
        ask = _level(message.ask_price, message.ask_quantity, scales, empty_allowed=True)
        return BestQuote(message.symbol, message.update_id, message.event_time * NS_PER_MS, *bid, *ask)

    def _trade(self, message: messages.Trade) -> MarketEvent:
        if message.origin != MARKET_TRADE:
            return Ignored("trade that is none of the market")
        price, quantity = _level(message.price, message.quantity, self._scales_of(message.symbol))
        return PublicTrade(
            message.symbol,
            message.trade_id,
            message.trade_time * NS_PER_MS,
            price,
            quantity,
            Side.SELL if message.buyer_is_maker else Side.BUY,
        )

    def _agg_trade(self, message: messages.AggTrade) -> MarketEvent:
        if message.first_trade_id > message.last_trade_id:
            raise MalformedFrame("trade ids out of order", f"f {message.first_trade_id} > l {message.last_trade_id}")
        price, quantity = _level(message.price, message.quantity, self._scales_of(message.symbol))
        return PublicTrade(
            message.symbol,
            message.first_trade_id,
            message.trade_time * NS_PER_MS,
            price,
            quantity,
            Side.SELL if message.buyer_is_maker else Side.BUY,
            aggregated=True,
            trade_count=min(message.last_trade_id - message.first_trade_id + 1, 0xFFFF_FFFF),
        )

    def _mark_price(self, message: messages.MarkPriceUpdate) -> MarketEvent:
        self._scales_of(message.symbol)
        return MarkPrice(
            message.symbol,
            message.event_time * NS_PER_MS,
            _mantissa(message.mark_price, MONEY_SCALE),
            _float(message.index_price),
            _float(message.funding_rate),
            message.next_funding_time * NS_PER_MS,
        )

    def _liquidation(self, message: messages.ForceOrder) -> MarketEvent:
        """The report's time in ms stands for the id that it lacks: a symbol has at most one a second."""
        order = message.order
        if order.contract_type != messages.USD_MARGINED:
            return Ignored(f"contract type {order.contract_type}")
        scales = self._scales_of(order.symbol)
        return PublicTrade(
            order.symbol,
            order.trade_time,
            order.trade_time * NS_PER_MS,
            _rounded_mantissa(order.average_price, scales.price),
            _mantissa(order.filled_quantity, scales.quantity),
            Side.BUY if order.side == "BUY" else Side.SELL,
            flags=TradeFlag.LIQUIDATION | TradeFlag.REPORT,
        )

    # --- REST -------------------------------------------------------------------------------------------------------
    def decode_snapshot(self, symbol: str, body: bytes) -> BookSnapshot:
        """The reply of GET /fapi/v1/depth. Raises MalformedFrame."""
        message = _decode(self._depth_reply, body)
        scales = self._scales_of(symbol)
        return BookSnapshot(
            symbol,
            message.last_update_id,
            message.event_time * NS_PER_MS,
            _levels(message.bids, scales),
            _levels(message.asks, scales),
        )

    # --- commands ---------------------------------------------------------------------------------------------------
    @staticmethod
    def subscribe(streams: list[str], request_id: int) -> bytes:
        """The id must be an unsigned integer: some of the venue's hosts refuse others."""
        return msgspec.json.encode({"method": "SUBSCRIBE", "params": streams, "id": request_id})

    @staticmethod
    def unsubscribe(streams: list[str], request_id: int) -> bytes:
        return msgspec.json.encode({"method": "UNSUBSCRIBE", "params": streams, "id": request_id})

    def _scales_of(self, symbol: str) -> Scales:
        scales = self._scales.get(symbol)
        if scales is None:
            raise MalformedFrame("unknown symbol", symbol)
        return scales


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise MalformedFrame("unexpected shape", f"{error} in {_cut(data)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame("not JSON", f"{error} in {_cut(data)}") from None


def _levels(levels: list[messages.WireLevel], scales: Scales) -> Levels:
    return [_level(price, quantity, scales) for price, quantity in levels]


def _level(price: str, quantity: str, scales: Scales, *, empty_allowed: bool = False) -> tuple[int, int]:
    result = _mantissa(price, scales.price), _mantissa(quantity, scales.quantity)
    if result[0] == 0 and not (empty_allowed and result[1] == 0):
        raise MalformedFrame("price of zero", f"quantity {quantity}")
    return result


def _mantissa(text: str, scale: int) -> int:
    try:
        value = mantissa(text, scale)
    except DecimalTextError as error:
        raise MalformedFrame("bad decimal", str(error)) from None
    if value < 0:
        raise MalformedFrame("negative number", text)
    return value


def _rounded_mantissa(text: str, scale: int) -> int:
    """Of an average, which may have more decimals than the prices that it is of."""
    if not _NUMBER(text) or text.startswith("-"):
        raise MalformedFrame("bad decimal", text)
    value = int(Decimal(text).scaleb(scale).to_integral_value())
    if value == 0:
        raise MalformedFrame("price of zero", text)
    return value


def _float(text: str) -> float:
    """Numbers of no exact use (index, funding, which may be negative); "" = none sent."""
    if not text:
        return math.nan
    if not _NUMBER(text):
        raise MalformedFrame("bad decimal", text)
    return float(text)


def _cut(data: bytes, limit: int = 160) -> str:
    text = data[:limit].decode("utf-8", "replace")
    return text if len(data) <= limit else f"{text}…"

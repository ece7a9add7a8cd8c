"""Bytes of Deribit's public channels and replies <-> market events. No I/O, no clock, no state but the scales.

The rule: this declared decoder is the meaning; the compiled scanner (fast_decode.pyx) may only be faster. It takes any
key order and any unknown key, and raises MalformedFrame for whatever the protocol does not allow, of one of few kinds.

A trade's id is its `trade_seq`: it rises by one per instrument, so a missing or repeated trade shows; the venue's
`trade_id` counts the trades of a whole currency. Quotes have no id of the book's kind (update_id 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from exchanges.decimal_text import DecimalTextError, number_mantissa, rounded_mantissa
from exchanges.deribit import endpoints, messages
from exchanges.instrument_rows import Scales
from exchanges.market_events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    ControlReply,
    Greeks,
    Heartbeat,
    Ignored,
    IndexPrice,
    InstrumentChange,
    Levels,
    MalformedFrame,
    MarketEvent,
    MarkPrice,
    PlatformChange,
    PublicTrade,
    PublicTrades,
)
from shm.layout import MONEY_SCALE, InstrumentStatus, Side

NS_PER_MS: Final = 1_000_000
_INTERVALS: Final = frozenset({"raw", "100ms", "agg2"})
_KINDS: Final = frozenset({"future", "option", "spot", "future_combo", "option_combo", "combo", "any"})
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL}
_STATES: Final = {
    "created": InstrumentStatus.PENDING,
    "started": InstrumentStatus.TRADING,
    "settled": InstrumentStatus.TRADING,
    "deactivated": InstrumentStatus.HALTED,
    "closed": InstrumentStatus.CLOSED,
    "terminated": InstrumentStatus.CLOSED,
}
"""Lifecycle events of instrument.state channels."""

T = TypeVar("T")


class MarketCodec:
    """Decoder for the instruments of `scales` (symbol -> Scales), encoder of channel commands."""

    def __init__(self, scales: Mapping[str, Scales]) -> None:
        self._scales = dict(scales)
        self._frame = msgspec.json.Decoder(messages.Frame)
        trades = list[messages.Trade]
        self._decoders: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any, str], MarketEvent]]] = {
            "book": (msgspec.json.Decoder(messages.BookMessage), self._book),
            "quote": (msgspec.json.Decoder(messages.Quote), self._quote),
            "trades": (msgspec.json.Decoder(trades), self._trades),
            "ticker": (msgspec.json.Decoder(messages.Ticker), self._ticker),
            "deribit_price_index": (msgspec.json.Decoder(messages.PriceIndex), self._index),
            "instrument": (msgspec.json.Decoder(messages.InstrumentState), self._instrument),
            "platform_state": (msgspec.json.Decoder(messages.PlatformState), self._platform),
        }
        self._order_book_reply = msgspec.json.Decoder(messages.OrderBookReply)
        self._ticker_reply = msgspec.json.Decoder(messages.Ticker)

    # --- streams ----------------------------------------------------------------------------------------------------
    def decode(self, frame: bytes) -> MarketEvent:
        """The event of one text frame. Raises MalformedFrame."""
        outer = _decode(self._frame, frame)
        if outer.method == "subscription" and outer.params is not None and outer.params.data:
            return self._decode_payload(bytes(outer.params.data), outer.params.channel)
        if outer.method == "heartbeat" and outer.params is not None:
            return Heartbeat(outer.params.kind == "test_request")
        if outer.request_id is not None:
            return self._reply(outer)
        raise MalformedFrame("unknown frame", _cut(frame))

    def _decode_payload(self, payload: bytes, channel: str) -> MarketEvent:
        name, _, rest = channel.partition(".")
        found = self._decoders.get(name)
        if found is None or (name == "platform_state" and rest):
            return Ignored(f"channel {name}")
        if name == "book" and rest.count(".") != 1:
            return Ignored("grouped book")
        decoder, event_of = found
        return event_of(_decode(decoder, payload), rest)

    def _reply(self, outer: messages.Frame) -> MarketEvent:
        request_id = outer.request_id if isinstance(outer.request_id, int) else None
        if outer.error is not None:
            code = outer.error.code
            return ControlReply(request_id, f"{outer.error.message} ({code})", code=code)
        return ControlReply(request_id, result=bytes(outer.result))

    def _book(self, message: messages.BookMessage, rest: str) -> MarketEvent:
        scales = self._of_channel(message.instrument_name, rest)
        bids, asks = _changes(message.bids, scales), _changes(message.asks, scales)
        time_ns = message.timestamp * NS_PER_MS
        if message.type == "snapshot" or (message.type is None and message.prev_change_id is None):
            return BookSnapshot(message.instrument_name, message.change_id, time_ns, bids, asks)
        if message.prev_change_id is None:
            raise MalformedFrame("change without prev_change_id", message.instrument_name)
        return BookDelta(
            message.instrument_name, message.change_id, message.change_id, message.prev_change_id, time_ns, bids, asks
        )

    def _quote(self, message: messages.Quote, rest: str) -> MarketEvent:
        scales = self._of_channel(message.instrument_name, rest, interval=False)
        bid = _side(message.best_bid_price, message.best_bid_amount, scales)
        ask = _side(message.best_ask_price, message.best_ask_amount, scales)
        return BestQuote(message.instrument_name, 0, message.timestamp * NS_PER_MS, *bid, *ask)

    def _trades(self, entries: list[messages.Trade], rest: str) -> MarketEvent:
        return PublicTrades(tuple(self._trade(entry, rest) for entry in entries))

    def _trade(self, message: messages.Trade, rest: str) -> PublicTrade:
        price, quantity = _level(message.price, message.amount, self._of_channel(message.instrument_name, rest))
        return PublicTrade(
            message.instrument_name,
            message.trade_seq,
            message.timestamp * NS_PER_MS,
            price,
            quantity,
            _SIDES[message.direction],
        )

    def _ticker(self, message: messages.Ticker, rest: str) -> MarketEvent:
        self._of_channel(message.instrument_name, rest)
        return _mark_price(message)

    @staticmethod
    def _index(message: messages.PriceIndex, rest: str) -> MarketEvent:
        return IndexPrice(message.index_name, message.timestamp * NS_PER_MS, message.price)

    @staticmethod
    def _instrument(message: messages.InstrumentState, rest: str) -> MarketEvent:
        status = _STATES.get(message.state)
        if status is None:
            return Ignored(f"instrument state {message.state}")
        return InstrumentChange(message.instrument_name, message.timestamp * NS_PER_MS, status)

    @staticmethod
    def _platform(message: messages.PlatformState, rest: str) -> MarketEvent:
        if message.maintenance is not None:
            return PlatformChange("", message.maintenance)
        return PlatformChange(message.price_index, message.locked)

    # --- replies ----------------------------------------------------------------------------------------------------
    def decode_snapshot(self, symbol: str, result: bytes) -> BookSnapshot:
        """The result of public/get_order_book. Raises MalformedFrame."""
        reply = _decode(self._order_book_reply, result)
        if reply.instrument_name != symbol:
            raise MalformedFrame("another instrument", f"{reply.instrument_name} was sent for {symbol}")
        scales = self._scales_of(symbol)
        bids, asks = ([_level(*pair, scales) for pair in side] for side in (reply.bids, reply.asks))
        return BookSnapshot(symbol, reply.change_id, reply.timestamp * NS_PER_MS, bids, asks)

    def decode_ticker(self, result: bytes) -> MarkPrice:
        """The result of public/ticker. Raises MalformedFrame."""
        return _mark_price(_decode(self._ticker_reply, result))

    # --- commands ---------------------------------------------------------------------------------------------------
    @staticmethod
    def subscribe(channels: list[str], request_id: int) -> bytes:
        """Raw channels too, on an authenticated connection."""
        return command(endpoints.SUBSCRIBE, {"channels": channels}, request_id)

    @staticmethod
    def unsubscribe(channels: list[str], request_id: int) -> bytes:
        return command(endpoints.UNSUBSCRIBE, {"channels": channels}, request_id)

    def _of_channel(self, symbol: str, rest: str, *, interval: bool = True) -> Scales:
        """Scales of a message's instrument; `rest` of the channel's name, behind the first dot, must say the same."""
        named, _, speed = rest.partition(".")
        if named in _KINDS and interval:  # trades.{kind}.{currency}.{interval}
            named, speed = symbol, speed.partition(".")[2]
        if named != symbol or (speed not in _INTERVALS if interval else speed):
            raise MalformedFrame("channel and instrument differ", f"{rest} carries {symbol}")
        return self._scales_of(symbol)

    def _scales_of(self, symbol: str) -> Scales:
        scales = self._scales.get(symbol)
        if scales is None:
            raise MalformedFrame("unknown symbol", symbol)
        return scales


def command(method: str, params: Mapping[str, Any], request_id: int) -> bytes:
    """A JSON-RPC request. Parameters that are not wanted are left out, never null."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def _mark_price(message: messages.Ticker) -> MarkPrice:
    try:
        mark = rounded_mantissa(bytes(message.mark_price), MONEY_SCALE)
    except DecimalTextError as error:
        raise MalformedFrame("bad number", str(error)) from None
    greeks = None
    if message.greeks is not None:
        of = message.greeks
        greeks = Greeks(
            _float(message.underlying_price),
            _float(message.mark_iv) / 100,
            _float(message.bid_iv) / 100 or math.nan,  # 0 = no bid
            _float(message.ask_iv) / 100 or math.nan,
            *(_float(value) for value in (of.delta, of.gamma, of.vega, of.theta, of.rho)),
        )
    return MarkPrice(
        message.instrument_name,
        message.timestamp * NS_PER_MS,
        mark,
        _float(message.index_price),
        _float(message.current_funding),
        0,  # funding is paid continuously
        greeks,
    )


def _decode(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise MalformedFrame("unexpected shape", f"{error} in {_cut(data)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFrame("not JSON", f"{error} in {_cut(data)}") from None


def _changes(levels: list[messages.WireLevel], scales: Scales) -> Levels:
    """Step 4 of the sequencer: a deleted level is one of quantity 0."""
    result = []
    for action, price, amount in levels:
        level = _level(price, amount, scales)
        result.append((level[0], 0) if action == "delete" else level)
    return result


def _level(price: msgspec.Raw, amount: msgspec.Raw, scales: Scales) -> tuple[int, int]:
    result = _mantissa(price, scales.price), _mantissa(amount, scales.quantity)
    if result[0] == 0:
        raise MalformedFrame("price of zero", f"amount {bytes(amount)!r}")
    return result


def _side(price: msgspec.Raw, amount: msgspec.Raw, scales: Scales) -> tuple[int, int]:
    """One side of a quote; (0, 0) where it is empty, which the venue writes as null or 0."""
    values = [
        0 if bytes(number) == b"null" else _mantissa(number, scale)
        for number, scale in ((price, scales.price), (amount, scales.quantity))
    ]
    return (values[0], values[1]) if all(values) else (0, 0)


def _mantissa(number: msgspec.Raw, scale: int) -> int:
    try:
        value = number_mantissa(bytes(number), scale)
    except DecimalTextError as error:
        raise MalformedFrame("bad number", str(error)) from None
    if value < 0:
        raise MalformedFrame("negative number", bytes(number).decode())
    return value


def _float(number: float | None) -> float:
    """Numbers of no exact use; null = none sent."""
    return math.nan if number is None else number


def _cut(data: bytes, limit: int = 160) -> str:
    text = data[:limit].decode("utf-8", "replace")
    return text if len(data) <= limit else f"{text}…"
